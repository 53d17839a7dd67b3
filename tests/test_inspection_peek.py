"""A remote wheel judged from few bytes: real objects in large wheels, with a count of what was read."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from lib.binaries import GPU_OBJECTS, compiled, needs_version
from lib.server import NO_RANGES, Server
from lib.wheels import cut, make_wheel, without_member
from pipfallback.file_facts import FileFacts, SharedObject
from pipfallback.inspection.findings import read_facts
from pipfallback.inspection.peek import LIMIT, Peek, peek
from pipfallback.inspection.read_at import LocalFile
from pipfallback.inspection.wheel import InvalidWheelError
from pipfallback.net.client import Client
from pipfallback.net.failures import FetchFailure
from pipfallback.net.remote_file import open_remote

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a compiler")

CALLS = "_ZN3c106detail14torchCheckFailEPKcS2_jRKSs"
NOISE = 8 << 20


class Counted:
    """A file that counts what is read of it."""

    def __init__(self, file: LocalFile) -> None:
        self.file = file
        self.size = file.size
        self.bytes = 0
        self.requests = 0

    def read(self, offset: int, length: int, /) -> bytes:
        content = self.file.read(offset, length)
        self.bytes += len(content)
        self.requests += 1
        return content


def large_object(folder: Path, symbols: int = 2000) -> bytes:
    """An extension module whose symbols stand before 8 MB that cannot be packed."""
    noise = folder / "noise"
    noise.write_bytes(os.urandom(NOISE))
    lines = [f"extern void wanted_{n}(void); void offered_{n}(void) {{ wanted_{n}(); }}" for n in range(symbols)]
    lines += ["#include <stdio.h>", f"extern void {CALLS}(void);", 'void *PyInit_big(void) { puts("x"); return 0; }']
    lines += [f"void call(void) {{ {CALLS}(); }}", f'asm(".section .rodata\\n.incbin \\"{noise}\\"\\n.text");']
    return compiled("\n".join(lines), "-O0")


def looked_at(path: Path, *, limit: int = LIMIT) -> tuple[Peek, Counted]:
    with LocalFile(path) as file:
        source = Counted(file)
        return peek(source, limit=limit), source


def without_gpu(facts: FileFacts) -> set[tuple[object, ...]]:
    return {
        (one.name, one.undefined, one.weak, one.exported, one.versions, frozenset(one.needed)) for one in facts.objects
    }


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    small = compiled('#include <stdio.h>\nextern int e(void); int said(void) { puts("x"); return e(); }')
    return make_wheel(
        tmp_path, requires=["torch==2.7.1"], files={"big.abi3.so": large_object(tmp_path), "p/small.so": small}
    )


def test_the_front_of_each_object_says_what_the_whole_file_says(wheel: Path) -> None:
    found, source = looked_at(wheel)
    whole = read_facts(wheel)
    assert without_gpu(found.facts) == without_gpu(whole)
    assert (found.facts.uses_torch, found.facts.cxx11_abi, found.facts.glibc) == (True, False, whole.glibc)
    assert found.metadata is not None
    assert [str(each) for each in found.metadata.requires] == ["torch==2.7.1"]
    assert source.bytes == found.spent < 400_000 < wheel.stat().st_size / 20
    assert source.requests < 12


def test_a_server_sends_no_more_than_that(wheel: Path, server: Server) -> None:
    served = server.folder / wheel.name
    shutil.copy(wheel, served)
    with Client() as client:
        remote = open_remote(client, server.url_of(served))
        assert not isinstance(remote, FetchFailure)
        found = peek(remote)
    assert without_gpu(found.facts) == without_gpu(read_facts(wheel))
    sent = sum(request.sent for request in server.requests_of(f"/{wheel.name}"))
    assert sent < 500_000 < served.stat().st_size / 15


def test_a_server_without_ranges_is_not_read_to_the_end(wheel: Path, server: Server) -> None:
    served = server.folder / wheel.name
    shutil.copy(wheel, served)
    server.answer(f"/{wheel.name}", NO_RANGES)
    with Client() as client:
        assert isinstance(open_remote(client, server.url_of(served)), FetchFailure)


@pytest.mark.parametrize("limit", [0, 1000, 70_000, 150_000, 300_000])
def test_what_is_not_within_the_limit_is_unknown(wheel: Path, limit: int) -> None:
    found, source = looked_at(wheel, limit=limit)
    assert source.bytes <= limit
    assert found.facts.uses_torch in {None, True}
    assert not found.facts.known or limit >= 150_000


def test_stored_members_are_read_in_place(tmp_path: Path, wheel: Path) -> None:
    stored = tmp_path / "stored" / wheel.name
    stored.parent.mkdir()
    with zipfile.ZipFile(wheel) as packed, zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as archive:
        for name in packed.namelist():
            archive.writestr(name, packed.read(name))
    found, source = looked_at(stored)
    assert without_gpu(found.facts) == without_gpu(read_facts(wheel))
    assert source.bytes < 1_000_000


def test_the_gpu_code_of_a_small_object_is_read(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, files={"k/kernels.so": (GPU_OBJECTS / "several.so").read_bytes()})
    found, _ = looked_at(wheel)
    assert found.facts.archs == ("7.5", "9.0a", "12.0")
    assert found.facts.ptx == ("12.0",)


def test_a_library_that_came_along_does_not_make_torch_unknown(wheel: Path) -> None:
    with zipfile.ZipFile(wheel, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("flash_attn.libs/libbig-1234.so.1", os.urandom(300_000))
        archive.writestr("pure.py", "")
    found, _ = looked_at(wheel)
    assert SharedObject(name="flash_attn.libs/libbig-1234.so.1", machine="", known=False) in found.facts.objects
    assert found.facts.uses_torch is True


def test_a_wheel_without_objects_uses_no_torch(tmp_path: Path) -> None:
    found, _ = looked_at(make_wheel(tmp_path))
    assert (found.facts.objects, found.facts.uses_torch) == ((), False)


def test_a_new_glibc_is_seen(tmp_path: Path) -> None:
    code = '#include <stdio.h>\nextern int tomorrow(void); int f(void) { puts("x"); return tomorrow(); }'
    content = needs_version(code, function="tomorrow", soname="libc.so.6", version="GLIBC_2.99")
    found, _ = looked_at(make_wheel(tmp_path, files={"a.so": content}))
    assert found.facts.glibc == "2.99"


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidWheelError, match="does not end as a zip does"):
        looked_at(cut(make_wheel(tmp_path, size_mb=1)))
    with pytest.raises(InvalidWheelError, match="it has no METADATA"):
        looked_at(without_member(make_wheel(tmp_path / "b"), "/METADATA"))


def test_a_server_that_fails_on_the_way_is_an_error_of_the_source(wheel: Path) -> None:
    class Failing(Counted):
        def read(self, offset: int, length: int, /) -> bytes:
            if self.requests == 1:
                raise ConnectionResetError("the server went away")
            return super().read(offset, length)

    with LocalFile(wheel) as file, pytest.raises(OSError, match="went away"):
        peek(Failing(file))
