"""Sources of kind ``url``, and what all kinds have in common."""

from __future__ import annotations

import pytest

from pipfallback import sources
from pipfallback.builds import LabelHints
from pipfallback.catalog import Package, Source
from pipfallback.trust import Trust

WHEEL = "https://example.org/files/wobbly-1.0+cu12torch2.7-cp310-cp310-linux_x86_64.whl"
OTHER = "https://example.org/files/wobbly-2.0-py3-none-any.whl"
HASH = "ab" * 32


def url_source(
    *urls: str, name: str = "Maker", sha256: dict[str, str] | None = None, hints: LabelHints | None = None
) -> Source:
    return Source(
        name=name, kind="url", trust=Trust.VENDOR, urls=urls, sha256=sha256 or {}, hints=hints or LabelHints()
    )


def list_of(*given: Source) -> sources.Listing:
    return sources.candidates(Package(name="wobbly", imports=("wobbly",), sources=given))


def test_each_url_is_a_candidate_in_the_order_of_sources_and_urls() -> None:
    listing = list_of(url_source(OTHER, WHEEL), url_source(WHEEL, name="Mirror"))

    assert listing.notes == ()
    assert [(found.location, found.source, found.order) for found in listing.candidates] == [
        (OTHER, "Maker", (0, 0)),
        (WHEEL, "Maker", (0, 1)),
        (WHEEL, "Mirror", (1, 0)),
    ]
    assert {found.trust for found in listing.candidates} == {Trust.VENDOR}
    assert [str(found.build.version.public) for found in listing.candidates] == ["2.0", "1.0", "1.0"]
    assert (listing.candidates[1].build.cuda, listing.candidates[1].build.torch) == ("12", "2.7")


def test_hints_of_the_source_tell_what_the_name_leaves_out() -> None:
    (found,) = list_of(url_source(OTHER, hints=LabelHints(torch="2.6", cuda="12.4"))).candidates

    assert (found.build.torch, found.build.cuda) == ("2.6", "12.4")


@pytest.mark.parametrize(
    ("url", "sha256"),
    [
        (WHEEL, {WHEEL: HASH}),
        (f"{WHEEL}#sha256={HASH.upper()}", {}),
        (f"{WHEEL}#egg=x&sha256={HASH}", {}),
        (f"{WHEEL}#sha256={'cd' * 32}", {WHEEL: HASH}),
        (f"{WHEEL}#sha256={'cd' * 32}", {f"{WHEEL}#sha256={'cd' * 32}": HASH}),
    ],
)
def test_a_hash_comes_from_the_catalog_or_else_from_the_url(url: str, sha256: dict[str, str]) -> None:
    (found,) = list_of(url_source(url, sha256=sha256)).candidates

    assert (found.location, found.sha256) == (WHEEL, HASH)


def test_a_url_without_a_hash_has_none() -> None:
    (found,) = list_of(url_source(f"{WHEEL}#egg=wobbly")).candidates

    assert found.sha256 is None


def test_a_url_that_ends_in_no_wheel_name_is_noted_and_the_others_stay() -> None:
    listing = list_of(url_source("https://example.org/files/torch.whl", OTHER))

    assert [found.order for found in listing.candidates] == [(0, 1)]
    (note,) = listing.notes
    assert note.source == "Maker"
    assert "torch.whl" in note.text


def test_credentials_in_a_url_that_cannot_be_read_are_not_told() -> None:
    (note,) = list_of(url_source("https://user:s3cret@example.org/files/torch.whl")).notes

    assert "cret" not in note.text
