"""Which interpreter is installed for: the one that was named, the active one, or our own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lib.venvs import make_venv
from pipfallback.errors import TargetError
from pipfallback.target import Target, find_target


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    return make_venv(tmp_path / "venv", pip=None).parent.parent


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_path_a_venv_folder_and_a_name_on_path_may_be_named(
    venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = venv / "bin" / "python"
    expected = Target(executable=str(python))
    assert find_target(str(python), {}) == expected
    assert find_target(str(venv), {}) == expected
    assert find_target("python", {"PATH": str(python.parent)}) == expected
    monkeypatch.chdir(tmp_path)
    assert find_target("venv", {}) == expected
    assert find_target("venv/bin/python", {}) == expected
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_target("~/venv", {}) == expected


def test_the_link_of_a_venv_is_not_resolved(venv: Path) -> None:
    assert (venv / "bin" / "python").is_symlink()
    assert find_target(str(venv / "bin" / "python"), {}).executable == str(venv / "bin" / "python")


def test_a_named_one_counts_more_than_an_active_one(venv: Path, tmp_path: Path) -> None:
    other = program(tmp_path / "other" / "bin" / "python")
    assert find_target(str(other), {"VIRTUAL_ENV": str(venv)}).executable == str(other)


@pytest.mark.parametrize(
    ("named", "what"),
    [("empty", "holds no interpreter"), ("notes.txt", "is no interpreter"), ("missing", "was not found")],
)
def test_what_is_no_interpreter_is_told_with_a_hint(
    named: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("notes.txt").write_text("python\n")
    with pytest.raises(TargetError) as caught:
        find_target(named, {"PATH": ""})
    assert caught.value.message == f"--python {named}: {what}"
    assert caught.value.hints == ("give a path, a venv folder, or a name on PATH",)


def test_the_active_environment_is_the_target(venv: Path, tmp_path: Path) -> None:
    conda = program(tmp_path / "conda" / "bin" / "python")
    expected = str(venv / "bin" / "python")
    assert find_target(None, {"VIRTUAL_ENV": str(venv)}) == Target(executable=expected)
    assert find_target(None, {"CONDA_PREFIX": str(tmp_path / "conda")}).executable == str(conda)
    both = {"VIRTUAL_ENV": str(venv), "CONDA_PREFIX": str(tmp_path / "conda")}
    assert find_target(None, both).executable == expected


def test_an_active_environment_that_is_gone_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="holds no interpreter"):
        find_target(None, {"VIRTUAL_ENV": str(tmp_path / "gone")})
    assert find_target(None, {"CONDA_PREFIX": str(tmp_path)}) == Target(executable=sys.executable)
    assert find_target(None, {"VIRTUAL_ENV": ""}) == Target(executable=sys.executable)


@pytest.fixture(params=["pipx_metadata.json", "uv-receipt.toml", "uvx"])
def tool(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pipfallback's own environment is that of a tool; its folder of programs is returned."""
    prefix = tmp_path / "archive-v0" / "hash" if request.param == "uvx" else tmp_path / "tool"
    python = program(prefix / "bin" / "python3")
    if request.param != "uvx":
        (prefix / request.param).write_text("")
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr(sys, "executable", str(python))
    return python.parent


def test_from_a_tools_environment_the_first_python_on_path_is_the_target_and_told(tool: Path, tmp_path: Path) -> None:
    python = program(tmp_path / "usr" / "bin" / "python")
    python3 = program(tmp_path / "usr2" / "bin" / "python3")
    path = f"{python.parent}:{python3.parent}"
    reason = f"installing for {python3}, the first python3 on PATH"
    assert find_target(None, {"PATH": path}) == Target(executable=str(python3), reason=reason)
    assert find_target(None, {"PATH": str(python.parent)}).executable == str(python)
    # uvx puts the tool's own folder in front.
    assert find_target(None, {"PATH": f"{tool}:{path}"}).executable == str(python3)


def test_a_tool_does_not_install_into_itself(tool: Path) -> None:
    for environ in ({"PATH": str(tool)}, {"PATH": ""}, {}):
        with pytest.raises(TargetError) as caught:
            find_target(None, environ)
        assert caught.value.hints == ("name the interpreter: --python PATH",)


@pytest.mark.usefixtures("tool")
def test_an_active_environment_counts_for_a_tool(tmp_path: Path) -> None:
    python = program(tmp_path / "active" / "bin" / "python")
    assert find_target(None, {"VIRTUAL_ENV": str(tmp_path / "active")}) == Target(executable=str(python))
