"""A server on the loopback interface that behaves as those of publishers do: GitHub, Hugging Face, an index, plain pages.

"Another host", where files come from, is the same server by its other name ("localhost").
"""

from __future__ import annotations

import hashlib
import html
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from lib import server
from lib.server import Answer, Server

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
PEP_691 = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as a route sees it. ``query``: each name with its first value. ``headers``: lower-case names."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def token(self) -> str | None:
        """The bearer token that came along."""
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token if kind.lower() == "bearer" else None


Route = Callable[[Asked], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file of a release. Without ``content`` it can be listed but not fetched; ``more`` overrides its JSON."""

    name: str
    content: bytes = b""
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release; ``more`` overrides its JSON ("draft", "prerelease" ...)."""

    tag: str
    assets: Sequence[Asset] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


class Publishers(Server):
    """A ``Server`` with routes. Paths that ``answer`` was told of come first, then routes, then files of the folder."""

    def __init__(self, folder: Path, *, host: str = "127.0.0.1") -> None:
        super().__init__(folder, host=host)
        self._http.RequestHandlerClass = _Handler
        self._routes: dict[str, Route] = {}
        self.asked = threading.local()  # what this thread is answering

    @property
    def other_host(self) -> str:
        """Its address by its other name."""
        other = "localhost" if self.host == "127.0.0.1" else "127.0.0.1"
        return self.url.replace(self.host, other)

    def route(self, path: str, route: Route) -> str:
        """Answer ``path`` (decoded; a slash at its end: and all below it) by a function. Gives its URL back."""
        self._routes[path] = route
        return self.url_of(path)

    def page(self, path: str, text: str | bytes, *, kind: str = HTML, status: int = 200) -> str:
        """Answer ``path`` with a text. Gives its URL back."""
        body = text.encode() if isinstance(text, str) else text
        return self.route(path, lambda _: Answer(status=status, body=body, headers={"Content-Type": kind}))

    def next_answer(self, path: str) -> Answer:
        """See ``Server``."""
        if path in self._answers:
            return super().next_answer(path)
        route = self._routes.get(path) or next(
            (found for start, found in self._routes.items() if start.endswith("/") and path.startswith(start)), None
        )
        if route is None:
            return super().next_answer(path)
        parts = urlsplit(self.asked.target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return route(Asked(path=path, query=query, headers=self.asked.headers))

    def github(self, repository: str, releases: Sequence[Release], *, token: str | None = None) -> str:
        """A repository of a GitHub Enterprise server with releases. Gives the URL of its page back.

        With ``token`` it is private: without it 404, as GitHub answers.
        """
        made = [self._release(repository, release) for release in releases]
        base = f"/api/v3/repos/{repository}/releases"

        def listing(asked: Asked) -> Answer:
            if token is not None and asked.token != token:
                return as_json({"message": "Not Found", "status": "404"}, status=404)
            size, number = int(asked.query.get("per_page", "30")), int(asked.query.get("page", "1"))
            headers = {}
            if number * size < len(made):
                following = f"{self.url}{base}?per_page={size}&page={number + 1}"
                last = f"{self.url}{base}?per_page={size}&page={-(-len(made) // size)}"
                headers["Link"] = f'<{following}>; rel="next", <{last}>; rel="last"'
            return as_json(made[(number - 1) * size : number * size], headers=headers)

        self.route(base, listing)
        for release in made:
            self.route(f"{base}/tags/{release['tag_name']}", lambda _, one=release: as_json(one))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        return f"{self.url}/{repository}"

    def _release(self, repository: str, release: Release) -> dict[str, Any]:
        assets = [self._asset(repository, release.tag, asset) for asset in release.assets]
        stated = {"tag_name": release.tag, "draft": False, "prerelease": False, "assets": assets}
        return {**stated, **release.more}

    def _asset(self, repository: str, tag: str, asset: Asset) -> dict[str, Any]:
        path = f"/{repository}/releases/download/{tag}/{asset.name}"
        self.signed(path, asset.content)
        stated = {
            "name": asset.name,
            "state": "uploaded",
            "size": len(asset.content),
            "digest": f"sha256:{hashlib.sha256(asset.content).hexdigest()}",
            "browser_download_url": self.url + quote(path),  # "+" as %2B, as GitHub writes it
        }
        return {**stated, **asset.more}

    def signed(self, path: str, content: bytes, *, seconds: float = 300.0) -> None:
        """Answer ``path`` with a redirect to the other host, whose URL holds for some seconds and then gives 403."""
        storage = f"/storage/{hashlib.sha256(path.encode()).hexdigest()[:16]}"

        def redirect(_: Asked) -> Answer:
            return server.redirect(f"{self.other_host}{storage}?se={time.time() + seconds:.3f}&sig=s3cret")

        def stored(asked: Asked) -> Answer:
            if float(asked.query.get("se", "0")) < time.time() or asked.query.get("sig") != "s3cret":
                xml = b'<?xml version="1.0" encoding="utf-8"?><Error><Code>AuthenticationFailed</Code></Error>'
                return Answer(status=403, body=xml, headers={"Content-Type": "application/xml"})
            return Answer(body=content, headers={"Content-Type": "application/octet-stream"})

        self.route(path, redirect)
        self.route(storage, stored)

    def hugging_face(
        self,
        repository: str,
        files: Mapping[str, bytes],
        *,
        kind: str = "models",
        revision: str = "main",
        token: str | None = None,
        page_size: int = 1000,
    ) -> str:
        """A repository with files, those above 100 bytes stored as LFS. Gives the URL of its page back.

        With ``token`` it is gated: 401 without, 403 with another.
        """
        entries = [_hub_entry(path, content) for path, content in files.items()]
        base = f"/api/{kind}/{repository}/tree/{revision}"

        def tree(asked: Asked) -> Answer:
            if token is not None and asked.token != token:
                return _gated(401 if asked.token is None else 403)
            folder = asked.path.removeprefix(base).strip("/")
            below = [one for one in entries if not folder or one["path"].startswith(f"{folder}/")]
            if folder and not below:
                return as_json({"error": "Entry not found"}, status=404, headers={"X-Error-Code": "EntryNotFound"})
            start = int(asked.query.get("cursor", "0"))
            headers = {}
            if start + page_size < len(below):
                headers["Link"] = (
                    f'<{self.url}{quote(asked.path)}?recursive=true&cursor={start + page_size}>; rel="next"'
                )
            return as_json(below[start : start + page_size], headers=headers)

        self.route(base, tree)
        self.route(f"{base}/", tree)
        page = repository if kind == "models" else f"{kind}/{repository}"
        for path, content in files.items():
            self._hub_file(f"/{page}/resolve/{revision}/{path}", content, token)
        return f"{self.url}/{page}"

    def _hub_file(self, path: str, content: bytes, token: str | None) -> None:
        digest = hashlib.sha256(content).hexdigest()
        cdn = self.page(f"/cdn/{digest}", content, kind="application/octet-stream").replace(self.url, self.other_host)

        def resolve(asked: Asked) -> Answer:
            if token is not None and asked.token != token:
                return _gated(401 if asked.token is None else 403)
            headers = {"Location": cdn, "X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(content))}
            return Answer(status=302, body=b"", headers=headers)

        self.route(path, resolve)

    def index(self, root: str, project: str, files: Sequence[Mapping[str, Any]], *, formats: str = "json html") -> str:
        """A project of an index, as JSON (PEP 691) or HTML (PEP 503) as the client prefers. Gives the root's URL back.

        ``files``: as PEP 691 writes them.
        """
        document = {"meta": {"api-version": "1.1"}, "name": project, "files": list(files)}

        def answer(asked: Asked) -> Answer:
            if "json" in formats and PEP_691 in asked.headers.get("accept", ""):
                return as_json(document, kind=PEP_691)
            return Answer(body=index_html(files).encode(), headers={"Content-Type": HTML})

        self.route(f"{root}/{project}/", answer)
        return self.url_of(root)


def as_json(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None, kind: str = JSON) -> Answer:
    """An answer of JSON."""
    return Answer(status=status, body=json.dumps(value).encode(), headers={"Content-Type": kind, **(headers or {})})


def rate_limited(*, seconds: float = 900.0, status: int = 403) -> Answer:
    """As GitHub's API answers when an address has asked too often."""
    headers = {
        "X-RateLimit-Limit": "60",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": f"{time.time() + seconds:.0f}",
    }
    return as_json({"message": "API rate limit exceeded for 203.0.113.7."}, status=status, headers=headers)


def index_html(files: Sequence[Mapping[str, Any]]) -> str:
    """The files of PEP 691 as a page of PEP 503."""
    lines = []
    for file in files:
        digest = (file.get("hashes") or {}).get("sha256")
        metadata = file.get("core-metadata")
        attributes = {
            "data-requires-python": file.get("requires-python"),
            "data-yanked": file["yanked"]
            if isinstance(file.get("yanked"), str)
            else ""
            if file.get("yanked")
            else None,
            "data-core-metadata": f"sha256={metadata['sha256']}" if isinstance(metadata, dict) else metadata and "true",
        }
        said = "".join(f' {name}="{html.escape(value)}"' for name, value in attributes.items() if value is not None)
        target = file["url"] + (f"#sha256={digest}" if digest else "")
        lines.append(f'<a href="{html.escape(target)}"{said}>{html.escape(str(file["filename"]))}</a><br/>')
    return "<!DOCTYPE html>\n<html><body>\n" + "\n".join(lines) + "\n</body></html>\n"


def _hub_entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "file",
        "path": path,
        "size": len(content),
        "oid": hashlib.sha1(content).hexdigest(),  # noqa: S324 - git's
    }
    if len(content) > 100:
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry


def _gated(status: int) -> Answer:
    headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this model is restricted."}
    return as_json({"error": "Access to this model is restricted."}, status=status, headers=headers)


class _Handler(server._Handler):
    """Notes what it is asked where the routes find it: a connection has a thread of its own."""

    disable_nagle_algorithm = True  # as real servers do; else each answer after a connection's first takes 40 ms

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        """See the base class."""
        owner = self.server.owner
        if isinstance(owner, Publishers):
            owner.asked.target = unquote(self.path) if "?" not in self.path else self.path
            owner.asked.headers = {name.lower(): value for name, value in self.headers.items()}
        super().do_GET()

    do_HEAD = do_GET  # noqa: N815 - http.server's name
