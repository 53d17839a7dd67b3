"""A file that is not whole yet: its bytes, and beside them which are there and of which version of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pipfallback.net.cache_files import name_of, write_whole

_KEPT = 7 * 86400  # seconds: what nobody went on with for so long is dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is there of a file: ``size`` in all, the parts, and the strong validator of that version (RFC 9110 8.8)."""

    size: int
    validator: str
    done: tuple[tuple[int, int], ...]


class Partial:
    """One file on its way, in a folder that is nobody else's for now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "data"
        self._state = folder / "state.json"

    def load(self) -> State | None:
        """What an earlier run or try left; None where it cannot be trusted."""
        try:
            about = json.loads(self._state.read_bytes())
            done = tuple((int(start), int(end)) for start, end in about["done"])
            state = State(size=int(about["size"]), validator=str(about["validator"]), done=done)
            length = self.path.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return state if done and state.validator and max(end for _, end in done) <= length else None

    def save(self, size: int, validator: str, done: Sequence[tuple[int, int]]) -> None:
        """Note what is there; the bytes themselves must be written before."""
        write_whole(self._state, (json.dumps({"size": size, "validator": validator, "done": done}).encode(),))

    def forget(self) -> None:
        """Begin anew: what is there is not the file, or of another version of it."""
        for path in (self._state, self.path):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


@contextlib.contextmanager
def claimed(kept: Path | None, scratch: Path, url: str) -> Iterator[Partial]:
    """The partial file of a URL, for this process alone.

    It lies in ``kept``, where a later run can go on with it, or, where there is no such folder, it cannot be written,
    or another process is at it, in ``scratch``, and is gone afterwards. Raises OSError where that cannot be written.
    """
    folder = None if kept is None else kept / name_of(url)
    lock = None if folder is None else _lock(folder)
    if folder is not None and lock is not None:
        try:
            yield Partial(folder)
            if not (folder / "data").exists():
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()
        _drop_old(folder.parent)
        return
    own = Path(tempfile.mkdtemp(dir=scratch, prefix="partial-"))
    try:
        yield Partial(own)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _lock(folder: Path) -> FileLock | None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire(blocking=False)
    except (OSError, Timeout):
        return None
    return lock


def _drop_old(folder: Path) -> None:
    for partial in folder.iterdir():
        with contextlib.suppress(OSError):  # another run was faster
            newest = max((Path(each.path).stat().st_mtime for each in os.scandir(partial)), default=0.0)
            if time.time() - newest > _KEPT:
                shutil.rmtree(partial, ignore_errors=True)
