"""Why something could not be had over the network (or from disk): a value, not an exception."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FetchCause = Literal[
    "not-found", "unauthorized", "rate-limited", "server-error", "unreachable", "timeout", "tls", "truncated", "corrupt",
    "hash-mismatch", "too-large", "no-space", "offline",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchFailure:
    """Why a file or a page could not be had; neither ``message`` nor ``hint`` names credentials.

    ``hint`` says what the user can do, where something can be done. ``retry_after``: seconds that the server asked for.
    """

    cause: FetchCause
    message: str
    hint: str | None = None
    retry_after: float | None = None

    @property
    def transient(self) -> bool:
        """Whether the same request may go through later."""
        return self.cause in {"rate-limited", "server-error", "timeout", "truncated"}
