"""A terminal as a person sees it: a real pty, and an emulator that draws what is written to it."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO

import pyte

# The child takes the pty as its controlling terminal, so that Ctrl-C comes as a signal, and becomes the program.
_BECOME = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


class Terminal:
    """A pty of ``columns`` and ``rows``, open while in the ``with`` block. ``raw``: all that was written to it.

    ``start`` runs a program in it; ``stream`` writes to it from this process.
    """

    def __init__(self, columns: int = 80, rows: int = 60, screen: type[pyte.Screen] = pyte.Screen) -> None:
        self.raw = b""
        self.screen = screen(columns, rows)
        self._drawing = pyte.ByteStream(self.screen)
        self._ours, self._theirs = os.openpty()
        self._process: subprocess.Popen[bytes] | None = None
        self._resize(columns, rows)

    def __enter__(self) -> Terminal:  # noqa: PYI034 - typing.Self needs Python 3.11
        """It is open from the beginning."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End what still runs in it, and close it."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def start(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        """Run a program in it, in a session of its own; ``stdout`` and ``stderr``: a file instead of the terminal."""
        become = [sys.executable, "-c", _BECOME, *(str(word) for word in command)]
        self._process = subprocess.Popen(
            become,
            stdin=self._theirs,
            stdout=self._theirs if stdout is None else stdout,
            stderr=self._theirs if stderr is None else stderr,
            cwd=cwd,
            env={"TERM": "xterm-256color", **env},
            start_new_session=True,
        )

    def stream(self, encoding: str = "utf-8") -> TextIO:
        """What writes to it from here; to be closed."""
        return os.fdopen(os.dup(self._theirs), "w", encoding=encoding)

    def resize(self, columns: int) -> None:
        """Make it wider or narrower, and tell the program (SIGWINCH)."""
        self.screen.resize(columns=columns)
        self._resize(columns, self.screen.lines)
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGWINCH)

    def _resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text: str) -> None:
        """Type something: "\\x03" is Ctrl-C."""
        os.write(self._ours, text.encode())

    def until(self, holds: Callable[[str], bool], *, timeout: float = 60) -> str:
        """Draw until ``holds`` of the text on the screen; that text. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while not holds(self.text):
            if time.monotonic() > deadline:
                raise TimeoutError(self.text)
            self._read(0.05)
        return self.text

    def finish(self, *, timeout: float = 120) -> int:
        """Draw until the program has ended; its exit code. Raises TimeoutError."""
        assert self._process is not None
        process, deadline = self._process, time.monotonic() + timeout
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(self.text)
            self._read(0.05)
        self.draw()
        return process.returncode

    def draw(self) -> list[str]:
        """Draw all that was written so far; the lines."""
        while self._read(0.1):
            continue
        return self.lines

    def _read(self, seconds: float) -> bool:
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        data = os.read(self._ours, 1 << 16)
        self.raw += data
        self._drawing.feed(data)
        return True

    @property
    def lines(self) -> list[str]:
        """The lines on the screen, without what is empty at its end."""
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def text(self) -> str:
        """The same as one text."""
        return "\n".join(self.lines)

    @property
    def shows_cursor(self) -> bool:
        """Whether the cursor can be seen."""
        return not self.screen.cursor.hidden
