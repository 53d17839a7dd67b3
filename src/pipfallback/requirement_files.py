"""Requirement files as pip reads them, kept line by line so that one requirement can be written anew.

Source: pip's documentation, "Requirements File Format"; where that is silent, pip's ``_internal/req/req_file.py``
(20.3.4 to 26.3). The libraries that read such files (pip-requirements-parser, requirements-parser) do not say on which
lines a requirement stood.
"""

from __future__ import annotations

import codecs
import locale
import os
import re
import shlex
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urljoin, urlsplit

from pipfallback import pip_options

# Gives the bytes behind a URL; raises OSError where they cannot be had.
Fetch: TypeAlias = Callable[[str], bytes]

_URL = re.compile(r"^(http|https|file):", re.IGNORECASE)
# What a shell names a pipe to this process (proc_pid_fd(5)); of "-r <(command)" bash makes /dev/fd/63.
_DESCRIPTOR = re.compile(r"^/(?:dev/stdin|(?:dev|proc/self)/fd/(\d+))$")
_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"(\$\{([A-Z0-9_]+)\})")
_CODING = re.compile(rb"coding[:=]\s*([-\w.]+)")
# UTF-32 before UTF-16, whose mark is the beginning of its own.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# pip takes these without a value; "--hash" and "--config-settings" belong to a requirement.
_FLAGS = frozenset({"--no-index", "--prefer-binary", "--require-hashes", "--no-require-hashes", "--pre"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One logical line. ``number``: its first physical line, from 1, of ``count``.

    ``requirement``: what it asks for, None where it holds options only; ``editable``: it asks for that with ``-e``.
    ``options``: canonical name and value of each.
    """

    number: int
    count: int
    requirement: str | None = None
    editable: bool = False
    options: tuple[tuple[str, str | None], ...] = ()

    def values(self, name: str) -> tuple[str, ...]:
        """The values of an option of this line."""
        return tuple(value for option, value in self.options if option == name and value is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A requirement or constraint file. ``location``: its path, or a URL; ``nested``: the files that lines name."""

    location: str
    constraint: bool
    physical: tuple[str, ...]
    lines: tuple[Line, ...]
    nested: Mapping[int, Sheet] = field(default_factory=dict)

    def walk(self) -> Iterator[tuple[Sheet, Line]]:
        """Every line, those of nested files in the place where they are named."""
        for line in self.lines:
            if line.number in self.nested:
                yield from self.nested[line.number].walk()
            else:
                yield self, line


def read_sheet(
    location: str, *, constraint: bool, fetch: Fetch, environ: Mapping[str, str], above: tuple[str, ...] = ()
) -> Sheet:
    """Read a file and those that it names. Raises OSError or ValueError where pip itself will complain of one.

    ``above``: the files that led here; pip refuses one that leads back to itself.
    """
    location = location if _URL.match(location) else os.path.abspath(location)  # noqa: PTH100  (pip resolves no links)
    if location in above:
        raise ValueError(f"{location} names itself")
    data = fetch(location) if _URL.match(location) else _content(location)
    physical = tuple(_decoded(data).splitlines())
    lines = tuple(_lines(physical, environ))
    nested = {
        line.number: read_sheet(
            _beside(location, name), constraint=inner, fetch=fetch, environ=environ, above=(*above, location)
        )
        for line in lines
        for name, inner in _named_file(line)
    }
    return Sheet(location=location, constraint=constraint, physical=physical, lines=lines, nested=nested)


def _content(path: str) -> bytes:
    """The bytes of a file. A pipe gives them only once: where it came with a descriptor, a file takes its place there.

    Raises OSError for another pipe, which is pip's to read.
    """
    descriptor = _DESCRIPTOR.match(path)
    if stat.S_ISREG(Path(path).stat().st_mode):
        return Path(path).read_bytes()
    if descriptor is None:
        raise OSError(f"{path} is no regular file")
    data = Path(path).read_bytes()
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        os.dup2(file.fileno(), int(descriptor[1] or 0))
    return data


def _named_file(line: Line) -> Iterator[tuple[str, bool]]:
    """The file that a line without a requirement names; pip takes the first, and ``-r`` before ``-c``."""
    if line.requirement is None:
        found = [(name, False) for name in line.values("--requirement")]
        found += [(name, True) for name in line.values("--constraint")]
        yield from found[:1]


def _beside(location: str, name: str) -> str:
    if _URL.match(location):
        return urljoin(location, name)
    return name if _URL.match(name) else os.path.join(os.path.dirname(location), name)  # noqa: PTH118, PTH120  (as above)


def _decoded(data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding)
    for first in data.split(b"\n")[:2]:
        if first[:1] == b"#" and (said := _CODING.search(first)):
            return data.decode(_known(said[1].decode("ascii")))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(locale.getpreferredencoding(do_setlocale=False))


def _known(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise ValueError(str(error)) from None


def _lines(physical: Sequence[str], environ: Mapping[str, str]) -> Iterator[Line]:
    for number, count, joined in _joined(physical):
        text = _COMMENT.sub("", joined).strip()
        for variable, name in _VARIABLE.findall(text):
            text = text.replace(variable, environ.get(name) or variable)
        if text:
            yield _line(number, count, text)


def _joined(physical: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """(first line, how many, text) of what backslashes at line ends hold together; a comment ends it."""
    held: list[str] = []
    for number, line in enumerate(physical, start=1):
        comment = _COMMENT.match(line)
        if line.endswith("\\") and not comment:
            held.append(line.strip("\\"))
            continue
        held.append(f" {line}" if comment else line)
        yield number - len(held) + 1, len(held), "".join(held)
        held = []
    if held:
        yield len(physical) - len(held) + 1, len(held), "".join(held)


def _line(number: int, count: int, text: str) -> Line:
    """Taken apart as pip does: what stands before the first word with a dash is the requirement, markers and all."""
    words = text.split(" ")
    first = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    requirement = " ".join(words[:first]).strip()
    options = tuple(_options(shlex.split(" ".join(words[first:]))))
    editable = next((value for name, value in options if name == "--editable"), None)
    return Line(
        number=number,
        count=count,
        requirement=requirement or editable,
        editable=editable is not None,
        options=options,
    )


def _options(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            continue
        if not word.startswith("--"):
            option, value = pip_options.canonical(word[:2]), word[2:] or None
        else:
            option, _, text = word.partition("=")
            option, value = pip_options.canonical(pip_options.unabbreviated(option)), text or None
        if value is None and option not in _FLAGS:
            value = next(rest, None)
        yield option, value


def rewritten(sheet: Sheet, change: Callable[[Line, Sheet], str | None], folder: Path) -> Path | None:
    """A copy of the file, in ``folder``, with what ``change`` says in place of its requirements.

    ``change``: the new line of a requirement, "" to leave it out, None to leave it as it is. None where nothing is
    changed. The lines keep their numbers, and files that lines name are found as before.
    """
    copies = {number: rewritten(inner, change, folder) for number, inner in sheet.nested.items()}
    new = {line.number: text for line in sheet.lines if line.requirement and (text := change(line, sheet)) is not None}
    if not new and not any(copies.values()):
        return None
    physical = [*sheet.physical]
    for line in sheet.lines:
        text = new.get(line.number)
        if text is None and line.requirement is None:
            text = _from_elsewhere(line, sheet, copies.get(line.number))
        if text is not None:
            physical[line.number - 1 : line.number - 1 + line.count] = [text, *[""] * (line.count - 1)]
    for place, first in enumerate(physical[:2]):
        if _CODING.search(first.encode("utf-8")):
            physical[place] = ""  # the copy is UTF-8
    name = Path(urlsplit(sheet.location).path if _URL.match(sheet.location) else sheet.location).name
    copy = folder / f"{len(list(folder.iterdir()))}-{name or 'requirements.txt'}"
    copy.write_text("\n".join(physical) + "\n", encoding="utf-8")
    return copy


def _from_elsewhere(line: Line, sheet: Sheet, copy: Path | None) -> str | None:
    """The options of a line, read in another folder than its own; None where that makes no difference."""
    if line.number in sheet.nested:
        inner = sheet.nested[line.number]
        return _option("--constraint" if inner.constraint else "--requirement", str(copy or inner.location))
    links = line.values("--find-links")
    if not links or _URL.match(sheet.location):
        return None
    beside = os.path.join(os.path.dirname(sheet.location), links[0])  # noqa: PTH118, PTH120  (as pip does)
    if not Path(beside).exists():
        return None
    options = [(name, beside if value == links[0] else value) for name, value in line.options]
    return " ".join(_option(name, value) for name, value in options)


def _option(name: str, value: str | None) -> str:
    return name if value is None else f"{name} {shlex.quote(value)}"
