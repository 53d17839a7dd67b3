"""A web server on the loopback interface that serves wheels, and fails in every way that web servers fail."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import re
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, unquote, urlsplit

from lib.pages import index_page, links_page


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How one path is answered. The defaults serve the file properly, ranges and ETag included.

    ``body`` replaces the file's content. After ``cut_at`` bytes the connection is closed; after ``stall_at`` bytes
    nothing comes any more until the client goes away; ``claim`` is a Content-Length that is not true. ``delay``
    seconds pass before the answer. ``reset`` ends the connection without one.

    ``drip`` seconds pass before each byte of the body; ``endless`` repeats the body for ever; without ``length`` no
    Content-Length is said, and the end of the connection is the end of the body. An answer to a Range request can lie:
    ``content_range`` is said instead of the true one, ``part`` sent instead of the bytes asked for. ``if_range`` false:
    a part is sent whatever version was asked for. ``raw`` is sent instead of an HTTP answer, its bytes ``drip`` apart.
    ``rate``: at most so many bytes a second, as over a slow line.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    ranges: bool = True
    etag: bool = True
    cut_at: int | None = None
    stall_at: int | None = None
    claim: int | None = None
    delay: float = 0.0
    reset: bool = False
    drip: float = 0.0
    endless: bool = False
    length: bool = True
    content_range: str | None = None
    part: bytes | None = None
    if_range: bool = True
    raw: bytes | None = None
    rate: int = 0


SERVE = Answer()
RESET = Answer(reset=True)
NO_RANGES = Answer(ranges=False)
HTML_PAGE = Answer(body=b"<!doctype html><title>Sign in</title>\n", headers={"Content-Type": "text/html"})


def fail(status: int, *, retry_after: int | None = None) -> Answer:
    """An error status, with Retry-After in seconds where given."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Answer(status=status, headers=headers, body=f"{status}\n".encode())


def redirect(url: str, *, status: int = 302) -> Answer:
    """A redirect, such as to another host that holds the files."""
    return Answer(status=status, headers={"Location": url}, body=b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request that came in. ``path`` is decoded and without query; ``sent`` counts the body's bytes; 0: no status."""

    method: str
    path: str
    range: str | None
    headers: Mapping[str, str]
    status: int
    sent: int


class Server:
    """Serves ``folder`` on a free port of 127.0.0.1 while in the ``with`` block.

    Every path is a file of the folder, unless ``answer`` says otherwise. ``/simple/`` is an index of all wheels below
    the folder (PEP 503, with hashes and Requires-Python), ``/links/`` a page of links to them. ``requests`` is the
    log. ``host`` is the name in its URLs: "127.0.0.1" and "localhost" are two hosts to a client. With ``tls`` it speaks
    https.
    """

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.folder = folder
        self.host = host
        self.scheme = "http" if tls is None else "https"
        self.requests: list[Request] = []
        self.errors: list[BaseException] = []
        self._answers: dict[str, list[Answer]] = {}
        self._lock = threading.Lock()
        self._http = _HttpServer(self)
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Server:  # noqa: PYI034 - typing.Self needs Python 3.11
        """Start to serve."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop, end every connection, and raise what went wrong in the server itself."""
        self._http.shutdown()
        self._http.end_connections()
        self._http.server_close()
        self._thread.join()
        if self.errors and error is None:
            raise self.errors[0]

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"{self.scheme}://{self.host}:{self._http.server_port}"

    def url_of(self, path: str | Path) -> str:
        """The URL of a path ("/a/b.whl") or of a file below the folder. "+" stays as it is, as publishers write it."""
        if isinstance(path, Path):
            path = "/" + path.relative_to(self.folder).as_posix()
        return self.url + quote(path, safe="/+")

    def answer(self, path: str, *answers: Answer) -> None:
        """Answer ``path`` (decoded) so: one after another, the last one for ever."""
        with self._lock:
            self._answers[path] = list(answers)

    def requests_of(self, path: str, *, method: str | None = None) -> list[Request]:
        """The requests for one path so far."""
        return [one for one in self.requests if one.path == path and method in {None, one.method}]

    def next_answer(self, path: str) -> Answer:
        """How to answer ``path`` now; each answer but the last is given once."""
        with self._lock:
            answers = self._answers.get(path, [SERVE])
            return answers.pop(0) if len(answers) > 1 else answers[0]

    def content(self, path: str) -> tuple[bytes, str] | None:
        """(body, content type) of a path; None where nothing is there."""
        if path.startswith("/simple/"):
            page = index_page(self.folder, path.removeprefix("/simple/").strip("/"))
            return None if page is None else (page, "text/html")
        if path == "/links/":
            return links_page(self.folder), "text/html"
        file = self.folder / path.lstrip("/")
        return (file.read_bytes(), "application/octet-stream") if file.is_file() else None


class _HttpServer(http.server.ThreadingHTTPServer):
    """The sockets: every open connection is known, so that none outlives the ``with`` block."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = (
        128  # as servers have it: with 5, a SYN is dropped where many threads ask, and comes a second late
    )

    def __init__(self, owner: Server) -> None:
        self.owner = owner
        self.stopping = threading.Event()
        self.reset: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Note the connection; a thread answers it."""
        if isinstance(request, socket.socket):
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Close the connection: with a farewell (FIN), or without one (RST) where a reset was ordered."""
        if isinstance(request, socket.socket):
            self._open.discard(request)
            if request in self.reset:
                self.close_request(request)
                return
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """End those that a client keeps open for its next request, and those that stall."""
        self.stopping.set()
        for connection in list(self._open):
            with contextlib.suppress(OSError):  # the client or its thread was faster
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep what went wrong in the server itself; a client that goes away is no error."""
        del request, client_address
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError):
            self.owner.errors.append(error)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    server: _HttpServer
    protocol_version = "HTTP/1.1"
    server_version = "pipfallback-tests"

    def log_message(self, *_args: object) -> None:
        """Nothing on stderr: the log is ``Server.requests``."""

    def do_GET(self) -> None:
        """Answer as ``Server.answer`` ordered."""
        path = unquote(urlsplit(self.path).path)
        answer = self.server.owner.next_answer(path)
        self.server.stopping.wait(answer.delay)
        if answer.reset:
            self._log(path, 0, 0)
            self._reset()
            return
        if answer.raw is not None:
            self._log(path, 0, len(answer.raw))
            self._write(answer.raw, answer)
            self.close_connection = True
            return
        status, headers, body = self._reply(path, answer)
        claimed = len(body) if answer.claim is None else answer.claim
        rest = body if answer.stall_at is None else body[: answer.stall_at]
        rest = b"" if self.command == "HEAD" else rest[: answer.cut_at]
        self._log(path, status, len(rest))
        self.send_response(status)
        length = {"Content-Length": str(claimed)} if answer.length else {"Connection": "close"}
        for name, value in {**headers, **length}.items():
            self.send_header(name, value)
        self.end_headers()
        self._write(rest, answer)
        if answer.stall_at is not None:
            self.server.stopping.wait(60)
        self.close_connection |= claimed != len(rest) and self.command != "HEAD"

    def _write(self, data: bytes, answer: Answer) -> None:
        if answer.rate:
            self._write_slowly(data, answer.rate)
        elif not answer.drip:
            self.wfile.write(data)
        for byte in data if answer.drip else b"":
            if self.server.stopping.wait(answer.drip):
                return
            self.wfile.write(bytes([byte]))
        while answer.endless and not self.server.stopping.is_set():
            self.wfile.write(data)

    def _write_slowly(self, data: bytes, rate: int) -> None:
        """In twentieths of a second."""
        step = max(1, rate // 20)
        for start in range(0, len(data), step):
            if self.server.stopping.wait(0.05):
                return
            self.wfile.write(data[start : start + step])

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def _reply(self, path: str, answer: Answer) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) before anything is cut."""
        found = (answer.body, "text/plain") if answer.body is not None else self.server.owner.content(path)
        if found is None:
            return 404, {"Content-Type": "text/plain"}, b"404\n"
        body, kind = found
        headers = {"Content-Type": kind, **answer.headers}
        if answer.status != 200:
            return answer.status, headers, body
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if answer.etag:
            headers["ETag"] = tag
            if self.headers.get("If-None-Match") == tag:
                return 304, headers, b""
        if not answer.ranges:
            return 200, headers, body
        headers["Accept-Ranges"] = "bytes"
        status, headers, sent = self._part(
            headers, body, tag if answer.if_range else self.headers.get("If-Range") or ""
        )
        if status == 206 and answer.content_range is not None:
            headers["Content-Range"] = answer.content_range
        return status, headers, sent if status != 206 or answer.part is None else answer.part[: len(sent)]

    def _part(self, headers: dict[str, str], body: bytes, tag: str) -> tuple[int, dict[str, str], bytes]:
        """What the Range header asks for (RFC 9110, one range): 206, 416, or all with 200."""
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if wanted is None or not any(wanted.groups()) or self.headers.get("If-Range") not in {None, tag}:
            return 200, headers, body
        size = len(body)
        first, last = wanted.groups()
        start = int(first) if first else max(0, size - int(last))
        end = min(int(last), size - 1) if first and last else size - 1
        if start > end:
            return 416, headers | {"Content-Range": f"bytes */{size}"}, b""
        return 206, headers | {"Content-Range": f"bytes {start}-{end}/{size}"}, body[start : end + 1]

    def _reset(self) -> None:
        """Make closing the connection send RST (SO_LINGER with zero seconds)."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.server.reset.add(self.connection)
        self.close_connection = True

    def _log(self, path: str, status: int, sent: int) -> None:
        self.server.owner.requests.append(
            Request(
                method=self.command,
                path=path,
                range=self.headers.get("Range"),
                headers=dict(self.headers.items()),
                status=status,
                sent=sent,
            )
        )


@contextlib.contextmanager
def dead_host() -> Iterator[str]:
    """The address of a host that does not even take a connection, as one behind a firewall that drops packets."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # they fill its queue: nobody takes them
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
