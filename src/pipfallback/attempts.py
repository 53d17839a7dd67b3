"""One candidate: fetched, inspected, installed through pip, verified; or undone, with the reason."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from pipfallback import pins
from pipfallback.arguments import CommandLine, Item
from pipfallback.builds import Candidate, Metadata, with_metadata
from pipfallback.catalog import Package
from pipfallback.compatibility import Policy, judge
from pipfallback.environment import Environment
from pipfallback.errors import PipfallbackError
from pipfallback.inspection.wheel import InvalidWheelError, contradiction, read_metadata
from pipfallback.installed import Installed, installed_in, write_direct_url
from pipfallback.layout import Layout
from pipfallback.net.download import Downloader, Fetched, FetchFailure
from pipfallback.outcome import Attempt, Stage
from pipfallback.pip import Pip
from pipfallback.pip_failures import Failure
from pipfallback.requests import Request
from pipfallback.transaction import Transaction
from pipfallback.verify import Verdict, verify

# Requirements and what belongs to them; the candidate alone is installed without any.
_REQUIREMENT_OPTIONS = frozenset({
    "--requirement", "--editable", "--group", "--requirements-from-script", "--constraint", "--build-constraint",
})  # fmt: skip
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
        self, stage: Stage, error: str, *, fetch: FetchFailure | None = None, pip: Failure | None = None
    ) -> None:
        super().__init__(error)
        self.stage: Stage = stage
        self.fetch = fetch
        self.pip = pip


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What every attempt of one command needs. ``scratch``: a folder for downloads and constraint files."""

    pip: Pip
    environment: Environment
    layout: Layout
    transaction: Transaction
    downloader: Downloader
    scratch: Path

    def installed(self) -> dict[str, Installed]:
        """What is installed now where this command installs to."""
        return installed_in(self.layout.folders)

    def verify(self, package: Package, version: str, *, timeout: float) -> Verdict:
        """Import what proves the package (torch first, where it is tied to it); run its smoke test where a GPU is."""
        return verify(
            self.pip.executable,
            package.imports_for(version),
            first=package.needs,
            paths=self.layout.import_paths,
            smoke=package.smoke if self.environment.gpus else None,
            timeout=timeout,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """What an attempt left installed. ``verdict`` is None where verification was not wanted."""

    installed: Installed
    sha256: str
    verdict: Verdict | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """An attempt that is over: what it left, or what failed in the download or in pip."""

    attempt: Attempt
    success: Success | None = None
    fetch: FetchFailure | None = None
    pip: Failure | None = None


def try_candidate(
    candidate: Candidate,
    *,
    request: Request,
    package: Package,
    policy: Policy,
    command: CommandLine,
    settled: Mapping[str, str],
    dropped: frozenset[str],
    place: Workplace,
) -> Tried:
    """Install one candidate in place of ``request`` and verify it; undo it where any stage fails.

    ``settled``: other requirements of the command (text -> pinned form) that already have their build in place;
    ``dropped``: requirements to leave out, since they wait for theirs.
    """
    started = time.monotonic()
    point = place.transaction.savepoint()
    try:
        fetched = _fetch(candidate, place.downloader)
        metadata = _inspect(candidate, fetched, policy, place.environment)
        before = place.installed()
        _pip_alone(command, fetched, place)
        installed = _in_place(place, request, candidate)
        if "://" in candidate.location and not candidate.location.startswith("file:"):
            with place.transaction.changing() as log:
                write_direct_url(installed, candidate.location, fetched.sha256, log)
        pinned = {**settled, request.text: request.pinned(installed.version)}
        _pip_rest(command, pinned=pinned, dropped=dropped, before=before, metadata=metadata, place=place)
        verdict = _verify(package, installed, command.own.verify, command.own.verify_timeout, place)
    except _AttemptFailed as failed:
        place.transaction.undo(point)
        attempt = _attempt(candidate, failed.stage, started, str(failed))
        return Tried(attempt=attempt, fetch=failed.fetch, pip=failed.pip)
    return Tried(
        attempt=_attempt(candidate, "verify", started, None),
        success=Success(installed=installed, sha256=fetched.sha256, verdict=verdict),
    )


def _attempt(candidate: Candidate, stage: Stage, started: float, error: str | None) -> Attempt:
    seconds = round(time.monotonic() - started, 3)
    return Attempt(candidate=candidate, stage=stage, ok=error is None, error=error, seconds=seconds)


def _fetch(candidate: Candidate, downloader: Downloader) -> Fetched:
    result = downloader.fetch(candidate.location, candidate.build.filename, candidate.sha256)
    if isinstance(result, FetchFailure):
        raise _AttemptFailed("fetch", result.message, fetch=result)
    return result


def _inspect(candidate: Candidate, fetched: Fetched, policy: Policy, environment: Environment) -> Metadata:
    """What the file says of itself; refused where that contradicts its name or this environment."""
    try:
        metadata = read_metadata(fetched.path)
    except InvalidWheelError as error:
        raise _AttemptFailed("inspect", str(error)) from None
    if (lie := contradiction(candidate.build, metadata)) is not None:
        raise _AttemptFailed("inspect", lie)
    known = replace(candidate, build=with_metadata(candidate.build, metadata), sha256=fetched.sha256)
    decision = judge(known, environment, policy)
    if not decision.accepted:
        raise _AttemptFailed("inspect", "; ".join(mismatch.text for mismatch in decision.mismatches))
    return metadata


def _pip_alone(command: CommandLine, fetched: Fetched, place: Workplace) -> None:
    """Only the candidate, whatever is installed: pip compares metadata versions, so it must be forced."""

    def change(item: Item) -> Sequence[str] | None:
        if item.kind == "command":
            return (*item.words, "--force-reinstall", "--no-deps")
        if item.kind in {"requirement", "end"} or item.name in _REQUIREMENT_OPTIONS | _NOT_FOR_ONE:
            return ()
        return None

    # With --target pip leaves what is there alone, and warns, unless it may upgrade it.
    replacing = ("--upgrade",) if command.has("--target") else ()
    link = f"{fetched.path.absolute().as_uri()}#sha256={fetched.sha256}"
    _run(place, (*command.replaced(change), *replacing, link))


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
    others = [item for item in command.items if _is_wanted(item) and item.value not in {*pinned, *dropped}]
    if not (others or missing or (with_dependencies and not place.layout.separate)):
        return
    named = {_name_of(text) for text in (*pinned.values(), *(item.value or "" for item in command.requirements))}
    fixed = [name for name in before if name not in named]
    extra = (*pins.constraints(before, fixed, place.scratch / "pins.txt"), *missing)
    # pip does not look into a separate folder for what is installed, and would fetch it again.
    in_place = dict.fromkeys(pinned, ()) if place.layout.separate else {text: (pin,) for text, pin in pinned.items()}
    _run(place, _rest(command, in_place=in_place, dropped=dropped, extra=extra))
    if changes := pins.moved(before, place.installed(), fixed):
        raise _AttemptFailed("pip", f"pip changed {', '.join(changes)}")


def _rest(
    command: CommandLine, *, in_place: Mapping[str, tuple[str, ...]], dropped: frozenset[str], extra: tuple[str, ...]
) -> tuple[str, ...]:
    """The command with other words for what is in place, without what is dropped, and with ``extra`` options."""

    def change(item: Item) -> Sequence[str] | None:
        if item.kind == "command":
            return (*item.words, *extra)
        if item.kind == "requirement" and item.value in dropped:
            return ()
        if item.kind == "requirement":
            return in_place.get(item.value or "")
        return () if item.name in _NOT_FOR_REST else None

    return command.replaced(change)


def _is_wanted(item: Item) -> bool:
    """Whether the item asks for something to be installed."""
    return item.kind == "requirement" or (item.name in _REQUIREMENT_OPTIONS and "constraint" not in item.name)


def _missing(metadata: Metadata, installed: Mapping[str, Installed]) -> tuple[str, ...]:
    wanted = [each for each in metadata.requires if each.marker is None or each.marker.evaluate({"extra": ""})]
    return tuple(str(each) for each in wanted if canonicalize_name(each.name) not in installed)


def _name_of(text: str) -> str:
    try:
        return canonicalize_name(Requirement(text).name)
    except InvalidRequirement:  # a path or a URL: it names nothing that is installed from elsewhere
        return text


def _run(place: Workplace, words: Sequence[str]) -> None:
    run = place.pip.run(words, place.transaction)
    if run.failure is not None:
        raise _AttemptFailed("pip", run.failure.message, pip=run.failure)


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
