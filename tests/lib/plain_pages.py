"""Pages over the standard library's client: enough to read listings of a server on this machine, and no more."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.parse import urlsplit

from pipfallback.net.failures import FetchCause, FetchFailure
from pipfallback.net.pages import Page

_CAUSES: Mapping[int, FetchCause] = {401: "unauthorized", 403: "unauthorized", 404: "not-found", 429: "rate-limited"}


class PlainPages:
    """No cache and no second try. ``elsewhere``: beginnings of URLs to what they stand for on this machine.

    ``asked``: the URLs that were asked for, each with its token.
    """

    def __init__(self, *, timeout: float = 5.0, elsewhere: Mapping[str, str] | None = None) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self._timeout = timeout
        self._elsewhere = elsewhere or {}
        self._lock = threading.Lock()
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Redirects)

    def get(self, url: str, *, accept: str = "*/*", token: str | None = None) -> Page | FetchFailure:
        """See ``pipfallback.net.pages.Pages``."""
        with self._lock:
            self.asked.append((url, token))
        place = next(
            (url.replace(here, there, 1) for here, there in self._elsewhere.items() if url.startswith(here)), url
        )
        headers = {"Accept": accept} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            request = urllib.request.Request(place, headers=headers)  # noqa: S310 - the tests choose the scheme
            with self._opener.open(request, timeout=self._timeout) as answer:
                kept = {name.lower(): value for name, value in answer.headers.items()}
                return Page(url=answer.url, body=answer.read(), headers=kept)
        except urllib.error.HTTPError as error:
            with error:
                return _refused(error)
        except TimeoutError:
            return FetchFailure(cause="timeout", message="no answer in time")
        except (OSError, HTTPException, ValueError) as error:
            return _broken(error)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to another host without the token."""

    def redirect_request(  # noqa: PLR0917 - urllib's signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """See the base class."""
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            request.remove_header("Authorization")
        return request


def _refused(error: urllib.error.HTTPError) -> FetchFailure:
    cause: FetchCause = _CAUSES.get(error.code, "server-error" if error.code >= 500 else "not-found")
    after: Any = error.headers.get("Retry-After")
    if error.headers.get("X-RateLimit-Remaining") == "0":
        cause = "rate-limited"
        after = float(error.headers["X-RateLimit-Reset"]) - time.time()
    return FetchFailure(
        cause=cause, message=f"HTTP {error.code}", retry_after=float(after) if after is not None else None
    )


def _broken(error: Exception) -> FetchFailure:
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, TimeoutError):
        return FetchFailure(cause="timeout", message="no answer in time")
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, FileNotFoundError):
        return FetchFailure(cause="not-found", message="no such file")
    return FetchFailure(cause="unreachable", message=type(error).__name__)
