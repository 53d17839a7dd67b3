"""The cache folder: listings, wheels by their hash, downloads that were broken off, and small facts."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from pipfallback.net.cache_files import name_of, prune, used_now, write_whole
from pipfallback.net.content import sha256_of
from pipfallback.net.page_cache import PageCache

_WHEELS = 5 << 30  # bytes
_FACTS = 32 << 20  # bytes


class Cache:
    """All caches below one folder. Several runs may use it at once; what cannot be written is not kept."""

    def __init__(self, folder: Path) -> None:
        self.pages = PageCache(folder / "pages")
        self.wheels = WheelCache(folder / "wheels")
        self.facts = JsonStore(folder / "facts")
        self.partials = folder / "partial"


class WheelCache:
    """Wheels by sha256: at most 5 GB of them, and at most a quarter of what the disk has free."""

    def __init__(self, folder: Path, *, most: int = _WHEELS) -> None:
        self._folder = folder
        self._most = most

    def take(self, sha256: str, into: Path) -> bool:
        """Put the wheel of that hash at ``into`` (a link or a copy), if it is here and still what it was."""
        path = self._folder / sha256.lower()
        with contextlib.suppress(OSError):  # unreadable, or another run removed it: as if it had not been here
            if not path.is_file():
                return False
            link_or_copy(path, into)
            if sha256_of(into) == sha256.lower():
                used_now(path)
                return True
            into.unlink()
            path.unlink()
        return False

    def keep(self, path: Path, sha256: str) -> None:
        """Keep a wheel whose hash was computed just now."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            most = min(self._most, shutil.disk_usage(self._folder).free // 4)
            if path.stat().st_size > most:
                return
            temporary = self._folder / f".{sha256}.{os.getpid()}"
            link_or_copy(path, temporary)
            temporary.replace(self._folder / sha256)
            used_now(self._folder / sha256)
        except OSError:
            return  # the disk is full or the folder not ours: it is fetched again another time
        prune(self._folder, most)


def link_or_copy(path: Path, into: Path) -> None:
    """The same file under another name; a copy where the filesystem differs. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        into.unlink()
    try:
        os.link(path, into)
    except OSError:
        shutil.copyfile(path, into)


class JsonStore:
    """Facts that were expensive to find out, as JSON values by key (any text, such as a URL and an ETag)."""

    def __init__(self, folder: Path, *, most: int = _FACTS) -> None:
        self._folder = folder
        self._most = most

    def get(self, key: str) -> Any:
        """The value for ``key``; None where nothing usable is kept."""
        path = self._folder / name_of(key)
        try:
            entry = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(entry, dict) or entry.get("key") != key:
            return None
        used_now(path)
        return entry.get("value")

    def put(self, key: str, value: Any) -> None:
        """Keep what JSON can hold. Raises TypeError for anything else."""
        if write_whole(self._folder / name_of(key), (json.dumps({"key": key, "value": value}).encode(),)):
            prune(self._folder, self._most)
