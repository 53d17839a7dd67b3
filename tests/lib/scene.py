"""Everything that one install needs: an environment with a stand-in torch, a server with wheels, a fallbacks.toml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.catalogs import silenced
from lib.extensions import broken_extension, working_extension
from lib.program import Completed, run, run_pipfallback
from lib.server import Server
from lib.torch import make_torch
from lib.venvs import make_venv, native_tag, site_packages
from lib.wheels import make_wheel

NAME = "flash_attn"
# What a wheel must do here: import, import badly, or not even be for this Python.
WORKS: Mapping[str, str] = {"flash_attn/__init__.py": "import torch\nimport flash_attn_2_cuda\n"}
FOREIGN_TAG = "cp36-cp36m-linux_x86_64"


class Scene:
    """One venv with a stand-in torch, one server, one fallbacks.toml that names the server's wheels."""

    def __init__(
        self,
        folder: Path,
        server: Server,
        environ: Mapping[str, str],
        torch: str | None,
        pip: str,
        *,
        python: str | None = None,
    ) -> None:
        self.folder = folder
        self.server = server
        self.environ = dict(environ)
        self.python = make_venv(folder / "venv", python=python, pip=pip)
        self.site = site_packages(self.python)
        self.prefix = self.python.parent.parent
        if torch is not None:
            assert self.pip("install", "--no-index", make_torch(folder / "torch", torch)).code == 0

    def pip(self, *words: str | Path) -> Completed:
        return run([self.python, "-m", "pip", *words], env=self.environ)

    def wheel(self, label: str, *, broken: bool = False, foreign: bool = False, **more: Any) -> Path:
        """A flash_attn wheel on the server whose file name carries ``label``, as Dao-AILab's do."""
        extension = broken_extension if broken else working_extension
        tag = FOREIGN_TAG if foreign else native_tag(self.python)
        files = {**WORKS, "flash_attn/label.py": f"LABEL = {label!r}\n", **extension(python=self.python)}
        version = more.pop("version", "2.8.3")
        folder = self.server.folder / more.pop("folder", "v")
        return make_wheel(folder, NAME, version, filename_version=f"{version}{label}", tag=tag, files=files, **more)

    def catalog(self, *wheels: Path | str, trust: str = "vendor", extra: str = "") -> None:
        urls = [wheel if isinstance(wheel, str) else self.server.url_of(wheel) for wheel in wheels]
        urls = urls or [f"{self.server.url}/none/flash_attn-0.0.3-py2-none-any.whl"]
        text = (
            'schema = 1\n[package.flash-attn]\nimport = ["flash_attn", "flash_attn_2_cuda"]\nneeds = ["torch"]\n'
            f'{extra}[[package.flash-attn.source]]\nname = "builds"\ntrust = "{trust}"\nkind = "url"\n'
            f"url = {json.dumps(urls)}\n" + silenced("flash-attn", self.server.url)
        )
        (self.folder / "builds.toml").write_text(text)

    def install(self, *words: str | Path, **settings: str) -> Completed:
        """Install into the venv, which is active: straight, where the words are plain (commands/straight.py)."""
        options: list[str | Path] = [
            "--fallbacks",
            self.folder / "builds.toml",
            "--outcome",
            self.folder / "outcome.json",
        ]
        command: list[str | Path] = ["install", *options, "--no-index", *words]
        environ = {**self.environ, "VIRTUAL_ENV": str(self.prefix), **settings}
        return run_pipfallback(command, cwd=self.folder, env=environ)

    def outcome(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.folder / "outcome.json").read_text())
        return read

    def label(self) -> str:
        """The label of the build that is installed and imports."""
        code = "from flash_attn.label import LABEL; import flash_attn; print(LABEL)"
        done = run([self.python, "-B", "-c", code], env=self.environ)
        return done.stdout.strip() if done.code == 0 else done.stderr
