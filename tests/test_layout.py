"""Which folders a command installs to: where a real pip puts a package is where it is looked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lib.trees import changes, tree
from lib.venvs import isolated_environ, make_venv
from lib.wheels import make_wheel
from pipfallback.arguments import parse
from pipfallback.environment import Installation, probe
from pipfallback.installed import installed_in
from pipfallback.layout import Layout, cross_options, layout_of


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Installation, str]:
    environment, installation = probe(make_venv(tmp_path_factory.mktemp("layout") / "venv"))
    return installation, environment.python.version


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    commands = {"tool": "pkg:main"}
    return make_wheel(tmp_path / "wheels", "pkg", "1.0", commands=commands, data={"data/share/pkg/x": "x"})


def installed_by_pip(found: tuple[Installation, str], wheel: Path, folder: Path, *options: str) -> Layout:
    """Install with a real pip; all that it made must lie in the layout's roots, the package in its first folder."""
    installation, version = found
    words = ["install", "-q", "--no-index", "--no-warn-script-location", *options, str(wheel)]
    layout = layout_of(parse(words, {}), installation, version)
    everywhere = [Path(installation.prefix), folder]
    before = [tree(place) for place in everywhere]
    command = [installation.executable, "-m", "pip", *words]
    subprocess.run(command, check=True, env=isolated_environ(folder.parent), cwd=folder)
    assert list(installed_in([layout.folders[0]]))[-1:] == ["pkg"]
    for place, old in zip(everywhere, before, strict=True):
        for change in changes(old, tree(place)):
            path = str(place / change[2:])
            inside = any(path == root or path.startswith(root + "/") or root.startswith(path) for root in layout.roots)
            assert inside, path
    return layout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def test_without_options_it_is_site_packages(found: tuple[Installation, str], wheel: Path, folder: Path) -> None:
    layout = installed_by_pip(found, wheel, folder)
    assert layout.folders[0] == found[0].paths["purelib"]
    assert (layout.separate, layout.import_paths) == (False, ())


def test_target_prefix_and_root_are_separate(found: tuple[Installation, str], folder: Path) -> None:
    own = found[0].paths["purelib"]
    version = ".".join(found[1].split(".")[:2])
    expected = {
        "--target": folder / "there",
        "--prefix": folder / "there" / "lib" / f"python{version}" / "site-packages",
        "--root": Path(f"{folder}/there{own}"),
    }
    for option, place in expected.items():
        layout = layout_of(parse(["install", option, "there", "x"], {}), *found)
        assert (layout.folders[0], layout.separate, layout.import_paths) == (str(place), True, (str(place),))
        assert own in layout.folders
        assert str(folder / "there") in layout.roots


@pytest.mark.parametrize("option", ["--target", "--prefix", "--root"])
def test_pip_puts_it_there(option: str, found: tuple[Installation, str], wheel: Path, folder: Path) -> None:
    layout = installed_by_pip(found, wheel, folder, f"{option}=there", "--ignore-installed")
    assert layout.folders[0].startswith(str(folder / "there"))


def test_user_is_the_users_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: Path) -> None:
    base = subprocess.run(
        [sys.executable, "-c", "import sys; print(sys._base_executable)"], capture_output=True, text=True, check=True
    ).stdout.strip()
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path / "user"))
    environment, installation = probe(base)
    command = parse(["install", "--user", str(wheel)], {})
    layout = layout_of(command, installation, environment.python.version)
    assert layout.folders[0] == installation.paths["usersite"]
    assert layout.folders[0].startswith(str(tmp_path / "user"))
    assert not layout.separate
    assert len(set(layout.folders)) == len(layout.folders)
    assert str(tmp_path / "user") in layout.roots


def test_the_last_of_several_targets_counts(found: tuple[Installation, str]) -> None:
    command = parse(["install", "-t", "/one", "--target=/two", "x"], {})
    assert layout_of(command, *found).folders[0] == "/two"


def test_options_for_another_interpreter() -> None:
    assert cross_options(parse(["install", "x"], {})) == {}
    words = ["download", "--platform", "linux_x86_64", "--platform=any", "--python-version", "3.10", "--abi=cp310", "x"]
    assert cross_options(parse(words, {})) == {
        "--platform": ("linux_x86_64", "any"),
        "--python-version": ("3.10",),
        "--abi": ("cp310",),
    }
