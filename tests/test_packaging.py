"""The wheel that a release publishes: what is in it, and that it runs where it is installed."""

from __future__ import annotations

import sysconfig
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from lib.packages import PACKAGE, ROOT, build_own_wheel
from lib.program import run
from lib.venvs import make_venv, site_packages
from pipfallback import __version__


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_own_wheel(tmp_path_factory.mktemp("dist"))


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    modules = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.py")}
    expected = modules | {"pipfallback/py.typed", "pipfallback/fallbacks.toml", "pipfallback/troubleshooting.md"}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        # One source of truth: the catalog in the wheel is the file at the top of the repository.
        assert archive.read("pipfallback/fallbacks.toml") == (ROOT / "fallbacks.toml").read_bytes()
    assert names == expected


def test_its_metadata_says_what_it_needs_and_offers(wheel: Path) -> None:
    folder = f"pipfallback-{__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
        commands = archive.read(f"{folder}/entry_points.txt").decode()
        assert f"{folder}/licenses/LICENSE" in archive.namelist()
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert commands.split("\n")[:2] == ["[console_scripts]", "pipfallback = pipfallback.cli:main"]


def test_it_runs_where_it_is_installed(wheel: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    python = make_venv(tmp_path / "venv")
    # Its dependencies are those of this environment: a .pth line adds the folder behind the wheel's own.
    (site_packages(python) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # That folder can hold pipfallback as well, of which pip must not say that it is there already.
    command = [python, "-m", "pip", "install", "--no-index", "--no-deps", "--ignore-installed", wheel]
    installed = run(command, env=environ)
    assert installed.code == 0, installed.said
    located = run([python, "-c", "import pipfallback; print(pipfallback.__file__)"], env=environ)
    assert located.stdout.startswith(str(tmp_path)), located.said
    for command in ([python.parent / "pipfallback"], [python, "-m", "pipfallback"]):
        done = run([*command, "--version"], env=environ)
        assert done.code == 0, done.said
        assert __version__ in done.stdout
    helped = run([python.parent / "pipfallback", "help", "no-build-fits"], env=environ)
    assert (helped.code, helped.stderr, helped.stdout.split()[0]) == (0, "", "Symptom."), helped.said


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.10", "3.13"])
def test_every_module_loads_with_the_oldest_and_the_newest_python(
    wheel: Path, version: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    """Installed from the index, with what that Python needs; what runs in targets alone is not to be imported."""
    python = make_venv(tmp_path / "venv", python=version)
    installed = run([python, "-m", "pip", "install", "--quiet", wheel], env=environ, timeout=300)
    assert installed.code == 0, installed.said
    code = (
        "import importlib, pkgutil, pipfallback\n"
        "for found in pkgutil.walk_packages(pipfallback.__path__, 'pipfallback.'):\n"
        "    if not found.name.rpartition('.')[2].startswith('_'):\n"
        "        importlib.import_module(found.name)\n"
    )
    loaded = run([python, "-c", code], env=environ)
    assert loaded.code == 0, loaded.said
    planned = run(
        [python.parent / "pipfallback", "plan", "flash-attn", "--torch", "2.7.1+cu126", "--json"], env=environ
    )
    assert '"decisions"' in planned.stdout, planned.said
