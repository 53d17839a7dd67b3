"""Places on this machine's disk, as URLs and paths name them."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit


def local_path(location: str) -> Path | None:
    """The file that a path or ``file:`` URL names; None for another URL. Raises ValueError for a broken URL."""
    parts = urlsplit(location)
    if parts.scheme == "file":
        path = unquote(parts.path)
        # RFC 8089 appendix E.2: file:///C:/folder
        return Path(path.lstrip("/") if os.name == "nt" else path)
    return None if "://" in location else Path(location)
