"""Working or untouched: begin, undo to a point, commit; and the repair of a run that was killed.

What changes is kept by ``_undo_log.UndoLog``, inside pip and here; ``restoring.py`` puts it back. This module owns the
journal's folder, the lock of the environment, and the order of things. A transaction's folder in the user's state
folder holds ``transaction.json`` (where the stash is, which environment), ``journal`` and ``alive`` (locked by pip as
long as it runs). It is renamed to ``closed-…`` at once when nothing is to be undone any more; then it is dropped.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipfallback import processes, restoring
from pipfallback._undo_log import BOOT_ID, STASH_PREFIX, UndoLog, sync_folder
from pipfallback.errors import NotRestoredError, PipfallbackError
from pipfallback.restoring import Span
from pipfallback.state import state_folder, transactions

_PATIENCE = 2.0  # seconds to wait for another run before saying so
_CLOSED = "closed-"
_ALIVE_VARIABLE = "_PIPFALLBACK_ALIVE"  # set by _pip_shim.hold
# A clock of the filesystem ticks more coarsely than time.time(), and some count whole seconds.
_COARSE = 2.0

Tell = Callable[[str], None]


class Transaction:
    """One change of an environment that can be undone. Made by ``begin``; it must end in ``commit`` or ``undo``.

    ``waited``: another run had to end first, so what was known of the environment before may be true no more.
    """

    def __init__(
        self,
        folder: Path,
        *,
        header: Mapping[str, Any],
        roots: Iterable[str],
        lock: FileLock,
        tell: Tell,
        waited: bool = False,
    ) -> None:
        self._folder = folder
        self._header = header
        self._stash = Path(header["stash"])
        self._scratch = Path(header["scratch"])
        self._roots = tuple(roots)
        self._lock = lock
        self._tell = tell
        self.waited = waited

    @property
    def scratch(self) -> Path:
        """A folder for what the run downloads and writes down; it goes with the transaction, also after a kill."""
        self._scratch.mkdir(mode=0o700, exist_ok=True)
        return self._scratch

    @property
    def recording(self) -> Mapping[str, object]:
        """What a run of pip needs to keep what it changes (``pip.Recorder``)."""
        return {
            "journal": str(self._journal),
            "stash": str(self._stash),
            "roots": list(self._roots),
            "alive": str(self._alive),
        }

    @property
    def _journal(self) -> Path:
        return self._folder / "journal"

    @property
    def _alive(self) -> Path:
        return self._folder / "alive"

    @contextlib.contextmanager
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

        A process that pip left behind is ended first. An undo that was interrupted goes on where it was.
        """
        try:
            with _uninterrupted():
                left = restoring.undo(self._journal, point, self._span())
                if self._stash.exists() and not any(self._stash.iterdir()):
                    self._stash.rmdir()
        except (OSError, ValueError, KeyError) as error:
            give_up = ("rm", "-rf", str(self._folder), str(self._stash))
            raise NotRestoredError(
                f"the environment could not be restored: {error}",
                details=(f"the old files are in {self._stash}", f"the journal is {self._journal}"),
                hints=(
                    "free what stands in the way, then finish with: pipfallback env",
                    f"or keep what is there now, and give up the old files: {shlex.join(give_up)}",
                ),
            ) from error
        for place in left:
            self._tell(f"{place} came up during or after that run, and nothing shows that pip made it: left alone")

    def commit(self) -> None:
        """Keep what there is now, and drop what was kept to go back. Raises PipfallbackError, after an undo."""
        with _uninterrupted():
            try:
                if self._stash.exists():
                    _flush(self._stash.parent)  # else a power loss could take the new files when the old are gone
                closed = self._set_aside()
            except OSError as error:
                self.undo()
                self.close()
                raise PipfallbackError(f"the change could not be made final, and is undone: {error}") from error
            self._drop(closed)

    def close(self) -> None:
        """Drop what an undo has left, and let the next run in, which drops what could not be dropped here."""
        with _uninterrupted():
            try:
                self._drop(self._set_aside())
            except OSError:
                self._lock.release()

    def _set_aside(self) -> Path:
        """From now on nothing is to be undone any more."""
        closed = self._folder.with_name(_CLOSED + self._folder.name)
        self._folder.rename(closed)
        return closed

    def _drop(self, closed: Path) -> None:
        # Where it is not known to be on disk that nothing is to be undone, the old files stay until the next run.
        with contextlib.suppress(OSError):
            sync_folder(str(closed.parent))
            _drop(closed, self._stash, self._scratch)
        self._lock.release()

    def _span(self) -> Span:
        """When this run could change anything, with nothing of it running any more."""
        ended = self._end_survivors()
        since = self._header["began"] - _COARSE
        if self._header["boot"] != _boot_id():
            return Span(since=since, until=_boot_time(), power_lost=True)
        is_own = self._header["pid"] == os.getpid()
        last_sign = self._journal.stat().st_mtime if self._journal.exists() else since
        return Span(since=since, until=time.time() if is_own or ended else last_sign + _COARSE)

    def _end_survivors(self) -> int:
        """End what pip has started; wait for a pip that outlived its pipfallback. How many were ended."""
        ended = processes.end_marked(_ALIVE_VARIABLE, str(self._alive))
        if self._alive.exists():
            pip = FileLock(self._alive)
            _acquire(pip, f"waiting for a pip that still changes {self._header['prefix']}", self._tell)
            pip.release()
        return ended


def begin(prefix: str, *, site_packages: str, roots: Iterable[str], tell: Tell) -> Transaction:
    """Begin a change of the environment at ``prefix``; waits for another run on it, and says so after 2 s.

    ``site_packages``: the folder that packages go to, which stands for the environment (the stash is made on its
    filesystem, when needed); ``roots``: every folder that pip may change. What a run that was killed in the meantime
    left there is put back first. Raises NotRestoredError for that, PipfallbackError where no journal can be written.
    """
    site = Path(os.path.realpath(site_packages))
    shown = prefix if site.is_relative_to(os.path.realpath(prefix)) else site_packages
    try:
        lock = _lock(str(site))
        waited = _acquire(lock, f"waiting for another pipfallback that is changing {shown}", tell)
        try:
            for folder in transactions():
                header = _header(folder)
                if header is not None and header["site"] == str(site):
                    _finish(folder, header, lock, tell)
                    _acquire(lock, "", tell)
                    waited = True
            return _begun(shown, site, roots, lock, tell, waited=waited)
        except BaseException:
            lock.release(force=True)
            raise
    except OSError as error:
        raise PipfallbackError(
            f"no change can be made undoable: {error}", hints=("XDG_STATE_HOME names another folder for the journal",)
        ) from error


def recover(tell: Tell) -> None:
    """Finish what runs that were killed left undone: undo what was not committed, drop what was.

    A run that is still alive holds its environment's lock and is left alone. Raises NotRestoredError, after all others
    are finished.
    """
    trouble: list[NotRestoredError] = []
    for folder in transactions():
        header = _header(folder)
        if header is None:
            shutil.rmtree(folder, ignore_errors=True)  # killed before it could change anything, or when all was done
            continue
        lock = _lock(header["site"])
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        try:
            if folder.exists():  # another run may have just finished it
                _finish(folder, header, lock, tell)
        except NotRestoredError as error:
            trouble.append(error)
        finally:
            lock.release(force=True)
    if trouble:
        raise trouble[0]


def _begun(shown: str, site: Path, roots: Iterable[str], lock: FileLock, tell: Tell, *, waited: bool) -> Transaction:
    name = uuid.uuid4().hex[:12]
    state = state_folder()
    folder = state / "transactions" / name
    folder.mkdir(parents=True)
    header = {
        "prefix": shown,
        "site": str(site),
        "existed": site.exists(),
        "stash": str(_stash_for(site, folder)),
        "scratch": str(Path(tempfile.gettempdir(), f"pipfallback-{name}").absolute()),
        "boot": _boot_id(),
        "began": time.time(),
        "pid": os.getpid(),
    }
    _write_durably(folder / "journal", "")
    _write_durably(folder / "transaction.json", json.dumps(header))
    for made in (folder, folder.parent, state):
        sync_folder(str(made))
    return Transaction(folder, header=header, roots=roots, lock=lock, tell=tell, waited=waited)


def _finish(folder: Path, header: Mapping[str, Any], lock: FileLock, tell: Tell) -> None:
    """Finish the transaction of a run that is dead; its environment's lock is held, and released here."""
    if folder.name.startswith(_CLOSED):
        _drop(folder, Path(header["stash"]), Path(header["scratch"]))
        lock.release()
        return
    transaction = Transaction(folder, header=header, roots=(), lock=lock, tell=tell)
    changed = _holds_changes(folder / "journal")
    # Not the folder itself: pip moves a site-packages that holds nothing but the one package as a whole.
    if header["existed"] and not Path(header["site"]).parent.exists():
        tell(f"an interrupted run had changed {header['prefix']}, which is gone")
    else:
        transaction.undo()
        if changed:
            tell(f"an interrupted run had changed {header['prefix']}; it is as it was before that run")
    transaction.close()


def _holds_changes(journal: Path) -> bool:
    """Whether a journal says more than where attempts began."""
    lines = journal.read_bytes().splitlines() if journal.exists() else []
    return any(b'"mark"' not in line for line in lines)


def _drop(closed: Path, stash: Path, scratch: Path) -> None:
    """The folder last: as long as it is there, the next run tries again."""
    for kept in (stash, scratch):
        shutil.rmtree(kept, ignore_errors=True)
    if not (stash.exists() or scratch.exists()):
        shutil.rmtree(closed, ignore_errors=True)


@contextlib.contextmanager
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
            signal.signal(number, handler or signal.SIG_DFL)


_HEADER: dict[str, type | tuple[type, ...]] = {
    "prefix": str,
    "site": str,
    "existed": bool,
    "stash": str,
    "scratch": str,
    "boot": (str, type(None)),
    "began": float,
    "pid": int,
}


def _header(folder: Path) -> dict[str, Any] | None:
    """What a run wrote before it changed anything; None where it did not come so far, or this is not ours."""
    try:
        header = json.loads((folder / "transaction.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(header, dict) or not all(isinstance(header.get(key), kind) for key, kind in _HEADER.items()):
        return None
    return header


def _acquire(lock: FileLock, waiting: str, tell: Tell) -> bool:
    """Take a lock; whether another run held it. Where it takes longer than ``_PATIENCE``, that is said as ``waiting``.

    The kernel frees a dead owner's lock.
    """
    for patience in (0.0, _PATIENCE):
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            continue
        return patience > 0
    tell(waiting)
    lock.acquire()
    return True


def _lock(site: str) -> FileLock:
    folder = state_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / (hashlib.sha256(os.fsencode(site)).hexdigest()[:16] + ".lock"))


def _stash_for(site: Path, folder: Path) -> Path:
    """A folder on the filesystem of site-packages, where hard links work, and out of Python's sight if possible.

    Where that cannot be written, pip will not change it either (it installs for the user alone): beside the journal.
    """
    existing = next(each for each in (site, *site.parents) if each.exists())
    beside = existing if existing != site else site.parent
    for place in (beside, existing):
        if os.access(place, os.W_OK) and place.stat().st_dev == existing.stat().st_dev:
            return place / f"{STASH_PREFIX}{folder.name}"
    return folder / "stash"


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """Write to disk all that is pending on the folder's filesystem (syncfs(2)), or on all of them."""
    if sys.platform == "linux":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            ctypes.CDLL(None).syncfs(descriptor)
        finally:
            os.close(descriptor)
    elif hasattr(os, "sync"):
        os.sync()


def _boot_time() -> float:
    """Seconds since the epoch. Only Linux has boot ids to ask for it."""
    if sys.platform != "linux":
        return time.time()
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot_id() -> str | None:
    try:
        return Path(BOOT_ID).read_text(encoding="ascii")
    except OSError:  # not Linux
        return None
