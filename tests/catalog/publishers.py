"""The publishers of the built-in catalog on the loopback interface, each in its own form, under their real URLs.

The program's own client asks; only where a URL leads is other than in the world.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote, urljoin

from catalog.scenario_files import ASKED, Entry, ScenarioFile
from lib.publishers_server import Asset, Publishers, Release
from lib.server import Answer
from pipfallback.arguments import parse
from pipfallback.catalog import Catalog, Source
from pipfallback.environment import Environment
from pipfallback.looking_inside import Inside
from pipfallback.net.client import Client
from pipfallback.net.failures import FetchFailure
from pipfallback.net.hops import Hop
from pipfallback.net.page_cache import PageCache
from pipfallback.net.pages import Page
from pipfallback.net.refusals import FetchError
from pipfallback.net.settings import NetworkSettings
from pipfallback.questions import Plan, plan
from pipfallback.sources.asking import PYPI, Asking

_NOT_HERE = FetchFailure(cause="not-found", message="404 Not Found")


class CachedPublishers(Publishers):
    """What it answers may be kept for ten minutes, as PyPI and GitHub Pages say of theirs."""

    def next_answer(self, path: str) -> Answer:
        """See ``Publishers``."""
        answer = super().next_answer(path)
        return replace(answer, headers={**answer.headers, "Cache-Control": "max-age=600"})


class LoopbackClient(Client):
    """``places``: URLs of the world, without their query, to those on this machine. All else is not there.

    ``cache``: where pages are kept, as they are in use.
    """

    def __init__(self, places: Mapping[str, str], cache: PageCache | None = None) -> None:
        super().__init__(NetworkSettings(proxy="", timeout=5.0, retries=0), environ={}, cache=cache)
        self._places = places

    def get(self, url: str, *, accept: str = "*/*", token: str | None = None) -> Page | FetchFailure:
        """See ``Client``."""
        plain, mark, query = url.partition("?")
        if plain not in self._places:
            return _NOT_HERE
        answer = super().get(self._places[plain] + mark + query, accept=accept, token=token)
        return replace(answer, url=url) if isinstance(answer, Page) else answer

    def hop(self, url: str) -> Hop:  # noqa: ARG002 - Client's signature
        """No wheel is there: all are listed only."""
        raise FetchError(_NOT_HERE)


class World:
    """All files' publishers on one server, whose pages are kept as in use. ``client_of``: what asks for a package as one file has its publishers."""

    def __init__(self, files: Sequence[ScenarioFile], catalog: Catalog, server: Publishers) -> None:
        cache = PageCache(server.folder / "pages")
        self._clients = {
            (file.name, package): LoopbackClient(places, cache)
            for file in files
            for package, places in serve(file, catalog, server).items()
        }

    def __enter__(self) -> World:  # noqa: PYI034 - typing.Self needs Python 3.11
        """Nothing is opened before it is needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """End every connection."""
        for client in self._clients.values():
            client.__exit__(None, None, None)

    def client_of(self, package: str, file: str | None = None) -> LoopbackClient:
        """``file`` None: the first that has the package; where none has it, a world without publishers."""
        keys = [key for key in self._clients if key[1] == package and file in {None, key[0]}]
        return self._clients[keys[0]] if keys else LoopbackClient({})


def planned(request: str, client: LoopbackClient, here: Environment, catalog: Catalog, trust: str = "vendor") -> Plan:
    """What ``pipfallback plan`` would answer there."""
    command = parse(["plan", request, "--trust-level", trust], {})
    ask = Asking(environment=here, pages=client)
    return plan(request, catalog, here, command, ask=ask, inside=Inside(here, None, client=client))


def serve(file: ScenarioFile, catalog: Catalog, server: Publishers) -> dict[str, dict[str, str]]:
    """Have ``server`` answer for the publishers of a file. For each package the places of a ``LoopbackClient``."""
    return {package: _places(file, package, catalog, server) for package in file.packages}


def _places(file: ScenarioFile, package: str, catalog: Catalog, server: Publishers) -> dict[str, str]:
    places: dict[str, str] = {}
    for number, source in enumerate(catalog.packages[package].sources):
        for page, entries in file.listings.get(source.name, {}).items():
            own = [entry for entry in entries if entry.project == package]
            if source.kind in ASKED and own:
                places |= _SERVE[source.kind](source, page, own, f"{file.name}/{package}/{number}", server)
    return places


def _github(source: Source, _: str, entries: Sequence[Entry], folder: str, server: Publishers) -> Mapping[str, str]:
    owner, repository = source.urls[0].removeprefix("https://github.com/").split("/")[:2]
    page = f"https://github.com/{owner}/{repository}"
    releases: dict[str, list[Asset]] = {}
    for entry in entries:
        url = entry.place if "://" in entry.place else f"{page}/releases/download/v{_version(entry)}/{entry.place}"
        assert url.startswith(f"{page}/releases/download/"), (source.name, url)
        tag = unquote(url.removeprefix(f"{page}/releases/download/").rpartition("/")[0])
        releases.setdefault(tag, []).append(Asset(name=entry.filename, more={"browser_download_url": _quoted(url)}))
    there = f"{folder}/{owner}/{repository}"
    server.github(there, [Release(tag=tag, assets=assets) for tag, assets in releases.items()])
    base = f"https://api.github.com/repos/{owner}/{repository}/releases"
    paths = ["", *(f"/tags/{quote(tag, safe='')}" for tag in releases)]
    return {base + path: f"{server.url}/api/v3/repos/{quote(there)}/releases{path}" for path in paths}


def _huggingface(
    source: Source, _: str, entries: Sequence[Entry], folder: str, server: Publishers
) -> Mapping[str, str]:
    path = source.urls[0].removeprefix("https://huggingface.co/")
    kind, _, repository = path.partition("/") if path.startswith(("datasets/", "spaces/")) else ("models", "", path)
    repository, _, below = repository.partition("/tree/")
    revision, _, inside = below.partition("/")
    page = f"https://huggingface.co/{path.partition('/tree/')[0]}/resolve/{revision or 'main'}/"
    files = {}
    for entry in entries:
        assert "://" not in entry.place or entry.place.startswith(page), (source.name, entry.place)
        files[unquote(entry.place.removeprefix(page))] = b"listed"
    server.hugging_face(f"{folder}/{repository}", files, kind=kind, revision=revision or "main")
    tail = f"/tree/{revision or 'main'}" + (f"/{inside}" if inside else "")
    asked = f"https://huggingface.co/api/{kind}/{repository}{tail}"
    return {asked: f"{server.url}/api/{kind}/{quote(f'{folder}/{repository}')}{tail}"}


def _links(source: Source, page: str, entries: Sequence[Entry], folder: str, server: Publishers) -> Mapping[str, str]:
    url = page or source.urls[0]
    body = "\n".join(f'<a href="{_quoted(entry.place)}">{entry.filename}</a><br>' for entry in entries)
    path = f"/{folder}/{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    return {url: server.page(path, f"<!DOCTYPE html>\n<html><body>\n{body}\n</body></html>")}


def _index(source: Source, page: str, entries: Sequence[Entry], folder: str, server: Publishers) -> Mapping[str, str]:
    root = (page or (source.urls[0] if source.urls else PYPI)).rstrip("/")
    project = entries[0].project
    url = f"{root}/{project}/"
    there = f"/{folder}/{hashlib.sha256(root.encode()).hexdigest()[:8]}"
    server.index(there, project, [_file(entry) for entry in entries])
    places = {url: f"{server.url}{there}/{project}/"}
    for entry in entries:
        if entry.requires is not None:
            said = server.page(f"{there}/{entry.filename}.metadata", _metadata(entry), kind="application/octet-stream")
            places[urljoin(url, _quoted(entry.place)) + ".metadata"] = said
    return places


def _file(entry: Entry) -> dict[str, Any]:
    """As PEP 691 writes it."""
    file: dict[str, Any] = {"filename": entry.filename, "url": _quoted(entry.place), "hashes": {}}
    if entry.requires_python is not None:
        file["requires-python"] = entry.requires_python
    if entry.requires is not None:
        file["core-metadata"] = {"sha256": hashlib.sha256(_metadata(entry).encode()).hexdigest()}
    return file


def _metadata(entry: Entry) -> str:
    """As setuptools writes it (PEP 566)."""
    name = entry.filename.partition("-")[0].replace("_", "-")
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {_version(entry)}"]
    if entry.requires_python is not None:
        lines.append(f"Requires-Python: {entry.requires_python}")
    return "\n".join([*lines, *(f"Requires-Dist: {one}" for one in entry.requires or ()), ""])


def _version(entry: Entry) -> str:
    return entry.filename.split("-")[1]


def _quoted(place: str) -> str:
    """As these servers write it: "+" as %2B."""
    return place.replace("+", "%2B")


_SERVE = {"github": _github, "huggingface": _huggingface, "links": _links, "index": _index}
