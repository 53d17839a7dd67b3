"""What a stream can show, asked of real terminals and files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from lib.terminal import Terminal
from pipfallback import screen

_VARIABLES = "COLUMNS FORCE_COLOR LANG LC_ALL LC_CTYPE NO_COLOR PYTHONIOENCODING TERM TTY_COMPATIBLE"


@pytest.fixture(autouse=True)
def _no_terminal_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _VARIABLES.split():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["pipfallback"])


@pytest.fixture
def tty() -> Iterator[TextIO]:
    with Terminal(50) as terminal, terminal.stream() as stream:
        yield stream


@pytest.fixture
def file(tmp_path: Path) -> Iterator[TextIO]:
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        yield stream


def test_a_terminal_has_its_width_and_colours_and_a_file_neither(tty: TextIO, file: TextIO) -> None:
    assert (screen.is_terminal(tty), screen.width_of(tty), screen.has_colours(tty)) == (True, 50, True)
    assert (screen.is_terminal(file), screen.width_of(file), screen.has_colours(file)) == (False, None, False)


def test_a_closed_stream_is_no_terminal(file: TextIO) -> None:
    file.close()
    assert not screen.is_terminal(file)


@pytest.mark.parametrize(("columns", "width"), [("33", 33), ("0", 50), ("wide", 50), ("", 50)])
def test_columns_counts_where_it_is_a_number(
    tty: TextIO, monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert screen.width_of(tty) == width


@pytest.mark.parametrize(
    ("settings", "coloured"),
    [
        ({"NO_COLOR": "1"}, (False, False)),
        ({"NO_COLOR": ""}, (True, False)),
        ({"PIP_NO_COLOR": "1"}, (False, False)),
        ({"PIP_NO_COLOR": "0"}, (True, False)),
        ({"FORCE_COLOR": "1"}, (True, True)),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, (False, False)),
        ({"TERM": "dumb"}, (False, False)),
    ],
)
def test_who_wants_no_colours_has_none(
    tty: TextIO, file: TextIO, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], coloured: tuple[bool, bool]
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert (screen.has_colours(tty), screen.has_colours(file)) == coloured


def test_pips_option_counts_as_well(tty: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pipfallback", "install", "--no-color", "x"])
    assert not screen.has_colours(tty)


def test_a_dumb_terminal_has_no_line_that_moves(tty: TextIO, file: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (screen.moves_cursor(tty), screen.moves_cursor(file)) == (True, False)
    monkeypatch.setenv("TERM", "dumb")
    assert not screen.moves_cursor(tty)


@pytest.mark.parametrize(
    ("settings", "ascii_alone"),
    [
        ({}, False),
        ({"LANG": "C.UTF-8"}, False),
        ({"LC_ALL": "C"}, True),
        ({"LC_ALL": "", "LANG": "POSIX"}, True),
        ({"LC_ALL": "en_US.UTF-8", "LANG": "C"}, False),
        ({"LC_ALL": "C", "PYTHONIOENCODING": "utf-8"}, False),
    ],
)
def test_the_locale_tells_what_can_be_read(
    tty: TextIO, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], ascii_alone: bool
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert screen.only_ascii(tty) == ascii_alone
    assert screen.console_on(tty).options.ascii_only == ascii_alone


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_another_encoding_is_taken_for_ascii(encoding: str) -> None:
    with Terminal() as terminal, terminal.stream(encoding) as stream:
        assert screen.only_ascii(stream)


def test_a_table_in_a_file_is_as_wide_as_it_wants(file: TextIO) -> None:
    screen.console_on(file).print("word " * 100)
    file.flush()
    assert Path(file.name).read_text() == "word " * 100 + "\n"
