"""Whether all that a package requires is installed already, so that pip has nothing to add."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from pipfallback.installed import Installed, requirements_of


def is_satisfied(
    requires: Iterable[Requirement],
    extras: Collection[str],
    installed: Mapping[str, Installed],
    answers: Mapping[str, str],
) -> bool:
    """Whether ``installed`` holds everything of ``requires``, and what that requires in turn, as pip would judge it.

    ``extras``: those of the package itself; ``answers``: the marker variables (PEP 508). False also where only pip can
    tell: a requirement by URL, a version that PEP 440 does not know.
    """
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [each for each in requires if _applies(each, extras, answers)]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        there = installed.get(name)
        if there is None or wanted.url is not None or not _admits(wanted, there.version):
            return False
        key = (name, frozenset(wanted.extras))
        if key not in seen:
            seen.add(key)
            waiting += [each for each in requirements_of(there) if _applies(each, wanted.extras, answers)]
    return True


def _applies(wanted: Requirement, extras: Collection[str], answers: Mapping[str, str]) -> bool:
    marker = wanted.marker
    return marker is None or any(marker.evaluate({**answers, "extra": extra}) for extra in (*extras, ""))


def _admits(wanted: Requirement, version: str) -> bool:
    """Whether an installed version will do: a pre-release that is there counts (pip's ``is_satisfied_by``)."""
    try:
        return wanted.specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return False
