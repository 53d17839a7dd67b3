"""``pipfallback catalog check --online``: what servers say of a fallbacks.toml, asked all at once."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.program import Completed, run_pipfallback
from lib.publishers_server import Asset, Publishers, Release, rate_limited
from lib.server import HTML_PAGE, NO_RANGES, Answer, fail
from lib.wheels import make_wheel, sha256
from pipfallback.catalog_work.publishers import absent
from pipfallback.net.client import Client
from pipfallback.net.hops import Hop
from pipfallback.net.settings import NetworkSettings
from pipfallback.sources.gathering import WORKERS

HEAD = 'schema = 1\n[package.wobbly]\nimport = "wobbly"\n'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Publishers]:
    folder = tmp_path / "served"
    folder.mkdir()
    with Publishers(folder) as running:
        yield running


def wheel(site: Publishers, version: str, *, folder: str = "plain") -> Path:
    return make_wheel(site.folder / folder, "wobbly", version)


def source(kind: str, url: object, *, name: str = "Farm", extra: str = "") -> str:
    listed = json.dumps(url)
    return f'[[package.wobbly.source]]\nname = "{name}"\ntrust = "official"\nkind = "{kind}"\nurl = {listed}\n{extra}'


def check(tmp_path: Path, text: str, environ: dict[str, str], *words: str) -> Completed:
    (tmp_path / "fallbacks.toml").write_text(text)
    return run_pipfallback(["catalog", "check", "--online", *words, "fallbacks.toml"], cwd=tmp_path, env=environ)


def found(tmp_path: Path, text: str, environ: dict[str, str], *words: str) -> list[tuple[Any, ...]]:
    """(line, level, rule, message) of each finding."""
    done = check(tmp_path, text, {**environ, "PIP_RETRIES": "0"}, "--json", *words)
    listed = json.loads(done.stdout)["findings"]
    assert done.code == int(any(one["level"] == "finding" for one in listed)), done.said
    return [(one["line"], one["level"], one["rule"], one["message"]) for one in listed]


def released(site: Publishers, *versions: str, repository: str = "maker/wobbly") -> list[Path]:
    wheels = [wheel(site, version, folder="made") for version in versions]
    assets = {path.name: path.read_bytes() for path in wheels}
    releases = [
        Release(tag=f"v{path.name.split('-')[1]}", assets=[Asset(name=path.name, content=assets[path.name])])
        for path in wheels
    ]
    site.github(repository, releases)
    return wheels


def download(site: Publishers, version: str) -> str:
    return f"{site.url}/maker/wobbly/releases/download/v{version}/wobbly-{version}-py3-none-any.whl"


def test_what_is_there_as_stated_is_no_finding(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    one = wheel(site, "1.0")
    done = check(tmp_path, HEAD + source("url", f"{site.url_of(one)}#sha256={sha256(one)}"), environ, "--download")
    assert done.code == 0, done.said
    assert done.stdout == "nothing wrong: 1 package, 1 source in fallbacks.toml, all asked\n"


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (fail(404), ("gone", "127.0.0.1 answered 404 Not Found")),
        (fail(403), ("gone", "127.0.0.1 answered 403 Forbidden")),
        (HTML_PAGE, ("gone", "127.0.0.1:PORT gives something that is no wheel")),
        (fail(503), ("no-answer", "127.0.0.1 answered 503 Service Unavailable")),
        (Answer(reset=True), ("no-answer", "the connection to 127.0.0.1 broke")),
    ],
)
def test_a_single_wheel_that_cannot_be_had_is_told_at_its_line(
    tmp_path: Path, site: Publishers, environ: dict[str, str], answer: Answer, wanted: tuple[str, str]
) -> None:
    there, gone = wheel(site, "1.0"), wheel(site, "1.1")
    site.answer(f"/plain/{gone.name}", answer)
    text = HEAD + source("url", [site.url_of(there), site.url_of(gone)])
    ((line, level, said, words),) = found(tmp_path, text, environ)
    rule, message = wanted
    assert (line, level, said) == (8, "finding", rule)
    assert words.startswith(f"{gone.name}: {message.replace('PORT', site.url.rpartition(':')[2])}")


def test_a_few_bytes_of_a_wheel_are_asked_for(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    one = make_wheel(site.folder / "plain", "wobbly", "1.0", size_mb=8)
    assert found(tmp_path, HEAD + source("url", site.url_of(one)), environ) == []
    assert [asked.sent for asked in site.requests_of(f"/plain/{one.name}")] == [2]


def test_a_server_that_knows_no_ranges_is_asked_all_the_same(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    one = wheel(site, "1.0")
    site.answer(f"/plain/{one.name}", NO_RANGES)
    assert found(tmp_path, HEAD + source("url", site.url_of(one)), environ) == []


def test_a_changed_file_is_found_by_fetching_it(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    one = wheel(site, "1.0")
    text = HEAD + source("url", [f"{site.url_of(one)}#sha256={'a' * 64}"])
    assert found(tmp_path, text, environ) == []
    message = f"{one.name} is another file now: its sha256 is {sha256(one)}, not {'a' * 64}"
    assert found(tmp_path, text, environ, "--download") == [(8, "finding", "hash-changed", message)]


def test_a_file_on_disk_is_looked_at(tmp_path: Path, environ: dict[str, str]) -> None:
    one = make_wheel(tmp_path / "disk", "wobbly", "1.0")
    urls = [f"{one.as_uri()}#sha256={'a' * 64}", f"{one.as_uri()}".replace("1.0", "1.1")]
    assert [rule for _, _, rule, _ in found(tmp_path, HEAD + source("url", urls), environ, "--download")] == [
        "hash-changed",
        "gone",
    ]
    assert one.is_file()


def test_a_release_tells_hashes_without_a_download(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    (one,) = released(site, "1.0")
    text = HEAD + source("url", [f"{download(site, '1.0')}#sha256={'a' * 64}"])
    message = f"{one.name} is another file now: its sha256 is {sha256(one)}, not {'a' * 64}"
    assert found(tmp_path, text, environ) == [(8, "finding", "hash-changed", message)]
    assert site.requests_of(f"/maker/wobbly/releases/download/v1.0/{one.name}") == []


def test_a_pattern_is_compared_with_the_releases(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    released(site, "1.0", "1.1", "1.2")
    template = download(site, "1.0").replace("1.0", "{version}")
    text = HEAD + source("pattern", template, extra='values = { version = ["0.9", "1.0", "1.1"] }\n')
    assert found(tmp_path, text, environ) == [
        (
            4,
            "finding",
            "gone",
            "1 of 3 wheels cannot be had (127.0.0.1 answered 404 Not Found): wobbly-0.9-py3-none-any.whl",
        ),
        (4, "finding", "new", "1 wheel listed there and not here: wobbly-1.2-py3-none-any.whl"),
    ]


def test_more_of_a_publisher_than_the_chosen_wheels_is_noted(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    wheels = {
        f"w/{path.name}": path.read_bytes() for path in (wheel(site, "1.0", folder="a"), wheel(site, "1.1", folder="a"))
    }
    site.hugging_face("maker/wheels", wheels)
    text = HEAD + source("url", f"{site.url}/maker/wheels/resolve/main/w/wobbly-1.0-py3-none-any.whl")
    assert found(tmp_path, text, environ) == [
        (4, "note", "new", "1 wheel listed there and not here: wobbly-1.1-py3-none-any.whl")
    ]


def test_what_another_source_of_the_package_asks_for_is_not_new(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    released(site, "1.0", "1.1")
    template = download(site, "1.0").replace("1.0", "{version}")
    text = (
        HEAD
        + source("pattern", template, extra='values = { version = "1.0" }\n')
        + source("github", f"{site.url}/maker/wobbly", name="Releases")
    )
    assert found(tmp_path, text, environ) == []


def test_without_a_list_the_files_are_asked_for_and_what_is_new_is_not_known(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    released(site, "1.0")
    site.route("/api/v3/repos/maker/wobbly/releases", lambda _: rate_limited())
    text = HEAD + source("pattern", download(site, "1.0"))
    ((line, level, rule, message),) = found(tmp_path, text, environ)
    assert (line, level, rule) == (4, "note", "no-answer")
    assert message.startswith("what is new there is not known: releases of maker/wobbly")


def test_a_place_with_the_paths_of_releases_that_is_not_github_is_asked_for_each_file(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    one = wheel(site, "1.0", folder="maker/wobbly/releases/download/v1.0")
    assert found(tmp_path, HEAD + source("url", site.url_of(one)), environ) == []


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("github", "/maker/none"), "releases of maker/none at HOST: 127.0.0.1 answered 404 Not Found"),
        (("links", "/links.html"), "lists no wheel of wobbly"),
        (("index", "/simple"), "URL/simple/wobbly/: 127.0.0.1 answered 404 Not Found"),
        (("links", "/none.html"), "URL/none.html: 127.0.0.1 answered 404 Not Found"),
        (("sdist", "/wobbly-1.0.tar.gz"), "127.0.0.1 answered 404 Not Found"),
    ],
)
def test_a_place_that_is_gone_or_lists_nothing_is_told(
    tmp_path: Path, site: Publishers, environ: dict[str, str], place: tuple[str, str], message: str
) -> None:
    kind, path = place
    site.page("/links.html", "<a href='gear-1.0-py3-none-any.whl'>gear</a>")
    ((_, level, said, words),) = found(tmp_path, HEAD + source(kind, site.url + path), environ)
    assert (level, said) == ("finding", "gone")
    assert words.startswith(message.replace("URL", site.url).replace("HOST", site.url.partition("://")[2]))


def test_hashes_that_the_file_pins_are_compared_with_the_list(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    one, _ = released(site, "1.0", "1.1")
    pinned = {"1.0": "a" * 64, "1.1": sha256(site.folder / "made" / "wobbly-1.1-py3-none-any.whl"), "0.9": "b" * 64}
    table = "".join(f'"{download(site, version)}" = "{digest}"\n' for version, digest in pinned.items())
    text = HEAD + source("github", f"{site.url}/maker/wobbly", extra=f"[package.wobbly.source.sha256]\n{table}")
    assert found(tmp_path, text, environ) == [
        (
            10,
            "finding",
            "hash-changed",
            f"{one.name} is another file now: its sha256 is {sha256(one)}, not {'a' * 64}",
        ),
        (12, "finding", "gone", "wobbly-0.9-py3-none-any.whl is not listed any more"),
    ]


def test_a_page_for_a_torch_is_asked_for_the_machine_that_is_described(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    site.page("/torch-2.7.1+cu126.html", "<a href='wobbly-1.0-py3-none-any.whl'>wobbly</a>")
    text = HEAD + source("links", f"{site.url}/torch-{{torch}}+{{cuda}}.html")
    assert found(tmp_path, text, environ, "--torch", "2.7.1", "--cuda", "12.6") == []
    ((_, _, rule, message),) = found(tmp_path, text, environ, "--torch", "2.5.1", "--cuda", "12.6")
    assert (rule, message) == ("gone", f"{site.url}/torch-2.5.0+cu126.html: 127.0.0.1 answered 404 Not Found")


def test_a_page_for_a_torch_that_is_not_known_is_noted(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    (tmp_path / "machine.json").write_text('{"python": {"version": "3.10.0"}, "platform": "linux_x86_64"}')
    text = HEAD + source("links", f"{site.url}/torch-{{torch}}.html")
    (only,) = found(tmp_path, text, environ, "--environment", "machine.json")
    assert only == (
        4,
        "note",
        "no-answer",
        "its page depends on torch, which is not known (pipfallback plan NAME --torch 2.7.1+cu126 asks about another machine)",
    )


def test_all_are_asked_at_once(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    wheels = [wheel(site, f"1.{number}") for number in range(12)]
    for one in wheels:
        site.answer(f"/plain/{one.name}", Answer(delay=1.0))
    sources = [source("url", site.url_of(one), name=f"S{number}") for number, one in enumerate(wheels)]
    start = time.monotonic()
    assert found(tmp_path, HEAD + "".join(sources), environ) == []
    assert time.monotonic() - start < 9  # one after another: 12 s


def test_what_a_server_said_before_is_no_answer(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    page = "<a href='wobbly-1.0-py3-none-any.whl'>wobbly</a>"
    site.route(
        "/links.html",
        lambda _: Answer(body=page.encode(), headers={"Content-Type": "text/html", "Cache-Control": "max-age=3600"}),
    )
    text = HEAD + source("links", f"{site.url}/links.html")
    assert found(tmp_path, text, environ) == []
    site.route("/links.html", lambda _: fail(503))
    assert [rule for _, _, rule, _ in found(tmp_path, text, environ)] == ["no-answer"]


def test_a_token_in_a_url_is_asked_with_and_never_shown(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    url = site.url.replace("://", "://me:s3cret@") + "/plain/wobbly-1.0-py3-none-any.whl"
    done = check(tmp_path, HEAD + source("url", url), environ, "--json")
    assert [one["rule"] for one in json.loads(done.stdout)["findings"]] == ["secret", "gone"], done.said
    assert "s3cret" not in done.said


def test_a_host_that_is_gone_is_not_asked_for_each_of_its_files() -> None:
    asked: list[str] = []

    class Counting(Client):
        def hop(self, url: str) -> Hop:
            asked.append(url)
            return super().hop(url)

    with socket.socket() as taken, Counting(NetworkSettings(proxy="", retries=0), environ={}) as client:
        taken.bind(("127.0.0.1", 0))  # and does not listen: connections are refused
        files = [f"http://127.0.0.1:{taken.getsockname()[1]}/wobbly-1.{n}-py3-none-any.whl" for n in range(500)]
        failures = absent(client, files)
    assert {failures[file].cause for file in files} == {"unreachable"}
    assert 0 < len(asked) <= WORKERS
