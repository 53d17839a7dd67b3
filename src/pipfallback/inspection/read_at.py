"""Bytes at an offset: of a file here, or of one elsewhere (a server that takes Range requests)."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from types import TracebackType
from typing import Protocol


class ReadAt(Protocol):
    """A source of bytes that can be read anywhere, from several threads at once."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read(self, offset: int, length: int, /) -> bytes:
        """``length`` bytes from ``offset`` on, fewer only at the end. Raises OSError where the source fails."""


class LocalFile:
    """A file on disk. A context manager; raises OSError where it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._lock = threading.Lock()
        self.size = self._file.seek(0, io.SEEK_END)

    def __enter__(self) -> LocalFile:  # noqa: PYI034  (typing.Self needs Python 3.11)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, offset: int, length: int, /) -> bytes:
        """As ``ReadAt`` says."""
        with self._lock:
            self._file.seek(offset)
            return self._file.read(length)


class Excerpt:
    """A part of another source, as a source of its own: ``length`` bytes from ``start`` on."""

    def __init__(self, source: ReadAt, start: int, length: int) -> None:
        self._source = source
        self._start = start
        self.size = length

    def read(self, offset: int, length: int, /) -> bytes:
        """As ``ReadAt`` says."""
        return self._source.read(self._start + offset, max(0, min(length, self.size - offset)))


class TooMuchError(OSError):
    """More was to be read than allowed."""


class Bounded:
    """Another source of which at most ``limit`` bytes are read, and no byte twice. Raises TooMuchError beyond.

    Requests for bytes that were read already, or that begin in them, cost only what is new.
    """

    def __init__(self, source: ReadAt, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._kept: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self.size = source.size
        self.spent = 0

    def read(self, offset: int, length: int, /) -> bytes:
        """As ``ReadAt`` says. Raises TooMuchError."""
        length = max(0, min(length, self.size - offset))
        with self._lock:
            known = self._known(offset, length)
            missing = length - len(known)
            if self.spent + missing > self._limit:
                raise TooMuchError(f"more than {self._limit} bytes of the file would have to be read")
            self.spent += missing
        if not missing:
            return known
        new = self._source.read(offset + len(known), missing)
        with self._lock:
            self._kept[offset + len(known)] = new
        return known + new

    def _known(self, offset: int, length: int) -> bytes:
        """What is kept of the bytes from ``offset`` on."""
        found = b""
        while len(found) < length:
            at = offset + len(found)
            part = next(
                (kept[at - start :] for start, kept in self._kept.items() if start <= at < start + len(kept)), b""
            )
            if not part:
                break
            found += part[: length - len(found)]
        return found
