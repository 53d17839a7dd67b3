"""Entries for wheels that a user names by URL, and hashes for those that a file names without."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pipfallback.builds import Build, Candidate, UnreadableFilenameError, read_build
from pipfallback.catalog import Catalog, Source
from pipfallback.catalog_tables import PackageTable
from pipfallback.catalog_work.checking import builds_of
from pipfallback.catalog_work.publishers import Publisher, listings, publisher_of
from pipfallback.catalog_work.wheels import Contents, contents_elsewhere, contents_on_disk
from pipfallback.catalog_work.writing import CatalogText, NewSource, plain_urls
from pipfallback.errors import PipfallbackError
from pipfallback.net.client import Client
from pipfallback.net.download import Downloader
from pipfallback.net.failures import FetchFailure
from pipfallback.net.local import local_path
from pipfallback.requests import redacted, shown, without_credentials
from pipfallback.sources.asking import Asking
from pipfallback.sources.listed import plain_url
from pipfallback.trust import Trust

_SCHEMES = frozenset({"https", "http", "file"})  # what a fallbacks.toml may name (docs/fallbacks-toml.md)
_FRAGMENT_HASH = re.compile(r"(?:^|&)sha256=([0-9a-fA-F]{64})(?:&|$)")
_ALTERNATIVE = "{} (single wheels)"


class AddError(PipfallbackError):
    """A URL can be no entry of a fallbacks.toml; ``details`` has one line for each."""

    reference = "cannot-add"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the user asks for besides the URLs. None: not said."""

    package: str | None = None
    imports: tuple[str, ...] = ()
    trust: Trust | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A wheel at a URL. ``url`` is what is written: without user, password and fragment; ``asked`` is what is asked."""

    url: str
    asked: str
    build: Build
    stated: str | None
    publisher: Publisher


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """What wheels and their lists are asked with."""

    client: Client
    ask: Asking
    downloader: Downloader


def read_urls(urls: Sequence[str], package: str | None, tell: Callable[[str], None]) -> list[Named]:
    """Read what the user named; each wheel once. ``tell`` gets what is changed in a URL.

    Raises AddError with a reason for each that can be no entry.
    """
    named: dict[str, Named] = {}
    refused: list[str] = []
    for url in urls:
        read = _read(url, package)
        if isinstance(read, str):
            refused.append(f"{shown(url)}: {read}")
            continue
        if read.asked != read.url and "@" in urlsplit(read.asked).netloc:
            tell(f"{read.build.filename}: user name and password are left out of the file; ~/.netrc can hold them")
        named.setdefault(plain_url(read.url), read)
    if refused:
        raise _refusal(refused)
    return list(named.values())


def _refusal(refused: Sequence[str]) -> AddError:
    what = "1 URL" if len(refused) == 1 else f"{len(refused)} URLs"
    return AddError(f"{what} cannot be added; nothing is written", details=refused)


def _read(url: str, package: str | None) -> Named | str:
    """The wheel that a URL names, or why it names none."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that cannot be
    except ValueError:
        return "is not a URL: its host or port cannot be read"
    if parts.scheme not in _SCHEMES or (not parts.hostname and parts.scheme != "file"):
        return "is not a URL that begins with https://, http:// or file://"
    location = without_credentials(url)
    if re.search(r"[\x00-\x20\x7f{}]", location):
        return "holds a space, a brace or a control character"
    if redacted(location) != location:
        return "holds a token or a signature, which must not stand in a file; name the URL that leads there"
    try:
        build = read_build(location)
    except UnreadableFilenameError as error:
        return str(error)
    if package is not None and build.name != package:
        return f"is a wheel of {build.name}, not of {package}"
    stated = _FRAGMENT_HASH.search(parts.fragment)
    return Named(
        url=location,
        asked=url.partition("#")[0],
        build=build,
        stated=stated[1].lower() if stated else None,
        publisher=publisher_of(location),
    )


def add(file: CatalogText, named: Sequence[Named], wanted: Wanted, known: Catalog, servers: Servers) -> Iterator[str]:
    """Add the wheels to the text of a file, those of one publisher in one source; lines that say what was done.

    ``known``: the catalog of the other files in force: what it says of a package is not said again. Raises AddError
    where a wheel cannot be had or contradicts itself; whoever writes the text then writes nothing.
    """
    there = [one for one in named if _listing(file, one) is not None]
    missing = [one for one in named if one not in there]
    groups = _groups(file, missing, wanted, known)
    new_packages = [name for name in dict.fromkeys(one.build.name for one in missing) if _is_new(file, name, known)]
    looked = _look(missing, () if wanted.imports else new_packages, servers)
    yield from (_there_already(file, one) for one in there)
    for (package, source, trust), group in groups.items():
        proof = _proof(file, package, wanted, looked.contents.get(package), new=_is_new(file, package, known))
        urls = tuple((one.url, looked.hashes[one.url]) for one in group)
        if proof.imports and _is_new(file, package, known):
            yield f"{package} is new: it counts as working when {', '.join(proof.imports)} can be imported"
        file.add(
            NewSource(package=package, name=source, trust=trust, urls=urls, imports=proof.imports, needs=proof.needs)
        )
        yield f'{package}: {_count(group)} added to source "{source}" ({trust.value})'


class _Proof(NamedTuple):
    """What is said of a package besides its sources."""

    imports: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def _proof(file: CatalogText, package: str, wanted: Wanted, contents: Contents | None, *, new: bool) -> _Proof:
    """What the user says proves a package, else for a new one what its wheel brings. Raises AddError."""
    stated = file.data.get("package", {}).get(package, {}).get("import")
    if wanted.imports and stated not in {None, *wanted.imports} and stated != list(wanted.imports):
        raise AddError(f"{package}: {file.name} says what must import already", hints=("change import there",))
    imports = wanted.imports or (contents.imports if contents and new else ())
    if new and not imports:
        raise AddError(
            f"{package}: the wheel brings no module that could prove that it works",
            hints=("--import NAME says which module must import",),
        )
    return _Proof(imports=imports, needs=("torch",) if new and contents and contents.needs_torch else ())


def _count(wheels: Sequence[object]) -> str:
    return "1 wheel" if len(wheels) == 1 else f"{len(wheels)} wheels"


def _listing(file: CatalogText, one: Named) -> Mapping[str, Any] | None:
    """The source table of the file that names the wheel; None where none does."""
    tables = (table for table in file.sources(one.build.name) if table["kind"] == "url")
    return next((table for table in tables if plain_url(one.url) in plain_urls(table)), None)


def _there_already(file: CatalogText, one: Named) -> str:
    table = _listing(file, one) or {}
    return f'{one.build.filename} is there already, in source "{table.get("name")}" ({table.get("trust")})'


def _is_new(file: CatalogText, package: str, known: Catalog) -> bool:
    return package not in known.packages and "import" not in file.data.get("package", {}).get(package, {})


_Key = tuple[str, str, Trust]


def _groups(
    file: CatalogText, named: Sequence[Named], wanted: Wanted, known: Catalog
) -> Mapping[_Key, Sequence[Named]]:
    """The wheels by package and source. Raises AddError where the source cannot take them."""
    groups: dict[_Key, list[Named]] = {}
    for one in named:
        groups.setdefault(_source_for(file, one, wanted, known), []).append(one)
    return groups


def _source_for(file: CatalogText, one: Named, wanted: Wanted, known: Catalog) -> _Key:
    """The source that takes a wheel: that of its publisher, never by itself one that would hide another file's."""
    package = one.build.name
    tables = {table["name"]: table for table in file.sources(package)}
    elsewhere = {source.name for source in known.packages[package].sources} if package in known.packages else set()
    proposed = (one.publisher.name, _ALTERNATIVE.format(one.publisher.name))
    names = [name for name in proposed if name in tables or name not in elsewhere]
    for name in names if wanted.source is None else [wanted.source]:
        table = tables.get(name)
        if table is None:
            return package, name, wanted.trust or Trust.COMMUNITY
        if table["kind"] == "url" and wanted.trust in {None, Trust(table["trust"])}:
            return package, name, Trust(table["trust"])
    name = wanted.source or proposed[-1]
    what = f"{tables[name]['trust']}, of kind {tables[name]['kind']}," if name in tables else "of another file"
    raise AddError(
        f'{package}: source "{name}" of {file.name} is {what} and cannot take this wheel',
        hints=("--source NAME names another",),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """``hashes`` by URL; ``contents`` by package."""

    hashes: Mapping[str, str]
    contents: Mapping[str, Contents]


def _look(missing: Sequence[Named], new_packages: Sequence[str], servers: Servers) -> _Looked:
    """Ask for the hashes, and look into one wheel of each package that is new. Raises AddError."""
    listed = _listed(missing, servers.ask)
    hashes: dict[str, str] = {}
    contents: dict[str, Contents] = {}
    refused: list[str] = []
    for one in missing:
        wanted = one.build.name in new_packages and one.build.name not in contents
        got = _facts(one, listed.get(plain_url(one.url)), servers, wanted=wanted)
        if isinstance(got, FetchFailure):
            hint = f" ({got.hint})" if got.hint else ""
            refused.append(f"{shown(one.url)}: {got.message}{hint}")
            continue
        hashes[one.url] = got[0]
        if got[1] is not None:
            contents[one.build.name] = got[1]
    if refused:
        raise _refusal(refused)
    return _Looked(hashes=hashes, contents=contents)


def _listed(named: Sequence[Named], ask: Asking) -> dict[str, str]:
    """What the publishers' lists say of the hashes, by plain URL; one list for all wheels of a release."""
    wanted = list(dict.fromkeys((one.publisher.of_part(), one.build.name) for one in named if one.publisher.kind))
    return {
        url: sha256
        for answer in (listings(wanted, ask) if wanted else ())
        for url, sha256 in answer.files.items()
        if sha256 is not None
    }


def _facts(
    one: Named, listed: str | None, servers: Servers, *, wanted: bool
) -> tuple[str, Contents | None] | FetchFailure:
    """The hash of a wheel, and what is in it where that is ``wanted``: by its list and parts of it, else as a whole."""
    if one.stated and listed and one.stated != listed:
        return FetchFailure(cause="hash-mismatch", message=f"its publisher says that its sha256 is {listed}")
    if listed is not None:
        inside = contents_elsewhere(servers.client, one.asked, one.build) if wanted else None
        if isinstance(inside, FetchFailure):
            return inside
        if inside is not None or not wanted:
            return listed, inside
    fetched = servers.downloader.fetch(one.asked, one.build.filename, one.stated or listed)
    if isinstance(fetched, FetchFailure):
        return fetched
    inside = contents_on_disk(fetched.path, one.build)
    _drop(fetched.path, one.asked)
    if isinstance(inside, FetchFailure):
        return inside
    return fetched.sha256, inside if wanted else None


def _drop(path: Path, location: str) -> None:
    """What was fetched is in the cache; a file on disk is the user's."""
    if local_path(location) is None:
        path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """What filling hashes in came to: lines that say what was done, and why some could not be had."""

    done: tuple[str, ...]
    failed: tuple[str, ...]


def pin(file: CatalogText, packages: Sequence[PackageTable], servers: Servers) -> Pinned:
    """Fill in the missing hashes of all sources of kind "url" in the text of a file."""
    done: list[str] = []
    failed: list[str] = []
    open_sources = list(_without_hash(packages))
    listed = _listed([one for _, _, group in open_sources for _, one in group], servers.ask)
    for package, source, group in open_sources:
        hashes: dict[str, str] = {}
        for written, one in group:
            got = _facts(one, listed.get(plain_url(one.url)), servers, wanted=False)
            if isinstance(got, FetchFailure):
                failed.append(f"{shown(one.url)}: {got.message}")
            else:
                hashes[written] = got[0]
        if hashes:
            file.pin(package, source.name, hashes)
            done.append(f'{package}: {len(hashes)} of {len(group)} missing hashes of source "{source.name}" filled in')
    return Pinned(done=tuple(done), failed=tuple(failed))


def _without_hash(
    packages: Sequence[PackageTable],
) -> Iterator[tuple[str, Source, list[tuple[str, Named]]]]:
    """Package, source, and its wheels without a hash, each as the file writes its URL."""
    for table in packages:
        for source in table.sources:
            group = [
                (next(url for url in source.urls if url.partition("#")[0] == build.location), _of_file(build))
                for build in builds_of(source)
                if source.kind == "url" and build.sha256 is None
            ]
            if group:
                yield table.name, source, group


def _of_file(candidate: Candidate) -> Named:
    return Named(
        url=without_credentials(candidate.location),
        asked=candidate.location,
        build=candidate.build,
        stated=None,
        publisher=publisher_of(candidate.location),
    )
