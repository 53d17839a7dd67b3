"""Files in the cache folder: written whole or not at all, and the oldest removed when they are too many."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path


def name_of(*key: str) -> str:
    """A file name for a key."""
    return hashlib.sha256("\0".join(key).encode("utf-8", "surrogatepass")).hexdigest()


def write_whole(path: Path, parts: Iterable[bytes]) -> bool:
    """Put a file into place at once, so that another run sees the old one or the new one; False where it cannot be.

    A cache that cannot be written is no failure: the next run asks again.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    except OSError:
        return False
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
        Path(temporary).replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # full, read-only: it stays where it is
            Path(temporary).unlink()
        return False
    return True


def prune(folder: Path, most: int) -> None:
    """Remove the files below ``folder`` that were longest not used, until ``most`` bytes are left."""
    files = sorted(_files(str(folder)))
    total = sum(size for _, size, _ in files)
    for _, size, path in files:
        if total <= most:
            return
        with contextlib.suppress(OSError):  # another run was faster
            os.unlink(path)  # noqa: PTH108 - as _files has it
        total -= size


def _files(folder: str) -> Iterator[tuple[float, int, str]]:
    """Time of last use, bytes and path; plain text and ``scandir``, since every page that is kept looks at all others."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:  # another run was faster
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
                continue
            with contextlib.suppress(OSError):
                status = entry.stat()
                yield status.st_mtime, status.st_size, entry.path


def used_now(path: Path) -> None:
    """Note that a file was of use, so that it is not the first to be removed."""
    with contextlib.suppress(OSError):  # somebody else's, or gone
        os.utime(path)
