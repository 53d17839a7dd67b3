"""What of this folder is made of the code and of fallbacks.toml: ``make docs`` runs it, a test compares.

It writes ``reference/*.md`` whole, and in ``ranking.md`` the output of the commands that stand there.
"""

from __future__ import annotations

import ast
import inspect
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pipfallback
from pipfallback.catalog import Package, Source
from pipfallback.catalog_reader import load
from pipfallback.catalog_work import schema
from pipfallback.errors import PipfallbackError
from pipfallback.manual import OWN_COMMANDS, options_of
from pipfallback.rules import cuda, file, gpu, request, tags, torch

DOCS = Path(__file__).parent
_MADE = "<!-- Made by docs/generate.py (make docs); do not edit. -->\n"
_WITH_FALLBACK = ("install", "download", "wheel")
_RULE_MODULES = (tags, torch, cuda, gpu, request, file)
# Rules whose function bears another name than the rule, since it finds more than one or the name was taken.
_RULE_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "hash": request.sha256,
    "glibc": file._versions,  # noqa: SLF001 - its docstring is the sentence that is wanted
}
# Rules that several functions find together.
_RULE_SENTENCES = {
    "symbols": "A function of torch or Python, or a library of torch, that the file needs and nothing here has."
}
_EXIT_CODES = {
    0: "What was asked for works. `plan`: at least one build fits. `verify`: nothing is broken. Else: pip's 0.",
    1: "pip's 1, or an error of the list below. `plan`: nothing fits. `verify`: something is broken. "
    "`catalog check`: something was found. `dockerfile --check`: a line cannot work.",
    2: "The command line cannot be understood (pip's code for it, too).",
    70: "The environment could not be put back as it was.",
    130: "Ctrl-C (pip says 1: the one departure from its codes). Everything was put back first.",
}


def pages() -> dict[str, str]:
    """The files that are made here, by their path in this folder, as they should be."""
    return {
        "reference/options.md": _options(),
        "reference/errors.md": _errors(),
        "reference/rules.md": _rules(),
        "reference/keys.md": _keys(),
        "reference/catalog.md": _catalog(),
        "ranking.md": _rerun((DOCS / "ranking.md").read_text(encoding="utf-8")),
    }


def errors() -> dict[str, type[PipfallbackError]]:
    """Every kind of error by its reference."""
    for module in pkgutil.walk_packages(pipfallback.__path__, "pipfallback."):
        if not module.name.rpartition(".")[2].startswith("_"):  # those run in another interpreter
            import_module(module.name)
    return {kind.reference: kind for kind in _kinds(PipfallbackError)}


def rules() -> dict[str, str]:
    """Every rule of compatibility, with the sentence that says when it refuses."""
    named = {rule for module in _RULE_MODULES for rule in _rules_in(module)}
    return {rule: _sentence(rule) for rule in sorted(named)}


def printed(command: str) -> str:
    """What a command prints, errors included, as a person in an empty folder without a network sees it."""
    words = shlex.split(command)
    if words[0] != "pipfallback":
        raise ValueError(command)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP", "UV_", "VIRTUAL_ENV"))}
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-m", "pipfallback", *words[1:]],
            cwd=home,
            env=kept | {"HOME": home, "COLUMNS": "200", "NO_COLOR": "1", "HTTPS_PROXY": "http://127.0.0.1:9"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def _kinds(kind: type[PipfallbackError]) -> Iterator[type[PipfallbackError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)


def _rules_in(module: object) -> Iterator[str]:
    for node in ast.walk(ast.parse(inspect.getsource(module))):  # type: ignore[arg-type]
        if isinstance(node, ast.keyword) and node.arg == "rule" and isinstance(node.value, ast.Constant):
            yield str(node.value.value)


def _sentence(rule: str) -> str:
    """The first sentence of the docstring of a rule's function; all begin with "Refuse" or are what is refused."""
    if rule in _RULE_SENTENCES:
        return _RULE_SENTENCES[rule]
    name = rule.replace("-", "_")
    found = [getattr(module, name) for module in _RULE_MODULES if inspect.isfunction(getattr(module, name, None))]
    function = _RULE_FUNCTIONS.get(rule) or found[0]
    words = (inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " ").removeprefix("Refuse").lstrip(", ")
    return words[:1].upper() + words[1:]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _options() -> str:
    own = {option.name: option for command in _WITH_FALLBACK for option in options_of(command)}
    rows = (
        (
            f"`{f'{name} {option.value}'.rstrip()}`",
            f"`PIPFALLBACK_{name[2:].replace('-', '_').upper()}`",
            option.text,
            ", ".join(command for command in _WITH_FALLBACK if option.belongs_to(command)),
        )
        for name, option in own.items()
    )
    helps = "\n".join(_help(command) for command in OWN_COMMANDS if command not in _WITH_FALLBACK)
    return f"""{_MADE}
# Options and variables

Options of pipfallback's own. All of pip's hold besides, in every spelling.

## install, download, wheel

{_table(("option", "variable", "what it does", "commands"), rows)}
The last one on the command line counts, and the command line before the variable. A flag's variable is `1` or `0`; a list
(`PIPFALLBACK_FALLBACKS`) is separated by white space. `PIPFALLBACK_CACHE_DIR` says where listings and wheels are kept
([the network](../network.md)). pip's own variables (`PIP_…`) and pip.conf hold as ever.

{helps}"""


def _help(command: str) -> str:
    if command == "completion":
        return "## completion\n\n`pipfallback completion bash|zsh|fish` ([shell completion](../completion.md)).\n"
    if command == "help":
        return "## help\n\n`pipfallback help COMMAND` is that command's `--help`; `pipfallback help REFERENCE` explains an [error](errors.md).\n"
    if command == "catalog":
        actions = re.findall(r"^  ([a-z]+) ", printed("pipfallback catalog --help"), re.MULTILINE)
        commands = ["catalog", *(f"catalog {action}" for action in actions)]
    else:
        commands = [command]
    texts = [printed(f"pipfallback {each} --help").partition("and every option of pip's own")[0] for each in commands]
    # Before 3.13 argparse repeats the value: -i URL, --index-url URL.
    texts = [re.sub(r"(-\w) [A-Z]+, (--[\w-]+ [A-Z]+)", r"\1, \2", text) for text in texts]
    return f"## {command}\n\n" + "\n".join(f"```text\n{text.rstrip()}\n```\n" for text in texts)


def _errors() -> str:
    codes = _table(("code", "meaning"), ((str(code), text) for code, text in _EXIT_CODES.items()))
    kinds = _table(
        ("reference", "what it says", "exit code"),
        (
            (
                f"[`{reference}`](../troubleshooting.md#{reference})",
                (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ").replace("``", "`"),
                str(kind.exit_code),
            )
            for reference, kind in sorted(errors().items())
        ),
    )
    return f"""{_MADE}
# Exit codes and errors

## Exit codes

{codes}
Wherever pip's word stands, its own code does.

## Errors

An error ends with `see: pipfallback help` and its reference, a heading of [Troubleshooting](../troubleshooting.md). Under `--json` it
is the `reference` of the [error's document](../json.md#error).

{kinds}"""


def _rules() -> str:
    return f"""{_MADE}
# The rules of compatibility

A build is refused by every rule that it breaks, with what it wants and what is here. What is not known refuses nothing:
it lowers the grade from *fits* to *plausible* ([why](../compatibility.md)).

{_table(("rule", "refuses"), ((f"`{rule}`", text) for rule, text in rules().items()))}"""


def _keys() -> str:
    top = schema.schema()["properties"]
    package = next(iter(top["package"]["patternProperties"].values()))
    source = package["properties"]["source"]["items"]
    described = {
        "Top level": schema.schema(),
        "`[package.NAME]`": package,
        "`[[package.NAME.source]]`": source,
        "`[matrix.NAME]`": top["matrix"]["additionalProperties"],
    }
    tables = "\n".join(f"## {title}\n\n{_key_table(form)}" for title, form in described.items())
    return f"""{_MADE}
# Keys of fallbacks.toml

Each key with its form, as the loader reads it. [The format](../fallbacks-toml.md) says what they are good for; the
[JSON Schema](../fallbacks.schema.json) says the same to editors.

{tables}"""


def _key_table(form: Mapping[str, Any]) -> str:
    required = set(form.get("required", ()))
    rows = (
        (f"`{key}`", _form(value), ("Required. " if key in required else "") + value["description"])
        for key, value in form["properties"].items()
    )
    return _table(("key", "form", "meaning"), rows)


def _form(value: Mapping[str, Any]) -> str:
    """The form of a value, in words."""
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{str(one).lower() if isinstance(one, bool) else one}`" for one in value["enum"])
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_form(one) for one in value["anyOf"]))
    kind = value.get("type")
    if kind == "array":
        items = value["items"]
        return "list of strings" if items.get("type") == "string" else "list of tables"
    return {"object": "table", "boolean": "`true`, `false`"}.get(str(kind), str(kind))


def _catalog() -> str:
    packages = load().packages
    publishers = {source.name for package in packages.values() for source in package.sources}
    index = ", ".join(f"[{name}](#{name})" for name in packages)
    entries = "\n".join(_package(package) for package in packages.values())
    return f"""{_MADE}
# Packages and publishers

The built-in catalog has {len(packages)} packages and {len(publishers)} publishers. `pipfallback catalog list` tells how many builds each
source has; `--online` asks those that have to be asked.

{index}

{entries}"""


def _package(package: Package) -> str:
    rows = ((_publisher(source), source.trust.value, f"`{source.kind}`", _place(source)) for source in package.sources)
    imports = ", ".join(f"`{name}`" for name in package.imports)
    tied = f" Tied to {', '.join(package.needs)}." if package.needs else ""
    smoke = " Uses the GPU once, where there is one." if package.smoke else ""
    return f"""## {package.name}

Works when {imports} can be imported.{smoke}{tied}

{_table(("source", "trust", "kind", "where"), rows)}"""


def _publisher(source: Source) -> str:
    return f"[{source.name}]({source.homepage})" if source.homepage else source.name


def _place(source: Source) -> str:
    if not source.urls:
        return "pip's index"
    return ", ".join(sorted({urlsplit(url).hostname or "this machine" for url in source.urls}))


def _rerun(text: str) -> str:
    """A page with the output of the commands in its ```text blocks, as it is now."""

    def again(block: re.Match[str]) -> str:
        # Behind the refused builds stand the sources that did not answer, which is all of those that must be asked here.
        told = re.sub(r"(^refused: .*\n(?: .*\n)+)(?:.*\n)*", r"\1…\n", printed(block[1]), flags=re.MULTILINE)
        return f"```text\n$ {block[1]}\n{told}```"

    return re.sub(r"^```text\n\$ (pipfallback .*)\n[^`]*^```", again, text, flags=re.MULTILINE)


def main() -> int:
    """Write what differs; 0."""
    for name, text in pages().items():
        path = DOCS / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"docs/{name} is made anew")
    return 0


if __name__ == "__main__":
    sys.exit(main())
