"""What a command begins with: its words taken apart, interrupted runs finished, the catalog, the target, the network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipfallback import state
from pipfallback.arguments import CommandLine, parse, under_settings
from pipfallback.asks import Asks, read_asks
from pipfallback.catalog_files import Layer, layers
from pipfallback.pip_config import read_pip_config
from pipfallback.target import Target, find_target
from pipfallback.terminal import progress, tell

if TYPE_CHECKING:
    from pipfallback.catalog import Catalog
    from pipfallback.online import Online


def read_words(words: Sequence[str]) -> CommandLine:
    """Take the words of a command apart. Raises UsageError."""
    return parse(words, os.environ)


def finish_interrupted_runs() -> None:
    """Put back what a run left that was killed, and say so."""
    if state.has_unfinished_runs():
        from pipfallback.transaction import recover  # start-up: only where there is something to put back

        recover(tell)


def catalog_layers(command: CommandLine) -> Sequence[Layer]:
    """The fallbacks.toml files in force (DESIGN 6)."""
    return layers([Path(name) for name in command.own.fallbacks], cwd=Path.cwd(), config_dir=_config_folder())


def load_catalog(files: Sequence[str]) -> Catalog:
    """The catalog with the files that the user named. Raises CatalogError."""
    from pipfallback.catalog_reader import load  # start-up: 3,000 lines of TOML, only where a managed name is asked for

    catalog = load([Path(name) for name in files], cwd=Path.cwd(), config_dir=_config_folder())
    for note in catalog.notes:
        tell(note)
    return catalog


def check_named_catalogs(command: CommandLine) -> None:
    """A file that the user named must be there and be right, even where it is not used. Raises CatalogError."""
    if command.own.fallbacks:
        load_catalog(command.own.fallbacks)


def _config_folder() -> Path:
    import platformdirs  # start-up: only where a catalog is looked for

    return platformdirs.user_config_path("pipfallback", appauthor=False)


def target_of(command: CommandLine) -> Target:
    """The interpreter that is installed for; why it is that one is told where that is not plain."""
    target = find_target(command.own.python, os.environ)
    if target.reason:
        tell(target.reason)
    return target


def read_command(command: CommandLine, target: Target) -> Asks:
    """Everything that a command for a target asks for: in its words, its files and pip's settings."""
    prefix = Path(target.executable).parent.parent
    config = read_pip_config(os.environ, prefix=prefix, isolated=command.has("--isolated"))

    def fetch(url: str) -> bytes:
        from pipfallback.net.failures import FetchFailure  # start-up: only where a file is to be had by URL

        with online(command, str(prefix)) as net:
            page = net.client.get(url)
        if isinstance(page, FetchFailure):
            raise OSError(page.message)
        return page.body

    return read_asks(under_settings(command, config), config, fetch=fetch, environ=os.environ)


def online(command: CommandLine, prefix: str | None) -> Online:
    """The network under a command's options and the pip settings of a target with that ``sys.prefix``."""
    from pipfallback.online import Online  # start-up: httpx comes with it

    return Online(command, os.environ, prefix=prefix, progress=progress(command))
