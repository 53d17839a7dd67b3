"""``pipfallback download`` and ``wheel``: pip's, with the fallback for what the catalog knows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipfallback.asks import Asks
from pipfallback.catalog_files import managed_names
from pipfallback.commands.choosing import installer_without_probe
from pipfallback.commands.passing import become_pip, read_pips_command
from pipfallback.commands.plain import mentions
from pipfallback.commands.starting import catalog_layers, check_named_catalogs, finish_interrupted_runs
from pipfallback.pip import PipRun
from pipfallback.rewording import words_without_building
from pipfallback.target import Target


def run(words: Sequence[str]) -> int:
    """Bring the files; the exit code. Raises what ends a command that failed."""
    asks, target = read_pips_command(words)
    command = asks.command
    check_named_catalogs(command)
    names = managed_names(catalog_layers(command)) if command.own.fallback else frozenset[str]()
    folder = command.values("--wheel-dir" if command.command == "wheel" else "--dest")
    if not asks.requirements or not names or (folder and Path(folder[-1]).is_file()):
        return become_pip(command, target)  # pip says what is missing, or wrong with a file
    finish_interrupted_runs()
    if not names.isdisjoint(asks.names):
        for error in asks.broken:
            raise error
        return _collected(asks, target, None)
    ran = installer_without_probe(command, target).run(words_without_building(command, names))
    return _collected(asks, target, ran) if mentions(ran.failure, names) else ran.exit_code


def _collected(asks: Asks, target: Target, ran: PipRun | None) -> int:
    from pipfallback.collecting import collect  # start-up: the whole story, where a managed package takes part
    from pipfallback.commands.managed import job_of, report_outcome

    job = job_of(asks, target)
    with tempfile.TemporaryDirectory(prefix="pipfallback-") as scratch:
        outcome = collect(job, Path(scratch), ran)
    report_outcome(outcome, job)
    return outcome.exit_code
