"""A command that plainly names nothing of the catalog goes straight to pip, as it is seen from its words alone.

To import what takes a command apart takes a third of the time that pip needs for all of an install. So it is imported
where it is needed: when pip meets a managed package, or fails. Whatever is not plain here goes the whole way, where it
is read properly: an own option, a requirement file, a setting that names packages, another catalog, an unfinished run.
"""

from __future__ import annotations

import os
import sys

from pipfallback import pip_options
from pipfallback.active import active_python, seems_to_have_pip
from pipfallback.builtin_names import FILE_NAME, builtin_names
from pipfallback.pip_files import config_files
from pipfallback.user_folders import transaction_folders, user_folder

TYPE_CHECKING = False  # typing's own is half of Python's start-up
if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

# pipfallback's own options: with one of them nothing is plain (arguments.py reads them).
OWN = frozenset({
    "--allow-build", "--allow-torch-change", "--driver-cuda", "--explain", "--fail-on-fallback", "--fallbacks",
    "--gpu", "--installer", "--keep-torch", "--lock", "--max-attempts", "--no-fallback", "--no-peek", "--no-verify",
    "--outcome", "--python", "--same-version", "--trust-level", "--verify", "--verify-timeout",
})  # fmt: skip

# pip's options that name packages, or that make something else of an install; and those of them that are settings, too.
_SETTINGS = ("constraint", "dry-run", "editable", "group", "requirement")
_TELLING = frozenset({
    "--dry-run", "--editable", "--group", "--help", "--requirement", "--requirements-from-script", "--version",
})  # fmt: skip
# Short options without a value; and those with one, which follows.
_FLAGS, _VALUES = frozenset("IUqv"), frozenset({"-c", "-f", "-i", "-t"})

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_REST = _NAME | frozenset(" ,<=>!~*+[]")  # extras and specifiers (PEP 508), no URL and no marker
_ARCHIVES = (".whl", ".zip", ".gz", ".bz2", ".tgz", ".tar", ".xz", ".toml", ".txt")


def straight(words: Sequence[str], commands: Container[str]) -> int | None:
    """Let pip do a command that is plainly its own; the exit code, None where it is not plain (or does not return).

    ``commands``: those that are not pip's.
    """
    if not words or words[0].startswith("-") or not _is_plain_here(os.environ):
        return None
    executable = active_python(os.environ)
    if executable is None or not os.path.isabs(executable) or not seems_to_have_pip(executable):
        return None
    if words[0] not in commands:
        if any(word.partition("=")[0] in OWN for word in words):
            return None
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(executable, [executable, "-m", "pip", *words])  # noqa: S606  (no shell is wanted)
    if words[0] != "install" or _are_settings_telling(os.environ, os.path.dirname(os.path.dirname(executable))):
        return None
    asked, managed = names_in(words[1:]), builtin_names()
    if not asked or not managed.isdisjoint(asked):
        return None
    from pipfallback.commands.watched import install_watched  # start-up: not for what only becomes pip

    return install_watched(words, executable, managed)


def _is_plain_here(environ: Mapping[str, str]) -> bool:
    """Whether nothing but the words decides: no own variable, no other catalog, nothing to put back, paths as on Linux."""
    if sys.platform != "linux" or "ANDROID_DATA" in environ or any(name.startswith("PIPFALLBACK_") for name in environ):
        return False
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        return False
    catalogs = (os.path.join(user_folder(environ, "XDG_CONFIG_HOME", ".config"), FILE_NAME), FILE_NAME)
    return not any(map(os.path.exists, catalogs)) and not any(map(_has_entries, transaction_folders(environ)))


def _has_entries(folder: str) -> bool:
    try:
        return bool(os.listdir(folder))
    except OSError:
        return False


def _are_settings_telling(environ: Mapping[str, str], prefix: str) -> bool:
    """Whether a setting of pip's may name packages, or make something else of an install."""
    settings = [(name[4:], value) for name, value in environ.items() if name.startswith("PIP_")]
    for path in config_files(environ, prefix=prefix):
        settings += _settings(_lines(path))
    for key, value in settings:
        option = key.strip().lower().replace("_", "-").lstrip("-")
        if option == "constraint" and value.split() and all(map(_is_plain_constraints, value.split())):
            continue
        if option.startswith(_SETTINGS):
            return True
    return False


def _settings(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(key, value) of each line of a pip.conf that could be a setting; no value where it goes on in the next line."""
    for place, line in enumerate(lines):
        key, _, value = line.replace(":", "=", 1).partition("=")
        yield key, "" if place + 1 < len(lines) and lines[place + 1][:1] in {" ", "\t"} else value


def _is_plain_constraints(path: str) -> bool:
    """Whether a file of constraints asks for nothing itself (with a ``-r``) and includes no other."""
    lines = _lines(path)
    return bool(lines) and not any(line.lstrip().startswith("-") for line in lines)


def _lines(path: str) -> list[str]:
    if not os.path.exists(path):
        return []
    try:
        with open(path, encoding="utf-8") as file:
            return file.readlines()
    except (OSError, ValueError):
        return []  # pip itself complains of it


def names_in(words: Sequence[str]) -> frozenset[str] | None:
    """The packages that the words of an install ask for (PEP 503); None where that is not plain."""
    names = set()
    rest = iter(words)
    for word in rest:
        if (word.startswith("--") and word != "--") or word in _VALUES:
            if not _is_plain_option(word, rest):
                return None
        elif word.startswith("-"):
            if word == "-" or not _FLAGS.issuperset(word[1:]):
                return None
        elif (name := _name_in(word)) is not None:
            names.add(name)
        else:
            return None
    return frozenset(names)


def _is_plain_option(word: str, rest: Iterator[str]) -> bool:
    """Whether an option asks for nothing; its value is taken from the rest."""
    option, equals, value = word.partition("=")
    if option in _TELLING or option in OWN:
        return False
    if option in pip_options.TAKES_VALUE and not equals:
        value = next(rest, "")
    if option in {"-c", "--constraint"}:
        return _is_plain_constraints(value)
    return option in pip_options.TAKES_VALUE or option in pip_options.FLAGS


def _name_in(word: str) -> str | None:
    """The name in one requirement: a bare name with extras and specifiers, or the path of a wheel."""
    if word.endswith(".whl") and _NAME.union("/+!").issuperset(word):
        name, dash, _ = word.rpartition("/")[2].partition("-")
        return normalized(name) if dash and name else None
    name = word
    for mark in " ,<=>!~*+[]":
        name = name.partition(mark)[0]
    if not name or not _NAME.issuperset(name) or not _REST.issuperset(word) or name.lower().endswith(_ARCHIVES):
        return None
    return None if name.startswith(".") else normalized(name)


def normalized(name: str) -> str:
    """PEP 503, without the regular expression that it is written as: that alone is 7 ms of start-up."""
    return "-".join(filter(None, name.lower().replace("_", "-").replace(".", "-").split("-")))
