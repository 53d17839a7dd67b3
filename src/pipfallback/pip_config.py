"""What pip is configured with: its configuration files and PIP_* variables, read as pip reads them.

Source: pip documentation, "Configuration"; where that is silent, pip's ``_internal/configuration.py`` and
``_internal/cli/parser.py`` (26.3).
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipfallback import pip_files
from pipfallback.pip_options import canonical

_TRUE = frozenset({"y", "yes", "t", "true", "on", "1"})
_FALSE = frozenset({"n", "no", "f", "false", "off", "0"})
_NOT_SETTINGS = frozenset({"version", "help"})  # PIP_VERSION and PIP_HELP mean nothing to pip


@dataclass(frozen=True, slots=True, kw_only=True)
class PipConfig:
    """pip's settings for one command, by canonical option name ("--index-url")."""

    values: Mapping[str, str] = field(default_factory=dict)

    def get(self, option: str) -> str | None:
        """The text that is set for an option, None where none is (or an empty one, which pip ignores)."""
        return self.values.get(option)

    def getlist(self, option: str) -> tuple[str, ...]:
        """The values of an option that may be given several times; white space and newlines separate them."""
        return tuple(self.values.get(option, "").split())

    def flag(self, option: str) -> bool:
        """Whether an option without value ("--no-index", "--user") is switched on; what is no boolean is not."""
        return self.values.get(option, "").strip().lower() in _TRUE


def read_pip_config(
    environ: Mapping[str, str], *, prefix: Path | None = None, command: str = "install", isolated: bool = False
) -> PipConfig:
    """What pip would read in an environment of variables.

    ``prefix``: the target's ``sys.prefix``, whose pip.conf counts; ``command`` has its own section; ``isolated``: pip's
    ``--isolated``, with which neither the user's file nor variables count. A file that cannot be read sets nothing: pip
    itself complains of it.
    """
    by_section: dict[str, dict[str, str]] = {"global": {}, command: {}}
    for path in config_files(environ, prefix=prefix, isolated=isolated):
        for section, key, value in _settings(path):
            if section in by_section:
                by_section[section][key] = value
    variables = {} if isolated else dict(_variables(environ))
    values: dict[str, str] = {}
    for settings in (by_section["global"], by_section[command], variables):
        values |= {canonical(f"--{key}"): value for key, value in settings.items() if value}
    return PipConfig(values=values)


def config_files(environ: Mapping[str, str], *, prefix: Path | None = None, isolated: bool = False) -> tuple[Path, ...]:
    """The files that pip looks for (see ``pip_files``)."""
    said = pip_files.config_files(environ, prefix=None if prefix is None else str(prefix), isolated=isolated)
    return tuple(Path(name) for name in said)


def _settings(path: Path) -> Iterator[tuple[str, str, str]]:
    """(section, key, value) of a file, keys as pip writes them."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except (OSError, ValueError, configparser.Error):  # missing, no text, no configuration
        return
    for section in parser.sections():
        for key, value in parser.items(section):
            yield section, _key(key), value


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environ.items():
        if name.startswith("PIP_") and (key := _key(name[4:])) not in _NOT_SETTINGS:
            yield key, value


def _key(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")
