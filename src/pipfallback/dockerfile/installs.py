"""One install line: what it asks for, which Python it is for, and which torch is there when it is done."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from packaging.version import InvalidVersion, Version

from pipfallback.dockerfile.contents import Requirement
from pipfallback.dockerfile.images import Interpreter, System
from pipfallback.dockerfile.located import Located
from pipfallback.machine import Torch
from pipfallback.releases import numbers, pypi_cuda, series_of, torch_with_cuda
from pipfallback.requests import Request, RequestError, read_request
from pipfallback.torch_files import label_of, torch_of_metadata

Installer: TypeAlias = Literal["pip", "uv", "pipfallback"]
Form: TypeAlias = Literal["shell", "exec"]

# Stands before a word, as it is written, that is only known when the command runs.
UNKNOWN = "\0"

# They require no torch (Requires-Dist on PyPI, November 2026): where there is none, there is none after them.
_WITHOUT_TORCH = frozenset({
    "build", "cmake", "hatchling", "ninja", "numpy", "packaging", "pip", "pipfallback", "pipx", "psutil", "pybind11",
    "requests", "scikit-build-core", "setuptools", "setuptools-scm", "uv", "virtualenv", "wheel",
})  # fmt: skip
_LABEL = re.compile(r"/(cu\d{2,3}|cpu|rocm\d+\.\d+(?:\.\d+)?)/?$")  # download.pytorch.org/whl/cu121
# The wheel for aarch64 on PyPI is a CPU build up to 2.10 and one for CUDA from 2.11 on (its Requires-Dist).
_PYPI_AARCH64_CUDA = (2, 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One word of a command. ``value`` is None where only running the command tells it.

    ``raw``: as it was written; ``span``: where that stands in the file, None where it does not in one piece; ``text``:
    the value with the places of its characters.
    """

    value: str | None
    raw: str
    span: tuple[int, int] | None
    text: Located


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an install line stands: the first ``line`` of it, its stage (name or number) and the stage's base image.

    ``instruction``: the line on which the RUN begins that it is part of.
    ``machine``: of the platform that is built for ("x86_64"), None where that is not Linux. ``cuda``: of the toolkit
    that the image has. ``variables``: ENV and ARG of the stage.
    """

    line: int
    instruction: int
    stage: str
    image: str
    machine: str | None
    system: System | None = None
    cuda: str | None = None
    variables: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """An install line.

    ``program``: the words that name the installer ("python3.10 -m pip"); ``rest``: all that follow it. ``requirements``:
    what it asks for, requirement files included; ``unread``: why some of it is not known. ``interpreter``: the Python
    that it is for, with the torch that is there once pip has done its part of the line. ``has_pipfallback``: whether
    something before it in the stage installed pipfallback, None where that is not known.
    """

    place: Place
    installer: Installer
    program: tuple[Piece, ...]
    rest: tuple[Piece, ...]
    form: Form
    requirements: tuple[Requirement, ...] = ()
    unread: tuple[str, ...] = ()
    interpreter: Interpreter = field(default_factory=Interpreter)
    has_pipfallback: bool | None = None


def known(word: Piece) -> str:
    """The value of a word; where only running the command tells it, the word as it is written, marked with UNKNOWN."""
    return f"{UNKNOWN}{word.raw}" if word.value is None else word.value


def request_of(requirement: Requirement) -> Request | None:
    """The requirement taken apart; None where pip itself would complain of it."""
    try:
        return read_request(requirement.text)
    except RequestError:
        return None


def torch_after(
    before: Interpreter,
    asked: Sequence[Requirement],
    indexes: Sequence[tuple[str, str]],
    *,
    machine: str | None,
    upgrade: bool = False,
    dependencies: bool = True,
    others: bool = False,
) -> Interpreter:
    """The interpreter after an install line.

    ``indexes``: where it looks, as (canonical option, URL). ``upgrade``: it may replace a torch that satisfies it.
    ``dependencies``: what is asked for brings what it requires. ``others``: it asks for more than is known.
    """
    requests = [request for each in asked if (request := request_of(each)) is not None]
    torch = next((request for request in requests if request.name == "torch"), None)
    if torch is not None:
        return _after_torch(before, torch, indexes, machine, upgrade=upgrade)
    if before.torch is None and before.torch_known and dependencies:
        harmless = all(request.name in _WITHOUT_TORCH for request in requests)
        if others or not harmless:
            return replace(before, torch_known=False)
    return before


def _after_torch(
    before: Interpreter,
    request: Request,
    indexes: Sequence[tuple[str, str]],
    machine: str | None,
    *,
    upgrade: bool,
) -> Interpreter:
    version = _version_of(request)
    if version is not None:
        return replace(before, torch=_torch(version, indexes, machine), torch_known=True, planned=True)
    there = before.torch
    if there is not None and not upgrade and request.specifier.contains(_public(there.version), prereleases=True):
        return before
    return replace(before, torch=None, torch_known=False)


def _version_of(request: Request) -> str | None:
    """The one version that a requirement allows."""
    if request.version is not None:
        return str(request.version)
    exact = [each.version for each in request.specifier if each.operator in {"==", "==="} and "*" not in each.version]
    return exact[0] if exact else None


def _public(version: str) -> str:
    try:
        return Version(version).public
    except InvalidVersion:
        return version


def _torch(version: str, indexes: Sequence[tuple[str, str]], machine: str | None) -> Torch:
    """The build of torch that comes in: by its own label, the index's, or PyPI's."""
    series = series_of(version) or ""
    if label_of(version):
        return torch_of_metadata(version)
    labels = [found[1] for _, url in indexes if (found := _LABEL.search(url))]
    if labels and _published(series, labels[0]):
        return torch_of_metadata(f"{version}+{labels[0]}")
    if any(name != "--extra-index-url" for name, _ in indexes) or labels:
        return Torch(version=version)
    if machine == "aarch64":
        has_cuda = numbers(series) >= _PYPI_AARCH64_CUDA
        return Torch(version=version, cuda=pypi_cuda(series) if has_cuda else None, cpu=not has_cuda)
    return Torch(version=version, cuda=pypi_cuda(series) if machine == "x86_64" else None)


def _published(series: str, label: str) -> bool:
    if not label.startswith("cu"):
        return True
    return torch_with_cuda(series, f"{label[2:-1]}.{label[-1]}") is not False
