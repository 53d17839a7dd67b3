"""Where builds are published: one module for each kind of source, each turning a source into candidates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from pipfallback.builds import Candidate
from pipfallback.catalog import Package, Source, SourceKind
from pipfallback.sources import github, huggingface, index, links, pattern, sdist, url
from pipfallback.sources.asking import Asking
from pipfallback.sources.gathering import Gathered, Gathering
from pipfallback.sources.listed import Entry, MetadataFile, plain_url
from pipfallback.sources.reading import Note
from pipfallback.sources.sdist import SourceBuild
from pipfallback.trust import Trust

__all__ = [
    "Asking",
    "Listing",
    "MetadataFile",
    "Note",
    "SourceBuild",
    "candidates",
    "leaves_out",
    "listings",
    "with_the_rest",
]

Lister: TypeAlias = Callable[[Source, int], Iterator[Candidate | Note]]
AskingLister: TypeAlias = Callable[[Source, int, str, Asking], Iterator[Entry]]

_LISTERS: Mapping[SourceKind, Lister] = {"url": url.candidates, "pattern": pattern.candidates}
_ASKING_LISTERS: Mapping[SourceKind, AskingLister] = {
    "github": github.candidates,
    "huggingface": huggingface.candidates,
    "links": links.candidates,
    "index": index.candidates,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The candidates of a package, in the order of its sources, and why something is not among them.

    ``metadata_files``: see ``metadata_of``. ``source_builds``: what pip may build, after all candidates.
    """

    candidates: tuple[Candidate, ...]
    notes: tuple[Note, ...] = ()
    metadata_files: Mapping[str, MetadataFile] = field(default_factory=dict)
    source_builds: tuple[SourceBuild, ...] = ()

    def metadata_of(self, candidate: Candidate) -> MetadataFile | None:
        """Where the METADATA of a candidate can be had without its wheel (PEP 658); None where the index says nothing."""
        return self.metadata_files.get(plain_url(candidate.location))


class _Place(NamedTuple):
    """One source to be asked: of which question it is, and where it stands in the question's package."""

    question: int
    position: int


def candidates(package: Package, ask: Asking | None = None, *, trust: Trust = Trust.COMMUNITY) -> Listing:
    """Every build that the sources of ``package`` list; what cannot be had is noted.

    All sources that have to be asked are asked at once; those that have not answered by ``ask.deadline`` are noted and
    what they have listed so far counts. The order is that of the sources, whoever answers first. Without ``ask``
    nobody is asked. Sources that are trusted less than ``trust`` are not asked either (``with_the_rest`` does that).
    """
    return listings([(package, ask)], asked_too=lambda source: source.trust.rank <= trust.rank)[0]


def with_the_rest(listing: Listing, package: Package, ask: Asking, *, trust: Trust) -> Listing:
    """What ``candidates`` listed for a level of trust, and what the sources below it list."""
    rest = listings([(package, ask)], asked_too=lambda source: source.trust.rank > trust.rank, at_hand=False)[0]
    found = sorted((*listing.candidates, *rest.candidates), key=lambda candidate: candidate.order)
    return Listing(
        candidates=tuple(_merged(found, asked={candidate.order[0] for candidate in rest.candidates})),
        notes=(*listing.notes, *rest.notes),
        metadata_files={**rest.metadata_files, **listing.metadata_files},
        source_builds=listing.source_builds,
    )


def leaves_out(package: Package, trust: Trust) -> bool:
    """Whether ``candidates`` for that level of trust leaves a source unasked."""
    return any(source.kind in _ASKING_LISTERS and source.trust.rank > trust.rank for source in package.sources)


def _everyone(_: Source) -> bool:
    return True


def listings(
    questions: Sequence[tuple[Package, Asking | None]],
    *,
    asked_too: Callable[[Source], bool] = _everyone,
    at_hand: bool = True,
) -> list[Listing]:
    """As ``candidates``, for several packages at once; the longest deadline among them holds.

    ``asked_too``: which of the sources that have to be asked are; ``at_hand``: what needs no asking is listed as well.
    """
    places, asked = [], []
    for number, (package, ask) in enumerate(questions):
        for position, source in enumerate(package.sources):
            lister = _ASKING_LISTERS.get(source.kind)
            if lister is not None and ask is not None and asked_too(source):
                places.append(_Place(number, position))
                asked.append(lister(source, position, package.name, ask))
    seconds = max((ask.deadline for _, ask in questions if ask is not None), default=0.0)
    gathering = Gathering(asked, seconds=seconds)
    here = [_at_hand(package, ask) if at_hand else {} for package, ask in questions]
    answers = dict(zip(places, gathering.wait(), strict=True))
    return [
        _listing(
            package, own, {place.position: got for place, got in answers.items() if place.question == number}, seconds
        )
        for number, ((package, _), own) in enumerate(zip(questions, here, strict=True))
    ]


_Here: TypeAlias = Mapping[int, tuple[Candidate | Note | SourceBuild, ...]]


def _at_hand(package: Package, ask: Asking | None) -> _Here:
    """By the source's place, what can be said without asking anybody."""
    here: dict[int, tuple[Candidate | Note | SourceBuild, ...]] = {}
    for position, source in enumerate(package.sources):
        if source.kind == "sdist":
            allowed = ask is not None and ask.allow_build
            here[position] = (sdist.source_build(source, package.name, allowed=allowed),)
        elif lister := _LISTERS.get(source.kind):
            here[position] = tuple(lister(source, position))
        elif ask is None:
            here[position] = (Note(source=source.name, text="not asked here", cause="offline"),)
    return here


def _listing(package: Package, here: _Here, answers: Mapping[int, Gathered[Entry]], seconds: float) -> Listing:
    found: list[Candidate] = []
    notes: list[Note] = []
    metadata: dict[str, MetadataFile] = {}
    builds: list[SourceBuild] = []
    for position, source in enumerate(package.sources):
        entries: list[Entry | SourceBuild] = [*here.get(position, ())]
        if answer := answers.get(position):
            entries += answer.entries
            notes += _late(source, answer, seconds)
        for entry in entries:
            if isinstance(entry, Candidate):
                found.append(entry)
            elif isinstance(entry, Note):
                notes.append(entry)
            elif isinstance(entry, MetadataFile):
                metadata.setdefault(plain_url(entry.wheel), entry)
            else:
                builds.append(entry)
    merged = _merged(found, asked=answers.keys()) if answers else found
    return Listing(candidates=tuple(merged), notes=tuple(notes), metadata_files=metadata, source_builds=tuple(builds))


def _late(source: Source, answer: Gathered[Entry], seconds: float) -> list[Note]:
    if not answer.late:
        return []
    count = sum(isinstance(entry, Candidate) for entry in answer.entries)
    text = (
        f"did not answer within {seconds:.0f} s"
        if not count
        else f"had listed {count} builds when {seconds:.0f} s were over"
    )
    return [
        Note(source=source.name, text=text, cause="late", hint="ask again later; its answer may be in the cache then")
    ]


def _merged(found: Sequence[Candidate], asked: Collection[int]) -> list[Candidate]:
    """Each file once where an asked source lists what another table has as well, such as a pattern of the same releases.

    ``asked``: the places of the sources that were asked. What the catalog itself lists twice stays.
    """
    merged: list[Candidate] = []
    known: dict[str, int] = {}
    for candidate in found:
        location = plain_url(candidate.location)
        at = known.setdefault(location, len(merged))
        if at == len(merged) or not {candidate.order[0], merged[at].order[0]} & set(asked):
            merged.append(candidate)
        else:
            merged[at] = _one_of(merged[at], candidate, asked)
    return merged


def _one_of(first: Candidate, second: Candidate, asked: Collection[int]) -> Candidate:
    """Of two entries for one file that of the more trusted source, else the first.

    A hash that the catalog states counts before one that a listing states, and a listing that is trusted less than the
    source that is kept has no say: with a false hash it could turn a good file away.
    """
    kept, other = (first, second) if first.trust.rank <= second.trust.rank else (second, first)
    stated = [one.sha256 for one in (kept, other) if one.order[0] not in asked and one.sha256]
    heard = (kept, other) if kept.trust is other.trust else (kept,)
    listed = [one.sha256 for one in heard if one.sha256]
    size = next((one.size for one in heard if one.size is not None), None)
    return replace(kept, sha256=next(iter((*stated, *listed)), None), size=size)
