"""The recipes of docs/docker.md, really built: with a small Debian in the place of their base images."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.catalogs import silenced
from lib.extensions import working_extension
from lib.images import Buildah
from lib.program import Completed, run_pipfallback
from lib.server import Server
from lib.venvs import MissingInterpreterError, find_interpreter
from lib.wheels import make_wheel, sha256

pytestmark = pytest.mark.docker

DOCS = Path(__file__).parent.parent.parent / "docs" / "docker.md"
MACHINE = platform.machine()
# Nothing but the loopback interface can be reached; what the recipes name comes from a folder.
OFFLINE = """\
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels UV_OFFLINE=1 UV_FIND_LINKS=/wheels UV_PYTHON_DOWNLOADS=never
ENV HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.1 PIPFALLBACK_FALLBACKS=/fallbacks.toml
COPY fallbacks.toml /
"""
FALLBACKS = """\
schema = 1
[package.flash-attn]
import = ["flash_attn", "flash_attn_2_cuda"]
needs = ["torch"]
[[package.flash-attn.source]]
name = "Dao-AILab"
trust = "vendor"
kind = "url"
cxx11_abi = "as-labelled"
url = {urls}
"""


def recipe(title: str) -> str:
    """The Dockerfile below the heading of docs/docker.md that begins so."""
    text = DOCS.read_text(encoding="utf-8")
    found = re.search(rf"^### {re.escape(title)}.*?^```dockerfile\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def on_debian(dockerfile: str) -> str:
    """With the small Debian in the place of its base images; what apt-get and other indexes would bring is there."""
    dockerfile = re.sub(r" --extra-index-url \S+", "", dockerfile)
    without_apt = re.sub(r"^RUN apt-get(.*\\\n)*.*\n", "", dockerfile, flags=re.MULTILINE)
    return re.sub(r"^FROM \S+(.*)$", rf"FROM localhost/base\1\n{OFFLINE}", without_apt, flags=re.MULTILINE)


@pytest.fixture
def context(tmp_path: Path, server: Server) -> Path:
    """A build context whose fallbacks.toml names a build that imports, behind one for another Python."""
    folder = tmp_path / "context"
    folder.mkdir()
    urls = [f"{server.url_of(each)}#sha256={sha256(each)}" for each in wheels(server)]
    (folder / "fallbacks.toml").write_text(
        FALLBACKS.format(urls=json.dumps(urls)) + silenced("flash-attn", server.url, but=("Dao-AILab",))
    )
    return folder


def wheels(server: Server) -> Iterator[Path]:
    files = {"flash_attn/__init__.py": "import flash_attn_2_cuda\nBUILD = 'the one that works'\n", **extension()}
    for version in ("2.8.3", "2.7.4.post1"):
        for python in ("cp310", "cp311"):
            label = f"{version}+cu126torch2.7cxx11abiTRUE"
            tag = f"{python}-{python}-linux_{MACHINE}"
            yield make_wheel(server.folder, version=version, filename_version=label, tag=tag, files=files)


def extension() -> dict[str, bytes | str]:
    try:
        return dict(working_extension(python=find_interpreter("3.11")))
    except MissingInterpreterError:
        return dict(working_extension(compiled=False))


def build(buildah: Buildah, context: Path, title: str) -> Completed:
    (context / "Dockerfile").write_text(on_debian(recipe(title)))
    return buildah.build(context, "app")


def imported(buildah: Buildah, python: str = "python") -> str:
    code = "import flash_attn, importlib.metadata as m; print(flash_attn.BUILD, m.version('flash-attn'), m.version('torch'))"
    done = buildah.run("app", python, "-c", code)
    assert done.code == 0, done.said
    return done.stdout.strip()


def fetched(server: Server) -> list[str]:
    """The wheels that were downloaded."""
    return [
        one.path for one in server.requests if one.method == "GET" and one.path.endswith(".whl") and one.status < 300
    ]


WORKS = "the one that works 2.8.3 2.7.1+cu126"


def test_on_an_image_with_torch_as_write_makes_it(buildah: Buildah, context: Path) -> None:
    wanted = recipe("pytorch/pytorch")
    (context / "Dockerfile").write_text(wanted.replace("RUN pipfallback", "RUN pip"))
    done = run_pipfallback(["dockerfile", "Dockerfile", "--write", "--platform", f"linux_{MACHINE}"], cwd=context)
    assert done.code == 0, done.said
    assert (context / "Dockerfile").read_text() == wanted
    built = build(buildah, context, "pytorch/pytorch")
    assert built.code == 0, built.said
    assert imported(buildah) == WORKS


def test_with_a_cache_mount_the_second_build_downloads_nothing(buildah: Buildah, context: Path, server: Server) -> None:
    assert build(buildah, context, "python:3.x-slim").code == 0
    first = fetched(server)
    assert first
    done = build(buildah, context, "python:3.x-slim")
    assert done.code == 0, done.said
    assert fetched(server) == first
    assert imported(buildah) == WORKS
    assert buildah.run("app", "ls", "-A", "/root/.cache").stdout == "", "the cache is in the image"


def test_as_a_user_who_is_not_root(buildah: Buildah, context: Path) -> None:
    done = build(buildah, context, "nvidia/cuda")
    assert done.code == 0, done.said
    assert imported(buildah) == WORKS
    assert buildah.run("app", "id", "-un").stdout == "app\n"
    foreign = buildah.run("app", "find", "/home/app", "-not", "-user", "app")
    assert foreign.stdout == "", foreign.said


def test_for_a_gpu_that_is_declared(buildah: Buildah, context: Path) -> None:
    done = build(buildah, context, "RunPod")
    assert done.code == 0, done.said
    assert imported(buildah) == "the one that works 2.7.4.post1 2.7.1+cu126"


def test_in_several_stages_pipfallback_stays_behind(buildah: Buildah, context: Path) -> None:
    done = build(buildah, context, "Multi-stage")
    assert done.code == 0, done.said
    assert imported(buildah, "/opt/app/bin/python") == WORKS
    assert buildah.run("app", "/opt/app/bin/python", "-c", "import pipfallback").code == 1


def test_with_uv(buildah: Buildah, context: Path) -> None:
    done = build(buildah, context, "uv")
    assert done.code == 0, done.said
    assert imported(buildah) == WORKS


def test_pinned_by_a_lock_that_pip_installs_alone(buildah: Buildah, context: Path, server: Server) -> None:
    locking = f"FROM localhost/base AS lock\n{OFFLINE}RUN pipfallback lock flash-attn==2.8.3 -o /pylock.toml\n"
    pinned = on_debian(recipe("Pinned by a lock")).replace("COPY pylock.toml", "COPY --from=lock /pylock.toml")
    without = "RUN pip uninstall --yes pipfallback\nCOPY --from=lock"
    (context / "Dockerfile").write_text(locking + pinned.replace("COPY --from=lock", without))
    done = buildah.build(context, "app")
    assert done.code == 0, done.said
    assert imported(buildah) == WORKS
    assert server.requests
