"""Every way in which a server can fail, by name: what it is told as, in which time, and that no secret is in it."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from lib.server import RESET, Answer, Server, fail, redirect
from lib.wheels import make_wheel
from pipfallback.net.client import Client
from pipfallback.net.download import Downloader
from pipfallback.net.failures import FetchFailure
from pipfallback.net.patience import Patience
from pipfallback.net.remote_file import RemoteFile, open_remote
from pipfallback.net.settings import NetworkSettings

NAME = "flash_attn-2.8.3-py3-none-any.whl"
PATH = f"/v/{NAME}"
SECRETS = ("s3cret", "alice", "t0ken", "s1gnature")
LIMIT = 5.0  # seconds: nothing may take longer with these time-outs
XML = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
HTML = b"<!doctype html><title>Sign in</title>"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What the server does, and what must be told. ``says`` is part of the message; ``asked`` how often it may be."""

    name: str
    answer: Answer
    cause: str
    says: str = ""
    asked: int | None = None
    retry_after: float | None = None


def status(code: int, *, headers: Mapping[str, str] = {}) -> Answer:
    return Answer(status=code, headers=headers, body=b"no\n")


# What both a listing and a download meet.
COMMON = (
    Fault(name="400", answer=fail(400), cause="not-found", says="400", asked=1),
    Fault(name="401", answer=fail(401), cause="unauthorized", says="401", asked=1),
    Fault(name="402", answer=fail(402), cause="not-found", says="402", asked=1),
    Fault(name="403", answer=fail(403), cause="unauthorized", says="403", asked=1),
    Fault(name="403-with-retry-after", answer=fail(403, retry_after=99), cause="rate-limited", asked=1, retry_after=99),
    Fault(
        name="403-no-requests-left",
        answer=status(403, headers={"X-RateLimit-Remaining": "0"}),
        cause="rate-limited",
        says="403",
        asked=3,
    ),
    Fault(name="404", answer=fail(404), cause="not-found", says="404 Not Found", asked=1),
    Fault(name="406", answer=fail(406), cause="not-found", says="406", asked=1),
    Fault(name="408", answer=fail(408), cause="server-error", says="408", asked=3),
    Fault(name="410", answer=fail(410), cause="not-found", says="410 Gone", asked=1),
    Fault(name="418", answer=fail(418), cause="not-found", says="418", asked=1),
    Fault(name="429", answer=fail(429), cause="rate-limited", says="429 Too Many Requests", asked=3),
    Fault(name="429-for-a-minute", answer=fail(429, retry_after=60), cause="rate-limited", asked=1, retry_after=60),
    Fault(
        name="429-until-a-date",
        answer=status(429, headers={"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}),
        cause="rate-limited",
        asked=1,
    ),
    Fault(
        name="429-with-nonsense",
        answer=status(429, headers={"Retry-After": "soon"}),
        cause="rate-limited",
        asked=3,
    ),
    Fault(name="451", answer=fail(451), cause="not-found", says="451", asked=1),
    Fault(name="500", answer=fail(500), cause="server-error", says="500", asked=3),
    Fault(name="501", answer=fail(501), cause="server-error", says="501", asked=3),
    Fault(name="502", answer=fail(502), cause="server-error", says="502", asked=3),
    Fault(name="503", answer=fail(503), cause="server-error", says="503", asked=3),
    Fault(name="503-for-an-hour", answer=fail(503, retry_after=3600), cause="server-error", asked=1, retry_after=3600),
    Fault(name="504", answer=fail(504), cause="server-error", says="504", asked=3),
    Fault(name="507", answer=fail(507), cause="server-error", says="507", asked=3),
    Fault(name="304-unasked", answer=status(304), cause="not-found", asked=1),
    Fault(name="300-without-a-choice", answer=status(300), cause="not-found", says="300", asked=1),
    Fault(name="302-to-nowhere", answer=status(302), cause="not-found", says="302", asked=1),
    Fault(name="302-to-nonsense", answer=redirect("http://[broken"), cause="not-found", says="no web address", asked=1),
    Fault(name="302-to-a-bad-port", answer=redirect("http://h:x/"), cause="not-found", says="no web address", asked=1),
    Fault(name="302-to-file", answer=redirect("file:///etc/passwd"), cause="not-found", says="a file: URL", asked=1),
    Fault(name="302-to-ftp", answer=redirect("ftp://h/x"), cause="not-found", says="redirects to", asked=1),
    Fault(name="302-to-data", answer=redirect("data:,x"), cause="not-found", says="redirects to", asked=1),
    Fault(name="302-to-a-closed-port", answer=redirect("http://127.0.0.1:1/x"), cause="unreachable", asked=1),
    Fault(name="302-in-a-circle", answer=redirect(PATH), cause="not-found", says="redirects without end", asked=11),
    Fault(name="301-in-a-circle", answer=redirect(PATH, status=301), cause="not-found", says="without end", asked=11),
    Fault(name="307-in-a-circle", answer=redirect(PATH, status=307), cause="not-found", says="without end", asked=11),
    Fault(name="308-in-a-circle", answer=redirect(PATH, status=308), cause="not-found", says="without end", asked=11),
    Fault(name="reset-before-the-answer", answer=RESET, cause="truncated", says="broke", asked=3),
    Fault(name="closed-before-the-answer", answer=Answer(raw=b""), cause="truncated", says="broke", asked=3),
    Fault(name="closed-in-the-status", answer=Answer(raw=b"HTTP/1.1 2"), cause="truncated", asked=3),
    Fault(name="closed-in-the-headers", answer=Answer(raw=HEAD), cause="truncated", asked=3),
    Fault(name="closed-before-the-body", answer=Answer(raw=HEAD + b"\r\n"), cause="truncated", asked=3),
    Fault(name="no-http", answer=Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n"), cause="truncated", asked=3),
    Fault(
        name="two-lengths",
        answer=Answer(raw=HEAD + b"Content-Length: 4\r\n\r\nabcd"),
        cause="truncated",
        asked=3,
    ),
    Fault(
        name="a-length-that-is-no-number",
        answer=Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nabc"),
        cause="truncated",
        asked=3,
    ),
    Fault(
        name="a-broken-chunk",
        answer=Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc"),
        cause="truncated",
        asked=3,
    ),
    Fault(
        name="no-last-chunk",
        answer=Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nPK\x03\x04\r\n"),
        cause="truncated",
        asked=3,
    ),
    Fault(
        name="headers-without-end",
        answer=Answer(raw=b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 20000),
        cause="truncated",
    ),
    Fault(name="silence", answer=Answer(delay=30), cause="timeout", says="did not answer within 0.3 s"),
    Fault(name="silence-in-the-body", answer=Answer(stall_at=100), cause="timeout", says="within 0.3 s"),
    Fault(name="cut-at-0", answer=Answer(cut_at=0), cause="truncated"),
    Fault(name="cut-at-1", answer=Answer(cut_at=1), cause="truncated"),
    Fault(name="cut-at-100", answer=Answer(cut_at=100), cause="truncated"),
    Fault(name="a-length-too-long", answer=Answer(claim=10**6), cause="truncated"),
)

OF_LISTINGS = (
    Fault(name="empty", answer=Answer(body=b""), cause="corrupt", says="nothing"),
    Fault(name="204", answer=Answer(status=204, body=b"", length=False), cause="corrupt", says="204"),
    Fault(name="no-gzip", answer=Answer(headers={"Content-Encoding": "gzip"}), cause="corrupt", says="compressed"),
    Fault(name="too-large", answer=Answer(body=b"x" * 300_000), cause="too-large", says="for one list", asked=1),
    Fault(name="endless", answer=Answer(body=b"x" * 1000, endless=True, length=False), cause="too-large", asked=1),
    Fault(
        name="gzip-bomb",
        answer=Answer(body=gzip.compress(b"x" * 10**7), headers={"Content-Encoding": "gzip"}),
        cause="too-large",
        asked=1,
    ),
    Fault(name="drip", answer=Answer(body=b"x" * 1000, drip=0.1), cause="timeout", says="had not sent all"),
    Fault(name="drip-of-headers", answer=Answer(raw=HEAD * 9, drip=0.1), cause="timeout", says="had not sent all"),
)

OF_DOWNLOADS = (
    Fault(name="empty", answer=Answer(body=b""), cause="corrupt", says="empty", asked=1),
    Fault(name="empty-without-length", answer=Answer(body=b"", length=False), cause="corrupt", says="empty", asked=1),
    Fault(name="html", answer=Answer(body=HTML), cause="corrupt", says="HTML page", asked=1),
    Fault(name="html-without-length", answer=Answer(body=HTML, length=False), cause="corrupt", says="HTML", asked=1),
    Fault(
        name="html-endless", answer=Answer(body=HTML, length=False, endless=True), cause="corrupt", says="HTML", asked=1
    ),
    Fault(name="lfs-pointer", answer=Answer(body=LFS), cause="corrupt", says="Git LFS pointer", asked=1),
    Fault(name="xml-error", answer=Answer(body=XML), cause="corrupt", says="XML document", asked=1),
    Fault(name="json-error", answer=Answer(body=b'{"error": 1}'), cause="corrupt", says="JSON document", asked=1),
    Fault(name="gzip", answer=Answer(body=gzip.compress(b"x")), cause="corrupt", says="gzip", asked=1),
    Fault(name="zeros", answer=Answer(body=bytes(4096)), cause="corrupt", says="not a zip file", asked=1),
    Fault(name="one-byte", answer=Answer(body=b"P"), cause="corrupt", says="not a zip file", asked=1),
    Fault(name="no-end", answer=Answer(body=b"PK\x03\x04" + bytes(999)), cause="truncated", says="its end is missing"),
    Fault(name="a-length-too-short", answer=Answer(claim=100), cause="truncated", says="its end is missing"),
    Fault(
        name="cut-without-length",
        answer=Answer(length=False, cut_at=200),
        cause="truncated",
        says="its end is missing",
        asked=3,
    ),
    Fault(name="larger-than-any-wheel", answer=Answer(claim=30 << 30), cause="too-large", asked=1),
)

OF_PARTS = (
    Fault(name="no-ranges", answer=Answer(ranges=False), cause="not-found", says="does not take Range", asked=1),
    Fault(name="empty", answer=Answer(body=b""), cause="not-found", says="does not take Range", asked=1),
    Fault(name="another-range", answer=Answer(content_range="bytes 5-9/99"), cause="not-found", says="Range", asked=1),
    Fault(name="no-size", answer=Answer(content_range="bytes 0-1023/*"), cause="not-found", says="Range", asked=1),
    Fault(name="no-range-said", answer=Answer(content_range=""), cause="not-found", says="Range", asked=1),
    Fault(
        name="compressed",
        answer=Answer(headers={"Content-Encoding": "gzip"}),
        cause="not-found",
        says="Range",
        asked=1,
    ),
    Fault(name="404", answer=fail(404), cause="not-found", says="404", asked=1),
    Fault(name="401", answer=fail(401), cause="unauthorized", says="401", asked=1),
    Fault(name="503", answer=fail(503), cause="server-error", says="503", asked=3),
    Fault(name="reset", answer=RESET, cause="truncated", asked=3),
    Fault(name="cut", answer=Answer(cut_at=10), cause="truncated", asked=3),
    Fault(name="silence", answer=Answer(stall_at=10), cause="timeout", asked=3),
)


def named(faults: tuple[Fault, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", faults, ids=[fault.name for fault in faults])


@pytest.fixture
def client() -> Iterator[Client]:
    settings = NetworkSettings(timeout=0.3, retries=2)
    patience = Patience(pause=0.01, waiting=5.0, page=1.2, page_bytes=200_000)
    with Client(settings, patience=patience, tokens={"elsewhere": "t0ken"}, environ={}) as running:
        yield running


@pytest.fixture
def wheel(server: Server) -> Path:
    return make_wheel(server.folder / "v")


def secret_url(server: Server) -> str:
    """The wheel's URL with everything in it that must never be told."""
    url = server.url + PATH.replace("+", "%2B")
    return url.replace("://", "://alice:s3cret@") + "?X-Amz-Signature=s1gnature&token=t0ken"


@pytest.mark.parametrize("free", [0, 10**6, 16 << 20])
def test_a_disk_that_is_too_full_is_told_with_figures(
    free: int, client: Client, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Disk(free=free))
    with Downloader(tmp_path, client=client) as downloader:
        result = downloader.fetch(server.url + PATH, NAME)
    assert isinstance(result, FetchFailure)
    assert result.cause == "no-space"
    assert f"{free / 1e6:.1f} MB are free" in result.message
    assert result.hint == "make room there"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Disk:
    """What shutil.disk_usage tells of a disk."""

    free: int


def judge(result: object, fault: Fault, server: Server, seconds: float) -> None:
    assert isinstance(result, FetchFailure), result
    assert result.cause == fault.cause, result
    assert fault.says in result.message
    assert "\n" not in result.message
    assert not [secret for secret in SECRETS if secret in repr(result)]
    assert seconds < LIMIT
    if fault.asked is not None:
        assert len(server.requests) == fault.asked
    if fault.retry_after is not None:
        assert result.retry_after == fault.retry_after


pytestmark = pytest.mark.usefixtures("wheel")


@named(COMMON + OF_LISTINGS)
def test_a_listing_that_fails_is_told(fault: Fault, client: Client, server: Server) -> None:
    server.answer(PATH, fault.answer)
    started = time.monotonic()
    judge(client.get(secret_url(server)), fault, server, time.monotonic() - started)


@named(COMMON + OF_DOWNLOADS)
def test_a_download_that_fails_is_told(fault: Fault, client: Client, server: Server, tmp_path: Path) -> None:
    server.answer(PATH, fault.answer)
    folder = tmp_path / "downloads"
    folder.mkdir()
    started = time.monotonic()
    with Downloader(folder, client=client) as downloader:
        result = downloader.fetch(secret_url(server), NAME)
    judge(result, fault, server, time.monotonic() - started)
    assert list(folder.iterdir()) == []


@named(OF_PARTS)
def test_a_file_that_is_not_to_be_had_in_parts_is_told(fault: Fault, client: Client, server: Server) -> None:
    server.answer(PATH, fault.answer)
    started = time.monotonic()
    judge(open_remote(client, secret_url(server)), fault, server, time.monotonic() - started)


PARTS_THAT_FAIL = {
    "404": (fail(404), "404"),
    "403": (fail(403), "403"),
    "500": (fail(500), "500"),
    "another-range": (Answer(content_range="bytes 0-9/99"), "part"),
    "no-range": (Answer(ranges=False), "part"),
    "changed": (Answer(body=b"another"), "part"),
    "cut": (Answer(cut_at=5), "broke"),
    "reset": (RESET, "broke"),
    "silence": (Answer(stall_at=3), "did not answer"),
}


@pytest.mark.parametrize("name", PARTS_THAT_FAIL)
def test_a_part_that_fails_is_an_os_error(name: str, client: Client, server: Server) -> None:
    answer, says = PARTS_THAT_FAIL[name]
    file = open_remote(client, secret_url(server))
    assert isinstance(file, RemoteFile), file
    server.answer(PATH, answer)
    with pytest.raises(OSError, match=says) as raised:
        file.read(100, 50)
    assert not [secret for secret in SECRETS if secret in str(raised.value)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Files that openssl made: an authority, a server's certificate for 127.0.0.1 by it."""

    authority: Path
    server: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server, self.key)
        return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("tls")

    def openssl(words: str) -> None:
        subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)

    new = "-newkey rsa:2048 -nodes -subj"
    openssl(f"req -x509 {new} /CN=Test-CA -keyout ca.key -out ca.pem -days 2 -addext keyUsage=critical,keyCertSign")
    openssl(f"req {new} /CN=test -keyout server.key -out server.csr")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 2 -extfile names -out server.pem")
    return Certificates(authority=folder / "ca.pem", server=folder / "server.pem", key=folder / "server.key")


def asked_by(settings: NetworkSettings, url: str) -> object:
    with Client(settings, patience=Patience(pause=0.01), environ={}) as client:
        return client.get(url)


def test_a_certificate_of_an_unknown_authority_is_refused_with_a_hint(
    server: Server, certificates: Certificates
) -> None:
    with Server(server.folder, tls=certificates.context()) as safe:
        result = asked_by(NetworkSettings(timeout=1, retries=0), safe.url + "/x")
    assert isinstance(result, FetchFailure)
    assert result.cause == "tls"
    assert result.message.startswith("the certificate of 127.0.0.1 is not accepted: ")
    assert "--cert" in (result.hint or "")


def test_a_certificate_for_another_name_is_refused(server: Server, certificates: Certificates) -> None:
    with Server(server.folder, tls=certificates.context(), host="localhost") as safe:
        settings = NetworkSettings(timeout=1, retries=0, cert=str(certificates.authority))
        result = asked_by(settings, safe.url + "/x")
    assert isinstance(result, FetchFailure)
    assert result.cause == "tls"
    assert "Hostname mismatch" in result.message


@pytest.mark.parametrize("how", ["cert", "trusted-host", "trusted-host-and-port"])
def test_a_certificate_that_the_user_trusts_is_accepted(how: str, server: Server, certificates: Certificates) -> None:
    with Server(server.folder, tls=certificates.context()) as safe:
        safe.answer("/x", Answer(body=b"hello"))
        port = safe.url.rpartition(":")[2]
        settings = {
            "cert": NetworkSettings(timeout=1, retries=0, cert=str(certificates.authority)),
            "trusted-host": NetworkSettings(timeout=1, retries=0, trusted_hosts=("127.0.0.1",)),
            "trusted-host-and-port": NetworkSettings(timeout=1, retries=0, trusted_hosts=(f"127.0.0.1:{port}",)),
        }
        result = asked_by(settings[how], safe.url + "/x")
    assert not isinstance(result, FetchFailure), result


def test_trust_in_one_host_is_not_trust_in_another(server: Server, certificates: Certificates) -> None:
    with Server(server.folder, tls=certificates.context()) as safe:
        settings = NetworkSettings(timeout=1, retries=0, trusted_hosts=("localhost", "127.0.0.1:1"))
        result = asked_by(settings, safe.url + "/x")
    assert isinstance(result, FetchFailure)
    assert result.cause == "tls"


def test_https_is_never_left_for_http(server: Server, certificates: Certificates) -> None:
    with Server(server.folder, tls=certificates.context()) as safe:
        safe.answer("/x", redirect(server.url + "/x"))
        result = asked_by(NetworkSettings(timeout=1, cert=str(certificates.authority)), safe.url + "/x")
    assert isinstance(result, FetchFailure)
    assert result.cause == "tls"
    assert "from https to http" in result.message
    assert server.requests == []


def closed_port() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/x"


NOWHERE: dict[str, tuple[Callable[[], str], str]] = {
    "closed-port": (closed_port, "unreachable"),
    "no-such-host": (lambda: "http://host.invalid/x", "unreachable"),
    "no-host": (lambda: "http:///x", "not-found"),
    "bad-port": (lambda: "http://h:port/x", "not-found"),
    "bad-bracket": (lambda: "http://[::1/x", "not-found"),
    "control-character": (lambda: "http://h\x01/x", "not-found"),
    "label-too-long": (lambda: f"http://{'a' * 300}/x", "not-found"),
    "ftp": (lambda: "ftp://host/x", "not-found"),
    "missing-file": (lambda: "file:///no/such/file", "not-found"),
    "nul-in-file": (lambda: "file:///a%00b", "not-found"),
    "folder": (lambda: "file:///tmp", "not-found"),
}


@pytest.mark.parametrize("name", NOWHERE)
def test_a_place_that_is_none_is_told(name: str, client: Client) -> None:
    where, cause = NOWHERE[name]
    result = client.get(where())
    assert isinstance(result, FetchFailure), result
    assert result.cause == cause


def test_offline_no_server_is_asked(server: Server) -> None:
    with Client(offline=True, environ={}) as client:
        result = client.get(server.url + PATH)
    assert isinstance(result, FetchFailure)
    assert result.cause == "offline"
    assert server.requests == []
