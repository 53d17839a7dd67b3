"""Fixed points: what a run of pip must leave as it is, from what is really installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lib.torch import make_torch
from lib.venvs import isolated_environ, make_venv
from lib.wheels import make_wheel
from pipfallback.installed import Installed, installed_in
from pipfallback.pins import constraints, moved, torch_family

TORCH_NEEDS = (
    "filelock",
    "nvidia-cuda-runtime-cu12==12.6.77; platform_system == 'Linux'",
    "nvidia_cublas_cu12 (==12.6.4.1)",
    "triton==3.3.1",
    "nvidia-nccl-cu12==2.26",
    "this is no requirement",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Installed]:
    folder = tmp_path_factory.mktemp("pins")
    names = ("filelock", "nvidia-cuda-runtime-cu12", "nvidia-cublas-cu12", "triton", "torchvision", "nvidia-other")
    wheels = [make_wheel(folder, name, "1.0") for name in names]
    wheels.append(make_torch(folder, "2.7.1+cu126", requires=TORCH_NEEDS[:-1]))
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", folder / "there"]
    subprocess.run([*command, *wheels], check=True, env=isolated_environ(folder), timeout=120)
    return installed_in([str(folder / "there")])


def test_the_family_of_torch_is_its_companions_and_what_its_metadata_requires_of_cuda(
    installed: Mapping[str, Installed],
) -> None:
    assert torch_family(installed) == {
        "torch",
        "torchvision",
        "triton",
        "nvidia-cuda-runtime-cu12",
        "nvidia-cublas-cu12",  # not nvidia-nccl-cu12: it is not installed; not nvidia-other: torch does not need it
    }


def test_without_torch_there_is_no_family(installed: Mapping[str, Installed]) -> None:
    assert torch_family({name: one for name, one in installed.items() if name != "torch"}) == frozenset()
    assert torch_family({}) == frozenset()


def test_metadata_that_cannot_be_read_leaves_the_companions(installed: Mapping[str, Installed], tmp_path: Path) -> None:
    gone = {**installed, "torch": replace(installed["torch"], info=tmp_path / "gone")}
    assert torch_family(gone) == {"torch", "torchvision", "triton"}
    odd = tmp_path / "torch-2.7.1.dist-info"
    odd.mkdir()
    lines = [f"Requires-Dist: {text}" for text in TORCH_NEEDS]
    body = "\n\nRequires-Dist: nvidia-other\n"
    (odd / "METADATA").write_bytes("\n".join(["Name: torch", *lines]).encode() + b"\nAuthor: \xff" + body.encode())
    assert "nvidia-cuda-runtime-cu12" in torch_family({**installed, "torch": replace(installed["torch"], info=odd)})
    assert "nvidia-other" not in torch_family({**installed, "torch": replace(installed["torch"], info=odd)})


def test_pins_hold_what_is_installed_against_pip(installed: Mapping[str, Installed], tmp_path: Path) -> None:
    file = tmp_path / "pins.txt"
    words = constraints(installed, ["torch", "triton", "torch"], file)
    assert words == ("--constraint", str(file))
    assert file.read_text() == "torch==2.7.1+cu126\ntriton==1.0\n"
    python = make_venv(tmp_path / "venv")
    wants = make_wheel(tmp_path, "wants", "1.0", requires=("torch==2.8.0",))
    links = tmp_path / "links"
    make_torch(links, "2.8.0")
    command = [python, "-m", "pip", "install", "--no-index", "--find-links", links, *words, wants]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=isolated_environ(tmp_path))
    assert done.returncode == 1
    assert "torch==2.7.1+cu126" in done.stdout + done.stderr


def test_what_pep_440_does_not_know_is_not_pinned(installed: Mapping[str, Installed], tmp_path: Path) -> None:
    odd = {**installed, "triton": replace(installed["triton"], version="3.0-custom-build")}
    file = tmp_path / "pins.txt"
    assert constraints(odd, ["triton"], file) == ()
    assert constraints(odd, [], file) == ()
    assert not file.exists()
    assert constraints(odd, ["torch", "triton"], file)
    assert file.read_text() == "torch==2.7.1+cu126\n"


def test_what_moved_is_told(installed: Mapping[str, Installed]) -> None:
    after = {
        **installed,
        "torch": replace(installed["torch"], version="2.8.0"),
        "filelock": replace(installed["filelock"], version="2"),
    }
    del after["triton"]
    names = ["torch", "triton", "torchvision", "new"]
    assert moved(installed, after, names) == ("torch 2.7.1+cu126 -> 2.8.0", "triton 1.0 -> removed")
    assert moved(installed, installed, installed) == ()
