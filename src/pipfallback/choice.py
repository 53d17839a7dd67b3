"""What a request means for the choice: which candidates there are, how they are judged, in which order they come."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from packaging.specifiers import SpecifierSet

from pipfallback.arguments import CommandLine
from pipfallback.builds import Build, Candidate, UnreadableFilenameError, read_build
from pipfallback.catalog import Package
from pipfallback.compatibility import Decision, Mismatch, Policy, judge, judge_all
from pipfallback.environment import Environment
from pipfallback.net.local import local_path
from pipfallback.ranking import Wish, rank
from pipfallback.requests import Request, without_credentials
from pipfallback.trust import Trust

_TAG_RULES = frozenset({"python-tag", "abi-tag", "platform-tag"})


def policy_of(request: Request, package: Package | None, command: CommandLine) -> Policy:
    """How builds for ``request`` are judged under the command's options; ``package`` None: not in the catalog."""
    specifier = request.specifier
    if command.own.same_version and request.version is not None:
        specifier = SpecifierSet(f"=={request.version.public}")
    hashed = command.has("--require-hashes")
    return Policy(
        trust=command.own.trust_level,
        needs=None if package is None else package.needs,
        specifier=specifier or None,
        hashes=_allowed(request, package) if hashed else None,
    )


def _allowed(request: Request, package: Package | None) -> frozenset[str]:
    """The hashes that will do: those of the requirement (--hash), else those that its URL and the catalog vouch for."""
    known = package.named_hashes if package is not None and not request.hashed else frozenset[str]()
    return request.hashes | known


def choose(
    candidates: Iterable[Candidate],
    request: Request,
    package: Package | None,
    environment: Environment,
    command: CommandLine,
) -> list[Decision]:
    """Judge all candidates and put them in order: the accepted first, best first, then the refused.

    Of either, the wheel that the user named comes first: it is what was asked for.
    """
    return in_order(judge_all(candidates, environment, policy_of(request, package, command)), request, command)


def in_order(
    decisions: Iterable[Decision], request: Request, command: CommandLine, *, ordered: Sequence[Decision] = ()
) -> list[Decision]:
    """The accepted first, best first, then the refused; of either, the wheel that the user named comes first.

    ``ordered``: the decisions of an earlier time, in their order; it stands where nothing has changed since.
    """
    decisions = list(decisions)
    if decisions and decisions == ordered:
        return decisions
    ranked = rank(decisions, wish_of(request, command))
    if all(decision.candidate.order[0] >= 0 for decision in decisions):
        return ranked  # in which the accepted come first
    return sorted(ranked, key=lambda decision: (not decision.accepted, decision.candidate.order >= (0, 0)))


def wish_of(request: Request, command: CommandLine) -> Wish:
    """What was asked for where it is a wish: the version of a URL, pre-releases."""
    return Wish.of(request.specifier, version=request.version, pre=command.has("--pre"))


def asked_candidate(request: Request) -> Candidate | None:
    """The wheel that the user named, as a candidate before all others; None where the request names none."""
    if not request.is_wheel or request.location is None:
        return None
    try:
        build = read_build(request.location)
    except UnreadableFilenameError:
        return None
    return Candidate(
        build=build, location=request.location, sha256=next(iter(sorted(request.hashes)), None), order=(-1, 0)
    )


def without_asked(candidates: Iterable[Candidate], request: Request) -> list[Candidate]:
    """The candidates that are at another place than the wheel that the user named."""
    if request.location is None:
        return list(candidates)
    asked = _place(request.location)
    return [each for each in candidates if _place(each.location) != asked]


def _place(location: str) -> str:
    """A URL without credentials; of a file on disk its path, however it was named."""
    path = local_path(location) if location else None
    return without_credentials(location) if path is None else os.path.realpath(path)


def tag_mismatches(build: Build, environment: Environment) -> Sequence[Mismatch]:
    """Why pip refuses a wheel before it downloads it; () where it does not (PEP 425)."""
    if not build.tags.isdisjoint(environment.tags):
        return ()
    candidate = Candidate(build=build, location=build.filename)
    mismatches = judge(candidate, environment, Policy(trust=Trust.COMMUNITY)).mismatches
    return [mismatch for mismatch in mismatches if mismatch.rule in _TAG_RULES]
