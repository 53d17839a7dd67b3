"""``plan``, ``explain`` and ``env`` as their users meet them: a process, its two streams, its exit code."""

from __future__ import annotations

import importlib
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lib.program import Completed, run, run_pipfallback
from lib.server import Server
from lib.torch import make_torch
from lib.venvs import make_venv, site_packages
from pipfallback import cli, pip_options

MACHINE = (
    *("--torch", "2.7.1+cu126", "--cuda", "12.6", "--cxx11-abi", "true", "--python-version", "3.11"),
    *("--platform", "linux_x86_64", "--glibc", "2.35"),
)
FITS = "sample_attn-2.8.3+cu12torch2.7-cp311-cp311-linux_x86_64.whl"
OTHER_PYTHON = "sample_attn-2.8.2+cu12torch2.7-cp310-cp310-linux_x86_64.whl"
OTHER_TORCH = "sample_attn-2.8.1+cu12torch2.5-cp311-cp311-linux_x86_64.whl"
DECISION_KEYS = [
    *("filename", "url", "name", "version", "source", "trust", "sha256", "build", "accepted", "grade", "mismatches"),
]
BUILD_KEYS = ["torch", "torch_rule", "cuda", "rocm", "cpu", "cxx11_abi", "cxx11_abi_label", "archs"]


def catalog(folder: Path, *names: str, source: str = "Publisher", trust: str = "vendor") -> Path:
    """A fallbacks.toml for a package that no other file knows."""
    urls = json.dumps([f"https://host.example/{name}" for name in names])
    file = folder / "sample.toml"
    file.write_text(
        'schema = 1\n[package.sample-attn]\nimport = ["sample_attn"]\nneeds = ["torch"]\n'
        f'[[package.sample-attn.source]]\nname = "{source}"\ntrust = "{trust}"\nkind = "url"\ncxx11_abi = true\nurl = {urls}\n',
        encoding="utf-8",
    )
    return file


def document(done: Completed) -> dict[str, Any]:
    """The one JSON document on standard output."""
    read: dict[str, Any] = json.loads(done.stdout)
    assert read["schema"] == 1
    assert "Traceback" not in done.stderr, done.said
    return read


def error_of(done: Completed, code: int, reference: str) -> str:
    """The message of an error under --json."""
    assert done.code == code, done.said
    read = document(done)
    assert list(read) == ["schema", "error"]
    assert list(read["error"]) == ["reference", "message", "cause", "hints"]
    assert read["error"]["reference"] == reference
    assert done.stderr == ""
    return str(read["error"]["message"])


def test_plan_tells_what_would_be_tried_and_why_the_rest_not(tmp_path: Path) -> None:
    file = catalog(tmp_path, OTHER_PYTHON, OTHER_TORCH, FITS)
    done = run_pipfallback(["plan", "--fallbacks", file, *MACHINE, "sample-attn"])
    assert done.code == 0, done.said
    assert done.stderr == ""
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert lines == [
        "sample-attn: 1 build fits CPython 3.11, torch 2.7.1+cu126",
        f"  1  fits       {FITS}  (Publisher)",
        "",
        "refused: 2, the nearest first",
        f"     {OTHER_TORCH}  (Publisher)",
        "       torch-version  built for torch 2.5; torch here is 2.7.1",
        f"     {OTHER_PYTHON}  (Publisher)",
        "       python-tag     wheel is for CPython 3.10 (cp310); this is CPython 3.11",
    ]


def test_plan_of_flash_attn_for_a_described_machine_comes_from_the_built_in_catalog() -> None:
    done = run_pipfallback(["plan", "--json", *MACHINE, "flash-attn==2.8.3"])
    assert done.code == 0, done.said
    decisions = document(done)["decisions"]
    first = decisions[0]
    assert first["filename"].startswith("flash_attn-2.8.3+cu12torch2.7cxx11abi")
    assert first["filename"].endswith("-cp311-cp311-linux_x86_64.whl")
    assert first["url"] == f"https://github.com/Dao-AILab/flash-attention/releases/download/v2.8.3/{first['filename']}"
    assert (first["source"], first["trust"], first["grade"]) == ("Dao-AILab", "official", "fits")
    accepted = [decision["accepted"] for decision in decisions]
    assert accepted == sorted(accepted, reverse=True), "the accepted come first"
    for decision in decisions:
        assert decision["accepted"] == (decision["mismatches"] == []) == (decision["grade"] in {"fits", "plausible"})
    incident = next(
        decision for decision in decisions if "cp310" in decision["filename"] and "2.7" in decision["filename"]
    )
    assert {"rule": "python-tag", "wanted": "cp310", "found": "cp311"} in incident["mismatches"]


def test_the_json_form_of_a_decision_is_the_documented_one(tmp_path: Path) -> None:
    file = catalog(tmp_path, OTHER_PYTHON)
    done = run_pipfallback(["plan", "--json", "--fallbacks", file, *MACHINE, "sample-attn"])
    assert (done.code, done.stderr) == (1, "")
    read = document(done)
    assert list(read) == ["schema", "decisions"]
    (decision,) = read["decisions"]
    assert list(decision) == DECISION_KEYS
    assert list(decision["build"]) == BUILD_KEYS
    assert decision == {
        "filename": OTHER_PYTHON,
        "url": f"https://host.example/{OTHER_PYTHON}",
        "name": "sample-attn",
        "version": "2.8.2",
        "source": "Publisher",
        "trust": "vendor",
        "sha256": None,
        "build": {
            "torch": "2.7",
            "torch_rule": "series",
            "cuda": "12",
            "rocm": None,
            "cpu": False,
            "cxx11_abi": True,
            "cxx11_abi_label": None,
            "archs": None,
        },
        "accepted": False,
        "grade": None,
        "mismatches": [{"rule": "python-tag", "wanted": "cp310", "found": "cp311"}],
    }


def test_no_build_fits_is_told_once_with_every_reason_and_what_would_help(tmp_path: Path) -> None:
    file = catalog(tmp_path, OTHER_PYTHON, OTHER_TORCH)
    done = run_pipfallback(["plan", "--fallbacks", file, *MACHINE, "sample-attn"])
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "error: sample-attn: no build fits this environment (CPython 3.11, torch 2.7.1+cu126)",
        "  considered 2 builds from 1 source",
        f"  {OTHER_TORCH}  (Publisher)",
        "    torch-version  built for torch 2.5; torch here is 2.7.1",
        f"  {OTHER_PYTHON}  (Publisher)",
        "    python-tag     wheel is for CPython 3.10 (cp310); this is CPython 3.11",
        "",
        "hint: with Python 3.10 the Publisher build 2.8.2 would fit",
        "see: pipfallback help no-build-fits",
    ]


def test_where_consent_is_missing_the_hint_names_the_option(tmp_path: Path) -> None:
    file = catalog(tmp_path, FITS, trust="community")
    done = run_pipfallback(["plan", "--fallbacks", file, *MACHINE, "sample-attn"])
    assert done.code == 1
    assert "hint: 1 community build fits; allow it with --trust-level community" in done.stderr
    again = run_pipfallback(["plan", "--fallbacks", file, *MACHINE, "sample-attn", "--trust-level", "community"])
    assert again.code == 0, again.said


def test_of_many_refused_builds_one_for_each_reason_is_shown_and_all_with_all(tmp_path: Path) -> None:
    names = [f"sample_attn-{version}+cu12torch2.5-cp311-cp311-linux_x86_64.whl" for version in range(1, 40)]
    file = catalog(tmp_path, *names, OTHER_PYTHON)
    done = run_pipfallback(["plan", "--fallbacks", file, *MACHINE, "sample-attn"])
    assert done.stderr.count("torch-version") == 1
    assert done.stderr.count("python-tag") == 1
    assert "  and 38 more; pipfallback plan --all lists them" in done.stderr
    everything = run_pipfallback(["plan", "--all", "--fallbacks", file, *MACHINE, "sample-attn"])
    assert everything.stdout.count("torch-version") == 39
    assert "refused: 40, the nearest first" in everything.stdout


def test_a_package_that_no_catalog_knows_is_told() -> None:
    done = run_pipfallback(["plan", *MACHINE, "requests"])
    assert (done.code, done.stdout) == (1, "")
    assert "error: requests: no fallbacks.toml in force knows this package; pip alone decides" in done.stderr
    as_json = run_pipfallback(["plan", "--json", *MACHINE, "requests"])
    assert as_json.code == 1
    assert document(as_json)["error"]["reference"] == "unknown-package"


@pytest.mark.parametrize("text", ["flash-attn==", "", "./nofile.whl"])
def test_what_is_no_requirement_is_told_as_such(text: str) -> None:
    done = run_pipfallback(["plan", "--json", *MACHINE, text])
    assert done.code == 1
    assert document(done)["error"]["reference"] == "invalid-request"


def test_a_closed_standard_output_is_no_traceback(environ: dict[str, str]) -> None:
    command = f"{shlex.quote(sys.executable)} -m pipfallback env >&-"
    done = run(["sh", "-c", command], env=environ)
    assert (done.code, done.stderr) == (0, "")


def test_one_of_several_requirements_without_a_build_fails_the_plan(tmp_path: Path) -> None:
    file = catalog(tmp_path, FITS)
    done = run_pipfallback(["plan", "--fallbacks", file, *MACHINE, "sample-attn", "requests"])
    assert done.code == 1
    assert FITS in done.stdout
    assert "requests: no fallbacks.toml" in done.stderr


def test_a_requirement_called_like_the_command_is_a_requirement(tmp_path: Path) -> None:
    done = run_pipfallback(["plan", "plan", *MACHINE])
    assert "plan: no fallbacks.toml in force knows this package" in done.stderr
    before = run_pipfallback(["--json", "plan", *MACHINE, "--fallbacks", catalog(tmp_path, FITS), "sample-attn"])
    assert document(before)["decisions"][0]["accepted"] is True


def test_no_password_of_a_url_is_printed() -> None:
    url = f"https://alice:s3cret@host.example/{FITS}"
    for words in (["plan", url], ["explain", url], ["explain", url.replace(".whl", ".txt")]):
        for form in ([], ["--json"]):
            done = run_pipfallback([*words, *form, *MACHINE])
            assert "s3cret" not in done.stdout + done.stderr, done.said
            assert "alice" not in done.stdout + done.stderr, done.said


def test_explain_tells_what_a_wheel_was_built_for_and_whether_that_fits() -> None:
    done = run_pipfallback(["explain", *MACHINE, FITS, OTHER_PYTHON])
    assert (done.code, done.stderr) == (0, "")
    assert f"{FITS}\n  may fit CPython 3.11, torch 2.7.1+cu126\n" in done.stdout
    assert f"\n\n{OTHER_PYTHON}\n  does not fit CPython 3.11, torch 2.7.1+cu126\n" in done.stdout
    assert "open        which C++ ABI it was built with is not stated" in done.stdout
    assert "python-tag  wheel is for CPython 3.10 (cp310); this is CPython 3.11" in done.stdout


def test_explain_answers_the_others_where_one_argument_is_unreadable() -> None:
    done = run_pipfallback(["explain", "--json", *MACHINE, FITS, "notes.txt", OTHER_PYTHON])
    assert done.code == 1
    first, second, third = document(done)["decisions"]
    assert list(first) == list(third) == DECISION_KEYS
    assert (first["accepted"], first["source"], first["trust"], first["url"]) == (True, None, None, None)
    assert list(second) == ["filename", "error"]
    assert "must end with .whl" in second["error"]
    human = run_pipfallback(["explain", *MACHINE, FITS, "notes.txt"])
    assert human.code == 1
    assert "notes.txt: " in human.stdout
    assert FITS in human.stdout


def test_a_url_at_which_there_is_nothing_fits_nowhere(server: Server) -> None:
    done = run_pipfallback(["explain", server.url_of(f"/{FITS}")])
    assert done.code == 1
    assert "there is no such file (127.0.0.1 answered 404" in done.stdout
    assert "fit CPython" not in done.stdout


def test_env_of_an_interpreter_is_the_documented_form_and_plan_reads_it_again(tmp_path: Path) -> None:
    python = make_venv(tmp_path / "venv", pip=None)
    make_torch_there(tmp_path, python)
    done = run_pipfallback(["env", "--json"], python=python)
    assert (done.code, done.stderr) == (0, "")
    said = document(done)
    expected = ["schema", "python", "platform", "glibc", "musl", "tags", "torch", "driver", "gpus"]
    assert [key for key in said if key != "toolkit"] == expected
    assert list(said["python"]) == ["executable", "version", "implementation", "free_threaded"]
    assert said["python"]["executable"] == str(python)
    assert said["torch"] == {"version": "2.7.1+cu126", "cuda": "12.6", "rocm": None, "cxx11_abi": True}
    file = tmp_path / "environment.json"
    file.write_text(done.stdout)
    again = run_pipfallback(["env", "--json", "--environment", file])
    assert document(again) == said
    here = run_pipfallback(["plan", "--json", "flash-attn"], python=python)
    there = run_pipfallback(["plan", "--json", "--environment", file, "flash-attn"])
    assert (here.code, document(here)) == (there.code, document(there))


def make_torch_there(folder: Path, python: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps"]
    done = run([*pip, make_torch(folder)], env=os.environ)
    assert done.code == 0, done.said
    assert (site_packages(python) / "torch").is_dir()


def test_env_shows_what_counts_and_where_it_comes_from() -> None:
    done = run_pipfallback(["env", *MACHINE, "--gpu", "9.0,8.9", "--driver-cuda", "12.8"])
    assert (done.code, done.stderr) == (0, "")
    rows = [line.split("  ", 1) for line in done.stdout.splitlines()]
    said = {" ".join(label.split()): " ".join(rest.split()) for label, rest in rows if label}
    assert said["python"] == "CPython 3.11 (3.11) declared by --python-version"
    assert said["torch"] == "2.7.1+cu126 declared by --torch"
    assert said["libc"] == "glibc 2.35 declared by --glibc"
    assert said["driver"] == "version unknown, CUDA up to 12.8 declared by --driver-cuda"
    assert said["GPUs"] == "GPU (9.0), GPU (8.9) declared by --gpu"
    assert "C++11 ABI  new (TRUE)" in done.stdout


def test_env_without_torch_says_so_and_no_more() -> None:
    done = run_pipfallback(["env", *MACHINE, "--torch", "none"])
    assert "torch" in done.stdout
    assert "C++11 ABI" not in done.stdout


def test_eight_gpus_of_a_kind_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "machine.json"
    gpus = [{"name": "NVIDIA H100 80GB HBM3", "compute_capability": "9.0"}] * 8
    file.write_text(json.dumps({"python": {"version": "3.11"}, "platform": "linux_x86_64", "gpus": gpus}))
    done = run_pipfallback(["env", "--environment", file])
    assert "8 x NVIDIA H100 80GB HBM3 (9.0)" in done.stdout


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "No such file or directory"),
        ("{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        ("[]", "must be a table, not a list"),
        ('{"pyton": {}}', "did you mean 'python'?"),
        ('{"python": {"version": "3.11"}, "platform": "linux_x86_64", "gpus": [{}]}', "gpus[0].compute_capability"),
    ],
)
def test_a_bad_environment_file_is_told(tmp_path: Path, content: str | bytes | None, what: str) -> None:
    file = tmp_path / "machine.json"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert what in error_of(run_pipfallback(["env", "--json", "--environment", file]), 2, "invalid-environment")
    done = run_pipfallback(["plan", "--environment", file, "flash-attn"])
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert what in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "reference", "what"),
    [
        (["plan", "flash-attn", "--bogus"], 2, "usage", "--bogus"),
        (["plan"], 2, "usage", "REQUIREMENT"),
        (["explain"], 2, "usage", "WHEEL"),
        (["env", "surplus"], 2, "usage", "surplus"),
        (["plan", "flash-attn", "--trust-level", "blind"], 2, "usage", "--trust-level must be official, vendor"),
        (["env", "--python", "/no/such/python"], 1, "unusable-target", "--python /no/such/python: was not found"),
        (["env", "--torch", "new"], 2, "invalid-environment", "--torch: must be a version"),
        (["env", "--cxx11-abi", "maybe"], 2, "invalid-environment", "--cxx11-abi"),
        (["plan", "https://[broken/a-1-py3-none-any.whl"], 1, "invalid-request", "is not a URL"),
        (["plan", "flash-attn", "--fallbacks", "/no/such.toml"], 1, "invalid-catalog", "/no/such.toml"),
    ],
)
def test_a_mistake_of_the_user_is_one_error_of_ours(words: list[str], code: int, reference: str, what: str) -> None:
    assert what in error_of(run_pipfallback([*words, "--json"]), code, reference)
    done = run_pipfallback(words)
    assert (done.code, done.stdout) == (code, "")
    assert done.stderr.count("error:") == 1
    assert what in done.stderr
    assert "Traceback" not in done.stderr


def test_every_mistake_of_a_catalog_is_told_with_its_place(tmp_path: Path) -> None:
    file = catalog(tmp_path, FITS)
    file.write_text(file.read_text().replace("kind =", "knid =").replace("trust =", "thrust ="))
    for command in (["plan", "sample-attn"], ["explain", FITS]):
        message = error_of(run_pipfallback([*command, "--json", "--fallbacks", file, *MACHINE]), 1, "invalid-catalog")
        assert f"{file}:" in message
        assert "package.sample-attn.source[1]" in message
        assert "knid" in message
        assert "thrust" in message


def test_a_target_that_is_no_python_is_told(tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho nonsense\n")
    script.chmod(0o755)
    assert "is not a Python interpreter" in error_of(
        run_pipfallback(["env", "--json"], python=script), 1, "unusable-target"
    )


@pytest.mark.parametrize("command", ["plan", "explain", "env"])
def test_help_is_a_result(command: str) -> None:
    done = run_pipfallback([command, "--help"])
    assert (done.code, done.stderr) == (0, "")
    assert f"pipfallback {command}" in done.stdout
    assert "--environment FILE" in done.stdout


@pytest.mark.parametrize("columns", ["80", "40"])
def test_names_stay_whole_and_words_are_not_broken_in_a_narrow_terminal(
    tmp_path: Path, environ: dict[str, str], columns: str
) -> None:
    names = [FITS, OTHER_TORCH, OTHER_PYTHON]
    environ |= {"COLUMNS": columns}
    for words in (["plan", "--fallbacks", catalog(tmp_path, *names), "sample-attn"], ["explain", *names]):
        done = run_pipfallback([*words, *MACHINE], env=environ)
        assert done.code == 0, done.said
        lines = done.stdout.splitlines()
        assert [name for name in names if not any(name in line for line in lines)] == []
        told = [line for line in lines if ".whl" not in line]
        assert max(len(line) for line in told) <= int(columns)
        assert "built for torch 2.5; torch here is 2.7.1" in " ".join(done.stdout.split())


def test_a_name_that_the_encoding_lacks_does_no_harm(tmp_path: Path, environ: dict[str, str]) -> None:
    file = catalog(tmp_path, FITS, OTHER_PYTHON, source="Größe")
    environ |= {"PYTHONIOENCODING": "ascii"}
    done = run_pipfallback(["plan", "--fallbacks", file, *MACHINE, "sample-attn"], env=environ)
    assert done.code == 0, done.said
    assert r"(Gr\xf6\xdfe)" in done.stdout
    as_json = run_pipfallback(["plan", "--json", "--fallbacks", file, *MACHINE, "sample-attn"], env=environ)
    assert document(as_json)["decisions"][0]["source"] == "Größe"


def in_terminal(words: Sequence[str | Path], env: Mapping[str, str]) -> str:
    """What a terminal is sent."""
    here, there = pty.openpty()
    command = [sys.executable, "-m", "pipfallback", *map(str, words)]
    with subprocess.Popen(command, stdin=there, stdout=there, stderr=there, env={**env, "TERM": "xterm"}) as process:
        os.close(there)
        said = b""
        while piece := _read(here):
            said += piece
    os.close(here)
    assert process.returncode in {0, 1}
    return said.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux, once the other side is closed (EIO)
        return b""


def test_colours_are_for_terminals_that_want_them(tmp_path: Path, environ: dict[str, str]) -> None:
    file = catalog(tmp_path, FITS, OTHER_PYTHON)
    words = ["plan", "--fallbacks", file, *MACHINE, "sample-attn", "requests"]
    assert "\x1b[32m" in in_terminal(words, environ)
    assert "\x1b[31merror:" in in_terminal(words, environ)
    plain = in_terminal(words, {**environ, "NO_COLOR": "1"})
    assert not any(f"\x1b[3{colour}m" in plain for colour in range(8))
    assert "\x1b" not in run_pipfallback(words, env=environ).said


def test_a_reader_that_goes_away_is_no_trouble(environ: dict[str, str]) -> None:
    for words in ("plan --all flash-attn", "env", "env --json", "--help"):
        described = "" if words == "--help" else " ".join(MACHINE)
        pipeline = f'"{sys.executable}" -m pipfallback {words} {described} | head -c 1 >/dev/null'
        done = run(["sh", "-c", pipeline], env=environ)
        assert (done.code, done.stderr) == (0, ""), words
        closed = f'( "{sys.executable}" -m pipfallback {words} {described}; echo $? >&2 ) | true'
        assert run(["sh", "-c", closed], env=environ).stderr in {"0\n", "1\n"}, words


def test_control_c_ends_it_with_130_and_one_line(tmp_path: Path, environ: dict[str, str]) -> None:
    started = tmp_path / "started"
    slow = tmp_path / "python"
    slow.write_text(f'#!/bin/sh\ntouch "{started}"\nexec sleep 60\n')
    slow.chmod(0o755)
    command = [sys.executable, "-m", "pipfallback", "plan", "--python", str(slow), "flash-attn"]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        while not started.exists():
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group
        said, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == b""
    assert told == b"pipfallback: interrupted; everything is as it was before\n"


def test_looking_changes_nothing(tmp_path: Path, environ: dict[str, str]) -> None:
    home = Path(environ["HOME"])
    file = catalog(tmp_path, FITS)
    for words in (["env"], ["plan", "--fallbacks", file, "sample-attn"], ["explain", FITS]):
        run_pipfallback([*words, *MACHINE], env=environ, cwd=home)
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize("content", [None, b"PK not a zip"])
def test_explain_says_that_a_file_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    wheel = tmp_path / "nosuch-1.0-py3-none-any.whl"
    if content is not None:
        wheel.write_bytes(content)
    done = run_pipfallback(["explain", "--json", wheel])
    assert done.code == 1
    assert "error" in document(done)["decisions"][0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pln", "x"], "error: unknown command pln\n\nhint: did you mean plan?"),
        (["dockerfil", "x"], "hint: did you mean dockerfile?"),
        (["isntall", "x"], 'maybe you meant "install"'),
        (["plan", "flash-atn"], "hint: did you mean flash-attn?"),
        (["verify", "nosuch"], "hint: pipfallback install nosuch"),
    ],
)
def test_a_typing_mistake_is_told_with_what_was_meant(words: list[str], said: str, environ: dict[str, str]) -> None:
    done = run_pipfallback(words, env=environ)
    assert done.code in {1, 2}
    assert said in done.stdout + done.stderr


def test_pips_commands_are_those_that_pip_has() -> None:
    commands_dict = importlib.import_module("pip._internal.commands").commands_dict
    assert set(commands_dict) <= pip_options.COMMANDS
    assert (
        not (cli.COMMANDS.keys() - {"install", "download", "wheel", "lock", "completion", "help"})
        & pip_options.COMMANDS
    )
