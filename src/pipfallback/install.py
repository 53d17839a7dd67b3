"""The story of one install (DESIGN 4): the user's command first, then one build after another, or everything back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipfallback import pins, transaction
from pipfallback.attempts import Success, Tried, Workplace, try_candidate
from pipfallback.building import try_building
from pipfallback.builds import Candidate
from pipfallback.choice import policy_of
from pipfallback.compatibility import Decision
from pipfallback.environment import Environment
from pipfallback.installed import Installed
from pipfallback.layout import cross_options, layout_of
from pipfallback.looking_inside import Inside
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
from pipfallback.pip_failures import Cause
from pipfallback.primary import (
    Job,
    Managed,
    PipsWord,
    blamed,
    failed_primary,
    foresee_rest,
    held_up_by_torch,
    refused_beforehand,
    stands,
    verdict_on,
    words_of_primary,
    words_of_rest,
)
from pipfallback.prospects import Prospects, in_words
from pipfallback.requests import host_of
from pipfallback.sources import Listing
from pipfallback.verify import Verdict

# Where the user's own wheel was not even tried, it is the first candidate (and may be refused, with its reasons).
_ASKED_MAY_DO = frozenset({"not-replaced", Cause.UNSUPPORTED_WHEEL.value})

_ENDED = {"fetch": "not to be had", "inspect": "refused"}  # before anything was done that could be undone


def install(job: Job) -> Outcome:
    """Run the command; where a managed package cannot be had or does not import, try its other builds.

    In the end everything asked for works, or the environment is as it was. Raises NotRestoredError where it could not
    be put back; any other exception is raised after everything was.
    """
    if cross_options(job.command) and job.command.own.verify:
        job.tell("the command installs for another platform: what is installed is not imported")
        job = replace(job, command=replace(job.command, own=replace(job.command.own, verify=False)))
    layout = layout_of(job.command, job.installation, job.environment.python.version)
    change = transaction.begin(
        job.installation.prefix, site_packages=layout.folders[0], roots=layout.roots, tell=job.tell
    )
    try:
        if change.waited:  # what another run brought in the meantime counts
            job = replace(job, environment=job.look_again())
        with job.online:
            place = Workplace(
                pip=job.pip,
                environment=job.environment,
                layout=layout,
                transaction=change,
                downloader=job.online.downloader(change.scratch),
                inside=_inside(job, job.environment),
            )
            outcome = _Story(job, place).run()
        if outcome.exit_code:
            change.undo()
            change.close()
        else:
            change.commit()
    except BaseException:
        change.undo()
        change.close()
        raise
    return outcome


def _inside(job: Job, environment: Environment) -> Inside:
    """What looks into files. Of another platform, or with a torch still to come, it is not known what is there to find."""
    here = None if cross_options(job.command) else job.installation
    return job.online.inside(environment, here)


class _Story:
    """The state of one install while it runs: which requests failed, and which have their build in place."""

    def __init__(self, job: Job, place: Workplace) -> None:
        self._job = job
        self._place = place
        self._before = place.installed()
        self._failed: dict[str, Primary] = {}
        self._settled: dict[str, str] = {}
        self._stayed: set[str] = set()
        self._why_torch = "what was asked for needs another torch"
        named = {request.name for request in job.requests}
        allowed = job.command.own.allow_torch_change or "torch" in named
        self._unasked = () if allowed else tuple(name for name in pins.TORCH_FAMILY if name not in named)
        self._done: dict[str, RequestOutcome] = {}
        self._prospects = Prospects(job.online, job.command)

    def run(self) -> Outcome:
        """The primary, then a fallback for each request that it left without a working package."""
        try:
            self._primary()
            if not self._failed:
                return self._outcome("ok")
            if not self._job.command.own.fallback:
                return self._outcome("no-fallback")
            self._place.transaction.undo()
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
        except PipsWord as word:
            return self._pips_word(word)
        return self._outcome("fallback-refused" if self._job.command.own.fail_on_fallback else "ok")

    def _primary(self) -> None:
        job = self._job
        self._failed = refused_beforehand(
            job.command, job.managed, self._place, tell=job.tell, say_as_pip=job.say_as_pip
        )
        if self._failed:
            return
        own = self._job.command.own
        run = self._place.pip.run(self._words(hold_torch=not own.allow_torch_change), self._place.transaction)
        if run.failure is None:
            if not self._job.command.has("--dry-run"):
                self._judge_unsettled()
            return
        culprit = blamed(run.failure, self._job.managed, self._job.command)
        if culprit is None and held_up_by_torch(run.failure) and not (own.keep_torch or own.allow_torch_change):
            # Nothing that has other builds wants another torch: what the user asked for does.
            self._place.transaction.undo()
            self._let_torch_go()
            self._primary()
            return
        if culprit is None:
            raise PipsWord(run.exit_code, run.failure)
        primary = failed_primary(run.failure)
        self._failed[culprit.request.text] = primary

    def _let_torch_go(self) -> None:
        command = self._job.command
        own = replace(command.own, allow_torch_change=True)
        self._job = replace(self._job, command=replace(command, own=own))

    def _judge_unsettled(self) -> None:
        """Verify what pip installed by itself; a request whose package does not work waits for another build."""
        for each in self._job.managed:
            text = each.request.text
            if text in self._settled or text in self._failed or text in self._stayed:
                continue
            primary, verdict = verdict_on(each, self._job.command, self._place, self._job.tell)
            if not primary.ok:
                self._failed[text] = primary
                continue
            self._tell_inconclusive(each, verdict)
            installed = self._place.installed().get(each.package.name)
            now = None if installed is None else _now(installed, verdict)
            self._done[text] = RequestOutcome(request=text, status="primary", primary=primary, installed=now)

    def _given_up(self, ending: Ending) -> Outcome:
        return self._outcome("ok" if self._as_written() else ending)

    def _as_written(self) -> bool:
        """No build fits the torch that is here; where only our pins kept pip from another torch, let pip have its way."""
        own = self._job.command.own
        held = any(primary.cause == Cause.CONFLICT.value for primary in self._failed.values())
        if not held or own.keep_torch or own.allow_torch_change:
            return False
        self._place.transaction.undo()
        run = self._place.pip.run(self._words(hold_torch=False), self._place.transaction)
        if run.failure is not None:
            return False
        refused, self._failed, self._settled = self._failed, {}, {}
        self._judge_unsettled()
        if self._failed:
            self._failed = refused
            return False
        self._why_torch = "no build fits the torch that was here"
        return True

    def _words(self, *, hold_torch: bool) -> tuple[str, ...]:
        return words_of_primary(
            self._job.command, self._job.requests, self._job.managed, self._place, hold_torch=hold_torch
        )

    def _foresee(self) -> bool:
        """Judge by the torch that the rest of the command will bring; whether it brings one (or may)."""
        job, place = self._job, self._place
        seen = foresee_rest(
            job.command, job.requests, job.managed, installation=job.installation, failed=self._failed, place=place
        )
        if seen is None:
            return False
        self._place = replace(place, environment=seen.environment, inside=_inside(job, seen.environment))
        if line := seen.in_words():
            job.tell(line)
        return seen.brings_torch

    def _first_choices(self, *, announce: bool = True) -> Ending:
        """What would be tried first for each request that pip itself cannot serve; told, if it is to be announced."""
        for each in self._job.managed:
            if each.request.text not in self._failed:
                continue
            decisions = self._decisions(each)
            self._done[each.request.text] = RequestOutcome(
                request=each.request.text,
                status="fallback" if decisions[:1] and decisions[0].accepted else "failed",
                primary=self._failed[each.request.text],
                decisions=tuple(decisions),
                notes=self._listing(each).notes,
            )
            if not decisions or not decisions[0].accepted:
                return "nothing-fits"
            candidate = decisions[0].candidate
            if announce:
                self._job.tell(f"would try {candidate.build.filename}{_from(candidate)} first")
        return "ok"

    def _bring_torch(self) -> Ending:
        """Everything but the failed requests comes first, if builds fit: they must fit the torch that is there then."""
        if (ending := self._first_choices(announce=False)) != "ok":
            return ending
        words = words_of_rest(self._job.command, self._job.managed, self._failed)
        run = self._place.pip.run(words, self._place.transaction)
        if run.failure is not None:
            raise PipsWord(run.exit_code, run.failure)
        environment = self._job.look_again()
        self._place = replace(self._place, environment=environment, inside=_inside(self._job, environment))
        return "ok"

    def _next_waiting(self) -> Managed | None:
        waiting = self._failed.keys() - self._settled.keys()
        return next((each for each in self._job.managed if each.request.text in waiting), None)

    def _fall_back(self, managed: Managed) -> Ending:
        """Try the builds of one request, best first."""
        request = managed.request
        decisions = self._decisions(managed)
        accepted = [decision for decision in decisions if decision.accepted]
        self._job.tell(in_words(managed, decisions, accepted))
        attempts: list[Attempt] = []
        if self._failed[request.text].cause == "not-replaced":
            success = self._try_in_turn(managed, accepted[:1], attempts)
            if success is None and self._stays(managed, decisions, attempts):
                return "ok"
            accepted = accepted[1:] if success is None else accepted[:1]
        else:
            success = None
        success = success or self._try_in_turn(managed, accepted, attempts) or self._build(managed, attempts)
        self._done[request.text] = RequestOutcome(
            request=request.text,
            status="failed" if success is None else "fallback",
            primary=self._failed[request.text],
            installed=None if success is None else _now(success.installed, success.verdict, success.sha256),
            decisions=tuple(decisions),
            attempts=tuple(attempts),
            notes=self._listing(managed).notes,
        )
        if success is None:
            return "nothing-works" if attempts else "nothing-fits"
        self._settled[request.text] = request.pinned(success.installed.version)
        self._tell_inconclusive(managed, success.verdict)
        return "ok"

    def _stays(self, managed: Managed, decisions: Sequence[Decision], attempts: Sequence[Attempt]) -> bool:
        """The wheel asked for does not work, and pip would have left another of that version in place: if that works."""
        installed = self._place.installed().get(managed.package.name)
        if installed is None:
            return False
        own = self._job.command.own
        verdict = self._place.verify(managed.package, installed.version, timeout=own.verify_timeout)
        if not verdict.acceptable:
            return False
        run = self._place.pip.run(self._words(hold_torch=not own.allow_torch_change), self._place.transaction)
        if run.failure is not None:
            raise PipsWord(run.exit_code, run.failure)
        text = managed.request.text
        self._job.tell(f"{installed.name} {installed.version} stays as it was, and imports")
        self._done[text] = RequestOutcome(
            request=text,
            status="primary",
            primary=Primary(ok=True),
            installed=_now(installed, verdict),
            decisions=tuple(decisions),
            attempts=tuple(attempts),
            notes=self._listing(managed).notes,
        )
        del self._failed[text]
        self._stayed.add(text)
        return True

    def _listing(self, managed: Managed) -> Listing:
        return self._prospects.listing(managed, self._place.environment)

    def _decisions(self, managed: Managed) -> list[Decision]:
        """On its builds, and on the wheel that was asked for unless that is what failed."""
        with_asked = self._failed[managed.request.text].cause in _ASKED_MAY_DO
        return self._prospects.decisions(managed, self._place, with_asked=with_asked)

    def _try_in_turn(self, managed: Managed, accepted: Sequence[Decision], attempts: list[Attempt]) -> Success | None:
        command, dead_hosts, counted = self._job.command, set[str](), 0
        for decision in accepted:
            candidate = decision.candidate
            host = host_of(candidate.location)
            if host in dead_hosts:
                continue
            if counted >= command.own.max_attempts:
                self._job.tell(f"{counted} builds did not work; --max-attempts allows more")
                return None
            tried = self._try(managed, candidate)
            attempts.append(tried.attempt)
            if tried.success is not None:
                return tried.success
            self._job.tell(f"{_ENDED.get(tried.attempt.stage, 'undone')}: {tried.attempt.error}")
            if tried.attempt.unreachable:
                dead_hosts.add(host)
            # A name that a pattern invented costs a request, not an attempt.
            counted += tried.fetch is None or tried.fetch.cause != "not-found"
        return None

    def _build(self, managed: Managed, attempts: list[Attempt]) -> Success | None:
        """Build from source what no build served, where the catalog names sources and the user allows it."""
        for build in self._listing(managed).source_builds:
            dropped = frozenset(self._failed) - set(self._settled) - {managed.request.text}
            tried = try_building(
                build,
                request=managed.request,
                package=managed.package,
                command=self._job.command,
                settled=self._settled,
                dropped=dropped,
                place=self._place,
                tell=self._job.tell,
            )
            attempts.append(tried.attempt)
            if tried.success is not None:
                return tried.success
            self._job.tell(f"undone: {tried.attempt.error}")
        return None

    def _try(self, managed: Managed, candidate: Candidate) -> Tried:
        """One attempt; where pip fails over another managed request, that one is left out until its own turn."""
        self._job.tell(f"trying {candidate.build.filename}{_from(candidate)}")
        while True:
            tried = try_candidate(
                candidate,
                request=managed.request,
                package=managed.package,
                policy=policy_of(managed.request, managed.package, self._job.command),
                command=self._job.command,
                settled=self._settled,
                dropped=frozenset(self._failed) - set(self._settled) - {managed.request.text},
                # What does not import may be the right build, damaged on disk: then it is brought anew.
                reuse=self._failed[managed.request.text].cause != Cause.IMPORT_FAILED.value,
                place=self._place,
            )
            failure = tried.pip.failure if tried.pip is not None else None
            if tried.pip is None or failure is None:
                return tried
            others = [each for each in self._job.managed if each.request.text not in self._failed]
            culprit = blamed(failure, others, self._job.command)
            if culprit is None and stands(failure, tried.about):
                raise PipsWord(tried.pip.exit_code, failure)
            if culprit is None:
                return tried
            primary = failed_primary(failure)
            self._failed[culprit.request.text] = primary

    def _tell_inconclusive(self, managed: Managed, verdict: Verdict | None) -> None:
        if verdict is not None and verdict.status == "inconclusive":
            self._job.tell(f"{managed.package.name} could not be tried out on this machine: {verdict.message}")

    def _pips_word(self, word: PipsWord) -> Outcome:
        primary = failed_primary(word.failure)
        for each in self._job.managed:
            failed = RequestOutcome(request=each.request.text, status="failed", primary=primary)
            self._done.setdefault(each.request.text, failed)
        return self._outcome("pip", word.exit_code)

    def _outcome(self, ending: Ending, exit_code: int = 1) -> Outcome:
        for text, primary in self._failed.items():
            self._done.setdefault(text, RequestOutcome(request=text, status="failed", primary=primary))
        ok = ending == "ok"
        after = self._place.installed() if ok else self._before
        for change in pins.moved(self._before, after, self._unasked):
            self._job.tell(f"{self._why_torch}, so pip changed it: {change} (--keep-torch forbids it)")
        return Outcome(
            status=("fallback" if self._settled else "primary") if ok else "failed",
            exit_code=0 if ok else exit_code,
            ending=ending,
            environment=self._place.environment,
            requests=tuple(
                self._done[each.request.text] for each in self._job.managed if each.request.text in self._done
            ),
            changed=changes_between(self._before, after),
        )


def _now(installed: Installed, verdict: Verdict | None, sha256: str | None = None) -> InstalledNow:
    url = (installed.direct_url or {}).get("url")
    verified: Verified = "skipped"
    if verdict is not None and verdict.status != "broken":
        verified = verdict.status
    return InstalledNow(
        name=installed.name, version=installed.version, url=str(url) if url else None, sha256=sha256, verified=verified
    )


def _from(candidate: Candidate) -> str:
    return f" ({candidate.source})" if candidate.source else ""
