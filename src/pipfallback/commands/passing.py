"""What is pip's: the command becomes pip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from pipfallback.arguments import CommandLine
from pipfallback.commands.choosing import installer_without_probe
from pipfallback.commands.starting import finish_interrupted_runs, read_words, target_of
from pipfallback.target import Target


def run(words: Sequence[str]) -> NoReturn:
    """Turn into pip for the target, with the words that are pip's."""
    command = read_words(words)
    become_pip(command, target_of(command))


def become_pip(command: CommandLine, target: Target) -> NoReturn:
    """Turn into pip for a target."""
    finish_interrupted_runs()
    installer_without_probe(command, target).become(command.words())
