"""Where journals and locks lie."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs


def state_folder() -> Path:
    """The user's state folder (XDG_STATE_HOME on Linux); below the temporary folder where a user has no home to write.

    A container that runs as a number has no home: its own folder in /tmp serves it as well as one run lasts.
    """
    folder = platformdirs.user_state_path("pipfallback", appauthor=False)
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if os.access(existing, os.W_OK):
        return folder
    return Path(tempfile.gettempdir(), f"pipfallback-{os.getuid() if hasattr(os, 'getuid') else 'user'}")


def has_unfinished_runs() -> bool:
    """Whether a run may have been killed in the middle."""
    folder = state_folder() / "transactions"
    return folder.is_dir() and any(folder.iterdir())
