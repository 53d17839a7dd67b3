"""The one place that runs processes."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipfallback import children

if sys.platform != "win32":
    import fcntl
    import termios


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


def run_visibly(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Finished:
    """Run ``command`` with the user's own terminal and streams; nothing is kept.

    ``meanwhile`` is called every few milliseconds as long as the child runs; what it raises ends the child.

    Ctrl-C reaches the child from the terminal itself; the child is waited for, then KeyboardInterrupt is raised again.
    Any other exception (SIGTERM) ends the child. It never outlives this call. Raises OSError where the program cannot
    be started.
    """
    started = time.monotonic()
    words = [str(part) for part in command]
    if sys.platform == "win32":
        # With what our caller handed down: what we open ourselves is not inherited (PEP 446).
        process = subprocess.Popen(words, env=None if env is None else dict(env), close_fds=False)
        exit_code = children.attended(_Started(process), meanwhile)
    else:
        exit_code = children.run(words, environ=env, meanwhile=meanwhile)
    return Finished(exit_code=exit_code, seconds=time.monotonic() - started)


class _Started:
    """A process of the standard library's, as ``children`` waits for one and ends it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.terminate = process.terminate
        self.kill = process.kill

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code; None where it runs on after ``timeout`` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None


def run_watched(
    command: Sequence[str | Path], *, show: Callable[[bytes], bytes], env: Mapping[str, str] | None = None
) -> Finished:
    """Run ``command`` as ``run_visibly`` does, and keep what it says on standard error, which passes through ``show``.

    ``show`` is given the bytes as they come, b"" at the end, and returns what goes on to our own standard error. Where
    that is a terminal the child's is one, too, of the same size, so that its colours and progress bars stay (not on
    Windows). Standard input and output are the user's own.
    """
    started = time.monotonic()
    ours, theirs = _error_stream()
    try:
        process = subprocess.Popen(
            [str(part) for part in command], stderr=theirs, env=None if env is None else dict(env)
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    kept: list[bytes] = []
    copying = threading.Thread(target=_copy_errors, args=(ours, show, kept), daemon=True)
    copying.start()
    try:
        exit_code = children.attended(_Started(process), None)
    finally:
        copying.join(timeout=_LAST_WORDS)  # what it left behind may hold the stream open for ever
    text = b"".join(kept).decode("utf-8", "replace")
    return Finished(exit_code=exit_code, stderr=text, seconds=time.monotonic() - started)


_LAST_WORDS = 2.0  # seconds


def _error_stream() -> tuple[int, int]:
    """(what we read, what the child writes): a terminal where ours is one, else a pipe."""
    if sys.platform == "win32" or not os.isatty(2):
        return os.pipe()
    ours, theirs = os.openpty()
    settings = termios.tcgetattr(theirs)
    settings[1] &= ~termios.OPOST  # the user's own terminal does what is to be done to line ends
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    size = fcntl.ioctl(2, termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    return ours, theirs


def _copy_errors(source: int, show: Callable[[bytes], bytes], kept: list[bytes]) -> None:
    """Until the last writer has gone. That our own standard error is closed is no reason to stop reading."""
    while True:
        try:
            data = os.read(source, 1 << 16)
        except OSError:  # EIO: how a terminal says that nobody writes any more (pty(7))
            data = b""
        kept.append(data)
        shown = show(data)
        with contextlib.suppress(OSError):
            while shown:
                shown = shown[os.write(2, shown) :]
        if not data:
            os.close(source)
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
