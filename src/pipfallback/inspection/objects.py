"""The shared objects in the zip of a wheel: which members they are, and what each of them is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pipfallback.file_facts import GpuCode, SharedObject
from pipfallback.inspection.elf import read_object
from pipfallback.inspection.elf_layout import NotElfError
from pipfallback.inspection.fatbin import read_gpu_code
from pipfallback.inspection.read_at import ReadAt
from pipfallback.inspection.zip_entries import Entry, open_member

# Tells from what was found so far in one object whether its GPU code need not be read further.
Enough = Callable[[GpuCode], bool]

_NAME = re.compile(r".*(?:\.so(?:\.[\w.]+)?|\.pyd|\.dll|\.dylib)")
# The first bytes of objects of macOS (Mach-O, of one machine or several) and of Windows: there, and not understood.
_FOREIGN = (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ")
_PIECE = 1 << 20
# What CUDA's runtime calls when an object with GPU code is loaded; where the runtime is linked in, it looks up the
# driver's functions by name.
_CUDA = ("__cudaRegisterFatBinary", "dlsym")


def objects_among(entries: Iterable[Entry]) -> list[Entry]:
    """The members that are named as shared objects are."""
    return [entry for entry in entries if _NAME.fullmatch(entry.name.rpartition("/")[2])]


def read_objects(source: ReadAt, entries: Sequence[Entry], enough: Enough | None) -> tuple[SharedObject, ...]:
    """What each shared object is, with its GPU code as far as ``enough`` wants it; None: without.

    Raises BadZipError for a damaged member; OSError where the source fails.
    """
    # zlib leaves the interpreter's lock: two objects are inflated at once on two cores. The largest come first.
    order = sorted(entries, key=lambda entry: -entry.size)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as threads:
        found = dict(zip(order, threads.map(lambda entry: _read(source, entry, enough), order), strict=True))
    return tuple(one for entry in entries if (one := found[entry]) is not None)


def _read(source: ReadAt, entry: Entry, enough: Enough | None) -> SharedObject | None:
    content = open_member(source, entry)
    one = read_member(content, entry)
    if one is None or enough is None or one.bundled:
        return one
    code = read_gpu_code(_pieces(content), enough) if may_hold_gpu_code(one) else GpuCode()
    return replace(one, gpu=code)


def read_member(content: ReadAt, entry: Entry, *, whole: bool = True) -> SharedObject | None:
    """The shared object in ``content``; None for what is only named as one. ``whole``: as for ``read_object``."""
    try:
        return read_object(content, entry.name, whole=whole)
    except NotElfError:
        foreign = content.read(0, 4).startswith(_FOREIGN)
        return SharedObject(name=entry.name, machine="", known=False) if foreign else None


def may_hold_gpu_code(one: SharedObject) -> bool:
    """Whether an object may hold CUDA code: it calls what registers such code, or it is not known what it calls."""
    return not one.known or any(name in one.undefined for name in _CUDA)


def _pieces(content: ReadAt) -> Iterator[bytes]:
    for at in range(0, content.size, _PIECE):
        yield content.read(at, _PIECE)
