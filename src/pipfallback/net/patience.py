"""How often and how long a server in trouble is asked again."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pipfallback.net.failures import FetchFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The bounds of trying again. All times in seconds.

    ``pause``: before the second try; each further one is twice as long (pip's backoff factor is the same 0.25).
    ``waiting``: at most so much of it in all, the server's own Retry-After included. ``page``: for one listing with
    all its redirects and tries. ``page_bytes``: the largest listing that is read.
    """

    pause: float = 0.25
    waiting: float = 30.0
    page: float = 60.0
    page_bytes: int = 64 << 20


class Tries:
    """The tries for one thing."""

    def __init__(self, patience: Patience, retries: int) -> None:
        self._patience = patience
        self._retries = retries
        self._left = retries
        self._waiting = patience.waiting

    def again(self, failure: FetchFailure) -> bool:
        """Wait as long as is right and say whether to try again; False at once where that would not help."""
        if not failure.transient or self._left <= 0:
            return False
        pause = self._patience.pause * 2.0 ** (self._retries - self._left)
        pause = max(pause, failure.retry_after or 0.0)
        if pause > self._waiting:
            return False
        self._left -= 1
        self._waiting -= pause
        time.sleep(pause)
        return True

    def progressed(self) -> None:
        """Something substantial came: what broke after it is a new fault."""
        self._left = self._retries
