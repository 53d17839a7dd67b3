"""A TOML file whose mistakes are all gathered, each told with file, line and path of its key."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from pipfallback.toml_lines import KeyPath, key_lines, line_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# The part before the host, and what looks like it where an unquoted slash in a password has made the URL malformed.
_CREDENTIALS = re.compile(r"""(?<=://)(?:[^\s"'/?#]*@|[^\s"'/?#@]*:(?!\d+(?:[/?#"']|$))[^\s"'@]*@)""")
_SYNTAX_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """What is wrong with one key. ``path`` is written as ``package.flash-attn.source[2].url``, counted from 1."""

    file: str
    line: int
    path: str
    text: str

    def __str__(self) -> str:
        """``FILE:LINE: PATH: TEXT``, with credentials in URLs left out."""
        return redacted(f"{self.file}:{self.line}: {self.path + ': ' if self.path else ''}{self.text}")


class Document:
    """One parsed file: ``data`` (empty where the syntax is wrong) and the ``mistakes`` found so far."""

    def __init__(self, file: str, content: bytes) -> None:
        self.file = file
        self.data: dict[str, Any] = {}
        self._mistakes: list[Mistake] = []
        self._text = content.decode("utf-8", "replace")
        self._lines: dict[KeyPath, int] | None = None
        self._parse(content)

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """In the order of the file."""
        return tuple(sorted(self._mistakes, key=lambda mistake: mistake.line))

    def wrong(self, path: KeyPath, text: str) -> None:
        """Note a mistake at ``path`` (names, and indices from 0)."""
        if self._lines is None:
            self._lines = key_lines(self._text)
        self._note(line_of(self._lines, path), path, text)

    def unknown(self, path: KeyPath, table: Iterable[str], known: Collection[str]) -> None:
        """Note each key of ``table``, which stands at ``path``, that is not among the ``known`` ones."""
        for key in table:
            if key not in known:
                self.wrong((*path, key), f"unknown key{nearest(key, known)}")

    def string(self, path: KeyPath, value: object) -> str | None:
        """``value`` if it is a string that is not empty, else None and a mistake."""
        if isinstance(value, str) and value.strip():
            return value
        self.wrong(path, "is empty" if isinstance(value, str) else f"must be a string, not {_kind(value)}")
        return None

    def boolean(self, path: KeyPath, value: object) -> bool:
        """``value`` if it is true or false, else a mistake and False."""
        if not isinstance(value, bool):
            self.wrong(path, f"is {_kind(value)}; it must be true or false")
            return False
        return value

    def strings(self, path: KeyPath, value: object) -> tuple[tuple[KeyPath, str], ...]:
        """The strings of ``value``, a string or a list of them, each with its path; a mistake for all else."""
        if isinstance(value, str):
            return ((path, value),) if self.string(path, value) else ()
        if not isinstance(value, list):
            self.wrong(path, f"must be a string or a list of strings, not {_kind(value)}")
            return ()
        if not value:
            self.wrong(path, "is empty")
        items = [((*path, index), item) for index, item in enumerate(value)]
        return tuple((place, item) for place, item in items if self.string(place, item))

    def table(self, path: KeyPath, value: object) -> dict[str, Any]:
        """``value`` if it is a table, else an empty one and a mistake."""
        if isinstance(value, dict):
            return value
        self.wrong(path, f"must be a table, not {_kind(value)}")
        return {}

    def tables(self, path: KeyPath, value: object) -> tuple[tuple[KeyPath, dict[str, Any]], ...]:
        """The tables of ``value``, a list of them, each with its path; a mistake for all else."""
        if not isinstance(value, list):
            again = f"; write [[{spelled(path)}]]" if isinstance(value, dict) else ""
            self.wrong(path, f"must be a list of tables, not {_kind(value)}{again}")
            return ()
        found = []
        for index, item in enumerate(value):
            table = self.table((*path, index), item)
            if isinstance(item, dict):
                found.append(((*path, index), table))
        return tuple(found)

    def _parse(self, content: bytes) -> None:
        try:
            self.data = tomllib.loads(content.decode("utf-8"))
        except UnicodeDecodeError as error:
            self._note(content.count(b"\n", 0, error.start) + 1, (), "is not UTF-8, as TOML must be")
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            place = _SYNTAX_PLACE.search(message)
            line = int(place[1]) if place and place[1] else self._text.rstrip().count("\n") + 1
            self._note(line, (), f"is not TOML: {_SYNTAX_PLACE.sub('', message)}")
        except RecursionError:
            self._note(1, (), "is nested too deeply")

    def _note(self, line: int, path: KeyPath, text: str) -> None:
        self._mistakes.append(Mistake(file=self.file, line=line, path=spelled(path), text=text))


def _kind(value: object) -> str:
    """What TOML calls a value."""
    match value:
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def spelled(path: KeyPath) -> str:
    """``("package", "flash-attn", "source", 1, "url")`` as ``package.flash-attn.source[2].url``."""
    parts: list[str] = []
    for key in path:
        if isinstance(key, int):
            parts.append(f"[{key + 1}]")
        else:
            parts.append(("." if parts else "") + (key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'"{key}"'))
    return "".join(parts)


def nearest(word: str, known: Collection[str]) -> str:
    """``; did you mean "…"?`` where a known word is near, else the known words, else nothing."""
    if close := difflib.get_close_matches(word, known, n=1, cutoff=0.6):
        return f'; did you mean "{close[0]}"?'
    return f" (known: {', '.join(known)})" if known else ""


def shown(value: object) -> str:
    """A value as a message quotes it, on one line and not too long."""
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    text = " ".join(redacted(text).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def redacted(text: str) -> str:
    """The text with the user and password of every URL in it replaced by ``***``."""
    return _CREDENTIALS.sub("***@", text)
