"""What an asked source names: files, turned into candidates of one package, and what of it is passed over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from pipfallback.builds import Candidate, LabelHints, listed_candidate
from pipfallback.catalog import Source
from pipfallback.net.failures import FetchFailure
from pipfallback.same import Same
from pipfallback.sources.reading import Note, read_candidate
from pipfallback.toml_document import redacted

_SHOWN = 3  # of many files with the same trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataFile:
    """Where the METADATA of a wheel can be had without the wheel (PEP 658). ``wheel``: the candidate's location."""

    wheel: str
    url: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """A file as a listing names it. ``requires_python`` is the text of PEP 503's attribute; it may be no specifier.

    ``yanked``: why the file should not be used (PEP 592), None where it may. ``known_as``: its URL at the place that
    the catalog names, where a mirror gives another. ``hints``: how to read its name, where not as the source says.
    """

    filename: str
    url: str
    sha256: str | None = None
    size: int | None = None
    requires_python: str | None = None
    yanked: str | None = None
    metadata: MetadataFile | None = None
    known_as: str | None = None
    hints: LabelHints | None = None


Entry: TypeAlias = Candidate | Note | MetadataFile


def note_of(source: Source, failure: FetchFailure, *, about: str = "", hint: str | None = None) -> Note:
    """What a failure means for a listing. ``about``: the URL or what was asked; ``hint`` goes before the failure's."""
    text = redacted(f"{about}: {failure.message}" if about else failure.message)
    return Note(source=source.name, text=text, cause=failure.cause, hint=hint or failure.hint)


def as_candidates(
    files: Iterable[ListedFile | Note], source: Source, index: int, name: str, specifier: SpecifierSet
) -> Iterator[Entry]:
    """The wheels of project ``name`` among ``files``, in their order, and notes on what is passed over.

    Files of other projects and source archives are not told. A yanked file counts only where ``specifier`` pins its
    version (PEP 592). ``index``: the place of the source in its package. ``files`` that are a tuple are read once, for all
    environments that are asked about.
    """
    if isinstance(files, tuple):
        return iter(_read_once(Same(files), Same(source), index, name, specifier))
    return _read(files, source, index, name, specifier)


@lru_cache(maxsize=64)
def _read_once(
    files: Same[tuple[ListedFile | Note, ...]], source: Same[Source], index: int, name: str, specifier: SpecifierSet
) -> tuple[Entry, ...]:
    return tuple(_read(files.thing, source.thing, index, name, specifier))


def _read(
    files: Iterable[ListedFile | Note], source: Source, index: int, name: str, specifier: SpecifierSet
) -> Iterator[Entry]:
    hashes = {plain_url(url): digest for url, digest in source.sha256.items()}
    unreadable: list[str] = []
    yanked: list[ListedFile] = []
    silent = True
    place = 0
    for file in files:
        if isinstance(file, Note):
            silent = False
            yield file
            continue
        if not is_wheel_of(file.filename, name):
            continue
        silent = False
        found = _candidate(file, source, (index, place), hashes)
        if isinstance(found, Note):
            unreadable.append(file.filename)
        elif file.yanked is not None and not _pins(specifier, found):
            yanked.append(file)
        else:
            place += 1
            yield found
            if file.metadata is not None:
                yield file.metadata
    yield from _passed_over(source, unreadable, yanked)
    if silent:
        yield Note(source=source.name, text=f"lists no wheel of {name}", cause="empty")


def plain_url(url: str) -> str:
    """A URL without fragment and with the one character plain that some publishers encode and some do not."""
    if "#" in url:
        url = url.partition("#")[0]
    return url.replace("%2B", "+").replace("%2b", "+") if "%2" in url else url


def may_lead_to(url: str, page: str) -> bool:
    """Whether a listing at ``page`` may name ``url``: anything on the web, files of this machine only if it is one."""
    if _PLAIN_WEB.match(url):
        return True
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme == "file":
        return page.startswith("file:")
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


# What takes no parsing to see: lists have up to 100,000 of them.
_PLAIN_WEB = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/")


def is_absolute(url: str) -> bool:
    """Whether a URL that a listing names is surely complete, so that it does not depend on where the listing is."""
    return _PLAIN_WEB.match(url) is not None and "/." not in url


def is_wheel_of(filename: str, name: str) -> bool:
    """Whether a file's name says that it is a wheel of project ``name`` (PEP 503); it may be malformed otherwise."""
    return filename[-4:].lower() == ".whl" and _normal(filename.partition("-")[0]) == name


@lru_cache(maxsize=1024)
def _normal(project: str) -> str:
    return canonicalize_name(project)


def _candidate(file: ListedFile, source: Source, order: tuple[int, int], hashes: Mapping[str, str]) -> Candidate | Note:
    """Its hash: as the catalog pins it, else as the listing says."""
    pinned = hashes.get(plain_url(file.known_as or file.url)) or hashes.get(plain_url(file.url))
    found = read_candidate(source, file.url.partition("#")[0], order, file.hints or source.hints)
    if isinstance(found, Note):
        return found
    build = found.build
    requires = _specifier(file.requires_python) if file.requires_python else None
    if requires is not None:
        build = replace(build, requires_python=requires)
    sha256 = pinned or file.sha256
    return listed_candidate(build, found.location, source.name, source.trust, order, sha256=sha256, size=file.size)


@lru_cache(maxsize=256)
def _specifier(text: str) -> SpecifierSet | None:
    """None for what is no specifier: pip passes over such an attribute, too (``_check_link_requires_python``)."""
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return None


def _pins(specifier: SpecifierSet, candidate: Candidate) -> bool:
    """Whether the request names the candidate's very version (PEP 592: ``==`` without a wildcard, or ``===``)."""
    exact = [one for one in specifier if one.operator in {"==", "==="} and not one.version.endswith(".*")]
    version = candidate.build.version
    return any(one.contains(version, prereleases=True) for one in exact)


def _passed_over(source: Source, unreadable: list[str], yanked: list[ListedFile]) -> Iterator[Note]:
    if unreadable:
        what = "is not the name of a wheel" if len(unreadable) == 1 else "are not names of wheels"
        yield Note(source=source.name, text=f"{_some(unreadable)} {what} (PEP 427)", cause="bad-name")
    if yanked:
        reasons = {file.yanked for file in yanked if file.yanked}
        why = f": {reasons.pop()}" if len(reasons) == 1 else ""
        yield Note(
            source=source.name,
            text=f"withdrawn by the publisher (yanked){why}: {_some([file.filename for file in yanked])}",
            cause="yanked",
            hint="a requirement that pins the version with == takes it all the same (PEP 592)",
        )


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
