"""What fallbacks.toml files say, as typed values (DESIGN 6). ``catalog_reader.load`` reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from pipfallback.builds import NO_HINTS, LabelHints
from pipfallback.trust import Trust

_SHA256 = re.compile(r"[#&]sha256=([0-9a-fA-F]{64})(?:&|$)")

SourceKind = Literal["url", "pattern", "github", "huggingface", "links", "index", "sdist"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """Values for the placeholders of a template; every combination of them exists.

    ``values`` are in the order in which they vary, the last one fastest. A value may itself hold placeholders
    (``tag = "v{version}"``). ``hints`` hold for the builds of this row.
    """

    values: Mapping[str, tuple[str, ...]]
    hints: LabelHints = NO_HINTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Some of the builds of a pattern: those that have one of ``values`` for each placeholder that is named there.

    The values are as the matrix has them, before placeholders in them are filled in. ``hints`` hold for these builds;
    what they leave open stays as it is.
    """

    values: Mapping[str, frozenset[str]]
    hints: LabelHints = NO_HINTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place that lists builds, as its table in fallbacks.toml states it.

    ``urls``: for kind "url" the wheels themselves, else one template (none for "sdist"). ``sha256``: lower-case hashes
    by URL. ``matrix``: for kind "pattern", the rows that fill the template; a row leaves no placeholder open but
    ``{python_abi}``, which follows from ``{python}``. ``exceptions``: what the rows make and does not exist.
    ``where``: what is known of some of the builds, later ones win. ``hints`` tell how to read names. ``homepage`` is
    for people.
    ``named``: the user named the file that the table stands in, so that its hashes are the user's word.
    """

    name: str
    kind: SourceKind
    trust: Trust
    urls: tuple[str, ...]
    sha256: Mapping[str, str] = field(default_factory=dict)
    matrix: tuple[MatrixRow, ...] = ()
    exceptions: tuple[Condition, ...] = ()
    where: tuple[Condition, ...] = ()
    hints: LabelHints = NO_HINTS
    homepage: str | None = None
    named: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What the catalog knows of one package. ``name`` is PEP 503-normalised; ``imports`` prove that it works.

    ``other_imports``: instead of ``imports``, for the versions that a specifier names; the first that contains a
    version holds. Use ``imports_for``. ``smoke``: code that runs one small kernel on the GPU and checks its numbers;
    ``smoke_unproven``: nobody has seen it pass on a GPU, so its failure warns, and undoes nothing. ``sources`` are in the
    order in which they are preferred.
    """

    name: str
    imports: tuple[str, ...]
    other_imports: tuple[tuple[SpecifierSet, tuple[str, ...]], ...] = ()
    needs: tuple[str, ...] = ()
    smoke: str | None = None
    smoke_unproven: bool = False
    sources: tuple[Source, ...] = ()

    @property
    def named_hashes(self) -> frozenset[str]:
        """The sha256 that files which the user named pin.

        Where hashes are required (pip's --require-hashes) they count beside those of the requirement; what a listing
        states of its own files never does.
        """
        named = [source for source in self.sources if source.named]
        in_urls = [_SHA256.search(url) for source in named for url in source.urls]
        stated = {digest for source in named for digest in source.sha256.values()}
        return frozenset(stated | {found[1].lower() for found in in_urls if found})

    def imports_for(self, version: Version | str | None) -> tuple[str, ...]:
        """What must import where ``version`` is installed; an unknown or unreadable version is taken as a new one."""
        try:
            known = Version(version) if isinstance(version, str) else version
        except InvalidVersion:
            known = None
        if known is not None:
            for versions, imports in self.other_imports:
                if versions.contains(known, prereleases=True):
                    return imports
        return self.imports


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All fallbacks.toml files in force, merged. ``notes`` are lines to print before anything else."""

    packages: Mapping[str, Package]
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
