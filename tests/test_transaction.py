"""Working or untouched: whatever a real pip changed comes back, file for file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.program import run_pipfallback
from lib.trees import changes, tree
from lib.venvs import make_venv, site_packages
from lib.wheels import make_wheel
from pipfallback import transaction
from pipfallback.errors import NotRestoredError, PipfallbackError
from pipfallback.pip import Pip
from pipfallback.state import state_folder, transactions
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


def test_what_cannot_be_put_back_names_the_old_files_and_the_commands_that_finish_it(
    newest: Path, tmp_path: Path, told: list[str], environ: dict[str, str]
) -> None:
    assert install(newest, package(tmp_path, "1.0")) == 0
    before = tree(newest.parent.parent)
    change = begun(newest, told)
    assert install(newest, package(tmp_path, "2.0"), change=change) == 0
    stash = Path(str(change.recording["stash"]))
    stash.rename(tmp_path / "away")
    after = tree(newest.parent.parent)
    with pytest.raises(NotRestoredError) as caught:
        change.undo()
    assert caught.value.exit_code == 70
    assert f"the old files are in {stash}" in caught.value.details
    assert tree(newest.parent.parent) == after, "nothing is touched"
    change._lock.release()
    environ["XDG_STATE_HOME"] = str(tmp_path / "state")
    finish = caught.value.hints[0].partition("finish with: pipfallback ")[2].split()
    refused = run_pipfallback(finish, python=newest, env=environ)
    assert refused.code == 70, refused.said
    assert f"the old files are in {stash}" in refused.stderr
    (tmp_path / "away").rename(stash)
    assert run_pipfallback(finish, python=newest, env=environ).code == 0
    assert tree(newest.parent.parent) == before
    assert transactions() == ()


def test_old_files_that_are_lost_can_be_given_up(newest: Path, tmp_path: Path, told: list[str]) -> None:
    assert install(newest, package(tmp_path, "1.0")) == 0
    change = begun(newest, told)
    assert install(newest, package(tmp_path, "2.0"), change=change) == 0
    shutil.rmtree(str(change.recording["stash"]))
    with pytest.raises(NotRestoredError) as caught:
        change.undo()
    command = caught.value.hints[1].partition("give up the old files: ")[2]
    subprocess.run(command, shell=True, check=True)  # noqa: S602  (as a user would)
    change._lock.release()
    recover(told.append)
    assert told == []


def test_an_environment_that_is_gone_needs_no_way_back(newest: Path, tmp_path: Path, told: list[str]) -> None:
    assert install(newest, package(tmp_path, "1.0")) == 0
    change = begun(newest, told)
    assert install(newest, package(tmp_path, "2.0"), change=change) == 0
    change._lock.release()
    shutil.rmtree(newest.parent.parent)
    recover(told.append)
    assert told == [f"an interrupted run had changed {newest.parent.parent}, which is gone"]
    assert transactions() == ()


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
    one, two = (begin(str(tmp_path), site_packages=str(tmp_path / name), roots=[], tell=told.append) for name in "ab")
    one.commit()
    two.commit()
    assert told == []


HOLD = (
    "import os, signal, sys\n"
    "from pipfallback.pip import Pip\n"
    "from pipfallback.transaction import begin\n"
    "prefix, site, python, wheel = sys.argv[1:]\n"
    "change = begin(prefix, site_packages=site, roots=[prefix], tell=print)\n"
    "Pip(executable=python).run(['install', '-q', '--no-index', wheel], change)\n"
    "print('changed', flush=True)\n"
    "sys.stdin.read()\n"
)


def test_who_waited_for_a_run_that_is_killed_first_puts_back_what_that_left(
    newest: Path, tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "_PATIENCE", 0.1)
    before = tree(newest.parent.parent)
    arguments = [str(newest.parent.parent), str(site_packages(newest)), str(newest), str(package(tmp_path, "1.0"))]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "changed\n"
        killer = threading.Timer(1, first.kill)
        killer.start()
        change = begun(newest, told)
        killer.join()
    assert tree(newest.parent.parent) == before
    assert [line.partition(" ")[0] for line in told] == ["waiting", "an"]
    change.commit()


def test_a_pip_that_outlived_its_pipfallback_is_waited_for(
    newest: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "_PATIENCE", 0.1)
    change = begun(newest, told)
    code = (
        "import fcntl, sys, time\n"
        "file = open(sys.argv[1], 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(1)\n"
        "open(sys.argv[2], 'w').close()\n"
    )
    late = site_packages(newest) / "late.py"
    with change.changing() as log:
        log.before_writing(late)
    alive = str(change.recording["alive"])
    with subprocess.Popen([sys.executable, "-c", code, alive, str(late)], stdout=subprocess.PIPE, text=True) as pip:
        assert pip.stdout is not None
        assert pip.stdout.readline() == "held\n"
        change.undo()
    change.close()
    assert told == [f"waiting for a pip that still changes {newest.parent.parent}"]
    assert not late.exists()


def test_what_pip_started_and_left_behind_is_ended_before_the_way_back(newest: Path, told: list[str]) -> None:
    change = begun(newest, told)
    environ = {**os.environ, "_PIPFALLBACK_ALIVE": str(change.recording["alive"])}
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=environ) as left:
        change.undo()
        assert left.wait(timeout=10) == -signal.SIGTERM
    change.close()


def lose_power(change: Transaction, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is gone, and of its journal all that was not synced; the machine has started again."""
    folder = Path(str(change.recording["journal"])).parent
    lines = (folder / "journal").read_bytes().splitlines(keepends=True)
    while lines and json.loads(lines[-1])["op"] in {"created", "mark"}:
        lines.pop()
    (folder / "journal").write_bytes(b"".join(lines))
    header = json.loads((folder / "transaction.json").read_text())
    (folder / "transaction.json").write_text(json.dumps({**header, "boot": "another"}))
    change._lock.release()
    now = time.time() + 1
    monkeypatch.setattr(transaction, "_boot_time", lambda: now)


@pytest.mark.parametrize("older", [None, "1.0"])
def test_after_a_power_loss_everything_is_as_before(
    newest: Path, tmp_path: Path, told: list[str], older: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if older:
        assert install(newest, package(tmp_path, older)) == 0
    before = tree(newest.parent.parent)
    change = begun(newest, told)
    assert install(newest, package(tmp_path, "2.0", commands={"tool": "pkg:V"}), change=change) == 0
    assert tree(newest.parent.parent) != before
    lose_power(change, monkeypatch)
    recover(told.append)
    assert changes(before, tree(newest.parent.parent)) == []
    assert transactions() == ()


def test_a_state_folder_that_cannot_be_written_is_replaced_by_one_that_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "theirs").mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"pipfallback-{os.getuid()}").symlink_to(tmp_path / "theirs")
    folder = state_folder()
    assert folder == tmp_path / f"pipfallback-{os.getuid()}-2"
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "transactions" / "x").mkdir(parents=True)
    assert transactions() == (folder / "transactions" / "x",)


def test_a_state_folder_without_space_is_an_error_before_anything_changes(
    newest: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transaction, "_write_durably", full)
    with pytest.raises(PipfallbackError, match="No space left"):
        begun(newest, told)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_STATE_HOME", str(state_folder().parent))
    begun(newest, told).commit()  # the lock is free


@pytest.mark.parametrize("text", ["[]", '{"prefix": 5}', "no JSON", ""])
def test_a_header_that_no_run_has_written_is_passed_over(text: str, told: list[str]) -> None:
    folder = state_folder() / "transactions" / "strange"
    folder.mkdir(parents=True)
    (folder / "transaction.json").write_text(text)
    recover(told.append)
    assert not folder.exists()
