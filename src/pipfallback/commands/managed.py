"""``pipfallback install`` of names that the catalog knows: the story is told, and what came of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipfallback import outcome_file
from pipfallback.asks import Asks
from pipfallback.catalog import Catalog
from pipfallback.choice import policy_of
from pipfallback.commands.choosing import installer_of, tell_if_unasked
from pipfallback.commands.starting import finish_interrupted_runs, load_catalog, online
from pipfallback.environment import Environment
from pipfallback.errors import UsageError
from pipfallback.install import install
from pipfallback.looking import applies, look
from pipfallback.outcome import Outcome
from pipfallback.primary import Job, Managed
from pipfallback.requests import check_reachable
from pipfallback.target import Target
from pipfallback.terminal import say, say_as_pip, tell, teller, view


def install_managed(asks: Asks, target: Target) -> int:
    """Install, with the fallback; the exit code. Raises what ends a failed install."""
    asks = checked(asks)
    finish_interrupted_runs()
    job = job_of(asks, target)
    tell_if_unasked(job.command, job.pip)
    outcome = install(job)
    report_outcome(outcome, job)
    return outcome.exit_code


def checked(asks: Asks) -> Asks:
    """What is asked for, if it can be: raises what a mistyped path or ``--outcome`` deserves before anything is done."""
    for ask in asks.requirements:
        check_reachable(ask.request)
    if asks.command.own.outcome:
        outcome_file.check(asks.command.own.outcome)
    return asks


def job_of(asks: Asks, target: Target) -> Job:
    """The job of a command: what the catalog knows of what it asks for, and where it is to go."""
    command = asks.command
    with ThreadPoolExecutor(max_workers=1) as aside:  # the catalog is read while the interpreter says what it is
        read = aside.submit(load_catalog, command.own.fallbacks)
        environment, installation = look(target.executable, command, os.environ)
        catalog = read.result()
    return Job(
        asks=asks,
        managed=_managed(asks, catalog, environment),
        catalog=catalog,
        environment=environment,
        installation=installation,
        pip=installer_of(command, installation, environment.python.version),
        online=online(command, installation.prefix),
        tell=teller(command),
        say_as_pip=say_as_pip,
        view=view(command),
        look_again=lambda: look(target.executable, command, os.environ)[0],
    )


def _managed(asks: Asks, catalog: Catalog, environment: Environment) -> tuple[Managed, ...]:
    """In the order in which they are asked for, each once; but for what the user wants from sources (--no-binary)."""
    names = dict.fromkeys(ask.request.name for ask in asks.requirements if ask.request.name in catalog.packages)
    sources = {each for value in asks.command.values("--no-binary") for each in value.split(",")}
    if ":all:" in sources:
        names = {}
    merged = {
        name: asks.merged(name, lambda request: applies(request, environment))
        for name in names
        if name and name not in sources
    }
    return tuple(
        Managed(request=request, package=catalog.packages[name], locked=asks.is_locked(name))
        for name, request in merged.items()
        if request is not None
    )


def report_outcome(outcome: Outcome, job: Job) -> None:
    """Tell what came of an install. Raises the error that ends a failed one."""
    from pipfallback import report  # start-up: what tells of the end is not needed before pip starts

    own = job.command.own
    if own.outcome:
        outcome_file.write(own.outcome, report.outcome_json(outcome))
    if outcome.report is not None:
        _write_report(job.command.values("--report")[-1], outcome.report)
    in_full = own.explain or job.command.has("--verbose")
    for request in outcome.requests if in_full else ():
        for line in report.considered_lines(request):
            tell(line)
    policies = {each.request.text: policy_of(each.request, each.package, job.command) for each in job.managed}
    error = report.failure(outcome, policies)
    if error is not None:
        raise error
    for line in report.summary(outcome):
        job.view.works(line)


def _write_report(name: str, report: Mapping[str, object]) -> None:
    """Where and as pip would have written it ("-" is standard output). Raises UsageError."""
    text = json.dumps(report, indent=2, ensure_ascii=False)
    if name == "-":
        say(text)
        return
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--report {name}: {error.strerror}") from None
