"""Which verifications were passed: an import of torch takes seconds, and what has not changed need not be tried again.

A record lies in the user's state folder, never in the environment, under a name made of everything that the verdict
hangs on. It holds no more than the verdict, and is dropped when it is old.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pipfallback.environment import Environment
from pipfallback.installed import Installed
from pipfallback.state import state_folder

Passed = Literal["works", "imports"]

_KEPT = 90 * 86_400  # seconds
_KNOWN: Mapping[str, Passed] = {"works": "works", "imports": "imports"}


class Memory:
    """What is known to work in one environment. ``verified`` gives a passed verdict, ``remember`` keeps one.

    ``environment``: its torch, driver and GPUs are part of what a verdict hangs on.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def verified(self, name: str, installed: Mapping[str, Installed], how: Sequence[object]) -> Passed | None:
        """The verdict that was passed for exactly what is installed now, None where nothing is known.

        ``how``: what was tried (modules, smoke test, folders), as values of JSON.
        """
        file = self._file(name, installed, how)
        try:
            return None if file is None else _KNOWN.get(file.read_text(encoding="utf-8"))
        except OSError:
            return None

    def remember(self, name: str, installed: Mapping[str, Installed], how: Sequence[object], verdict: Passed) -> None:
        """Keep a verdict; where that cannot be written, the next run tries again."""
        file = self._file(name, installed, how)
        if file is None:
            return
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            _drop_old(file.parent)
            unfinished = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
            unfinished.write_text(verdict, encoding="utf-8")
            unfinished.replace(file)

    def _file(self, name: str, installed: Mapping[str, Installed], how: Sequence[object]) -> Path | None:
        distribution = installed.get(name)
        content = None if distribution is None else _content(distribution)
        if content is None:
            return None
        environment = self._environment.to_json()
        facts = [
            {key: environment.get(key) for key in ("python", "platform", "torch", "driver", "gpus")},
            # An import also dies of another numpy: all that is installed counts.
            sorted((each.name, each.version) for each in installed.values()),
            content,
            list(how),
            # What an import can be turned by from outside.
            {key: os.environ.get(key) for key in ("PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD")},
        ]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
        try:
            return state_folder() / "verified" / digest
        except OSError:
            return None


def _content(distribution: Installed) -> Sequence[object] | None:
    """RECORD, and the size and time of every file in it: a file that was damaged later is no longer what was tried."""
    fingerprint = distribution.fingerprint
    if fingerprint is None:
        return None
    found: list[object] = [str(distribution.info), fingerprint]
    for path in distribution.files():
        try:
            status = path.stat()
        except OSError:
            if path.suffix == ".pyc":  # compiled again when needed
                continue
            return None
        if path.suffix != ".pyc":
            found.append((status.st_size, status.st_mtime_ns))
    return found


def _drop_old(folder: Path) -> None:
    oldest = time.time() - _KEPT
    for file in folder.iterdir():
        if file.stat().st_mtime < oldest:
            file.unlink(missing_ok=True)
