"""How fast a wheel of 300 MB comes, beside pip and uv, from the same server on the loopback interface.

Usage: python benchmarks/download.py [MEGABYTES [ROUNDS]]. Three questions: as fast as the server can; 10 MB/s for each
connection; and how much is fetched again after a kill at 80 %. Every run is a process of its own, start-up included;
the best of ROUNDS counts. uv takes part where it is on PATH or can be had from PyPI. Goals: not slower than pip; at
least 3 times pip's rate; under 5 %. Prints a table, then one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

NAME = "heavy-1.0-py3-none-any.whl"
BLOCK = 1 << 18

OURS = """
import os, sys
from pathlib import Path
from pipfallback.net.cache import Cache
from pipfallback.net.client import Client
from pipfallback.net.download import Downloader, Fetched
from pipfallback.net.progress import Silent
class Killed(Silent):
    there, total = 0, 0
    def started(self, name, total):
        self.there, self.total = 0, total
    def advanced(self, count):
        self.there += count
        if len(sys.argv) > 4 and self.there > 0.8 * self.total:
            os.kill(os.getpid(), 9)
url, folder, cache = sys.argv[1:4]
with Client() as client, Downloader(Path(folder), client=client, cache=Cache(Path(cache)), progress=Killed()) as loader:
    result = loader.fetch(url, url.rpartition("/")[2])
assert isinstance(result, Fetched), result
"""


def serve(file: Path, port: Connection) -> None:
    """The server process: ``/RATE/NAME`` is the file at RATE bytes per second and connection (0: as fast as can be)."""
    sent = [0]
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        port.send(listening.getsockname()[1])
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_answer_all, args=(connection, file, sent), daemon=True).start()


def _answer_all(connection: socket.socket, file: Path, sent: list[int]) -> None:
    buffer = b""
    with connection, contextlib.suppress(ConnectionError), file.open("rb") as source:
        while True:
            while b"\r\n\r\n" not in buffer:
                if not (data := connection.recv(65536)):
                    return
                buffer += data
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            _answer(connection, head.decode("latin-1"), source.fileno(), sent)


def _answer(connection: socket.socket, head: str, source: int, sent: list[int]) -> None:
    method, target = head.split(" ", 2)[:2]
    if target == "/sent":
        text = str(sent[0]).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
        return
    size = os.fstat(source).st_size
    wanted = next((line for line in head.split("\r\n") if line.lower().startswith("range: bytes=")), None)
    first, last, status = 0, size - 1, "200 OK"
    if wanted is not None:
        begin, _, end = wanted.partition("=")[2].partition("-")
        first, last, status = int(begin), int(end or size - 1), "206 Partial Content"
    headers = [f"HTTP/1.1 {status}", f"Content-Length: {last - first + 1}", 'ETag: "one"', "Accept-Ranges: bytes"]
    if wanted is not None:
        headers.append(f"Content-Range: bytes {first}-{last}/{size}")
    connection.sendall("\r\n".join([*headers, "Content-Type: application/octet-stream", "", ""]).encode())
    if method == "GET":
        _send(connection, source, (first, last + 1), int(target.split("/")[1]), sent)


def _send(connection: socket.socket, source: int, part: tuple[int, int], rate: int, sent: list[int]) -> None:
    at, end = part
    began, start = time.monotonic(), at
    while at < end:
        count = os.sendfile(connection.fileno(), source, at, min(BLOCK if rate else 1 << 24, end - at))
        at += count
        sent[0] += count
        if rate:
            time.sleep(max(0.0, (at - start) / rate - (time.monotonic() - began)))


@contextlib.contextmanager
def server(file: Path) -> Iterator[str]:
    """Its address."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(file, there), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


def heavy_wheel(folder: Path, megabytes: int) -> Path:
    """A wheel of one large file that no compression makes smaller."""
    path = folder / NAME
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("heavy/data.bin", "w", force_zip64=True) as file:
            for _ in range(megabytes):
                file.write(os.urandom(1_000_000))
        archive.writestr("heavy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: heavy\nVersion: 1.0\n")
        archive.writestr("heavy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("heavy-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in archive.namelist()))
    return path


def find_uv(folder: Path) -> str | None:
    """uv on PATH, else from PyPI; None where neither is to be had."""
    if (there := shutil.which("uv")) is not None:
        return there
    subprocess.run([sys.executable, "-m", "venv", str(folder / "uv")], check=True)
    done = subprocess.run([str(folder / "uv/bin/python"), "-m", "pip", "install", "-q", "uv"], check=False)
    return str(folder / "uv/bin/uv") if done.returncode == 0 else None


def commands(url: str, uv: str | None, folder: Path) -> dict[str, list[str]]:
    """What fetches the wheel, each into an empty folder with an empty cache."""
    into = str(folder / "into")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-index", "-d", into, url]
    ours = [sys.executable, "-c", OURS, url, into, str(folder / "cache")]
    others = {"pip": pip, "pipfallback": ours}
    if uv is not None:
        words = ["pip", "install", "-q", "--no-config", "--no-deps", "--no-index", "--python", sys.executable]
        others["uv (unpacks too)"] = [uv, *words, "--target", into, url]
    return others


def run(command: Sequence[str], folder: Path) -> float:
    """Seconds that it takes, in a home of its own."""
    (folder / "into").mkdir(parents=True)
    started = time.perf_counter()
    subprocess.run(command, check=True, env=environ(folder))
    return time.perf_counter() - started


def environ(folder: Path) -> Mapping[str, str]:
    """An environment without this machine's settings for pip."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "XDG_"))}
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return kept | pip | {"HOME": str(folder), "UV_CACHE_DIR": str(folder / "uv-cache")}


def best(url: str, uv: str | None, scratch: Path, rounds: int) -> dict[str, float]:
    """The shortest time of each program, in turns, so that what disturbs one disturbs all."""
    times: dict[str, float] = {}
    for number in range(rounds):
        for name in commands(url, uv, scratch):
            folder = scratch / f"{number}-{name.split()[0]}"
            seconds = run(commands(url, uv, folder)[name], folder)
            times[name] = min(seconds, times.get(name, seconds))
            shutil.rmtree(folder)
    return times


def fetched_again(address: str, size: int, scratch: Path) -> float:
    """The part of the file that the server sent twice, where the first run was killed at 80 %."""

    def sent() -> int:
        with urllib.request.urlopen(f"{address}/sent") as answer:  # noqa: S310 - our own server
            return int(answer.read())

    folder = scratch / "killed"
    (folder / "into").mkdir(parents=True)
    before = sent()
    command = commands(f"{address}/40000000/{NAME}", None, folder)["pipfallback"]
    killed = subprocess.run([*command, "kill"], check=False, env=environ(folder))
    assert killed.returncode == -signal.SIGKILL
    subprocess.run(command, check=True, env=environ(folder))
    return (sent() - before - size) / size


def main(megabytes: int = 300, rounds: int = 3) -> None:
    """Print the times, the ratios and what was fetched again."""
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        scratch = Path(temporary)
        wheel = heavy_wheel(scratch, megabytes)
        uv = find_uv(scratch)
        with server(wheel) as address:
            free = best(f"{address}/0/{NAME}", uv, scratch, rounds)
            slow = best(f"{address}/10000000/{NAME}", uv, scratch, 1)
            again = fetched_again(address, wheel.stat().st_size, scratch)
    for title, times in (("as fast as the server can", free), ("10 MB/s per connection", slow)):
        print(f"{megabytes} MB, {title}")
        for name, seconds in times.items():
            ratio = times["pip"] / seconds
            print(f"  {name:<18} {seconds:7.2f} s  {megabytes / seconds:7.1f} MB/s  {ratio:5.2f} x pip's rate")
    print(f"killed at 80 % and run again: {again:.1%} of the file was sent twice")
    print(json.dumps({"megabytes": megabytes, "unthrottled": free, "throttled": slow, "sent_twice": again}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
