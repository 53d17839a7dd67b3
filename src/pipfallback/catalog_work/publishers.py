"""Where the publisher of a wheel lists it: whoever gives a file by URL often says in a list which hash it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from pipfallback.builds import Candidate
from pipfallback.catalog import Source, SourceKind
from pipfallback.net.client import Client
from pipfallback.net.failures import FetchFailure
from pipfallback.net.local import local_path
from pipfallback.net.patience import Tries
from pipfallback.net.refusals import FetchError
from pipfallback.requests import host_of
from pipfallback.sources import github, huggingface, index, links
from pipfallback.sources.asking import Asking
from pipfallback.sources.gathering import Gathered, Gathering
from pipfallback.sources.listed import Entry, plain_url
from pipfallback.sources.reading import Note
from pipfallback.trust import Trust

SECONDS = 120.0  # for all listings together, and again for all single files
_ZIP = b"PK"
_PYPI_FILES = "files.pythonhosted.org"
_NAMES = {_PYPI_FILES: "PyPI"}
# A listing that names nothing is one; each other note says why there is none, or not all of it.
_NO_FAILURE = frozenset({"empty", "bad-name", "yanked"})

_LISTERS: Mapping[SourceKind, Callable[[Source, int, str, Asking], Iterator[Entry]]] = {
    "github": github.candidates,
    "huggingface": huggingface.candidates,
    "links": links.candidates,
    "index": index.candidates,
}


class Publisher(NamedTuple):
    """Whose a file is. ``url`` is where it is listed (see the kinds of sources); ``part``: the release that it is in."""

    name: str
    kind: SourceKind | None = None
    url: str = ""
    part: str = ""

    def of_part(self) -> Publisher:
        """The same, with the list of the one release alone."""
        return self._replace(url=f"{self.url}/releases/tag/{quote(self.part)}") if self.kind == "github" else self


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What a place lists of one package: sha256 (None where it does not say) by plain URL.

    ``failure``: why there is no list, or not all of it.
    """

    files: Mapping[str, str | None]
    failure: Note | None = None


def publisher_of(location: str) -> Publisher:
    """Who publishes the file at a URL, by its form: GitHub releases, Hugging Face repositories, else the host's name.

    GitHub Enterprise and mirrors have the same paths on other hosts.
    """
    parts = urlsplit(location)
    base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    segments = [unquote(one) for one in parts.path.split("/") if one]
    if segments[2:4] == ["releases", "download"] and len(segments) >= 6:
        owner, repository = segments[:2]
        tag = "/".join(segments[4:-1])
        return Publisher(owner, "github", f"{base}/{quote(owner)}/{quote(repository)}", tag)
    place = huggingface.read_place(location) if "resolve" in segments[1:4] else None
    if place is not None:
        kind = "" if place.kind == "models" else f"{place.kind}/"
        revision = quote(place.revision, safe="")
        owner = place.repository.partition("/")[0]
        return Publisher(owner, "huggingface", f"{base}/{kind}{quote(place.repository)}/tree/{revision}")
    host = parts.hostname or host_of(location)
    return Publisher(_NAMES.get(host, host.removeprefix("www.")))


def listings(wanted: Sequence[tuple[Publisher, str]], ask: Asking) -> list[Listed]:
    """What each publisher (one that has a list) lists of the package named beside it; all are asked at once."""
    return lists_of([(source_of(publisher), name) for publisher, name in wanted], ask)


def lists_of(wanted: Sequence[tuple[Source, str]], ask: Asking) -> list[Listed]:
    """What each source that is asked lists of the package named beside it, as the server says it."""
    unpinned = [(replace(source, sha256={}), name) for source, name in wanted]
    asked = [_LISTERS[source.kind](source, 0, name, ask) for source, name in unpinned]
    return [_listed(got, ask.environ) for got in Gathering(asked, seconds=SECONDS).wait()]


def source_of(publisher: Publisher) -> Source:
    """A publisher that has a list as a source, to be asked."""
    assert publisher.kind is not None  # noqa: S101  (only what has a list is asked for it)
    return Source(name=publisher.name, kind=publisher.kind, trust=Trust.COMMUNITY, urls=(publisher.url,))


def _listed(got: Gathered[Entry], environ: Mapping[str, str]) -> Listed:
    files = {plain_url(_origin(one.location, environ)): one.sha256 for one in got.entries if isinstance(one, Candidate)}
    notes = [one for one in got.entries if isinstance(one, Note) and one.cause not in _NO_FAILURE]
    if got.late:
        notes.append(Note(source="", text=f"did not answer within {SECONDS:.0f} s", cause="late"))
    return Listed(files=files, failure=notes[-1] if notes else None)


def _origin(location: str, environ: Mapping[str, str]) -> str:
    """The URL at huggingface.co for one at the mirror that HF_ENDPOINT names."""
    mirror = environ.get("HF_ENDPOINT", "").strip().rstrip("/")
    inside = bool(mirror) and location.startswith(f"{mirror}/")
    return f"https://huggingface.co{location[len(mirror) :]}" if inside else location


def absent(client: Client, locations: Sequence[str], *, zipped: bool = True) -> dict[str, FetchFailure]:
    """Why each of the files that are not there cannot be had. A few bytes of each are read, of many at once.

    ``zipped``: what is no zip is no answer, such as a login page.
    """
    dead: dict[str, FetchFailure] = {}
    asked = [_asked(client, one, dead, zipped=zipped) for one in locations]
    late = FetchFailure(cause="timeout", message=f"did not answer within {SECONDS:.0f} s")
    failures = {}
    for location, got in zip(locations, Gathering(asked, seconds=SECONDS).wait(), strict=True):
        if got.late and not got.entries:
            failures[location] = late
        elif got.entries and (failure := got.entries[0]) is not None:
            failures[location] = failure
    return failures


def _asked(
    client: Client, location: str, dead: dict[str, FetchFailure], *, zipped: bool
) -> Iterable[FetchFailure | None]:
    """``dead``: why hosts cannot be reached; a pattern has thousands of files on one of them, which is asked no more."""
    host = host_of(location)
    if host in dead:
        yield dead[host]
        return
    tries = Tries(client.patience, client.settings.retries)
    while (failure := _try(client, location, zipped=zipped)) is not None and tries.again(failure):
        pass
    if failure is not None and failure.cause == "unreachable":
        dead[host] = failure
    yield failure


def _try(client: Client, location: str, *, zipped: bool) -> FetchFailure | None:
    if (path := local_path(location)) is not None:
        try:
            with path.open("rb") as file:
                start = file.read(len(_ZIP))
        except OSError as error:
            return FetchFailure(cause="not-found", message=f"{path}: {error.strerror}")
        host = str(path)
    else:
        host = host_of(location)
        try:
            # A server that does not take Range requests sends it all; the connection is closed after the first piece.
            with client.open(location, {"Range": f"bytes=0-{len(_ZIP) - 1}"}) as reply:
                start = next(reply.chunks(), b"")
        except FetchError as error:
            return error.failure
    if zipped and start[: len(_ZIP)] != _ZIP:
        return FetchFailure(cause="corrupt", message=f"{host} gives something that is no wheel")
    return None
