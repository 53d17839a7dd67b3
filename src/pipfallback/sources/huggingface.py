"""Kind ``huggingface``: the files of a model, dataset or space (huggingface.co/docs/hub/api, GET /api/models/…/tree)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from pipfallback.catalog import Source
from pipfallback.net.failures import FetchFailure
from pipfallback.sources.asking import Asking
from pipfallback.sources.json_pages import as_sha256, as_size, as_text, json_pages
from pipfallback.sources.listed import Entry, ListedFile, as_candidates, note_of
from pipfallback.sources.reading import Note
from pipfallback.sources.tokens import HUGGING_FACE_HOSTS, Token, hugging_face_token

_HOME = "https://huggingface.co"
_KINDS = frozenset({"datasets", "spaces", "models"})
_VIEWS = frozenset({"tree", "resolve", "blob", "raw"})
_PAGES = 50  # of 1,000 files each


class _Place(NamedTuple):
    """A folder of a repository at one revision. ``kind``: "models", "datasets" or "spaces"."""

    origin: str
    kind: str
    repository: str
    revision: str
    folder: str

    def tree(self, endpoint: str) -> str:
        folder = f"/{quote(self.folder)}" if self.folder else ""
        revision = quote(self.revision, safe="")
        return f"{endpoint}/api/{self.kind}/{quote(self.repository)}/tree/{revision}{folder}?recursive=true"

    def file(self, endpoint: str, path: str) -> str:
        kind = "" if self.kind == "models" else f"{self.kind}/"
        revision = quote(self.revision, safe="")
        return f"{endpoint}/{kind}{quote(self.repository)}/resolve/{revision}/{quote(path, safe='/+')}"


def candidates(source: Source, index: int, name: str, ask: Asking) -> Iterator[Entry]:
    """The wheels of ``name`` in a repository, in the order of its tree.

    The source's URL is the repository's page, or that of a folder (``…/tree/REVISION/FOLDER``). HF_ENDPOINT, where
    set, stands in for huggingface.co (huggingface_hub's documentation, environment variables).
    """
    place = read_place(source.urls[0])
    if place is None:
        text = f"its url is no repository's: {_HOME}/OWNER/NAME, {_HOME}/datasets/OWNER/NAME"
        yield Note(source=source.name, text=text, cause="not-found")
        return
    yield from as_candidates(_files(source, place, ask), source, index, name, ask.specifier)


def read_place(url: str) -> _Place | None:
    """The folder that a URL names; None where it names no repository."""
    parts = urlsplit(url)
    segments = [segment for segment in parts.path.split("/") if segment]
    kind = segments.pop(0) if segments and segments[0] in _KINDS else "models"
    view = next((place for place in (1, 2) if segments[place : place + 1] and segments[place] in _VIEWS), 2)
    owned, rest = segments[:view], segments[view + 1 :]
    if not owned or (len(owned) == 1 and kind != "models"):  # only models of the early days have no owner ("gpt2")
        return None
    host = parts.netloc.rpartition("@")[2].lower()
    return _Place(
        origin=_HOME if host in HUGGING_FACE_HOSTS else f"{parts.scheme}://{host}",
        kind=kind,
        repository=unquote("/".join(owned)),
        revision=unquote(rest[0]) if rest else "main",
        folder=unquote("/".join(rest[1:])),
    )


def _files(source: Source, place: _Place, ask: Asking) -> Iterator[ListedFile | Note]:
    mirror = ask.environ.get("HF_ENDPOINT", "").strip().rstrip("/")
    endpoint = mirror if mirror and place.origin == _HOME else place.origin
    token = hugging_face_token(endpoint.partition("://")[2].partition("/")[0], ask.environ)
    for given in (token, None) if token else (None,):
        refused = False
        for said in json_pages(
            place.tree(endpoint), ask.pages, accept="application/json", token=given and given.value, limit=_PAGES
        ):
            if isinstance(said, FetchFailure):
                refused = said.cause == "unauthorized" and given is not None
                yield note_of(source, said, about=_about(place, endpoint), hint=_hint(said, place, given))
            else:
                yield from _entries(said, place, endpoint)
        if not refused:  # a token that has run out keeps nobody from what is public
            return


def _entries(tree: list[Any], place: _Place, endpoint: str) -> Iterator[ListedFile]:
    for entry in tree:
        path = as_text(entry.get("path")) if isinstance(entry, dict) and entry.get("type") == "file" else None
        if path is None:
            continue
        # What is stored as LFS or Xet has its sha256; "oid" of the entry itself is git's, of the pointer.
        lfs = entry.get("lfs")
        stored = lfs if isinstance(lfs, dict) else {}
        yield ListedFile(
            filename=path.rpartition("/")[2],
            url=place.file(endpoint, path),
            sha256=as_sha256(stored.get("oid")),
            size=as_size(stored.get("size", entry.get("size"))),
            known_as=place.file(place.origin, path),
        )


def _about(place: _Place, endpoint: str) -> str:
    host = endpoint.partition("://")[2]
    folder = f", folder {place.folder}" if place.folder else ""
    return f"{place.kind.removesuffix('s')} {place.repository} at {host}{folder}"


def _hint(failure: FetchFailure, place: _Place, token: Token | None) -> str | None:
    """Hugging Face answers 401 for what is private, gated or not there at all, so that nobody learns which."""
    match failure.cause:
        case "unauthorized" if token is not None:
            return (
                f"{token.variable} may not see it: it is gated (accept its terms at {place.origin}), private or refused"
            )
        case "unauthorized":
            return "it is private, gated or not there: HF_TOKEN gives access to what is yours"
        case "not-found":
            return f"there is no such repository, revision ({place.revision}) or folder"
        case "rate-limited" if token is None:
            return "HF_TOKEN raises the limit; HF_ENDPOINT names a mirror"
        case "unreachable" | "timeout":
            return "HF_ENDPOINT names a mirror"
        case _:
            return None
