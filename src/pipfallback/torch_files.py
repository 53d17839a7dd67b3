"""A torch that is installed: what its files and its metadata say, without importing it (that takes 4 s).

``torch/version.py`` names the version, CUDA and ROCm; ``TorchConfig.cmake`` or what ``libc10.so`` exports the C++ ABI.
"""

from __future__ import annotations

import ast
import mmap
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pipfallback.machine import Torch

# Where one of these stands in a library, torch was built with that C++ ABI. torchCheckFail takes a std::string since
# torch 1.8, c10::Error's constructor before (names measured in torch 2.13 and in facts/binaries.md).
_NEW_ABI = (
    b"torchCheckFailEPKcS2_jRKNSt7__cxx1112basic_string",
    b"ErrorC1ENS_14SourceLocationENSt7__cxx1112basic_string",
)
_OLD_ABI = (b"torchCheckFailEPKcS2_jRKSs\0", b"ErrorC1ENS_14SourceLocationESs\0")
_CMAKE_ABI = re.compile(r"_GLIBCXX_USE_CXX11_ABI=([01])")
_CMAKE_FILE = "share/cmake/Torch/TorchConfig.cmake"
# libtorch_python.so does not define these functions but calls them: its names tell the same where libc10 lies elsewhere.
_LIBRARIES = ("libc10.so", "libtorch_python.so")

_CUDA_LABEL = re.compile(r"cu(\d{2,3})")
_ROCM_LABEL = re.compile(r"rocm(\d+\.\d+)")
# Distributions that carry the CUDA runtime and have its version: Requires-Dist of torch on PyPI.
_REQUIRES = re.compile(r"^Requires-Dist:[ \t]*(\S.*?)[ \t\r]*$", re.MULTILINE)
_CUDA_RUNTIMES = re.compile(r"nvidia-cuda-runtime(?:-cu\d+)?|cuda-toolkit")


def read_torch(
    folders: Sequence[str | Path],
    *,
    version: str | None = None,
    metadata_folder: str | Path | None = None,
    libraries: Sequence[str | Path] = (),
    platform: str = "",
) -> Torch | None:
    """The torch of an environment.

    ``folders``: where ``import torch`` finds the package. ``version`` and ``metadata_folder``: those of the installed
    distribution, if there is one. ``libraries``: folders besides torch/lib that may hold its libraries (conda, Debian).
    ``platform``: as wheels name it. None: neither a package with a version nor a distribution is there.
    """
    stated = next((stated for folder in folders if (stated := _version_file(Path(folder)))), {})
    named = _text(stated, "__version__") or version
    if named is None:
        return None
    metadata = _read(Path(metadata_folder) / "METADATA") if metadata_folder else ""
    headers = metadata.partition("\n\n")[0]
    labelled = torch_of_metadata(named, _REQUIRES.findall(headers), platform=platform)
    abi = cxx11_abi_of(folders, libraries)
    if "cuda" not in stated:
        return replace(labelled, cxx11_abi=abi)
    # HIP's version begins with that of its ROCm; torch states ROCm itself since 2.13.
    rocm = labelled.rocm or minor_of(_text(stated, "rocm")) or minor_of(_text(stated, "hip"))
    cuda = minor_of(_text(stated, "cuda")) if rocm is None else None
    return Torch(version=named, cuda=cuda, rocm=rocm, cxx11_abi=abi, cpu=not cuda and not rocm)


def torch_of_metadata(version: str, requires: Iterable[str] = (), *, platform: str = "") -> Torch:
    """What a version and its Requires-Dist tell: the label (+cu126, +rocm6.2.4, +cpu), else the CUDA runtime it needs.

    A wheel from PyPI has no label; what it requires counts as far as its markers fit ``platform`` ("linux_x86_64").
    """
    local = label_of(version)
    cuda, rocm = _CUDA_LABEL.match(local), _ROCM_LABEL.match(local)
    if cuda:
        return Torch(version=version, cuda=f"{cuda[1][:-1]}.{cuda[1][-1]}")
    if rocm:
        return Torch(version=version, rocm=rocm[1])
    if local.split(".")[0] in {"cpu", "xpu"}:
        return Torch(version=version, cpu=True)
    return Torch(version=version, cuda=None if local else cuda_of_requires(requires, platform=platform))


def label_of(version: str) -> str:
    """The local part of a version ("cu126"), "" where there is none (PEP 440)."""
    try:
        return Version(version).local or ""
    except InvalidVersion:
        return version.partition("+")[2].lower()


def cuda_of_requires(requires: Iterable[str], *, platform: str = "") -> str | None:
    """CUDA as major.minor from requirements such as ``nvidia-cuda-runtime-cu12==12.6.77``, ``cuda-toolkit==13.0.2``.

    Requirements with markers of another ``platform`` do not count: up to torch 2.10 the same metadata stands in the
    wheel for aarch64, which is a CPU build.
    """
    for line in requires:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if _CUDA_RUNTIMES.fullmatch(canonicalize_name(requirement.name)) and _applies(requirement, platform):
            for specifier in requirement.specifier:
                if specifier.operator == "==":
                    return minor_of(specifier.version)
    return None


def _applies(requirement: Requirement, platform: str) -> bool:
    if requirement.marker is None or not platform:
        return requirement.marker is None or "extra" not in str(requirement.marker)
    system, _, machine = platform.partition("_")
    systems = {"win": "Windows", "macosx": "Darwin"}
    return requirement.marker.evaluate(
        {
            "platform_system": systems.get(system, "Linux"),
            "sys_platform": {"win": "win32", "macosx": "darwin"}.get(system, "linux"),
            "platform_machine": "x86_64" if machine.endswith("x86_64") else machine,
            "extra": "",
        }
    )


def minor_of(version: str | None) -> str | None:
    """Major.minor of a version that may have more ("6.2.41133-dd7f95766" is 6.2), None where it has no such form."""
    found = re.match(r"(\d+)\.(\d+)", version or "")
    return f"{found[1]}.{found[2]}" if found else None


def cxx11_abi_of(folders: Sequence[str | Path], libraries: Sequence[str | Path] = ()) -> bool | None:
    """Whether torch was built with the new C++ ABI (_GLIBCXX_USE_CXX11_ABI); None where nothing there tells it.

    ``folders`` are torch's package folders, ``libraries`` others that may hold libc10.so or libtorch_python.so.
    """
    for folder in map(Path, folders):
        if found := _CMAKE_ABI.search(_read(folder / _CMAKE_FILE)):  # torch 2.13 and later do not say it any more
            return found[1] == "1"
    for folder in (*(Path(folder) / "lib" for folder in folders), *map(Path, libraries)):
        for name in _LIBRARIES:
            for file in (folder / name, *sorted(folder.glob(f"{name}.*"))):  # Debian: libc10.so.2.6
                if (abi := _abi_of_library(file)) is not None:
                    return abi
    return None


def _abi_of_library(file: Path) -> bool | None:
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if any(content.find(name) >= 0 for name in _NEW_ABI):
                return True
            if any(content.find(name) >= 0 for name in _OLD_ABI):
                return False
    except (OSError, ValueError):  # not there or not readable; an empty file cannot be mapped
        return None
    return None


def _version_file(folder: Path) -> Mapping[str, object]:
    """The constants of torch/version.py: ``cuda: Optional[str] = '12.6'``; empty where it is not there or is broken."""
    try:
        body = ast.parse(_read(folder / "version.py")).body
    except (SyntaxError, ValueError):
        return {}
    found: dict[str, object] = {}
    for node in body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = getattr(node, "value", None)
        if targets and isinstance(targets[0], ast.Name) and isinstance(value, ast.Constant):
            found[targets[0].id] = value.value
    return found


def _text(stated: Mapping[str, object], key: str) -> str | None:
    value = stated.get(key)
    return value if isinstance(value, str) and value else None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
