"""A pip command line taken apart and put together again: pip's meaning stays, our own options are taken out."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from lib.venvs import fetch_pip
from pipfallback import pip_options
from pipfallback.arguments import CommandLine, OwnOptions, own_option_names, parse
from pipfallback.errors import UsageError
from pipfallback.trust import Trust


def parsed(line: str, **environ: str) -> CommandLine:
    return parse(line.split(), environ)


def requirements(line: str) -> list[str | None]:
    return [item.value for item in parsed(line).requirements]


@pytest.mark.parametrize(
    "line",
    [
        "install -r reqs.txt x",
        "install -rreqs.txt x",
        "install -qqr reqs.txt x",
        "install x --requirement reqs.txt",
        "install x --requirement=reqs.txt",
        "install x --requirem reqs.txt",
        "install --requirem=reqs.txt x",
        "-q install -qr reqs.txt -- x",
    ],
)
def test_every_spelling_of_an_option_is_that_option_and_its_value_no_requirement(line: str) -> None:
    command = parsed(line)
    assert command.command == "install"
    assert command.values("--requirement") == ("reqs.txt",)
    assert [item.value for item in command.requirements] == ["x"]


def test_options_before_the_command_keep_their_place_and_value() -> None:
    command = parsed("--retries 0 -v --log pip.log install x")
    assert command.command == "install"
    assert command.values("--retries") == ("0",)
    assert command.words() == ("--retries", "0", "-v", "--log", "pip.log", "install", "x")


def test_a_cluster_is_its_letters() -> None:
    command = parsed("install -qqUt folder x")
    assert [item.name for item in command.items if item.kind == "option"] == [
        "--quiet",
        "--quiet",
        "--upgrade",
        "--target",
    ]
    assert command.values("--target") == ("folder",)
    assert command.has("--upgrade")
    assert not command.has("--user", "--pre")


def test_everything_behind_two_dashes_is_a_requirement() -> None:
    command = parsed("install --pre -- --no-fallback -r x")
    assert requirements("install --pre -- --no-fallback -r x") == ["--no-fallback", "-r", "x"]
    assert command.own.fallback
    assert command.words() == ("install", "--pre", "--", "--no-fallback", "-r", "x")


def test_a_dash_alone_and_unknown_options_are_left_to_pip() -> None:
    command = parsed("install - --tomorrows-option x -Z")
    assert [item.value for item in command.requirements] == ["-", "x"]
    assert command.words() == ("install", "-", "--tomorrows-option", "x", "-Z")


def test_an_abbreviation_that_may_be_two_options_is_left_to_pip() -> None:
    command = parsed("install --no x")  # --no-deps, --no-index, ...
    assert command.words() == ("install", "--no", "x")
    assert not command.has("--no-deps", "--no-index")


@pytest.mark.parametrize("line", ["install -r", "install x --requirement", "install x -qi"])
def test_a_missing_value_is_left_to_pip(line: str) -> None:
    assert " ".join(parsed(line).words()).replace("-q -i", "-qi") == line


def test_no_command_at_all() -> None:
    assert parsed("").command is None
    assert parsed("--version").command is None
    assert parsed("-V").words() == ("-V",)


OWN_LINES = [
    ("--python /usr/bin/python3", OwnOptions(python="/usr/bin/python3")),
    ("--python=venv", OwnOptions(python="venv")),
    ("--fallbacks a.toml --fallbacks=b.toml", OwnOptions(fallbacks=("a.toml", "b.toml"))),
    ("--no-fallback", OwnOptions(fallback=False)),
    ("--no-verify", OwnOptions(verify=False)),
    ("--no-verify --verify", OwnOptions(verify=True)),
    ("--verify-timeout 2.5", OwnOptions(verify_timeout=2.5)),
    ("--trust-level community", OwnOptions(trust_level=Trust.COMMUNITY)),
    ("--allow-build --keep-torch", OwnOptions(allow_build=True, keep_torch=True)),
    ("--allow-torch-change --same-version", OwnOptions(allow_torch_change=True, same_version=True)),
    ("--fail-on-fallback --explain --no-peek", OwnOptions(fail_on_fallback=True, explain=True, peek=False)),
    ("--max-attempts=3 --gpu 8.9,9.0", OwnOptions(max_attempts=3, gpu="8.9,9.0")),
    ("--outcome out.json --installer uv", OwnOptions(outcome="out.json", installer="uv")),
    ("--driver-cuda 12.8", OwnOptions(driver_cuda="12.8")),
]


@pytest.mark.parametrize(("options", "own"), OWN_LINES)
@pytest.mark.parametrize("line", ["{} install -q x", "install {} -q x", "install -q {} x", "install -q x {}"])
def test_own_options_count_in_any_position_and_pip_does_not_see_them(line: str, options: str, own: OwnOptions) -> None:
    command = parsed(line.format(options))
    assert command.own == own
    assert command.words() == ("install", "-q", "x")


def test_no_verify_is_pips_own_option_of_wheel() -> None:
    command = parsed("wheel --no-verify x")
    assert command.own.verify
    assert command.words() == ("wheel", "--no-verify", "x")
    assert parsed("wheel --verify-timeout 3 x").words() == ("wheel", "x")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("install --max-attempts 0 x", "--max-attempts must be a whole number from 1, not '0'"),
        ("install --max-attempts many x", "--max-attempts must be a whole number from 1, not 'many'"),
        ("install --verify-timeout -1 x", "--verify-timeout must be a number of seconds, not '-1'"),
        ("install --verify-timeout nan x", "--verify-timeout must be a number of seconds, not 'nan'"),
        ("install --verify-timeout inf x", "--verify-timeout must be a number of seconds, not 'inf'"),
        ("install --trust-level all x", "--trust-level must be official, vendor or community, not 'all'"),
        ("install --installer conda x", "--installer must be pip or uv, not 'conda'"),
        ("install --no-fallback=yes x", "--no-fallback takes no value"),
        ("install x --outcome", "--outcome needs a file"),
        ("install x --python", "--python needs an interpreter"),
    ],
)
def test_a_value_that_cannot_be_read_is_a_usage_error(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(line)
    assert (caught.value.message, caught.value.exit_code) == (message, 2)


def test_every_own_option_has_a_variable() -> None:
    command = parsed(
        "install x",
        PIPFALLBACK_PYTHON="venv",
        PIPFALLBACK_FALLBACKS="a.toml b.toml",
        PIPFALLBACK_NO_FALLBACK="1",
        PIPFALLBACK_NO_VERIFY="True",
        PIPFALLBACK_VERIFY_TIMEOUT="3",
        PIPFALLBACK_TRUST_LEVEL="official",
        PIPFALLBACK_ALLOW_BUILD="yes",
        PIPFALLBACK_ALLOW_TORCH_CHANGE="y",
        PIPFALLBACK_SAME_VERSION="t",
        PIPFALLBACK_FAIL_ON_FALLBACK="1",
        PIPFALLBACK_MAX_ATTEMPTS="7",
        PIPFALLBACK_NO_PEEK="1",
        PIPFALLBACK_GPU="9.0",
        PIPFALLBACK_DRIVER_CUDA="12.8",
        PIPFALLBACK_OUTCOME="out.json",
        PIPFALLBACK_EXPLAIN="1",
        PIPFALLBACK_INSTALLER="uv",
    )
    assert command.own == OwnOptions(
        python="venv",
        fallbacks=("a.toml", "b.toml"),
        fallback=False,
        verify=False,
        verify_timeout=3.0,
        trust_level=Trust.OFFICIAL,
        allow_build=True,
        allow_torch_change=True,
        same_version=True,
        fail_on_fallback=True,
        max_attempts=7,
        peek=False,
        gpu="9.0",
        driver_cuda="12.8",
        outcome="out.json",
        explain=True,
        installer="uv",
    )


def test_the_command_line_counts_more_than_a_variable() -> None:
    command = parsed("install x --verify --max-attempts 2", PIPFALLBACK_NO_VERIFY="1", PIPFALLBACK_MAX_ATTEMPTS="7")
    assert (command.own.verify, command.own.max_attempts) == (True, 2)


@pytest.mark.parametrize(
    ("variable", "text", "verify"),
    [("NO_VERIFY", "0", True), ("VERIFY", "0", False), ("VERIFY", "1", True), ("NO_VERIFY", "", True)],
)
def test_a_variable_may_say_no(variable: str, text: str, verify: bool) -> None:
    assert parsed("install x", **{f"PIPFALLBACK_{variable}": text}).own.verify is verify


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("PIPFALLBACK_MAX_ATTEMPTS", "0", "PIPFALLBACK_MAX_ATTEMPTS must be a whole number from 1, not '0'"),
        ("PIPFALLBACK_EXPLAIN", "perhaps", "PIPFALLBACK_EXPLAIN must be 1 or 0, not 'perhaps'"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(variable: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed("install x", **{variable: text})
    assert caught.value.message == message


def test_a_requirement_can_be_replaced_or_dropped_and_the_rest_stays() -> None:
    command = parsed("install -q one two --pre three")
    words = command.replaced(
        lambda item: {"one": ("./one.whl", "--no-deps"), "two": ()}.get(item.value or "")  # None keeps
    )
    assert words == ("install", "-q", "./one.whl", "--no-deps", "--pre", "three")


def test_the_spellings_of_an_own_option_are_known() -> None:
    assert own_option_names("verify") == ("--verify", "--no-verify")
    assert own_option_names("outcome") == ("--outcome",)


# Reads command lines with pip's own parser and prints what it understood (26.3; the parser is as old as pip).
_PIPS_PARSER = """\
import json, sys
sys.path.insert(0, sys.argv[1])
from pip._internal.commands import create_command
answers = []
for words in json.load(sys.stdin):
    command = create_command("install")
    options, arguments = command.parser.parse_args(words)
    answers.append([arguments, repr(sorted(vars(options).items(), key=str)), options.requirements])
print(json.dumps(answers))
"""


def pips_reading(lines: list[list[str]]) -> list[list[object]]:
    command = [sys.executable, "-I", "-c", _PIPS_PARSER, str(fetch_pip("26.3"))]
    done = subprocess.run(command, input=json.dumps(lines), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers: list[list[object]] = json.loads(done.stdout)
    return answers


def random_line(dice: random.Random) -> list[str]:
    """pip install with options in all their spellings, and requirements that look like anything."""
    names = ["x", "y>=1", "./a.whl", "https://h/a.whl#sha256=0", "z[extra]==2; python_version>'3'"]
    flags = ["-q", "-qqU", "-v", "--pre", "--no-deps", "--no-dependencies", "--force-re", "-I"]
    values = ["-r", "-c", "--requirement", "--constraint", "-t", "--targ", "--src", "--retries", "-qr", "-Uqc", "-e"]
    line: list[str] = []
    for _ in range(dice.randint(0, 6)):
        kind = dice.choice(("name", "flag", "value", "attached"))
        option = dice.choice(values)
        value = "3" if option == "--retries" else dice.choice(["f.txt", "-odd", "install", "--pre"])
        if kind == "name":
            line.append(dice.choice(names))
        elif kind == "flag":
            line.append(dice.choice(flags))
        elif kind == "value":
            line += [option, value]
        else:
            line.append(f"{option}={value}" if option.startswith("--") else f"{option}{value}")
    return [*line, "--", "-q", "last"] if dice.random() < 0.2 else line


def test_what_goes_on_to_pip_means_to_pip_what_was_written() -> None:
    dice = random.Random(2034)  # noqa: S311 - the same lines in every run
    lines = [random_line(dice) for _ in range(150)]
    commands = [parse(["install", *line], {}) for line in lines]
    as_written = pips_reading(lines)
    assert pips_reading([list(command.words()[1:]) for command in commands]) == as_written
    for command, (arguments, _, files) in zip(commands, as_written, strict=True):
        assert [item.value for item in command.requirements] == arguments
        assert list(command.values("--requirement")) == files


def test_own_options_take_nothing_from_pip() -> None:
    dice = random.Random(263)  # noqa: S311 - the same lines in every run
    for _ in range(200):
        line = ["install", *(word for word in random_line(dice) if word not in {"--", "-odd"})]
        place = dice.choice([index for index in range(len(line) + 1) if _starts_an_item(line, index)])
        with_own = [*line[:place], "--max-attempts", "3", "--no-peek", *line[place:]]
        assert parse(with_own, {}).words() == parse(line, {}).words(), with_own


def _starts_an_item(line: list[str], index: int) -> bool:
    """Whether another option may stand there without becoming the value of the one before it."""
    before = parse(line[:index], {}).items
    return not before or before[-1].value is not None or not _wants_value(before[-1].name)


def _wants_value(name: str) -> bool:
    return name in pip_options.TAKES_VALUE


def test_the_module_needs_no_third_party_package(tmp_path: Path) -> None:
    code = "import sys, pipfallback.arguments; print(sorted({'httpx', 'rich', 'tomli'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "[]\n"


def test_torch_cannot_be_kept_and_changed() -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        parse(["install", "--keep-torch", "--allow-torch-change", "x"], {})


def test_what_asks_for_something_to_be_installed() -> None:
    command = parse(["install", "-r", "r.txt", "-c", "c.txt", "-e", ".", "x"], {})
    assert [item.value for item in command.wanted] == ["r.txt", ".", "x"]


def test_keep_torch_has_a_variable_too() -> None:
    assert parsed("install x", PIPFALLBACK_KEEP_TORCH="on").own.keep_torch


def test_what_pip_takes_from_its_variables_counts_as_well() -> None:
    variables = {"PIP_TARGET": "there it is", "PIP_PLATFORM": "a b", "PIP_DRY_RUN": "1", "PIP_USER": "0"}
    command = parsed("install x", **variables)
    assert command.values("--target") == ("there it is",)
    assert command.values("--platform") == ("a", "b")
    assert command.has("--dry-run")
    assert not command.has("--user")
    assert command.words() == ("install", "x")
    assert parsed("install -t here x", **variables).values("--target") == ("here",)
