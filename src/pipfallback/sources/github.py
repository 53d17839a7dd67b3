"""Kind ``github``: the assets of a repository's releases, or of one release (docs.github.com/rest/releases/releases)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from pipfallback.catalog import Source
from pipfallback.net.failures import FetchFailure
from pipfallback.net.pages import Page
from pipfallback.sources.asking import Asking
from pipfallback.sources.json_pages import as_sha256, as_size, as_text, json_pages, read_json
from pipfallback.sources.listed import Entry, ListedFile, as_candidates, may_lead_to, note_of
from pipfallback.sources.reading import Note
from pipfallback.sources.tokens import Token, github_token

_ACCEPT = "application/vnd.github+json"
_HOME = "https://github.com"
_PER_PAGE = 100  # the most that the API gives
_PAGES = 20  # 2,000 releases


class _Place(NamedTuple):
    """A repository at a GitHub ``host``; ``tag``: of the one release that counts, None for all."""

    host: str
    api: str
    owner: str
    repository: str
    tag: str | None

    @property
    def url(self) -> str:
        base = f"{self.api}/repos/{quote(self.owner)}/{quote(self.repository)}/releases"
        return f"{base}?per_page={_PER_PAGE}" if self.tag is None else f"{base}/tags/{quote(self.tag, safe='')}"


def candidates(source: Source, index: int, name: str, ask: Asking) -> Iterator[Entry]:
    """The wheels of ``name`` among the assets, newest release first as the API has them; drafts do not count.

    The source's URL is that of the repository or of one release (``…/releases/tag/TAG``), at github.com or on a GitHub
    Enterprise server, whose API is at ``/api/v3``.
    """
    place = read_place(source.urls[0])
    if place is None:
        yield Note(
            source=source.name, text="its url is no repository's: https://github.com/OWNER/NAME", cause="not-found"
        )
        return
    yield from as_candidates(_files(source, place, ask), source, index, name, ask.specifier)


def read_place(url: str) -> _Place | None:
    """The repository that a URL names; None where it names none."""
    parts = urlsplit(url)
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    if len(segments) < 2 or not parts.hostname:
        return None
    owner, repository = segments[0], segments[1].removesuffix(".git")
    tag = "/".join(segments[4:]) if segments[2:3] == ["releases"] and segments[3:4] in (["tag"], ["download"]) else None
    host = parts.netloc.rpartition("@")[2].lower().removeprefix("www.")
    if host == "github.com":
        api = "https://api.github.com"
    elif host.endswith(".ghe.com"):
        api = f"https://api.{host}"  # docs.github.com/enterprise-cloud: data residency
    else:
        api = f"{parts.scheme}://{host}/api/v3"
    return _Place(host, api, owner, repository, tag or None)


def _files(source: Source, place: _Place, ask: Asking) -> Iterator[ListedFile | Note]:
    token = github_token(place.host, ask.environ)
    for given in (token, None) if token else (None,):
        refused = False
        for said in _releases(place, ask, given):
            if isinstance(said, FetchFailure):
                refused = said.cause == "unauthorized" and given is not None
                yield note_of(source, said, about=_about(place), hint=_hint(said, given))
            else:
                yield from _assets(said)
        if not refused:  # a token that has run out keeps nobody from what is public
            return


def _releases(place: _Place, ask: Asking, token: Token | None) -> Iterator[list[Any] | FetchFailure]:
    value = token.value if token else None
    if place.tag is None:
        yield from json_pages(place.url, ask.pages, accept=_ACCEPT, token=value, limit=_PAGES)
        return
    page = ask.pages.get(place.url, accept=_ACCEPT, token=value)
    said = read_json(page) if isinstance(page, Page) else page
    if isinstance(said, FetchFailure):
        yield said
    elif not isinstance(said, dict) or "assets" not in said:
        yield FetchFailure(cause="corrupt", message="answered with no release")
    else:
        yield [said]


def _assets(releases: list[Any]) -> Iterator[ListedFile]:
    for release in releases:
        if not isinstance(release, dict) or release.get("draft") is True:
            continue
        assets = release.get("assets")
        for asset in assets if isinstance(assets, list) else ():
            if isinstance(asset, dict) and (file := _file(asset)) is not None:
                yield file


def _file(asset: dict[str, Any]) -> ListedFile | None:
    """An asset whose upload has ended. Its ``digest`` is null where it was uploaded before June 2025."""
    url, state = as_text(asset.get("browser_download_url")), asset.get("state")
    if url is None or not may_lead_to(url, _HOME) or state not in {None, "uploaded"}:
        return None
    return ListedFile(
        # Not its "name": GitHub replaces characters in it, and what counts is what pip will see.
        filename=unquote(url.rpartition("/")[2].partition("?")[0]),
        url=url,
        sha256=as_sha256((as_text(asset.get("digest")) or "").removeprefix("sha256:")),
        size=as_size(asset.get("size")),
    )


def _about(place: _Place) -> str:
    release = "releases" if place.tag is None else f"release {place.tag}"
    return f"{release} of {place.owner}/{place.repository} at {place.host}"


def _hint(failure: FetchFailure, token: Token | None) -> str | None:
    """What helps against a failure, as far as GitHub's own rules go (docs.github.com: rate limits, 404 for private)."""
    match failure.cause:
        case "rate-limited":
            more = "" if token else "a token in GITHUB_TOKEN or GH_TOKEN raises the limit from 60 to 5,000 an hour"
            return "; ".join(part for part in (_again(failure.retry_after), more) if part) or None
        case "not-found":
            return (
                f"{token.variable} may not see it" if token else "a private repository needs GITHUB_TOKEN or GH_TOKEN"
            )
        case "unauthorized":
            return f"{token.variable} is refused; set another or none" if token else "it needs GITHUB_TOKEN or GH_TOKEN"
        case _:
            return None


def _again(seconds: float | None) -> str:
    if seconds is None:
        return ""
    at = time.strftime("%H:%M", time.localtime(time.time() + seconds))
    return f"GitHub answers again at {at} (in {max(1, round(seconds / 60))} min)"
