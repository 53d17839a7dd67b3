"""The one place that runs processes: what they print, how they end, and that none outlives us."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipfallback.processes import capture, run_visibly, run_watched


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-c", code]


def test_what_it_prints_and_its_exit_code_are_kept() -> None:
    done = capture(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"))
    assert (done.exit_code, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert done.seconds > 0


def test_a_talkative_process_does_not_block() -> None:
    done = capture(python("import sys; sys.stderr.write('e' * 300_000); sys.stdout.write('o' * 300_000)"), timeout=60)
    assert (done.exit_code, len(done.stdout), len(done.stderr)) == (0, 300_000, 300_000)


def test_there_is_nothing_on_standard_input() -> None:
    assert capture(python("import sys; print(repr(sys.stdin.read()))"), timeout=60).stdout == "''\n"


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert capture(python("import sys; sys.stdout.buffer.write(b'a\\xffb')")).stdout == "a\ufffdb"


def test_environment_and_folder_are_the_given_ones(tmp_path: Path) -> None:
    code = "import os; print(sorted(name for name in os.environ if name.startswith('ONE')), os.getcwd())"
    done = capture(python(code), env={"ONE_MORE": "1"}, cwd=tmp_path)
    assert done.stdout == f"['ONE_MORE'] {os.path.realpath(tmp_path)}\n"


def test_at_its_time_limit_it_is_killed_and_what_it_said_is_kept() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('so far', flush=True); time.sleep(60)"
    done = capture(python(code), timeout=1)
    assert done.exit_code is None
    assert done.stdout == "so far\n"
    assert done.seconds < 30


def test_a_signal_is_a_negative_exit_code() -> None:
    assert capture(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")).exit_code == -9


def test_a_program_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        capture([tmp_path / "none"])
    with pytest.raises(FileNotFoundError):
        run_visibly([tmp_path / "none"])


def test_a_visible_process_has_our_own_streams(capfd: pytest.CaptureFixture[str]) -> None:
    done = run_visibly(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(4)"))
    assert (done.exit_code, done.stdout, done.stderr) == (4, "", "")
    assert capfd.readouterr() == ("out\n", "err\n")


# Runs a child with run_visibly; the child says when it is ready, and what happened to it.
_PARENT = """\
import signal, sys
from pipfallback import processes
def terminated(number, frame):
    raise SystemExit(128 + number)
signal.signal(signal.SIGTERM, terminated)
try:
    processes.run_visibly([sys.executable, "-I", "-c", sys.argv[1]])
except BaseException as error:
    print("raised", type(error).__name__, flush=True)
"""
_CHILD = """\
import os, signal, sys, time
def say(text):
    os.write(1, (text + "\\n").encode())  # a handler must not print: it may have interrupted a print
def stop(number, frame):
    say("child got " + signal.Signals(number).name)
    {then}
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
say("ready")
for _ in range(600):
    time.sleep(0.1)
"""


def parent(then: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PARENT, _CHILD.format(then=then)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_after_ctrl_c_the_child_is_waited_for() -> None:
    with parent("time.sleep(0.5); say('child is done'); sys.exit()") as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        said, _ = process.communicate(timeout=60)
    assert said == "child got SIGINT\nchild is done\nraised KeyboardInterrupt\n"


def test_sigterm_for_us_alone_ends_the_child_at_once() -> None:
    started = time.monotonic()
    with parent("sys.exit()") as process:
        process.send_signal(signal.SIGTERM)  # as docker stop does
        said, _ = process.communicate(timeout=60)
    assert said == "child got SIGTERM\nraised SystemExit\n"
    assert time.monotonic() - started < 15


def test_a_second_ctrl_c_does_not_leave_the_child_behind() -> None:
    with parent("sys.exit() if number == signal.SIGTERM else None") as process:
        process.send_signal(signal.SIGINT)
        time.sleep(1)  # the first is being waited out
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert said == "child got SIGTERM\nraised KeyboardInterrupt\n"


def test_what_a_captured_process_started_ends_with_it_at_the_time_out(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    done = capture(["sh", "-c", f"sleep 600 & echo $! > {pid}; wait"], timeout=1)
    assert done.exit_code is None
    status = Path(f"/proc/{pid.read_text().strip()}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()  # gone, or waiting for init to notice


def test_a_daemon_that_a_captured_process_leaves_does_not_hold_it_up() -> None:
    done = capture(["sh", "-c", "sleep 5 & echo done"], timeout=60)
    assert (done.exit_code, done.stdout) == (0, "done\n")
    assert done.seconds < 4


def test_a_watched_process_is_shown_and_kept(capfd: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print('out'); print('first\\nsecond', file=sys.stderr); sys.exit(5)"
    done = run_watched(python(code), show=lambda data: data.replace(b"first\n", b""))
    assert (done.exit_code, done.stderr) == (5, "first\nsecond\n")
    assert capfd.readouterr() == ("out\n", "second\n")


def test_a_watched_process_may_say_much(capfd: pytest.CaptureFixture[str]) -> None:
    done = run_watched(python("import sys; sys.stderr.write('e' * 300_000)"), show=lambda data: data)
    assert (len(done.stderr), len(capfd.readouterr().err)) == (300_000, 300_000)


def test_a_daemon_that_a_watched_process_leaves_does_not_hold_it_up() -> None:
    done = run_watched(["sh", "-c", "echo done >&2; sleep 8 &"], show=lambda _data: b"")
    assert (done.exit_code, done.stderr) == (0, "done\n")
    assert done.seconds < 6


# Runs a child with run_watched whose standard error is to be a terminal of a known size.
_WATCHER = """\
import sys
from pipfallback import processes
child = "import os; os.write(2, b'%d %d %d\\\\n' % (os.isatty(2), *os.get_terminal_size(2)))"
processes.run_watched([sys.executable, "-I", "-c", child], show=lambda data: data)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_on_a_terminal_a_watched_process_has_one_of_the_same_size() -> None:
    import fcntl
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    subprocess.run([sys.executable, "-c", _WATCHER], stderr=theirs, check=True, timeout=60)
    os.close(theirs)
    assert os.read(ours, 100) == b"1 77 33\r\n"
    os.close(ours)


def test_a_watched_process_is_waited_for_after_ctrl_c() -> None:
    program = _PARENT.replace(
        'run_visibly([sys.executable, "-I", "-c", sys.argv[1]])',
        "run_watched([sys.executable, '-I', '-c', sys.argv[1]], show=bytes)",
    )
    child = _CHILD.format(then="time.sleep(0.5); say('child is done'); sys.exit()")
    with subprocess.Popen(
        [sys.executable, "-c", program, child], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert "run_watched" in program
    assert said == "child got SIGINT\nchild is done\nraised KeyboardInterrupt\n"
