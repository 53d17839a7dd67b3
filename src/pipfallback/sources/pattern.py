"""Kind ``pattern``: a template and the matrix of what exists, so that no listing has to be asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from functools import cache
from itertools import product
from typing import NamedTuple

from packaging.version import Version

from pipfallback.builds import NO_HINTS, Candidate, LabelHints
from pipfallback.catalog import Condition, MatrixRow, Source
from pipfallback.sources.reading import Note, read_candidate


class _Known(NamedTuple):
    """What was read of one source; ``source`` is held so that its id stays its own."""

    source: Source
    table: int
    candidates: tuple[Candidate | Note, ...]


# A command asks for the same package several times, once for each environment of a lock, say; 10,000 builds take 0.2 s.
_KNOWN: dict[int, _Known] = {}


def candidates(source: Source, index: int) -> Iterator[Candidate | Note]:
    """The builds that the matrix says exist, newest version first, else in the order of the matrix.

    ``index``: the place of the source in its package.
    """
    known = _KNOWN.get(id(source))
    if known is None or known.source is not source or known.table != index:
        read = (read_candidate(source, url, (index, place), hints) for place, (url, hints) in enumerate(expand(source)))
        known = _KNOWN[id(source)] = _Known(source, index, tuple(read))
    yield from known.candidates


def expand(source: Source) -> list[tuple[str, LabelHints]]:
    """Every URL of a pattern source, each once, with the hints of the row that it comes from and of what holds there."""
    filled = [(_filled(values), hints) for row in source.matrix for values, hints in _builds(row, source)]
    filled.sort(key=lambda pair: _release(pair[0].get("version")), reverse=True)  # stable, so rows keep their order
    urls: dict[str, LabelHints] = {}
    for values, hints in filled:
        urls.setdefault(source.urls[0].format_map(values), hints)
    return list(urls.items())


def met(source: Source, condition: Condition) -> bool:
    """Whether a build of a pattern source meets a condition, such as one of its own ``where``."""
    for row in source.matrix:
        left = _within(condition, row)
        if left is not None and any(_meets(values, left) for values, _ in _builds(row, source)):
            return True
    return False


def _builds(row: MatrixRow, source: Source) -> Iterator[tuple[dict[str, str], LabelHints]]:
    """Each combination of the values of a row that exists, and what is known of it."""
    exceptions = [each for one in source.exceptions if (each := _within(one, row)) is not None]
    where = [each for one in source.where if (each := _within(one, row)) is not None]
    for combination in product(*row.values.values()):
        values = dict(zip(row.values, combination, strict=True))
        if any(_meets(values, one) for one in exceptions):
            continue
        stated = tuple(one.hints for one in where if _meets(values, one))
        yield values, _over(row.hints, stated) if stated else row.hints


def _within(condition: Condition, row: MatrixRow) -> Condition | None:
    """What of a condition can differ between the builds of a row; None where it holds for none of them.

    So that of a hundred conditions only the few that matter are asked for each build.
    """
    left = {}
    for name, wanted in condition.values.items():
        there = row.values.get(name, ())
        if wanted.isdisjoint(there):
            return None
        if not wanted.issuperset(there):
            left[name] = wanted
    return Condition(values=left, hints=condition.hints)


def _meets(values: Mapping[str, str], condition: Condition) -> bool:
    return all(values[name] in wanted for name, wanted in condition.values.items())


@cache
def _over(hints: LabelHints, stated: tuple[LabelHints, ...]) -> LabelHints:
    """``hints`` with what others state instead; the last one wins."""
    for one in stated:
        said = {each.name: getattr(one, each.name) for each in fields(one)}
        hints = replace(hints, **{name: value for name, value in said.items() if value != getattr(NO_HINTS, name)})
    return hints


def _filled(values: dict[str, str]) -> dict[str, str]:
    """The values as the template takes them, with what follows from them."""
    if "python" in values:
        tag, abi = _python_tags(values["python"])
        values["python"] = tag
        values.setdefault("python_abi", abi)
    return _nested(values) if any("{" in value for value in values.values()) else values


def _nested(values: Mapping[str, str]) -> dict[str, str]:
    """Fill the placeholders that values hold. One level deep, so that a circle cannot run for ever."""
    return {name: value.format_map(values) if "{" in value else value for name, value in values.items()}


@cache
def _python_tags(python: str) -> tuple[str, str]:
    """The PEP 425 Python tag and ABI tag that a value of ``{python}`` stands for.

    ``cp39-abi3`` states both; ``cp313t`` is free-threaded CPython 3.13 (PEP 703: tag cp313, ABI cp313t); up to CPython
    3.7 the ABI tag ends with the m of pymalloc (PEP 3149; dropped in 3.8, bpo-36707).
    """
    tag, dash, abi = python.partition("-")
    if dash:
        return tag, abi
    if match := re.fullmatch(r"(cp3\d+)t", tag):
        return match[1], tag
    return tag, f"{tag}m" if re.fullmatch(r"cp3[0-7]", tag) else tag


@cache
def _release(version: str | None) -> Version:
    """A key for sorting; what has no version of its own comes last."""
    return Version(version or "0")
