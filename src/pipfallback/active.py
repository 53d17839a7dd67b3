"""The interpreter that is active: seen from paths alone, for it is asked on every start."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing's own is half of Python's start-up
if TYPE_CHECKING:
    from collections.abc import Mapping

# What pipx and uv leave in the environment of a tool (pipx: pipx_metadata.json; uv tool: uv-receipt.toml; uvx runs
# from an environment in uv's cache).
_TOOL_MARKS = ("pipx_metadata.json", "uv-receipt.toml")
_UVX_CACHE = "archive-v0"


def active_python(environ: Mapping[str, str]) -> str | None:
    """The interpreter of VIRTUAL_ENV, of CONDA_PREFIX, else our own.

    None where VIRTUAL_ENV holds none, or nothing is active and we run in a tool's own environment.
    """
    if folder := environ.get("VIRTUAL_ENV"):
        return python_in(folder)
    if (folder := environ.get("CONDA_PREFIX")) and (found := python_in(folder)) is not None:
        return found  # a conda environment may be without Python
    return None if _in_tool_environment() else sys.executable


def python_in(folder: str) -> str | None:
    """The interpreter of an environment, by its absolute path; None where there is none."""
    for place in ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe"):
        path = os.path.join(os.getcwd(), folder, place)
        if os.path.exists(path):
            return path
    return None


def seems_to_have_pip(executable: str) -> bool:
    """Whether an interpreter seems to have a pip: our own has (it is a dependency), others' is looked for in their folder."""
    if executable == sys.executable:
        return True
    library = os.path.join(os.path.dirname(os.path.dirname(executable)), "lib")
    try:
        names = os.listdir(library)
    except OSError:
        return False
    inside = os.path.join("site-packages", "pip", "__init__.py")
    return any(name.startswith("python3") and os.path.exists(os.path.join(library, name, inside)) for name in names)


def _in_tool_environment() -> bool:
    marked = any(os.path.exists(os.path.join(sys.prefix, mark)) for mark in _TOOL_MARKS)
    return marked or _UVX_CACHE in sys.prefix.split(os.sep)
