"""Lines that fit a terminal: long names of wheels shortened in the middle, the rest broken between words.

Nothing of this is done where no terminal is: there a name is what people search for and copy.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

_WHEEL = re.compile(r"(?<![\w/+.%-])[\w.+!]+(?:-[\w.+!]+){4,5}\.whl(?![\w/])")  # no part of a URL or path
_ABI_LABEL = re.compile(r"[._]?cxx11abi(?=TRUE|FALSE|true|false)")
_LEAST = 16  # columns in which a name still tells something
_NARROW = 60  # columns, below which a table does not stand
_BESIDE = 30  # columns of what follows a name that are kept on its line


def shortened(filename: str, width: int, ellipsis: str = "…") -> str:
    """A wheel's name in at most ``width`` columns, but never less than 16.

    What goes first is what builds of a package share: the platform, the words of a label, the package. What stays is
    what they differ in: version, CUDA, torch, C++ ABI, Python tag.
    """
    room = max(width, _LEAST)
    return that_fits(filename, room, ellipsis) or _cut([*_forms(filename, ellipsis)][-1], room, ellipsis)


def that_fits(filename: str, room: int, ellipsis: str = "…") -> str | None:
    """The longest form of a name that tells what its build differs in and has at most ``room`` columns."""
    return next((form for form in _forms(filename, ellipsis) if len(form) <= room), None)


def _forms(filename: str, ellipsis: str) -> Iterator[str]:
    """A name and its shorter forms, the longest first (PEP 427: name-version[-build]-python-abi-platform.whl)."""
    yield filename
    parts = filename.removesuffix(".whl").split("-")
    if len(parts) not in {5, 6}:
        return
    name, *version, python, abi, platform = parts
    tags = python if abi in {python, "none"} else f"{python}-{abi}"
    middle = "-".join([*version, tags])
    machine = re.search(r"(x86_64|aarch64|arm64|amd64|universal2)$", platform)
    if machine is not None:
        yield f"{name}-{middle}-{ellipsis}{machine[0]}.whl"
    yield f"{name}-{middle}-{ellipsis}.whl"
    brief = _ABI_LABEL.sub(ellipsis, middle)
    yield f"{name}-{brief}-{ellipsis}.whl"
    yield f"{name}-{brief}-{ellipsis}"
    yield f"{ellipsis}{brief}{ellipsis}"
    yield brief


def _cut(text: str, room: int, ellipsis: str) -> str:
    kept = room - len(ellipsis)
    if len(text) <= room:
        return text
    return text[: kept - kept // 2] + ellipsis + text[len(text) - kept // 2 :]


def fitted(line: str, width: int | None, *, ellipsis: str = "…") -> list[str]:
    """A line as lines of at most ``width`` columns (None: as it is), those that follow indented below the first.

    A URL or path is never shortened or broken, so that it can be copied: its line may be longer.
    """
    if width is None or len(line) <= width:
        return [line]
    short = _with_short_names(line, width, ellipsis)
    if len(short) <= width:
        return [short]
    if width < _NARROW:
        short = re.sub(r"(?<=\S) {3,}", "  ", short)  # columns have no room there
    indent = len(line) - len(line.lstrip())
    column = re.match(r"\s*\S+\s{2,}", short)  # "  torch-version  built for ..."
    hang = len(column[0]) if column is not None and len(column[0]) <= width // 3 else indent + 2
    return textwrap.wrap(
        short, width, subsequent_indent=" " * hang, break_long_words=False, break_on_hyphens=False
    ) or [short]


def _with_short_names(line: str, width: int, ellipsis: str) -> str:
    """Each name as it fits: on its line with what follows, else without, else on a line of its own."""
    text, at = "", 0
    for found in _WHEEL.finditer(line):
        text += line[at : found.start()]
        at = found.end()
        room = width - len(text) % width
        beside = len(line) - at
        rooms = (room - beside, room, width - 2) if beside <= _BESIDE else (room, width - 2)
        forms = (that_fits(found[0], each, ellipsis) for each in rooms)
        text += next(filter(None, forms), None) or shortened(found[0], width - 2, ellipsis)
    return text + line[at:]
