"""What the servers say of the builds in fallbacks.toml files: what is gone, what is new, whose hash has changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipfallback.catalog import Catalog, Source
from pipfallback.catalog_work.checking import builds_of
from pipfallback.catalog_work.findings import CheckedFile, Finding, Level, Rule, file_name
from pipfallback.catalog_work.publishers import Listed, Publisher, absent, lists_of, publisher_of, source_of
from pipfallback.net.download import Downloader
from pipfallback.net.failures import FetchFailure
from pipfallback.online import Online
from pipfallback.requests import shown
from pipfallback.sources import github, huggingface
from pipfallback.sources.asking import Asking
from pipfallback.sources.listed import plain_url

_FEW_RELEASES = 3  # asked one by one; beyond, the list of all of them costs less
_SHOWN = 3  # wheels that a message names; --json has them all
_GONE = frozenset({"not-found", "unauthorized", "corrupt"})  # Hugging Face and S3 say 401 and 403 for what is not there


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stated:
    """A source that states its builds itself. ``builds``: location and stated sha256 by plain URL."""

    file: CheckedFile
    package: str
    source: Source
    builds: Mapping[str, tuple[str, str | None]]
    publishers: frozenset[Publisher]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A source that is asked."""

    file: CheckedFile
    package: str
    source: Source


def compare(
    files: Sequence[CheckedFile], catalog: Catalog, net: Online, ask: Asking, *, folder: Path | None = None
) -> list[Finding]:
    """Ask every source of the files that are told, all at once.

    ``folder``: where wheels are fetched to whose hash no list states; None: those are not compared. ``ask`` says for
    which torch and Python pages with placeholders are asked.
    """
    stated, asked = _sources(files)
    wanted = list(dict.fromkeys((one, each.package) for each in stated for one in each.publishers if one.kind))
    places = [(each.source, each.package) for each in asked]
    answers = lists_of([*places, *((source_of(one), name) for one, name in wanted)], ask)
    lists = dict(zip(wanted, answers[len(places) :], strict=True))
    found: list[Finding] = []
    for each, answer in zip(asked, answers[: len(places)], strict=True):
        found += _of_asked(each, answer)
    alone = [location for each in stated for location in _unlisted(each, lists)]
    failures = absent(net.client, list(dict.fromkeys(alone)))
    archives = _archives(files)
    failures |= absent(net.client, [one for each in archives for one in each.source.urls], zipped=False)
    for each in archives:
        found += _of_archive(each, failures)
    fetched = _fetched(net.downloader(folder), stated, lists, failures) if folder is not None else {}
    for one in stated:
        found += _of_stated(one, lists, failures, fetched)
        found += _new(one, catalog, lists)
    order = {file.name: place for place, file in enumerate(files)}
    return sorted(found, key=lambda one: (order[one.file], one.line))


def _sources(files: Sequence[CheckedFile]) -> tuple[list[_Stated], list[_Asked]]:
    stated, asked = [], []
    for file, package, source in _told(files):
        if source.kind in {"url", "pattern"}:
            builds = {plain_url(one.location): (one.location, one.sha256) for one in builds_of(source)}
            publishers = _publishers(builds, source)
            stated.append(_Stated(file=file, package=package, source=source, builds=builds, publishers=publishers))
        elif source.kind != "sdist":
            asked.append(_Asked(file=file, package=package, source=source))
    return stated, asked


def _told(files: Sequence[CheckedFile]) -> Iterator[tuple[CheckedFile, str, Source]]:
    for file in files:
        if file.told and not file.read.document.mistakes:
            for table in file.read.packages:
                for source in table.sources:
                    yield file, table.name, source


def _archives(files: Sequence[CheckedFile]) -> list[_Asked]:
    return [
        _Asked(file=file, package=package, source=source)
        for file, package, source in _told(files)
        if source.kind == "sdist" and source.urls
    ]


def _publishers(builds: Mapping[str, object], source: Source) -> frozenset[Publisher]:
    """The lists to ask for: of a few releases only these, unless new ones are looked for as well."""
    every = {publisher_of(one) for one in builds}
    parts = {one for one in every if one.part}
    if source.kind == "url" and len(parts) <= _FEW_RELEASES:
        return frozenset(one.of_part() for one in every)
    return frozenset(one._replace(part="") for one in every)


def _list_of(each: _Stated, location: str, lists: Mapping[tuple[Publisher, str], Listed]) -> Listed | None:
    """The list that a file should stand in; None where nobody has given one."""
    publisher = publisher_of(location)
    for one in (publisher.of_part(), publisher._replace(part="")):
        listed = lists.get((one, each.package))
        if listed is not None and listed.failure is None:
            return listed
    return None


def _unlisted(each: _Stated, lists: Mapping[tuple[Publisher, str], Listed]) -> Iterator[str]:
    """What has to be asked for itself: a list may pass over a file that is there."""
    for plain, (location, _) in each.builds.items():
        listed = _list_of(each, location, lists)
        if listed is None or plain not in listed.files:
            yield location


def _fetched(
    downloader: Downloader,
    stated: Sequence[_Stated],
    lists: Mapping[tuple[Publisher, str], Listed],
    failures: Mapping[str, FetchFailure],
) -> dict[str, str]:
    """The sha256 of the files that have one in the catalog and none in a list, by location."""
    found: dict[str, str] = {}
    for each in stated:
        for plain, (location, sha256) in each.builds.items():
            listed = _list_of(each, location, lists)
            said = listed.files.get(plain) if listed else None
            if sha256 is None or said is not None or location in failures or location in found:
                continue
            got = downloader.fetch(location, plain.rpartition("/")[2])
            if not isinstance(got, FetchFailure):
                found[location] = got.sha256
                if not location.startswith("file:"):
                    got.path.unlink()
    return found


def _of_stated(
    each: _Stated,
    lists: Mapping[tuple[Publisher, str], Listed],
    failures: Mapping[str, FetchFailure],
    fetched: Mapping[str, str],
) -> Iterator[Finding]:
    gone: dict[tuple[Rule, str], list[str]] = {}
    for plain, (location, sha256) in each.builds.items():
        listed = _list_of(each, location, lists)
        said = fetched.get(location) or (listed.files.get(plain) if listed else None)
        if sha256 and said and sha256 != said:
            place = _place(each, location)
            text = f"{file_name(plain)} is another file now: its sha256 is {said}, not {sha256}"
            yield each.file.finding(place, "hash-changed", text, urls=[shown(location)])
        if failure := failures.get(location):
            rule: Rule = "gone" if failure.cause in _GONE else "no-answer"
            gone.setdefault((rule, failure.message), []).append(location)
    for (rule, message), locations in gone.items():
        if each.source.kind == "url":
            for one in locations:
                yield each.file.finding(_place(each, one), rule, f"{file_name(one)}: {message}", urls=[shown(one)])
        else:
            yield _several(each, rule, f"cannot be had ({message})", locations, of=len(each.builds))


def _new(each: _Stated, catalog: Catalog, lists: Mapping[tuple[Publisher, str], Listed]) -> Iterator[Finding]:
    """What the publishers list of the package and no source of it has. Of a few chosen wheels that is no defect."""
    package = catalog.packages[each.package]
    known = {plain_url(build.location) for source in package.sources for build in builds_of(source)}
    new: dict[str, None] = {}
    for publisher in each.publishers:
        listed = lists.get((publisher, each.package))
        if listed is None or any(_covers(source, publisher) for source in package.sources):
            continue
        if listed.failure is None:
            new |= dict.fromkeys(one for one in listed.files if one not in known)
        elif listed.failure.cause not in _GONE:
            text = f"what is new there is not known: {listed.failure.text}"
            yield each.file.finding(each.file.place_of(each.package, each.source), "no-answer", text, level="note")
    if new:
        level: Level = "finding" if each.source.kind == "pattern" else "note"
        yield _several(each, "new", "listed there and not here", list(new), level=level)


def _covers(source: Source, publisher: Publisher) -> bool:
    """Whether a source asks for all that a publisher lists."""
    if source.kind != publisher.kind or not source.urls:
        return False
    if source.kind == "huggingface":
        return huggingface.read_place(source.urls[0]) == huggingface.read_place(publisher.url)
    asked, listed = github.read_place(source.urls[0]), github.read_place(publisher.url)
    if asked is None or listed is None:
        return False
    return asked.tag in {None, listed.tag} and asked._replace(tag=None) == listed._replace(tag=None)


def _of_asked(each: _Asked, answer: Listed) -> Iterator[Finding]:
    place = each.file.place_of(each.package, each.source)
    if answer.failure is not None:
        cause = answer.failure.cause
        rule: Rule = "gone" if cause in _GONE else "no-answer"
        level: Level = "note" if cause == "unfilled" else "finding"
        hint = f" ({answer.failure.hint})" if answer.failure.hint else ""
        yield each.file.finding(place, rule, f"{answer.failure.text}{hint}", level=level)
        return
    if not answer.files:
        yield each.file.finding(place, "gone", f"lists no wheel of {each.package}")
    for location, sha256 in each.source.sha256.items():
        said = answer.files.get(plain_url(location))
        path = (*place, "sha256", location)
        if said is not None and said != sha256:
            text = f"{file_name(location)} is another file now: its sha256 is {said}, not {sha256}"
            yield each.file.finding(path, "hash-changed", text, urls=[shown(location)])
        elif plain_url(location) not in answer.files and "{" not in each.source.urls[0]:
            yield each.file.finding(
                path, "gone", f"{file_name(location)} is not listed any more", urls=[shown(location)]
            )


def _of_archive(each: _Asked, failures: Mapping[str, FetchFailure]) -> Iterator[Finding]:
    for one in each.source.urls:
        if failure := failures.get(one):
            rule: Rule = "gone" if failure.cause in _GONE else "no-answer"
            yield each.file.finding(each.file.place_of_url(each.package, each.source, one), rule, failure.message)


def _several(
    each: _Stated, rule: Rule, what: str, locations: Sequence[str], *, level: Level = "finding", of: int | None = None
) -> Finding:
    names = ", ".join(file_name(one) for one in locations[:_SHOWN])
    rest = f" and {len(locations) - _SHOWN} more" if len(locations) > _SHOWN else ""
    total = f" of {of}" if of is not None else ""
    wheels = "wheel" if len(locations) == 1 and of is None else "wheels"
    text = f"{len(locations)}{total} {wheels} {what}: {names}{rest}"
    place = each.file.place_of(each.package, each.source)
    return each.file.finding(place, rule, text, level=level, urls=[shown(one) for one in locations])


def _place(each: _Stated, location: str) -> tuple[str | int, ...]:
    if each.source.kind == "url":
        written = next(one for one in each.source.urls if plain_url(one) == plain_url(location))
        return each.file.place_of_url(each.package, each.source, written)
    return each.file.place_of(each.package, each.source)
