"""The members of a zip, read from its end (PKWARE APPNOTE.TXT 6.3.10), and one member inflated from its front.

``zipfile`` would do for a file on disk. Here the zip may lie on a server: no byte is read that is not needed, and a
member of 600 MB is read as far as it has something to say.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipfallback.inspection.read_at import Excerpt, ReadAt

_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1
_END = struct.Struct("<4s4H2LH")  # 4.3.16
_END_64_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_END_64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_ENTRY = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_LONGEST_COMMENT = 0xFFFF
_LARGEST_DIRECTORY = 64 << 20  # torch's own wheel, with 15,000 files, has 2 MB
_ZIP64_EXTRA = 1  # 4.5.3
_FULL_16, _FULL_32 = 0xFFFF, 0xFFFFFFFF
# Deflate makes at most 1032 bytes of one (zlib.net/zlib_tech.html).
_HIGHEST_RATIO = 1032


class BadZipError(ValueError):
    """It is no zip, or a damaged one; the message says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One member. ``offset``: of its local header; ``packed`` and ``size`` in bytes, packed and not."""

    name: str
    method: int
    flags: int
    packed: int
    size: int
    offset: int


def read_entries(source: ReadAt, *, tail: int = 1 << 16) -> tuple[Entry, ...]:
    """The central directory of a zip, by one read of its last ``tail`` bytes, and more where those do not do.

    Raises BadZipError; OSError where the source fails.
    """
    last = source.read(max(0, source.size - tail), tail)
    place = last.rfind(b"PK\5\6")
    if place < 0 and tail < _LONGEST_COMMENT + _END.size < source.size:
        return read_entries(source, tail=_LONGEST_COMMENT + _END.size)
    if place < 0 or len(last) - place < _END.size:
        raise BadZipError("it does not end as a zip does: cut off, or no zip at all")
    end = source.size - len(last) + place
    count, size, offset = _directory(source, end, _END.unpack_from(last, place))
    if size > _LARGEST_DIRECTORY or offset + size > end:
        raise BadZipError("its directory lies outside of the file")
    start = source.size - len(last)
    before = source.read(offset, min(size, max(0, start - offset)))
    return tuple(_entries(before + last[max(0, offset - start) : offset + size - start], count))


def _directory(source: ReadAt, end: int, record: Sequence[int]) -> tuple[int, int, int]:
    """Count, size and offset of the central directory; from the zip64 records where the old fields are full."""
    count, size, offset = record[4:7]
    if count != _FULL_16 and _FULL_32 not in (size, offset):
        return count, size, offset
    locator = source.read(max(0, end - _END_64_LOCATOR.size), _END_64_LOCATOR.size)
    if not locator.startswith(b"PK\6\7") or len(locator) < _END_64_LOCATOR.size:
        return count, size, offset
    record_64 = source.read(_END_64_LOCATOR.unpack(locator)[2], _END_64.size)
    if not record_64.startswith(b"PK\6\6") or len(record_64) < _END_64.size:
        raise BadZipError("its zip64 directory is not where it should be")
    fields = _END_64.unpack(record_64)
    return fields[7], fields[8], fields[9]


def _entries(directory: bytes, count: int) -> Iterator[Entry]:
    at = 0
    for _ in range(count):
        if not directory.startswith(b"PK\1\2", at) or len(directory) - at < _ENTRY.size:
            raise BadZipError("its directory is damaged")
        fields = _ENTRY.unpack_from(directory, at)
        flags, method, packed, size = fields[3], fields[4], fields[8], fields[9]
        name_end = at + _ENTRY.size + fields[10]
        extra_end = name_end + fields[11]
        wide = _widened(directory[name_end:extra_end], (size, packed, fields[16]))
        yield Entry(
            name=directory[at + _ENTRY.size : name_end].decode("utf-8", "surrogateescape"),
            method=method,
            flags=flags,
            packed=wide[1],
            size=wide[0],
            offset=wide[2],
        )
        at = extra_end + fields[12]


def _widened(extra: bytes, fields: tuple[int, int, int]) -> tuple[int, ...]:
    """Size, packed size and offset, those that are full taken from the zip64 extra field."""
    wide = list(fields)
    full = [index for index, value in enumerate(fields) if value == _FULL_32]
    at = 0
    while full and at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == _ZIP64_EXTRA:
            if length < 8 * len(full) or at + 4 + 8 * len(full) > len(extra):
                raise BadZipError("a zip64 field is too short")
            for place, index in enumerate(full):
                wide[index] = struct.unpack_from("<Q", extra, at + 4 + 8 * place)[0]
        at += 4 + length
    return tuple(wide)


def open_member(source: ReadAt, entry: Entry, *, step: int = 1 << 18) -> ReadAt:
    """The content of a member, as a source: inflated as far as it is read, from the front.

    ``step``: how many packed bytes are read at first. Raises BadZipError; OSError where the source fails.
    """
    if entry.flags & _ENCRYPTED or entry.method not in {_STORED, _DEFLATED}:
        raise BadZipError(f"{entry.name} is encrypted, or packed in a way that pip does not know")
    # The local header's extra field may have another length than the directory's: 28 bytes of room for a usual one.
    guess = _LOCAL.size + len(entry.name.encode("utf-8", "surrogateescape")) + 28
    header = source.read(entry.offset, guess + min(step, entry.packed))
    if not header.startswith(b"PK\3\4") or len(header) < _LOCAL.size:
        raise BadZipError(f"{entry.name} is not where the directory says")
    fields = _LOCAL.unpack_from(header)
    start = entry.offset + _LOCAL.size + fields[9] + fields[10]
    if start + entry.packed > source.size:
        raise BadZipError(f"{entry.name} is cut off")
    packed = Excerpt(source, start, entry.packed)
    if entry.method == _STORED:
        return packed
    if entry.size > entry.packed * _HIGHEST_RATIO + 1024:
        raise BadZipError(f"{entry.name} claims to be larger than it can be")
    return Inflated(packed, entry.size, first=header[start - entry.offset :], step=step)


def check_headers(source: ReadAt, entries: Iterable[Entry]) -> None:
    """That each member is where the directory says, under the same name: else pip ends with a traceback.

    Raises BadZipError; OSError where the source fails. The contents are pip's to check.
    """
    for entry in entries:
        if entry.flags & _ENCRYPTED or entry.method not in {_STORED, _DEFLATED}:
            continue  # pip knows other methods than we do
        open_member(source, entry, step=0)
        name = entry.name.encode("utf-8", "surrogateescape")
        if source.read(entry.offset + _LOCAL.size, len(name)) != name:
            raise BadZipError(f"{entry.name} has another name where it lies")


class Inflated:
    """A deflated stream as a source. Reading forward is cheap; reading back, beyond what is kept, begins anew.

    ``kept``: how many bytes of the front are kept. Only one thread at a time inflates.
    """

    def __init__(self, packed: ReadAt, size: int, *, first: bytes, step: int, kept: int = 4 << 20) -> None:
        self.size = size
        self._packed = packed
        self._first = first[: packed.size]
        self._step = step
        self._kept = kept
        self._front = bytearray()
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._fed = 0
        self._position = 0
        self._chunk = b""  # what was inflated last; it ends at the position

    def read(self, offset: int, length: int, /) -> bytes:
        """As ``ReadAt`` says. Raises BadZipError where the stream is damaged."""
        end = min(offset + length, self.size)
        with self._lock:
            parts = []
            at = offset
            while at < end:
                part = self._at(at, end)
                parts.append(part)
                at += len(part)
            return b"".join(parts)

    def _at(self, at: int, end: int) -> bytes:
        """Some bytes from ``at`` on, at least one."""
        if at < len(self._front):
            return bytes(self._front[at:end])
        if at < self._position - len(self._chunk):
            self._begin()
        while self._position <= at:
            self._advance()
        start = len(self._chunk) - (self._position - at)
        return self._chunk[start : start + end - at]

    def _advance(self) -> None:
        feed = self._stream.unconsumed_tail or self._feed()
        try:
            chunk = self._stream.decompress(feed, 1 << 20)
        except zlib.error as error:
            raise BadZipError(f"a packed stream is damaged: {error}") from None
        if not chunk and (self._stream.eof or not feed):
            raise BadZipError("a packed stream ends too early")
        if self._position == len(self._front) < self._kept:
            self._front += chunk[: self._kept - len(self._front)]
        self._position += len(chunk)
        if chunk:
            self._chunk = chunk

    def _feed(self) -> bytes:
        """The next packed bytes: small steps at first, for a little more may do, and up to 1 MB later."""
        feed = self._first if self._fed == 0 else b""
        feed = feed or self._packed.read(self._fed, max(self._step, min(self._fed // 4, 1 << 20)))
        self._fed += len(feed)
        return feed
