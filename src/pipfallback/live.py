"""What happens now, in one line at the bottom of a terminal: a step with its seconds, or a download with its bar.

The line is there only while nothing else writes, and gone before pip runs: pip has the terminal to itself. What lasts
less than a moment is never shown, and needs nothing of rich.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from pipfallback.net.progress import WORTH_A_LINE, megabytes
from pipfallback.screen import console_on
from pipfallback.short_names import shortened
from pipfallback.view import with_source

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.live import Live as RichLive

Mark = Literal["next", "bad", "good", ""]

_MOMENT = 0.4  # seconds
_LONG = 10  # seconds after which an attempt tells how long it took
_WINDOW = 5.0  # seconds over which a rate is taken
_BAR = 10  # columns, at least
_SPARE = 3  # columns that stay free: with the "^C" that a terminal adds, the line is still one


class _Line(Protocol):
    """What is shown."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """See rich's console protocol."""


class _Step:
    """Something that takes a while: what, and for how long already."""

    def __init__(self, what: str) -> None:
        self._what, self._since = what, time.monotonic()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """See rich's console protocol."""
        from rich.text import Text  # start-up: only where a line is shown

        seconds = int(time.monotonic() - self._since)
        after = f"  {in_minutes(seconds)}" if seconds else ""
        room = options.max_width - _SPARE - 2 - len(after)
        what = shortened(self._what, room, "..." if options.ascii_only else "…")
        yield Text.assemble(_spinner(options), " ", what[:room], (after, "dim"), no_wrap=True, overflow="crop")


class _Download:
    """A download: its bar, size, rate and the time left, as far as there is room."""

    def __init__(self, name: str, total: int | None) -> None:
        self.name, self.total, self.there = name, total, 0
        self._since = time.monotonic()
        self._seen: deque[tuple[float, int]] = deque()
        self._brought = 0

    def more(self, count: int) -> None:
        """``count`` more bytes are there; those of an earlier run say nothing about the rate."""
        self.there += count
        if not self._seen:
            self._seen.append((time.monotonic(), self.there))
        else:
            self._brought += count

    def summary(self) -> str | None:
        """What it came to, where that took so much that a reader asks."""
        seconds = time.monotonic() - self._since
        if self._brought < WORTH_A_LINE or (self.total is not None and self.there < self.total):
            return None
        return f"fetched {megabytes(self._brought)} in {in_minutes(round(seconds))} ({self._rated(seconds)})"

    def _rated(self, seconds: float) -> str:
        return f"{megabytes(int(self._brought / max(seconds, 0.001)))}/s"

    def _rate(self) -> float:
        """Bytes per second of late."""
        now = time.monotonic()
        self._seen.append((now, self.there))
        while len(self._seen) > 2 and now - self._seen[1][0] > _WINDOW:
            self._seen.popleft()
        began, had = self._seen[0]
        return (self.there - had) / max(now - began, 0.001)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """See rich's console protocol."""
        from rich.table import Table  # start-up: only where a line is shown
        from rich.text import Text  # as above

        room = options.max_width - _SPARE
        told = self._told()
        head = Text.assemble(_spinner(options), " fetching")
        # Size first goes, then the time, then the rate: the percentage stays.
        while len(told) > 1 and len(head) + 1 + _BAR + len("  ".join(told)) + 2 > room:
            told.pop(2 if len(told) > 2 else 1)
        tail = Text("  ".join(told))
        room -= len(head) + len(tail) + 2
        cells: list[RenderableType] = [head]
        name = min(len(self.name), room - _BAR - 1)
        if name >= 2 * _BAR:
            cells.append(Text(shortened(self.name, name, "..." if options.ascii_only else "…")))
            room -= len(cells[-1]) + 1 if isinstance(cells[-1], Text) else 0
        if self.total and room >= _BAR // 2:
            cells.append(self._bar(min(room, 40)))
        grid = Table.grid(padding=(0, 1, 0, 0))
        for _ in (*cells, tail):
            grid.add_column(no_wrap=True)
        grid.add_row(*cells, tail)
        yield grid

    def _bar(self, width: int) -> RenderableType:
        from rich.progress_bar import ProgressBar  # start-up: only where a bar is shown

        return ProgressBar(total=self.total or 0, completed=self.there, width=width)

    def _told(self) -> list[str]:
        """The percentage, then what may be left out, the last first."""
        rate = self._rate()
        speed = f"{megabytes(int(rate))}/s"
        if not self.total:
            return [megabytes(self.there), speed]
        left = f"{in_minutes(round((self.total - self.there) / rate))} left" if rate else "stalled"
        sizes = f"{self.there / 1e6:.1f} of {megabytes(self.total)}"
        return [f"{100 * self.there // self.total:>3} %", left, sizes, speed]


class LiveView:
    """A ``View`` and a ``Progress`` on the terminal ``stream``.

    ``say`` prints a line that stays. It is to be called within ``aside``, which this does itself.
    """

    def __init__(self, stream: TextIO, say: Callable[[str, Mark], None]) -> None:
        self._stream, self._say = stream, say
        self._lines: list[_Line] = []
        self._timer: threading.Timer | None = None
        self._shown: RichLive | None = None
        self._lock = threading.RLock()

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """As ``View`` says."""
        line = _Step(what)
        try:
            self._begin(line)
            yield
        finally:
            self._end(line)

    def trying(self, filename: str, source: str | None, *, place: int, of: int) -> None:
        """As ``View`` says."""
        count = f" {place}/{of}" if of > 1 else ""
        self._say(f"trying{count}: {with_source(filename, source)}", "next")

    def failed(self, how: str, error: str, *, seconds: float) -> None:
        """As ``View`` says."""
        after = f" after {in_minutes(round(seconds))}" if seconds >= _LONG else ""
        self._say(f"{how}{after}: {error}", "bad")

    def works(self, line: str) -> None:
        """As ``View`` says."""
        self._say(line, "good")

    def started(self, name: str, total: int | None) -> None:
        """As ``Progress`` says."""
        self.done()
        self._begin(_Download(name, total))

    def advanced(self, count: int) -> None:
        """As ``Progress`` says."""
        if (download := self._download()) is not None:
            download.more(count)

    def done(self) -> None:
        """As ``Progress`` says."""
        if (download := self._download()) is not None:
            self._end(download)
            if (summary := download.summary()) is not None:
                self._say(summary, "")

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Nothing of it is on the terminal meanwhile, so that a line can be printed."""
        with self._lock:
            self._hide()
            try:
                yield
            finally:
                if self._lines:
                    self._soon()

    def _download(self) -> _Download | None:
        last = self._lines[-1] if self._lines else None
        return last if isinstance(last, _Download) else None

    def _begin(self, line: _Line) -> None:
        with self._lock:
            self._lines.append(line)
            self._soon()

    def _end(self, line: _Line) -> None:
        with self._lock:
            if line in self._lines:
                self._lines.remove(line)
            if not self._lines:
                self._hide()

    def _soon(self) -> None:
        """Show the last line in a moment, if it still matters then; or at once, where one is shown."""
        if self._shown is None and self._timer is None:
            self._timer = threading.Timer(_MOMENT, self._show)
            self._timer.daemon = True
            self._timer.start()

    def _show(self) -> None:
        """In the timer's thread."""
        from rich.live import Live  # start-up: what is over in a moment needs none of it

        console = console_on(self._stream, live=True)
        with self._lock:
            if self._timer is not threading.current_thread() or not self._lines:
                return  # it is over, or something else is going to be shown
            self._timer = None
            atexit.register(self._hide)  # whatever ends this process, its user gets the cursor back
            self._shown = Live(
                get_renderable=self._last,
                console=console,
                refresh_per_second=8,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._shown.start()

    def _last(self) -> RenderableType:
        lines = self._lines
        return lines[-1] if lines else ""

    def _hide(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        shown, self._shown = self._shown, None
        if shown is not None:
            shown.stop()


def in_minutes(seconds: int) -> str:
    """A time as people read it: "42 s", "3 min 05 s"."""
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60:02} s"


def _spinner(options: ConsoleOptions) -> str:
    """One frame of what turns."""
    from rich.spinner import Spinner  # start-up: only where a line is shown

    frames = Spinner("line" if options.ascii_only else "dots").frames
    return frames[int(time.monotonic() / 0.125) % len(frames)]
