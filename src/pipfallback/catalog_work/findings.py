"""What a check of fallbacks.toml files finds, each with its place in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipfallback import requests
from pipfallback.catalog import Source
from pipfallback.catalog_files import Layer, builtin_path
from pipfallback.catalog_reader import ReadFile, read_file
from pipfallback.sources.listed import plain_url
from pipfallback.toml_document import redacted, spelled
from pipfallback.toml_lines import KeyPath, key_lines, line_of

# What is wrong: "invalid": the loader refuses it. "unreachable": it can never be chosen. "duplicate": it is there twice.
# "wheel-name": a URL is no wheel of the package. "no-hash": nothing vouches for the file. "contradiction": two hashes for
# one file. "secret": a password in the file. Online: "gone", "new", "hash-changed", "no-answer".
Rule = Literal[
    "invalid", "unreachable", "duplicate", "wheel-name", "no-hash", "contradiction", "secret",
    "gone", "new", "hash-changed", "no-answer",
]  # fmt: skip
Level = Literal["finding", "note"]  # a note is worth knowing and does not fail the check


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong. ``path`` is written as ``package.flash-attn.source[2].url``; ``urls``: which wheels.

    Nothing in it holds credentials.
    """

    file: str
    line: int
    path: str
    rule: Rule
    text: str
    level: Level = "finding"
    urls: tuple[str, ...] = ()

    def __str__(self) -> str:
        """``FILE:LINE: PATH: TEXT``, as the loader tells its mistakes."""
        note = "note: " if self.level == "note" else ""
        return f"{self.file}:{self.line}: {self.path + ': ' if self.path else ''}{note}{self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFile:
    """One file with the lines of its keys. ``told``: it is this one that is checked, not only one beside it."""

    read: ReadFile
    told: bool = True
    lines: dict[KeyPath, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file as messages name it."""
        return str(self.read.layer.path)

    @property
    def builtin(self) -> bool:
        """Whether it is the built-in catalog, which nobody but its authors can change."""
        return self.read.layer.path.resolve() == builtin_path().resolve()

    def finding(
        self, path: KeyPath, rule: Rule, text: str, *, level: Level = "finding", urls: Sequence[str] = ()
    ) -> Finding:
        """A finding at the key ``path``."""
        return Finding(
            file=self.name,
            line=self.line(path),
            path=_clean(spelled(path)),
            rule=rule,
            text=_clean(text),
            level=level,
            urls=(*urls,),
        )

    def line(self, path: KeyPath) -> int:
        """The line of the key ``path``."""
        return line_of(self.lines, path)

    def sources_of(self, package: str) -> Sequence[Mapping[str, Any]]:
        """The source tables of a package as the file has them."""
        tables: Sequence[Mapping[str, Any]] = self.read.document.data["package"][package].get("source", [])
        return tables

    def place_of(self, package: str, source: Source) -> KeyPath:
        """Where the table of a source stands. Names are unique: the loader sees to it."""
        tables = self.sources_of(package)
        return ("package", package, "source", next(i for i, one in enumerate(tables) if one["name"] == source.name))

    def place_of_url(self, package: str, source: Source, url: str) -> KeyPath:
        """Where one of the URLs of a source stands."""
        place = self.place_of(package, source)
        listed = self.sources_of(package)[int(place[-1])]["url"]
        return (*place, "url") if isinstance(listed, str) else (*place, "url", listed.index(url))

    def places_of_rows(self, package: str, source: Source) -> Iterator[KeyPath]:
        """Where the rows of a pattern stand: in the source's own table, or in the shared matrix that it names."""
        place = self.place_of(package, source)
        matrix = self.sources_of(package)[int(place[-1])].get("matrix")
        shared = isinstance(matrix, str) and "rows" in self.read.document.data["matrix"][matrix]
        for number in range(len(source.matrix)):
            if isinstance(matrix, str):
                yield ("matrix", matrix, "rows", number) if shared else ("matrix", matrix)
            else:
                yield place if matrix is None else (*place, "matrix", number)


def open_file(layer: Layer, *, told: bool = True) -> CheckedFile:
    """Read one file. Raises CatalogError where it cannot be read."""
    read = read_file(layer)
    if read.document.mistakes:
        return CheckedFile(read=read, told=told)
    text = layer.path.read_bytes().decode("utf-8", "replace")
    return CheckedFile(read=read, told=told, lines=key_lines(text))


def mistakes_of(file: CheckedFile) -> Iterator[Finding]:
    """What the loader refuses."""
    for mistake in file.read.document.mistakes:
        yield Finding(
            file=mistake.file,
            line=mistake.line,
            path=_clean(mistake.path),
            rule="invalid",
            text=_clean(mistake.text),
        )


def _clean(text: str) -> str:
    """Without the user names, passwords, tokens and signatures of URLs, malformed ones included."""
    return requests.redacted(redacted(text))


def file_name(location: str) -> str:
    """The name of the wheel at a URL."""
    return plain_url(location).rpartition("/")[2]
