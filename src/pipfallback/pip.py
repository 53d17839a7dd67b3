"""The only module that runs pip. What its failure means stands in ``pip_failures.py``.

pip runs in the target interpreter, with the user's own terminal and streams. The shim that starts it tells of errors
on a side channel and keeps what is about to change (``_pip_shim.py``, ``_undo_log.py``).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from packaging.specifiers import SpecifierSet

from pipfallback import processes
from pipfallback.errors import TargetError
from pipfallback.machine import Installation
from pipfallback.pip_failures import Failure, understand
from pipfallback.shim_files import ANSWER, CHANNEL, CONFIG, MET, SHIM


class Recorder(Protocol):
    """What a transaction offers to a run of pip: where to keep what is about to change."""

    @property
    def recording(self) -> Mapping[str, object]:
        """``journal``, ``stash`` and ``roots`` of ``_undo_log.UndoLog``."""

    @property
    def scratch(self) -> Path:
        """A folder for files that the run needs, which goes even if this process is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """What is to happen when pip is about to install one of the packages ``names``, before it changes anything.

    ``met`` is called once and gives what is to record the changes from there on; None ends pip instead, since what it
    has found out does not hold any more.
    """

    names: Collection[str]
    met: Callable[[], Recorder | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipRun:
    """A pip that has ended. ``failure`` is None where it succeeded."""

    exit_code: int
    failure: Failure | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pip:
    """pip for one target interpreter. ``borrowed``: the folder of another pip, where the target has none.

    ``by``: a program of ours and its words, which runs the shim (``_pip_elsewhere.py``).
    """

    executable: str
    borrowed: str | None = None
    by: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As it is called in messages."""
        return "pip"

    @property
    def writes_report(self) -> bool:
        """A pip older than 22.2 refuses the option itself."""
        return True

    def run(
        self,
        words: Sequence[str],
        recorder: Recorder | None = None,
        *,
        quiet: bool = False,
        variables: Mapping[str, str] | None = None,
        meeting: Meeting | None = None,
    ) -> PipRun:
        """Run pip with ``words``, its output live on the user's streams; what it changes is kept by ``recorder``.

        ``quiet``: nothing of it is shown, and it cannot ask; what went wrong stands in ``failure`` alone. ``variables``
        are added to its environment. ``meeting``: where there is no recorder yet, when one is needed.
        """
        scratch = None if recorder is None else recorder.scratch
        with tempfile.TemporaryDirectory(prefix="pipfallback-", dir=scratch) as folder:
            channel = Path(folder, CHANNEL)
            config = {
                "channel": str(channel),
                "parent": os.getpid(),
                "pip": self.borrowed,
                "undo": None if recorder is None else dict(recorder.recording),
                "hold": None,
                "meeting": None if meeting is None else _meeting_config(meeting, Path(folder)),
            }
            settings = Path(folder, CONFIG)
            settings.write_text(json.dumps(config), encoding="utf-8")
            environ = {**os.environ, **variables} if variables else None
            command = [self.executable, *self.by, SHIM, str(settings), *words]
            if quiet:
                done = processes.capture(command, env=environ)
            else:
                waiting = None if meeting is None else Waiting(meeting, Path(folder))
                done = processes.run_visibly(command, env=environ, meanwhile=waiting)
            return ended(done.exit_code if done.exit_code is not None else 1, channel, done.seconds)

    def become(self, words: Sequence[str]) -> NoReturn:
        """Turn this process into pip (on Windows: run it, wait, and exit with its code)."""
        command = [self.executable, "-m", "pip", *words]
        if self.borrowed is not None and self.borrowed.endswith(".whl"):
            # The wheel that ensurepip brings runs as it is (a wheel is importable; pip's own documentation).
            command = [self.executable, str(Path(self.borrowed, "pip")), *words]
        elif self.borrowed is not None:
            command = [sys.executable, "-m", "pip", "--python", self.executable, *words]
        sys.stdout.flush()
        sys.stderr.flush()
        if os.name == "nt":
            sys.exit(processes.run_visibly(command).exit_code)
        os.execv(command[0], command)  # noqa: S606  (no shell is wanted)


def ended(exit_code: int, channel: Path, seconds: float) -> PipRun:
    """A run whose pip has ended with that code (negative: a signal), and what it told on its channel."""
    failure = understand(_read(channel), exit_code) if exit_code else None
    # A pip that was killed: its signal as shells report it.
    return PipRun(exit_code=exit_code if exit_code >= 0 else 128 - exit_code, failure=failure, seconds=seconds)


def _meeting_config(meeting: Meeting, folder: Path) -> dict[str, object]:
    return {"names": sorted(meeting.names), "met": str(folder / MET), "answer": str(folder / ANSWER)}


class Waiting:
    """Answers a pip that waits at a meeting; ``folder``: where the two exchange their files."""

    def __init__(self, meeting: Meeting, folder: Path) -> None:
        self._meeting = meeting
        self._met = folder / MET
        self._answer = folder / ANSWER
        self._done = False

    def __call__(self) -> None:
        """Look whether pip waits, and let it go on, watched."""
        if self._done or not self._met.exists():
            return
        self._done = True
        recorder = self._meeting.met()
        draft = self._answer.with_suffix(".draft")
        draft.write_text(json.dumps(None if recorder is None else dict(recorder.recording)), encoding="utf-8")
        draft.replace(self._answer)


def pip_for(installation: Installation, python_version: str) -> Pip:
    """The pip that serves a target: its own, else pipfallback's own, else the one that its ensurepip brings.

    Raises TargetError where none of them serves that Python.
    """
    if installation.pip is not None:
        return Pip(executable=installation.executable)
    own = own_pip(installation, python_version)
    if own is not None:
        return own
    bundled = sorted(Path(installation.paths.get("stdlib", ""), "ensurepip", "_bundled").glob("pip-*.whl"))
    if bundled:
        return Pip(executable=installation.executable, borrowed=str(bundled[-1]))
    raise TargetError(
        f"{installation.executable} has no pip",
        details=(
            f"pipfallback's own pip {own_pip_version()} does not serve Python {python_version}",
            "and this Python has no ensurepip",
        ),
        hints=(
            f"uv pip install --python {installation.executable} pip",
            "on Debian and Ubuntu: apt install python3-pip",
        ),
    )


def own_pip(installation: Installation, python_version: str) -> Pip | None:
    """pipfallback's own pip for a target, None where it does not serve that Python (its Requires-Python)."""
    own = importlib.metadata.distribution("pip")
    if not SpecifierSet(own.metadata["Requires-Python"] or "").contains(python_version, prereleases=True):
        return None
    return Pip(executable=installation.executable, borrowed=str(own.locate_file("")))


def own_pip_version() -> str:
    """The version of the pip that pipfallback itself depends on."""
    return importlib.metadata.version("pip")


def _read(channel: Path) -> list[dict[str, object]]:
    """The records; a last line that has no end was cut short when pip was killed."""
    if not channel.exists():
        return []
    return [json.loads(line) for line in channel.read_text(encoding="utf-8").split("\n")[:-1]]
