"""The one place that runs processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A process that has ended. ``exit_code`` is negative for a signal; None: it was killed at its time-out."""

    exit_code: int | None
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0


def capture(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    timeout: float | None = None,
) -> Finished:
    """Run ``command`` with no standard input and keep what it prints.

    The output goes to files, so that neither a talkative process can block nor a daemon that it leaves behind holds us
    up. At ``timeout`` (seconds) the process and what it started are killed and ``exit_code`` is None. Raises OSError where the program
    cannot be started.
    """
    started = time.monotonic()
    mark = uuid.uuid4().hex
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        # In our own process group: what stops us as a group (a terminal, a supervisor) must stop it too.
        with subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={**(os.environ if env is None else env), _MARK: mark},
            cwd=cwd,
        ) as process:
            exit_code = _waited(process, timeout, mark)
        return Finished(
            exit_code=exit_code,
            stdout=_text(stdout),
            stderr=_text(stderr),
            seconds=time.monotonic() - started,
        )


_MARK = "PIPFALLBACK_CAPTURED"  # in the environment of what is captured, and of all that it starts


def _waited(process: subprocess.Popen[bytes], timeout: float | None, mark: str) -> int | None:
    try:
        return process.wait(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        end_marked(_MARK, mark, grace=0.5)
        return None
    except BaseException:
        process.kill()
        end_marked(_MARK, mark, grace=0.5)
        raise


def run_visibly(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> Finished:
    """Run ``command`` with the user's own terminal and streams; nothing is kept.

    Ctrl-C reaches the child from the terminal itself; the child is waited for, then KeyboardInterrupt is raised again.
    Any other exception (SIGTERM) ends the child. It never outlives this call. Raises OSError where the program cannot
    be started.
    """
    started = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], env=None if env is None else dict(env))
    try:
        exit_code = process.wait()
    except KeyboardInterrupt:
        _end(process, patient=True)
        raise
    except BaseException:
        _end(process, patient=False)
        raise
    return Finished(exit_code=exit_code, seconds=time.monotonic() - started)


def _end(process: subprocess.Popen[bytes], *, patient: bool, grace: float = 20.0) -> None:
    """End a child, with ``grace`` seconds for each step; ``patient``: it was interrupted, too, and may end by itself.

    Nothing stops this, for what the child changes is put back afterwards: a second Ctrl-C goes on to the next step.
    """
    for stop in (None, process.terminate, process.kill) if patient else (process.terminate, process.kill):
        if stop is not None:
            stop()
        try:
            process.wait(timeout=grace)
        except (subprocess.TimeoutExpired, KeyboardInterrupt, SystemExit):
            continue
        return


def end_marked(name: str, value: str, *, grace: float = 5.0) -> int:
    """End every process of this user that was started with NAME=VALUE in its environment; how many there were.

    SIGTERM first, SIGKILL after ``grace`` seconds; all are gone afterwards. What a killed process has left behind is
    found so, whoever its parent is now. Only Linux tells (proc_pid_environ(5)); elsewhere nothing is found.
    """
    found: set[int] = set()
    deadline = time.monotonic() + grace
    while running := _marked(name, value):
        late = time.monotonic() > deadline
        for process in running if late else running - found:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(process, signal.SIGKILL if late else signal.SIGTERM)
        found |= running
        time.sleep(0.02)
    return len(found)


def _marked(name: str, value: str) -> set[int]:
    mark = f"{name}={value}".encode()
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes()
        except OSError:  # another user's, or just gone
            continue
        if mark in environ.split(b"\0"):
            found.add(int(folder.name))
    return found - {os.getpid()}


def _text(output: BinaryIO) -> str:
    output.seek(0)
    return output.read().decode("utf-8", "replace")
