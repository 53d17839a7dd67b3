"""METADATA of a candidate without its wheel, where the index gives it as a file of its own (PEP 658)."""

from __future__ import annotations

import hashlib

from pipfallback.net.failures import FetchFailure
from pipfallback.net.pages import Pages
from pipfallback.sources.listed import MetadataFile


def fetch_metadata(file: MetadataFile, pages: Pages) -> bytes | FetchFailure:
    """The content of a METADATA file, a few kB; ``inspection.wheel.parse_metadata`` reads it.

    Where the index states its sha256 and what came has another, that is a failure: the wheel's own METADATA counts.
    """
    page = pages.get(file.url)
    if isinstance(page, FetchFailure):
        return page
    if file.sha256 is not None and hashlib.sha256(page.body).hexdigest() != file.sha256:
        return FetchFailure(cause="hash-mismatch", message="its METADATA is not the one whose sha256 the index states")
    return page.body
