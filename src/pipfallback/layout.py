"""Which folders one command installs to: the target's own site-packages, ``--user``, ``--target``, ``--prefix``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipfallback.arguments import CommandLine
from pipfallback.environment import Installation

# The folders of sysconfig's schemes that pip changes (docs.python.org/3/library/sysconfig.html).
_SCHEME_KEYS = ("purelib", "platlib", "scripts", "data", "include", "platinclude", "userbase", "usersite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a command installs to.

    ``folders``: where installed packages are looked for, the first counts; new ones go to ``folders[0]``. ``roots``:
    every folder that pip may change. ``import_paths``: what an import needs in front of sys.path. ``separate``: pip
    itself does not look there for what is installed already (``--target``, ``--prefix``, ``--root``). For another
    platform (``cross_options``) what is installed for the interpreter is of no use, and ``folders`` is the target's alone.
    """

    folders: tuple[str, ...]
    roots: tuple[str, ...]
    import_paths: tuple[str, ...] = ()
    separate: bool = False


def layout_of(command: CommandLine, installation: Installation, python_version: str) -> Layout:
    """The folders that ``command`` installs to, for an interpreter of that version ("3.11.7")."""
    own = tuple(dict.fromkeys((*installation.site_packages, installation.paths["purelib"])))
    scheme = tuple(path for key, path in installation.paths.items() if key in _SCHEME_KEYS)
    if targets := command.values("--target"):
        target = os.path.abspath(targets[-1])  # noqa: PTH100  (pip does not resolve links either)
        folders = (target,) if cross_options(command) else (target, *own)
        return Layout(folders=folders, roots=(target, *scheme), import_paths=(target,), separate=True)
    if prefixes := command.values("--prefix"):
        site = _site_packages_below(prefixes[-1], python_version)
        root = os.path.abspath(prefixes[-1])  # noqa: PTH100  (as above)
        return Layout(folders=(site, *own), roots=(root, *scheme), import_paths=(site,), separate=True)
    if roots := command.values("--root"):
        inside = str(Path(roots[-1], *Path(own[0]).parts[1:]).absolute())
        root = os.path.abspath(roots[-1])  # noqa: PTH100  (as above)
        return Layout(folders=(inside, *own), roots=(root, *scheme), import_paths=(inside,), separate=True)
    if command.has("--user") and "usersite" in installation.paths:
        user = installation.paths["usersite"]
        return Layout(folders=(user, *(folder for folder in own if folder != user)), roots=scheme)
    first = installation.paths["purelib"]
    return Layout(folders=(first, *(folder for folder in own if folder != first)), roots=scheme)


def cross_options(command: CommandLine) -> Mapping[str, tuple[str, ...]]:
    """pip's options that choose wheels for another interpreter than the one that runs; empty where there are none."""
    names = ("--platform", "--python-version", "--abi", "--implementation")
    return {name: values for name in names if (values := command.values(name))}


def _site_packages_below(prefix: str, python_version: str) -> str:
    """Where ``pip install --prefix`` puts packages (scheme posix_prefix or nt of sysconfig)."""
    major, minor = python_version.split(".")[:2]
    inner = "Lib/site-packages" if os.name == "nt" else f"lib/python{major}.{minor}/site-packages"
    return str(Path(prefix).absolute() / inner)
