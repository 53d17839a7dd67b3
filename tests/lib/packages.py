"""pipfallback's own wheel, as a release has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pipfallback

ROOT = Path(__file__).parent.parent.parent
# The modules under test: those of the checkout, or those of the wheel where .ci/built took src away.
PACKAGE = Path(pipfallback.__file__).parent


def in_repository(name: str) -> Path:
    """The file that the repository has under ``name``, such as ``src/pipfallback/pip.py``."""
    inside = name.removeprefix("src/pipfallback/")
    return ROOT / name if inside == name else PACKAGE / inside


def build_own_wheel(folder: Path) -> Path:
    """Build the sdist, and from it the wheel, into ``folder``. Needs no network: this environment has the backend.

    Where .ci/built took src away, it is the wheel that is being tested.
    """
    if tested := os.environ.get("PIPFALLBACK_TESTED_WHEEL"):
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(tested, folder))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return next(folder.glob("*.whl"))
