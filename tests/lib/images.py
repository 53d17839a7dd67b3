"""Container images, built from Dockerfiles with buildah: no daemon, no registry, no namespaces (chroot isolation)."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from lib.program import Completed, run
from lib.venvs import cache_folder

_SUITE = "bookworm"
_PACKAGES = "ca-certificates,python3,python3-venv"
_PYTHON = "3.11"  # Debian bookworm's
# Half of the files, and of the time that it takes to copy them into each image.
_LEFT_OUT = (
    *("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man"),
    "usr/share/zoneinfo",
)
_MIRROR = "http://deb.debian.org/debian"
_POLICY = {"default": [{"type": "insecureAcceptAnything"}]}  # images here are signed by nobody


class Buildah:
    """Images and containers in ``folder``; they are gone with it. Needs root and buildah."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._storage = ("--root", folder / "storage", "--runroot", folder / "run", "--storage-driver", "vfs")
        (folder / "tmp").mkdir(parents=True)
        (folder / "policy.json").write_text(json.dumps(_POLICY))

    def build(self, context: Path, tag: str, arguments: Mapping[str, str] | None = None) -> Completed:
        """``buildah build`` with the Dockerfile in ``context``; its containers share this machine's network."""
        given = [part for name, value in (arguments or {}).items() for part in ("--build-arg", f"{name}={value}")]
        options = ("--isolation", "chroot", "--network", "host", "--pull-never", "--no-cache", "--force-rm")
        policy = ("--signature-policy", self.folder / "policy.json")
        return self._buildah("build", *options, *policy, *given, "--tag", f"localhost/{tag}", context)

    def run(self, tag: str, *command: str) -> Completed:
        """Run a command in a container made from the image, with the image's environment."""
        policy = ("--signature-policy", self.folder / "policy.json")
        made = self._buildah("from", "--pull-never", *policy, f"localhost/{tag}")
        if made.code:
            raise RuntimeError(made.said)
        container = made.stdout.strip()
        try:
            return self._buildah("run", "--isolation", "chroot", "--network", "host", container, "--", *command)
        finally:
            self._buildah("rm", container)

    def remove(self) -> None:
        """Remove every container and image, and the folder."""
        self._buildah("rm", "--all")
        shutil.rmtree(self.folder)

    def _buildah(self, verb: str, *words: str | Path) -> Completed:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "TMPDIR": str(self.folder / "tmp")}
        return run(["buildah", *self._storage, verb, *words], env=environ, timeout=600)


def debian_root() -> Path:
    """A tar of a small Debian with Python, made once by debootstrap (about a minute). Needs root."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"debian-{_SUITE}-{_PACKAGES.replace(',', '-')}-lean.tar"
    with FileLock(folder / ".debian-lock"):
        if not archive.exists():
            with tempfile.TemporaryDirectory(dir=folder) as work:
                root, unfinished = Path(work, "root"), Path(work, "root.tar")
                _must("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, str(root), _mirror())
                for part in _LEFT_OUT:
                    shutil.rmtree(root / part)
                with tarfile.open(unfinished, "w") as tar:
                    tar.add(root, arcname=".")
                unfinished.rename(archive)
    return archive


def wheelhouse(wheel: Path, *more: str) -> Path:
    """A folder with all that ``wheel`` requires on Debian's Python, and ``more``, fetched once per set of requirements."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
    requires = sorted([*re.findall(r"^Requires-Dist: (.+)$", metadata, re.MULTILINE), *more])
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"wheelhouse-{hashlib.sha256(repr(requires).encode()).hexdigest()[:12]}"
    with FileLock(cache / ".wheelhouse-lock"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=cache) as work:
                options = ["--quiet", "--only-binary=:all:", "--python-version", _PYTHON, "--dest", f"{work}/wheels"]
                # pip reads markers for the Python that runs it; typing-extensions is needed below 3.13 only (anyio).
                _must(sys.executable, "-m", "pip", "download", *options, str(wheel), "typing-extensions", *more)
                Path(work, "wheels", wheel.name).unlink()
                Path(work, "wheels").rename(folder)
    return folder


def _mirror() -> str:
    """The Debian mirror that this machine uses, if it is a Debian."""
    places = [Path("/etc/apt/sources.list")]
    for ending in ("*.list", "*.sources"):
        places += sorted(Path("/etc/apt/sources.list.d").glob(ending))
    text = "\n".join(place.read_text() for place in places if place.is_file())
    active = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found = re.search(r"https?://\S+/debian/?(?=\s|$)", active)
    return found[0] if found else _MIRROR


def _must(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr}")
