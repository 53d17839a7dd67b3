"""A Dockerfile whose ``RUN pip install <wheel URL>`` became ``RUN pipfallback install <wheel URL>``, really built."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import pytest

from lib.extensions import broken_extension, working_extension
from lib.images import Buildah, debian_root, wheelhouse
from lib.packages import build_own_wheel
from lib.program import Completed
from lib.server import Server
from lib.torch import make_torch
from lib.venvs import MissingInterpreterError, find_interpreter
from lib.wheels import make_wheel, sha256

pytestmark = pytest.mark.docker

NATIVE = f"cp311-cp311-linux_{platform.machine()}"  # Debian bookworm's Python is 3.11
ASKED = f"flash_attn-2.8.3+cu12torch2.7cxx11abiFALSE-cp310-cp310-linux_{platform.machine()}.whl"

# A small image in the place of pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel: a Python that is not 3.10, and its torch.
BASE = """\
FROM scratch
ADD root.tar /
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:/usr/bin:/bin
COPY wheels /wheels
RUN pip install --no-index --find-links /wheels pipfallback torch
"""

# The Dockerfile of the incident, but for the installer's name. Nothing but the loopback interface can be reached.
DOCKERFILE = """\
FROM localhost/base
ARG WHEELS
ENV HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.1
WORKDIR /app
COPY fallbacks.toml .
RUN {installer} install ${{WHEELS}}/{asked}
"""

# The sources of the incident are those of the built-in catalog: these stand in their place.
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
url = {first}

[[package.flash-attn.source]]
name = "ByteDance-Seed"
trust = "vendor"
kind = "url"
cxx11_abi = "as-labelled"
url = {second}
"""


@pytest.fixture(scope="module")
def buildah() -> Iterator[Buildah]:
    """With the image localhost/base. Nothing of the images, over a gigabyte, is left afterwards."""
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    assert not missing, f"not installed: {', '.join(missing)} (.ci/run installs them)"
    with tempfile.TemporaryDirectory(prefix="pipfallback-images-") as folder:
        buildah = Buildah(Path(folder, "buildah"))
        try:
            made = buildah.build(base_context(Path(folder, "base")), "base")
            assert made.code == 0, made.said
            yield buildah
        finally:
            buildah.remove()


def base_context(folder: Path) -> Path:
    folder.mkdir()
    wheel = build_own_wheel(folder / "dist")
    shutil.copytree(wheelhouse(wheel), folder / "wheels")
    shutil.copy(wheel, folder / "wheels")
    make_torch(folder / "wheels", "2.7.1+cu126")
    shutil.copy(debian_root(), folder / "root.tar")
    (folder / "Dockerfile").write_text(BASE)
    return folder


@pytest.fixture
def asked(server: Server) -> Path:
    """The wheel of the incident: for Python 3.10."""
    return make_wheel(
        server.folder, filename_version=ASKED.split("-")[1], tag=ASKED.removesuffix(".whl").split("-", 2)[2]
    )


@pytest.fixture
def broken(server: Server) -> Path:
    """It installs, but was built for another torch."""
    files = {"flash_attn/__init__.py": "import flash_attn_2_cuda\n", **broken_extension(**for_debian())}
    return make_wheel(server.folder, filename_version="2.8.3+cu12torch2.7cxx11abiTRUE", tag=NATIVE, files=files)


@pytest.fixture
def working(server: Server) -> Path:
    source = "import flash_attn_2_cuda\nBUILD = 'the one that works'\n"
    files = {"flash_attn/__init__.py": source, **working_extension(**for_debian())}
    return make_wheel(server.folder, filename_version="2.8.3+cu126torch2.7cxx11abiTRUE", tag=NATIVE, files=files)


class _Target(TypedDict, total=False):
    python: Path
    compiled: bool


def for_debian() -> _Target:
    """How to make an extension that Debian's Python loads: compiled by a Python 3.11, if one is here."""
    try:
        return {"python": find_interpreter("3.11")}
    except MissingInterpreterError:
        return {"compiled": False}


def build(buildah: Buildah, server: Server, folder: Path, installer: str, *fallbacks: Path) -> Completed:
    """Build the Dockerfile; ``fallbacks`` are the wheels that its fallbacks.toml offers, in this order."""
    context = folder / "context"
    context.mkdir()
    first, second = [f'"{server.url_of(wheel)}"' for wheel in fallbacks]
    (context / "Dockerfile").write_text(DOCKERFILE.format(installer=installer, asked=ASKED))
    (context / "fallbacks.toml").write_text(FALLBACKS.format(first=first, second=second))
    return buildah.build(context, "app", {"WHEELS": server.url})


@pytest.mark.usefixtures("asked")
def test_pip_ends_the_build_at_the_wheel_for_another_python(
    buildah: Buildah, server: Server, tmp_path: Path, broken: Path
) -> None:
    done = build(buildah, server, tmp_path, "pip", broken, broken)
    assert done.code != 0
    assert f"{ASKED} is not a supported wheel on this platform" in done.said


@pytest.mark.usefixtures("asked")
def test_pipfallback_ends_it_with_a_package_that_imports(
    buildah: Buildah, server: Server, tmp_path: Path, broken: Path, working: Path
) -> None:
    done = build(buildah, server, tmp_path, "pipfallback", broken, working)
    assert done.code == 0, done.said
    assert server.requests_of(f"/{broken.name}", method="GET"), "the first choice was never tried"
    code = "import flash_attn, importlib.metadata as m; print(flash_attn.BUILD, m.version('torch'))"
    assert buildah.run("app", "python", "-c", code).stdout == "the one that works 2.7.1+cu126\n"
    frozen = buildah.run("app", "pip", "freeze").stdout
    assert f"flash-attn @ {server.url_of(working)}#sha256={sha256(working)}" in frozen.replace(
        "flash_attn", "flash-attn", 1
    )


@pytest.mark.usefixtures("asked")
def test_pipfallback_ends_the_build_where_nothing_works(
    buildah: Buildah, server: Server, tmp_path: Path, broken: Path
) -> None:
    gone = broken.with_name(broken.name.replace("cu12torch", "cu126torch"))
    done = build(buildah, server, tmp_path, "pipfallback", broken, gone)
    assert done.code != 0
    assert "error: flash-attn: " in done.said
    assert "wheel is for CPython 3.10 (cp310); this is CPython 3.11" in done.said
    assert "undefined symbol" in done.said
    assert [one.status for one in server.requests_of(f"/{gone.name}", method="GET")] == [404]
