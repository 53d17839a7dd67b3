"""The texts of ``--help``, and our own options as data: what a person reads is what the shell completes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Takes: TypeAlias = Literal["nothing", "file", "folder", "text"]

_WIDTH = 80
_COLUMN = 27


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of our own. ``value`` is what stands for its value in the text, ``choices`` what it may be.

    ``takes`` says what the value names, so that a shell can offer it. ``only`` are the commands that have it; without:
    all three.
    """

    name: str
    text: str
    value: str = ""
    takes: Takes = "nothing"
    choices: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()

    def belongs_to(self, command: str) -> bool:
        """Whether a command has it."""
        return not self.only or command in self.only


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Options that belong together."""

    title: str
    options: tuple[Option, ...]


TRUST_LEVELS = ("official", "vendor", "community")
INSTALLERS = ("pip", "uv")

_INSTALL = frozenset({"install"})
# pip wheel has an option --no-verify of its own, and nothing is imported that is only fetched.
_SECTIONS = (
    Section(
        title="Where it goes, and where builds come from",
        options=(
            Option(
                name="--python",
                value="PATH",
                takes="file",
                text="the interpreter to serve: a program, an environment's folder, or a name on PATH "
                "(default: the active environment)",
            ),
            Option(
                name="--fallbacks",
                value="FILE",
                takes="file",
                text="a fallbacks.toml to use besides the built-in one; may be repeated",
            ),
            Option(
                name="--lock",
                value="FILE",
                takes="file",
                only=_INSTALL,
                text="take the builds that this lock file (pipfallback lock) names, and ask no listing",
            ),
            Option(
                name="--installer",
                value="NAME",
                takes="text",
                choices=INSTALLERS,
                only=_INSTALL,
                text="what installs: pip or uv (default: the environment's own)",
            ),
        ),
    ),
    Section(
        title="Which builds may be taken",
        options=(
            Option(
                name="--trust-level",
                value="LEVEL",
                takes="text",
                choices=TRUST_LEVELS,
                text="whose builds: official, vendor (default) or community",
            ),
            Option(name="--same-version", text="no other version than that of the wheel asked for"),
            Option(
                name="--max-attempts",
                value="N",
                takes="text",
                text="how many builds to try before giving up (default: 5)",
            ),
            Option(name="--allow-build", text="let pip build a package of the catalog from its sources"),
            Option(name="--no-fallback", text="take no other build (an install is checked all the same)"),
            Option(
                name="--fail-on-fallback",
                text="exit with an error where another build than pip's own choice was needed",
            ),
            Option(name="--no-peek", text="do not read parts of remote wheels before one is chosen"),
        ),
    ),
    Section(
        title="What is checked",
        options=(
            Option(name="--verify", only=_INSTALL, text="import what was installed (default)"),
            Option(name="--no-verify", only=_INSTALL, text="do not"),
            Option(
                name="--verify-timeout",
                value="S",
                takes="text",
                only=_INSTALL,
                text="give up on an import after S seconds (default: 120)",
            ),
        ),
    ),
    Section(
        title="torch, and the machine that will run it",
        options=(
            Option(
                name="--keep-torch",
                only=_INSTALL,
                text="never let pip change the installed torch, even where no build fits it",
            ),
            Option(name="--allow-torch-change", only=_INSTALL, text="let pip change the installed torch at once"),
            Option(
                name="--gpu",
                value="CC[,CC]",
                takes="text",
                text="its GPUs, as compute capabilities: 8.9,9.0 (default: those that are here)",
            ),
            Option(
                name="--driver-cuda",
                value="VERSION",
                takes="text",
                text="the newest CUDA that its driver supports: 12.8 (default: what the driver here says)",
            ),
        ),
    ),
    Section(
        title="What is told",
        options=(
            Option(name="--explain", text="list the builds that were considered, with the reasons"),
            Option(name="--outcome", value="FILE", takes="file", only=_INSTALL, text="write what happened as JSON"),
        ),
    ),
)

# command -> (what it takes, what it does). In the order in which a person meets them.
OWN_COMMANDS = {
    "install": ("REQUIREMENT...", "as pip install, with the fallback"),
    "download": ("REQUIREMENT...", "as pip download, with the same choice of builds"),
    "wheel": ("REQUIREMENT...", "as pip wheel, with the same choice of builds"),
    "plan": ("REQUIREMENT...", "what would be tried, in order, and why the rest not"),
    "explain": ("WHEEL...", "why a wheel (name, URL or path) does or does not fit"),
    "env": ("", "the environment as it is seen"),
    "verify": ("[NAME...]", "whether what is installed works"),
    "lock": ("REQUIREMENT...", "the choice as a lock file, with URLs and hashes"),
    "dockerfile": ("FILE", "what the install lines of a Dockerfile will meet"),
    "catalog": ("ACTION ...", "check, list and extend the files that know the builds"),
    "completion": ("SHELL", "the script with which bash, zsh or fish completes it"),
    "help": ("TOPIC", "of a command, or of an error by its reference (see: ...)"),
}

_ABOUT = """\
pip install that does not stop at the first wheel that will not do: where pip
refuses a wheel, cannot get it, or installs one that does not import, the other
builds of that package are tried, best first, and only one that imports is kept.
"""

_EXAMPLES = {
    "": (
        ("pipfallback install flash-attn", "also in a Dockerfile"),
        ("pipfallback plan flash-attn", "what would be tried here"),
        ("pipfallback plan flash-attn --torch 2.7.1", "and with another torch"),
        ("pipfallback verify", "does it work?"),
    ),
    "install": (
        ("pipfallback install flash-attn", ""),
        ("pipfallback install -r requirements.txt --gpu 8.9", ""),
        ("pipfallback install --trust-level community mamba-ssm==2.2.4", ""),
        ("pipfallback install --python /opt/venv --outcome outcome.json flash-attn", ""),
    ),
    "download": (("pipfallback download -d wheels flash-attn", ""),),
    "wheel": (("pipfallback wheel -w wheels flash-attn", ""),),
}


def options_of(command: str) -> tuple[Option, ...]:
    """Our own options of ``install``, ``download`` or ``wheel``."""
    return tuple(option for section in _SECTIONS for option in section.options if option.belongs_to(command))


def overview() -> str:
    """What ``pipfallback --help`` prints."""
    lines = ["Usage: pipfallback COMMAND [options] ...", "", *_ABOUT.splitlines(), "", "Commands:"]
    for name, (takes, text) in OWN_COMMANDS.items():
        lines += _entry(f"{name} {takes}".rstrip(), text)
    lines += _entry("any other", "is pip's: list, uninstall, freeze, ... (pip help)")
    lines += ["", "Options:"]
    lines += _entry("--python PATH", "the interpreter to serve (default: the active environment)")
    lines += _entry("-V, --version", "the version of pipfallback")
    lines += _entry("-h, --help", "this text; behind a command: its own")
    return "\n".join([*lines, *_examples("")]) + "\n"


def command_help(command: str) -> str:
    """What ``pipfallback install --help`` (or of ``download`` or ``wheel``) prints before pip's own text."""
    usage = f"Usage: pipfallback {command} [pipfallback's and pip's options] REQUIREMENT..."
    about = {
        "install": "As pip install, but it does not stop at the first wheel that will not do: where pip refuses a wheel, "
        "cannot get it, or installs one that does not import, the other builds of that package are tried, best first. "
        "Exit code 0 means that it imports; otherwise everything is as it was before.",
        "download": "As pip download: where pip cannot get a wheel for this environment, the best other build of that "
        "package is fetched. Nothing is installed or imported.",
        "wheel": "As pip wheel: where pip finds no wheel for this environment, the best other build of that package is "
        "taken. Nothing is installed or imported.",
    }[command]
    lines = [usage, "", *textwrap.wrap(about, _WIDTH)]
    for section in _SECTIONS:
        options = [option for option in section.options if option.belongs_to(command)]
        if options:
            lines += ["", f"{section.title}:"]
        for option in options:
            lines += _entry(f"{option.name} {option.value}".rstrip(), option.text)
    lines += ["", *textwrap.wrap(_VARIABLES, _WIDTH), *_examples(command)]
    return "\n".join([*lines, "", f"All options of pip {command} hold as well:"]) + "\n"


_VARIABLES = (
    "Each of these can be given as a variable: PIPFALLBACK_TRUST_LEVEL=community; PIPFALLBACK_NO_PEEK=1. "
    "The last one given on the command line counts."
)


def _examples(command: str) -> Iterator[str]:
    yield from ("", "Examples:")
    for line, comment in _EXAMPLES[command]:
        yield f"  {line:<48}  # {comment}" if comment else f"  {line}"


def _entry(left: str, text: str) -> Iterable[str]:
    """An option or command and what it does, the text in a column of its own."""
    wrapped = textwrap.wrap(text, _WIDTH - _COLUMN)
    head = f"  {left}"
    if len(head) > _COLUMN - 2:
        return [head, *(f"{'':{_COLUMN}}{line}" for line in wrapped)]
    return [f"{head:<{_COLUMN}}{wrapped[0]}", *(f"{'':{_COLUMN}}{line}" for line in wrapped[1:])]


HELP = overview()
