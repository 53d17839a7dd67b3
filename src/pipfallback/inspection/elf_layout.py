"""The layout of a 64-bit little-endian ELF object as the loader sees it (System V ABI, chapters 4 and 5).

Section headers are not looked at: they lie at the end, and may be missing.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipfallback.inspection.read_at import ReadAt

_HEADER = struct.Struct("<16sHHLQQQLHHHHHH")
_SEGMENT = struct.Struct("<LLQQQQQQ")
_DYNAMIC = struct.Struct("<qQ")
_SEGMENT_LOAD, _SEGMENT_DYNAMIC = 1, 2
_WRITABLE = 2
_LARGEST_DYNAMIC = 1 << 20
# Machines as platform tags name them (elf.h; PEP 600).
_MACHINES = {3: "i686", 21: "ppc64le", 22: "s390x", 40: "armv7l", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
FRONT = 4096  # bytes that hold the header and the program headers of any object met so far


class NotElfError(ValueError):
    """It is no ELF object that can be read, or a damaged one."""


class Segment(NamedTuple):
    """A program header, as far as it is needed."""

    kind: int
    flags: int
    offset: int
    address: int
    size: int
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What stands at the very front. ``segments``: () where the object is not of the form that is read here."""

    machine: str
    segments: Sequence[Segment] = ()
    end: int = 64

    @property
    def rewritten(self) -> bool:
        """Whether patchelf changed the object: what stands at its front may then be left over and no longer true.

        patchelf appends a writable segment, which has no zeros behind it as that of variables (.bss) has.
        """
        writable = [each for each in self.segments if each.kind == _SEGMENT_LOAD and each.flags & _WRITABLE]
        return len(writable) > 1 and writable[-1].memory == writable[-1].size


def read_header(front: bytes) -> Header:
    """The header of an object of which ``front`` is the beginning. Raises NotElfError."""
    if len(front) < _HEADER.size or not front.startswith(b"\x7fELF"):
        raise NotElfError("it is no ELF object")
    order = "little" if front[5] == 1 else "big"
    number = int.from_bytes(front[18:20], order)  # type: ignore[arg-type]  # one of the two literals
    machine = _MACHINES.get(number, f"machine {number}")
    if front[4:6] != b"\2\1":
        return Header(machine=machine)
    fields = _HEADER.unpack_from(front)
    offset, size, count = fields[5], fields[9], fields[10]
    end = offset + size * count
    if size != _SEGMENT.size or end > len(front):
        return Header(machine=machine)
    segments = []
    for at in range(offset, end, size):
        kind, flags, start, address, _, length, memory, _ = _SEGMENT.unpack_from(front, at)
        segments.append(Segment(kind, flags, start, address, length, memory))
    return Header(machine=machine, segments=tuple(segments), end=end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dynamic:
    """The dynamic section: its tags that stand once, and the string offsets of the libraries it needs."""

    tags: Mapping[int, int]
    needed: tuple[int, ...]
    segments: Sequence[Segment]

    def offset(self, tag: int) -> int | None:
        """Where in the file the address of a tag lies; None where there is no such tag."""
        address = self.tags.get(tag)
        return None if address is None else self.file_offset(address)

    def file_offset(self, address: int) -> int:
        """Where in the file an address lies. Raises NotElfError."""
        for segment in self.segments:
            if segment.kind == _SEGMENT_LOAD and segment.address <= address < segment.address + segment.size:
                return segment.offset + address - segment.address
        raise NotElfError("an address lies in no segment")


def read_dynamic(source: ReadAt, header: Header) -> Dynamic:
    """The dynamic section of an object. Raises NotElfError, and what ``source`` raises."""
    place = next((segment for segment in header.segments if segment.kind == _SEGMENT_DYNAMIC), None)
    if place is None or place.size > _LARGEST_DYNAMIC:
        raise NotElfError("it has no dynamic section")
    content = source.read(place.offset, place.size)
    tags: dict[int, int] = {}
    needed = []
    for at in range(0, len(content) - _DYNAMIC.size + 1, _DYNAMIC.size):
        tag, value = _DYNAMIC.unpack_from(content, at)
        if tag == 0:
            break
        if tag == NEEDED:
            needed.append(value)
        tags.setdefault(tag, value)
    return Dynamic(tags=tags, needed=tuple(needed), segments=header.segments)


# Tags of the dynamic section (System V ABI; the last three: GNU).
NEEDED, HASH, STRTAB, SYMTAB, STRSZ, SONAME = 1, 4, 5, 6, 10, 14
GNU_HASH, VERNEED, VERNEEDNUM = 0x6FFFFEF5, 0x6FFFFFFE, 0x6FFFFFFF
