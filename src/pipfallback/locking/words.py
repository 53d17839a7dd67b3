"""The command line of ``lock``: pip's own options of ``pip lock``, ours, and those that describe another machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipfallback import pip_options
from pipfallback.arguments import CommandLine, parse
from pipfallback.asking import DESCRIBING
from pipfallback.errors import UsageError
from pipfallback.locking.document import is_lock_name, name_for

# What ``pip lock`` takes besides pip's general options (pip 26.3, ``create_command("lock").parser``); a test compares.
OPTIONS = frozenset({
    "--all-releases", "--build-constraint", "--check-build-dependencies", "--config-settings", "--constraint",
    "--editable", "--extra-index-url", "--find-links", "--group", "--ignore-requires-python", "--index-url",
    "--no-binary", "--no-build-isolation", "--no-clean", "--no-deps", "--no-index", "--no-require-hashes",
    "--only-binary", "--only-deps", "--only-final", "--pre", "--prefer-binary", "--progress-bar", "--refresh-package",
    "--require-hashes", "--requirement", "--requirements-from-script", "--src", "--uploaded-prior-to",
    "--use-pep517",
})  # fmt: skip
GENERAL = frozenset(map(pip_options.canonical, pip_options.GENERAL_VALUE | pip_options.GENERAL_FLAG))
STDOUT = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One ``lock``. ``command``: pip's words and our options of every command; ``output``: where the lock is to go.

    ``environments``: the files of ``--environment``; ``described``: the values of the options that describe a machine.
    """

    command: CommandLine
    output: str = "pylock.toml"
    everything: bool = False
    environments: tuple[str, ...] = ()
    described: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the lock is to lie; the working directory for standard output."""
        return Path.cwd() if self.output == STDOUT else Path(self.output).absolute().parent

    def labels(self) -> tuple[str, ...]:
        """A name for each description: its file's, without the ending. Raises UsageError where two have the same."""
        labels = tuple(Path(name).stem for name in self.environments)
        named = [name_for(label) for label in labels]
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise UsageError(
                f"two of the files of --environment would both be locked in {twice}",
                hints=("each lock is named after its description: give the files different names",),
            )
        return labels


def read(words: Sequence[str], environ: Mapping[str, str]) -> Wanted:
    """Read the command line. Raises UsageError."""
    own = _Own()
    command = parse(list(own.without(words)), environ)
    wanted = Wanted(
        command=command,
        output=own.output,
        everything=own.everything,
        environments=tuple(dict.fromkeys(own.environments)),
        described=own.described,
    )
    if command.has("--help", "--version"):
        return wanted
    _check(wanted)
    return wanted


def _check(wanted: Wanted) -> None:
    for item in wanted.command.items:
        if item.kind == "option" and item.name not in OPTIONS | GENERAL:
            raise UsageError(f"lock has no option {item.name}", hints=("pipfallback lock --help",))
    if wanted.output != STDOUT and not is_lock_name(Path(wanted.output).name):
        raise UsageError(
            f"-o {wanted.output}: installers know a lock by its name",
            hints=("pylock.toml or pylock.NAME.toml, NAME without a dot (PEP 751)",),
        )
    if wanted.output != STDOUT and not (wanted.folder.is_dir() and os.access(wanted.folder, os.W_OK)):
        raise UsageError(f"-o {wanted.output}: no file can be written in {wanted.folder}")
    if not wanted.command.wanted:
        raise UsageError("lock needs something to lock: a requirement, or -r FILE", hints=("pipfallback lock --help",))


@dataclass(slots=True)
class _Own:
    """Takes what is not pip's out of the words."""

    output: str = "pylock.toml"
    everything: bool = False
    environments: list[str] = field(default_factory=list)
    described: dict[str, str] = field(default_factory=dict)

    def without(self, words: Sequence[str]) -> Iterator[str]:
        """The words that are left."""
        rest = iter(words)
        for word in rest:
            if word == "--":
                yield word
                yield from rest
            elif not self._take(word, rest):
                yield word
                # The value of one of pip's options is none of our words, whatever it looks like.
                if word in pip_options.TAKES_VALUE and (value := next(rest, None)) is not None:
                    yield value

    def _take(self, word: str, rest: Iterator[str]) -> bool:
        """Take a word that is ours, with its value; whether it is."""
        if word == "--all":
            self.everything = True
            return True
        if word.startswith("-o"):
            self.output = _value("-o", word[2:].removeprefix("=") or next(rest, None))
            return True
        option, equals, attached = word.partition("=")
        name = _long_name(option)
        if name is None:
            return False
        value = _value(option, attached if equals else next(rest, None))
        if name == "output":
            self.output = value
        elif name == "environment":
            self.environments.append(value)
        else:
            self.described[name] = value
        return True


def _long_name(option: str) -> str | None:
    """The name of a long option that is not pip's to read; None of any other."""
    if option.startswith("--ou") and "--output".startswith(option):  # pip takes any unique beginning
        return "output"
    name = option[2:] if option.startswith("--") else ""
    return name if name == "environment" or name in DESCRIBING else None


def _value(option: str, value: str | None) -> str:
    if not value:
        raise UsageError(f"{option} needs a value", hints=("pipfallback lock --help",))
    return value
