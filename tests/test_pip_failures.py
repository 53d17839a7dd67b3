"""What a failure of pip means: real pips, made to fail in every way, through the shim; and beside plain pip."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.pip_trouble import CASES, Trouble, trouble
from lib.program import run
from lib.venvs import fetch_pip, find_interpreter, isolated_environ, make_venv
from pipfallback.pip import Pip, PipRun
from pipfallback.pip_failures import Cause, understand

DEFAULT = ("20.3.4", "23.2.1", "25.3", "26.3")
OTHERS = ("21.3.1", "22.3.1", "24.0", "24.3.1", "25.0.1", "26.0")
CAUSE_ONLY = ("23.2.1", "25.3")  # not run beside plain pip, to save the default run time
CURABLE = {
    "unsupported-wheel", "not-found", "server-error", "unreachable", "timeout", "truncated", "corrupt",
    "invalid-metadata", "inconsistent-version", "requires-python", "no-matching-distribution", "build-failed",
    "import-failed",
}  # fmt: skip


def _matrix() -> list[object]:
    """Every case with every pip; what the default run does without is marked slow."""
    parameters = []
    for pip in (*DEFAULT, *OTHERS):
        for name, case in CASES.items():
            by_default = pip in DEFAULT and case.core
            marks = () if by_default else (pytest.mark.matrix,)
            parameters.append(pytest.param(pip, name, marks=marks, id=f"{pip}-{name}"))
    return parameters


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trouble]:
    with trouble(tmp_path_factory.mktemp("trouble")) as made:
        yield made


@pytest.fixture(scope="module")
def venvs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"": tmp_path_factory.mktemp("venvs")}


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("PYTHON") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, value in isolated_environ(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def python_with(venvs: dict[str, Path], pip: str) -> Path:
    if pip not in venvs:
        old = pip in {"20.3.4", "21.3.1"}
        venvs[pip] = make_venv(venvs[""] / pip, python="3.9" if old else None, pip=pip)
    return venvs[pip]


@pytest.mark.parametrize(("pip", "name"), _matrix())
def test_the_cause_is_known_and_the_user_sees_what_plain_pip_says(  # noqa: PLR0917 - pytest hands over by name
    pip: str, name: str, world: Trouble, venvs: dict[str, Path], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    python, words, cause = python_with(venvs, pip), CASES[name].words(world), CASES[name].cause_with(pip)
    done = Pip(executable=str(python)).run(words)
    seen = capfd.readouterr()
    if cause is None:
        assert (done.exit_code, done.failure) == (0, None), seen.err
        return
    assert done.exit_code in {1, 2}, seen.out
    assert done.failure is not None
    assert done.failure.cause.value == cause, f"{done.failure}\n{seen.err}"
    assert done.failure.cause.curable is (cause in CURABLE)
    assert done.failure.message
    assert not re.fullmatch(r"<.*>|Exception:", done.failure.message)
    if pip not in CAUSE_ONLY:
        plain = run([python, "-m", "pip", *words], env=dict(os.environ), cwd=tmp_path)
        assert done.exit_code == plain.code
        assert _settled(seen.out) == _settled(plain.stdout)
        assert _settled(seen.err) == _settled(plain.stderr)


def _settled(text: str) -> str:
    """Without what is another in every run of pip: temporary names, addresses, durations, and frames of tracebacks."""
    text = re.sub(r"(?m)^  File .*\n(    .*\n)*", "", text)
    text = re.sub(r"(pip-[a-z-]+-|tmp)[a-z0-9_]{8}", r"\1X", text)
    text = re.sub(r"0x[0-9a-f]+|\b[a-z]+_[0-9a-f]{32}\b", "X", text)
    text = re.sub(r"(?m)^.*\d+(\.\d+)? [kM]?B/s.*$", "", text)
    return re.sub(r"\bport=\d+|:\d{5}\b|[\d.]+ (?:seconds|s)\b|\beta \S+", "", text)


def test_ctrl_c_is_an_interruption_and_no_failure_of_the_wheel(
    world: Trouble, venvs: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    path = "/silent-1.0-py3-none-any.whl"
    before = len(world.server.requests_of(path))
    ended: list[PipRun] = []
    pip = Pip(executable=str(python_with(venvs, "26.3")))

    def interrupt() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for child in _children_that_run("_pip_shim.py"):
                if world.server.errors == [] and _is_connected(child, world):
                    os.kill(child, 2)
                    return
            time.sleep(0.05)

    helper = threading.Thread(target=interrupt)
    helper.start()
    ended.append(pip.run(["install", "--no-index", "--timeout=30", world.url(path.lstrip("/"))]))
    helper.join()
    assert len(world.server.requests_of(path)) >= before
    failure = ended[0].failure
    assert failure is not None
    assert failure.cause is Cause.INTERRUPTED, capfd.readouterr().err
    assert not failure.cause.curable


def _children_that_run(script: str) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            mine = f"PPid:\t{os.getpid()}\n" in (folder / "status").read_text()
            if mine and script in (folder / "cmdline").read_text():
                yield int(folder.name)


def _is_connected(process: int, world: Trouble) -> bool:
    """Whether it has an open connection to the server (/proc/PID/net/tcp knows ports; its own sockets are in fd)."""
    port = f":{int(world.server.url.rpartition(':')[2]):04X} "
    lines = [line.split() for line in Path(f"/proc/{process}/net/tcp").read_text().splitlines() if port in line]
    links = {str(fd.readlink()) for fd in Path(f"/proc/{process}/fd").iterdir() if fd.is_symlink()}
    return any(f"socket:[{line[9]}]" in links and line[3] == "01" for line in lines)


@pytest.mark.parametrize("pip", ["23.2.1", "26.3"])
def test_an_externally_managed_python_is_its_owners(
    pip: str, world: Trouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """PEP 668, in a copy of the interpreter's folders made of links."""
    base = _base_of(find_interpreter("3.11"))
    library = tmp_path / "usr" / "lib" / "python3.11"
    library.mkdir(parents=True)
    for entry in Path(base["stdlib"]).iterdir():
        if entry.name != "site-packages":
            (library / entry.name).symlink_to(entry)
    (library / "EXTERNALLY-MANAGED").write_text("[externally-managed]\nError=apt owns this Python\n")
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "usr"))
    borrowed = Pip(executable=base["executable"], borrowed=str(fetch_pip(pip)))
    done = borrowed.run(["install", "--no-index", world.path("good")])
    assert done.failure is not None
    assert done.failure.cause is Cause.EXTERNALLY_MANAGED, capfd.readouterr().err
    assert not done.failure.cause.curable
    assert "apt owns this Python" in capfd.readouterr().err or done.exit_code == 1


def _base_of(python: Path) -> dict[str, str]:
    code = "import sys, sysconfig; print(sys._base_executable); print(sysconfig.get_path('stdlib'))"
    lines = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    return {"executable": lines[0], "stdlib": lines[1]}


def record(message: str, *chain: tuple[str, str, int | None], level: str = "ERROR") -> dict[str, object]:
    links = [{"class": name, "message": text, "errno": number, "output": None} for name, text, number in chain]
    return {"level": level, "message": message, "exception": links}


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        # Measured where a real one takes a full disk or another user than root (facts/pip-failures.md 1.2).
        (record("Could not install packages due to an OSError: [Errno 28] No space left on device\n"), "no-space"),
        (record("Exception:", ("OSError", "[Errno 28] No space left on device", 28)), "no-space"),
        (record("Exception:", ("OSError", "[Errno 122] Disk quota exceeded", 122)), "no-space"),
        (record("Could not install packages due to an OSError: [Errno 13] Permission denied: '/x'"), "no-permission"),
        (record("Exception:", ("PermissionError", "[Errno 13] Permission denied: '/x'", 13)), "no-permission"),
        (
            record("Could not install packages due to an OSError: [Errno 30] Read-only file system: '/x'"),
            "no-permission",
        ),
        (
            record("x-1.0.dist-info has inconsistent version: expected '1', but metadata has '2'"),
            "inconsistent-version",
        ),
        (record("Operation cancelled by user", ("KeyboardInterrupt", "", None)), "interrupted"),
        (record("nobody has seen this before", ("StrangeError", "odd", None)), "other"),
    ],
)
def test_what_cannot_be_made_here_is_known_by_what_pip_said(said: dict[str, object], cause: str) -> None:
    failure = understand([said], 1)
    assert failure.cause.value == cause
    assert failure.cause.curable is (cause in CURABLE)


def test_a_missing_file_is_curable_only_where_it_is_the_wheel() -> None:
    missing = "Could not install packages due to an OSError: [Errno 2] No such file or directory: '{}'\n"
    link = ("FileNotFoundError", "[Errno 2]", 2)
    assert understand([record(missing.format("/a/b-1.0-py3-none-any.whl"), link)], 1).cause is Cause.NOT_FOUND
    assert understand([record(missing.format("/a/folder"), link)], 1).cause is Cause.OTHER


def test_what_an_inner_pip_said_is_part_of_the_build_failure() -> None:
    """The build dependency that was not found is not the package."""
    inner = record("ERROR: No matching distribution found for setuptools", level="WARNING")
    outer = record("error: subprocess-exited-with-error", ("InstallationSubprocessError", "pip subprocess", None))
    assert understand([inner, outer], 1).cause is Cause.BUILD_FAILED


@pytest.mark.parametrize(
    ("exit_code", "cause"), [(2, Cause.USAGE), (-15, Cause.INTERRUPTED), (-9, Cause.INTERRUPTED), (3, Cause.OTHER)]
)
def test_without_a_record_the_exit_code_is_all_there_is(exit_code: int, cause: Cause) -> None:
    failure = understand([], exit_code)
    assert (failure.cause, failure.message) == (cause, f"pip ended with exit code {exit_code}")


def test_which_causes_another_build_can_cure() -> None:
    assert {cause.value for cause in Cause if cause.curable} == CURABLE


def test_the_message_is_the_text_and_not_the_name_of_a_class() -> None:
    diagnostic = "<InstallWheelBuildError: failed-wheel-build-for-install>"
    said = record(diagnostic, ("InstallWheelBuildError", "Failed to build installable wheels: x", None))
    assert understand([said], 1).message == "InstallWheelBuildError: Failed to build installable wheels: x"
    assert understand([record(diagnostic, ("InstallWheelBuildError", diagnostic, None))], 1).message == diagnostic
