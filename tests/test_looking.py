"""The environment as one command sees it: its target folder, its platform, what is declared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from lib.program import Completed, run, run_pipfallback
from lib.server import Server, fail
from lib.torch import make_torch
from lib.trees import changes, tree
from lib.venvs import make_venv
from lib.wheels import make_wheel
from pipfallback.arguments import parse
from pipfallback.environment import Environment, Torch, probe
from pipfallback.looking import look, seen_by

AARCH64 = ("--platform", "manylinux2014_aarch64", "--python-version", "3.12", "--only-binary=:all:")


def install(python: Path, environ: Mapping[str, str], *words: str | Path) -> None:
    done = run([python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", *words], env=environ)
    assert done.code == 0, done.said


@pytest.fixture
def python(tmp_path: Path, environ: dict[str, str]) -> Path:
    """A venv with torch 2.7.1+cu126."""
    python = make_venv(tmp_path / "venv")
    install(python, environ, make_torch(tmp_path / "wheels"))
    return python


def seen(python: Path, *words: str | Path) -> Environment:
    environment, installation = probe(python)
    return seen_by(parse(["install", *map(str, words), "x"], {}), environment, installation)


def test_without_such_options_it_is_the_interpreters(python: Path) -> None:
    assert seen(python) == probe(python)[0]
    assert seen(python, "--user") == probe(python)[0]


@pytest.mark.parametrize("option", ["--target", "--prefix", "--root"])
def test_a_torch_in_the_folder_counts_before_the_interpreters(
    option: str, python: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    there = tmp_path / "there"
    empty = seen(python, option, there)
    assert empty.torch == Torch(version="2.7.1+cu126", cuda="12.6", cxx11_abi=True)
    own = make_wheel(tmp_path / "wheels", "own", "1.0", files={"own.py": ""})
    torch = make_torch(tmp_path / "wheels", "2.8.0+cpu", cxx11_abi=False)
    install(python, environ, f"{option}={there}", "--ignore-installed", torch, own)
    environment = seen(python, option, there)
    assert environment.torch == Torch(version="2.8.0+cpu", cpu=True, cxx11_abi=False)
    assert environment.origins["torch"] == "found"
    assert environment.installed is not None
    assert (environment.installed["torch"], environment.installed["own"]) == ("2.8.0+cpu", "1.0")
    assert "pip" in environment.installed


def test_for_another_platform_nothing_of_this_machine_counts(python: Path, tmp_path: Path) -> None:
    environment = seen(python, "--target", tmp_path / "there", *AARCH64)
    assert (environment.python.version, environment.platform, environment.glibc) == ("3.12.0", "linux_aarch64", "2.17")
    assert (environment.torch, environment.installed, environment.driver, environment.gpus) == (None, None, None, ())
    for key in ("torch", "driver", "gpus"):
        assert environment.origins[key] == "unknown"
    assert environment.declared_by["platform"] == "--platform"
    assert {"torch", "driver", "gpus"}.isdisjoint(environment.to_json())


def test_another_python_on_this_platform_keeps_its_driver(python: Path, tmp_path: Path) -> None:
    environment = seen(python, "--target", tmp_path / "there", "--python-version", "310")
    here = probe(python)[0]
    assert environment.python.version == "3.10.0"
    assert (environment.platform, environment.glibc) == (here.platform, here.glibc)
    assert environment.origins["driver"] == here.origins["driver"]


def test_for_another_platform_the_torch_of_the_target_folder_counts(
    python: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    there = tmp_path / "there"
    install(python, environ, "--target", there, make_torch(tmp_path / "wheels", "2.8.0+cu128"))
    environment = seen(python, "--target", there, *AARCH64)
    assert environment.torch == Torch(version="2.8.0+cu128", cuda="12.8", cxx11_abi=True)
    assert environment.origins["torch"] == "found"
    assert environment.installed == {"torch": "2.8.0+cu128"}


def test_of_several_platforms_the_highest_glibc_is_there(python: Path, tmp_path: Path) -> None:
    platforms = ("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64", "--platform=linux_x86_64")
    environment = seen(python, "--target", tmp_path, *platforms)
    assert (environment.platform, environment.glibc) == ("linux_x86_64", "2.28")
    windows = seen(python, "--target", tmp_path, "--platform", "win_amd64", "--implementation", "pp")
    assert (windows.platform, windows.glibc, windows.python.implementation) == ("win_amd64", None, "pypy")
    threaded = seen(python, "--target", tmp_path, "--python-version", "3.13", "--abi", "cp313t")
    assert threaded.python.free_threaded


@pytest.mark.parametrize("version", ["x", "3.x", "3.12.1.1", "", "3.12rc1"])
def test_a_version_that_pip_refuses_is_left_to_pip(version: str, python: Path, tmp_path: Path) -> None:
    environment = seen(python, "--target", tmp_path, f"--python-version={version}")
    assert environment.python == probe(python)[0].python


def test_what_is_declared_comes_on_top(python: Path, tmp_path: Path) -> None:
    words = ["install", "--target", str(tmp_path), *AARCH64, "--gpu", "9.0", "--driver-cuda", "12.8", "x"]
    environment, installation = look(str(python), parse(words, {}), {})
    assert [gpu.compute_capability for gpu in environment.gpus] == ["9.0"]
    assert environment.driver is not None
    assert environment.driver.cuda == "12.8"
    assert environment.origins["gpus"] == "declared"
    assert installation.executable == str(python)


def flash_attn(folder: Path, tag: str, label: str, **more: str) -> Path:
    files = {"flash_attn/__init__.py": "raise ImportError('another platform')\n"}
    requires = ("torch", "einops", 'nothing; extra == "dev"')
    return make_wheel(folder, filename_version=f"2.8.3{label}", tag=tag, files=files, requires=requires, **more)


def crossing(folder: Path, server: Server, python: Path, environ: Mapping[str, str], *words: str | Path) -> Completed:
    """Install flash-attn for CPython 3.12 on aarch64; the catalog has builds for three platforms."""
    server.answer("/simple/flash-attn/", fail(404))
    make_wheel(server.folder, "einops", "0.8", files={"einops.py": ""})
    for tag in ("cp312-cp312-manylinux_2_17_aarch64.manylinux2014_aarch64", "cp311-cp311-manylinux2014_aarch64"):
        flash_attn(server.folder / "builds", tag, "+cu128torch2.8")
    flash_attn(server.folder / "builds", "cp312-cp312-linux_x86_64", "+cu128torch2.8")
    urls = [server.url_of(wheel) for wheel in sorted((server.folder / "builds").iterdir())]
    (folder / "builds.toml").write_text(
        'schema = 1\n[package.flash-attn]\nimport = ["flash_attn"]\nneeds = ["torch"]\n'
        f'[[package.flash-attn.source]]\nname = "builds"\ntrust = "official"\nkind = "url"\nurl = {json.dumps(urls)}\n'
    )
    options = ("--trust-level=official", "--fallbacks", folder / "builds.toml", "--index-url", f"{server.url}/simple/")
    command = ["install", *options, "--outcome", folder / "outcome.json", *AARCH64, *words]
    return run_pipfallback(command, python=python, cwd=folder, env=environ)


def test_a_folder_for_another_platform_gets_the_build_for_it_and_what_it_needs(
    tmp_path: Path, server: Server, python: Path, environ: dict[str, str]
) -> None:
    there = tmp_path / "there"
    before = tree(tmp_path / "venv")
    done = crossing(tmp_path, server, python, environ, "--target", there, "flash-attn==2.8.3")
    assert done.code == 0, done.said
    installed = sorted(path.name for path in there.glob("*.dist-info"))
    assert installed == ["einops-0.8.dist-info", "flash_attn-2.8.3.dist-info"]
    wheel = (there / "flash_attn-2.8.3.dist-info" / "WHEEL").read_text()
    assert "Tag: cp312-cp312-manylinux2014_aarch64" in wheel
    assert changes(before, tree(tmp_path / "venv")) == []
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    assert outcome["installed"]["verified"] == "skipped"
    assert outcome["environment"]["platform"] == "linux_aarch64"
    assert "torch" not in outcome["environment"]
    assert "the command installs for another platform: what is installed is not imported" in done.stderr


def test_what_pip_finds_by_itself_for_another_platform_is_not_imported(
    tmp_path: Path, server: Server, python: Path, environ: dict[str, str]
) -> None:
    wheel = flash_attn(tmp_path / "links", "cp312-cp312-manylinux2014_aarch64", "")
    words = ("--target", tmp_path / "there", "--no-deps", "--find-links", wheel.parent)
    done = crossing(tmp_path, server, python, environ, *words, "flash-attn")
    assert done.code == 0, done.said
    assert "Successfully installed flash-attn-2.8.3" in done.stdout
    assert json.loads((tmp_path / "outcome.json").read_text())["installed"]["verified"] == "skipped"


def test_pips_refusal_of_such_options_stands(
    tmp_path: Path, server: Server, python: Path, environ: dict[str, str]
) -> None:
    done = crossing(tmp_path, server, python, environ, "flash-attn")
    assert done.code == 1, done.said
    assert "unless installing via '--target'" in done.stderr
    assert "trying" not in done.stderr
