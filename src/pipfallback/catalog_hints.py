"""The keys of a source table that tell how its publisher's labels are to be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pipfallback.builds import LabelHints
from pipfallback.toml_document import Document, nearest, shown
from pipfallback.toml_lines import KeyPath

HINT_KEYS = ("torch_digits", "torch_rule", "cxx11_abi", "torch", "cuda", "rocm", "cpu", "archs")

VERSION = re.compile(r"\d+(\.\d+){0,2}")
ARCH = re.compile(r"\d+\.\d[af]?(\+PTX)?")  # as TORCH_CUDAARCH_LIST writes them
RULES = ("exact",)
DIGITS = ("major.minor", "major.minor.patch")
# What the labels of a C++ ABI are worth -> LabelHints.cxx11_abi_labels.
ABI_WORDS: Mapping[str, Literal["fact", "torch"]] = {"as-labelled": "fact", "torch": "torch"}


def read_hints(document: Document, path: KeyPath, table: Mapping[str, Any], base: LabelHints) -> LabelHints:
    """``base`` with the hints among the keys of ``table``, which stands at ``path``; mistakes go to ``document``."""
    hints = base
    for key in HINT_KEYS:
        if key in table:
            hints = _with_hint(document, (*path, key), key, table[key], hints)
    return hints


def _with_hint(document: Document, path: KeyPath, key: str, value: object, hints: LabelHints) -> LabelHints:
    match key, value:
        case "torch_digits", "major.minor":
            return replace(hints, torch_digits="major.minor")
        case "torch_digits", "major.minor.patch":
            return replace(hints, torch_digits="major.minor.patch")
        case "torch_digits", _:
            document.wrong(path, f"{shown(value)} is not a way to read digits{nearest(str(value), DIGITS)}")
        case "torch_rule", "exact":
            return replace(hints, torch_rule="exact")
        case "torch_rule", _:
            document.wrong(path, f"{shown(value)} is not a rule{nearest(str(value), RULES)}")
        case "cxx11_abi", bool():
            return replace(hints, cxx11_abi=value)
        case "cxx11_abi", str() if value in ABI_WORDS:
            return replace(hints, cxx11_abi=None, cxx11_abi_labels=ABI_WORDS[value])
        case "cxx11_abi", _:
            words = " or ".join(f'"{word}"' for word in ABI_WORDS)
            document.wrong(path, f"must be true, false, {words}, not {shown(value)}")
        case "cpu", bool():
            return replace(hints, cpu=value)
        case "cpu", _:
            document.wrong(path, f"must be true or false, not {shown(value)}")
        case "archs", _:
            return replace(hints, archs=_archs(document, path, value))
        case _:
            return _with_version(document, path, key, value, hints)
    return hints


def _with_version(document: Document, path: KeyPath, key: str, value: object, hints: LabelHints) -> LabelHints:
    if not isinstance(value, str) or not VERSION.fullmatch(value):
        document.wrong(path, f'must be a version such as "12.4", as a string, not {shown(value)}')
        return hints
    match key:
        case "torch":
            return replace(hints, torch=value)
        case "cuda":
            return replace(hints, cuda=value)
        case _:
            return replace(hints, rocm=value)


def _archs(document: Document, path: KeyPath, value: object) -> tuple[str, ...] | None:
    archs = document.strings(path, value)
    for place, arch in archs:
        if not ARCH.fullmatch(arch):
            document.wrong(place, f'{shown(arch)} is not a GPU architecture such as "9.0" or "12.0+PTX"')
    return tuple(arch for _, arch in archs) or None
