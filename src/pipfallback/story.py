"""The story of one install (DESIGN 4): the user's command first, then one build after another, or everything back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipfallback import install_report, pins
from pipfallback.attempts import Success, Workplace
from pipfallback.compatibility import Decision
from pipfallback.environment import Environment, with_torch
from pipfallback.installed import Installed, wanted_version
from pipfallback.outcome import (
    Attempt,
    Ending,
    InstalledNow,
    Outcome,
    Primary,
    RequestOutcome,
    Verified,
    changes_between,
)
from pipfallback.pip import PipRun
from pipfallback.pip_failures import Cause
from pipfallback.primary import (
    Job,
    Managed,
    PipsWord,
    blamed,
    failed_primary,
    foresee_rest,
    held_up_by_torch,
    inside_of,
    refused_beforehand,
    tell_mismatches,
    verdict_on,
    words_of_primary,
    words_of_rest,
)
from pipfallback.prospects import Prospects, in_words
from pipfallback.requests import read_request
from pipfallback.sources import Listing
from pipfallback.torch_family import TORCH_FAMILY
from pipfallback.torch_files import torch_of_metadata
from pipfallback.turns import Turn, WaitsForAnotherError, origin_in_words
from pipfallback.verify import Verdict

# Where the user's own wheel was not even tried, it is the first candidate (and may be refused, with its reasons).
_ASKED_MAY_DO = frozenset({"not-replaced", Cause.UNSUPPORTED_WHEEL.value})


class Story:
    """The state of one install while it runs: which packages failed, and which have their build in place (by name)."""

    def __init__(self, job: Job, place: Workplace) -> None:
        self._job = replace(job, asks=install_report.redirected(job.asks, place.scratch))
        self._place = place
        self._origins: dict[str, str] = {}
        self._before = place.installed()
        self._managed = {each.package.name: each for each in job.managed}
        self._failed: dict[str, Primary] = {}
        self._settled: dict[str, str] = {}
        self._stayed: set[str] = set()
        self._why_torch = "what was asked for needs another torch"
        named = job.asks.names
        allowed = job.command.own.allow_torch_change or "torch" in named
        self._unasked = () if allowed else tuple(name for name in TORCH_FAMILY if name not in named)
        self._done: dict[str, RequestOutcome] = {}
        self._prospects = Prospects(job.online, job.command, job.view)

    def run(self) -> Outcome:
        """The primary, then a fallback for each package that it left without a working build."""
        try:
            self._primary()
            return self._go_on()
        except PipsWord as word:
            return self._pips_word(word)

    def after(self, run: PipRun) -> Outcome:
        """The same, where pip has run the user's command already."""
        try:
            self._take(run)
            return self._go_on()
        except PipsWord as word:
            return self._pips_word(word)

    def _go_on(self) -> Outcome:
        if not self._failed:
            return self._outcome("ok")
        if not self._job.command.own.fallback:
            return self._outcome("no-fallback")
        self._place.transaction.undo()
        if any(self._managed[name].locked for name in self._failed):
            return self._outcome("locked")
        brings_torch = self._foresee()
        if self._job.command.has("--dry-run"):
            return self._outcome(self._first_choices())
        if brings_torch and (ending := self._bring_torch()) != "ok":
            return self._given_up(ending)
        while (managed := self._next_waiting()) is not None:
            if (ending := self._fall_back(managed)) != "ok":
                return self._given_up(ending)
            if self._next_waiting() is None:
                self._judge_unsettled()
        return self._outcome("fallback-refused" if self._job.command.own.fail_on_fallback else "ok")

    def _primary(self) -> None:
        job = self._job
        self._failed = refused_beforehand(
            job.command, job.managed, self._place.environment, tell=job.tell, say_as_pip=job.say_as_pip
        )
        if not self._failed:
            own = job.command.own
            self._take(self._place.pip.run(self._words(hold_torch=not own.allow_torch_change), self._place.transaction))

    def _take(self, run: PipRun) -> None:
        """What pip's own run of the command means."""
        own = self._job.command.own
        if run.failure is None:
            if not self._job.command.has("--dry-run"):
                self._judge_unsettled()
            return
        culprit = blamed(run.failure, list(self._managed.values()), self._job)
        if culprit is None and held_up_by_torch(run.failure) and not (own.keep_torch or own.allow_torch_change):
            # Nothing that has other builds wants another torch: what the user asked for does.
            self._place.transaction.undo()
            self._let_torch_go()
            self._primary()
            return
        if culprit is None:
            raise PipsWord(run.exit_code, run.failure)
        self._fails(culprit, failed_primary(run.failure))
        if run.failure.cause is Cause.UNSUPPORTED_WHEEL:
            tell_mismatches(culprit.request, self._place.environment, self._job.tell)

    def _fails(self, managed: Managed, primary: Primary) -> None:
        self._managed.setdefault(managed.package.name, managed)
        self._failed[managed.package.name] = primary

    def _let_torch_go(self) -> None:
        command = self._job.command
        own = replace(command.own, allow_torch_change=True)
        self._job = replace(self._job, asks=replace(self._job.asks, command=replace(command, own=own)))

    def _judge_unsettled(self) -> None:
        """Verify what pip installed by itself; a package that does not work waits for another build."""
        for each in (*self._managed.values(), *self._came_along()):
            name = each.package.name
            if name in self._settled or name in self._failed or name in self._stayed:
                continue
            primary, verdict = verdict_on(each, self._job.command, self._place, self._job.tell, before=self._before)
            if not primary.ok:
                self._fails(each, primary)
                continue
            self._tell_inconclusive(each, verdict)
            installed = self._place.installed().get(name)
            now = None if installed is None else _now(installed, verdict)
            self._done[name] = RequestOutcome(
                request=each.request.text, status="primary", primary=primary, installed=now
            )

    def _came_along(self) -> list[Managed]:
        """What the catalog knows, nothing names, and pip has brought or changed."""
        now, packages = self._place.installed(), self._job.catalog.packages
        new = [
            name
            for name in packages.keys() & now.keys() - self._managed.keys() - self._job.asks.names
            if name not in self._before or now[name].version != self._before[name].version
        ]
        wanted = {name: f"{name}{wanted_version(name, now)}" for name in sorted(new)}
        return [
            Managed(request=read_request(text), package=packages[name], dependency=True)
            for name, text in wanted.items()
        ]

    def _given_up(self, ending: Ending) -> Outcome:
        return self._as_written() or self._outcome(ending)

    def _as_written(self) -> Outcome | None:
        """No build fits the torch that is here; where only our pins kept pip from another torch, let pip have its way."""
        own = self._job.command.own
        held = any(primary.cause == Cause.CONFLICT.value for primary in self._failed.values())
        if not held or own.keep_torch or own.allow_torch_change:
            return None
        told = self._managed, self._failed, self._settled, self._done, self._origins, self._place.environment
        self._why_torch = "no build fits the torch that was here"
        self._place.transaction.undo()
        self._let_torch_go()
        self._judge_by(self._job.environment)
        self._managed, self._failed, self._settled, self._done, self._origins = dict(self._managed), {}, {}, {}, {}
        try:
            self._primary()
            outcome = self._go_on()
        except PipsWord:
            outcome = None
        if outcome is not None and outcome.exit_code == 0:
            return outcome
        self._managed, self._failed, self._settled, self._done, self._origins, environment = told
        self._judge_by(environment)
        return None

    def _words(self, *, hold_torch: bool) -> tuple[str, ...]:
        return words_of_primary(self._job.asks, self._job.catalog, self._place, hold_torch=hold_torch)

    def _foresee(self) -> bool:
        """Judge by the torch that the rest of the command will bring; whether it brings one (or may).

        What pip cannot serve of the rest waits for another build as well.
        """
        while (seen := foresee_rest(self._job, failed=self._failed, place=self._place)) is not None:
            others = [each for name, each in self._managed.items() if name not in self._failed]
            culprit = None if seen.failure is None else blamed(seen.failure, others, self._job)
            if seen.failure is None or culprit is None or culprit.package.name in self._failed:
                break
            self._fails(culprit, failed_primary(seen.failure))
        if seen is None:
            return False
        self._judge_by(seen.environment)
        if line := seen.in_words():
            self._job.tell(line)
        return seen.brings_torch

    def _first_choices(self, *, announce: bool = True) -> Ending:
        """What would be tried first for each package that pip itself cannot serve; told, if it is to be announced."""
        for name in filter(self._failed.__contains__, self._in_turn()):
            each, primary = self._managed[name], self._failed[name]
            decisions = self._decisions(each)
            self._done[name] = RequestOutcome(
                request=each.request.text,
                status="fallback" if decisions[:1] and decisions[0].accepted else "failed",
                primary=primary,
                decisions=tuple(decisions),
                notes=self._listing(each).notes,
            )
            if not decisions or not decisions[0].accepted:
                return "nothing-fits"
            candidate = decisions[0].candidate
            if name == "torch":
                planned = torch_of_metadata(str(candidate.build.version), (), platform=self._place.environment.platform)
                self._judge_by(with_torch(self._place.environment, planned, origin="planned"))
            if announce:
                self._job.tell(f"would try {candidate.build.filename}{origin_in_words(candidate)} first")
        return "ok"

    def _bring_torch(self) -> Ending:
        """Everything but what failed comes first, if builds fit: they must fit the torch that is there then."""
        if (ending := self._first_choices(announce=False)) != "ok":
            return ending
        wording = words_of_rest(self._job.asks, self._job.catalog, self._failed, self._place.scratch)
        run = self._place.pip.run(wording.words, self._place.transaction, variables=wording.variables)
        if run.failure is not None:
            raise PipsWord(run.exit_code, run.failure)
        self._judge_by(self._job.look_again())
        return "ok"

    def _judge_by(self, environment: Environment) -> None:
        self._place = replace(self._place, environment=environment, inside=inside_of(self._job, environment))

    def _next_waiting(self) -> Managed | None:
        waiting = (name for name in self._in_turn() if name in self._failed and name not in self._settled)
        return next((self._managed[name] for name in waiting), None)

    def _in_turn(self) -> list[str]:
        """torch first: the others are chosen for it."""
        return sorted(self._managed, key=lambda name: name != "torch")

    def _fall_back(self, managed: Managed, suspended: frozenset[str] = frozenset()) -> Ending:
        """Try the builds of one package, best first; what they require and waits for its own build comes before.

        ``suspended``: packages that wait for this one.
        """
        try:
            return self._try_builds(managed, suspended)
        except WaitsForAnotherError as waits:
            first = waits.name
        self._job.tell(f"{managed.package.name} requires {first}, which comes first")
        ending = self._fall_back(self._managed[first], suspended | {managed.package.name})
        return ending if ending != "ok" else self._fall_back(managed, suspended)

    def _try_builds(self, managed: Managed, suspended: frozenset[str]) -> Ending:
        name = managed.package.name
        decisions = self._decisions(managed)
        accepted = [decision for decision in decisions if decision.accepted]
        self._job.tell(in_words(managed, decisions, accepted))
        turn = Turn(
            job=self._job,
            place=self._place,
            managed=managed,
            known=self._managed,
            failed=self._failed,
            settled=self._settled,
            suspended=suspended,
        )
        success = None
        if self._failed[name].cause == "not-replaced":
            success = turn.try_in_turn(accepted[:1])
            if success is None and self._stays(managed, decisions, turn.attempts):
                return "ok"
            accepted = accepted[1:] if success is None else accepted[:1]
        success = success or turn.try_in_turn(accepted) or turn.build(self._listing(managed).source_builds)
        self._done[name] = RequestOutcome(
            request=managed.request.text,
            status="failed" if success is None else "fallback",
            primary=self._failed[name],
            installed=None if success is None else _now(success.installed, success.verdict, success.sha256),
            decisions=tuple(decisions),
            attempts=tuple(turn.attempts),
            needless=frozenset(turn.needless),
            notes=self._listing(managed).notes,
        )
        if success is None:
            return "nothing-works" if turn.attempts else "nothing-fits"
        self._settle(managed, success)
        return "ok"

    def _settle(self, managed: Managed, success: Success) -> None:
        self._settled[managed.package.name] = success.pin
        self._origins[managed.package.name] = success.location
        if managed.package.name == "torch":
            self._judge_by(self._job.look_again())
        self._tell_inconclusive(managed, success.verdict)

    def _stays(self, managed: Managed, decisions: Sequence[Decision], attempts: Sequence[Attempt]) -> bool:
        """The wheel asked for does not work, and pip would have left another of that version in place: if that works."""
        name = managed.package.name
        installed = self._place.installed().get(name)
        if installed is None:
            return False
        own = self._job.command.own
        verdict = self._place.verify(managed.package, installed.version, timeout=own.verify_timeout)
        if not verdict.acceptable:
            return False
        run = self._place.pip.run(self._words(hold_torch=not own.allow_torch_change), self._place.transaction)
        if run.failure is not None:
            raise PipsWord(run.exit_code, run.failure)
        self._job.tell(f"{installed.name} {installed.version} stays as it was, and imports")
        self._done[name] = RequestOutcome(
            request=managed.request.text,
            status="primary",
            primary=Primary(ok=True),
            installed=_now(installed, verdict),
            decisions=tuple(decisions),
            attempts=tuple(attempts),
            notes=self._listing(managed).notes,
        )
        del self._failed[name]
        self._stayed.add(name)
        return True

    def _listing(self, managed: Managed) -> Listing:
        return self._prospects.listing(managed, self._place.environment)

    def _decisions(self, managed: Managed) -> list[Decision]:
        """On its builds, and on the wheel that was asked for unless that is what failed."""
        with_asked = self._failed[managed.package.name].cause in _ASKED_MAY_DO
        return self._prospects.decisions(managed, self._place.environment, self._place.inside, with_asked=with_asked)

    def _tell_inconclusive(self, managed: Managed, verdict: Verdict | None) -> None:
        if verdict is not None and verdict.status == "inconclusive":
            self._job.tell(f"{managed.package.name} could not be tried out on this machine: {verdict.message}")

    def _pips_word(self, word: PipsWord) -> Outcome:
        primary = failed_primary(word.failure)
        for name, each in self._managed.items():
            failed = RequestOutcome(request=each.request.text, status="failed", primary=primary)
            self._done.setdefault(name, failed)
        return self._outcome("pip", word.exit_code)

    def _outcome(self, ending: Ending, exit_code: int = 1) -> Outcome:
        for name, primary in self._failed.items():
            failed = RequestOutcome(request=self._managed[name].request.text, status="failed", primary=primary)
            self._done.setdefault(name, failed)
        ok = ending == "ok"
        after = self._place.installed() if ok else self._before
        for change in pins.moved(self._before, after, self._unasked):
            self._job.tell(f"{self._why_torch}, so pip changed it: {change} (--keep-torch forbids it)")
        # What was asked for comes in that order; what came along as a dependency follows.
        order = (*self._managed, *(self._done.keys() - self._managed.keys()))
        return Outcome(
            status=("fallback" if self._settled else "primary") if ok else "failed",
            exit_code=0 if ok else exit_code,
            ending=ending,
            environment=self._place.environment,
            requests=tuple(self._done[name] for name in order if name in self._done),
            changed=changes_between(self._before, after),
            report=install_report.whole(self._job.asks, self._origins, self._place.scratch) if ok else None,
        )


def _now(installed: Installed, verdict: Verdict | None, sha256: str | None = None) -> InstalledNow:
    url = (installed.direct_url or {}).get("url")
    verified: Verified = "skipped"
    if verdict is not None and verdict.status != "broken":
        verified = verdict.status
    return InstalledNow(
        name=installed.name, version=installed.version, url=str(url) if url else None, sha256=sha256, verified=verified
    )
