"""``pipfallback install`` of names that the catalog knows: the story is told, and what came of it."""

from __future__ import annotations

import os

from pipfallback import outcome_file, report
from pipfallback.arguments import CommandLine
from pipfallback.catalog import Catalog
from pipfallback.choice import policy_of
from pipfallback.commands.starting import finish_interrupted_runs, load_catalog, online, target_of
from pipfallback.errors import UsageError
from pipfallback.install import install
from pipfallback.looking import applies, look
from pipfallback.outcome import Outcome
from pipfallback.pip import pip_for
from pipfallback.primary import Job, Managed
from pipfallback.requests import Request, check_reachable
from pipfallback.terminal import say_as_pip, tell, teller


def install_managed(command: CommandLine, requests: tuple[Request, ...]) -> int:
    """Install, with the fallback; the exit code."""
    for request in requests:
        check_reachable(request)
    if command.own.outcome:
        outcome_file.check(command.own.outcome)
    if command.own.installer == "uv":
        raise UsageError("--installer uv: this version installs with pip only")
    catalog = load_catalog(command.own.fallbacks)
    finish_interrupted_runs()
    job = _job(command, requests, catalog)
    outcome = install(job)
    _report(outcome, job)
    return outcome.exit_code


def _job(command: CommandLine, requests: tuple[Request, ...], catalog: Catalog) -> Job:
    target = target_of(command)
    environment, installation = look(target.executable, command, os.environ)
    return Job(
        command=command,
        requests=requests,
        managed=tuple(
            Managed(request=request, package=catalog.packages[request.name or ""])
            for request in {each.text: each for each in requests}.values()
            if request.name in catalog.packages and applies(request, environment)
        ),
        environment=environment,
        installation=installation,
        pip=pip_for(installation, environment.python.version),
        online=online(command, installation.prefix),
        tell=teller(command),
        say_as_pip=say_as_pip,
        look_again=lambda: look(target.executable, command, os.environ)[0],
    )


def _report(outcome: Outcome, job: Job) -> None:
    """Tell what came of an install. Raises the error that ends a failed one."""
    own = job.command.own
    if own.outcome:
        outcome_file.write(own.outcome, report.outcome_json(outcome))
    for request in outcome.requests if own.explain else ():
        for line in report.considered_lines(request):
            tell(line)
    policies = {each.request.text: policy_of(each.request, each.package, job.command) for each in job.managed}
    error = report.failure(outcome, policies)
    if error is not None:
        raise error
    for line in report.summary(outcome):
        job.tell(line)
