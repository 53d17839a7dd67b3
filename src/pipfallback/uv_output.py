"""What uv says on standard error: shown while it runs, and read.

One install takes up to three runs of uv (``uv.py``); together they show what one run would have shown. Measured with uv
0.9.0 to 0.13.9, whose lines are the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# Control sequences of terminals (ECMA-48), and one that has not come to its end.
_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
_CUT_CONTROL = re.compile(rb"\x1b(\[[0-9;?]*)?$")
_CLEAR_LINE = b"\x1b[2K"  # what uv's progress bars begin a new picture with

_CROSS = "\u00d7".encode()  # how uv begins an error that it draws as a tree

_LISTED = (" + ", " - ", " ~ ")
# What each run leaves to another to say. The order of what remains is that of a single run.
PLANNING = ("Would ", "Checked ", "Audited ", *_LISTED)
FETCHING = ("Using ", "Resolved ", "Checked ", "Audited ", "Installed ", "Uninstalled ", *_LISTED)
INSTALLING = ("Using ", "Resolved ", "Prepared ")

_CHANGE = re.compile(r"^ ([-+~]) ([A-Za-z0-9][\w.-]*)(?:==(\S+)| @ )?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What uv says that it would change: names as uv writes them (PEP 503), versions where they come from an index."""

    removed: frozenset[str] = frozenset()
    added: Mapping[str, str | None] = field(default_factory=dict)


def read_plan(text: str) -> Plan:
    """The plan in what ``uv pip install --dry-run`` says (without control sequences)."""
    removed, added = set(), {}
    for line in text.splitlines():
        if (change := _CHANGE.match(line)) is None:
            continue
        sign, name, version = change.groups()
        if sign in "-~":
            removed.add(name)
        if sign in "+~":
            added[name] = version
    return Plan(removed=frozenset(removed), added=added)


def plain(text: str) -> str:
    """Without control sequences, and of each line only the last picture of a progress bar."""
    data = text.encode("utf-8", "surrogateescape")
    lines = [_CONTROL.sub(b"", line.rpartition(_CLEAR_LINE)[2]) for line in data.split(b"\n")]
    return b"\n".join(line.rstrip(b"\r").rpartition(b"\r")[2] for line in lines).decode("utf-8", "replace")


class Screen:
    """Passes on what one run of uv says, less what another run says.

    ``muted``: how lines begin that are left out; ``told``: the warnings that were shown already, shared by the runs of
    one install. With ``errors_only`` nothing is shown before uv speaks of an error or a warning; ``silent``: nothing.
    """

    def __init__(
        self, muted: tuple[str, ...], told: set[bytes], *, errors_only: bool = False, silent: bool = False
    ) -> None:
        self._muted = tuple(each.encode() for each in muted)
        self._told = told
        self._waits = errors_only
        self._silent = silent
        self._held = b""

    def __call__(self, data: bytes) -> bytes:
        """What is to be shown now that ``data`` has come; b"" is the end."""
        if self._silent:
            return b""
        self._held += data
        *lines, self._held = self._held.split(b"\n")
        shown = b"".join(self._shown(line + b"\n") for line in lines)
        if self._held and not self._waits and not (data and self._may_become_muted()):
            shown, self._held = shown + self._held, b""
        return shown

    def _shown(self, line: bytes) -> bytes:
        before, clear, rest = line.rpartition(_CLEAR_LINE)
        words = _CONTROL.sub(b"", rest)
        if self._waits and not words.lstrip().startswith((b"error", b"warning", _CROSS)):
            return b""
        if words.startswith(b"warning"):
            if words in self._told:
                return before + clear
            self._told.add(words)
        elif self._waits:
            self._waits = False  # all that follows an error explains it
        return before + clear if words.startswith(self._muted) else line

    def _may_become_muted(self) -> bool:
        rest = self._held.rpartition(_CLEAR_LINE)[2]
        words = _CUT_CONTROL.sub(b"", _CONTROL.sub(b"", rest)).lstrip(b"\r")
        return any(each.startswith(words) or words.startswith(each) for each in (*self._muted, b"warning"))
