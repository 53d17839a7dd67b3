"""The user's network settings, as pip has them: command line, PIP_* variables, pip.conf."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from pipfallback.arguments import CommandLine
from pipfallback.pip_config import PipConfig

PYPI = "https://pypi.org/simple"  # pip's own default


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """How to reach servers. The defaults are pip's: 15 s of silence end an exchange, five more tries.

    A connection must be made in a third of that: a host that takes none by then takes none, and is not tried again.

    ``proxy`` "" means none, whatever the environment says; None: what the environment says, unless ``proxy_env`` is
    false. ``trusted_hosts``: "host" or "host:port" whose certificates are not looked at. ``timeout`` in seconds.
    ``cache_dir``: the folder for listings and downloads, None where nothing may be kept.
    """

    proxy: str | None = None
    proxy_env: bool = True
    cert: str | None = None
    client_cert: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    timeout: float = 15.0
    retries: int = 5
    no_index: bool = False
    index_url: str = PYPI
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    cache_dir: Path | None = None

    @property
    def connecting(self) -> float:
        """Seconds in which a host must have taken a connection. Three SYN packets are sent in 5 s (RFC 6298)."""
        return min(self.timeout, max(5.0, self.timeout / 3))


def network_settings(command: CommandLine, config: PipConfig, environ: Mapping[str, str]) -> NetworkSettings:
    """What holds for this command. Options count before PIP_* variables, and these before pip.conf, as for pip.

    What cannot be read (a time-out that is no number) is passed over: pip itself refuses it.
    """
    said = _Said(command, config)
    proxy, proxy_env = said.last("--proxy"), not said.flag("--no-proxy-env")
    # requests, inside pip, reads these two where it looks at the environment at all
    bundle = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") if proxy is None and proxy_env else None
    return NetworkSettings(
        proxy=proxy,
        proxy_env=proxy_env,
        cert=said.last("--cert") or bundle or None,
        client_cert=said.last("--client-cert") or None,
        trusted_hosts=said.every("--trusted-host"),
        timeout=_number(said.last("--timeout"), 15.0),
        retries=int(_number(said.last("--retries"), 5.0, least=0.0)),
        no_index=said.flag("--no-index"),
        index_url=said.last("--index-url") or PYPI,
        extra_index_urls=said.every("--extra-index-url"),
        find_links=said.every("--find-links"),
        cache_dir=None if said.given("--no-cache-dir") else _cache_folder(environ),
    )


class _Said:
    """The command line over the configuration."""

    def __init__(self, command: CommandLine, config: PipConfig) -> None:
        self._options = [item for item in command.items if item.kind == "option"]
        self._config = config

    def last(self, option: str) -> str | None:
        """The value that counts of an option that counts once."""
        values = [item.value for item in self._options if item.name == option and item.value is not None]
        return values[-1] if values else self._config.get(option)

    def every(self, option: str) -> tuple[str, ...]:
        """All values of a list: pip adds those of the command line to the configured ones."""
        values = [item.value for item in self._options if item.name == option and item.value is not None]
        return (*self._config.getlist(option), *values)

    def flag(self, option: str) -> bool:
        return any(item.name == option for item in self._options) or self._config.flag(option)

    def given(self, option: str) -> bool:
        """pip takes any value of no-cache-dir for yes, "false" too (its cmdoptions._handle_no_cache_dir says why)."""
        return any(item.name == option for item in self._options) or self._config.get(option) is not None


def _number(text: str | None, default: float, *, least: float = 0.001) -> float:
    try:
        number = float(text) if text is not None else default
    except ValueError:
        return default
    return number if least <= number < float("inf") else default


def _cache_folder(environ: Mapping[str, str]) -> Path | None:
    """PIPFALLBACK_CACHE_DIR, else the user's cache folder; None where that is not this user's (sudo without -H)."""
    named = environ.get("PIPFALLBACK_CACHE_DIR")
    if named:
        return Path(named).expanduser().absolute()
    folder = platformdirs.user_cache_path("pipfallback", appauthor=False)
    try:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        owner = existing.stat().st_uid
    except (OSError, StopIteration):
        return None
    # As pip does: root would leave files in a user's home that the user cannot remove.
    if hasattr(os, "geteuid") and os.geteuid() == 0 and owner != 0:
        return None
    return folder if os.access(existing, os.W_OK | os.X_OK) else None
