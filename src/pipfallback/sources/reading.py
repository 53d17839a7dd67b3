"""What every kind of source does with a URL that it has found: read it into a candidate, or say why not."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipfallback.builds import Candidate, LabelHints, UnreadableFilenameError, listed_candidate, read_build
from pipfallback.catalog import Source
from pipfallback.toml_document import redacted

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
