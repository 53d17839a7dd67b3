"""``--help``: our own options first, all of them, in 80 columns; then pip's own text."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from lib.program import run_pipfallback
from lib.venvs import make_venv
from pipfallback import arguments, cli, completion, manual

CHOOSING = ("install", "download", "wheel")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_venv(tmp_path_factory.mktemp("manual") / "venv")


def options_in(text: str) -> set[str]:
    """The options that a text describes: those that begin a line."""
    return set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE))


def test_install_describes_every_option_of_our_own() -> None:
    own = {*arguments._OWN_VALUES, *arguments._OWN_FLAGS}
    assert options_in(manual.command_help("install")) == own
    assert {option.name for option in manual.options_of("install")} == own


@pytest.mark.parametrize("command", CHOOSING)
def test_whether_an_option_takes_a_value_is_what_the_parser_says(command: str) -> None:
    for option in manual.options_of(command):
        assert (option.name in arguments._OWN_VALUES) == (option.takes != "nothing") == bool(option.value)
        for choice in option.choices:
            assert arguments.parse([command, option.name, choice], {}).own is not None


@pytest.mark.parametrize("text", [manual.HELP, *map(manual.command_help, CHOOSING)])
def test_it_fits_80_columns(text: str) -> None:
    assert [line for line in text.splitlines() if len(line) > 80] == []


def test_the_overview_names_every_command() -> None:
    assert set(manual.OWN_COMMANDS) == set(cli.COMMANDS)
    named = re.findall(r"^  ([a-z]+)\b", manual.HELP.partition("Commands:")[2].partition("Options:")[0], re.MULTILINE)
    assert named == [*manual.OWN_COMMANDS, "any"]
    assert not completion.PIPS_COMMANDS.keys() & cli.COMMANDS.keys()


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_without_a_command_it_is_the_overview(words: list[str]) -> None:
    done = run_pipfallback(words)
    assert (done.code, done.stdout, done.stderr) == (0, manual.HELP, "")


@pytest.mark.parametrize(
    "words",
    [
        ["install", "--help"],
        ["install", "-h"],
        ["install", "flash-attn", "-qh"],
        ["install", "--trust-level", "community", "flash-attn", "--he"],
        ["download", "-h"],
        ["wheel", "alpha", "--help"],
    ],
)
def test_behind_a_command_our_own_options_come_before_pips(python: Path, words: list[str]) -> None:
    done = run_pipfallback(words, python=python)
    assert (done.code, done.stderr) == (0, "")
    ours, _, pips = done.stdout.partition(f"All options of pip {words[0]} hold as well:\n")
    assert options_in(ours) == {option.name for option in manual.options_of(words[0])}
    assert pips.lstrip().startswith("Usage:")
    assert "--index-url" in pips


@pytest.mark.parametrize("command", ["plan", "explain", "env", "verify", "dockerfile"])
def test_the_other_commands_look_alike(command: str, environ: dict[str, str]) -> None:
    done = run_pipfallback([command, "--help"], env={**environ, "COLUMNS": "200"})
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: pipfallback {command} [options]")
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    assert "Options:\n" in done.stdout


@pytest.mark.parametrize("command", ["plan", "catalog", "dockerfile", "env"])
def test_help_of_a_command_is_what_the_command_says_itself(command: str) -> None:
    asked, own = run_pipfallback(["help", command]), run_pipfallback([command, "--help"])
    assert (asked.code, asked.stdout, asked.stderr) == (own.code, own.stdout, own.stderr) == (0, own.stdout, "")


def test_help_alone_is_the_overview_and_of_a_command_of_pips_what_pip_says(python: Path) -> None:
    assert run_pipfallback(["help"]).stdout == run_pipfallback(["help", "help"]).stdout == manual.HELP
    pips = run_pipfallback(["help", "uninstall"], python=python).stdout
    assert "pip uninstall [options]" in " ".join(pips.split())  # which pip breaks where the path is long


def test_every_error_names_the_command_that_explains_it() -> None:
    failed = run_pipfallback(["plan", "flash-atn"])
    assert failed.code != 0
    *_, see = failed.stderr.splitlines()
    helped = run_pipfallback(see.removeprefix("see: pipfallback ").split())
    assert (helped.code, helped.stderr) == (0, "")
    assert re.findall(r"^(Symptom|Cause|What to do)\.", helped.stdout, re.MULTILINE) == [
        "Symptom",
        "Cause",
        "What to do",
    ]
    assert [line for line in helped.stdout.splitlines() if len(line) > 80 or "](" in line] == []


def test_what_nobody_can_explain_gets_a_suggestion_or_the_whole_list() -> None:
    near, far = run_pipfallback(["help", "no-buil-fits"]), run_pipfallback(["help", "xyzzy"])
    assert (near.code, far.code) == (2, 2)
    assert "hint: did you mean no-build-fits?" in near.stderr
    assert "not-restored" in far.stderr


@pytest.mark.parametrize("command", ["lock", "completion"])
def test_those_that_pip_has_too_show_both(command: str, python: Path) -> None:
    done = run_pipfallback([command, "--help"], python=python)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: pipfallback {command} ")
    assert "General Options:" in done.stdout


def test_every_option_has_a_variable(tmp_path: Path) -> None:
    """As the text says."""
    file = tmp_path / "fallbacks.toml"
    for option in manual.options_of("install"):
        value = {"file": str(file), "nothing": "1"}.get(option.takes, (*option.choices, "8")[0])
        variable = "PIPFALLBACK_" + option.name[2:].replace("-", "_").upper()
        words = [option.name] if option.takes == "nothing" else [option.name, value]
        assert arguments.parse(["install"], {variable: value}).own == arguments.parse(["install", *words], {}).own
        assert os.environ.get(variable) is None


@pytest.mark.parametrize("words", [["env", "--no-color"], ["--no-color", "env"], ["explain", "--no-color", "x"]])
def test_no_color_is_an_option_of_every_command(words: list[str]) -> None:
    done = run_pipfallback(words)
    assert "unrecognized" not in done.stderr
    assert "\x1b" not in done.said
