"""``pipfallback catalog list``: packages, sources, whose builds these are, and how many."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.program import run_pipfallback
from lib.publishers_server import Publishers
from pipfallback.catalog_files import builtin_path
from pipfallback.catalog_reader import load

FILE = """\
schema = 1
[package.wobbly]
import = ["wobbly", "wobbly_cuda"]
needs = ["torch"]
[[package.wobbly.source]]
name = "Farm"
trust = "official"
kind = "pattern"
url = "https://farm.example.org/wobbly-{version}-{python}-{python_abi}-linux_x86_64.whl"
values = { version = ["1.0", "1.1"], python = ["cp310", "cp311", "cp312"] }
[[package.wobbly.source]]
name = "By hand"
trust = "vendor"
kind = "url"
url = "https://me:s3cret@wheels.example.org/wobbly-1.0-py3-none-any.whl#sha256=HASH"
homepage = "https://wheels.example.org/about"
[[package.wobbly.source]]
name = "Page"
trust = "community"
kind = "links"
url = "SITE/links.html"
[[package.wobbly.source]]
name = "PyPI"
trust = "official"
kind = "sdist"
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Publishers]:
    folder = tmp_path / "served"
    folder.mkdir()
    with Publishers(folder) as running:
        running.page(
            "/links.html", "<a href='wobbly-2.0-py3-none-any.whl'>a</a><a href='wobbly-2.1-py3-none-any.whl'>b</a>"
        )
        (tmp_path / "team.toml").write_text(FILE.replace("HASH", "a" * 64).replace("SITE", running.url))
        yield running


def test_a_package_is_listed_with_its_sources(tmp_path: Path, site: Publishers) -> None:
    done = run_pipfallback(["catalog", "list", "--fallbacks", "team.toml", "Wobbly"], cwd=tmp_path)
    assert done.code == 0, done.said
    assert done.stdout.splitlines() == [
        "wobbly",
        "  imports wobbly, wobbly_cuda; needs torch",
        "  Farm     official    6 builds  pattern: farm.example.org",
        "  By hand  vendor       1 build  url: https://wheels.example.org/about",
        f"  Page     community  not asked  links: {site.url}/links.html",
        "  PyPI     official           -  sdist: pip's own index",
    ]
    assert site.requests == []


def test_online_the_listings_are_counted(tmp_path: Path, site: Publishers) -> None:
    done = run_pipfallback(["catalog", "list", "--online", "--fallbacks", "team.toml", "wobbly"], cwd=tmp_path)
    assert done.code == 0, done.said
    assert f"  Page     community  2 builds  links: {site.url}/links.html" in done.stdout.splitlines()


def test_json_has_the_documented_form(tmp_path: Path, site: Publishers) -> None:
    done = run_pipfallback(["catalog", "list", "--json", "--fallbacks", "team.toml", "wobbly"], cwd=tmp_path)
    assert json.loads(done.stdout) == {
        "schema": 1,
        "packages": [
            {
                "name": "wobbly",
                "import": ["wobbly", "wobbly_cuda"],
                "needs": ["torch"],
                "sources": [
                    {
                        "name": "Farm",
                        "kind": "pattern",
                        "trust": "official",
                        "url": "https://farm.example.org/wobbly-{version}-{python}-{python_abi}-linux_x86_64.whl",
                    },
                    {
                        "name": "By hand",
                        "kind": "url",
                        "trust": "vendor",
                        "url": ["https://wheels.example.org/wobbly-1.0-py3-none-any.whl"],
                    },
                    {"name": "Page", "kind": "links", "trust": "community", "url": f"{site.url}/links.html"},
                    {"name": "PyPI", "kind": "sdist", "trust": "official", "url": None},
                ],
            }
        ],
    }, done.said


def test_without_a_name_every_package_in_force_is_listed(tmp_path: Path) -> None:
    known = load().packages
    done = run_pipfallback(["catalog", "list"], cwd=tmp_path)
    assert done.code == 0, done.said
    lines = done.stdout.splitlines()
    assert [line for line in lines[:-1] if line and not line.startswith(" ")] == list(known)
    assert lines[-1].startswith(f"{len(known)} packages, ")
    assert builtin_path().is_file()


def test_a_name_that_nobody_knows_is_an_error() -> None:
    done = run_pipfallback(["catalog", "list", "flash-atn"])
    assert done.code == 1, done.said
    assert done.stderr.splitlines() == [
        "error: no fallbacks.toml in force knows flash-atn",
        "",
        'hint: flash-atn; did you mean "flash-attn"?',
        "see: pipfallback help invalid-catalog",
    ]


def test_the_value_of_an_option_before_the_action_is_not_taken_for_it(tmp_path: Path) -> None:
    after = run_pipfallback(["catalog", "list", "--python", sys.executable, "torch"], cwd=tmp_path)
    before = run_pipfallback(["catalog", "--python", sys.executable, "list", "torch"], cwd=tmp_path)
    assert (before.code, before.stdout) == (after.code, after.stdout) == (0, after.stdout), before.said
