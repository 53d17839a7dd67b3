"""Text that remembers where in a file each of its characters stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """``text`` and, for each character, its position in the file; None for one that the file does not have.

    Lines that were joined, quotes that were taken off and variables that were filled in leave gaps in the positions.
    """

    text: str
    places: Sequence[int | None]

    def __getitem__(self, part: slice) -> Located:
        """A part of it."""
        return Located(text=self.text[part], places=self.places[part])

    def span(self, start: int, end: int) -> tuple[int, int] | None:
        """Where ``text[start:end]`` stands in the file; None where not every character of it does, side by side."""
        places = self.places[start:end]
        first = places[0] if places else None
        if first is None or any(place != first + count for count, place in enumerate(places)):
            return None
        return first, first + len(places)


def located(text: str, start: int | None = 0) -> Located:
    """Text that stands in the file as it is from ``start`` on; None: it stands nowhere in it."""
    if start is None:
        return Located(text=text, places=(None,) * len(text))
    return Located(text=text, places=range(start, start + len(text)))


def joined(parts: Iterable[Located]) -> Located:
    """Several, one after another."""
    texts: list[str] = []
    places: list[int | None] = []
    for part in parts:
        texts.append(part.text)
        places.extend(part.places)
    return Located(text="".join(texts), places=places)
