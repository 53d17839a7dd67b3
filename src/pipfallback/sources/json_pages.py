"""Listings that come as JSON, in pages whose ``Link`` header names the next one (RFC 8288): GitHub, Hugging Face."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

from pipfallback.net.failures import FetchFailure
from pipfallback.net.pages import Page, Pages

_NEXT = re.compile(r'<([^<>]*)>\s*;[^,<]*\brel\s*=\s*"?next\b', re.IGNORECASE)
_SHOWN = 200
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def read_json(page: Page) -> Any:
    """What a page says, a FetchFailure where it is no JSON."""
    try:
        return json.loads(page.body)
    except RecursionError:
        return FetchFailure(cause="corrupt", message="answered with JSON that is nested too deeply")
    except ValueError:
        found = "a web page" if page.body.lstrip()[:1] == b"<" else "something else"
        return FetchFailure(cause="corrupt", message=f"answered with {found} where JSON was expected")


def as_size(value: object) -> int | None:
    """Bytes, None where the value is none such."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def as_text(value: object) -> str | None:
    """A text, None where the value is none or empty."""
    return value if isinstance(value, str) and value else None


def as_sha256(value: object) -> str | None:
    """A sha256 in lower case, None where the value is none."""
    return value.lower() if isinstance(value, str) and _SHA256.fullmatch(value) else None


def json_pages(
    url: str, pages: Pages, *, accept: str, token: str | None, limit: int
) -> Iterator[list[Any] | FetchFailure]:
    """The lists that the pages from ``url`` on hold; a failure ends them. At most ``limit`` pages are read.

    Only pages of the same scheme, host and port are followed: ``token`` is meant for no other.
    """
    seen: set[str] = set()
    while len(seen) < limit:
        seen.add(url)
        page = pages.get(url, accept=accept, token=token)
        said = page if isinstance(page, FetchFailure) else _list(page)
        yield said
        if isinstance(page, FetchFailure) or isinstance(said, FetchFailure):
            return
        following = _next(page)
        if following is None:
            return
        if _origin(following) != _origin(url):
            yield FetchFailure(cause="corrupt", message="names another server for its next page; the rest is not read")
            return
        if following in seen:
            yield FetchFailure(cause="corrupt", message="its pages lead in a circle; the rest is not read")
            return
        url = following
    yield FetchFailure(cause="too-large", message=f"has more than {limit} pages; the rest is not read")


def _list(page: Page) -> list[Any] | FetchFailure:
    said = read_json(page)
    if isinstance(said, list | FetchFailure):
        return said
    stated = said.get("message") or said.get("error") if isinstance(said, dict) else None
    message = f"answered: {' '.join(stated.split())[:_SHOWN]}" if isinstance(stated, str) else "answered with no list"
    return FetchFailure(cause="corrupt", message=message)


def _next(page: Page) -> str | None:
    found = _NEXT.search(page.headers.get("link", ""))
    try:
        return urljoin(page.url, found[1]) if found else None
    except ValueError:
        return None


def _origin(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", url
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()
