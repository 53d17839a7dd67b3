"""What was found out, as JSON (DESIGN 7, schema 1) and as the errors that end a command."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipfallback.builds import Build
from pipfallback.checks import Check
from pipfallback.compatibility import Decision, Policy
from pipfallback.environment import Environment
from pipfallback.errors import NothingFitsError, NothingWorksError, PipfallbackError, UnknownPackageError
from pipfallback.import_failures import MISSING_DEPENDENCY
from pipfallback.inspection.description import to_json
from pipfallback.nearest import what_would_change
from pipfallback.outcome import Attempt, InstalledNow, Outcome, RequestOutcome
from pipfallback.questions import Explanation, Plan
from pipfallback.requests import host_of, shown
from pipfallback.sources.reading import Note
from pipfallback.sources.reading import in_words as notes_in_words

SCHEMA = 1
# Why the user's own command did not do, by its cause, for the line of summary.
_WHY = {
    "unsupported-wheel": "pip refuses the wheel that was asked for",
    "not-found": "what was asked for is not there",
    "no-matching-distribution": "pip itself found no build",
    "import-failed": "what pip installed does not import",
    "not-replaced": "pip had left another build of that version in place",
    "build-not-allowed": "sources are not built without --allow-build",
    "build-failed": "pip could not build it",
    "conflict": "what pip would take needs another torch",
    "requires-python": "what pip found is for another Python",
    "inconsistent-version": "its metadata has another version than its name",
    "truncated": "the download broke off",
}
_VERIFIED = {
    "works": "it works",
    "imports": "it imports",
    "inconclusive": "it could not be tried out on this machine",
    "skipped": "not verified",
}
_SILENT = frozenset({"unreachable", "timeout", "tls", "late"})
_MANY_SILENT = 3  # sources, from which on it is the network and not a publisher
_LISTED = 8  # refused builds that an error lists; `plan` and --outcome have them all


def decision_json(decision: Decision) -> dict[str, Any]:
    """One decision as ``plan --json`` and ``explain --json`` list it."""
    candidate = decision.candidate
    return {
        "filename": candidate.build.filename,
        "url": shown(candidate.location) if "://" in candidate.location else None,
        "name": candidate.build.name,
        "version": candidate.build.version.public,
        "source": candidate.source,
        "trust": candidate.trust.value if candidate.source else None,
        "sha256": candidate.sha256,
        "build": build_json(candidate.build),
        "accepted": decision.accepted,
        "grade": decision.grade,
        "mismatches": [
            {"rule": mismatch.rule, "wanted": mismatch.wanted, "found": mismatch.found}
            for mismatch in decision.mismatches
        ],
    }


def build_json(build: Build) -> dict[str, Any]:
    """What a wheel was built for, as the JSON form of a decision holds it."""
    return {
        "torch": build.torch,
        "torch_rule": build.torch_rule,
        "cuda": build.cuda,
        "rocm": build.rocm,
        "cpu": build.cpu,
        "cxx11_abi": build.cxx11_abi,
        "cxx11_abi_label": build.cxx11_abi_label,
        "archs": None if build.archs is None else list(build.archs),
    }


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """One answer of ``explain --json``; an argument that is no wheel's name has ``error``."""
    if explanation.decision is not None:
        form = decision_json(explanation.decision)
        if explanation.findings is not None:
            form["file"] = to_json(explanation.findings)
        if explanation.unread is not None:
            form["file_error"] = explanation.unread
        return form
    return {"filename": shown(explanation.argument), "error": explanation.error}


def decisions_json(decisions: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The document of ``plan --json`` and ``explain --json``."""
    return {"schema": SCHEMA, "decisions": list(decisions)}


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """The document of ``--outcome``; the first managed request also stands at the top."""
    requests = [_request_json(request) for request in outcome.requests]
    top = {key: requests[0][key] if requests else None for key in ("request", "installed", "decisions", "attempts")}
    return {
        "schema": SCHEMA,
        "status": outcome.status,
        "environment": outcome.environment.to_json(),
        "requests": requests,
        **top,
        "changed": [{"name": change.name, "from": change.before, "to": change.after} for change in outcome.changed],
    }


def error_json(error: PipfallbackError) -> dict[str, Any]:
    """An error under ``--json``."""
    return {
        "schema": SCHEMA,
        "error": {
            "reference": error.reference,
            "message": "\n".join((error.message, *error.details)),
            "cause": list(error.causes),
            "hints": list(error.hints),
        },
    }


def failure(outcome: Outcome, policies: Mapping[str, Policy]) -> PipfallbackError | None:
    """The error that ends a failed install; None where it did not fail, or pip has said it all.

    ``policies``: how each request was judged, by its text, to find what would have to change.
    """
    if outcome.ending in {"ok", "pip"}:
        return None
    failed = [request for request in outcome.requests if request.status == "failed"]
    # They have their turns in order: those behind the one that ended it were not tried.
    last = failed[0] if failed else outcome.requests[-1]
    name = last.decisions[0].candidate.build.name if last.decisions else last.request
    if outcome.ending == "no-fallback":
        return NothingWorksError(
            f"{last.request}: {last.primary.message or last.primary.cause}", hints=("leave out --no-fallback",)
        )
    if outcome.ending == "locked":
        return NothingWorksError(
            f"{last.request}: {last.primary.message or last.primary.cause}",
            details=("a lock names this very file, so no other build was tried; everything is as it was before",),
            hints=("lock anew for this environment: pipfallback lock",),
        )
    if outcome.ending == "fallback-refused":
        return NothingWorksError(
            f"{last.request} itself does not work, and --fail-on-fallback allows no other build",
            details=_tried(last.attempts),
        )
    if outcome.ending == "nothing-works":
        return _nothing_works(name, last, _hints(last, outcome.environment, policies))
    said = () if last.primary.hint is None else (last.primary.hint,)
    policy = policies.get(last.request)
    return nothing_fits(name, last.decisions, outcome.environment, policy, notes=last.notes, hints=said)


def _nothing_works(name: str, request: RequestOutcome, changes: Sequence[str]) -> NothingWorksError:
    """What was tried for a request, why it failed, what was not tried. ``changes``: what would let other builds fit."""
    details = (*_tried(request.attempts), *_left(request), *notes_in_words(request.notes))
    notes = tuple(note.hint for note in request.notes if note.hint)
    # What all of them lacked is what to do first.
    hints = {attempt.hint if attempt.cause == MISSING_DEPENDENCY else None for attempt in request.attempts}
    common = tuple(hint for hint in hints if hint and len(hints) == 1)
    if any(attempt.stage != "fetch" for attempt in request.attempts):
        return NothingWorksError(
            f"{name}: none of the builds that were tried works; everything is as it was before",
            details=details,
            hints=(*common, *changes, *notes),
        )
    network = ("check the network and its proxy settings, then run the same command again",)
    unreachable = any(attempt.unreachable for attempt in request.attempts)
    return NothingWorksError(
        f"{name}: no build that fits could be fetched; everything is as it was before",
        details=details,
        hints=(*(network if unreachable else changes), *notes),
    )


def no_plan(plan: Plan, environment: Environment, known: Collection[str] = ()) -> PipfallbackError:
    """Why ``plan`` has nothing to try for a request. ``known``: the packages that the catalog knows."""
    name = plan.request.name or shown(plan.request.text)
    if not plan.managed and not plan.decisions:
        near = [f"did you mean {each}?" for each in difflib.get_close_matches(name, known, n=1, cutoff=0.8)]
        return UnknownPackageError(
            f"{name}: no fallbacks.toml in force knows this package; pip alone decides",
            hints=(*near, "an entry in a fallbacks.toml makes its other builds known (docs/fallbacks-toml.md)"),
        )
    return nothing_fits(name, plan.decisions, environment, plan.policy, notes=plan.unheard)


def summary(outcome: Outcome) -> Iterator[str]:
    """One line for each request that a fallback served: what was installed, from where, why not the first choice."""
    for request in outcome.requests:
        success = next((attempt for attempt in request.attempts if attempt.ok), None)
        if success is None or request.installed is None:
            continue
        source = f" from {success.source}" if success.source else ""
        why = _WHY.get(request.primary.cause or "", f"pip failed ({request.primary.cause})")
        yield f"installed {success.filename}{source}: {_VERIFIED[request.installed.verified]} ({why})"


def considered_lines(request: RequestOutcome) -> Iterator[str]:
    """What was considered for a request, for ``--explain``: the accepted with their grade, examples of the refused."""
    for decision in request.decisions:
        if decision.accepted:
            yield f"{decision.grade}: {decision.candidate.build.filename}"
    yield from _refused_examples([decision for decision in request.decisions if not decision.accepted])


def _refused_examples(refused: Sequence[Decision]) -> Iterator[str]:
    shown = examples(refused, _LISTED)
    for decision in shown:
        yield from refusal_lines(decision)
    if len(refused) > len(shown):
        yield f"and {len(refused) - len(shown)} more; pipfallback plan --all lists them"


def nothing_fits(
    name: str,
    decisions: Sequence[Decision],
    environment: Environment,
    policy: Policy | None,
    *,
    notes: Sequence[Note] = (),
    hints: Sequence[str] = (),
) -> PipfallbackError:
    """No build is accepted: which came nearest, why each was refused, and what would have to change.

    ``notes``: why something of the sources is not among them; ``hints``: what else can be done.
    """
    silent = len({note.source for note in notes if note.cause in _SILENT})
    # That a withdrawn build could be pinned helps only where that one fits, which is not known here.
    mute = {"yanked", *(_SILENT if silent >= _MANY_SILENT else ())}
    heard = [note.hint for note in notes if note.hint and note.cause not in mute]
    network = f"{silent} sources could not be asked: check the network and its proxy settings, then ask again"
    said = (*([network] if silent >= _MANY_SILENT else []), *hints, *heard)
    if not decisions:
        none = f"no build is known, and {silent} of its sources could not be asked" if silent else "no build is known"
        return NothingFitsError(
            f"{name}: none of its sources lists a build" if notes and not silent else f"{name}: {none}",
            details=tuple(notes_in_words(notes)),
            hints=said or ("name one in a fallbacks.toml (docs/fallbacks-toml.md)",),
        )
    sources = {decision.candidate.source for decision in decisions} - {None}
    refused = [decision for decision in decisions if not decision.accepted]
    builds = "1 build" if len(decisions) == 1 else f"{len(decisions)} builds"
    origin = "1 source" if len(sources) == 1 else f"{len(sources)} sources"
    details = [f"considered {builds} from {origin}", *_refused_examples(refused), *notes_in_words(notes)]
    changes = what_would_change(decisions, environment, policy or Policy())
    return NothingFitsError(
        f"{name}: no build fits this environment ({in_words(environment)})",
        details=details,
        hints=(*(change.text for change in changes), *said),
    )


def examples(refused: Sequence[Decision], limit: int) -> Sequence[Decision]:
    """The refused that are worth a look, in their order: all if they are few, else the first of each set of reasons."""
    if len(refused) <= limit:
        return refused
    first: dict[tuple[str, ...], Decision] = {}
    for decision in refused:
        first.setdefault(tuple(mismatch.text for mismatch in decision.mismatches), decision)
        if len(first) == limit:
            break
    return list(first.values())


def refusal_lines(decision: Decision) -> Iterator[str]:
    """One refused build: its name and source, then each broken rule with its sentence."""
    source = f"  ({decision.candidate.source})" if decision.candidate.source else ""
    yield f"{decision.candidate.build.filename}{source}"
    for mismatch in decision.mismatches:
        yield f"  {mismatch.rule:<14} {mismatch.text}"


def in_words(environment: Environment) -> str:
    """The environment in a few words: "CPython 3.11, torch 2.7.1+cu126"."""
    python = environment.python
    implementation = {"cpython": "CPython", "pypy": "PyPy"}.get(python.implementation, python.implementation)
    minor = ".".join(python.version.split(".")[:2]) + ("t" if python.free_threaded else "")
    return f"{implementation} {minor}, {_torch_in_words(environment)}"


def _torch_in_words(environment: Environment) -> str:
    torch = environment.torch
    if torch is None:
        return "torch unknown" if environment.origins.get("torch") == "unknown" else "no torch"
    # A torch from PyPI does not say in its version which CUDA it has.
    return f"torch {torch.version}" + (f" with CUDA {torch.cuda}" if torch.cuda and "+" not in torch.version else "")


def _hints(request: RequestOutcome, environment: Environment, policies: Mapping[str, Policy]) -> tuple[str, ...]:
    policy = policies.get(request.request) or Policy()
    return tuple(hint.text for hint in what_would_change(request.decisions, environment, policy, limit=2))


def _tried(attempts: Sequence[Attempt]) -> Iterator[str]:
    for attempt in attempts:
        source = f"  ({attempt.source})" if attempt.source else ""
        yield f"{attempt.filename}{source}"
        yield f"  {attempt.stage:<8} {attempt.error or 'works'}"


def _left(request: RequestOutcome) -> Iterator[str]:
    """What fits and was not tried, and why not."""
    tried = {attempt.location for attempt in request.attempts}
    silent = {host_of(attempt.location) for attempt in request.attempts if attempt.unreachable}
    accepted = [decision.candidate.location for decision in request.decisions if decision.accepted]
    left = [location for location in accepted if location not in tried | request.needless]
    beside = [location for location in left if host_of(location) in silent]
    if beside:
        yield f"{len(beside)} more fit and are at {', '.join(sorted({host_of(each) for each in beside}))} as well"
    if len(left) > len(beside):
        yield f"{len(left) - len(beside)} more fit and were not tried; --max-attempts allows more"
    if request.needless:
        yield f"{len(request.needless)} more fit and were not tried: they are the same files, or lack the same"


def checks_json(checks: Iterable[Check]) -> dict[str, Any]:
    """What ``verify --json`` prints (DESIGN 7)."""
    return {
        "schema": 1,
        "packages": [
            {
                "name": each.name,
                "version": each.version,
                "status": each.verdict.status,
                "cause": each.verdict.cause,
                "message": each.verdict.message or each.verdict.warning,
                "hint": each.verdict.hint,
            }
            for each in checks
        ],
    }


def _request_json(request: RequestOutcome) -> dict[str, Any]:
    primary = request.primary
    return {
        "request": shown(request.request),
        "status": request.status,
        "primary": {"ok": primary.ok, "cause": primary.cause, "message": primary.message},
        "installed": _installed_json(request.installed),
        "decisions": [decision_json(decision) for decision in request.decisions],
        "attempts": [_attempt_json(attempt) for attempt in request.attempts],
        "notes": [
            {"source": note.source, "message": note.text, "cause": note.cause, "hint": note.hint}
            for note in request.notes
        ],
    }


def _installed_json(installed: InstalledNow | None) -> dict[str, Any] | None:
    if installed is None:
        return None
    return {
        "name": installed.name,
        "version": installed.version,
        "url": installed.url,
        "sha256": installed.sha256,
        "verified": installed.verified,
    }


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "url": shown(attempt.location),
        "stage": attempt.stage,
        "ok": attempt.ok,
        "error": attempt.error,
        "seconds": attempt.seconds,
    }
