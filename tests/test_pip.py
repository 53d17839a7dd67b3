"""How pip is run: through the shim, with the user's streams, in a target that may have no pip of its own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lib.server import Server
from lib.trees import changes, tree
from lib.venvs import fetch_pip, isolated_environ, make_venv, site_packages
from lib.wheels import make_wheel
from pipfallback.environment import probe
from pipfallback.errors import TargetError
from pipfallback.pip import Pip, _read, pip_for
from pipfallback.pip_failures import Cause


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in isolated_environ(tmp_path).items():
        monkeypatch.setenv(name, value)


def fake_pip(folder: Path, code: str) -> Pip:
    """A package called pip that is run in the place of the real one, by the interpreter of these tests."""
    package = folder / "fake" / "pip"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(code)
    return Pip(executable=sys.executable, borrowed=str(package.parent))


def test_a_run_that_succeeds_has_no_failure(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    python = make_venv(tmp_path / "venv")
    done = Pip(executable=str(python)).run(["install", "--no-index", str(make_wheel(tmp_path, "pkg", "1.0"))])
    assert (done.exit_code, done.failure) == (0, None)
    assert done.seconds > 0
    assert "Successfully installed pkg-1.0" in capfd.readouterr().out
    assert (site_packages(python) / "pkg-1.0.dist-info").is_dir()


def test_its_own_folder_is_not_importable(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = "import sys, pathlib; print(*sys.path, sep='\\n'); print('argv', sys.argv[1:])"
    assert fake_pip(tmp_path, code).run(["install", "x y"]).exit_code == 0
    lines = capfd.readouterr().out.splitlines()
    source = str(Path(sys.modules["pipfallback.pip"].__file__ or "").parent)
    assert source not in [os.path.realpath(line) for line in lines]
    assert lines[-1] == "argv ['install', 'x y']"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="PYTHONSAFEPATH came with Python 3.11")
def test_with_a_safe_path_no_other_folder_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "mine"))
    fake_pip(tmp_path, "import sys; print(*sys.path, sep='\\n')").run([])
    assert str(tmp_path / "mine") in capfd.readouterr().out.splitlines()


_ODD = """\
import logging, sys
log = logging.getLogger("pip._internal.odd")
class Odd:
    def __str__(self): raise RuntimeError("no text")
class OddError(Exception):
    def __str__(self): raise RuntimeError("no text")
class Listed(Exception):
    errno = object()
    output_lines = [1, 2]
log.error("%d", "no number")
log.error("%s", Odd())
for error in (OddError(), Listed("listed")):
    try:
        raise error
    except Exception:
        log.error("odd exception")
circle = ValueError("round")
circle.__cause__ = KeyError("and")
circle.__cause__.__cause__ = circle
try:
    raise circle
except ValueError:
    log.error("in circles")
log.error("\\ud800 \\u2028 \\n no text that can be encoded")
log.info("not told")
log.critical("the last word")
sys.exit(1)
"""


def test_the_side_channel_survives_odd_records(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = fake_pip(tmp_path, _ODD).run([])
    assert done.exit_code == 1
    assert done.failure is not None
    assert (done.failure.cause, done.failure.message) == (Cause.OTHER, "the last word")
    assert "no text that can be encoded" in done.failure.text
    assert "in circles" in done.failure.text
    assert "not told" not in done.failure.text
    assert "no text" not in capfd.readouterr().out


def test_a_pip_that_is_killed_while_it_writes_is_read_as_far_as_it_came(tmp_path: Path) -> None:
    record = {"level": "ERROR", "message": "one", "exception": []}
    channel = tmp_path / "channel"
    channel.write_text(json.dumps(record) + "\n" + json.dumps(record)[:20])
    assert _read(channel) == [record]
    channel.write_text("")
    assert _read(channel) == []
    assert _read(tmp_path / "none") == []


def test_a_pip_that_is_killed_is_an_interruption(tmp_path: Path) -> None:
    done = fake_pip(tmp_path, "import os; os.kill(os.getpid(), 15)").run([])
    assert done.exit_code == 143  # 128 + SIGTERM, as shells report it
    assert done.failure is not None
    assert done.failure.cause is Cause.INTERRUPTED


def test_ctrl_c_before_pip_hears_it_is_an_interruption_and_no_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = fake_pip(tmp_path, "import os, time; os.kill(os.getpid(), 2); time.sleep(20)").run([])
    assert done.failure is not None
    assert (done.exit_code, done.failure.cause) == (130, Cause.INTERRUPTED)
    assert capfd.readouterr().err == ""


def test_pip_does_not_outlive_us(tmp_path: Path) -> None:
    """Killed with SIGKILL, pipfallback can end nothing; the shim has asked the kernel to."""
    code = "import time; print('up', flush=True)"
    code += "; time.sleep(20); print('still here')"
    pip = fake_pip(tmp_path, code)
    parent = "import sys; from pipfallback.pip import Pip; Pip(executable=sys.executable, borrowed=sys.argv[1]).run([])"
    command = [sys.executable, "-c", parent, str(pip.borrowed)]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}  # what the killed one leaves goes with the test
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.kill()
        assert process.stdout.read() == b""  # the pipe ends with the last process that holds it


def test_a_target_with_pip_is_served_by_its_own(tmp_path: Path) -> None:
    environment, installation = probe(make_venv(tmp_path / "venv", pip="23.2.1"))
    assert pip_for(installation, environment.python.version) == Pip(executable=installation.executable)


def test_a_target_without_pip_borrows_ours(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    environment, installation = probe(make_venv(tmp_path / "venv", pip=None))
    pip = pip_for(installation, environment.python.version)
    assert pip.borrowed is not None
    before = tree(Path(installation.prefix))
    wheel = make_wheel(tmp_path, "pkg", "1.0", files={"pkg.py": "V = 1\n"})
    done = pip.run(["install", "--no-index", "--no-compile", str(wheel)])
    assert done.exit_code == 0, capfd.readouterr().err
    added = changes(before, tree(Path(installation.prefix)))
    assert all("/pkg" in line for line in added), added
    listed = subprocess.run(
        [installation.executable, "-c", "import pkg; print(pkg.V)"], capture_output=True, text=True, check=True
    )
    assert listed.stdout == "1\n"
    capfd.readouterr()
    assert pip.run(["list"]).exit_code == 0
    assert "hypothesis" not in capfd.readouterr().out  # nothing else is seen of the folder that pip is borrowed from


def test_a_borrowed_pip_fails_as_any_other(tmp_path: Path) -> None:
    python = make_venv(tmp_path / "venv", pip=None)
    wheel = make_wheel(tmp_path, "pkg", "1.0", tag="cp27-cp27m-linux_x86_64")
    done = Pip(executable=str(python), borrowed=str(fetch_pip("26.3"))).run(["install", "--no-index", str(wheel)])
    assert done.failure is not None
    assert done.failure.cause is Cause.UNSUPPORTED_WHEEL


def test_a_python_too_old_for_ours_gets_the_one_that_it_brings_or_a_hint(tmp_path: Path) -> None:
    environment, installation = probe(make_venv(tmp_path / "venv", python="3.8", pip=None))
    pip = pip_for(installation, environment.python.version)
    assert pip.borrowed is not None
    assert "ensurepip" in pip.borrowed
    bare = replace(installation, paths={**installation.paths, "stdlib": str(tmp_path)})
    with pytest.raises(TargetError) as caught:
        pip_for(bare, environment.python.version)
    assert f"uv pip install --python {bare.executable} pip" in caught.value.hints


@pytest.mark.parametrize("borrows", [False, True])
def test_becoming_pip_leaves_its_exit_code_and_streams(tmp_path: Path, borrows: bool) -> None:
    python = make_venv(tmp_path / "venv", pip=None if borrows else "26.3")
    code = "import sys; from pipfallback.pip import Pip; Pip(executable=sys.argv[1], borrowed=sys.argv[2] or None)"
    code += ".become(['check', '--no-such-option'])"
    borrowed = str(fetch_pip("26.3")) if borrows else ""
    done = subprocess.run(
        [sys.executable, "-c", code, python, borrowed], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such option: --no-such-option" in done.stderr


_THROUGH_US = """\
import sys
from pipfallback.pip import Pip
sys.exit(Pip(executable=sys.argv[1]).run(sys.argv[2:]).exit_code)
"""


def in_terminal(command: Sequence[object]) -> bytes:
    """What a terminal of 100 columns gets from a program, colours and the movements of progress bars included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color"}
    words = [str(word) for word in command]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True):
        os.close(theirs)
        got = b""
        with contextlib.suppress(OSError):  # EIO: the last program that had the terminal has closed it
            while part := os.read(ours, 65536):
                got += part
    os.close(ours)
    return got


def in_pipes(command: Sequence[object]) -> tuple[int, bytes, bytes]:
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


def without_bars(shown: bytes) -> bytes:
    """With a mark for each progress bar: how often it is drawn, its speed and duration differ in every run of pip."""
    last = re.sub(rb"[^\n]*\r(?!\n)", b"", shown)
    return re.sub(rb"(?m)^.*(?:\xe2\x94\x81|\xe2\x96\x88).*$", b"BAR", last).replace(b"\x1b[?25h", b"")


@pytest.mark.parametrize("pip", ["20.3.4", pytest.param("23.2.1", marks=pytest.mark.matrix), "26.3"])
def test_terminal_and_pipes_get_what_plain_pip_writes_byte_for_byte(tmp_path: Path, server: Server, pip: str) -> None:
    python = make_venv(tmp_path / "venv", python="3.9" if pip == "20.3.4" else None, pip=pip)
    refused = make_wheel(tmp_path, "pkg", "1.0", tag="cp27-cp27m-linux_x86_64")
    big = make_wheel(server.folder, "big", "1.0", size_mb=3)
    plain, ours = [python, "-m", "pip"], [sys.executable, "-c", _THROUGH_US, python]

    failing = ["install", "--no-index", refused]
    assert in_pipes([*ours, *failing]) == in_pipes([*plain, *failing])
    shown = in_terminal([*ours, *failing])
    assert b"\x1b[31m" in shown  # red
    assert shown == in_terminal([*plain, *failing])

    fetching = ["download", "--no-index", "--no-cache-dir", "--dest", tmp_path / "there", server.url_of(big)]
    shown = in_terminal([*ours, *fetching])
    (tmp_path / "there" / big.name).unlink()
    assert b"BAR" in without_bars(shown)
    assert without_bars(shown) == without_bars(in_terminal([*plain, *fetching]))
