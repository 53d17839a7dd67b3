"""Sources of kind ``pattern``, and the built-in patterns compared with what their publishers have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipfallback import catalog_reader, sources
from pipfallback.builds import Candidate, LabelHints
from pipfallback.catalog import Condition, MatrixRow, Package, Source
from pipfallback.sources.pattern import candidates, expand, met
from pipfallback.trust import Trust

FACTS = Path(__file__).parents[2] / "shared" / "facts"
RELEASES = "https://github.com/Dao-AILab/flash-attention/releases/download/"


def pattern(url: str, *rows: MatrixRow) -> Source:
    return Source(name="Farm", kind="pattern", trust=Trust.COMMUNITY, urls=(url,), matrix=rows)


def row(hints: LabelHints | None = None, **values: str) -> MatrixRow:
    """A row with each value written as words."""
    return MatrixRow(values={name: tuple(text.split()) for name, text in values.items()}, hints=hints or LabelHints())


def condition(hints: LabelHints | None = None, **values: str) -> Condition:
    return Condition(
        values={name: frozenset(text.split()) for name, text in values.items()}, hints=hints or LabelHints()
    )


def urls(url: str, *rows: MatrixRow) -> list[str]:
    return [url for url, _ in expand(pattern(url, *rows))]


def test_every_combination_of_a_row_is_listed_newest_version_first() -> None:
    found = urls("w-{version}+cu{cuda}", row(version="1.9 1.10 1.10rc1", cuda="11 12"), row(version="2.0", cuda="13"))

    assert found == [
        "w-2.0+cu13",
        "w-1.10+cu11",
        "w-1.10+cu12",
        "w-1.10rc1+cu11",
        "w-1.10rc1+cu12",
        "w-1.9+cu11",
        "w-1.9+cu12",
    ]


def test_what_two_rows_say_is_listed_once_with_the_hints_of_the_first() -> None:
    first, second = LabelHints(cxx11_abi=True), LabelHints(cxx11_abi=False)

    found = expand(pattern("w-{version}", row(first, version="1.0"), row(second, version="1.0 1.1")))

    assert found == [("w-1.1", second), ("w-1.0", first)]


@pytest.mark.parametrize(
    ("python", "tags"),
    [
        ("cp36", "cp36-cp36m"),
        ("cp37", "cp37-cp37m"),
        ("cp38", "cp38-cp38"),
        ("cp310", "cp310-cp310"),
        ("cp313t", "cp313-cp313t"),
        ("cp39-abi3", "cp39-abi3"),
        ("py3-none", "py3-none"),
    ],
)
def test_the_abi_tag_follows_from_the_python_tag(python: str, tags: str) -> None:
    assert urls("w-1.0-{python}-{python_abi}-any", row(python=python)) == [f"w-1.0-{tags}-any"]


def test_an_abi_tag_that_is_stated_stands() -> None:
    assert urls("{python}-{python_abi}", row(python="cp38", python_abi="abi3")) == ["cp38-abi3"]


def test_a_value_may_hold_other_placeholders() -> None:
    assert urls("{tag}/w-{version}", row(version="1.0 1.1", tag="v{version}-x")) == ["v1.1-x/w-1.1", "v1.0-x/w-1.0"]


def test_a_value_that_holds_itself_ends() -> None:
    assert urls("w-{tag}", row(tag="{tag}")) == ["w-{tag}"]


def test_what_is_excepted_is_not_listed() -> None:
    source = replace(
        pattern("{tag}/w-{version}-{python}", row(tag="a b", version="1.0 1.1", python="cp312 cp313t")),
        exceptions=(
            condition(tag="b", version="1.0"),
            condition(python="cp313t", tag="a b"),  # all values of a placeholder: it makes no difference
            condition(version="1.2"),  # of another row
        ),
    )

    assert [url for url, _ in expand(source)] == ["a/w-1.1-cp312", "b/w-1.1-cp312", "a/w-1.0-cp312"]


def test_what_is_known_of_some_builds_counts_before_row_and_source() -> None:
    source = replace(
        pattern("w-{version}+cu{cuda}", row(LabelHints(archs=("8.0",), torch="2.7"), version="1.0 1.1", cuda="11 12")),
        where=(
            condition(LabelHints(cxx11_abi=False, archs=("9.0",)), version="1.1"),
            condition(LabelHints(cxx11_abi=True), cuda="12", version="1.0 1.1 1.2"),
        ),
    )

    assert expand(source) == [
        ("w-1.1+cu11", LabelHints(archs=("9.0",), torch="2.7", cxx11_abi=False)),
        ("w-1.1+cu12", LabelHints(archs=("9.0",), torch="2.7", cxx11_abi=True)),
        ("w-1.0+cu11", LabelHints(archs=("8.0",), torch="2.7")),
        ("w-1.0+cu12", LabelHints(archs=("8.0",), torch="2.7", cxx11_abi=True)),
    ]


def test_conditions_name_values_as_the_matrix_has_them() -> None:
    source = replace(
        pattern("w-{platform}", row(platform="linux {old}", old="manylinux_2_17.manylinux2014")),
        exceptions=(condition(platform="{old}"),),
    )

    assert [url for url, _ in expand(source)] == ["w-linux"]
    assert met(source, condition(platform="linux"))
    assert not met(source, condition(platform="{old}"))
    assert not met(source, condition(platform="win_amd64"))


def test_candidates_carry_place_trust_and_the_hints_of_their_row() -> None:
    source = pattern(
        "https://example.org/wobbly-{version}+cu{cuda}-{python}-{python_abi}-linux_x86_64.whl",
        row(LabelHints(cxx11_abi=True), version="1.0", cuda="12", python="cp310 cp311"),
    )

    listing = sources.candidates(Package(name="wobbly", imports=("wobbly",), sources=(source,)))

    assert listing.notes == ()
    assert [(found.source, found.trust, found.order) for found in listing.candidates] == [
        ("Farm", Trust.COMMUNITY, (0, 0)),
        ("Farm", Trust.COMMUNITY, (0, 1)),
    ]
    assert {(found.build.cuda, found.build.cxx11_abi) for found in listing.candidates} == {("12", True)}


def test_a_pattern_that_makes_no_wheel_name_is_noted() -> None:
    listing = sources.candidates(
        Package(
            name="wobbly", imports=("wobbly",), sources=(pattern("https://e.org/w-{version}.whl", row(version="1")),)
        )
    )

    assert listing.candidates == ()
    assert len(listing.notes) == 1


# The built-in catalog.


def flash_attn() -> Package:
    return catalog_reader.load().packages["flash-attn"]


def built_in_patterns() -> list[Source]:
    """Those of the package's own project; tests/test_catalog_patterns.py looks at the others."""
    return [one for one in flash_attn().sources if one.kind == "pattern" and one.trust is Trust.OFFICIAL]


def built_in_urls() -> set[str]:
    return {url for source in built_in_patterns() for url, _ in expand(source)}


def facts(name: str) -> str:
    path = FACTS / name
    if not path.is_file():
        pytest.skip(f"left out: {path} is not here, it is no part of the repository")
    return path.read_text(encoding="utf-8")


def differences(stated: set[str], found: set[str]) -> str:
    """Both differences, a few of each."""
    missing, invented = sorted(stated - found), sorted(found - stated)
    lines = [f"{len(missing)} missing:", *missing[:20], f"{len(invented)} invented:", *invented[:20]]
    return "\n".join(lines) if missing or invented else ""


def test_the_flash_attn_sources_list_exactly_the_published_assets() -> None:
    listed = set(facts("listings/Dao-AILab.flash-attn.txt").split())
    whole = {url for url in listed if "/v2.8.3.post1/" in url}  # of 2.8.3 the listing holds a part
    by_hand = {url for source in flash_attn().sources if source.kind == "url" for url in source.urls}

    assert differences(whole, {url for url in built_in_urls() if "/v2.8.3.post1/" in url}) == ""
    assert listed - built_in_urls() - by_hand == set()


def test_no_flash_attn_wheel_is_listed_twice_in_the_built_in_catalog() -> None:
    combinations = 0
    for source in built_in_patterns():
        for matrix_row in source.matrix:
            count = 1
            for values in matrix_row.values.values():
                count *= len(values)
            combinations += count

    assert combinations == len(built_in_urls())


@pytest.mark.parametrize(
    ("name", "label", "abi"),
    [
        # publish.yml at v2.8.3: torch 2.6.0+cu126 and newer, whose C++ ABI is the new one, "FALSE" or not.
        ("flash_attn-2.8.3+cu12torch2.7cxx11abiFALSE-cp310-cp310-linux_x86_64.whl", False, True),
        ("flash_attn-2.8.3+cu12torch2.6cxx11abiFALSE-cp312-cp312-linux_x86_64.whl", False, True),
        ("flash_attn-2.8.3+cu12torch2.5cxx11abiFALSE-cp312-cp312-linux_x86_64.whl", False, False),
        ("flash_attn-2.8.3+cu12torch2.5cxx11abiTRUE-cp312-cp312-linux_x86_64.whl", True, True),
        # v2.7.4.post1: torch 2.6.0+cu124, still with the old one (Dao-AILab issue 1783).
        ("flash_attn-2.7.4.post1+cu12torch2.6cxx11abiFALSE-cp312-cp312-linux_x86_64.whl", False, False),
        ("flash_attn-2.5.8+cu122torch2.3cxx11abiTRUE-cp310-cp310-linux_x86_64.whl", True, True),
    ],
)
def test_the_built_in_catalog_knows_what_the_abi_labels_of_dao_ailab_mean(name: str, label: bool, abi: bool) -> None:
    (found,) = [found for found in sources.candidates(flash_attn()).candidates if found.build.filename == name]

    assert (found.build.cxx11_abi_label, found.build.cxx11_abi) == (label, abi)


@pytest.mark.parametrize(
    ("name", "archs"),
    [
        # setup.py and publish.yml at the tags: nvcc 12.9, 12.4, 11.8, 11.7; before 2.0 with Turing.
        ("flash_attn-2.8.3+cu12torch2.7cxx11abiTRUE-cp311-cp311-linux_x86_64.whl", ("8.0", "9.0", "10.0", "12.0")),
        (
            "flash_attn-2.8.0.post1+cu12torch2.4cxx11abiTRUE-cp311-cp311-linux_x86_64.whl",
            ("8.0", "9.0", "10.0", "12.0"),
        ),
        ("flash_attn-2.7.4.post1+cu12torch2.6cxx11abiTRUE-cp311-cp311-linux_x86_64.whl", ("8.0", "9.0")),
        ("flash_attn-2.7.3+cu11torch2.4cxx11abiTRUE-cp311-cp311-linux_x86_64.whl", ("8.0", "9.0")),
        ("flash_attn-2.3.5+cu118torch2.0cxx11abiTRUE-cp310-cp310-linux_x86_64.whl", ("8.0", "9.0")),
        ("flash_attn-2.3.5+cu117torch2.0cxx11abiTRUE-cp310-cp310-linux_x86_64.whl", ("8.0",)),
        # Nobody wrote down how these were built.
        ("flash_attn-2.8.1+cu13torch2.10cxx11abiTRUE-cp312-cp312-linux_x86_64.whl", None),
    ],
)
def test_the_built_in_catalog_knows_the_gpu_code_of_dao_ailab(name: str, archs: tuple[str, ...] | None) -> None:
    assert {
        each.build.archs for each in sources.candidates(flash_attn()).candidates if each.build.filename == name
    } == {archs}


def test_both_sources_of_the_incident_are_in_the_built_in_catalog() -> None:
    by_name = {source.name: source for source in flash_attn().sources}

    assert flash_attn().imports == ("flash_attn", "flash_attn_2_cuda")
    assert flash_attn().needs == ("torch",)
    assert (by_name["Dao-AILab"].kind, by_name["Dao-AILab"].trust) == ("pattern", Trust.OFFICIAL)
    assert (by_name["ByteDance-Seed"].kind, by_name["ByteDance-Seed"].trust) == ("huggingface", Trust.VENDOR)
    assert by_name["ByteDance-Seed"].urls == ("https://huggingface.co/ByteDance-Seed/SeedVR2-3B",)


def test_all_builds_of_the_built_in_catalog_have_names_of_wheels() -> None:
    for package in catalog_reader.load().packages.values():
        notes = [
            note for note in sources.candidates(package).notes if note.cause not in {"offline", "build-not-allowed"}
        ]
        assert notes == []


def test_asked_twice_a_source_lists_the_same_and_at_another_place_its_own_order() -> None:
    source = pattern("https://example.org/w-{version}-py3-none-any.whl", row(version="1.0 2.0"))
    twin = replace(source, trust=Trust.VENDOR)

    first, again = [*candidates(source, 0)], [*candidates(source, 0)]
    elsewhere, other = [*candidates(source, 3)], [*candidates(twin, 3)]

    assert again == first
    assert [one.order for one in elsewhere if isinstance(one, Candidate)] == [(3, 0), (3, 1)]
    assert {one.trust for one in other if isinstance(one, Candidate)} == {Trust.VENDOR}
