"""``pipfallback help REFERENCE``: what the page on troubleshooting says of an error, here and without a network."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from pipfallback import pip_options
from pipfallback.commands.passing import become_pip
from pipfallback.commands.starting import read_words, target_of
from pipfallback.errors import TROUBLESHOOTING, UsageError
from pipfallback.manual import HELP, OWN_COMMANDS
from pipfallback.terminal import say

_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def run(words: Sequence[str]) -> int:
    """Print the section of an error, by its reference; a command of pip's is left to ``pip help``. The exit code."""
    command = read_words(words)
    topics = [item.value or "" for item in command.requirements]
    if not topics or command.has("--help"):
        say(HELP.rstrip("\n"))
        return 0
    told = sections()
    if topics[0] in pip_options.COMMANDS:
        become_pip(command, target_of(command))
    if topics[0] not in told:
        known = sorted({*told, *OWN_COMMANDS})
        near = get_close_matches(topics[0], known, n=1)
        hints = (f"did you mean {near[0]}?",) if near else (f"it is known for: {', '.join(known)}",)
        raise UsageError(f"there is no help for {topics[0]}", hints=hints)
    say(told[topics[0]])
    return 0


def sections() -> dict[str, str]:
    """What is said of each error, by its reference: plain text, without the links of the page."""
    errors = _page().read_text(encoding="utf-8").partition("\n## Errors\n")[2].partition("\n## ")[0]
    parts = (part.partition("\n") for part in errors.split("\n### ")[1:])
    return {reference: _plain(text.strip()) for reference, _, text in parts}


def _plain(text: str) -> str:
    """Paragraphs and items of Markdown for a terminal."""
    text = _LINK.sub(r"\1", text).replace("**", "")
    blocks = (re.split(r"\n(?=- )", block) for block in text.split("\n\n"))
    return "\n\n".join("\n".join(map(_filled, items)) for items in blocks)


def _filled(item: str) -> str:
    if item.startswith("```"):
        return item
    indent = "  " if item.startswith("- ") else ""
    return textwrap.fill(
        " ".join(item.split()), 80, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _page() -> Path:
    """Beside the modules in a wheel, in the folder of the documentation in a source checkout."""
    package = Path(__file__).parents[1]
    beside = package / Path(TROUBLESHOOTING).name
    return beside if beside.is_file() else package.parents[1] / TROUBLESHOOTING
