"""Kind ``links``: a web page that links to wheels, or a folder of wheels on disk, as pip's ``--find-links`` takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from pipfallback.builds import LabelHints
from pipfallback.catalog import Source
from pipfallback.evidence import read_folder
from pipfallback.labels import NO_LABEL
from pipfallback.net.failures import FetchFailure
from pipfallback.net.pages import Page
from pipfallback.same import Same
from pipfallback.sources.asking import Asking
from pipfallback.sources.html_page import files_of
from pipfallback.sources.listed import Entry, ListedFile, as_candidates, note_of
from pipfallback.sources.reading import Note
from pipfallback.sources.templates import Filled, Unfilled, fill, page_hints

_ACCEPT = "text/html, application/xhtml+xml; q=0.9, */*; q=0.1"


def candidates(source: Source, index: int, name: str, ask: Asking) -> Iterator[Entry]:
    """The wheels of ``name`` that the page links to, in its order.

    The source's URL may hold placeholders (see ``templates``); where the page for the exact torch does not exist, that
    for the first patch of its series is read.
    """
    pages = fill(source.urls[0], ask.environment)
    if isinstance(pages, Unfilled):
        yield Note(source=source.name, text=pages.text, cause="unfilled", hint=pages.hint)
        return
    yield from as_candidates(files_at(source, pages, name, ask), source, index, name, ask.specifier)


def files_at(source: Source, pages: Sequence[Filled], name: str, ask: Asking) -> tuple[ListedFile | Note, ...]:
    """The wheels of project ``name`` on the first of ``pages`` that exists."""
    failures: list[Note] = []
    for page in pages:
        if page.url.partition("#")[0].endswith(".whl"):  # as pip takes it for --find-links
            return (ListedFile(filename=unquote(page.url.partition("#")[0].rpartition("/")[2]), url=page.url),)
        folder = _folder(page.url)
        found = folder or ask.pages.get(page.url, accept=_ACCEPT)
        if isinstance(found, Path):
            return tuple(_wheels_in(found))
        if isinstance(found, Page):
            return with_hints(files_of(found, name), page, found.url, source)
        failures.append(note_of(source, found, about=page.url))
        if not _is_missing(found):
            break
    return (failures[-1],)


def with_hints(files: tuple[ListedFile, ...], page: Filled, url: str, source: Source) -> tuple[ListedFile, ...]:
    """The files of a page at ``url``, those whose own folders say nothing with what the page's place says."""
    hints = page_hints(page, url, source.hints)
    return files if hints == source.hints else _hinted(Same(files), hints)


@lru_cache(maxsize=64)
def _hinted(files: Same[tuple[ListedFile, ...]], hints: LabelHints) -> tuple[ListedFile, ...]:
    telling: dict[str, bool] = {}
    found = []
    for file in files.thing:
        folder = file.url.rpartition("/")[0]
        if folder not in telling:
            telling[folder] = read_folder(folder.replace("%2B", "+").lower()) != NO_LABEL
        found.append(file if telling[folder] else replace(file, hints=hints))
    return tuple(found)


def _is_missing(failure: FetchFailure) -> bool:
    """Whether there is no such page. S3, behind data.pyg.org and dl.fbaipublicfiles.com, says 403 for what is not there."""
    return failure.cause in {"not-found", "unauthorized"}


def _folder(url: str) -> Path | None:
    """The folder on disk that a ``file:`` URL names; None for a page."""
    if not url.startswith("file:"):
        return None
    path = Path(url2pathname(urlsplit(url).path))
    return path if path.is_dir() else None


def _wheels_in(folder: Path) -> Iterator[ListedFile]:
    for path in sorted(folder.iterdir(), reverse=True):
        if path.suffix == ".whl" and path.is_file():
            yield ListedFile(filename=path.name, url=path.absolute().as_uri(), size=path.stat().st_size)
