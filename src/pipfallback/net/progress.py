"""How far a download is, for people: the port, and a line per quarter for logs (``live.py`` has the bar of a terminal)."""

from __future__ import annotations

import time
from typing import Protocol, TextIO

WORTH_A_LINE = 20_000_000  # bytes


class Progress(Protocol):
    """Told by one download after another; never by two threads at once."""

    def started(self, name: str, total: int | None) -> None:
        """A download of ``total`` bytes begins; None where the server does not say how many."""

    def advanced(self, count: int) -> None:
        """``count`` more bytes are there; those of an earlier run come first, at once."""

    def done(self) -> None:
        """It is over, well or not."""


class Silent:
    """Says nothing."""

    def started(self, name: str, total: int | None) -> None:
        """As ``Progress`` says."""

    def advanced(self, count: int) -> None:
        """As ``Progress`` says."""

    def done(self) -> None:
        """As ``Progress`` says."""


class Lines:
    """One line at each quarter, for logs; none for what is there in a moment."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._name, self._total, self._there, self._quarter, self._since = "", 0, 0, 0, 0.0

    def started(self, name: str, total: int | None) -> None:
        """As ``Progress`` says."""
        self._name, self._total, self._there, self._quarter = name, total or 0, 0, 0
        self._since = time.monotonic()
        if total is None or total >= WORTH_A_LINE:
            self._say(f"downloading {name} ({megabytes(total)})" if total else f"downloading {name}")

    def advanced(self, count: int) -> None:
        """As ``Progress`` says."""
        self._there += count
        quarter = 4 * self._there // self._total if self._total else 0
        if quarter > self._quarter and self._total >= WORTH_A_LINE:
            self._quarter = quarter
            rate = self._there / max(time.monotonic() - self._since, 0.001)
            self._say(f"{self._name}: {25 * quarter} % of {megabytes(self._total)}, {megabytes(int(rate))}/s")

    def done(self) -> None:
        """As ``Progress`` says."""

    def _say(self, line: str) -> None:
        self._stream.write(f"pipfallback: {line}\n")
        self._stream.flush()


def megabytes(count: int | None) -> str:
    """A size as people read it ("262.1 MB"); decimal megabytes, as pip says them."""
    return f"{(count or 0) / 1e6:.1f} MB"
