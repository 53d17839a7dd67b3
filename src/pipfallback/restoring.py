"""The way back: a journal of ``_undo_log.UndoLog`` replayed from its end.

What stands between two marks is undone as one part, and may be undone twice: a replay leaves alone what was put back
already. So a kill needs no note of each step. After a part the folders that it touched are synced, then the journal is
cut before the part and synced, and only then the part before it begins: after a power loss the journal never lacks a
line whose undoing is not on disk, and no part is replayed over one before it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipfallback._undo_log import STASH_PREFIX, digest, discard, keep_copy, read_journal, sync_folder

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """When the run could change anything: seconds since the epoch, as st_ctime. ``power_lost``: the machine stopped."""

    since: float
    until: float
    power_lost: bool = False


def undo(journal: Path, point: int, span: Span) -> tuple[str, ...]:
    """Undo everything after the byte ``point`` of the journal; paths that came new but were left alone, see ``_sweep``.

    Nothing is touched where something that was kept is gone or was changed. Raises OSError (also for that), ValueError
    where the journal cannot be read; then it may be called again.
    """
    entries, _ = read_journal(str(journal))
    entries = [entry for entry in entries if entry["offset"] >= point]
    for entry in entries:
        _check_kept(entry)
    left: list[str] = []
    while entries:
        start = next((place for place in range(len(entries) - 1, 0, -1) if entries[place]["op"] == "mark"), 0)
        left += _undo_part(entries[start:], span)
        _cut(journal, entries[start]["offset"])
        del entries[start:]
    if journal.exists():
        _cut(journal, point)
    return tuple(left)


def _undo_part(entries: Sequence[Entry], span: Span) -> list[str]:
    left: list[str] = []
    touched = set()
    for entry in reversed(entries):
        if entry["op"] == "created":
            discard(entry["path"])
        elif entry["op"] == "kept" and os.path.lexists(entry["stash"]):
            _put_back(Path(entry["stash"]), Path(entry["path"]))
        elif entry["op"] == "mode" and os.path.lexists(entry["path"]):
            Path(entry["path"]).chmod(entry["mode"])
            os.utime(entry["path"], ns=(entry["mtime_ns"], entry["mtime_ns"]))
        elif entry["op"] == "folder":
            left += _sweep(entry, span)
        if entry["op"] in {"created", "kept"}:
            touched.add(str(Path(entry["path"]).parent))
    for folder in sorted(touched):
        if Path(folder).is_dir():
            sync_folder(folder)
    return left


def _check_kept(entry: Entry) -> None:
    if entry["op"] != "kept":
        return
    path, stash = Path(entry["path"]), Path(entry["stash"])
    if os.path.lexists(stash):
        if "sha256" in entry and digest(str(stash)) != entry["sha256"]:
            raise OSError(errno.EIO, "what was kept has been changed", str(stash))
    elif not _is_back(path, entry):
        raise FileNotFoundError(errno.ENOENT, "what was kept is gone", str(stash))


def _is_back(path: Path, entry: Entry) -> bool:
    """Whether an undo that was interrupted has put it back: a rename keeps the inode, a copy the time."""
    inode: int = entry["inode"]
    mtime_ns: int = entry["mtime_ns"]
    try:
        now = path.lstat()
    except FileNotFoundError:
        return False
    return inode == now.st_ino or mtime_ns == now.st_mtime_ns


def _put_back(stash: Path, path: Path) -> None:
    if _is_same(stash, path):  # the change never happened: where pip may not write, nor may we
        _drop(stash)
        return
    discard(str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        stash.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _put_back_from_elsewhere(stash, path)


def _put_back_from_elsewhere(stash: Path, path: Path) -> None:
    """From another filesystem: copied beside, and in one step at its place; the stash is whole until then."""
    beside = path.with_name(f"{STASH_PREFIX}{stash.name}")
    discard(str(beside))
    keep_copy(str(stash), str(beside))
    beside.replace(path)
    _drop(stash)


def _drop(stash: Path) -> None:
    """In one step: a stash that is there is whole."""
    emptied = stash.with_name(f"{stash.name}-back")
    stash.rename(emptied)
    discard(str(emptied))


def _is_same(stash: Path, path: Path) -> bool:
    """Whether a path still is what was kept of it."""
    try:
        old, new = stash.lstat(), path.lstat()
    except FileNotFoundError:
        return False
    if (old.st_dev, old.st_ino) == (new.st_dev, new.st_ino):
        return True
    if old.st_mode != new.st_mode:
        return False
    if stat.S_ISDIR(old.st_mode):
        names = {each.name for each in stash.iterdir()}
        return names == {each.name for each in path.iterdir()} and all(
            _is_same(stash / name, path / name) for name in names
        )
    if stat.S_ISLNK(old.st_mode):
        return stash.readlink() == path.readlink()
    same_times = (old.st_size, old.st_mtime_ns) == (new.st_size, new.st_mtime_ns)
    return same_times and digest(str(stash)) == digest(str(path))


def _sweep(entry: Entry, span: Span) -> list[str]:
    """Remove what came new into a folder without a line of its own: by a child of pip, or its line was lost with power.

    What others made in the meantime is not ours: left alone, and returned, where it is younger than the run.
    """
    folder = Path(entry["path"])
    if not folder.is_dir() or not (entry["child"] or span.power_lost):
        return []
    left = []
    for name in sorted({each.name for each in folder.iterdir()} - {*entry["names"]}):
        place = folder / name
        if name.startswith(STASH_PREFIX) or (folder.name in {"bin", "Scripts"} and not _is_python_script(place)):
            continue
        if span.since <= place.lstat().st_ctime <= span.until:
            discard(str(place))
        else:
            left.append(str(place))
    if folder.is_dir():
        sync_folder(str(folder))
    return left


def _is_python_script(place: Path) -> bool:
    """In a folder of programs that others fill as well, only what pip or setuptools can have made is looked at."""
    if place.is_symlink() or not place.is_file():
        return False
    with place.open("rb") as file:
        first = file.readline(1024)
    return (first.startswith(b"#!") and b"python" in first) or not first


def _cut(journal: Path, size: int) -> None:
    with journal.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())
