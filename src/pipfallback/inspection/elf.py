"""The dynamic symbols of a shared object: what it needs and what it offers (System V ABI, chapter 5).

Linkers put the symbols and their names at the front, and the dynamic section that points to them at the end, behind the
GPU code. So the front is tried first, where a look is all that is wanted: the symbols are found by their form. Where that
fails (patchelf moves the names to the end) the dynamic section is followed, which means to read the whole object.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipfallback.file_facts import SharedObject
from pipfallback.inspection import elf_layout as layout
from pipfallback.inspection.read_at import ReadAt, TooMuchError

_SYMBOL = struct.Struct("<LBBHQQ")
_NO_SYMBOL = bytes(_SYMBOL.size)  # the first entry of every symbol table
_GNU_HASH = struct.Struct("<4L")
_NEED = struct.Struct("<HHLLL")
_NEED_VERSION = struct.Struct("<LHHLL")
_GLOBAL, _WEAK, _UNIQUE = 1, 2, 10  # bindings
_BINDINGS = frozenset({0, _GLOBAL, _WEAK, _UNIQUE})
_LAST_TYPE = 10  # STT_GNU_IFUNC
_SECTION = 3  # the type of a symbol without a name
_FIRST_RESERVED, _LAST_REAL = 0xFF00, 0xFFF2  # section numbers between them have no meaning here
_LARGEST_TABLE = 96 << 20  # bytes of symbols, and of names; libtorch_cpu.so has 10 MB of them
_FIRST_FRONT, _LONGEST_FRONT = 1 << 18, 1 << 24
_ROOM = 1 << 14  # for the names of libraries and versions, which stand behind those of symbols
_LIBRARY = re.compile(r"(?:lib|ld-)[\w.+-]*\.so(?:\.\w+)*|\w[\w.+-]*\.so(?:\.\d+)+")
_VERSION = re.compile(r"(?:GLIBC|GLIBCXX|CXXABI|GCC)_\d+(?:\.\d+)*")
_STRINGS = re.compile(rb"\0(?:[\x21-\x7e]{3,}\0){4}")
_TEXT = re.compile(rb"[\x21-\xff]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Symbols:
    """A symbol table, sorted by what its entries are for."""

    undefined: frozenset[str]
    weak: frozenset[str]
    exported: frozenset[str]


def read_object(source: ReadAt, name: str, *, front: bool = True, whole: bool = True) -> SharedObject:
    """The shared object in ``source``.

    ``front``: whether to try its first bytes before all of it; ``whole``: whether all of it may be read.
    An object that cannot be read, or not within what ``source`` allows, is not ``known``. Raises NotElfError for what is
    no ELF object at all, and what ``source`` raises.
    """
    start = source.read(0, layout.FRONT)
    header = layout.read_header(start)
    unknown = SharedObject(name=name, machine=header.machine, known=False)
    if not header.segments:
        return unknown
    try:
        found = _from_front(source, name, header) if front and not header.rewritten else None
        if found is None and whole:
            found = _by_dynamic_section(source, name, header)
    except (layout.NotElfError, TooMuchError, struct.error):
        return unknown
    return found or unknown


def _by_dynamic_section(source: ReadAt, name: str, header: layout.Header) -> SharedObject:
    dynamic = layout.read_dynamic(source, header)
    symbols_at, names_at = dynamic.offset(layout.SYMTAB), dynamic.offset(layout.STRTAB)
    if symbols_at is None or names_at is None:
        raise layout.NotElfError("it has no symbol table")
    count = _count(source, dynamic, symbols_at, names_at)
    names_size = dynamic.tags.get(layout.STRSZ, 0)
    if max(count * _SYMBOL.size, names_size) > _LARGEST_TABLE:
        raise layout.NotElfError("its symbol table is too large")
    table = source.read(symbols_at, count * _SYMBOL.size)
    names = source.read(names_at, names_size)
    symbols = _sorted(_SYMBOL.iter_unpack(table[: len(table) // _SYMBOL.size * _SYMBOL.size]), names)
    soname = dynamic.tags.get(layout.SONAME)
    return SharedObject(
        name=name,
        machine=header.machine,
        soname=None if soname is None else _string(names, soname),
        needed=tuple(_string(names, at) for at in dynamic.needed),
        undefined=symbols.undefined,
        weak=symbols.weak,
        exported=symbols.exported,
        versions=frozenset(_versions(source, dynamic, names)),
    )


def _count(source: ReadAt, dynamic: layout.Dynamic, symbols_at: int, names_at: int) -> int:
    """How many symbols there are; the hash tables know it."""
    plain, gnu = dynamic.offset(layout.HASH), dynamic.offset(layout.GNU_HASH)
    if plain is not None:
        return int(struct.unpack("<LL", source.read(plain, 8))[1])
    if gnu is None:
        return max(0, names_at - symbols_at) // _SYMBOL.size
    buckets, first, words, _ = _GNU_HASH.unpack(source.read(gnu, _GNU_HASH.size))
    at = gnu + _GNU_HASH.size + 8 * words
    last = max(struct.unpack(f"<{buckets}L", source.read(at, 4 * buckets)), default=0)
    if last < first:  # nothing is offered, and GNU ld writes an empty table that counts no symbol
        return max(int(first), (names_at - symbols_at) // _SYMBOL.size)
    chain = at + 4 * buckets + 4 * (last - first)
    while len(hashes := source.read(chain, 1024)) >= 4:
        for (value,) in struct.iter_unpack("<L", hashes[: len(hashes) // 4 * 4]):
            last += 1
            if value & 1:  # the end of the last chain
                return last
        chain += len(hashes)
    raise layout.NotElfError("its hash table has no end")


def _versions(source: ReadAt, dynamic: layout.Dynamic, names: bytes) -> Iterator[str]:
    """The symbol versions that it needs of its libraries (Linux Standard Base, "Symbol Versioning")."""
    at = dynamic.offset(layout.VERNEED)
    if at is None:
        return
    for _ in range(dynamic.tags.get(layout.VERNEEDNUM, 0)):
        _, count, _, first, following = _NEED.unpack(source.read(at, _NEED.size))
        version_at = at + first
        for _ in range(count):
            *_, name, next_version = _NEED_VERSION.unpack(source.read(version_at, _NEED_VERSION.size))
            if _VERSION.fullmatch(text := _string(names, name)):
                yield text
            version_at += next_version
        at += following


def _sorted(entries: Iterable[tuple[int, int, int, int, int, int]], names: bytes) -> _Symbols:
    undefined, weak, exported = set(), set(), set()
    for name, info, _, section, _, _ in entries:
        binding = info >> 4
        if not name or not binding:
            continue
        text = _string(names, name)
        if section:
            exported.add(text)
        elif binding == _WEAK:
            weak.add(text)
        else:
            undefined.add(text)
    return _Symbols(undefined=frozenset(undefined), weak=frozenset(weak), exported=frozenset(exported))


def _string(names: bytes, at: int) -> str:
    end = names.find(b"\0", at)
    if end < 0:
        raise layout.NotElfError("a name lies outside of the names")
    return names[at:end].decode("utf-8", "surrogateescape")


def _from_front(source: ReadAt, name: str, header: layout.Header) -> SharedObject | None:
    """The object as its first bytes tell it; None where the symbols are not found there by their form."""
    length = _FIRST_FRONT
    while length <= _LONGEST_FRONT:
        data = source.read(0, length)
        found = _tables(data, header.end)
        told = _told(data, *found, name=name, machine=header.machine) if found else None
        if told is not None or len(data) < length:
            return told
        more = _wanted_front(data, header.end)
        if more <= length:
            break
        length = more
    return None


def _tables(data: bytes, start: int) -> tuple[int, int, int] | None:
    """Where symbols begin and end, and where their names begin; None: they are not there, or not whole."""
    for at in _table_starts(data, start):
        end = _table_end(data, at)
        if end - at < 2 * _SYMBOL.size:
            continue
        if (names := _names_start(data, at, end)) is not None:
            return at, names[0], names[1]
    return None


def _wanted_front(data: bytes, start: int) -> int:
    """How long a front must be to hold the symbols that begin in this one, with their names; 0: none do.

    Where the symbols end, the highest offset of a name tells where their names do.
    """
    runs = [(at, _table_end(data, at)) for at in _table_starts(data, start)]
    at, end = max(runs, key=lambda run: run[1] - run[0], default=(0, len(data)))
    if end + _SYMBOL.size > len(data):
        return 2 * len(data)
    highest = max(name for name, *_ in _SYMBOL.iter_unpack(data[at:end]))
    return end + int(highest) + _ROOM


def _table_starts(data: bytes, start: int) -> Iterator[int]:
    """Where a symbol table may begin: with an empty entry, at a multiple of 8, and a good one after it."""
    at = start
    while (at := data.find(_NO_SYMBOL, at)) >= 0:
        at += -at % 8
        while data.startswith(_NO_SYMBOL, at) and not _is_symbol(data, at + _SYMBOL.size):
            at += 8
        if data.startswith(_NO_SYMBOL, at):
            yield at
            at += _SYMBOL.size


def _is_symbol(data: bytes, at: int) -> bool:
    if len(data) - at < _SYMBOL.size:
        return False
    name, info, other, section, address, _ = _SYMBOL.unpack_from(data, at)
    if info >> 4 not in _BINDINGS or info & 15 > _LAST_TYPE or other & 0x7C:
        return False
    if _FIRST_RESERVED <= section <= _LAST_REAL and section != 0xFFF1:
        return False
    named = 0 < name < _LARGEST_TABLE or (info & 15 == _SECTION and name == 0)
    return bool(named and (section or not address))


def _table_end(data: bytes, at: int) -> int:
    at += _SYMBOL.size
    while _is_symbol(data, at):
        at += _SYMBOL.size
    return at


def _names_start(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """The true end of the symbols, and where their names begin: right there (GNU ld, gold), or a little later (lld).

    Right is a place where every symbol finds a name, and where names of libraries stand besides.
    """
    if _fits(data, at, end, end):
        return end, end
    for found in _STRINGS.finditer(data, end, min(len(data), end + (1 << 22))):
        # Behind the symbols lie their versions then, which can look like one more symbol.
        for cut in range(end, max(at, end - 8 * _SYMBOL.size), -_SYMBOL.size):
            if _fits(data, at, cut, found.start()):
                return cut, found.start()
        break
    return None


def _fits(data: bytes, at: int, end: int, names: int) -> bool:
    if data[names : names + 1] != b"\0":
        return False
    undefined = 0
    highest = names
    for name, info, _, section, _, _ in _SYMBOL.iter_unpack(data[at + _SYMBOL.size : end]):
        text = _TEXT.match(data, names + name)
        if name and (text is None or data[text.end() : text.end() + 1] != b"\0"):
            return False
        undefined += not section and info >> 4 != 0
        highest = max(highest, names + name)
    return undefined > 0 and any(_LIBRARY.fullmatch(text) for text in _strings(data, names, highest))


def _strings(data: bytes, start: int, at_least: int) -> Iterator[str]:
    """The names from ``start`` on, to where no more follow behind ``at_least``."""
    at = start + 1
    while found := _TEXT.match(data, at):
        end = found.end()
        if data[end : end + 1] != b"\0" or (at > at_least and any(byte > 0x7E for byte in found[0])):
            return
        yield found[0].decode("utf-8", "surrogateescape")
        at = end + 1


def _told(data: bytes, at: int, end: int, names: int, *, name: str, machine: str) -> SharedObject | None:
    entries = list(_SYMBOL.iter_unpack(data[at:end]))
    highest = names + max(entry[0] for entry in entries)
    texts = list(_strings(data, names, highest))
    last = names + 1 + sum(len(text.encode("utf-8", "surrogateescape")) + 1 for text in texts)
    if last >= len(data):  # there may be more names
        return None
    symbols = _sorted(entries, data[names:last])
    others = [text for text in texts if text not in symbols.exported]
    file = name.rpartition("/")[2]
    return SharedObject(
        name=name,
        machine=machine,
        needed=tuple(text for text in others if _LIBRARY.fullmatch(text) and text != file),
        undefined=symbols.undefined,
        weak=symbols.weak,
        exported=symbols.exported,
        versions=frozenset(text for text in others if _VERSION.fullmatch(text)),
    )
