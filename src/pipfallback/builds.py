"""What a wheel was built for: filename, local version, URL path and METADATA, read into a Build.

A label that cannot be read is unknown (None), never misread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.version import Version

from pipfallback.evidence import Evidence, first_accelerator, named_kind, version_for, weigh
from pipfallback.labels import CPU, NO_LABEL, Accelerator, Label, TorchDigits, read_label, torch_from_digits
from pipfallback.metadata_labels import read_pins, without_extras
from pipfallback.publishers import published_cxx11_abi
from pipfallback.trust import Trust
from pipfallback.wheel_names import (
    UnreadableFilenameError,
    read_project,
    read_tags,
    split_location,
    split_name,
)

__all__ = [
    "NO_HINTS",
    "Build",
    "Candidate",
    "LabelHints",
    "Metadata",
    "TorchRule",
    "UnreadableFilenameError",
    "read_build",
    "with_metadata",
]

TorchRule = Literal["series", "exact", "minimum"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One wheel file and what it was built for. None is unknown.

    ``torch``, ``cuda``, ``rocm`` are version strings as precise as the build states them ("2.7", "2.7.1", "12",
    "12.4"). ``torch_rule``: "series" (the same minor release), "exact" (this patch, as METADATA pins it), "minimum"
    (this or any newer: stable ABI or "andhigher"). ``vague_torch``: its name or folder speaks of a torch that cannot
    be read, or not without its Python tag; only then is a ``torch`` of None no sign that it needs none. ``cpu`` is True for a build that says that it is CPU-only.
    ``accelerator`` names one that is neither CUDA nor ROCm nor CPU ("xpu", "metal", "vulkan", "musa", "ascend"), with
    ``accelerator_version`` where stated; or "cuda" or "rocm" where the build says that it is for it, but no version.
    ``cxx11_abi`` is what the build is taken to be where that is a fact (a publisher whose labels are facts, a known
    publisher's truth, the file's symbols); ``cxx11_abi_label`` is what its name says.
    ``archs`` are the GPU architectures that it says it holds code for ("8.0", "9.0a", "12.0+PTX").
    ``unusual_version`` is the version as written where it is not PEP 440: pip newer than 24.0 refuses such a name.
    What follows the valid beginning is then in ``version`` as its local part. A build of torch itself states its own version.
    """

    filename: str
    name: str
    version: Version
    build_number: tuple[()] | tuple[int, str]
    tags: frozenset[Tag]
    torch: str | None = None
    torch_rule: TorchRule = "series"
    vague_torch: bool = False
    cuda: str | None = None
    rocm: str | None = None
    cpu: bool = False
    accelerator: str | None = None
    accelerator_version: str | None = None
    cxx11_abi: bool | None = None
    cxx11_abi_label: bool | None = None
    archs: tuple[str, ...] | None = None
    unusual_version: str | None = None
    requires_python: SpecifierSet | None = None
    requires: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelHints:
    """How to read the labels of one publisher, and what its names leave out (DESIGN 6, source tables).

    ``torch_digits``: what packed digits such as ``torch210`` mean there: "major.minor" (2.10) or "major.minor.patch"
    (2.1.0); None: decide by what exists. ``cxx11_abi``: what the build really is, whatever its name says.
    ``cxx11_abi_labels``: "fact" where the publisher's ABI labels can be believed, else "claim".
    ``torch``, ``cuda``, ``rocm``, ``cpu``, ``archs``: stated for every file, they apply where the name says nothing.
    """

    torch_digits: TorchDigits | None = None
    cxx11_abi: bool | None = None
    cxx11_abi_labels: Literal["fact", "claim"] = "claim"
    torch: str | None = None
    cuda: str | None = None
    rocm: str | None = None
    cpu: bool | None = None
    archs: tuple[str, ...] | None = None


NO_HINTS = LabelHints()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A build at a URL, from a source, with its hash where known (lower-case hex sha256).

    ``location`` is a URL or, for a file that the user named, an absolute path. ``source`` is the catalog's name of the
    source, or None for what the user named. ``order`` is (index of the source's table in the catalog, place in the
    source's own list).
    """

    build: Build
    location: str
    source: str | None = None
    trust: Trust = Trust.OFFICIAL
    sha256: str | None = None
    size: int | None = None
    order: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What the METADATA of a wheel says (core metadata, PEP 566 and later), as far as decisions need it."""

    name: str
    version: str
    requires_python: SpecifierSet | None = None
    requires: tuple[Requirement, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)


def read_build(location: str, hints: LabelHints = NO_HINTS) -> Build:
    """Read what a wheel was built for from its file name, URL or path.

    Query, fragment, percent-encoding and letter case do not matter. The name's label comes before ``hints``, these
    before the folders of a URL. Raises UnreadableFilenameError where the last part of ``location`` is not a wheel's name.
    """
    folder, filename = split_location(location)
    beginning, tags, platform = split_name(filename.lower())
    shared = _shared(beginning, platform, folder.lower(), hints)
    torch = shared.torch
    if shared.open_digits:
        torch = torch_from_digits(shared.open_digits, hints.torch_digits, shared.cuda, _python(tags))
    # What Build(...) does, at half its cost: lists of 100,000 candidates are read in this function.
    build = object.__new__(Build)
    for put, value in zip(_PUT, (filename, read_tags(tags), torch, *shared.values), strict=True):
        put(build, value)
    return build


_OWN = ("filename", "tags", "torch")  # the fields that differ between the wheels of one project, version and folder
_SHARED = tuple(one.name for one in fields(Build) if one.name not in _OWN)
_PUT = tuple(getattr(Build, name).__set__ for name in (*_OWN, *_SHARED))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What all wheels with the same beginning, platform and folder share; ``values`` in the order of _SHARED."""

    torch: str | None
    open_digits: str | None
    cuda: str | None
    values: tuple[object, ...]


@lru_cache(maxsize=32768)
def _shared(beginning: str, platform: str, folder: str, hints: LabelHints) -> _Shared:
    project = read_project(beginning)
    evidence = weigh(project, folder, platform, _as_label(hints), hints.torch_digits)
    runs_on = evidence.accelerator
    named = named_kind(runs_on)
    one = Build(
        filename="",
        name=project.name,
        version=project.version,
        build_number=project.build_number,
        tags=frozenset(),
        torch_rule=_torch_rule(project.name, evidence),
        vague_torch=evidence.vague_torch,
        cuda=evidence.cuda,
        rocm=version_for(runs_on, "rocm"),
        cpu=runs_on == CPU,
        accelerator=named,
        accelerator_version=runs_on.version if runs_on and named else None,
        cxx11_abi=_cxx11_abi(folder, project.version, platform, evidence, hints),
        cxx11_abi_label=evidence.cxx11_abi,
        archs=evidence.archs,
        unusual_version=project.unusual_version,
    )
    return _Shared(
        torch=evidence.torch,
        open_digits=evidence.open_digits,
        cuda=evidence.cuda,
        values=tuple(getattr(one, name) for name in _SHARED),
    )


def _torch_rule(name: str, evidence: Evidence) -> TorchRule:
    if name == "torch":
        return "exact"
    return "minimum" if evidence.torch_minimum else "series"


@lru_cache(maxsize=1024)
def _as_label(hints: LabelHints) -> Label:
    accelerator = None
    if hints.cuda:
        accelerator = Accelerator(kind="cuda", version=hints.cuda)
    elif hints.rocm:
        accelerator = Accelerator(kind="rocm", version=hints.rocm)
    elif hints.cpu:
        accelerator = CPU
    return Label(torch=hints.torch, accelerator=accelerator, archs=hints.archs)


def _cxx11_abi(folder: str, version: Version, platform: str, evidence: Evidence, hints: LabelHints) -> bool | None:
    """The C++ ABI, only where it is a fact. It has no meaning on Windows and macOS (one ABI there)."""
    label = evidence.cxx11_abi
    if not platform.startswith(("linux", "manylinux", "musllinux")):
        return None
    if hints.cxx11_abi is not None:
        return hints.cxx11_abi
    if label is not None and hints.cxx11_abi_labels == "fact":
        return label
    return published_cxx11_abi(
        folder, version, torch=evidence.torch, cuda=evidence.cuda, label=label, platform=platform
    )


def _python(tags_text: str) -> str | None:
    """The one CPython that tags are for ("3.12", "3.13t"); None for abi3, py3 and compressed sets."""
    found = re.match(r"cp3(\d+)-cp3\1(t?)m?-", tags_text)
    return f"3.{found[1]}{found[2]}" if found else None


def with_metadata(build: Build, metadata: Metadata) -> Build:
    """The build with what its METADATA adds: Requires-Python, Requires-Dist, an exact torch pin, nvidia-* pins.

    A torch pin replaces what the name says (pip enforces it); all else only fills what was unknown. Requirements of
    extras are dropped; the others keep their markers. The version's local part is read where the name's has none.
    """
    requires = without_extras(metadata.requires)
    pins = read_pins(requires, build.tags)
    label = NO_LABEL if build.version.local else read_label(metadata.version.partition("+")[2])
    torch, rule = build.torch, build.torch_rule
    if pins.torch and build.name != "torch":
        torch, rule = pins.torch, pins.torch_rule
    elif torch is None:
        torch, rule = _labelled_torch(label), "minimum" if label.torch_minimum else "series"
    filled = replace(
        build,
        torch=torch,
        torch_rule=rule,
        vague_torch=build.vague_torch or label.vague_torch,
        cxx11_abi_label=label.cxx11_abi if build.cxx11_abi_label is None else build.cxx11_abi_label,
        archs=build.archs or label.archs,
        requires_python=metadata.requires_python,
        requires=requires,
    )
    pinned_cuda = Accelerator(kind="cuda", version=pins.cuda) if pins.cuda else None
    torchs = read_label(pins.torch_local or "").accelerator
    return _with_accelerator(filled, first_accelerator((label.accelerator, torchs, pinned_cuda)))


def _labelled_torch(label: Label) -> str | None:
    if label.torch_digits:
        return torch_from_digits(label.torch_digits, None, version_for(label.accelerator, "cuda"))
    return label.torch


def _with_accelerator(build: Build, stated: Accelerator | None) -> Build:
    """The build with its accelerator, where it had none, or none with a version."""
    if stated is None or build.cuda or build.rocm or build.cpu or build.accelerator not in {None, stated.kind}:
        return build
    named = named_kind(stated)
    return replace(
        build,
        cuda=version_for(stated, "cuda"),
        rocm=version_for(stated, "rocm"),
        cpu=stated == CPU,
        accelerator=named,
        accelerator_version=stated.version if named else None,
    )
