"""What a failed dry run of pip means for a lock."""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement

from pipfallback.locking.entries import LockError
from pipfallback.pip_failures import Cause, Failure
from pipfallback.requests import redacted

_SHOWN = 12  # lines of what pip said
# The class of an error before its text, as the side channel notes it: "ResolutionImpossible: ...".
_CLASS = re.compile(r"[A-Z]\w*[a-z][A-Z]\w*: ")


def missing_in(failure: Failure) -> Requirement | None:
    """The requirement that pip found nothing for; None where it failed over something else."""
    found = re.search(r"No matching distribution found for ([^\n]+)", failure.message)
    if found is None:
        return None
    try:
        return Requirement(found[1].partition(" (from")[0].strip())
    except InvalidRequirement:
        return None


def cannot_resolve(failure: Failure, *, elsewhere: bool, everything: bool) -> LockError:
    """The error that ends the command. ``elsewhere``: it was for another machine; ``everything``: with ``--all``."""
    lines = dict.fromkeys(line for line in redacted(failure.text).splitlines() if _tells(line))
    said = [line for line in lines if line.strip() != failure.message][-_SHOWN:]
    hints = [] if failure.hint is None else [failure.hint]
    if elsewhere:
        hints.append("for another machine pip takes wheels only; a package without one must be built there")
    if everything and failure.cause in {Cause.NO_MATCH, Cause.CONFLICT}:
        hints.append("--all looks for the torch that is there: name its index (--extra-index-url)")
    return LockError(f"pip cannot resolve it: {failure.message}", details=said, hints=hints)


def _tells(line: str) -> bool:
    """Whether a person learns something from a line of pip's: not from what our own options make it say."""
    return bool(line.strip()) and not _CLASS.match(line) and "lazily downloaded" not in line
