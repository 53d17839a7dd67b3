"""Which bytes of a file are there, and who fetches the others."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

_LEAST = 4 << 20  # bytes: less than this is not shared between two connections


@dataclass(slots=True, eq=False)
class Span:
    """Consecutive bytes: there from ``start`` to ``at``, missing from there to ``end``."""

    start: int
    at: int
    end: int
    owned: bool = False

    @property
    def missing(self) -> int:
        """How many bytes are missing."""
        return self.end - self.at


class Pieces:
    """A file of ``size`` bytes in spans without gaps. Safe to use from several threads at once."""

    def __init__(self, size: int, done: Iterable[tuple[int, int]] = ()) -> None:
        self.size = size
        self._lock = threading.Lock()
        there = sorted(done) or [(0, 0)]
        if there[0][0] > 0:
            there.insert(0, (0, 0))
        ends = [start for start, _ in there[1:]] + [size]
        self._spans = [Span(start, at, end) for (start, at), end in zip(there, ends, strict=True)]
        if any(not 0 <= span.start <= span.at <= span.end for span in self._spans):
            raise ValueError("the parts overlap or are no parts of the file")

    def take(self, *, share: bool = True) -> Span | None:
        """A span to fetch, from now on the caller's: the first that is nobody's, else (``share``) half of the largest."""
        with self._lock:
            free = next((span for span in self._spans if span.missing and not span.owned), None)
            if free is None and share:
                free = self._half()
            if free is not None:
                free.owned = True
            return free

    def _half(self) -> Span | None:
        largest = max(self._spans, key=lambda span: span.missing)
        if largest.missing < _LEAST:
            return None
        middle = largest.at + largest.missing // 2
        half = Span(middle, middle, largest.end)
        largest.end = middle
        self._spans.insert(self._spans.index(largest) + 1, half)
        return half

    def give_back(self, span: Span) -> None:
        """What is missing of it is for others to fetch."""
        with self._lock:
            span.owned = False

    def advance(self, span: Span, count: int) -> int:
        """``count`` more bytes of a span are there; how many of them are its own."""
        with self._lock:
            count = min(count, span.missing)
            span.at += count
            return count

    def ends_here(self, span: Span) -> None:
        """The server sent all, and that is the size."""
        with self._lock:
            span.end = self.size = span.at

    @property
    def complete(self) -> bool:
        """Whether every byte is there."""
        with self._lock:
            return not any(span.missing for span in self._spans)

    @property
    def prefix(self) -> int:
        """How many bytes are there from the beginning on without a gap."""
        with self._lock:
            return next((span.at for span in self._spans if span.missing), self.size)

    @property
    def done(self) -> list[tuple[int, int]]:
        """The parts that are there; those that touch are one."""
        merged: list[tuple[int, int]] = []
        with self._lock:
            for span in self._spans:
                if merged and merged[-1][1] == span.start:
                    merged[-1] = (merged[-1][0], span.at)
                elif span.at > span.start:
                    merged.append((span.start, span.at))
        return merged

    @property
    def missing(self) -> int:
        """How many bytes are not there."""
        with self._lock:
            return sum(span.missing for span in self._spans)
