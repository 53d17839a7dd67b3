"""``pipfallback install``: which of its forms a command takes. Nothing that only a managed name needs is imported."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipfallback.asks import Asks
from pipfallback.catalog_files import managed_names
from pipfallback.commands.passing import become_pip, read_pips_command
from pipfallback.commands.plain import install_plain
from pipfallback.commands.starting import catalog_layers, check_named_catalogs
from pipfallback.target import Target


def run(words: Sequence[str]) -> int:
    """Install; the exit code."""
    asks, target = read_pips_command(words)
    command = asks.command
    if command.own.lock is None:
        return _install(asks, target)
    from pipfallback.commands.from_lock import held_by_lock  # start-up: only where a lock is given

    with tempfile.TemporaryDirectory(prefix="pipfallback-") as folder:
        return _install(held_by_lock(asks, command.own.lock, target, Path(folder)), target)


def _install(asks: Asks, target: Target) -> int:
    command = asks.command
    names = managed_names(catalog_layers(command))
    if not names.isdisjoint(asks.names):
        for error in asks.broken:
            raise error
        from pipfallback.commands.managed import install_managed  # start-up: the whole story

        return install_managed(asks, target)
    check_named_catalogs(command)
    if not asks.requirements:
        return become_pip(command, target)  # pip says what is missing, or wrong with a file
    return install_plain(asks, target, names)
