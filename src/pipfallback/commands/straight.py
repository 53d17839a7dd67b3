"""A command that plainly is pip's goes straight to pip, as it is seen from its words alone.

To import what takes a command apart takes a third of the time that pip needs for all of an install. So it is imported
where it is needed, when pip meets a managed package, or fails; where one is asked for by name, while pip resolves and
downloads. Whatever is not plain here goes the whole way, where it is read properly: most own options, a requirement
file, a setting that names packages, an unfinished run, a catalog in unusual TOML.
"""

from __future__ import annotations

import os
import sys

from pipfallback import pip_options
from pipfallback.active import active_python, seems_to_have_pip
from pipfallback.builtin_names import FILE_NAME, builtin_names, builtin_path, plain_names
from pipfallback.commands.plain_words import HARMLESS, OWN, is_plain_constraints, lines_of, read_plainly
from pipfallback.pip_files import config_files
from pipfallback.torch_family import TORCH_FAMILY
from pipfallback.user_folders import transaction_folders, user_folder

TYPE_CHECKING = False  # typing's own is half of Python's start-up
if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

# Settings of pip's that name packages, or that make something else of an install.
_SETTINGS = ("constraint", "dry-run", "editable", "group", "requirement")


def straight(words: Sequence[str], commands: Container[str]) -> int | None:
    """Let pip do a command that is plainly its own; the exit code, None where it is not plain (or does not return).

    ``commands``: those that are not pip's.
    """
    if not words or words[0].startswith("-") or not _is_plain_here(os.environ):
        return None
    executable = active_python(os.environ)
    if executable is None or not os.path.isabs(executable) or not seems_to_have_pip(executable):
        return None
    if words[0] in commands:
        return _straight_install(words, executable) if words[0] == "install" else None
    if words[0] in pip_options.COMMANDS and not any(word.partition("=")[0] in OWN for word in words):
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(executable, [executable, "-m", "pip", *words])  # noqa: S606  (no shell is wanted)
    return None


def _straight_install(words: Sequence[str], executable: str) -> int | None:
    asked = read_plainly(words[1:])
    if asked is None or not asked.names:
        return None
    managed = names_of_catalogs(asked.catalogs)
    if managed is None:
        return None
    expected = not managed.isdisjoint(asked.names)
    settings = list(_settings_here(os.environ, os.path.dirname(os.path.dirname(executable))))
    if are_telling(settings) or (asked.own and not expected):
        return None
    if expected and not (asked.harmless and are_harmless(settings) and asked.names.isdisjoint(TORCH_FAMILY)):
        return None
    from pipfallback.commands.watched import install_watched  # start-up: not for what only becomes pip

    return install_watched(words, asked.words, executable, managed, expected=expected)


def _is_plain_here(environ: Mapping[str, str]) -> bool:
    """Whether nothing but the words decides: no own variable, nothing to put back, paths as on Linux."""
    if sys.platform != "linux" or "ANDROID_DATA" in environ or any(name.startswith("PIPFALLBACK_") for name in environ):
        return False
    return environ.get("HOME", "").startswith("/") and not any(map(_has_entries, transaction_folders(environ)))


def _has_entries(folder: str) -> bool:
    try:
        return bool(os.listdir(folder))
    except OSError:
        return False


def names_of_catalogs(files: Sequence[str]) -> frozenset[str] | None:
    """The packages that the catalogs in force name (catalog_files.layers); None where that is not plain."""
    names = builtin_names()
    here = (os.path.join(user_folder(os.environ, "XDG_CONFIG_HOME", ".config"), FILE_NAME), FILE_NAME)
    for path in (*filter(os.path.exists, here), *files):
        if os.path.realpath(path) == os.path.realpath(builtin_path()):
            continue
        found = plain_names(path)
        if found is None:
            return None
        names |= found
    return names


def _settings_here(environ: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    """(option without dashes, value) of pip's settings, of its environment variables and of its files."""
    for name, value in environ.items():
        if name.startswith("PIP_"):
            yield _option(name[4:]), value
    for path in config_files(environ, prefix=prefix):
        for key, value in _settings(lines_of(path)):
            yield _option(key), value


def _option(key: str) -> str:
    return key.strip().lower().replace("_", "-").lstrip("-")


def _settings(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(key, value) of each line of a pip.conf that could be a setting; no value where it goes on in the next line."""
    for place, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith(("[", "#", ";")):
            continue
        key, _, value = line.replace(":", "=", 1).partition("=")
        yield key, "" if place + 1 < len(lines) and lines[place + 1][:1] in {" ", "\t"} else value


def are_telling(settings: Sequence[tuple[str, str]]) -> bool:
    """Whether a setting of pip's may name packages, or make something else of an install."""
    for option, value in settings:
        if option == "constraint" and value.split() and all(map(is_plain_constraints, value.split())):
            continue
        if option.startswith(_SETTINGS):
            return True
    return False


def are_harmless(settings: Sequence[tuple[str, str]]) -> bool:
    """Whether none of pip's settings changes where an install goes, or for which machine."""
    return all(option in HARMLESS for option, _ in settings)
