"""The undo log: what is about to change on disk is kept first, and written down so that it can be put back.

Standard library only, Python 3.8 and newer: it runs inside the target's pip (loaded by _pip_shim.py), where audit hooks
(PEP 578) tell of each change before it happens, and in pipfallback itself. The other half, putting back, is
``transaction.py``.

The journal is a file of JSON lines, each written before the change that it undoes:

    {"op": "created", "path": P}              nothing was at P
    {"op": "kept", "path": P, "stash": S}     what was at P is at S now, by hard link where nothing writes in place
    {"op": "mode", "path": P, "mode": M, "mtime_ns": T}
    {"op": "mark"}                            a point to come back to; what follows is logged afresh
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from typing import Any, Callable, Dict, Iterable, List, Optional, Set, Tuple

Path = Any  # what the os functions take: str, bytes, os.PathLike or a file descriptor

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class UndoLog:
    """Keeps what is about to change below ``roots``. Any failure to keep raises, so that the change does not happen.

    ``journal``: the file to append to; ``stash``: a folder on the filesystem of site-packages (made when needed);
    ``roots``: absolute folders, outside of which nothing is recorded.
    """

    def __init__(self, journal: str, stash: str, roots: Iterable[str]) -> None:
        self.stash = stash
        self._roots = tuple(sorted({form for root in roots for form in (root, os.path.realpath(root))}))
        self._covered: Set[str] = set()
        self._folders: Dict[str, str] = {}
        self._busy = False
        self._count = 0
        for entry in read_journal(journal):
            self._count += 1
            if entry["op"] == "mark":
                self._covered = set()
            elif entry["op"] != "mode":
                self._covered.add(entry["path"])
        self._file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def close(self) -> None:
        """Close the journal."""
        os.close(self._file)

    def mark(self) -> None:
        """Begin a part that can be undone by itself."""
        self._write({"op": "mark"})
        self._covered = set()

    def hook(self, event: str, args: Tuple[Any, ...]) -> None:
        """An audit hook (sys.addaudithook) that keeps what pip is about to change."""
        handler = _HANDLERS.get(event)
        if handler is None or self._busy:
            return
        self._busy = True  # what is done below raises the same events
        try:
            handler(self, args)
        finally:
            self._busy = False

    def before_removal(self, path: Path) -> None:
        """``path`` is about to be removed or moved away, with all that is below it."""
        place = self._place(path)
        if place is None or not os.path.lexists(place):
            return
        self._keep(place, _link)

    def before_writing(self, path: Path) -> None:
        """``path`` is about to be made, or written in place."""
        place = self._place(path)
        if place is None:
            return
        if not os.path.lexists(place):
            self._covered.add(place)
            self._write({"op": "created", "path": place})
        elif not os.path.isdir(place):
            self._keep(place, _copy)

    def before_replacing(self, path: Path) -> None:
        """A finished file or folder is about to take the place of ``path``."""
        place = self._place(path)
        if place is not None and os.path.lexists(place):
            self._keep(place, _link)
        elif place is not None:
            self.before_writing(path)

    def before_mode(self, path: Path) -> None:
        """Mode or times of ``path`` are about to change."""
        place = self._place(path)
        if place is None or not os.path.lexists(place):
            return
        info = os.lstat(place)
        self._write({"op": "mode", "path": place, "mode": stat.S_IMODE(info.st_mode), "mtime_ns": info.st_mtime_ns})

    def _keep(self, place: str, how: Callable[[str, str], None]) -> None:
        self._count += 1
        os.makedirs(self.stash, exist_ok=True)
        kept = os.path.join(self.stash, "%d-%d" % (os.getpid(), self._count))
        how(place, kept)
        self._covered.add(place)
        self._write({"op": "kept", "path": place, "stash": kept})

    def _write(self, entry: Dict[str, Any]) -> None:
        os.write(self._file, (json.dumps(entry) + "\n").encode())

    def _place(self, path: Path) -> Optional[str]:
        """The absolute path with its folder's links resolved; None where it is of no concern or covered already."""
        if isinstance(path, int):
            return None
        folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = os.path.realpath(folder)
        place = os.path.join(real, name)
        if not any(place == root or place.startswith(root + os.sep) for root in self._roots):
            return None
        ancestor = place
        while True:
            if ancestor in self._covered or ancestor == self.stash:
                return None
            parent = os.path.dirname(ancestor)
            if parent == ancestor:
                return place
            ancestor = parent


def read_journal(path: str) -> List[Dict[str, Any]]:
    """The journal's entries, oldest first; a last line that a crash cut short counts as not written."""
    try:
        with open(path, "rb") as journal:
            lines = journal.read().split(b"\n")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines[:-1]]


def _link(place: str, kept: str) -> None:
    """Keep by hard links: no bytes are copied, and inode, mode and times come back with the file."""
    if os.path.isdir(place) and not os.path.islink(place):
        os.mkdir(kept)
        for entry in os.scandir(place):
            _link(entry.path, os.path.join(kept, entry.name))
        shutil.copystat(place, kept)
        return
    try:
        os.link(place, kept, follow_symlinks=False)
    except OSError:  # another filesystem (EXDEV), or one without hard links (EPERM, ENOTSUP)
        _copy(place, kept)


def _copy(place: str, kept: str) -> None:
    shutil.copy2(place, kept, follow_symlinks=False)


def _opened(log: UndoLog, args: Tuple[Any, ...]) -> None:
    if args[2] & _WRITING:
        log.before_writing(args[0])


def _renamed(log: UndoLog, args: Tuple[Any, ...]) -> None:
    source, destination = args[:2]
    log.before_removal(source)
    log.before_replacing(destination)


def _removed(log: UndoLog, args: Tuple[Any, ...]) -> None:
    # With a dir_fd the path is relative to a folder that shutil.rmtree announced before, by its own event.
    if len(args) < 2 or args[-1] in (-1, None):
        log.before_removal(args[0])


def _made(log: UndoLog, args: Tuple[Any, ...]) -> None:
    log.before_writing(args[0])


def _linked(log: UndoLog, args: Tuple[Any, ...]) -> None:
    log.before_writing(args[1])


def _mode_changed(log: UndoLog, args: Tuple[Any, ...]) -> None:
    log.before_mode(args[0])


# The events that CPython raises before a change: docs.python.org/3/library/audit_events.html.
_HANDLERS = {
    "open": _opened,
    "os.rename": _renamed,
    "os.remove": _removed,
    "os.rmdir": _removed,
    "shutil.rmtree": _removed,
    "os.mkdir": _made,
    "os.link": _linked,
    "os.symlink": _linked,
    "os.truncate": _made,
    "os.chmod": _mode_changed,
    "os.utime": _mode_changed,
}
