"""Wheels fetched from a real server on the loopback interface, in all the ways in which that goes wrong."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from lib.server import HTML_PAGE, RESET, Answer, Server, fail, redirect
from lib.wheels import cut, html_page, lfs_pointer, make_wheel, sha256
from pipfallback.net.client import Client
from pipfallback.net.download import Downloader, Fetched
from pipfallback.net.failures import FetchFailure
from pipfallback.net.patience import Patience
from pipfallback.net.settings import NetworkSettings

NAME = "flash_attn-2.8.3-py3-none-any.whl"
PATH = f"/v/{NAME}"


@pytest.fixture
def wheel(server: Server) -> Path:
    return make_wheel(server.folder / "v")


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


@pytest.fixture
def downloader(downloads: Path) -> Iterator[Downloader]:
    with (
        Client(NetworkSettings(timeout=0.5, retries=2), patience=Patience(pause=0.01)) as client,
        Downloader(downloads, client=client) as running,
    ):
        yield running


def fetched(result: Fetched | FetchFailure) -> Fetched:
    assert isinstance(result, Fetched), result
    return result


def failed(result: Fetched | FetchFailure, cause: str) -> str:
    """The message of a failure with that cause."""
    assert isinstance(result, FetchFailure), result
    assert result.cause == cause, result
    assert "\n" not in result.message
    return result.message


def test_a_wheel_lies_in_the_folder_under_its_real_name_with_its_hash(
    downloader: Downloader, downloads: Path, server: Server, wheel: Path
) -> None:
    result = fetched(downloader.fetch(server.url_of(wheel), NAME))
    assert result == Fetched(path=downloads / NAME, sha256=sha256(wheel), size=wheel.stat().st_size)
    assert result.path.read_bytes() == wheel.read_bytes()


def test_the_hash_that_is_asked_for_may_be_written_in_capitals(
    downloader: Downloader, server: Server, wheel: Path
) -> None:
    fetched(downloader.fetch(server.url_of(wheel), NAME, sha256(wheel).upper()))


def test_another_file_than_the_hash_names_is_refused_and_not_asked_for_again(
    downloader: Downloader, server: Server, wheel: Path
) -> None:
    message = failed(downloader.fetch(server.url_of(wheel), NAME, "0" * 64), "hash-mismatch")
    assert sha256(wheel) in message
    assert "0" * 64 in message
    assert len(server.requests_of(PATH)) == 1


@pytest.mark.parametrize("status", [404, 410, 451])
def test_a_refusal_names_host_and_status_and_is_final(
    downloader: Downloader, server: Server, wheel: Path, status: int
) -> None:
    server.answer(PATH, fail(status))
    message = failed(downloader.fetch(server.url_of(wheel), NAME), "not-found")
    assert message.startswith(f"127.0.0.1 answered {status} ")
    assert len(server.requests_of(PATH)) == 1


@pytest.mark.parametrize("status", [408, 500, 503])
def test_a_server_in_trouble_is_asked_three_times(
    downloader: Downloader, server: Server, wheel: Path, status: int
) -> None:
    server.answer(PATH, fail(status))
    message = failed(downloader.fetch(server.url_of(wheel), NAME), "server-error")
    assert message.startswith(f"127.0.0.1 answered {status} ")
    assert len(server.requests_of(PATH)) == 3


@pytest.mark.parametrize(
    "trouble",
    [fail(500), fail(429), RESET, Answer(cut_at=100), Answer(stall_at=100), Answer(claim=10**6)],
    ids=["500", "429", "reset", "cut", "stall", "claims-more"],
)
def test_what_fails_once_is_had_the_second_time(
    downloader: Downloader, server: Server, wheel: Path, trouble: Answer
) -> None:
    server.answer(PATH, trouble, Answer())
    assert fetched(downloader.fetch(server.url_of(wheel), NAME)).sha256 == sha256(wheel)
    assert len(server.requests_of(PATH)) in {2, 3}  # 3 where the first size was a lie: neither its rest was to be had


@pytest.mark.parametrize(
    "trouble",
    [Answer(cut_at=100), Answer(claim=10**6), Answer(claim=100), RESET],
    ids=["cut", "claims-more", "claims-less", "reset"],
)
def test_a_body_that_is_not_whole_is_no_wheel(
    downloader: Downloader, server: Server, wheel: Path, trouble: Answer
) -> None:
    server.answer(PATH, trouble)
    failed(downloader.fetch(server.url_of(wheel), NAME), "truncated")
    assert 3 <= len(server.requests_of(PATH)) <= 5  # an answer that does not fit what came before is asked for whole


def test_the_second_try_does_not_append_to_the_first(downloader: Downloader, server: Server, wheel: Path) -> None:
    server.answer(PATH, Answer(cut_at=500), Answer(cut_at=100), Answer())
    assert fetched(downloader.fetch(server.url_of(wheel), NAME)).size == wheel.stat().st_size


def test_a_server_that_falls_silent_is_given_up(downloader: Downloader, server: Server, wheel: Path) -> None:
    server.answer(PATH, Answer(stall_at=100))
    assert failed(downloader.fetch(server.url_of(wheel), NAME), "timeout") == "127.0.0.1 did not answer within 0.5 s"


def test_a_server_that_never_answers_is_given_up(downloader: Downloader, server: Server, wheel: Path) -> None:
    server.answer(PATH, Answer(delay=30))
    failed(downloader.fetch(server.url_of(wheel), NAME), "timeout")


def test_a_port_where_nobody_listens_is_unreachable_and_not_asked_again(downloader: Downloader) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, so that nobody else takes it; not listening
        port = unused.getsockname()[1]
        message = failed(downloader.fetch(f"http://127.0.0.1:{port}{PATH}", NAME), "unreachable")
    assert message.startswith("127.0.0.1 cannot be reached: ")
    assert "refused" in message


def test_a_redirect_to_another_host_is_followed(
    downloader: Downloader, server: Server, wheel: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    there = make_wheel(store, version="9.9")
    with Server(store, host="localhost") as other:
        server.answer(PATH, redirect(other.url_of(there)))
        assert fetched(downloader.fetch(server.url_of(wheel), NAME)).sha256 == sha256(there)


def test_a_redirect_to_another_host_does_not_take_the_password_along(
    downloader: Downloader, server: Server, wheel: Path, tmp_path: Path
) -> None:
    there = make_wheel(tmp_path / "store")
    with Server(tmp_path / "store", host="localhost") as other:
        server.answer(PATH, redirect(other.url_of(there)))
        fetched(downloader.fetch(with_password(server.url_of(wheel)), NAME))
        assert "Authorization" in server.requests[0].headers
        assert "Authorization" not in other.requests[0].headers


def test_redirects_in_a_circle_come_to_an_end(downloader: Downloader, server: Server, wheel: Path) -> None:
    server.answer(PATH, redirect(server.url_of(wheel)))
    message = failed(downloader.fetch(server.url_of(wheel), NAME), "not-found")
    assert message == "127.0.0.1 redirects without end"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (HTML_PAGE.body, "HTML page"),
        (b"\n  <HTML><body>Sign in</body></HTML>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML document"),
        (b"", "empty"),
        (b"\x00" * 4096, "not a zip file"),
        (b"\x1f\x8b\x08" + b"\x00" * 50, "compressed with gzip"),
    ],
)
def test_what_is_no_wheel_is_named(downloader: Downloader, server: Server, wheel: Path, body: bytes, what: str) -> None:
    server.answer(PATH, Answer(body=body))
    assert what in failed(downloader.fetch(server.url_of(wheel), NAME), "corrupt")
    assert len(server.requests_of(PATH)) == 1


def test_a_server_is_asked_for_the_file_as_it_is(downloader: Downloader, server: Server, wheel: Path) -> None:
    fetched(downloader.fetch(server.url_of(wheel), NAME))
    assert server.requests[0].headers["Accept-Encoding"] == "identity"
    assert server.requests[0].headers["User-Agent"].startswith("pipfallback/")


def test_a_wheel_with_a_wrong_content_encoding_is_taken_as_it_is_as_pip_does(
    downloader: Downloader, server: Server, wheel: Path
) -> None:
    server.answer(PATH, Answer(headers={"Content-Encoding": "gzip"}))
    assert fetched(downloader.fetch(server.url_of(wheel), NAME)).sha256 == sha256(wheel)


@pytest.mark.parametrize("trouble", [Answer(), fail(404), fail(503), RESET, Answer(cut_at=10), Answer(stall_at=10)])
def test_user_and_password_are_sent_and_never_told(
    downloader: Downloader, server: Server, wheel: Path, trouble: Answer
) -> None:
    server.answer(PATH, trouble)
    result = downloader.fetch(with_password(server.url_of(wheel)), NAME)
    assert server.requests[0].headers["Authorization"].startswith("Basic ")
    assert "s3cret" not in repr(result)
    assert "alice" not in repr(result)


def test_an_unreachable_host_does_not_betray_the_password(downloader: Downloader) -> None:
    message = failed(downloader.fetch(f"http://alice:s3cret@host.invalid{PATH}", NAME), "unreachable")
    assert message.startswith("host.invalid cannot be reached: ")
    assert "s3cret" not in message


def test_tls_with_a_server_that_speaks_none_is_told(downloader: Downloader, server: Server, wheel: Path) -> None:
    url = server.url_of(wheel).replace("http://", "https://alice:s3cret@")
    result = downloader.fetch(url, NAME)
    assert isinstance(result, FetchFailure)
    assert result.cause == "tls"
    assert "s3cret" not in result.message


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/x.whl",
        "http://",
        "http://host:port/x.whl",
        "ftp://host/x.whl",
        "http://h\x01/x.whl",
        "http://" + "a" * 300 + "/x.whl",
        "file:///a%00b.whl",
    ],
)
def test_what_is_no_url_to_ask_for_is_a_value_too(downloader: Downloader, url: str) -> None:
    assert isinstance(downloader.fetch(url, NAME), FetchFailure)


def test_a_redirect_to_nonsense_is_a_value_too(downloader: Downloader, server: Server, wheel: Path) -> None:
    server.answer(PATH, redirect("http://[broken"))
    assert isinstance(downloader.fetch(server.url_of(wheel), NAME), FetchFailure)


@pytest.mark.parametrize("folder", ["with space", "with%20percent", "größe", "a+b#c"])
def test_a_file_is_used_where_it_lies(downloader: Downloader, downloads: Path, tmp_path: Path, folder: str) -> None:
    wheel = make_wheel(tmp_path / folder)
    for location in (str(wheel), "file://" + quote(str(wheel)), "file://localhost" + quote(str(wheel))):
        assert fetched(downloader.fetch(location, NAME, sha256(wheel))).path == wheel
    assert list(downloads.iterdir()) == []


def test_a_file_that_is_not_there_or_no_wheel_is_told(downloader: Downloader, tmp_path: Path) -> None:
    missing = tmp_path / NAME
    assert failed(downloader.fetch(str(missing), NAME), "not-found") == f"{missing}: No such file or directory"
    assert failed(downloader.fetch(missing.as_uri(), NAME), "not-found") == f"{missing}: No such file or directory"
    assert failed(downloader.fetch(str(tmp_path), NAME), "not-found") == f"{tmp_path}: Is a directory"
    assert "Git LFS" in failed(downloader.fetch(str(lfs_pointer(tmp_path, "a.whl")), NAME), "corrupt")
    assert "HTML" in failed(downloader.fetch(str(html_page(tmp_path, "b.whl")), NAME), "corrupt")
    assert "end is missing" in failed(downloader.fetch(str(cut(make_wheel(tmp_path))), NAME), "truncated")
    assert "sha256 is" in failed(downloader.fetch(str(make_wheel(tmp_path)), NAME, "1" * 64), "hash-mismatch")


def test_a_folder_that_cannot_be_written_to_is_told(server: Server, wheel: Path, tmp_path: Path) -> None:
    with Downloader(tmp_path / "gone") as downloader:
        message = failed(downloader.fetch(server.url_of(wheel), NAME), "no-space")
    assert message == f"cannot write {NAME}: No such file or directory"


def test_several_files_are_had_over_one_connection_after_each_other(
    downloader: Downloader, server: Server, wheel: Path
) -> None:
    server.answer("/gone.whl", fail(404))
    failed(downloader.fetch(server.url_of("/gone.whl"), "gone.whl"), "not-found")
    fetched(downloader.fetch(server.url_of(wheel), NAME))
    fetched(downloader.fetch(server.url_of(wheel), NAME))
    assert [request.status for request in server.requests] == [404, 200, 200]


def test_memory_stays_small_whatever_the_size(server: Server, downloads: Path) -> None:
    heavy = make_wheel(server.folder, size_mb=100)
    code = (
        "import json, re, sys\n"
        "from pathlib import Path\n"
        "from pipfallback.net.download import Downloader\n"
        "with Downloader(Path(sys.argv[1])) as downloader:\n"
        "    result = downloader.fetch(sys.argv[2], 'heavy.whl')\n"
        # Not getrusage: a child's maximum there begins with what its parent had.
        "most = re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())\n"
        "print(json.dumps([result.size, result.sha256, int(most[1])]))\n"
    )
    command = [sys.executable, "-c", code, str(downloads), server.url_of(heavy)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    size, digest, kibibytes = json.loads(done.stdout)
    assert (size, digest) == (heavy.stat().st_size, sha256(heavy))
    assert size > 100 * 1024 * 1024
    assert kibibytes < 60 * 1024


def with_password(url: str) -> str:
    parts = urlsplit(url)
    return url.replace(parts.netloc, f"alice:s3cret@{parts.netloc}")
