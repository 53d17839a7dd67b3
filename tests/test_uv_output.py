"""What uv says, read and passed on."""

from __future__ import annotations

from pipfallback.uv_output import FETCHING, INSTALLING, PLANNING, Plan, Screen, plain, read_plan

PICTURE = b"\x1b[37m|\x1b[0m \x1b[2mResolving dependencies...\x1b[0m\r\x1b[2K"


def test_a_plan_is_read_from_what_a_dry_run_says() -> None:
    text = (
        "Using Python 3.11.7 environment at: venv\nResolved 4 packages in 1ms\nWould install 3 packages\n"
        " - demo==1.0 (from file:///w/demo-1.0-py3-none-any.whl)\n + demo @ http://user:****@host/demo-2.0.whl\n"
        " + new-one==0.1.2.post1\n ~ same==3\n - gone==1\n"
    )
    assert read_plan(text) == Plan(
        removed=frozenset({"demo", "same", "gone"}), added={"demo": None, "new-one": "0.1.2.post1", "same": "3"}
    )
    assert read_plan("Checked 1 package in 1ms\nWould make no changes\n") == Plan()


def test_control_sequences_and_progress_are_taken_out() -> None:
    text = (PICTURE + b"\x1b[2mResolved \x1b[1m2 packages\x1b[0m\x1b[0m\r\nerror: no\n").decode()
    assert plain(text) == "Resolved 2 packages\nerror: no\n"


def shown(screen: Screen, data: bytes, size: int) -> bytes:
    parts = [data[place : place + size] for place in range(0, len(data), size)]
    return b"".join(screen(part) for part in parts) + screen(b"")


def test_lines_that_another_run_says_are_left_out_however_they_come_in() -> None:
    data = PICTURE * 2 + b"\x1b[2mResolved \x1b[1m2\x1b[0m\r\n" + b"Downloading big (60MiB)\n" + b" + big==1.0\n"
    for size in (1, 2, 3, 7, 1000):
        assert shown(Screen(FETCHING, set()), data, size) == PICTURE * 2 + b"Downloading big (60MiB)\n"
        assert shown(Screen((), set()), data, size) == data


def test_progress_is_shown_when_it_comes() -> None:
    screen = Screen(PLANNING, set())
    assert screen(b"\x1b[37m|\x1b[0m Preparing packages... (0/2)") == b"\x1b[37m|\x1b[0m Preparing packages... (0/2)"
    assert screen(b"\r\x1b[2K\x1b[2mWou") == b""
    assert screen(b"ld install 1 package\n") == b"\r\x1b[2K"


def test_three_runs_show_what_one_shows() -> None:
    head, listed = b"Using Python 3.11.7\nResolved 1 package in 1ms\n", b" - a==1\n + a==2\n"
    plan = head + b"Would uninstall 1 package\nWould install 1 package\n" + listed
    fetch = b"Using CPython at x\nResolved 1 package in 2ms\nPrepared 1 package in 3ms\nInstalled 1 package in 1ms\n + a==2\n"
    real = head + b"Uninstalled 1 package in 1ms\nInstalled 1 package in 4ms\n" + listed
    told: set[bytes] = set()
    runs = [(PLANNING, plan), (FETCHING, fetch), (INSTALLING, real)]
    together = b"".join(shown(Screen(muted, told), data, 9) for muted, data in runs)
    assert together == (
        head + b"Prepared 1 package in 3ms\nUninstalled 1 package in 1ms\nInstalled 1 package in 4ms\n" + listed
    )


def test_a_warning_is_shown_once() -> None:
    told: set[bytes] = set()
    assert shown(Screen(PLANNING, told), b"warning: odd\n", 4) == b"warning: odd\n"
    assert shown(Screen(INSTALLING, told), b"warning: odd\nwarning: other\n", 4) == b"warning: other\n"


def test_where_quiet_is_wanted_only_errors_are_shown() -> None:
    data = b"Using Python\nResolved 1\nerror: it failed\n  cause: badly\n"
    assert shown(Screen(PLANNING, set(), errors_only=True), data, 5) == b"error: it failed\n  cause: badly\n"
    assert shown(Screen(PLANNING, set(), silent=True), data, 5) == b""
