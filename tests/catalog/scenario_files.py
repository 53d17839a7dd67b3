"""Reads tests/catalog/scenarios/*.toml: what the publishers list, and which build a person would choose where.

A file is about one package or a family::

    [listing]                       # by the source's name in fallbacks.toml: what that publisher lists, real names
    "Comfy-Forge" = ["natten-0.21.6+cu{126,128}torch{2.9,2.10}-cp{310,312}-cp{3}-win_amd64.whl"]
    "NATTEN" = ["https://github.com/SHI-Labs/NATTEN/releases/download/v0.21.6/natten-0.21.6+….whl"]
    [listing."Astral"]              # a source whose URL has placeholders: by the page's URL
    "https://wheels.astral.sh/simple/cu128" = ["flash_attn-2.8.3+cu.12.8.torch.2.11-….whl"]
    [listing."PyPI"]

    [[scenario]]
    package = "natten"
    name = "old"                    # unique for the package
    here = { torch = "2.6.0+cu124", python = "3.10.4", driver = "550.54.14", gpus = ["8.0"] }
    first = "natten-0.17.5+….whl"   # the file name of what must be tried first
    from = "NATTEN"                 # optional: the source that it is from
    grade = "fits"                  # optional: "fits" or "plausible"

Braces: ``{a,b}`` is each of them; ``{1}`` is what the first such brace of the name became. Names alone lie where that
publisher keeps its files (a GitHub release named ``v`` and the version, the root of a Hugging Face repository, beside
the page). An entry may be a table ``{ wheel = "…", requires = ["torch==2.9.0"], requires_python = ">=3.10" }``: an
index then offers its METADATA alone (PEP 658). Sources without a listing answer 404. Of a listing each package of the
file gets its own wheels; one that is for none of them is a mistake, as is a source that the catalog does not have or
does not ask (``pattern``, ``url``, ``sdist``).

``here`` is as in tests/scenarios, ``torch`` ("" for none) and ``python`` must be given; the platform is linux_x86_64
with glibc 2.35 unless stated; without ``driver`` and ``gpus`` it is an image build. Other keys of a scenario:
``request`` (``"flash-attn==2.8.3"``), ``trust`` (``"community"``; "vendor" unless stated), and instead of ``first``
``nothing = "RULE"``: no build is accepted, and the best of them is refused by that rule; ``"no-build"`` where none is
listed. A scenario counts as "old" where torch is 2.6 or older (without torch: Python 3.9 or older), as "current" where
torch is 2.9 or newer (Python 3.12 or newer).

By hand: ``python -m pytest -q tests/catalog -k "natten"``; a failure shows what was ranked first and why the expected
build was not.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from packaging.utils import canonicalize_name

from pipfallback import catalog_reader
from pipfallback.catalog import Catalog, Source
from pipfallback.environment import Environment
from pipfallback.sources.asking import PYPI
from scenarios.scenario_files import environment

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent / "scenarios"
ASKED = frozenset({"github", "huggingface", "links", "index"})
Era: TypeAlias = Literal["old", "current", "between"]

_KEYS = frozenset({"package", "name", "here", "request", "trust", "first", "from", "grade", "nothing"})
_HERE = frozenset({"torch", "cuda", "abi", "cpu", "python", "platform", "glibc", "musl", "driver", "driver_cuda"})
_HERE_TOO = frozenset({"gpus", "installed", "implementation", "origins", "toolkit", "rocm_toolkit"})
_ENTRY = frozenset({"wheel", "requires", "requires_python"})
_BRACE = re.compile(r"\{([^{}]*)\}")
_PLACEHOLDER = re.compile(r"\\\{\w+\\\}")


class ScenarioError(ValueError):
    """A mistake in a scenario file."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A wheel that a publisher lists. ``place``: its URL, or its name alone."""

    place: str
    requires: tuple[str, ...] | None = None
    requires_python: str | None = None

    @property
    def filename(self) -> str:
        """Its name."""
        return self.place.partition("#")[0].rpartition("/")[2].replace("%2B", "+")

    @property
    def project(self) -> str:
        """The distribution that its name says."""
        return canonicalize_name(self.filename.partition("-")[0])


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One request in one environment, and what must come first; ``nothing``: the rule that refuses the best build."""

    package: str
    name: str
    request: str
    environment: Environment
    era: Era
    trust: str
    first: str | None
    source: str | None
    grade: str | None
    nothing: str | None

    @property
    def without_gpu(self) -> bool:
        """Whether it is an image build."""
        return self.environment.driver is None and not self.environment.gpus


@dataclass(frozen=True, kw_only=True)
class ScenarioFile:
    """What one file says. ``listings``: by source and page; the page is "" where the source's URL has no placeholder."""

    name: str
    listings: Mapping[str, Mapping[str, tuple[Entry, ...]]] = field(default_factory=dict)
    scenarios: tuple[Scenario, ...] = ()

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that it has scenarios of."""
        return tuple(dict.fromkeys(scenario.package for scenario in self.scenarios))


def built_in_catalog() -> Catalog:
    """The catalog as it is shipped, and nothing of this machine."""
    return catalog_reader.load()


def scenario_files(catalog: Catalog) -> list[ScenarioFile]:
    """All files. Raises ScenarioError."""
    return [read(path, catalog) for path in sorted(FOLDER.glob("*.toml"))]


def read(path: Path, catalog: Catalog) -> ScenarioFile:
    """One file. Raises ScenarioError where it is not as the head of this module says."""
    said = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        _only(said, {"listing", "scenario"}, "the file")
        file = ScenarioFile(
            name=path.stem,
            listings={name: _listing(given) for name, given in said.get("listing", {}).items()},
            scenarios=tuple(map(_scenario, said["scenario"])),
        )
        _check(file, catalog)
    except (ScenarioError, KeyError) as error:
        raise ScenarioError(f"{path.name}: {error}") from error
    return file


def page_pattern(source: Source) -> re.Pattern[str] | None:
    """What the pages of a source look like whose URL has placeholders; None where it has none."""
    template = re.escape(source.urls[0] if source.urls else PYPI)
    return re.compile(_PLACEHOLDER.sub("[^/]+", template)) if _PLACEHOLDER.search(template) else None


def _only(table: Mapping[str, Any], known: frozenset[str] | set[str], where: str) -> None:
    if unknown := table.keys() - known:
        raise ScenarioError(f"{where}: unknown keys: {', '.join(sorted(unknown))}")


def _listing(given: Sequence[Any] | Mapping[str, Any]) -> Mapping[str, tuple[Entry, ...]]:
    pages = given if isinstance(given, Mapping) else {"": given}
    return {page: tuple(itertools.chain.from_iterable(map(_entries, entries))) for page, entries in pages.items()}


def _entries(given: str | Mapping[str, Any]) -> Iterator[Entry]:
    table: Mapping[str, Any] = {"wheel": given} if isinstance(given, str) else given
    _only(table, _ENTRY, "an entry of a listing")
    requires = table.get("requires")
    for place in _braces(table["wheel"]):
        yield Entry(
            place=place,
            requires=None if requires is None else tuple(requires),
            requires_python=table.get("requires_python"),
        )


def _braces(text: str) -> Iterator[str]:
    """Each name that the braces of a text stand for."""
    parts = _BRACE.split(text)
    literal, braces = parts[::2], parts[1::2]
    places = [place for place, brace in enumerate(braces) if not brace.isdigit()]
    for chosen in itertools.product(*(braces[place].split(",") for place in places)):
        values = dict(zip(places, chosen, strict=True))
        filled = [values[place] if place in values else chosen[int(brace) - 1] for place, brace in enumerate(braces)]
        yield "".join(itertools.chain.from_iterable(itertools.zip_longest(literal, filled, fillvalue="")))


def _scenario(table: Mapping[str, Any]) -> Scenario:
    where = f"{table['package']}: {table['name']}"
    here = table["here"]
    _only(table, _KEYS, where)
    _only(here, _HERE | _HERE_TOO, f"{where}: here")
    if ("first" in table) == ("nothing" in table) or ("nothing" in table and ({"from", "grade"} & table.keys())):
        raise ScenarioError(f"{where}: either first, perhaps with from and grade, or nothing")
    _ = here["torch"], here["python"]
    return Scenario(
        package=table["package"],
        name=table["name"],
        request=table.get("request", table["package"]),
        environment=environment({"platform": "linux_x86_64", "glibc": "2.35", **here}),
        era=_era(here["torch"], here["python"]),
        trust=table.get("trust", "vendor"),
        first=table.get("first"),
        source=table.get("from"),
        grade=table.get("grade"),
        nothing=table.get("nothing"),
    )


def _era(torch: str, python: str) -> Era:
    release = tuple(int(number) for number in re.findall(r"\d+", torch or python)[:2])
    oldest_current, newest_old = ((2, 9), (2, 6)) if torch else ((3, 12), (3, 9))
    return "current" if release >= oldest_current else "old" if release <= newest_old else "between"


def _check(file: ScenarioFile, catalog: Catalog) -> None:
    if twice := len(file.scenarios) - len({(one.package, one.name) for one in file.scenarios}):
        raise ScenarioError(f"{twice} scenarios have the name of another of the same package")
    if strange := set(file.packages) - catalog.packages.keys():
        raise ScenarioError(f"the catalog has no package {', '.join(sorted(strange))}")
    for name, pages in file.listings.items():
        sources = [source for each in file.packages for source in catalog.packages[each].sources if source.name == name]
        asked = [source for source in sources if source.kind in ASKED]
        if not asked:
            raise ScenarioError(f"{name!r} is no source that is asked, of {', '.join(file.packages)}")
        for page, entries in pages.items():
            patterns = [page_pattern(source) for source in asked]
            if not any(pattern.fullmatch(page) if pattern is not None else page == "" for pattern in patterns):
                raise ScenarioError(f"{name!r} has no page {page!r}")
            if strange := {entry.project for entry in entries} - set(file.packages):
                raise ScenarioError(f"{name!r} lists wheels of no package of this file: {', '.join(sorted(strange))}")
