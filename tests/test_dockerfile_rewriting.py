"""Install lines become pipfallback's, and nothing else in the file changes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pipfallback.dockerfile.programs import Runs
from pipfallback.dockerfile.reader import DockerfileError, read
from pipfallback.dockerfile.rewriting import apply, rewrite_of, write
from pipfallback.dockerfile.stages import Platforms, Stages


def rewritten(run: str) -> str:
    """A RUN as it is when each of its install lines is rewritten."""
    text = f"FROM python:3.12\n{run}\n"
    runs = Runs(line_of=lambda _: 1, context=None)
    for stage, instruction in Stages(read(text), Platforms(build="linux/amd64", target="linux/amd64")):
        runs.follow(stage, instruction)
    rewrites = [rewrite_of(install, text) for install in runs.installs]
    assert rewrites
    reasons = [rewrite.reason for rewrite in rewrites if rewrite.reason is not None]
    if reasons:
        assert not any(rewrite.edits for rewrite in rewrites)
        return f"stays: {reasons[0]}"
    new = apply(text, [edit for rewrite in rewrites for edit in rewrite.edits])
    assert new.startswith("FROM python:3.12\n")
    return new.removeprefix("FROM python:3.12\n").removesuffix("\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RUN pip install x", "RUN pipfallback install x"),
        ("RUN pip3 install x", "RUN pipfallback install x"),
        ("run   pip   install\tx  # y", "run   pipfallback   install\tx  # y"),
        ("RUN pip --no-cache-dir -q install -U x", "RUN pipfallback --no-cache-dir -q install -U x"),
        ("RUN pip3.10 install x", "RUN pipfallback install --python python3.10 x"),
        ("RUN python3.10 -m pip install x", "RUN pipfallback install --python python3.10 x"),
        ("RUN python -m pip --isolated install x", "RUN pipfallback --isolated install --python python x"),
        ("RUN /opt/venv/bin/pip install x", "RUN pipfallback install --python /opt/venv/bin/python x"),
        (
            'RUN export V=/v; "$V/bin/pip3.9" install x',
            'RUN export V=/v; pipfallback install --python "$V/bin/python3.9" x',
        ),
        (
            "RUN A=b sudo -H pip install x && pip install y",
            "RUN A=b sudo -H pipfallback install x && pipfallback install y",
        ),
        ("RUN pip \\\n  # why\n  install \\\n  x", "RUN pipfallback \\\n  # why\n  install \\\n  x"),
        ("RUN bash -c 'pip install \"x>=1\"'", "RUN bash -c 'pipfallback install \"x>=1\"'"),
        ('RUN sh -c "python3 -m pip install \\"x\\""', 'RUN sh -c "pipfallback install --python python3 \\"x\\""'),
        ("RUN conda run -n e pip install x", "RUN conda run -n e pipfallback install x"),
        ("RUN <<EOF\npip install x\nEOF", "RUN <<EOF\npipfallback install x\nEOF"),
        ('RUN ["pip", "install", "x"]', 'RUN ["pipfallback", "install", "x"]'),
        (
            'RUN [ "python3.10" , "-m", "pip", "install", "x" ]',
            'RUN [ "pipfallback", "install", "--python", "python3.10", "x" ]',
        ),
        ('RUN ["sh", "-c", "pip install x"]', 'RUN ["sh", "-c", "pipfallback install x"]'),
        ("RUN uv pip install x", "RUN pipfallback install --installer uv x"),
        ("RUN python -m uv pip install x", "RUN pipfallback install --installer uv x"),
        ("RUN uv pip install --system x", "RUN pipfallback install --installer uv --python=python3 x"),
        (
            "RUN uv pip install --no-cache -p 3.11 -U -r r.txt --reinstall",
            "RUN pipfallback install --installer uv --no-cache-dir --python python3.11 -U -r r.txt --force-reinstall",
        ),
        (
            "RUN uv pip install --default-index=https://i.example/s --extra-index-url https://e.example x",
            "RUN pipfallback install --installer uv --index-url https://i.example/s --extra-index-url https://e.example x",
        ),
        (
            'RUN ["uv", "pip", "install", "--system", "x"]',
            'RUN ["pipfallback", "install", "--installer", "uv", "--python=python3", "x"]',
        ),
    ],
)
def test_only_the_words_that_name_the_installer_change(before: str, after: str) -> None:
    assert rewritten(before) == after


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ("RUN python -I -m pip install x", "options to Python itself"),
        ("RUN python3 -m \\\n pip install x", "on several lines"),
        ("RUN uv pip install --torch-backend cu126 x", "--torch-backend has no counterpart in pip"),
        ("RUN uv pip install --index https://i.example x", "--index has no counterpart in pip"),
        ("RUN P=pip; $P install x", "$P does not tell which Python it is for"),
        ("RUN P='pip install x'; sh -c \"$P\"", "do not stand in the file as they are run"),
        ('RUN p"i"p install x', "does not tell which Python"),
    ],
)
def test_what_cannot_be_changed_safely_stays_for_a_reason(run: str, why: str) -> None:
    assert why in rewritten(run)


def test_a_file_is_written_through_its_link_with_its_mode(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "Dockerfile"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to("real")
    write(link, b"new\r\n")
    assert link.is_symlink()
    assert real.read_bytes() == b"new\r\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == ["Dockerfile", "real"]


def test_a_file_that_cannot_be_written_is_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(DockerfileError, match="cannot be written"):
        write(tmp_path / "none" / "Dockerfile", b"new")
    with pytest.raises(DockerfileError, match="cannot be written"):
        write(tmp_path, b"new")
    assert list(tmp_path.iterdir()) == []
