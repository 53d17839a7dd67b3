"""What was found in a Dockerfile, as JSON (docs/docker.md) and as lines for a person."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pipfallback.compatibility import Decision
from pipfallback.dockerfile.findings import PYTHONS, Finding, Findings, Judged
from pipfallback.dockerfile.installs import Install
from pipfallback.dockerfile.rewriting import apply
from pipfallback.report import decision_json, in_words
from pipfallback.requests import redacted, shown

SCHEMA = 1
_VERDICTS = {"fits": "fits", "plausible": "may fit", "refused": "cannot work", "unknown": "not known"}
_OLDEST_MINOR = 10  # of the Python 3 that pipfallback itself runs on (pyproject.toml)
_NEEDS_310 = "pipfallback itself needs Python 3.10 or newer: install it in an environment of its own"


def findings_json(file: str, found: Findings, text: str) -> dict[str, Any]:
    """The document of ``dockerfile --json``."""
    return {
        "schema": SCHEMA,
        "file": file,
        "works": found.works,
        "lines": [_finding_json(finding, text, needed) for finding, needed in _with_first(found)],
        "not_understood": [{"line": line, "reason": reason} for line, reason in found.unread],
    }


def _with_first(found: Findings) -> Iterator[tuple[Finding, bool]]:
    """Each line, and whether it is the first of its stage that needs pipfallback: one is told how it comes in."""
    told: set[str] = set()
    for finding in found.findings:
        needs = finding.problem is not None or (finding.rewrite is not None and bool(finding.rewrite.edits))
        yield finding, needs and finding.install.place.stage not in told
        if needs:
            told.add(finding.install.place.stage)


def first_of_stages(found: Findings) -> Iterator[Finding]:
    """The first line of each stage that needs pipfallback."""
    yield from (finding for finding, first in _with_first(found) if first)


def _finding_json(finding: Finding, text: str, needed: bool) -> dict[str, Any]:
    install = finding.install
    return {
        "line": install.place.line,
        "stage": install.place.stage,
        "image": install.place.image,
        "installer": install.installer,
        "command": command_text(install),
        "environment": _environment_json(finding),
        "works": finding.works,
        "problem": finding.problem,
        "requests": [_judged_json(judged) for judged in finding.judged],
        "not_understood": list(install.unread),
        "rewritten": rewritten_text(finding, text),
        "stays_because": finding.rewrite.reason if finding.rewrite is not None else None,
        "hints": list(hints(finding, needed=needed)),
    }


def _environment_json(finding: Finding) -> dict[str, Any] | None:
    """What ``--environment FILE`` reads; the tags follow from the rest."""
    if finding.environment is None:
        return None
    form = finding.environment.to_json()
    del form["tags"], form["python"]["executable"]
    return form


def _judged_json(judged: Judged) -> dict[str, Any]:
    return {
        "request": shown(judged.requirement.text),
        "file": judged.requirement.file,
        "line": judged.requirement.line,
        "verdict": judged.verdict,
        "decision": None if judged.decision is None else decision_json(judged.decision),
        "choice": None if judged.choice is None else decision_json(judged.choice),
        "pythons": list(judged.pythons),
        "notes": list(judged.notes),
    }


def command_text(install: Install) -> str:
    """The command as it stands in the file, in one line and without credentials."""
    return redacted(" ".join(piece.raw for piece in (*install.program, *install.rest)))


# The end of a line that goes on, with the comments that may stand between it and the next (Dockerfile reference, "Format").
_CONTINUED = re.compile(r"[\\`][ \t]*\r?\n(?:[ \t]*(?:#[^\n]*)?\n)*")


def rewritten_text(finding: Finding, text: str) -> str | None:
    """The command as ``--write`` would have it; None where it stays."""
    rewrite = finding.rewrite
    if rewrite is None or not rewrite.edits:
        return None
    spans = [piece.span for piece in (*finding.install.program, *finding.install.rest) if piece.span is not None]
    start, end = min(span[0] for span in spans), max(span[1] for span in spans)
    edits = [(first - start, last - start, new) for first, last, new in rewrite.edits]
    words = apply(text[start:end], edits)
    if finding.install.form == "exec":
        return redacted(" ".join(json.loads(f"[{words}]")))
    return redacted(" ".join(_CONTINUED.sub(" ", words).split()))


def hints(finding: Finding, *, needed: bool) -> Iterator[str]:
    """What to do about a line; ``needed``: also how pipfallback itself comes into the stage."""
    install = finding.install
    for judged in finding.judged:
        if judged.verdict == "refused" and judged.choice is not None:
            yield f"pipfallback install would choose {_named(judged.choice)}"
    if needed:
        yield from how_it_comes_in(install)


def how_it_comes_in(install: Install) -> Iterator[str]:
    """The line that brings pipfallback itself, where it is not known to be there."""
    if install.has_pipfallback:
        return
    python, place = install.interpreter.python, install.place.instruction
    if python is not None and int(python.partition(".")[2]) < _OLDEST_MINOR:
        yield f"{_NEEDS_310} (uv tool install pipfallback)"
    elif install.has_pipfallback is False:
        yield f"pipfallback must be there: put `{installing(install)}` before line {place}"
    else:
        yield f"unless pipfallback is there already, put `{installing(install)}` before line {place}"


def installing(install: Install) -> str:
    """The instruction that brings pipfallback, by the program that the line itself installs with.

    One that is named by its path may not be there before the line.
    """
    program = " ".join(piece.raw for piece in install.program)
    if install.installer == "pipfallback" or "/" in program or "$" in program:
        program = "pip"
    system = " --system" if any(piece.value == "--system" for piece in install.rest) else ""
    return f"RUN {program} install{system if install.installer == 'uv' else ''} pipfallback"


def lines(file: str, found: Findings, text: str) -> Iterator[tuple[str, str]]:
    """What a person reads, as (style, line); the styles are "good", "open", "bad", "head", "dim" and ""."""
    for place, (finding, needed) in enumerate(_with_first(found)):
        if place:
            yield "", ""
        yield from _finding_lines(file, finding, text, needed=needed)
    for line, reason in found.unread:
        if found.findings:
            yield "", ""
        yield "head", f"{file}:{line}"
        yield "open", f"  not understood: {reason}; the line is left as it is"
    if not found.findings and not found.unread:
        yield "", f"{file}: no line installs a managed package or a wheel by its URL"


def _finding_lines(file: str, finding: Finding, text: str, *, needed: bool) -> Iterator[tuple[str, str]]:
    install = finding.install
    yield "head", f"{file}:{install.place.line}  {command_text(install)}"
    known = in_words(finding.environment) if finding.environment else "its Python is not known"
    yield "dim", f"  on {install.place.image}: {known}"
    if finding.problem:
        yield "bad", f"  cannot work: {finding.problem}"
    for judged in finding.judged:
        yield from _judged_lines(judged)
    for reason in install.unread:
        yield "open", f"  not understood: {reason}"
    if (new := rewritten_text(finding, text)) is not None:
        yield "", f"  --write: {new}"
    elif finding.rewrite is not None:
        yield "open", f"  --write leaves it: {finding.rewrite.reason}"
    for hint in hints(finding, needed=needed):
        yield "", f"  hint: {hint}"


def _judged_lines(judged: Judged) -> Iterator[tuple[str, str]]:
    place = ":".join(str(each) for each in (judged.requirement.file, judged.requirement.line) if each is not None)
    origin = f" ({place})" if place else ""
    style = {"fits": "good", "plausible": "open", "refused": "bad", "unknown": "open"}[judged.verdict]
    yield style, f"  {_VERDICTS[judged.verdict]}: {shown(judged.requirement.text)}{origin}"
    yield from (("", line) for line in _reasons(judged))
    # What else there may be is of no matter where something is known that fits.
    settled = judged.choice is not None and judged.choice.grade == "fits"
    for note in () if settled else judged.notes:
        yield "dim", f"    {note}"


def _reasons(judged: Judged) -> Iterator[str]:
    decision = judged.decision
    if judged.pythons == PYTHONS:
        yield "    its Python is not known (--python-version states it); for each that is usual something may fit"
    elif judged.pythons:
        yield f"    its Python is not known (--python-version states it); something may fit if it is {_listed(judged.pythons)}"
    elif judged.verdict == "unknown" and judged.notes:
        yield "    nothing that is known fits; what could not be asked may have something"
    if decision is None or judged.verdict == "unknown":
        return
    if decision.accepted and decision.candidate.source and decision is judged.choice:
        yield f"    {_named(decision)}"
    for mismatch in decision.mismatches:
        yield f"    {mismatch.rule:<14} {mismatch.text}"
    for doubt in decision.doubts if decision.accepted else ():
        yield f"    open           {doubt}"


def _listed(pythons: Sequence[str]) -> str:
    return pythons[0] if len(pythons) == 1 else f"{', '.join(pythons[:-1])} or {pythons[-1]}"


def _named(decision: Decision) -> str:
    source = f" ({decision.candidate.source})" if decision.candidate.source else ""
    return f"{decision.candidate.build.filename}{source}"
