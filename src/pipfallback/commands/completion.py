"""``pipfallback completion``: a shell's script, what may be completed, or (with dashes) pip's own completion of pip."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipfallback.arguments import CommandLine
from pipfallback.catalog_files import managed_names
from pipfallback.commands.passing import become_pip
from pipfallback.commands.starting import catalog_layers, read_words, target_of
from pipfallback.completion import SCRIPTS, SHELLS, Reply, reply_to
from pipfallback.errors import UsageError
from pipfallback.terminal import say

HELP = """\
Usage: pipfallback completion bash|zsh|fish

Print the script with which a shell completes pipfallback's commands, its
options and pip's, files, and the names of the packages that the catalog knows:

  bash    eval "$(pipfallback completion bash)"      in ~/.bashrc
  zsh     source <(pipfallback completion zsh)       in ~/.zshrc
  fish    pipfallback completion fish | source    in ~/.config/fish/config.fish

With dashes (--bash, --zsh, --fish, --powershell) it is pip's own command, which
completes pip:
"""


def run(words: Sequence[str]) -> int:
    """Print a script, or what the script asks for; the exit code."""
    command = read_words(words)
    arguments = [item.value or "" for item in command.requirements]
    if command.has("--help"):
        say(HELP)
        become_pip(command, target_of(command))
    if arguments[:1] == ["words"]:
        return _offer(command, arguments[1:])
    if not arguments and any(item.kind == "option" for item in command.items):
        become_pip(command, target_of(command))
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        raise UsageError(
            f"completion is for one shell, {' or '.join(SHELLS)}"
            + (f"; not {' '.join(arguments)}" if arguments else ""),
            hints=("pipfallback completion bash",),
        )
    say(SCRIPTS[arguments[0]].strip())
    return 0


def _offer(command: CommandLine, words: Sequence[str]) -> int:
    """One line for each word that is offered; what is pip's to complete, pip says."""
    reply = reply_to(words, names=managed_names(catalog_layers(command)))
    if reply.pip:
        # The protocol of pip's own scripts (pip/_internal/cli/autocompletion.py), since pip 1.1.
        os.environ.update(PIP_AUTO_COMPLETE="1", COMP_WORDS=" ".join(["pip", *words]), COMP_CWORD=str(len(words)))
        become_pip(read_words(()), target_of(command))
    if lines := _lines(reply):
        say("\n".join(lines))
    return 0


def _lines(reply: Reply) -> list[str]:
    lines = [f"{word}\t{text}".rstrip() for word, text in reply.words]
    return [*lines, f":{reply.takes}"] if reply.takes in {"file", "folder"} else lines
