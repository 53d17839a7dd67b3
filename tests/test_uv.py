"""The story of an install told with uv: a real uv, real environments, real wheels, a loopback server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib.program import Completed, run, run_pipfallback
from lib.scene import Scene
from lib.server import Answer, Server
from lib.torch import make_torch
from lib.trees import Tree, changes, tree
from lib.wheels import make_wheel, sha256
from pipfallback.uv import UvError, find_uv

UV = Path(sys.executable).with_name("uv")


def installed_tree(scene: Scene) -> Tree:
    """The environment, less the file that every uv makes there to lock it, even to look."""
    return {path: entry for path, entry in tree(scene.prefix).items() if path != ".lock"}


def install(scene: Scene, *words: str | Path, **settings: str) -> Completed:
    return scene.install("--installer", "uv", *words, **settings)


def test_what_works_at_once_is_uvs_own_install(scene: Scene) -> None:
    wheel = scene.wheel("+cu126torch2.7")
    scene.catalog(wheel)
    done = install(scene, scene.server.url_of(wheel))
    assert done.code == 0, done.said
    lines = [line.partition(" in ")[0] for line in done.stderr.splitlines()]
    assert lines[1:4] == ["Resolved 1 package", "Prepared 1 package", "Installed 1 package"]
    assert lines[4].startswith(" + flash-attn==2.8.3")
    assert len(lines) == 5
    assert done.stdout == ""
    assert scene.label() == "+cu126torch2.7"
    assert scene.outcome()["status"] == "primary"
    assert (scene.site / "flash_attn-2.8.3.dist-info" / "INSTALLER").read_text() == "uv"


def test_a_refused_wheel_leads_over_a_broken_one_to_one_that_works(scene: Scene) -> None:
    asked = scene.wheel("+cu12torch2.7cxx11abiFALSE", foreign=True)
    broken = scene.wheel("+cu12torch2.7cxx11abiTRUE", broken=True)
    works = scene.wheel("+cu126torch2.7", version="2.8.2")
    scene.catalog(broken, works)
    done = install(scene, scene.server.url_of(asked))
    assert done.code == 0, done.said
    assert "undefined symbol" in done.stderr
    assert scene.label() == "+cu126torch2.7"
    assert scene.outcome()["status"] == "fallback"
    assert scene.outcome()["installed"]["url"] == scene.server.url_of(works)
    assert [(each["stage"], each["ok"]) for each in scene.outcome()["attempts"]] == [
        ("verify", False),
        ("verify", True),
    ]


def test_builds_that_do_not_import_leave_everything_as_it_was(scene: Scene) -> None:
    older = scene.wheel(
        "+cu12torch2.7cxx11abiTRUE", version="2.7.4.post1", folder="old", commands={"fa": "flash_attn:x"}
    )
    assert scene.pip("install", "--no-index", older).code == 0
    (scene.site / "flash_attn" / "of_the_user.txt").write_text("not in RECORD\n")
    (scene.site / "flash_attn").chmod(0o750)
    needed = make_wheel(scene.server.folder / "links", "einops", "0.8", commands={"einops": "einops:x"})
    broken = [
        scene.wheel(f"+cu12torch2.7{label}", broken=True, requires=["einops"], commands={"fa": "flash_attn:x"})
        for label in ("cxx11abiTRUE", "")
    ]
    scene.catalog(*broken)
    before = installed_tree(scene)
    done = install(scene, "--find-links", needed.parent, scene.server.url_of(broken[0]))
    assert done.code == 1, done.said
    assert "none of the builds that were tried works" in done.stderr
    assert changes(before, installed_tree(scene)) == []
    assert scene.label() == "+cu12torch2.7cxx11abiTRUE"
    assert not list(scene.prefix.rglob(".pipfallback-*"))


def test_a_build_of_the_same_metadata_version_replaces_a_broken_one(scene: Scene) -> None:
    broken = scene.wheel("+cu12torch2.7cxx11abiFALSE", broken=True, folder="a")
    works = scene.wheel("+cu12torch2.7cxx11abiTRUE", folder="b")
    assert scene.pip("install", "--no-index", broken).code == 0
    scene.catalog(works)
    done = install(scene, "flash-attn")
    assert done.code == 0, done.said
    assert scene.label() == "+cu12torch2.7cxx11abiTRUE"


def test_a_wheel_that_is_gone_is_replaced_by_the_next(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7")
    scene.catalog(works)
    gone = scene.server.url_of(works).replace("2.8.3", "2.9.9")
    done = install(scene, gone)
    assert done.code == 0, done.said
    assert scene.outcome()["requests"][0]["primary"]["cause"] == "not-found"
    assert "2.9.9" in done.stderr
    assert scene.label() == "+cu126torch2.7"


def test_a_hash_behind_a_url_is_kept_and_checked(scene: Scene) -> None:
    wheel = scene.wheel("+cu126torch2.7")
    scene.catalog()
    url = scene.server.url_of(wheel)
    right = install(scene, f"{url}#sha256={sha256(wheel)}")
    assert right.code == 0, right.said
    assert scene.outcome()["status"] == "primary"
    wrong = install(scene, "--force-reinstall", f"{url}#sha256={'0' * 64}")
    assert wrong.code != 0
    assert scene.outcome()["requests"][0]["primary"]["cause"] == "hash-mismatch"


def test_what_other_packages_own_comes_back_where_a_wheel_had_overwritten_it(scene: Scene) -> None:
    shared = {"nvidia/__init__.py": "# the first\n", "nvidia/first.py": ""}
    first = make_wheel(scene.server.folder / "links", "nvidia-first", "1.0", files=shared)
    assert scene.pip("install", "--no-index", first).code == 0
    second = {"nvidia/__init__.py": "# the second\n", "nvidia/second.py": "", "alone.py": ""}
    make_wheel(scene.server.folder / "links", "nvidia-second", "1.0", files=second, data={"data/etc/second": "x"})
    broken = scene.wheel("+cu126torch2.7", broken=True, requires=["nvidia-second"])
    scene.catalog()
    before = tree(scene.prefix)
    done = install(scene, "--find-links", first.parent, scene.server.url_of(broken))
    assert done.code == 1, done.said
    assert changes(before, tree(scene.prefix)) == []
    assert (scene.site / "nvidia" / "__init__.py").read_text() == "# the first\n"


def test_modules_without_a_folder_lose_and_regain_the_bytecode_of_their_neighbours(scene: Scene) -> None:
    links = scene.server.folder / "links"
    old = make_wheel(links, "dep", "1.0", files={"dep.py": "V = 1\n"})
    neighbour = make_wheel(links, "neighbour", "1.0", files={"neighbour.py": "V = 1\n"})
    make_wheel(links, "dep", "2.0", files={"dep.py": "V = 2\n"})
    assert scene.pip("install", "--no-index", "--compile", old, neighbour).code == 0
    assert (scene.site / "__pycache__").is_dir()
    broken = scene.wheel("+cu126torch2.7", broken=True)
    scene.catalog()
    before = tree(scene.prefix)
    done = install(scene, "--find-links", links, "dep==2.0", scene.server.url_of(broken))
    assert done.code == 1, done.said
    assert "dep==2.0" in done.stderr
    assert changes(before, tree(scene.prefix)) == []


@pytest.mark.parametrize("place", ["--target", "--prefix"])
def test_a_separate_folder_gets_the_build_that_works(scene: Scene, place: str) -> None:
    broken = scene.wheel("+cu12torch2.7cxx11abiTRUE", broken=True)
    scene.catalog(scene.wheel("+cu126torch2.7", version="2.8.2"))
    there = scene.folder / "there"
    before = tree(scene.prefix)
    done = install(scene, place, there, scene.server.url_of(broken))
    assert done.code == 0, done.said
    labels = [path.read_text() for path in there.rglob("flash_attn/label.py")]
    assert labels == ["LABEL = '+cu126torch2.7'\n"]
    assert changes(before, tree(scene.prefix)) == []
    again = scene.wheel("+cu128torch2.7", broken=True, version="2.8.1")
    scene.catalog()
    then = tree(there)
    assert install(scene, place, there, scene.server.url_of(again)).code == 1
    assert changes(then, tree(there)) == []


@pytest.mark.parametrize("how", ["group", "parent"])
def test_killed_in_the_middle_the_next_run_finds_everything_as_it_was(scene: Scene, how: str) -> None:
    older = scene.wheel("+cu12torch2.7cxx11abiTRUE", version="2.7.4.post1", folder="old")
    assert scene.pip("install", "--no-index", older).code == 0
    many = {f"flash_attn/part{number // 100}/m{number}.py": f"# {number}\n" for number in range(4000)}
    wheel = make_wheel(
        scene.server.folder,
        "flash_attn",
        "2.8.3",
        filename_version="2.8.3+cu126torch2.7",
        files={**many, "flash_attn/__init__.py": "import time\ntime.sleep(600)\n"},
    )
    scene.catalog()
    before = tree(scene.prefix)
    words = ["install", "--installer", "uv", "--no-index", "--fallbacks", str(scene.folder / "builds.toml")]
    command = [sys.executable, "-m", "pipfallback", *words, "--python", str(scene.python), scene.server.url_of(wheel)]
    environ = {**scene.environ, "UV_LINK_MODE": "copy"}
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while not (scene.site / "flash_attn" / "part0").exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        if how == "group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert changes(before, tree(scene.prefix)) != []
    done = run_pipfallback(["env"], python=scene.python, env=scene.environ)
    assert "an interrupted run had changed" in done.stderr, done.said
    assert changes(before, tree(scene.prefix)) == []
    assert scene.label() == "+cu12torch2.7cxx11abiTRUE"


def test_interrupted_by_the_user_everything_is_as_it_was(scene: Scene) -> None:
    wheel = scene.wheel("+cu126torch2.7")
    scene.server.answer("/v/" + wheel.name, *[Answer(stall_at=1000, ranges=False)] * 5)
    scene.catalog()
    before = tree(scene.prefix)
    words = ["install", "--installer", "uv", "--no-index", "--fallbacks", str(scene.folder / "builds.toml")]
    command = [sys.executable, "-m", "pipfallback", *words, "--python", str(scene.python), scene.server.url_of(wheel)]
    with subprocess.Popen(command, env=scene.environ, stderr=subprocess.PIPE, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while not scene.server.requests and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert changes(before, tree(scene.prefix)) == []


def test_an_option_that_uv_lacks_is_a_usage_error_that_names_it(scene: Scene) -> None:
    scene.catalog(scene.wheel("+cu126torch2.7"))
    before = tree(scene.prefix)
    done = install(scene, "--report", "report.json", "flash-attn")
    assert done.code == 2, done.said
    assert "error: --installer uv: uv has no --report" in done.stderr
    assert "hint: --installer pip" in done.stderr
    assert changes(before, tree(scene.prefix)) == []


def test_a_managed_package_that_only_a_dependency_brings_falls_back(scene: Scene) -> None:
    links = scene.server.folder / "links"
    scene.wheel("+cu12torch2.7cxx11abiTRUE", broken=True, folder="links", version="2.8.3")
    make_wheel(links, "needs-it", "1.0", requires=["flash-attn"])
    scene.catalog(scene.wheel("+cu126torch2.7", version="2.8.2"))
    done = install(scene, "--find-links", links, "needs-it")
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"


def test_what_the_catalog_does_not_know_becomes_uv(scene: Scene) -> None:
    scene.catalog()
    links = scene.server.folder / "links"
    make_wheel(links, "plain", "1.0")
    done = install(scene, "--find-links", links, "plain")
    assert done.code == 0, done.said
    assert " + plain==1.0" in done.stderr
    assert (scene.site / "plain-1.0.dist-info" / "INSTALLER").read_text() == "uv"
    assert install(scene, "absent").code == 1


def test_dry_run_shows_what_uv_would_do_and_changes_nothing(scene: Scene) -> None:
    scene.catalog(scene.wheel("+cu126torch2.7"))
    wheel = scene.wheel("+cu12torch2.7cxx11abiTRUE")
    before = installed_tree(scene)
    done = install(scene, "--dry-run", scene.server.url_of(wheel))
    assert done.code == 0, done.said
    assert "Would install 1 package" in done.stderr
    assert changes(before, installed_tree(scene)) == []


def uv_scene(tmp_path: Path, server: Server, environ: dict[str, str]) -> Scene:
    """An environment that uv made, without pip."""
    scene = Scene(tmp_path, server, environ, None, "26.3")
    made = run([UV, "venv", "--clear", "--python", sys.executable, scene.prefix], env=environ)
    assert made.code == 0, made.said
    torch = make_torch(tmp_path / "torch", "2.7.1+cu126")
    assert run([UV, "pip", "install", "--python", scene.python, "--no-index", torch], env=environ).code == 0
    return scene


def test_an_environment_of_uv_without_pip_is_served_by_uv(
    tmp_path: Path, server: Server, environ: dict[str, str]
) -> None:
    scene = uv_scene(tmp_path, server, environ)
    broken = scene.wheel("+cu12torch2.7cxx11abiTRUE", broken=True)
    scene.catalog(scene.wheel("+cu126torch2.7", version="2.8.2"))
    path = f"{UV.parent}{os.pathsep}{scene.environ['PATH']}"
    done = scene.install(scene.server.url_of(broken), PATH=path)
    assert done.code == 0, done.said
    assert done.stderr.count("uv made this environment: installing with uv") == 1
    assert scene.label() == "+cu126torch2.7"
    assert (scene.site / "flash_attn-2.8.2.dist-info" / "INSTALLER").read_text() == "uv"


def test_there_pip_is_used_where_it_is_named(tmp_path: Path, server: Server, environ: dict[str, str]) -> None:
    scene = uv_scene(tmp_path, server, environ)
    scene.catalog(scene.wheel("+cu126torch2.7"))
    done = scene.install("--installer", "pip", "flash-attn")
    assert done.code == 0, done.said
    assert (scene.site / "flash_attn-2.8.3.dist-info" / "INSTALLER").read_text().strip() == "pip"


def test_what_uv_does_not_do_stays_pips(tmp_path: Path, server: Server, environ: dict[str, str]) -> None:
    scene = uv_scene(tmp_path, server, environ)
    wheel = make_wheel(tmp_path / "links", "plain", "1.0")
    words = ["download", "--no-index", "--dest", tmp_path / "here", wheel]
    done = run_pipfallback(words, python=scene.python, env=environ)
    assert done.code == 0, done.said
    assert (tmp_path / "here" / wheel.name).exists()
    scene.catalog(scene.wheel("+cu126torch2.7"))
    managed = ["download", "--no-index", "--fallbacks", tmp_path / "builds.toml", "--dest", tmp_path / "here"]
    fallen_back = run_pipfallback([*managed, "flash-attn"], python=scene.python, env=environ)
    assert fallen_back.code == 0, fallen_back.said
    assert list((tmp_path / "here").glob("flash_attn-*.whl"))
    refused = run_pipfallback([*words, "--installer", "uv"], python=scene.python, env=environ)
    assert refused.code == 2, refused.said
    assert "uv has no pip download" in refused.stderr


def test_where_there_is_no_uv_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(UvError) as caught:
        find_uv({"PATH": str(tmp_path)})
    assert "there is no uv" in caught.value.message
    assert "pip install uv" in caught.value.hints


def test_a_uv_that_is_too_old_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "uv"
    old.write_text("#!/bin/sh\necho 'uv 0.1.44 (abc 2024-05-14)'\n")
    old.chmod(0o755)
    with pytest.raises(UvError) as caught:
        find_uv({"UV": str(old)})
    assert "is uv 0.1.44; --installer uv needs 0.9 or newer" in caught.value.message


def test_the_uv_that_runs_us_counts_before_the_one_on_path(tmp_path: Path) -> None:
    named = tmp_path / "uv"
    named.symlink_to(UV)
    assert find_uv({"UV": str(named), "PATH": str(UV.parent)}) == str(named)
    assert find_uv({"PATH": str(UV.parent)}) == str(UV)
    assert find_uv({"PATH": ""}) == str(UV)


def test_a_lock_with_a_managed_package_is_installed(scene: Scene) -> None:
    wheel = scene.wheel("+cu126torch2.7")
    scene.catalog()
    (scene.folder / "pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "flash-attn"\n'
        f'[packages.archive]\nurl = "{scene.server.url_of(wheel)}"\nhashes = {{sha256 = "{sha256(wheel)}"}}\n'
    )
    done = install(scene, "-r", "pylock.toml")
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"
    assert scene.outcome()["installed"]["verified"] == "imports"


@pytest.mark.parametrize("setting", ["PIP_NO_DEPS", "PIP_PRE", "PIP_NO_INDEX"])
def test_a_flag_may_be_said_twice(scene: Scene, setting: str) -> None:
    wheel = scene.wheel("+cu126torch2.7")
    scene.catalog()
    option = "--" + setting.removeprefix("PIP_").lower().replace("_", "-")
    done = install(scene, option, option, scene.server.url_of(wheel), **{setting: "1"})
    assert done.code == 0, done.said
