"""One base image for all tests with images, and the wheels of the incident."""

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
from lib.server import Server
from lib.torch import make_torch
from lib.venvs import MissingInterpreterError, find_interpreter
from lib.wheels import make_wheel

NATIVE = f"cp311-cp311-linux_{platform.machine()}"  # Debian bookworm's Python is 3.11
ASKED = f"flash_attn-2.8.3+cu12torch2.7cxx11abiFALSE-cp310-cp310-linux_{platform.machine()}.whl"

# A small image in the place of pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel: a Python that is not 3.10, and its torch.
BASE = """\
FROM scratch
ADD root.tar /
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:/usr/bin:/bin:/usr/sbin:/sbin
COPY wheels /wheels
RUN pip install --no-index --find-links /wheels pipfallback torch uv
"""


@pytest.fixture(scope="session")
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
    shutil.copytree(wheelhouse(wheel, "uv"), folder / "wheels")
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
