"""What a check found and what the catalog holds, as JSON (docs/fallbacks-toml.md) and as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipfallback.catalog import Catalog, Package, Source
from pipfallback.catalog_work.checking import builds_of
from pipfallback.catalog_work.findings import CheckedFile, Finding
from pipfallback.requests import host_of, shown
from pipfallback.sources import Listing

SCHEMA = 1
Line = tuple[str, str]  # style, text


def findings_json(files: Sequence[CheckedFile], findings: Sequence[Finding]) -> dict[str, Any]:
    """The document of ``catalog check --json``."""
    return {
        "schema": SCHEMA,
        "files": [file.name for file in files if file.told],
        "findings": [_finding_json(one) for one in findings],
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "file": finding.file,
        "line": finding.line,
        "path": finding.path,
        "level": finding.level,
        "rule": finding.rule,
        "message": finding.text,
        "urls": list(finding.urls),
    }


def findings_lines(files: Sequence[CheckedFile], findings: Sequence[Finding], *, online: bool) -> Iterator[Line]:
    """One line for each finding, then what was checked."""
    for one in findings:
        yield ("dim" if one.level == "note" else ""), str(one)
    told = [file for file in files if file.told]
    failing = sum(one.level == "finding" for one in findings)
    where = told[0].name if len(told) == 1 else f"{len(told)} files"
    tables = [table for file in told for table in file.read.packages]
    sources = [source for table in tables for source in table.sources]
    checked = f"{_count(len(tables), 'package')}, {_count(len(sources), 'source')} in {where}"
    if findings:
        yield "", ""
    asked = ", all asked" if online else ""
    if failing:
        yield "bad", f"{_count(failing, 'finding')}: {checked}{asked}"
    else:
        yield "good", f"nothing wrong: {checked}{asked}"


def packages_json(packages: Sequence[Package]) -> dict[str, Any]:
    """The document of ``catalog list --json``. ``url``: the list of wheels for kind "url", else the one URL or null."""
    return {"schema": SCHEMA, "packages": [_package_json(package) for package in packages]}


def _package_json(package: Package) -> dict[str, Any]:
    return {
        "name": package.name,
        "import": list(package.imports),
        "needs": list(package.needs),
        "sources": [
            {"name": source.name, "kind": source.kind, "trust": source.trust.value, "url": _url_json(source)}
            for source in package.sources
        ],
    }


def _url_json(source: Source) -> list[str] | str | None:
    urls = [shown(url) for url in source.urls]
    return urls if source.kind == "url" else next(iter(urls), None)


def packages_lines(packages: Sequence[Package], listings: Mapping[str, Listing] | None) -> Iterator[Line]:
    """Each package with its sources; ``listings``: what the sources list, by package, where they were asked."""
    for place, package in enumerate(packages):
        if place:
            yield "", ""
        yield "head", package.name
        needs = f"; needs {', '.join(package.needs)}" if package.needs else ""
        yield "dim", f"  imports {', '.join(package.imports)}{needs}"
        listing = listings[package.name] if listings is not None else None
        rows = [_row(source, listing) for source in package.sources]
        widths = [max(len(row[column]) for row in rows) for column in range(3)] if rows else []
        for name, trust, count, where in rows:
            yield "", f"  {name:<{widths[0]}}  {trust:<{widths[1]}}  {count:>{widths[2]}}  {where}".rstrip()
        for note in listing.notes if listing else ():
            yield "dim", f"  {note.source}: {note.text}"


def _row(source: Source, listing: Listing | None) -> tuple[str, str, str, str]:
    return source.name, source.trust.value, _builds(source, listing), f"{source.kind}: {_where(source)}"


def _builds(source: Source, listing: Listing | None) -> str:
    if source.kind == "sdist":
        return "-"
    if source.kind in {"url", "pattern"}:
        return _count(len(builds_of(source)), "build")
    if listing is None:
        return "not asked"
    return _count(sum(one.source == source.name for one in listing.candidates), "build")


def _where(source: Source) -> str:
    """Where a person finds these builds."""
    if source.homepage:
        return source.homepage
    if not source.urls:
        return "pip's own index"
    if source.kind in {"url", "pattern"}:
        return ", ".join(dict.fromkeys(host_of(shown(url)) for url in source.urls))
    return shown(source.urls[0])


def summary(catalog: Catalog) -> str:
    """How much there is in all."""
    sources = [source for package in catalog.packages.values() for source in package.sources]
    stated = sum(len(builds_of(source)) for source in sources)
    return f"{_count(len(catalog.packages), 'package')}, {_count(len(sources), 'source')}, {stated:,} builds without asking"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
