"""Counts the steps of a run that change something, and stops the run at one of them. Found through PYTHONPATH.

Every Python of the run loads it: pipfallback, pip, the verification. A step is an audit event (PEP 578) of a change
below one of the plan's folders, a write or an fsync of a file there, the start of a process, or the end of one. It is
told before it happens. FAULTS names a JSON file:

    {"folders": [...], "trace": FILE, "at": number of a step or null, "how": "raise" | "interrupt" | "kill" | …}
"""

from __future__ import annotations

import atexit
import errno
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

RECORD = 512  # bytes of one step in the trace, so that its size counts them

_PATHS: Mapping[str, tuple[int, ...]] = {  # which arguments of an event are paths
    "open": (0,),
    "os.rename": (0, 1),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.mkdir": (0,),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.utime": (0,),
    "shutil.rmtree": (0,),
}
_IN_FOLDER = ("os.remove", "os.rmdir")  # their last argument may be the folder that the path is relative to
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_write, _fsync = os.write, os.fsync


class Injector:
    """One process of the run."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.folders = tuple(plan["folders"])
        self.at = plan["at"]
        self.how = plan["how"]
        self.trace = os.open(plan["trace"], os.O_RDWR | os.O_APPEND | os.O_CREAT)

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            self.step(event, Path(os.fsdecode(args[1][1])).name if len(args[1]) > 1 else "")
        elif event in _PATHS and not (event == "open" and not args[2] & _WRITING):
            inside = args[-1] if event in _IN_FOLDER and len(args) > 1 and args[-1] not in {-1, None} else None
            paths = [self.named(args[place], inside) for place in _PATHS[event]]
            if any(path.startswith(self.folders) for path in paths):
                self.step(event, " -> ".join(paths))

    def named(self, path: Any, inside: int | None = None) -> str:
        """The absolute path of an argument, which may be a descriptor, or relative to the folder ``inside``."""
        if isinstance(path, int):
            try:
                return str(Path(f"/proc/self/fd/{path}").readlink())
            except OSError:
                return ""
        folder = Path.cwd() if inside is None else Path(self.named(inside))
        return os.path.normpath(folder / os.fsdecode(path))

    def write(self, descriptor: int, content: bytes) -> int:
        if (path := self.named(descriptor)).startswith(self.folders):
            self.step("write", path, descriptor=descriptor, content=content)
        return _write(descriptor, content)

    def fsync(self, descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        if (path := self.named(number)).startswith(self.folders):
            self.step("fsync", path)
        _fsync(number)

    def step(self, event: str, what: str, *, descriptor: int = -1, content: bytes = b"") -> None:
        number = os.fstat(self.trace).st_size // RECORD
        line = json.dumps([_role(), event, what])[: RECORD - 1].ljust(RECORD - 1) + "\n"
        _write(self.trace, line.encode())
        if number == self.at:
            self.stop(descriptor, content)

    def stop(self, descriptor: int, content: bytes) -> None:
        if self.how == "raise":
            raise OSError(errno.EIO, "injected")
        if self.how == "interrupt":
            raise KeyboardInterrupt
        if self.how == "kill parent" and _role() != "pipfallback":
            os.kill(os.getppid(), signal.SIGKILL)  # pip goes on until it notices
            return
        if content:
            _write(descriptor, content[: len(content) // 2])  # a line that is cut short
        if self.how == "kill group":
            os.killpg(0, signal.SIGKILL)
        else:
            _die()


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _role() -> str:
    words = " ".join(sys.orig_argv[:3])
    return "pip" if "_pip_shim.py" in words else "verify" if "_verify.py" in words else "pipfallback"


def _start() -> None:
    with open(os.environ["FAULTS"], encoding="utf-8") as file:  # noqa: PTH123  (pathlib's is no faster, and counts)
        injector = Injector(json.load(file))
    atexit.register(injector.step, "exit", "")
    sys.addaudithook(injector.hook)
    os.write, os.fsync = injector.write, injector.fsync  # type: ignore[assignment]  # they raise no audit event


if "FAULTS" in os.environ:
    _start()
