"""The links of an HTML page, as publishers write them: an index page of PEP 503 or any page that links to wheels.

Own code, since no library serves: unearth 0.19 brings httpx2, which needs Python 3.11; mousebender 2025.1 knows no
``<base>`` and fails on a fragment that is no hash; packaging has no parser for index pages.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin

from pipfallback.net.pages import Page
from pipfallback.sources.listed import ListedFile, MetadataFile, is_wheel_of, may_lead_to

_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_SHA256 = re.compile(r"(?:^|&)sha256=([0-9a-fA-F]{64})(?:&|$)")


def decoded(page: Page) -> str:
    """The page's text: by its byte order mark, else by the charset of its Content-Type, else UTF-8.

    What cannot be decoded is replaced: names of wheels are ASCII.
    """
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if page.body.startswith(mark):
            return page.body.decode(encoding, "replace")
    stated = _CHARSET.search(page.headers.get("content-type", ""))
    try:
        return page.body.decode(stated[1] if stated else "utf-8", "replace")
    except LookupError:
        return page.text


def files_of(page: Page, name: str) -> tuple[ListedFile, ...]:
    """The wheels of project ``name`` that a page links to, each once, with what PEP 503, 592, 658 and 714 say of them.

    Links count from the first ``<base href>``, else from where the page is (HTML, 4.2.3); what is no URL is left out. A
    page from the web leads nowhere but to the web: a stranger's page does not choose files of this machine.
    """
    return _read(page.url, page.body, page.headers.get("content-type", ""), name)


# A lock and a Dockerfile ask the same page for one environment after another.
@lru_cache(maxsize=64)
def _read(url: str, body: bytes, content_type: str, name: str) -> tuple[ListedFile, ...]:
    return tuple(_links_to(Page(url=url, body=body, headers={"content-type": content_type}), name))


def _links_to(page: Page, name: str) -> Iterator[ListedFile]:
    parser = _Parser()
    parser.feed(decoded(page))
    parser.close()
    base = (_joined(page.url, parser.base) if parser.base else None) or page.url
    seen: set[str] = set()
    for href, attributes in parser.anchors:
        beginning, _, fragment = href.partition("#")
        filename = unquote(beginning.partition("?")[0].rpartition("/")[2])
        location = _joined(base, beginning) if is_wheel_of(filename, name) else None
        if location is None or location in seen or not may_lead_to(location, page.url):
            continue
        seen.add(location)
        digest = _SHA256.search(fragment)
        yield ListedFile(
            filename=filename,
            url=location,
            sha256=digest[1].lower() if digest else None,
            requires_python=attributes.get("data-requires-python"),
            yanked=(attributes["data-yanked"] or "") if "data-yanked" in attributes else None,
            metadata=_metadata(location, attributes),
        )


def _metadata(location: str, attributes: Mapping[str, str | None]) -> MetadataFile | None:
    """PEP 714: the attribute's new name counts before that of PEP 658."""
    for name in ("data-core-metadata", "data-dist-info-metadata"):
        if name in attributes:
            value = (attributes[name] or "").strip()
            if value.lower() == "false":
                return None
            digest = _SHA256.search(value)
            return metadata_beside(location, digest[1] if digest else None)
    return None


def metadata_beside(location: str, sha256: str | None) -> MetadataFile:
    """The METADATA file of a wheel: its URL is the wheel's with ``.metadata`` at the end of the path (PEP 658)."""
    path, question, query = location.partition("?")
    return MetadataFile(
        wheel=location, url=f"{path}.metadata{question}{query}", sha256=sha256.lower() if sha256 else None
    )


def _joined(base: str, href: str) -> str | None:
    try:
        return urljoin(base, href) if href else None
    except ValueError:  # such as "http://[", which is no URL
        return None


class _Parser(HTMLParser):
    """Gathers what a page links to. Names of tags and attributes come in lower case, references are resolved."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base: str | None = None
        self.anchors: list[tuple[str, Mapping[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            attributes = dict(
                reversed(attrs)
            )  # of an attribute that is written twice the first counts (HTML, 13.2.5.33)
            self.anchors.append(((attributes.get("href") or "").strip(), attributes))
        elif tag == "base" and self.base is None:
            self.base = dict(attrs).get("href")
