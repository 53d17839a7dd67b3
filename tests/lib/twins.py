"""One command line run twice: with pip, and with pipfallback in pip's place; what each printed and left behind."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from lib.program import Completed
from lib.restorable import Restorable
from lib.twin_world import World

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLES = Path(__file__).parent.parent / "twins"
# The keys of a group and of what differs on purpose; another one is a mistake in the table.
# Of each group so many cases run by default; further ones are spellings of the same, and run with `make test-matrix`.
_AT_ONCE = 3
_GROUP = frozenset({"about", "run", "pips", "files", "env", "before", "stdin", "code", "differs", "slow"})
# With one of these the same command line is another case.
_WORLDLY = frozenset({"files", "env", "before", "stdin"})
_DIFFERS = frozenset({"why", "code", "installed", "absent", "says"})

# What differs from run to run of the same program.
_VARYING = (
    (re.compile(r"(pip-[a-z-]+?|pipfallback|tmp)-?[a-z0-9_]{8}(?=[/\s'\")]|$)"), r"\1-XXXX"),  # folders of tempfile
    (re.compile(r"^\d{4}-\d\d-\d\dT[\d:,.]+ ", re.MULTILINE), "TIME "),  # --log
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s|seconds?)\b"), "N s"),
    (re.compile(r"[━╸╺ ]*[\d.]+(/[\d.]+)? [kM]?B +[\d.?]+ [kM]?B/s( eta [-\d:]+)?"), " N kB/s"),
    (re.compile(r"\|█+ *\| [\d.]+ [kM]?B +[\d.]+ [kM]?B/s"), "| N kB/s"),
    (re.compile(r"0x[0-9a-f]{6,}"), "0xN"),
    (re.compile(r"_[0-9a-f]{32}\b"), "_UUID"),  # the folder of a source under pip's build folder
)
_OWN_LINE = re.compile(r"^pipfallback: .*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Differs:
    """What is otherwise on purpose, and why. ``code`` is what pipfallback ends with.

    ``installed`` are the versions by name that are there afterwards, ``absent`` the names that are not. ``says`` is in
    what it tells.
    """

    why: str
    code: int
    installed: Mapping[str, str] = field(default_factory=dict)
    absent: Sequence[str] = ()
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One command line with its files. ``code`` is what pip itself ends with: a case shows what it is meant to show."""

    name: str
    line: str
    pip: str
    code: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    stdin: str = ""
    slow: bool = False
    differs: Differs | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing managed and nothing of ours takes part, so that the catalog of these cases is not needed."""
        said = f"{self.line} {self.files} {self.env} {self.before} {self.stdin}"
        return self.differs is None and "managed" not in said and "PIPFALLBACK" not in said

    @property
    def is_quiet(self) -> bool:
        """Whether -q was given, in any spelling."""
        return any(re.match(r"--quiet$|-[a-zA-Z]*q", word) for word in self.line.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How one of the two ended. ``left`` maps what changed in the environment and the working directory to contents."""

    done: Completed
    left: Mapping[str, str]

    @property
    def stdout(self) -> str:
        """Standard output, as it is in every run."""
        return steady(self.done.stdout)

    @property
    def stderr(self) -> str:
        """Standard error, as it is in every run, without the lines that are pipfallback's own."""
        return steady(_OWN_LINE.sub("", self.done.stderr))

    @property
    def own_lines(self) -> list[str]:
        """The lines that are pipfallback's own."""
        return _OWN_LINE.findall(self.done.stderr)

    def installed(self, name: str) -> str | None:
        """The version that a distribution has now where it changed, from the name of its folder."""
        pattern = re.compile(rf"/{name.replace('-', '_')}-([^/]+)\.dist-info/METADATA$", re.IGNORECASE)
        found = [match[1] for path in self.left if (match := pattern.search(path))]
        return found[0] if found else None


def cases() -> Iterator[Case]:
    """All cases of all tables. Raises ValueError for a mistake in a table."""
    for file in sorted(TABLES.glob("*.toml")):
        for group in tomllib.loads(file.read_text(encoding="utf-8"))["group"]:
            yield from _cases_of(file.stem, group)


def _cases_of(table: str, group: dict[str, Any]) -> Iterator[Case]:
    differs = group.get("differs")
    unknown = (group.keys() - _GROUP) | ((differs or {}).keys() - _DIFFERS)
    if unknown:
        raise ValueError(f"{table}: {group.get('about')}: no such key: {', '.join(sorted(unknown))}")
    for place, (line, pip) in enumerate(product(group["run"], group.get("pips", ["26.3"]))):
        yield Case(
            name=f"{table}: {line}" + (f" [{group['about']}]" if _WORLDLY & group.keys() else ""),
            line=line,
            pip=pip,
            code=group.get("code", 0),
            files=group.get("files", {}),
            env=group.get("env", {}),
            before=tuple(group.get("before", ())),
            stdin=group.get("stdin", ""),
            slow=group.get("slow", False) or place >= _AT_ONCE,
            differs=None if differs is None else Differs(**{"code": group.get("code", 0), **differs}),
        )


def steady(text: str) -> str:
    """The text without what differs from run to run of the same program."""
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    return text


def see(world: World, case: Case, program: list[str]) -> Seen:
    """Run the case with a program, ``[python, "-m", "pip"]`` or pipfallback, in the world as it was."""
    environ = world.begin(case.files)
    if case.is_plain:
        del environ["PIPFALLBACK_FALLBACKS"]  # so that it goes straight to pip (commands/straight.py)
    for name, value in case.env.items():
        environ[name] = world.filled(value)
        if not value:
            del environ[name]
    pip = [str(world.python), "-m", "pip"]
    for line in case.before:
        _run([*pip, *shlex.split(world.filled(line))], world, environ, "", check=True)
    done = _run([*program, *shlex.split(world.filled(case.line))], world, environ, world.filled(case.stdin))
    return Seen(done=done, left=dict([*_left(world.prefix), *_left(world.work)]))


def _run(command: list[str], world: World, environ: Mapping[str, str], stdin: str, *, check: bool = False) -> Completed:
    done = subprocess.run(
        command,
        cwd=world.work.path,
        env=dict(environ),
        input=stdin.encode(),
        capture_output=True,
        timeout=120,
        check=check,
    )
    return Completed(
        code=done.returncode,
        stdout=done.stdout.decode("utf-8", "replace"),
        stderr=done.stderr.decode("utf-8", "replace"),
    )


def _left(place: Restorable) -> Iterator[tuple[str, str]]:
    """What changed, with contents that are the same for the same change."""
    return ((f"{place.path.name}/{name}", _content(name, path)) for name, path in _changed(place))


def _changed(place: Restorable) -> Iterator[tuple[str, Path | None]]:
    """Without git's own files, which know times."""
    return ((name, path) for name, path in sorted(place.changed().items()) if "/.git/" not in f"/{name}/")


def _content(name: str, path: Path | None) -> str:
    if path is None:
        return "gone"
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if path.is_dir():
        return "folder"
    mode = f"{path.stat().st_mode & 0o777:o} "
    if name.endswith(".pyc"):  # holds its source's time
        return mode + "bytecode"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return mode + repr({each.filename: each.CRC for each in archive.infolist()})
    return mode + steady(path.read_bytes().decode("utf-8", "backslashreplace"))
