"""One candidate: fetched, inspected, installed through pip, verified; or undone, with the reason."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from pipfallback import pins
from pipfallback.arguments import REQUIREMENT_OPTIONS, CommandLine, Item
from pipfallback.builds import Candidate, Metadata, with_metadata
from pipfallback.catalog import Package
from pipfallback.compatibility import Policy
from pipfallback.environment import Environment
from pipfallback.errors import PipfallbackError
from pipfallback.inspection.wheel import InvalidWheelError, contradiction, parse_metadata, read_metadata
from pipfallback.installed import Installed, installed_in, write_direct_url
from pipfallback.layout import Layout
from pipfallback.looking_inside import Inside
from pipfallback.net.download import Downloader, Fetched
from pipfallback.net.failures import FetchFailure
from pipfallback.outcome import Attempt, Stage
from pipfallback.pip import Pip, PipRun
from pipfallback.remembered import Memory
from pipfallback.requests import Request, without_credentials
from pipfallback.transaction import Transaction
from pipfallback.verify import Trial, Verdict, verify

# Requirements and what belongs to them; the candidate alone is installed without any.
_ABOUT_REQUIREMENTS = REQUIREMENT_OPTIONS | {"--constraint", "--build-constraint"}
# They contradict "exactly this wheel, nothing else", or say it already.
_NOT_FOR_ONE = frozenset({
    "--upgrade", "--upgrade-strategy", "--force-reinstall", "--ignore-installed", "--no-deps", "--only-deps",
    "--require-hashes", "--report", "--only-binary", "--no-binary", "--pre", "--all-releases", "--only-final",
})  # fmt: skip
# They would fetch again what is in place, or contradict the pins.
_NOT_FOR_REST = frozenset({"--upgrade", "--upgrade-strategy", "--force-reinstall", "--ignore-installed"})


class _AttemptFailed(Exception):  # noqa: N818  (it is no error: it ends one attempt)
    """One stage did not succeed. ``fetch`` and ``pip`` hold what failed there."""

    def __init__(
        self,
        stage: Stage,
        error: str,
        *,
        fetch: FetchFailure | None = None,
        pip: PipRun | None = None,
        about: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(error)
        self.stage: Stage = stage
        self.fetch = fetch
        self.pip = pip
        self.about = about


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What every attempt of one command needs."""

    pip: Pip
    environment: Environment
    layout: Layout
    transaction: Transaction
    downloader: Downloader
    inside: Inside

    @property
    def scratch(self) -> Path:
        """A folder for downloads and constraint files."""
        return self.transaction.scratch

    def installed(self) -> dict[str, Installed]:
        """What is installed now where this command installs to."""
        return installed_in(self.layout.folders)

    def verify(self, package: Package, version: str, *, timeout: float) -> Verdict:
        """Import what proves the package (torch first, where it is tied to it); run its smoke test where a GPU is.

        What was tried before and has not changed since is not tried again.
        """
        installed = self.installed()
        there = installed.get(package.name)
        trial = Trial(
            modules=package.imports_for(version),
            first=package.needs,
            paths=self.layout.import_paths,
            smoke=package.smoke if self.environment.gpus else None,
            smoke_decides=not package.smoke_unproven,
            files=() if there is None else tuple(path.name for path in there.files()),
            timeout=timeout,
        )
        how = (list(trial.modules), list(trial.first), list(trial.paths), trial.smoke)
        memory = Memory(self.environment)
        passed = memory.verified(package.name, installed, how)
        if passed is not None:
            return Verdict(status=passed)
        verdict = verify(self.pip.executable, trial, scratch=self.scratch)
        if verdict.status in {"works", "imports"}:
            memory.remember(package.name, installed, how, verdict.status)
        return verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """What an attempt left installed. ``verdict`` is None where verification was not wanted."""

    installed: Installed
    sha256: str | None
    verdict: Verdict | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """An attempt that is over: what it left, or what failed in the download or in pip.

    ``about``: the names of the build and of what it requires, where pip failed.
    """

    attempt: Attempt
    success: Success | None = None
    fetch: FetchFailure | None = None
    pip: PipRun | None = None
    about: frozenset[str] = frozenset()


def try_candidate(
    candidate: Candidate,
    *,
    request: Request,
    package: Package,
    policy: Policy,
    command: CommandLine,
    settled: Mapping[str, str],
    dropped: frozenset[str],
    reuse: bool,
    place: Workplace,
) -> Tried:
    """Install one candidate in place of ``request`` and verify it; undo it where any stage fails.

    ``settled``: other requirements of the command (text -> pinned form) that already have their build in place;
    ``dropped``: requirements to leave out, since they wait for theirs; ``reuse``: where this very file is installed
    already, it need not be fetched again.
    """
    started = time.monotonic()
    point = place.transaction.savepoint()
    try:
        before = place.installed()
        imports = package.imports_for(candidate.build.version)
        there = _there_already(candidate, before) if reuse else None
        new = there or _bring(candidate, request, policy, command, imports=imports, place=place)
        pinned = {**settled, request.text: request.pinned(new.installed.version)}
        _pip_rest(command, pinned=pinned, dropped=dropped, before=before, metadata=new.metadata, place=place)
        verdict = _verify(package, new.installed, command.own.verify, command.own.verify_timeout, place)
    except _AttemptFailed as failed:
        place.transaction.undo(point)
        attempt = replace(
            _attempt(candidate, failed.stage, started, str(failed)),
            unreachable=failed.fetch is not None and failed.fetch.cause in {"unreachable", "timeout"},
        )
        return Tried(attempt=attempt, fetch=failed.fetch, pip=failed.pip, about=failed.about)
    return Tried(
        attempt=_attempt(candidate, "verify", started, None),
        success=Success(installed=new.installed, sha256=new.sha256, verdict=verdict),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _InPlace:
    """A candidate that is installed, not verified yet."""

    installed: Installed
    sha256: str | None
    metadata: Metadata


def _there_already(candidate: Candidate, installed: Mapping[str, Installed]) -> _InPlace | None:
    """The candidate where an earlier run has installed this very file: its URL and hash stand beside it (PEP 610)."""
    there = installed.get(candidate.build.name)
    origin = (there.direct_url or {}) if there is not None else {}
    if there is None or origin.get("url") != without_credentials(candidate.location):
        return None
    sha256 = origin.get("archive_info", {}).get("hashes", {}).get("sha256")
    if candidate.sha256 not in {None, sha256}:
        return None
    try:
        metadata = parse_metadata((there.info / "METADATA").read_bytes())
    except (OSError, InvalidWheelError):
        return None
    return _InPlace(installed=there, sha256=sha256, metadata=metadata)


def _bring(
    candidate: Candidate,
    request: Request,
    policy: Policy,
    command: CommandLine,
    *,
    imports: Sequence[str],
    place: Workplace,
) -> _InPlace:
    """Fetch the candidate, look into it, install it alone, and note its true origin. ``imports``: what must import."""
    fetched = _fetch(candidate, place.downloader)
    metadata = _inspect(candidate, fetched, policy, imports, place.inside)
    _pip_alone(command, fetched, metadata, place)
    installed = _in_place(place, request, candidate)
    if "://" in candidate.location and not candidate.location.startswith("file:"):
        with place.transaction.changing() as log:
            write_direct_url(installed, candidate.location, fetched.sha256, log)
    return _InPlace(installed=installed, sha256=fetched.sha256, metadata=metadata)


def _attempt(candidate: Candidate, stage: Stage, started: float, error: str | None) -> Attempt:
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


def _fetch(candidate: Candidate, downloader: Downloader) -> Fetched:
    result = downloader.fetch(candidate.location, candidate.build.filename, candidate.sha256)
    if isinstance(result, FetchFailure):
        raise _AttemptFailed("fetch", result.message, fetch=result)
    return result


def _inspect(
    candidate: Candidate, fetched: Fetched, policy: Policy, imports: Sequence[str], inside: Inside
) -> Metadata:
    """What the file says of itself; refused where that contradicts its name or this environment."""
    try:
        metadata = read_metadata(fetched.path)
        if (lie := contradiction(candidate.build, metadata)) is not None:
            raise _AttemptFailed("inspect", lie)
        known = replace(candidate, build=with_metadata(candidate.build, metadata), sha256=fetched.sha256)
        decision = inside.judge_file(known, fetched.path, policy, imports)
    except InvalidWheelError as error:
        raise _AttemptFailed("inspect", str(error)) from None
    if not decision.accepted:
        raise _AttemptFailed("inspect", "; ".join(mismatch.text for mismatch in decision.mismatches))
    return metadata


def _pip_alone(command: CommandLine, fetched: Fetched, metadata: Metadata, place: Workplace) -> None:
    """Only the candidate, whatever is installed: pip compares metadata versions, so it must be forced."""
    # pip would take a build away from the environment itself to put this one into a --prefix or --root.
    whatever_is_there = "--ignore-installed" if place.layout.separate else "--force-reinstall"

    def change(item: Item) -> Sequence[str] | None:
        if item.kind == "command":
            return (*item.words, whatever_is_there, "--no-deps")
        if item.kind in {"requirement", "end"} or item.name in _ABOUT_REQUIREMENTS | _NOT_FOR_ONE:
            return ()
        return None

    # With --target pip leaves what is there alone, and warns, unless it may upgrade it.
    replacing = ("--upgrade",) if command.has("--target") else ()
    link = f"{fetched.path.absolute().as_uri()}#sha256={fetched.sha256}"
    _run(place, (*command.replaced(change), *replacing, link), metadata)


def _pip_rest(
    command: CommandLine,
    *,
    pinned: Mapping[str, str],
    dropped: frozenset[str],
    before: Mapping[str, Installed],
    metadata: Metadata,
    place: Workplace,
) -> None:
    """The user's command with the candidate in place: what is missing comes in, what is installed stays."""
    with_dependencies = not command.has("--no-deps")
    missing = _missing(metadata, place.installed()) if place.layout.separate and with_dependencies else ()
    others = [item for item in command.wanted if item.value not in {*pinned, *dropped}]
    if not (others or missing or (with_dependencies and not place.layout.separate)):
        return
    named = {name_of(text) for text in (*pinned.values(), *(item.value or "" for item in command.requirements))}
    fixed = [name for name in before if name not in named]
    extra = (*pins.constraints(before, fixed, place.scratch / "pins.txt"), *missing)
    # pip does not look into a separate folder for what is installed, and would fetch it again.
    in_place = dict.fromkeys(pinned, ()) if place.layout.separate else {text: (pin,) for text, pin in pinned.items()}
    _run(place, words_of_rest(command, in_place=in_place, dropped=dropped, extra=extra), metadata)
    if changes := pins.moved(before, place.installed(), fixed):
        raise _AttemptFailed("pip", f"pip changed {', '.join(changes)}")


def words_of_rest(
    command: CommandLine, *, in_place: Mapping[str, tuple[str, ...]], dropped: frozenset[str], extra: tuple[str, ...]
) -> tuple[str, ...]:
    """The user's command with other words for what is in place, without what is dropped, and with ``extra`` options."""

    def change(item: Item) -> Sequence[str] | None:
        if item.kind == "command":
            return (*item.words, *extra)
        if item.kind == "requirement" and item.value in dropped:
            return ()
        if item.kind == "requirement":
            return in_place.get(item.value or "")
        return () if item.name in _NOT_FOR_REST else None

    return command.replaced(change)


def _missing(metadata: Metadata, installed: Mapping[str, Installed]) -> tuple[str, ...]:
    """What a separate folder lacks. Markers are pip's to judge, in the target; torch comes only where it is named."""
    wanted = [each for each in metadata.requires if "extra" not in str(each.marker or "")]
    there = {*installed, *pins.TORCH_FAMILY}
    return tuple(str(each) for each in wanted if canonicalize_name(each.name) not in there)


def name_of(text: str) -> str:
    """The name of the distribution that a requirement asks for; of a path or a URL the text itself."""
    try:
        return canonicalize_name(Requirement(text).name)
    except InvalidRequirement:  # a path or a URL: it names nothing that is installed from elsewhere
        return text


def _run(place: Workplace, words: Sequence[str], metadata: Metadata) -> None:
    run = place.pip.run(words, place.transaction)
    if run.failure is not None:
        about = {canonicalize_name(name) for name in (metadata.name, *(each.name for each in metadata.requires))}
        raise _AttemptFailed("pip", run.failure.in_words, pip=run, about=frozenset(about))


def _in_place(place: Workplace, request: Request, candidate: Candidate) -> Installed:
    found = place.installed().get(candidate.build.name)
    if found is None:
        raise PipfallbackError(f"{request.text}: pip ended well, but {candidate.build.name} is not installed")
    return found


def _verify(package: Package, installed: Installed, wanted: bool, timeout: float, place: Workplace) -> Verdict | None:
    if not wanted:
        return None
    verdict = place.verify(package, installed.version, timeout=timeout)
    if not verdict.acceptable:
        raise _AttemptFailed("verify", verdict.message or "it does not import")
    return verdict
