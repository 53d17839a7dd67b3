"""All sources of a package asked at once: the order, what is late, what two of them list, what threads leave behind."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.asking import asking, environment, listing, names, only, package, source
from lib.publishers_server import Asked, Asset, Publishers, Release, rate_limited
from lib.server import RESET, Answer
from pipfallback import catalog_reader, sources
from pipfallback.arguments import parse
from pipfallback.builds import LabelHints
from pipfallback.catalog import Catalog, Package, SourceKind
from pipfallback.compatibility import Policy, judge
from pipfallback.errors import CatalogError
from pipfallback.net.client import Client
from pipfallback.net.failures import FetchFailure
from pipfallback.net.page_cache import PageCache
from pipfallback.net.pages import Page
from pipfallback.net.settings import NetworkSettings
from pipfallback.questions import explain, plan
from pipfallback.sources.gathering import Gathering
from pipfallback.trust import Trust

WHEEL = "wobbly-1.0-py3-none-any.whl"
HASH, OTHER_HASH = "ab" * 32, "cd" * 32
KINDS: tuple[SourceKind, ...] = ("github", "huggingface", "links", "index")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Publishers]:
    with Publishers(tmp_path) as running:
        yield running


def page_of(server: Publishers, path: str, *files: str) -> str:
    return server.page(path, "".join(f'<a href="{name}">x</a>' for name in files))


def test_the_order_is_that_of_the_sources_whoever_answers_first(server: Publishers) -> None:
    slow = server.route("/slow", lambda _: Answer(delay=0.5, body=b'<a href="wobbly-3.0-py3-none-any.whl">x</a>'))
    fast = page_of(server, "/fast", "wobbly-1.0-py3-none-any.whl", "wobbly-2.0-py3-none-any.whl")
    given_url = "https://example.org/wobbly-4.0-py3-none-any.whl"

    found = listing(
        source("links", slow, name="a"), source("url", given_url, name="b"), source("links", fast, name="c")
    )

    assert [(candidate.source, candidate.order, str(candidate.build.version)) for candidate in found.candidates] == [
        ("a", (0, 0), "3.0"),
        ("b", (1, 0), "4.0"),
        ("c", (2, 0), "1.0"),
        ("c", (2, 1), "2.0"),
    ]


def test_sources_are_asked_side_by_side(server: Publishers) -> None:
    meeting = threading.Barrier(6, timeout=10)  # broken unless all are there at once

    def meet(_: object) -> Answer:
        meeting.wait()
        return Answer(body=b'<a href="wobbly-1.0-py3-none-any.whl">x</a>')

    urls = [server.route(f"/{number}/page", meet) for number in range(6)]

    found = listing(*(source("links", url, name=url) for url in urls))

    assert len(found.candidates) == 6
    assert found.notes == ()


def test_sources_of_several_packages_are_asked_side_by_side(server: Publishers) -> None:
    meeting = threading.Barrier(4, timeout=10)

    def meet(asked: Asked) -> Answer:
        meeting.wait()
        files = [f"{asked.path}/{name}-1.0-py3-none-any.whl" for name in ("one", "two")]
        return Answer(body="".join(f'<a href="{file}">x</a>' for file in files).encode())

    questions = []
    for name in ("one", "two"):
        given_sources = [source("links", server.route(f"/{name}/{place}", meet), name=str(place)) for place in range(2)]
        questions.append((package(*given_sources, name=name), asking()))

    one, two = sources.listings(questions)

    assert {candidate.build.name for candidate in one.candidates} == {"one"}
    assert {candidate.build.name for candidate in two.candidates} == {"two"}
    assert (len(one.candidates), len(two.candidates)) == (2, 2)


def test_one_that_never_answers_holds_up_nobody_and_is_told(server: Publishers) -> None:
    server.answer("/dead", Answer(body=b"x", stall_at=0))
    fast = page_of(server, "/fast", WHEEL)
    begun = time.monotonic()

    found = listing(
        source("links", f"{server.url}/dead", name="dead"),
        source("links", fast),
        ask=asking(deadline=1.0),
    )

    assert time.monotonic() - begun < 4
    assert names(found) == [WHEEL]
    assert [(note.source, note.cause, note.text) for note in found.notes] == [
        ("dead", "late", "did not answer within 1 s")
    ]


def test_what_a_late_source_had_listed_counts(server: Publishers) -> None:
    releases = "/api/v3/repos/maker/wobbly/releases"
    asset = f'{{"browser_download_url": "{server.url}/{WHEEL}"}}'
    first = Answer(
        body=f'[{{"assets": [{asset}]}}]'.encode(), headers={"Link": f'<{server.url}{releases}?page=2>; rel="next"'}
    )
    server.answer(releases, first, Answer(body=b"x", stall_at=0))

    found = listing(source("github", f"{server.url}/maker/wobbly"), ask=asking(deadline=1.0))

    assert names(found) == [WHEEL]
    assert [note.text for note in found.notes] == ["had listed 1 builds when 1 s were over"]


def test_a_program_with_a_source_that_never_answers_can_end(server: Publishers) -> None:
    server.answer("/dead", Answer(body=b"x", stall_at=0))
    program = textwrap.dedent(f"""
        from lib.asking import asking, listing, source
        print(listing(source("links", "{server.url}/dead"), ask=asking(deadline=0.5)).notes[0].cause)
    """)
    tests = Path(__file__).parent

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tests, capture_output=True, text=True, timeout=20, check=False
    )

    assert (done.returncode, done.stdout.strip()) == (0, "late"), done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_is_reset_is_told(server: Publishers, kind: SourceKind) -> None:
    for path in (
        "/api/v3/repos/maker/wobbly/releases",
        "/api/models/maker/wobbly/tree/main",
        "/maker/wobbly",
        "/maker/wobbly/wobbly/",
    ):
        server.answer(path, RESET)

    found = listing(source(kind, f"{server.url}/maker/wobbly"), source("url", f"https://example.org/{WHEEL}", name="b"))

    assert names(found) == [WHEEL]
    assert [(note.source, note.cause) for note in found.notes] == [("Maker", "truncated")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_host_that_is_not_there_is_told(kind: SourceKind) -> None:
    (note,) = listing(source(kind, "http://127.0.0.1:9/maker/wobbly")).notes

    assert (note.source, note.cause) == ("Maker", "unreachable")


@pytest.mark.parametrize("kind", KINDS)
def test_without_anybody_to_ask_a_source_is_noted_and_the_rest_is_there(kind: SourceKind) -> None:
    both = package(source(kind, "https://example.org/maker/wobbly"), source("url", f"https://e.org/{WHEEL}", name="b"))

    found = sources.candidates(both)

    assert names(found) == [WHEEL]
    assert [(note.source, note.cause) for note in found.notes] == [("Maker", "offline")]


class _Offline:
    """As a client without a network and without a cache."""

    def get(self, url: str, *, accept: str = "*/*", token: str | None = None) -> Page | FetchFailure:
        del url, accept, token
        return FetchFailure(
            cause="offline", message="the network is not used (--no-index)", hint="leave out --no-index"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_offline_what_is_local_is_used_and_the_rest_is_told(tmp_path: Path, kind: SourceKind) -> None:
    (tmp_path / WHEEL).write_bytes(b"")
    asked = source(kind, "https://github.com/maker/wobbly", name="far")

    found = listing(asked, source("links", tmp_path.as_uri(), name="here"), ask=asking(_Offline()))

    assert [candidate.source for candidate in found.candidates] == ["here"]
    assert [(note.source, note.cause, note.hint) for note in found.notes] == [
        ("far", "offline", "leave out --no-index")
    ]


def github(server: Publishers, *, content: bytes = b"x", digest: str | None = None) -> str:
    more = {"digest": digest and f"sha256:{digest}"}
    return server.github(
        "maker/wobbly",
        [Release(tag="v1", assets=[Asset(name="wobbly-1.0+cu126-py3-none-any.whl", content=content, more=more)])],
    )


def test_a_file_that_a_table_of_the_catalog_has_as_well_is_listed_once(server: Publishers) -> None:
    url = github(server, digest=HASH)
    plain = f"{url}/releases/download/v1/wobbly-1.0+cu126-py3-none-any.whl"

    wheel = only(listing(source("url", plain, name="table"), source("github", url, name="asked")))

    assert (wheel.source, wheel.location, wheel.sha256, wheel.size) == ("table", plain, HASH, 1)


def test_of_two_sources_for_one_file_the_more_trusted_one_counts(server: Publishers) -> None:
    url = github(server, digest=HASH)
    plain = f"{url}/releases/download/v1/wobbly-1.0+cu126-py3-none-any.whl"

    wheel = only(
        listing(
            source("url", plain, name="table", trust=Trust.COMMUNITY),
            source("github", url, name="asked", trust=Trust.OFFICIAL),
        )
    )

    assert (wheel.source, wheel.trust, wheel.order) == ("asked", Trust.OFFICIAL, (1, 0))


def test_a_pinned_hash_counts_before_a_listed_one_whichever_source_is_kept(server: Publishers) -> None:
    url = github(server, digest=HASH)
    plain = f"{url}/releases/download/v1/wobbly-1.0+cu126-py3-none-any.whl"
    table = source("url", plain, name="table", trust=Trust.COMMUNITY, sha256={plain: OTHER_HASH})

    for level in Trust:
        wheel = only(listing(table, source("github", url, name="asked", trust=level)))
        assert wheel.sha256 == OTHER_HASH


def test_a_less_trusted_listing_has_no_say_about_the_hash_of_a_more_trusted_file(server: Publishers) -> None:
    url = github(server, digest=HASH)
    plain = f"{url}/releases/download/v1/wobbly-1.0+cu126-py3-none-any.whl"

    wheel = only(
        listing(
            source("url", plain, name="table", trust=Trust.OFFICIAL),
            source("github", url, name="asked", trust=Trust.COMMUNITY),
        )
    )

    assert (wheel.trust, wheel.sha256) == (Trust.OFFICIAL, None)


def test_what_the_catalog_itself_lists_twice_stays(server: Publishers) -> None:
    url = "https://example.org/" + WHEEL

    found = listing(source("url", url, name="a"), source("url", url, name="b"), source("links", server.page("/p", "")))

    assert [candidate.source for candidate in found.candidates] == ["a", "b"]


def test_a_hash_that_only_a_listing_states_does_not_do_where_the_user_requires_hashes(server: Publishers) -> None:
    content = b"wheel"
    url = server.github("maker/wobbly", [Release(tag="v1", assets=[Asset(name=WHEEL, content=content)])])
    listed = only(listing(source("github", url)))
    assert listed.sha256 is not None

    refused = judge(listed, environment(), Policy(trust=Trust.COMMUNITY, hashes=frozenset()))
    allowed = judge(listed, environment(), Policy(trust=Trust.COMMUNITY, hashes=frozenset({listed.sha256})))

    assert "hash" in [mismatch.rule for mismatch in refused.mismatches]
    assert "hash" not in [mismatch.rule for mismatch in allowed.mismatches]


def test_a_source_below_the_allowed_trust_is_listed_and_refused(server: Publishers) -> None:
    listed = only(listing(source("links", page_of(server, "/page", WHEEL), trust=Trust.COMMUNITY)))

    decision = judge(listed, environment(), Policy(trust=Trust.VENDOR))

    assert "trust" in [mismatch.rule for mismatch in decision.mismatches]
    assert not decision.accepted


@given(st.binary(max_size=400), st.sampled_from(KINDS), st.sampled_from(["text/html", "application/json", ""]))
def test_no_answer_of_a_server_breaks_a_listing(body: bytes, kind: SourceKind, content_type: str) -> None:
    class Strange:
        def get(self, url: str, *, accept: str = "*/*", token: str | None = None) -> Page | FetchFailure:
            del accept, token
            return Page(url=url, body=body, headers={"content-type": content_type, "link": body.decode("latin-1")})

    found = listing(source(kind, "https://example.org/maker/wobbly"), ask=asking(Strange()))

    assert found.notes or found.candidates


FRAGMENTS = st.lists(
    st.sampled_from([
        "<a href=", "<base href=", '"', "'", ">", "</a>", "wobbly-1.0-py3-none-any.whl", "http://[", "//", "#sha256=",
        "data-yanked", " ", "&#x0;", "&amp", "%2B", "?", "{", "[", "}", "]", '{"files":', '"url":', ",", "null", "<!--", "\x00",
    ]),
    max_size=40,
)  # fmt: skip


@given(FRAGMENTS, st.sampled_from(KINDS))
def test_no_page_of_half_right_parts_breaks_a_listing(parts: list[str], kind: SourceKind) -> None:
    class Strange:
        def get(self, url: str, *, accept: str = "*/*", token: str | None = None) -> Page | FetchFailure:
            del accept, token
            return Page(url=url, body="".join(parts).encode())

    found = listing(source(kind, "https://example.org/maker/wobbly"), ask=asking(Strange()))

    assert found.notes or found.candidates


def test_a_defect_of_a_lister_is_not_hidden() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Gathering([broken()], seconds=10).wait()


def test_more_places_than_threads_are_all_read() -> None:
    gathered = Gathering([range(number) for number in range(50)], seconds=20, workers=3).wait()

    assert [len(one.entries) for one in gathered] == list(range(50))
    assert not any(one.late for one in gathered)


def test_nothing_to_ask_starts_no_thread() -> None:
    before = threading.active_count()

    assert Gathering[int]([], seconds=1).wait() == []
    assert threading.active_count() == before


CATALOG = """schema = 1
[package.wobbly]
import = "wobbly"
[[package.wobbly.source]]
name = "Maker"
trust = "official"
kind = "{kind}"
{url}
"""
GOOD_URLS: dict[str, tuple[SourceKind, str]] = {
    "a repository": ("github", 'url = "https://github.com/maker/wobbly"'),
    "a release": ("github", 'url = "https://github.com/maker/wobbly/releases/tag/v1"'),
    "an enterprise host": ("github", 'url = "https://git.example.org/maker/wobbly"'),
    "a model": ("huggingface", 'url = "https://huggingface.co/maker/wobbly"'),
    "a folder of a dataset": ("huggingface", 'url = "https://huggingface.co/datasets/maker/wobbly/tree/main/wheels"'),
    "a page": ("links", 'url = "https://example.org/torch-{torch}+{cuda}.html"'),
    "a folder on disk": ("links", 'url = "file:///srv/wheels"'),
    "an index": ("index", 'url = "https://example.org/simple/{cuda}/"'),
    "pip's own index": ("index", ""),
    "sources on pip's index": ("sdist", ""),
    "an archive of sources": ("sdist", 'url = "https://example.org/wobbly-1.0.tar.gz"'),
}


def load(tmp_path: Path, kind: str, url: str) -> Package:
    path = tmp_path / "named.toml"
    path.write_text(CATALOG.replace("{kind}", kind).replace("{url}", url), encoding="utf-8")
    return catalog_reader.load([path], config_dir=tmp_path, cwd=tmp_path).packages["wobbly"]


@pytest.mark.parametrize("case", GOOD_URLS)
def test_a_catalog_may_hold_every_kind(tmp_path: Path, case: str) -> None:
    kind, url = GOOD_URLS[case]

    (one,) = load(tmp_path, kind, url).sources

    assert one.kind == kind


WRONG_URLS = {
    "an owner alone": ("github", 'url = "https://github.com/maker"', "write https://github.com/OWNER/NAME"),
    "no repository": ("huggingface", 'url = "https://huggingface.co/datasets/maker"', "names no repository"),
    "an unknown placeholder": (
        "links",
        'url = "https://example.org/{troch}"',
        '{troch} is not known; did you mean "torch"?',
    ),
    "a placeholder of a pattern": ("index", 'url = "https://example.org/{version}"', "{version} is not known"),
    "a placeholder in a repository": ("github", 'url = "https://github.com/maker/{torch}"', "holds a brace"),
    "two pages": ("links", 'url = ["https://example.org/a", "https://example.org/b"]', "must be one URL"),
    "no page": ("links", "", "url is missing"),
    "no repository at all": ("github", "", "url is missing"),
}


@pytest.mark.parametrize("case", WRONG_URLS)
def test_a_wrong_url_is_told(tmp_path: Path, case: str) -> None:
    kind, url, told = WRONG_URLS[case]

    with pytest.raises(CatalogError) as caught:
        load(tmp_path, kind, url)

    assert any(told in detail for detail in caught.value.details), caught.value.details


@pytest.mark.parametrize("how", ["named", "found", "of the user's configuration"])
def test_only_hashes_of_a_file_that_the_user_named_are_the_users_word(tmp_path: Path, how: str) -> None:
    path = tmp_path / "fallbacks.toml"
    urls = f'["https://example.org/{WHEEL}", "https://example.org/b/{WHEEL}#egg=x&sha256={OTHER_HASH.upper()}"]'
    pinned = f'url = {urls}\nsha256 = {{ "https://example.org/{WHEEL}" = "{HASH}" }}'
    path.write_text(CATALOG.replace("{kind}", "url").replace("{url}", pinned), encoding="utf-8")
    catalog = {
        "named": lambda: catalog_reader.load([path]),
        "found": lambda: catalog_reader.load(cwd=tmp_path),
        "of the user's configuration": lambda: catalog_reader.load(config_dir=tmp_path),
    }[how]()

    hashes = catalog.packages["wobbly"].named_hashes

    assert hashes == (frozenset({HASH, OTHER_HASH}) if how == "named" else frozenset())


def test_a_plan_asks_the_sources_and_tells_what_it_could_not_learn(server: Publishers) -> None:
    wheel = "wobbly-1.0+cu126torch2.7-cp310-cp310-linux_x86_64.whl"
    listed = server.github("maker/wobbly", [Release(tag="v1", assets=[Asset(name=wheel)])])
    missing = source("github", f"{server.url}/maker/gone", name="gone")
    catalog = Catalog(packages={"wobbly": package(source("github", listed), missing)})

    asked = plan("wobbly==1.0", catalog, environment(), parse(["plan", "wobbly"], {}), ask=asking())
    alone = plan("wobbly==1.0", catalog, environment(), parse(["plan", "wobbly"], {}))

    assert [(decision.candidate.build.filename, decision.grade) for decision in asked.decisions] == [(wheel, "fits")]
    (note,) = asked.notes
    assert note.startswith("gone: releases of maker/gone at ")
    assert note.endswith("(a private repository needs GITHUB_TOKEN or GH_TOKEN)")
    assert alone.decisions == ()
    assert len(alone.notes) == 2


def test_an_explanation_knows_what_the_asked_source_says_of_the_wheel(server: Publishers) -> None:
    wheel = "wobbly-1.0-cp310-cp310-linux_x86_64.whl"
    listed = server.github("maker/wobbly", [Release(tag="v1", assets=[Asset(name=wheel)])])
    maker = source("github", listed, hints=LabelHints(torch="2.6"))
    url = f"{listed}/releases/download/v1/{wheel}"

    said = explain(url, Catalog(packages={"wobbly": package(maker)}), environment(), ask=asking())
    unsaid = explain(url, Catalog(packages={"wobbly": package(maker)}), environment())

    assert said.decision is not None
    assert said.decision.candidate.build.torch == "2.6"
    assert unsaid.decision is not None
    assert unsaid.decision.candidate.build.torch is None


KEYS = (
    "assets", "browser_download_url", "digest", "draft", "state", "size", "type", "path", "lfs", "oid", "files", "url",
    "hashes", "sha256", "yanked", "core-metadata", "requires-python", "filename", "meta", "api-version", "message",
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(["file", "uploaded", "==", "http://e.org/" + WHEEL, HASH]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


@given(VALUES, st.sampled_from(KINDS))
def test_no_json_with_values_of_other_types_breaks_a_listing(value: object, kind: SourceKind) -> None:
    class Strange:
        def get(self, url: str, *, accept: str = "*/*", token: str | None = None) -> Page | FetchFailure:
            del accept, token
            return Page(url=url, body=json.dumps(value).encode())

    found = listing(source(kind, "https://example.org/maker/wobbly"), ask=asking(Strange()))

    assert found.notes or found.candidates


@pytest.mark.parametrize("trouble", ["the network is not used", "a rate limit"])
def test_listings_of_an_earlier_run_serve_with_all_their_pages(
    server: Publishers, tmp_path: Path, trouble: str
) -> None:
    releases = [
        Release(tag=f"v{number}", assets=[Asset(name=f"wobbly-{number}-py3-none-any.whl")]) for number in range(150)
    ]
    maker = source("github", server.github("maker/wobbly", releases))
    settings, cache = NetworkSettings(proxy="", retries=0), PageCache(tmp_path / "cache")
    with Client(settings, cache=cache, environ={}) as client:
        before = listing(maker, ask=asking(client))
    server.answer("/api/v3/repos/maker/wobbly/releases", rate_limited())

    with Client(settings, cache=cache, environ={}, offline="not used" in trouble) as client:
        after = listing(maker, ask=asking(client))

    assert len(before.candidates) == 150
    assert after == before
