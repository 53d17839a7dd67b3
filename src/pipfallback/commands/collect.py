"""``pipfallback download`` and ``wheel``: pip's, with the fallback for what the catalog knows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipfallback import manual
from pipfallback.asks import Asks
from pipfallback.catalog_files import managed_names
from pipfallback.commands.choosing import installer_without_probe
from pipfallback.commands.passing import become_pip
from pipfallback.commands.plain import mentions
from pipfallback.commands.starting import (
    catalog_layers,
    finish_interrupted_runs,
    load_catalog,
    read_command,
    read_words,
    target_of,
)
from pipfallback.pip import PipRun
from pipfallback.rewording import without_building
from pipfallback.target import Target
from pipfallback.terminal import say


def run(words: Sequence[str]) -> int:
    """Bring the files; the exit code. Raises what ends a command that failed."""
    command = read_words(words)
    target = target_of(command)
    if command.has("--help"):
        say(manual.command_help(command.command or "install"))
        become_pip(command, target)
    if command.own.fallbacks:
        load_catalog(command.own.fallbacks)  # a file that the user named must be there and be right, even if unused
    asks = read_command(command, target)
    names = managed_names(catalog_layers(command)) if command.own.fallback else frozenset[str]()
    folder = command.values("--wheel-dir" if command.command == "wheel" else "--dest")
    if not asks.requirements or not names or (folder and Path(folder[-1]).is_file()):
        return become_pip(command, target)  # pip says what is missing, or wrong with a file
    finish_interrupted_runs()
    if not names.isdisjoint(asks.names):
        for error in asks.broken:
            raise error
        return _collected(asks, target, None)
    extra = without_building(command, names)
    words = command.replaced(lambda item: (*item.words, *extra) if item.kind == "command" else None)
    ran = installer_without_probe(command, target).run(words)
    return _collected(asks, target, ran) if mentions(ran.failure, names) else ran.exit_code


def _collected(asks: Asks, target: Target, ran: PipRun | None) -> int:
    from pipfallback.collecting import collect  # start-up: the whole story, where a managed package takes part
    from pipfallback.commands.managed import job_of, report_outcome

    job = job_of(asks, target)
    with tempfile.TemporaryDirectory(prefix="pipfallback-") as scratch:
        outcome = collect(job, Path(scratch), ran)
    report_outcome(outcome, job)
    return outcome.exit_code
