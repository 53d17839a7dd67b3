"""A server in a process of its own: large files without a byte of them in Python, slow answers.

``/DELAY-RATE/NAME`` is the file NAME of the folder, DELAY ms after it was asked for, at RATE bytes per second and
connection (0: as fast as can be). ``/sent`` says how many bytes of files were sent so far.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import unquote

_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A folder that is served."""

    address: str

    def url(self, name: str, *, delay: int = 0, rate: int = 0) -> str:
        """The URL of a file. ``delay`` in ms, ``rate`` in bytes per second and connection."""
        return f"{self.address}/{delay}-{rate}/{name}"

    def sent(self) -> int:
        """How many bytes of files were sent so far."""
        with urllib.request.urlopen(f"{self.address}/sent") as answer:  # noqa: S310  (our own server)
            return int(answer.read())


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Serve ``folder`` while in the ``with`` block."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(folder, there), daemon=True)
    process.start()
    try:
        yield Served(address=f"http://127.0.0.1:{here.recv()}")
    finally:
        process.terminate()
        process.join()


def _serve(folder: Path, port: Connection) -> None:
    sent = [0]
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        port.send(listening.getsockname()[1])
        while True:
            connection, _ = listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_answer_all, args=(connection, folder, sent), daemon=True).start()


def _answer_all(connection: socket.socket, folder: Path, sent: list[int]) -> None:
    buffer = b""
    with connection, contextlib.suppress(ConnectionError):
        while True:
            while b"\r\n\r\n" not in buffer:
                if not (data := connection.recv(65536)):
                    return
                buffer += data
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            _answer(connection, head.decode("latin-1"), folder, sent)


def _answer(connection: socket.socket, head: str, folder: Path, sent: list[int]) -> None:
    method, target = head.split(" ", 2)[:2]
    if target == "/sent":
        _tell(connection, "200 OK", str(sent[0]).encode())
        return
    _, settings, name = target.split("/", 2)
    delay, rate = map(int, settings.split("-"))
    time.sleep(delay / 1000)
    file = folder / unquote(name)
    if not file.is_file():
        _tell(connection, "404 Not Found", b"")
        return
    size = file.stat().st_size
    wanted = next((line for line in head.split("\r\n") if line.lower().startswith("range: bytes=")), None)
    first, last = 0, size - 1
    if wanted is not None:
        begin, _, end = wanted.partition("=")[2].partition("-")
        first, last = (int(begin), min(int(end or size), size - 1)) if begin else (max(size - int(end), 0), size - 1)
    headers = [
        "HTTP/1.1 200 OK" if wanted is None else "HTTP/1.1 206 Partial Content",
        f"Content-Length: {last - first + 1}",
        'ETag: "one"',
        "Accept-Ranges: bytes",
        "Content-Type: " + ("text/html" if name.endswith(".html") else "application/octet-stream"),
        *([f"Content-Range: bytes {first}-{last}/{size}"] if wanted is not None else []),
    ]
    connection.sendall("\r\n".join([*headers, "", ""]).encode())
    if method == "GET":
        with file.open("rb") as source:
            _send(connection, source.fileno(), (first, last + 1), rate, sent)


def _tell(connection: socket.socket, status: str, body: bytes) -> None:
    connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


def _send(connection: socket.socket, source: int, part: tuple[int, int], rate: int, sent: list[int]) -> None:
    at, end = part
    began, start = time.monotonic(), at
    while at < end:
        count = os.sendfile(connection.fileno(), source, at, min(_BLOCK if rate else 1 << 24, end - at))
        at += count
        sent[0] += count
        if rate:
            time.sleep(max(0.0, (at - start) / rate - (time.monotonic() - began)))
