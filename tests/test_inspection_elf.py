"""The symbols of shared objects, read from their front and by their dynamic section, against pyelftools."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.binaries import by_pyelftools, compiled, told
from pipfallback.inspection.elf import read_object
from pipfallback.inspection.elf_layout import NotElfError
from pipfallback.inspection.read_at import LocalFile

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler")

PLAIN = """
#include <math.h>
#include <stdio.h>
extern int elsewhere(int);
__attribute__((weak)) extern int perhaps(int);
int offered(int n) { return elsewhere(n) + (perhaps ? perhaps(n) : 0) + printf("%f", sin(n)); }
"""
CXX = """
#include <string>
#include <vector>
#include <stdexcept>
namespace c10 { namespace detail { [[noreturn]] void torchCheckFail(const char *, const char *, unsigned, const std::string &); } }
std::vector<std::string> offered(int n) {
  if (n > 3) c10::detail::torchCheckFail("f", "g", 1, std::string("too many"));
  return std::vector<std::string>(n, "x");
}
"""
HIDDEN = """
extern int elsewhere(void);
static int inside(void) { return elsewhere(); }
__attribute__((visibility("hidden"))) int (*volatile hidden)(void) = inside;
"""
MANY = '#include <stdio.h>\nint said(void) { return puts("x"); }\n' + "\n".join(
    f"extern int elsewhere_{n}(void); int offered_{n}(void) {{ return elsewhere_{n}(); }}" for n in range(6000)
)
LINKERS = [linker for linker in ("bfd", "gold", "lld") if shutil.which(f"ld.{linker}")]


class InMemory:
    """Bytes as a source, with a count of how far they were read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size = len(content)
        self.reached = 0

    def read(self, offset: int, length: int, /) -> bytes:
        self.reached = max(self.reached, min(self.size, offset + length))
        return self.content[offset : offset + length]


OBJECTS = {
    "c": (PLAIN, ["-lm"], "c"),
    "c++": (CXX, [], "c++"),
    "stripped": (CXX, ["-s"], "c++"),
    "hash": (PLAIN, ["-lm", "-Wl,--hash-style=sysv"], "c"),
    "both hashes": (PLAIN, ["-lm", "-Wl,--hash-style=both"], "c"),
    "many": (MANY, ["-O0"], "c"),
    "nothing offered": (HIDDEN, [], "c"),
    **{f"linker {linker}": (CXX, [f"-fuse-ld={linker}"], "c++") for linker in LINKERS},
}  # fmt: skip


@pytest.mark.parametrize("front", [True, False], ids=["front", "dynamic section"])
@pytest.mark.parametrize("case", OBJECTS)
def test_what_an_object_needs_and_offers_is_read_as_pyelftools_reads_it(tmp_path: Path, case: str, front: bool) -> None:
    source, flags, language = OBJECTS[case]
    path = tmp_path / "library.so"
    path.write_bytes(compiled(source, *flags, language=language))
    with LocalFile(path) as file:
        found = read_object(file, "library.so", front=front)
    expected = by_pyelftools(path)
    assert found.known
    assert found.machine == "x86_64" or sys.platform != "linux"
    assert {**told(found), "needed": set(found.needed)} == {**expected, "needed": set(expected["needed"])}


def test_the_front_alone_tells_the_symbols() -> None:
    payload = 'asm(".section .rodata\\n.zero 4000000\\n");'
    content = compiled(MANY + payload, "-O0")
    source = InMemory(content)
    found = read_object(source, "many.so")
    assert len([name for name in found.undefined if name.startswith("elsewhere_")]) == 6000
    assert source.reached < len(content) - 4_000_000


def test_the_interpreter_itself_is_read_as_pyelftools_reads_it() -> None:
    path = Path(sys.executable).resolve()
    with LocalFile(path) as file:
        assert told(read_object(file, path.name, front=False)) == by_pyelftools(path)


def test_an_object_that_patchelf_rewrote_is_read_by_its_dynamic_section(tmp_path: Path) -> None:
    patchelf = shutil.which("patchelf")
    if patchelf is None:
        pytest.skip("needs patchelf")
    path = tmp_path / "library.so"
    path.write_bytes(compiled(PLAIN, "-lm"))
    subprocess.run([patchelf, "--replace-needed", "libm.so.6", "libm-0123456789abcdef.so.6", str(path)], check=True)
    with LocalFile(path) as file:
        assert told(read_object(file, "library.so")) == by_pyelftools(path)
        assert not read_object(file, "library.so", whole=False).known


def test_what_is_no_elf_object_is_refused() -> None:
    for content in (b"", b"\x7fELF", b"/* GNU ld script */ GROUP ( /lib/libc.so.6 )", bytes(5000)):
        with pytest.raises(NotElfError):
            read_object(InMemory(content), "x.so")


@pytest.mark.parametrize(("ident", "machine"), [(b"\x7fELF\1\1", 40), (b"\x7fELF\2\2", 22)])
def test_of_another_kind_of_object_only_the_machine_is_told(ident: bytes, machine: int) -> None:
    order = "little" if ident[5] == 1 else "big"
    header = ident.ljust(16, b"\0") + (3).to_bytes(2, order) + machine.to_bytes(2, order) + bytes(44)
    found = read_object(InMemory(header), "x.so")
    assert (found.known, found.machine) == (False, {40: "armv7l", 22: "s390x"}[machine])


def test_a_cut_object_is_unknown() -> None:
    content = compiled(CXX, language="c++")
    for length in range(500, len(content), 997):
        found = read_object(InMemory(content[:length]), "x.so", front=False)
        assert not found.known or found.undefined


@settings(max_examples=150, deadline=None)
@given(
    places=st.lists(st.tuples(st.integers(16, 16000), st.binary(min_size=1, max_size=8)), max_size=12),
    front=st.booleans(),
)
def test_a_damaged_object_ends_in_an_answer(places: list[tuple[int, bytes]], front: bool) -> None:
    content = bytearray(compiled(CXX, language="c++"))
    for at, junk in places:
        content[at : at + len(junk)] = junk
    found = read_object(InMemory(bytes(content)), "x.so", front=front)
    assert found.known in {True, False}


@pytest.mark.parametrize(
    ("name", "python"),
    [
        ("p/_C.cpython-310-x86_64-linux-gnu.so", ("cpython", "3.10", False)),
        ("p/_C.cpython-313t-x86_64-linux-gnu.so", ("cpython", "3.13", True)),
        ("p/_C.cpython-38-darwin.so", ("cpython", "3.8", False)),
        ("p/_C.pypy310-pp73-x86_64-linux-gnu.so", ("pypy", "", False)),
        ("p/_C.abi3.so", None),
        ("p/_C.so", None),
    ],
)
def test_the_name_of_an_extension_module_tells_its_python(name: str, python: tuple[str, str, bool] | None) -> None:
    content = compiled("int PyInit__C(void) { return 0; } extern int f(void); int g(void) { return f(); }")
    found = read_object(InMemory(content), name)
    assert found.module == "p._C"
    said = found.python and (found.python.implementation, found.python.version, found.python.free_threaded)
    assert said == python
