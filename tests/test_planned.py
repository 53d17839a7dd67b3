"""Which torch will be there: pip's own dry run, by several pips, against a loopback index."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from lib.catalogs import silenced
from lib.program import Completed, run, run_pipfallback
from lib.server import Server, fail
from lib.torch import make_torch
from lib.trees import changes, tree
from lib.venvs import isolated_environ, make_venv, native_tag
from lib.wheels import make_wheel
from pipfallback.arguments import parse
from pipfallback.asks import read_asks
from pipfallback.environment import Torch, probe
from pipfallback.planned import Foresight, foresee

# Requires-Dist of torch 2.7.1 on PyPI, as far as it tells CUDA.
PYPI_TORCH = ('nvidia-cuda-runtime-cu12==12.6.77; platform_system == "Linux" and platform_machine == "x86_64"',)


@pytest.fixture
def index(server: Server) -> Server:
    """Torches with and without a label, a package that needs one, and one that does not."""
    make_torch(server.folder, "2.7.1", requires=PYPI_TORCH)
    make_torch(server.folder, "2.8.0+cu128")
    make_wheel(server.folder, "nvidia_cuda_runtime_cu12", "12.6.77", files={"runtime.py": ""})
    make_wheel(server.folder, "engine", "1.0", files={"engine.py": ""}, requires=("torch==2.8.0",))
    make_wheel(server.folder, "einops", "0.8", files={"einops.py": ""})
    return server


def foreseen(python: Path, index: Server, *words: str, without: tuple[str, ...] = ()) -> Foresight:
    environment, installation = probe(python)
    command = parse(["install", "--index-url", f"{index.url}/simple/", "--no-cache-dir", *words], {})
    return foresee(read_asks(command), environment=environment, installation=installation, without=without)


@pytest.mark.parametrize("pip", ["22.3.1", "25.0.1", "26.3", None])
def test_a_torch_without_a_label_has_the_cuda_that_it_requires(pip: str | None, tmp_path: Path, index: Server) -> None:
    python = make_venv(tmp_path / "venv", pip=pip)
    before = tree(tmp_path / "venv")
    seen = foreseen(python, index, "torch==2.7.1", "flash-attn", without=("flash-attn",))
    assert seen.environment.torch == Torch(version="2.7.1", cuda="12.6")
    assert seen.brings_torch
    assert seen.environment.origins["torch"] == "planned"
    assert seen.environment.origins["torch.cxx11_abi"] == "unknown"
    assert (seen.environment.installed or {})["nvidia-cuda-runtime-cu12"] == "12.6.77"
    assert seen.in_words() == "this command installs torch 2.7.1 with CUDA 12.6; builds are judged by that"
    assert changes(before, tree(tmp_path / "venv")) == []


def test_the_newest_pip_fetches_no_wheel(tmp_path: Path, index: Server) -> None:
    big = make_torch(index.folder, "2.9.0", files={"torch/big.bin": os.urandom(4_000_000)})
    seen = foreseen(make_venv(tmp_path / "venv", pip="23.2.1"), index, "torch==2.9.0")  # ours is newer
    assert seen.environment.torch == Torch(version="2.9.0")
    assert seen.environment.origins["torch.cuda"] == "unknown"
    assert sum(one.sent for one in index.requests_of(f"/{big.name}")) < 100_000


def test_torch_as_a_dependency_of_another_requirement_is_seen(tmp_path: Path, index: Server) -> None:
    seen = foreseen(make_venv(tmp_path / "venv"), index, "engine")
    assert seen.environment.torch == Torch(version="2.8.0+cu128", cuda="12.8")
    assert seen.in_words() == "this command installs torch 2.8.0+cu128; builds are judged by that"


def test_what_is_there_already_stays_as_it_was_found(tmp_path: Path, index: Server) -> None:
    python = make_venv(tmp_path / "venv")
    done = run(
        [python, "-m", "pip", "install", "--no-index", "--no-deps", make_torch(tmp_path)],
        env=isolated_environ(tmp_path),
    )
    assert done.code == 0, done.said
    seen = foreseen(python, index, "torch>=2.7,<2.8", "einops")
    assert seen.environment.torch == Torch(version="2.7.1+cu126", cuda="12.6", cxx11_abi=True)
    assert not seen.brings_torch
    assert seen.in_words() is None
    assert "einops" not in (seen.environment.installed or {}), "beside a build pip may choose another"
    changed = foreseen(python, index, "torch==2.8.0")
    assert changed.environment.torch == Torch(version="2.8.0+cu128", cuda="12.8")
    assert changed.environment.origins["torch"] == "planned"


def test_a_pip_that_cannot_report_is_replaced_by_ours(tmp_path: Path, index: Server) -> None:
    seen = foreseen(make_venv(tmp_path / "venv", pip="21.3.1"), index, "torch==2.7.1")
    assert seen.environment.torch == Torch(version="2.7.1", cuda="12.6")


def test_where_ours_does_not_serve_that_python_torch_is_unknown_and_that_is_said(tmp_path: Path, index: Server) -> None:
    seen = foreseen(make_venv(tmp_path / "venv", "3.8", pip="21.3.1"), index, "torch==2.7.1")
    assert (seen.environment.torch, seen.environment.origins["torch"]) == (None, "unknown")
    assert seen.brings_torch
    expected = "which torch will be there is not known: pip 21.3.1 cannot say what it would install (pip 22.2 can)"
    assert seen.in_words() == expected
    unnamed = foreseen(make_venv(tmp_path / "other", "3.8", pip="21.3.1"), index, "einops")
    assert unnamed.environment.origins["torch"] == "found"
    assert not unnamed.brings_torch


def test_what_pip_cannot_have_is_told_in_its_words(
    tmp_path: Path, index: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = foreseen(make_venv(tmp_path / "venv"), index, "torch==99")
    assert seen.environment.origins["torch"] == "unknown"
    assert seen.failure is not None
    assert "torch==99" in str(seen.in_words())
    assert capfd.readouterr() == ("", "")


def test_the_users_report_and_log_are_not_written(tmp_path: Path, index: Server) -> None:
    report, log = tmp_path / "report.json", tmp_path / "log.txt"
    words = ("--report", str(report), "--log", str(log), "--dry-run", "-v", "torch==2.7.1")
    assert foreseen(make_venv(tmp_path / "venv"), index, *words).brings_torch
    assert not report.exists()
    assert not log.exists()


class Scene:
    """A venv, an index, and a fallbacks.toml that names flash_attn wheels of the server."""

    def __init__(self, folder: Path, index: Server, environ: Mapping[str, str]) -> None:
        self.folder, self.index, self.environ = folder, index, environ
        self.python = make_venv(folder / "venv")

    def catalog(self, *labels: str) -> None:
        tag = native_tag(self.python)
        wheels = [
            make_wheel(
                self.index.folder / "builds",
                "flash_attn",
                filename_version=f"2.8.3{label}",
                tag=tag,
                files={"flash_attn/__init__.py": f"import torch\nLABEL = {label!r}\n", "flash_attn_2_cuda.py": ""},
            )
            for label in labels
        ]
        urls = [self.index.url_of(wheel) for wheel in wheels]
        sources = "".join(
            f'[[package.flash-attn.source]]\nname = "{name}"\ntrust = "{trust}"\nkind = "url"\nurl = {json.dumps(listed)}\n'
            for name, trust, listed in (("builds", "vendor", urls),)
        )
        head = 'schema = 1\n[package.flash-attn]\nimport = ["flash_attn"]\nneeds = ["torch"]\n'
        (self.folder / "builds.toml").write_text(head + sources + silenced("flash-attn", self.index.url))

    def run(self, command: str, *words: str | Path) -> Completed:
        where = ("--fallbacks", self.folder / "builds.toml", "--index-url", f"{self.index.url}/simple/")
        return run_pipfallback([command, *where, *words], python=self.python, cwd=self.folder, env=self.environ)


@pytest.fixture
def scene(tmp_path: Path, server: Server, environ: dict[str, str]) -> Scene:
    # pip itself finds no flash-attn, whatever builds lie on the server.
    version = "__version__ = '2.7.1'\ncuda = '12.6'\nhip = None\n"
    make_torch(server.folder, "2.7.1", requires=PYPI_TORCH, files={"torch/version.py": version})
    make_torch(server.folder, "2.8.0+cu128")
    make_wheel(server.folder, "nvidia_cuda_runtime_cu12", "12.6.77", files={"runtime.py": ""})
    server.answer("/simple/flash-attn/", fail(404))
    return Scene(tmp_path, server, environ)


def test_plan_judges_by_the_torch_that_the_command_would_bring(scene: Scene) -> None:
    scene.catalog("+cu126torch2.7", "+cu128torch2.8")
    before = tree(scene.folder / "venv")
    for torch, first in (("torch==2.7.1", "cu126torch2.7"), ("torch", "cu128torch2.8")):
        done = scene.run("plan", "--json", torch, "flash-attn")
        assert done.code == 0, done.said
        decisions = json.loads(done.stdout)["decisions"]
        assert [first in decision["filename"] for decision in decisions if decision["accepted"]] == [True]
    human = scene.run("plan", "torch==2.7.1", "flash-attn")
    assert "1 build fits CPython 3.11, torch 2.7.1 with CUDA 12.6" in human.stdout
    assert human.stderr == "pipfallback: this command installs torch 2.7.1 with CUDA 12.6; builds are judged by that\n"
    assert changes(before, tree(scene.folder / "venv")) == []


def test_a_dry_run_shows_the_build_for_the_torch_that_would_come(scene: Scene) -> None:
    scene.catalog("+cu126torch2.7", "+cu128torch2.8")
    before = tree(scene.folder / "venv")
    done = scene.run("install", "--dry-run", "torch==2.7.1", "flash-attn")
    assert done.code == 0, done.said
    assert "would try flash_attn-2.8.3+cu126torch2.7-" in done.stderr
    assert changes(before, tree(scene.folder / "venv")) == []


def test_where_nothing_fits_the_torch_that_would_come_it_is_not_even_installed(scene: Scene) -> None:
    scene.catalog("+cu128torch2.8")
    done = scene.run("install", "torch==2.7.1", "flash-attn")
    assert done.code == 1, done.said
    assert "no build fits this environment" in done.stderr
    assert "built for torch 2.8; torch here is 2.7.1" in done.stderr
    assert "Successfully installed" not in done.stdout


def test_the_build_is_the_one_for_the_torch_that_came(scene: Scene) -> None:
    scene.catalog("+cu126torch2.7", "+cu128torch2.8")
    done = scene.run("install", "torch==2.7.1", "flash-attn")
    assert done.code == 0, done.said
    label = run([scene.python, "-c", "import flash_attn; print(flash_attn.LABEL)"], env=scene.environ)
    assert label.stdout.strip() == "+cu126torch2.7"


@pytest.mark.slow
def test_plan_with_torch_from_pypi_knows_its_cuda(tmp_path: Path) -> None:
    done = run_pipfallback(
        ["plan", "torch==2.7.1", "flash-attn"], python=make_venv(tmp_path / "venv"), env=dict(os.environ), timeout=300
    )
    if "Could not fetch URL" in done.stderr or "not known" in done.stderr:
        pytest.skip("PyPI cannot be reached")
    assert "torch 2.7.1 with CUDA 12.6" in done.stdout
    assert done.code == 0, done.said
