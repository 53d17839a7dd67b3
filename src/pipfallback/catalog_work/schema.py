"""The JSON Schema of fallbacks.toml, for editors: made of the same tables that ``catalog_tables`` reads by.

JSON Schema draft-07 (json-schema.org/draft-07), which taplo and Even Better TOML read. It never refuses what the loader
takes. What spans several keys (an open placeholder, a name that two sources have) only the loader tells.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pipfallback.catalog_hints import ABI_WORDS, ARCH, DIGITS, HINT_KEYS, RULES, VERSION
from pipfallback.catalog_tables import (
    KINDS,
    PACKAGE_KEYS,
    PATTERN_KEYS,
    REQUIRED_SOURCE_KEYS,
    SCHEMA,
    SCHEMES,
    SHA256,
    SOURCE_KEYS,
    TOP_KEYS,
    WITHOUT_URL,
)
from pipfallback.trust import Trust

FILE_NAME = "fallbacks.schema.json"
# Editors look for it beside the file: it works without a network, and for the version that is installed.
DIRECTIVE = f"#:schema ./{FILE_NAME}"

# PEP 503: lower case, one "-" for each run of "-", "_" and ".".
_NAME = "^[a-z0-9]+(-[a-z0-9]+)*$"
_KINDS: Mapping[str, str] = {
    "url": "the wheels themselves, one or a list",
    "pattern": "a template; `matrix` says what exists, so nothing has to be asked for",
    "github": "a repository whose releases are listed, or one release (…/releases/tag/TAG)",
    "huggingface": "a repository whose files are listed, or a folder of it (…/tree/REVISION/FOLDER)",
    "links": "a page that links to wheels, or a folder of wheels on disk (file:///…)",
    "index": "the root of a package index (PEP 503, PEP 691); without `url` the one that pip is set to",
    "sdist": "sources that pip can build; only used with --allow-build",
}
_TRUST: Mapping[str, str] = {
    "official": "the package's own project",
    "vendor": "a company that publishes for its users",
    "community": "anybody; used only with --trust-level community",
}
_TOP = {
    "schema": "The version of the format.",
    "package": "One table for each package, by its PEP 503 name (lower case, `-` for every run of `-`, `_` and `.`).",
    "matrix": 'Matrices that several sources have in common, by name: `matrix = "NAME"` in a source takes one.',
}
_PACKAGE = {
    "import": "The modules that must import for the package to count as working. Required in one of the files in force.",
    "import_for": 'Other modules for other versions: a version specifier (PEP 440) such as "<2" to modules.',
    "needs": 'The distributions that a build is tied to, usually ["torch"].',
    "smoke": "Python code that uses the GPU once and checks its numbers. Run only where there is a GPU.",
    "smoke_unproven": "true: nobody has seen `smoke` pass on a GPU, so its failure is only a warning.",
    "source": "The places that list builds, in the order in which they are preferred.",
}
_SOURCE = {
    "name": "What messages call this source; unique within the package.",
    "kind": "What `url` is.",
    "trust": "Whose builds these are.",
    "url": "Where the builds are: https://, http:// or file://. A list of wheels for kind `url`, else one URL.",
    "sha256": "For a single `url` its hash; otherwise a table of hashes by URL.",
    "homepage": "Where a person can read about these builds.",
    "matrix": "Rows that say which combinations of values exist, or the name of a [matrix.NAME] table.",
    "values": "The values of the placeholders, where a row of `matrix` does not say them.",
    "except": "Builds that the rows make and that do not exist: those with these values.",
    "where": "What is known of some of the builds: hints for those with these values.",
}
_HINTS = {
    "torch_digits": 'What torch210 means at this publisher: "major.minor" (2.10) or "major.minor.patch" (2.1.0).',
    "torch_rule": '"exact": the package refuses another patch of torch than the one in its name.',
    "cxx11_abi": 'The C++ ABI that the builds really have. "as-labelled": what their names say is a fact. "torch": that of the official torch of the release in their names.',
    "torch": "The torch that they are built for, for names that do not say it.",
    "cuda": "The CUDA that they are built for, for names that do not say it.",
    "rocm": "The ROCm that they are built for, for names that do not say it.",
    "cpu": "true: builds for the CPU alone.",
    "archs": "The GPU architectures with code in the file.",
}
_DESCRIPTIONS = _SOURCE | _HINTS

_STRING: Mapping[str, Any] = {"type": "string", "pattern": "\\S"}


def schema() -> dict[str, Any]:
    """The schema as JSON values."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "fallbacks.toml",
        "description": "Which packages pipfallback looks after, who publishes builds of them, what proves that one works.",
        **_object(
            {
                "schema": {"const": SCHEMA, "default": SCHEMA},
                "package": {
                    "type": "object",
                    "patternProperties": {_NAME: _package()},
                    "additionalProperties": False,
                },
                "matrix": {"type": "object", "additionalProperties": _shared_matrix()},
            },
            TOP_KEYS,
            _TOP,
            required=("schema",),
        ),
    }


def text() -> str:
    """The schema as the file in the repository holds it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _object(
    properties: Mapping[str, Mapping[str, Any]],
    keys: Iterable[str],
    descriptions: Mapping[str, str],
    *,
    required: Iterable[str] = (),
) -> dict[str, Any]:
    """A table with exactly the loader's ``keys``; raises KeyError where one of them is not described here."""
    return {
        "type": "object",
        "properties": {key: {"description": descriptions[key], **properties[key]} for key in keys},
        "required": list(required),
        "additionalProperties": False,
    }


def _one_or_several(item: Mapping[str, Any], *, least: int = 1) -> dict[str, Any]:
    return {"anyOf": [dict(item), {"type": "array", "items": dict(item), "minItems": least}]}


def _package() -> dict[str, Any]:
    strings = _one_or_several(_STRING)
    return _object(
        {
            "import": strings,
            "import_for": {"type": "object", "additionalProperties": strings},
            "needs": _one_or_several({"type": "string", "pattern": _NAME}),
            "smoke": _STRING,
            "smoke_unproven": {"type": "boolean"},
            "source": {"type": "array", "items": _source()},
        },
        PACKAGE_KEYS,
        _PACKAGE,
    )


def _source() -> dict[str, Any]:
    hashes: dict[str, Any] = {"type": "string", "pattern": f"^{SHA256.pattern}$"}
    properties: dict[str, Mapping[str, Any]] = {
        "name": _STRING,
        "kind": _choice(KINDS, _KINDS),
        "trust": _choice([level.value for level in Trust], _TRUST),
        "url": _one_or_several({"type": "string", "pattern": f"^({'|'.join(_any_case(one) for one in SCHEMES)}):"}),
        "sha256": {"anyOf": [hashes, {"type": "object", "additionalProperties": hashes}]},
        "homepage": _STRING,
        "matrix": {"anyOf": [_STRING, {"type": "array", "items": _row()}]},
        "values": _values(),
        "except": {"type": "array", "items": _values()},
        "where": {"type": "array", "items": _row()},
        **_hints(),
    }
    table = _object(properties, SOURCE_KEYS, _DESCRIPTIONS, required=REQUIRED_SOURCE_KEYS)
    located = [kind for kind in KINDS if kind not in WITHOUT_URL]
    others = [kind for kind in KINDS if kind != "pattern"]
    return {
        **table,
        "allOf": [
            {"if": _of_kind(located), "then": {"required": ["url"]}},
            {"if": _of_kind(others), "then": {"properties": dict.fromkeys(PATTERN_KEYS, False)}},
        ],
        "x-taplo": {"initKeys": [*REQUIRED_SOURCE_KEYS, "url"]},  # what an editor fills in (taplo.tamasfe.dev)
    }


def _of_kind(kinds: Iterable[str]) -> dict[str, Any]:
    return {"properties": {"kind": {"enum": list(kinds)}}, "required": ["kind"]}


def _choice(words: Iterable[str], meaning: Mapping[str, str]) -> dict[str, Any]:
    """One of ``words``, each described; raises KeyError where one of them is not described here."""
    known = list(words)
    return {"enum": known, "x-taplo": {"docs": {"enumValues": [meaning[word] for word in known]}}}


def _any_case(word: str) -> str:
    return "".join(f"[{letter}{letter.upper()}]" for letter in word)


def _hints() -> dict[str, Mapping[str, Any]]:
    version: Mapping[str, Any] = {"type": "string", "pattern": f"^{VERSION.pattern}$"}
    forms: Mapping[str, Mapping[str, Any]] = {
        "torch_digits": {"enum": list(DIGITS)},
        "torch_rule": {"enum": list(RULES)},
        "cxx11_abi": {"enum": [True, False, *ABI_WORDS]},
        "torch": version,
        "cuda": version,
        "rocm": version,
        "cpu": {"type": "boolean"},
        "archs": _one_or_several({"type": "string", "pattern": f"^{ARCH.pattern}$"}),
    }
    return {key: forms[key] for key in HINT_KEYS}


def _row() -> dict[str, Any]:
    """A row names placeholders, whose names the schema cannot know, and hints, unless a placeholder has that name."""
    strings = _one_or_several(_STRING)
    hints = {
        key: {"description": _HINTS[key], "anyOf": [dict(form), strings]}
        for key, form in _hints().items()
        if key not in {"torch", "cuda", "rocm"}
    }
    return {"type": "object", "properties": hints, "additionalProperties": strings}


def _values() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": _one_or_several(_STRING)}


def _shared_matrix() -> dict[str, Any]:
    descriptions = {"values": _SOURCE["values"], "rows": _SOURCE["matrix"].partition(",")[0] + "."}
    return _object({"values": _values(), "rows": {"type": "array", "items": _row()}}, descriptions, descriptions)
