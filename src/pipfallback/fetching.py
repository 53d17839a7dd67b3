"""The file of one candidate: fetched, and looked into before anything is done with it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipfallback.builds import Candidate, Metadata, with_metadata
from pipfallback.compatibility import Decision, Policy
from pipfallback.inspection.wheel import InvalidWheelError, contradiction, read_metadata
from pipfallback.looking_inside import Inside
from pipfallback.net.download import Downloader, Fetched
from pipfallback.net.failures import FetchFailure
from pipfallback.outcome import Attempt, Stage
from pipfallback.pip import PipRun


class AttemptFailed(Exception):  # noqa: N818  (it is no error: it ends one attempt)
    """One stage did not succeed. ``fetch`` and ``pip`` hold what failed there, ``cause`` and ``hint`` what an import showed."""

    def __init__(
        self,
        stage: Stage,
        error: str,
        *,
        fetch: FetchFailure | None = None,
        pip: PipRun | None = None,
        about: frozenset[str] = frozenset(),
        cause: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(error)
        self.cause = cause
        self.hint = hint
        self.stage: Stage = stage
        self.fetch = fetch
        self.pip = pip
        self.about = about


def attempt_of(candidate: Candidate, stage: Stage, started: float, error: str | None) -> Attempt:
    """What is told of an attempt that began at ``started`` (``time.monotonic``); ``error`` None: it succeeded."""
    seconds = round(time.monotonic() - started, 3)
    return Attempt(
        location=candidate.location,
        filename=candidate.build.filename,
        source=candidate.source,
        stage=stage,
        ok=error is None,
        error=error,
        seconds=seconds,
    )


def fetch(candidate: Candidate, downloader: Downloader) -> Fetched:
    """Download a candidate. Raises AttemptFailed."""
    result = downloader.fetch(candidate.location, candidate.build.filename, candidate.sha256)
    if isinstance(result, FetchFailure):
        raise AttemptFailed("fetch", result.message, fetch=result)
    return result


def look_into(
    candidate: Candidate, fetched: Fetched, policy: Policy, imports: Sequence[str], inside: Inside
) -> Metadata:
    """What the file says of itself. Raises AttemptFailed where that contradicts its name or this environment."""
    try:
        metadata = read_metadata(fetched.path)
        if (lie := contradiction(candidate.build, metadata)) is not None:
            raise AttemptFailed("inspect", lie)
        known = replace(candidate, sha256=fetched.sha256)
        decision = judged(known, fetched.path, metadata, policy, imports, inside=inside)
    except InvalidWheelError as error:
        raise AttemptFailed("inspect", str(error)) from None
    if not decision.accepted:
        raise AttemptFailed("inspect", "; ".join(mismatch.text for mismatch in decision.mismatches))
    return metadata


def judged(
    candidate: Candidate, path: Path, metadata: Metadata, policy: Policy, imports: Sequence[str], *, inside: Inside
) -> Decision:
    """The decision on a wheel on disk, with all that it says of itself. Raises InvalidWheelError."""
    return inside.judge_file(replace(candidate, build=with_metadata(candidate.build, metadata)), path, policy, imports)
