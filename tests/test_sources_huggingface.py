"""Sources of kind ``huggingface``, against a server that answers as the Hub does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.asking import asking, listing, names, only, source
from lib.plain_pages import PlainPages
from lib.publishers_server import Publishers, as_json
from lib.server import Answer, fail, redirect
from pipfallback.net.failures import FetchFailure
from pipfallback.net.pages import Page
from pipfallback.sources.huggingface import read_place

WHEEL = "wobbly-1.0+cu126torch2.7-cp310-cp310-linux_x86_64.whl"
BIG = b"wheel" * 100
HASH = "ab" * 32
TREE = "/api/models/maker/store/tree/main"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Publishers]:
    with Publishers(tmp_path) as running:
        yield running


@pytest.mark.parametrize(("kind", "prefix"), [("models", ""), ("datasets", "datasets/"), ("spaces", "spaces/")])
def test_wheels_in_any_folder_are_listed_with_their_lfs_hash(server: Publishers, kind: str, prefix: str) -> None:
    url = server.hugging_face("maker/store", {"README.md": b"x", f"wheels/cp310/{WHEEL}": BIG}, kind=kind)

    found = listing(source("huggingface", url))

    wheel = only(found)
    assert found.notes == ()
    assert wheel.location == f"{server.url}/{prefix}maker/store/resolve/main/wheels/cp310/{WHEEL}"
    assert (wheel.sha256, wheel.size) == (hashlib.sha256(BIG).hexdigest(), len(BIG))
    assert (wheel.build.torch, wheel.build.cuda) == ("2.7", "12.6")


def test_a_listed_file_is_fetched_from_a_cdn_at_another_host(server: Publishers) -> None:
    wheel = only(listing(source("huggingface", server.hugging_face("maker/store", {WHEEL: BIG}))))

    page = PlainPages().get(wheel.location)

    assert isinstance(page, Page)
    assert page.url.startswith(f"{server.other_host}/cdn/")
    assert hashlib.sha256(page.body).hexdigest() == wheel.sha256


def test_a_file_that_is_not_in_lfs_has_no_sha256(server: Publishers) -> None:
    wheel = only(listing(source("huggingface", server.hugging_face("maker/store", {WHEEL: b"small"}))))

    assert (wheel.sha256, wheel.size) == (None, 5)


def test_all_pages_are_read(server: Publishers) -> None:
    files = {f"wobbly-{number}-py3-none-any.whl": BIG for number in range(25)}

    found = listing(source("huggingface", server.hugging_face("maker/store", files, page_size=10)))

    assert names(found) == list(files)
    assert len(server.requests_of(TREE)) == 3


@pytest.mark.parametrize("view", ["tree", "blob", "resolve"])
def test_a_folder_at_a_revision_may_be_named(server: Publishers, view: str) -> None:
    files = {f"pt27 cu126/{WHEEL}": BIG, "other/wobbly-2.0-py3-none-any.whl": BIG}
    url = server.hugging_face("maker/store", files, revision="refs/pr/1")

    found = listing(source("huggingface", f"{url}/{view}/refs%2Fpr%2F1/pt27%20cu126"))

    assert only(found).location == f"{url}/resolve/refs%2Fpr%2F1/pt27%20cu126/{WHEEL}"


def test_folders_say_what_names_leave_out(server: Publishers) -> None:
    url = server.hugging_face("maker/store", {"pt212-cu130-cp313/wobbly-1.0-cp313-cp313-linux_x86_64.whl": BIG})

    build = only(listing(source("huggingface", url))).build

    assert (build.torch, build.cuda) == ("2.12", "13.0")


def test_a_gated_repository_is_told_as_such(server: Publishers) -> None:
    url = server.hugging_face("maker/store", {WHEEL: BIG}, token="s3cret")

    (note,) = listing(source("huggingface", url)).notes

    assert note.cause == "unauthorized"
    assert note.hint == "it is private, gated or not there: HF_TOKEN gives access to what is yours"


def test_a_gated_repository_is_listed_with_the_users_token(server: Publishers) -> None:
    url = server.hugging_face("maker/store", {WHEEL: BIG}, token="s3cret")
    environ = {"HF_ENDPOINT": server.url, "HF_TOKEN": "s3cret"}

    found = listing(source("huggingface", url), ask=asking(environ=environ))

    assert names(found) == [WHEEL]
    assert found.notes == ()


def test_a_token_without_access_is_told_by_its_variable_and_never_by_its_value(server: Publishers) -> None:
    url = server.hugging_face("maker/store", {WHEEL: BIG}, token="another")
    environ = {"HF_ENDPOINT": server.url, "HF_TOKEN": "s3cret"}

    found = listing(source("huggingface", url), ask=asking(environ=environ))

    assert found.candidates == ()
    assert (found.notes[0].hint or "").startswith("HF_TOKEN may not see it: it is gated (accept its terms at")
    assert "s3cret" not in repr(found)


def test_a_token_that_has_run_out_keeps_nobody_from_what_is_public(server: Publishers) -> None:
    entry = {"type": "file", "path": WHEEL, "size": 3}
    server.route(TREE, lambda asked: fail(401) if asked.token else as_json([entry]))
    environ = {"HF_ENDPOINT": server.url, "HF_TOKEN": "s3cret"}

    found = listing(source("huggingface", f"{server.url}/maker/store"), ask=asking(environ=environ))

    assert names(found) == [WHEEL]
    assert [note.cause for note in found.notes] == ["unauthorized"]


def test_a_token_does_not_go_to_a_host_that_only_the_catalog_names(server: Publishers) -> None:
    url = server.hugging_face("maker/store", {WHEEL: BIG})

    listing(source("huggingface", url), ask=asking(environ={"HF_TOKEN": "s3cret"}))

    assert "Authorization" not in server.requests[0].headers


@pytest.mark.parametrize("host", ["https://huggingface.co", "https://hf.co"])
def test_huggingface_co_is_asked_with_the_token(server: Publishers, host: str) -> None:
    server.hugging_face("maker/store", {WHEEL: BIG})
    pages = PlainPages(elsewhere={"https://huggingface.co": server.url})

    found = listing(source("huggingface", f"{host}/maker/store"), ask=asking(pages, environ={"HF_TOKEN": "s3cret"}))

    assert only(found).location == f"https://huggingface.co/maker/store/resolve/main/{WHEEL}"
    assert pages.asked == [("https://huggingface.co/api/models/maker/store/tree/main?recursive=true", "s3cret")]


def test_a_mirror_stands_in_for_huggingface_co_and_hashes_of_the_catalog_still_hold(server: Publishers) -> None:
    server.hugging_face("maker/store", {WHEEL: BIG})
    pinned = {f"https://huggingface.co/maker/store/resolve/main/{WHEEL}": HASH}
    made_up = source("huggingface", "https://huggingface.co/maker/store", sha256=pinned)

    wheel = only(listing(made_up, ask=asking(environ={"HF_ENDPOINT": f"{server.url}/"})))

    assert wheel.location == f"{server.url}/maker/store/resolve/main/{WHEEL}"
    assert wheel.sha256 == HASH


def test_a_mirror_does_not_stand_in_for_other_hosts(server: Publishers) -> None:
    url = server.hugging_face("maker/store", {WHEEL: BIG})

    found = listing(source("huggingface", url), ask=asking(environ={"HF_ENDPOINT": "http://127.0.0.1:9"}))

    assert names(found) == [WHEEL]


@pytest.mark.parametrize("part", ["/tree/main/nothing", "/tree/v9"])
def test_a_missing_folder_or_revision_is_told(server: Publishers, part: str) -> None:
    url = server.hugging_face("maker/store", {WHEEL: BIG})

    (note,) = listing(source("huggingface", url + part)).notes

    assert note.cause == "not-found"
    assert "model maker/store" in note.text
    assert "no such repository, revision" in (note.hint or "")


def test_a_renamed_repository_is_followed(server: Publishers) -> None:
    server.hugging_face("maker/store", {WHEEL: BIG})
    server.answer("/api/models/maker/shop/tree/main", redirect(f"{TREE}?recursive=true", status=307))

    assert names(listing(source("huggingface", f"{server.url}/maker/shop"))) == [WHEEL]


def test_a_rate_limit_is_told_with_what_raises_it(server: Publishers) -> None:
    server.answer(TREE, fail(429, retry_after=60))

    (note,) = listing(source("huggingface", f"{server.url}/maker/store")).notes

    assert (note.cause, note.hint) == ("rate-limited", "HF_TOKEN raises the limit; HF_ENDPOINT names a mirror")


def test_a_server_that_cannot_be_reached_is_told_with_the_variable_for_mirrors() -> None:
    (note,) = listing(source("huggingface", "http://127.0.0.1:9/maker/store")).notes

    assert (note.cause, note.hint) == ("unreachable", "HF_ENDPOINT names a mirror")


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b'{"error": "Repository is disabled"}', b"[", b""])
def test_an_answer_that_is_no_tree_is_told(server: Publishers, body: bytes) -> None:
    server.answer(TREE, Answer(body=body))

    assert [note.cause for note in listing(source("huggingface", f"{server.url}/maker/store")).notes] == ["corrupt"]


def test_entries_of_another_form_are_passed_over_and_the_good_ones_stay(server: Publishers) -> None:
    strange = [None, 1, {}, {"type": "directory", "path": "x.whl"}, {"type": "file", "path": 3}, {"type": "file"}]
    good = {"type": "file", "path": WHEEL, "size": -1, "lfs": {"oid": "short", "size": True}}
    server.answer(TREE, as_json([*strange, good]))

    wheel = only(listing(source("huggingface", f"{server.url}/maker/store")))

    assert (wheel.build.filename, wheel.sha256, wheel.size) == (WHEEL, None, None)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://huggingface.co/o/r", ("models", "o/r", "main", "")),
        ("https://huggingface.co/gpt2", ("models", "gpt2", "main", "")),
        ("https://huggingface.co/gpt2/tree/v1", ("models", "gpt2", "v1", "")),
        ("https://huggingface.co/models/o/r", ("models", "o/r", "main", "")),
        ("https://huggingface.co/datasets/o/r/tree/main/a/b", ("datasets", "o/r", "main", "a/b")),
        ("https://hf-mirror.com/spaces/o/r/", ("spaces", "o/r", "main", "")),
    ],
)
def test_what_a_url_names(url: str, place: tuple[str, ...]) -> None:
    found = read_place(url)

    assert found is not None
    assert found[1:] == place


@pytest.mark.parametrize("url", ["https://huggingface.co/", "https://huggingface.co/datasets/o"])
def test_a_url_that_names_no_repository_is_told(url: str) -> None:
    (note,) = listing(source("huggingface", url)).notes

    assert "https://huggingface.co/OWNER/NAME" in note.text


def test_failures_of_the_test_client_hold_no_token(server: Publishers) -> None:
    server.answer(TREE, fail(500))

    failure = PlainPages().get(f"{server.url}{TREE}", token="s3cret")

    assert isinstance(failure, FetchFailure)
    assert "s3cret" not in repr(failure)
