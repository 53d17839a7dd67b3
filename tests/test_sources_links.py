"""Sources of kind ``links``: pages as data.pyg.org, openmmlab and others have them, and folders on disk."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.asking import asking, environment, listing, names, only, package, source
from lib.publishers_server import Publishers
from lib.server import HTML_PAGE, fail, redirect
from pipfallback.builds import Candidate, LabelHints
from pipfallback.catalog import Source
from pipfallback.catalog_tables import PAGE_PLACEHOLDERS
from pipfallback.environment import Torch
from pipfallback.sources import candidates
from pipfallback.sources.templates import Filled, Unfilled, fill

WHEEL = "wobbly-1.0-cp310-cp310-linux_x86_64.whl"
LABELLED = "wobbly-1.0+pt27cu126-cp310-cp310-linux_x86_64.whl"
HASH = "ab" * 32


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Publishers]:
    with Publishers(tmp_path) as running:
        yield running


def link(href: str, more: str = "") -> str:
    return f'<a href="{href}"{more}>a wheel</a><br>'


HREFS = {
    "relative": (WHEEL, "/whl/{}"),
    "relative to a folder above": (f"../files/{WHEEL}", "/files/{}"),
    "from the root": (f"/files/{WHEEL}", "/files/{}"),
    "absolute": ("{url}/files/" + WHEEL, "/files/{}"),
    "without a scheme": ("{authority}/files/" + WHEEL, "/files/{}"),
    "with space around": (f"\n  {WHEEL} ", "/whl/{}"),
}


@pytest.mark.parametrize("case", HREFS)
def test_a_link_may_be_written_in_several_ways(server: Publishers, case: str) -> None:
    href, path = HREFS[case]
    href = href.replace("{url}", server.url).replace("{authority}", server.url.removeprefix("http:"))
    url = server.page("/whl/page.html", link(href))

    assert only(listing(source("links", url))).location == server.url + path.format(WHEEL)


def test_one_page_says_to_each_question_what_that_one_asks(server: Publishers) -> None:
    url = server.page("/whl/page.html", link(WHEEL) + link(WHEEL.replace("wobbly", "shaky")))
    plain, told = (
        source("links", url),
        source("links", url, hints=LabelHints(torch="2.6"), sha256={f"{server.url}/whl/{WHEEL}": HASH}),
    )

    def asked(one: Source, name: str = "wobbly") -> Candidate:
        return only(candidates(package(one, name=name), asking()))

    for _ in range(2):
        assert (asked(plain).build.torch, asked(plain).sha256) == (None, None)
        assert (asked(told).build.torch, asked(told).sha256) == ("2.6", HASH)
        assert asked(plain, "shaky").build.name == "shaky"
    server.page("/whl/page.html", link(WHEEL.replace("1.0", "2.0")))
    assert asked(plain).build.filename == WHEEL.replace("1.0", "2.0")


def test_an_encoded_plus_and_a_hash_and_the_python_of_pep_503(server: Publishers) -> None:
    href = f"torch-2.7.0%2Bcu126/{LABELLED.replace('+', '%2B')}#sha256={HASH.upper()}"
    url = server.page("/whl/torch-2.7.0+cu126.html", link(href, ' data-requires-python="&gt;=3.9"'))

    wheel = only(listing(source("links", url)))

    assert wheel.location == f"{server.url}/whl/torch-2.7.0%2Bcu126/{LABELLED.replace('+', '%2B')}"
    assert (wheel.sha256, wheel.build.filename) == (HASH, LABELLED)
    assert (wheel.build.torch, wheel.build.cuda) == ("2.7", "12.6")
    assert str(wheel.build.requires_python) == ">=3.9"


@pytest.mark.parametrize("fragment", ["", "#", "#sha256=", "#md5=abc", "#egg", "#sha256=" + "g" * 64])
def test_a_fragment_that_is_no_sha256_says_nothing(server: Publishers, fragment: str) -> None:
    url = server.page("/page", link(WHEEL + fragment))

    wheel = only(listing(source("links", url)))

    assert wheel.sha256 is None
    assert wheel.location.endswith(".whl")


def test_a_requires_python_that_is_no_specifier_counts_as_not_said(server: Publishers) -> None:
    url = server.page("/page", link(WHEEL, ' data-requires-python="three"'))

    assert only(listing(source("links", url))).build.requires_python is None


def test_the_first_base_of_the_page_counts(server: Publishers) -> None:
    text = f'<head><base href="{server.url}/files/"><base href="/no/"></head>{link(WHEEL)}'
    url = server.page("/whl/page.html", text)

    assert only(listing(source("links", url))).location == f"{server.url}/files/{WHEEL}"


def test_links_count_from_where_the_page_is_after_a_redirect(server: Publishers) -> None:
    server.page("/new/page.html", link(WHEEL))
    server.answer("/old", redirect(f"{server.other_host}/new/page.html"))

    assert only(listing(source("links", f"{server.url}/old"))).location == f"{server.other_host}/new/{WHEEL}"


def test_a_file_that_is_linked_twice_is_listed_once(server: Publishers) -> None:
    url = server.page("/page", link(WHEEL) + link(f"./{WHEEL}#sha256={HASH}"))

    assert names(listing(source("links", url))) == [WHEEL]


def test_other_files_and_broken_markup_are_passed_over(server: Publishers) -> None:
    odd = (
        '<a>no</a><a href>empty</a><a href="">empty</a><a name="x" href="http://[">broken</a><A HREF="../">up</A>'
        '<a href="wobbly-1.0.tar.gz"></a><a href="other-1.0-py3-none-any.whl"></a><a href="?C=N;O=D">sort</a>'
        '<a href="javascript:alert(1)">x</a><a href="mailto:x@example.org">x</a><!-- <a href="wobbly-9-py3-none-any.whl"> -->'
        "<p <a href='"
    )
    url = server.page("/page", f"<A HREF={WHEEL}>unquoted</A>{odd}")

    found = listing(source("links", url))

    assert names(found) == [WHEEL]
    assert found.notes == ()


def test_a_page_of_a_stranger_does_not_lead_to_files_of_this_machine(server: Publishers, tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_bytes(b"")
    url = server.page("/page", link((tmp_path / WHEEL).as_uri()) + '<base href="file:///">' + link(f"/{WHEEL}"))

    found = listing(source("links", url))

    assert found.candidates == ()
    assert [note.cause for note in found.notes] == ["empty"]


ENCODED = {
    "latin-1, said": ("<title>Räder</title>".encode("latin-1") + link(WHEEL).encode(), "text/html; charset=ISO-8859-1"),
    "latin-1, not said": ("<title>Räder</title>".encode("latin-1") + link(WHEEL).encode(), "text/html"),
    "an unknown charset": (link(WHEEL).encode(), "text/html; charset=klingon"),
    "UTF-8 with a mark": (codecs.BOM_UTF8 + link(WHEEL).encode(), "text/html"),
    "UTF-16 with a mark": (codecs.BOM_UTF16_LE + link(WHEEL).encode("utf-16-le"), "text/html"),
    "no content type": (link(WHEEL).encode(), ""),
    "plain text": (link(WHEEL).encode(), "text/plain"),
    "a null byte": (b"\x00" + link(WHEEL).encode(), "text/html"),
}


@pytest.mark.parametrize("case", ENCODED)
def test_a_page_in_any_encoding_is_read(server: Publishers, case: str) -> None:
    body, kind = ENCODED[case]
    url = server.page("/page", body, kind=kind)

    assert names(listing(source("links", url))) == [WHEEL]


def test_a_huge_page_is_read(server: Publishers) -> None:
    lines = [link(f"other-{number}-py3-none-any.whl") for number in range(50_000)]
    url = server.page("/page", "\n".join([*lines, link(WHEEL)]))

    assert names(listing(source("links", url))) == [WHEEL]


@pytest.mark.parametrize("body", ["\n", "<html></html>", "just words", "\x00\x01\x02"])
def test_a_page_without_wheels_is_told(server: Publishers, body: str) -> None:
    found = listing(source("links", server.page("/page", body)))

    assert [(note.cause, note.text) for note in found.notes] == [("empty", "lists no wheel of wobbly")]


def test_a_login_page_is_a_page_without_wheels(server: Publishers) -> None:
    server.answer("/page", HTML_PAGE)

    assert [note.cause for note in listing(source("links", f"{server.url}/page")).notes] == ["empty"]


# As data.pyg.org, download.openmmlab.com, dl.fbaipublicfiles.com and github.io pages name them (facts: docs/sources.md).
TEMPLATES = {
    "/whl/torch-{torch}+{cuda}.html": "/whl/torch-2.7.1+cu126.html",
    "/mmcv/dist/{cuda}/torch{torch}/index.html": "/mmcv/dist/cu126/torch2.7.1/index.html",
    "/natten/{cuda}/torch{torch_series}/": "/natten/cu126/torch2.7/",
    "/fa3/{cuda}_torch{torch_packed}": "/fa3/cu126_torch271",
    "/pytorch3d/py{python_packed}_{cuda}_pyt{torch_packed}/download.html": "/pytorch3d/py310_cu126_pyt271/download.html",
    "/{python}/{torch}": "/cp310/2.7.1",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_filled_with_what_is_installed(server: Publishers, template: str) -> None:
    server.page(TEMPLATES[template], link(f"{server.url}/files/{WHEEL}"))

    build = only(listing(source("links", server.url + template))).build

    assert build.torch in {"2.7", "2.7.1"}
    assert build.cuda == ("12.6" if "cuda" in template else None)


def test_every_placeholder_that_a_catalog_may_hold_is_filled() -> None:
    template = "https://example.org/" + "/".join(f"{{{name}}}" for name in PAGE_PLACEHOLDERS)

    pages = fill(template, environment())

    assert [page.url for page in pages if isinstance(page, Filled)] == [
        "https://example.org/2.7.1/2.7/271/cu126/cp310/310",
        "https://example.org/2.7.0/2.7/270/cu126/cp310/310",
    ]


@pytest.mark.parametrize("missing", [404, 403, 410])
def test_where_the_exact_patch_has_no_page_that_of_the_first_is_read(server: Publishers, missing: int) -> None:
    server.answer("/whl/torch-2.7.1+cu126.html", fail(missing))
    server.page("/whl/torch-2.7.0+cu126.html", link(f"{server.url}/files/{WHEEL}"))

    found = listing(source("links", server.url + "/whl/torch-{torch}+{cuda}.html"))

    assert only(found).build.torch == "2.7.0"
    assert found.notes == ()


def test_a_page_that_fails_in_another_way_is_not_taken_for_a_missing_one(server: Publishers) -> None:
    server.answer("/whl/torch-2.7.1+cu126.html", fail(500))
    server.page("/whl/torch-2.7.0+cu126.html", link(WHEEL))

    found = listing(source("links", server.url + "/whl/torch-{torch}+{cuda}.html"))

    assert found.candidates == ()
    assert [note.cause for note in found.notes] == ["server-error"]


def test_no_page_for_this_torch_is_told(server: Publishers) -> None:
    (note,) = listing(source("links", server.url + "/whl/torch-{torch}+{cuda}.html")).notes

    assert note.cause == "not-found"
    assert "torch-2.7.0+cu126.html" in note.text


@pytest.mark.parametrize(
    ("torch", "cuda"),
    [
        (Torch(version="2.7.1+cu126", cuda="12.6"), "cu126"),
        (Torch(version="1.13.1+cu117", cuda="11.7"), "cu117"),
        (Torch(version="2.7.1+rocm6.3", rocm="6.3"), "rocm6.3"),
        (Torch(version="2.7.1+cpu", cpu=True), "cpu"),
    ],
)
def test_the_accelerator_is_named_as_pytorch_names_it(torch: Torch, cuda: str) -> None:
    (page,) = fill("https://example.org/{cuda}", environment(torch))

    assert isinstance(page, Filled)
    assert page.url == f"https://example.org/{cuda}"
    assert (page.cuda, page.rocm, page.cpu) == (torch.cuda, torch.rocm, torch.cpu or None)


@pytest.mark.parametrize(
    ("template", "torch", "told"),
    [
        ("https://example.org/{torch}", None, "torch, which is not installed"),
        ("https://example.org/{cuda}", None, "torch, which is not installed"),
        ("https://example.org/{cuda}", Torch(version="2.7.1"), "torch's CUDA, which is not known"),
    ],
)
def test_a_template_that_cannot_be_filled_is_told(template: str, torch: Torch | None, told: str) -> None:
    found = listing(source("links", template), ask=asking(torch=torch))

    (note,) = found.notes
    assert note.cause == "unfilled"
    assert told in note.text
    assert note.hint


def test_an_unknown_torch_is_not_called_missing() -> None:
    unfilled = fill("https://example.org/{torch}", environment(None, origins={"torch": "unknown"}))

    assert isinstance(unfilled, Unfilled)
    assert "is not known" in unfilled.text


def test_a_template_of_python_alone_needs_no_torch(server: Publishers) -> None:
    server.page("/cp310/", link(WHEEL))

    assert names(listing(source("links", server.url + "/{python}/"), ask=asking(torch=None))) == [WHEEL]


@pytest.mark.parametrize("version", ["2.7.1", "2.7.1+cu126", "2.7.1.dev20250601+cu126", "2.7.1a0+git1234"])
def test_only_the_release_of_a_torch_is_filled_in(version: str) -> None:
    page = fill("https://example.org/{torch}", environment(Torch(version=version, cuda="12.6")))[0]

    assert isinstance(page, Filled)
    assert page.url == "https://example.org/2.7.1"


def test_the_place_of_a_page_says_what_names_and_folders_of_files_leave_out(server: Publishers) -> None:
    href = "https://github.com/maker/wobbly/releases/download/2025.10.15/"
    text = link(href + "wobbly-1.0-cp39-abi3-linux_x86_64.whl") + link(href + LABELLED.replace("cu126", "cu128"))
    url = server.page("/wheels/cu124_torch2.5/index.html", text)

    plain, labelled = listing(source("links", url)).candidates

    assert (plain.build.torch, plain.build.cuda) == ("2.5", "12.4")
    assert (labelled.build.torch, labelled.build.cuda) == ("2.7", "12.8")


def test_folders_of_files_count_before_the_place_of_the_page(server: Publishers) -> None:
    url = server.page("/whl/cu118/index.html", link(f"/files/cu126/torch2.7.0/{WHEEL}"))

    build = only(listing(source("links", url))).build

    assert (build.torch, build.cuda) == ("2.7.0", "12.6")


def test_hints_of_the_source_count_before_the_place_of_the_page(server: Publishers) -> None:
    url = server.page("/whl/cu118/torch2.1/index.html", link(f"/files/{WHEEL}"))

    build = only(listing(source("links", url, hints=LabelHints(torch="2.6", cuda="12.4")))).build

    assert (build.torch, build.cuda) == ("2.6", "12.4")


def test_a_folder_of_wheels_is_listed_newest_name_first(tmp_path: Path) -> None:
    for name in (WHEEL, "wobbly-2.0-py3-none-any.whl", "other-1.0-py3-none-any.whl", "wobbly-3.0.tar.gz"):
        (tmp_path / name).write_bytes(b"1234")
    (tmp_path / "wobbly-4.0-py3-none-any.whl").mkdir()

    found = listing(source("links", tmp_path.as_uri()))

    assert names(found) == ["wobbly-2.0-py3-none-any.whl", WHEEL]
    assert found.candidates[0].location == (tmp_path / "wobbly-2.0-py3-none-any.whl").as_uri()
    assert found.candidates[0].size == 4


def test_a_folder_on_disk_with_an_unusual_name_is_listed(tmp_path: Path) -> None:
    folder = tmp_path / "räder + 100%"
    folder.mkdir()
    (folder / WHEEL).write_bytes(b"")

    assert names(listing(source("links", folder.as_uri()))) == [WHEEL]


def test_a_page_on_disk_may_lead_to_files_on_disk(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(link(WHEEL), encoding="utf-8")

    assert only(listing(source("links", (tmp_path / "page.html").as_uri()))).location == (tmp_path / WHEEL).as_uri()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    (note,) = listing(source("links", (tmp_path / "nothing").as_uri())).notes

    assert note.cause == "not-found"


def test_credentials_of_a_page_are_not_told(server: Publishers) -> None:
    url = server.url.replace("http://", "http://user:s3cret@") + "/nothing"

    found = listing(source("links", url))

    assert len(found.notes) == 1
    assert "s3cret" not in repr(found.notes)


def test_a_single_wheel_may_stand_where_a_page_is_expected(tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_bytes(b"")

    found = listing(source("index"), ask=asking(offline=True, find_links=(str(tmp_path / WHEEL),)))

    assert only(found).location == (tmp_path / WHEEL).as_uri()
