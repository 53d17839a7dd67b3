"""The builds of one package, tried one after another until one works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

from packaging.utils import canonicalize_name

from pipfallback.attempts import Success, Tried, Workplace, try_candidate
from pipfallback.building import try_building
from pipfallback.builds import Candidate
from pipfallback.choice import policy_of
from pipfallback.compatibility import Decision
from pipfallback.import_failures import MISSING_DEPENDENCY
from pipfallback.outcome import Attempt, Primary
from pipfallback.pip_failures import Cause, distribution_in
from pipfallback.primary import Job, Managed, PipsWord, blamed, failed_primary, stands
from pipfallback.requests import host_of
from pipfallback.sources import SourceBuild

_ENOUGH = 2  # builds that lack the same module: the next would, too
_ENDED = {"fetch": "not to be had", "inspect": "refused"}  # before anything was done that could be undone


class WaitsForAnotherError(Exception):
    """A build requires another managed package that waits for its own build: that one's turn comes first."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(slots=True, kw_only=True)
class Turn:
    """One package's turn. ``attempts``: what was tried so far; ``needless``: the URLs of what would fail as that did.

    ``suspended``: packages whose turn waits for this one.

    ``known``: every managed package of the command by name; ``failed`` and ``settled``: those that wait for another
    build, and those that have theirs in place (as pinned requirements). Where pip fails over yet another one, it comes
    into ``failed`` (and ``known``) too.
    """

    job: Job
    place: Workplace
    managed: Managed
    known: MutableMapping[str, Managed]
    failed: MutableMapping[str, Primary]
    settled: Mapping[str, str]
    suspended: frozenset[str] = frozenset()
    attempts: list[Attempt] = field(default_factory=list)
    needless: list[str] = field(default_factory=list)

    def try_in_turn(self, accepted: Sequence[Decision]) -> Success | None:
        """The first build that works, of as many as --max-attempts allows. Raises WaitsForAnotherError."""
        dead_hosts, counted, failed = set[str](), 0, list[Candidate]()
        most = min(len(accepted), self.job.command.own.max_attempts)
        for decision in accepted:
            candidate = decision.candidate
            host = host_of(candidate.location)
            if host in dead_hosts:
                continue
            if any(_is_copy(candidate, other) for other in failed) or self._lacks_too(candidate):
                self.needless.append(candidate.location)
                continue
            if counted >= self.job.command.own.max_attempts:
                builds = "1 build" if counted == 1 else f"{counted} builds"
                self.job.tell(f"{builds} did not work; --max-attempts allows more")
                return None
            self.job.view.trying(candidate.build.filename, candidate.source, place=counted + 1, of=most)
            tried = self._try(candidate)
            self.attempts.append(tried.attempt)
            if tried.success is not None:
                return tried.success
            self._tell_failed(tried.attempt)
            if tried.attempt.unreachable:
                dead_hosts.add(host)
            if tried.fetch is None:
                failed.append(candidate)
            # A name that a pattern invented costs a request, not an attempt.
            counted += tried.fetch is None or tried.fetch.cause != "not-found"
        return None

    def build(self, sources: Iterable[SourceBuild]) -> Success | None:
        """Build from source what no build served, where the catalog names sources and the user allows it."""
        for build in sources:
            tried = try_building(
                build,
                request=self.managed.request,
                package=self.managed.package,
                asks=self.job.asks,
                settled=self.settled,
                dropped=self._dropped(),
                place=self.place,
                tell=self.job.tell,
            )
            self.attempts.append(tried.attempt)
            if tried.success is not None:
                return tried.success
            self._tell_failed(tried.attempt)
        return None

    def _tell_failed(self, attempt: Attempt) -> None:
        how = _ENDED.get(attempt.stage, "undone")
        self.job.view.failed(how, attempt.error or "", seconds=attempt.seconds)
        if self._lacking() is not None and attempt.cause == MISSING_DEPENDENCY:
            self.job.tell(f"{_ENOUGH} builds lack the same; only one that requires more than is here is tried now")

    def _lacking(self) -> str | None:
        """What several builds lacked in the same words: something that none of them brings."""
        hints = [each.hint for each in self.attempts if each.cause == MISSING_DEPENDENCY and each.hint]
        return next((hint for hint in hints if hints.count(hint) >= _ENOUGH), None)

    def _lacks_too(self, candidate: Candidate) -> bool:
        """Whether a build would lack what several lacked: its METADATA is not known to bring anything that is not here."""
        if self._lacking() is None:
            return False
        here = self.place.installed()
        return all(canonicalize_name(each.name) in here for each in candidate.build.requires)

    def _dropped(self) -> frozenset[str]:
        return frozenset(self.failed) - set(self.settled) - {self.managed.package.name}

    def _try(self, candidate: Candidate) -> Tried:
        """One attempt; where pip fails over another managed package, that one is left out until its own turn."""
        request, package = self.managed.request, self.managed.package
        while True:
            tried = try_candidate(
                candidate,
                request=request,
                package=package,
                policy=policy_of(request, package, self.job.command),
                asks=self.job.asks,
                settled=self.settled,
                dropped=self._dropped(),
                # What does not import may be the right build, damaged on disk: then it is brought anew.
                reuse=self.failed[package.name].cause != Cause.IMPORT_FAILED.value,
                place=self.place,
            )
            failure = tried.pip.failure if tried.pip is not None else None
            if tried.pip is None or failure is None:
                return tried
            lacking = distribution_in(failure.message, self._dropped()) if failure.cause.curable else None
            if lacking is not None and lacking not in self.suspended:
                raise WaitsForAnotherError(lacking)
            others = [each for name, each in self.known.items() if name not in self.failed]
            culprit = blamed(failure, others, self.job)
            if culprit is not None and culprit.package.name in self.failed:
                return tried
            if culprit is None and stands(failure, tried.about):
                raise PipsWord(tried.pip.exit_code, failure)
            if culprit is None:
                return tried
            self.known[culprit.package.name] = culprit
            self.failed[culprit.package.name] = failed_primary(failure)
            if culprit.dependency:
                raise WaitsForAnotherError(culprit.package.name)


def _is_copy(candidate: Candidate, other: Candidate) -> bool:
    """Whether both are the same file: publishers put one wheel under several tags."""
    if candidate.build.filename != other.build.filename:
        return False
    if candidate.sha256 and other.sha256:
        return candidate.sha256 == other.sha256
    return candidate.source == other.source


def origin_in_words(candidate: Candidate) -> str:
    """The source of a build as it follows its file name in a line; "" for the wheel that the user named."""
    return f" ({candidate.source})" if candidate.source else ""
