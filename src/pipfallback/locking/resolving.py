"""What pip would install besides the chosen builds: its own dry run, with a stub in the place of each of them."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import canonicalize_name
from packaging.version import Version

from pipfallback.arguments import Item
from pipfallback.asks import Asks
from pipfallback.environment import Environment, Installation
from pipfallback.errors import TargetError
from pipfallback.markers import answers_of
from pipfallback.pip import Pip, own_pip, own_pip_version
from pipfallback.pip_failures import Failure
from pipfallback.rewording import replacing, reworded, without_building

_ELSEWHERE = Path(__file__).parent.parent / "_pip_elsewhere.py"
_REPORTS = Version("22.2")  # pip 22.2: install --dry-run --report
_READS_METADATA_ONLY = Version("25.3")  # older dry runs fetch every wheel (pip 25.0.1, measured)
# Ours, or they show or write what is not the user's run.
_NOT_FOR_DRY_RUN = frozenset({"--quiet", "--verbose", "--debug", "--progress-bar", "--report", "--dry-run"})
_ABOUT_BUILDING = frozenset({"--only-binary", "--no-binary", "--prefer-binary"})
_IMPLEMENTATIONS = {"cpython": "cp", "pypy": "pp"}  # as pip's --implementation names them


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The pip that resolves for an environment, and the words that name another machine to it.

    ``wheels_only``: it builds nothing; then pip wants no other word about that than ":all:".
    """

    pip: Pip
    version: Version
    words: tuple[str, ...] = ()
    wheels_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What pip would install: the items of its report (pip.pypa.io, "Installation Report")."""

    items: tuple[Mapping[str, Any], ...]

    def versions(self) -> dict[str, str]:
        """PEP 503 name -> version."""
        return {name_of(item): item["metadata"]["version"] for item in self.items}

    def find(self, name: str) -> Mapping[str, Any] | None:
        """The item of a package."""
        return next((item for item in self.items if name_of(item) == name), None)

    def wanted_of(self, name: str) -> SpecifierSet:
        """Every specifier that the others have for a package, whatever their markers."""
        texts = (text for item in self.items for text in item["metadata"].get("requires_dist") or ())
        found = [
            requirement.specifier for requirement in _readable(texts) if canonicalize_name(requirement.name) == name
        ]
        return reduce(and_, found, SpecifierSet())


def name_of(item: Mapping[str, Any]) -> str:
    """The PEP 503 name of an item."""
    return canonicalize_name(item["metadata"]["name"])


def _readable(texts: Iterable[str]) -> Iterator[Requirement]:
    for text in texts:
        with suppress(InvalidRequirement):
            yield Requirement(text)


def serving_here(installation: Installation, environment: Environment, *, everything: bool) -> Serving:
    """pipfallback's own pip in the interpreter that is locked for, else that one's own pip. Raises TargetError.

    ``everything``: what is installed there already does not count.
    """
    words = ("--ignore-installed",) if everything else ()
    own = own_pip(installation, environment.python.version)
    if own is not None and Version(own_pip_version()) >= _REPORTS:
        return Serving(pip=own, version=Version(own_pip_version()), words=words)
    if installation.pip is not None and Version(installation.pip) >= _REPORTS:
        return Serving(pip=Pip(executable=installation.executable), version=Version(installation.pip), words=words)
    there = "has no pip that can" if installation.pip is None else f"has pip {installation.pip}, which cannot"
    raise TargetError(
        f"{installation.executable} {there} say what it would install",
        details=(f"pip {_REPORTS} and newer can; pipfallback's own {own_pip_version()} does not serve this Python",),
        hints=(
            f"{installation.executable} -m pip install --upgrade pip",
            f"or describe it as another machine: --python-version {'.'.join(environment.python.version.split('.')[:2])}",
        ),
    )


def serving_elsewhere(environment: Environment, target: Path) -> Serving:
    """Our own pip in our own interpreter, told of another machine. ``target``: a folder for pip to have, left empty."""
    answers = json.dumps(dict(answers_of(environment)), sort_keys=True)
    own = importlib.metadata.distribution("pip")
    pip = Pip(executable=sys.executable, borrowed=str(own.locate_file("")), by=(str(_ELSEWHERE), answers))
    python = environment.python
    native = [tag for tag in environment.tags if tag.abi != "none"]
    platforms = dict.fromkeys(tag.platform for tag in environment.tags if tag.platform != "any")
    abis = list(dict.fromkeys(tag.abi for tag in native if _own(tag, python.version)))
    return Serving(
        pip=pip,
        version=Version(own.version),
        wheels_only=True,
        words=(
            "--target", str(target), "--only-binary", ":all:",
            "--python-version", python.version,
            "--implementation", _IMPLEMENTATIONS.get(python.implementation, python.implementation),
            *(word for abi in abis for word in ("--abi", abi)),
            *(word for platform in platforms for word in ("--platform", platform)),
        ),
    )  # fmt: skip


def _own(tag: Tag, version: str) -> bool:
    """Whether a tag is of this very Python and not one of older ones that it runs too (abi3)."""
    return tag.interpreter.endswith("".join(version.split(".")[:2])) and not tag.abi.startswith("abi3")


@dataclass(slots=True, kw_only=True)
class Resolver:
    """Asks pip for one command. ``never_built``: packages that pip must not build. ``folder``: for files of ours.

    ``pins``: what must stay as it is, as constraints; where pip refuses those, ``looser`` ones are tried.
    """

    asks: Asks
    serving: Serving
    folder: Path
    never_built: Collection[str]
    pins: Sequence[str] = ()
    looser: Sequence[str] = ()
    _runs: int = field(default=0)

    def resolve(
        self, named: Mapping[str, str], unnamed: Collection[str] = (), left_out: Collection[str] = ()
    ) -> Resolved | Failure:
        """What pip would install.

        ``named``: requirements in the place of what is asked of packages, by name; ``unnamed``: requirements for what
        others ask for; ``left_out``: packages that are not asked for.
        """
        answer = self._run(named, unnamed, left_out, self.pins)
        if isinstance(answer, Failure) and tuple(self.looser) != tuple(self.pins):
            return self._run(named, unnamed, left_out, self.looser)
        return answer

    def _run(
        self, named: Mapping[str, str], unnamed: Collection[str], left_out: Collection[str], pins: Sequence[str]
    ) -> Resolved | Failure:
        self._runs += 1
        place = self.folder / f"run-{self._runs}"
        place.mkdir()
        report, constraints = place / "report.json", place / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in (*pins, *unnamed)), encoding="utf-8")
        lazily = ("--use-feature", "fast-deps") if self.serving.version >= _READS_METADATA_ONLY else ()
        building = () if self.serving.wheels_only else without_building(self.asks.command, self.never_built)
        ours = ("--quiet", "--dry-run", "--report", str(report), *lazily, *building, "--constraint", str(constraints))

        def options(item: Item) -> Sequence[str] | None:
            if item.kind == "command":
                return ("install", *self.serving.words, *ours)
            dropped = item.name in _NOT_FOR_DRY_RUN or (self.serving.wheels_only and item.name in _ABOUT_BUILDING)
            return () if dropped else None

        wording = reworded(self.asks, replacing(named, left_out), place, options=options)
        variables = {
            **wording.variables,
            **({"PIP_USER": "0"} if self.serving.wheels_only else {}),
        }  # not with --target
        run = self.serving.pip.run(wording.words, quiet=True, variables=variables)
        if run.failure is not None:
            return run.failure
        return Resolved(items=tuple(json.loads(report.read_text(encoding="utf-8"))["install"]))
