"""What an install came to: values, for the exit code, the text and the JSON form alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipfallback.compatibility import Decision
from pipfallback.environment import Environment
from pipfallback.installed import Installed
from pipfallback.sources.reading import Note

Stage = Literal["fetch", "inspect", "pip", "verify"]
Status = Literal["primary", "fallback", "failed"]
Ending = Literal["ok", "pip", "nothing-fits", "nothing-works", "no-fallback", "fallback-refused", "locked"]
Verified = Literal["works", "imports", "inconclusive", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One candidate, or a build from source, installed and verified, or undone. ``stage`` is the last that it reached.

    ``location``: its URL, or a requirement; ``filename``: as it is shown. ``unreachable``: its server did not answer, as
    far as the download can tell. ``cause`` and ``hint``: what its import showed (``import_failures.Diagnosis``).
    """

    location: str
    filename: str
    source: str | None
    stage: Stage
    ok: bool
    error: str | None = None
    seconds: float = 0.0
    unreachable: bool = False
    cause: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledNow:
    """What is installed for a request. ``version`` is METADATA's; ``url`` and ``sha256`` None for an index."""

    name: str
    version: str
    url: str | None
    sha256: str | None
    verified: Verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Primary:
    """How the user's own command ended for a request; ``hint``: what would let it succeed, where that is known."""

    ok: bool
    cause: str | None = None
    message: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOutcome:
    """One managed request: what became of it, and everything that was considered and tried.

    ``needless``: the URLs of builds that fit and would have failed as others did; ``notes``: why something of its sources
    was not among the builds.
    """

    request: str
    status: Status
    primary: Primary
    installed: InstalledNow | None = None
    decisions: tuple[Decision, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    needless: frozenset[str] = frozenset()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A distribution whose version is another than before; None: it was, or is, not there."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All of it. ``exit_code`` is what the command ends with, ``ending`` why.

    ``ending``: "ok"; "pip": pip failed in a way that no other build cures, and its words stand; "nothing-fits" and
    "nothing-works": the last request tells; "no-fallback": another build was not to be tried; "fallback-refused": one
    works, and ``--fail-on-fallback`` does not want it; "locked": a lock names the very file, and it does not work.
    ``report``: pip's installation report, where the command wants one.
    """

    status: Status
    exit_code: int
    ending: Ending
    environment: Environment
    requests: tuple[RequestOutcome, ...]
    changed: tuple[Change, ...] = ()
    report: Mapping[str, Any] | None = None


def changes_between(before: Mapping[str, Installed], after: Mapping[str, Installed]) -> tuple[Change, ...]:
    """The distributions whose version differs, by name."""
    versions = [
        (name, before[name].version if name in before else None, after[name].version if name in after else None)
        for name in sorted({*before, *after})
    ]
    return tuple(Change(name=name, before=old, after=new) for name, old, new in versions if old != new)
