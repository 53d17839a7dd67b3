"""Names looked up in hash tables, against the whole table; and what an environment provides."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from lib.binaries import by_pyelftools, compiled
from lib.extensions import shared_library
from pipfallback.environment import probe
from pipfallback.inspection.elf_layout import NotElfError
from pipfallback.inspection.provided import provided_by
from pipfallback.inspection.symbols import Libraries, Library, gnu_hash

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a compiler")

VISIBLE = """
int offered(void) { return 1; }
__attribute__((visibility("hidden"))) int hidden(void) { return 2; }
__attribute__((weak)) int weakly(void) { return 3; }
extern int wanted(void);
int data = 4;
int f(void) { return wanted() + hidden(); }
"""


def test_the_hash_is_that_of_the_loader() -> None:
    # Values of the tables in glibc's elf/tst-gnu2-hash and flapenguin.me/elf-dt-gnu-hash.
    assert [gnu_hash(name) for name in (b"", b"printf", b"exit", b"syscall")] == [
        0x1505, 0x156B2BB8, 0x7C967E3F, 0xBAC212A0,
    ]  # fmt: skip


def test_every_name_that_a_library_exports_is_found_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "many.so"
    path.write_bytes(compiled("\n".join(f"int name_{n}(void) {{ return {n}; }}" for n in range(3000))))
    exported = by_pyelftools(path)["exported"]
    with Libraries([path]) as libraries:
        assert len(exported) >= 3000
        assert all(libraries.export(name) for name in exported)
        assert not any(libraries.export(f"{name}x") for name in exported)


def test_the_interpreters_own_names_are_found() -> None:
    path = Path(sys.executable).resolve()
    exported = by_pyelftools(path)["exported"]
    with Libraries([path]) as libraries:
        assert all(libraries.export(name) for name in exported)


def test_only_what_others_can_see_counts(tmp_path: Path) -> None:
    path = tmp_path / "visible.so"
    path.write_bytes(compiled(VISIBLE))
    with Libraries([path]) as libraries:
        names = ("offered", "weakly", "data", "hidden", "wanted", "")
        assert [libraries.export(name) for name in names] == [True, True, True, False, False, False]


def test_what_is_no_library_is_left_out(tmp_path: Path) -> None:
    script, empty, good = tmp_path / "libc.so", tmp_path / "empty.so", tmp_path / "good.so"
    script.write_text("/* GNU ld script */\nGROUP ( /lib/libc.so.6 )\n")
    empty.touch()
    good.write_bytes(shared_library("good.so", defines=["here"]))
    with Libraries([script, empty, tmp_path / "gone.so", good]) as libraries:
        assert libraries.export("here")
        assert [each.path for each in libraries.opened] == [good]
    with pytest.raises(NotElfError):
        Library(script)


def test_a_library_that_is_cut_off_is_left_out(tmp_path: Path) -> None:
    content = shared_library("good.so", defines=["here"])
    for share in (0.1, 0.3, 0.5):
        path = tmp_path / f"{share}.so"
        path.write_bytes(content[: int(len(content) * share)])
        with Libraries([path]) as libraries:
            assert not libraries.export("here")


def test_what_this_interpreter_provides() -> None:
    environment, installation = probe(sys.executable)
    provided = provided_by(environment, installation)
    assert provided.torch is None
    assert provided.libraries is not None
    assert "libc.so.6" in provided.libraries
    assert provided.glibcxx is None or provided.glibcxx.startswith("3.4.")
    with Libraries(provided.python) as libraries:
        assert libraries.export("PyObject_Call")
