"""The incident, replayed: a wheel that pip refuses, one that installs but does not import, one that works.

The environment, pip and the failures are real; torch and the wheels are stand-ins, made here and served from
127.0.0.1. It needs no network and no GPU. Exits with 1 if anything differs from the story. Run it with ``make demo``.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lib.catalogs import silenced
from lib.extensions import broken_extension, working_extension
from lib.server import Server
from lib.torch import make_torch
from lib.trees import Tree, tree
from lib.venvs import isolated_environ, make_venv, site_packages
from lib.wheels import Content, make_wheel, sha256

HERE = f"cp{sys.version_info.major}{sys.version_info.minor}"
OTHER = "cp310" if HERE != "cp310" else "cp311"  # a Python that is not the one here
PLATFORM = f"linux_{platform.machine()}"


class DifferentStoryError(Exception):
    """Something did not go as the demo tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheels:
    """The wheels of the story, in the order in which they come up."""

    asked: Path
    broken: Path
    working: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """A terminal whose virtual environment is activated; it shows each command and what it says."""

    folder: Path
    environ: Mapping[str, str]

    def run(self, *command: str | Path) -> tuple[int, str]:
        """Run a command; return its exit code and its words (both streams)."""
        words = [str(word) for word in command]
        print("\n$", shlex.join([Path(words[0]).name, *words[1:]]), flush=True)
        said = []
        with subprocess.Popen(
            words,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                said.append(line)
        print(f"[exit code {process.returncode}]", flush=True)
        return process.returncode, "".join(said)


def main() -> int:
    """Tell the story; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="pipfallback-demo-") as work:
        folder = Path(work).resolve()
        (folder / "served").mkdir()
        with Server(folder / "served") as server:
            print(
                f"A virtual environment with Python {platform.python_version()} and (a stand-in for) torch 2.7.1+cu126."
            )
            shell, packages = prepare(folder)
            wheels = make_wheels(server.folder)
            write_fallbacks(folder, server)
            try:
                tell(shell, server, wheels, packages)
            except DifferentStoryError as difference:
                print(f"\nThis is not the story that the demo tells: {difference}", file=sys.stderr)
                return 1
    return 0


def prepare(folder: Path) -> tuple[Shell, Path]:
    """Make the environment; return a shell in it and its site-packages folder."""
    python = make_venv(folder / "venv")
    home = folder / "home"
    home.mkdir()
    # Nothing but this machine can be reached.
    environ = isolated_environ(home, HTTPS_PROXY="http://127.0.0.1:9", NO_PROXY="127.0.0.1")
    environ["PATH"] = f"{python.parent}{os.pathsep}{environ['PATH']}"
    environ["VIRTUAL_ENV"] = str(folder / "venv")
    make_torch(folder / "torch", "2.7.1+cu126")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(folder / "torch"), "torch"]
    subprocess.run(pip, check=True, env=environ)
    return Shell(folder=folder, environ=environ), site_packages(python)


def make_wheels(folder: Path) -> Wheels:
    """Publish the wheels: for another Python, built against another torch, and one that works."""
    package: dict[str, Content] = {"flash_attn/__init__.py": "import flash_attn_2_cuda\n\n__version__ = '2.8.3'\n"}
    here = f"{HERE}-{HERE}-{PLATFORM}"
    return Wheels(
        asked=make_wheel(
            folder / "Dao-AILab",
            filename_version="2.8.3+cu12torch2.7cxx11abiFALSE",
            tag=f"{OTHER}-{OTHER}-{PLATFORM}",
        ),
        broken=make_wheel(
            folder / "Dao-AILab",
            filename_version="2.8.3+cu12torch2.7cxx11abiTRUE",
            tag=here,
            files=package | broken_extension(),
            requires=["torch"],
        ),
        working=make_wheel(
            folder / "ByteDance-Seed",
            filename_version="2.8.3+cu126torch2.7cxx11abiTRUE",
            tag=here,
            files=package | working_extension(),
            requires=["torch"],
        ),
    )


def write_fallbacks(folder: Path, server: Server) -> None:
    """Put the demo's fallbacks.toml into the working directory."""
    text = Path(__file__).with_name("fallbacks.toml").read_text(encoding="utf-8")
    for word, value in {"WHEELS": server.url, "HERE": HERE, "OTHER": OTHER, "PLATFORM": PLATFORM}.items():
        text = text.replace(f"@{word}@", value)
    text += "\n" + silenced("flash-attn", server.url, but=("Dao-AILab", "ByteDance-Seed"))
    (folder / "fallbacks.toml").write_text(text, encoding="utf-8")


def tell(shell: Shell, server: Server, wheels: Wheels, packages: Path) -> None:
    """Run the commands of the story. Raises DifferentStoryError."""
    asked = server.url_of(wheels.asked)
    before = tree(packages)

    print("\nThe line that ended the image build:")
    code, said = shell.run("pip", "install", asked)
    expect(code == 1, "pip exits with 1")
    expect(f"{wheels.asked.name} is not a supported wheel on this platform" in said, "pip refuses the wheel")

    print("\nThe same line with pipfallback in pip's place:")
    program = Path(sys.executable).with_name("pipfallback")
    code, said = shell.run(program, "install", asked, "--fallbacks", "fallbacks.toml", "--outcome", "outcome.json")
    expect(code == 0, "pipfallback exits with 0")
    expect(
        f"{wheels.asked.name} is not a supported wheel on this platform" in said, "the refusal is told in pip's words"
    )
    expect(f"wheel is for CPython {version(OTHER)} ({OTHER})" in said, "and with the reason that pip leaves out")
    check_outcome(shell.folder / "outcome.json", server, wheels)

    print("\nWhat is there now:")
    code, said = shell.run("python", "-c", "import flash_attn; print(flash_attn.__version__)")
    expect((code, said) == (0, "2.8.3\n"), "it imports")
    code, said = shell.run("pip", "freeze")
    installed = f"{server.url_of(wheels.working)}#sha256={sha256(wheels.working)}"
    expect(code == 0 and installed in said and "torch==2.7.1+cu126" in said, "pip freeze names the build that works")
    check_folder(before, tree(packages))


def check_outcome(file: Path, server: Server, wheels: Wheels) -> None:
    """Two attempts: the first does not import, the second stays."""
    outcome = json.loads(file.read_text(encoding="utf-8"))
    tried = [(one["url"], one["stage"], one["ok"]) for one in outcome["attempts"]]
    broken, working = server.url_of(wheels.broken), server.url_of(wheels.working)
    expect(tried == [(broken, "verify", False), (working, "verify", True)], f"two builds are tried, not {tried}")
    error = outcome["attempts"][0]["error"]
    expect("undefined symbol: _ZN3c105ErrorC2" in error, f"the first one's import fails, not: {error}")
    expect(outcome["status"] == "fallback", f"the outcome is a fallback, not {outcome['status']}")


def check_folder(before: Tree, after: Tree) -> None:
    """Nothing of the undone build is left, and nothing else has changed."""
    added = {path.split("/")[0].split(".")[0] for path in after if path not in before}
    expect(
        added <= {"flash_attn", "flash_attn-2", "flash_attn_2_cuda", "__pycache__"},
        f"only flash_attn is new, not {added}",
    )
    kept = {path: entry for path, entry in after.items() if path in before}
    expect(kept == before, "what was there before is unchanged")


def version(tag: str) -> str:
    """What people call a Python tag: "3.10" for "cp310"."""
    return f"{tag[2]}.{tag[3:]}"


def expect(holds: bool, what: str) -> None:
    """Raise DifferentStoryError unless it holds."""
    if not holds:
        raise DifferentStoryError(what)


if __name__ == "__main__":
    sys.exit(main())
