"""The install lines that ask for managed packages or wheels, and what each will meet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import unquote

from pipfallback.arguments import CommandLine, parse
from pipfallback.catalog import Catalog
from pipfallback.compatibility import Decision
from pipfallback.declared import declare, describe
from pipfallback.dockerfile.contents import Requirement
from pipfallback.dockerfile.installs import Install, request_of
from pipfallback.dockerfile.programs import Runs
from pipfallback.dockerfile.reader import read
from pipfallback.dockerfile.rewriting import Rewrite, rewrite_of
from pipfallback.dockerfile.stages import Platforms, Stages
from pipfallback.environment import Environment, tags_of, with_torch
from pipfallback.environment_json import KEYS
from pipfallback.errors import UsageError
from pipfallback.looking import applies
from pipfallback.machine import Python
from pipfallback.online import Online
from pipfallback.questions import Plan, explain, plan
from pipfallback.requests import Request, without_credentials
from pipfallback.torch_family import TORCH_FAMILY
from pipfallback.trust import Trust

Verdict: TypeAlias = Literal["fits", "plausible", "refused", "unknown"]

PYTHONS = tuple(f"3.{minor}" for minor in range(8, 15))  # that are tried where the image's is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One requirement of an install line.

    ``decision``: on the wheel that it names, or on the build of the package that comes first. ``choice``: what
    ``pipfallback install`` would choose there. ``pythons``: for which Python something fits, where the image's is not
    known. ``notes``: why something is not known.
    """

    requirement: Requirement
    verdict: Verdict
    decision: Decision | None = None
    choice: Decision | None = None
    pythons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One install line, judged. ``environment``: that of the stage there; its Python is None where it is not known.

    ``problem``: why the line cannot work, whatever it asks for. ``rewrite``: how it would become ``pipfallback
    install``, None where that is not its business.
    """

    install: Install
    environment: Environment | None
    judged: tuple[Judged, ...]
    problem: str | None = None
    rewrite: Rewrite | None = None

    @property
    def works(self) -> bool:
        """Whether nothing says that the line cannot work."""
        return self.problem is None and not any(judged.verdict == "refused" for judged in self.judged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found in a Dockerfile. ``unread``: lines that install something and are not understood, with why."""

    findings: tuple[Finding, ...]
    unread: tuple[tuple[int, str], ...] = ()

    @property
    def works(self) -> bool:
        """Whether nothing says that a line cannot work."""
        return all(finding.works for finding in self.findings)


@dataclass(slots=True)
class Judge:
    """Judges install lines. ``described``: what the command line says of the machine, which comes before the file.

    ``command``: whose ``--trust-level`` counts for lines that name none.
    """

    catalog: Catalog
    online: Online
    command: CommandLine
    described: Mapping[str, str]
    _plans: dict[tuple[str, str, str], Plan] = field(default_factory=dict)

    def finding(self, install: Install) -> Finding | None:
        """The line judged; None where it asks for nothing that this is about."""
        relevant = [(each, request) for each in install.requirements if (request := self._relevant(each)) is not None]
        if not relevant and not install.unread:
            return None
        environment = self._environment(install, install.interpreter.python)
        judged = tuple(
            self._judged(each, request, install, environment)
            for each, request in relevant
            if environment is None or applies(request, environment)
        )
        if not judged and not install.unread:
            return None
        return Finding(install=install, environment=environment, judged=judged, problem=_problem(install))

    def _relevant(self, requirement: Requirement) -> Request | None:
        request = request_of(requirement)
        if request is None:
            return None
        # torch is what the others are chosen for: which of its builds comes is for pip and its indexes to say.
        managed = request.name in self.catalog.packages and request.name not in TORCH_FAMILY
        return request if managed or request.is_wheel else None

    def _environment(self, install: Install, python: str | None) -> Environment | None:
        """The environment of the stage at the line; None where its Python or platform is not known."""
        python = self.described.get("python-version") or python
        if python is None or (install.place.machine is None and "platform" not in self.described):
            return None
        system, interpreter = install.place.system, install.interpreter
        there = Python(version=python)
        glibc, musl = (system.glibc, system.musl) if system else (None, None)
        platform = f"linux_{install.place.machine}"
        base = Environment(
            python=there,
            platform=platform,
            tags=tags_of(there, platform, glibc=glibc, musl=musl),
            glibc=glibc,
            musl=musl,
            cuda_toolkit=install.place.cuda,
            origins={**dict.fromkeys(KEYS, "found"), **dict.fromkeys(("driver", "gpus"), "unknown")},
        )
        origin = "planned" if interpreter.planned else "found" if interpreter.torch_known else "unknown"
        environment = with_torch(base, interpreter.torch, origin=origin)
        variables = {name: value for name, value in install.place.variables.items() if value is not None}
        environment = declare(environment, variables)
        named = {name.replace("-", "_"): value for name, value in self.described.items()}
        return describe(environment, **named)

    def _judged(
        self, requirement: Requirement, request: Request, install: Install, environment: Environment | None
    ) -> Judged:
        command = self._command(install)
        if environment is not None:
            return self._with_python(requirement, request, install, environment, command)
        each = {
            python: self._with_python(requirement, request, install, supposed, command, offline=True)
            for python in PYTHONS
            if (supposed := self._environment(install, python)) is not None
        }
        if not each:
            return Judged(requirement=requirement, verdict="unknown", notes=("its platform is not Linux",))
        fitting = {python: judged for python, judged in each.items() if judged.verdict != "refused"}
        if not fitting:
            return min(each.values(), key=lambda judged: len(judged.decision.mismatches) if judged.decision else 0)
        first = next(iter(fitting.values()))
        return replace(first, verdict="unknown", choice=None, decision=None, pythons=tuple(fitting))

    def _with_python(
        self,
        requirement: Requirement,
        request: Request,
        install: Install,
        environment: Environment,
        command: CommandLine,
        *,
        offline: bool = False,
    ) -> Judged:
        managed = request.name in self.catalog.packages
        asked = self._asked_wheel(request, environment)
        if asked is not None and (asked.accepted or not managed):
            return Judged(requirement=requirement, verdict=asked.grade or "refused", decision=asked)
        chosen = self._plan(request, environment, command, offline=offline)
        best = next((each for each in chosen.decisions if each.accepted), None)
        if asked is not None and install.installer != "pipfallback":
            return Judged(requirement=requirement, verdict="refused", decision=asked, choice=best, notes=chosen.notes)
        if best is not None:
            grade = best.grade or "refused"
            return Judged(requirement=requirement, verdict=grade, decision=best, choice=best, notes=chosen.notes)
        refused = next(iter(chosen.decisions), None)
        # What a source that did not answer has is not known.
        verdict: Verdict = "unknown" if chosen.unheard or refused is None else "refused"
        return Judged(requirement=requirement, verdict=verdict, decision=refused, notes=chosen.notes)

    def _asked_wheel(self, request: Request, environment: Environment) -> Decision | None:
        """The decision on the wheel that a requirement names, by its name and what the catalog says of it."""
        if not request.is_wheel or request.location is None:
            return None
        location = without_credentials(request.location)
        argument = location if "://" in location else unquote(Path(location).name)
        return explain(argument, self.catalog, environment).decision

    def _plan(self, request: Request, environment: Environment, command: CommandLine, *, offline: bool) -> Plan:
        key = (request.text, repr(environment), repr(command.own))
        if key not in self._plans:
            ask = None if offline else self.online.asking(environment, request)
            text = request.text if request.location is None else without_credentials(request.text)
            self._plans[key] = plan(text, self.catalog, environment, command, ask=ask, thrifty=True)
        return self._plans[key]

    def _command(self, install: Install) -> CommandLine:
        """The line's own options, with the ``--trust-level`` of this command."""
        words = [word.value for word in install.rest if word.value is not None]
        try:
            own = parse(words, {})
        except UsageError:
            own = parse(["install"], {})
        if self.command.own.trust_level is not Trust.VENDOR:
            own = replace(own, own=replace(own.own, trust_level=self.command.own.trust_level))
        return own


def _problem(install: Install) -> str | None:
    if install.installer == "pipfallback" and install.has_pipfallback is False:
        return "nothing before it in this stage installs pipfallback, and its base image has none"
    return None


def find(text: str, platforms: Platforms, context: Path | None, judge: Judge) -> Findings:
    """Read a Dockerfile and judge its install lines. Raises DockerfileError where it is none."""
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    runs = Runs(line_of=lambda position: _line_of(position, starts), context=context)
    for stage, instruction in Stages(read(text), platforms):
        runs.follow(stage, instruction)
    found = [finding for install in runs.installs if (finding := judge.finding(install)) is not None]
    findings = tuple(
        replace(each, rewrite=rewrite_of(each.install, text)) if _becomes_pipfallback(each) else each for each in found
    )
    return Findings(findings=findings, unread=tuple(runs.unread))


def _becomes_pipfallback(finding: Finding) -> bool:
    """What stands in a lock is pip's to install: it names the very files, for installers of any kind."""
    asked = any(not judged.requirement.locked for judged in finding.judged)
    return asked and finding.install.installer != "pipfallback"


def _line_of(position: int, starts: Sequence[int]) -> int:
    return sum(start <= position for start in starts)


def edits_of(findings: Iterable[Finding]) -> Iterator[tuple[int, int, str]]:
    """What ``--write`` changes: (start, end, new text), positions in the file."""
    for finding in findings:
        if finding.rewrite is not None:
            yield from finding.rewrite.edits
