"""Kind ``url``: the wheels themselves."""

from __future__ import annotations

from collections.abc import Iterator

from pipfallback.builds import Candidate
from pipfallback.catalog import Source
from pipfallback.sources.reading import Note, read_candidate


def candidates(source: Source, index: int) -> Iterator[Candidate | Note]:
    """The builds at the URLs of ``source``, in their order. ``index``: the place of the source in its package."""
    for place, url in enumerate(source.urls):
        yield read_candidate(source, url, (index, place), source.hints)
