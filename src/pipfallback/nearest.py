"""What would have to change for a refused build to fit: the hints where everything is refused, cheapest change first.

A change is read off the broken rules, made to the environment or the policy, and the build is judged again: no hint is
given that the judge does not confirm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from packaging.tags import Tag
from packaging.version import Version

from pipfallback.builds import Build
from pipfallback.compatibility import Decision, judge
from pipfallback.environment import Driver, Environment, Torch
from pipfallback.ranking import COSTS, Wish, key
from pipfallback.releases import (
    cuda_of_torch,
    driver_floor,
    numbers,
    official_cxx11_abi,
    pypi_cuda,
    series_of,
    torch_archs,
    torch_for_python,
    torch_series,
    torch_with_rocm,
)
from pipfallback.rules.gpu import runs_on
from pipfallback.rules.tags import is_for_machine
from pipfallback.rules.torch import rule_of, torch_of
from pipfallback.rules.values import Policy
from pipfallback.tags import tags_for

_LOOKED_AT = 200  # refused decisions of one kind, best first
_KIND_OF = {
    **dict.fromkeys(("torch-missing", "cxx11-abi", "cuda-missing", "cuda-version", "rocm"), "torch-version"),
    **dict.fromkeys(("abi-tag", "requires-python"), "python-tag"),
    "platform-tag": "glibc",  # of another platform only the level of glibc can be changed
}
_PYTHON = "python-tag"
_PYTHONS = tuple(f"3.{minor}" for minor in range(8, 16))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that would have to be otherwise.

    ``kind`` is the rule that it lifts, ``text`` what to have instead, ``distance`` how far that is away: in
    minor releases of torch or Python, in trust levels below the best.
    """

    kind: str
    text: str
    distance: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """The changes with which ``decisions`` would be accepted, as judged then, best first; ``text`` says it in words.

    Without decisions: all known builds are for other systems or machines, and only a build that is not known would help.
    """

    changes: tuple[Change, ...]
    decisions: tuple[Decision, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    """An environment and a policy that are not, with the changes that lead there."""

    environment: Environment
    policy: Policy
    changes: tuple[Change, ...] = ()

    def after(self, change: Change, environment: Environment | None = None, policy: Policy | None = None) -> _World:
        return _World(
            environment=environment or self.environment,
            policy=policy or self.policy,
            changes=(*self.changes, change),
        )


def what_would_change(
    decisions: Iterable[Decision], environment: Environment, policy: Policy, *, limit: int = 3
) -> list[Hint]:
    """The cheapest changes with which refused decisions would be accepted: at most ``limit`` hints, each of another kind.

    ``decisions`` are all that were made, the accepted too: where a version is accepted, no other environment is advised
    for its sake, only consent to another build of it. What a hint already lifts is not told again with something added.
    """
    decisions = list(decisions)
    start = _World(environment=environment, policy=policy)
    alike = _refused_alike(decisions)
    hints: list[Hint] = []
    for kinds in sorted(alike, key=_cost):
        if len(hints) < limit and not any({change.kind for change in hint.changes} <= kinds for hint in hints):
            # Of those that ask for consent alone it is told how many they are.
            hints += _hints(alike[kinds] if kinds == {"trust"} else alike[kinds][:_LOOKED_AT], start)
    return hints or _no_build_for_this_machine(decisions, environment)


def _refused_alike(decisions: list[Decision]) -> dict[frozenset[str], list[Decision]]:
    """The refused for whose sake a change may be advised, best first, by the kinds of change that they ask for."""
    here = {decision.candidate.build.version.public for decision in decisions if decision.accepted}
    refused = [decision for decision in decisions if not decision.accepted]
    known = {_release(decision): kinds for decision in refused if _PYTHON not in (kinds := _kinds(decision))}
    alike: dict[frozenset[str], list[Decision]] = {}
    for decision in sorted(refused, key=lambda each: key(each, Wish())):
        kinds = _kinds(decision)
        if _says_nothing(decision.candidate.build) and not known.get(_release(decision), kinds) <= kinds:
            continue
        if kinds == {"trust"} or decision.candidate.build.version.public not in here:
            alike.setdefault(kinds, []).append(decision)
    return alike


def _release(decision: Decision) -> tuple[str | None, Version]:
    return decision.candidate.source, decision.candidate.build.version


def _says_nothing(build: Build) -> bool:
    """Whether a name states neither torch nor accelerator.

    What was found in one file of such a release, for this Python, is then true of those for other Pythons, too, which
    nobody has looked into.
    """
    return build.torch is None and build.cuda is None and build.rocm is None and not build.cpu


def _no_build_for_this_machine(decisions: list[Decision], environment: Environment) -> list[Hint]:
    """One hint where every build is for another system, machine or C library, which no change here makes good."""
    tags = {tag for decision in decisions for tag in decision.candidate.build.tags}
    if not tags or any(is_for_machine(tag, environment) for tag in tags):
        return []
    name = f"musl on {environment.platform}" if environment.musl else environment.platform
    text = f"no build for {name} is known; name one in a fallbacks.toml, or let pip build it with --allow-build"
    return [Hint(changes=(Change(kind="platform-tag", text=f"a build for {name}"),), decisions=(), text=text)]


def _kinds(decision: Decision) -> frozenset[str]:
    """The kinds of change that the broken rules of a decision ask for."""
    return frozenset(_KIND_OF.get(mismatch.rule, mismatch.rule) for mismatch in decision.mismatches)


def _cost(kinds: frozenset[str]) -> tuple[tuple[int, ...], list[str]]:
    return tuple(sorted((COSTS.get(kind, 15) for kind in kinds), reverse=True)), sorted(kinds)


def _hints(decisions: list[Decision], start: _World) -> list[Hint]:
    """One hint, or none, for decisions that ask for changes of the same kinds: the smallest such change."""
    found: dict[tuple[Change, ...], list[Decision]] = {}
    for decision in decisions:
        for world in _worlds(decision, start):
            again = judge(decision.candidate, world.environment, world.policy)
            if again.accepted:
                found.setdefault(world.changes, []).append(again)
                break
    if not found:
        return []
    nearest = min(
        found, key=lambda changes: (sum(change.distance for change in changes), key(found[changes][0], Wish()))
    )
    return [_hint(nearest, found[nearest], start.policy)]


def _worlds(decision: Decision, start: _World) -> Iterator[_World]:
    """The worlds, nearest first, in which the broken rules of a decision might hold; none where nothing can help."""
    kinds = _kinds(decision)
    if kinds <= _ALTERNATIVES.keys():
        worlds: Iterable[_World] = [start]
        for kind in _ALTERNATIVES:
            if kind in kinds:
                worlds = [after for world in worlds for after in _ALTERNATIVES[kind](decision, world)]
        yield from (world for world in worlds if _exists(world))


def _exists(world: _World) -> bool:
    """Whether such a torch was published, for that Python and with code for the GPU, as far as the tables know."""
    torch, python = world.environment.torch, world.environment.python
    series = series_of(torch.version) if torch else None
    if torch is None or series is None or python.implementation != "cpython":
        return True
    name = ".".join(map(str, numbers(python.version)[:2])) + ("t" if python.free_threaded else "")
    if torch_for_python(series, name) is False or (torch.rocm and torch_with_rocm(series, torch.rocm) is False):
        return False
    return _uses_the_gpu(series, torch, world.environment)


def _uses_the_gpu(series: str, torch: Torch, environment: Environment) -> bool:
    archs = torch_archs(series, torch.cuda) if torch.cuda and environment.platform == "linux_x86_64" else None
    if archs is None or not environment.gpus:
        return True
    return any(runs_on(archs, gpu, torch.cuda, environment) is not False for gpu in environment.gpus)


def _consent(decision: Decision, world: _World) -> Iterator[_World]:
    level = decision.candidate.trust
    change = Change(kind="trust", text=f"--trust-level {level.value}", distance=level.rank)
    yield world.after(change, policy=replace(world.policy, trust=level))


def _other_version(decision: Decision, world: _World) -> Iterator[_World]:
    change = Change(kind="version", text=f"version {decision.candidate.build.version.public}")
    yield world.after(change, policy=replace(world.policy, specifier=None))


def _other_packages(decision: Decision, world: _World) -> Iterator[_World]:
    wanted = [mismatch.wanted for mismatch in decision.mismatches if mismatch.rule == "needs"]
    names = {requirement.name for requirement in decision.candidate.build.requires}
    installed = {name: version for name, version in (world.environment.installed or {}).items() if name not in names}
    change = Change(kind="needs", text=" and ".join(wanted))
    yield world.after(change, environment=replace(world.environment, installed=installed))


def _other_python(decision: Decision, world: _World) -> Iterator[_World]:
    own = numbers(world.environment.python.version)[1]
    pythons = {python for tag in decision.candidate.build.tags for python in _pythons_of(tag)}
    for name in sorted(pythons, key=lambda name: (abs(numbers(name)[1] - own), -numbers(name)[1], name)):
        version = name.rstrip("t")
        python = replace(world.environment.python, version=version, free_threaded=name.endswith("t"))
        python = replace(python, implementation="cpython", executable=None)
        environment = replace(world.environment, python=python)
        shown = f"free-threaded Python {version}" if python.free_threaded else f"Python {version}"
        change = Change(kind="python-tag", text=shown, distance=abs(numbers(version)[1] - own))
        yield world.after(change, environment=_with_own_tags(environment))


def _pythons_of(tag: Tag) -> Iterator[str]:
    """The CPython versions that a tag may be installed in ("3.13t" is free-threaded)."""
    digits = tag.interpreter.removeprefix("cp")
    if tag.interpreter.startswith("py3"):
        yield from _PYTHONS
    elif tag.interpreter.startswith("cp3") and digits.isdigit():
        name = f"3.{digits[1:]}"
        stable = [python for python in _PYTHONS if numbers(python) >= numbers(name)]
        yield from stable if tag.abi == "abi3" else [name + ("t" if tag.abi.endswith("t") else "")]


def _other_torch(decision: Decision, world: _World) -> Iterator[_World]:
    build, here = decision.candidate.build, world.environment.torch
    for series in _series_for(build, here):
        version = build.torch if build.torch and build.torch_rule == "exact" else f"{series}.0"
        for cuda in _cudas_for(build, series, here, world.environment.driver):
            abi = official_cxx11_abi(version, cuda, world.environment.platform)
            torch = Torch(version=version, cuda=cuda, rocm=build.rocm, cxx11_abi=abi, cpu=build.cpu)
            distance = abs(numbers(series)[1] - numbers(here.version if here else torch_series()[-1])[1])
            change = Change(kind="torch-version", text=_torch_text(build, series, torch, here), distance=distance)
            yield world.after(change, environment=replace(world.environment, torch=torch))


def _series_for(build: Build, here: Torch | None) -> list[str]:
    """The torch series to try: the one that the build is for, else the one that is here, else any."""
    stated = torch_of(build)
    asked = stated and series_of(stated)
    own = here and series_of(here.version)
    if rule_of(build) == "minimum" and asked:
        newer = [series for series in torch_series() if numbers(series) >= numbers(asked)]
        return [own, *newer] if own in newer else newer or [asked]
    if asked or own:
        return [str(asked or own)]
    return list(reversed(torch_series()))


def _cudas_for(build: Build, series: str, here: Torch | None, driver: Driver | None) -> list[str | None]:
    """The CUDA of the torch to try: as here where that will do, then PyPI's, then all that the driver can run, newest first."""
    if build.cpu or build.rocm:
        return [None]
    if build.accelerator is not None:
        return []
    newest = numbers(driver.cuda)[0] if driver and driver.cuda else None
    published = [cuda for cuda in cuda_of_torch(series) if newest is None or numbers(cuda)[0] <= newest]
    known: list[str | None] = [*sorted(published, key=numbers, reverse=True)] or [build.cuda]
    preferred = [cuda for cuda in (here.cuda if here else None, pypi_cuda(series)) if cuda in known]
    return list(dict.fromkeys([*preferred, *known]))


def _torch_text(build: Build, series: str, torch: Torch, here: Torch | None) -> str:
    name = f"torch {torch.version if build.torch_rule == 'exact' else series}"
    if build.cpu:
        return f"{name} for the CPU"
    if torch.rocm:
        return f"{name} for ROCm {torch.rocm}"
    if torch.cuda is None or (
        here and here.cuda and numbers(here.cuda)[0] == numbers(torch.cuda)[0] and not _same_series(series, here)
    ):
        return name
    return f"{name} for CUDA {torch.cuda}"


def _same_series(series: str, here: Torch) -> bool:
    return series_of(here.version) == series


def _other_driver(decision: Decision, world: _World) -> Iterator[_World]:
    cuda = decision.candidate.build.cuda or ""
    floor = driver_floor(numbers(cuda)[0], windows=world.environment.platform.startswith("win"))
    if floor:
        change = Change(kind="driver", text=f"driver {floor} or newer")
        yield world.after(change, environment=replace(world.environment, driver=Driver(version=floor, cuda=cuda)))


def _other_glibc(decision: Decision, world: _World) -> Iterator[_World]:
    """A newer glibc helps where only its level is wrong; another system or machine is no hint."""
    if world.environment.glibc is None:
        return
    for level in sorted({found for tag in decision.candidate.build.tags for found in _glibc_of(tag)}):
        glibc = ".".join(map(str, level))
        environment = _with_own_tags(replace(world.environment, glibc=glibc))
        yield world.after(Change(kind="glibc", text=f"glibc {glibc} or newer"), environment=environment)


def _glibc_of(tag: Tag) -> Iterator[tuple[int, int]]:
    parts = tag.platform.split("_")
    if parts[0] == "manylinux" and parts[1].isdigit() and parts[2].isdigit():
        yield int(parts[1]), int(parts[2])


def _with_own_tags(environment: Environment) -> Environment:
    python = environment.python
    tags = _tags(
        python.version,
        platform=environment.platform,
        implementation=python.implementation,
        free_threaded=python.free_threaded,
        glibc=environment.glibc,
        musl=environment.musl,
    )
    return replace(environment, tags=tags)


_tags = cache(tags_for)


# In the order in which they are tried and told. The driver before torch, whose CUDA it may limit.
_ALTERNATIVES: Mapping[str, Callable[[Decision, _World], Iterator[_World]]] = {
    "trust": _consent,
    "version": _other_version,
    "needs": _other_packages,
    "driver": _other_driver,
    "torch-version": _other_torch,
    "python-tag": _other_python,
    "glibc": _other_glibc,
}


def _hint(changes: tuple[Change, ...], decisions: list[Decision], policy: Policy) -> Hint:
    best_first = tuple(sorted(decisions, key=lambda decision: key(decision, Wish())))
    best = best_first[0]
    sure = best.grade == "fits"
    kinds = {change.kind for change in changes}
    if kinds == {"trust"}:
        text = _consent_text(best_first, changes[0])
    elif kinds == {"version"}:
        text = f"{_named(best)} {'fits' if sure else 'may fit'}; the request asks for {policy.specifier}"
    else:
        asked = " and ".join(change.text for change in changes)
        text = f"with {asked} {_named(best)} {'would' if sure else 'may'} fit"
    return Hint(changes=changes, decisions=best_first, text=text)


def _consent_text(decisions: tuple[Decision, ...], change: Change) -> str:
    count, level = len(decisions), decisions[0].candidate.trust.value
    may = "" if decisions[0].grade == "fits" else "may "
    if count == 1:
        return f"1 {level} build {may or ''}{'fit' if may else 'fits'}; allow it with {change.text}"
    return f"{count} {level} builds {may}fit; allow them with {change.text}"


def _named(decision: Decision) -> str:
    candidate = decision.candidate
    return (
        f"the {candidate.source} build {candidate.build.version.public}"
        if candidate.source
        else candidate.build.filename
    )
