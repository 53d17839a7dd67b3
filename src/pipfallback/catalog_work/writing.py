"""A fallbacks.toml changed by a program: comments and layout stay, and it is written whole or not at all."""

from __future__ import annotations

import contextlib
import copy
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import Array, Item

from pipfallback.catalog_reader import mistaken
from pipfallback.catalog_tables import SCHEMA, read_packages
from pipfallback.catalog_work.schema import DIRECTIVE, FILE_NAME
from pipfallback.errors import CatalogError
from pipfallback.sources.listed import plain_url
from pipfallback.toml_document import Document
from pipfallback.toml_lines import KeyPath, key_lines
from pipfallback.trust import Trust

NEW_FILE = (
    f"{DIRECTIVE}\n"
    f"# Editors check this file where that schema lies beside it: pipfallback catalog schema > {FILE_NAME}\n"
    f"schema = {SCHEMA}\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSource:
    """Wheels of one publisher: ``urls`` with their hashes. ``imports`` and ``needs`` are for a package that is new."""

    package: str
    name: str
    trust: Trust
    urls: tuple[tuple[str, str], ...]
    imports: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


class CatalogText:
    """The text of one file under change. Raises CatalogError where the loader refuses it, before or after a change."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.data = self._read(text)
        self._newline = "\r\n" if "\r\n" in text else "\n"

    def sources(self, package: str) -> Sequence[Mapping[str, Any]]:
        """The source tables of a package."""
        tables: Sequence[Mapping[str, Any]] = self.data.get("package", {}).get(package, {}).get("source", [])
        return tables

    def add(self, new: NewSource) -> None:
        """Add wheels: to the source of that name, else as a new source, of a new package where there is none."""
        expected = copy.deepcopy(self.data)
        package = expected.setdefault("package", {}).setdefault(new.package, {})
        # A package that an earlier file names may have no import here, and none is added.
        package |= {
            key: list(value)
            for key, value in (("import", new.imports), ("needs", new.needs))
            if value and key not in package
        }
        tables = package.setdefault("source", [])
        place = next((index for index, one in enumerate(tables) if one["name"] == new.name), None)
        if place is not None:
            self._extend(expected, (new.package, place), new.urls)
            return
        urls = [_pinned(url, sha256) for url, sha256 in new.urls]
        tables.append(
            {
                "name": new.name,
                "trust": new.trust.value,
                "kind": "url",
                "url": urls[0] if len(urls) == 1 else urls,
            }
        )
        if (inline := self._with_inline_source(new, tables[-1])) is not None:
            text = inline
        elif new.package in self.data.get("package", {}):
            text = self._with_source(new, tables[-1], package)
        else:
            text = _at_end(self.text, self._in_lines(_package_block(new, package)))
        self._take(text, expected)

    def pin(self, package: str, source: str, hashes: Mapping[str, str]) -> None:
        """State the hashes of wheels of a source of kind "url", by their URLs as the file writes them."""
        expected = copy.deepcopy(self.data)
        place = next(index for index, one in enumerate(self.sources(package)) if one["name"] == source)
        table = expected["package"][package]["source"][place]
        document = tomlkit.parse(self.text)
        written: Any = document["package"][package]["source"][place]
        for url, sha256 in hashes.items():
            if isinstance(table.get("sha256"), dict):
                table["sha256"][url] = written["sha256"][url] = sha256
            elif isinstance(table["url"], str):
                table["url"] = written["url"] = _pinned(url, sha256)
            else:
                at = table["url"].index(url)
                table["url"][at] = written["url"][at] = _pinned(url, sha256)
        self._take(tomlkit.dumps(document), expected)

    def _extend(self, expected: dict[str, Any], at: tuple[str, int], urls: Sequence[tuple[str, str]]) -> None:
        """Add URLs to a source of kind "url", in the way in which it states its hashes."""
        package, place = at
        document = tomlkit.parse(self.text)
        written: Any = document["package"][package]["source"][place]
        table = expected["package"][package]["source"][place]
        single = table.pop("sha256") if isinstance(table.get("sha256"), str) else None
        if isinstance(table["url"], str):
            table["url"] = [_pinned(table["url"], single) if single else table["url"]]
            written["url"] = _array(table["url"])
        elif single:
            table["url"] = [_pinned(table["url"][0], single)]
            written["url"][0] = table["url"][0]
        if single:
            _keep_comment(written.pop("sha256"), written["url"])
        for url, sha256 in urls:
            by_table = isinstance(table.get("sha256"), dict)
            line = url if by_table else _pinned(url, sha256)
            table["url"].append(line)
            written["url"].append(line)
            if by_table:
                table["sha256"][url] = written["sha256"][url] = sha256
        if "\n" not in written["url"].as_string():
            written["url"].multiline(True)
        self._take(tomlkit.dumps(document), expected)

    def _with_inline_source(self, new: NewSource, table: Mapping[str, Any]) -> str | None:
        """The text with one more line in ``source = [{…}, …]``; None where the sources have headers of their own."""
        start = key_lines(self.text).get(("package", new.package, "source"))
        lines = self.text.splitlines(keepends=True)
        if start is None or not re.fullmatch(r"source\s*=\s*\[\s*", lines[start - 1]):
            return None
        end = next((at for at in range(start, len(lines)) if lines[at].strip() == "]"), None)
        if end is None or not re.search(r",\s*(#.*)?$", lines[end - 1]):
            return None
        pairs = ", ".join(f"{key} = {_value(value)}" for key, value in table.items())
        lines[end:end] = [self._in_lines(f"    {{ {pairs} }},\n")]
        return "".join(lines)

    def _with_source(self, new: NewSource, table: Mapping[str, Any], package: Mapping[str, Any]) -> str:
        """The text with a source table behind the package's last, before the comments of what follows."""
        lines = self.text.splitlines(keepends=True)
        place: KeyPath = ("package", new.package)
        if sources := self.sources(new.package):
            place = (*place, "source", len(sources) - 1)
        end = _end_of(self.text, lines, place)
        block = f"\n{_source_block(new.package, table)}"
        if end < len(lines) and lines[end].strip():
            block += "\n"
        if not lines[end - 1].endswith("\n"):
            lines[end - 1] += self._newline
        lines[end:end] = [self._in_lines(block)]
        missing = [key for key in ("import", "needs") if key in package and key not in self._package(new.package)]
        if missing:
            keys = "".join(f"{key} = {_value(list(package[key]))}\n" for key in missing)
            self._with_keys(lines, new.package, keys)
        return "".join(lines)

    def _with_keys(self, lines: list[str], package: str, keys: str) -> None:
        """Put keys behind those of a package's own table, which is made where the file has only its sources."""
        header = key_lines(self.text)["package", package]
        if lines[header - 1].lstrip().startswith("[["):
            start = header - 1
            while start and lines[start - 1].lstrip().startswith("#"):
                start -= 1
            lines[start:start] = [self._in_lines(f"[package.{package}]\n{keys}\n")]
        else:
            end = _end_of(self.text, lines, ("package", package), own=True)
            lines[end:end] = [self._in_lines(keys)]

    def _package(self, name: str) -> Mapping[str, Any]:
        table: Mapping[str, Any] = self.data["package"][name]
        return table

    def _in_lines(self, text: str) -> str:
        return text.replace("\n", self._newline)

    def _take(self, text: str, expected: Mapping[str, Any]) -> None:
        """The new text, if it says exactly what it should; a table in a form that cannot be extended is left alone."""
        try:
            data = self._read(text)
        except CatalogError:
            if not Document(self.name, text.encode()).data:
                raise self._unextendable() from None
            raise
        if data != expected:
            raise self._unextendable()
        self.text, self.data = text, data

    def _unextendable(self) -> CatalogError:
        return CatalogError(
            f"{self.name} writes its tables in a form that cannot be extended without rewriting it",
            hints=("write them with headers: [package.NAME] and [[package.NAME.source]]",),
        )

    def _read(self, text: str) -> dict[str, Any]:
        document = Document(self.name, text.encode("utf-8"))
        read_packages(document)
        if document.mistakes:
            raise mistaken(document.mistakes)
        return document.data


def read_text(path: Path) -> str | None:
    """The text of a file; None where there is none. Raises CatalogError where it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise CatalogError(f"{path} is not UTF-8, as TOML must be") from error
    except OSError as error:
        raise CatalogError(f"cannot read {path}: {error.strerror or error}") from error


def write_text(path: Path, text: str, *, before: str | None) -> None:
    """Put a text in the place of a file, at once; its mode and a link to it stay.

    ``before``: what the file held when it was read; None: it was not there. Raises CatalogError where it has changed
    since, or cannot be written.
    """
    if read_text(path) != before:
        raise CatalogError(
            f"{path} was changed by somebody else meanwhile; nothing is written", hints=("run it again",)
        )
    target = Path(os.path.realpath(path))
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        unfinished = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode("utf-8"))
            if before is None:
                unfinished.chmod(0o666 & ~_umask())
            else:
                shutil.copymode(target, unfinished)
            unfinished.replace(target)
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink()
    except OSError as error:
        raise CatalogError(f"{path} cannot be written: {error.strerror}", hints=("it is as it was",)) from None


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _pinned(url: str, sha256: str) -> str:
    """A URL that states its hash (PEP 503)."""
    return f"{url.partition('#')[0]}#sha256={sha256}"


def _keep_comment(old: Item, new: Item) -> None:
    """The comment of a line that goes away, on the line that says the same now."""
    if old.trivia.comment and not new.trivia.comment:
        new.comment(old.trivia.comment.lstrip("# "))


def _array(values: Sequence[str]) -> Array:
    array = tomlkit.array()
    array.extend(values)
    return array.multiline(True)


def _value(value: object) -> str:
    return tomlkit.item(value).as_string()


def _package_block(new: NewSource, package: Mapping[str, Any]) -> str:
    keys = "".join(f"{key} = {_value(list(package[key]))}\n" for key in ("import", "needs") if key in package)
    return f"[package.{new.package}]\n{keys}\n{_source_block(new.package, package['source'][-1])}"


def _source_block(package: str, table: Mapping[str, Any]) -> str:
    lines = [f"[[package.{package}.source]]"]
    for key, value in table.items():
        text = _array(value).as_string() if isinstance(value, list) else _value(value)
        lines.append(f"{key} = {text}")
    return "\n".join(lines) + "\n"


def _at_end(text: str, block: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text or text.endswith(newline * 2) else newline if text.endswith(newline) else newline * 2
    return text + gap + block


def _end_of(text: str, lines: Sequence[str], place: KeyPath, *, own: bool = False) -> int:
    """How many lines the text has up to the end of a table, the comments before the next one not counted.

    ``own``: only the keys of the table itself, without its sources.
    """
    places = key_lines(text)
    depth = len(place)
    within = {path for path in places if path[:depth] == place and not (own and path[depth : depth + 1] == ("source",))}
    last = max(places[path] for path in within)
    following = [line for path, line in places.items() if line > last and path not in within]
    end = min(following) - 1 if following else len(lines)
    while end > last and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end


def plain_urls(table: Mapping[str, Any]) -> list[str]:
    """The URLs of a source table, without their hashes."""
    listed = table.get("url", [])
    return [plain_url(one) for one in ([listed] if isinstance(listed, str) else listed)]
