"""Where pip looks for its settings, by paths alone.

Source: pip documentation, "Configuration"; where that is silent, pip's ``_internal/configuration.py`` (26.3).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing's own is half of Python's start-up
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NAME = "pip.ini" if sys.platform == "win32" else "pip.conf"


def config_files(environ: Mapping[str, str], *, prefix: str | None = None, isolated: bool = False) -> tuple[str, ...]:
    """The files that pip looks for, least important first: of the machine, of the user, of the target, the named one.

    ``prefix``: the target's ``sys.prefix``; ``isolated``: pip's ``--isolated``. PIP_CONFIG_FILE=/dev/null
    (``os.devnull``) switches all of them off; any other file that exists takes the place of the user's.
    """
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return ()
    folders = list(_machine_folders(environ))
    if not isolated and not (named and os.path.exists(named)):
        old = os.path.join(_home(environ), "pip" if sys.platform == "win32" else ".pip")
        folders += [old, _user_folder(environ)]
    if prefix is not None:
        folders.append(prefix)
    files = [os.path.join(folder, _NAME) for folder in folders]
    return (*files, named) if named else tuple(files)


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def _user_folder(environ: Mapping[str, str]) -> str:
    if sys.platform == "win32":
        return os.path.join(environ.get("APPDATA") or _home(environ), "pip")
    if sys.platform == "darwin":
        library = os.path.join(_home(environ), "Library", "Application Support", "pip")
        return library if os.path.isdir(library) else os.path.join(_home(environ), ".config", "pip")
    said = environ.get("XDG_CONFIG_HOME", "")
    return os.path.join(said if said.strip() else os.path.join(_home(environ), ".config"), "pip")


def _machine_folders(environ: Mapping[str, str]) -> Iterator[str]:
    if sys.platform == "win32":
        yield os.path.join(environ.get("PROGRAMDATA") or "C:\\ProgramData", "pip")
        return
    if sys.platform == "darwin":
        yield "/Library/Application Support/pip"
        return
    said = environ.get("XDG_CONFIG_DIRS", "")
    for folder in (said if said.strip() else "/etc/xdg").split(os.pathsep):
        yield os.path.join(folder, "pip")
    yield "/etc"
