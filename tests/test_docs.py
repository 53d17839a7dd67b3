"""What the documents show is what happens, and what they name is there."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import get_args
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

import pipfallback
from lib.packages import PACKAGE, in_repository
from pipfallback import arguments, asking, checks, import_failures, verify
from pipfallback.build_failures import SubCause
from pipfallback.catalog_files import Layer
from pipfallback.catalog_reader import mistaken, read_file
from pipfallback.cli import COMMANDS
from pipfallback.commands import catalog, dockerfile
from pipfallback.commands.explained import sections
from pipfallback.completion import SHELLS
from pipfallback.manual import OWN_COMMANDS
from pipfallback.net.failures import FetchCause
from pipfallback.pip_failures import Cause

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
MARKDOWN = MarkdownIt().enable("table")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def blocks(file: str, language: str) -> list[str]:
    """The code blocks of a document in one language."""
    return blocks_of(DOCS / file, language)


def blocks_of(page: Path, *languages: str) -> list[str]:
    tokens = MARKDOWN.parse(page.read_text(encoding="utf-8"))
    return [token.content for token in tokens if token.type == "fence" and token.info.strip() in languages]


def generator() -> ModuleType:
    """docs/generate.py."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The library.


def test_the_example_of_the_api_prints_what_it_says() -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(blocks("api.md", "python")[0], "docs/api.md", "exec"), {})  # noqa: S102  (our own document)
    assert printed.getvalue() == blocks("api.md", "text")[0]


def test_every_public_name_is_described_and_there() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for name in pipfallback.__all__:
        assert getattr(pipfallback, name) is not None
        assert name == "__version__" or f"`{name}" in text, name
    assert set(dir(pipfallback)) == set(pipfallback.__all__)


# What is generated.


def test_what_is_generated_is_as_the_code_and_the_catalog_are_now() -> None:
    pages = generator().pages()
    stale = [name for name, text in pages.items() if (DOCS / name).read_text(encoding="utf-8") != text]
    assert stale == [], "`make docs` makes them anew"
    assert [name for name, text in pages.items() if "Traceback" in text] == []
    made = {f"reference/{path.name}" for path in (DOCS / "reference").iterdir()}
    assert made == {name for name in pages if name.startswith("reference/")}


# Links.


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page, as GitHub and the site make them of its headings."""
    tokens = MARKDOWN.parse(page.read_text(encoding="utf-8"))
    headings = [tokens[place + 1] for place, token in enumerate(tokens) if token.type == "heading_open"]
    texts = ["".join(part.content for part in each.children or ()) for each in headings]
    return frozenset(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts)


def links(page: Path) -> Iterator[str]:
    for token in MARKDOWN.parse(page.read_text(encoding="utf-8")):
        for part in token.children or ():
            if part.type in {"link_open", "image"}:
                yield unquote(str(part.attrGet("href") or part.attrGet("src")))


@every_page
def test_every_relative_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_named_in_the_code_is_there() -> None:
    named = {
        found
        for path in PACKAGE.rglob("*.py")
        for found in re.findall(r"docs/[\w-]+\.(?:md|json)", path.read_text(encoding="utf-8"))
    }
    assert "docs/troubleshooting.md" in named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


@every_page
def test_every_file_of_the_repository_that_is_named_is_there(page: Path) -> None:
    named = re.findall(r"`((?:tests|benchmarks|demo|docs|src)/[\w./-]+)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not in_repository(name).exists()] == []


# What a reader looks up.


def test_each_error_has_its_heading_in_troubleshooting_and_each_heading_its_error() -> None:
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert sorted(headings) == sorted(generator().errors()) == sorted(sections())
    for section in re.split(r"^### ", text.partition("\n## When an import fails")[0], flags=re.MULTILINE)[1:]:
        told = [part for part in ("**Symptom.**", "**Cause.**", "**What to do.**") if part in section]
        assert len(told) == 3, section.partition("\n")[0]


def test_each_cause_of_a_failed_import_is_in_troubleshooting_and_no_other() -> None:
    causes = {cause for module in (import_failures, verify, checks) for cause in constants(module, "cause")}
    assert first_cells("troubleshooting.md", "## When an import fails") == causes


def test_the_symptom_of_a_failed_import_is_known_by_the_cause_beside_it() -> None:
    below = (DOCS / "troubleshooting.md").read_text(encoding="utf-8").partition("## When an import fails\n")[2]
    symptoms = dict(re.findall(r"^\| `([\w-]+)` \| ``? ?(.+?)`[` ,:;|]", below.partition("\n## ")[0], re.MULTILINE))
    causes = set(constants(import_failures, "cause"))
    # What an error alone does not tell: it depends on the package's own files.
    told = {cause: text for cause, text in symptoms.items() if cause in causes - {"missing-module", "import-failed"}}
    assert len(told) >= 17
    for cause, text in told.items():
        error = f"ModuleNotFoundError: {text}" if text.startswith("No module") else text
        assert import_failures.diagnose(error).cause == cause, text


def test_each_cause_of_a_failure_of_pip_is_described_and_no_other() -> None:
    assert first_cells("pip-failures.md", "# What a failure of pip means") == {cause.value for cause in Cause}
    assert first_cells("pip-failures.md", "## Why a build failed") == {cause.value for cause in SubCause}


def test_each_note_on_a_source_is_described_and_no_other() -> None:
    own = {"late", "empty", "unfilled", "yanked", "bad-name", "build-not-allowed"}  # sources.reading.Note
    described = first_cells("sources.md", "## What a note means")
    # Those of a single file, which no listing is told of.
    assert own | set(get_args(FetchCause)) - {"hash-mismatch", "no-space"} == described


def constants(module: ModuleType, keyword: str) -> Iterator[str]:
    """The strings that a module gives for a keyword."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.keyword) and node.arg == keyword and isinstance(node.value, ast.Constant):
            yield str(node.value.value)


def first_cells(page: str, heading: str) -> set[str]:
    """What stands in code in the first column of the first table below a heading."""
    below = (DOCS / page).read_text(encoding="utf-8").partition(f"{heading}\n")[2]
    table = re.search(r"^\|.*\n\|[-| ]+\n((?:\|.*\n)+)", below, re.MULTILINE)
    assert table is not None
    return {word for row in table[1].splitlines() for word in re.findall(r"`([\w-]+)`", row.split(" | ")[0])}


# Examples.


# What a text leaves out where it only names the command.
DEFAULTS = {"add": ["URL"], "check": [], "hash": [], "list": [], "schema": []}


@cache
def options_in_help(command: str) -> frozenset[str]:
    """Every option that a command's help names, pip's for install and its like."""
    words = [sys.executable, "-m", "pipfallback", *command.split(), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return frozenset(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", done.stdout))


def commands_of(page: Path) -> Iterator[list[str]]:
    """The words of each pipfallback command that a page shows, in blocks, and where it stands in a line."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        shown = line.strip().removeprefix("$ ").removeprefix("RUN ")
        if shown.startswith("pipfallback ") and not re.match(r"pipfallback(:| [A-Z]| \d)", shown):
            found = [shown]
        else:
            found = re.findall(r"`((?:[A-Z_]+=\S+ )?pipfallback [^`]+)`", line)
        for command in found:
            if "|" in command or "…" in command or "COMMAND" in command or "(" in command.split("  ")[0]:
                continue  # a choice of words, or a part that is left out
            words = shlex.split(re.split(r"  |&&|>|;", command)[0], comments=True)
            yield words[words.index("pipfallback") + 1 :]


@every_page
def test_every_command_that_is_shown_can_be_read(page: Path) -> None:
    for words in commands_of(page):
        if words and words[0] in OWN_COMMANDS:
            assert is_read(words), words
        else:
            assert not words or words[0].startswith("-") or words[0] not in COMMANDS, words


def is_read(words: Sequence[str]) -> bool:
    """Whether the real parser takes a command line of ours; it raises what it does not take."""
    command, *rest = words
    if command in {"plan", "explain", "env", "verify"}:
        return rest == [] or asking.read(command, words, {}) is not None
    if command == "catalog":
        return (
            rest in ([], ["--help"]) or catalog._parser(rest[0]).parse_args(rest[1:] or DEFAULTS[rest[0]]) is not None
        )
    if command == "dockerfile":
        return rest == [] or dockerfile._parser().parse_args(rest) is not None
    if command == "completion":
        return not rest or rest[0] in SHELLS or rest[0] == "SHELL" or rest[0].startswith("--")
    line = arguments.parse(words, {})
    given = {word.partition("=")[0] for item in line.items if item.kind == "option" for word in item.words[:1]}
    return given <= options_in_help(command) | {"--help"}


@every_page
def test_every_toml_example_is_taken_by_the_loader(page: Path, tmp_path: Path) -> None:
    if page.name == "fallbacks-toml.md":
        pytest.skip("tests/test_catalog.py reads those, one of which is a part")
    for example in blocks_of(page, "toml"):
        path = tmp_path / "fallbacks.toml"
        own = "import" in example
        text = example if "schema = 1" in example else f"schema = 1\n{example}"
        path.write_text(
            text if own else f'{text}\n[package.torch-scatter]\nimport="a"\n[package.wobbly]\nimport = "a"\n'
        )
        read = read_file(Layer(path=path))
        assert not read.document.mistakes, mistaken(read.document.mistakes).details


@every_page
def test_every_json_example_is_json(page: Path) -> None:
    for example in blocks_of(page, "json"):
        assert json.loads(example)["schema"] == 1
