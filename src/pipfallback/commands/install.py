"""``pipfallback install``: which of its forms a command takes. Nothing that only a managed name needs is imported."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipfallback import manual
from pipfallback.arguments import CommandLine
from pipfallback.catalog_files import managed_names
from pipfallback.commands.passing import become_pip, pip_without_probe
from pipfallback.commands.starting import catalog_layers, finish_interrupted_runs, load_catalog, read_words
from pipfallback.pip_failures import Cause
from pipfallback.requests import Request, read_request
from pipfallback.terminal import say, tell


def run(words: Sequence[str]) -> int:
    """Install; the exit code."""
    command = read_words(words)
    if command.has("--help"):
        say(manual.INSTALL_HELP)
        become_pip(words)
    requests = tuple(read_request(item.value or "") for item in command.requirements)
    in_force = catalog_layers(command)
    if command.own.fallbacks:
        load_catalog(command.own.fallbacks)  # a file that the user named must be there and be right, even if unused
    names = managed_names(in_force)
    if any(request.name in names for request in requests):
        from pipfallback.commands.managed import install_managed  # start-up: the whole story

        return install_managed(command, requests)
    if any(request.is_wheel for request in requests):
        return _install_wheel(command, requests)
    return become_pip(words)


def _install_wheel(command: CommandLine, requests: Sequence[Request]) -> int:
    """A wheel that the catalog does not know is pip's; but where pip refuses it, the reason is told."""
    pip = pip_without_probe(command)
    finish_interrupted_runs()
    done = pip.run(command.words())
    if done.failure is not None and done.failure.cause is Cause.UNSUPPORTED_WHEEL:
        _tell_why_refused(command, requests, pip.executable)
    return done.exit_code


def _tell_why_refused(command: CommandLine, requests: Sequence[Request], executable: str) -> None:
    from pipfallback.builds import UnreadableFilenameError, read_build  # start-up: only where pip refused a wheel
    from pipfallback.choice import tag_mismatches
    from pipfallback.looking import look

    environment, _ = look(executable, command, os.environ)
    for request in requests:
        try:
            build = read_build(request.location or request.text)
        except UnreadableFilenameError:
            continue
        for mismatch in tag_mismatches(build, environment):
            tell(f"{mismatch.rule}: {mismatch.text}")
    tell("no flag makes pip accept it; a fallbacks.toml entry would let pipfallback try other builds")
