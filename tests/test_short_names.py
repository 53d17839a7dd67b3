"""Lines that fit: of a wheel's name stays what builds differ in, nothing that is copied is broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipfallback.short_names import fitted, shortened

NAME = "flash_attn-2.8.3+cu126torch2.7cxx11abiTRUE-cp311-cp311-linux_x86_64.whl"
LONGER = "flash_attn-2.7.4.post1+cu12torch2.7cxx11abiFALSE-cp39-abi3-manylinux_2_28_aarch64.whl"


@pytest.mark.parametrize(
    ("width", "form"),
    [
        (71, NAME),
        (70, "flash_attn-2.8.3+cu126torch2.7cxx11abiTRUE-cp311-…x86_64.whl"),
        (59, "flash_attn-2.8.3+cu126torch2.7cxx11abiTRUE-cp311-….whl"),
        (53, "flash_attn-2.8.3+cu126torch2.7…TRUE-cp311-….whl"),
        (46, "flash_attn-2.8.3+cu126torch2.7…TRUE-cp311-…"),
        (42, "…2.8.3+cu126torch2.7…TRUE-cp311…"),
        (31, "2.8.3+cu126torch2.7…TRUE-cp311"),
    ],
)
def test_what_builds_differ_in_goes_last(width: int, form: str) -> None:
    assert shortened(NAME, width) == form
    assert len(form) <= width


def test_an_abi_of_its_own_and_another_machine_are_told() -> None:
    assert shortened(LONGER, 84) == "flash_attn-2.7.4.post1+cu12torch2.7cxx11abiFALSE-cp39-abi3-…aarch64.whl"


def test_without_unicode_three_dots_stand_for_what_is_left_out() -> None:
    assert shortened(NAME, 46, "...") == "...2.8.3+cu126torch2.7...TRUE-cp311..."


@given(st.from_regex(r"[\w.+-]{1,90}(\.whl)?", fullmatch=True), st.integers(16, 120))
def test_any_name_fits(name: str, width: int) -> None:
    assert len(shortened(name, width)) <= width
    assert shortened(name, len(name) + 16) == name


@pytest.mark.parametrize("width", [None, 200])
def test_a_line_that_fits_or_is_for_no_terminal_is_as_it_is(width: int | None) -> None:
    line = f"pipfallback: trying {NAME} (ByteDance-Seed)"
    assert fitted(line, width) == [line]


def test_a_name_is_shortened_so_that_its_line_stays_one() -> None:
    assert fitted(f"pipfallback: trying {NAME} (builds)", 80) == [
        "pipfallback: trying flash_attn-2.8.3+cu126torch2.7…TRUE-cp311-….whl (builds)"
    ]


def test_a_name_without_room_goes_to_the_next_line() -> None:
    assert fitted(f"pipfallback: installed {NAME} from builds: it imports", 40) == [
        "pipfallback: installed",
        "  …2.8.3+cu126torch2.7…TRUE-cp311… from",
        "  builds: it imports",
    ]


def test_a_url_stays_whole() -> None:
    url = f"https://example.org/some/folder/{NAME}"
    assert fitted(f"hint: pipfallback install {url}", 60) == ["hint: pipfallback install", f"  {url}"]


def test_words_of_a_column_stay_in_it() -> None:
    assert fitted("    torch-version  built for torch 2.5 and for nothing else; torch here is 2.7.1", 60) == [
        "    torch-version  built for torch 2.5 and for nothing else;",
        "                   torch here is 2.7.1",
    ]


def test_a_narrow_terminal_has_no_columns() -> None:
    assert fitted("  builds                   vendor     5 builds  url: 127.0.0.1:43931", 40) == [
        "  builds  vendor  5 builds  url:",
        "          127.0.0.1:43931",
    ]


@given(st.text("ab -:/+.", min_size=1, max_size=200), st.integers(20, 100))
def test_no_word_is_lost_or_broken(line: str, width: int) -> None:
    assert " ".join(fitted(line, width)).split() == line.split()
