"""``pipfallback catalog``: check fallbacks.toml files, list what they hold, add wheels and hashes to one."""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from packaging.utils import canonicalize_name
from rich.console import Group

from pipfallback import asking
from pipfallback.arguments import CommandLine, parse
from pipfallback.asking import DESCRIBING, Parser, Question, add_describing
from pipfallback.catalog import Catalog, Package
from pipfallback.catalog_files import FILE_NAME, Layer, layers
from pipfallback.catalog_reader import merge, mistaken, read_file
from pipfallback.catalog_work import adding, schema, shown, writing
from pipfallback.catalog_work.adding import Servers, Wanted
from pipfallback.catalog_work.checking import check
from pipfallback.catalog_work.comparing import compare
from pipfallback.catalog_work.findings import CheckedFile, Finding, open_file
from pipfallback.catalog_work.shown import Line
from pipfallback.commands.starting import catalog_layers, load_catalog, online
from pipfallback.environment import Environment, Python
from pipfallback.errors import EXIT_FAILED, CatalogError, UsageError
from pipfallback.sources import Listing, listings
from pipfallback.tables import Fitted
from pipfallback.terminal import say, show, tell, view
from pipfallback.toml_document import nearest
from pipfallback.trust import Trust

HELP = """\
Usage: pipfallback catalog COMMAND [options]

Work on fallbacks.toml files, which say where builds of packages are published.

Commands:
  check [FILE...]          what is wrong with the files in force, or with FILE
  list [NAME...]           packages, their sources, whose builds, and how many
  add URL...               write an entry for wheels, with their hashes
  hash [FILE]              fill in the missing hashes of single wheels
  schema                   print the JSON Schema of the format, for editors

pipfallback catalog COMMAND --help tells the options of each.
"""
_ABOUT = {
    "check": "What is wrong with the fallbacks.toml files in force, or with FILE. Exits with 1 if anything is.",
    "list": "The packages of the fallbacks.toml files in force, or those named, with their sources.",
    "add": "Write an entry for wheels into a fallbacks.toml, with their hashes. Comments and layout of the file stay.",
    "hash": "Fill in the missing hashes of single wheels (sources of kind url). Comments and layout of the file stay.",
    "schema": "Print the JSON Schema of fallbacks.toml, with which editors complete and check it.",
}
_STYLES = {"good": "green", "bad": "red", "head": "bold", "dim": "dim", "": ""}


def run(words: Sequence[str]) -> int:
    """Do what the word behind ``catalog`` says; the exit code."""
    place = words.index("catalog")
    given = [*words[:place], *words[place + 1 :]]
    plain = [word for word in given if not word.startswith("-")]
    # Of "catalog --python PATH list" the second: what an option takes comes before the action.
    action = next((word for word in plain if word in _ACTIONS), plain[0] if plain else None)
    if action is None and {"--help", "-h"} & {*given}:
        say(HELP.rstrip())
        return 0
    if action is None or action not in _ACTIONS:
        what = (
            "catalog needs a command"
            if action is None
            else f"catalog {action} is not a command{nearest(action, _ACTIONS)}"
        )
        raise UsageError(what, hints=("pipfallback catalog --help",))
    place = given.index(action)
    return _ACTIONS[action](_parser(action).parse_args([*given[:place], *given[place + 1 :]]))


def _check(said: argparse.Namespace) -> int:
    command = _command(said, "--no-cache-dir")  # what a server said before is no answer
    files = _opened(said, command)
    catalog, findings = check(files)
    asking_servers = said.online or said.download
    if asking_servers:
        with online(command, None) as net, tempfile.TemporaryDirectory(prefix="pipfallback-") as folder:
            ask = net.asking(_environment(said, command))
            with view(command).doing("asking the sources"):
                asked = compare(files, catalog, net, ask, folder=Path(folder) if said.download else None)
        findings = [one for file in files for one in _of_file(file, (*findings, *asked))]
    document = shown.findings_json(files, findings)
    lines = shown.findings_lines(files, findings, online=asking_servers)
    show(said.json, document, lambda _: [_rendered(lines)])
    return EXIT_FAILED if any(one.level == "finding" for one in findings) else 0


def _of_file(file: CheckedFile, findings: Iterable[Finding]) -> list[Finding]:
    return sorted((one for one in findings if one.file == file.name), key=lambda one: one.line)


def _opened(said: argparse.Namespace, command: CommandLine) -> list[CheckedFile]:
    """The files to check: those named, over the built-in one, or all in force."""
    if not said.files:
        return [open_file(layer) for layer in catalog_layers(command)]
    named = {Path(name).resolve() for name in said.files}
    chosen = layers([Path(name) for name in said.files])
    return [open_file(layer, told=layer.path.resolve() in named) for layer in chosen]


def _list(said: argparse.Namespace) -> int:
    command = _command(said)
    catalog = load_catalog(command.own.fallbacks)
    packages = _chosen(catalog, said.names)
    found = _listings(packages, said, command) if said.online else None
    lines = [*shown.packages_lines(packages, found)]
    if not said.names:
        lines += [("", ""), ("dim", shown.summary(catalog))]
    show(said.json, shown.packages_json(packages), lambda _: [_rendered(lines)])
    return 0


def _chosen(catalog: Catalog, names: Sequence[str]) -> list[Package]:
    if not names:
        return list(catalog.packages.values())
    wanted = [canonicalize_name(name) for name in names]
    if unknown := [name for name in wanted if name not in catalog.packages]:
        raise CatalogError(
            f"no fallbacks.toml in force knows {', '.join(unknown)}",
            hints=(f"{name}{nearest(name, catalog.packages)}" for name in unknown),
        )
    return [catalog.packages[name] for name in dict.fromkeys(wanted)]


def _listings(packages: Sequence[Package], said: argparse.Namespace, command: CommandLine) -> Mapping[str, Listing]:
    with online(command, None) as net, view(command).doing("asking the sources"):
        ask = net.asking(_environment(said, command))
        found = listings([(package, ask) for package in packages])
    return {package.name: listing for package, listing in zip(packages, found, strict=True)}


def _add(said: argparse.Namespace) -> int:
    path = Path(said.file)
    wanted = Wanted(
        package=canonicalize_name(said.name) if said.name else None,
        imports=tuple(said.imports),
        trust=Trust(said.trust) if said.trust else None,
        source=said.source,
    )
    named = adding.read_urls(said.urls, wanted.package, tell)
    before = writing.read_text(path)
    file = writing.CatalogText(str(path), writing.NEW_FILE if before is None else before)
    with _servers(_command(said)) as servers:
        done = list(adding.add(file, named, wanted, _others(path), servers))
    if file.text != before:
        writing.write_text(path, file.text, before=before)
    for line in done:
        say(f"{path}: {line}")
    if file.text != before and any(
        source["trust"] == "community" for one in named for source in file.sources(one.build.name)
    ):
        tell("builds of trust community are taken only with --trust-level community; --trust says whose these are")
    return 0


def _others(path: Path) -> Catalog:
    """What the other files in force say: the built-in one and the user's own."""
    in_force = catalog_layers(parse(["catalog"], os.environ))
    kept = [Layer(path=one.path) for one in in_force if not one.found and one.path.resolve() != path.resolve()]
    found = [read_file(layer) for layer in kept]
    catalog = merge(found)
    if mistakes := [mistake for read in found for mistake in read.document.mistakes]:
        raise mistaken(mistakes)
    return catalog


def _hash(said: argparse.Namespace) -> int:
    path = Path(said.file)
    before = writing.read_text(path)
    if before is None:
        raise CatalogError(f"{path}: no such file", hints=("pipfallback catalog hash FILE",))
    file = writing.CatalogText(str(path), before)
    tables = open_file(Layer(path=path)).read.packages
    with _servers(_command(said)) as servers:
        pinned = adding.pin(file, tables, servers)
    if file.text != before:
        writing.write_text(path, file.text, before=before)
    for line in pinned.done or (() if pinned.failed else ("no hash is missing",)):
        say(f"{path}: {line}")
    if pinned.failed:
        count = "1 hash" if len(pinned.failed) == 1 else f"{len(pinned.failed)} hashes"
        raise CatalogError(f"{count} could not be had", details=pinned.failed)
    return 0


def _schema(said: argparse.Namespace) -> int:
    del said
    say(schema.text().rstrip())
    return 0


@contextmanager
def _servers(command: CommandLine) -> Iterator[Servers]:
    # The lists of repositories are the same for every machine: nothing of this environment is looked at.
    nowhere = Environment(python=Python(version=platform.python_version()), platform="any", tags=())
    with online(command, None) as net, tempfile.TemporaryDirectory(prefix="pipfallback-") as folder:
        yield Servers(client=net.client, ask=net.asking(nowhere), downloader=net.downloader(Path(folder)))


def _environment(said: argparse.Namespace, command: CommandLine) -> Environment:
    """For which torch and Python pages are asked whose URLs depend on them."""
    values = {name: getattr(said, name.replace("-", "_")) for name in DESCRIBING}
    question = Question(
        command=command,
        arguments=(),
        json=said.json,
        everything=False,
        environment=said.environment,
        described={name: value for name, value in values.items() if value is not None},
    )
    return asking.environment_of(question, os.environ, tell=tell).environment


def _command(said: argparse.Namespace, *more: str) -> CommandLine:
    own = [word for file in getattr(said, "fallbacks", ()) for word in ("--fallbacks", file)]
    own += ["--python", said.python] if getattr(said, "python", None) else []
    return parse(["catalog", *own, *more], os.environ)


def _rendered(lines: Iterable[Line]) -> Group:
    """Places and URLs are never broken: they are what a reader copies."""
    return Group(*(Fitted(line, _STYLES[style]) for style, line in lines))


def _parser(action: str) -> argparse.ArgumentParser:
    parser = Parser(prog=f"pipfallback catalog {action}", description=_ABOUT[action], allow_abbrev=False)
    if action in {"check", "list"}:
        _add_questions(parser, action)
    elif action == "add":
        parser.add_argument("urls", nargs="+", metavar="URL")
        parser.add_argument("--file", metavar="FILE", default=FILE_NAME, help="the file to extend (./fallbacks.toml)")
        parser.add_argument("--name", metavar="PACKAGE", help="refuse wheels of another package")
        parser.add_argument(
            "--import",
            dest="imports",
            metavar="NAME",
            action="append",
            default=[],
            help="what must import, where the package is new (proposed from the wheel); may be repeated",
        )
        parser.add_argument(
            "--trust",
            metavar="LEVEL",
            choices=[level.value for level in Trust],
            help="whose builds these are: official, vendor or community (default)",
        )
        parser.add_argument("--source", metavar="NAME", help="what messages call the source (its publisher)")
    elif action == "hash":
        parser.add_argument("file", nargs="?", metavar="FILE", default=FILE_NAME)
    if action in {"add", "hash"}:
        parser.add_argument("--json", action="store_true", help="an error as a JSON document")
    return parser


def _add_questions(parser: argparse.ArgumentParser, action: str) -> None:
    if action == "check":
        parser.add_argument("files", nargs="*", metavar="FILE", default=[])
    else:
        parser.add_argument("names", nargs="*", metavar="NAME", default=[])
    parser.add_argument("--online", action="store_true", help="ask every source what it has now")
    if action == "check":
        parser.add_argument("--download", action="store_true", help="and fetch wheels whose hash no list states")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--fallbacks", metavar="FILE", action="append", default=[], help="another fallbacks.toml")
    about = parser.add_argument_group("with --online, the machine for which pages are asked that depend on it")
    about.add_argument("--python", metavar="PATH", help="the interpreter to ask about")
    about.add_argument(
        "--environment", metavar="FILE", help="as `pipfallback env --json` prints it; fields may be left out"
    )
    add_describing(about)


_ACTIONS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "check": _check,
    "list": _list,
    "add": _add,
    "hash": _hash,
    "schema": _schema,
}
