"""One wheel from a URL, a ``file:`` URL or a path to a file on disk, with its sha256."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pipfallback.net.cache import Cache, link_or_copy
from pipfallback.net.client import Client
from pipfallback.net.content import sha256_of, wrong_file, wrong_hash
from pipfallback.net.failures import FetchFailure
from pipfallback.net.local import local_path
from pipfallback.net.partial import Partial, claimed
from pipfallback.net.progress import Progress, Silent
from pipfallback.net.refusals import NO_URL
from pipfallback.net.transfer import Haste, Transfer
from pipfallback.requests import without_credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A wheel on disk. ``sha256`` is that of the file as it is; ``size`` in bytes."""

    path: Path
    sha256: str
    size: int


class Downloader:
    """Fetches wheels into ``folder``.

    ``client``: whose settings hold (without one: the defaults, and a client of its own). ``cache``: where wheels are
    kept by hash, and what a killed run had so far. ``progress`` is told how far a download is. ``haste``: when more
    than one connection is used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        client: Client | None = None,
        cache: Cache | None = None,
        progress: Progress | None = None,
        haste: Haste | None = None,
    ) -> None:
        self._folder = folder
        self._own = Client() if client is None else None
        self._client = client or self._own or Client()
        self._cache = cache
        self._progress = progress or Silent()
        self._haste = haste or Haste()

    def __enter__(self) -> Downloader:  # noqa: PYI034 - typing.Self needs Python 3.11
        """Nothing is opened before it is needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the connections, unless they are those of a client that was given."""
        if self._own is not None:
            self._own.__exit__(kind, error, traceback)

    def fetch(self, location: str, filename: str, sha256: str | None = None) -> Fetched | FetchFailure:
        """Get the wheel at ``location``; ``filename`` is its real name, ``sha256`` what it must have, if known.

        A file on disk is used where it lies, one of that hash from the cache. A fault that may pass is tried again.
        """
        try:
            path = local_path(location)
        except ValueError:
            return NO_URL
        if path is not None:
            return _on_disk(path, sha256)
        into = self._folder / filename
        if sha256 is not None and self._cache is not None and self._cache.wheels.take(sha256, into):
            return Fetched(path=into, sha256=sha256.lower(), size=into.stat().st_size)
        kept = self._cache.partials if self._cache is not None else None
        result = self._fetched(location, into, sha256, kept)
        if isinstance(result, FetchFailure) and result.cause == "no-space" and kept is not None:
            return self._fetched(location, into, sha256, None)  # a full cache is no reason to fail
        return result

    def _fetched(self, location: str, into: Path, sha256: str | None, kept: Path | None) -> Fetched | FetchFailure:
        try:
            with claimed(kept, self._folder, without_credentials(location)) as partial:
                return self._download(location, into, sha256, partial)
        except OSError as error:
            return FetchFailure(cause="no-space", message=f"cannot write {into.name}: {error.strerror}")

    def _download(self, url: str, into: Path, sha256: str | None, partial: Partial) -> Fetched | FetchFailure:
        transfer = Transfer(self._client, url, into.name, partial=partial, progress=self._progress, haste=self._haste)
        result = transfer.run()
        if isinstance(result, str) and transfer.pieced and wrong_hash(result, sha256) is not None:
            # A server that sends other bytes than were asked for, or two versions of one file, is not an attacker yet.
            result = transfer.again_whole()
        if isinstance(result, FetchFailure):
            return result
        if (wrong := wrong_hash(result, sha256)) is not None:
            partial.forget()
            return wrong
        link_or_copy(partial.path, into)
        if self._cache is not None:
            self._cache.wheels.keep(into, result)
        partial.forget()
        return Fetched(path=into, sha256=result, size=into.stat().st_size)


def _on_disk(path: Path, sha256: str | None) -> Fetched | FetchFailure:
    try:
        if (failure := wrong_file(path)) is not None:
            return failure
        actual, size = sha256_of(path), path.stat().st_size
    except OSError as error:
        return FetchFailure(cause="not-found", message=f"{path}: {error.strerror}")
    except ValueError:  # a NUL in the name
        return NO_URL
    return wrong_hash(actual, sha256) or Fetched(path=path, sha256=actual, size=size)
