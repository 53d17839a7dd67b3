"""One fallbacks.toml: from its text to typed tables, with every mistake noted."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args
from urllib.parse import urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from pipfallback.builds import NO_HINTS, LabelHints
from pipfallback.catalog import Source, SourceKind
from pipfallback.catalog_hints import HINT_KEYS, read_hints
from pipfallback.catalog_matrix import Pattern, SharedMatrix, placeholders, read_matrix, read_shared, stray_brace
from pipfallback.toml_document import Document, nearest, shown
from pipfallback.toml_lines import KeyPath
from pipfallback.trust import Trust

SCHEMA = 1
KINDS: tuple[SourceKind, ...] = get_args(SourceKind)
TOP_KEYS = ("schema", "package", "matrix")
PACKAGE_KEYS = ("import", "import_for", "needs", "smoke", "smoke_unproven", "source")
PATTERN_KEYS = ("matrix", "values", "except", "where")
REQUIRED_SOURCE_KEYS = ("name", "kind", "trust")
SOURCE_KEYS = ("name", "kind", "trust", "url", "sha256", "homepage", *PATTERN_KEYS, *HINT_KEYS)

# The placeholders of a page's URL (links, index); sources.templates fills them in.
PAGE_PLACEHOLDERS = ("torch", "torch_series", "torch_packed", "cuda", "python", "python_packed")
_PAGES = frozenset({"links", "index"})
WITHOUT_URL = frozenset({"sdist", "index"})  # they have pip's own index
# What the URL of a repository looks like (github.com, or a host of GitHub Enterprise; huggingface.co, or a mirror).
_REPOSITORIES = {
    "github": (re.compile(r"/[^/]+/[^/]+(?:/.*)?"), "https://github.com/OWNER/NAME"),
    "huggingface": (
        re.compile(r"/(?:(?:datasets|spaces)/[^/]+/[^/]+|(?!datasets/|spaces/)[^/]+(?:/[^/]+)?)(?:/.*)?"),
        "https://huggingface.co/OWNER/NAME or https://huggingface.co/datasets/OWNER/NAME",
    ),
}
SCHEMES = ("https", "http", "file")
_WORDS = {"kind": "kind of source", "trust": "trust level"}
SHA256 = re.compile(r"[0-9a-fA-F]{64}")

OtherImports = tuple[tuple[SpecifierSet, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageTable:
    """``[package.NAME]`` of one file. None: the file does not say it. ``path`` is where the table stands."""

    name: str
    path: KeyPath
    imports: tuple[str, ...] | None = None
    other_imports: OtherImports | None = None
    needs: tuple[str, ...] | None = None
    smoke: str | None = None
    smoke_unproven: bool = False
    sources: tuple[Source, ...] = ()


def read_packages(document: Document) -> tuple[PackageTable, ...]:
    """The package tables of a file; what is wrong in it is noted in ``document`` and left out."""
    if document.mistakes or not _is_known_schema(document):
        return ()
    document.unknown((), document.data, TOP_KEYS)
    shared = read_shared(document)
    packages = document.table(("package",), document.data.get("package", {}))
    return tuple(_read_package(document, ("package", name), name, packages[name], shared) for name in packages)


def _is_known_schema(document: Document) -> bool:
    schema = document.data.get("schema")
    if schema is None:
        document.wrong((), f"schema = {SCHEMA} is missing")
    elif schema != SCHEMA or isinstance(schema, bool):
        document.wrong(("schema",), f"is {shown(schema)}; this version of pipfallback reads schema {SCHEMA}")
    else:
        return True
    return False


def _read_package(
    document: Document, path: KeyPath, name: str, value: object, shared: Mapping[str, SharedMatrix]
) -> PackageTable:
    table = document.table(path, value)
    document.unknown(path, table, PACKAGE_KEYS)
    _check_name(document, path, name)
    needs = None
    if "needs" in table:
        needs = tuple(need for _, need in document.strings((*path, "needs"), table["needs"]))
        for place, need in document.strings((*path, "needs"), table["needs"]):
            _check_name(document, place, need)
    return PackageTable(
        name=name,
        path=path,
        imports=_read_imports(document, (*path, "import"), table["import"]) if "import" in table else None,
        other_imports=_read_other_imports(document, (*path, "import_for"), table.get("import_for")),
        needs=needs,
        smoke=_read_smoke(document, (*path, "smoke"), table.get("smoke")),
        smoke_unproven=document.boolean((*path, "smoke_unproven"), table.get("smoke_unproven", False)),
        sources=_read_sources(document, (*path, "source"), table.get("source", []), shared),
    )


def _check_name(document: Document, path: KeyPath, name: str) -> None:
    if (normal := canonicalize_name(name)) != name:
        document.wrong(path, f'{shown(name)} is not a normalised name (PEP 503); write "{normal}"')
    elif not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name):
        document.wrong(path, f"{shown(name)} is not a name of a distribution")


def _read_imports(document: Document, path: KeyPath, value: object) -> tuple[str, ...]:
    names = document.strings(path, value)
    for place, name in names:
        if any(not part.isidentifier() or keyword.iskeyword(part) for part in name.split(".")):
            document.wrong(place, f"{shown(name)} is not a name that Python can import")
    return tuple(name for _, name in names)


def _read_other_imports(document: Document, path: KeyPath, value: object) -> OtherImports | None:
    if value is None:
        return None
    found = []
    for versions, names in document.table(path, value).items():
        imports = _read_imports(document, (*path, versions), names)
        try:
            found.append((SpecifierSet(versions), imports))
        except InvalidSpecifier:
            document.wrong((*path, versions), f'{shown(versions)} is not a version specifier (PEP 440) such as "<2"')
    return tuple(found)


def _read_smoke(document: Document, path: KeyPath, value: object) -> str | None:
    if value is None or (code := document.string(path, value)) is None:
        return None
    try:
        compile(code, "smoke", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        document.wrong(path, f"is not Python: {error}")
    return code


def _read_sources(
    document: Document, path: KeyPath, value: object, shared: Mapping[str, SharedMatrix]
) -> tuple[Source, ...]:
    sources: dict[str, Source] = {}
    for place, table in document.tables(path, value):
        source = _read_source(document, place, table, shared)
        if source and source.name in sources:
            document.wrong((*place, "name"), f"{shown(source.name)} is the name of another source of this package")
        elif source:
            sources[source.name] = source
    return tuple(sources.values())


def _read_source(
    document: Document, path: KeyPath, table: Mapping[str, Any], shared: Mapping[str, SharedMatrix]
) -> Source | None:
    document.unknown(path, table, SOURCE_KEYS)
    for key in REQUIRED_SOURCE_KEYS:
        if key not in table:
            document.wrong(path, f"{key} is missing")
    name = _text(document, path, table, "name")
    kind = _choice(document, path, table, "kind", KINDS)
    trust = _choice(document, path, table, "trust", [level.value for level in Trust])
    urls = _read_urls(document, path, table, kind)
    hints = read_hints(document, path, table, NO_HINTS)
    matrix = _read_matrix(document, path, table, kind, urls, shared=shared, hints=hints)
    sha256 = _read_hashes(document, (*path, "sha256"), table.get("sha256"), urls, kind)
    homepage = _text(document, path, table, "homepage")
    if name is None or kind is None or trust is None:
        return None
    return Source(
        name=name,
        kind=cast("SourceKind", kind),
        trust=Trust(trust),
        urls=urls,
        sha256=sha256,
        matrix=matrix.rows,
        exceptions=matrix.exceptions,
        where=matrix.where,
        hints=hints,
        homepage=homepage,
    )


def _text(document: Document, path: KeyPath, table: Mapping[str, Any], key: str) -> str | None:
    return document.string((*path, key), table[key]) if key in table else None


def _choice(document: Document, path: KeyPath, table: Mapping[str, Any], key: str, known: Sequence[str]) -> str | None:
    """The value of ``key`` if it is one of the known words; None (and a mistake, unless it is missing) if not."""
    word = _text(document, path, table, key)
    if word is None or word in known:
        return word
    document.wrong((*path, key), f"{shown(word)} is not a {_WORDS[key]}{nearest(word, known)}")
    return None


def _read_matrix(
    document: Document,
    path: KeyPath,
    table: Mapping[str, Any],
    kind: str | None,
    urls: Sequence[str],
    *,
    shared: Mapping[str, SharedMatrix],
    hints: LabelHints,
) -> Pattern:
    if kind == "pattern" and urls:
        return read_matrix(document, path, table, urls[0], shared=shared, hints=hints)
    for key in PATTERN_KEYS:
        if key in table and kind not in {"pattern", None}:
            document.wrong((*path, key), 'belongs to sources of kind "pattern"')
    return Pattern()


def _read_urls(document: Document, path: KeyPath, table: Mapping[str, Any], kind: str | None) -> tuple[str, ...]:
    if "url" not in table:
        if kind not in WITHOUT_URL:
            document.wrong(path, "url is missing")
        return ()
    places = document.strings((*path, "url"), table["url"])
    if len(places) > 1 and kind not in {"url", None}:
        document.wrong((*path, "url"), f'must be one URL for kind "{kind}"')
    urls: list[str] = []
    for place, url in places:
        if problem := _url_problem(url, filled=kind in {"pattern", None} | _PAGES) or _kind_problem(url, kind):
            document.wrong(place, problem)
        elif url in urls:
            document.wrong(place, f"{shown(url)} is listed twice")
        urls.append(url)
    return tuple(dict.fromkeys(urls))


def _kind_problem(url: str, kind: str | None) -> str | None:
    """What is wrong with a URL for its kind of source."""
    if kind in _PAGES:
        unknown = [name for name in placeholders(url) if name not in PAGE_PLACEHOLDERS]
        return f"{{{unknown[0]}}} is not known{nearest(unknown[0], PAGE_PLACEHOLDERS)}" if unknown else None
    if kind not in _REPOSITORIES:
        return None
    path, wanted = _REPOSITORIES[kind]
    return None if path.fullmatch(urlsplit(url).path) else f"{shown(url)} names no repository; write {wanted}"


def _url_problem(url: str, *, filled: bool) -> str | None:
    """What is wrong with a URL; ``filled``: placeholders in it are filled in later. Its credentials are not quoted."""
    if re.search(r"[\x00-\x20\x7f]", url):
        return f"{shown(url)} holds a space or a control character"
    if not filled and re.search(r"[{}]", url):
        return f'{shown(url)} holds a brace; only sources of kind "pattern", "links" and "index" have placeholders'
    if stray_brace(url):
        return f"{shown(url)} holds a brace that is not part of a placeholder such as {{version}}"
    # Any digit will do where a placeholder stands in a host or port.
    plain = url.replace("{", "").replace("}", "") if not placeholders(url) else re.sub(r"\{[^}]*\}", "0", url)
    try:
        parts = urlsplit(plain)
        parts.port  # noqa: B018  (the property checks the port)
    except ValueError as error:
        return f"{shown(url)} is not a URL: {error}"
    if parts.scheme not in SCHEMES:
        return f"{shown(url)} is not a URL that begins with https://, http:// or file://"
    if not parts.hostname and parts.scheme != "file":
        return f"{shown(url)} names no host"
    return None


def _read_hashes(
    document: Document, path: KeyPath, value: object, urls: tuple[str, ...], kind: str | None
) -> dict[str, str]:
    """sha256 by URL. A single string belongs to a single URL."""
    if value is None:
        return {}
    if isinstance(value, str):
        if len(urls) != 1 or kind != "url":
            document.wrong(path, "one hash belongs to one url; write a table of hashes by URL")
            return {}
        value = {urls[0]: value}
        places = {urls[0]: path}
    else:
        value = document.table(path, value)
        places = {url: (*path, url) for url in value}
    hashes = {}
    for url, digest in value.items():
        if kind == "url" and url not in urls:
            document.wrong(places[url], f"is not a url of this source{nearest(url, urls)}")
        if not isinstance(digest, str) or not SHA256.fullmatch(digest):
            document.wrong(places[url], f"must be a sha256 of 64 hexadecimal digits, not {shown(digest)}")
        else:
            hashes[url] = digest.lower()
    return hashes
