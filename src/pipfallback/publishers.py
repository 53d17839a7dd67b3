"""What is known of single publishers that their file names do not say, or say wrongly: small tables, with sources."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from packaging.version import Version

from pipfallback import releases
from pipfallback.labels import CPU, Accelerator


@dataclass(frozen=True, slots=True, kw_only=True)
class _NotForced:
    """Releases ``first`` to ``last`` whose FALSE wheel for torch 2.6 was compiled with a torch of this C++ ABI.

    ``cuda`` is the major of the wheel's CUDA label, None for any.
    """

    first: str
    last: str
    cuda: str | None
    cxx11_abi: bool | None


# "FALSE" of these three does not force the ABI: it is that of the torch that their CI compiled with (setup.py of
# flash-attention 2.8.3, lines 62-64 and 194-197; causal-conv1d, lines 46 and 198-202; mamba alike). Up to torch 2.5 that
# is the old ABI, from 2.7 on the new one (releases.official_cxx11_abi). 2.6.0 has the new one for CUDA 12.6 only, so
# what counts is which 2.6 CI installed: publish.yml and publish.yaml at each tag. Nightlies of October 2024 are older
# than pytorch PR 142064, which brought the new ABI.
_TORCH_2_6: dict[str, tuple[_NotForced, ...]] = {
    "dao-ailab/flash-attention": (
        _NotForced(first="2.7.1", last="2.7.4.post1", cuda=None, cxx11_abi=False),  # nightlies, then 2.6.0+cu124
        _NotForced(first="2.8.0", last="2.8.3.post1", cuda="12", cxx11_abi=True),  # 2.6.0+cu126
    ),
    "dao-ailab/causal-conv1d": (
        _NotForced(first="1.5.0", last="1.5.0.post8", cuda=None, cxx11_abi=False),  # nightlies, cu118 and cu124
        _NotForced(first="1.5.1", last="1.6.1.post4", cuda="11", cxx11_abi=False),  # 2.6.0+cu118
        _NotForced(first="1.5.1", last="1.6.1.post4", cuda="12", cxx11_abi=True),  # 2.6.0+cu126
    ),
    "state-spaces/mamba": (
        _NotForced(first="2.2.3", last="2.2.4", cuda=None, cxx11_abi=False),  # nightlies, cu118 and cu124
        _NotForced(first="2.2.5", last="2.2.5", cuda="11", cxx11_abi=False),  # 2.6.0+cu118
        _NotForced(first="2.2.5", last="2.2.5", cuda="12", cxx11_abi=True),  # 2.6.0+cu126
        _NotForced(first="2.2.6", last="2.2.6.post2", cuda="11", cxx11_abi=False),  # nightly, cu118
        _NotForced(first="2.2.6", last="2.2.6.post2", cuda="12", cxx11_abi=None),  # nightly, cu126: not established
        _NotForced(first="2.2.6.post3", last="2.3.2.post1", cuda="11", cxx11_abi=False),  # 2.6.0+cu118
        _NotForced(first="2.2.6.post3", last="2.3.2.post1", cuda="12", cxx11_abi=True),  # 2.6.0+cu126
    ),
}


@lru_cache(maxsize=8192)
def publisher_of(folder: str) -> str | None:
    """The repository whose releases a folder is, where the real C++ ABI of its wheels is known."""
    return next((name for name in _TORCH_2_6 if f"/{name}/releases/" in f"{folder}/"), None)


@lru_cache(maxsize=8192)
def published_cxx11_abi(
    repository: str, version: Version, *, torch: str | None, cuda: str | None, label: bool | None, platform: str
) -> bool | None:
    """The C++ ABI that a wheel really has, where its publisher and release are known; else None.

    ``repository`` is that of ``publisher_of``, ``label`` what the name says, ``platform`` the platform tag. A TRUE
    label forces the ABI and is true.
    """
    if label is None or "linux" not in platform:
        return None
    series = releases.series_of(torch) if torch else None
    if label or series is None:
        return label or None
    if series == "2.6":
        return _abi_for_torch_2_6(_TORCH_2_6[repository], Version(version.public), cuda, platform)
    return releases.official_cxx11_abi(f"{series}.0", None, platform)


def _abi_for_torch_2_6(rows: tuple[_NotForced, ...], version: Version, cuda: str | None, platform: str) -> bool | None:
    major = cuda.partition(".")[0] if cuda else None
    for row in rows:
        if row.cuda in {None, major} and Version(row.first) <= version <= Version(row.last):
            # CUDA 11.8 and 12.4 builds of torch 2.6 exist for x86_64 only: what an aarch64 wheel used is not known
            return row.cxx11_abi if row.cxx11_abi or platform.endswith("x86_64") else None
    return None


# CUDA of NVIDIA's JetPack folders, of which torch's name holds only the month of the container
# (developer.download.nvidia.com/compute/redist/jp).
_JETPACK_CUDA = {"v512": "11.4", "v60": "12.2", "v61": "12.6"}
_TORCH_FAMILY = frozenset({"torch", "torchvision", "torchaudio"})
# Project, repository, platform: what a name and a release tag without a label mean there (their release pages, 2026).
_HABITS = (
    ("llama-cpp-python", "abetlen/llama-cpp-python", "", CPU),  # the others are in releases v...-cu121, v...-metal
    (
        "llama-cpp-binaries",
        "oobabooga/llama-cpp-binaries",
        "macosx",
        Accelerator(kind="metal"),
    ),  # every macOS file there
)
_PYPI_HOSTS = ("https://files.pythonhosted.org/", "https://pypi.org/")
# Of all other projects ``unsaid_accelerator`` knows nothing.
UNSAID_OF = _TORCH_FAMILY | {project for project, _, _, _ in _HABITS}


def unsaid_accelerator(folder: str, name: str, version: Version, platform: str) -> Accelerator | None:
    """What a build runs on where neither its name nor its folder says it, but its publisher's habit does.

    ``folder`` is the wheel's URL in lower case without the file name, empty for a bare file name.
    """
    if name in _TORCH_FAMILY and platform.startswith("macosx"):
        return CPU  # Requires-Dist on PyPI: no CUDA on macOS
    if name == "torch" and "/compute/redist/jp/" in folder:
        return _of_jetpack(folder.partition("/compute/redist/jp/")[2].partition("/")[0])
    if name == "torch" and (not folder or folder.startswith(_PYPI_HOSTS)):
        return _of_torch_on_pypi(version, platform)
    for project, releases_of, system, accelerator in _HABITS:
        if name == project and f"/{releases_of}/releases/" in folder and platform.startswith(system):
            return accelerator
    return None


def _of_jetpack(release: str) -> Accelerator | None:
    cuda = "10.2" if release.startswith("v4") else _JETPACK_CUDA.get(release)
    return Accelerator(kind="cuda", version=cuda) if cuda else None


def _of_torch_on_pypi(version: Version, platform: str) -> Accelerator | None:
    if version.local or version.is_devrelease:
        return None
    if platform.startswith("win"):
        return CPU  # PyPI: no CUDA among the Requires-Dist of Windows wheels
    if platform.startswith("manylinux") and platform.endswith("x86_64"):
        cuda = releases.pypi_cuda(releases.series_of(version.public) or "")
        return Accelerator(kind="cuda", version=cuda) if cuda else None
    return None
