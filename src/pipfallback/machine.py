"""The values that an environment is made of: the interpreter, torch, the driver, the GPUs, what is installed.

Unknown is None, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """An interpreter: ``version`` is the full release ("3.10.13"), ``implementation`` as sys.implementation.name."""

    version: str
    executable: str | None = None
    implementation: str = "cpython"
    free_threaded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Torch:
    """A torch that is (or will be) installed: ``version`` with its local part, ``cuda`` and ``rocm`` as major.minor.

    ``cpu`` is True where it is known to have neither CUDA nor ROCm; without it, two None mean that this is unknown.
    """

    version: str
    cuda: str | None = None
    rocm: str | None = None
    cxx11_abi: bool | None = None
    cpu: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """The NVIDIA driver: its own version, and the newest CUDA that it supports ("12.6")."""

    version: str | None = None
    cuda: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One visible GPU; ``compute_capability`` as "8.9"."""

    compute_capability: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """An installed distribution. ``path`` is its .dist-info or .egg-info, ``url`` what direct_url.json names (PEP 610)."""

    name: str
    version: str
    path: str
    url: str | None = None
    sha256: str | None = None
    editable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Where the target interpreter keeps packages, and which are there.

    ``paths`` are its folders by sysconfig's name (purelib, platlib, scripts, data, stdlib ...), besides them "userbase"
    and "usersite". ``site_packages``: the folders on sys.path that hold distributions, in its order. ``pip`` is the
    version of the target's own pip, None where it has none. ``torch_folders``: where ``import torch`` finds the
    package. ``distributions``: of two with one name only the first on sys.path, which is the one that is imported.
    """

    executable: str
    prefix: str
    base_prefix: str
    paths: Mapping[str, str]
    site_packages: tuple[str, ...]
    pip: str | None = None
    externally_managed: bool = False
    distributions: tuple[Distribution, ...] = ()
    torch_folders: tuple[str, ...] = ()
