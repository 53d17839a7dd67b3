"""CUDA fat binaries: for which GPUs an object holds machine code, and for which PTX.

The layout is not documented by NVIDIA; it was read off objects that nvcc 13.0 made for known architectures, and agrees
with ``cuobjdump --list-elf --list-ptx`` of CUDA 13.2 on these and on the libraries of torch 2.14.1 (docs/inspection.md).
A container is 8-byte aligned: magic (u32), version (u16), header size (u16), size of what follows (u64). In it stand
entries: kind (u16, 1 PTX, 2 machine code), version (u16), header size (u32), payload size (u64); minor and major of the
PTX version (u16 each) at byte 24, the architecture (u32) at 28, flags (u64) at 40. Only payloads are compressed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from pipfallback.file_facts import GpuCode, version_key

_MAGIC = struct.pack("<L", 0xBA55ED50)
_CONTAINER = struct.Struct("<LHHQ")
_ENTRY = struct.Struct("<HHLQ8xHHL8xQ")
_CONTAINER_VERSION, _ENTRY_VERSION = 1, 0x0101
_PTX, _MACHINE_CODE = 1, 2
_ARCHITECTURE_SPECIFIC, _FAMILY_SPECIFIC = 0x100000, 0x200000
_LARGEST_HEADER = 4096


class FatBinReader:
    """Finds fat binaries in an object that is fed to it piece by piece, front to back. Keeps no more than a header."""

    def __init__(self) -> None:
        self._machine: set[str] = set()
        self._ptx: dict[str, str] = {}
        self._rest = b""  # of the last piece: what may be the beginning of a header
        self._at = 0  # where the rest begins in the object
        self._next = 0  # where the next header, or the search for one, begins
        self._end = 0  # of the container that is being read; 0 between containers

    def feed(self, piece: bytes) -> None:
        """Look at the next bytes of the object."""
        data = self._rest + piece if self._rest else piece
        while (place := self._next - self._at) < len(data):
            following = self._entry(data, place) if self._end else self._container(data, place)
            if following is None:
                break
            self._next = following
        keep = min(self._next - self._at, len(data))
        self._rest = data[keep:]
        self._at += keep

    def code(self, *, complete: bool) -> GpuCode:
        """What was found so far; ``complete``: the object was fed to its end."""
        return GpuCode(
            machine=frozenset(self._machine), ptx=frozenset(self._ptx), ptx_isa=dict(self._ptx), complete=complete
        )

    def _container(self, data: bytes, place: int) -> int | None:
        """Where to go on, looking for a container from ``place`` on; None: more bytes are needed there."""
        found = data.find(_MAGIC, place)
        if found < 0:
            self._next = max(self._next, self._at + len(data) - len(_MAGIC) + 1)
            return None
        self._next = self._at + found
        if len(data) - found < _CONTAINER.size:
            return None
        _, version, header, size = _CONTAINER.unpack_from(data, found)
        if self._next % 8 or version != _CONTAINER_VERSION or header != _CONTAINER.size or not size:
            return self._next + len(_MAGIC)
        self._end = self._next + header + size
        return self._next + int(header)

    def _entry(self, data: bytes, place: int) -> int | None:
        """Where the header after that at ``place`` is; None: more bytes are needed here."""
        if self._next + _ENTRY.size > self._end:
            following, self._end = max(self._next, self._end), 0
            return following
        if len(data) - place < _ENTRY.size:
            return None
        kind, version, header, size, minor, major, arch, flags = _ENTRY.unpack_from(data, place)
        if version != _ENTRY_VERSION or not _ENTRY.size <= header <= _LARGEST_HEADER:
            self._end = 0  # it looked like a container by chance
            return self._next
        self._note(kind, _architecture(arch, flags), f"{major}.{minor}")
        return self._next + int(header + size)

    def _note(self, kind: int, arch: str, ptx_version: str) -> None:
        if kind == _MACHINE_CODE:
            self._machine.add(arch)
        elif kind == _PTX:
            self._ptx[arch] = min(self._ptx.get(arch, ptx_version), ptx_version, key=version_key)


def _architecture(number: int, flags: int) -> str:
    variant = "f" if flags & _FAMILY_SPECIFIC else "a" if flags & _ARCHITECTURE_SPECIFIC else ""
    return f"{number // 10}.{number % 10}{variant}"


def read_gpu_code(pieces: Iterable[bytes], enough: Callable[[GpuCode], bool] | None = None) -> GpuCode:
    """The GPU code of an object that comes in pieces. ``enough``: tells from what was found whether to stop there."""
    reader = FatBinReader()
    found = reader.code(complete=False)
    for piece in pieces:
        reader.feed(piece)
        now = reader.code(complete=False)
        if enough and (now.machine != found.machine or now.ptx != found.ptx) and enough(now):
            return now
        found = now
    return reader.code(complete=True)
