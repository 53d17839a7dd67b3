"""Fixed points: what a run of pip must leave as it is, as constraints (DESIGN 4)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pipfallback.installed import Installed, requirements_of
from pipfallback.torch_family import TORCH_FAMILY, comes_with_torch, is_of_torch


def torch_family(installed: Mapping[str, Installed]) -> frozenset[str]:
    """The installed members of torch's family: its companions, and the CUDA distributions that its metadata requires."""
    if "torch" not in installed:
        return frozenset()
    required = {canonicalize_name(each.name) for each in requirements_of(installed["torch"])}
    libraries = {name for name in required if is_of_torch(name)}
    return frozenset(name for name in (*TORCH_FAMILY, *libraries) if name in installed)


def goes_with_torch(names: Collection[str], installed: Mapping[str, Installed]) -> frozenset[str]:
    """What cannot stay as it is where torch is among ``names`` and may change: triton and its CUDA distributions."""
    if "torch" not in names:
        return frozenset()
    return frozenset(filter(comes_with_torch, torch_family(installed)))


def constraints(installed: Mapping[str, Installed], names: Iterable[str], file: Path) -> tuple[str, ...]:
    """pip's words that pin ``names`` to what is installed, written to ``file``; none where nothing can be pinned.

    A version that PEP 440 does not know cannot be pinned; ``moved`` tells whether it was changed.
    """
    lines = [f"{name}=={installed[name].version}" for name in sorted(set(names)) if _is_valid(installed[name].version)]
    if not lines:
        return ()
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ("--constraint", str(file))


def moved(before: Mapping[str, Installed], after: Mapping[str, Installed], names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``names`` whose version is another than before, or that are gone, as "torch 2.7.1 -> 2.8.0"."""
    changes = []
    for name in sorted(set(names)):
        old, new = before.get(name), after.get(name)
        if old is not None and (new is None or new.version != old.version):
            changes.append(f"{name} {old.version} -> {new.version if new else 'removed'}")
    return tuple(changes)


def _is_valid(version: str) -> bool:
    try:
        Version(version)
    except InvalidVersion:
        return False
    return True
