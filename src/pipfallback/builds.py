"""What a wheel was built for: filename, local version, URL path and METADATA, read into a Build.

A label that cannot be read is unknown (None), never misread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.version import Version

from pipfallback.evidence import (
    Evidence,
    Words,
    first_accelerator,
    has_habits,
    is_cpu,
    named_kind,
    version_for,
    weigh,
    words_of,
)
from pipfallback.labels import CPU, NO_LABEL, Accelerator, Label, TorchDigits, read_label, torch_from_digits
from pipfallback.metadata_labels import read_pins, without_extras
from pipfallback.publishers import published_cxx11_abi, publisher_of
from pipfallback.releases import official_cxx11_abi, series_beside
from pipfallback.trust import Trust
from pipfallback.wheel_names import (
    Project,
    UnreadableFilenameError,
    WheelTags,
    read_plain_tags,
    read_project,
    read_tags,
    split_location,
    split_name,
    split_plain,
)

__all__ = [
    "NO_HINTS",
    "Build",
    "Candidate",
    "LabelHints",
    "Metadata",
    "TorchRule",
    "UnreadableFilenameError",
    "draft_of",
    "listed_candidate",
    "read_build",
    "with_metadata",
]


def draft_of(cls: type) -> Any:
    """A class with the slots of ``cls`` (a dataclass with ``slots=True``) whose objects are open.

    Fill all fields, then set ``__class__`` to ``cls``. The ``__init__`` of a frozen dataclass goes through
    ``object.__setattr__`` for each field, which takes eight times as long as setting an attribute.
    """
    return type(f"{cls.__name__}Draft", (), {"__slots__": tuple(one.name for one in fields(cls))})


TorchRule = Literal["series", "exact", "minimum"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One wheel file and what it was built for. None is unknown.

    ``torch``, ``cuda``, ``rocm`` are version strings as precise as the build states them ("2.7", "2.7.1", "12",
    "12.4"). ``torch_rule``: "series" (the same minor release), "exact" (this patch, as METADATA pins it), "minimum"
    (this or any newer: stable ABI or "andhigher"). ``vague_torch``: its name or folder speaks of a torch that cannot
    be read, or not without its Python tag. ``cpu`` is True for a build that says that it is CPU-only. ``accelerator``
    names one that is neither CUDA nor ROCm nor CPU ("xpu", "metal", "vulkan", "musa", "ascend"), with
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
    ``cxx11_abi_labels``: "fact" where the publisher's ABI labels can be believed, "torch" where every build has the ABI
    that torch's own project gave the release in its name, else "claim".
    ``torch_rule``: "exact" where the package refuses another patch of torch than the one in its name.
    ``torch``, ``cuda``, ``rocm``, ``cpu``, ``archs``: stated for every file, they apply where the name says nothing.
    """

    torch_digits: TorchDigits | None = None
    cxx11_abi: bool | None = None
    cxx11_abi_labels: Literal["fact", "torch", "claim"] = "claim"
    torch_rule: Literal["exact"] | None = None
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


_CandidateDraft = draft_of(Candidate)


def listed_candidate(
    build: Build,
    location: str,
    source: str,
    trust: Trust,
    order: tuple[int, int],
    *,
    sha256: str | None = None,
    size: int | None = None,
) -> Candidate:
    """A candidate of a source's list, as ``Candidate`` makes it, in a third of the time: lists have up to 100,000."""
    candidate = _CandidateDraft()
    candidate.build = build
    candidate.location = location
    candidate.source = source
    candidate.trust = trust
    candidate.sha256 = sha256
    candidate.size = size
    candidate.order = order
    candidate.__class__ = Candidate
    return candidate  # type: ignore[no-any-return]  # a draft is Any


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
    # Of 100,000 wheels most share what stands before their tags, and all but a few their tags: either is read once.
    before = location.rsplit("-", 3)[0]
    ending = location[len(before) + 1 :]
    tags = read_plain_tags(ending)
    plain = _read_plain_start(before, hints) if tags else None
    if tags and plain:
        beginning, start = plain
        return _build(f"{beginning}-{ending}", start, tags, hints)
    folder, filename = split_location(location)
    beginning, tags_text = split_name(filename.lower())
    start = _read_start(beginning, folder.lower(), hints)
    return _build(filename, start, read_tags(tags_text), hints)


def _build(filename: str, start: _Start, tags: WheelTags, hints: LabelHints) -> Build:
    project, folder, repository, said = start
    build = _Draft()
    build.filename = filename
    build.name, build.version, _, _, build.unusual_version, _, build.build_number = project
    build.tags, platform, linux, python = tags
    said = said or _read_words(words_of(project, folder, platform), hints)
    (
        build.torch,
        open_digits,
        build.torch_rule,
        build.vague_torch,
        build.cuda,
        build.rocm,
        build.cpu,
        build.accelerator,
        build.accelerator_version,
        cxx11_abi,
        build.cxx11_abi_label,
        build.archs,
    ) = said
    if open_digits:
        build.torch = torch_from_digits(open_digits, hints.torch_digits, build.cuda, python)
    if hints.cxx11_abi_labels == "torch" and hints.cxx11_abi is None:
        beside = build.torch or series_beside(build.name, build.version)
        cxx11_abi = _abi_of_official(beside, build.cuda, build.rocm, platform) if beside else None
    if cxx11_abi is None and repository:
        cxx11_abi = published_cxx11_abi(
            repository,
            project.version,
            torch=said.torch,
            cuda=said.cuda,
            label=said.cxx11_abi_label,
            platform=platform,
        )
    build.cxx11_abi = cxx11_abi if linux else None  # Windows and macOS have one C++ ABI: it has no meaning there
    build.requires_python = None
    build.requires = ()
    build.__class__ = Build
    return build  # type: ignore[no-any-return]  # a draft is Any


@lru_cache(maxsize=1024)
def _abi_of_official(torch: str, cuda: str | None, rocm: str | None, platform: str) -> bool | None:
    local = f"rocm{rocm}" if rocm else f"cu{cuda.replace('.', '')}" if cuda else "cpu"
    return official_cxx11_abi(f"{torch}+{local}", cuda, platform)


_Draft = draft_of(Build)


class _Said(NamedTuple):
    """What all wheels with the same words share; named as in Build. ``cxx11_abi``: a fact, if the wheel is for Linux."""

    torch: str | None
    open_digits: str | None
    torch_rule: TorchRule
    vague_torch: bool
    cuda: str | None
    rocm: str | None
    cpu: bool
    accelerator: str | None
    accelerator_version: str | None
    cxx11_abi: bool | None
    cxx11_abi_label: bool | None
    archs: tuple[str, ...] | None


class _Start(NamedTuple):
    """What wheels share that have all but their tags in common, and their folder (in lower case).

    ``said``: None where the platform has a word in that. ``repository``: that of ``publisher_of``.
    """

    project: Project
    folder: str
    repository: str | None
    said: _Said | None


def _start_of(beginning: str, folder: str, hints: LabelHints) -> _Start:
    project = read_project(beginning)
    said = None if has_habits(project) else _read_words(words_of(project, folder, ""), hints)
    return _Start(project, folder, publisher_of(folder), said)


# The starts of names repeat with each of the tags: a whole list should find room.
_read_start = lru_cache(maxsize=32768)(_start_of)


@lru_cache(maxsize=32768)
def _read_plain_start(before: str, hints: LabelHints) -> tuple[str, _Start] | None:
    """``(beginning of the name, what it says)`` of what stands before plain tags; None where it must be read with them."""
    parts = split_plain(before)
    return (parts[1], _start_of(parts[1].lower(), parts[0].lower(), hints)) if parts else None


def _torch_rule(words: Words, evidence: Evidence, hints: LabelHints) -> TorchRule:
    if evidence.torch_minimum and words.name != "torch":
        return "minimum"
    names_patch = evidence.torch is not None and evidence.torch.count(".") > 1
    return "exact" if words.name == "torch" or (hints.torch_rule and names_patch) else "series"


@lru_cache(maxsize=8192)
def _read_words(words: Words, hints: LabelHints) -> _Said:
    evidence = weigh(words, _as_label(hints), hints.torch_digits)
    runs_on = evidence.accelerator
    named = named_kind(runs_on)
    cxx11_abi = hints.cxx11_abi
    if cxx11_abi is None and hints.cxx11_abi_labels == "fact":
        cxx11_abi = evidence.cxx11_abi
    return _Said(
        torch=evidence.torch,
        open_digits=evidence.open_digits,
        torch_rule=_torch_rule(words, evidence, hints),
        vague_torch=evidence.vague_torch,
        cuda=evidence.cuda,
        rocm=version_for(runs_on, "rocm"),
        cpu=is_cpu(runs_on),
        accelerator=named,
        accelerator_version=runs_on.version if runs_on and named else None,
        cxx11_abi=cxx11_abi,
        cxx11_abi_label=evidence.cxx11_abi,
        archs=evidence.archs,
    )


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
        cpu=is_cpu(stated),
        accelerator=named,
        accelerator_version=stated.version if named else None,
    )
