"""fallbacks.toml files for tests: the built-in sources name the real hosts, which no test may ask."""

from __future__ import annotations

import json
import sys
from functools import cache

from pipfallback.catalog_files import builtin_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def silenced(package: str, server: str, *, but: tuple[str, ...] = ()) -> str:
    """TOML that replaces each built-in source of a package, but those named, by one without a wheel for any Python.

    ``server``: the URL of a server of this machine, which the wheels would be on.
    """
    names = [name for name in _source_names()[package] if name not in but]
    return "".join(
        f'[[package.{package}.source]]\nname = {json.dumps(name)}\ntrust = "community"\nkind = "url"\n'
        f'url = ["{server}/none/{package.replace("-", "_")}-0.0.{place}-py2-none-any.whl"]\n'
        for place, name in enumerate(names, 1)
    )


@cache
def _source_names() -> dict[str, list[str]]:
    with builtin_path().open("rb") as file:
        packages = tomllib.load(file)["package"]
    return {name: [source["name"] for source in table["source"]] for name, table in packages.items()}
