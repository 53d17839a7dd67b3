"""Working or untouched, wherever packages lie: every layout of pip, links, other filesystems, old installs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from lib.program import run_pipfallback
from lib.trees import Entry, changes, tree
from lib.venvs import find_interpreter, isolated_environ, make_venv, site_packages
from lib.wheels import make_wheel, without_member
from pipfallback.arguments import parse
from pipfallback.environment import probe
from pipfallback.errors import NotRestoredError
from pipfallback.layout import layout_of
from pipfallback.pip import Pip
from pipfallback.state import transactions
from pipfallback.transaction import Transaction, begin

_OPTIONS = ("--no-index", "-q", "--no-warn-script-location")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in isolated_environ(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    (tmp_path / "home").mkdir(exist_ok=True)


def begun(python: Path, words: Sequence[str]) -> Transaction:
    environment, installation = probe(python)
    layout = layout_of(parse(words, {}), installation, environment.python.version)
    return begin(installation.prefix, site_packages=layout.folders[0], roots=layout.roots, tell=print)


def install(python: Path, *words: str | Path, change: Transaction | None = None) -> int:
    return Pip(executable=str(python)).run(["install", *_OPTIONS, *map(str, words)], change).exit_code


def rich(folder: Path, version: str) -> Path:
    """A wheel with all that a wheel can bring."""
    name = f"only_{version.partition('.')[0]}"
    files = {
        "pkg/__init__.py": f"V = '{version}'\n",
        "pkg/data.bin": version * 999,
        f"pkg/{name}.py": "",
        f"space/part/{name}.py": "",  # a namespace package
        "pkg.pth": f"# {version}\n",
        "single.py": f"V = '{version}'\n",
    }
    data = {
        "data/share/pkg/manual": version,
        "scripts/pkg-script": f"#!python\n# {version}\n",
        "headers/pkg.h": version,
    }
    return make_wheel(folder, "pkg", version, files=files, data=data, commands={"pkg-tool": "pkg:main"})


@pytest.mark.parametrize("layout", ["", "--target", "--prefix", "--root", "--user"])
def test_in_every_layout_a_replaced_package_comes_back_file_for_file(tmp_path: Path, layout: str) -> None:
    python = make_venv(tmp_path / "venv")
    config = python.parent.parent / "pyvenv.cfg"
    config.write_text(
        config.read_text().replace("include-system-site-packages = false", "include-system-site-packages = true")
    )
    place = [] if not layout else [layout] if layout == "--user" else [layout, str(tmp_path / "there")]
    upgrade = ["--upgrade"] if layout == "--target" else ["--ignore-installed"] if place else []
    folders = [tmp_path / "venv", tmp_path / "there", tmp_path / "home" / ".local"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)

    def everything() -> dict[str, Entry]:
        return {f"{folder}/{name}": entry for folder in folders for name, entry in tree(folder).items()}

    fresh = everything()
    change = begun(python, ["install", *place])
    assert install(python, *place, rich(tmp_path / "1", "1.0"), change=change) == 0
    assert changes(fresh, everything()) != []
    change.undo()
    assert changes(fresh, everything()) == []
    assert install(python, *place, rich(tmp_path / "1", "1.0"), change=change) == 0
    change.commit()
    before = everything()
    change = begun(python, ["install", *place])
    assert install(python, *place, *upgrade, rich(tmp_path / "2", "2.0"), change=change) == 0
    assert any("only_2" in path for path in everything())
    change.undo()
    change.close()
    assert changes(before, everything()) == []


def test_a_venv_that_is_a_link_comes_back(tmp_path: Path) -> None:
    make_venv(tmp_path / "real")
    (tmp_path / "venv").symlink_to("real")
    python = tmp_path / "venv" / "bin" / "python"
    assert install(python, rich(tmp_path / "1", "1.0")) == 0
    before = tree(tmp_path / "real")
    change = begun(python, ["install"])
    assert install(python, rich(tmp_path / "2", "2.0"), change=change) == 0
    change.undo()
    change.close()
    assert changes(before, tree(tmp_path / "real")) == []


def test_files_without_record_that_pip_runs_over_come_back(tmp_path: Path) -> None:
    python = make_venv(tmp_path / "venv")
    orphan = site_packages(python) / "pkg"
    orphan.mkdir()
    (orphan / "__init__.py").write_text("V = 'by hand'\n")
    (orphan / "linked").symlink_to("nowhere")
    (site_packages(python) / "pkg-tool.pth").write_text("# by hand\n")
    before = tree(python.parent.parent)
    change = begun(python, ["install"])
    assert install(python, rich(tmp_path / "1", "1.0"), change=change) == 0
    change.undo()
    change.close()
    assert changes(before, tree(python.parent.parent)) == []


def test_what_a_failing_pip_left_half_written_is_cleaned(tmp_path: Path) -> None:
    python = make_venv(tmp_path / "venv")
    assert install(python, rich(tmp_path / "1", "1.0")) == 0
    before = tree(python.parent.parent)
    change = begun(python, ["install"])
    assert install(python, without_member(rich(tmp_path / "2", "2.0"), "RECORD"), change=change) != 0
    change.undo()
    change.close()
    assert changes(before, tree(python.parent.parent)) == []


def test_pips_own_bytecode_that_a_run_made_goes_again(tmp_path: Path) -> None:
    python = make_venv(tmp_path / "venv")
    for folder in list((site_packages(python) / "pip").rglob("__pycache__")):
        shutil.rmtree(folder)
    before = tree(python.parent.parent)
    change = begun(python, ["install"])
    assert install(python, rich(tmp_path / "1", "1.0"), change=change) == 0
    assert any((site_packages(python) / "pip").rglob("*.pyc"))
    change.undo()
    change.close()
    assert changes(before, tree(python.parent.parent)) == []


@pytest.mark.parametrize("words", [(), ("--editable",)])
def test_what_an_old_setup_py_installs_in_a_child_of_pip_comes_back(tmp_path: Path, words: tuple[str, ...]) -> None:
    python = make_venv(tmp_path / "venv", python="3.9", pip="20.3.4")
    bundled = find_interpreter("3.9").parent.parent / "lib" / "python3.9" / "ensurepip" / "_bundled"
    assert install(python, *bundled.glob("setuptools-*.whl")) == 0
    project = tmp_path / "project"
    (project / "pkg").mkdir(parents=True)
    (project / "pkg" / "__init__.py").write_text("V = 'source'\n")
    (project / "setup.py").write_text(
        "from setuptools import setup\n"
        "setup(name='pkg', version='3.0', packages=['pkg'], entry_points={'console_scripts': ['pkg-tool = pkg:V']})\n"
    )
    assert install(python, rich(tmp_path / "1", "1.0")) == 0
    (site_packages(python) / "easy-install.pth").write_text("# by hand\n")
    subprocess.run([python, "-c", "import setuptools, distutils.core, pkg_resources"], check=True)  # their bytecode
    before = tree(python.parent.parent)
    change = begun(python, ["install"])
    assert install(python, "--no-build-isolation", *words, project, change=change) == 0
    assert any("easy-install" in line or "egg-info" in line for line in changes(before, tree(python.parent.parent)))
    change.undo()
    change.close()
    assert changes(before, tree(python.parent.parent)) == []


def in_namespace(name: str, folder: Path) -> str:
    """Run a function of this file where filesystems can be mounted, for it alone and without root; its trouble."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-Urm", "true"], check=False).returncode:
        pytest.skip("this machine allows no user namespaces")
    here = Path(__file__).parent
    code = f"import sys; from pathlib import Path; import {Path(__file__).stem} as t; t.{name}(Path(sys.argv[1]))"
    environ = {**os.environ, "PYTHONPATH": f"{here}:{here.parent / 'src'}"}
    command = ["unshare", "-Urm", sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    return f"exit code {done.returncode}\n{done.stdout}{done.stderr}" if done.returncode else ""


def mount(kind: str, place: Path, options: str) -> None:
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", kind, kind, str(place), "-o", options], check=True)


def test_on_an_overlay_with_a_read_only_lower_layer_everything_comes_back(tmp_path: Path) -> None:
    assert in_namespace("on_an_overlay", tmp_path) == ""


def on_an_overlay(folder: Path) -> None:
    python = make_venv(folder / "lower")
    assert install(python, rich(folder / "1", "1.0")) == 0
    for name in ("upper", "work", "venv"):
        (folder / name).mkdir()
    layers = f"lowerdir={folder / 'lower'},upperdir={folder / 'upper'},workdir={folder / 'work'},userxattr"
    mount("overlay", folder / "venv", layers)
    python = folder / "venv" / "bin" / "python"
    before = tree(folder / "venv")
    change = begun(python, ["install"])
    assert install(python, rich(folder / "2", "2.0"), change=change) == 0
    assert changes(before, tree(folder / "venv")) != []
    change.undo()
    change.close()
    assert changes(before, tree(folder / "venv")) == []


def test_where_a_copy_up_would_not_fit_nothing_is_begun(tmp_path: Path) -> None:
    assert in_namespace("on_a_small_overlay", tmp_path) == ""


def on_a_small_overlay(folder: Path) -> None:
    python = make_venv(folder / "lower")
    assert install(python, make_wheel(folder, "pkg", "1.0", size_mb=12)) == 0
    mount("tmpfs", folder / "small", "size=8m")
    for name in ("upper", "work"):
        (folder / "small" / name).mkdir()
    (folder / "venv").mkdir()
    layers = f"lowerdir={folder / 'lower'},upperdir={folder / 'small/upper'},workdir={folder / 'small/work'},userxattr"
    mount("overlay", folder / "venv", layers)
    python = folder / "venv" / "bin" / "python"
    before = tree(folder / "venv")
    change = begun(python, ["install"])
    run = Pip(executable=str(python)).run(["install", *_OPTIONS, str(make_wheel(folder, "pkg", "2.0"))], change)
    assert run.failure is not None
    assert run.failure.cause.value == "no-space"
    change.undo()
    change.close()
    assert changes(before, tree(folder / "venv")) == []


def test_a_full_disk_changes_nothing_in_the_end(tmp_path: Path) -> None:
    assert in_namespace("on_a_full_disk", tmp_path) == ""


def on_a_full_disk(folder: Path) -> None:
    mount("tmpfs", folder / "disk", "size=48m")
    python = make_venv(folder / "disk" / "venv")
    assert install(python, rich(folder / "1", "1.0")) == 0
    before = tree(python.parent.parent)
    change = begun(python, ["install"])
    big = make_wheel(folder, "pkg", "2.0", files={"pkg/__init__.py": ""}, size_mb=48)
    run = Pip(executable=str(python)).run(["install", *_OPTIONS, str(big)], change)
    assert run.failure is not None
    assert run.failure.cause.value == "no-space"
    change.undo()
    change.close()
    assert changes(before, tree(python.parent.parent)) == []


def test_a_journal_that_has_no_space_stops_pip_and_nothing_is_lost(tmp_path: Path) -> None:
    assert in_namespace("with_a_full_state_folder", tmp_path) == ""


def with_a_full_state_folder(folder: Path) -> None:
    python = make_venv(folder / "venv")
    assert install(python, rich(folder / "1", "1.0")) == 0
    mount("tmpfs", folder / "state", "size=64k")
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    before = tree(folder / "venv")
    change = begun(python, ["install"])
    filler = folder / "state" / "filler"
    try:
        filler.write_bytes(b"x" * 100_000)
    except OSError:
        assert install(python, rich(folder / "2", "2.0"), change=change) != 0
    change.undo()
    change.close()
    assert changes(before, tree(folder / "venv")) == []


def test_site_packages_on_another_filesystem_than_everything_else(tmp_path: Path) -> None:
    assert in_namespace("on_another_filesystem", tmp_path) == ""


def on_another_filesystem(folder: Path) -> None:
    """site-packages alone is mounted, as a volume is: its stash lies inside it; scripts and data are copied to it."""
    python = make_venv(folder / "venv", pip=None)
    mount("tmpfs", site_packages(python), "size=64m")
    (site_packages(python) / "other.py").write_text("")  # else pip would move the folder away as a whole
    pip = Pip(executable=str(python), borrowed=str(site_packages(Path(sys.executable))))
    assert pip.run(["install", *_OPTIONS, str(rich(folder / "1", "1.0"))]).exit_code == 0
    before = tree(folder / "venv")
    change = begun(python, ["install"])
    assert Path(str(change.recording["stash"])).parent == site_packages(python)
    assert pip.run(["install", *_OPTIONS, str(rich(folder / "2", "2.0"))], change).exit_code == 0
    change.undo()
    change.close()
    assert changes(before, tree(folder / "venv")) == []


def test_without_permission_pip_says_so_and_with_a_stash_that_became_read_only_the_next_run_finishes(
    tmp_path: Path,
) -> None:
    assert in_namespace("read_only", tmp_path) == ""


def read_only(folder: Path) -> None:
    mount("tmpfs", folder / "disk", "size=64m")
    python = make_venv(folder / "disk" / "venv")
    assert install(python, rich(folder / "1", "1.0")) == 0
    before = tree(python.parent.parent)
    subprocess.run(["mount", "-o", "remount,ro", str(folder / "disk")], check=True)
    change = begun(python, ["install"])
    os.environ["PYTHONNOUSERSITE"] = "1"
    assert install(python, rich(folder / "2", "2.0"), change=change) != 0
    change.undo()
    change.close()
    subprocess.run(["mount", "-o", "remount,rw", str(folder / "disk")], check=True)
    change = begun(python, ["install"])
    assert install(python, rich(folder / "2", "2.0"), change=change) == 0
    subprocess.run(["mount", "-o", "remount,ro", str(folder / "disk")], check=True)
    try:
        change.undo()
    except NotRestoredError as error:
        assert error.hints[0].endswith("pipfallback env")  # noqa: PT017  (in a child process)
    else:
        raise AssertionError
    change._lock.release()
    subprocess.run(["mount", "-o", "remount,rw", str(folder / "disk")], check=True)
    done = run_pipfallback(["env"], python=python, env=dict(os.environ))
    assert "as it was before that run" in done.stderr
    assert changes(before, tree(python.parent.parent)) == []
    assert transactions() == ()
