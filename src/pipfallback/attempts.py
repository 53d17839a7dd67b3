"""One candidate: fetched, inspected, installed through pip, verified; or undone, with the reason."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from pipfallback import install_report, pins
from pipfallback.arguments import REQUIREMENT_OPTIONS, Item
from pipfallback.asks import Asks
from pipfallback.builds import Candidate, Metadata
from pipfallback.catalog import Package
from pipfallback.compatibility import Policy
from pipfallback.environment import Environment
from pipfallback.errors import PipfallbackError
from pipfallback.fetching import AttemptFailed, attempt_of, fetch, look_into
from pipfallback.inspection.wheel import InvalidWheelError, parse_metadata
from pipfallback.installed import Installed, installed_in, write_direct_url
from pipfallback.installer import Installer
from pipfallback.layout import Layout
from pipfallback.looking_inside import Inside
from pipfallback.markers import known_answers
from pipfallback.net.download import Downloader, Fetched
from pipfallback.net.failures import FetchFailure
from pipfallback.outcome import Attempt
from pipfallback.pip import PipRun
from pipfallback.remembered import Memory
from pipfallback.requests import Request, without_credentials
from pipfallback.rewording import Wording, replacing, reworded, without_any
from pipfallback.satisfied import is_satisfied
from pipfallback.torch_family import TORCH_FAMILY
from pipfallback.transaction import Transaction
from pipfallback.verify import Trial, Verdict, verify
from pipfallback.view import View

# Requirements and what belongs to them; the candidate alone is installed without any.
_ABOUT_REQUIREMENTS = REQUIREMENT_OPTIONS | {"--constraint", "--build-constraint"}
# They contradict "exactly this wheel, nothing else", or say it already.
_NOT_FOR_ONE = frozenset({
    "--upgrade", "--upgrade-strategy", "--force-reinstall", "--ignore-installed", "--no-deps", "--only-deps",
    "--require-hashes", "--report", "--only-binary", "--no-binary", "--pre", "--all-releases", "--only-final",
})  # fmt: skip
# They would fetch again what is in place, or contradict the pins.
_NOT_FOR_REST = frozenset({"--upgrade", "--upgrade-strategy", "--force-reinstall", "--ignore-installed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What every attempt of one command needs."""

    pip: Installer
    environment: Environment
    layout: Layout
    transaction: Transaction
    downloader: Downloader
    inside: Inside
    view: View

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
        with self.view.doing(f"importing {', '.join(trial.modules)}"):
            verdict = verify(self.pip.executable, trial, scratch=self.scratch)
        if verdict.status in {"works", "imports"}:
            memory.remember(package.name, installed, how, verdict.status)
        return verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """What an attempt left installed, and where from. ``verdict`` is None where verification was not wanted.

    ``pin``: the requirement that leaves it as it is.
    """

    installed: Installed
    pin: str
    location: str
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
    asks: Asks,
    settled: Mapping[str, str],
    dropped: frozenset[str],
    reuse: bool,
    place: Workplace,
) -> Tried:
    """Install one candidate in place of ``request`` and verify it; undo it where any stage fails.

    ``settled``: other packages (name -> pinned requirement) that already have their build in place; ``dropped``: names
    to leave out, since they wait for theirs; ``reuse``: where this very file is installed
    already, it need not be fetched again.
    """
    started = time.monotonic()
    point = place.transaction.savepoint()
    try:
        before = place.installed()
        exchanged = {*asks.names, *settled, package.name}
        fixed = frozenset(before.keys() - exchanged) - pins.goes_with_torch(exchanged, before)
        imports = package.imports_for(candidate.build.version)
        apart = place.layout.separate and package.name not in asks.names
        there = _there_already(candidate, before) if reuse and not apart else None
        new = there or _bring(candidate, request, policy, asks, imports=imports, place=place)
        # pip does not look into a separate folder: what came as a dependency is asked for as the very file.
        pin = new.link if apart and new.link else request.pinned(new.installed.version)
        pinned = {**settled, package.name: pin}
        if not _is_all(request, new.metadata, asks, pinned=pinned, dropped=dropped, place=place):
            _pip_rest(
                asks, pinned=pinned, dropped=dropped, fixed=fixed, before=before, metadata=new.metadata, place=place
            )
        own = asks.command.own
        verdict = _verify(package, new.installed, own.verify, own.verify_timeout, place)
    except AttemptFailed as failed:
        place.transaction.undo(point)
        attempt = replace(
            attempt_of(candidate, failed.stage, started, str(failed)),
            cause=failed.cause,
            hint=failed.hint,
            unreachable=failed.fetch is not None and failed.fetch.cause in {"unreachable", "timeout"},
        )
        return Tried(attempt=attempt, fetch=failed.fetch, pip=failed.pip, about=failed.about)
    return Tried(
        attempt=attempt_of(candidate, "verify", started, None),
        success=Success(
            installed=new.installed, pin=pin, location=candidate.location, sha256=new.sha256, verdict=verdict
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _InPlace:
    """A candidate that is installed, not verified yet. ``link``: the URL of its file here, if it was fetched."""

    installed: Installed
    link: str | None = None
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
    asks: Asks,
    *,
    imports: Sequence[str],
    place: Workplace,
) -> _InPlace:
    """Fetch the candidate, look into it, install it alone, and note its true origin. ``imports``: what must import."""
    fetched = fetch(candidate, place.downloader)
    with place.view.doing("looking into the wheel"):
        metadata = look_into(candidate, fetched, policy, imports, place.inside)
    _pip_alone(asks, fetched, metadata, place)
    installed = _in_place(place, request, candidate)
    if "://" in candidate.location and not candidate.location.startswith("file:"):
        with place.transaction.changing() as log:
            write_direct_url(installed, candidate.location, fetched.sha256, log)
    return _InPlace(installed=installed, link=_link(fetched), sha256=fetched.sha256, metadata=metadata)


def _pip_alone(asks: Asks, fetched: Fetched, metadata: Metadata, place: Workplace) -> None:
    """Only the candidate, whatever is installed: pip compares metadata versions, so it must be forced."""
    # pip would take a build away from the environment itself to put this one into a --prefix or --root.
    whatever_is_there = "--ignore-installed" if place.layout.separate else "--force-reinstall"
    report = install_report.words_alone(asks, canonicalize_name(metadata.name), place.scratch)

    def options(item: Item) -> Sequence[str] | None:
        if item.kind == "command":
            return (*item.words, whatever_is_there, "--no-deps", *report)
        return () if item.kind == "end" or item.name in _ABOUT_REQUIREMENTS | _NOT_FOR_ONE else None

    # With --target pip leaves what is there alone, and warns, unless it may upgrade it.
    upgrade = ("--upgrade",) if asks.command.has("--target") else ()
    wording = without_any(asks, place.scratch, options=options)
    _run(place, replace(wording, words=(*wording.words, *upgrade, _link(fetched))), metadata)


def _link(fetched: Fetched) -> str:
    return f"{fetched.path.absolute().as_uri()}#sha256={fetched.sha256}"


def _is_all(
    request: Request,
    metadata: Metadata,
    asks: Asks,
    *,
    pinned: Mapping[str, str],
    dropped: Collection[str],
    place: Workplace,
) -> bool:
    """Whether the candidate alone was asked for, and all that it requires is there: pip need not run once more."""
    if place.layout.separate or asks.unreadable or asks.bounds:
        return False
    if any(ask.request.name not in {*pinned, *dropped} for ask in asks.requirements):
        return False
    return asks.command.has("--no-deps") or is_satisfied(
        metadata.requires, request.extras, place.installed(), known_answers(place.environment)
    )


def _pip_rest(
    asks: Asks,
    *,
    pinned: Mapping[str, str],
    dropped: frozenset[str],
    fixed: frozenset[str],
    before: Mapping[str, Installed],
    metadata: Metadata,
    place: Workplace,
) -> None:
    """The user's command with the candidate in place: what is missing comes in, what is installed stays.

    ``fixed``: what of ``before`` (both by name) must be as it was.
    """
    with_dependencies = not asks.command.has("--no-deps")
    missing = _missing(metadata, place.installed()) if place.layout.separate and with_dependencies else ()
    others = [ask for ask in asks.requirements if ask.request.name not in {*pinned, *dropped}]
    if not (others or asks.unreadable or missing or (with_dependencies and not place.layout.separate)):
        return
    extra = (*pins.constraints(before, fixed, place.scratch / "pins.txt"), *missing)
    # pip does not look into a separate folder for what is installed, and would fetch it again.
    there = {*(pinned.keys() & asks.names), *dropped} if place.layout.separate else dropped
    wanted = {name: pin for name, pin in pinned.items() if name not in there}
    _run(place, words_of_rest(asks, pinned=wanted, dropped=there, extra=extra, folder=place.scratch), metadata)
    if changes := pins.moved(before, place.installed(), fixed):
        raise AttemptFailed("pip", f"pip changed {', '.join(changes)}")


def words_of_rest(
    asks: Asks, *, pinned: Mapping[str, str], dropped: Collection[str], extra: Sequence[str], folder: Path
) -> Wording:
    """The user's command with other words for what is in place, without what is dropped, and with ``extra`` options.

    What is in place and not asked for by name came as a dependency: it is asked for at the end.
    """

    def options(item: Item) -> Sequence[str] | None:
        if item.kind == "command":
            return (*item.words, *extra)
        return () if item.name in _NOT_FOR_REST else None

    unasked = [pin for name, pin in pinned.items() if name not in asks.names]
    return reworded(asks, replacing(pinned, dropped), folder, options=options, end=unasked)


def _missing(metadata: Metadata, installed: Mapping[str, Installed]) -> tuple[str, ...]:
    """What a separate folder lacks. Markers are pip's to judge, in the target; torch comes only where it is named."""
    wanted = [each for each in metadata.requires if "extra" not in str(each.marker or "")]
    there = {*installed, *TORCH_FAMILY}
    return tuple(str(each) for each in wanted if canonicalize_name(each.name) not in there)


def _run(place: Workplace, wording: Wording, metadata: Metadata) -> None:
    run = place.pip.run(wording.words, place.transaction, variables=wording.variables)
    if run.failure is not None:
        about = {canonicalize_name(name) for name in (metadata.name, *(each.name for each in metadata.requires))}
        raise AttemptFailed("pip", run.failure.in_words, pip=run, about=frozenset(about))


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
        error = verdict.message or "it does not import"
        raise AttemptFailed("verify", error, cause=verdict.cause, hint=verdict.hint)
    return verdict
