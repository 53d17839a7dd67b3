"""What the benchmarks share, each made once: environments with pip 26.3, pipfallback and uv as users start them, wheels."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lib.venvs import isolated_environ, make_venv, native_tag, site_packages
from lib.wheels import make_wheel

BIN = Path(sys.executable).parent


class World:
    """A scratch folder, and what lies in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        self.served = folder / "served"
        self.served.mkdir()

    @functools.cached_property
    def python(self) -> Path:
        """The interpreter of an environment with pip 26.3 and nothing else."""
        return make_venv(self.folder / "venv")

    @property
    def site(self) -> Path:
        """Its site-packages."""
        return site_packages(self.python)

    @functools.cached_property
    def tag(self) -> str:
        """Of a wheel that only it takes."""
        return native_tag(self.python)

    def environ(self, **settings: str) -> dict[str, str]:
        """A new home with empty caches, in which that environment is active and no setting of this machine counts."""
        self._count += 1
        home = self.folder / "homes" / str(self._count)
        home.mkdir(parents=True)
        variables = {
            "VIRTUAL_ENV": str(self.python.parent.parent),
            "UV_CACHE_DIR": str(home / "uv"),
            "UV_NO_CONFIG": "1",
        }
        nothing_else = {"PIP_NO_INDEX": "1", "UV_NO_INDEX": "1"}
        return isolated_environ(home, **{**variables, **nothing_else, **settings})

    def forget(self, environ: Mapping[str, str]) -> None:
        """Remove a home."""
        shutil.rmtree(environ["HOME"], ignore_errors=True)

    def pip(self, *words: str | Path) -> list[str]:
        """A command of that environment's pip."""
        return [str(self.python), "-m", "pip", *map(str, words)]

    def pipfallback(self, *words: str | Path) -> list[str]:
        """A command of ours, as its script starts it."""
        return [str(BIN / "pipfallback"), *map(str, words)]

    def uv(self, *words: str | Path) -> list[str]:
        """A command of uv."""
        return [str(BIN / "uv"), *map(str, words)]

    def remove(self, *names: str) -> None:
        """Take packages out of the environment, whoever installed them."""
        for name in names:
            for place in self.site.glob(f"{name}*"):
                shutil.rmtree(place)

    def wheel(self, name: str, version: str, megabytes: int, *, tag: str = "py3-none-any", code: str = "") -> Path:
        """A wheel on the server, as heavy as builds of CUDA code are: ``megabytes`` in files that do not get smaller."""
        files: dict[str, str | bytes] = {f"{name}/__init__.py": f"VERSION = {version!r}\n{code}"}
        for number in range(max(megabytes // 25, 1) if megabytes else 0):
            files[f"{name}/part{number}.bin"] = os.urandom(min(megabytes, 25) * 1_000_000)
        return make_wheel(self.served, name, version, tag=tag, files=files)

    def catalog(self, name: str, urls: Sequence[str]) -> Path:
        """A fallbacks.toml that knows one package, whose builds are at ``urls``."""
        listed = ", ".join(f'"{url}"' for url in urls)
        path = self.folder / f"{name}-{len(urls)}.toml"
        path.write_text(
            f'schema = 1\n[package.{name}]\nimport = ["{name}"]\n[[package.{name}.source]]\nname = "here"\n'
            f'trust = "vendor"\nkind = "url"\nurl = [{listed}]\n'
        )
        return path
