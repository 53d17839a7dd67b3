"""Working or untouched: begin, undo to a point, commit; and the repair of a run that was killed.

What changes is kept by ``_undo_log.UndoLog``, inside pip and here. This module owns the journal's folder, the lock of
the environment, and the way back. A transaction's folder in the user's state folder holds ``transaction.json`` (where
the stash is, which environment), ``journal`` and, once nothing is to be undone any more, ``committed``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipfallback._undo_log import UndoLog
from pipfallback.errors import NotRestoredError
from pipfallback.state import state_folder

_PATIENCE = 2.0  # seconds to wait for another run before saying so

Tell = Callable[[str], None]


class Transaction:
    """One change of an environment that can be undone. Made by ``begin``; it must end in ``commit`` or ``undo``."""

    def __init__(self, folder: Path, *, stash: Path, roots: Iterable[str], lock: FileLock) -> None:
        self._folder = folder
        self._stash = stash
        self._roots = tuple(roots)
        self._lock = lock

    @property
    def recording(self) -> Mapping[str, object]:
        """What a run of pip needs to keep what it changes (``pip.Recorder``)."""
        return {"journal": str(self._journal), "stash": str(self._stash), "roots": list(self._roots)}

    @property
    def _journal(self) -> Path:
        return self._folder / "journal"

    @contextmanager
    def changing(self) -> Iterator[UndoLog]:
        """A log for changes that pipfallback itself makes; each path is given to it before it is touched."""
        log = UndoLog(str(self._journal), str(self._stash), self._roots)
        try:
            yield log
        finally:
            log.close()

    def savepoint(self) -> int:
        """A point that ``undo`` can come back to."""
        with self.changing() as log:
            log.mark()
        return self._journal.stat().st_size

    def undo(self, point: int = 0) -> None:
        """Put back everything that changed since ``point``. Raises NotRestoredError where that is not possible.

        The journal is shortened entry by entry, so that an undo that is itself interrupted goes on where it was.
        """
        try:
            with _uninterrupted():
                _undo(self._journal, point)
                if self._stash.exists() and not any(self._stash.iterdir()):
                    self._stash.rmdir()
        except OSError as error:
            raise NotRestoredError(
                f"the environment could not be restored: {error}",
                details=(f"the old files are in {self._stash}", f"the journal is {self._journal}"),
                hints=("free what stands in the way, then: pipfallback env",),
            ) from error

    def commit(self) -> None:
        """Keep what there is now, and drop what was kept to go back."""
        (self._folder / "committed").touch()
        self.close()

    def close(self) -> None:
        """Drop the stash and the journal, and let the next run in."""
        shutil.rmtree(self._stash, ignore_errors=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.release()


def begin(prefix: str, *, site_packages: str, roots: Iterable[str], tell: Tell) -> Transaction:
    """Begin a change of the environment at ``prefix``; waits for another run on it, and says so after 2 s.

    ``site_packages``: the folder that packages go to (the stash is made on its filesystem, when needed);
    ``roots``: every folder that pip may change.
    """
    lock = _locked(prefix, tell)
    name = uuid.uuid4().hex[:12]
    folder = state_folder() / "transactions" / name
    folder.mkdir(parents=True)
    stash = _stash_beside(Path(site_packages), name)
    header = {"prefix": prefix, "stash": str(stash)}
    _write_durably(folder / "transaction.json", json.dumps(header))
    return Transaction(folder, stash=stash, roots=roots, lock=lock)


def recover(tell: Tell) -> None:
    """Finish what runs that were killed left undone: undo what was not committed, drop what was.

    A run that is still alive holds its environment's lock and is left alone. Raises NotRestoredError.
    """
    for folder in sorted((state_folder() / "transactions").glob("*")):
        header = _header(folder)
        if header is None:
            shutil.rmtree(folder, ignore_errors=True)  # killed before it could change anything
            continue
        lock = _lock(header["prefix"])
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        transaction = Transaction(folder, stash=Path(header["stash"]), roots=(), lock=lock)
        if not (folder / "committed").exists():
            transaction.undo()
            tell(f"an interrupted run had changed {header['prefix']}; it is as it was before that run")
        transaction.close()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let no second Ctrl-C stop the way back; only the main thread may say so (signal)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _header(folder: Path) -> dict[str, Any] | None:
    try:
        header: dict[str, Any] = json.loads((folder / "transaction.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return header


def _locked(prefix: str, tell: Tell) -> FileLock:
    lock = _lock(prefix)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        tell(f"waiting for another pipfallback that is changing {prefix}")
        lock.acquire()
    return lock


def _lock(prefix: str) -> FileLock:
    folder = state_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / (hashlib.sha256(os.path.realpath(prefix).encode()).hexdigest()[:16] + ".lock"))


def _stash_beside(site_packages: Path, name: str) -> Path:
    """A folder on the filesystem of site-packages, where hard links work, and out of Python's sight if possible."""
    real = Path(os.path.realpath(site_packages))
    beside = real.parent
    if real.exists() and os.access(beside, os.W_OK) and beside.stat().st_dev == real.stat().st_dev:
        return beside / f".pipfallback-{name}"
    return real / f".pipfallback-{name}"


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _undo(journal: Path, point: int) -> None:
    if not journal.exists():
        return
    lines = journal.read_bytes()[point:].split(b"\n")
    offsets = [point]
    for line in lines[:-1]:
        offsets.append(offsets[-1] + len(line) + 1)
    # What follows the last newline was cut short by a crash: its change never happened.
    with journal.open("r+b") as file:
        for line, offset in reversed(list(zip(lines[:-1], offsets[:-1], strict=True))):
            _undo_entry(json.loads(line))
            file.truncate(offset)
        file.truncate(point)


def _undo_entry(entry: Mapping[str, Any]) -> None:
    if entry["op"] == "created":
        _remove(entry["path"])
    elif entry["op"] == "kept" and os.path.lexists(entry["stash"]):
        _remove(entry["path"])
        Path(entry["path"]).parent.mkdir(parents=True, exist_ok=True)
        _move(entry["stash"], entry["path"])
    elif entry["op"] == "mode" and os.path.lexists(entry["path"]):
        Path(entry["path"]).chmod(entry["mode"])
        os.utime(entry["path"], ns=(entry["mtime_ns"], entry["mtime_ns"]))


def _remove(path: str) -> None:
    place = Path(path)
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _move(stash: str, path: str) -> None:
    try:
        Path(stash).replace(path)
    except OSError:  # kept on another filesystem
        shutil.move(stash, path)
