"""Kind ``pattern``: a template and the matrix of what exists, so that no listing has to be asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product

from packaging.version import Version

from pipfallback.builds import Candidate, LabelHints
from pipfallback.catalog import MatrixRow, Source
from pipfallback.sources.reading import Note, read_candidate


def candidates(source: Source, index: int) -> Iterator[Candidate | Note]:
    """The builds that the matrix says exist, newest version first, else in the order of the matrix.

    ``index``: the place of the source in its package.
    """
    for place, (url, hints) in enumerate(expand(source)):
        yield read_candidate(source, url, (index, place), hints)


def expand(source: Source) -> list[tuple[str, LabelHints]]:
    """Every URL of a pattern source, each once, with the hints of the row that it comes from."""
    filled = [(values, row.hints) for row in source.matrix for values in _combinations(row)]
    filled.sort(key=lambda pair: _release(pair[0].get("version")), reverse=True)  # stable, so rows keep their order
    urls: dict[str, LabelHints] = {}
    for values, hints in filled:
        urls.setdefault(source.urls[0].format_map(values), hints)
    return list(urls.items())


def _combinations(row: MatrixRow) -> Iterator[dict[str, str]]:
    """Each combination of the values of a row, with what follows from them."""
    nested = any("{" in value for values in row.values.values() for value in values)
    for combination in product(*row.values.values()):
        values = dict(zip(row.values, combination, strict=True))
        if "python" in values:
            tag, abi = _python_tags(values["python"])
            values["python"] = tag
            values.setdefault("python_abi", abi)
        yield _nested(values) if nested else values


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
