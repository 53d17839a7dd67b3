"""The command line: argv -> one command; what came of it -> text and exit code. The only module that prints."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, NoReturn

from pipfallback import manual
from pipfallback.errors import EXIT_FAILED, EXIT_INTERRUPTED, PipfallbackError, UsageError
from pipfallback.version import __version__

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipfallback.arguments import CommandLine
    from pipfallback.asking import Asked, Question
    from pipfallback.catalog import Catalog
    from pipfallback.catalog_files import Layer
    from pipfallback.environment import Environment, Installation
    from pipfallback.online import Online
    from pipfallback.outcome import Outcome
    from pipfallback.pip import Pip
    from pipfallback.primary import Job
    from pipfallback.requests import Request

# Each command imports what it needs, and no more: start-up is part of the product.


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Errors are told here, never as a traceback for what a user can cause."""
    # A command lives for seconds, and 100,000 values without a cycle among them cost the collector half a second.
    gc.disable()
    words = list(sys.argv[1:] if argv is None else argv)
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _terminated)
    _open_closed_streams()
    try:
        code = _run(words)
        sys.stdout.flush()  # here, where a reader that has gone is no trouble
    except PipfallbackError as error:
        _show_error(error, as_json="--json" in words)
        return error.exit_code
    except KeyboardInterrupt:
        _tell("interrupted; everything is as it was before")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to tell it
        _drop_output()
        return EXIT_FAILED
    except OSError as error:  # a full disk, a folder that cannot be written
        _drop_output()
        _show_error(PipfallbackError(str(error)), as_json=False)
        return EXIT_FAILED
    else:
        return code


def _open_closed_streams() -> None:
    """A program that was started with a closed stream (``>&-``) writes into the void, not into a traceback."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  (for as long as we run)


def _drop_output() -> None:
    """Let what is left in standard output's buffer go: the interpreter would fail over it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminated(number: int, _: FrameType | None) -> NoReturn:
    """SIGTERM ends the run as an exception would, so that everything is put back first."""
    raise SystemExit(128 + number)


def _run(words: list[str]) -> int:
    if not words or words[0] in {"-h", "--help"}:
        print(manual.HELP, end="")
        return 0
    if words[0] in {"-V", "--version"}:
        print(f"pipfallback {__version__} from {Path(__file__).parent} (python {sys.version.split()[0]})")
        return 0
    command = _parse(words).command
    if command == "install":
        return _install(words)
    if command in {"plan", "explain", "env", "verify"}:
        return _ask(command, words)
    return _become_pip(words)


def _parse(words: Sequence[str]) -> CommandLine:
    from pipfallback.arguments import parse

    return parse(words, os.environ)


def _become_pip(words: Sequence[str]) -> NoReturn:
    command = _parse(words)
    _finish_interrupted_runs()
    _pip_without_probe(command).become(command.words())


def _pip_without_probe(command: CommandLine) -> Pip:
    """pip for the target, asking the interpreter only where it seems to have no pip."""
    from pipfallback.pip import Pip, pip_for
    from pipfallback.target import find_target

    target = find_target(command.own.python, os.environ)
    if target.reason:
        _tell(target.reason)
    prefix = Path(target.executable).parent.parent
    if target.executable == sys.executable or any(prefix.glob("lib/python3*/site-packages/pip/__init__.py")):
        return Pip(executable=target.executable)
    from pipfallback.environment import probe

    environment, installation = probe(target.executable)
    return pip_for(installation, environment.python.version)


def _finish_interrupted_runs() -> None:
    from pipfallback.state import has_unfinished_runs

    if has_unfinished_runs():
        from pipfallback.transaction import recover

        recover(_tell)


def _install(words: Sequence[str]) -> int:
    command = _parse(words)
    if command.has("--help"):
        print(manual.INSTALL_HELP, flush=True)
        _become_pip(words)
    from pipfallback.requests import read_request

    requests = tuple(read_request(item.value or "") for item in command.requirements)
    layers = _layers(command)
    from pipfallback.catalog_files import managed_names

    if command.own.fallbacks:
        _load_catalog(command.own.fallbacks)  # a file that the user named must be there and be right, even if unused
    names = managed_names(layers)
    if any(request.name in names for request in requests):
        return _install_managed(command, requests)
    if any(request.is_wheel for request in requests):
        return _install_wheel(command, requests)
    return _become_pip(words)


def _layers(command: CommandLine) -> Sequence[Layer]:
    from pipfallback.catalog_files import layers

    return layers([Path(name) for name in command.own.fallbacks], cwd=Path.cwd(), config_dir=_config_folder())


def _config_folder() -> Path:
    import platformdirs

    return platformdirs.user_config_path("pipfallback", appauthor=False)


def _load_catalog(files: Sequence[str]) -> Catalog:
    from pipfallback.catalog_reader import load

    catalog = load([Path(name) for name in files], cwd=Path.cwd(), config_dir=_config_folder())
    for note in catalog.notes:
        _tell(note)
    return catalog


def _look(executable: str, command: CommandLine) -> tuple[Environment, Installation]:
    """The target as it is, with what the user declared about the machine that will run it."""
    from pipfallback.looking import look

    return look(executable, command, os.environ)


def _install_wheel(command: CommandLine, requests: Sequence[Request]) -> int:
    """A wheel that the catalog does not know is pip's; but where pip refuses it, the reason is told."""
    from pipfallback.pip_failures import Cause

    pip = _pip_without_probe(command)
    _finish_interrupted_runs()
    run = pip.run(command.words())
    if run.failure is not None and run.failure.cause is Cause.UNSUPPORTED_WHEEL:
        from pipfallback.builds import UnreadableFilenameError, read_build
        from pipfallback.choice import tag_mismatches

        environment, _ = _look(pip.executable, command)
        for request in requests:
            try:
                build = read_build(request.location or request.text)
            except UnreadableFilenameError:
                continue
            for mismatch in tag_mismatches(build, environment):
                _tell(f"{mismatch.rule}: {mismatch.text}")
        _tell("no flag makes pip accept it; a fallbacks.toml entry would let pipfallback try other builds")
    return int(run.exit_code)


def _install_managed(command: CommandLine, requests: tuple[Request, ...]) -> int:
    from pipfallback import outcome_file
    from pipfallback.install import install
    from pipfallback.requests import check_reachable

    for request in requests:
        check_reachable(request)
    if command.own.outcome:
        outcome_file.check(command.own.outcome)
    if command.own.installer == "uv":
        raise UsageError("--installer uv: this version installs with pip only")
    catalog = _load_catalog(command.own.fallbacks)
    _finish_interrupted_runs()
    job = _job(command, requests, catalog)
    outcome = install(job)
    _report(outcome, job)
    return outcome.exit_code


def _job(command: CommandLine, requests: tuple[Request, ...], catalog: Catalog) -> Job:
    from pipfallback.looking import applies
    from pipfallback.pip import pip_for
    from pipfallback.primary import Job, Managed
    from pipfallback.target import find_target

    target = find_target(command.own.python, os.environ)
    if target.reason:
        _tell(target.reason)
    environment, installation = _look(target.executable, command)

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
        online=_online(command, installation.prefix),
        tell=_quiet if _is_quiet(command) else _tell,
        say_as_pip=lambda line: print(_red(line), file=sys.stderr, flush=True),
        look_again=lambda: _look(target.executable, command)[0],
    )


def _online(command: CommandLine, prefix: str | None) -> Online:
    from pipfallback.net.progress import progress_on
    from pipfallback.online import Online

    return Online(command, os.environ, prefix=prefix, progress=progress_on(sys.stderr, quiet=_is_quiet(command)))


def _report(outcome: Outcome, job: Job) -> None:
    """Tell what came of an install. Raises the error that ends a failed one."""
    from pipfallback import outcome_file, report
    from pipfallback.choice import policy_of

    own = job.command.own
    if own.outcome:
        outcome_file.write(own.outcome, report.outcome_json(outcome))
    for request in outcome.requests if own.explain else ():
        for line in report.considered_lines(request):
            _tell(line)
    policies = {each.request.text: policy_of(each.request, each.package, job.command) for each in job.managed}
    error = report.failure(outcome, policies)
    if error is not None:
        raise error
    for line in report.summary(outcome):
        job.tell(line)


def _ask(command: str, words: Sequence[str]) -> int:
    from pipfallback import asking

    question = asking.read(command, words, os.environ)
    _finish_interrupted_runs()
    if command == "env":
        environment = asking.environment_of(question, os.environ, tell=_tell).environment
        _show(question.json, environment.to_json(), lambda tables: [tables.environment_table(environment)])
        return 0
    catalog = _load_catalog(question.command.own.fallbacks)
    if command == "verify":
        return _verify(question, catalog)
    asked = asking.environment_of(question, os.environ, managed=catalog.packages, tell=_tell)
    answer = _explain if command == "explain" else _plan
    return answer(question, catalog, asked)


def _verify(question: Question, catalog: Catalog) -> int:
    from pipfallback import report
    from pipfallback.checks import check
    from pipfallback.target import find_target

    target = find_target(question.command.own.python, os.environ)
    if target.reason:
        _tell(target.reason)
    environment, installation = _look(target.executable, question.command)
    timeout = question.command.own.verify_timeout
    checked = list(check(question.arguments, catalog, environment, installation, timeout=timeout))
    _show(question.json, report.checks_json(checked), lambda tables: [tables.checks_table(checked)])
    return EXIT_FAILED if any(each.verdict.status == "broken" for each in checked) else 0


def _explain(question: Question, catalog: Catalog, asked: Asked) -> int:
    from pipfallback import report
    from pipfallback.questions import explain

    environment = asked.environment
    with _online(question.command, None) as online:
        ask, inside = online.asking(environment), online.inside(environment, asked.installation)
        answers = [explain(each, catalog, environment, ask=ask, inside=inside) for each in question.arguments]
    document = report.decisions_json(report.explanation_json(answer) for answer in answers)
    _show(question.json, document, lambda tables: [tables.explanation_table(each, environment) for each in answers])
    return EXIT_FAILED if any(answer.error for answer in answers) else 0


def _plan(question: Question, catalog: Catalog, asked: Asked) -> int:
    from pipfallback import report
    from pipfallback.questions import plan

    judged, _ = question.divided(catalog.packages)
    environment, command = asked.environment, question.command
    with _online(command, None) as online:
        ask, inside = online.asking(environment), online.inside(environment, asked.installation)
        plans = [plan(each, catalog, environment, command, ask=ask, inside=inside) for each in judged]
    document = report.decisions_json(report.decision_json(each) for plan in plans for each in plan.decisions)
    empty = [each for each in plans if not any(decision.accepted for decision in each.decisions)]
    # Where nothing fits, the error below tells all that a short table would.
    listed = [each for each in plans if each.decisions and (each not in empty or question.everything)]
    if question.json and empty and not document["decisions"]:
        raise report.no_plan(empty[0], environment)
    _show(
        question.json,
        document,
        lambda tables: [tables.plan_table(each, environment, everything=question.everything) for each in listed],
    )
    for each in empty if not question.json else ():
        _show_error(report.no_plan(each, environment), as_json=False)
    return EXIT_FAILED if empty else 0


def _show(as_json: bool, document: object, renderables: Callable[[ModuleType], Sequence[RenderableType]]) -> None:
    """Print a result on standard output: one JSON document, or what a person reads."""
    if as_json:
        print(json.dumps(document, indent=2))
        return
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name of a source that the terminal's encoding lacks
    from rich.console import Console  # start-up: only where a table is shown

    from pipfallback import tables

    console = Console(highlight=False, no_color=True if "--no-color" in sys.argv else None, soft_wrap=False)
    for place, renderable in enumerate(renderables(tables)):
        if place:
            console.print()
        console.print(renderable, crop=False)


def _show_error(error: PipfallbackError, *, as_json: bool) -> None:
    if as_json:
        from pipfallback.report import error_json

        print(json.dumps(error_json(error), indent=2))
        return
    lines = [f"{_red('error:')} {error.message}", *(f"  {detail}" for detail in error.details)]
    lines += [f"cause: {cause}" for cause in error.causes]
    if error.hints:
        lines += ["", *(f"hint: {hint}" for hint in error.hints)]
    print("\n".join(lines), file=sys.stderr)


def _red(text: str) -> str:
    plain = os.environ.get("NO_COLOR") or os.environ.get("PIP_NO_COLOR") or "--no-color" in sys.argv
    return text if plain or not sys.stderr.isatty() else f"\x1b[31m{text}\x1b[0m"


def _is_quiet(command: CommandLine) -> bool:
    """Our own lines are silent with ``-q``, as pip's are; errors are told all the same."""
    return command.has("--quiet") or os.environ.get("PIP_QUIET", "0") not in {"", "0"}


def _quiet(line: str) -> None:
    """Say nothing."""


def _tell(line: str) -> None:
    print(f"pipfallback: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
