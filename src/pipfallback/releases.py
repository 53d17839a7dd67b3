"""Which torch was published with what, and which driver runs which CUDA: tables, each row with its source.

A new torch is one more line in ``_TORCH``, a new CUDA toolkit one more in ``_TOOLKITS``. What is newer than the tables
is unknown (None): the rules judge it by its numbers and refuse nothing for being new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from packaging.version import InvalidVersion, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchSeries:
    """One minor release of torch as its project published it, all patches together.

    ``pythons``: CPython versions ("3.9"; "3.13t" is free-threaded). ``cuda``, ``rocm``: versions that it was published with ("12.6", "6.2.4").
    ``pypi``: the CUDA of the Linux x86_64 wheel on PyPI. ``complete``: False where more may exist than is listed.
    """

    pythons: tuple[str, ...]
    cuda: tuple[str, ...]
    rocm: tuple[str, ...] = ()
    pypi: str | None = None
    complete: bool = True


def _row(pythons: str, cuda: str, rocm: str = "", *, pypi: str | None = None, complete: bool = True) -> TorchSeries:
    """One line of the table; ``pythons`` is "first-last", then the free-threaded ones."""
    span, *free_threaded = pythons.split()
    first, last = (int(end.partition(".")[2]) for end in span.split("-"))
    return TorchSeries(
        pythons=(*(f"3.{minor}" for minor in range(first, last + 1)), *free_threaded),
        cuda=tuple(cuda.split()),
        rocm=tuple(rocm.split()),
        pypi=pypi,
        complete=complete,
    )


# Sources of the columns:
#   [prev] pytorch.org/get-started/previous-versions; Pythons: file names on PyPI
#   [whl]  file names at download.pytorch.org/whl/torch
#   [pypi] Linux wheels on PyPI: names and Requires-Dist (nvidia-cuda-runtime-cu11/-cu12, cuda-toolkit), 2026-11-22
_TORCH: Mapping[str, TorchSeries] = {
    "1.5": _row("3.5-3.8", "9.2 10.1 10.2", complete=False),  # [prev]
    "1.6": _row("3.6-3.8", "9.2 10.1 10.2", complete=False),  # [prev]
    "1.7": _row("3.6-3.9", "9.2 10.1 10.2 11.0", complete=False),  # [prev]
    "1.8": _row("3.6-3.9", "10.1 10.2 11.1", complete=False),  # [prev]
    "1.9": _row("3.6-3.9", "10.2 11.1 11.3", "4.0.1 4.1 4.2", complete=False),  # [prev]
    "1.10": _row("3.6-3.9", "10.2 11.1 11.3", "4.0.1 4.1 4.2", complete=False),  # [prev]
    "1.11": _row("3.7-3.10", "10.2 11.3", "4.5.2", complete=False),  # [prev]
    "1.12": _row("3.7-3.10", "10.2 11.3 11.6", "5.0 5.1.1", complete=False),  # [prev]
    "1.13": _row("3.7-3.11", "11.6 11.7", "5.1.1 5.2", pypi="11.7"),  # [whl] [pypi]
    "2.0": _row("3.8-3.11", "11.7 11.8", "5.3 5.4.2", pypi="11.7"),  # [whl] [pypi]
    "2.1": _row("3.8-3.11", "11.8 12.1", "5.5 5.6", pypi="12.1"),  # [whl] [pypi]
    "2.2": _row("3.8-3.12", "11.8 12.1", "5.6 5.7", pypi="12.1"),  # [whl] [pypi]
    "2.3": _row("3.8-3.12", "11.8 12.1", "5.7 6.0", pypi="12.1"),  # [whl] [pypi]
    "2.4": _row("3.8-3.12", "11.8 12.1 12.4", "6.0 6.1", pypi="12.1"),  # [whl] [pypi]
    "2.5": _row("3.9-3.13", "11.8 12.1 12.4", "6.1 6.2", pypi="12.4"),  # [whl] [pypi]; 3.13 on Linux only
    "2.6": _row("3.9-3.13 3.13t", "11.8 12.4 12.6", "6.1 6.2.4", pypi="12.4"),  # [whl] [pypi]
    "2.7": _row("3.9-3.13 3.13t", "11.8 12.6 12.8", "6.2.4 6.3", pypi="12.6"),  # [whl] [pypi]
    "2.8": _row("3.9-3.13 3.13t", "12.6 12.8 12.9", "6.3 6.4", pypi="12.8"),  # [whl] [pypi]
    "2.9": _row("3.10-3.14 3.13t 3.14t", "12.6 12.8 12.9 13.0", "6.3 6.4", pypi="12.8"),  # [whl] [pypi]
    "2.10": _row("3.10-3.14 3.13t 3.14t", "12.6 12.8 12.9 13.0", "7.0 7.1", pypi="12.8"),  # [whl] [pypi]
    "2.11": _row("3.10-3.14 3.13t 3.14t", "12.6 12.8 12.9 13.0", pypi="13.0"),  # [whl] [pypi]; ROCm not read
    "2.12": _row("3.10-3.14 3.13t 3.14t", "12.6 12.9 13.0 13.2", pypi="13.0"),  # [whl] [pypi]; ROCm not read
    "2.13": _row("3.10-3.15 3.14t", "12.6 12.9 13.0 13.2", pypi="13.0"),  # [whl] [pypi]; ROCm not read
    "2.14": _row("3.10-3.14 3.14t", "13.0", pypi="13.0", complete=False),  # [pypi]
    "2.15": _row("3.11-3.15 3.14t 3.15t", "13.2", pypi="13.2", complete=False),  # [pypi]
}

# GPU architectures of the official Linux x86_64 wheels: TORCH_CUDA_ARCH_LIST of pytorch/builder
# manywheel/build_cuda.sh at release/X.Y (up to 2.5) and pytorch/pytorch .ci/manywheel/build_cuda.sh at the tag.
# (first series, last series, CUDA): architectures. From 2.13 on the script moved and was not read.
_ARCHS: Mapping[tuple[str, str, str], str] = {
    ("1.13", "1.13", "11.6"): "3.7 5.0 6.0 7.0 7.5 8.0 8.6",
    ("1.13", "2.0", "11.7"): "3.7 5.0 6.0 7.0 7.5 8.0 8.6",
    ("2.0", "2.5", "11.8"): "3.7 5.0 6.0 7.0 7.5 8.0 8.6 9.0",
    ("2.1", "2.5", "12.1"): "5.0 6.0 7.0 7.5 8.0 8.6 9.0",
    ("2.4", "2.6", "12.4"): "5.0 6.0 7.0 7.5 8.0 8.6 9.0",
    ("2.6", "2.12", "12.6"): "5.0 6.0 7.0 7.5 8.0 8.6 9.0",
    ("2.7", "2.7", "12.8"): "7.5 8.0 8.6 9.0 10.0 12.0+PTX",
    ("2.8", "2.10", "12.8"): "7.0 7.5 8.0 8.6 9.0 10.0 12.0",
    ("2.11", "2.11", "12.8"): "7.5 8.0 8.6 9.0 10.0 12.0",
    ("2.8", "2.10", "12.9"): "7.0 7.5 8.0 8.6 9.0 10.0 12.0+PTX",
    ("2.11", "2.11", "12.9"): "7.5 8.0 8.6 9.0 10.0 12.0+PTX",
    ("2.12", "2.12", "12.9"): "7.5 8.0 8.6 9.0 10.0 12.0",
    ("2.9", "2.10", "13.0"): "7.5 8.0 8.6 9.0 10.0 12.0+PTX",
    ("2.11", "2.12", "13.0"): "7.5 8.0 8.6 9.0 10.0 12.0",
    ("2.12", "2.12", "13.2"): "7.5 8.0 8.6 9.0 10.0 12.0",
}

# The driver that each toolkit shipped with (CUDA toolkit release notes, table 3): CUDA, Linux, Windows, newest first.
# From 13.1 on the notes name no Windows driver; Windows drivers of the same release branch stand in.
_TOOLKITS: tuple[tuple[str, str, str], ...] = (
    ("13.2", "595.45.04", "595"),
    ("13.1", "590.44.01", "590"),
    ("13.0", "580.65.06", "580"),
    ("12.9", "575.51.03", "576.02"),
    ("12.8", "570.26", "570.65"),
    ("12.6", "560.28.03", "560.76"),
    ("12.5", "555.42.02", "555.85"),
    ("12.4", "550.54.14", "551.61"),
    ("12.3", "545.23.06", "545.84"),
    ("12.2", "535.54.03", "536.25"),
    ("12.1", "530.30.02", "531.14"),
    ("12.0", "525.60.13", "527.41"),
    ("11.8", "520.61.05", "520.06"),
    ("11.7", "515.43.04", "516.01"),
    ("11.6", "510.39.01", "511.23"),
    ("11.5", "495.29.05", "496.04"),
    ("11.4", "470.42.01", "471.11"),
    ("11.3", "465.19.01", "465.89"),
    ("11.2", "460.27.03", "460.82"),
    ("11.1", "455.23", "456.38"),
    ("11.0", "450.51.05", "451.48"),
    ("10.2", "440.33", "441.22"),
    ("10.1", "418.39", "418.96"),
    ("10.0", "410.48", "411.31"),
    ("9.2", "396.26", "397.44"),
    ("9.0", "384.81", "385.54"),
)

# Oldest driver of each CUDA major under minor-version compatibility, Linux and Windows
# (docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html).
_FLOORS: Mapping[int, tuple[str, str]] = {
    11: ("450.80.02", "452.39"),
    12: ("525.60.13", "527.41"),
    13: ("580.65.06", "580"),
}


@lru_cache(maxsize=4096)  # the same few hundred versions, for each of up to 100,000 candidates
def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "2.10.0a0+git" is (2, 10, 0), "560.35.05" is (560, 35, 5); else ()."""
    found: list[int] = []
    for part in version.partition("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
        if digits != part:
            break
    return tuple(found)


def series_of(torch_version: str) -> str | None:
    """The minor release that a torch belongs to: "2.8.0a0+34c6371d24.nv25.08" is "2.8"; None if it cannot be told."""
    parts = numbers(torch_version)
    return f"{parts[0]}.{parts[1]}" if len(parts) > 1 else None


def torch_series() -> tuple[str, ...]:
    """The torch series that the tables know, oldest first."""
    return tuple(_TORCH)


def torch_with_cuda(series: str, cuda: str) -> bool | None:
    """Whether torch ``series`` ("2.7") was published with ``cuda`` ("12.6").

    False: the series is known, and never was. None: the series is newer than the tables, or they do not list it whole.
    """
    row = _TORCH.get(series)
    if row is None:
        return None
    return True if cuda in row.cuda else (False if row.complete else None)


def torch_with_rocm(series: str, rocm: str) -> bool | None:
    """Whether torch ``series`` was published with ROCm ``rocm`` ("6.2"; 6.2.4 counts as 6.2). None: not known."""
    row = _TORCH.get(series)
    if row is None or not row.rocm:
        return None
    return numbers(rocm)[:2] in {numbers(published)[:2] for published in row.rocm} or (False if row.complete else None)


def cuda_of_torch(series: str) -> tuple[str, ...]:
    """The CUDA versions that torch ``series`` is known to have been published with, oldest first."""
    row = _TORCH.get(series)
    return row.cuda if row else ()


def torch_for_python(series: str, python: str) -> bool | None:
    """Whether torch ``series`` was published for CPython ``python`` ("3.11", "3.13t"). None: not a known series."""
    row = _TORCH.get(series)
    return None if row is None else python in row.pythons


def torch_archs(series: str, cuda: str) -> tuple[str, ...] | None:
    """The GPU architectures of the official Linux x86_64 torch ("8.0", "12.0+PTX"). None: not known."""
    at = numbers(series)
    for (first, last, of_cuda), archs in _ARCHS.items():
        if of_cuda == cuda and numbers(first) <= at <= numbers(last):
            return tuple(archs.split())
    return None


def pypi_cuda(series: str) -> str | None:
    """The CUDA of the torch wheel for Linux x86_64 on PyPI. None: not known."""
    row = _TORCH.get(series)
    return row.pypi if row else None


def official_cxx11_abi(torch_version: str, cuda: str | None, platform: str) -> bool | None:
    """Whether torch's own project built this version with the C++11 ABI (_GLIBCXX_USE_CXX11_ABI).

    ``torch_version`` with its local part, ``cuda`` as major.minor or None, ``platform`` as "linux_x86_64". None: the
    flag has no meaning there (Windows, macOS), or the facts do not say. It tells nothing of builds by others (conda,
    own builds): what libc10.so exports comes first.
    """
    if not platform.startswith(("linux", "manylinux")):
        return None
    try:
        version = Version(torch_version)
    except InvalidVersion:
        return None
    local = version.local or ""
    if "cxx11" in local:  # +cpu.cxx11.abi, whl/cpu-cxx11-abi
        return True
    if version.pre and version.pre[0] == "a":
        # NVIDIA's containers have ABI 1 (Dao-AILab publish.yml); other a0 versions are somebody's own build
        return True if "nv" in local and platform.endswith("x86_64") else None
    return _abi_of_release(version, cuda, x86_64=platform.endswith("x86_64"))


def _abi_of_release(version: Version, cuda: str | None, *, x86_64: bool) -> bool | None:
    release = version.release[:2]
    if release == (2, 6):
        return _abi_of_2_6(version, cuda, x86_64=x86_64)
    if release > (2, 6):
        # 1 everywhere from 2.7.0 on (pytorch issue 143962); it changed while 2.7 was made
        return None if release == (2, 7) and version.is_devrelease else True
    return False if x86_64 else None  # 0 up to 2.5 (pytorch issues 17492, 51039, 111752)


def _abi_of_2_6(version: Version, cuda: str | None, *, x86_64: bool) -> bool | None:
    """2.6.0 is mixed (pytorch PR 142064): CUDA 12.6, ROCm and aarch64 have ABI 1; CPU, CUDA 11.8 and 12.4 have 0."""
    if version.is_devrelease:
        return None
    local = version.local or ""
    if not x86_64 or cuda == "12.6" or local.startswith("rocm"):
        return True
    return False if cuda in ("11.8", "12.4") or local in ("", "cpu") else None


def is_published(torch_version: str, cuda: str | None) -> bool:
    """Whether torch's own project published a wheel of this version, with this CUDA (major.minor; None: not stated).

    True for a release of a known series whose label says what it was published with (+cu126, +rocm6.2.4, +cpu), and for
    one without a label that has the CUDA of PyPI's. False for all else, known or not: nightlies, NVIDIA's and source
    builds (a0+git...), conda's post releases, a label that the project never used with that release.
    """
    try:
        version = Version(torch_version)
    except InvalidVersion:
        return False
    series, local = series_of(torch_version), version.local
    if series is None or series not in _TORCH or version.is_prerelease or version.post is not None:
        return False
    if local is None:
        return cuda in (None, pypi_cuda(series))
    if local.startswith("rocm"):
        return torch_with_rocm(series, local.removeprefix("rocm")) is True
    if cuda and local == f"cu{cuda.replace('.', '')}":
        return torch_with_cuda(series, cuda) is True
    return local in ("cpu", "cpu.cxx11.abi")


# Packages whose compiled code calls torch's, whatever their names say: pytorch/vision and pytorch/audio (README), xformers
# (facebookresearch/xformers: METADATA pins one torch), PyTorch Geometric's (data.pyg.org: a page of links for each torch).
TORCH_EXTENSIONS = frozenset(
    {
        "torchvision",
        "torchaudio",
        "xformers",
        "torch-scatter",
        "torch-sparse",
        "torch-cluster",
        "torch-spline-conv",
        "pyg-lib",
        "torchcodec",
    }
)

# Minor versions: the oldest that the tables hold, and the last torchaudio that is sure to have torch's number.
_OLDEST_VISION, _OLDEST_AUDIO, _LAST_PAIRED_AUDIO = 6, 7, 9
# Minor version -> torch, from the table in the README of pytorch/torchcodec; from 0.12 on one build is for 2.11 and newer.
_STABLE_TORCHCODEC = (12, "2.11")
_TORCHCODEC = {
    0: "2.4", 1: "2.5", 2: "2.6", 3: "2.7", 4: "2.7", 5: "2.7", 6: "2.8", 7: "2.8", 8: "2.9", 9: "2.9", 10: "2.10", 11: "2.11",
}  # fmt: skip

# (major, minor) -> torch: the table by which fbgemm_gpu/__init__.py (1.9.0 on PyPI) warns of another torch.
_FBGEMM = {
    (0, 4): "2.0", (0, 5): "2.1", (0, 6): "2.2", (0, 7): "2.3", (0, 8): "2.4", (1, 0): "2.5", (1, 1): "2.6", (1, 2): "2.7",
    (1, 3): "2.8", (1, 4): "2.9", (1, 5): "2.10", (1, 6): "2.11", (1, 7): "2.12", (1, 8): "2.13", (1, 9): "2.14",
}  # fmt: skip
_PAIRED = frozenset({"torchvision", "torchaudio", "torchcodec", "fbgemm-gpu"})


def minimum_beside(name: str, version: Version) -> str | None:
    """The oldest torch that a release works with, where it was made for that and every newer one. None: others.

    ``name`` as PEP 503 writes it. Source: the README of pytorch/torchcodec.
    """
    if name != "torchcodec":
        return None
    first, torch = _STABLE_TORCHCODEC
    major, minor = (*version.release, 0)[:2]
    return torch if not major and minor >= first else None


def series_beside(name: str, version: Version) -> str | None:
    """The torch series that a release of a package was made with, where its number tells. None: others, or not known.

    ``name`` as PEP 503 writes it. Sources: the tables of torch versions in the README of pytorch/vision, in
    docs.pytorch.org/audio (installation), of torchcodec and in fbgemm_gpu. From torchaudio 2.10 on the numbers are not
    taken for torch's.
    """
    if name not in _PAIRED:
        return None
    major, minor = (*version.release, 0)[:2]
    if name == "fbgemm-gpu":
        return _FBGEMM.get((major, minor))
    if name == "torchcodec":
        return None if major else _TORCHCODEC.get(minor)
    if name == "torchvision":
        if major or minor < _OLDEST_VISION:
            return None
        return f"2.{minor - 15}" if minor >= 15 else f"1.{minor - 1}"
    if major == 2:
        return f"2.{minor}" if minor <= _LAST_PAIRED_AUDIO else None
    return f"1.{minor}" if major == 0 and _OLDEST_AUDIO <= minor <= 13 else None


def driver_cuda(driver_version: str, *, windows: bool = False) -> str | None:
    """The newest CUDA that a driver supports: "560.35.05" -> "12.6".

    None: the driver is older than the table, or of a newer release branch than it knows.
    """
    driver = numbers(driver_version)
    newest = _TOOLKITS[0][1]
    if not driver or driver[0] > numbers(newest)[0]:
        return None
    for cuda, linux_driver, windows_driver in _TOOLKITS:
        if driver >= numbers(windows_driver if windows else linux_driver):
            return cuda
    return None


def driver_floor(cuda_major: int | str, *, windows: bool = False) -> str | None:
    """The oldest driver that runs every CUDA of a major version, without its PTX. None: not known (10 and older, new)."""
    floor = _FLOORS.get(int(cuda_major))
    return floor[windows] if floor else None
