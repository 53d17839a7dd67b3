"""What a failure of pip means: real pips, made to fail in every way, through the shim; and beside plain pip."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.broken_sources import sdist
from lib.pip_cases import CASES
from lib.pip_trouble import Trouble, trouble
from lib.program import run
from lib.venvs import fetch_pip, find_interpreter, isolated_environ, make_venv
from pipfallback.build_failures import SubCause, sub_cause
from pipfallback.pip import Pip, PipRun
from pipfallback.pip_failures import CUT_SHORT, Cause, distribution_in, understand

PIPS = ("20.3.4", "21.3.1", "22.3.1", "23.2.1", "24.0", "24.3.1", "25.0.1", "25.3", "26.0", "26.3")
CORE = [name for name, case in CASES.items() if case.core]
BY_DEFAULT = [
    *(("20.3.4", name) for name in CORE),
    *(("26.3", name) for name in CORE),
    *(("23.2.1", name) for name in CORE[::6]),
    *(("25.3", name) for name in CORE[1::6]),
]
# Compared with plain pip in the default run; in the matrix all are.
SHOWN = {"unsupported-url", "time-out", "index-down", "conflict", "imports-torch", "does-not-compile-quiet"}
CURABLE = {
    "unsupported-wheel", "not-found", "server-error", "unreachable", "timeout", "truncated", "corrupt",
    "invalid-metadata", "inconsistent-version", "requires-python", "no-matching-distribution", "build-failed",
    "import-failed",
}  # fmt: skip


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


def told_wrong(pip: str, name: str, done: PipRun) -> str | None:
    """What is wrong with how a failure was told; None where it is right."""
    case, failure = CASES[name], done.failure
    cause = case.cause_with(pip)
    if cause is None or failure is None:
        return None if (cause, failure) == (None, None) else f"{name}: {failure}"
    if done.exit_code not in {1, 2} or failure.cause.curable is not (cause in CURABLE):
        return f"{name}: exit code {done.exit_code}, {failure}"
    lacked = failure.sub_cause.value if failure.sub_cause else None
    if (failure.cause.value, lacked) != (cause, case.sub_cause or lacked) or (failure.hint is None) is not (not lacked):
        return f"{name}: told as {failure.cause.value}, {lacked}, and not {cause}, {case.sub_cause}"
    empty = not failure.message or re.fullmatch(r"<.*>|Exception:|\[present-rich\].*", failure.message)
    return f"{name}: says {failure.message!r}" if empty else None


def shown_differently(python: Path, words: list[str], done: PipRun, seen: tuple[str, str]) -> str | None:
    """How the user saw another thing than plain pip shows; None where it was the same."""
    plain = run([python, "-m", "pip", *words], env=dict(os.environ), cwd=Path.cwd())
    same = done.exit_code == plain.code and [*map(_settled, seen)] == [_settled(plain.stdout), _settled(plain.stderr)]
    return None if same else f"{words}\n--- seen\n{seen[0]}{seen[1]}\n--- {plain.said}"


@pytest.mark.parametrize(("pip", "name"), BY_DEFAULT)
def test_the_cause_is_known_and_the_user_sees_what_plain_pip_says(
    pip: str, name: str, world: Trouble, venvs: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    if not CASES[name].possible:
        pytest.skip(f"no {CASES[name].needs} on this machine")
    python, words = python_with(venvs, pip), CASES[name].words(world)
    done = Pip(executable=str(python)).run(words)
    seen = capfd.readouterr()
    assert told_wrong(pip, name, done) is None, f"{done.failure}\n{seen.err}"
    if name in SHOWN:
        assert shown_differently(python, words, done, seen) is None


@pytest.mark.matrix
@pytest.mark.parametrize("pip", PIPS)
def test_nearly_every_failure_is_told_right(
    pip: str, world: Trouble, venvs: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """At least 99 of 100 with each pip, so with all of them; and what the user sees is plain pip's, every time."""
    python = python_with(venvs, pip)
    wrong, different = [], []
    for name, case in CASES.items():
        if not case.possible:
            continue
        words = case.words(world)
        done = Pip(executable=str(python)).run(words)
        seen = capfd.readouterr()
        wrong.append(told_wrong(pip, name, done))
        if done.failure is not None:
            different.append(shown_differently(python, words, done, seen))
    mistakes = [each for each in wrong if each is not None]
    assert len(mistakes) <= len(wrong) / 100, "\n".join([f"{len(mistakes)} of {len(wrong)} with pip {pip}:", *mistakes])
    assert [each for each in different if each is not None] == []


def _settled(text: str) -> str:
    """Without what is another in every run of pip: temporary names, addresses, durations, and frames of tracebacks."""
    text = re.sub(r"(?m)^  File .*\n(    .*\n)*", "", text)
    text = re.sub(r"(pip-[a-z-]+-|tmp)[a-z0-9_]{8}", r"\1X", text)
    text = re.sub(r"(multiple .dist-info directories found: ).*", r"\1X", text)  # a set, in any order
    text = re.sub(r"0x[0-9a-f]+|\b[a-z]+_[0-9a-f]{32}\b", "X", text)
    text = re.sub(r"(?m)^.*\d+(\.\d+)? [kM]?B/s.*$", "", text)
    return re.sub(r"\bport=\d+|:\d{5}\b|[\d.]+ (?:seconds|s)\b|\beta \S+", "", text)


def _only_in_matrix(pips: tuple[str, ...], default: set[str]) -> list[object]:
    return [pytest.param(pip, marks=() if pip in default else pytest.mark.matrix) for pip in pips]


@pytest.mark.parametrize("pip", _only_in_matrix(PIPS, {"26.3"}))
def test_ctrl_c_is_an_interruption_and_no_failure_of_the_wheel(
    pip: str, world: Trouble, venvs: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    path = "/silent-1.0-py3-none-any.whl"
    before = len(world.server.requests_of(path))
    ended: list[PipRun] = []
    program = Pip(executable=str(python_with(venvs, pip)))

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
    ended.append(program.run(["install", "--no-index", "--timeout=30", world.url(path.lstrip("/"))]))
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
    links = set()
    try:
        lines = [line.split() for line in Path(f"/proc/{process}/net/tcp").read_text().splitlines() if port in line]
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed since it was listed
                links.add(str(descriptor.readlink()))
    except OSError:  # it has ended
        return False
    return any(f"socket:[{line[9]}]" in links and line[3] == "01" for line in lines)


@pytest.mark.parametrize("pip", _only_in_matrix(PIPS[3:], {"23.2.1", "26.3"}))
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


def test_a_python_outside_of_any_environment_may_be_forbidden(world: Trouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """PIP_REQUIRE_VIRTUALENV, the one thing for which pip has exit code 3."""
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    base = _base_of(find_interpreter("3.11"))
    done = Pip(executable=base["executable"], borrowed=str(fetch_pip("26.3"))).run(["install", world.path("good")])
    assert done.failure is not None
    assert (done.exit_code, done.failure.cause) == (3, Cause.USAGE)


def _base_of(python: Path) -> dict[str, str]:
    code = "import sys, sysconfig; print(sys._base_executable); print(sysconfig.get_path('stdlib'))"
    lines = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    return {"executable": lines[0], "stdlib": lines[1]}


def _with_mount(python: Path, folder: Path, options: str, place: str) -> Path:
    """A program that runs ``python`` where another filesystem lies over ``folder``, for that process alone.

    ``place`` TMPDIR: that is its folder for temporary files.
    """
    folder.mkdir()
    program = folder.with_suffix(".sh")
    setting = f"TMPDIR={folder}" if place == "TMPDIR" else ""
    inner = f'mount -t tmpfs -o {options} none {folder} && {setting} exec {python} "$@"'
    program.write_text(f"#!/bin/sh\nexec unshare --map-root-user --mount sh -c '{inner}' sh \"$@\"\n")
    program.chmod(0o755)
    try:
        subprocess.run([program, "-c", ""], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no mount namespaces here: {error}")
    return program


@pytest.mark.parametrize("pip", _only_in_matrix(PIPS, {"26.3"}))
@pytest.mark.parametrize(
    ("options", "place", "cause"),
    [
        ("size=64k", "--prefix", Cause.NO_SPACE),
        ("size=64k", "--target", Cause.NO_SPACE),
        ("size=64k", "TMPDIR", Cause.NO_SPACE),
        ("ro", "--prefix", Cause.NO_PERMISSION),
        ("ro", "--target", Cause.NO_PERMISSION),
    ],
)
def test_a_full_disk_and_one_that_may_not_be_written_are_no_failure_of_the_wheel(  # noqa: PLR0917 - by name
    pip: str,
    options: str,
    place: str,
    cause: Cause,
    world: Trouble,
    venvs: dict[str, Path],
    tmp_path: Path,
) -> None:
    program = _with_mount(python_with(venvs, pip), tmp_path / "disk", options, place)
    words = ["install", "--no-index", "--no-cache-dir", world.url("big")]
    if place != "TMPDIR":
        words.append(f"{place}={tmp_path / 'disk' / 'x'}")
    failure = Pip(executable=str(program)).run(words).failure
    assert failure is not None
    assert failure.cause is cause, failure
    assert not failure.cause.curable


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


@pytest.mark.matrix
@pytest.mark.parametrize("pip", ["20.3.4", "22.3.1"])
def test_setuptools_own_words_of_a_compiler_are_known(pip: str, tmp_path: Path) -> None:
    """The old way, setup.py install, with the setuptools that ensurepip brings up to Python 3.11."""
    base = find_interpreter("3.9" if pip == "20.3.4" else "3.11")
    bundled = sorted((base.resolve().parent.parent / "lib").glob("python3*/ensurepip/_bundled/setuptools-*.whl"))
    if not bundled or shutil.which("cc") is None:
        pytest.skip("no bundled setuptools, or no compiler")
    python = make_venv(tmp_path / "venv", python="3.9" if pip == "20.3.4" else "3.11", pip=pip)
    program = Pip(executable=str(python))
    assert program.run(["install", "--no-index", "--no-deps", bundled[-1].as_posix()]).exit_code == 0
    extension = "from setuptools import setup, Extension\nsetup(name='source', version='1.0', ext_modules=[{}])\n"
    texts = {"setup.py": extension.format("Extension('x', ['x.c'])"), "x.c": "int main(void) { return nothing; }\n"}
    source = sdist(tmp_path / "source-1.0.tar.gz", texts)
    failure = program.run(["install", "--no-index", "--no-build-isolation", str(source)]).failure
    assert failure is not None
    assert (failure.cause, failure.sub_cause) == (Cause.BUILD_FAILED, SubCause.COMPILER), failure.text


@pytest.mark.parametrize(
    ("said", "lacked"),
    [
        # What takes a machine without a compiler, a CUDA toolkit, or Windows (quoted in the projects' issues).
        ("nvcc error   : 'cicc' died due to signal 9 (Kill signal)", "out-of-memory"),
        ("cc1plus: out of memory allocating 65536 bytes after a total of 25395200 bytes", "out-of-memory"),
        ("subprocess.CalledProcessError: Command '['ninja']' died with <Signals.SIGKILL: 9>.", "out-of-memory"),
        ("subprocess-exited-with-error: x did not run successfully.\nexit code: 137", "out-of-memory"),
        ("nvcc was not found.  Are you sure your environment has nvcc available?", "no-nvcc"),
        ("error: command '/usr/local/cuda/bin/nvcc' failed: No such file or directory", "no-nvcc"),
        ("CUDA was not found on the system, please set the CUDA_HOME", "no-nvcc"),
        ("#error -- unsupported GNU version! gcc versions later than 12 are not supported!", "compiler-version"),
        (
            "The current installed version of g++ (14.2.0) is greater than the maximum required version by CUDA 12.4.",
            "compiler-version",
        ),
        ("error: Microsoft Visual C++ 14.0 or greater is required.", "no-compiler"),
        ("/bin/sh: 1: ninja: not found\nFileNotFoundError: No such file or directory: 'ninja'", "no-ninja"),
        ("x.cpp:1:10: fatal error: Python.h: No such file or directory\nninja: build stopped", "missing-header"),
        ("x.cu(12): error: no instance of function matches", "compiler"),
        ("as: can't write 52 bytes to section .text: No space left on device", "no-space"),
        ("ModuleNotFoundError: No module named 'torchvision'", "module-missing"),
        ("RuntimeError: something that nobody has seen before", None),
        ("", None),
    ],
)
def test_what_a_build_lacked_is_known_by_what_its_tools_said(said: str, lacked: str | None) -> None:
    found = sub_cause(said)
    assert (found and found.value) == lacked


def test_what_a_build_lacked_is_told_in_words_with_a_hint() -> None:
    for each in SubCause:
        assert not each.words.endswith(".")
        assert len(each.hint) > len("pip install x")
    built = record("Failed", ("InstallationSubprocessError", "No module named 'torch'", None))
    assert "--no-build-isolation" in (understand([built], 1).hint or "")
    assert understand([record("No matching distribution found for torch")], 1).hint is None


def test_a_file_that_came_in_part_is_no_corrupt_file() -> None:
    """pip before 25.3 calls it an invalid wheel; the shim saw the connection end."""
    invalid = record("Wheel 'x' located at /tmp/x.whl is invalid.", ("InvalidWheel", "invalid", None))
    cut = record(f"{CUT_SHORT}60000 bytes are missing", level="WARNING")
    assert understand([invalid], 1).cause is Cause.CORRUPT
    assert understand([cut, invalid], 1).cause is Cause.TRUNCATED


def test_a_resolver_that_gives_up_is_a_conflict() -> None:
    for error in ("ResolutionTooDeep", "ResolutionTooDeepError"):  # pip up to 24.3, and newer
        assert understand([record("Exception:", (error, "200000", None))], 1).cause is Cause.CONFLICT


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


def test_a_build_that_fetches_sources_is_no_missing_repository() -> None:
    output = "git clone https://host.example/cutlass\nfatal: unable to access\nninja: build stopped: subcommand failed."
    built = record(
        "Building wheel exited with 1", ("InstallationSubprocessError", "Building wheel exited with 1", None)
    )
    built["output"] = output
    assert understand([built], 1).cause is Cause.BUILD_FAILED


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


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("No matching distribution found for torch==2.5.1+cu121", "torch"),
        ("No matching distribution found for torch-geometric", None),
        ("No matching distribution found for torch_scatter", "torch-scatter"),
        ("torch_scatter-2.1.2+pt25cu121-cp310-cp310-linux_x86_64.whl is not a supported wheel", "torch-scatter"),
        ("torch-2.5.1+cu121-cp310-cp310-linux_x86_64.whl is not a supported wheel", "torch"),
        ("No matching distribution found for pytorch", None),
        ("Could not find torchvision==0.20.1 (from torch)", "torchvision"),
    ],
)
def test_which_distribution_a_message_is_about(text: str, about: str | None) -> None:
    assert distribution_in(text, ("torch", "torch-scatter", "torchvision")) == about
