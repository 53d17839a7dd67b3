"""An install that pip does first, by itself, until it meets a managed package.

Nothing is prepared, and nothing that only the story needs is imported, until then; or until ``Course.prepare``, where a
managed package is asked for by name.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pipfallback.arguments import CommandLine
from pipfallback.asks import Asks
from pipfallback.commands.choosing import installer_without_probe
from pipfallback.commands.passing import become_pip
from pipfallback.commands.starting import finish_interrupted_runs, read_command, read_words
from pipfallback.pip import Meeting, PipRun, Waiting, ended
from pipfallback.pip_failures import Cause, Failure, distribution_in
from pipfallback.requests import Request
from pipfallback.rewording import words_without_building
from pipfallback.target import Target
from pipfallback.terminal import teller

if TYPE_CHECKING:
    from pipfallback.install import Opened
    from pipfallback.primary import Job
    from pipfallback.transaction import Transaction


def install_plain(asks: Asks, target: Target, names: frozenset[str]) -> int:
    """Let pip install; where it cannot install a package of ``names``, or that does not work, fall back.

    The exit code; raises what ends a failed fallback.
    """
    command = asks.command
    watched = names if command.own.fallback and not command.has("--dry-run") else frozenset()
    wheels = [ask.request for ask in asks.requirements if ask.request.is_wheel]
    if not (watched or wheels or command.own.lock):
        return become_pip(command, target)
    finish_interrupted_runs()
    course = Course(asks, target, watched)
    with ExitStack() as stack:
        stack.push(course.close)
        course.after(
            installer_without_probe(command, target).run(
                words_without_building(command, watched),
                meeting=Meeting(names=watched, met=course.begin) if watched else None,
            )
        )
    return course.ended()


def course_of(words: Sequence[str], executable: str, names: Collection[str]) -> Course:
    """The course of an install whose words were seen to be plain, for that interpreter."""
    target = Target(executable=executable)
    return Course(read_command(read_words(words), target), target, frozenset(names))


class Course:
    """What an install that is pip's comes to: pip's own end, or a story that begins where pip meets a managed package.

    Its transaction is open until ``close``.
    """

    def __init__(self, asks: Asks, target: Target, names: frozenset[str]) -> None:
        self._asks = asks
        self._target = target
        self._names = names
        self._expected = not names.isdisjoint(asks.names)
        self._job: Job | None = None
        self._stack = ExitStack()
        self._begun: Opened | None = None
        self._run = PipRun(exit_code=1, failure=None, seconds=0.0)
        self.close = self._stack.__exit__

    def prepare(self) -> Job:
        """Read and import what a story needs, and refuse what it cannot be told for. Raises what ``job_of`` raises."""
        if self._job is None:
            from pipfallback.commands.managed import checked, job_of  # start-up: only where a package is met

            self._job = job_of(checked(self._asks), self._target)
        return self._job

    def begin(self) -> Transaction | None:
        """Open the story; what is to record pip's changes, or None where another run came between."""
        job = self.prepare()
        from pipfallback.install import opened  # start-up: only where a package is met

        self._begun = self._stack.enter_context(opened(job))
        return None if self._begun.waited else self._begun.place.transaction

    def answer(self, folder: str) -> None:
        """Answer a pip that waits, in the ``folder`` that it exchanges files with us."""
        Waiting(Meeting(names=self._names, met=self.begin), Path(folder))()

    def follow(self, exit_code: int, channel: str, seconds: float) -> None:
        """Pip has ended: see ``after``, and ``pip.ended`` for the arguments."""
        self.after(ended(exit_code, Path(channel), seconds))

    def after(self, run: PipRun) -> None:
        """Pip has ended: tell the story, if one was begun, or if a managed package was asked for or failed."""
        self._run = run
        if self._begun is None and (self._expected or mentions(run.failure, self._names)):
            self.begin()
        if self._begun is not None:
            # Whoever waited for another run has a pip that knows of an environment that is gone.
            story = self._begun.story
            self._begun.outcome = story.run() if self._begun.waited else story.after(run)

    def ended(self) -> int:
        """Tell what came of it, once all is closed; the exit code. Raises what ends a failed fallback."""
        run = self._run
        if self._begun is not None and self._begun.outcome is not None:
            from pipfallback.commands.managed import report_outcome  # start-up: only after a story

            report_outcome(self._begun.outcome, self._begun.job)
            return self._begun.outcome.exit_code
        if run.failure is not None and run.failure.cause is Cause.UNSUPPORTED_WHEEL:
            wheels = [ask.request for ask in self._asks.requirements if ask.request.is_wheel]
            _tell_why_refused(self._asks.command, wheels, self._target.executable)
        return run.exit_code


def mentions(failure: Failure | None, names: frozenset[str]) -> bool:
    """Whether pip failed, in a way that another build could cure, over something that the catalog knows."""
    if failure is None or not failure.cause.curable:
        return False
    return distribution_in(failure.message, names) is not None


def _tell_why_refused(command: CommandLine, wheels: Sequence[Request], executable: str) -> None:
    """A wheel that the catalog does not know is pip's; but where pip refuses it, the reason is told."""
    from pipfallback.builds import UnreadableFilenameError, read_build  # start-up: only where pip refused a wheel
    from pipfallback.choice import tag_mismatches
    from pipfallback.looking import look

    tell = teller(command)
    environment, _ = look(executable, command, os.environ)
    for request in wheels:
        try:
            build = read_build(request.location or request.text)
        except UnreadableFilenameError:
            continue
        for mismatch in tag_mismatches(build, environment):
            tell(f"{mismatch.rule}: {mismatch.text}")
    tell("no flag makes pip accept it; a fallbacks.toml entry would let pipfallback try other builds")
