"""Which packages the fallbacks.toml files in force name, found without parsing them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipfallback.catalog_files import Layer, builtin_path, layers, managed_names

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def write(folder: Path, text: str) -> Path:
    path = folder / "fallbacks.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_names_of_the_built_in_catalog_are_those_that_parsing_finds() -> None:
    parsed = tomllib.loads(builtin_path().read_text(encoding="utf-8"))

    assert managed_names(layers()) == frozenset(parsed["package"])


@pytest.mark.parametrize(
    "text",
    [
        "[package.wobbly]\n",
        "[[package.wobbly.source]]\n",
        ' [ package . "wobbly" ]  # said\n',
        "[package.'wobbly'.x]\n",
        "[package]\nwobbly.import = 'wobbly'\n",
        "package.wobbly.import = 'wobbly'\n",
        "package = { wobbly = { import = ['wobbly'] } }\n",
        '["package".wobbly]\n',
        '"package" = { wobbly = {} }\n',
    ],
)
def test_names_are_found_however_their_tables_are_written(tmp_path: Path, text: str) -> None:
    assert list(tomllib.loads(text)["package"]) == ["wobbly"]

    assert managed_names([Layer(path=write(tmp_path, text))]) == {"wobbly"}


def test_a_file_that_cannot_be_read_names_nothing(tmp_path: Path) -> None:
    broken = write(tmp_path, "package = { wobbly\n")

    assert managed_names([Layer(path=tmp_path / "absent"), Layer(path=broken)]) == frozenset()
