"""Sources of kind ``index``: PEP 503 and PEP 691, the catalog's or pip's own, and METADATA beside the wheel (PEP 658)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.asking import asking, listing, names, only, source
from lib.plain_pages import PlainPages
from lib.publishers_server import PEP_691, Publishers, index_html
from lib.server import Answer, fail, redirect
from pipfallback.net.failures import FetchFailure
from pipfallback.sources.metadata import fetch_metadata

WHEEL = "wobbly-1.0+cu126torch2.7-cp310-cp310-linux_x86_64.whl"
HASH = "ab" * 32
METADATA = b"Metadata-Version: 2.4\nName: wobbly\nVersion: 1.0\n"
ROOT = "/simple"
PAGE = "/simple/wobbly/"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Publishers]:
    with Publishers(tmp_path) as running:
        yield running


def file(url: str = f"../../files/{WHEEL.replace('+', '%2B')}", **more: Any) -> dict[str, Any]:
    return {"filename": url.rpartition("/")[2].replace("%2B", "+"), "url": url, "hashes": {}, **more}


@pytest.mark.parametrize("formats", ["json html", "html"])
def test_both_forms_say_the_same(server: Publishers, formats: str) -> None:
    given = file(
        hashes={"sha256": HASH}, **{"requires-python": ">=3.9", "core-metadata": {"sha256": "cd" * 32}, "size": 7}
    )
    root = server.index(ROOT, "wobbly", [given], formats=formats)

    found = listing(source("index", root))

    wheel = only(found)
    assert wheel.location == f"{server.url}/files/{WHEEL.replace('+', '%2B')}"
    assert (wheel.sha256, str(wheel.build.requires_python)) == (HASH, ">=3.9")
    assert wheel.size == (7 if "json" in formats else None)  # PEP 700 adds it to JSON only
    metadata = found.metadata_of(wheel)
    assert metadata is not None
    assert (metadata.url, metadata.sha256) == (f"{wheel.location}.metadata", "cd" * 32)
    assert found.notes == ()


@pytest.mark.parametrize("ending", ["", "/"])
def test_the_page_of_the_project_is_asked_for_under_its_normal_name(server: Publishers, ending: str) -> None:
    server.index(ROOT, "wobbly", [file()])

    assert names(listing(source("index", server.url_of(ROOT) + ending))) == [WHEEL]
    assert [request.path for request in server.requests] == [PAGE]


def test_an_index_for_each_cuda_is_found_by_the_one_that_torch_has(server: Publishers) -> None:
    server.index("/whl/cu126", "wobbly", [file("/files/wobbly-1.0-cp310-cp310-linux_x86_64.whl")])

    wheel = only(listing(source("index", server.url + "/whl/{cuda}")))

    assert wheel.build.cuda == "12.6"


def test_an_index_for_each_torch_falls_back_to_the_first_patch(server: Publishers) -> None:
    server.index("/2.7.0/cu126", "wobbly", [file()])

    found = listing(source("index", server.url + "/{torch}/{cuda}"))

    assert names(found) == [WHEEL]
    assert found.notes == ()


@pytest.mark.parametrize("formats", ["json html", "html"])
@pytest.mark.parametrize("yanked", [True, "broken on Tuesdays"])
def test_a_yanked_file_counts_only_where_its_version_is_pinned(
    server: Publishers, formats: str, yanked: bool | str
) -> None:
    old = file("wobbly-0.9-py3-none-any.whl")
    given = [file(yanked=yanked), old]
    root = server.index(ROOT, "wobbly", given, formats=formats)

    for specifier in ("", ">=1.0", "==1.*", "~=1.0", "==2.0"):
        found = listing(source("index", root), ask=asking(specifier=specifier))
        assert names(found) == ["wobbly-0.9-py3-none-any.whl"]
        assert [note.cause for note in found.notes] == ["yanked"]
    for specifier in ("==1.0", "===1.0+cu126torch2.7", "==1.0,>0.5"):
        assert WHEEL in names(listing(source("index", root), ask=asking(specifier=specifier)))


def test_why_a_file_was_yanked_is_told(server: Publishers) -> None:
    root = server.index(ROOT, "wobbly", [file(yanked="wrong ABI")])

    (note,) = listing(source("index", root)).notes

    assert note.text == f"withdrawn by the publisher (yanked): wrong ABI: {WHEEL}"
    assert "==" in (note.hint or "")


@pytest.mark.parametrize("value", [False, None, 0, [], ""])
def test_what_is_not_yanked_counts(server: Publishers, value: object) -> None:
    body = json.dumps({"meta": {"api-version": "1.0"}, "files": [file(yanked=value)]}).encode()
    server.answer(PAGE, Answer(body=body, headers={"Content-Type": PEP_691}))

    assert names(listing(source("index", server.url_of(ROOT)))) == [WHEEL]


METADATA_KEYS = {
    "the new name, with a hash": ({"core-metadata": {"sha256": HASH}}, (True, HASH)),
    "the new name, without": ({"core-metadata": True}, (True, None)),
    "the old name": ({"dist-info-metadata": {"sha256": HASH}}, (True, HASH)),
    "both, which differ": ({"core-metadata": False, "dist-info-metadata": True}, (False, None)),
    "no": ({"core-metadata": False}, (False, None)),
    "nothing": ({}, (False, None)),
    "another hash": ({"core-metadata": {"md5": "x"}}, (True, None)),
    "a number": ({"core-metadata": 3}, (False, None)),
}


@pytest.mark.parametrize("case", METADATA_KEYS)
def test_where_metadata_is_beside_the_wheel(server: Publishers, case: str) -> None:
    keys, (there, sha256) = METADATA_KEYS[case]
    found = listing(source("index", server.index(ROOT, "wobbly", [file(**keys)])))

    metadata = found.metadata_of(only(found))

    assert (metadata is not None, metadata.sha256 if metadata else None) == (there, sha256)


@pytest.mark.parametrize(
    ("attribute", "there"),
    [
        ('data-core-metadata="true"', True),
        ("data-core-metadata", True),
        (f'data-dist-info-metadata="sha256={HASH}"', True),
        ('data-core-metadata="false"', False),
    ],
)
def test_where_metadata_is_beside_the_wheel_in_html(server: Publishers, attribute: str, there: bool) -> None:
    server.page(PAGE, f'<a href="{WHEEL}" {attribute}>x</a>')
    found = listing(source("index", server.url_of(ROOT)))

    assert (found.metadata_of(only(found)) is not None) == there


def test_metadata_is_fetched_without_the_wheel(server: Publishers) -> None:
    digest = hashlib.sha256(METADATA).hexdigest()
    found = listing(source("index", server.index(ROOT, "wobbly", [file(**{"core-metadata": {"sha256": digest}})])))
    metadata = found.metadata_of(only(found))
    server.page(f"/files/{WHEEL}.metadata", METADATA)

    assert metadata is not None
    assert fetch_metadata(metadata, PlainPages()) == METADATA
    assert not server.requests_of(f"/files/{WHEEL}")


def test_metadata_with_another_hash_is_refused(server: Publishers) -> None:
    found = listing(source("index", server.index(ROOT, "wobbly", [file(**{"core-metadata": {"sha256": HASH}})])))
    metadata = found.metadata_of(only(found))
    server.page(f"/files/{WHEEL}.metadata", METADATA)

    assert metadata is not None
    failure = fetch_metadata(metadata, PlainPages())
    assert isinstance(failure, FetchFailure)
    assert failure.cause == "hash-mismatch"


def test_metadata_that_is_not_there_is_a_failure(server: Publishers) -> None:
    found = listing(source("index", server.index(ROOT, "wobbly", [file(**{"core-metadata": True})])))
    metadata = found.metadata_of(only(found))

    assert metadata is not None
    failure = fetch_metadata(metadata, PlainPages())
    assert isinstance(failure, FetchFailure)
    assert failure.cause == "not-found"


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", "application/json", ""])
def test_json_is_known_by_what_it_is_whatever_a_static_host_calls_it(server: Publishers, kind: str) -> None:
    body = "\n" + json.dumps({"meta": {"api-version": "1.4"}, "files": [file()]})
    server.page(PAGE, body, kind=kind)

    assert names(listing(source("index", server.url_of(ROOT)))) == [WHEEL]


ODD = {
    "broken JSON": (b'{"files": [', PEP_691),
    "HTML called JSON": (b"<html></html>", "application/json"),
    "JSON without files": (b'{"projects": []}', PEP_691),
    "files of another form": (b'{"files": {}}', PEP_691),
    "a list": (b"[]", PEP_691),
    "another version": (b'{"meta": {"api-version": "2.0"}, "files": []}', PEP_691),
    "nothing": (b"", PEP_691),
}


@pytest.mark.parametrize("case", ODD)
def test_an_answer_that_is_no_page_of_an_index_is_told(server: Publishers, case: str) -> None:
    body, kind = ODD[case]
    server.page(PAGE, body, kind=kind)

    found = listing(source("index", server.url_of(ROOT)))

    assert found.candidates == ()
    assert [note.cause for note in found.notes] == ["corrupt"]


def test_entries_of_another_form_are_passed_over_and_the_good_ones_stay(server: Publishers) -> None:
    strange = [None, 3, {}, {"url": 3}, {"url": "http://["}, {"url": "file:///etc/wobbly-9.0-py3-none-any.whl"}]
    good = file(hashes=None, size="7", **{"requires-python": 3})
    server.page(PAGE, json.dumps({"meta": 1, "files": [*strange, good, good]}), kind=PEP_691)

    wheel = only(listing(source("index", server.url_of(ROOT))))

    assert (wheel.sha256, wheel.size, wheel.build.requires_python) == (None, None, None)


def test_a_project_that_the_index_does_not_have_is_told(server: Publishers) -> None:
    (note,) = listing(source("index", server.url_of(ROOT))).notes

    assert note.cause == "not-found"
    assert PAGE in note.text


def test_files_at_another_host_count(server: Publishers) -> None:
    url = f"{server.other_host}/files/{WHEEL}"

    assert only(listing(source("index", server.index(ROOT, "wobbly", [file(url)])))).location == url


def test_files_count_from_where_the_page_is_after_a_redirect(server: Publishers) -> None:
    server.index("/new", "wobbly", [file("wobbly-1.0-py3-none-any.whl")])
    server.answer(PAGE, redirect(f"{server.other_host}/new/wobbly/"))

    location = only(listing(source("index", server.url_of(ROOT)))).location

    assert location == f"{server.other_host}/new/wobbly/wobbly-1.0-py3-none-any.whl"


def test_an_index_on_disk_is_read(tmp_path: Path) -> None:
    (tmp_path / "simple" / "wobbly").mkdir(parents=True)
    (tmp_path / "simple" / "wobbly" / "index.html").write_text(index_html([file(WHEEL)]), encoding="utf-8")

    assert names(listing(source("index", (tmp_path / "simple").as_uri()))) == [WHEEL]


def test_without_a_url_pips_own_settings_hold(server: Publishers, tmp_path: Path) -> None:
    first = server.index("/first", "wobbly", [file("wobbly-3.0-py3-none-any.whl")])
    second = server.index("/second", "wobbly", [file("wobbly-2.0-py3-none-any.whl")])
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "wobbly-1.0-py3-none-any.whl").write_bytes(b"")
    page = server.page("/page", '<a href="wobbly-0.1-py3-none-any.whl">x</a>')
    ask = asking(index_url=first, extra_index_urls=(second,), find_links=(str(wheels), page))

    found = listing(source("index"), ask=ask)

    assert [str(candidate.build.version) for candidate in found.candidates] == ["3.0", "2.0", "1.0", "0.1"]
    assert [candidate.order for candidate in found.candidates] == [(0, 0), (0, 1), (0, 2), (0, 3)]


def test_that_one_of_several_indexes_lacks_the_project_is_not_told(server: Publishers) -> None:
    second = server.index("/second", "wobbly", [file()])

    found = listing(source("index"), ask=asking(index_url=server.url_of("/first"), extra_index_urls=(second,)))

    assert names(found) == [WHEEL]
    assert found.notes == ()


def test_that_all_indexes_lack_the_project_is_told(server: Publishers) -> None:
    ask = asking(index_url=server.url_of("/first"), extra_index_urls=(server.url_of("/second"),))

    assert [note.cause for note in listing(source("index"), ask=ask).notes] == ["not-found", "not-found"]


def test_an_index_that_fails_leaves_the_others(server: Publishers) -> None:
    server.answer("/first/wobbly/", fail(503))
    second = server.index("/second", "wobbly", [file()])

    found = listing(source("index"), ask=asking(index_url=server.url_of("/first"), extra_index_urls=(second,)))

    assert names(found) == [WHEEL]
    assert [note.cause for note in found.notes] == ["server-error"]


def test_under_no_index_only_find_links_count(server: Publishers, tmp_path: Path) -> None:
    root = server.index(ROOT, "wobbly", [file()])
    (tmp_path / "wobbly-1.0-py3-none-any.whl").write_bytes(b"")

    local = listing(source("index"), ask=asking(index_url=root, find_links=(str(tmp_path),), offline=True))
    nothing = listing(source("index"), ask=asking(index_url=root, offline=True))

    assert names(local) == ["wobbly-1.0-py3-none-any.whl"]
    assert nothing.candidates == ()
    assert nothing.notes[0].cause == "offline"
    assert server.requests == []
