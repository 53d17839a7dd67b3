"""A file on a server, read in parts: METADATA and symbols of a wheel without its 250 MB."""

from __future__ import annotations

import threading

from pipfallback.net import ranges
from pipfallback.net.client import Client, Reply
from pipfallback.net.failures import FetchFailure
from pipfallback.net.hops import Hop
from pipfallback.net.patience import Tries
from pipfallback.net.refusals import FetchError, truncated

_FIRST = 1024  # bytes that tell the size and whether parts are to be had; a suffix range is not taken by every store
_NO_PARTS = FetchFailure(cause="not-found", message="the server does not take Range requests for it")


class RemoteReadError(OSError):
    """A part could not be had; ``failure`` says why."""

    def __init__(self, failure: FetchFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class RemoteFile:
    """Bytes at an offset of a file on a server (``ReadAt``); safe to use from several threads at once.

    ``size`` in bytes; ``validator``: the ETag or Last-Modified of this version, None where the server gives none that
    can be relied on; ``received``: how many bytes came so far.
    """

    def __init__(self, client: Client, url: str, hop: Hop, size: int, validator: str | None) -> None:
        self.size = size
        self.validator = validator
        self.received = 0
        self._client, self._url, self._hop = client, url, hop
        self._lock = threading.Lock()

    def read(self, offset: int, length: int, /) -> bytes:
        """``length`` bytes from ``offset`` on, fewer only at the end. Raises RemoteReadError (an OSError)."""
        length = max(0, min(length, self.size - offset))
        if not length:
            return b""
        tries = Tries(self._client.patience, self._client.settings.retries)
        resolved = False
        while True:
            try:
                return self._read(offset, length)
            except FetchError as error:
                failure = error.failure
            if failure.cause in {"unauthorized", "not-found"} and not resolved:
                resolved = True  # a signed URL that has expired: its origin leads to a new one
                self._hop = self._client.hop(self._url)
            elif not tries.again(failure):
                raise RemoteReadError(failure) from None

    def _read(self, offset: int, length: int) -> bytes:
        headers = {"Range": f"bytes={offset}-{offset + length - 1}"}
        if self.validator is not None:
            headers["If-Range"] = self.validator
        with self._client.open(self._hop, headers) as reply:
            size = ranges.size_of(reply.response.headers, offset, offset + length - 1) if reply.status == 206 else None
            if size != self.size or ranges.validator(reply.response.headers) != self.validator:
                raise RemoteReadError(
                    FetchFailure(cause="corrupt", message=f"{reply.hop.host} did not send the part that was asked for")
                )
            data = _body(reply, length)
            self._hop = reply.hop
        with self._lock:
            self.received += len(data)
        return data


def open_remote(client: Client, url: str) -> RemoteFile | FetchFailure:
    """The file at an http or https URL, to be read in parts; a failure with "not-found" where it cannot be."""
    tries = Tries(client.patience, client.settings.retries)
    while isinstance(result := _opened(client, url), FetchFailure) and tries.again(result):
        pass
    return result


def _opened(client: Client, url: str) -> RemoteFile | FetchFailure:
    try:
        return _first_part(client, url)
    except FetchError as error:
        return error.failure


def _first_part(client: Client, url: str) -> RemoteFile | FetchFailure:
    with client.open(url, {"Range": f"bytes=0-{_FIRST - 1}"}, allowed=frozenset({416})) as reply:
        size = ranges.size_of(reply.response.headers, 0, _FIRST - 1) if reply.status == 206 else None
        if size is None:
            return _NO_PARTS
        file = RemoteFile(client, url, reply.hop, size, ranges.validator(reply.response.headers))
        file.received = len(_body(reply, min(_FIRST, size)))
        return file


def _body(reply: Reply, length: int) -> bytes:
    """Exactly ``length`` bytes; a server that sends more is not listened to."""
    data = bytearray()
    for chunk in reply.chunks():
        data += chunk
        if len(data) > length:
            break
    if len(data) != length:
        raise FetchError(truncated(reply.hop.host, f"{len(data)} of {length} bytes came"))
    return bytes(data)
