"""What the sources ask the network for: a page, as a port that ``net.client`` serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pipfallback.net.failures import FetchFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A listing that a server (or the cache, or the disk) gave.

    ``url``: where it was in the end, after redirects; relative links count from there. ``headers``: lower-case names.
    """

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The body as UTF-8; what is no UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")


class Pages(Protocol):
    """Gets listings. Safe to use from several threads at once."""

    def get(self, url: str, *, accept: str = "*/*", token: str | None = None) -> Page | FetchFailure:
        """The page at ``url`` (https, http or file), from the cache where it is fresh or the server says unchanged.

        ``accept``: the media types wanted. ``token``: a bearer token for the host of ``url`` alone; it is never sent to
        a host that a redirect leads to. Faults that may pass are tried again first.
        """
