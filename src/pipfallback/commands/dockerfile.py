"""``pipfallback dockerfile FILE``: what a Dockerfile's install lines will meet, and the lines changed on demand."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group
from rich.text import Text

from pipfallback.arguments import CommandLine, parse
from pipfallback.asking import DESCRIBING, Parser, add_describing
from pipfallback.commands.starting import load_catalog, online
from pipfallback.dockerfile import rewriting, shown
from pipfallback.dockerfile.findings import Findings, Judge, edits_of, find
from pipfallback.dockerfile.reader import DockerfileError
from pipfallback.dockerfile.stages import Platforms
from pipfallback.errors import EXIT_FAILED, UsageError
from pipfallback.tags import linux_level
from pipfallback.terminal import show, tell, view

_ABOUT = "What the pip install and uv pip install lines of a Dockerfile will meet. Nothing is built or fetched."
_STYLES = {"good": "green", "open": "yellow", "bad": "red", "head": "bold", "dim": "dim", "": ""}
# platform.machine() and the machines in wheels' tags -> Docker's names (github.com/containerd/platforms).
_DOCKER_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64", "i686": "386"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """One command line. ``file``: "-" is standard input; ``described``: what it says of the machine."""

    command: CommandLine
    file: str
    json: bool
    check: bool
    write: bool
    context: Path | None
    described: dict[str, str]
    arguments: dict[str, str]


def run(words: Sequence[str]) -> int:
    """Tell or change; the exit code: 1 under ``--check`` where a line cannot work."""
    question = _read(words)
    content = _content(question.file)
    text = content.decode("utf-8", "surrogateescape")
    catalog = load_catalog(question.command.own.fallbacks)
    with online(question.command, None) as net, view(question.command).doing("asking the sources"):
        judge = Judge(catalog=catalog, online=net, command=question.command, described=question.described)
        try:
            found = find(text, _platforms(question), question.context, judge)
        except DockerfileError as error:
            raise DockerfileError(f"{question.file}: {error.message}", hints=error.hints) from None
    name = "Dockerfile" if question.file == "-" else question.file
    lines = list(shown.lines(name, found, text))
    show(
        question.json,
        shown.findings_json(name, found, text),
        lambda _: [Group(*(_styled(style, line) for style, line in lines))],
    )
    if question.write:
        _write(question, found, text)
    return EXIT_FAILED if question.check and not found.works else 0


def _styled(style: str, line: str) -> Text:
    """A line is never broken: names and commands are what a reader copies."""
    return Text(line, style=_STYLES[style], no_wrap=True, overflow="ignore")


def _content(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise DockerfileError(f"{file} cannot be read: {error.strerror}", hints=("name a Dockerfile",)) from None


def _write(question: _Question, found: Findings, text: str) -> None:
    edits = list(edits_of(found.findings))
    changed = [each for each in found.findings if each.rewrite is not None and each.rewrite.edits]
    if edits:
        new = rewriting.apply(text, edits).encode("utf-8", "surrogateescape")
        rewriting.write(Path(question.file), new)
    places = ", ".join(str(each.install.place.line) for each in changed)
    lines = f"line {places} is" if len(changed) == 1 else f"lines {places} are"
    tell(f"{question.file}: {lines} pipfallback's now" if changed else f"{question.file}: nothing to change")
    for finding in shown.first_of_stages(found):
        for hint in shown.how_it_comes_in(finding.install):
            tell(hint)


def _platforms(question: _Question) -> Platforms:
    """What Docker would build on and for: this machine, unless ``--platform`` names another."""
    here = f"linux/{_docker_machine(platform.machine())}"
    named = question.described.get("platform")
    target = f"linux/{_docker_machine(linux_level(named)[0] or '')}" if named else here
    return Platforms(build=here, target=target, said=named is not None, arguments=question.arguments)


def _docker_machine(machine: str) -> str:
    return _DOCKER_MACHINES.get(machine.lower(), machine)


def _read(words: Sequence[str]) -> _Question:
    place = words.index("dockerfile")
    said = _parser().parse_args([*words[:place], *words[place + 1 :]])
    if said.write and said.file == "-":
        raise UsageError("--write needs a file: standard input cannot be changed")
    own = [word for file in said.fallbacks for word in ("--fallbacks", file)]
    own += ["--trust-level", said.trust_level] if said.trust_level else []
    values = {name: getattr(said, name.replace("-", "_")) for name in DESCRIBING}
    folder = Path(said.context) if said.context else Path.cwd() if said.file == "-" else Path(said.file).parent
    if said.context and not folder.is_dir():
        raise UsageError(f"--context {said.context}: no such folder")
    return _Question(
        command=parse(["dockerfile", *own], os.environ),
        file=said.file,
        json=said.json,
        check=said.check,
        write=said.write,
        context=folder.absolute(),
        described={name: value for name, value in values.items() if value is not None},
        arguments=dict(_argument(text) for text in said.build_arg),
    )


def _argument(text: str) -> tuple[str, str]:
    """``NAME=VALUE``, or ``NAME`` for the value of that variable here, as ``docker build`` takes it."""
    name, equals, value = text.partition("=")
    return name, value if equals else os.environ.get(name, "")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="pipfallback dockerfile", description=_ABOUT, allow_abbrev=False)
    parser.add_argument("file", metavar="FILE", help="the Dockerfile; - is standard input")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="exit with 1 if a line cannot work")
    mode.add_argument("--write", action="store_true", help="change those lines to pipfallback install")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--context", metavar="DIR", help="the build context (the folder of FILE)")
    parser.add_argument(
        "--build-arg", metavar="NAME=VALUE", action="append", default=[], help="as docker build takes it"
    )
    parser.add_argument("--fallbacks", metavar="FILE", action="append", default=[], help="another fallbacks.toml")
    parser.add_argument("--trust-level", metavar="LEVEL", help="official, vendor (default) or community")
    about = parser.add_argument_group("what the file does not tell; it comes before what the file tells")
    add_describing(about)
    return parser
