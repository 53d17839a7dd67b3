"""Asking the sources of one made-up package, ``wobbly``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.tags import parse_tag

from pipfallback import sources
from pipfallback.builds import NO_HINTS, Candidate, LabelHints
from pipfallback.catalog import Package, Source, SourceKind
from pipfallback.environment import Environment, Python, Torch
from pipfallback.net.client import Client
from pipfallback.net.pages import Pages
from pipfallback.net.settings import NetworkSettings
from pipfallback.sources.asking import Asking
from pipfallback.trust import Trust

CUDA_TORCH = Torch(version="2.7.1+cu126", cuda="12.6")


# One for all tests, as a program has one: it opens connections when it is asked, and the servers of the tests end them.
CLIENT = Client(NetworkSettings(proxy="", timeout=5.0, retries=0), environ={})


def environment(torch: Torch | None = CUDA_TORCH, **more: Any) -> Environment:
    """CPython 3.10 on Linux with a torch."""
    tags = tuple(parse_tag("cp310-cp310-linux_x86_64"))
    return Environment(python=Python(version="3.10.13"), platform="linux_x86_64", tags=tags, torch=torch, **more)


def source(
    kind: SourceKind,
    *urls: str,
    name: str = "Maker",
    trust: Trust = Trust.VENDOR,
    sha256: Mapping[str, str] | None = None,
    hints: LabelHints = NO_HINTS,
) -> Source:
    """A source table."""
    return Source(name=name, kind=kind, trust=trust, urls=urls, sha256=sha256 or {}, hints=hints)


def package(*given: Source, name: str = "wobbly") -> Package:
    """A package of the catalog."""
    return Package(name=name, imports=("wobbly",), sources=given)


def asking(pages: Pages | None = None, specifier: str = "", torch: Torch | None = CUDA_TORCH, **more: Any) -> Asking:
    """What the sources are asked with; over the program's own client where no ``pages`` are given."""
    more.setdefault("environment", environment(torch))
    return Asking(pages=pages or CLIENT, specifier=SpecifierSet(specifier), **more)


def listing(*given: Source, ask: Asking | None = None) -> sources.Listing:
    """What the sources list of ``wobbly``."""
    return sources.candidates(package(*given), ask or asking())


def names(found: sources.Listing) -> list[str]:
    """The file names of the candidates, in their order."""
    return [candidate.build.filename for candidate in found.candidates]


def only(found: sources.Listing) -> Candidate:
    """The one candidate that is listed."""
    (candidate,) = found.candidates
    return candidate
