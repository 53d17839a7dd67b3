"""Reads tests/scenarios/*.toml: what is here, which builds there are, and what is to be said of each.

A scenario lists its builds in the order in which they are to be ranked. A build is "WHEEL => EXPECTED", EXPECTED being
"fits", "plausible" or the broken rules; or a table of ``wheel``, ``expect`` and more (see ``_candidate``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from pipfallback.builds import NO_HINTS, Candidate, LabelHints, Metadata, read_build, with_metadata
from pipfallback.compatibility import Policy
from pipfallback.environment import Driver, Environment, Gpu, Python, Torch
from pipfallback.ranking import Wish
from pipfallback.releases import driver_cuda, official_cxx11_abi
from pipfallback.tags import tags_for
from pipfallback.trust import Trust

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent
# What is here unless a scenario says otherwise: an image build, without driver and GPU.
_HERE = {"python": "3.11.9", "platform": "linux_x86_64", "glibc": "2.35", "torch": "2.7.1+cu126"}


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is to be said of one candidate."""

    candidate: Candidate
    expect: str
    says: str | None = None
    doubt: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One case, and the defect that it would catch."""

    name: str
    catches: str
    environment: Environment
    policy: Policy
    wish: Wish
    expectations: tuple[Expectation, ...]
    hints: tuple[str, ...] | None = None


def scenarios() -> Iterator[Scenario]:
    """All scenarios of all files; the name begins with the file's."""
    for path in sorted(FOLDER.glob("*.toml")):
        for table in tomllib.loads(path.read_text(encoding="utf-8"))["scenario"]:
            yield scenario(f"{path.stem}: {table['name']}", table)


def scenario(name: str, table: Mapping[str, Any]) -> Scenario:
    """One scenario from its table."""
    specifier = SpecifierSet(table["specifier"]) if "specifier" in table else None
    wished = Version(table["url_version"]) if "url_version" in table else None
    needs = table.get("needs", ["torch"])
    return Scenario(
        name=name,
        catches=table["catches"],
        environment=environment({**_HERE, **table.get("here", {})}),
        policy=Policy(
            trust=Trust(table.get("trust", "vendor")),
            needs=None if needs == "unlisted" else tuple(needs),
            specifier=specifier,
            hashes=frozenset(table["hashes"]) if "hashes" in table else None,
        ),
        wish=Wish.of(specifier, version=wished, pre=table.get("pre", False)),
        expectations=tuple(_expectation(build, table) for build in table["builds"]),
        hints=tuple(table["hints"]) if "hints" in table else None,
    )


def environment(here: Mapping[str, Any]) -> Environment:
    """An environment from a few words: ``python = "3.13.1t"`` is free-threaded, ``torch = ""`` is none."""
    version, platform = here["python"].rstrip("t"), here["platform"]
    implementation = here.get("implementation", "cpython")
    free_threaded = here["python"].endswith("t")
    glibc = here["glibc"] if "linux" in platform and "musl" not in here else None
    return Environment(
        python=Python(version=version, implementation=implementation, free_threaded=free_threaded),
        platform=platform,
        glibc=glibc,
        musl=here.get("musl"),
        tags=tags_for(
            version,
            platform=platform,
            implementation=implementation,
            free_threaded=free_threaded,
            glibc=glibc,
            musl=here.get("musl"),
            soabi=here.get("soabi"),
        ),
        torch=_torch(here),
        driver=_driver(here),
        gpus=tuple(Gpu(compute_capability=capability) for capability in here.get("gpus", [])),
        cuda_toolkit=here.get("toolkit"),
        rocm_toolkit=here.get("rocm_toolkit"),
        installed=here.get("installed"),
        origins=here.get("origins", {}),
    )


def _torch(here: Mapping[str, Any]) -> Torch | None:
    """CUDA and ROCm are read from the label unless stated; the C++ ABI is that of the official wheel unless stated."""
    version = here["torch"]
    if not version:
        return None
    label = version.partition("+")[2]
    cuda = here.get("cuda") or (f"{label[2:-1]}.{label[-1]}" if label.startswith("cu") else None)
    abi = here.get("abi", official_cxx11_abi(version, cuda, here["platform"]))
    return Torch(
        version=version,
        cuda=cuda,
        rocm=".".join(label.removeprefix("rocm").split(".")[:2]) if label.startswith("rocm") else None,
        cxx11_abi=None if abi == "unknown" else abi,
        cpu=label == "cpu" or here.get("cpu", False),
    )


def _driver(here: Mapping[str, Any]) -> Driver | None:
    if "driver" not in here and "driver_cuda" not in here:
        return None
    version = here.get("driver")
    windows = here["platform"].startswith("win")
    return Driver(version=version, cuda=here.get("driver_cuda") or (version and driver_cuda(version, windows=windows)))


def _expectation(build: str | Mapping[str, Any], table: Mapping[str, Any]) -> Expectation:
    if isinstance(build, str):
        wheel, _, expect = build.partition(" => ")
        build = {"wheel": wheel, "expect": expect}
    return Expectation(
        candidate=_candidate({**table.get("all", {}), **build}),
        expect=build["expect"],
        says=build.get("says"),
        doubt=build.get("doubt"),
    )


def _candidate(build: Mapping[str, Any]) -> Candidate:
    """``labels``: LabelHints of its source. ``metadata``: Requires-Dist lines. ``file``: what a look into it showed."""
    labels = build.get("labels", {})
    hints = LabelHints(**{key: tuple(value) if key == "archs" else value for key, value in labels.items()})
    read = read_build(build["wheel"], hints if labels else NO_HINTS)
    if "metadata" in build or "requires_python" in build:
        metadata = Metadata(
            name=read.name,
            version=str(read.version),
            requires_python=SpecifierSet(build["requires_python"]) if "requires_python" in build else None,
            requires=tuple(Requirement(line) for line in build.get("metadata", [])),
        )
        read = with_metadata(read, metadata)
    shown = {key: tuple(value) if key == "archs" else value for key, value in build.get("file", {}).items()}
    wheel = build["wheel"]
    return Candidate(
        build=replace(read, **shown),
        location=wheel if "://" in wheel else f"https://example.org/{wheel}",
        source=build.get("source", "somebody"),
        trust=Trust(build.get("trust", "vendor")),
        sha256=build.get("sha256"),
        order=(build.get("table", 0), build.get("place", 0)),
    )
