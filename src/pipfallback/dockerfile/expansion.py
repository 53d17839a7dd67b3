"""Variables in words: ``$NAME`` and ``${NAME…}`` as POSIX shells and Docker's own instructions fill them in.

What is not known stays unknown (None): a variable that nothing set, the output of a command, an operation that is not
among those below. POSIX.1-2017, Shell Command Language 2.6.2; docs.docker.com/reference/dockerfile, "Environment
replacement".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Variables = Mapping[str, str | None]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-+])(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a ``$`` begins: ``value`` (None: unknown) and the position behind it in the text."""

    value: str | None
    end: int


class UnfinishedError(ValueError):
    """A quote or bracket that nothing closes: the text cannot be read."""


def expand_at(text: str, at: int, variables: Variables) -> Expansion:
    """What stands at ``text[at]``, which is ``$`` or a backtick. Raises UnfinishedError."""
    if text[at] == "`":
        return Expansion(None, closing(text, at + 1, "`"))
    if text.startswith("$((", at) or text.startswith("$(", at):
        return Expansion(None, _behind_parenthesis(text, at + 1))
    if text.startswith("${", at):
        end = _behind_brace(text, at + 1)
        return Expansion(_braced(text[at + 2 : end - 1], variables), end)
    if found := _NAME.match(text, at + 1):
        return Expansion(variables.get(found[0]), found.end())
    if re.match(r"[0-9@*#?$!-]", text[at + 1 : at + 2]):
        return Expansion(None, at + 2)
    return Expansion("$", at + 1)


def expand(text: str, variables: Variables) -> str | None:
    """The text of one of Docker's own instructions with its variables, quotes and backslashes resolved."""
    parts: list[str] = []
    at, quote = 0, ""
    while at < len(text):
        letter = text[at]
        if letter == "\\" and quote != "'" and at + 1 < len(text):
            kept = quote == '"' and text[at + 1] not in '"$\\`'
            parts.append(text[at : at + 2] if kept else text[at + 1])
            at += 2
        elif letter in "'\"" and quote in {"", letter}:
            quote = "" if quote else letter
            at += 1
        elif letter == "$" and quote != "'":
            try:
                expansion = expand_at(text, at, variables)
            except UnfinishedError:
                return None
            if expansion.value is None:
                return None
            parts.append(expansion.value)
            at = expansion.end
        else:
            parts.append(letter)
            at += 1
    return None if quote else "".join(parts)


def closing(text: str, at: int, mark: str) -> int:
    """The position behind the next ``mark`` that no backslash precedes. Raises UnfinishedError."""
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == mark:
            return at + 1
        at += 1
    raise UnfinishedError(mark)


def _behind_parenthesis(text: str, at: int) -> int:
    """Behind the parenthesis that closes the one at ``at``; quotes inside it count."""
    depth = 0
    while at < len(text):
        letter = text[at]
        if letter == "\\":
            at += 2
            continue
        if letter == "'":
            at = text.find("'", at + 1)
            if at < 0:
                break
        elif letter == '"':
            at = closing(text, at + 1, '"') - 1
        depth += {"(": 1, ")": -1}.get(letter, 0)
        at += 1
        if depth == 0:
            return at
    raise UnfinishedError("(")


def _behind_brace(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
        if depth == 0:
            return at
    raise UnfinishedError("{")


def _braced(inside: str, variables: Variables) -> str | None:
    """``NAME``, ``NAME:-word``, ``NAME-word``, ``NAME:+word``, ``NAME+word``; all else is not worked out."""
    found = _BRACED.fullmatch(inside)
    if found is None:
        return None
    name, operator, word = found.groups()
    if operator is None:
        return variables.get(name)
    if name in variables and variables[name] is None:
        return None
    value = variables.get(name)
    given = bool(value) if operator.startswith(":") else name in variables
    if operator.endswith("-"):
        return value if given else expand(word, variables)
    return expand(word, variables) if given else ""
