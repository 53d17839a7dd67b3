"""Which packages a catalog names, without reading TOML, and where the built-in one lies."""

from __future__ import annotations

import os

FILE_NAME = "fallbacks.toml"
_HEADERS = (b"\n[package.", b"\n[[package.")
_QUOTES = b"\"'"


def builtin_path() -> str:
    """The built-in catalog: beside the modules in a wheel, at the top of the repository in a source checkout."""
    folder = os.path.dirname(os.path.abspath(__file__))
    beside = os.path.join(folder, FILE_NAME)
    return beside if os.path.isfile(beside) else os.path.join(os.path.dirname(os.path.dirname(folder)), FILE_NAME)


def builtin_names() -> frozenset[str]:
    """The packages that it names, PEP 503-normalised, by the headers of its tables.

    It is our own file: each header begins a line, and names are bare. 0.5 ms for 71 packages, so that no index has to be kept true.
    """
    with open(builtin_path(), "rb") as file:
        content = b"\n" + file.read()
    names = set()
    for header in _HEADERS:
        start = content.find(header)
        while start >= 0:
            start += len(header)
            names.add(content[start : start + 100].partition(b"]")[0].partition(b".")[0])
            start = content.find(header, start)
    return frozenset(name.decode() for name in names)


def plain_names(path: str) -> frozenset[str] | None:
    """The packages that somebody's file names, by the headers of its tables; None where only TOML's grammar can tell.

    A file that cannot be read is of the latter kind.
    """
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    names = set()
    for line in map(bytes.strip, lines):
        if line.startswith((b"package", b'"package', b"'package")):
            return None  # package.NAME.key = …, package = {…}
        if not line.startswith(b"["):
            continue
        table, dot, rest = line.lstrip(b"[").partition(b"]")[0].partition(b".")
        if table.strip(b" \t" + _QUOTES) != b"package":
            continue
        name = rest.partition(b".")[0]
        if table != b"package" or not dot or not name.replace(b"-", b"").isalnum():
            return None
        names.add(name.decode())
    return frozenset(names)
