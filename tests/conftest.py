"""What holds for every test: no setting of this machine counts, and random input is the same in every run."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from lib.scene import Scene
from lib.server import Server
from lib.venvs import MissingInterpreterError, isolated_environ

settings.register_profile("pipfallback", deadline=None, derandomize=True)
settings.load_profile("pipfallback")


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("PIP_", "PIPFALLBACK_", "UV_")) or name in {"VIRTUAL_ENV", "CONDA_PREFIX"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Environment variables for a child process, with a home that lasts as long as the test."""
    home = tmp_path / "home"
    home.mkdir()
    return isolated_environ(home)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A running web server; put files into ``server.folder``."""
    folder = tmp_path / "served"
    folder.mkdir()
    with Server(folder) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    return (yield from _skipped_without_interpreter())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    return (yield from _skipped_without_interpreter())


def _skipped_without_interpreter() -> Generator[None, None, None]:
    """A test for a Python that this machine does not have says so."""
    try:
        return (yield)
    except MissingInterpreterError as missing:
        pytest.skip(str(missing))


@pytest.fixture(params=["26.3"])
def pip_version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def scene(tmp_path: Path, server: Server, environ: dict[str, str], pip_version: str) -> Scene:
    return Scene(tmp_path, server, environ, "2.7.1+cu126", pip_version)
