"""The HTTP client against real servers: where credentials go, what is kept, and what pip's settings change."""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib.server import Answer, Server, dead_host, fail, redirect
from pipfallback.arguments import parse
from pipfallback.net.cache import Cache, JsonStore
from pipfallback.net.cache_files import prune
from pipfallback.net.client import Client
from pipfallback.net.failures import FetchFailure
from pipfallback.net.page_cache import PageCache
from pipfallback.net.pages import Page
from pipfallback.net.patience import Patience
from pipfallback.net.progress import Lines
from pipfallback.net.remote_file import RemoteFile, open_remote
from pipfallback.net.settings import NetworkSettings, network_settings
from pipfallback.pip_config import PipConfig

BASIC = "Basic " + base64.b64encode(b"alice:s3cret").decode()
QUICK = Patience(pause=0.01, waiting=5.0)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Server]:
    """A second server, which a client takes for another host."""
    (tmp_path / "other").mkdir()
    with Server(tmp_path / "other", host="localhost") as running:
        running.answer("/there", Answer(body=b"there"))
        yield running


def client_of(**settings: object) -> Client:
    return Client(NetworkSettings(timeout=1, retries=2, **settings), patience=QUICK, environ={})  # type: ignore[arg-type]  # by name


def page(result: Page | FetchFailure) -> Page:
    assert isinstance(result, Page), result
    return result


def sent_to(server: Server) -> list[str | None]:
    return [request.headers.get("Authorization") for request in server.requests]


def test_credentials_of_a_url_go_to_its_host_and_not_to_where_it_leads(server: Server, other: Server) -> None:
    server.answer("/a", redirect(other.url + "/there"))
    with client_of() as client:
        found = page(client.get(server.url.replace("://", "://alice:s3cret@") + "/a"))
    assert (found.url, found.body) == (other.url + "/there", b"there")
    assert (sent_to(server), sent_to(other)) == ([BASIC], [None])


def test_a_token_goes_to_its_host_and_not_to_where_it_leads(server: Server, other: Server) -> None:
    server.answer("/a", redirect("/b"))
    server.answer("/b", redirect(other.url + "/there"))
    with client_of() as client:
        page(client.get(server.url + "/a", token="t0ken"))
    assert (sent_to(server), sent_to(other)) == (["Bearer t0ken"] * 2, [None])


def test_a_token_does_not_go_over_the_net_in_clear() -> None:
    with Client(tokens={"huggingface.co": "t0ken"}, environ={}) as client:
        assert client.hop("https://huggingface.co/a").authorization == "Bearer t0ken"
        assert client.hop("http://huggingface.co/a").authorization is None


def test_tokens_by_host_hold_for_downloads_too(server: Server, other: Server) -> None:
    server.answer("/a", redirect(other.url + "/there"))
    with Client(tokens={"127.0.0.1": "t0ken"}, environ={}) as client, client.open(server.url + "/a") as reply:
        assert b"".join(reply.chunks()) == b"there"
    assert (sent_to(server), sent_to(other)) == (["Bearer t0ken"], [None])


def test_another_port_is_another_server(server: Server, other: Server) -> None:
    server.answer("/a", redirect(other.url.replace("localhost", "127.0.0.1") + "/there"))
    with client_of() as client:
        page(client.get(server.url.replace("://", "://alice:s3cret@") + "/a"))
    assert sent_to(other) == [None]


def test_the_credentials_of_the_index_hold_for_its_files(server: Server, other: Server) -> None:
    server.answer("/file", Answer(body=b"x"))
    index = server.url.replace("://", "://alice:s3cret@") + "/simple"
    with client_of(index_url=index) as client:
        page(client.get(server.url + "/file"))
        page(client.get(other.url + "/there"))
    assert (sent_to(server), sent_to(other)) == ([BASIC], [None])


def test_netrc_counts_for_the_hosts_that_it_names(server: Server, other: Server, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text(
        "machine 127.0.0.1 login alice password s3cret\ndefault login x password y\n", encoding="ascii"
    )
    (tmp_path / ".netrc").chmod(0o600)
    server.answer("/a", redirect(other.url + "/there"))
    with Client(environ={"HOME": str(tmp_path)}) as client:
        page(client.get(server.url + "/a"))
    assert (sent_to(server), sent_to(other)) == ([BASIC], [None])


@pytest.mark.parametrize("how", ["option", "variable", "none", "no-proxy", "no-proxy-env"])
def test_proxies_are_those_of_the_option_or_the_environment(
    how: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server.answer("/x", Answer(body=b"by the proxy"))
    if how != "option":
        monkeypatch.setenv("http_proxy", server.url)
    if how == "no-proxy":
        monkeypatch.setenv("no_proxy", "host.invalid")
    settings = {"option": {"proxy": server.url}, "none": {"proxy": ""}, "no-proxy-env": {"proxy_env": False}}
    with client_of(**settings.get(how, {})) as client:
        found = client.get("http://host.invalid/x")
    assert isinstance(found, Page) == (how in {"option", "variable"})


def test_a_proxy_that_is_not_there_is_named_without_its_password() -> None:
    with client_of(proxy="http://alice:s3cret@127.0.0.1:1") as client:
        found = client.get("http://host.invalid/x")
    assert isinstance(found, FetchFailure)
    assert found.message.startswith("host.invalid (through the proxy 127.0.0.1) cannot be reached")
    assert "s3cret" not in repr(found)


def test_what_fails_once_is_asked_for_again(server: Server) -> None:
    server.answer("/a", fail(500), Answer(reset=True), Answer(body=b"x"))
    with client_of() as client:
        assert page(client.get(server.url + "/a")).text == "x"


def test_retry_after_is_waited_for(server: Server) -> None:
    server.answer("/a", fail(429, retry_after=1), Answer(body=b"x"))
    started = time.monotonic()
    with client_of() as client:
        page(client.get(server.url + "/a"))
    assert 1 <= time.monotonic() - started < 3


def test_many_threads_share_one_client(server: Server) -> None:
    server.answer("/a", Answer(body=b"x" * 100_000))
    with client_of() as client, ThreadPoolExecutor(16) as pool:
        assert {len(page(each).body) for each in pool.map(client.get, [server.url + "/a"] * 64)} == {100_000}


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def keeping(tmp_path: Path, told: list[str]) -> Iterator[Client]:
    cache = PageCache(tmp_path / "pages", most=100_000)
    with Client(
        NetworkSettings(timeout=0.3, retries=0), cache=cache, patience=QUICK, environ={}, tell=told.append
    ) as one:
        yield one


CONTROL = {
    "silent": ({}, 2),
    "max-age": ({"Cache-Control": "max-age=60"}, 1),
    "max-age-used-up": ({"Cache-Control": "max-age=60", "Age": "60"}, 2),
    "max-age-0": ({"Cache-Control": "max-age=0"}, 2),
    "no-cache": ({"Cache-Control": "no-cache"}, 2),
    "no-store": ({"Cache-Control": "private, no-store"}, 2),
}


@pytest.mark.parametrize("name", CONTROL)
def test_a_listing_is_fresh_as_long_as_the_server_says(name: str, keeping: Client, server: Server) -> None:
    headers, asked = CONTROL[name]
    server.answer("/a", Answer(body=b"x", headers=headers))
    assert page(keeping.get(server.url + "/a")).body == page(keeping.get(server.url + "/a")).body == b"x"
    assert len(server.requests) == asked
    assert server.requests[-1].status == (304 if asked == 2 and name != "no-store" else 200)


STALE = {
    "rate-limited": fail(429, retry_after=99),
    "server-error": fail(503),
    "silence": Answer(delay=5),
    "reset": Answer(reset=True),
    "empty": Answer(body=b"", etag=False),
}


@pytest.mark.parametrize("name", STALE)
def test_an_old_listing_stands_in_where_the_server_fails_and_it_is_said(
    name: str, keeping: Client, server: Server, told: list[str]
) -> None:
    old = Answer(body=b"old", headers={"Cache-Control": "max-age=0"})
    server.answer("/a", old, STALE[name], Answer(body=b"new"))
    assert page(keeping.get(server.url + "/a")).body == b"old"
    assert page(keeping.get(server.url + "/a")).body == b"old"
    assert told[0].endswith("its list of 1 min ago is used")
    assert page(keeping.get(server.url + "/a")).body == b"new"


def test_what_is_gone_is_not_made_up_for_by_the_cache(keeping: Client, server: Server) -> None:
    server.answer("/a", Answer(body=b"old", headers={"Cache-Control": "max-age=0"}), fail(404))
    page(keeping.get(server.url + "/a"))
    assert isinstance(keeping.get(server.url + "/a"), FetchFailure)


def test_keys_hold_media_type_and_whether_a_token_was_sent_and_no_secret(
    keeping: Client, server: Server, tmp_path: Path
) -> None:
    server.answer("/a", Answer(body=b"x", headers={"Cache-Control": "max-age=60"}))
    url = server.url.replace("://", "://alice:s3cret@") + "/a"
    for options in ({}, {"accept": "text/html"}, {"token": "t0ken"}, {}):
        page(keeping.get(url, **options))
    assert len(server.requests) == 3
    kept = b"".join(file.read_bytes() for file in (tmp_path / "pages").iterdir())
    assert not [secret for secret in (b"alice", b"s3cret", b"t0ken") if secret in kept]


@pytest.mark.parametrize("damage", [b"", b"{}\nx", b"x", None])
def test_a_damaged_cache_is_as_good_as_none(
    damage: bytes | None, keeping: Client, server: Server, tmp_path: Path
) -> None:
    server.answer("/a", Answer(body=b"whole"))
    page(keeping.get(server.url + "/a"))
    [file] = (tmp_path / "pages").iterdir()
    file.write_bytes(file.read_bytes()[:-1] if damage is None else damage)
    assert page(keeping.get(server.url + "/a")).body == b"whole"
    assert len(server.requests) == 2


def test_the_cache_stays_within_its_size(keeping: Client, server: Server, tmp_path: Path) -> None:
    for number in range(12):
        body = bytes([65 + number]) * 20_000
        server.answer(f"/{number}", Answer(body=body, headers={"Cache-Control": "max-age=60"}))
        page(keeping.get(f"{server.url}/{number}"))
    assert sum(file.stat().st_size for file in (tmp_path / "pages").iterdir()) <= 100_000
    page(keeping.get(f"{server.url}/11"))
    assert len(server.requests) == 12


def test_the_oldest_is_removed_first(tmp_path: Path) -> None:
    for age, name in enumerate("abc"):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    prune(tmp_path, 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_facts_are_kept_by_key_and_anything_else_is_none(tmp_path: Path) -> None:
    store = JsonStore(tmp_path / "facts")
    store.put("https://host/x etag", {"symbols": ["a"]})
    assert Cache(tmp_path).facts.get("https://host/x etag") == {"symbols": ["a"]}
    assert store.get("other") is None
    for file in (tmp_path / "facts").iterdir():
        file.write_bytes(b"[")
    assert store.get("https://host/x etag") is None


def test_a_file_elsewhere_is_read_in_parts_and_what_came_is_counted(server: Server) -> None:
    data = os.urandom(100_000)
    server.answer("/a", Answer(body=data))
    with client_of() as client:
        file = open_remote(client, server.url + "/a")
        assert isinstance(file, RemoteFile)
        assert (file.size, file.received) == (100_000, 1024)
        assert file.read(5000, 100) == data[5000:5100]
        assert file.read(99_990, 100) == data[99_990:]
        assert file.read(100_000, 5) == b""
        assert file.received == 1024 + 110
        assert (file.validator or "").startswith('"')


def test_a_signed_url_that_expired_is_asked_for_anew(server: Server, other: Server) -> None:
    data = os.urandom(5000)
    other.answer("/old", Answer(body=data), fail(403))
    other.answer("/new", Answer(body=data))
    server.answer("/a", redirect(other.url + "/old"), redirect(other.url + "/new"))
    with client_of() as client:
        file = open_remote(client, server.url + "/a")
        assert isinstance(file, RemoteFile)
        assert file.read(2000, 10) == data[2000:2010]
    assert len(server.requests) == 2


def test_the_settings_are_pips() -> None:
    command = parse(["install", "--proxy=http://p", "--retries", "2", "--trusted-host", "b", "--no-index", "x"], {})
    config = PipConfig(values={"--proxy": "http://q", "--trusted-host": "a", "--timeout": "3", "--cert": "/c.pem"})
    found = network_settings(command, config, {"PIPFALLBACK_CACHE_DIR": "/cache"})
    assert found == NetworkSettings(
        proxy="http://p", cert="/c.pem", trusted_hosts=("a", "b"), timeout=3.0, retries=2, no_index=True,
        cache_dir=Path("/cache"),
    )  # fmt: skip


def test_the_defaults_are_pips() -> None:
    found = network_settings(parse(["install", "x"], {}), PipConfig(values={"--timeout": "soon"}), {"HOME": "/"})
    assert (found.timeout, found.retries, found.index_url) == (15.0, 5, "https://pypi.org/simple")


@pytest.mark.parametrize("text", ["1", "false", "no"])
def test_no_cache_dir_in_any_form_switches_the_cache_off(text: str) -> None:
    where = {"PIPFALLBACK_CACHE_DIR": "/cache"}
    assert network_settings(parse(["install", "x", "--no-cache-dir"], {}), PipConfig(), where).cache_dir is None
    config = PipConfig(values={"--no-cache-dir": text})
    assert network_settings(parse(["install", "x"], {}), config, where).cache_dir is None


def test_without_a_terminal_each_quarter_is_a_line() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.started("a.whl", 80_000_000)
    for _ in range(8):
        lines.advanced(10_000_000)
    lines.done()
    said = stream.getvalue().splitlines()
    assert said[0] == "pipfallback: downloading a.whl (80.0 MB)"
    assert [line.partition(",")[0] for line in said[1:]] == [
        f"pipfallback: a.whl: {part} % of 80.0 MB" for part in (25, 50, 75, 100)
    ]


def test_what_is_there_in_a_moment_is_not_worth_a_line() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.started("a.whl", 8_000_000)
    lines.advanced(8_000_000)
    assert stream.getvalue() == ""


def test_a_host_that_takes_no_connection_is_waited_for_a_third_of_the_time_and_once() -> None:
    with dead_host() as url:
        started = time.monotonic()
        with Client(NetworkSettings(timeout=1, retries=5), patience=QUICK, environ={}) as client:
            failure = client.get(f"{url}/x")
        assert time.monotonic() - started < 4
    assert isinstance(failure, FetchFailure)
    assert (failure.cause, failure.transient) == ("unreachable", False)
    assert failure.message.endswith(" took no connection within 1 s")


@pytest.mark.parametrize(("timeout", "connecting"), [(15.0, 5.0), (1.0, 1.0), (60.0, 20.0), (6.0, 5.0)])
def test_how_long_a_connection_may_take(timeout: float, connecting: float) -> None:
    assert NetworkSettings(timeout=timeout).connecting == connecting
