"""What is wrong with fallbacks.toml files, as far as it can be told without asking anybody."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from packaging.tags import Tag

from pipfallback.builds import Candidate
from pipfallback.catalog import Catalog, Source
from pipfallback.catalog_reader import merge
from pipfallback.catalog_tables import PackageTable
from pipfallback.catalog_work.findings import CheckedFile, Finding, file_name, mistakes_of
from pipfallback.requests import shown
from pipfallback.sources import github, huggingface, pattern, url
from pipfallback.sources.listed import plain_url
from pipfallback.sources.reading import Note, read_candidate
from pipfallback.toml_lines import KeyPath
from pipfallback.trust import Trust

_OLDEST_MINOR = 8  # of the Python 3 that pipfallback installs for (README.md)
_PYTHON = re.compile(r"([a-z]+)(\d)(\d*)")
_FRAGMENT_HASH = re.compile(r"[#&]sha256=([0-9a-fA-F]{64})(?:&|$)")


def check(files: Sequence[CheckedFile]) -> tuple[Catalog, list[Finding]]:
    """The catalog that the files make, the last one winning, and what is wrong with those that are told.

    Of a file that the loader refuses only its mistakes are told. Findings are in the order of files and lines.
    """
    catalog = merge([file.read for file in files], [file.read.layer.path for file in files if file.told])
    found: list[Finding] = []
    for number, file in enumerate(files):
        if file.read.document.mistakes:
            found += mistakes_of(file) if file.told else ()
        else:
            every = (*_of_file(file, catalog), *_replaced(file, files[number + 1 :]))
            found += sorted((one for one in every if file.told or one.file != file.name), key=lambda one: one.line)
    return catalog, found


def builds_of(source: Source) -> list[Candidate]:
    """The builds that a source states itself; none for the kinds that are asked."""
    if source.kind == "url":
        listed = url.candidates(source, 0)
    elif source.kind == "pattern":
        listed = pattern.candidates(source, 0)
    else:
        return []
    return [one for one in listed if isinstance(one, Candidate)]


def _of_file(file: CheckedFile, catalog: Catalog) -> Iterator[Finding]:
    for table in file.read.packages:
        if not catalog.packages[table.name].sources:
            yield file.finding(
                table.path, "unreachable", "has no source, in this file or another, so nothing is chosen"
            )
        yield from _of_keys(file, table)
        for source in table.sources:
            yield from _of_source(file, table.name, source)
        yield from _twice(file, table)
    yield from _unused_matrices(file)


def _of_keys(file: CheckedFile, table: PackageTable) -> Iterator[Finding]:
    stated = file.read.document.data["package"][table.name]
    if "smoke_unproven" in stated and table.smoke is None:
        path = (*table.path, "smoke_unproven")
        yield file.finding(path, "unreachable", "counts only beside smoke, which this table does not have")
    for versions, written in zip(
        (one for one, _ in table.other_imports or ()), stated.get("import_for", ()), strict=True
    ):
        if versions.is_unsatisfiable():
            path = (*table.path, "import_for", written)
            yield file.finding(path, "unreachable", "no version can meet this specifier")


def _of_source(file: CheckedFile, package: str, source: Source) -> Iterator[Finding]:
    place = file.place_of(package, source)
    if source.kind == "url":
        yield from _of_urls(file, package, source)
    elif source.kind == "pattern":
        yield from _of_pattern(file, package, source)
    builds = builds_of(source)
    if builds and not any(_has_target(build) for build in builds):
        text = f"no build of it is for Python 3.{_OLDEST_MINOR} or newer, so none can be chosen"
        yield file.finding(place, "unreachable", text)
    yield from _hashes(file, place, source)
    for one in source.urls:
        if shown(one) != _without_fragment(one):
            at = file.place_of_url(package, source, one)
            text = "holds a password or signature, which everybody sees who gets this file; ~/.netrc is read, too"
            yield file.finding(at, "secret", text, level="note")


def _of_urls(file: CheckedFile, package: str, source: Source) -> Iterator[Finding]:
    known: dict[str, str] = {}
    for place, one in enumerate(source.urls):
        at = file.place_of_url(package, source, one)
        if (before := known.setdefault(plain_url(one), one)) is not one:
            yield file.finding(at, "duplicate", f"is listed twice: {file_name(before)}")
        read = read_candidate(source, one, (0, place), source.hints)
        if problem := _problem(read, package):
            yield file.finding(at, "wheel-name", problem)
        elif isinstance(read, Candidate) and len(source.urls) > 1 and not _has_target(read):
            text = f"is for no Python from 3.{_OLDEST_MINOR} on, so it can never be chosen"
            yield file.finding(at, "unreachable", text)


def _of_pattern(file: CheckedFile, package: str, source: Source) -> Iterator[Finding]:
    place = file.place_of(package, source)
    if not source.matrix:
        yield file.finding((*place, "matrix"), "unreachable", "is empty, so the source lists no build")
    seen: dict[str, int] = {}
    for number, at in enumerate(file.places_of_rows(package, source)):
        expanded = pattern.expand(replace(source, matrix=(source.matrix[number],)))
        builds = [read_candidate(source, one, (0, 0), hints) for one, hints in expanded]
        problems = [problem for build in builds if (problem := _problem(build, package))]
        if problems:
            more = f"; so are {len(problems) - 1} more of {len(builds)}" if len(problems) > 1 else ""
            yield file.finding(at, "wheel-name", f"{problems[0]}{more}")
        yield from _of_row(file, at, source, number, made={one: seen.get(one) for one, _ in expanded})
        for one, _ in expanded:
            seen.setdefault(one, number)
    yield from _unused_values(file, package, source)
    yield from _unmet_conditions(file, place, source)


def _of_row(
    file: CheckedFile, at: KeyPath, source: Source, number: int, *, made: Mapping[str, int | None]
) -> Iterator[Finding]:
    """What of a row never counts. ``made``: the URLs that it makes, each with the earlier row that makes it, too."""
    if not made:
        yield file.finding(at, "unreachable", "adds nothing: all of its builds are in except")
    again = {one: before for one, before in made.items() if before is not None}
    hints = source.matrix[number].hints
    differing = [one for one, before in again.items() if source.matrix[before].hints != hints]
    if again and len(again) == len(made):
        yield file.finding(at, "unreachable", "adds nothing: earlier rows make all of its builds already")
    elif differing:
        other = again[differing[0]] + 1
        text = f"{_count(differing)} of it come from row {other} already, whose other hints count"
        yield file.finding(at, "duplicate", f"{text}: {file_name(differing[0])}")


def _unused_values(file: CheckedFile, package: str, source: Source) -> Iterator[Finding]:
    """What the source's own ``values`` list and no row takes: a version that was added in one of two places."""
    place = file.place_of(package, source)
    stated = file.sources_of(package)[int(place[-1])].get("values", {})
    for name, listed in stated.items():
        taken = {value for row in source.matrix for value in row.values.get(name, ())}
        for number, value in enumerate(listed if isinstance(listed, list) else ()):
            if source.matrix and value not in taken:
                text = f'"{value}" is in no row of the matrix, so no build has it'
                yield file.finding((*place, "values", name, number), "unreachable", text)


def _unmet_conditions(file: CheckedFile, place: KeyPath, source: Source) -> Iterator[Finding]:
    """Tables of ``except`` and ``where`` that change nothing: of builds that no row makes, or that are not there."""
    for number in range(len(source.exceptions)):
        others = (*source.exceptions[:number], *source.exceptions[number + 1 :])
        if not pattern.met(replace(source, exceptions=others), source.exceptions[number]):
            text = "takes nothing away: no row makes such a build, or another table takes it away already"
            yield file.finding((*place, "except", number), "unreachable", text)
    for number, condition in enumerate(source.where):
        if not pattern.met(source, condition):
            yield file.finding((*place, "where", number), "unreachable", "no build meets it")


def _unused_matrices(file: CheckedFile) -> Iterator[Finding]:
    data = file.read.document.data
    sources = [source for name in data.get("package", {}) for source in file.sources_of(name)]
    used = {source["matrix"] for source in sources if isinstance(source.get("matrix"), str)}
    for name in data.get("matrix", {}):
        if name not in used:
            yield file.finding(("matrix", name), "unreachable", "no source of this file takes this matrix")


def _problem(read: Candidate | Note, package: str) -> str | None:
    """Why a URL is no wheel of a package; None where it is one."""
    if isinstance(read, Note):
        return read.text
    if read.build.name != package:
        return f"{read.build.filename} is a wheel of {read.build.name}, not of {package}"
    return None


def _has_target(candidate: Candidate) -> bool:
    return any(_is_served(tag) for tag in candidate.build.tags)


def _is_served(tag: Tag) -> bool:
    """Whether a Python that pipfallback installs for can have the tag (PEP 425; ``packaging.tags``, its order)."""
    found = _PYTHON.match(tag.interpreter)
    if found is None:
        return True
    implementation, major, minor = found[1], int(found[2]), int(found[3] or 0)
    if major != 3:
        return major > 3
    return implementation == "py" or tag.abi == "abi3" or minor >= _OLDEST_MINOR


def _hashes(file: CheckedFile, place: KeyPath, source: Source) -> Iterator[Finding]:
    for one in source.urls:
        in_fragment = _FRAGMENT_HASH.search(one)
        if in_fragment and source.sha256.get(one, in_fragment[1].lower()) != in_fragment[1].lower():
            path = (*place, "sha256")
            yield file.finding(path, "contradiction", f"is not what the URL's fragment says of {file_name(one)}")
    if source.kind == "pattern":
        known = {plain_url(build.location) for build in builds_of(source)}
        for one in source.sha256:
            if plain_url(one) not in known:
                path = (*place, "sha256", one)
                yield file.finding(path, "unreachable", "no row of the matrix makes this URL, so its hash never counts")
    elif source.kind == "url" and source.trust is not Trust.OFFICIAL:
        yield from _unpinned(file, place, source)


def _unpinned(file: CheckedFile, place: KeyPath, source: Source) -> Iterator[Finding]:
    builds = builds_of(source)
    missing = [build for build in builds if build.sha256 is None]
    if missing:
        advice = "" if file.builtin else f"; `pipfallback catalog hash {file.name}` fills it in"
        which = "its wheel has" if len(builds) == 1 else f"{len(missing)} of its {len(builds)} wheels have"
        text = f"{which} no sha256, and its trust is {source.trust.value}{advice}"
        yield file.finding((*place, "url"), "no-hash", text, urls=[shown(build.location) for build in missing])


def _twice(file: CheckedFile, table: PackageTable) -> Iterator[Finding]:
    """Sources of one package whose builds an earlier one lists already."""
    stated = [{plain_url(build.location): build for build in builds_of(source)} for source in table.sources]
    places = [_place(source) for source in table.sources]
    for number, source in enumerate(table.sources):
        at = file.place_of(table.name, source)
        for before in range(number):
            other = table.sources[before]
            both = stated[number].keys() & stated[before].keys()
            if places[number] is not None and places[number] == places[before]:
                text = (
                    f'asks the same place as source "{other.name}" (line {file.line(file.place_of(table.name, other))})'
                )
                yield file.finding(at, "duplicate", text)
            elif both:
                example = stated[number][min(both)].build.filename
                of = len(stated[number])
                share = (
                    "its only build is"
                    if of == 1
                    else f"{'all' if len(both) == of else len(both)} of its {of} builds are"
                )
                text = f'{share} in source "{other.name}" as well, such as {example}'
                yield file.finding(at, "duplicate", text, urls=sorted(shown(one) for one in both))


def _place(source: Source) -> tuple[object, ...] | None:
    """What is asked for a source, so that two ways to write it are the same; None for what states its builds itself."""
    if source.kind in {"url", "pattern"}:
        return None
    if not source.urls:
        return (source.kind,)
    location = _without_fragment(source.urls[0]).rstrip("/")
    read: object = None
    if source.kind == "github":
        read = github.read_place(location)
    elif source.kind == "huggingface":
        read = huggingface.read_place(location)
    return (source.kind, read or location)


def _replaced(file: CheckedFile, later: Sequence[CheckedFile]) -> Iterator[Finding]:
    """Sources that never count because a later file has one of the same name for the same package.

    Whoever replaces a source of the built-in catalog does so on purpose, so that is a note, in the file that does it.
    """
    for table in file.read.packages:
        for source in table.sources:
            for other, theirs in ((one, _named(one, table.name)) for one in later):
                if source.name not in theirs:
                    continue
                if file.told and not file.builtin:
                    line = other.line(other.place_of(table.name, theirs[source.name]))
                    text = f"never counts: {other.name}:{line} has a source of this name, too"
                    yield file.finding(file.place_of(table.name, source), "unreachable", text)
                elif other.told:
                    place = other.place_of(table.name, theirs[source.name])
                    text = f"takes the place of the source of this name in {file.name}"
                    yield other.finding(place, "unreachable", text, level="note")


def _named(file: CheckedFile, package: str) -> Mapping[str, Source]:
    if file.read.document.mistakes:
        return {}
    return {source.name: source for table in file.read.packages if table.name == package for source in table.sources}


def _count(builds: Sequence[object] | Mapping[str, object]) -> str:
    return "1 build" if len(builds) == 1 else f"{len(builds)} builds"


def _without_fragment(location: str) -> str:
    return location.partition("#")[0]
