"""uv as the installer: it takes pip's words, and what it changes can be undone as what pip changes.

uv is no Python, so nobody can watch it from inside. One install is up to three runs of it instead: its dry run says
which distributions would go; what would come is installed to a scratch folder first, by links into uv's cache, which
also fetches and builds it; then both are in the journal, and uv runs as it was asked to. Each of them may fail, and that
ends the install: none is run twice. Together they show what one run shows.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pipfallback import processes
from pipfallback._undo_log import UndoLog
from pipfallback.asks import is_lock
from pipfallback.errors import TargetError
from pipfallback.machine import Installation
from pipfallback.pip import Meeting, PipRun, Recorder
from pipfallback.requests import RequestError, read_request
from pipfallback.requirement_files import read_sheet
from pipfallback.uv_changes import Place, announce, came, keep_removed, site_packages_below
from pipfallback.uv_failures import understand_uv
from pipfallback.uv_options import Translation, translate
from pipfallback.uv_output import FETCHING, INSTALLING, PLANNING, Plan, Screen, plain, read_plan

OLDEST = Version("0.9")  # the oldest that the tests of this module passed with

_SHIM = Path(__file__).with_name("_uv_shim.py")

# uv would compile all bytecode of the environment after an install; UV_SYSTEM_PYTHON contradicts --python.
_NEVER = frozenset({"UV_COMPILE_BYTECODE", "UV_SYSTEM_PYTHON"})
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
# What does not belong to a run that only shows what would come.
_NOT_TO_SCRATCH = (
    "--dry-run",
    "--target",
    "--prefix",
    "--require-hashes",
    "--upgrade",
    "--upgrade-package",
    "--reinstall",
)


class UvError(TargetError):
    """There is no uv, or one that is too old."""

    reference = "uv-unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Uv:
    """uv for one target interpreter (``installer.Installer``). ``program``: its path."""

    program: str
    installation: Installation

    @property
    def name(self) -> str:
        """As it is called in messages."""
        return "uv"

    @property
    def executable(self) -> str:
        """The target's interpreter."""
        return self.installation.executable

    @property
    def writes_report(self) -> bool:
        """uv has no ``--report``."""
        return False

    def run(
        self,
        words: Sequence[str],
        recorder: Recorder | None = None,
        *,
        quiet: bool = False,
        variables: Mapping[str, str] | None = None,
        meeting: Meeting | None = None,
    ) -> PipRun:
        """See ``installer.Installer``; a meeting is held where the dry run names one of its packages."""
        environ = {**os.environ, **(variables or {})}
        translation = self._translated(words, environ)
        scratch = None if recorder is None else recorder.scratch
        with tempfile.TemporaryDirectory(prefix="pipfallback-", dir=scratch) as folder:
            install = _Install(self, translation, environ, Path(folder), quiet=quiet)
            return install.run(recorder, meeting)

    def become(self, words: Sequence[str]) -> NoReturn:
        """See ``installer.Installer``."""
        translation = self._translated(words, os.environ)
        command = [self.program, *self.words(translation.words(), translation.requirements)]
        environ = _environ(translation, os.environ)
        sys.stdout.flush()
        sys.stderr.flush()
        if os.name == "nt":
            sys.exit(processes.run_visibly(command, env=environ).exit_code)
        os.execve(command[0], command, environ)  # noqa: S606  (no shell is wanted)

    def words(self, options: Sequence[str], requirements: Sequence[str]) -> tuple[str, ...]:
        """The words that uv is given, without its own name."""
        return ("pip", "install", f"--python={self.executable}", *options, "--", *requirements)

    def _translated(self, words: Sequence[str], environ: Mapping[str, str]) -> Translation:
        installation = self.installation
        is_venv = installation.prefix != installation.base_prefix
        return translate(words, environ, prefix=installation.prefix, is_venv=is_venv)


class _Install:
    """One command in its runs of uv. ``folder`` is gone afterwards."""

    def __init__(
        self, uv: Uv, translation: Translation, environ: Mapping[str, str], folder: Path, *, quiet: bool
    ) -> None:
        self._uv = uv
        self._translation = translation
        self._environ = _environ(translation, environ)
        self._folder = folder
        self._quiet = quiet
        self._told: set[bytes] = set()
        self._place = _place_of(translation, uv.installation)
        self._alive: str | None = None
        self._seconds = 0.0

    def run(self, recorder: Recorder | None, meeting: Meeting | None) -> PipRun:
        """Run it; what it changes is kept by ``recorder``, or by what ``meeting`` gives."""
        whole = self._translation.words()
        if self._translation.has("--dry-run") or (recorder is None and meeting is None):
            return self._ended(self._uv_run(whole, self._screen(())))
        self._share_cache()
        if recorder is not None:
            self._note_lock(recorder)
        planned = self._uv_run((*self._words("--quiet"), "--dry-run"), self._screen(PLANNING, unasked=True))
        if planned.exit_code:
            return self._ended(planned)
        plan = read_plan(plain(planned.stderr))
        if recorder is None and meeting is not None and not plan.added.keys().isdisjoint(meeting.names):
            recorder = meeting.met()
            if recorder is None:
                return PipRun(exit_code=1, failure=None, seconds=self._seconds)
        if recorder is not None and plan.added and (failed := self._prepare(plan, recorder)) is not None:
            return self._ended(failed)
        return self._ended(self._uv_run(self._words(), self._screen(INSTALLING)))

    def _note_lock(self, recorder: Recorder) -> None:
        """Every run of uv makes this file, even one that only looks. One that is there already is locked, not written."""
        self._alive = str(recorder.recording["alive"])
        if self._place.lock.exists():
            return
        with _log_of(recorder) as log:
            log.before_writing(str(self._place.lock))

    def _prepare(self, plan: Plan, recorder: Recorder) -> processes.Finished | None:
        """Fetch what will come, and put all that will change into the journal; a run that failed, if one did."""
        self._alive = str(recorder.recording["alive"])
        scratch = self._folder / "coming"
        more = () if self._is_locked() else _wanted(plan)
        fetched = self._uv_run(self._words_to_scratch(plan, scratch), self._screen(FETCHING), more=more)
        if fetched.exit_code:
            return fetched
        with _log_of(recorder) as log:
            keep_removed(self._place, plan.removed, log)
            announce(self._place, scratch, log)
            if not plan.added.keys() <= came(self._place, scratch):
                log.before_child("python")  # what comes besides is found out afterwards
        shutil.rmtree(scratch)
        return None

    def _words(self, *without: str) -> tuple[str, ...]:
        return self._translation.words("--no-cache", *without)

    def _words_to_scratch(self, plan: Plan, scratch: Path) -> tuple[str, ...]:
        """The command for an empty folder, and for nothing but what it would bring."""
        options = self._translation.words("--no-cache", *_NOT_TO_SCRATCH)
        stays = sorted(self._place.installed().keys() - plan.added.keys())
        overrides = self._folder / "overrides.txt"
        # The one way of every uv to leave a package out: a requirement that never holds, in place of all others.
        overrides.write_text("".join(f'{name} ; python_version < "0"\n' for name in stays), encoding="utf-8")
        others = [f"--overrides={file}" for file in self._environ.get("UV_OVERRIDE", "").split()]
        place = "--target" if self._translation.has("--target") else "--prefix"
        left_out = (f"--overrides={overrides}",) if stays and not self._is_locked() else ()
        return (*options, *left_out, *others, f"{place}={scratch}", "--link-mode=symlink")

    def _is_locked(self) -> bool:
        """Whether it installs a lock: that is exact, and uv takes no further requirements and no overrides beside it."""
        return any(map(is_lock, self._translation.values("--requirements")))

    def _share_cache(self) -> None:
        """Without a cache the second run would fetch again what the first has: they get one that lasts as long as they."""
        if self._translation.has("--no-cache") or self._environ.get("UV_NO_CACHE", "").lower() in _TRUE:
            self._environ = {name: value for name, value in self._environ.items() if name != "UV_NO_CACHE"}
            self._environ["UV_CACHE_DIR"] = str(self._folder / "cache")

    def _screen(self, muted: tuple[str, ...], *, unasked: bool = False) -> Screen:
        """``unasked``: the user's ``--quiet`` was left out, since uv would not say what it plans."""
        level = self._translation.count("--quiet")
        return Screen(
            muted, self._told, errors_only=unasked and level == 1, silent=self._quiet or (unasked and level > 1)
        )

    def _uv_run(self, options: Sequence[str], screen: Screen, *, more: Sequence[str] = ()) -> processes.Finished:
        settings = json.dumps({"parent": os.getpid(), "alive": self._alive})
        requirements = (*self._translation.requirements, *more)
        words = (self._uv.program, *self._uv.words(options, requirements))
        command = (sys.executable, "-I", "-S", str(_SHIM), settings, *words)
        if self._quiet:
            done = processes.capture(command, env=self._environ)
        else:
            done = processes.run_watched(command, show=screen, env=self._environ)
        self._seconds += done.seconds
        return done

    def _ended(self, done: processes.Finished) -> PipRun:
        code = 1 if done.exit_code is None else done.exit_code
        failure = None
        if code:
            wheels = frozenset(_names_of_wheels(self._translation.requirements))
            failure = understand_uv(plain(done.stderr), code, wheels=wheels, constrained=self._constrained())
        return PipRun(exit_code=code if code >= 0 else 128 - code, failure=failure, seconds=self._seconds)

    def _constrained(self) -> frozenset[str]:
        """The names in the constraint files that can be read."""
        names = set()
        for file in self._translation.values("--constraints"):
            try:
                sheet = read_sheet(file, constraint=True, fetch=_unreachable, environ=self._environ)
            except (OSError, ValueError):
                continue
            names |= {name for _, line in sheet.walk() if (name := _name_of(line.requirement or "")) is not None}
        return frozenset(names)


@contextlib.contextmanager
def _log_of(recorder: Recorder) -> Iterator[UndoLog]:
    recording = recorder.recording
    roots = recording["roots"]
    log = UndoLog(str(recording["journal"]), str(recording["stash"]), roots if isinstance(roots, list) else ())
    try:
        yield log
    finally:
        log.close()


def _wanted(plan: Plan) -> tuple[str, ...]:
    """What of a plan comes from an index, exactly; the rest the command itself names by URL or path."""
    return tuple(f"{name}=={version}" for name, version in plan.added.items() if version is not None)


def _environ(translation: Translation, environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name not in translation.removed | _NEVER}
    return {**kept, **translation.variables}


def _place_of(translation: Translation, installation: Installation) -> Place:
    """Where it installs to. uv does not look at what else the interpreter finds."""
    if targets := translation.values("--target"):
        target = os.path.abspath(targets[-1])  # noqa: PTH100  (uv does not resolve links either)
        return Place(folders=(target,), top=target)
    if prefixes := translation.values("--prefix"):
        prefix = Path(prefixes[-1]).absolute()
        return Place(folders=tuple(map(str, site_packages_below(prefix))), top=str(prefix))
    paths = installation.paths
    own = tuple(dict.fromkeys(paths[key] for key in ("purelib", "platlib") if key in paths))
    return Place(folders=own, top=installation.prefix, paths=paths)


def _names_of_wheels(requirements: Sequence[str]) -> Iterator[str]:
    for text in requirements:
        try:
            request = read_request(text)
        except RequestError:
            continue
        if request.is_wheel and request.name is not None:
            yield request.name


def _name_of(text: str) -> str | None:
    try:
        name = read_request(text).name
    except RequestError:
        return None
    return None if name is None else canonicalize_name(name)


def _unreachable(url: str) -> bytes:
    raise OSError(url)


def find_uv(environ: Mapping[str, str], *, beside: Sequence[str] = ()) -> str:
    """The uv to run: the variable UV (uv sets it for what it runs), PATH, the folders of pipfallback and ``beside``.

    Raises UvError where there is none, or the first is older than ``OLDEST``.
    """
    for found in _candidates(environ, beside):
        version = uv_version(found)
        if version is None or version >= OLDEST:
            return found
        raise UvError(
            f"{found} is uv {version}; --installer uv needs {OLDEST} or newer",
            hints=("uv self update", "or install with pip: --installer pip"),
        )
    raise UvError(
        "--installer uv: there is no uv, neither on PATH nor beside pipfallback",
        hints=("pip install uv", "or install with pip: --installer pip"),
    )


def uv_version(program: str) -> Version | None:
    """What ``uv --version`` says; None where that is no version. Raises UvError where it cannot be run."""
    try:
        said = processes.capture([program, "--version"], timeout=30).stdout
    except OSError as error:
        raise UvError(f"{program} cannot be run: {error}") from error
    match = re.match(r"uv (\S+)", said)
    try:
        return Version(match[1]) if match else None
    except InvalidVersion:
        return None


def _candidates(environ: Mapping[str, str], beside: Sequence[str]) -> Iterator[str]:
    named = environ.get("UV")
    if named and os.access(named, os.X_OK):
        yield named
    folders = [environ.get("PATH", ""), str(Path(sys.executable).parent), *beside]
    found = shutil.which("uv", path=os.pathsep.join(folder for folder in folders if folder))
    if found is not None:
        yield found


def is_uvs_own(prefix: str) -> bool:
    """Whether uv made the virtual environment: its pyvenv.cfg has a key "uv" (uv 0.1.12 and newer)."""
    try:
        lines = Path(prefix, "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    return any(line.partition("=")[0].strip() == "uv" for line in lines)
