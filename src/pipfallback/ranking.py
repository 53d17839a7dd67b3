"""Pure: decisions -> order, by one total key (DESIGN 5): the accepted best first, then the refused, nearest first."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from pipfallback.compatibility import Decision

K = TypeVar("K")
_GRADES = {"fits": 0, "plausible": 1, None: 2}
_RELEASE_LENGTH = 8  # numbers of a release that are compared; the longest of real wheels has 5
_NO_BUILD_NUMBER = (1,)
_PHASES = {"a": 1, "b": 2, "rc": 3}

# What it would take for a refused build to fit, cheapest first: consent, another version, another torch, another
# Python, another driver, another machine.
COSTS = {
    "trust": 1,
    "hash": 2,
    "version": 3,
    "needs": 4,
    "torch-missing": 5,
    "torch-version": 6,
    "cxx11-abi": 6,
    "cuda-missing": 7,
    "cuda-version": 7,
    "python-tag": 8,
    "requires-python": 8,
    "abi-tag": 9,
    "rocm": 10,
    "accelerator": 10,
    "driver": 11,
    "glibc": 12,
    "symbols": 12,
    "platform-tag": 13,
    "gpu-arch": 14,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for, where it is a wish and no condition.

    ``version``: of the URL that the user gave; None for a bare name. ``prereleases``: True where they count like
    releases (``--pre``, or a specifier that names one); else they come after all releases, as pip takes them only
    where there is nothing else.
    """

    version: Version | None = None
    prereleases: bool = False

    @classmethod
    def of(cls, specifier: SpecifierSet | None = None, *, version: Version | None = None, pre: bool = False) -> Wish:
        """The wish of a request: ``pre`` is pip's option; a pre-release named by specifier or URL allows all."""
        named = bool(specifier and specifier.prereleases) or bool(version and version.is_prerelease)
        return cls(version=version, prereleases=pre or named)


def rank(decisions: Iterable[Decision], wish: Wish) -> list[Decision]:
    """Put decisions in order; the order that they came in plays no part."""
    # The order of ``key``. Of 100,000 decisions most share their version and their broken rules, as objects: the places
    # of those are worked out once, and compared as numbers.
    decisions = list(decisions)
    broken = {id(each.mismatches): each for each in decisions}
    versions = {id(each.candidate.build.version): each.candidate.build.version for each in decisions}
    costs = _places({name: cost(each) for name, each in broken.items()})
    places = _places({name: version_place(version, wish) for name, version in versions.items()})
    return sorted(
        decisions,
        key=lambda each: _key(each, costs[id(each.mismatches)], places[id(each.candidate.build.version)]),
    )


def key(decision: Decision, wish: Wish) -> tuple[object, ...]:
    """The place of one decision among any others; the smallest comes first. Equal only for what cannot be told apart."""
    return _key(decision, cost(decision), version_place(decision.candidate.build.version, wish))


def _key(decision: Decision, broken: object, version: object) -> tuple[object, ...]:
    candidate, near = decision.candidate, decision.nearness
    build_number = candidate.build.build_number
    return (
        broken,
        version,
        _GRADES[decision.grade],
        candidate.order[0],
        near.cuda,
        near.torch,
        near.label,
        near.tag,
        _highest_first(*build_number) if build_number else _NO_BUILD_NUMBER,
        candidate.order[1],
        candidate.location,
        candidate.source or "",
        candidate.sha256 or "",
    )


def cost(decision: Decision) -> tuple[int, ...]:
    """() for an accepted decision; for a refused one the number of broken rules, then what each would cost, dearest first."""
    broken = [COSTS.get(mismatch.rule, 15) for mismatch in decision.mismatches]
    return (len(broken), *sorted(broken, reverse=True)) if broken else ()


def version_place(version: Version, wish: Wish) -> tuple[int, ...]:
    """The place of a version: the one wished for, the newest below it, then the nearest above; without a wish the newest."""
    own = _sortable(version)
    last_resort = int(version.is_prerelease and not wish.prereleases)
    newest_first = tuple(-number for number in own)
    if wish.version is None:
        return (last_resort, 0, *newest_first)
    asked = _sortable(wish.version)
    if own == asked:
        return (0, 0)
    return (last_resort, 1, *newest_first) if own < asked else (last_resort, 2, *own)


def _sortable(version: Version) -> tuple[int, ...]:
    """A version without its local part as numbers that sort as PEP 440 orders them."""
    release = (*version.release, *[0] * _RELEASE_LENGTH)[:_RELEASE_LENGTH]
    phase, number = (_PHASES[version.pre[0]], version.pre[1]) if version.pre else (4, 0)
    if not version.pre and version.post is None and version.dev is not None:
        phase = 0
    post = -1 if version.post is None else version.post
    dev = sys.maxsize if version.dev is None else version.dev
    return (version.epoch, *release, phase, number, post, dev)


def _highest_first(number: int, suffix: str) -> tuple[int, ...]:
    """Build numbers break ties, the higher first (PEP 427)."""
    return (0, -number, *(-ord(letter) for letter in suffix), 1)


def _places(keys: Mapping[K, tuple[int, ...]]) -> dict[K, int]:
    """Each key's place among all of them; equal keys share one."""
    numbered = {place: number for number, place in enumerate(sorted(set(keys.values())))}
    return {name: numbered[place] for name, place in keys.items()}
