"""A Dockerfile taken apart into its instructions, each with its place in the file.

Why no parser from PyPI (looked at in November 2026): ``--write`` must change single words and nothing else, so every
word's position must be known. ``dockerfile-parse`` 2.0.1 (2023) knows lines only, no heredocs, and has no types;
``dockerfile`` 3.4.0 wraps the Go parser in 4 MB of machine code, gives no columns, and would have to be there for every
platform that ``pipfallback install`` runs on. What is needed here is small.

Source of the rules: Docker's reference of the Dockerfile (docs.docker.com/reference/dockerfile), and where that is
silent BuildKit's ``frontend/dockerfile/parser``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipfallback.dockerfile.located import Located, joined, located
from pipfallback.errors import PipfallbackError

_DIRECTIVE = re.compile(r"#[ \t]*([A-Za-z][A-Za-z0-9]*)[ \t]*=[ \t]*(.+?)[ \t]*$")
_COMMENT = re.compile(r"[ \t]*#")
_HEREDOC = re.compile(r"(?<!\S)\d*<<(-?)(?:'([^'<]+)'|\"([^\"<]+)\"|([^\s<>|&;'\"()]+))")
_WITH_HEREDOCS = frozenset({"ADD", "COPY", "RUN"})
_FLAG = re.compile(r"[ \t]*--([a-z][\w-]*)(?:=(\S*))?(?=\s|$)")


class DockerfileError(PipfallbackError):
    """The file is no Dockerfile, or cannot be read or written."""

    reference = "unreadable-dockerfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heredoc:
    """A here-document of an instruction: its ``name`` (EOF) and its ``body``, the lines up to the name."""

    name: str
    body: Located


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction. ``name`` is in capitals; that of ``ONBUILD RUN …`` is RUN.

    ``line`` counts from 1. ``flags`` are the options of the instruction itself (``--mount=type=cache,…``), which are not
    part of ``body``. ``words`` are the elements of a body in JSON form (exec form), each with its place; None where it
    is not of that form.
    """

    name: str
    line: int
    body: Located
    flags: tuple[tuple[str, str], ...] = ()
    words: tuple[Located, ...] | None = None
    heredocs: tuple[Heredoc, ...] = ()


def read(text: str) -> tuple[Instruction, ...]:
    """The instructions of a Dockerfile in order. Raises DockerfileError for what is none."""
    instructions = tuple(_Reader(text))
    if "\0" in text or not any(instruction.name == "FROM" for instruction in instructions):
        raise DockerfileError("it is no Dockerfile: it has no FROM", hints=("name a Dockerfile",))
    return instructions


@dataclass(frozen=True, slots=True)
class _Line:
    """One line without its end; ``start`` is its position in the file."""

    text: str
    start: int
    number: int


class _Reader:
    """Goes through the lines once."""

    def __init__(self, text: str) -> None:
        self._lines = list(_lines(text))
        self._at = 0
        self._escape = "\\"

    def __iter__(self) -> Iterator[Instruction]:
        self._read_directives()
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not line.text.strip() or _COMMENT.match(line.text):
                self._at += 1
                continue
            yield self._instruction(line.number)

    def _read_directives(self) -> None:
        """Directives stand at the top, before any comment, blank line or instruction."""
        for line in self._lines:
            found = _DIRECTIVE.match(line.text)
            if found is None:
                return
            if found[1].lower() == "escape" and found[2] in {"\\", "`"}:
                self._escape = found[2]

    def _instruction(self, number: int) -> Instruction:
        whole = self._joined_lines()
        name, rest = _first_word(whole)
        if name == "ONBUILD":
            name, rest = _first_word(rest)
        heredocs = tuple(self._heredocs(rest.text)) if name in _WITH_HEREDOCS else ()
        flags, body = _without_flags(rest)
        words = None if heredocs else json_words(body)
        return Instruction(name=name, line=number, body=body, flags=flags, words=words, heredocs=heredocs)

    def _joined_lines(self) -> Located:
        """One instruction's lines without what continues them; comments and empty lines between them do not count."""
        continued = re.compile(rf"{re.escape(self._escape)}[ \t]*$")
        parts: list[Located] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            if parts and (not line.text.strip() or _COMMENT.match(line.text)):
                continue
            end = continued.search(line.text)
            parts.append(located(line.text[: end.start()] if end else line.text, line.start))
            if end is None:
                break
        return joined(parts)

    def _heredocs(self, text: str) -> Iterator[Heredoc]:
        for found in _HEREDOC.finditer(_without_quoted(text)):
            name = text[slice(*found.span(found.lastindex or 0))]
            yield Heredoc(name=name, body=joined(self._heredoc_lines(name, tabs=bool(found[1]))))

    def _heredoc_lines(self, name: str, *, tabs: bool) -> Iterator[Located]:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            text = line.text.lstrip("\t") if tabs else line.text
            if text == name:
                return
            yield joined((located(text, line.start + len(line.text) - len(text)), located("\n", None)))


def _lines(text: str) -> Iterator[_Line]:
    """The lines as Docker sees them: of a byte order mark and a carriage return at the end of a line it takes no notice."""
    start = 1 if text.startswith("\ufeff") else 0
    for number, raw in enumerate(re.findall(r"[^\n]*\n|[^\n]+$", text[start:]), start=1):
        yield _Line(raw.rstrip("\n").removesuffix("\r"), start, number)
        start += len(raw)


def _without_quoted(text: str) -> str:
    """The text with what stands in quotes blanked out, so that no ``<<`` in it is taken for a here-document's.

    A quoted name right behind ``<<`` stays.
    """
    return re.sub(r"(?<!<<)(?<!<<-)(\"(?:\\.|[^\"\\])*\"|'[^']*')", lambda found: " " * len(found[0]), text)


def _first_word(text: Located) -> tuple[str, Located]:
    name = text.text.split(maxsplit=1)[0] if text.text.strip() else ""
    behind = text.text.find(name) + len(name)
    rest = text.text[behind:]
    return name.upper(), text[behind + len(rest) - len(rest.lstrip(" \t")) :]


def _without_flags(body: Located) -> tuple[tuple[tuple[str, str], ...], Located]:
    flags: list[tuple[str, str]] = []
    at = 0
    while found := _FLAG.match(body.text, at):
        flags.append((found[1], found[2] or ""))
        at = found.end()
    return tuple(flags), body[at + len(body.text[at:]) - len(body.text[at:].lstrip()) :]


def json_words(body: Located) -> tuple[Located, ...] | None:
    """The texts of a JSON list, each character with its place; None where the body is not a list of texts.

    A character that is written with a backslash has no place.
    """
    try:
        values = json.loads(body.text)
    except ValueError:
        return None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return None
    raws = re.finditer(r'"((?:\\.|[^"\\])*)"', body.text)
    return tuple(_json_text(body, value, raw) for value, raw in zip(values, raws, strict=True))


def _json_text(body: Located, value: str, raw: re.Match[str]) -> Located:
    if "\\" in raw[1]:
        return located(value, None)
    return body[raw.start(1) : raw.end(1)]
