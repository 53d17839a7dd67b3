"""The commands that only answer: ``env``, ``plan``, ``explain``, ``verify``."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipfallback import asking, report
from pipfallback.asking import Asked, Question
from pipfallback.catalog import Catalog
from pipfallback.checks import check
from pipfallback.commands.starting import finish_interrupted_runs, load_catalog, online, target_of
from pipfallback.errors import EXIT_FAILED
from pipfallback.looking import look
from pipfallback.questions import explain, plan
from pipfallback.terminal import show, show_error, tell, view


def run(words: Sequence[str]) -> int:
    """Answer; the exit code."""
    command = next(word for word in words if word in COMMANDS)
    question = asking.read(command, words, os.environ)
    finish_interrupted_runs()
    return COMMANDS[command](question)


def _env(question: Question) -> int:
    environment = asking.environment_of(question, os.environ, tell=tell).environment
    show(question.json, environment.to_json(), lambda tables: [tables.environment_table(environment)])
    return 0


def _verify(question: Question) -> int:
    catalog = load_catalog(question.command.own.fallbacks)
    target = target_of(question.command)
    environment, installation = look(target.executable, question.command, os.environ)
    timeout = question.command.own.verify_timeout
    checked = list(
        check(question.arguments, catalog, environment, installation, timeout=timeout, view=view(question.command))
    )
    show(question.json, report.checks_json(checked), lambda tables: [tables.checks_table(checked)])
    return EXIT_FAILED if any(each.verdict.status == "broken" for each in checked) else 0


def _with_environment(question: Question) -> tuple[Catalog, Asked]:
    catalog = load_catalog(question.command.own.fallbacks)
    return catalog, asking.environment_of(question, os.environ, managed=catalog.packages, tell=tell)


def _explain(question: Question) -> int:
    catalog, asked = _with_environment(question)
    environment = asked.environment
    with online(question.command, None) as net, view(question.command).doing("looking into the wheels"):
        ask, inside = net.asking(environment), net.inside(environment, asked.installation)
        answers = [explain(each, catalog, environment, ask=ask, inside=inside) for each in question.arguments]
    document = report.decisions_json(report.explanation_json(answer) for answer in answers)
    show(question.json, document, lambda tables: [tables.explanation_table(each, environment) for each in answers])
    return EXIT_FAILED if any(answer.error for answer in answers) else 0


def _plan(question: Question) -> int:
    catalog, asked = _with_environment(question)
    judged, _ = question.divided(catalog.packages)
    environment, command = asked.environment, question.command
    with online(command, None) as net, view(command).doing("asking the sources"):
        ask, inside = net.asking(environment), net.inside(environment, asked.installation)
        plans = [plan(each, catalog, environment, command, ask=ask, inside=inside) for each in judged]
    document = report.decisions_json(report.decision_json(each) for plan in plans for each in plan.decisions)
    empty = [each for each in plans if not any(decision.accepted for decision in each.decisions)]
    # Where nothing fits, the error below tells all that a short table would.
    listed = [each for each in plans if each.decisions and (each not in empty or question.everything)]
    if question.json and empty and not document["decisions"]:
        raise report.no_plan(empty[0], environment, catalog.packages)
    show(
        question.json,
        document,
        lambda tables: [tables.plan_table(each, environment, everything=question.everything) for each in listed],
    )
    for each in empty if not question.json else ():
        show_error(report.no_plan(each, environment, catalog.packages), as_json=False)
    return EXIT_FAILED if empty else 0


COMMANDS = {"env": _env, "plan": _plan, "explain": _explain, "verify": _verify}
