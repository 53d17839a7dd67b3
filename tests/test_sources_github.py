"""Sources of kind ``github``, against a server that answers as GitHub's API does."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.asking import asking, listing, names, only, source
from lib.plain_pages import PlainPages
from lib.publishers_server import Asset, Publishers, Release, as_json, rate_limited
from lib.server import Answer, fail, redirect
from pipfallback.builds import LabelHints
from pipfallback.net.failures import FetchFailure
from pipfallback.net.pages import Page
from pipfallback.sources.github import read_place

WHEEL = "wobbly-1.0+cu126torch2.7cxx11abiTRUE-cp310-cp310-linux_x86_64.whl"
NEWER = "wobbly-2.0+cu126torch2.7cxx11abiTRUE-cp310-cp310-linux_x86_64.whl"
RELEASES = "/api/v3/repos/maker/wobbly/releases"
HASH = "ab" * 32


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Publishers]:
    with Publishers(tmp_path) as running:
        yield running


def test_wheels_of_all_releases_are_listed_newest_first_with_hash_and_size(server: Publishers) -> None:
    url = server.github(
        "maker/wobbly",
        [
            Release(tag="v2.0", assets=[Asset(name=NEWER, content=b"newer"), Asset(name="wobbly-2.0.tar.gz")]),
            Release(tag="v1.0", assets=[Asset(name=WHEEL, content=b"older")]),
        ],
    )

    found = listing(source("github", url))

    assert found.notes == ()
    assert names(found) == [NEWER, WHEEL]
    newer = found.candidates[0]
    assert newer.location == f"{server.url}/maker/wobbly/releases/download/v2.0/{NEWER.replace('+', '%2B')}"
    assert (newer.sha256, newer.size, newer.order) == (hashlib.sha256(b"newer").hexdigest(), 5, (0, 0))
    assert (newer.build.torch, newer.build.cuda, newer.source) == ("2.7", "12.6", "Maker")


def test_a_listed_asset_is_fetched_from_another_host_under_a_signature_that_expires(server: Publishers) -> None:
    server.github("maker/wobbly", [Release(tag="v1.0", assets=[Asset(name=WHEEL, content=b"wheel")])])
    wheel = only(listing(source("github", f"{server.url}/maker/wobbly")))
    server.signed("/old", b"wheel", seconds=-1)

    page = PlainPages().get(wheel.location)
    too_late = PlainPages().get(f"{server.url}/old")

    assert isinstance(page, Page)
    assert page.url.startswith(f"{server.other_host}/storage/")
    assert hashlib.sha256(page.body).hexdigest() == wheel.sha256
    assert isinstance(too_late, FetchFailure)
    assert too_late.message == "HTTP 403"


@pytest.mark.parametrize("digest", [None, "", "sha512:ab", "sha256:zz", 5, {}])
def test_a_digest_that_is_no_sha256_is_unknown(server: Publishers, digest: object) -> None:
    url = server.github("maker/wobbly", [Release(tag="v1", assets=[Asset(name=WHEEL, more={"digest": digest})])])

    assert only(listing(source("github", url))).sha256 is None


def test_a_hash_that_the_catalog_pins_counts_before_the_digest_however_the_plus_is_written(server: Publishers) -> None:
    url = server.github("maker/wobbly", [Release(tag="v1", assets=[Asset(name=WHEEL, content=b"x")])])
    pinned = {f"{url}/releases/download/v1/{WHEEL}": HASH}

    assert only(listing(source("github", url, sha256=pinned))).sha256 == HASH


def test_drafts_and_unfinished_uploads_do_not_count_and_pre_releases_do(server: Publishers) -> None:
    url = server.github(
        "maker/wobbly",
        [
            Release(tag="v3", assets=[Asset(name="wobbly-3.0-py3-none-any.whl")], more={"draft": True}),
            Release(tag="v2", assets=[Asset(name=NEWER, more={"state": "starter"})]),
            Release(tag="v1", assets=[Asset(name=WHEEL)], more={"prerelease": True}),
        ],
    )

    assert names(listing(source("github", url))) == [WHEEL]


def test_all_pages_are_read(server: Publishers) -> None:
    releases = [
        Release(tag=f"v{number}", assets=[Asset(name=f"wobbly-{number}-py3-none-any.whl")])
        for number in range(250, 0, -1)
    ]
    url = server.github("maker/wobbly", releases)

    found = listing(source("github", url))

    assert [str(one.build.version) for one in found.candidates] == [str(number) for number in range(250, 0, -1)]
    assert len(server.requests_of(RELEASES)) == 3


def test_pages_without_end_are_read_up_to_a_bound(server: Publishers) -> None:
    def endless(number: int) -> Answer:
        asset = {"browser_download_url": f"{server.url}/wobbly-{number}-py3-none-any.whl", "state": "uploaded"}
        following = f'<{server.url}{RELEASES}?page={number + 1}>; rel="next"'
        return as_json([{"assets": [asset]}], headers={"Link": following})

    server.route(RELEASES, lambda asked: endless(int(asked.query.get("page", "1"))))

    found = listing(source("github", f"{server.url}/maker/wobbly"))

    assert len(found.candidates) == 20
    assert [note.cause for note in found.notes] == ["too-large"]


def test_pages_that_lead_in_a_circle_are_read_once(server: Publishers) -> None:
    link = f'<{server.url}{RELEASES}?per_page=100>; rel="next"'
    asset = {"browser_download_url": f"{server.url}/{WHEEL}", "state": "uploaded"}
    server.answer(RELEASES, as_json([{"assets": [asset]}], headers={"Link": link}))

    found = listing(source("github", f"{server.url}/maker/wobbly"))

    assert len(found.candidates) == 1
    assert "circle" in found.notes[0].text


def test_a_next_page_at_another_host_is_not_asked_for_and_never_sees_the_token(server: Publishers) -> None:
    link = f'<{server.other_host}{RELEASES}?page=2>; rel="next"'
    server.answer(RELEASES, as_json([], headers={"Link": link}))
    environ = {"GH_HOST": server.url.removeprefix("http://"), "GH_ENTERPRISE_TOKEN": "s3cret"}

    found = listing(source("github", f"{server.url}/maker/wobbly"), ask=asking(environ=environ))

    assert "another server" in found.notes[0].text
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer s3cret"]


def test_a_failing_second_page_leaves_the_first(server: Publishers) -> None:
    asset = {"browser_download_url": f"{server.url}/{WHEEL}", "state": "uploaded"}
    first = as_json([{"assets": [asset]}], headers={"Link": f'<{server.url}{RELEASES}?page=2>; rel="next"'})
    server.answer(RELEASES, first, fail(502))

    found = listing(source("github", f"{server.url}/maker/wobbly"))

    assert names(found) == [WHEEL]
    assert [note.cause for note in found.notes] == ["server-error"]


@pytest.mark.parametrize("ending", ["", "/", ".git", "/releases", "/releases?q=1", "#readme"])
def test_a_repository_may_be_written_in_several_ways(server: Publishers, ending: str) -> None:
    url = server.github("maker/wobbly", [Release(tag="v1", assets=[Asset(name=WHEEL)])])

    assert names(listing(source("github", url + ending))) == [WHEEL]


def test_one_release_is_asked_for_by_its_tag(server: Publishers) -> None:
    releases = [Release(tag="wobbly/latest", assets=[Asset(name=NEWER)]), Release(tag="v1", assets=[Asset(name=WHEEL)])]
    url = server.github("maker/wobbly", releases)

    assert names(listing(source("github", f"{url}/releases/tag/wobbly/latest"))) == [NEWER]
    assert [request.path for request in server.requests] == [f"{RELEASES}/tags/wobbly/latest"]


def test_a_tag_without_a_release_is_told_by_its_name(server: Publishers) -> None:
    url = server.github("maker/wobbly", [])

    (note,) = listing(source("github", f"{url}/releases/tag/v9")).notes

    assert note.cause == "not-found"
    assert "release v9 of maker/wobbly" in note.text


def test_a_renamed_repository_is_followed(server: Publishers) -> None:
    server.github("maker/wobbly", [Release(tag="v1", assets=[Asset(name=WHEEL)])])
    server.answer("/api/v3/repos/maker/wibbly/releases", redirect(f"{server.url}{RELEASES}?per_page=100", status=301))

    assert names(listing(source("github", f"{server.url}/maker/wibbly"))) == [WHEEL]


def test_a_missing_repository_may_be_a_private_one(server: Publishers) -> None:
    server.answer(RELEASES, as_json({"message": "Not Found"}, status=404))

    (note,) = listing(source("github", f"{server.url}/maker/wobbly")).notes

    assert (note.source, note.cause) == ("Maker", "not-found")
    assert "maker/wobbly" in note.text
    assert "GITHUB_TOKEN or GH_TOKEN" in (note.hint or "")


@pytest.mark.parametrize("status", [403, 429])
def test_a_rate_limit_is_told_with_its_end_and_the_variable_that_raises_it(server: Publishers, status: int) -> None:
    server.answer(RELEASES, rate_limited(seconds=900, status=status))

    (note,) = listing(source("github", f"{server.url}/maker/wobbly")).notes

    assert note.cause == "rate-limited"
    assert re.match(
        r"GitHub answers again at \d\d:\d\d \(in 15 min\); a token in GITHUB_TOKEN or GH_TOKEN", note.hint or ""
    )


def test_a_rate_limit_with_a_token_does_not_ask_for_one(server: Publishers) -> None:
    server.answer(RELEASES, rate_limited())
    environ = {"GITHUB_SERVER_URL": server.url, "GITHUB_TOKEN": "s3cret"}

    (note,) = listing(source("github", f"{server.url}/maker/wobbly"), ask=asking(environ=environ)).notes

    assert "answers again" in (note.hint or "")
    assert "TOKEN" not in (note.hint or "")


def test_a_private_repository_is_listed_with_the_users_token(server: Publishers) -> None:
    url = server.github("maker/wobbly", [Release(tag="v1", assets=[Asset(name=WHEEL)])], token="s3cret")
    environ = {"GITHUB_SERVER_URL": server.url, "GITHUB_TOKEN": "s3cret"}

    assert names(listing(source("github", url), ask=asking(environ=environ))) == [WHEEL]
    assert names(listing(source("github", url))) == []


def test_a_token_that_is_refused_keeps_nobody_from_what_is_public(server: Publishers) -> None:
    server.github("maker/wobbly", [Release(tag="v1", assets=[Asset(name=WHEEL)])])
    server.route(
        "/api/v3/repos/maker/wobbly/releases",
        lambda asked: (
            as_json({"message": "Bad credentials"}, status=401)
            if asked.token
            else as_json([{"assets": [{"browser_download_url": f"{server.url}/{WHEEL}"}]}])
        ),
    )
    environ = {"GITHUB_SERVER_URL": server.url, "GITHUB_TOKEN": "s3cret"}

    found = listing(source("github", f"{server.url}/maker/wobbly"), ask=asking(environ=environ))

    assert names(found) == [WHEEL]
    (note,) = found.notes
    assert note.hint == "GITHUB_TOKEN is refused; set another or none"
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize("variable", ["GITHUB_TOKEN", "GH_TOKEN", "GH_ENTERPRISE_TOKEN"])
def test_a_token_does_not_go_to_a_host_that_only_the_catalog_names(server: Publishers, variable: str) -> None:
    url = server.github("maker/wobbly", [])

    listing(source("github", url), ask=asking(environ={variable: "s3cret"}))

    assert "Authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("environ", "token"),
    [
        ({}, None),
        ({"GITHUB_TOKEN": "a"}, "a"),
        ({"GITHUB_TOKEN": "a", "GH_TOKEN": "b"}, "b"),
        ({"GH_TOKEN": " "}, None),
    ],
)
def test_github_com_is_asked_at_its_api_with_its_token(
    server: Publishers, environ: dict[str, str], token: str | None
) -> None:
    server.github("maker/wobbly", [Release(tag="v1", assets=[Asset(name=WHEEL)])])
    pages = PlainPages(elsewhere={"https://api.github.com/": f"{server.url}/api/v3/"})

    found = listing(source("github", "https://github.com/maker/wobbly"), ask=asking(pages, environ=environ))

    assert names(found) == [WHEEL]
    assert pages.asked == [("https://api.github.com/repos/maker/wobbly/releases?per_page=100", token)]


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://github.com/o/r", "https://api.github.com/repos/o/r/releases?per_page=100"),
        ("https://www.github.com/o/r", "https://api.github.com/repos/o/r/releases?per_page=100"),
        ("https://GitHub.com/o/r/releases/tag/v1%2B2", "https://api.github.com/repos/o/r/releases/tags/v1%2B2"),
        ("https://acme.ghe.com/o/r", "https://api.acme.ghe.com/repos/o/r/releases?per_page=100"),
        ("https://git.acme.org:8443/o/r", "https://git.acme.org:8443/api/v3/repos/o/r/releases?per_page=100"),
    ],
)
def test_the_api_of_each_kind_of_host(url: str, api: str) -> None:
    place = read_place(url)

    assert place is not None
    assert place.url == api


def test_a_url_that_names_no_repository_is_told() -> None:
    (note,) = listing(source("github", "https://github.com/maker")).notes

    assert "https://github.com/OWNER/NAME" in note.text


ODD = {
    "a web page": (b"<!doctype html><title>Sign in</title>", "a web page"),
    "broken JSON": (b'[{"assets": [', "something else"),
    "nothing": (b"", "nothing in it"),
    "bytes that are no text": (b"\xff\xfe\xfa\x00", "something else"),
    "a number": (b"3", "no list"),
    "an error with status 200": (b'{"message": "Server is under maintenance"}', "Server is under maintenance"),
    "an error of another form": (b'{"message": {"text": 1}}', "no list"),
    "JSON without bottom": (b"[" * 200_000, "nested too deeply"),
}


@pytest.mark.parametrize("case", ODD)
def test_an_answer_that_is_no_listing_is_told_as_what_it_is(server: Publishers, case: str) -> None:
    body, told = ODD[case]
    server.answer(RELEASES, Answer(body=body, headers={"Content-Type": "application/json"}))

    found = listing(source("github", f"{server.url}/maker/wobbly"))

    assert found.candidates == ()
    (note,) = found.notes
    assert told in note.text
    assert note.cause == "corrupt"


STRANGE = (
    None,
    "v1",
    {},
    {"assets": None},
    {"assets": {"0": {}}},
    {"assets": [None, 3, [], {}]},
    {"assets": [{"browser_download_url": None}]},
    {"assets": [{"browser_download_url": "file:///etc/wobbly-9.0-py3-none-any.whl"}]},
    {"assets": [{"browser_download_url": "http://[/wobbly-9.0-py3-none-any.whl"}]},
    {"assets": [{"browser_download_url": "wobbly-9.0-py3-none-any.whl", "size": "big"}]},
)


def test_entries_of_another_form_are_passed_over_and_the_good_ones_stay(server: Publishers) -> None:
    good = {"assets": [{"browser_download_url": f"{server.url}/{WHEEL}", "size": "big", "digest": ["x"]}]}
    server.answer(RELEASES, Answer(body=json.dumps([*STRANGE, good]).encode()))

    wheel = only(listing(source("github", f"{server.url}/maker/wobbly")))

    assert (wheel.build.filename, wheel.size, wheel.sha256) == (WHEEL, None, None)


def test_wheels_of_other_packages_are_passed_over_and_names_that_are_none_are_told_together(server: Publishers) -> None:
    bad = [f"wobbly-{number}-cp310.whl" for number in range(5)]
    others = ["other-1.0-py3-none-any.whl", "wobbly_extra-1.0-py3-none-any.whl", "Wobbly.exe", "wobbly-1.0.zip"]
    url = server.github(
        "maker/wobbly",
        [Release(tag="v1", assets=[Asset(name=name) for name in [*bad, *others, "Wobbly-1.0-py3-none-any.whl"]])],
    )

    found = listing(source("github", url))

    assert names(found) == ["Wobbly-1.0-py3-none-any.whl"]
    assert [(note.cause, note.text) for note in found.notes] == [
        ("bad-name", f"{', '.join(bad[:3])} and 2 more are not names of wheels (PEP 427)")
    ]


def test_releases_without_a_wheel_of_the_package_are_told(server: Publishers) -> None:
    url = server.github("maker/wobbly", [Release(tag="v1", assets=[Asset(name="wobbly-1.0.tar.gz")])])

    assert [(note.cause, note.text) for note in listing(source("github", url)).notes] == [
        ("empty", "lists no wheel of wobbly")
    ]


def test_hints_of_the_source_hold(server: Publishers) -> None:
    url = server.github(
        "maker/wobbly", [Release(tag="v1", assets=[Asset(name="wobbly-1.0-cp310-cp310-linux_x86_64.whl")])]
    )

    build = only(listing(source("github", url, hints=LabelHints(torch="2.6", cuda="12.4")))).build

    assert (build.torch, build.cuda) == ("2.6", "12.4")
