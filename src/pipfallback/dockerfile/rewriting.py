"""An install line of pip or uv as ``pipfallback install``: which words change, and the file written anew."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipfallback.dockerfile import uv_options
from pipfallback.dockerfile.installs import Install, Piece
from pipfallback.dockerfile.reader import DockerfileError

Edit = tuple[int, int, str]

_PROGRAM = re.compile(r"(?P<quote>[\"']?)(?P<folder>(?:[^\"'\s]*/)?)pip(?P<version>\d(?:\.\d+)?)?(?P=quote)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """``edits`` of the file as (start, end, new text); none where the line stays, for the ``reason`` that is told."""

    edits: tuple[Edit, ...] = ()
    reason: str | None = None


class _StaysError(Exception):
    """Why a line cannot be changed."""


def rewrite_of(install: Install, text: str) -> Rewrite:
    """How the line becomes ``pipfallback install``, for the same Python as before; ``text`` is the file's."""
    try:
        return Rewrite(edits=tuple(_edits(install, text)))
    except _StaysError as reason:
        return Rewrite(reason=str(reason))


def _edits(install: Install, text: str) -> Iterator[Edit]:
    verb = next((word for word in install.rest if word.value == "install"), None)
    if verb is None or verb.span is None:
        raise _StaysError("its words do not stand in the file as they are run")
    yield (*_whole(install.program, text), _quoted("pipfallback", install))
    added = _python(install) if install.installer == "pip" else ["--installer", "uv"]
    if added:
        separator = ", " if install.form == "exec" else " "
        words = "".join(f"{separator}{_quoted(word, install)}" for word in added)
        yield verb.span[1], verb.span[1], words
    if install.installer == "uv":
        yield from _uv_edits(install, text)


def _whole(pieces: Sequence[Piece], text: str) -> tuple[int, int]:
    """Where words that follow each other stand in the file, which must be on one line."""
    first, last = pieces[0].span, pieces[-1].span
    if first is None or last is None or any(piece.span is None for piece in pieces):
        raise _StaysError("its words do not stand in the file as they are run")
    if "\n" in text[first[0] : last[1]]:
        raise _StaysError("words that would change together stand on several lines")
    return first[0], last[1]


def _quoted(word: str, install: Install) -> str:
    return f'"{word.strip(chr(34))}"' if install.form == "exec" else word


def _python(install: Install) -> list[str]:
    """The words that name the same Python as the program does; none for plain ``pip`` and ``pip3``."""
    program = install.program
    if len(program) > 1:
        if len(program) != 3 or program[1].value != "-m":
            raise _StaysError("it gives options to Python itself")
        return ["--python", program[0].raw]
    found = _PROGRAM.fullmatch(program[0].raw)
    if found is None:
        raise _StaysError(f"{program[0].raw} does not tell which Python it is for")
    version = found["version"] or ""
    if not found["folder"] and "." not in version:
        return []
    return ["--python", f"{found['quote']}{found['folder']}python{version}{found['quote']}"]


def _uv_edits(install: Install, text: str) -> Iterator[Edit]:
    """uv's own names of options become pip's."""
    words = [word.value for word in install.rest]
    for part in uv_options.read(words):
        if not part.name:
            continue
        pieces = install.rest[part.start : part.end]
        if part.pip is None:
            raise _StaysError(f"uv's option {part.name} has no counterpart in pip")
        if list(part.pip) == [piece.value for piece in pieces] or list(part.pip) == _together(pieces):
            continue
        if None in part.pip or any(piece.span is None for piece in pieces):
            raise _StaysError(f"the value of {part.name} is only known when it runs")
        separator = ", " if install.form == "exec" else " "
        start, end = _whole(pieces, text)
        yield start, end, separator.join(_quoted(word or "", install) for word in part.pip)


def _together(pieces: Sequence[Piece]) -> list[str]:
    """``--name=value`` and ``-nvalue`` as two words, ``-qU`` as its letters."""
    word = pieces[0].value or ""
    if word.startswith("--"):
        name, _, value = word.partition("=")
        return [name, value]
    letters = [f"-{letter}" for letter in word[1:]]
    return (
        letters
        if len(letters) > 1 and all(letter in {"-q", "-v", "-U"} for letter in letters)
        else [word[:2], word[2:]]
    )


def apply(text: str, edits: Iterable[Edit]) -> str:
    """The text with the edits made."""
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def write(path: Path, content: bytes) -> None:
    """Put new content in the place of a file, at once; its mode stays, and a link to it. Raises DockerfileError."""
    target = Path(os.path.realpath(path))
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as unfinished:
            unfinished.write(content)
        try:
            shutil.copymode(target, unfinished.name)
            _keep_owner(target, unfinished.name)
            Path(unfinished.name).replace(target)
        except BaseException:
            Path(unfinished.name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DockerfileError(f"{path} cannot be written: {error.strerror}", hints=("it is as it was",)) from None


def _keep_owner(target: Path, copy: str) -> None:
    state = target.stat()
    if hasattr(os, "chown") and (state.st_uid, state.st_gid) != (os.getuid(), os.getgid()):
        os.chown(copy, state.st_uid, state.st_gid)
