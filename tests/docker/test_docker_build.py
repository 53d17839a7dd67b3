"""A Dockerfile whose ``RUN pip install <wheel URL>`` became ``RUN pipfallback install <wheel URL>``, really built."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from lib.catalogs import silenced
from lib.images import Buildah
from lib.program import Completed
from lib.server import Server
from lib.wheels import sha256

pytestmark = pytest.mark.docker

ASKED = f"flash_attn-2.8.3+cu12torch2.7cxx11abiFALSE-cp310-cp310-linux_{platform.machine()}.whl"

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


def build(buildah: Buildah, server: Server, folder: Path, installer: str, *fallbacks: Path) -> Completed:
    """Build the Dockerfile; ``fallbacks`` are the wheels that its fallbacks.toml offers, in this order."""
    context = folder / "context"
    context.mkdir()
    first, second = [f'"{server.url_of(wheel)}"' for wheel in fallbacks]
    (context / "Dockerfile").write_text(DOCKERFILE.format(installer=installer, asked=ASKED))
    others = silenced("flash-attn", server.url, but=("Dao-AILab", "ByteDance-Seed"))
    (context / "fallbacks.toml").write_text(FALLBACKS.format(first=first, second=second) + others)
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
