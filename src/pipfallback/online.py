"""The servers and caches as one command meets them: pip's settings, one client, what sources are asked with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from packaging.specifiers import SpecifierSet

from pipfallback.arguments import CommandLine
from pipfallback.environment import Environment, Installation
from pipfallback.looking_inside import Inside
from pipfallback.net.cache import Cache
from pipfallback.net.client import Client
from pipfallback.net.download import Downloader
from pipfallback.net.progress import Progress
from pipfallback.net.settings import network_settings
from pipfallback.pip_config import read_pip_config
from pipfallback.requests import Request
from pipfallback.sources import Asking


class Online:
    """The network under a command's options, PIP_* variables and pip.conf.

    ``prefix``: the target's, whose pip.conf counts; None where there is no target. ``progress`` is told of downloads.
    """

    def __init__(
        self, command: CommandLine, environ: Mapping[str, str], *, prefix: str | None, progress: Progress
    ) -> None:
        config = read_pip_config(environ, prefix=Path(prefix) if prefix else None, isolated=command.has("--isolated"))
        self._settings = network_settings(command, config, environ)
        self._environ = environ
        self._allow_build = command.own.allow_build
        self._peek = command.own.peek
        self._progress = progress
        self.cache = Cache(self._settings.cache_dir) if self._settings.cache_dir is not None else None
        self.client = Client(
            self._settings,
            cache=None if self.cache is None else self.cache.pages,
            tokens=_tokens(environ),
            environ=environ,
        )

    def __enter__(self) -> Online:  # noqa: PYI034 - typing.Self needs Python 3.11
        """Nothing is opened before it is needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End every connection."""
        self.client.__exit__(kind, error, traceback)

    def asking(self, environment: Environment, request: Request | None = None) -> Asking:
        """What sources are asked with, for builds that are to run in ``environment``."""
        return Asking(
            environment=environment,
            pages=self.client,
            specifier=SpecifierSet() if request is None else request.specifier,
            allow_build=self._allow_build,
            offline=self._settings.no_index,
            index_url=self._settings.index_url,
            extra_index_urls=self._settings.extra_index_urls,
            find_links=self._settings.find_links,
            environ=self._environ,
        )

    def inside(self, environment: Environment, installation: Installation | None) -> Inside:
        """What looks into files; see ``Inside``. Peeks only for this machine and the torch that is there."""
        peeking = self._peek and installation is not None and environment.origins.get("torch") != "planned"
        kept = None if self.cache is None else self.cache.facts
        return Inside(environment, installation, client=self.client, kept=kept, peeks=peeking)

    def downloader(self, folder: Path) -> Downloader:
        """What fetches wheels into ``folder``."""
        return Downloader(folder, client=self.client, cache=self.cache, progress=self._progress)


def _tokens(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Whom downloads send a token. GitHub's is for its API alone, and the sources send it there."""
    token = environ.get("HF_TOKEN")
    mirror = urlsplit(environ.get("HF_ENDPOINT", "")).hostname
    return {host: token for host in ("huggingface.co", mirror) if host} if token else {}
