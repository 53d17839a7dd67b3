"""``--outcome FILE``: what happened, as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pipfallback.errors import UsageError


def check(name: str) -> None:
    """Refuse a file that cannot be written before anything is changed. Raises UsageError."""
    folder = Path(name).absolute().parent
    if not folder.is_dir() or Path(name).is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"--outcome {name}: no file can be written there")


def write(name: str, document: object) -> None:
    """Write it. Raises UsageError."""
    try:
        Path(name).write_text(json.dumps(document) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--outcome {name}: {error.strerror}") from None
