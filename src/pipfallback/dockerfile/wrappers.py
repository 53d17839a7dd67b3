"""Programs that run the command behind their own words: sudo, env, timeout, ``conda run`` and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipfallback.dockerfile.installs import UNKNOWN, Piece

ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=")
# Programs that run the command behind their own words -> which of their options take a value.
_WRAPPERS: Mapping[str, frozenset[str]] = {
    "sudo": frozenset({"-u", "-g", "-h", "-p", "-C", "-U", "-r", "-t", "-D"}),
    "env": frozenset({"-u", "-C", "--unset", "--chdir"}),
    "nice": frozenset({"-n"}),
    "ionice": frozenset({"-c", "-n"}),
    "stdbuf": frozenset({"-i", "-o", "-e"}),
    "timeout": frozenset({"-k", "-s", "--kill-after", "--signal"}),
    "exec": frozenset({"-a"}),
    "command": frozenset(),
    "nohup": frozenset(),
    "time": frozenset({"-f", "-o"}),
    "gosu": frozenset(),
    "su-exec": frozenset(),
    "xargs": frozenset({"-a", "-d", "-E", "-I", "-L", "-n", "-P", "-s"}),
}
_BEHIND_ARGUMENT = frozenset({"timeout", "gosu", "su-exec"})  # one word of their own comes before the command
CONDAS = frozenset({"conda", "mamba", "micromamba"})
CONDA_OPTIONS = frozenset({"-n", "--name", "-p", "--prefix", "--cwd"})
# They run a command in an environment of a project, whose Python the Dockerfile does not tell.
_PROJECTS = frozenset({"uv", "poetry", "pipenv", "pdm", "rye"})
_PROJECT_RUN = frozenset({"-p", "--python", "--with", "--extra", "--group", "--project", "--directory", "-C"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwrapped:
    """The command itself. ``conda``: the environment that it runs in; ``fed``: words come to it from a pipe (xargs)."""

    words: Sequence[Piece]
    conda: str | None = None
    fed: bool = False


def unwrapped(words: Sequence[Piece]) -> Unwrapped:
    """The command that the programs before it run, through any number of them."""
    found = Unwrapped(words=words)
    while (inner := _one_less(found)) is not None:
        found = inner
    return found


def _one_less(command: Unwrapped) -> Unwrapped | None:
    words = command.words
    name = (words[0].value or "").rpartition("/")[2] if words else ""
    runs = len(words) > 1 and words[1].value == "run"
    if name in CONDAS and runs:
        rest, options = _behind_options(words[2:], CONDA_OPTIONS)
        named = [options[option] for option in ("-n", "--name", "-p", "--prefix") if option in options]
        return replace(command, words=rest, conda=named[0] if named else command.conda)
    if name in _PROJECTS and runs:
        return replace(command, words=_behind_options(words[2:], _PROJECT_RUN)[0], conda=f"{UNKNOWN}{name}")
    if name not in _WRAPPERS:
        return None
    rest, _ = _behind_options(words[1:], _WRAPPERS[name])
    rest = rest[1:] if name in _BEHIND_ARGUMENT else rest
    while name in {"sudo", "env"} and rest and ASSIGNMENT.match(rest[0].raw):
        rest = rest[1:]
    return replace(command, words=rest, fed=command.fed or name == "xargs")


def _behind_options(words: Sequence[Piece], valued: frozenset[str]) -> tuple[Sequence[Piece], Mapping[str, str]]:
    """What follows the options of a program, and the values of those that take one."""
    values: dict[str, str] = {}
    at = 0
    while at < len(words) and (word := words[at].value or "").startswith("-"):
        name, equals, attached = word.partition("=")
        at += 1
        if word == "--":
            break
        if equals:
            values[name] = attached
        elif name in valued and at < len(words):
            values[name] = words[at].value or ""
            at += 1
    return words[at:], values
