"""The matrix of a pattern source: which values fill the placeholders of its template."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.version import InvalidVersion, Version

from pipfallback.builds import NO_HINTS, LabelHints
from pipfallback.catalog import Condition, MatrixRow
from pipfallback.catalog_hints import HINT_KEYS, read_hints
from pipfallback.toml_document import Document, nearest, shown
from pipfallback.toml_lines import KeyPath

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_OF_ALL = {"except": "leave the source out instead", "where": "write it in the source's own table"}
DERIVED = "python_abi"  # follows from {python} where a row does not say it

Values = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What a source says of its matrix, as ``catalog.Source`` holds it."""

    rows: tuple[MatrixRow, ...] = ()
    exceptions: tuple[Condition, ...] = ()
    where: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMatrix:
    """A table ``[matrix.NAME]``: what several sources have in common. The keys of rows are checked where it is used."""

    path: KeyPath
    values: Values
    rows: tuple[tuple[KeyPath, dict[str, Any]], ...]


def placeholders(text: str) -> tuple[str, ...]:
    """The names in braces in ``text``, each once, in their order."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))


def stray_brace(text: str) -> bool:
    """Whether a brace of ``text`` is not part of a placeholder."""
    return bool(re.search(r"[{}]", _PLACEHOLDER.sub("", text)))


def read_shared(document: Document) -> dict[str, SharedMatrix]:
    """The tables ``[matrix.NAME]`` of a file."""
    shared = {}
    for name, value in document.table(("matrix",), document.data.get("matrix", {})).items():
        path = ("matrix", name)
        table = document.table(path, value)
        document.unknown(path, table, ("values", "rows"))
        shared[name] = SharedMatrix(
            path=path,
            values=_read_values(document, (*path, "values"), table.get("values", {})),
            rows=document.tables((*path, "rows"), table.get("rows", [{}])),
        )
    return shared


def read_matrix(
    document: Document,
    path: KeyPath,
    table: Mapping[str, Any],
    template: str,
    *,
    shared: Mapping[str, SharedMatrix],
    hints: LabelHints = NO_HINTS,
) -> Pattern:
    """The matrix of the source ``table`` at ``path``: complete rows, with the source's and the shared values filled in.

    A row names placeholders and, where the template has no such placeholder, hints, as do the tables of ``where``;
    those of ``except`` name placeholders. ``hints`` are the source's own.
    """
    own = _read_values(document, (*path, "values"), table.get("values", {}))
    common = _named_matrix(document, (*path, "matrix"), table.get("matrix"), shared)
    values = {**common.values, **own} if common else own
    if common:
        rows = common.rows
    elif "matrix" in table:
        rows = document.tables((*path, "matrix"), table["matrix"]) if isinstance(table["matrix"], list) else ()
    else:
        rows = ((path, {}),)
    used = _used(template, values, (row for _, row in rows))
    document.unknown((*path, "values"), own, used)
    return Pattern(
        rows=tuple(_read_row(document, place, row, used=used, base=values, hints=hints) for place, row in rows),
        exceptions=_read_conditions(document, path, table, "except", used=used, base=values),
        where=_read_conditions(document, path, table, "where", used=used, base=values),
    )


def _named_matrix(
    document: Document, path: KeyPath, value: object, shared: Mapping[str, SharedMatrix]
) -> SharedMatrix | None:
    if value is None or isinstance(value, list):
        return None
    if isinstance(value, str):
        if value in shared:
            return shared[value]
        document.wrong(path, f"there is no table [matrix.{value}] in this file{nearest(value, shared)}")
    else:
        document.wrong(path, "must be a list of rows or the name of a [matrix.NAME] table")
    return None


def _read_values(document: Document, path: KeyPath, value: object) -> dict[str, tuple[str, ...]]:
    values = {}
    for name, listed in document.table(path, value).items():
        values[name] = tuple(item for _, item in document.strings((*path, name), listed))
        _check_values(document, (*path, name), name, values[name])
    return values


def _used(template: str, values: Values, rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The placeholders of the template and those in the values that fill them, in the template's order."""
    tables: list[Mapping[str, Any]] = [values, *rows]
    used = list(placeholders(template))
    for name in used:  # grows while it is walked through
        for table in tables:
            given = table.get(name, ())
            texts = [given] if isinstance(given, str) else given if isinstance(given, (list, tuple)) else ()
            for text in texts:
                used += [inner for inner in placeholders(str(text)) if inner not in used]
    return tuple(used)


def _read_row(
    document: Document,
    path: KeyPath,
    row: Mapping[str, Any],
    *,
    used: Sequence[str],
    base: Values,
    hints: LabelHints,
) -> MatrixRow:
    document.unknown(path, row, (*used, *(key for key in HINT_KEYS if key not in used)))
    values: dict[str, tuple[str, ...]] = {}
    for name in used:
        if name in row:
            values[name] = _read_cell(document, (*path, name), row[name], base.get(name, ()))
            _check_values(document, (*path, name), name, values[name])
        elif name in base:
            values[name] = base[name]
        elif name != DERIVED or "python" not in used:
            document.wrong(path, f"has no value for {{{name}}}, which the template uses")
    own_hints = {key: value for key, value in row.items() if key not in used}
    return MatrixRow(values=values, hints=read_hints(document, path, own_hints, hints))


def _read_conditions(
    document: Document, path: KeyPath, table: Mapping[str, Any], key: str, *, used: Sequence[str], base: Values
) -> tuple[Condition, ...]:
    """The tables of ``except`` and ``where``; each names at least one placeholder, else it would mean every build."""
    conditions = []
    listed = table.get(key, [])
    for place, stated in document.tables((*path, key), listed):
        own_hints = {name: value for name, value in stated.items() if name not in used}
        known = [name for name in HINT_KEYS if name not in used] if key == "where" else []
        document.unknown(place, stated, (*used, *known))
        values = {
            name: frozenset(_read_cell(document, (*place, name), value, base.get(name, ())))
            for name, value in stated.items()
            if name in used
        }
        if not values:
            document.wrong(
                place, f"names no placeholder of the template, so it would hold for every build; {_OF_ALL[key]}"
            )
        elif known and not own_hints:
            document.wrong(place, "states nothing about these builds, such as archs or cxx11_abi")
        conditions.append(Condition(values=values, hints=read_hints(document, place, own_hints, NO_HINTS)))
    return tuple(conditions)


def _read_cell(document: Document, path: KeyPath, value: object, base: Sequence[str]) -> tuple[str, ...]:
    """The values of one placeholder in one row; ``FIRST..LAST`` stands for a part of the source's own list."""
    cell: list[str] = []
    for place, item in document.strings(path, value):
        first, dots, last = item.partition("..")
        if not dots:
            cell.append(item)
        elif not base:
            document.wrong(place, f"{shown(item)} is a range, but the source's values have no list to take it from")
        elif missing := [end for end in (first, last) if end not in base]:
            document.wrong(place, f"{shown(missing[0])} is not in the source's values{nearest(missing[0], base)}")
        elif base.index(first) > base.index(last):
            document.wrong(place, f"{shown(item)} runs backwards: in the source's values {last} comes before {first}")
        else:
            cell += base[base.index(first) : base.index(last) + 1]
    return tuple(cell)


def _check_values(document: Document, path: KeyPath, name: str, values: Iterable[str]) -> None:
    """Note stray braces, and values of ``{version}`` that are no versions: candidates are ordered by it."""
    for text in values:
        if stray_brace(text):
            document.wrong(path, f"{shown(text)} holds a brace that is not part of a placeholder such as {{version}}")
        elif name == "version":
            try:
                Version(text)
            except InvalidVersion:
                document.wrong(path, f"{shown(text)} is not a version (PEP 440)")
