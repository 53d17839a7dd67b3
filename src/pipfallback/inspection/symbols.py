"""Does a library export this name? Asked of its hash table, so that a library of 500 MB answers in microseconds.

GNU hash tables are described nowhere officially; flapenguin.me/elf-dt-gnu-hash and glibc's elf/dl-lookup.c are.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from pipfallback.inspection import elf_layout as layout

_SYMBOL_SIZE = 24
_HIDDEN = 2  # STV_HIDDEN and, below it, STV_INTERNAL


class Library:
    """A shared object that is here, mapped. Raises NotElfError or OSError where it is none; a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._find_tables()
        except struct.error as error:
            self._map.close()
            raise layout.NotElfError(f"its tables lie outside of it: {error}") from None
        except layout.NotElfError:
            self._map.close()
            raise

    def _find_tables(self) -> None:
        header = layout.read_header(self._map[: layout.FRONT])
        dynamic = layout.read_dynamic(self, header)
        places = [dynamic.offset(tag) for tag in (layout.SYMTAB, layout.STRTAB, layout.GNU_HASH)]
        symbols, names, table = places
        if symbols is None or names is None or table is None:
            raise layout.NotElfError("it has no hash table")
        self._symbols, self._names = symbols, names
        self._buckets, self._first, self._words, self._shift = struct.unpack_from("<4L", self._map, table)
        self._bloom = table + 16
        self._bucket_at = self._bloom + 8 * self._words
        self._chain_at = self._bucket_at + 4 * self._buckets

    @property
    def size(self) -> int:
        """As ReadAt says."""
        return len(self._map)

    def read(self, offset: int, length: int, /) -> bytes:
        """As ReadAt says."""
        return self._map[offset : offset + length]

    def exports(self, name: str) -> bool:
        """Whether another object may find the symbol here."""
        wanted = name.encode("utf-8", "surrogateescape")
        value = gnu_hash(wanted)
        if not self._buckets or not self._may_hold(value):
            return False
        (index,) = struct.unpack_from("<L", self._map, self._bucket_at + 4 * (value % self._buckets))
        while index >= self._first:
            (there,) = struct.unpack_from("<L", self._map, self._chain_at + 4 * (index - self._first))
            if there | 1 == value | 1 and self._is(index, wanted):
                return True
            if there & 1:
                break
            index += 1
        return False

    def _may_hold(self, value: int) -> bool:
        """What the Bloom filter says: False is certain."""
        if not self._words:
            return True
        (word,) = struct.unpack_from("<Q", self._map, self._bloom + 8 * (value // 64 % self._words))
        return bool(word >> (value % 64) & word >> ((value >> self._shift) % 64) & 1)

    def _is(self, index: int, wanted: bytes) -> bool:
        name, _, other, section = struct.unpack_from("<LBBH", self._map, self._symbols + _SYMBOL_SIZE * index)
        start = self._names + name
        same = self._map[start : start + len(wanted) + 1] == wanted + b"\0"
        return same and section != 0 and not 0 < other & 3 <= _HIDDEN

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()


def gnu_hash(name: bytes) -> int:
    """Bernstein's hash, as GNU hash tables have it."""
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


class Libraries:
    """Several libraries that are looked in together. Those that cannot be read are left out; a context manager."""

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self.opened: list[Library] = []
        with ExitStack() as stack:
            for path in paths:
                try:
                    library = Library(Path(path))
                except (OSError, ValueError):  # a linker script, an empty file, one without symbols, not there
                    continue
                stack.callback(library.close)
                self.opened.append(library)
            self._stack = stack.pop_all()

    def __enter__(self) -> Libraries:  # noqa: PYI034  (typing.Self needs Python 3.11)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def export(self, name: str) -> bool:
        """Whether any of them offers the symbol."""
        return any(library.exports(name) for library in self.opened)
