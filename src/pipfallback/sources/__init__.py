"""Where builds are published: one module for each kind of source, each turning a source into candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pipfallback.builds import Candidate
from pipfallback.catalog import Package, Source, SourceKind
from pipfallback.sources import pattern, url
from pipfallback.sources.reading import Note

Lister = Callable[[Source, int], Iterator[Candidate | Note]]

_LISTERS: Mapping[SourceKind, Lister] = {"url": url.candidates, "pattern": pattern.candidates}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The candidates of a package, in the order of its sources, and why something is not among them."""

    candidates: tuple[Candidate, ...]
    notes: tuple[Note, ...] = ()


def candidates(package: Package) -> Listing:
    """Every build that the sources of ``package`` list, whatever their trust; a source that cannot be read is noted."""
    found: list[Candidate] = []
    notes: list[Note] = []
    for index, source in enumerate(package.sources):
        lister = _LISTERS.get(source.kind)
        if lister is None:
            notes.append(Note(source=source.name, text=f'sources of kind "{source.kind}" are not read by this version'))
            continue
        for entry in lister(source, index):
            if isinstance(entry, Note):
                notes.append(entry)
            else:
                found.append(entry)
    return Listing(candidates=tuple(found), notes=tuple(notes))
