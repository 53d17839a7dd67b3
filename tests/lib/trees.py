"""Folders compared file for file."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

Tree = dict[str, "Entry"]


class Entry(NamedTuple):
    """One path: its kind, its permission bits, and a file's SHA-256 or a link's target."""

    kind: Literal["file", "folder", "link"]
    mode: int
    content: str


def tree(path: Path) -> Tree:
    """Everything below ``path`` by relative path. Two equal trees hold the same files with the same contents."""
    found: Tree = {}
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            full = Path(folder, name)
            found[full.relative_to(path).as_posix()] = _entry(full)
    return dict(sorted(found.items()))


def changes(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> list[str]:
    """What differs, one line each ("+ path", "- path", "! path"): empty where nothing does."""
    added = [f"+ {path}" for path in after if path not in before]
    removed = [f"- {path}" for path in before if path not in after]
    changed = [f"! {path}" for path in before if path in after and before[path] != after[path]]
    return added + removed + changed


def _entry(path: Path) -> Entry:
    status = path.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return Entry("link", 0, str(path.readlink()))
    if stat.S_ISDIR(status.st_mode):
        return Entry("folder", mode, "")
    return Entry("file", mode, hashlib.sha256(path.read_bytes()).hexdigest())
