"""The port of what installs: pip, or uv. The story of an install is told once, and knows only this.

Both adapters take the words of a pip command line: ``pip.Pip`` hands them on, ``uv.Uv`` translates them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn, Protocol

from pipfallback.pip import Meeting, PipRun, Recorder


class Installer(Protocol):
    """What installs into one target interpreter.

    An adapter changes nothing before ``recorder`` can undo it: each path that it is about to make, change or remove
    stands in the recorder's journal (``_undo_log.UndoLog``) before that happens, also where the process is killed in
    between. Its process ends with this one, and holds the file ``alive`` of the recording locked as long as it runs.
    """

    @property
    def name(self) -> str:
        """What it is called in a message: "pip" or "uv"."""

    @property
    def executable(self) -> str:
        """The target's interpreter, which also verifies what was installed."""

    @property
    def writes_report(self) -> bool:
        """Whether ``--report`` may be asked of it (pip 22.2)."""

    def run(
        self,
        words: Sequence[str],
        recorder: Recorder | None = None,
        *,
        quiet: bool = False,
        variables: Mapping[str, str] | None = None,
        meeting: Meeting | None = None,
    ) -> PipRun:
        """Run one command once and wait for it. A command that fails is never run a second time.

        ``words``: a pip command line without the program ("install", options, requirements), pipfallback's own options
        taken out. What the installer says reaches the user's streams while it runs, with progress and colours where
        they are a terminal; with ``quiet`` nothing is shown, and it cannot ask. ``variables`` are added to its
        environment. ``meeting``: where there is no recorder yet, when one is needed.

        The exit code is the installer's own; for a signal it is what shells report. ``PipRun.failure`` is None exactly
        where the exit code is 0; its cause, message and text mean the same for every installer: ``message`` of
        NO_MATCH holds "No matching distribution found for NAME", ``text`` of CONFLICT holds "(constraint) NAME" for
        each constraint that takes part.

        Raises UsageError for an option that this installer lacks, before anything is run; OSError where it cannot be
        started; KeyboardInterrupt after it has ended.
        """

    def become(self, words: Sequence[str]) -> NoReturn:
        """Turn this process into the installer (on Windows: run it, wait, and exit with its code)."""
