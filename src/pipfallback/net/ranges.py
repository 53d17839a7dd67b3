"""Parts of a file over HTTP: what to ask for, and whether what came is what was asked (RFC 9110, section 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_APART = 60.0  # seconds between Last-Modified and Date from which on the former is a strong validator (RFC 7232 2.2.2)


def validator(headers: Mapping[str, str]) -> str | None:
    """What tells this version of the file from any other, for If-Range: a strong ETag, or a Last-Modified long past."""
    tag = headers.get("etag", "")
    if tag.startswith('"'):
        return tag
    changed, now = headers.get("last-modified", ""), headers.get("date", "")
    try:
        apart = (parsedate_to_datetime(now) - parsedate_to_datetime(changed)).total_seconds()
    except (ValueError, TypeError):
        return None
    return changed if not tag and apart >= _APART else None


def asked_for(first: int, last: int | None, version: str) -> dict[str, str]:
    """The headers for the bytes ``first`` to ``last`` (both included; None: to the end) of one version."""
    return {"Range": f"bytes={first}-{'' if last is None else last}", "If-Range": version}


def size_of(headers: Mapping[str, str], first: int, last: int | None = None) -> int | None:
    """The size of the whole file where an answer is exactly the part asked for; None where it is any other."""
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if match is None or "content-encoding" in headers:
        return None
    start, end, size = map(int, match.groups())
    length = headers.get("content-length")
    if length is not None and length != str(end - start + 1):
        return None
    wanted = size - 1 if last is None else min(last, size - 1)
    return size if (start, end) == (first, wanted) else None
