"""Working or untouched: whatever a real pip changed comes back, file for file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from lib.trees import tree
from lib.venvs import make_venv, site_packages
from lib.wheels import make_wheel
from pipfallback import transaction
from pipfallback.errors import NotRestoredError
from pipfallback.pip import Pip
from pipfallback.state import state_folder
from pipfallback.transaction import Transaction, begin, recover

PIPS = ("20.3.4", "23.2.1", "26.3")


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")


@pytest.fixture(params=PIPS)
def python(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_venv(tmp_path / "venv", python="3.9" if request.param == "20.3.4" else None, pip=request.param)


@pytest.fixture
def told() -> list[str]:
    return []


def begun(python: Path, told: list[str]) -> Transaction:
    prefix = python.parent.parent
    return begin(str(prefix), site_packages=str(site_packages(python)), roots=[str(prefix)], tell=told.append)


def install(python: Path, *words: str | Path, change: Transaction | None = None) -> int:
    run = Pip(executable=str(python)).run(["install", "--no-index", "-q", *map(str, words)], change)
    return run.exit_code


def package(folder: Path, version: str, *, body: str = "", **more: object) -> Path:
    files = {
        "pkg/__init__.py": f"V = '{version}'\n{body}",
        "pkg/data.bin": version * 1000,
        f"pkg/only_{version.replace('.', '_')}.py": "",
        "pkg.pth": "# a path file\n",
    }
    return make_wheel(folder, "pkg", version, files=files, **more)  # type: ignore[arg-type]  # passed through


def test_a_fresh_install_leaves_nothing_behind_when_undone(python: Path, tmp_path: Path, told: list[str]) -> None:
    before = tree(python.parent.parent)
    change = begun(python, told)
    assert install(python, package(tmp_path, "1.0"), change=change) == 0
    assert tree(python.parent.parent) != before
    change.undo()
    change.close()
    assert tree(python.parent.parent) == before


def test_a_replaced_version_comes_back_with_its_modes_times_and_inodes(
    python: Path, tmp_path: Path, told: list[str]
) -> None:
    assert install(python, package(tmp_path, "1.0")) == 0
    data = site_packages(python) / "pkg" / "data.bin"
    data.chmod(0o640)
    os.utime(data, (1_000_000_000, 1_000_000_000))
    old, before = data.stat(), tree(python.parent.parent)
    change = begun(python, told)
    assert install(python, package(tmp_path, "2.0"), change=change) == 0
    assert data.read_text().startswith("2.0")
    change.undo()
    change.close()
    assert tree(python.parent.parent) == before
    assert (data.stat().st_ino, data.stat().st_mtime_ns, data.stat().st_mode) == (
        old.st_ino,
        old.st_mtime_ns,
        old.st_mode,
    )


def test_the_same_metadata_version_is_really_replaced_and_comes_back(
    python: Path, tmp_path: Path, told: list[str]
) -> None:
    good = package(tmp_path / "a", "1.0")
    bad = package(tmp_path / "b", "1.0", body="raise ImportError('broken')\n")
    assert install(python, good) == 0
    before = tree(python.parent.parent)
    change = begun(python, told)
    assert install(python, "--force-reinstall", "--no-deps", bad, change=change) == 0
    assert "broken" in (site_packages(python) / "pkg" / "__init__.py").read_text()
    change.undo()
    change.close()
    assert tree(python.parent.parent) == before


def test_a_dependency_that_pip_upgraded_before_it_failed_comes_back(
    python: Path, tmp_path: Path, told: list[str]
) -> None:
    make_wheel(tmp_path / "links", "dep", "1.0", files={"dep.py": "V = 1\n"})
    assert install(python, "--find-links", tmp_path / "links", "dep") == 0
    make_wheel(tmp_path / "links", "dep", "2.0", files={"dep.py": "V = 2\n"})
    before = tree(python.parent.parent)
    wheel = package(tmp_path, "1.0", requires=("dep>=2",))
    change = begun(python, told)
    assert install(python, "--find-links", tmp_path / "links", wheel, change=change) == 0
    assert (site_packages(python) / "dep.py").read_text() == "V = 2\n"
    change.undo()
    change.close()
    assert tree(python.parent.parent) == before


def test_undo_to_a_point_keeps_what_came_before_it(python: Path, tmp_path: Path, told: list[str]) -> None:
    change = begun(python, told)
    assert install(python, package(tmp_path, "1.0"), change=change) == 0
    kept = tree(python.parent.parent)
    point = change.savepoint()
    assert install(python, package(tmp_path, "2.0"), change=change) == 0
    change.undo(point)
    assert tree(python.parent.parent) == kept
    change.undo()
    change.close()
    assert not (site_packages(python) / "pkg").exists()


def test_commit_leaves_neither_stash_nor_journal(python: Path, tmp_path: Path, told: list[str]) -> None:
    assert install(python, package(tmp_path, "1.0")) == 0
    change = begun(python, told)
    assert install(python, package(tmp_path, "2.0"), change=change) == 0
    change.commit()
    assert not list(python.parent.parent.rglob(".pipfallback-*"))
    assert not list((state_folder() / "transactions").iterdir())
    assert told == []


@pytest.fixture
def newest(tmp_path: Path) -> Path:
    return make_venv(tmp_path / "venv")


def test_a_run_that_was_killed_is_undone_by_the_next(newest: Path, tmp_path: Path, told: list[str]) -> None:
    assert install(newest, package(tmp_path, "1.0")) == 0
    before = tree(newest.parent.parent)
    wheel = package(tmp_path, "2.0")
    script = (
        "import os, signal, sys\n"
        "from pipfallback.pip import Pip\n"
        "from pipfallback.transaction import begin\n"
        "prefix, site, python, wheel = sys.argv[1:]\n"
        "change = begin(prefix, site_packages=site, roots=[prefix], tell=print)\n"
        "Pip(executable=python).run(['install', '-q', '--no-index', wheel], change)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    arguments = [str(newest.parent.parent), str(site_packages(newest)), str(newest), str(wheel)]
    killed = subprocess.run([sys.executable, "-c", script, *arguments], check=False)
    assert killed.returncode == -9
    assert tree(newest.parent.parent) != before
    recover(told.append)
    assert tree(newest.parent.parent) == before
    assert told == [f"an interrupted run had changed {newest.parent.parent}; it is as it was before that run"]
    recover(told.append)
    assert len(told) == 1


def test_a_run_that_is_alive_is_left_alone(newest: Path, tmp_path: Path, told: list[str]) -> None:
    change = begun(newest, told)
    assert install(newest, package(tmp_path, "1.0"), change=change) == 0
    recover(told.append)
    assert (site_packages(newest) / "pkg").exists()
    assert told == []
    change.commit()


def test_an_undo_that_was_interrupted_goes_on_where_it_was(newest: Path, tmp_path: Path, told: list[str]) -> None:
    assert install(newest, package(tmp_path, "1.0")) == 0
    before = tree(newest.parent.parent)
    change = begun(newest, told)
    assert install(newest, package(tmp_path, "2.0"), change=change) == 0
    journal = next((state_folder() / "transactions").glob("*/journal"))
    half = len(journal.read_bytes().splitlines()) // 2
    for _ in range(half):  # what an interrupted undo has done: the last entries, one by one
        lines = journal.read_bytes().splitlines(keepends=True)
        transaction._undo_entry(json.loads(lines[-1]))
        journal.write_bytes(b"".join(lines[:-1]))
    transaction._undo_entry(json.loads(journal.read_bytes().splitlines()[-1]))  # done, but not yet noted
    change.undo()
    change.close()
    assert tree(newest.parent.parent) == before


def test_a_line_that_was_cut_short_is_no_change(newest: Path, tmp_path: Path, told: list[str]) -> None:
    before = tree(newest.parent.parent)
    change = begun(newest, told)
    assert install(newest, package(tmp_path, "1.0"), change=change) == 0
    journal = next((state_folder() / "transactions").glob("*/journal"))
    with journal.open("ab") as file:
        file.write(b'{"op": "created", "pa')
    change.undo()
    change.close()
    assert tree(newest.parent.parent) == before


def test_what_cannot_be_put_back_names_the_old_files_and_the_way(newest: Path, told: list[str]) -> None:
    change = begun(newest, told)
    journal = next(iter((state_folder() / "transactions").iterdir())) / "journal"
    journal.write_text('{"op": "created", "path": "/proc/self/mem"}\n')
    with pytest.raises(NotRestoredError) as caught:
        change.undo()
    assert caught.value.exit_code == 70
    assert any(".pipfallback-" in detail for detail in caught.value.details)
    journal.write_text("")
    change.close()


def test_a_second_run_waits_and_says_so(newest: Path, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction, "_PATIENCE", 0.05)
    first = begun(newest, told)
    script = (
        "import sys\n"
        "from pipfallback.transaction import begin\n"
        "begin(sys.argv[1], site_packages=sys.argv[2], roots=[], tell=lambda line: print(line, flush=True)).commit()\n"
        "print('done', flush=True)\n"
    )
    arguments = [str(newest.parent.parent), str(site_packages(newest))]
    with subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True) as second:
        lines: Iterator[str] = iter(second.stdout or ())
        assert next(lines).startswith("waiting for another pipfallback")
        first.commit()
        assert next(lines) == "done\n"
    assert second.returncode == 0


def test_environments_do_not_wait_for_each_other(tmp_path: Path, told: list[str]) -> None:
    one, two = (begin(str(tmp_path / name), site_packages=str(tmp_path), roots=[], tell=told.append) for name in "ab")
    one.commit()
    two.commit()
    assert told == []
    assert all(isinstance(lock, FileLock) for lock in (one._lock, two._lock))
