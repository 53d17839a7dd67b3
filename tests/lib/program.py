"""pipfallback as its users run it: a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.venvs import isolated_environ


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a process ended and what it said."""

    code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """Both streams and the exit code, for a failing test's message."""
        return f"exit code {self.code}\n--- stdout\n{self.stdout}--- stderr\n{self.stderr}"


def run_pipfallback(
    args: Sequence[str | Path],
    *,
    python: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> Completed:
    """Run ``pipfallback ARGS`` with the interpreter that runs the tests.

    ``python`` is the target: ``--python PATH`` is put behind the command's name. Without ``env`` it runs in
    ``isolated_environ`` with a home of its own that is gone afterwards. Raises subprocess.TimeoutExpired.
    """
    target = () if python is None else ("--python", python)
    command = [sys.executable, "-m", "pipfallback", *args[:1], *target, *args[1:]]
    with tempfile.TemporaryDirectory(prefix="home-") as home:
        return run(command, cwd=cwd or Path(home), env=env or isolated_environ(Path(home)), timeout=timeout)


def run(
    command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str], timeout: float = 120
) -> Completed:
    """Run any program without a terminal or standard input. Raises subprocess.TimeoutExpired."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return Completed(
        code=done.returncode,
        stdout=done.stdout.decode("utf-8", "replace"),
        stderr=done.stderr.decode("utf-8", "replace"),
    )
