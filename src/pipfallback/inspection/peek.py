"""A wheel elsewhere, judged by its end and the beginnings of its shared objects: under 1 MB of 438 MB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipfallback.builds import Metadata
from pipfallback.file_facts import FileFacts, GpuCode, SharedObject, facts_of
from pipfallback.inspection.fatbin import read_gpu_code
from pipfallback.inspection.objects import may_hold_gpu_code, objects_among, read_member
from pipfallback.inspection.read_at import Bounded, ReadAt, TooMuchError
from pipfallback.inspection.wheel import InvalidWheelError, metadata_name, parse_metadata
from pipfallback.inspection.zip_entries import BadZipError, Entry, open_member, read_entries

LIMIT = 2 << 20  # bytes in all
_PER_OBJECT = 1 << 19  # vllm's largest need 0.2 MB (measured, docs/inspection.md)
_STEP = 1 << 16
_SMALL = 1 << 17  # an object of so few packed bytes is read whole, with its GPU code
_MOST_OBJECTS = 24  # bitsandbytes has 13; beyond, the rest stays unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Peek:
    """What was learned of a remote wheel. ``metadata``: None where it was not within reach. ``spent``: bytes read."""

    facts: FileFacts
    metadata: Metadata | None
    spent: int


def peek(source: ReadAt, *, limit: int = LIMIT) -> Peek:
    """Look into the wheel in ``source`` without reading more than ``limit`` bytes of it.

    What is not learned within that is unknown. Raises InvalidWheelError for what is no wheel that pip would install;
    OSError where the source fails.
    """
    bounded = Bounded(source, limit)
    try:
        entries = read_entries(bounded)
        metadata = _metadata(bounded, entries)
        objects = _objects(bounded, entries)
    except TooMuchError:
        return Peek(facts=_nothing_known(), metadata=None, spent=bounded.spent)
    except BadZipError as error:
        raise InvalidWheelError(f"the zip is damaged: {error}") from None
    return Peek(facts=facts_of(objects), metadata=metadata, spent=bounded.spent)


def _nothing_known() -> FileFacts:
    return facts_of([SharedObject(name="", machine="", known=False)])


def _metadata(source: ReadAt, entries: Sequence[Entry]) -> Metadata | None:
    name = metadata_name([entry.name for entry in entries])
    entry = next(entry for entry in entries if entry.name == name)
    try:
        return parse_metadata(open_member(source, entry, step=_STEP).read(0, entry.size))
    except TooMuchError:
        return None


def _objects(source: Bounded, entries: Sequence[Entry]) -> list[SharedObject]:
    wanted = [entry for entry in objects_among(entries) if not _is_bundled(entry) or entry.packed <= _SMALL]
    # Extension modules with the most to say come first: those with GPU code are large.
    wanted = sorted(wanted, key=lambda entry: -entry.packed)
    near, far = wanted[:_MOST_OBJECTS], wanted[_MOST_OBJECTS:]
    # One after another: several wheels are looked into at once, and a program waits for the threads of a pool at its end.
    found = [one for entry in near if (one := _object(source, entry)) is not None]
    left_out = [*far, *(entry for entry in objects_among(entries) if entry not in wanted)]
    return found + [SharedObject(name=entry.name, machine="", known=False) for entry in left_out]


def _is_bundled(entry: Entry) -> bool:
    """Whether auditwheel brought it along: a library of a distribution's, in a folder that ends in .libs."""
    return ".libs/" in entry.name


def _object(source: Bounded, entry: Entry) -> SharedObject | None:
    """What the beginning of an object tells; all of it only where it is small, or patchelf moved its names."""
    own = Bounded(source, _PER_OBJECT)
    try:
        content = open_member(own, entry, step=min(_STEP, entry.packed))
        one = read_member(content, entry, whole=entry.packed <= _PER_OBJECT * 3 // 4)
        if one is None or one.bundled:
            return one
        if not may_hold_gpu_code(one):
            return replace(one, gpu=GpuCode())
        return replace(one, gpu=read_gpu_code([content.read(0, entry.size)])) if entry.packed <= _SMALL else one
    except TooMuchError:
        return SharedObject(name=entry.name, machine="", known=False)
