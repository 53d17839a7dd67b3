"""Which interpreter to install for: named, active, or the one that runs pipfallback."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipfallback.errors import TargetError

# What pipx and uv leave in the environment of a tool (pipx: pipx_metadata.json; uv tool: uv-receipt.toml; uvx runs
# from an environment in uv's cache).
_TOOL_MARKS = ("pipx_metadata.json", "uv-receipt.toml")
_UVX_CACHE = "archive-v0"


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
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        folder = environ.get(variable)
        if folder and (found := _in_folder(Path(folder))) is not None:
            return Target(executable=found)
        if folder and variable == "VIRTUAL_ENV":  # a conda environment may be without Python
            raise TargetError(
                f"{variable} names {folder}, which holds no interpreter",
                hints=("deactivate that environment, or name another: --python PATH",),
            )
    if not _in_tool_environment():
        return Target(executable=sys.executable)
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
        found = _in_folder(path)
    elif path.exists():
        found = str(path.absolute())  # not resolved: a venv's python is a link, and the link is the venv
    else:
        found = shutil.which(named, path=environ.get("PATH"))
    if found is None or not os.access(found, os.X_OK):
        what = "holds no interpreter" if path.is_dir() else "is no interpreter" if path.exists() else "was not found"
        raise TargetError(f"--python {named}: {what}", hints=("give a path, a venv folder, or a name on PATH",))
    return found


def _in_folder(folder: Path) -> str | None:
    for place in ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe"):
        if (folder / place).exists():
            return str((folder / place).absolute())
    return None


def _own_folder() -> Path:
    return Path(sys.executable).parent


def _in_tool_environment() -> bool:
    prefix = Path(sys.prefix)
    return any((prefix / mark).exists() for mark in _TOOL_MARKS) or _UVX_CACHE in prefix.parts
