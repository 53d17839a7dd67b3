"""What is printed, and how: results on standard output, lines of our own and errors on standard error.

The only module that prints.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from types import ModuleType
from typing import TYPE_CHECKING

from pipfallback.arguments import CommandLine
from pipfallback.errors import PipfallbackError
from pipfallback.requests import redacted

if TYPE_CHECKING:
    from rich.console import RenderableType


def tell(line: str) -> None:
    """One line of our own, beside what pip says."""
    print(f"pipfallback: {line}", file=sys.stderr, flush=True)


def teller(command: CommandLine) -> Callable[[str], None]:
    """What tells lines of our own under a command's options: with ``-q`` nothing is told."""
    return _say_nothing if is_quiet(command) else tell


def is_quiet(command: CommandLine) -> bool:
    """Our own lines are silent with ``-q``, as pip's are; errors are told all the same."""
    return command.has("--quiet") or os.environ.get("PIP_QUIET", "0") not in {"", "0"}


def _say_nothing(line: str) -> None:
    """Take a line and tell nobody."""


def say_as_pip(line: str) -> None:
    """A line that pip itself would have written as an error."""
    print(_red(line), file=sys.stderr, flush=True)


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
    from rich.console import Console  # start-up: only where a table is shown

    from pipfallback import tables  # as above

    console = Console(highlight=False, no_color=True if "--no-color" in sys.argv else None, soft_wrap=False)
    for place, renderable in enumerate(renderables(tables)):
        if place:
            console.print()
        console.print(renderable, crop=False)


def show_error(error: PipfallbackError, *, as_json: bool) -> None:
    """Print an error: what failed, its causes, what to do next; as a JSON document on standard output if wanted.

    Whatever a user has named may be a URL with a password in it.
    """
    if as_json:
        from pipfallback.report import error_json  # start-up: only where an error is shown

        print(redacted(json.dumps(error_json(error), indent=2)))
        return
    lines = [f"{_red('error:')} {error.message}", *(f"  {detail}" for detail in error.details)]
    lines += [f"cause: {cause}" for cause in error.causes]
    if error.hints:
        lines += ["", *(f"hint: {hint}" for hint in error.hints)]
    print(redacted("\n".join(lines)), file=sys.stderr)


def _red(text: str) -> str:
    plain = os.environ.get("NO_COLOR") or os.environ.get("PIP_NO_COLOR") or "--no-color" in sys.argv
    return text if plain or not sys.stderr.isatty() else f"\x1b[31m{text}\x1b[0m"
