"""What a stream can show: whether it is a terminal, how wide, in which colours and characters.

Of the standard library alone: it is asked before anything is printed.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_OFF = frozenset({"", "0", "false", "no", "off"})  # as pip reads its PIP_* flags (pip's _internal/cli/parser.py)
_NO_CONTROL = frozenset({"dumb", "unknown"})  # values of TERM: terminals without control sequences (terminfo(5))
_ENDLESS = 10_000  # columns: no line of ours is longer


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at it, as far as one can tell."""
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def moves_cursor(stream: TextIO) -> bool:
    """Whether it is a terminal on which a line can be erased."""
    return is_terminal(stream) and os.environ.get("TERM", "").lower() not in _NO_CONTROL


def has_colours(stream: TextIO) -> bool:
    """Colours are for terminals; NO_COLOR (no-color.org) and pip's --no-color forbid them, FORCE_COLOR wants them."""
    if os.environ.get("NO_COLOR") or "--no-color" in sys.argv:
        return False
    if os.environ.get("PIP_NO_COLOR", "").lower() not in _OFF:
        return False
    return bool(os.environ.get("FORCE_COLOR")) or moves_cursor(stream)


def width_of(stream: TextIO) -> int | None:
    """Its columns; None where there is no terminal, so that nothing is broken over lines. COLUMNS counts, as for pip."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    if not is_terminal(stream):
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def only_ascii(stream: TextIO) -> bool:
    """Whether it lacks the characters of Unicode.

    Under LC_ALL=C Python itself takes UTF-8 (PEP 540); who has set that has a terminal that may not.
    """
    if not (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf"):
        return True
    locale = next((value for name in ("LC_ALL", "LC_CTYPE", "LANG") if (value := os.environ.get(name))), "")
    return locale in {"C", "POSIX"} and not os.environ.get("PYTHONIOENCODING")


def console_on(stream: TextIO, *, live: bool = False) -> Console:
    """A rich console that shows what the stream can. ``live``: it follows a terminal that changes its size."""
    from rich.console import Console, ConsoleDimensions  # start-up: only where a table or a bar is shown

    class Screen(Console):
        """Asks the stream itself, not whichever of the three standard streams is a terminal."""

        @property
        def encoding(self) -> str:
            """As rich's."""
            return "ascii" if only_ascii(stream) else "utf-8"

        @property
        def size(self) -> ConsoleDimensions:
            """As rich's; the height counts only for what is higher than a line."""
            return ConsoleDimensions(width_of(stream) or _ENDLESS, 25)

        @size.setter
        def size(self, new_size: tuple[int, int]) -> None:
            raise AttributeError(new_size)  # it is the stream's

    return Screen(
        file=stream,
        no_color=not has_colours(stream) or None,
        force_terminal=live or (True if has_colours(stream) else None),
        force_interactive=is_terminal(stream),
        highlight=False,
        markup=False,
        emoji=False,
    )
