"""Which Python and torch each install line of a Dockerfile meets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipfallback.dockerfile.installs import Install
from pipfallback.dockerfile.programs import Runs
from pipfallback.dockerfile.reader import read
from pipfallback.dockerfile.rewriting import apply, rewrite_of
from pipfallback.dockerfile.stages import Platforms, Stages


def runs_of(text: str, context: Path | None = None, arguments: Mapping[str, str] | None = None) -> Runs:
    platforms = Platforms(build="linux/amd64", target="linux/amd64", arguments=arguments or {})
    runs = Runs(line_of=lambda position: text.count("\n", 0, position) + 1, context=context)
    for stage, instruction in Stages(read(text), platforms):
        runs.follow(stage, instruction)
    return runs


def installs_of(text: str, context: Path | None = None, arguments: Mapping[str, str] | None = None) -> list[Install]:
    runs = runs_of(text, context, arguments)
    assert runs.unread == []
    return runs.installs


def last(text: str, context: Path | None = None, arguments: Mapping[str, str] | None = None) -> Install:
    return installs_of(text, context, arguments)[-1]


def met(install: Install) -> tuple[str | None, str | None]:
    """Python, and torch with its CUDA: "none" where none is there, None where that is not known."""
    interpreter = install.interpreter
    if not interpreter.torch_known:
        return interpreter.python, None
    torch = interpreter.torch
    if torch is None:
        return interpreter.python, "none"
    cuda = f" {torch.cuda}" if torch.cuda else " cpu" if torch.cpu else ""
    return interpreter.python, f"{torch.version}{cuda}"


PYTORCH = "FROM pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel\n"
CUDA = "FROM nvidia/cuda:12.4.1-devel-ubuntu22.04\n"
SLIM = "FROM python:3.12-slim\n"
X = "x --no-deps"  # what is asked for brings nothing else


@pytest.mark.parametrize(
    ("text", "python", "torch"),
    [
        (f"{PYTORCH}RUN pip install x", "3.11", "2.7.1+cu126 12.6"),
        (f"{PYTORCH}RUN /opt/conda/bin/python -m pip install x", "3.11", "2.7.1+cu126 12.6"),
        (f"{PYTORCH}RUN python3.11 -m pip install x", "3.11", "2.7.1+cu126 12.6"),
        (f"{PYTORCH}RUN python3.10 -m pip install x", "3.10", None),
        (f"{PYTORCH}RUN /somewhere/bin/pip install x", None, None),
        (f"{PYTORCH}RUN pip uninstall -y torch && pip install {X}", "3.11", "none"),
        (f"{PYTORCH}RUN pip install 'torch>=2' x", "3.11", "2.7.1+cu126 12.6"),
        (f"{PYTORCH}RUN pip install -U 'torch>=2' x", "3.11", None),
        (f"{PYTORCH}RUN pip install torch==2.8.0 x", "3.11", "2.8.0 12.8"),
        (f"{PYTORCH}RUN pip install 'torch<2.5' x", "3.11", None),
        (f"{SLIM}RUN pip install {X}", "3.12", "none"),
        (f"{SLIM}RUN pip install setuptools wheel\nRUN pip install {X}", "3.12", "none"),
        (f"{SLIM}RUN pip install transformers\nRUN pip install {X}", "3.12", None),
        (f"{SLIM}RUN pip install torch\nRUN pip install {X}", "3.12", None),
        (f"{SLIM}RUN pip install torch==2.6.0\nRUN pip install x", "3.12", "2.6.0 12.4"),
        (
            f"{SLIM}RUN pip install torch==2.6.0 --index-url https://download.pytorch.org/whl/cu126\nRUN pip install x",
            "3.12",
            "2.6.0+cu126 12.6",
        ),
        (
            f"{SLIM}RUN pip install torch==2.6.0 --index-url https://download.pytorch.org/whl/cpu",
            "3.12",
            "2.6.0+cpu cpu",
        ),
        (f"{SLIM}RUN pip install torch==2.6.0 --index-url https://mirror.example/simple", "3.12", "2.6.0"),
        (
            f"{SLIM}ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cu118\nRUN pip install torch==2.6.0",
            "3.12",
            "2.6.0+cu118 11.8",
        ),
        (f"{SLIM}RUN uv pip install --system torch==2.6.0 --torch-backend=cu118", "3.12", "2.6.0+cu118 11.8"),
        (
            f"{SLIM}RUN pip install https://h.example/torch-2.6.0%2Bcu126-cp312-cp312-linux_x86_64.whl",
            "3.12",
            "2.6.0+cu126 12.6",
        ),
        (f"{SLIM}ARG V=2.6.0\nRUN pip install torch==${{V}}", "3.12", "2.6.0 12.4"),
        (f"ARG V=2.6.0\n{SLIM}ARG V\nRUN pip install torch==$V", "3.12", "2.6.0 12.4"),
        (f"{SLIM}RUN V=2.6.0; pip install torch==$V", "3.12", "2.6.0 12.4"),
        (f"{SLIM}ENV V=2.6.0\nARG V=2.7.1\nRUN pip install torch==$V", "3.12", "2.6.0 12.4"),
        (f"{CUDA}RUN apt-get update && apt-get install -y python3-pip\nRUN pip3 install {X}", "3.10", "none"),
        (f"{CUDA}RUN pip install {X}", None, "none"),
        (f"{CUDA}RUN apt-get install -y python3.11 && python3.11 -m pip install {X}", "3.11", "none"),
        (
            f"{CUDA}RUN apt-get install -y python3 python3.11\nRUN ln -sf python3.11 /usr/bin/python3\nRUN pip install {X}",
            None,
            "none",
        ),
        (f"{PYTORCH}RUN python -m venv /opt/venv && /opt/venv/bin/pip install {X}", "3.11", "none"),
        (f"{PYTORCH}RUN python -m venv --system-site-packages /v && /v/bin/pip install x", "3.11", "2.7.1+cu126 12.6"),
        (f"{PYTORCH}RUN python -m venv /v\nENV PATH=/v/bin:$PATH\nRUN pip install {X}", "3.11", "none"),
        (f"{PYTORCH}WORKDIR /app\nRUN python -m venv v && . v/bin/activate && pip install {X}", "3.11", "none"),
        (f"{PYTORCH}RUN python -m venv /v && . /v/bin/activate\nRUN pip install x", "3.11", "2.7.1+cu126 12.6"),
        (f"{PYTORCH}RUN uv venv --python 3.12 /v\nENV VIRTUAL_ENV=/v\nRUN uv pip install {X}", "3.12", "none"),
        (f"{PYTORCH}WORKDIR /w\nRUN uv venv -p 3.12 && uv pip install {X}", "3.12", "none"),
        (f"{PYTORCH}RUN virtualenv -p python3.9 /v && /v/bin/python -m pip install {X}", "3.9", "none"),
        (f"{PYTORCH}RUN conda create -y -n e python=3.10 && conda run -n e pip install {X}", "3.10", "none"),
        (
            f'{PYTORCH}RUN conda create -n e python=3.10\nSHELL ["conda", "run", "-n", "e", "/bin/bash", "-c"]\nRUN pip install {X}',
            "3.10",
            "none",
        ),
        (f"{PYTORCH}RUN conda install -y pytorch=2.3.0 && pip install x", "3.11", "2.3.0"),
        (f"{PYTORCH}RUN pipfallback install --python python3.10 x", "3.10", None),
        (f"{PYTORCH}RUN pipfallback install x", "3.11", "2.7.1+cu126 12.6"),
        ("FROM a/b:1\nRUN pip install x", None, None),
        (f"{PYTORCH}RUN poetry run pip install x", None, None),
        ("FROM --platform=linux/arm64 python:3.12\nRUN pip install torch==2.7.1", "3.12", "2.7.1 cpu"),
        ("FROM --platform=$TARGETPLATFORM python:3.12\nRUN pip install torch==2.7.1", "3.12", "2.7.1 12.6"),
    ],
)
def test_python_and_torch_at_a_line(text: str, python: str | None, torch: str | None) -> None:
    assert met(last(text)) == (python, torch)


def test_a_stage_has_what_the_stage_has_that_it_is_built_on() -> None:
    text = (
        f"{CUDA.strip()} AS base\nENV VERSION=2.6.0\nRUN apt-get install -y python3-pip\n"
        "FROM base AS one\nRUN pip install torch==$VERSION\n"
        "FROM base\nRUN pip install x --no-deps\nFROM 1\nRUN pip install y\n"
    )
    first, second, third = installs_of(text)
    assert met(first) == ("3.10", "2.6.0 12.4")
    assert met(second) == ("3.10", "none")
    assert met(third) == ("3.10", "2.6.0 12.4")
    assert [each.place.stage for each in (first, second, third)] == ["one", "2", "3"]
    assert third.place.image == "nvidia/cuda:12.4.1-devel-ubuntu22.04"


def test_an_environment_that_is_copied_from_a_stage_comes_with_its_torch() -> None:
    text = (
        "FROM python:3.12 AS build\nRUN python -m venv /opt/venv && /opt/venv/bin/pip install torch==2.6.0 pipfallback\n"
        "FROM python:3.12-slim\nCOPY --from=build /opt/venv /venv\nRUN /venv/bin/pip install x\n"
    )
    install = last(text)
    assert met(install) == ("3.12", "2.6.0 12.4")
    assert install.has_pipfallback is None


def test_build_arguments_come_before_their_defaults() -> None:
    text = "ARG BASE=python:3.12\nFROM ${BASE}-slim\nARG V=1\nRUN pip install torch==$V\n"
    assert met(last(text, arguments={"BASE": "python:3.11", "V": "2.6.0"})) == ("3.11", "2.6.0 12.4")


@pytest.mark.parametrize(
    "command",
    [
        "pip install flash-attn",
        'PIP_NO_CACHE_DIR=1 A="b c" pip3 install flash-attn',
        "sudo -H -u root pip install flash-attn",
        "env -u X A=b pip install flash-attn",
        "timeout -k 5 600 pip install flash-attn",
        "nice -n 10 python3 -m pip install flash-attn",
        "pip --no-cache-dir -q install -U flash-attn",
        "pip install --no-cache-dir --index-url https://i.example/simple flash-attn",
        "uv pip install --system --index-strategy unsafe-best-match flash-attn",
        "python3 -m uv pip install flash-attn",
        "poetry run pip install flash-attn",
        "uv run --with x python -m pip install flash-attn",
        "set -ex; apt-get update && (cd /tmp && pip install flash-attn) | tee log",
        "if ! pip install flash-attn; then exit 1; fi",
        "sh -c 'pip install flash-attn'",
        'bash -euo pipefail -c "cd /x && pip install flash-attn"',
        '["pip", "install", "flash-attn"]',
        '["/bin/bash", "-c", "pip install flash-attn"]',
        "P=flash-attn && pip install $P",
        "yes | pip install \\\n  # comment\n  flash-attn",
        "<<EOF\nset -e\npip install flash-attn\nEOF",
        "<<EOF\n#!/usr/bin/env bash\npip install flash-attn\nEOF",
        "bash -ex <<EOF\npip install flash-attn\nEOF",
        "--mount=type=cache,target=/root/.cache pip install flash-attn",
    ],
)
def test_an_install_line_is_found_however_it_is_written(command: str) -> None:
    (install,) = installs_of(f"FROM python:3.12\nRUN {command}\n")
    assert [each.text for each in install.requirements] == ["flash-attn"]
    assert install.unread == ()


@pytest.mark.parametrize(
    "command",
    [
        "echo pip install flash-attn",
        "echo 'pip install flash-attn'",
        "# pip install flash-attn\nRUN true",
        "pip download flash-attn",
        "python3 <<EOF\npip install flash-attn\nEOF",
        "<<EOF\n#!/usr/bin/python3\npip install flash-attn\nEOF",
        "cat <<EOF >/x\npip install flash-attn\nEOF",
        "true # pip install flash-attn",
    ],
)
def test_what_is_no_install_line_is_none(command: str) -> None:
    assert installs_of(f"FROM python:3.12\nRUN {command}\n") == []


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("pip install $PACKAGES", "$PACKAGES"),
        ("pip install flash-attn==$(cat version)", "flash-attn==$(cat version)"),
        ("pip install /wheels/*.whl", "/wheels/*.whl"),
        ("pip install -r $FILE", "$FILE"),
        ("pip install -r https://h.example/r.txt", "https://h.example/r.txt"),
        ("pip install -r requirements.txt", "/requirements.txt"),
        ("cat r.txt | xargs pip install", "xargs"),
        ("for x in a b; do pip install $x; done", "$x"),
        ("uv pip install --system $PACKAGES", "$PACKAGES"),
    ],
)
def test_what_only_running_it_tells_is_said(command: str, what: str) -> None:
    install = last(f"FROM python:3.12\nRUN {command}\n")
    assert what in " ".join(install.unread)


@pytest.mark.parametrize(
    "text",
    [
        'FROM a\nRUN pip install "flash-attn\n',
        'FROM a\nSHELL ["powershell", "-Command"]\nRUN pip install flash-attn\n',
        'FROM a\nRUN bash -c "$(cat x) pip install flash-attn"\n',
        "FROM a\nRUN $VENV/bin/pip install flash-attn\n",
    ],
)
def test_a_line_that_is_not_understood_is_told_with_its_place(text: str) -> None:
    runs = runs_of(text)
    assert runs.installs == []
    assert [line for line, _ in runs.unread] == [text.count("\n")]


def asked(install: Install) -> list[tuple[str, str | None, int | None]]:
    return [(each.text, each.file, each.line) for each in install.requirements]


@pytest.mark.parametrize(
    ("copy", "install"),
    [
        ("COPY requirements/base.txt .", "pip install -r base.txt"),
        ("COPY requirements/base.txt /tmp/r.txt", "pip install -r /tmp/r.txt"),
        ("COPY requirements/base.txt /tmp/", "pip install -r /tmp/base.txt"),
        ("COPY requirements /srv", "cd /srv && pip install -rbase.txt"),
        ("ADD --chown=1:1 . /srv/", "pip install --requirement=/srv/requirements/base.txt"),
        ("COPY requirements/*.txt /srv/", "pip install -r /srv/base.txt"),
        ('COPY ["requirements/base.txt", "/srv/"]', "pip install -r /srv/base.txt"),
        ("ARG F=base.txt\nCOPY requirements/$F ./", "uv pip install --system -r ${F}"),
        ("RUN true", "--mount=type=bind,source=requirements,target=/r pip install -r /r/base.txt"),
        ("RUN true", "--mount=type=bind,target=. pip install -r requirements/base.txt"),
    ],
)
def test_requirement_files_are_found_in_the_build_context(tmp_path: Path, copy: str, install: str) -> None:
    folder = tmp_path / "requirements"
    folder.mkdir()
    (folder / "base.txt").write_text("# first\nflash-attn==2.8.3 \\\n  --hash=sha256:00\nnumpy # x\n")
    found = last(f"FROM python:3.12\nWORKDIR /app\n{copy}\nRUN {install}\n", tmp_path)
    name = "requirements/base.txt"
    assert asked(found) == [("flash-attn==2.8.3", name, 2), ("numpy", name, 4)]
    assert found.unread == ()


def test_a_requirement_file_in_the_dockerfile_itself_and_files_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("--extra-index-url https://download.pytorch.org/whl/cu118\ntorch==2.6.0\n")
    text = "FROM python:3.12\nCOPY <<EOF /r/all.txt\n-r more.txt\nflash-attn\nEOF\nCOPY more.txt /r/\nRUN pip install -r /r/all.txt\n"
    install = last(text, tmp_path)
    assert asked(install) == [("torch==2.6.0", "more.txt", 2), ("flash-attn", "the Dockerfile", 2)]
    assert met(install) == ("3.12", "2.6.0+cu118 11.8")


def test_nothing_outside_the_build_context_is_read(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (tmp_path / "secret.txt").write_text("flash-attn\n")
    (context / "link.txt").symlink_to(tmp_path / "secret.txt")
    text = "FROM python:3.12\nCOPY ../secret.txt link.txt /r/\nRUN pip install -r /r/secret.txt -r /r/link.txt\n"
    install = last(text, context)
    assert install.requirements == ()
    assert len(install.unread) == 2


@pytest.mark.parametrize(
    ("text", "there"),
    [
        (f"{PYTORCH}RUN pip install x\n", False),
        ("FROM a/b:1\nRUN pip install x\n", None),
        (f"{PYTORCH}RUN pip install pipfallback==1.0\nRUN pip install x\n", True),
        (f"{PYTORCH}RUN uv tool install pipfallback && pip install x\n", True),
        (f"{PYTORCH}RUN pip install --find-links /w ./pipfallback-0.1-py3-none-any.whl && pip install x\n", True),
        (f"{PYTORCH}COPY . /src\nRUN pip install /src && pip install x\n", None),
        (f"{PYTORCH.strip()} AS b\nRUN pip install pipfallback\nFROM b\nRUN pip install x\n", True),
    ],
)
def test_whether_pipfallback_is_there(text: str, there: bool | None) -> None:
    assert last(text).has_pipfallback is there


PARTS = [
    *(
        "pip",
        "install",
        "flash-attn",
        "python3.10",
        "-m",
        "uv",
        "pip3",
        "sudo",
        "conda",
        "run",
        "-n",
        "sh",
        "-c",
        "bash",
    ),
    *(
        "&&",
        ";",
        "||",
        "|",
        "(",
        ")",
        "{",
        "}",
        "'",
        '"',
        "`",
        "$",
        "${",
        "}",
        "$(",
        ")",
        "\\",
        "\\\n",
        "\n",
        "#",
        "<<EOF",
    ),
    *(
        "EOF",
        "<",
        ">",
        "2>&1",
        "=",
        "A=b",
        "-r",
        "x.txt",
        "[",
        "]",
        '["pip"',
        ",",
        "é",
        "\t",
        "--",
        "-",
        "venv",
        "export",
    ),
    *(
        "env",
        "xargs",
        "timeout",
        "apt-get",
        "install",
        "create",
        "-p",
        "uninstall",
        "torch==2.7.1",
        ".",
        "v/bin/activate",
    ),
]


@given(some.lists(some.sampled_from(PARTS), max_size=14), some.sampled_from(["", " "]))
def test_no_text_whatever_breaks_the_reader(parts: list[str], separator: str) -> None:
    text = f"FROM python:3.12\nRUN {separator.join(parts)}\nENV {separator.join(parts)}\nCOPY {separator.join(parts)}\n"
    runs = runs_of(text, Path("/no/such/folder"))
    for install in runs.installs:
        rewrite = rewrite_of(install, text)
        changed = apply(text, rewrite.edits)
        assert ("pipfallback" in changed) == bool(rewrite.edits)
