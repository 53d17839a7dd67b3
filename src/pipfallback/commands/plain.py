"""An install that names nothing of the catalog: it is pip's, until pip meets a managed package as a dependency.

Nothing is prepared, and nothing that only the story needs is imported, until then.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pipfallback.arguments import CommandLine
from pipfallback.asks import Asks
from pipfallback.commands.choosing import installer_without_probe
from pipfallback.commands.passing import become_pip
from pipfallback.commands.starting import finish_interrupted_runs
from pipfallback.pip import Meeting, PipRun
from pipfallback.pip_failures import Cause, Failure
from pipfallback.requests import Request
from pipfallback.rewording import words_without_building
from pipfallback.target import Target
from pipfallback.terminal import teller

if TYPE_CHECKING:
    from pipfallback.install import Opened
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
    with ExitStack() as stack:
        run, begun = _run(asks, target, watched, stack)
        if begun is not None:
            # Whoever waited for another run has a pip that knows of an environment that is gone.
            begun.outcome = begun.story.run() if begun.waited else begun.story.after(run)
    if begun is not None and begun.outcome is not None:
        from pipfallback.commands.managed import report_outcome  # start-up: only after a story

        report_outcome(begun.outcome, begun.job)
        return begun.outcome.exit_code
    if run.failure is not None and run.failure.cause is Cause.UNSUPPORTED_WHEEL:
        _tell_why_refused(command, wheels, target.executable)
    return run.exit_code


def _run(asks: Asks, target: Target, names: frozenset[str], stack: ExitStack) -> tuple[PipRun, Opened | None]:
    """Run pip; and the story that is to be told, within ``stack``, where a managed package was met."""
    begun: list[Opened] = []

    def begin() -> Transaction | None:
        from pipfallback.commands.managed import job_of  # start-up: only where a package is met
        from pipfallback.install import opened

        begun.append(stack.enter_context(opened(job_of(asks, target))))
        return None if begun[0].waited else begun[0].place.transaction

    command = asks.command
    run = installer_without_probe(command, target).run(
        words_without_building(command, names), meeting=Meeting(names=names, met=begin) if names else None
    )
    if not begun and mentions(run.failure, names):
        begin()
    return run, begun[0] if begun else None


def mentions(failure: Failure | None, names: frozenset[str]) -> bool:
    """Whether pip failed, in a way that another build could cure, over something that the catalog knows."""
    if failure is None or not failure.cause.curable:
        return False
    plain = failure.message.lower().replace("_", "-")
    return any(name in plain for name in names)


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
