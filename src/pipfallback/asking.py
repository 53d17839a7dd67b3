"""The command lines of ``plan``, ``explain``, ``env`` and ``verify``, and the environment that they ask about."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pipfallback.arguments import CommandLine, parse
from pipfallback.asks import read_asks
from pipfallback.declared import declare, describe
from pipfallback.environment import Environment, Installation, probe
from pipfallback.errors import EnvironmentDescriptionError, UsageError
from pipfallback.planned import foresee
from pipfallback.requests import read_request
from pipfallback.target import find_target

# The options that describe another machine (DESIGN 7): what stands for the value, and what it is.
DESCRIBING = {
    "torch": ("VERSION", "the torch there: 2.7.1, 2.7.1+cu126, none"),
    "cuda": ("VERSION", "the CUDA that torch is built for: 12.6, none"),
    "cxx11-abi": ("true|false", "whether torch has the new C++ ABI"),
    "python-version": ("VERSION", "its Python: 3.10"),
    "platform": ("TAG", "as wheels name it: linux_x86_64, linux_aarch64, win_amd64"),
    "glibc": ("VERSION", "its C library: 2.35"),
    "driver-cuda": ("VERSION", "the newest CUDA that its driver supports: 12.8"),
    "gpu": ("CC[,CC]", "its GPUs, as compute capabilities: 8.9,9.0"),
}
# With one of these the torch of this machine is not asked about.
_OTHER_TORCH = frozenset({"torch", "cuda", "cxx11-abi", "python-version", "platform", "glibc"})
# pip's options that say where it looks, for a plan in which pip brings torch (pip install --help, "Package Index Options").
_PIPS = {
    ("-i", "--index-url"): "URL",
    ("--extra-index-url",): "URL",
    ("--no-index",): None,
    ("-f", "--find-links"): "URL",
    ("-c", "--constraint"): "FILE",
    ("--trusted-host",): "HOST",
}
_ARGUMENTS = {"plan": "REQUIREMENT", "explain": "WHEEL", "env": None, "verify": "NAME"}
_ABOUT = {
    "plan": "What would be tried for a requirement, in order, and why the rest not. Changes nothing.",
    "explain": "Why a wheel (a name, URL or path) does or does not fit here.",
    "env": "The environment as it is seen, and where each fact comes from.",
    "verify": "Whether what is installed works; without names, every installed package that the catalog knows.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One ``plan``, ``explain``, ``env`` or ``verify``.

    ``described`` are the values of the options that name another machine, ``pips`` the words of pip's own options.
    """

    command: CommandLine
    arguments: tuple[str, ...]
    json: bool
    everything: bool
    environment: str | None
    described: Mapping[str, str]
    pips: tuple[str, ...] = ()

    def divided(self, managed: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The arguments that are judged, and those that pip alone would install with them (``plan torch flash-attn``).

        Where no argument is managed, all are judged: then it is told that none is known. So they are for another
        machine, for which pip is not asked what it would install.
        """
        if self.environment is not None or not _OTHER_TORCH.isdisjoint(self.described):
            return self.arguments, ()
        requests = [read_request(argument) for argument in self.arguments]
        if not any(request.name in managed for request in requests):
            return self.arguments, ()
        # torch is what builds are chosen for, and pip's to choose; alone it is asked about like any other package.
        alone = not any(request.name in managed for request in requests if request.name != "torch")
        judged = {*managed} if alone else {*managed} - {"torch"}
        pips = tuple(request.text for request in requests if request.name not in judged)
        return tuple(text for text in self.arguments if text not in pips), pips


# How often an argument may be given, as argparse says it -> how usage shows it.
_ARGUMENT_FORMS = {None: "{}", "?": "[{}]", "+": "{}...", "*": "[{}...]"}


class _Look(argparse.HelpFormatter):
    """As the manual: 80 columns at most, the text in a column of its own, headings with a capital."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=27, width=min(80, shutil.get_terminal_size().columns))

    def start_section(self, heading: str | None) -> None:
        """See the base class."""
        super().start_section(heading and heading[0].upper() + heading[1:])

    def add_usage(self, usage: str | None, actions: Any, groups: Any, prefix: str | None = None) -> None:
        """One line: what the options are stands below."""
        arguments = [_ARGUMENT_FORMS[each.nargs].format(each.metavar) for each in actions if not each.option_strings]
        super().add_usage(usage or " ".join([self._prog, "[options]", *arguments]), (), groups, prefix or "Usage: ")

    def add_arguments(self, actions: Any) -> None:
        """Only those of which something is said."""
        super().add_arguments([each for each in actions if each.option_strings or each.help])


class Parser(argparse.ArgumentParser):
    """A parser of options whose complaints are errors of ours."""

    def __init__(self, *, prog: str, description: str, allow_abbrev: bool) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=allow_abbrev, formatter_class=_Look)
        self.add_argument("--no-color", action="store_true", help="no colours")  # terminal.py looks for it

    def error(self, message: str) -> NoReturn:
        """Tell a mistake as every other error is told."""
        raise UsageError(message, hints=(f"{self.prog} --help",))


def read(command: str, words: Sequence[str], environ: Mapping[str, str]) -> Question:
    """Read the command line. Raises UsageError; ``--help`` prints and raises SystemExit, as argparse does."""
    place = words.index(command)
    said = _parser(command).parse_args([*words[:place], *words[place + 1 :]])
    own: list[str] = ["--python", said.python] if said.python else []
    if command != "verify":
        own += ["--pre"] if said.pre else []
        own += ["--trust-level", said.trust_level] if said.trust_level else []
        own += ["--same-version"] if said.same_version else []
        own += ["--no-peek"] if said.no_peek else []
    own += [word for file in said.fallbacks for word in ("--fallbacks", file)]
    own += ["--verify-timeout", said.verify_timeout] if command == "verify" and said.verify_timeout else []
    values = ((name, getattr(said, name.replace("-", "_"), None)) for name in DESCRIBING)
    described = {name: value for name, value in values if value is not None}
    return Question(
        command=parse([command, *own], environ),
        arguments=tuple(getattr(said, "arguments", ())),
        json=said.json,
        everything=getattr(said, "all", False),
        environment=getattr(said, "environment", None),
        described=described,
        pips=tuple(_pips_words(said)) if command == "plan" else (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The environment to judge against, and the interpreter of this machine that it is; None: it is another machine's."""

    environment: Environment
    installation: Installation | None = None


def environment_of(
    question: Question,
    environ: Mapping[str, str],
    *,
    managed: Collection[str] = (),
    tell: Callable[[str], None] | None = None,
) -> Asked:
    """The environment to judge against: this machine's, changed by what was declared, or the one described.

    Where pip would bring torch together with what is ``managed``, that torch counts. ``tell`` takes lines about that and
    about a target that a user may not take for granted.
    Raises TargetError, EnvironmentDescriptionError.
    """
    installation = None
    if question.environment is not None:
        base = _described_in(_json_file(question.environment), question, environ)
    else:
        target = find_target(question.command.own.python, environ)
        if target.reason and tell is not None:
            tell(target.reason)
        environment, installation = probe(target.executable)
        environment = _planned(question, environment, installation, managed, tell)
        base = declare(environment, environ, gpu=question.command.own.gpu)
    named = {name.replace("-", "_"): value for name, value in question.described.items()}
    here = installation if _OTHER_TORCH.isdisjoint(question.described) else None
    return Asked(environment=describe(base, **named), installation=here)


def _described_in(data: object, question: Question, environ: Mapping[str, str]) -> Environment:
    """The environment of a JSON form; a Python or platform that it leaves out is that of the target interpreter."""
    complete = isinstance(data, dict) and {"python", "platform"} <= data.keys()
    here = None if complete else probe(find_target(question.command.own.python, environ).executable)[0]
    return Environment.from_json(data, base=here)


def _planned(
    question: Question,
    environment: Environment,
    installation: Installation,
    managed: Collection[str],
    tell: Callable[[str], None] | None,
) -> Environment:
    """With the torch that pip would install for the other arguments."""
    _, others = question.divided(managed)
    if not others:
        return environment
    asks = read_asks(parse(["install", *question.pips, *others], {}))
    seen = foresee(asks, environment=environment, installation=installation)
    if tell is not None and (line := seen.in_words()):
        tell(line)
    return seen.environment


def _pips_words(said: argparse.Namespace) -> Iterator[str]:
    """pip's options again as words."""
    for spellings in _PIPS:
        value = getattr(said, spellings[-1][2:].replace("-", "_"))
        if value is True:
            yield spellings[-1]
        for each in value or () if isinstance(value, list) else ():
            yield from (spellings[-1], each)


def _parser(command: str) -> argparse.ArgumentParser:
    parser = Parser(prog=f"pipfallback {command}", description=_ABOUT[command], allow_abbrev=False)
    argument = _ARGUMENTS[command]
    if argument is not None:
        parser.add_argument("arguments", nargs="*" if command == "verify" else "+", metavar=argument)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--python", metavar="PATH", help="the interpreter to ask about")
    parser.add_argument("--fallbacks", metavar="FILE", action="append", default=[], help="another fallbacks.toml")
    if command == "verify":
        parser.add_argument("--verify-timeout", metavar="S", help="give up on an import after S seconds (120)")
    else:
        _add_choice(parser, command)
    return parser


def _add_choice(parser: argparse.ArgumentParser, command: str) -> None:
    """What ``plan``, ``explain`` and ``env`` take besides: how to choose, and for which machine."""

    def of(*commands: str, text: str) -> str:
        """The help of an option; where it decides nothing it is taken, so that one line of options serves all, and not shown."""
        return text if command in commands else argparse.SUPPRESS

    choosing = of("plan", "explain", text="official, vendor (default) or community")
    parser.add_argument("--all", action="store_true", help=of("plan", text="list every build"))
    parser.add_argument("--trust-level", metavar="LEVEL", help=choosing)
    parser.add_argument(
        "--same-version", action="store_true", help=of("plan", text="no other version than the one named")
    )
    parser.add_argument("--pre", action="store_true", help=of("plan", text="take pre-releases like releases"))
    parser.add_argument(
        "--no-peek", action="store_true", help=of("plan", "explain", text="do not read parts of remote wheels")
    )
    about = parser.add_argument_group("another machine")
    about.add_argument(
        "--environment", metavar="FILE", help="as `pipfallback env --json` prints it; fields may be left out"
    )
    add_describing(about)
    if command == "plan":
        where = parser.add_argument_group("where pip looks for the other requirements, which may bring torch")
        for spellings, value in _PIPS.items():
            if value is None:
                where.add_argument(*spellings, action="store_true")
            else:
                where.add_argument(*spellings, action="append", metavar=value)


def add_describing(group: argparse._ArgumentGroup) -> None:
    """The options that describe another machine."""
    for name, (value, text) in DESCRIBING.items():
        group.add_argument(f"--{name}", metavar=value, help=text)


def _json_file(name: str) -> Any:
    try:
        return json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise EnvironmentDescriptionError(f"--environment {name}: {error.strerror}") from None
    except ValueError as error:
        raise EnvironmentDescriptionError(f"--environment {name} is not JSON: {error}") from None
