"""``pipfallback dockerfile`` as its users meet it: a process, its two streams, its exit code, the file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lib.program import Completed, run_pipfallback

# The incident (DESIGN 1).
ASKED = "flash_attn-2.8.3+cu12torch2.7cxx11abiFALSE-cp310-cp310-linux_x86_64.whl"
URL = f"https://github.com/Dao-AILab/flash-attention/releases/download/v2.8.3/{ASKED}"
INCIDENT = f"""\
FROM pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel
WORKDIR /app
RUN apt-get update && apt-get install -y git
RUN pip install --no-cache-dir \\
    {URL}
COPY . .
CMD ["python", "main.py"]
"""
REPAIRED = INCIDENT.replace("pip install", "pipfallback install")
CATALOG = """\
schema = 1
[package.sample-attn]
import = ["sample_attn"]
needs = ["torch"]
[[package.sample-attn.source]]
name = "Publisher"
trust = "vendor"
kind = "url"
cxx11_abi = true
url = [
  "https://h.example/sample_attn-2.0+cu12torch2.7-cp311-cp311-linux_x86_64.whl",
  "https://h.example/sample_attn-1.0+cu12torch2.7-cp310-cp310-linux_x86_64.whl",
]
"""
MACHINE = ("--platform", "linux_x86_64")


def dockerfile(
    folder: Path, text: str | bytes, *words: str, env: Mapping[str, str] | None = None, catalog: str = CATALOG
) -> Completed:
    """Run it on this text in a folder of its own."""
    (folder / "Dockerfile").write_bytes(text if isinstance(text, bytes) else text.encode())
    (folder / "sample.toml").write_text(catalog)
    command = ["dockerfile", "Dockerfile", "--fallbacks", "sample.toml", *MACHINE, *words]
    return run_pipfallback(command, cwd=folder, env=env)


def document(done: Completed) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(done.stdout)
    assert read["schema"] == 1
    assert done.stderr == "", done.said
    return read


def test_the_incident_is_told_before_it_happens(tmp_path: Path) -> None:
    done = dockerfile(tmp_path, INCIDENT)
    assert done.code == 0, done.said
    choice = "flash_attn-2.8.3+cu12torch2.7cxx11abiTRUE-cp311-cp311-linux_x86_64.whl (Dao-AILab)"
    assert [line.rstrip() for line in done.stdout.splitlines()] == [
        f"Dockerfile:4  pip install --no-cache-dir {URL}",
        "  on pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel: CPython 3.11, torch 2.7.1+cu126",
        f"  cannot work: {URL}",
        "    python-tag     wheel is for CPython 3.10 (cp310); this is CPython 3.11",
        f"  --write: pipfallback install --no-cache-dir {URL}",
        f"  hint: pipfallback install would choose {choice}",
        "  hint: pipfallback must be there: put `RUN pip install pipfallback` before line 4",
    ]
    assert (tmp_path / "Dockerfile").read_text() == INCIDENT


def test_check_fails_the_incident_and_passes_its_repair(tmp_path: Path) -> None:
    assert dockerfile(tmp_path, INCIDENT, "--check").code == 1
    repaired = REPAIRED.replace("WORKDIR", "RUN pip install pipfallback\nWORKDIR")
    done = dockerfile(tmp_path, repaired, "--check")
    assert done.code == 0, done.said
    assert "  fits: " in done.stdout


def test_write_changes_the_line_and_tells_what_is_still_missing(tmp_path: Path) -> None:
    done = dockerfile(tmp_path, INCIDENT, "--write")
    assert done.code == 0, done.said
    assert (tmp_path / "Dockerfile").read_text() == REPAIRED
    assert done.stderr.splitlines() == [
        "pipfallback: Dockerfile: line 4 is pipfallback's now",
        "pipfallback: pipfallback must be there: put `RUN pip install pipfallback` before line 4",
    ]
    again = dockerfile(tmp_path, REPAIRED, "--check")
    assert again.code == 1
    assert "cannot work: nothing before it in this stage installs pipfallback" in again.stdout
    assert "hint: pipfallback must be there: put `RUN pip install pipfallback` before line 4" in again.stdout


def test_writing_twice_changes_nothing_more(tmp_path: Path) -> None:
    done = dockerfile(tmp_path, REPAIRED, "--write")
    assert (tmp_path / "Dockerfile").read_text() == REPAIRED
    assert done.stderr.splitlines() == [
        "pipfallback: Dockerfile: nothing to change",
        "pipfallback: pipfallback must be there: put `RUN pip install pipfallback` before line 4",
    ]


def test_write_leaves_every_other_byte_alone(tmp_path: Path) -> None:
    before = (
        b"\xef\xbb\xbf# syntax=docker/dockerfile:1\r\nFROM python:3.11-slim\r\n"
        b'LABEL who="J\xfcrgen"\r\nRUN pip install numpy \\\r\n && python3 -m pip install  sample-attn  \r\n'
        b"RUN pip install other\r\n\r\n\t# the end"
    )
    done = dockerfile(tmp_path, before, "--write")
    assert done.code == 0, done.said
    after = before.replace(b"python3 -m pip install ", b"pipfallback install --python python3 ")
    assert (tmp_path / "Dockerfile").read_bytes() == after


def test_how_pipfallback_comes_in_is_told_once_for_each_stage_that_lacks_it(tmp_path: Path) -> None:
    text = (
        "FROM python:3.11 AS one\nRUN pip install sample-attn\nRUN pip install sample-attn\n"
        "FROM somebody/image\nRUN echo && \\\n  pip install sample-attn\n"
        "FROM ubuntu:20.04\nRUN python3.8 -m pip install sample-attn\n"
        "FROM one\nRUN pip install pipfallback\nRUN uv pip install --system sample-attn\n"
    )
    told = [line.removeprefix("pipfallback: ") for line in dockerfile(tmp_path, text, "--write").stderr.splitlines()]
    assert told == [
        "Dockerfile: lines 2, 3, 6, 8, 11 are pipfallback's now",
        "pipfallback must be there: put `RUN pip install pipfallback` before line 2",
        "unless pipfallback is there already, put `RUN pip install pipfallback` before line 5",
        "pipfallback itself needs Python 3.10 or newer: install it in an environment of its own (uv tool install pipfallback)",
    ]


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    before = b"FROM python:3.11\nRUN echo J\xfcrgen && X=\xfc pip install sample-attn '\xfc'\n"
    for words in ((), ("--json",), ("--write",)):
        done = dockerfile(tmp_path, before, *words)
        assert done.code == 0, done.said
    assert (tmp_path / "Dockerfile").read_bytes() == before.replace(b"pip install", b"pipfallback install")


def test_the_json_form_is_the_documented_one(tmp_path: Path) -> None:
    text = "FROM pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel AS final\nRUN pip install sample-attn>=1 $MORE\n"
    (line,) = document(dockerfile(tmp_path, text.replace(">=1", "==2.0"), "--json"))["lines"]
    request = line.pop("requests")
    environment = line.pop("environment")
    assert line == {
        "line": 2,
        "stage": "final",
        "image": "pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel",
        "installer": "pip",
        "command": "pip install sample-attn==2.0 $MORE",
        "works": True,
        "problem": None,
        "not_understood": ["$MORE is only known when it runs"],
        "rewritten": "pipfallback install sample-attn==2.0 $MORE",
        "stays_because": None,
        "hints": ["pipfallback must be there: put `RUN pip install pipfallback` before line 2"],
    }
    assert environment["python"]["version"] == "3.11"
    assert environment["torch"] == {"version": "2.7.1+cu126", "cuda": "12.6", "rocm": None, "cxx11_abi": None}
    (judged,) = request
    assert list(judged) == ["request", "file", "line", "verdict", "decision", "choice", "pythons", "notes"]
    assert (judged["request"], judged["verdict"]) == ("sample-attn==2.0", "fits")
    assert judged["choice"]["filename"] == "sample_attn-2.0+cu12torch2.7-cp311-cp311-linux_x86_64.whl"


def test_the_environment_of_a_line_is_one_that_plan_reads(tmp_path: Path) -> None:
    read = document(dockerfile(tmp_path, INCIDENT, "--json"))
    (tmp_path / "there.json").write_text(json.dumps(read["lines"][0]["environment"]))
    done = run_pipfallback(["explain", "--environment", tmp_path / "there.json", ASKED, "--json"])
    (decision,) = json.loads(done.stdout)["decisions"]
    assert decision["mismatches"] == read["lines"][0]["requests"][0]["decision"]["mismatches"]


def verdicts(done: Completed) -> list[tuple[str, list[str]]]:
    """The verdict on each line's one request, and the Pythons that it would fit for."""
    requests = [line["requests"] for line in document(done)["lines"]]
    return [(judged["verdict"], judged["pythons"]) for (judged,) in requests]


MEETINGS: list[tuple[str, str, tuple[str, list[str]]]] = [
    ("python:3.11", "pip install torch==2.7.1 sample-attn", ("fits", [])),
    ("python:3.11", "pip install torch==2.7.1 'sample-attn<2'", ("refused", [])),
    ("python:3.11", "pip install torch==2.6.0 sample-attn", ("refused", [])),
    ("python:3.11", "pip install --no-deps sample-attn", ("refused", [])),
    ("python:3.11", "pip install sample-attn", ("plausible", [])),
    ("python:3.12", "pip install torch==2.7.1 sample-attn", ("refused", [])),
    ("somebody/image", "pip install sample-attn", ("unknown", ["3.10", "3.11"])),
    ("somebody/image", "pip install torch==2.6.0 sample-attn", ("refused", [])),
    ("somebody/image", "python3.11 -m pip install sample-attn", ("plausible", [])),
    ("somebody/image", f"pip install {URL}", ("unknown", ["3.10"])),
    ("python:3.12", "pip install https://h.example/other-1-cp311-cp311-linux_x86_64.whl", ("refused", [])),
    ("python:3.11", "pip install https://h.example/other-1-py3-none-any.whl", ("fits", [])),
    ("python:3.12-alpine", "pip install https://h.example/o-1-cp312-cp312-manylinux_2_28_x86_64.whl", ("refused", [])),
    (
        "ubuntu:20.04",
        "python3.8 -m pip install https://h.example/o-1-cp38-cp38-manylinux_2_35_x86_64.whl",
        ("refused", []),
    ),
]


def test_what_a_line_will_meet(tmp_path: Path) -> None:
    text = "".join(f"FROM {image}\nRUN {command}\n" for image, command, _ in MEETINGS)
    found = verdicts(dockerfile(tmp_path, text, "--json"))
    assert [(case[:2], each) for case, each in zip(MEETINGS, found, strict=True)] == [
        (case[:2], case[2]) for case in MEETINGS
    ]


def test_the_platform_of_a_stage_counts_unless_the_command_line_says_another(tmp_path: Path) -> None:
    text = "FROM --platform=linux/arm64 python:3.11\nRUN pip install torch==2.7.1 sample-attn\n"
    assert verdicts(dockerfile(tmp_path, text, "--json")) == [("fits", [])]
    (tmp_path / "Dockerfile").write_text(text)
    command = ["dockerfile", "Dockerfile", "--fallbacks", "sample.toml", "--json"]
    assert verdicts(run_pipfallback(command, cwd=tmp_path)) == [("refused", [])]


def test_what_the_file_does_not_tell_can_be_said(tmp_path: Path) -> None:
    text = "FROM somebody/image\nRUN pip install sample-attn\n"
    known = ("--python-version", "3.11", "--torch", "2.7.1+cu126")
    assert verdicts(dockerfile(tmp_path, text, "--json", *known)) == [("fits", [])]
    text = "ARG BASE\nFROM $BASE\nRUN pip install torch==2.7.1 sample-attn\n"
    given = ("--build-arg", "BASE=python:3.11")
    assert verdicts(dockerfile(tmp_path, text, "--json", *given)) == [("fits", [])]


def test_lines_in_requirement_files_are_told_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\nsample-attn\n")
    text = "FROM pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel\nCOPY requirements.txt /r/\nRUN pip install -r /r/requirements.txt\n"
    done = dockerfile(tmp_path, text, "--write")
    assert "  fits: sample-attn (requirements.txt:2)" in done.stdout
    assert "RUN pipfallback install -r /r/requirements.txt" in (tmp_path / "Dockerfile").read_text()


def test_the_context_may_be_another_folder(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "requirements.txt").write_text("sample-attn\n")
    text = "FROM pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel\nCOPY . /r/\nRUN pip install -r /r/requirements.txt\n"
    done = dockerfile(tmp_path / "docker", text, "--context", "..")
    assert "  fits: sample-attn (requirements.txt:1)" in done.stdout, done.said
    assert "is not among the files of the build context" in dockerfile(tmp_path / "docker", text).stdout


def test_standard_input_is_read_and_never_written(tmp_path: Path, environ: dict[str, str]) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipfallback", "dockerfile", "-", *MACHINE, *words]
        return subprocess.run(
            command, input=INCIDENT, capture_output=True, text=True, check=False, cwd=tmp_path, env=environ
        )

    assert run("--check").returncode == 1
    assert "Dockerfile:4  pip install" in run().stdout
    written = run("--write")
    assert written.returncode == 2
    assert "--write needs a file" in written.stderr


def test_what_is_not_understood_is_told_and_left(tmp_path: Path) -> None:
    text = 'FROM python:3.11\nRUN pip install "sample-attn\n'
    done = dockerfile(tmp_path, text, "--write")
    assert (
        "Dockerfile:2\n  not understood: a quote or bracket in it is not closed; the line is left as it is"
        in "\n".join(line.rstrip() for line in done.stdout.splitlines())
    )
    assert (tmp_path / "Dockerfile").read_text() == text
    assert document(dockerfile(tmp_path, text, "--json"))["not_understood"] == [
        {"line": 2, "reason": "a quote or bracket in it is not closed"}
    ]


def test_no_password_of_a_url_is_printed(tmp_path: Path) -> None:
    url = URL.replace("https://", "https://user:secret@") + "?token=hidden"
    text = f"FROM pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel\nRUN pip install '{url}' --index-url https://a:secret@i.example\n"
    for words in ((), ("--json",), ("--write",)):
        done = dockerfile(tmp_path, text, *words)
        assert done.code == 0, done.said
        assert "secret" not in done.said
        assert "hidden" not in done.said
    assert "user:secret@" in (tmp_path / "Dockerfile").read_text()


def test_without_a_network_it_answers_and_says_what_could_not_be_asked(tmp_path: Path, environ: dict[str, str]) -> None:
    catalog = CATALOG.replace('kind = "url"\ncxx11_abi = true\n', 'kind = "github"\n').partition("url = [")[0]
    text = "FROM pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel\nRUN pip install sample-attn\n"
    env = {**environ, "HTTPS_PROXY": "http://127.0.0.1:9", "PIP_RETRIES": "0"}
    done = dockerfile(tmp_path, text, "--check", env=env, catalog=f'{catalog}url = "https://github.com/a/b"\n')
    assert done.code == 0, done.said
    assert "  not known: sample-attn" in done.stdout
    assert "cannot be reached" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "reference"),
    [
        (["dockerfile"], 2, "usage"),
        (["dockerfile", "Dockerfile", "--check", "--write"], 2, "usage"),
        (["dockerfile", "Dockerfile", "--context", "/no/such"], 2, "usage"),
        (["dockerfile", "/no/such"], 1, "unreadable-dockerfile"),
        (["dockerfile", "."], 1, "unreadable-dockerfile"),
        (["dockerfile", "README"], 1, "unreadable-dockerfile"),
        (["dockerfile", "Dockerfile", "--torch", "x"], 2, "invalid-environment"),
    ],
)
def test_a_mistake_of_the_user_is_one_error_of_ours(
    tmp_path: Path, words: list[str], code: int, reference: str
) -> None:
    (tmp_path / "Dockerfile").write_text(INCIDENT)
    (tmp_path / "README").write_text("Read me.\n")
    done = run_pipfallback([*words, "--json"], cwd=tmp_path)
    assert done.code == code, done.said
    assert json.loads(done.stdout)["error"]["reference"] == reference
    plain = run_pipfallback(words, cwd=tmp_path)
    assert plain.code == code
    assert plain.stderr.startswith("error: ")
    assert "Traceback" not in plain.said


def test_nothing_to_tell_is_said(tmp_path: Path) -> None:
    done = dockerfile(tmp_path, "FROM python:3.11\nRUN pip install numpy\n", "--check")
    assert (done.code, done.stdout.strip()) == (
        0,
        "Dockerfile: no line installs a managed package or a wheel by its URL",
    )


DOCS = Path(__file__).parent.parent / "docs" / "docker.md"
RECIPES = re.findall(
    r"^### (.*)\n(?:(?!^#).*\n)*?```dockerfile\n((?:.*\n)*?)```", DOCS.read_text("utf-8"), re.MULTILINE
)


def test_every_recipe_is_found() -> None:
    assert len(RECIPES) == DOCS.read_text("utf-8").count("```dockerfile")


@pytest.mark.parametrize(("title", "text"), RECIPES)
def test_a_recipe_of_the_documentation_is_read_and_works(tmp_path: Path, title: str, text: str) -> None:
    wheel = "flash_attn-2.8.3+cu12torch2.7cxx11abiTRUE-cp311-cp311-linux_x86_64.whl"
    (tmp_path / "pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "a test"\n[[packages]]\nname = "flash-attn"\nversion = "2.8.3+cu12torch2.7cxx11abitrue"\n'
        f'[[packages.wheels]]\nname = "{wheel}"\nurl = "{URL.replace(ASKED, wheel)}"\nhashes = {{ sha256 = "00" }}\n'
    )
    done = dockerfile(tmp_path, text, "--check", "--json")
    assert done.code == 0, done.said
    (line,) = document(done)["lines"]
    assert line["works"]
    assert line["not_understood"] == []
    assert [judged["verdict"] for judged in line["requests"]] == ["fits"], title
    assert line["rewritten"] is None, "a recipe has nothing left to change"


def test_the_example_of_the_documentation_is_what_is_printed(tmp_path: Path) -> None:
    shown = re.findall(
        r"^```text\n\$ pipfallback dockerfile Dockerfile\n(.*?)^```", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    text = f"FROM pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel\nRUN pip install {URL}\n"
    done = dockerfile(tmp_path, text)
    lines = [line.rstrip().replace(URL, f"https://github.com/…/{ASKED}") for line in done.stdout.splitlines()]
    assert lines == shown[0].splitlines()


def test_the_json_form_in_the_documentation_has_the_same_keys(tmp_path: Path) -> None:
    form = json.loads(re.findall(r"^```json\n(.*?)^```", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL)[0])
    read = document(dockerfile(tmp_path, INCIDENT, "--json"))
    assert list(form) == list(read)
    assert list(form["lines"][0]) == list(read["lines"][0])
    assert list(form["lines"][0]["requests"][0]) == list(read["lines"][0]["requests"][0])


def test_a_comment_between_the_lines_of_a_command_is_no_part_of_it(tmp_path: Path) -> None:
    text = f"{INCIDENT.splitlines()[0]}\nRUN pip install \\\n# why\n  # and more\n\n  {URL} \\\n  --no-deps\n"
    done = dockerfile(tmp_path, text)
    assert f"  --write: pipfallback install {URL} --no-deps\n" in done.stdout, done.said


@pytest.mark.parametrize("text", ["", "FOM x\n"])
def test_what_is_no_dockerfile_is_named(tmp_path: Path, text: str) -> None:
    done = dockerfile(tmp_path, text)
    assert done.code != 0
    assert "Dockerfile: it is no Dockerfile" in done.stderr
