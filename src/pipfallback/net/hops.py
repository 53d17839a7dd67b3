"""Where a request goes, and which credentials go with it: those of that host, never those of another."""

from __future__ import annotations

import base64
import netrc
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from pipfallback.net.failures import FetchFailure
from pipfallback.net.refusals import NO_URL, FetchError

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One address on the way to a file. ``url`` holds no user name, password or fragment."""

    url: str
    authorization: str | None = None

    @property
    def host(self) -> str:
        """The server's name, as it may be told."""
        return urlsplit(self.url).hostname or "the server"


_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Credentials:
    """What is known for which server: from the configured URLs, bearer tokens by host name, and the user's netrc."""

    def __init__(self, urls: Iterable[str], tokens: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self._by_origin: dict[tuple[str, str, int | None], str] = {}
        for url in urls:
            parts = _split(url)
            if parts is not None and (basic := _basic(parts)) is not None:
                self._by_origin.setdefault(_origin(parts), basic)
        self._tokens = dict(tokens)
        self._netrc = _read_netrc(environ)

    def hop(self, url: str, *, token: str | None = None) -> Hop:
        """The first address. ``token`` is a bearer token for its host. Raises FetchError for what is no http URL."""
        parts = _split(url)
        if parts is None or parts.scheme not in _PORTS:
            raise FetchError(NO_URL)
        # A catalog may write http where the publisher has https: the token must not go over the net in clear.
        private = parts.scheme == "https" or parts.hostname in _LOOPBACK
        bearer = token or (self._tokens.get(parts.hostname or "") if private else None)
        return Hop(url=_plain(parts), authorization=f"Bearer {bearer}" if bearer else self._known(parts))

    def redirected(self, hop: Hop, location: str) -> Hop:
        """Where ``hop`` leads to. Credentials stay behind, unless it is the same server. Raises FetchError."""
        before = urlsplit(hop.url)
        try:
            parts = _split(urljoin(hop.url, location))
        except ValueError:
            parts = None
        if parts is None or parts.scheme not in _PORTS:
            kind = parts.scheme if parts is not None and parts.hostname is None and parts.scheme else "nowhere"
            place = f"a {kind}: URL" if kind != "nowhere" else "what is no web address"
            raise FetchError(FetchFailure(cause="not-found", message=f"{hop.host} redirects to {place}"))
        if before.scheme == "https" and parts.scheme == "http":
            message = f"{hop.host} redirects from https to http, where anybody on the way could change what comes"
            raise FetchError(FetchFailure(cause="tls", message=message))
        kept = hop.authorization if _same_server(before, parts) else None
        return Hop(url=_plain(parts), authorization=kept or self._known(parts))

    def _known(self, parts: SplitResult) -> str | None:
        basic = _basic(parts) or self._by_origin.get(_origin(parts))
        entry = self._netrc.get(parts.hostname or "")
        if basic is not None or entry is None:
            return basic
        return _encoded(entry[0], entry[2])


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that cannot be
    except ValueError:
        return None
    return parts if parts.hostname or parts.scheme not in _PORTS else None


def _plain(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


def _same_server(before: SplitResult, after: SplitResult) -> bool:
    """The same origin, or the same host after the step from http to https on the usual ports."""
    upgraded = ("http", before.hostname or "", 80), ("https", before.hostname or "", 443)
    return _origin(before) == _origin(after) or (_origin(before), _origin(after)) == upgraded


def _basic(parts: SplitResult) -> str | None:
    if "@" not in parts.netloc:
        return None
    return _encoded(unquote(parts.username or ""), unquote(parts.password or ""))


def _encoded(user: str, password: str | None) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password or ''}".encode()).decode("ascii")


def _read_netrc(environ: Mapping[str, str]) -> dict[str, tuple[str, str | None, str | None]]:
    """The entries by host. The entry "default" is for no host in particular, so it is not ours to send anywhere."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - Path.expanduser raises without a home
    path = Path(environ.get("NETRC") or home / ".netrc")
    try:
        return {host: entry for host, entry in netrc.netrc(str(path)).hosts.items() if host != "default"}
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return {}
