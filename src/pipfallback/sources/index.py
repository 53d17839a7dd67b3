"""Kind ``index``: a package index, as HTML (PEP 503) or JSON (PEP 691), the catalog's or pip's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

from pipfallback.catalog import Source
from pipfallback.net.failures import FetchFailure
from pipfallback.net.pages import Page
from pipfallback.sources.asking import Asking
from pipfallback.sources.html_page import files_of, metadata_beside
from pipfallback.sources.json_pages import as_sha256, as_size, as_text, read_json
from pipfallback.sources.links import files_at, with_hints
from pipfallback.sources.listed import Entry, ListedFile, MetadataFile, as_candidates, is_absolute, may_lead_to, note_of
from pipfallback.sources.reading import Note
from pipfallback.sources.templates import Filled, Unfilled, fill

# As pip asks (PEP 691, version and format selection).
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"


def candidates(source: Source, index: int, name: str, ask: Asking) -> Iterator[Entry]:
    """The wheels of ``name`` on an index, in its order.

    The source's URL is the index's root (``…/simple/``), where placeholders may stand; without one pip's own settings
    hold: --index-url, --extra-index-url, --find-links, and of these only the last under --no-index.
    """
    if not source.urls:
        yield from as_candidates(_files_of_pip(source, name, ask), source, index, name, ask.specifier)
        return
    roots = fill(source.urls[0], ask.environment)
    if isinstance(roots, Unfilled):
        yield Note(source=source.name, text=roots.text, cause="unfilled", hint=roots.hint)
        return
    yield from as_candidates(_files_of_first(source, roots, name, ask), source, index, name, ask.specifier)


def _files_of_first(source: Source, roots: Sequence[Filled], name: str, ask: Asking) -> tuple[ListedFile | Note, ...]:
    """Of the first root that has the project; what is told of several that lack it is told of the last."""
    if ask.offline and not all(root.url.startswith("file:") for root in roots):
        return (Note(source=source.name, text="no index is asked", cause="offline", hint="leave out --no-index"),)
    for root in roots[:-1]:
        found = _files(source, root, name, ask)
        if not _lacks(found):
            return found
    return _files(source, roots[-1], name, ask)


def _files_of_pip(source: Source, name: str, ask: Asking) -> Iterable[ListedFile | Note]:
    """Of all indexes and pages that pip would look at; that one of several has no such project is not worth a word."""
    if not (ask.offline or ask.extra_index_urls or ask.find_links):
        return _files(source, Filled(url=ask.index_url), name, ask)
    return _files_of_several(source, name, ask)


def _files_of_several(source: Source, name: str, ask: Asking) -> Iterator[ListedFile | Note]:
    if ask.offline and not ask.find_links:
        yield Note(source=source.name, text="pip's index is not asked", cause="offline", hint="leave out --no-index")
    roots = () if ask.offline else dict.fromkeys((ask.index_url, *ask.extra_index_urls))
    answers = [_files(source, Filled(url=root), name, ask) for root in roots]
    lacking = [answer for answer in answers if _lacks(answer)]
    for answer in answers:
        if answer not in lacking or len(lacking) == len(answers):
            yield from answer
    for place in ask.find_links:
        url = place if "://" in place or place.startswith("file:") else Path(place).expanduser().absolute().as_uri()
        yield from files_at(source, (Filled(url=url),), name, ask)


def _lacks(found: Sequence[ListedFile | Note]) -> bool:
    """Whether an index says that it has no such project."""
    return any(isinstance(one, Note) and one.cause == "not-found" for one in found)


def _files(source: Source, root: Filled, name: str, ask: Asking) -> tuple[ListedFile | Note, ...]:
    url = f"{root.url.rstrip('/')}/{name}/"
    if url.startswith("file:"):
        url += "index.html"  # as pip reads an index on disk
    page = ask.pages.get(url, accept=_ACCEPT)
    if isinstance(page, FetchFailure):
        return (note_of(source, page, about=url),)
    said = _files_of_json(page) if _is_json(page) else files_of(page, name)
    if isinstance(said, FetchFailure):
        return (note_of(source, said, about=url),)
    return with_hints(said, root, page.url, source)


def _is_json(page: Page) -> bool:
    """By what it holds: static hosts serve JSON as text/html or octets, and the reverse."""
    return page.body.lstrip()[:1] in {b"{", b"["} or "json" in page.headers.get("content-type", "").lower()


def _files_of_json(page: Page) -> tuple[ListedFile, ...] | FetchFailure:
    """The files of a JSON page, each once (PEP 691, with 592, 658, 700 and 714)."""
    return _read(page.url, page.body)


# A lock and a Dockerfile ask the same page for one environment after another.
@lru_cache(maxsize=64)
def _read(url: str, body: bytes) -> tuple[ListedFile, ...] | FetchFailure:
    page = Page(url=url, body=body, headers={})
    said = read_json(page)
    if isinstance(said, FetchFailure):
        return said
    files = said.get("files") if isinstance(said, dict) else None
    if not isinstance(files, list):
        return FetchFailure(cause="corrupt", message="answered with JSON that lists no files (PEP 691)")
    meta = said.get("meta")
    version = str(meta.get("api-version", "1.0")) if isinstance(meta, dict) else "1.0"
    if version.partition(".")[0] != "1":
        return FetchFailure(
            cause="corrupt", message=f"speaks version {version[:20]} of the index API; known is 1 (PEP 629)"
        )
    found: dict[str, ListedFile] = {}
    for entry in files:
        file = _file(entry, page.url) if isinstance(entry, dict) else None
        if file is not None:
            found.setdefault(file.url, file)
    return tuple(found.values())


def _file(entry: dict[str, Any], base: str) -> ListedFile | None:
    """One file; a value of the wrong type counts as not given."""
    try:
        stated = as_text(entry.get("url")) or ""
        url = (stated if is_absolute(stated) else urljoin(base, stated)).partition("#")[0]
    except ValueError:
        return None
    if not may_lead_to(url, base):
        return None
    last = url.partition("?")[0].rpartition("/")[2]
    last = unquote(last) if "%" in last else last
    yanked = entry.get("yanked")
    return ListedFile(
        filename=last if last.lower().endswith(".whl") else as_text(entry.get("filename")) or last,
        url=url,
        sha256=_sha256(entry.get("hashes")),
        size=as_size(entry.get("size")),
        requires_python=as_text(entry.get("requires-python")),
        yanked="" if yanked is True else as_text(yanked),
        metadata=_metadata(entry, url),
    )


def _metadata(entry: dict[str, Any], url: str) -> MetadataFile | None:
    """PEP 714: the new key counts before that of PEP 658."""
    for key in ("core-metadata", "dist-info-metadata", "data-dist-info-metadata"):
        if key in entry:
            stated = entry[key]
            return metadata_beside(url, _sha256(stated)) if stated and isinstance(stated, bool | dict) else None
    return None


def _sha256(hashes: object) -> str | None:
    return as_sha256(hashes.get("sha256")) if isinstance(hashes, dict) else None
