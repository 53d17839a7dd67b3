"""Pure: decisions -> order, by one total key (DESIGN 5): the accepted best first, then the refused, nearest first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from pipfallback.compatibility import Decision, Mismatch

T = TypeVar("T")
_GRADES = {"fits": 0, "plausible": 1, None: 2}
_RELEASE_LENGTH = 8  # numbers of a release that are compared; the longest of real wheels has 5
_NO_BUILD_NUMBER = (1,)
ANOTHER_SERIES = 3  # of Nearness.torch; of what fits, all other series are alike
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
    costs = _places([each.mismatches for each in decisions], _cost)
    versions = _places(
        [each.candidate.build.version for each in decisions], _by_public(lambda version: version_place(version, wish))
    )
    return sorted(
        decisions,
        key=lambda each: _key(each, costs[id(each.mismatches)], versions[id(each.candidate.build.version)]),
    )


def key(decision: Decision, wish: Wish) -> tuple[object, ...]:
    """The place of one decision among any others; the smallest comes first. Equal only for what cannot be told apart."""
    return _key(decision, _cost(decision.mismatches), version_place(decision.candidate.build.version, wish))


def _key(decision: Decision, broken: object, version: object) -> tuple[object, ...]:
    candidate, near = decision.candidate, decision.nearness
    build_number, order = candidate.build.build_number, candidate.order
    return (
        broken,
        max(near.torch, ANOTHER_SERIES - 1) if decision.mismatches else 0,
        version,
        _GRADES[decision.grade],
        order[0],
        near.cuda,
        min(near.torch, ANOTHER_SERIES),
        near.label,
        near.tag,
        _highest_first(*build_number) if build_number else _NO_BUILD_NUMBER,
        order[1],
        candidate.location,
        candidate.source or "",
        candidate.sha256 or "",
    )


def _cost(mismatches: tuple[Mismatch, ...]) -> tuple[int, ...]:
    """() for an accepted decision; for a refused one the number of broken rules, then what each would cost, dearest first."""
    return _cost_of(tuple([mismatch.rule for mismatch in mismatches]))


@lru_cache(maxsize=4096)
def _cost_of(rules: tuple[str, ...]) -> tuple[int, ...]:
    broken = [COSTS.get(rule, 15) for rule in rules]
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


def _by_public(place: Callable[[Version], tuple[int, ...]]) -> Callable[[Version], tuple[int, ...]]:
    """``place``, asked once for all versions that differ in their local parts alone."""
    known: dict[object, tuple[int, ...]] = {}

    def place_of_public(version: Version) -> tuple[int, ...]:
        public = (version.epoch, version.release, version.pre, version.post, version.dev)
        if public not in known:
            known[public] = place(version)
        return known[public]

    return place_of_public


def _places(things: Iterable[T], place: Callable[[T], tuple[int, ...]]) -> dict[int, int]:
    """The number of each thing's place among those of all, by the thing's id; equal places have the same number."""
    places = {name: place(thing) for name, thing in {id(thing): thing for thing in things}.items()}
    numbered = {own: number for number, own in enumerate(sorted(set(places.values())))}
    return {name: numbered[own] for name, own in places.items()}
