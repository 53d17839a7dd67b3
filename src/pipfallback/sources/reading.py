"""What every kind of source does with a URL that it has found: read it into a candidate, or say why not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipfallback.builds import Candidate, LabelHints, UnreadableFilenameError, listed_candidate, read_build
from pipfallback.catalog import Source
from pipfallback.toml_document import redacted

_MANY = 3  # sources that cannot be reached, from which on they share a line
_UNREACHED = re.compile(r"(?P<host>\S+)(?P<way> \([^)]*\))? cannot be reached: (?P<why>.*)$")  # net.transport
_FRAGMENT_HASH = re.compile(r"(?:^|&)sha256=([0-9a-fA-F]{64})(?:&|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Why something of a source is not among its candidates.

    ``cause``: one word for programs, as FetchFailure has it, or "late", "empty", "unfilled", "yanked", "bad-name",
    "build-not-allowed". ``hint``: what the user can do, where something can be done.
    """

    source: str
    text: str
    cause: str | None = None
    hint: str | None = None


def in_words(notes: Sequence[Note], *, hints: bool = False) -> Iterator[str]:
    """A line for each note, with its hint if ``hints``; one for many sources of which the same is said.

    Without a network a package with a dozen sources would have a dozen lines that say the same.
    """
    alike: dict[str, list[Note]] = {}
    for note in notes:
        alike.setdefault(_gist(note), []).append(note)
    for note in notes:
        if len(alike[_gist(note)]) < _MANY:
            yield f"{note.source}: {note.text}" + _hinted([note], hints=hints)
    for gist, among in alike.items():
        if len(among) >= _MANY:
            yield _together(gist, among) + _hinted(among, hints=hints)


def _gist(note: Note) -> str:
    """What is said, without the host; with the proxy where one stands between: it may be the proxy that is dead."""
    found = _UNREACHED.search(note.text) if note.cause == "unreachable" else None
    return note.text if found is None else found["why"] + (found["way"] or "")


def _together(gist: str, notes: Sequence[Note]) -> str:
    by_host: dict[str, list[str]] = {}
    for note in notes:
        found = _UNREACHED.search(note.text)
        by_host.setdefault(found["host"] if found else "", []).append(note.source)
    if "" in by_host:
        return f"{len(notes)} sources: {gist} ({', '.join(note.source for note in notes)})"
    places = "; ".join(f"{host} ({', '.join(sources)})" for host, sources in by_host.items())
    return f"{len(notes)} sources cannot be reached: {gist}: {places}"


def _hinted(notes: Sequence[Note], *, hints: bool) -> str:
    said = dict.fromkeys(note.hint for note in notes if note.hint)
    return f" ({'; '.join(said)})" if hints and said else ""


def read_candidate(source: Source, url: str, order: tuple[int, int], hints: LabelHints) -> Candidate | Note:
    """The build at ``url``, a Note where its file name is no wheel's.

    A hash in the catalog wins over one in the URL's fragment (``#sha256=…``, PEP 503).
    """
    location, _, fragment = url.partition("#")
    try:
        build = read_build(location, hints)
    except UnreadableFilenameError as error:
        return Note(source=source.name, text=redacted(f"{location}: {error}"))
    in_fragment = _FRAGMENT_HASH.search(fragment) if fragment else None
    stated = source.sha256.get(url) or source.sha256.get(location) if source.sha256 else None
    sha256 = stated or (in_fragment[1].lower() if in_fragment else None)
    return listed_candidate(build, location, source.name, source.trust, order, sha256=sha256)
