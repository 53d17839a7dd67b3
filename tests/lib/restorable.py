"""A folder that is made as it was again in milliseconds, and what changed in it meanwhile."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

Stamp = tuple[int, int, int]


class Restorable:
    """``path`` as it is now, kept in ``copy``. What changed is known by size and time without reading a file."""

    def __init__(self, path: Path, copy: Path) -> None:
        self.path = path
        self._copy = copy
        shutil.copytree(path, copy, symlinks=True)
        self._before = dict(_stamps(path))

    def changed(self) -> dict[str, Path | None]:
        """The files and folders that are new or other than they were, by relative path; None for one that is gone."""
        now = dict(_stamps(self.path))
        new = {name: self.path / name for name, stamp in now.items() if self._before.get(name) != stamp}
        return {**new, **{name: None for name in self._before if name not in now}}

    def restore(self) -> None:
        """Take away what is new and bring back what was there."""
        changed = self.changed()
        if not changed:
            return
        for path in sorted((path for path in changed.values() if path is not None), reverse=True):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        for name in sorted(self._before.keys() - dict(_stamps(self.path)).keys()):
            kept, path = self._copy / name, self.path / name
            if kept.is_symlink():
                path.symlink_to(kept.readlink())
            elif kept.is_dir():
                path.mkdir()
                shutil.copymode(kept, path)
            else:
                shutil.copy2(kept, path)
        self._before = dict(_stamps(self.path))


def _stamps(folder: Path) -> Iterator[tuple[str, Stamp]]:
    """Each path below, with its mode, and a file's size and time; a folder's time changes with every file in it."""
    start = len(os.fspath(folder)) + 1
    waiting = [os.fspath(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(entry.path)
                    yield entry.path[start:], (status.st_mode, 0, 0)
                else:
                    yield entry.path[start:], (status.st_mode, status.st_size, status.st_mtime_ns)
