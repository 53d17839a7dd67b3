"""The sockets: proxies, certificates and deadlines; whatever goes wrong on them is a FetchError.

Imported only where the network is used: httpx, httpcore and truststore cost 100 ms of start-up.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx
import truststore

from pipfallback.errors import PipfallbackError
from pipfallback.net.failures import FetchFailure
from pipfallback.net.refusals import NO_URL, FetchError, not_connected, refusal, too_slow, truncated
from pipfallback.net.settings import NetworkSettings
from pipfallback.requests import redacted

_READ = 1 << 18  # bytes asked of a socket at once; httpcore's own 64 KB cost a fast download a third of its time
_CONNECTIONS = 64  # in all; what is open at once to one server is bounded by who asks
_KEPT = 16  # idle connections
_IDLE = 15.0  # seconds that an idle connection is kept


class NetworkSettingsError(PipfallbackError):
    """A certificate file or proxy that the user named cannot be used."""

    reference = "network-settings"


class _Limit(threading.local):
    """When all that this thread does on the network must be over (time.monotonic)."""

    at = float("inf")
    seconds = 0.0


_limit = _Limit()


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """In the ``with`` block this thread's exchanges end after ``seconds``, however steadily something drips in."""
    before = _limit.at, _limit.seconds
    if (at := time.monotonic() + seconds) < _limit.at:
        _limit.at, _limit.seconds = at, seconds
    try:
        yield
    finally:
        _limit.at, _limit.seconds = before


def _left(timeout: float | None) -> float | None:
    left = _limit.at - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    """A connection that minds the deadline of whoever reads from it."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max(max_bytes, _READ), _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left(timeout)))

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    """Makes connections that mind deadlines."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(super().connect_tcp(host, port, _left(timeout), local_address, socket_options))


class Transport(httpx.BaseTransport):
    """Sends requests straight or through a proxy, as the settings and the environment say. Safe to share by threads.

    Raises FetchError from requests and while a body is read, NetworkSettingsError where the settings cannot be used.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._pools: dict[tuple[str | None, bool], httpcore.ConnectionPool] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange; redirects are answers like others."""
        url = request.url
        proxy = self._proxy(url)
        told = url.host if proxy is None else f"{url.host} (through the proxy {urlsplit(proxy).hostname})"
        with _told(told, self._settings):
            response = self._pool(proxy, trusted=self._trusts(url)).handle_request(
                httpcore.Request(
                    request.method,
                    httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        body = _Body(response.iter_stream(), response.close, told, self._settings)
        return httpx.Response(response.status, headers=response.headers, stream=body, extensions=response.extensions)

    def close(self) -> None:
        """End every connection."""
        for pool in self._pools.values():
            pool.close()

    def _proxy(self, url: httpx.URL) -> str | None:
        """The proxy for a URL: what the user named for all of them, else HTTP(S)_PROXY, ALL_PROXY and NO_PROXY."""
        if self._settings.proxy is not None:
            return _with_scheme(self._settings.proxy)
        if not self._settings.proxy_env or proxy_bypass(f"{url.host}:{url.port}" if url.port else url.host):
            return None
        known = getproxies()
        return _with_scheme(known.get(url.scheme) or known.get("all") or "")

    def _trusts(self, url: httpx.URL) -> bool:
        """Whether the user said to trust this host whatever its certificate."""
        return bool({url.host, f"{url.host}:{url.port or 443}"} & set(self._settings.trusted_hosts))

    def _pool(self, proxy: str | None, *, trusted: bool) -> httpcore.ConnectionPool:
        with self._lock:
            if (proxy, trusted) not in self._pools:
                self._pools[proxy, trusted] = _new_pool(proxy, _tls(self._settings, trusted=trusted))
            return self._pools[proxy, trusted]


def _new_pool(proxy: str | None, tls: ssl.SSLContext) -> httpcore.ConnectionPool:
    if proxy is None:
        return httpcore.ConnectionPool(
            ssl_context=tls,
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_KEPT,
            keepalive_expiry=_IDLE,
            network_backend=_Backend(),
        )
    parts = urlsplit(proxy)
    if parts.scheme not in {"http", "https"}:
        raise NetworkSettingsError(
            f"a {parts.scheme}: proxy cannot be used", hints=("name an http: proxy with --proxy",)
        )
    user = (unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None
    return httpcore.HTTPProxy(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        proxy_auth=user,
        ssl_context=tls,
        max_connections=_CONNECTIONS,
        max_keepalive_connections=_KEPT,
        keepalive_expiry=_IDLE,
        network_backend=_Backend(),
    )


def _with_scheme(proxy: str) -> str | None:
    """requests, inside pip, takes "host:port" for an http proxy."""
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _tls(settings: NetworkSettings, *, trusted: bool) -> ssl.SSLContext:
    try:
        context = _trusting(settings.cert, trusted)
        if settings.client_cert:
            context.load_cert_chain(settings.client_cert)
    except (OSError, ssl.SSLError) as error:
        named = " or ".join(name for name in (settings.cert, settings.client_cert) if name)
        raise NetworkSettingsError(
            f"the certificates in {named} cannot be used: {error.strerror or error}",
            hints=("--cert and --client-cert (PIP_CERT, PIP_CLIENT_CERT) name PEM files",),
        ) from None
    return context


def _trusting(cert: str | None, trusted: bool) -> ssl.SSLContext:
    if trusted:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if cert is None:
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    folder = Path(cert).is_dir()
    return ssl.create_default_context(capath=cert) if folder else ssl.create_default_context(cafile=cert)


class _Body(httpx.SyncByteStream):
    """The body as it comes; what breaks it is told."""

    def __init__(self, stream: Iterator[bytes], end: Callable[[], None], host: str, settings: NetworkSettings) -> None:
        self._stream = stream
        self._end = end
        self._told = host, settings

    def __iter__(self) -> Iterator[bytes]:
        with _told(*self._told):
            yield from self._stream

    def close(self) -> None:
        self._end()


@contextlib.contextmanager
def _told(host: str, settings: NetworkSettings) -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        if _limit.at <= time.monotonic() + 0.01:  # a socket may wake a little early
            message = f"{host} had not sent all of it after {_limit.seconds:.2g} s"
            raise FetchError(FetchFailure(cause="timeout", message=message)) from None
        if isinstance(error, httpcore.ConnectTimeout):
            raise FetchError(not_connected(host, settings.connecting)) from None
        raise FetchError(too_slow(host, settings.timeout)) from None
    except (httpcore.ProxyError, httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
        raise FetchError(_failure(host, error)) from None
    except (httpcore.UnsupportedProtocol, httpcore.LocalProtocolError, UnicodeError):  # the last: IDNA refuses the host
        raise FetchError(NO_URL) from None


def _failure(host: str, error: Exception) -> FetchFailure:
    if isinstance(error, httpcore.ProxyError):
        status, _, reason = str(error).partition(" ")
        if status.isdecimal():
            return refusal(host, int(status), reason, {})
        return FetchFailure(cause="unreachable", message=f"{host} cannot be reached: {redacted(str(error))}")
    cause = error.args[0] if error.args else None  # the pool cuts __cause__ off
    if isinstance(cause, ssl.SSLCertVerificationError):
        return FetchFailure(
            cause="tls",
            message=f"the certificate of {host} is not accepted: {cause.verify_message}",
            hint="name the authority that signed it: --cert FILE (or PIP_CERT)",
        )
    if isinstance(cause, ssl.SSLError):
        why = (cause.reason or "handshake failure").replace("_", " ").lower()
        return FetchFailure(cause="tls", message=f"no safe connection to {host}: {why}")
    if isinstance(error, httpcore.ConnectError):
        return FetchFailure(cause="unreachable", message=f"{host} cannot be reached: {redacted(str(error))}")
    return truncated(host, error)
