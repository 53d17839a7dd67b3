"""What is pip's: the command becomes pip."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pipfallback.arguments import CommandLine
from pipfallback.commands.starting import finish_interrupted_runs, read_words, target_of
from pipfallback.pip import Pip, pip_for


def become_pip(words: Sequence[str]) -> NoReturn:
    """Turn into pip for the target, with the words that are pip's."""
    command = read_words(words)
    finish_interrupted_runs()
    pip_without_probe(command).become(command.words())


def pip_without_probe(command: CommandLine) -> Pip:
    """pip for the target, asking the interpreter only where it seems to have no pip."""
    target = target_of(command)
    prefix = Path(target.executable).parent.parent
    if target.executable == sys.executable or any(prefix.glob("lib/python3*/site-packages/pip/__init__.py")):
        return Pip(executable=target.executable)
    from pipfallback.environment import probe  # start-up: seldom needed

    environment, installation = probe(target.executable)
    return pip_for(installation, environment.python.version)
