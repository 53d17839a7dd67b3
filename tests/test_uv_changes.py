"""What uv is about to change: found, and put back after the real uv has changed it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lib.trees import changes, tree
from lib.venvs import isolated_environ, make_venv, site_packages
from lib.wheels import make_wheel
from pipfallback import restoring
from pipfallback._undo_log import UndoLog
from pipfallback.environment import probe
from pipfallback.restoring import Span
from pipfallback.uv import Uv
from pipfallback.uv_changes import Place, keep_removed

UV = Path(sys.executable).with_name("uv")


@dataclass
class Recorder:
    """A journal of its own, without a transaction around it."""

    folder: Path
    roots: list[str]
    began: float = field(default_factory=time.time)

    @property
    def recording(self) -> Mapping[str, object]:
        names = {name: str(self.folder / name) for name in ("journal", "stash", "alive")}
        return {**names, "roots": self.roots}

    @property
    def scratch(self) -> Path:
        scratch = self.folder / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        return scratch

    def undo(self) -> None:
        span = Span(since=self.began - 2, until=time.time())
        assert restoring.undo(self.folder / "journal", 0, span) == ()


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return make_venv(tmp_path / "venv", pip=None)


@pytest.fixture
def recorder(tmp_path: Path, python: Path) -> Recorder:
    (tmp_path / "kept").mkdir()
    return Recorder(tmp_path / "kept", [str(python.parent.parent)])


@pytest.fixture
def uv(tmp_path: Path, python: Path, monkeypatch: pytest.MonkeyPatch) -> Uv:
    for name, value in isolated_environ(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    return Uv(program=str(UV), installation=probe(str(python))[1])


@pytest.mark.parametrize(
    "words", [["demo==2.0"], ["-U", "demo"], ["--force-reinstall", "demo==1.0"], ["demo==1.0", "beside"]]
)
def test_all_that_uv_changes_comes_back(
    tmp_path: Path, python: Path, uv: Uv, recorder: Recorder, words: list[str]
) -> None:
    links = tmp_path / "links"
    data = {"data/share/demo/manual.txt": "1", "scripts/tool": "#!/bin/sh\n", "headers/demo.h": "1"}
    files = {
        "demo/__init__.py": "V = 1\n",
        "demo/inner/__init__.py": "",
        "demo_top.py": "",
        "ns/a.py": "",
        "demo.pth": "#\n",
    }
    make_wheel(links, "demo", "1.0", files=files, data=data, commands={"demo": "demo:x"}, requires=["dep"])
    make_wheel(links, "demo", "2.0", files={"demo/__init__.py": "V = 2\n", "ns/b.py": ""}, requires=["dep>=2"])
    make_wheel(links, "dep", "1.0", files={"dep.py": "", "ns/shared.py": "1"})
    make_wheel(links, "dep", "2.0", files={"dep.py": "2", "ns/shared.py": "2"}, commands={"dep": "dep:x"})
    make_wheel(links, "beside", "1.0", files={"demo/of_another.py": "", "ns/shared.py": "other"})
    assert uv.run(["install", "--no-index", "-f", str(links), "demo==1.0", "dep==1.0"], quiet=True).exit_code == 0
    subprocess.run([python, "-m", "compileall", "-q", site_packages(python)], check=True)
    (site_packages(python) / "ns" / "of_the_user.txt").write_text("keep\n")
    before = tree(tmp_path / "venv")
    run = uv.run(["install", "--no-index", "-f", str(links), *words], recorder, quiet=True)
    assert run.exit_code == 0, run.failure
    assert changes(before, tree(tmp_path / "venv")) != []
    recorder.undo()
    assert changes(before, tree(tmp_path / "venv")) == []


def test_a_fixed_environment_leaves_no_file_of_uv(tmp_path: Path, uv: Uv, recorder: Recorder) -> None:
    before = tree(tmp_path / "venv")
    run = uv.run(["install", "--no-index", "absent"], recorder, quiet=True)
    assert run.failure is not None
    assert run.failure.message == "No matching distribution found for absent"
    recorder.undo()
    assert changes(before, tree(tmp_path / "venv")) == []


def test_what_an_old_setuptools_installed_comes_back(tmp_path: Path, python: Path, uv: Uv, recorder: Recorder) -> None:
    site = site_packages(python)
    (site / "demo-1.0.egg-info").mkdir()
    (site / "demo-1.0.egg-info" / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: demo\nVersion: 1.0\n")
    (site / "demo-1.0.egg-info" / "top_level.txt").write_text("demo\n")
    (site / "demo").mkdir()
    (site / "demo" / "__init__.py").write_text("V = 1\n")
    links = tmp_path / "links"
    make_wheel(links, "demo", "2.0")
    before = tree(tmp_path / "venv")
    run = uv.run(["install", "--no-index", "-f", str(links), "demo==2.0"], recorder, quiet=True)
    assert run.exit_code == 0, run.failure
    assert (site / "demo-2.0.dist-info").is_dir()
    recorder.undo()
    assert changes(before, tree(tmp_path / "venv")) == []


def test_an_editable_install_comes_back(tmp_path: Path, python: Path, uv: Uv, recorder: Recorder) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "demo"\nversion = "1.0"\n[build-system]\nrequires = []\n'
        'build-backend = "backend"\nbackend-path = ["."]\n'
    )
    (project / "backend.py").write_text(
        "import zipfile\n"
        "def build_editable(folder, settings=None, metadata=None):\n"
        "    with zipfile.ZipFile(folder + '/demo-1.0-py3-none-any.whl', 'w') as wheel:\n"
        "        info = 'demo-1.0.dist-info/'\n"
        "        wheel.writestr('_demo.pth', '/nowhere\\n')\n"
        "        wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: demo\\nVersion: 1.0\\n')\n"
        "        wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
        "        names = ['_demo.pth', info + 'METADATA', info + 'WHEEL', info + 'RECORD']\n"
        "        wheel.writestr(info + 'RECORD', ''.join(name + ',,\\n' for name in names))\n"
        "    return 'demo-1.0-py3-none-any.whl'\n"
    )
    before = tree(tmp_path / "venv")
    first = uv.run(["install", "--no-index", "-e", str(project)], recorder, quiet=True)
    assert first.exit_code == 0, first.failure
    assert (site_packages(python) / "_demo.pth").exists()
    recorder.undo()
    assert changes(before, tree(tmp_path / "venv")) == []


def test_whole_folders_are_kept_as_one_and_shared_ones_file_by_file(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    files = ("own/a.py", "own/deep/b.py", "shared/ours.py", "shared/theirs.py", "demo-1.dist-info/METADATA")
    for name in files:
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text("")
    listed = [name for name in files if "theirs" not in name]
    (site / "demo-1.dist-info" / "RECORD").write_text(
        "".join(f"{name},,\n" for name in [*listed, "demo-1.dist-info/RECORD"])
    )
    (tmp_path / "kept").mkdir()
    log = UndoLog(str(tmp_path / "kept" / "journal"), str(tmp_path / ".stash"), [str(site)])
    keep_removed(Place(folders=(str(site),), top=str(tmp_path)), {"demo"}, log)
    log.close()
    kept = [line for line in (tmp_path / "kept" / "journal").read_text().splitlines() if '"kept"' in line]
    names = sorted(line.partition(f"{site}/")[2].partition('"')[0] for line in kept)
    assert names == ["demo-1.dist-info", "own", "shared/ours.py"]


def test_each_place_that_a_file_of_a_prefix_may_go_to() -> None:
    paths = {"scripts": "/usr/local/bin", "data": "/usr/local", "include": "/usr/include/python3.11"}
    place = Place(folders=("/usr/local/lib/python3.11/dist-packages",), top="/usr", paths=paths)
    goes = {
        "lib/python3.11/site-packages/demo/a.py": "/usr/local/lib/python3.11/dist-packages/demo/a.py",
        "bin/tool": "/usr/local/bin/tool",
        "share/demo/x": "/usr/local/share/demo/x",
        "include/site/python3.11/demo/d.h": "/usr/include/python3.11/demo/d.h",
    }
    for inner, path in goes.items():
        assert Path(path) in set(place.destinations(Path(inner)))
    apart = Place(folders=("/there",), top="/there")
    assert list(apart.destinations(Path("bin/tool"))) == [Path("/there/bin/tool")]
