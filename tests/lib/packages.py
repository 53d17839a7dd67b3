"""pipfallback's own wheel, as a release has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def build_own_wheel(folder: Path) -> Path:
    """Build the sdist, and from it the wheel, into ``folder``. Needs no network: this environment has the backend."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return next(folder.glob("*.whl"))
