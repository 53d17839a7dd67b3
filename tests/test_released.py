"""How a release is made: nothing in it can change by itself, and only one job can publish."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from lib.packages import PACKAGE, ROOT
from pipfallback import __version__

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RELEASE = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
HOOKS = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PINNED = r"[0-9a-f]{40} # v\d+\.\d+\.\d+"  # a commit, whose tag a reader sees


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit(workflow: Path) -> None:
    used = re.findall(r"^\s*(?:- )?uses: *(.+)$", workflow.read_text(encoding="utf-8"), re.MULTILINE)

    assert used
    assert [one for one in used if not re.fullmatch(rf"[\w.-]+/[\w./-]+@{PINNED}", one)] == []


def test_one_action_has_one_pin() -> None:
    used = re.findall(r"uses: *([^@\s]+)@(\S+)", "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS))

    assert len({name for name, _ in used}) == len(set(used))


def test_every_repository_of_hooks_is_pinned_to_a_commit() -> None:
    repositories = re.findall(r"^ {2}- repo: (\S+)\n(?: {4}rev: (.+)\n)?", HOOKS, re.MULTILINE)

    assert {name for name, _ in repositories} > {"local"}
    assert [name for name, rev in repositories if name != "local" and not re.fullmatch(PINNED, rev)] == []


def test_hooks_use_the_tools_of_make_check() -> None:
    tools = [one for listed in re.findall(r"additional_dependencies: \[(.*)\]", HOOKS) for one in listed.split(", ")]

    assert tools
    for tool in tools:
        assert re.fullmatch(r'"[\w-]+==[\d.]+"', tool)
        assert tool in PROJECT


def test_what_the_hooks_run_is_there() -> None:
    ((test, name),) = re.findall(r"pytest -q (\S+) -k (\w+)", HOOKS)

    assert f"def test_{name}(" in (ROOT / test).read_text(encoding="utf-8")


def test_only_the_job_that_publishes_may_and_it_runs_nothing_of_ours() -> None:
    jobs = dict(re.findall(r"^ {2}(\w+):\n((?: {4}.*\n|\n)+)", RELEASE.partition("\njobs:\n")[2], re.MULTILINE))

    assert list(jobs) == ["build", "test", "publish"]
    assert re.search(r"^permissions: \{\}$", RELEASE, re.MULTILINE)
    assert [name for name, text in jobs.items() if "write" in text] == ["publish"]
    assert "run:" not in jobs["publish"]
    assert "checkout" not in jobs["publish"]
    assert [re.findall(r"needs: (\w+)", jobs[name]) for name in jobs] == [[], ["build"], ["test"]]
    assert "secrets." not in RELEASE


def test_the_version_stands_in_one_place() -> None:
    stated = re.findall(r'^__version__ = "(.*)"$', (PACKAGE / "version.py").read_text(encoding="utf-8"), re.MULTILINE)

    assert stated == [__version__]
    assert 'dynamic = ["version"]' in PROJECT
    assert "src/pipfallback/version.py" in RELEASE  # what the tag is compared with
    assert version("pipfallback") == __version__


def test_the_change_log_begins_with_what_is_not_released_yet_or_with_this_version() -> None:
    newest, *_ = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert newest in {"Unreleased", __version__}
