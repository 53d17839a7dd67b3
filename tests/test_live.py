"""The line at the bottom of a terminal: there while something lasts, gone before anything else is written."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from lib.terminal import Terminal
from pipfallback.live import LiveView, Mark, in_minutes

NAME = "flash_attn-2.8.3+cu126torch2.7cxx11abiTRUE-cp311-cp311-linux_x86_64.whl"


@pytest.fixture(autouse=True)
def _no_terminal_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "LC_ALL", "LANG", "LC_CTYPE", "NO_COLOR", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "argv", ["pipfallback"])


@contextmanager
def shown(columns: int = 80) -> Iterator[tuple[Terminal, LiveView]]:
    """A terminal and a view on it; what the view says that stays is printed as the program prints it."""
    with Terminal(columns, 12) as terminal, terminal.stream() as stream:
        view = LiveView(stream, lambda line, mark: said(view, stream, line, mark))
        yield terminal, view


def said(view: LiveView, stream: TextIO, line: str, mark: Mark) -> None:
    with view.aside():
        print(f"{mark}| {line}", file=stream, flush=True)


def test_a_step_is_shown_with_its_seconds_and_leaves_nothing() -> None:
    with shown() as (terminal, view):
        with view.doing("importing flash_attn"):
            terminal.until(lambda text: text.endswith("importing flash_attn"))
            assert not terminal.shows_cursor
            terminal.until(lambda text: text.endswith("importing flash_attn  1 s"))
            assert len(terminal.lines) == 1
        assert terminal.draw() == []
        assert terminal.shows_cursor


def test_what_is_over_in_a_moment_is_never_shown() -> None:
    with shown() as (terminal, view):
        for _ in range(20):
            with view.doing("importing flash_attn"):
                pass
        view.started(NAME, 1000)
        view.advanced(1000)
        view.done()
        time.sleep(0.6)
        assert terminal.draw() == []
        assert terminal.raw == b""


def test_a_line_that_is_printed_meanwhile_stands_above() -> None:
    with shown() as (terminal, view):
        with view.doing("asking the sources"):
            terminal.until(lambda text: "asking" in text)
            view.trying(NAME, "Somebody", place=1, of=3)
            view.failed("undone", "it does not import", seconds=61.2)
            terminal.until(lambda text: text.endswith("asking the sources  1 s"))
            first, *_, last = terminal.lines
            assert first == f"next| trying 1/3: {NAME} (Somebody)"[:80]
            assert "asking" in last
        view.works("installed")
        assert terminal.draw()[-2:] == ["bad| undone after 1 min 01 s: it does not import", "good| installed"]


def test_an_inner_step_takes_the_line_and_gives_it_back() -> None:
    with shown() as (terminal, view), view.doing("locking"):
        terminal.until(lambda text: "locking" in text)
        with view.doing("asking pip"):
            terminal.until(lambda text: "asking pip" in text and "locking" not in text)
        terminal.until(lambda text: "locking" in text and "asking pip" not in text)


@pytest.mark.parametrize(
    ("columns", "there", "absent"),
    [
        (40, ("fetching", "25 %", "━"), (NAME[:10], "MB/s")),
        (80, ("fetching", "25 %", "left", "50.0 of 200.0 MB", "MB/s", "━"), (NAME[:10],)),
        (120, ("fetching", "flash_attn-2.8.3+cu126torch2.7", "25 %", "50.0 of 200.0 MB", "MB/s"), ()),
        (20, ("fetching", "25 %"), ("MB/s",)),
    ],
)
def test_a_download_has_one_line_in_any_width(columns: int, there: tuple[str, ...], absent: tuple[str, ...]) -> None:
    with shown(columns) as (terminal, view):
        view.started(NAME, 200_000_000)
        view.advanced(0)
        view.advanced(50_000_000)
        text = terminal.until(lambda text: "25 %" in text)
        assert len(text.splitlines()) == 1
        assert len(text) <= columns - 3, "room for ^C"
        assert [word for word in there if word not in text] == []
        assert [word for word in absent if word in text] == []
        view.done()
        assert terminal.draw() == []


def test_a_large_download_is_summed_up_in_a_line() -> None:
    with shown() as (terminal, view):
        view.started(NAME, 60_000_000)
        view.advanced(20_000_000)  # of an earlier run
        view.advanced(40_000_000)
        view.done()
        (line,) = terminal.draw()
        assert line.startswith("| fetched 40.0 MB in 0 s (")


def test_a_download_that_broke_off_is_not_called_fetched() -> None:
    with shown() as (terminal, view):
        view.started(NAME, 60_000_000)
        view.advanced(0)
        view.advanced(40_000_000)
        view.done()
        view.done()
        assert terminal.draw() == []


def test_a_download_of_unknown_size_tells_what_is_there() -> None:
    with shown() as (terminal, view):
        view.started(NAME, None)
        view.advanced(0)
        view.advanced(3_000_000)
        text = terminal.until(lambda text: "3.0 MB" in text)
        assert "%" not in text
        view.done()


def test_a_download_that_has_stalled_is_called_so() -> None:
    with shown() as (terminal, view):
        view.started(NAME, 60_000_000)
        view.advanced(1_000_000)
        terminal.until(lambda text: "stalled" in text)
        view.done()


def test_another_width_is_followed() -> None:
    with shown(80) as (terminal, view):
        view.started(NAME, 200_000_000)
        view.advanced(0)
        view.advanced(50_000_000)
        terminal.until(lambda text: "200.0 MB" in text)
        terminal.resize(40)
        terminal.until(lambda text: "25 %" in text.splitlines()[-1] and "200.0 MB" not in text.splitlines()[-1])
        view.done()


def test_without_unicode_it_is_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    with shown(120) as (terminal, view):
        view.started(NAME, 200_000_000)
        view.advanced(0)
        view.advanced(50_000_000)
        terminal.until(lambda text: "25 %" in text)
        view.done()
        terminal.draw()
        assert terminal.raw.isascii()


def test_without_colours_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with shown() as (terminal, view):
        view.started(NAME, 200_000_000)
        view.advanced(0)
        view.advanced(50_000_000)
        terminal.until(lambda text: "25 %" in text)
        view.done()
        terminal.draw()
        assert b";5;" not in terminal.raw
        assert b"\x1b[3" not in terminal.raw


def test_an_error_ends_it() -> None:
    with shown() as (terminal, view):
        with pytest.raises(TimeoutError), view.doing("importing flash_attn"):
            terminal.until(lambda text: "exporting" in text, timeout=1)
        assert b"importing" in terminal.raw
        assert terminal.draw() == []
        assert terminal.shows_cursor


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"), (7262, "121 min 02 s")]
)
def test_times_are_told_as_people_read_them(seconds: int, words: str) -> None:
    assert in_minutes(seconds) == words
