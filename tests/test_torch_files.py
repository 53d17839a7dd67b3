"""Every flavour of torch, laid out as its makers lay it out, read without importing it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from lib.extensions import has_compiler, shared_library
from lib.venvs import make_venv, site_packages
from pipfallback.environment import probe
from pipfallback.machine import Torch
from pipfallback.torch_files import cuda_of_requires, read_torch, torch_of_metadata

# What libc10.so exports with the new and with the old C++ ABI (measured: torch 2.13.0 and a build with ABI 0).
NEW_ABI = "_ZN3c106detail14torchCheckFailEPKcS2_jRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
OLD_ABI = "_ZN3c106detail14torchCheckFailEPKcS2_jRKSs"
OLD_ERROR = "_ZN3c105ErrorC1ENS_14SourceLocationESs"  # torch 1.5, which had no torchCheckFail

OWN_ENVIRON = dict(os.environ)  # how this machine reaches a package index

needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no C compiler on this machine")


def lay_out(
    folder: Path,
    version: str,
    *,
    cuda: str | None = None,
    hip: str | None = None,
    cmake_abi: int | None = None,
    symbol: str | None = None,
    library: str = "lib/libc10.so",
) -> Path:
    """A torch package as its wheel unpacks it, as far as it is read."""
    torch = folder / "torch"
    torch.mkdir(parents=True)
    (torch / "__init__.py").write_text("raise SystemExit('torch was imported')\n")
    (torch / "version.py").write_text(
        "from typing import Optional\n\n__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip']\n"
        f"__version__ = {version!r}\ndebug = False\ncuda: Optional[str] = {cuda!r}\n"
        f"git_version = 'e2d141dbde55c2a4370fac5165b0561b6af4798b'\nhip: Optional[str] = {hip!r}\n"
    )
    if cmake_abi is not None:
        (torch / "share/cmake/Torch").mkdir(parents=True)
        flags = f'  set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI={cmake_abi}")\n'
        (torch / "share/cmake/Torch/TorchConfig.cmake").write_text(flags)
    if symbol is not None:
        file = torch / library
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(shared_library(file.name, defines=[symbol]))
    return torch


def metadata(folder: Path, version: str, *requires: str) -> Path:
    info = folder / f"torch-{version}.dist-info"
    info.mkdir(parents=True)
    headers = [
        "Metadata-Version: 2.1",
        "Name: torch",
        f"Version: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    (info / "METADATA").write_text("\n".join(headers) + "\n\nRequires-Dist: cuda-toolkit==99.0 (in the description)\n")
    return info


@pytest.mark.parametrize(
    ("flavour", "expected"),
    [
        # download.pytorch.org/whl/cu126
        ({"version": "2.7.1+cu126", "cuda": "12.6"}, Torch(version="2.7.1+cu126", cuda="12.6")),
        # PyPI up to 2.5: version.py has a label that METADATA has not
        ({"version": "2.4.1+cu121", "cuda": "12.1"}, Torch(version="2.4.1+cu121", cuda="12.1")),
        ({"version": "2.13.0+cpu"}, Torch(version="2.13.0+cpu", cpu=True)),
        # macOS and PyPI for aarch64: neither label nor CUDA
        ({"version": "2.7.1"}, Torch(version="2.7.1", cpu=True)),
        ({"version": "2.8.0+xpu"}, Torch(version="2.8.0+xpu", cpu=True)),
        (
            {"version": "2.12.0.dev20260101+cu130", "cuda": "13.0"},
            Torch(version="2.12.0.dev20260101+cu130", cuda="13.0"),
        ),
        # NVIDIA NGC: nv25.09 is the month of the container
        (
            {"version": "2.8.0a0+5228986c39.nv25.09", "cuda": "13.0"},
            Torch(version="2.8.0a0+5228986c39.nv25.09", cuda="13.0"),
        ),
        ({"version": "2.5.1.post303", "cuda": "12.6"}, Torch(version="2.5.1.post303", cuda="12.6")),  # conda-forge
        ({"version": "2.6.0+debian"}, Torch(version="2.6.0+debian", cpu=True)),
        ({"version": "2.9.0a0+git0fabc3b", "cuda": "12.8"}, Torch(version="2.9.0a0+git0fabc3b", cuda="12.8")),
        ({"version": "2.6.0+rocm6.2.4", "hip": "6.2.41134-65d174c3e"}, Torch(version="2.6.0+rocm6.2.4", rocm="6.2")),
        ({"version": "2.8.0a0+gitba56102", "hip": "6.4.43482"}, Torch(version="2.8.0a0+gitba56102", rocm="6.4")),
    ],
)
def test_version_py_names_version_and_accelerator(flavour: dict[str, Any], expected: Torch, tmp_path: Path) -> None:
    assert read_torch([lay_out(tmp_path, **flavour)], version="2.0.0", platform="linux_x86_64") == expected


def test_a_torch_that_states_rocm_itself_needs_no_hip(tmp_path: Path) -> None:
    torch = lay_out(tmp_path, "2.13.0a0+gitcf30153")
    with (torch / "version.py").open("a") as file:
        file.write("rocm: Optional[str] = '7.1.25424'\n")
    assert read_torch([torch]) == Torch(version="2.13.0a0+gitcf30153", rocm="7.1")


@pytest.mark.parametrize(("stated", "expected"), [(0, False), (1, True)])
def test_torch_config_states_the_abi(stated: int, expected: bool, tmp_path: Path) -> None:
    torch = read_torch([lay_out(tmp_path, "2.5.1+cu124", cuda="12.4", cmake_abi=stated)])
    assert torch is not None
    assert torch.cxx11_abi is expected


@needs_compiler
@pytest.mark.parametrize(
    ("symbol", "expected"), [(NEW_ABI, True), (OLD_ABI, False), (OLD_ERROR, False), ("_ZN3c107unknownEv", None)]
)
def test_without_it_the_names_in_libc10_tell(symbol: str, expected: bool | None, tmp_path: Path) -> None:
    torch = read_torch([lay_out(tmp_path, "2.14.1", cuda="13.0", symbol=symbol)])
    assert torch is not None
    assert torch.cxx11_abi is expected


@needs_compiler
def test_debian_and_conda_keep_the_libraries_elsewhere(tmp_path: Path) -> None:
    torch = lay_out(tmp_path / "dist-packages", "2.6.0+debian")
    libraries = tmp_path / "x86_64-linux-gnu"
    libraries.mkdir()
    (libraries / "libc10.so.2.6").write_bytes(shared_library("libc10.so.2.6", defines=[NEW_ABI]))
    found = read_torch([torch], libraries=[tmp_path / "absent", libraries])
    assert found == Torch(version="2.6.0+debian", cpu=True, cxx11_abi=True)


def test_a_torch_without_its_libraries_has_an_unknown_abi(tmp_path: Path) -> None:
    torch = lay_out(tmp_path, "2.14.1", cuda="13.0")
    (torch / "lib").mkdir()
    (torch / "lib/libc10.so").touch()
    assert read_torch([torch]) == Torch(version="2.14.1", cuda="13.0", cxx11_abi=None)


def test_a_half_removed_torch_is_what_its_metadata_says(tmp_path: Path) -> None:
    info = metadata(tmp_path, "2.7.1", 'nvidia-cuda-runtime-cu12==12.6.77; platform_system == "Linux"')
    assert read_torch([], version="2.7.1", metadata_folder=info, platform="linux_x86_64") == Torch(
        version="2.7.1", cuda="12.6"
    )


@pytest.mark.parametrize("content", ["", "__version__ = (", "\0", "cuda = some(call)\n"])
def test_a_broken_version_py_leaves_the_metadata(content: str, tmp_path: Path) -> None:
    torch = lay_out(tmp_path, "2.7.1", cuda="12.6")
    (torch / "version.py").write_text(content)
    assert read_torch([torch], version="2.7.1+cu128") == Torch(version="2.7.1+cu128", cuda="12.8")


def test_a_folder_that_was_left_behind_is_no_torch(tmp_path: Path) -> None:
    (tmp_path / "torch/lib").mkdir(parents=True)
    assert read_torch([tmp_path / "torch"]) is None
    assert read_torch([]) is None


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.7.1+cu126", Torch(version="2.7.1+cu126", cuda="12.6")),
        ("1.13.1+cu92", Torch(version="1.13.1+cu92", cuda="9.2")),
        ("2.1.0+cu121.with.pypi.cudnn", Torch(version="2.1.0+cu121.with.pypi.cudnn", cuda="12.1")),
        ("2.6.0+cpu.cxx11.abi", Torch(version="2.6.0+cpu.cxx11.abi", cpu=True)),
        ("2.6.0+rocm6.2.4", Torch(version="2.6.0+rocm6.2.4", rocm="6.2")),
        ("2.1.0a0+41361538.nv23.06", Torch(version="2.1.0a0+41361538.nv23.06")),
        ("2.7.1", Torch(version="2.7.1")),
        ("not a version+cu126", Torch(version="not a version+cu126", cuda="12.6")),
    ],
)
def test_a_version_alone_tells_what_its_label_says_and_no_more(version: str, expected: Torch) -> None:
    assert torch_of_metadata(version) == expected


X86 = 'platform_system == "Linux" and platform_machine == "x86_64"'


@pytest.mark.parametrize(
    ("requires", "platform", "expected"),
    [
        # Requires-Dist of the PyPI wheels of torch 2.5.1, 2.7.1, 2.14.1
        (f"nvidia-cuda-runtime-cu12 ==12.4.127 ; {X86}", "linux_x86_64", "12.4"),
        (f"nvidia-cuda-runtime-cu12==12.6.77; {X86}", "linux_x86_64", "12.6"),
        ('cuda-toolkit[cublas,cudart]==13.0.2; platform_system == "Linux"', "linux_x86_64", "13.0"),
        # the same metadata on another machine: a CPU build up to 2.10, a CUDA build from 2.11
        (f"nvidia-cuda-runtime-cu12==12.8.90; {X86}", "linux_aarch64", None),
        ('cuda-toolkit==13.0.2; platform_system == "Linux"', "linux_aarch64", "13.0"),
        (f"nvidia-cuda-runtime-cu12==12.6.77; {X86}", "win_amd64", None),
        (f"nvidia-cuda-runtime-cu12==12.6.77; {X86}", "macosx_14_0_arm64", None),
        ("nvidia-cudnn-cu12==9.5.1.17", "linux_x86_64", None),
        ("nvidia-cuda-runtime-cu12>=12.4", "linux_x86_64", None),
        ("nvidia-cuda-runtime-cu12==12.6.77; extra == 'cuda'", "linux_x86_64", None),
        ("this is no requirement ==", "linux_x86_64", None),
    ],
)
def test_cuda_follows_from_the_runtime_that_torch_requires(requires: str, platform: str, expected: str | None) -> None:
    assert cuda_of_requires(["filelock", requires], platform=platform) == expected


def test_requirements_are_read_from_the_headers_only(tmp_path: Path) -> None:
    info = metadata(tmp_path, "2.7.1", "filelock")
    assert read_torch([], version="2.7.1", metadata_folder=info) == Torch(version="2.7.1")


@pytest.mark.slow
def test_a_real_torch_says_of_itself_what_was_read(tmp_path: Path) -> None:
    wheels = sorted(Path("/opt/wheels").glob("torch-2.13.0+cpu-cp311-*.whl"))
    if not wheels or sys.version_info[:2] != (3, 11):
        pytest.skip("the wheel of torch 2.13.0+cpu for Python 3.11 is not on this machine")
    python = make_venv(tmp_path / "venv", "3.11")
    subprocess.run([python, "-m", "pip", "install", "-q", wheels[0]], env=OWN_ENVIRON, check=True)
    environment, _ = probe(python)
    ask = "import json, torch as t; v = t.version; print(json.dumps([v.__version__, v.cuda, t.compiled_with_cxx11_abi()]))"
    said = subprocess.run([python, "-c", ask], capture_output=True, check=True, text=True).stdout
    assert environment.torch is not None
    assert [environment.torch.version, environment.torch.cuda, environment.torch.cxx11_abi] == json.loads(said)
    assert environment.torch.cpu


@pytest.mark.slow
def test_the_files_of_a_real_cuda_build_say_what_it_is(tmp_path: Path) -> None:
    wheel = wheel_on_this_machine("torch==2.14.1", tmp_path)
    python = make_venv(tmp_path / "venv", "3.11")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        wanted = ("torch/__init__.py", "torch/version.py", "torch/lib/libc10.so", "/TorchConfig.cmake", "/METADATA")
        archive.extractall(site_packages(python), [name for name in names if name.endswith(wanted)])
    environment, installation = probe(python)
    assert environment.torch == Torch(version="2.14.1+cu130", cuda="13.0", cxx11_abi=True)
    assert environment.installed is not None
    assert environment.installed["torch"] == "2.14.1"
    (distribution,) = (found for found in installation.distributions if found.name == "torch")
    metadata = Path(distribution.path, "METADATA").read_text().partition("\n\n")[0]
    requires = [line.partition(": ")[2] for line in metadata.splitlines() if line.startswith("Requires-Dist:")]
    planned = torch_of_metadata(distribution.version, requires, platform="linux_x86_64")
    assert planned == Torch(version="2.14.1", cuda="13.0")


def wheel_on_this_machine(requirement: str, folder: Path) -> Path:
    """The wheel for Python 3.11 that pip would take, where it lies on a disk; it is too big to fetch."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the wheel is for Python 3.11")
    report = folder / "report.json"
    options = ["--quiet", "--dry-run", "--no-deps", "--ignore-installed", "--only-binary=:all:", "--report", report]
    command = [sys.executable, "-m", "pip", "install", "--use-feature=fast-deps", *options, requirement]
    done = subprocess.run(command, env=OWN_ENVIRON, capture_output=True, text=True, check=False)
    url = json.loads(report.read_text())["install"][0]["download_info"]["url"] if done.returncode == 0 else ""
    if not url.startswith("file:"):
        pytest.skip(f"{requirement} does not lie on this machine")
    return Path(url2pathname(urlsplit(url).path))
