"""``pipfallback lock``: the choice as a lock file (PEP 751)."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packaging.version import Version

from pipfallback import asking
from pipfallback.asking import Asked, Question
from pipfallback.catalog import Catalog
from pipfallback.commands.starting import finish_interrupted_runs, load_catalog, online, read_command
from pipfallback.errors import UsageError
from pipfallback.locking import story, words
from pipfallback.locking.document import Locked, can_be_told_apart, name_for, not_for_pip, pylock_of, text_of
from pipfallback.locking.words import STDOUT, Wanted
from pipfallback.pip import Pip, own_pip_version
from pipfallback.report import in_words
from pipfallback.target import find_target
from pipfallback.terminal import say, teller, view

HELP = """\
Usage: pipfallback lock [options] REQUIREMENT... | -r FILE

Write what an install would add or replace to a lock file (PEP 751), with the
build that was chosen of each package that the catalog knows. `pip install -r
pylock.toml` and `uv pip install -r pylock.toml` install it without pipfallback.

  -o, --output FILE        pylock.toml (the default) or pylock.NAME.toml;
                           - for standard output
  --all                    also what the environment has already
  --environment FILE       for the machine that FILE describes (`pipfallback env
                           --json` writes one); may be repeated: one file where
                           markers tell the machines apart, else one named
                           pylock.FILE.toml for each

For a machine that differs in this:
  --torch VERSION, --cuda VERSION, --cxx11-abi true|false, --glibc VERSION,
  --python-version VERSION, --platform TAG, --driver-cuda VERSION, --gpu CC[,CC]

As in `pipfallback install`:
  --python PATH, --fallbacks FILE, --trust-level LEVEL, --same-version,
  --max-attempts N, --no-peek
"""
_WITH_PIPS = "and every option of pip's own lock:\n"
_LIKE_INSTALL = "and pip's options for indexes, constraints and requirement files (pip install --help)."
_FIRST_WITH_LOCK = Version("25.1")  # pip's changelog


def run(given: Sequence[str]) -> int:
    """Write the lock; the exit code."""
    wanted = words.read(given, os.environ)
    if wanted.command.has("--help"):
        if Version(own_pip_version()) < _FIRST_WITH_LOCK:
            say(f"{HELP}\n{_LIKE_INSTALL}")
            return 0
        say(f"{HELP}\n{_WITH_PIPS}")
        Pip(executable=sys.executable).become(["lock", "--help"])
    finish_interrupted_runs()
    catalog = load_catalog(wanted.command.own.fallbacks)
    machines = [_machine(wanted, name) for name in wanted.environments or (None,)]
    one_file = can_be_told_apart([machine.environment for machine in machines])
    labels = () if one_file else wanted.labels()
    if labels and wanted.output == STDOUT:
        raise UsageError(
            "these machines differ in what no marker tells (torch, CUDA, GPU, glibc), so that each needs a file of its own",
            hints=("-o FOLDER/pylock.toml names the folder that they come into",),
        )
    locks = _locks(wanted, catalog, machines)
    if one_file:
        _write(wanted, wanted.output, locks)
    else:
        for label, lock in zip(labels, locks, strict=True):
            _write(wanted, str(Path(wanted.output).with_name(name_for(label))), [lock])
    return 0


def _machine(wanted: Wanted, description: str | None) -> Asked:
    question = Question(
        command=wanted.command,
        arguments=(),
        json=False,
        everything=wanted.everything,
        environment=description,
        described=wanted.described,
    )
    return asking.environment_of(question, os.environ, tell=teller(wanted.command))


def _locks(wanted: Wanted, catalog: Catalog, machines: Sequence[Asked]) -> list[Locked]:
    """One after another; nothing is written before the last is done."""
    locks = []
    for name, machine in zip(wanted.environments or (None,), machines, strict=True):
        if len(machines) > 1:
            teller(wanted.command)(f"{name}: {in_words(machine.environment)}")
        locks.append(_lock(wanted, catalog, machine))
    return locks


def _lock(wanted: Wanted, catalog: Catalog, machine: Asked) -> Locked:
    command, here = wanted.command, machine.installation
    asks = read_command(command, find_target(command.own.python, os.environ))
    with (
        tempfile.TemporaryDirectory(prefix="pipfallback-") as scratch,
        online(asks.command, None if here is None else here.prefix) as net,
    ):
        task = story.Task(
            asks=asks,
            catalog=catalog,
            environment=machine.environment,
            installation=here,
            online=net,
            everything=wanted.everything,
            base=wanted.folder,
            scratch=Path(scratch),
            tell=teller(command),
        )
        with view(command).doing("asking pip and the sources"):
            return story.lock(task)


def _write(wanted: Wanted, name: str, locks: Sequence[Locked]) -> None:
    document = pylock_of(locks)
    text, told = text_of(document), teller(wanted.command)
    if without := not_for_pip(document):
        told(
            f"{', '.join(without)}: pip refuses a lock with what has no hash beside files that have one; uv installs it"
        )
    if name == STDOUT:
        say(text.removesuffix("\n"))
        return
    _replace(Path(name), text)
    names = sorted({package.name for lock in locks for package in lock.packages})
    count = "1 package" if len(names) == 1 else f"{len(names)} packages"
    machines = "; ".join(in_words(lock.environment) for lock in locks)
    told(f"{name}: {count} for {machines}")


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises UsageError where none can be written there."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"-o {path}: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
