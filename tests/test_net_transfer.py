"""Large downloads: over several connections, gone on with after a break and a kill, by hash from the cache."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from lib.server import Answer, Server, fail, redirect
from lib.wheels import make_wheel, sha256
from pipfallback.net.cache import Cache
from pipfallback.net.cache_files import name_of
from pipfallback.net.client import Client
from pipfallback.net.download import Downloader, Fetched
from pipfallback.net.failures import FetchFailure
from pipfallback.net.patience import Patience
from pipfallback.net.pieces import Pieces
from pipfallback.net.progress import Silent
from pipfallback.net.settings import NetworkSettings
from pipfallback.net.transfer import Haste

NAME = "flash_attn-2.8.3-py3-none-any.whl"
PATH = f"/v/{NAME}"
ONE = Haste(connections=1)  # however slow this machine is
AT_ONCE = Haste(connections=4, size=1 << 20, after=0.0, left=0.0)


class Seen(Silent):
    """What a download told of itself."""

    def __init__(self) -> None:
        self.began: list[tuple[str, int | None]] = []
        self.counts: list[int] = []
        self.ended = 0

    def started(self, name: str, total: int | None) -> None:
        self.began.append((name, total))
        self.counts.append(0)

    def advanced(self, count: int) -> None:
        self.counts[-1] += count

    def done(self) -> None:
        self.ended += 1


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(NetworkSettings(timeout=0.5, retries=3), patience=Patience(pause=0.01), environ={}) as running:
        yield running


@pytest.fixture
def wheel(server: Server) -> Path:
    return make_wheel(server.folder / "v", size_mb=24)


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def had(result: Fetched | FetchFailure, wheel: Path) -> Fetched:
    assert isinstance(result, Fetched), result
    assert result.sha256 == sha256(wheel) == sha256(result.path)
    return result


def ranged(server: Server) -> list[str]:
    return [request.range for request in server.requests if request.range is not None]


def test_a_large_file_comes_over_several_connections(
    client: Client, downloads: Path, server: Server, wheel: Path
) -> None:
    seen = Seen()
    had(Downloader(downloads, client=client, haste=AT_ONCE, progress=seen).fetch(server.url_of(wheel), NAME), wheel)
    assert len(ranged(server)) >= 3
    assert seen.began == [(NAME, wheel.stat().st_size)]
    assert seen.counts == [wheel.stat().st_size]
    assert seen.ended == 1


def test_a_fast_server_is_asked_over_one_connection(
    client: Client, downloads: Path, server: Server, wheel: Path
) -> None:
    had(Downloader(downloads, client=client, haste=ONE).fetch(server.url_of(wheel), NAME), wheel)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(etag=False),
        Answer(etag=False, headers={"ETag": 'W/"weak"'}),
        Answer(etag=False, headers={"Last-Modified": "Fri, 31 Dec 2100 23:59:59 GMT"}),
        Answer(ranges=False),
        Answer(length=False),
    ],
    ids=["no-validator", "weak-etag", "changed-just-now", "no-ranges", "no-length"],
)
def test_without_a_version_to_hold_to_it_comes_in_one_piece(
    answer: Answer, client: Client, downloads: Path, server: Server, wheel: Path
) -> None:
    server.answer(PATH, answer)
    had(Downloader(downloads, client=client, haste=AT_ONCE).fetch(server.url_of(wheel), NAME), wheel)
    assert ranged(server) == []


@pytest.mark.parametrize(
    "lie",
    [
        Answer(part=b"PK\x03\x04" + bytes(30 << 20)),
        Answer(content_range="bytes 0-9/10"),
        Answer(content_range="nonsense"),
        Answer(ranges=False),
        Answer(etag=False, headers={"ETag": '"another"'}, if_range=False),
        Answer(headers={"Content-Encoding": "gzip"}),
    ],
    ids=["wrong-bytes", "wrong-range", "no-range", "all-of-it", "another-version", "compressed"],
)
def test_a_server_whose_parts_are_none_is_asked_for_the_whole(
    lie: Answer, client: Client, downloads: Path, server: Server, wheel: Path
) -> None:
    server.answer(PATH, Answer(), lie)
    had(Downloader(downloads, client=client, haste=AT_ONCE).fetch(server.url_of(wheel), NAME), wheel)
    assert server.requests[-1].range is None


@pytest.mark.parametrize("trouble", [fail(429), fail(503), fail(403), Answer(reset=True), Answer(cut_at=1 << 20)])
def test_parts_that_fail_are_fetched_by_others_or_later(
    trouble: Answer, client: Client, downloads: Path, server: Server, wheel: Path
) -> None:
    server.answer(PATH, Answer(), trouble, trouble, Answer())
    had(Downloader(downloads, client=client, haste=AT_ONCE).fetch(server.url_of(wheel), NAME), wheel)


@pytest.mark.parametrize("place", [1, 64, 65, 1000, 5_000_000, 24_000_000])
def test_what_came_before_a_break_is_not_fetched_again(
    place: int, client: Client, downloads: Path, server: Server, wheel: Path
) -> None:
    server.answer(PATH, Answer(cut_at=place), Answer())
    had(Downloader(downloads, client=client, haste=ONE).fetch(server.url_of(wheel), NAME), wheel)
    first = max(0, place - 64)
    assert ranged(server) == [f"bytes={first}-"]
    assert sum(request.sent for request in server.requests) == wheel.stat().st_size + place - first


def test_breaks_without_end_are_survived_as_long_as_something_comes(
    client: Client, downloads: Path, server: Server, wheel: Path
) -> None:
    server.answer(PATH, Answer(cut_at=2 << 20))
    had(Downloader(downloads, client=client, haste=ONE).fetch(server.url_of(wheel), NAME), wheel)
    assert len(server.requests) > 10


def test_another_version_after_a_break_is_fetched_anew(
    client: Client, downloads: Path, server: Server, wheel: Path
) -> None:
    newer = make_wheel(server.folder / "newer", size_mb=25)
    server.answer(PATH, Answer(cut_at=9_000_000), Answer(body=newer.read_bytes()))
    had(Downloader(downloads, client=client, haste=ONE).fetch(server.url_of(wheel), NAME), newer)


def test_a_hash_that_does_not_match_parts_is_looked_at_once_more_in_one_piece(
    client: Client, downloads: Path, server: Server, wheel: Path
) -> None:
    wrong = bytearray(wheel.read_bytes()[9_000_000 - 64 :])
    wrong[1000] ^= 1
    server.answer(PATH, Answer(cut_at=9_000_000), Answer(part=bytes(wrong)), Answer())
    had(Downloader(downloads, client=client, haste=ONE).fetch(server.url_of(wheel), NAME, sha256(wheel)), wheel)
    assert [request.range for request in server.requests] == [None, "bytes=8999936-", None]


def test_the_end_of_a_redirect_is_asked_for_the_parts(
    client: Client, downloads: Path, server: Server, wheel: Path
) -> None:
    server.answer("/signed", Answer(body=wheel.read_bytes()))
    server.answer(PATH, redirect(server.url + "/signed?X-Amz-Signature=s1gnature"))
    had(Downloader(downloads, client=client, haste=AT_ONCE).fetch(server.url_of(wheel), NAME), wheel)
    assert len(server.requests_of(PATH)) == 1
    assert len(server.requests_of("/signed")) > 3


KILLED = """
import os, sys
from pathlib import Path
from pipfallback.net.cache import Cache
from pipfallback.net.download import Downloader
from pipfallback.net.progress import Silent
from pipfallback.net.transfer import Haste
class Killer(Silent):
    there = 0
    def advanced(self, count):
        self.there += count
        if self.there > float(sys.argv[4]):
            os.kill(os.getpid(), 9)
loader = Downloader(Path(sys.argv[1]), cache=Cache(Path(sys.argv[2])), progress=Killer(), haste=Haste(connections=1))
loader.fetch(sys.argv[3], "a.whl")
"""


def test_a_killed_run_is_gone_on_with(client: Client, downloads: Path, tmp_path: Path, server: Server) -> None:
    wheel = make_wheel(server.folder / "v", size_mb=60)
    size = wheel.stat().st_size
    words = [
        sys.executable,
        "-c",
        KILLED,
        str(downloads),
        str(tmp_path / "cache"),
        server.url_of(wheel),
        str(0.8 * size),
    ]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    seen, before = Seen(), len(server.requests)
    loader = Downloader(downloads, client=client, cache=Cache(tmp_path / "cache"), progress=seen, haste=ONE)
    had(loader.fetch(server.url_of(wheel), NAME), wheel)
    assert len(server.requests) == before + 1
    assert server.requests[-1].sent < 0.25 * size
    assert list((tmp_path / "cache/partial").iterdir()) == []


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"[]",
        b'{"size": 10, "validator": "", "done": [[0, 5]]}',
        b'{"size": 10, "validator": "\\"x\\"", "done": [[0, 99]]}',
        b'{"size": 10, "validator": "\\"x\\"", "done": [[5, 2]]}',
        b'{"size": 10, "validator": "\\"x\\"", "done": [[0, 4], [2, 6]]}',
        b'{"size": 100, "validator": "\\"old\\"", "done": [[0, 8]]}',
    ],
)
def test_a_partial_file_that_cannot_be_trusted_is_fetched_anew(
    state: bytes, downloads: Path, cache: Cache, server: Server, wheel: Path
) -> None:
    folder = cache.partials / name_of(server.url_of(wheel))
    folder.mkdir(parents=True)
    (folder / "data").write_bytes(b"PK\x03\x04junk..")
    (folder / "state.json").write_bytes(state)
    had(Downloader(downloads, cache=cache).fetch(server.url_of(wheel), NAME), wheel)


def test_two_runs_do_not_share_a_partial_file(
    client: Client, downloads: Path, cache: Cache, server: Server, wheel: Path
) -> None:
    folder = cache.partials / name_of(server.url_of(wheel))
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"):
        had(Downloader(downloads, client=client, cache=cache, haste=ONE).fetch(server.url_of(wheel), NAME), wheel)
        assert [path.name for path in folder.iterdir()] == ["lock"]
    assert [path.name for path in downloads.iterdir()] == [NAME]


def test_a_wheel_of_a_known_hash_is_fetched_once(
    client: Client, downloads: Path, cache: Cache, server: Server, wheel: Path
) -> None:
    loader = Downloader(downloads, client=client, cache=cache, haste=ONE)
    had(loader.fetch(server.url_of(wheel), NAME), wheel)
    had(loader.fetch("http://127.0.0.1:1/elsewhere.whl", "b.whl", sha256(wheel).upper()), wheel)
    assert len(server.requests) == 1


def test_a_wheel_that_changed_in_the_cache_is_fetched_again(
    client: Client, downloads: Path, cache: Cache, server: Server, wheel: Path
) -> None:
    loader = Downloader(downloads, client=client, cache=cache, haste=ONE)
    had(loader.fetch(server.url_of(wheel), NAME), wheel)
    (cache.partials.parent / "wheels" / sha256(wheel)).write_bytes(b"rotten")
    had(loader.fetch(server.url_of(wheel), "b.whl", sha256(wheel)), wheel)
    assert len(server.requests) == 2


def test_a_wrong_hash_is_no_matter_of_trying_again_and_leaves_nothing(
    client: Client, downloads: Path, cache: Cache, server: Server, wheel: Path
) -> None:
    result = Downloader(downloads, client=client, cache=cache, haste=ONE).fetch(server.url_of(wheel), NAME, "0" * 64)
    assert isinstance(result, FetchFailure)
    assert result.cause == "hash-mismatch"
    assert "attack" in (result.hint or "")
    assert len(server.requests) == 1
    assert [path for path in cache.partials.parent.rglob("*") if path.is_file()] == []
    assert list(downloads.iterdir()) == []


def test_a_cache_that_cannot_be_written_does_not_matter(
    client: Client, downloads: Path, tmp_path: Path, server: Server, wheel: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = Cache(tmp_path / "file" / "cache")
    had(Downloader(downloads, client=client, cache=cache, haste=ONE).fetch(server.url_of(wheel), NAME), wheel)


def test_a_disk_that_fills_up_on_the_way_is_told(downloads: Path, server: Server, wheel: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipfallback.net.download import Downloader\n"
        "print(Downloader(Path(sys.argv[1])).fetch(sys.argv[2], 'a.whl'))"
    )

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = subprocess.run(
        [sys.executable, "-c", code, str(downloads), server.url_of(wheel)],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    assert "cause='no-space'" in done.stdout
    assert "cannot write a.whl: File too large" in done.stdout
    assert list(downloads.iterdir()) == []


def test_memory_stays_small_over_several_connections(downloads: Path, server: Server) -> None:
    heavy = make_wheel(server.folder, size_mb=150)
    code = (
        "import json, re, sys\n"
        "from pathlib import Path\n"
        "from pipfallback.net.download import Downloader\n"
        "from pipfallback.net.transfer import Haste\n"
        "with Downloader(Path(sys.argv[1]), haste=Haste(after=0.0, left=0.0)) as downloader:\n"
        "    result = downloader.fetch(sys.argv[2], 'heavy.whl')\n"
        "most = re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())\n"
        "print(json.dumps([result.size, result.sha256, int(most[1])]))\n"
    )
    command = [sys.executable, "-c", code, str(downloads), server.url_of(heavy)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ})
    size, digest, kibibytes = json.loads(done.stdout)
    assert (size, digest) == (heavy.stat().st_size, sha256(heavy))
    assert len(server.requests) > 4
    assert kibibytes < 60 * 1024


def test_pieces_are_shared_out_without_gap_or_overlap() -> None:
    pieces = Pieces(64 << 20, [(0, 1000), (5000, 9000)])
    assert pieces.prefix == 1000
    taken = [span for _ in range(5) if (span := pieces.take()) is not None]
    assert len(taken) == 5
    for span in taken:
        pieces.advance(span, 1 << 30)
    while (span := pieces.take()) is not None:
        pieces.advance(span, 1 << 30)
    assert pieces.complete
    assert pieces.done == [(0, 64 << 20)]
    assert pieces.prefix == 64 << 20


def test_what_cannot_be_gone_on_with_is_begun_anew_only_as_often_as_the_user_allows(
    client: Client, downloads: Path, server: Server, wheel: Path
) -> None:
    """However much came before it broke: without parts the next try begins at the first byte."""
    half = wheel.stat().st_size // 2
    server.answer(PATH, Answer(ranges=False, etag=False, cut_at=half))
    result = Downloader(downloads, client=client, haste=ONE).fetch(server.url_of(wheel), NAME)
    assert isinstance(result, FetchFailure)
    assert result.cause == "truncated"
    assert len(server.requests) == 1 + client.settings.retries


def test_a_full_cache_folder_is_no_reason_to_fail(client: Client, downloads: Path, server: Server, wheel: Path) -> None:
    cache = Cache(Path("/dev/full/nowhere"))
    had(Downloader(downloads, client=client, cache=cache, haste=ONE).fetch(server.url_of(wheel), NAME), wheel)
