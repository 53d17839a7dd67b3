"""A child with the user's own terminal and streams: started, waited for without delay, and never left behind.

What only POSIX offers, without ``subprocess``: that alone takes as long to import as Python takes to start.
"""

from __future__ import annotations

import os
import select
import signal
import time

TYPE_CHECKING = False  # typing's own is half of Python's start-up
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    class Process(Protocol):
        """What can be ended."""

        def wait(self, timeout: float | None = None) -> int | None:
            """The exit code; None where it runs on after ``timeout`` seconds."""

        def terminate(self) -> None:
            """SIGTERM."""

        def kill(self) -> None:
            """SIGKILL."""


_LOOK = 0.005  # seconds between two calls of ``meanwhile``
_GRACE = 20.0  # seconds that a child has for each step of its end

# Python ignores them, and what a program ignores its children ignore (execve(2)): pip's would not end with their reader.
_DEFAULTS = [getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)]


class Child:
    """A process that was started with our own streams, and all that our caller handed down (a shell's "<(command)").

    What we open ourselves is not inherited (PEP 446). Raises OSError where the program cannot be started.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._number = os.posix_spawnp(command[0], list(command), environ, setsigdef=_DEFAULTS)
        self._exit_code: int | None = None
        self._end = _watched(self._number)

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code, negative for a signal; None where it runs on after ``timeout`` seconds."""
        if timeout is None:
            self._ended(0)
        elif self._end is None:
            self._look_again_and_again(timeout)
        elif self._end.poll(timeout * 1000):
            self._ended(0)
        return self._exit_code

    def _look_again_and_again(self, timeout: float) -> None:
        """Where the system does not tell of a child's end: macOS, a Linux before 5.3."""
        deadline = time.monotonic() + timeout
        while not self._ended(os.WNOHANG) and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.005))

    def _ended(self, options: int) -> bool:
        if self._exit_code is None:
            number, status = os.waitpid(self._number, options)
            if number:
                self._exit_code = os.waitstatus_to_exitcode(status)
        return self._exit_code is not None

    def terminate(self) -> None:
        """SIGTERM, if it still runs."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if not self._ended(os.WNOHANG):
            os.kill(self._number, number)


def _watched(number: int) -> select.poll | None:
    """What tells of the end of a process at once (pidfd_open(2)); None where nothing does."""
    try:
        descriptor = os.pidfd_open(number)  # it closes with us; a command starts a handful of children
    except (AttributeError, OSError):
        return None
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return poll


def run(
    command: Sequence[str], *, environ: Mapping[str, str] | None = None, meanwhile: Callable[[], None] | None = None
) -> int:
    """Run ``command`` to its end; its exit code, negative for a signal. See ``processes.run_visibly``."""
    return attended(Child(command, os.environ if environ is None else environ), meanwhile)


def attended(process: Process, meanwhile: Callable[[], None] | None) -> int:
    """Wait for a child, calling ``meanwhile`` every few milliseconds; the exit code. It never outlives this call."""
    try:
        while True:
            if meanwhile is not None:
                meanwhile()
            exit_code = process.wait(None if meanwhile is None else _LOOK)
            if exit_code is not None:
                return exit_code
    except KeyboardInterrupt:
        end(process, patient=True)
        raise
    except BaseException:
        end(process, patient=False)
        raise


def end(process: Process, *, patient: bool) -> None:
    """End a child, with time for each step; ``patient``: it was interrupted, too, and may end by itself.

    Nothing stops this, for what the child changes is put back afterwards: a second Ctrl-C goes on to the next step.
    """
    for stop in (None, process.terminate, process.kill) if patient else (process.terminate, process.kill):
        if stop is not None:
            stop()
        try:
            ended = process.wait(_GRACE) is not None
        except (KeyboardInterrupt, SystemExit):
            continue
        if ended:
            return
