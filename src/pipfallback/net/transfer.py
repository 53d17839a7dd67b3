"""Getting the bytes of one file: resumed where an earlier try ended, over several connections where one is slow."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipfallback.net import ranges
from pipfallback.net.client import Client, Reply
from pipfallback.net.content import wrong_file, wrong_start
from pipfallback.net.failures import FetchFailure
from pipfallback.net.hops import Hop
from pipfallback.net.partial import Partial
from pipfallback.net.patience import Tries
from pipfallback.net.pieces import Pieces, Span
from pipfallback.net.progress import Progress, megabytes
from pipfallback.net.refusals import FetchError, truncated

_OVERLAP = 64  # bytes before each part that are asked for again: a server that sends another place is found out
_CEILING = 20 << 30  # bytes: where the server does not say how many come
_MUCH = 1 << 20  # bytes after which a try counts as progress
_RESERVE = 16 << 20  # bytes that stay free on the disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Haste:
    """When more connections are opened, ``connections`` in all.

    For files of at least ``size`` bytes that after ``after`` seconds still need ``left`` seconds at the rate so far.
    """

    connections: int = 8
    size: int = 16 << 20
    after: float = 0.3
    left: float = 1.0


class _UntrueError(Exception):
    """The server's parts are not parts of this file: no more are asked for."""


class Transfer:
    """One file on its way into ``partial``. ``pieced``: it was put together from several answers."""

    def __init__(
        self, client: Client, url: str, name: str, *, partial: Partial, progress: Progress, haste: Haste
    ) -> None:
        self._client, self._url, self._name = client, url, name
        self._partial, self._progress, self._haste = partial, progress, haste
        self._tries = Tries(client.patience, client.settings.retries)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._whole_only = False
        self.pieced = False

    def run(self) -> str | FetchFailure:
        """All of it, with as many tries as the settings allow: the sha256 of what came, or why not."""
        while True:
            try:
                return self._checked(self._once())
            except FetchError as error:
                failure = error.failure
            except _UntrueError:
                self._partial.forget()
                self._whole_only = True
                continue
            except OSError as error:
                return FetchFailure(cause="no-space", message=f"cannot write {self._name}: {error.strerror}")
            finally:
                self._progress.done()
            if failure.cause == "corrupt":
                self._partial.forget()
            if not self._tries.again(failure):
                return failure

    def _checked(self, sha256: str) -> str:
        """What came, if it is a wheel. Raises FetchError, or _UntrueError where it was put together from parts."""
        if (failure := wrong_file(self._partial.path)) is None:
            return sha256
        if self.pieced:
            self.pieced = False
            raise _UntrueError
        self._partial.forget()
        raise FetchError(failure)

    def again_whole(self) -> str | FetchFailure:
        """All of it once more, in one piece: what was put together is not what it should be."""
        self._partial.forget()
        self._whole_only, self.pieced = True, False
        return self.run()

    def _once(self) -> str:
        state = None if self._whole_only else self._partial.load()
        if state is None:
            self._partial.forget()
            with self._client.open(self._url) as reply:
                return self._receive(reply, Pieces(self._size(reply)), 0)
        try:
            pieces = Pieces(state.size, state.done)
        except ValueError:
            raise _UntrueError from None
        if pieces.complete:
            return _Follower(self._partial.path, pieces).digest()
        first = max(0, pieces.prefix - _OVERLAP)
        headers = ranges.asked_for(first, None, state.validator)
        with self._client.open(self._url, headers, allowed=frozenset({416})) as reply:
            if reply.status == 200:  # it has changed, or parts are not to be had
                self._whole_only = ranges.validator(reply.response.headers) == state.validator
                self._partial.forget()
                return self._receive(reply, Pieces(self._size(reply)), 0)
            if ranges.size_of(reply.response.headers, first) != state.size:
                raise _UntrueError
            self.pieced = True
            return self._receive(reply, pieces, pieces.prefix - first)

    def _size(self, reply: Reply) -> int:
        said = reply.header("content-length")
        size = int(said) if said is not None and said.isdecimal() else _CEILING
        if size == 0:
            raise FetchError(FetchFailure(cause="corrupt", message="it is empty"))
        if size > _CEILING:
            raise FetchError(FetchFailure(cause="too-large", message=f"{reply.hop.host} sends {megabytes(size)}"))
        return size

    def _receive(self, reply: Reply, pieces: Pieces, overlap: int) -> str:
        """The body of the first answer, and what others bring meanwhile."""
        known = reply.header("content-length") is not None
        if known:
            _check_space(self._partial.folder, pieces.missing)
        self._progress.started(self._name, pieces.size if known else None)
        self._progress.advanced(sum(end - start for start, end in pieces.done))
        self._stop.clear()
        with self._partial.path.open("r+b" if pieces.done else "w+b") as file:
            follower = _Follower(self._partial.path, pieces)
            work = _Work(file, pieces, ranges.validator(reply.response.headers) if known else None)
            try:
                self._lead(reply, work, overlap, known=known)
            finally:
                self._stop.set()
                for helper in work.helpers:
                    helper.join()
                self._save(work)
                if not pieces.complete:
                    follower.end()
        return follower.digest()

    def _lead(self, reply: Reply, work: _Work, overlap: int, *, known: bool) -> None:
        """Take what the first answer brings, then whatever is left over by the helpers. Raises what ended it early."""
        span = work.pieces.take(share=False)
        if span is None:
            return
        can_share = known and not self._whole_only and work.validator is not None and _takes_parts(reply)
        work.resumable = can_share
        try:
            self._pull(reply, work, span, overlap, hurry=can_share)
            if not known:
                work.pieces.ends_here(span)
        except FetchError as error:
            work.failures.append(error.failure)
        finally:
            work.pieces.give_back(span)
        if work.helpers:
            self._help(reply.hop, work)
        for helper in work.helpers:
            helper.join()
        work.raise_what_failed(reply.hop.host)

    def _pull(self, reply: Reply, work: _Work, span: Span, overlap: int, *, hurry: bool = False) -> None:
        """Write what an answer brings to its place; its first ``overlap`` bytes are those before that place."""
        began, came, before = time.monotonic(), 0, b""
        for chunk in reply.chunks():
            data = chunk
            if len(before) < overlap:
                data = before + chunk
                before, data = data[:overlap], data[overlap:]
                if len(before) < overlap:
                    continue
                work.seams.append((span.at - overlap, before))
            came += len(data)
            self._keep(work, span, data)
            if not span.missing or self._stop.is_set():
                return
            if hurry and not work.helpers and self._is_slow(work, came, time.monotonic() - began):
                self._call_helpers(reply.hop, work)
        if span.at == 0:
            self._check_start(work, span, whole=True)

    def _keep(self, work: _Work, span: Span, data: bytes) -> None:
        os.pwrite(work.file.fileno(), data[: span.missing], span.at)
        with self._lock:
            count = work.pieces.advance(span, len(data))
            self._progress.advanced(count)
            work.unsaved += count
            work.came += count
            if work.came > _MUCH:
                work.came = 0
                if work.resumable:  # else the next try begins at the first byte, and could do so for ever
                    self._tries.progressed()
            save = work.unsaved > max(_MUCH, work.pieces.size // 200)
            if save:
                self._save(work)
        if span.start == 0 and not work.checked:
            self._check_start(work, span, whole=not span.missing)
        if work.pieces.size == _CEILING and not span.missing:
            raise FetchError(FetchFailure(cause="too-large", message=f"more than {megabytes(_CEILING)} came"))

    def _check_start(self, work: _Work, span: Span, *, whole: bool) -> None:
        """What is no wheel is not fetched to its end."""
        start = os.pread(work.file.fileno(), min(span.at, 512), 0)
        if len(start) < 4 and not whole:
            return
        work.checked = True
        if (failure := wrong_start(start)) is not None:
            work.validator = None  # so that nothing of it is kept
            raise FetchError(failure)

    def _save(self, work: _Work) -> None:
        work.unsaved = 0
        if work.validator is not None and work.pieces.done:
            self._partial.save(work.pieces.size, work.validator, work.pieces.done)

    def _is_slow(self, work: _Work, came: int, seconds: float) -> bool:
        haste = self._haste
        if seconds < haste.after or work.pieces.size < haste.size or haste.connections < 2:
            return False
        return work.pieces.missing > haste.left * came / max(seconds, 0.001)

    def _call_helpers(self, hop: Hop, work: _Work) -> None:
        self.pieced = True
        for number in range(self._haste.connections - 1):
            helper = threading.Thread(target=self._help, args=(hop, work), name=f"download-{number}", daemon=True)
            work.helpers.append(helper)
            helper.start()

    def _help(self, hop: Hop, work: _Work) -> None:
        """Fetch one part after another, until none is left or the server does not play along."""
        while not self._stop.is_set() and not work.untrue:
            span = work.pieces.take()
            if span is None:
                return
            try:
                self._fetch_part(hop, work, span)
            except FetchError as error:
                work.failures.append(error.failure)
                return
            except OSError as error:
                message = f"cannot write {self._name}: {error.strerror}"
                work.failures.insert(0, FetchFailure(cause="no-space", message=message))
                return
            except _UntrueError:
                work.untrue = True
                return
            finally:
                work.pieces.give_back(span)

    def _fetch_part(self, hop: Hop, work: _Work, span: Span) -> None:
        overlap = min(_OVERLAP, span.at)
        first, last = span.at - overlap, span.end - 1
        with self._client.open(hop, ranges.asked_for(first, last, work.validator or "")) as reply:
            said = ranges.validator(reply.response.headers)
            if ranges.size_of(reply.response.headers, first, last) != work.pieces.size or said != work.validator:
                raise _UntrueError
            self._pull(reply, work, span, overlap)
            if span.missing and not self._stop.is_set():
                raise FetchError(truncated(reply.hop.host, "the part ended too early"))


class _Work:
    """What the connections of one try share."""

    def __init__(self, file: BinaryIO, pieces: Pieces, validator: str | None) -> None:
        self.file, self.pieces, self.validator = file, pieces, validator
        self.helpers: list[threading.Thread] = []
        self.failures: list[FetchFailure] = []
        self.seams: list[tuple[int, bytes]] = []
        self.untrue = False
        self.checked = bool(pieces.done)
        self.resumable = False
        self.unsaved = self.came = 0

    def raise_what_failed(self, host: str) -> None:
        """Raises _UntrueError or FetchError, unless all is there."""
        if self.untrue or not self.seams_match():
            raise _UntrueError
        if not self.pieces.complete:
            raise FetchError(self.failures[0] if self.failures else truncated(host, "not all of it came"))

    def seams_match(self) -> bool:
        """Whether every answer continued what another brought, as far as that is there."""
        there = self.pieces.done
        return all(
            os.pread(self.file.fileno(), len(data), at) == data
            for at, data in self.seams
            if any(start <= at and at + len(data) <= end for start, end in there)
        )


class _Follower(threading.Thread):
    """Hashes what is there from the beginning on while the rest still comes."""

    def __init__(self, path: Path, pieces: Pieces) -> None:
        super().__init__(name="sha256", daemon=True)
        # Unbuffered: a buffer would read ahead to where the bytes are not yet.
        self._file, self._pieces = path.open("rb", buffering=0), pieces
        self._digest = hashlib.sha256()
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        at = 0
        with self._file as file:
            while not self._over.is_set() or at < self._pieces.prefix:
                there = self._pieces.prefix
                while at < there:
                    chunk = file.read(min(_MUCH, there - at))
                    self._digest.update(chunk)
                    at += len(chunk)
                    if not chunk:
                        return
                self._over.wait(0.01)

    def end(self) -> None:
        """The rest does not come."""
        self._over.set()
        self.join()

    def digest(self) -> str:
        """The hash of all of it, in hexadecimal."""
        self.end()
        return self._digest.hexdigest()


def _takes_parts(reply: Reply) -> bool:
    taken = reply.status == 206 or (reply.header("accept-ranges") or "").lower() == "bytes"
    return taken and reply.header("content-encoding") is None


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed + _RESERVE > free:
        message = f"{megabytes(needed)} are needed in {folder}, {megabytes(free)} are free"
        raise FetchError(FetchFailure(cause="no-space", message=message, hint="make room there"))
