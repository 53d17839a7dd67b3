"""Listings that servers gave, kept by age, ETag and Last-Modified (RFC 9111, as far as one user's program needs it)."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipfallback.net.cache_files import name_of, prune, used_now, write_whole
from pipfallback.net.pages import Page

_MOST = 64 << 20  # bytes in all
_LONGEST = 86400.0  # seconds: no server's word holds for longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A listing from the cache. ``conditions``: the headers that ask the server whether it has changed."""

    page: Page
    conditions: Mapping[str, str]
    fresh: bool
    seconds_old: float
    path: Path
    private: bool


class PageCache:
    """Listings below ``folder``, 64 MB of them. Several runs may use it at once.

    Keys hold no credentials; what came with a token is told apart from what everybody gets.
    """

    def __init__(self, folder: Path, *, most: int = _MOST) -> None:
        self._folder = folder
        self._most = most

    def load(self, url: str, accept: str, *, private: bool) -> Stored | None:
        """What is kept for a URL (without credentials) and the media types asked for; None for nothing usable."""
        path = self._path(url, accept, private)
        try:
            head, _, body = path.read_bytes().partition(b"\n")
            about = json.loads(head)
            saved, lasts = float(about["saved"]), float(about["lasts"])
            page = Page(url=about["url"], body=body, headers=dict(about["headers"]))
            whole = hashlib.sha256(body).hexdigest() == about["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not whole:
            return None
        old = time.time() - saved
        return Stored(
            page=page,
            conditions=_conditions(page.headers),
            fresh=0 <= old < lasts,
            seconds_old=max(old, 0.0),
            path=path,
            private=private,
        )

    def save(self, url: str, accept: str, page: Page, *, private: bool) -> None:
        """Keep a listing, unless it is empty or the server forbids it."""
        directives = _directives(page.headers)
        if not page.body or "no-store" in directives:
            return
        self._write(self._path(url, accept, private), page, _lifetime(page.headers))

    def renew(self, stored: Stored, headers: Mapping[str, str]) -> None:
        """The server said 304: what is kept is as good as new."""
        lower = {name.lower(): value for name, value in headers.items()}
        about = {name: value for name, value in lower.items() if name in {"etag", "cache-control", "expires", "age"}}
        merged = Page(url=stored.page.url, body=stored.page.body, headers={**stored.page.headers, **about})
        self._write(stored.path, merged, _lifetime(merged.headers))
        used_now(stored.path)

    def _path(self, url: str, accept: str, private: bool) -> Path:
        return self._folder / name_of(url, accept, "private" if private else "")

    def _write(self, path: Path, page: Page, lasts: float) -> None:
        about = {
            "url": page.url,
            "headers": dict(page.headers),
            "saved": time.time(),
            "lasts": lasts,
            "sha256": hashlib.sha256(page.body).hexdigest(),
        }
        if len(page.body) <= self._most and write_whole(path, (json.dumps(about).encode(), b"\n", page.body)):
            prune(self._folder, self._most)


def _conditions(headers: Mapping[str, str]) -> dict[str, str]:
    pairs = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
    return {name: headers[header] for name, header in pairs if header in headers}


def _directives(headers: Mapping[str, str]) -> dict[str, str]:
    found = re.findall(r'([\w-]+)(?:\s*=\s*"?([^",\s]*))?', headers.get("cache-control", ""))
    return {name.lower(): value for name, value in found}


def _lifetime(headers: Mapping[str, str]) -> float:
    directives = _directives(headers)
    if "no-cache" in directives:
        return 0.0
    age = directives.get("max-age", "")
    if not age.isdecimal():
        return 0.0  # asked again, mostly answered by "unchanged": a wheel that has just come must be seen
    already = headers.get("age", "")
    return min(_LONGEST, float(age)) - (float(already) if already.isdecimal() else 0.0)
