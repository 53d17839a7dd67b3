"""Commands that make Pythons or change them: virtual environments, conda, the packages of the system."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from pipfallback.dockerfile import uv_options
from pipfallback.dockerfile.images import Interpreter
from pipfallback.dockerfile.installs import UNKNOWN
from pipfallback.dockerfile.stages import DEFAULT, Stage
from pipfallback.dockerfile.wrappers import CONDA_OPTIONS
from pipfallback.machine import Torch

SYSTEM_INSTALLERS = frozenset({"apt-get", "apt", "aptitude", "apk", "dnf", "yum", "microdnf"})
_PYTHON_PACKAGES = frozenset({
    "python3", "python3-pip", "python3-dev", "python3-venv", "python-is-python3", "python3-full", "python3-minimal",
})  # fmt: skip


def make_environments(
    rest: Sequence[str],
    stage: Stage,
    base: str | None,
    *,
    path: Callable[[str], str],
    named: Callable[[str], str | None],
) -> None:
    """``python -m venv [options] FOLDER...``, ``virtualenv -p python3.10 FOLDER``.

    ``base``: the name of the interpreter that they are made with, None where it is not known; ``path`` makes a path of the
    image absolute, ``named`` finds the name of the interpreter behind a program.
    """
    folders: list[str] = []
    words = iter(rest)
    for word in words:
        name, equals, value = word.partition("=")
        if name in {"-p", "--python"}:
            chosen = value if equals else next(words, "")
            base = named(f"python{chosen}" if chosen[:1].isdigit() else chosen)
        elif name == "--prompt" and not equals:
            next(words, None)
        elif not word.startswith("-") and UNKNOWN not in word:
            folders.append(word)
    there = stage.interpreters.get(base, Interpreter()) if base is not None else Interpreter()
    fresh = Interpreter(python=there.python, torch_known=True)
    for folder in folders:
        stage.interpreters[path(folder)] = there if "--system-site-packages" in rest else fresh


def make_uv_environment(rest: Sequence[str], stage: Stage, *, path: Callable[[str], str]) -> None:
    """``uv venv [--python 3.12] [FOLDER]``."""
    parts = list(uv_options.read(rest))
    options = {part.name: part.value for part in parts}
    folders = [part.value for part in parts if not part.name and part.value]
    version = re.search(r"(3\.\d+)", options.get("--python") or options.get("-p") or "")
    python = version[1] if version else stage.interpreters[DEFAULT].python
    stage.interpreters[path(folders[0] if folders else ".venv")] = Interpreter(python=python, torch_known=True)


def install_system_packages(rest: Sequence[str], stage: Stage) -> None:
    """``apt-get install python3-pip``: the system's Python, where there was none."""
    if "install" not in rest and "add" not in rest:
        return
    default, system = stage.interpreters[DEFAULT], stage.system
    if default.python is None and default.torch_known and any(word in _PYTHON_PACKAGES for word in rest):
        default = replace(default, python=system.python if system else None)
    if "python3-torch" in rest:
        default = replace(default, torch=None, torch_known=False)
    stage.interpreters[DEFAULT] = default


def follow_conda(rest: Sequence[str], stage: Stage) -> None:
    """``conda create -n x python=3.10``, ``conda install pytorch=2.3.0``."""
    verb = next((word for word in rest if not word.startswith("-")), "")
    if verb not in {"create", "install"}:
        return
    named = next((rest[at + 1] for at, word in enumerate(rest[:-1]) if word in CONDA_OPTIONS), None)
    name = DEFAULT if named in {None, "base"} else f"conda:{named}"
    there = stage.interpreters.get(name, Interpreter(torch_known=verb == "create"))
    for word in rest:
        there = _with_conda_package(there, word)
    stage.interpreters[name] = there


def _with_conda_package(there: Interpreter, word: str) -> Interpreter:
    if python := re.fullmatch(r"python={1,2}(3\.\d+)[\d.*]*", word):
        return replace(there, python=python[1])
    if torch := re.fullmatch(r"(?:[\w-]+::)?pytorch(?:={1,2}([\d.]+))?(?:=.*)?", word):
        version = torch[1] if torch[1] and torch[1].count(".") == 2 else None
        return replace(there, torch=Torch(version=version) if version else None, torch_known=bool(version))
    return there
