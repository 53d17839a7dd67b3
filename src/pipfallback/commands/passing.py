"""What is pip's: the command becomes pip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from pipfallback import manual
from pipfallback.arguments import CommandLine
from pipfallback.asks import Asks
from pipfallback.commands.choosing import installer_without_probe
from pipfallback.commands.starting import (
    finish_interrupted_runs,
    read_command,
    read_words,
    target_of,
)
from pipfallback.target import Target
from pipfallback.terminal import say


def run(words: Sequence[str]) -> NoReturn:
    """Turn into pip for the target, with the words that are pip's."""
    command = read_words(words)
    become_pip(command, target_of(command))


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
