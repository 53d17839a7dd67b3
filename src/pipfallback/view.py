"""What a story tells about its attempts while it is told: the port, and the lines of a log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class View(Protocol):
    """Sees the attempts of one command as they come. None of this raises, or reads anything."""

    def doing(self, what: str) -> AbstractContextManager[None]:
        """Something that may take a while, and during which nothing else writes to the terminal ("importing x")."""

    def trying(self, filename: str, source: str | None, *, place: int, of: int) -> None:
        """A build has its turn, the ``place``-th (from 1) of as many as will be tried at most."""

    def failed(self, how: str, error: str, *, seconds: float) -> None:
        """It did not do: how it ended ("undone", "refused", "not to be had"), why, and after how long."""

    def works(self, line: str) -> None:
        """What was installed in the end."""


class Lines:
    """One line for each, through ``tell``, as a log keeps them."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def doing(self, what: str) -> AbstractContextManager[None]:
        """As ``View`` says: a log has no use for what is over soon."""
        del what
        return nullcontext()

    def trying(self, filename: str, source: str | None, *, place: int, of: int) -> None:
        """As ``View`` says."""
        del place, of
        self._tell(f"trying {with_source(filename, source)}")

    def failed(self, how: str, error: str, *, seconds: float) -> None:
        """As ``View`` says."""
        del seconds
        self._tell(f"{how}: {error}")

    def works(self, line: str) -> None:
        """As ``View`` says."""
        self._tell(line)


def with_source(filename: str, source: str | None) -> str:
    """A build as a line names it; the wheel that the user named has no source."""
    return f"{filename} ({source})" if source else filename
