"""One wheel from a URL, a ``file:`` URL or a path to a file on disk, with its sha256."""

from __future__ import annotations

import hashlib
import ssl
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pipfallback.net.failures import FetchFailure
from pipfallback.version import __version__

if TYPE_CHECKING:
    import httpx

_CHUNK = 1 << 20
_PAUSES = (0.5, 2.0)  # seconds before the second and the third try
_ZIP = b"PK\x03\x04"
# The file as it is, as pip asks for it: a wheel gains nothing by another compression, and its hash is that of the file.
_HEADERS = {"User-Agent": f"pipfallback/{__version__}", "Accept-Encoding": "identity"}

@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A wheel on disk. ``sha256`` is that of the file as it is."""

    path: Path
    sha256: str
    size: int


_NO_URL = FetchFailure(cause="not-found", message="not a URL that can be asked for")


class Downloader:
    """Fetches wheels into ``folder``.

    ``timeout`` in seconds is for connecting and between two pieces of data, ``pauses`` in seconds before each try again.
    """

    def __init__(self, folder: Path, *, timeout: float = 15.0, pauses: Sequence[float] = _PAUSES) -> None:
        self._folder = folder
        self._timeout = timeout
        self._pauses = pauses
        self._client: httpx.Client | None = None

    def __enter__(self) -> Downloader:  # noqa: PYI034  (typing.Self needs Python 3.11)
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()

    def fetch(self, location: str, filename: str, sha256: str | None = None) -> Fetched | FetchFailure:
        """Get the wheel at ``location``; ``filename`` is its real name, ``sha256`` what it must have, if known.

        A file on disk is used where it lies. A fault that may pass is tried again.
        """
        try:
            path = local_path(location)
        except ValueError:
            return _NO_URL
        if path is not None:
            return _checked(path, sha256)
        result = self._download(location, self._folder / filename, sha256)
        for pause in self._pauses:
            if isinstance(result, Fetched) or not result.transient:
                break
            time.sleep(pause)
            result = self._download(location, self._folder / filename, sha256)
        return result

    def _download(self, url: str, path: Path, sha256: str | None) -> Fetched | FetchFailure:
        import httpx  # start-up: 66 ms that only a download needs

        try:
            with self._http().stream("GET", url) as response:
                if response.status_code >= 400:
                    return _refusal(response)
                failure = _save(response, path)
        except httpx.TimeoutException:
            return FetchFailure(cause="timeout", message=f"{_host(url)} did not answer within {self._timeout:g} s")
        except (httpx.RemoteProtocolError, httpx.ReadError) as error:
            return FetchFailure(cause="truncated", message=f"the connection to {_host(url)} broke: {error}")
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):  # the last: a part of the host is too long
            return _NO_URL
        except httpx.TooManyRedirects:
            return FetchFailure(cause="not-found", message=f"{_host(url)} redirects without end")
        except httpx.HTTPError as error:
            return FetchFailure(cause="unreachable", message=f"{_host(url)} cannot be reached: {error}")
        except OSError as error:
            return FetchFailure(cause="no-space", message=f"cannot write {path.name}: {error.strerror}")
        return failure or _checked(path, sha256)

    def _http(self) -> httpx.Client:
        import httpx  # start-up, as above
        import truststore

        if self._client is None:
            self._client = httpx.Client(
                follow_redirects=True,
                timeout=self._timeout,
                verify=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                headers=_HEADERS,
            )
        return self._client


def local_path(location: str) -> Path | None:
    """The file that a path or ``file:`` URL names; None for another URL. Raises ValueError for a broken URL."""
    parts = urlsplit(location)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))  # this decodes, too
    return None if "://" in location else Path(location)


def _save(response: httpx.Response, path: Path) -> FetchFailure | None:
    expected = response.headers.get("Content-Length")
    with path.open("wb") as file:
        for chunk in response.iter_raw(_CHUNK):
            file.write(chunk)
        written = file.tell()
    if expected is not None and written != int(expected):
        return FetchFailure(cause="truncated", message=f"only {written} of {expected} bytes came")
    return None


def _checked(path: Path, sha256: str | None) -> Fetched | FetchFailure:
    try:
        with path.open("rb") as file:
            start = file.read(len(_ZIP))
            file.seek(0)
            digest = hashlib.sha256()
            size = _feed(file, digest.update)
    except OSError as error:
        return FetchFailure(cause="not-found", message=f"{path}: {error.strerror}")
    except ValueError:  # a NUL in the name
        return _NO_URL
    if start != _ZIP:
        return FetchFailure(cause="corrupt", message=_what_it_is(path))
    if not zipfile.is_zipfile(path):
        return FetchFailure(cause="truncated", message=f"its end is missing: {size} bytes came")
    actual = digest.hexdigest()
    if sha256 is not None and actual != sha256.lower():
        return FetchFailure(
            cause="hash-mismatch",
            message=f"sha256 is {actual}, not {sha256}: the file was changed, or somebody put another in its place",
        )
    return Fetched(path=path, sha256=actual, size=size)


def _feed(file: BinaryIO, take: Callable[[bytes], None]) -> int:
    """Give the file to ``take`` piece by piece, so that memory stays small; its size in bytes."""
    while chunk := file.read(_CHUNK):
        take(chunk)
    return file.tell()


def _what_it_is(path: Path) -> str:
    """What came instead of a wheel, as far as its beginning tells."""
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the wheel itself"
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page (a login or error page?), not a wheel"
    if start.startswith(b"<?xml"):
        return "it is an XML document (an error of the store?), not a wheel"
    if start.startswith(b"\x1f\x8b"):
        return "it is compressed with gzip, not the wheel itself"
    return "it is empty" if not start else "it is not a zip file"


def _refusal(response: httpx.Response) -> FetchFailure:
    host, status = response.url.host, f"{response.status_code} {response.reason_phrase}"
    if response.status_code == 429 or response.status_code >= 500:
        return FetchFailure(cause="server-error", message=f"{host} answered {status}")
    return FetchFailure(cause="not-found", message=f"{host} answered {status}")


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the server"
