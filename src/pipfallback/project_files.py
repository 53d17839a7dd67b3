"""Files that ask for something without being requirement files: dependency groups, scripts, lock files.

Raises OSError or ValueError where pip itself will complain of one.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from packaging.dependency_groups import DependencyGroupResolver
from packaging.errors import ExceptionGroup
from packaging.pylock import Package, Pylock, PylockValidationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# The block of inline metadata (PEP 723, reference implementation's pattern in words of our own).
_BLOCK = re.compile(r"^# /// script$\s(?P<body>(?:^#(?:| .*)$\s)+)^# ///$", re.MULTILINE)
# pylock.toml[gpu]: pip takes the extras of a lock so.
_EXTRAS = re.compile(r"\[[^\]]*\]$")


def group(said: str) -> list[str]:
    """The requirements of a dependency group (PEP 735), named as pip's ``--group`` does: ``[path:]name``."""
    path, _, name = said.rpartition(":")
    groups = _toml(Path(path or "pyproject.toml")).get("dependency-groups")
    if not isinstance(groups, dict):
        raise ValueError(f"{path or 'pyproject.toml'} has no table of dependency groups")  # noqa: TRY004  (as below)
    try:
        return [str(requirement) for requirement in DependencyGroupResolver(groups).resolve(name)]
    except (ExceptionGroup, LookupError, TypeError) as error:
        raise ValueError(str(error)) from None


def script(path: str) -> list[str]:
    """The requirements of a script (PEP 723)."""
    blocks = _BLOCK.findall(Path(path).read_text(encoding="utf-8"))
    if len(blocks) != 1:
        raise ValueError(f"{path} has {len(blocks)} blocks of metadata")
    lines = blocks[0].splitlines(keepends=True)
    data = tomllib.loads("".join(line[2:] if line.startswith("# ") else line[1:] for line in lines))
    found = data.get("dependencies", [])
    if not isinstance(found, list):
        raise ValueError(f"{path}: dependencies is no list")  # noqa: TRY004  (a wrong file, not a wrong argument)
    return [str(each) for each in found]


def locked(path: str) -> list[Package]:
    """The packages of a lock file on disk (PEP 751)."""
    try:
        return list(Pylock.from_dict(_toml(Path(_EXTRAS.sub("", path)))).packages)
    except PylockValidationError as error:
        raise ValueError(str(error)) from None


def _toml(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return data
