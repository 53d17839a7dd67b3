"""The facts of a file looked up in the libraries that are here: what would be missing when it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

from pipfallback import mangled
from pipfallback.file_facts import Answers, FileFacts, SharedObject, is_of_driver, is_of_torch
from pipfallback.inspection.provided import Provided
from pipfallback.inspection.symbols import Libraries

# Every CPython exports it: where it is not found, what was looked in is not the interpreter.
_SENTINEL = "PyObject_Call"


def look_up(facts: FileFacts, provided: Provided) -> Answers:
    """What the shared objects of a file would miss, of all that they must find."""
    own = frozenset(symbol for one in facts.objects for symbol in one.exported)
    asked = {one.name: one.undefined - own for one in facts.objects if one.undefined}
    missing_libraries = _missing_libraries(facts, provided)
    torch_libraries, libraries = {}, {}
    for name, missing in missing_libraries.items():
        torchs = tuple(each for each in missing if is_of_torch(each))
        if torchs and provided.torch is not None:
            torch_libraries[name] = torchs
        if others := tuple(each for each in missing if each not in torchs):
            libraries[name] = others
    torchs_own, pythons_own = _missing_of(asked, mangled.is_torchs), _missing_of(asked, mangled.is_pythons)
    return Answers(
        torch_symbols=None if provided.torch is None else _not_in(provided.torch, torchs_own),
        torch_libraries=torch_libraries,
        python_symbols=_not_in_python(provided, pythons_own),
        symbols=_others(facts, provided, asked, missing_libraries),
        libraries=libraries,
        glibcxx=provided.glibcxx,
        cxxabi=provided.cxxabi,
    )


def _missing_of(asked: Mapping[str, frozenset[str]], belongs: Callable[[str], bool]) -> dict[str, frozenset[str]]:
    return {name: frozenset(symbol for symbol in symbols if belongs(symbol)) for name, symbols in asked.items()}


def _not_in(paths: Iterable[str], asked: Mapping[str, frozenset[str]]) -> dict[str, tuple[str, ...]]:
    with Libraries(paths) as libraries:
        there = {symbol for symbols in asked.values() for symbol in symbols if libraries.export(symbol)}
    missing = {name: tuple(sorted(symbols - there)) for name, symbols in asked.items()}
    return {name: symbols for name, symbols in missing.items() if symbols}


def _not_in_python(provided: Provided, asked: Mapping[str, frozenset[str]]) -> dict[str, tuple[str, ...]] | None:
    with Libraries(provided.python) as libraries:
        if not libraries.export(_SENTINEL):
            return None
    # Names such as PyArray_API may be another package's; those that torch exports are no fault.
    return _not_in((*provided.python, *(provided.torch or ())), asked)


def _missing_libraries(facts: FileFacts, provided: Provided) -> dict[str, tuple[str, ...]]:
    """Libraries that are neither in the file nor here; those of the driver are not looked for."""
    if provided.libraries is None:
        return {}
    inside = {PurePosixPath(one.name).name for one in facts.objects} | {one.soname for one in facts.objects}
    there = provided.libraries
    found = {
        one.name: tuple(
            library
            for library in one.needed
            if library not in inside and library not in there and not is_of_driver(library)
        )
        for one in facts.objects
    }
    return {name: missing for name, missing in found.items() if missing}


def _others(
    facts: FileFacts,
    provided: Provided,
    asked: Mapping[str, frozenset[str]],
    missing_libraries: Mapping[str, tuple[str, ...]],
) -> dict[str, tuple[str, ...]]:
    """Symbols of nobody in particular, of those objects whose libraries are all here to look in."""
    if not all(one.known for one in facts.objects):  # one that could not be read may offer them
        return {}
    there = provided.libraries or {}
    found: dict[str, tuple[str, ...]] = {}
    for one in facts.objects:
        if one.needed and one.name not in missing_libraries and not any(map(is_of_driver, one.needed)):
            rest = frozenset(symbol for symbol in asked.get(one.name, ()) if not _is_owned(symbol))
            paths = [there[library] for library in _closure(one, there) if library in there]
            found |= _not_in((*paths, *provided.python, *(provided.torch or ())), {one.name: rest})
    return found


def _is_owned(symbol: str) -> bool:
    return mangled.is_torchs(symbol) or mangled.is_pythons(symbol)


def _closure(one: SharedObject, there: Mapping[str, str]) -> Iterable[str]:
    """What an object needs, and the C library, which every process has."""
    basic = (
        name for name in there if name.startswith(("libc.so", "libm.so", "libgcc_s.so", "libstdc++.so", "ld-linux"))
    )
    return (*one.needed, *basic)


def where_from(facts: FileFacts, provided: Provided) -> dict[str, str | None]:
    """Each library that the objects of a file need, with where it would come from: a path, or "the wheel"; None: nowhere."""
    inside = {PurePosixPath(one.name).name for one in facts.objects} | {one.soname for one in facts.objects}
    there = provided.libraries or {}
    needed = sorted({library for one in facts.objects for library in one.needed})
    return {library: "the wheel" if library in inside else there.get(library) for library in needed}
