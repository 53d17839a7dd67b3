"""The JSON Schema of fallbacks.toml: the published one is the generated one, and it never refuses what the loader takes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lib.packages import ROOT
from lib.program import run_pipfallback
from pipfallback import catalog_hints, catalog_reader, catalog_tables
from pipfallback.catalog_work import schema
from pipfallback.errors import CatalogError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PUBLISHED = ROOT / "docs" / schema.FILE_NAME
HASH = "a" * 64
GOOD = f"""\
schema = 1
[package.wobbly]
import = ["wobbly"]
import_for = {{ "<2" = "wobbly_native" }}
needs = "torch"
smoke = "import wobbly"
smoke_unproven = true
[[package.wobbly.source]]
name = "Farm"
trust = "official"
kind = "pattern"
url = "https://farm.example.org/wobbly-{{version}}+cu{{cuda}}-{{python}}-{{python_abi}}-linux_x86_64.whl"
homepage = "https://farm.example.org"
cxx11_abi = "as-labelled"
torch_digits = "major.minor"
torch = "2.7"
archs = ["8.0", "9.0a", "12.0+PTX"]
matrix = [{{ version = "1.0..1.1", cuda = ["11", "12"], cpu = false, cxx11_abi = true, archs = "8.0", rocm = "6.3" }}]
values = {{ version = ["1.0", "1.1"], python = "cp310" }}
except = [{{ version = "1.0", cuda = ["11", "12"] }}]
where = [{{ version = "1.0..1.1", cuda = "12", cxx11_abi = false, archs = ["8.0"] }}]
[[package.wobbly.source]]
name = "Wheels"
trust = "community"
kind = "url"
url = "https://wheels.example.org/wobbly-2.0-py3-none-any.whl"
sha256 = "{HASH}"
[[package.wobbly.source]]
name = "More"
trust = "vendor"
kind = "url"
url = ["HTTPS://wheels.example.org/wobbly-2.1-py3-none-any.whl", "file:///srv/wobbly-2.2-py3-none-any.whl"]
sha256 = {{ "file:///srv/wobbly-2.2-py3-none-any.whl" = "{HASH.upper()}" }}
[[package.wobbly.source]]
name = "PyPI"
trust = "official"
kind = "index"
[[package.wobbly.source]]
name = "Shared"
trust = "official"
kind = "pattern"
url = "https://farm.example.org/wobbly-{{version}}-py3-none-any.whl"
matrix = "farm"
[matrix.farm]
values = {{ version = "3.0" }}
rows = [{{}}]
"""


def errors(text: str) -> list[str]:
    """Where the schema refuses a file, as dotted paths."""
    validator = jsonschema.Draft7Validator(schema.schema())
    return sorted(
        ".".join(str(part) for part in one.absolute_path) for one in validator.iter_errors(tomllib.loads(text))
    )


def loads(folder: Path, text: str) -> bool:
    (folder / "fallbacks.toml").write_text(text)
    try:
        catalog_reader.load([folder / "fallbacks.toml"])
    except CatalogError:
        return False
    return True


def test_the_published_schema_is_the_generated_one() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == schema.text(), f"pipfallback catalog schema > {PUBLISHED}"


def test_the_command_prints_it() -> None:
    done = run_pipfallback(["catalog", "schema"])
    assert (done.code, done.stdout) == (0, schema.text()), done.said


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(schema.schema())


def test_the_built_in_catalog_is_valid_and_names_it() -> None:
    text = (ROOT / "fallbacks.toml").read_text(encoding="utf-8")
    assert errors(text) == []
    named = re.match(r"#:schema (\S+)\n", text)
    assert named is not None
    assert (ROOT / named[1]).resolve() == PUBLISHED


def test_every_example_of_the_documentation_is_valid() -> None:
    text = (ROOT / "docs" / "fallbacks-toml.md").read_text(encoding="utf-8")
    examples: list[str] = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        assert errors(example if "schema = 1" in example else f"schema = 1\n{example}") == []


def test_what_the_loader_takes_is_valid(tmp_path: Path) -> None:
    assert loads(tmp_path, GOOD)
    assert errors(GOOD) == []


def test_every_key_of_the_loader_is_described() -> None:
    def tables(form: Any) -> Iterable[dict[str, Any]]:
        if isinstance(form, dict):
            yield from (one for one in [form.get("properties")] if one and form.get("additionalProperties") is False)
            for value in form.values():
                yield from tables(value)
        elif isinstance(form, list):
            for value in form:
                yield from tables(value)

    found = [set(table) for table in tables(schema.schema())]
    assert set(catalog_tables.TOP_KEYS) in found
    assert set(catalog_tables.PACKAGE_KEYS) in found
    assert set(catalog_tables.SOURCE_KEYS) in found
    for table in tables(schema.schema()):
        assert all(form["description"].endswith(".") for form in table.values())
    assert set(catalog_hints.HINT_KEYS) <= set(catalog_tables.SOURCE_KEYS)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("schema = 1", "schema = 2", ["schema"]),
        ("schema = 1", "", [""]),
        ("schema = 1", "schema = 1\nname = 1", [""]),
        ("[package.wobbly]", "[package.Wob_bly]", ["package"]),
        ('import = ["wobbly"]', "import = []", ["package.wobbly.import"]),
        ('needs = "torch"', 'need = "torch"', ["package.wobbly"]),
        ('needs = "torch"', 'needs = "Torch"', ["package.wobbly.needs"]),
        ("smoke_unproven = true", 'smoke_unproven = "yes"', ["package.wobbly.smoke_unproven"]),
        ('name = "PyPI"\n', "", ["package.wobbly.source.3"]),
        ('kind = "index"', 'kind = "indx"', ["package.wobbly.source.3.kind", "package.wobbly.source.3"]),
        ('trust = "community"', 'trust = "anybody"', ["package.wobbly.source.1.trust"]),
        ('kind = "index"', 'kind = "links"', ["package.wobbly.source.3"]),
        (
            'kind = "index"',
            'kind = "index"\nvalues = { x = "1" }',
            ["package.wobbly.source.3", "package.wobbly.source.3.values"],
        ),
        ('url = "https://wheels', 'url = "wheels', ["package.wobbly.source.1.url"]),
        (f'sha256 = "{HASH}"', 'sha256 = "abc"', ["package.wobbly.source.1.sha256"]),
        ('cxx11_abi = "as-labelled"', 'cxx11_abi = "yes"', ["package.wobbly.source.0.cxx11_abi"]),
        ('"major.minor"', '"minor.major"', ["package.wobbly.source.0.torch_digits"]),
        ('torch = "2.7"', "torch = 2.7", ["package.wobbly.source.0.torch"]),
        ('"9.0a"', '"9"', ["package.wobbly.source.0.archs"]),
        ('cuda = ["11", "12"], cpu', "cuda = 12, cpu", ["package.wobbly.source.0.matrix"]),
        ('version = "1.0", cuda', "version = 1, cuda", ["package.wobbly.source.0.except.0.version"]),
        ('cuda = "12", cxx11_abi = false', 'cuda = "12", cxx11_abi = 0', ["package.wobbly.source.0.where.0.cxx11_abi"]),
        ("except = [", "exempt = [", ["package.wobbly.source.0"]),
        ("rows = [{}]", "row = [{}]", ["matrix.farm"]),
    ],
)
def test_what_it_refuses_the_loader_refuses_too(tmp_path: Path, old: str, new: str, where: list[str]) -> None:
    assert GOOD.count(old) == 1, old
    text = GOOD.replace(old, new)
    found = errors(text)
    assert found
    assert set(found) <= set(where)
    assert not loads(tmp_path, text)


def test_the_line_for_editors_changes_nothing_for_who_looks_for_names_in_the_text(tmp_path: Path) -> None:
    path = tmp_path / "fallbacks.toml"
    path.write_text(f"{schema.DIRECTIVE}\n{GOOD}")
    done = run_pipfallback(["completion", "words", "plan", "wob"], cwd=tmp_path)
    assert done.stdout.split()[0] == "wobbly", done.said
    assert json.loads(run_pipfallback(["catalog", "list", "--json", "wobbly"], cwd=tmp_path).stdout)["packages"]
