"""Shared objects that are compiled for a test, and other readers that ours must agree with."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection

from pipfallback.file_facts import SharedObject

GPU_OBJECTS = Path(__file__).parent.parent / "fixtures" / "gpu"


@functools.cache
def compiled(source: str, *flags: str, language: str = "c") -> bytes:
    """A shared object of C or C++ (``language`` "c++") source, made by the compiler here with more ``flags``."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "library.so")
        command = ["g++" if language == "c++" else "gcc", "-x", language, "-shared", "-fPIC", "-o", str(library), "-"]
        subprocess.run([*command, *flags], input=source, check=True, capture_output=True, text=True)
        return library.read_bytes()


def needs_version(source: str, *, function: str, soname: str, version: str, flags: Sequence[str] = ()) -> bytes:
    """A shared object that needs ``function`` of ``soname`` in a version that the library on no machine has."""
    with tempfile.TemporaryDirectory() as folder:
        script, stub = Path(folder, "versions"), Path(folder, "stub.so")
        script.write_text(f"{version} {{ global: {function}; }};\n")
        linking = [f"-Wl,--version-script={script}", f"-Wl,-soname,{soname}", "-nostdlib"]
        stub.write_bytes(compiled_anew(f"int {function}(void) {{ return 0; }}\n", *linking))
        return compiled_anew(source, "-Wl,--no-as-needed", *flags, libraries=[stub])


def compiled_anew(source: str, *flags: str, libraries: Sequence[Path] = ()) -> bytes:
    """As ``compiled``, linked with ``libraries`` and not remembered."""
    with tempfile.TemporaryDirectory() as folder:
        code, library = Path(folder, "source.c"), Path(folder, "library.so")
        code.write_text(source)
        command = ["gcc", "-shared", "-fPIC", *flags, "-o", str(library), str(code), *map(str, libraries)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return library.read_bytes()


def by_pyelftools(path: Path) -> Mapping[str, Collection[str]]:
    """What pyelftools reads of a shared object by its section headers, named as in SharedObject."""
    undefined: set[str] = set()
    weak: set[str] = set()
    exported: set[str] = set()
    versions: set[str] = set()
    needed: tuple[str, ...] = ()
    with path.open("rb") as file:
        for section in ELFFile(file).iter_sections():
            if isinstance(section, SymbolTableSection) and section.name == ".dynsym":
                for symbol in section.iter_symbols():
                    bind, place = symbol["st_info"]["bind"], symbol["st_shndx"]
                    if symbol.name and bind != "STB_LOCAL":
                        kind = exported if place != "SHN_UNDEF" else weak if bind == "STB_WEAK" else undefined
                        kind.add(symbol.name)
            elif isinstance(section, DynamicSection):
                needed = tuple(getattr(tag, "needed", "") for tag in section.iter_tags("DT_NEEDED"))
            elif isinstance(section, GNUVerNeedSection):
                versions |= {aux.name for _, each in section.iter_versions() for aux in each}
    known = {name for name in versions if name.partition("_")[0] in {"GLIBC", "GLIBCXX", "CXXABI", "GCC"}}
    return {"needed": needed, "undefined": undefined, "weak": weak, "exported": exported, "versions": known}


def told(one: SharedObject) -> Mapping[str, Collection[str]]:
    """What our reader says, in the form of ``by_pyelftools``."""
    return {
        "needed": one.needed,
        "undefined": set(one.undefined),
        "weak": set(one.weak),
        "exported": set(one.exported),
        "versions": set(one.versions),
    }
