"""What is pip's: the command becomes pip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from pipfallback import manual, pip_options
from pipfallback.arguments import CommandLine
from pipfallback.asks import Asks
from pipfallback.commands.choosing import installer_without_probe
from pipfallback.commands.starting import (
    finish_interrupted_runs,
    read_command,
    read_words,
    target_of,
)
from pipfallback.errors import UsageError
from pipfallback.target import Target
from pipfallback.terminal import say


def run(words: Sequence[str]) -> NoReturn:
    """Turn into pip for the target, with the words that are pip's."""
    command = read_words(words)
    _check_spelling(command.command or "")
    become_pip(command, target_of(command))


def _check_spelling(name: str) -> None:
    """Raise UsageError for what is nearly a command of ours: pip would only say that it does not know it."""
    if name in pip_options.COMMANDS:
        return
    from difflib import get_close_matches  # start-up: only for a word that pip may not know

    for near in get_close_matches(name, manual.OWN_COMMANDS.keys() - pip_options.COMMANDS, n=1, cutoff=0.7):
        raise UsageError(f"unknown command {name}", hints=(f"did you mean {near}?", "pipfallback --help"))


def become_pip(command: CommandLine, target: Target) -> NoReturn:
    """Turn into pip for a target."""
    finish_interrupted_runs()
    installer_without_probe(command, target).become(command.words())


def read_pips_command(words: Sequence[str]) -> tuple[Asks, Target]:
    """A command that is pip's too: what it asks for, and the target. With ``--help`` it becomes pip, after our own text.

    Raises UsageError for an own option.
    """
    command = read_words(words)
    target = target_of(command)
    if command.has("--help"):
        say(manual.command_help(command.command or "install"))
        become_pip(command, target)
    return read_command(command, target), target
