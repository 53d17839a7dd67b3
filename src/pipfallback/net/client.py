"""The one HTTP client: listings through the cache, and open answers for downloads and reads of parts."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipfallback.net.failures import FetchFailure
from pipfallback.net.hops import Credentials, Hop
from pipfallback.net.local import local_path
from pipfallback.net.page_cache import PageCache, Stored
from pipfallback.net.pages import Page
from pipfallback.net.patience import Patience, Tries
from pipfallback.net.refusals import NO_URL, FetchError, refusal
from pipfallback.net.settings import NetworkSettings
from pipfallback.version import __version__

if TYPE_CHECKING:
    import httpx

    from pipfallback.net.transport import Transport

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
_AGENT = f"pipfallback/{__version__}"
# What a listing that was kept may stand in for, old as it is.
_STALE_WILL_DO = frozenset({"rate-limited", "server-error", "timeout", "unreachable", "truncated", "corrupt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer whose body has not been read yet, and the address that gave it, after redirects."""

    response: httpx.Response
    hop: Hop

    @property
    def status(self) -> int:
        """The HTTP status; 200, 206, 304, or one that was asked to be let through."""
        return self.response.status_code

    def header(self, name: str) -> str | None:
        """A header's value, whatever its case."""
        value: str | None = self.response.headers.get(name)
        return value

    def chunks(self) -> Iterator[bytes]:
        """The body piece by piece, as it was sent. Raises FetchError where it breaks."""
        return self.response.iter_raw()


class Client:
    """Speaks HTTP with the user's settings. Implements ``Pages``; safe to use from several threads at once.

    ``cache``: where listings are kept, if anywhere. ``tokens``: bearer tokens by host name. ``offline``: no server is
    asked, only the cache and the disk. ``tell`` gets a line where an old listing has to do.
    """

    def __init__(
        self,
        settings: NetworkSettings | None = None,
        *,
        cache: PageCache | None = None,
        tokens: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        offline: bool = False,
        environ: Mapping[str, str] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings or NetworkSettings()
        self.patience = patience or Patience()
        self.offline = offline
        self._cache = cache
        self._tell = tell
        self._lock = threading.Lock()
        self._transport: Transport | None = None
        urls = (self.settings.index_url, *self.settings.extra_index_urls, *self.settings.find_links)
        self._credentials = Credentials(urls, tokens or {}, os.environ if environ is None else environ)

    def __enter__(self) -> Client:  # noqa: PYI034 - typing.Self needs Python 3.11
        """Nothing is opened before it is needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End every connection."""
        if self._transport is not None:
            self._transport.close()

    def get(self, url: str, *, accept: str = "*/*", token: str | None = None) -> Page | FetchFailure:
        """The listing at ``url``; see ``Pages.get``. It is never empty: a server that sends nothing is at fault."""
        try:
            path = local_path(url)
        except ValueError:
            return NO_URL
        if path is not None:
            return self._page_on_disk(path, url)
        try:
            hop = self._credentials.hop(url, token=token)
        except FetchError as error:
            return error.failure
        kept = self._cache.load(hop.url, accept, private=token is not None) if self._cache is not None else None
        if kept is not None and (kept.fresh or self.offline):
            return kept.page
        result = self._asked(hop, accept, kept, private=token is not None)
        if isinstance(result, FetchFailure) and kept is not None and result.cause in _STALE_WILL_DO:
            if self._tell is not None:
                self._tell(f"{result.message}; its list of {_age(kept.seconds_old)} ago is used")
            return kept.page
        return result

    def hop(self, url: str) -> Hop:
        """The address of a URL with what its host may be told. Raises FetchError."""
        return self._credentials.hop(url)

    @contextlib.contextmanager
    def open(
        self, where: str | Hop, headers: Mapping[str, str] | None = None, *, allowed: frozenset[int] = frozenset()
    ) -> Iterator[Reply]:
        """One GET with its redirects, one try; the body is read in the ``with`` block.

        ``allowed``: statuses from 300 on that are no failure. Raises FetchError.
        """
        hop = self.hop(where) if isinstance(where, str) else where
        if self.offline:
            raise FetchError(FetchFailure(cause="offline", message=f"{hop.host} is not asked: the network is not used"))
        with contextlib.ExitStack() as stack:
            for _ in range(_MOST_REDIRECTS + 1):
                response = self._send(hop, headers or {})
                stack.callback(response.close)
                location = response.headers.get("Location")
                if response.status_code not in _REDIRECTS or location is None:
                    break
                stack.pop_all().close()
                hop = self._credentials.redirected(hop, location)
            else:
                raise FetchError(FetchFailure(cause="not-found", message=f"{hop.host} redirects without end"))
            if response.status_code >= 300 and response.status_code not in allowed:
                raise FetchError(refusal(hop.host, response.status_code, response.reason_phrase, response.headers))
            yield Reply(response=response, hop=hop)

    def _send(self, hop: Hop, headers: Mapping[str, str]) -> httpx.Response:
        import httpx  # start-up, as below

        authorization = {} if hop.authorization is None else {"Authorization": hop.authorization}
        # The file as it is, unless asked otherwise: a wheel gains nothing by another compression.
        everything = {"User-Agent": _AGENT, "Accept": "*/*", "Accept-Encoding": "identity", **headers, **authorization}
        timeouts = httpx.Timeout(self.settings.timeout, connect=self.settings.connecting).as_dict()
        try:
            request = httpx.Request("GET", hop.url, headers=everything, extensions={"timeout": timeouts})
        except (httpx.InvalidURL, UnicodeError):  # the last: a part of the host is too long
            raise FetchError(NO_URL) from None
        return self._sockets().handle_request(request)

    def _sockets(self) -> Transport:
        from pipfallback.net import transport  # start-up: 100 ms that only what uses the network needs

        with self._lock:
            if self._transport is None:
                self._transport = transport.Transport(self.settings)
            return self._transport

    def _asked(self, hop: Hop, accept: str, kept: Stored | None, *, private: bool) -> Page | FetchFailure:
        tries = Tries(self.patience, self.settings.retries)
        until = time.monotonic() + self.patience.page
        while True:
            try:
                return self._ask(hop, accept, kept, private=private, seconds=until - time.monotonic())
            except FetchError as error:
                failure = error.failure
            left = until - time.monotonic()
            if left <= (failure.retry_after or 0.0) or not tries.again(failure):
                return failure

    def _ask(self, hop: Hop, accept: str, kept: Stored | None, *, private: bool, seconds: float) -> Page:
        from pipfallback.net import transport  # start-up, as above

        headers = {"Accept": accept, "Accept-Encoding": "gzip, deflate", **(kept.conditions if kept else {})}
        allowed = frozenset({304}) if kept is not None and kept.conditions else frozenset[int]()
        with transport.within(seconds), self.open(hop, headers, allowed=allowed) as reply:
            if reply.status == 304 and kept is not None and self._cache is not None:
                self._cache.renew(kept, reply.response.headers)
                return kept.page
            body = self._body(reply)
            page = Page(url=reply.hop.url, body=body, headers=_kept_headers(reply.response.headers))
        if self._cache is not None:
            self._cache.save(hop.url, accept, page, private=private)
        return page

    def _body(self, reply: Reply) -> bytes:
        import httpx  # start-up, as above

        gathered = bytearray()
        try:
            for chunk in reply.response.iter_bytes():
                gathered += chunk
                if len(gathered) > self.patience.page_bytes:
                    message = f"{reply.hop.host} sends more than {self.patience.page_bytes >> 20} MB for one list"
                    raise FetchError(FetchFailure(cause="too-large", message=message))
        except httpx.DecodingError:
            message = f"{reply.hop.host} says that it compressed its answer, but did not"
            raise FetchError(FetchFailure(cause="corrupt", message=message)) from None
        if not gathered or reply.status != 200:
            message = f"{reply.hop.host} answered {reply.status} with {'nothing' if not gathered else 'a part'} in it"
            raise FetchError(FetchFailure(cause="corrupt", message=message))
        return bytes(gathered)

    def _page_on_disk(self, path: Path, url: str) -> Page | FetchFailure:
        try:
            with path.open("rb") as file:
                body = file.read(self.patience.page_bytes + 1)
        except OSError as error:
            return FetchFailure(cause="not-found", message=f"{path}: {error.strerror}")
        except ValueError:  # a NUL in the name
            return NO_URL
        if len(body) > self.patience.page_bytes:
            return FetchFailure(cause="too-large", message=f"{path} is larger than {self.patience.page_bytes >> 20} MB")
        return Page(url=url if urlsplit(url).scheme == "file" else path.absolute().as_uri(), body=body)


def _kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower() != "set-cookie"}


def _age(seconds: float) -> str:
    for unit, length in (("day", 86400), ("hour", 3600)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{max(1, int(seconds // 60))} min"
