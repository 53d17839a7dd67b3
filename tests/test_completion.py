"""What shells offer, asked of the program and of real shells."""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib.program import run, run_pipfallback
from lib.venvs import make_venv
from pipfallback import asking, pip_options
from pipfallback.commands import dockerfile
from pipfallback.completion import OPTIONS, PIPS_COMMANDS, SCRIPTS, SHELLS, reply_to
from pipfallback.locking import words as lock_words

NAMES = frozenset({"flash-attn", "flash-attn-3", "xformers"})


def offered(line: str) -> list[str]:
    """What is offered for the last word of a line; a line that ends with a blank asks for a new word."""
    words = line.split()[1:] + ([""] if line.endswith(" ") else [])
    reply = reply_to(words, names=NAMES)
    return [word for word, _ in reply.words] + ([f":{reply.takes}"] if reply.takes in {"file", "folder"} else [])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pipfallback ins", ["install", "inspect"]),
        ("pipfallback comp", ["completion"]),
        ("pipfallback --vers", ["--version"]),
        ("pipfallback --python ", [":file"]),
        ("pipfallback --python python3.11 expl", ["explain"]),
        ("pipfallback --log install inst", ["install"]),
        ("pipfallback install fl", ["flash-attn", "flash-attn-3", ":file"]),
        ("pipfallback install -q xf", ["xformers", ":file"]),
        ("pipfallback install -- xf", ["xformers", ":file"]),
        ("pipfallback install ./x", [":file"]),
        ("pipfallback install --tr", ["--trust-level", "--trusted-host"]),
        ("pipfallback install --trust-level ", ["official", "vendor", "community"]),
        ("pipfallback install --trust-level co", ["community"]),
        ("pipfallback install --trust-level=co", ["--trust-level=community"]),
        ("pipfallback install --trust-level = co", ["community"]),
        ("pipfallback install --trust-level =", ["official", "vendor", "community"]),
        ("pipfallback install --upgrade-strategy e", ["eager"]),
        ("pipfallback install -r ", [":file"]),
        ("pipfallback install --requirement=", [":file"]),
        ("pipfallback install -c ", [":file"]),
        ("pipfallback install --outcome ", [":file"]),
        ("pipfallback install --target ", [":folder"]),
        ("pipfallback install --timeout ", []),
        ("pipfallback install --no-fall", ["--no-fallback"]),
        ("pipfallback download --verify-t", []),
        ("pipfallback download --des", ["--dest", "--destination-dir", "--destination-directory"]),
        ("pipfallback plan --tor", ["--torch"]),
        ("pipfallback plan fl", ["flash-attn", "flash-attn-3"]),
        ("pipfallback explain fl", [":file"]),
        ("pipfallback verify xf", ["xformers"]),
        ("pipfallback dockerfile ", [":file"]),
        ("pipfallback dockerfile --ch", ["--check"]),
        ("pipfallback lock --out", ["--output"]),
        ("pipfallback completion ", ["bash", "zsh", "fish"]),
        ("pipfallback completion z", ["zsh"]),
        ("pipfallback completion zsh ", []),
        ("pipfallback nosuchcommand x", []),
    ],
)
def test_what_is_offered(line: str, expected: list[str]) -> None:
    assert offered(line) == expected


def test_all_options_of_pip_are_offered_with_our_own() -> None:
    found = set(offered("pipfallback install -"))
    assert found >= pip_options.TAKES_VALUE | pip_options.FLAGS
    assert found >= {"--trust-level", "--gpu", "--explain"}


def options_of(parser: argparse.ArgumentParser) -> dict[str, bool]:
    """The options of a parser, and whether they take a value."""
    return {
        name: action.nargs != 0 for action in parser._actions for name in action.option_strings if action.dest != "help"
    }


@pytest.mark.parametrize("command", ["plan", "explain", "env", "verify", "dockerfile"])
def test_the_options_of_other_commands_are_those_of_their_parsers(command: str) -> None:
    parser = dockerfile._parser() if command == "dockerfile" else asking._parser(command)
    assert {option.name: option.takes != "nothing" for option in OPTIONS[command]} == options_of(parser)


def test_the_options_of_lock_are_those_that_it_reads() -> None:
    for option in OPTIONS["lock"]:
        value = option.choices[0] if option.choices else {"file": "pylock.toml"}.get(option.takes, "8")
        wanted = lock_words.read(["lock", option.name, *([value] if option.takes != "nothing" else []), "alpha"], {})
        assert [item.value for item in wanted.command.requirements] == ["alpha"], option.name


def test_pips_commands_are_those_of_real_pips(tmp_path: Path, environ: dict[str, str]) -> None:
    found: set[str] = set()
    for pip in ("20.3.4", "26.3"):
        python = make_venv(tmp_path / pip, pip=pip)
        code = "from pip._internal.commands import commands_dict; print(*commands_dict)"
        found |= set(run([python, "-W", "ignore", "-c", code], env=environ).stdout.split())
    assert found - set(PIPS_COMMANDS) == {"install", "download", "wheel", "lock", "completion", "help"}
    assert set(PIPS_COMMANDS) <= found


def test_what_is_pips_to_complete_pip_completes(tmp_path: Path) -> None:
    python = make_venv(tmp_path / "venv")
    command = [sys.executable, "-m", "pipfallback", "--python", python, "completion", "words", "--", "list", "--form"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["--format="]


def test_dashes_ask_for_pips_own_completion(tmp_path: Path) -> None:
    python = make_venv(tmp_path / "venv")
    done = run_pipfallback(["completion", "--bash"], python=python)
    assert done.code == 0, done.said
    assert "# pip bash completion start" in done.stdout


@pytest.mark.parametrize("words", [[], ["tcsh"], ["bash", "zsh"]])
def test_another_shell_is_an_error(words: list[str]) -> None:
    done = run_pipfallback(["completion", *words])
    assert (done.code, done.stdout) == (2, "")
    assert "error: completion is for one shell, bash or zsh or fish" in done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed(shell: str) -> None:
    done = run_pipfallback(["completion", shell])
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.strip() == SCRIPTS[shell].strip()


@pytest.fixture
def place(tmp_path: Path, environ: dict[str, str]) -> Path:
    """A folder with files to complete, ``pipfallback`` on PATH, and a package that only its fallbacks.toml knows."""
    here = tmp_path / "here"
    (here / "folder").mkdir(parents=True)
    for name in ("requirements.txt", "requirements-dev.txt", "with space.txt"):
        (here / name).write_text("")
    (here / "fallbacks.toml").write_text(
        'schema = 1\n[package.sample-attn]\nimport = ["sample_attn"]\n[[package.sample-attn.source]]\nname = "s"\n'
        'trust = "vendor"\nkind = "url"\nurl = ["https://host.example/sample_attn-1.0-py3-none-any.whl"]\n'
    )
    program = tmp_path / "bin" / "pipfallback"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pipfallback "$@"\n')
    program.chmod(0o755)
    environ["PATH"] = f"{program.parent}{os.pathsep}{environ['PATH']}"
    return here


# What is typed before the tabulator key, and what stands there afterwards.
TYPED = [
    ("pipfallback inst", "pipfallback install "),
    ("pipfallback install sam", "pipfallback install sample-attn "),
    ("pipfallback plan --tor", "pipfallback plan --torch "),
    ("pipfallback install --trust-l", "pipfallback install --trust-level "),
    ("pipfallback install --trust-level com", "pipfallback install --trust-level community "),
    ("pipfallback install --trust-level=com", "pipfallback install --trust-level=community "),
    ("pipfallback install -r requirements-", "pipfallback install -r requirements-dev.txt "),
    ("pipfallback install --requirement=requirements-", "pipfallback install --requirement=requirements-dev.txt "),
    ("pipfallback install -r with", "pipfallback install -r with\\ space.txt "),
    ("pipfallback install --target fo", "pipfallback install --target folder/"),
    ("pipfallback completion fi", "pipfallback completion fish "),
]
# How each shell is started, and told to show its line when Control-G is typed.
_START = {
    "bash": (
        ["--norc", "--noprofile", "-i"],
        """eval "$(pipfallback completion bash)"; bind -x '"\\C-g": printf "\\nLINE<%s>\\n" "$READLINE_LINE"'""",
    ),
    "zsh": (
        ["-f", "-i"],
        (
            """autoload -Uz compinit; compinit -u; source <(pipfallback completion zsh); show() { print -r; """
            """print -r -- "LINE<$BUFFER>" }; zle -N show; bindkey '^G' show"""
        ),
    ),
}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_tabulator_key_completes_in_a_real_shell(shell: str, place: Path, environ: dict[str, str]) -> None:
    options, setting = _START[shell]
    with Terminal([of_this_machine(shell), *options], place, environ) as terminal:
        terminal.send(f"{setting}; echo REA''DY\n")
        terminal.wait_for("READY")
        for before, after in TYPED:
            terminal.send(f"{before}\t")
            time.sleep(0.1)
            terminal.send("\x07")
            shown = terminal.wait_for(r"LINE<(.*)>")
            # After a folder's name some shells leave its slash, others a blank where it would be.
            assert shown.rstrip() == after.rstrip(), terminal.said
            terminal.send("\x15")


def test_fish_offers_the_same(place: Path, environ: dict[str, str]) -> None:
    fish = of_this_machine("fish")
    for before, after in TYPED:
        code = f"pipfallback completion fish | source; complete -C {shlex.quote(before)}"
        done = run([fish, "--no-config", "-c", code], cwd=place, env=environ)
        offered = [line.partition("\t")[0] for line in done.stdout.splitlines()]
        last = after.rstrip().removeprefix(before.rpartition(" ")[0] + " ").replace("\\", "")
        assert [word.replace("\\", "") for word in offered] == [last], done.said


def of_this_machine(shell: str) -> str:
    """The shell's program; the test is left out, and says so, where there is none."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} on this machine")
    return program


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, command: list[str], cwd: Path, environ: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**environ, "TERM": "dumb"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.said = ""
        self._seen = 0

    def __enter__(self) -> Terminal:  # noqa: PYI034 - typing.Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def send(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, pattern: str) -> str:
        """The first group of the pattern, or all of it, in what was said since the last time."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if found := re.search(pattern, self.said[self._seen :]):
                self._seen += found.end()
                return found[found.re.groups and 1]
            if select.select([self._ours], [], [], 0.2)[0]:
                self.said += os.read(self._ours, 65536).decode(errors="replace")
        pytest.fail(f"{pattern} did not appear:\n{self.said}")
