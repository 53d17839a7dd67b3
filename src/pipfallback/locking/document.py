"""The lock file itself (PEP 751): entries of one or several environments as one document, and its text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import tomli_w
from packaging.markers import Marker
from packaging.pylock import Package, Pylock
from packaging.version import Version

from pipfallback.environment import Environment
from pipfallback.markers import marker_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """What is to be installed in one environment."""

    environment: Environment
    packages: tuple[Package, ...]


def can_be_told_apart(environments: Sequence[Environment]) -> bool:
    """Whether markers tell each from all others, so that one file can hold them."""
    return len({marker_of(each) for each in environments}) == len(environments)


def pylock_of(locks: Sequence[Locked]) -> Pylock:
    """One document for environments that can be told apart.

    An entry that all of them have has no marker; any other has those of its environments. Raises
    packaging.pylock.PylockValidationError, which would be a mistake of ours.
    """
    entries: list[tuple[Package, list[str]]] = []
    for lock in locks:
        for package in lock.packages:
            same = next((markers for known, markers in entries if known == package), None)
            if same is None:
                entries.append((package, [marker_of(lock.environment)]))
            else:
                same.append(marker_of(lock.environment))
    packages = [
        package if len(markers) == len(locks) else replace(package, marker=_either(markers))
        for package, markers in sorted(entries, key=lambda entry: (entry[0].name, entry[1]))
    ]
    document = Pylock(
        lock_version=Version("1.0"),
        environments=[Marker(marker_of(lock.environment)) for lock in locks],
        created_by="pipfallback",
        packages=packages,
        tool={"pipfallback": {"environments": [_described(lock.environment) for lock in locks]}},
    )
    document.validate()
    return document


def _either(markers: Sequence[str]) -> Marker:
    return Marker(markers[0] if len(markers) == 1 else " or ".join(f"({marker})" for marker in markers))


def _described(environment: Environment) -> dict[str, Any]:
    """What the builds were chosen for, beyond what markers can say; what is unknown is left out."""
    torch = environment.torch
    said = {
        "python": environment.python.version,
        "platform": environment.platform,
        "glibc": environment.glibc,
        "musl": environment.musl,
        "free-threaded": environment.python.free_threaded or None,
        "torch": torch and torch.version,
        "cuda": torch and torch.cuda,
        "rocm": torch and torch.rocm,
        "cxx11-abi": torch.cxx11_abi if torch else None,
        "driver-cuda": environment.driver and environment.driver.cuda,
        "gpus": sorted({gpu.compute_capability for gpu in environment.gpus}) or None,
    }
    return {key: value for key, value in said.items() if value is not None}


def text_of(document: Pylock) -> str:
    """The TOML text; the same for the same document."""
    return tomli_w.dumps(dict(document.to_dict()))


def is_lock_name(name: str) -> bool:
    """Whether a file is called as installers know a lock: ``pylock.toml`` or ``pylock.NAME.toml`` (PEP 751)."""
    return re.fullmatch(r"pylock(\.[^.]+)?\.toml", name) is not None


def name_for(label: str) -> str:
    """The name of the lock of one of several machines; a dot in its label would end the name (PEP 751)."""
    return f"pylock.{re.sub(r'[^A-Za-z0-9_-]+', '-', label)}.toml"


def not_for_pip(document: Pylock) -> tuple[str, ...]:
    """The packages that keep pip from the lock: it asks for a hash of everything where anything has one.

    A folder or a repository has none (pip 26.3: "cannot be installed when requiring hashes"); uv installs them.
    """
    without = tuple(each.name for each in document.packages if each.directory is not None or each.vcs is not None)
    return without if len(without) < len(document.packages) else ()
