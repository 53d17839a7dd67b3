"""Runs pip in the target interpreter and tells on a side channel why it failed.

Standard library only, Python 3.8 and newer. Called as ``python _pip_shim.py CONFIG [pip's words]``. pip keeps the user's
own terminal and streams; nothing of its internals is imported by name. CONFIG is a JSON file:

    {"channel": FILE, "parent": PID, "pip": PATH or null, "undo": {"journal": F, "stash": D, "roots": [...], "alive": F} or null,
     "hold": {"family": [...], "prefixes": [...], "file": FILE} or null,
     "meeting": {"names": [...], "met": FILE, "answer": FILE} or null}

``pip``: a folder or wheel that holds a pip to use where the interpreter has none. The channel gets one JSON line for
each record that pip logs as a warning or worse, with the chain of exceptions that led to it. ``hold``: pip is to leave
those of torch's ``family`` where they are, and what torch requires whose name begins with one of ``prefixes``; the
constraints that say so are written to ``file``. ``meeting``: where pip is
about to install one of these packages, their names are written to ``met``, and pip waits for ``answer``, an object as
"undo", with which it goes on, or null, with which it ends.
"""

from __future__ import annotations

import os
import sys
import time

# Our own folder holds modules called like pip's (pip.py); only the standard library and site-packages may be found.
# With PYTHONSAFEPATH it is not there, and the first entry is another.
if os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
    del sys.path[0]

import json
import logging
import re
import runpy
from collections import deque
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, Deque, Dict, List, Optional

# With -qqq pip drops its ERROR records before a handler sees them, and tells of an index that is down only at DEBUG; so
# these loggers are lowered (a level on the whole of pip would decide whether build output is shown). Same names in pip 20.3 to 26.3.
_LOWERED = (
    "pip._internal.cli.base_command",
    "pip._internal.commands.install",
    "pip._internal.index.collector",
    "pip._internal.index.package_finder",
    "pip._internal.resolution.resolvelib.factory",
)


# What matters although it is no warning: which indexes were asked, which of them are down, what they have that pip does
# not take, and which requirements contradict each other.
_TELLING = (
    "Could not fetch URL",
    "Discarding ",
    "Fetching project page",
    "Link requires a different Python",
    "The conflict is caused by",
)

# Where pip passes on what a build says, line by line, when it shows or logs that; same name in pip 20.3 to 26.3.
_BUILDS = "pip.subprocessor"

# Of a build's output: nvcc and ninja go on for long after the first error.
_LINES = 1000

# How a record of ours begins that tells how much of a download is missing (pip_failures.py reads it).
_CUT_SHORT = "pipfallback: cut short: "

# What pip says before it changes anything, and where (pip 20.3 to 26.3), at level INFO. That logger is not lowered: pip
# asks it whether a progress bar is to be shown.
_INSTALLS = "pip._internal.req"
_INSTALLING = "Installing collected packages: "

# A version that can be pinned, as it is written normally (PEP 440).
_PEP_440 = re.compile(
    r"(\d+!)?\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[a-z0-9]+([._-][a-z0-9]+)*)?$", re.IGNORECASE
)

# It comes with pip's way to the network, after the standard library's.
_NETWORK = "pip._internal.network.download"


class Channel(logging.Handler):
    """Writes each record, and the exception that is being handled, as a JSON line."""

    def __init__(self, path: str) -> None:
        super().__init__(logging.DEBUG)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115  (open as long as pip runs)
        self._build: Deque[str] = deque(maxlen=_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; one that cannot be written must not disturb pip."""
        try:
            if record.levelno >= logging.WARNING or str(record.msg).lstrip().startswith(_TELLING):
                self.tell(record.levelname, record.getMessage(), sys.exc_info()[1] or _logged_error(record))
            elif record.name == _BUILDS:
                self._build.append(record.getMessage())
        except Exception:  # noqa: BLE001  (a strange record: the text on stderr is the second way to know)
            self.handleError(record)

    def tell(self, level: str, message: str, error: Optional[BaseException] = None) -> None:
        """Write one line; what a build said before goes with it."""
        line = {"level": level, "message": message, "exception": _chain(error), "output": "\n".join(self._build)}
        self._build.clear()
        self._file.write(json.dumps(line, default=str) + "\n")
        self._file.flush()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging.Handler names it)
        """Keep quiet: the terminal is pip's."""


class Meeting:
    """Stops pip before it installs one of the packages ``names``, until pipfallback is ready to keep what changes."""

    def __init__(self, names: List[str], met: str, answer: str) -> None:
        self.names = names
        self.met = met
        self.answer = answer

    def listen(self, logger: logging.Logger) -> None:
        """Hear what a logger is told, whether or not it passes it on."""
        info = logger.info

        def hearing(msg: object, *args: object, **more: Any) -> None:
            info(msg, *args, **more)
            if str(msg).startswith(_INSTALLING):
                self.meet((str(msg) % args)[len(_INSTALLING) :].split(", "))

        logger.info = hearing  # type: ignore[method-assign]

    def meet(self, installing: List[str]) -> None:
        """Where one of the names is among what is about to be installed, ask, wait, and watch the changes from here."""
        found = [name for name in installing if re.sub("[-_.]+", "-", name).lower() in self.names]
        if not found:
            return
        with open(self.met + "~", "w", encoding="utf-8") as file:
            json.dump(found, file)
        os.replace(self.met + "~", self.met)
        while not os.path.exists(self.answer):
            time.sleep(0.002)
        with open(self.answer, encoding="utf-8") as file:
            undo = json.load(file)
        if undo is None:
            sys.stdout.flush()
            os._exit(1)
        hold(undo["alive"])
        watch_changes(undo)


def _logged_error(record: logging.LogRecord) -> Optional[BaseException]:
    """An exception that pip logs before it raises it: only then has it what a failed process said (pip 22)."""
    given = record.args if isinstance(record.args, tuple) else ()
    return next((each for each in given if isinstance(each, BaseException)), None)


def _chain(error: Optional[BaseException]) -> List[Dict[str, Any]]:
    chain: List[Dict[str, Any]] = []
    while error is not None and len(chain) < 20:
        chain.append(
            {
                "class": type(error).__name__,
                "message": _said(error),
                "errno": getattr(error, "errno", None),
                "output": _output(error),
            }
        )
        error = error.__cause__ or error.__context__
    return chain


def _output(error: BaseException) -> Optional[str]:
    """What a process said that failed: a list of lines up to pip 26.2, then part of a text for the terminal."""
    lines = getattr(error, "output_lines", None)
    if not isinstance(lines, list):
        lines = str(getattr(error, "context", None) or "").splitlines(keepends=True)
    return "".join(lines[-_LINES:]) or None


def _said(error: BaseException) -> str:
    """An exception's text; pip's diagnostic errors print as "<Class: reference>" and hold their words as attributes."""
    text = str(error)
    parts = [getattr(error, name, None) for name in ("message", "context")]
    if text.startswith("<%s: " % type(error).__name__) and parts[0]:
        return ": ".join(str(part) for part in parts if part)
    return text


class Gate:
    """A filter of a lowered logger: the channel gets every record, the terminal those that pip's own level lets pass."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter. pip puts its level on the root logger."""
        passes = record.levelno >= logging.getLogger().level
        if not passes:
            self.channel.handle(record)
        return passes


class PipFinder:
    """Stands before the other finders to see pip's modules come (importlib.abc.MetaPathFinder).

    ``folder``: where to find pip itself, without making the folder's other packages importable; None: leave that to
    the others, as everything else.
    """

    def __init__(self, folder: Optional[str], channel: Channel, meeting: Optional[Meeting]) -> None:
        self.folder = folder
        self.channel = channel
        self.meeting = meeting

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:  # noqa: ARG002  (the protocol)
        """Lower a logger when its module comes: made any earlier it would lack the class that pip gives its loggers."""
        if fullname in _LOWERED:
            logger = logging.getLogger(fullname)
            logger.setLevel(logging.DEBUG)
            logger.addFilter(Gate(self.channel))  # type: ignore[arg-type, unused-ignore]  # anything with filter() does
        if fullname == _INSTALLS and self.meeting is not None:
            self.meeting.listen(logging.getLogger(fullname))
        if fullname == _NETWORK:
            watch_downloads(self.channel)
        if fullname == "pip" and self.folder is not None:
            return PathFinder.find_spec(fullname, [self.folder], target)
        return None


def watch_downloads(channel: Channel) -> None:
    """Tell where a connection ends before the bytes that the server announced have come.

    pip before 25.3 takes what came for the whole file, and calls it an invalid wheel.
    """
    from http.client import HTTPResponse

    read = HTTPResponse.read

    def reading(self: HTTPResponse, amt: Optional[int] = None) -> bytes:
        data = read(self, amt)
        if amt and not data and self.length:
            said = {"levelno": logging.WARNING, "levelname": "WARNING", "msg": "%s%d bytes" % (_CUT_SHORT, self.length)}
            channel.handle(logging.makeLogRecord(said))
        return data

    HTTPResponse.read = reading  # type: ignore[method-assign]


def hold(alive: str) -> int:
    """Lock the file ``alive`` as long as this process runs: a later run waits for that lock before it puts things back.

    Each child of pip is marked by an environment variable, so that it can be found.
    """
    os.environ["_PIPFALLBACK_ALIVE"] = alive
    file = os.open(alive, os.O_RDWR | os.O_CREAT, 0o600)
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
    return file


def die_with_parent(parent: int) -> None:
    """End with pipfallback: a pip that outlives it would go on changing what the next run puts back.

    Only Linux has a signal for it; elsewhere the next run waits (``hold``).
    """
    if sys.platform == "linux":
        import ctypes  # 8 ms that only this needs
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, prctl(2)
    if os.getppid() != parent:
        sys.exit(1)


def watch_changes(undo: Dict[str, Any]) -> None:
    """Keep what pip is about to change, by audit hooks (PEP 578)."""
    log = runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), "_undo_log.py"))["UndoLog"]
    sys.addaudithook(log(undo["journal"], undo["stash"], undo["roots"]).hook)


def held(family: List[str], prefixes: List[str], file: str) -> List[str]:
    """pip's words that hold torch, as primary.words_of_primary has them; none where it is not there."""
    from importlib import metadata

    def version(name: str) -> Optional[str]:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    if version("torch") is None:
        return []
    required = [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in metadata.requires("torch") or ()]
    names = {re.sub("[-_.]+", "-", name).lower() for name in required}
    wanted = {*family, *(name for name in names if name.startswith(tuple(prefixes)))}
    there = {name: version(name) for name in sorted(wanted)}
    lines = ["%s==%s\n" % each for each in there.items() if each[1] and _PEP_440.match(each[1])]
    with open(file, "w", encoding="utf-8") as constraints:
        constraints.writelines(lines)
    return ["--constraint", file] if lines else []


def main() -> None:
    """Read the configuration, hang on the handlers, become ``python -m pip``."""
    with open(sys.argv.pop(1), encoding="utf-8") as file:
        config = json.load(file)
    if config["undo"]:
        hold(config["undo"]["alive"])
    die_with_parent(config["parent"])
    channel = Channel(config["channel"])
    logging.getLogger("pip").addHandler(channel)
    meeting = Meeting(**config["meeting"]) if config["meeting"] else None
    if config["hold"]:
        sys.argv[2:2] = held(**config["hold"])
    sys.meta_path.insert(0, PipFinder(config["pip"], channel, meeting))
    if config["undo"]:
        watch_changes(config["undo"])
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


if __name__ == "__main__":  # _uv_shim.py shares hold and die_with_parent
    try:
        main()
    except KeyboardInterrupt:  # before pip was there to say "Operation cancelled by user"
        import signal

        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)  # as Python ends then, without its traceback
