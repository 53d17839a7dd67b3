"""h: how fast a wheel of 300 MB comes, beside pip and uv, from the same server on the loopback interface.

As fast as the server can; 10 MB/s for each connection; and how much is fetched again after a kill at 80 %. Every run is
a process of its own, start-up included, into an empty folder with empty caches.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.frame import Figure, Spent, in_turns, ratio, spend
from benchmarks.serving import Served, serving
from benchmarks.world import World

MEGABYTES = 300
NAME = "heavydownload"
RATE = 10_000_000  # bytes per second and connection
PIP, UV, OURS = "pip download", "uv pip install --target", "ours"

_FETCH = """
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


def figures(world: World, rounds: int = 4) -> Iterator[Figure]:
    """h: the times beside pip's and uv's (uv unpacks, too), and what is fetched twice."""
    wheel = world.wheel(NAME, "1.0", MEGABYTES)
    with serving(world.served) as served:
        fast = in_turns(rounds, **_runs(world, served.url(wheel.name)))
        # One round: it takes a minute, and what is waited for is the server.
        slow = {name: [run()] for name, run in _runs(world, served.url(wheel.name, rate=RATE)).items()}
        again = _fetched_again(world, served, wheel)
    yield ratio("h", "300 MB as fast as the server can", fast, OURS, PIP, 1.0)
    yield ratio("h", "300 MB as fast as the server can", fast, OURS, UV, None)
    yield ratio("h", "300 MB at 10 MB/s per connection", slow, OURS, PIP, 1 / 3)
    yield ratio("h", "300 MB at 10 MB/s per connection", slow, OURS, UV, None)
    yield Figure(key="h", what="fetched twice after a kill at 80 %", values=(100 * again,), goal=5.0, unit="%")
    wheel.unlink()


def _runs(world: World, url: str) -> dict[str, Callable[[], Spent]]:
    return {
        PIP: _fresh(world, lambda home: world.pip("download", "--no-deps", "-d", home / "into", url)),
        UV: _fresh(world, lambda home: world.uv("pip", "install", "--no-deps", "--target", home / "into", url)),
        OURS: _fresh(world, lambda home: _fetch(url, home)),
    }


def _fresh(world: World, command: Callable[[Path], list[str]]) -> Callable[[], Spent]:
    def run() -> Spent:
        environ = world.environ()
        spent = spend(command(Path(environ["HOME"])), environ)
        world.forget(environ)
        return spent

    return run


def _fetch(url: str, home: Path) -> list[str]:
    (home / "into").mkdir(exist_ok=True)
    return [sys.executable, "-c", _FETCH, url, str(home / "into"), str(home / "cache")]


def _fetched_again(world: World, served: Served, wheel: Path) -> float:
    """The part of the file that the server sent twice, where the first run was killed at 80 %."""
    environ = world.environ()
    before = served.sent()
    command = _fetch(served.url(wheel.name, rate=4 * RATE), Path(environ["HOME"]))
    killed = subprocess.run([*command, "kill"], check=False, env=environ)
    assert killed.returncode == -signal.SIGKILL
    spend(command, environ)
    world.forget(environ)
    size = wheel.stat().st_size
    return (served.sent() - before - size) / size
