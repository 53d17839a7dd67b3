"""``download`` and ``wheel``: the same choice as for an install, into a folder. Nothing is installed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from pipfallback.arguments import CommandLine, Item
from pipfallback.builds import Candidate, read_build
from pipfallback.choice import policy_of
from pipfallback.errors import PipfallbackError
from pipfallback.fetching import AttemptFailed, attempt_of, fetch, judged, look_into
from pipfallback.inspection.wheel import InvalidWheelError, read_metadata
from pipfallback.net.content import sha256_of
from pipfallback.net.download import Downloader, Fetched
from pipfallback.outcome import Attempt, Ending, Outcome, Primary, RequestOutcome, Status
from pipfallback.pip import PipRun
from pipfallback.pip_failures import Cause
from pipfallback.primary import Job, Managed, PipsWord, blamed, failed_primary, inside_of, refused_beforehand, stands
from pipfallback.prospects import Prospects, in_words
from pipfallback.requests import host_of
from pipfallback.rewording import replacing, reworded, without_building

# pip's option that names the folder, by command; both write to the current folder without it.
_FOLDER = {"download": "--dest", "wheel": "--wheel-dir"}


class FileThereError(PipfallbackError):
    """Another file has the name of the one that is to be brought."""

    reference = "file-there"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Got:
    """A build that fits: fetched, and looked into."""

    candidate: Candidate
    path: Path
    attempts: tuple[Attempt, ...]


def collect(job: Job, scratch: Path, ran: PipRun | None = None) -> Outcome:
    """Let pip bring the files; where it cannot bring a managed package, or one that cannot work, bring another build.

    ``scratch``: a folder for what is fetched; ``ran``: pip's run of the command, if it has run already. Where the command fails in the end, none of the files that it brought for
    managed packages is left; pip itself writes the others only when it has all.
    """
    with job.online:
        return _Collection(job, scratch, job.online.downloader(scratch)).run(ran)


class _Collection:
    """The state of one such command: what pip could not bring (by name), and what came in its place."""

    def __init__(self, job: Job, scratch: Path, downloader: Downloader) -> None:
        self._job = job
        self._scratch = scratch
        self._downloader = downloader
        self._inside = inside_of(job, job.environment)
        self._prospects = Prospects(job.online, job.command, job.view)
        self._known = {each.package.name: each for each in job.managed}
        self._failed: dict[str, Primary] = {}
        self._got: dict[str, _Got] = {}
        self._done: dict[str, RequestOutcome] = {}
        self._there = {path.name for path in _wheels(job.command)}

    def run(self, ran: PipRun | None) -> Outcome:
        """The user's command, then another build for each package that it could not bring."""
        job = self._job
        self._failed = refused_beforehand(
            job.command, job.managed, job.environment, tell=job.tell, say_as_pip=job.say_as_pip
        )
        try:
            if not self._failed:
                self._take(ran or self._pip())
            if self._failed and not job.command.own.fallback:
                return self._outcome("no-fallback")
            while (name := next((name for name in self._failed if name not in self._got), None)) is not None:
                if (ending := self._fall_back(self._known[name])) != "ok":
                    self._remove_new()
                    return self._outcome(ending)
        except PipsWord as word:
            self._remove_new()
            return self._outcome("pip", word.exit_code)
        return self._outcome("fallback-refused" if self._got and job.command.own.fail_on_fallback else "ok")

    def _pip(self, more: Mapping[str, str] | None = None) -> PipRun:
        """The user's command, with the files that were fetched in place of what pip cannot bring."""
        files = {**{name: _link(got.path) for name, got in self._got.items()}, **(more or {})}
        asks = self._job.asks
        extra = without_building(asks.command, self._job.catalog.packages.keys() - files.keys())

        def options(item: Item) -> Sequence[str] | None:
            return (*item.words, *extra) if item.kind == "command" else None

        dropped = self._failed.keys() - files.keys()
        unasked = [link for name, link in files.items() if name not in asks.names]
        wording = reworded(asks, replacing(files, dropped), self._scratch, options=options, end=unasked)
        return self._job.pip.run(wording.words, variables=wording.variables)

    def _take(self, run: PipRun) -> None:
        """What pip's own run of the command means."""
        if run.failure is not None:
            culprit = blamed(run.failure, list(self._known.values()), self._job)
            if culprit is None:
                raise PipsWord(run.exit_code, run.failure)
            self._fails(culprit, failed_primary(run.failure))
            return
        for path, name in self._brought():
            managed = self._known.get(name)
            if managed is None or (why := self._refusal(path, managed)) is None:
                continue
            self._job.tell(f"pip brought {path.name}, which does not fit: {why}")
            self._fails(managed, Primary(ok=False, cause=Cause.IMPORT_FAILED.value, message=why))
            path.unlink()

    def _fails(self, managed: Managed, primary: Primary) -> None:
        self._known.setdefault(managed.package.name, managed)
        self._failed[managed.package.name] = primary

    def _brought(self) -> Iterator[tuple[Path, str]]:
        """The wheels that were not there before, with the names of their packages."""
        for path in _wheels(self._job.command):
            try:
                name = parse_wheel_filename(path.name)[0]
            except InvalidWheelFilename:
                continue
            if path.name not in self._there:
                yield path, canonicalize_name(name)

    def _remove_new(self) -> None:
        for path, name in list(self._brought()):
            if name in self._known:
                path.unlink()

    def _refusal(self, path: Path, managed: Managed) -> str | None:
        """Why a file that pip brought cannot work in the environment; None where nothing speaks against it."""
        candidate = Candidate(build=read_build(path.name), location=_link(path))
        # What pip took is not measured by the trust in sources or by hashes: both are pip's own affair.
        policy = replace(policy_of(managed.request, managed.package, self._job.command), hashes=None)
        imports = managed.package.imports_for(candidate.build.version)
        try:
            decision = judged(candidate, path, read_metadata(path), policy, imports, inside=self._inside)
        except InvalidWheelError as error:
            return str(error)
        told = [each.text for each in decision.mismatches if each.rule not in {"trust", "hash", "version"}]
        return "; ".join(told) or None

    def _fall_back(self, managed: Managed) -> Ending:
        name, job = managed.package.name, self._job
        decisions = self._prospects.decisions(
            managed,
            job.environment,
            self._inside,
            with_asked=self._failed[name].cause == Cause.UNSUPPORTED_WHEEL.value,
        )
        accepted = [decision for decision in decisions if decision.accepted]
        job.tell(in_words(managed, decisions, accepted))
        attempts: list[Attempt] = []
        got = self._first([decision.candidate for decision in accepted], managed, attempts)
        self._done[name] = RequestOutcome(
            request=managed.request.text,
            status="failed" if got is None else "fallback",
            primary=self._failed[name],
            decisions=tuple(decisions),
            attempts=tuple(attempts),
            notes=self._prospects.listing(managed, job.environment).notes,
        )
        if got is None:
            return "nothing-works" if attempts else "nothing-fits"
        self._got[name] = got
        why = self._failed[name].message or self._failed[name].cause
        job.view.works(f"took {got.candidate.build.filename} from {got.candidate.source}: not imported ({why})")
        return "ok"

    def _first(self, candidates: Sequence[Candidate], managed: Managed, attempts: list[Attempt]) -> _Got | None:
        """The first build that can be had, has nothing against it, and that pip takes with the rest of the command."""
        dead_hosts, view = set[str](), self._job.view
        for candidate in candidates:
            host = host_of(candidate.location)
            if host in dead_hosts or len(attempts) >= self._job.command.own.max_attempts:
                continue
            most = min(len(candidates), self._job.command.own.max_attempts)
            view.trying(candidate.build.filename, candidate.source, place=len(attempts) + 1, of=most)
            started = time.monotonic()
            try:
                path = self._bring(candidate, managed)
            except AttemptFailed as failed:
                unreachable = failed.fetch is not None and failed.fetch.cause in {"unreachable", "timeout"}
                attempt = replace(attempt_of(candidate, failed.stage, started, str(failed)), unreachable=unreachable)
                dead_hosts |= {host} if unreachable else set()
                attempts.append(attempt)
                view.failed("refused", str(failed), seconds=attempt.seconds)
                continue
            attempts.append(attempt_of(candidate, "pip", started, None))
            return _Got(candidate=candidate, path=path, attempts=tuple(attempts))
        return None

    def _bring(self, candidate: Candidate, managed: Managed) -> Path:
        job, package = self._job, managed.package
        fetched = fetch(candidate, self._downloader)
        self._check_free(candidate, fetched)
        policy = policy_of(managed.request, package, job.command)
        with job.view.doing("looking into the wheel"):
            look_into(candidate, fetched, policy, package.imports_for(candidate.build.version), self._inside)
        while True:
            run = self._pip({package.name: _link(fetched.path)})
            if run.failure is None:
                return fetched.path
            others = [each for name, each in self._known.items() if name not in self._failed]
            culprit = blamed(run.failure, others, job)
            if culprit is None and stands(run.failure, {package.name}):
                raise PipsWord(run.exit_code, run.failure)
            if culprit is None or culprit.package.name in self._failed:
                raise AttemptFailed("pip", run.failure.in_words, pip=run)
            self._fails(culprit, failed_primary(run.failure))

    def _check_free(self, candidate: Candidate, fetched: Fetched) -> None:
        """pip leaves a file of that name as it is, and would take it for the build. Raises FileThereError."""
        there = folder_of(self._job.command) / candidate.build.filename
        if there.is_file() and sha256_of(there) != fetched.sha256:
            raise FileThereError(
                f"{there} is there already, and is another file than that of {candidate.source}",
                hints=("remove it, or name another folder",),
            )

    def _outcome(self, ending: Ending, exit_code: int = 1) -> Outcome:
        for name, each in self._known.items():
            primary = self._failed.get(name, Primary(ok=ending == "ok"))
            status: Status = "primary" if primary.ok else "failed"
            self._done.setdefault(name, RequestOutcome(request=each.request.text, status=status, primary=primary))
        ok = ending == "ok"
        return Outcome(
            status=("fallback" if self._got else "primary") if ok else "failed",
            exit_code=0 if ok else exit_code,
            ending=ending,
            environment=self._job.environment,
            requests=tuple(self._done[name] for name in self._known),
        )


def folder_of(command: CommandLine) -> Path:
    """Where the files go."""
    folders = command.values(_FOLDER[command.command or "download"])
    return Path(folders[-1] if folders else ".")


def _wheels(command: CommandLine) -> list[Path]:
    return sorted(folder_of(command).glob("*.whl"))


def _link(path: Path) -> str:
    return path.absolute().as_uri()
