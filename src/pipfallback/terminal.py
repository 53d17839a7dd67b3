"""What is printed, and how: results on standard output, lines of our own and errors on standard error.

The only module that prints.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from io import TextIOWrapper
from types import ModuleType
from typing import TYPE_CHECKING

from pipfallback import screen
from pipfallback.arguments import CommandLine
from pipfallback.errors import PipfallbackError
from pipfallback.requests import redacted
from pipfallback.view import Lines, View

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipfallback.live import LiveView, Mark
    from pipfallback.net.progress import Progress

_OURS = "pipfallback:"
_MARKS = {
    "next": ("→", ">", "36"),
    "bad": ("✗", "x", "31"),
    "good": ("✓", "+", "32"),
}  # character, in ASCII, colour (SGR)
_DIM, _RED, _CYAN = "2", "31", "36"  # SGR (ECMA-48 8.3.117)
_NO_BAR = frozenset({"off", "raw"})  # values of pip's --progress-bar with which nothing moves
_live: list[LiveView] = []  # the one that has the terminal, if any


def tell(line: str) -> None:
    """One line of our own, beside what pip says."""
    _tell_marked(line, "")


def _tell_marked(line: str, mark: Mark) -> None:
    """Marks are for terminals; a log keeps the words alone."""
    at_terminal = screen.is_terminal(sys.stderr)
    sign = _MARKS[mark][screen.only_ascii(sys.stderr)] if mark and at_terminal else ""
    head = f"{_OURS} {sign} " if sign else f"{_OURS} "
    first, *rest = _fitted(f"{head}{line}")
    if at_terminal:
        colour = _coloured(_OURS, _DIM) + (f" {_coloured(sign, _MARKS[mark][2])} " if sign else " ")
        first = colour + first.removeprefix(head)
    _print_error("\n".join([first, *rest]))


def _fitted(line: str) -> list[str]:
    """A line as it fits standard error, where that is a terminal."""
    if not screen.is_terminal(sys.stderr):
        return [line]
    from pipfallback.short_names import fitted  # start-up: only for a terminal

    ellipsis = "..." if screen.only_ascii(sys.stderr) else "…"
    width = screen.width_of(sys.stderr)
    return [part for each in line.split("\n") for part in fitted(each, width, ellipsis=ellipsis)]


def _print_error(text: str) -> None:
    """Print on standard error, where nothing that moves may be in the way."""
    with _live[-1].aside() if _live else nullcontext():
        print(text, file=sys.stderr, flush=True)


def teller(command: CommandLine) -> Callable[[str], None]:
    """What tells lines of our own under a command's options: with ``-q`` nothing is told."""
    return _say_nothing if is_quiet(command) else tell


def view(command: CommandLine) -> View:
    """What shows the attempts of a command: live at a terminal, in lines elsewhere, not at all with ``-q``."""
    return _live_view() if _is_live(command) else Lines(teller(command))


def progress(command: CommandLine) -> Progress:
    """What shows how far a command's downloads are, in the same way."""
    from pipfallback.net import progress as forms  # start-up: httpx comes with it

    if _is_live(command):
        return _live_view()
    return forms.Silent() if is_quiet(command) else forms.Lines(sys.stderr)


def _is_live(command: CommandLine) -> bool:
    wanted = command.values("--progress-bar")[-1:]
    return screen.moves_cursor(sys.stderr) and not is_quiet(command) and _NO_BAR.isdisjoint(wanted)


def _live_view() -> LiveView:
    """The same for all: there is one terminal."""
    if not _live:
        from pipfallback.live import LiveView  # start-up: only for a terminal

        _live.append(LiveView(sys.stderr, _tell_marked))
    return _live[-1]


def is_quiet(command: CommandLine) -> bool:
    """Our own lines are silent with ``-q``, as pip's are; errors are told all the same."""
    return command.has("--quiet") or os.environ.get("PIP_QUIET", "0") not in {"", "0"}


def _say_nothing(line: str) -> None:
    """Take a line and tell nobody."""


def say_as_pip(line: str) -> None:
    """A line that pip itself would have written as an error."""
    _print_error(_coloured(line, _RED))


def say(text: str) -> None:
    """A result, as it is."""
    print(text, flush=True)


def show(as_json: bool, document: object, renderables: Callable[[ModuleType], Sequence[RenderableType]]) -> None:
    """Print a result on standard output: one JSON document, or what a person reads (made with the module of tables)."""
    if as_json:
        print(json.dumps(document, indent=2))
        return
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name of a source that the terminal's encoding lacks
    from pipfallback import tables  # start-up: only where a table is shown, for rich comes with it

    console = screen.console_on(sys.stdout)
    for place, renderable in enumerate(renderables(tables)):
        if place:
            console.print()
        console.print(tables.Trimmed(renderable), crop=False)


def show_error(error: PipfallbackError, *, as_json: bool) -> None:
    """Print an error: what failed, its causes, what to do next; as a JSON document on standard output if wanted.

    Whatever a user has named may be a URL with a password in it.
    """
    if as_json:
        from pipfallback.report import error_json  # start-up: only where an error is shown

        print(redacted(json.dumps(error_json(error), indent=2)))
        return
    lines = [f"error: {error.message}", *(f"  {detail}" for detail in error.details)]
    lines += [f"cause: {cause}" for cause in error.causes]
    if error.hints or error.see:
        lines += ["", *(f"hint: {hint}" for hint in error.hints)]
    if error.see:
        lines.append(f"see: {error.see}")
    shown = [each for line in redacted("\n".join(lines)).split("\n") for each in _fitted(line)]
    _print_error("\n".join(_with_colour(line) for line in shown))


def _with_colour(line: str) -> str:
    """The word that says what a line of an error is stands out."""
    for word, colour in (("error:", _RED), ("hint:", _CYAN)):
        if line.startswith(word):
            return _coloured(word, colour) + line.removeprefix(word)
    return line


def _coloured(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if screen.has_colours(sys.stderr) else text
