"""The undo log: what is about to change on disk is kept first, and written down so that it can be put back.

Standard library only, Python 3.8 and newer: it runs inside the target's pip (loaded by _pip_shim.py), where audit hooks
(PEP 578) tell of each change before it happens, and in pipfallback itself. The other half, putting back, is
``restoring.py``.

The journal is a file of JSON lines, each written before the change that it undoes:

    {"op": "folder", "path": D, "names": [...], "child": bool}   what is in D, of which something new is about to come
    {"op": "created", "path": P}              nothing was at P
    {"op": "kept", "path": P, "stash": S, …}  what was at P is at S now, by hard link where nothing writes in place
    {"op": "mode", "path": P, "mode": M, "mtime_ns": T}
    {"op": "mark"}                            a point to come back to; what follows is logged afresh

Between two marks a path has one line at most: what is below a line's path is undone with it.

**Power loss.** A line counts only once it is on disk, so one fsync stands between a line and its change where a lost
line would lose something. "kept": the new entries of the stash and then the line are synced before the old file may go;
the bytes of a hard link are not ours to sync, those of a copy are. "created": not synced. A wheel of 2,000 files may
bring as many lines, so the folder's listing is synced instead, once for each folder; what a power loss leaves in that
folder without a line is found by comparing (``restoring.py``), which must know that the machine was started again;
where no boot id tells that, each line is synced.
A kill alone loses nothing that was written, so there the precise lines decide.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import threading
from typing import Any, Callable, Dict, Iterable, List, Optional, Set, Tuple

Path = Any  # what the os functions take: str, bytes, os.PathLike or a file descriptor

STASH_PREFIX = ".pipfallback-"
BOOT_ID = "/proc/sys/kernel/random/boot_id"  # proc_sys_kernel(5); another one after each start of the machine

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PACKAGES = ("site-packages", "dist-packages")
_SCRIPTS = ("bin", "Scripts")
_NO_USE_COPYING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_PROBE = 1 << 20  # bytes: large enough to show in the free space


class UndoLog:
    """Keeps what is about to change below ``roots``. Any failure to keep raises, so that the change does not happen.

    ``journal``: the file to append to; ``stash``: a folder on the filesystem of site-packages (made when needed);
    ``roots``: absolute folders, outside of which nothing is recorded.
    """

    def __init__(self, journal: str, stash: str, roots: Iterable[str]) -> None:
        self.stash = stash
        self._own = (stash, os.path.dirname(os.path.realpath(journal)))
        self._roots = tuple(sorted({form for root in roots for form in (root, os.path.realpath(root))}))
        self._covered: Set[str] = set()
        self._listed: Set[str] = set()
        self._folders: Dict[str, str] = {}
        self._lock = threading.RLock()
        self._busy: Optional[int] = None
        self._count = 0
        self._sync_each = not os.path.exists(BOOT_ID)
        self._file = os.open(journal, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        entries, size = read_journal(journal)
        os.ftruncate(self._file, size)
        for entry in entries:
            self._remember(entry)

    def close(self) -> None:
        """Close the journal."""
        os.close(self._file)

    def mark(self) -> None:
        """Begin a part that can be undone by itself."""
        self._write({"op": "mark"}, durable=False)

    def hook(self, event: str, args: Tuple[Any, ...]) -> None:
        """An audit hook (sys.addaudithook) that keeps what pip is about to change."""
        handler = _HANDLERS.get(event)
        if handler is None or self._busy == threading.get_ident():
            return
        with self._lock:  # progress bars and downloads have threads of their own
            self._busy = threading.get_ident()  # what is done below raises the same events
            try:
                handler(self, args)
            finally:
                self._busy = None

    def before_removal(self, path: Path) -> None:
        """``path`` is about to be removed or moved away, with all that is below it."""
        place = self._place(path)
        if place is not None and os.path.lexists(place):
            self._keep(place, _link)

    def before_writing(self, path: Path) -> None:
        """``path`` is about to be made, or written in place."""
        place = self._place(path)
        if place is None:
            return
        if os.path.islink(place):  # what it leads to is written, wherever that lies
            place = os.path.realpath(place)
            if self._is_covered(place):
                return
        if not os.path.lexists(place):
            self._list(os.path.dirname(place))
            self._write({"op": "created", "path": place}, durable=self._sync_each)
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
        if place is None or not os.path.exists(place):
            return
        place = os.path.realpath(place)
        info = os.stat(place)
        entry = {"op": "mode", "path": place, "mode": stat.S_IMODE(info.st_mode), "mtime_ns": info.st_mtime_ns}
        self._write(entry, durable=True)

    def before_child(self, program: Path) -> None:
        """Another Python is about to run, whose changes nobody announces: an old setup.py installs by itself.

        It is found out afterwards what came new, and kept before what setuptools writes in place.
        """
        if not os.path.basename(os.fsdecode(program)).lower().startswith(("python", "pypy")):
            return
        for root in self._roots:
            if not os.path.isdir(root) or os.path.basename(root) not in _PACKAGES + _SCRIPTS:
                continue
            real = os.path.realpath(root)
            if os.path.basename(root) in _PACKAGES:
                for name in sorted(os.listdir(real)):
                    if name.endswith((".pth", ".egg-link")) and not self._is_covered(os.path.join(real, name)):
                        self._keep(os.path.join(real, name), _copy)
            self._list(real, child=True)

    def _keep(self, place: str, how: Callable[[str, str], None]) -> None:
        if not os.path.isdir(self.stash):
            os.mkdir(self.stash, 0o700)
            sync_folder(os.path.dirname(self.stash))
        kept = os.path.join(self.stash, "%d-%s" % (self._count, os.urandom(4).hex()))
        try:
            if how is _link:
                _check_space(place, self.stash)
            _keep_all(place, kept, how)
            sync_folder(self.stash)
            self._write({"op": "kept", "path": place, "stash": kept, **_identity(kept, how)}, durable=True)
        except BaseException:
            discard(kept)
            raise

    def _list(self, folder: str, *, child: bool = False) -> None:
        if os.path.isdir(folder) and (child or folder not in self._listed):
            entry = {"op": "folder", "path": folder, "names": sorted(os.listdir(folder)), "child": child}
            self._write(entry, durable=True)

    def _write(self, entry: Dict[str, Any], *, durable: bool) -> None:
        """Append one line, whole or not at all."""
        line = (json.dumps(entry) + "\n").encode()
        size = os.fstat(self._file).st_size
        try:
            while line:
                line = line[os.write(self._file, line) :]
            if durable:
                os.fsync(self._file)
        except BaseException:
            os.ftruncate(self._file, size)
            raise
        self._remember(entry)

    def _remember(self, entry: Dict[str, Any]) -> None:
        self._count += 1
        if entry["op"] == "mark":
            self._covered, self._listed = set(), set()
        elif entry["op"] == "folder":
            self._listed.add(entry["path"])
        elif entry["op"] != "mode":
            self._covered.add(entry["path"])

    def _place(self, path: Path) -> Optional[str]:
        """The absolute path with its folder's links resolved; None where it is of no concern or covered already."""
        if isinstance(path, int):
            return None
        plain = os.path.abspath(os.fsdecode(path))
        folder, name = os.path.split(plain)
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = os.path.realpath(folder)
        place = os.path.join(real, name)
        # A package may be a link to a folder elsewhere: either form counts.
        if not any(_is_below(form, root) for form in (plain, place) for root in self._roots):
            return None
        return None if self._is_covered(place) else place

    def _is_covered(self, place: str) -> bool:
        while True:
            if place in self._covered or place in self._own:
                return True
            parent = os.path.dirname(place)
            if parent == place:
                return False
            place = parent


def read_journal(path: str) -> Tuple[List[Dict[str, Any]], int]:
    """The journal's entries, oldest first, each with its "offset", and the size of them all in bytes.

    A last line that a crash cut short counts as not written. Raises ValueError where it is no journal.
    """
    try:
        with open(path, "rb") as journal:
            lines = journal.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return [], 0
    entries, offset = [], 0
    for line in lines:
        entries.append({**json.loads(line), "offset": offset})
        offset += len(line) + 1
    return entries, offset


def sync_folder(path: str) -> None:
    """Make the entries of a folder durable, where its filesystem knows that (Windows does not)."""
    if os.name == "nt":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EROFS):
            raise
    finally:
        os.close(folder)


def digest(path: str) -> str:
    """A file's SHA-256 in hex."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def discard(path: str) -> None:
    """Remove a file, a link or a whole folder if it is there, even if the folder may not be written."""
    if os.path.islink(path) or not os.path.isdir(path):
        if os.path.lexists(path):
            os.remove(path)
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        for folder, folders, _ in os.walk(path):
            for name in ("", *folders):
                inner = os.path.join(folder, name)
                if not os.path.islink(inner):
                    os.chmod(inner, 0o700)  # else its entries could not be removed
        shutil.rmtree(path)


def _identity(kept: str, how: Callable[[str, str], None]) -> Dict[str, Any]:
    """What tells later whether it is still the same, or has been put back already."""
    info = os.lstat(kept)
    known: Dict[str, Any] = {"inode": info.st_ino, "size": info.st_size, "mtime_ns": info.st_mtime_ns}
    if how is _copy and stat.S_ISREG(info.st_mode):
        known["sha256"] = digest(kept)
    return known


def keep_copy(place: str, kept: str) -> None:
    """Copy a file, a link or a whole folder with modes, times and owner; the bytes are on disk afterwards."""
    _keep_all(place, kept, _copy)


def _keep_all(place: str, kept: str, keep_file: Callable[[str, str], None]) -> None:
    if os.path.islink(place) or not os.path.isdir(place):
        keep_file(place, kept)
        return
    os.mkdir(kept)
    for name in os.listdir(place):
        if not name.startswith(STASH_PREFIX):  # it may be site-packages as a whole, with the stash in it
            _keep_all(os.path.join(place, name), os.path.join(kept, name), keep_file)
    sync_folder(kept)
    _copy_owner(place, kept)
    shutil.copystat(place, kept)


def _link(place: str, kept: str) -> None:
    """Keep by hard link: no bytes are copied, and inode, mode and times come back with the file."""
    if place.endswith((".pth", ".egg-link")):  # setuptools writes them in place
        _copy(place, kept)
        return
    try:
        os.link(place, kept, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_USE_COPYING:
            raise
        _copy(place, kept)  # another filesystem (EXDEV), one without hard links (EPERM, ENOTSUP), another owner's file


def _copy(place: str, kept: str) -> None:
    shutil.copy2(place, kept, follow_symlinks=False)
    _copy_owner(place, kept)
    if not os.path.islink(kept):
        file = os.open(kept, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _copy_owner(place: str, kept: str) -> None:
    """Another's file that root keeps stays that other's."""
    old, new = os.lstat(place), os.lstat(kept)
    if os.name != "nt" and (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid) and os.geteuid() == 0:
        os.chown(kept, old.st_uid, old.st_gid, follow_symlinks=False)
        if not os.path.islink(kept):
            os.chmod(kept, stat.S_IMODE(old.st_mode))  # chown drops set-user-ID


def _check_space(place: str, stash: str) -> None:
    """On overlayfs a link of a file of a lower layer copies it up: say so before that fills the disk.

    Nothing tells which layer a file is in, so one file is linked and the free space looked at. Raises OSError (ENOSPC).
    """
    files = [os.path.join(folder, name) for folder, _, names in os.walk(place) for name in names] or [place]
    sizes = sorted((os.lstat(file).st_size, file) for file in files)
    total, free = sum(size for size, _ in sizes), shutil.disk_usage(stash).free
    if total < free or os.path.isdir(sizes[0][1]):
        return
    size, probe = next(((size, file) for size, file in sizes if size >= _PROBE), sizes[-1])
    linked = os.path.join(stash, "probe-%s" % os.urandom(4).hex())
    try:
        os.link(probe, linked, follow_symlinks=False)
        is_lower = free - shutil.disk_usage(stash).free >= size // 2
    finally:
        discard(linked)
    if is_lower:
        text = "%s is in a lower layer of an overlay filesystem: changing it needs %d MB, %d MB are free"
        raise OSError(errno.ENOSPC, text % (place, total >> 20, free >> 20))


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _renamed(log: UndoLog, args: Tuple[Any, ...]) -> None:
    source, destination = args[:2]
    log.before_removal(source)
    log.before_replacing(destination)


def _removed(log: UndoLog, args: Tuple[Any, ...]) -> None:
    # With a dir_fd the path is relative to a folder that shutil.rmtree announced before, by its own event.
    if len(args) < 2 or args[-1] in (-1, None):
        log.before_removal(args[0])


def _folder_removed(log: UndoLog, args: Tuple[Any, ...]) -> None:
    # pip tries it on each folder above what it moved (os.removedirs), site-packages included: that will fail.
    if isinstance(args[0], int) or not os.path.isdir(args[0]) or not os.listdir(args[0]):
        _removed(log, args)


def _child_started(log: UndoLog, args: Tuple[Any, ...]) -> None:
    executable, words = args[:2]
    if executable is None:
        executable = words if isinstance(words, (str, bytes, os.PathLike)) else words[0]
    log.before_child(executable)


# The events that CPython raises before a change: docs.python.org/3/library/audit_events.html.
_HANDLERS: Dict[str, Callable[[UndoLog, Tuple[Any, ...]], None]] = {
    "open": lambda log, args: log.before_writing(args[0]) if args[2] & _WRITING else None,
    "os.rename": _renamed,
    "os.remove": _removed,
    "os.rmdir": _folder_removed,
    "shutil.rmtree": _removed,
    "os.mkdir": lambda log, args: log.before_writing(args[0]),
    "os.link": lambda log, args: log.before_writing(args[1]),
    "os.symlink": lambda log, args: log.before_writing(args[1]),
    "os.truncate": lambda log, args: log.before_writing(args[0]),
    "os.chmod": lambda log, args: log.before_mode(args[0]),
    "os.utime": lambda log, args: log.before_mode(args[0]),
    "subprocess.Popen": _child_started,
}
