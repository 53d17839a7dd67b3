"""Where journals and locks lie."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs


def state_folder() -> Path:
    """The user's state folder (XDG_STATE_HOME on Linux); below the temporary folder where a user has no home to write.

    A container that runs as a number has no home: its own folder in /tmp serves it as well as one run lasts. There the
    folder is made, for nobody else; one that another user has made under that name is not taken.
    """
    own, *temporary = _places()
    existing = next(parent for parent in (own, *own.parents) if parent.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return own
    for folder in temporary:
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if not _is_ours(folder):
                continue
        return folder
    raise PermissionError(f"{own} cannot be written, and {temporary[0]} belongs to someone else")


def transactions() -> tuple[Path, ...]:
    """The folders of all transactions that were not finished, wherever they could lie."""
    own, *temporary = _places()
    folders = [place / "transactions" for place in (own, *filter(_is_ours, temporary))]
    return tuple(sorted(each for folder in folders if folder.is_dir() for each in folder.iterdir()))


def has_unfinished_runs() -> bool:
    """Whether a run may have been killed in the middle."""
    return bool(transactions())


def _places() -> tuple[Path, ...]:
    user = str(os.getuid()) if hasattr(os, "getuid") else "user"
    names = (f"pipfallback-{user}", f"pipfallback-{user}-2", f"pipfallback-{user}-3")
    temporary = Path(tempfile.gettempdir())
    return (platformdirs.user_state_path("pipfallback", appauthor=False), *(temporary / name for name in names))


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder that only this user can have filled."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
