"""Which interpreter to install for: named, active, or the one that runs pipfallback."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipfallback.active import active_python, python_in
from pipfallback.errors import TargetError


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The interpreter to install for. ``reason`` is told where it is not what a user takes for granted."""

    executable: str
    reason: str | None = None


def find_target(named: str | None, environ: Mapping[str, str]) -> Target:
    """The target: ``named`` (a path, a venv folder, a name on PATH), VIRTUAL_ENV, CONDA_PREFIX, else our own Python.

    Raises TargetError where what was named is no interpreter.
    """
    if named is not None:
        return Target(executable=_named(named, environ))
    active = active_python(environ)
    if active is not None:
        return Target(executable=active)
    if folder := environ.get("VIRTUAL_ENV"):
        raise TargetError(
            f"VIRTUAL_ENV names {folder}, which holds no interpreter",
            hints=("deactivate that environment, or name another: --python PATH",),
        )
    # uvx puts the tool's own folder first.
    folders = [folder for folder in environ.get("PATH", "").split(os.pathsep) if Path(folder) != _own_folder()]
    for name in ("python3", "python"):
        found = shutil.which(name, path=os.pathsep.join(folders))
        if found is not None:
            return Target(executable=found, reason=f"installing for {found}, the first {name} on PATH")
    raise TargetError(
        "no Python to install for: pipfallback runs in a tool's own environment, and PATH has no python3",
        hints=("name the interpreter: --python PATH",),
    )


def _named(named: str, environ: Mapping[str, str]) -> str:
    path = Path(named).expanduser()
    if path.is_dir():
        found = python_in(str(path))
    elif path.exists():
        found = str(path.absolute())  # not resolved: a venv's python is a link, and the link is the venv
    else:
        found = shutil.which(named, path=environ.get("PATH"))
    if found is None or not os.access(found, os.X_OK):
        what = "holds no interpreter" if path.is_dir() else "is no interpreter" if path.exists() else "was not found"
        raise TargetError(f"--python {named}: {what}", hints=("give a path, a venv folder, or a name on PATH",))
    return found


def _own_folder() -> Path:
    return Path(sys.executable).parent
