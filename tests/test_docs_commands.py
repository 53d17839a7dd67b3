"""Every command that the tutorial and the guides show is run, in the order of the page, and prints what is shown."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lib.catalogs import silenced
from lib.extensions import working_extension
from lib.packages import build_own_wheel
from lib.server import Server
from lib.torch import make_torch
from lib.venvs import isolated_environ, make_venv, native_tag, site_packages
from lib.wheels import make_wheel

DOCS = Path(__file__).parent.parent / "docs"
MODULE = {"flash_attn/__init__.py": "import flash_attn_2_cuda\n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A venv with a stand-in torch and an installed pipfallback, a folder to work in, a server with wheels."""

    folder: Path
    python: Path
    server: Server
    environ: Mapping[str, str]

    def run(self, command: str) -> tuple[int, list[str]]:
        """What a shell makes of a command: its exit code, and all lines of both streams."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.splitlines()

    def at(self, name: str) -> World:
        """The same world with an empty folder to work in."""
        (self.folder / name).mkdir()
        return replace(self, folder=self.folder / name)

    def under(self, **settings: str) -> World:
        """The same world with other variables."""
        return replace(self, environ={**self.environ, **settings})

    def here(self, text: str) -> str:
        """A text of a page as it is in this world: this server, this Python, this machine."""
        tag = native_tag(self.python)
        interpreter = tag.partition("-")[0]
        version = f"{interpreter[2]}.{interpreter[3:]}"
        text = text.replace("https://wheels.example.org", self.server.url)
        return text.replace("cp311-cp311-linux_x86_64", tag).replace("CPython 3.11", f"CPython {version}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("docs")
    for name in ("served", "home", "work", "links"):
        (folder / name).mkdir()
    python = make_venv(folder / "venv")
    build_own_wheel(folder / "links")
    make_torch(folder / "links", "2.7.1+cu126")
    environ = isolated_environ(folder / "home", HTTPS_PROXY="http://127.0.0.1:9", NO_PROXY="127.0.0.1")
    environ |= {
        "PATH": f"{python.parent}{os.pathsep}{environ['PATH']}",
        "VIRTUAL_ENV": str(folder / "venv"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder / "links"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "COLUMNS": "200",
    }
    subprocess.run([python, "-m", "pip", "install", "--quiet", "torch"], check=True, env=environ)
    # The dependencies of pipfallback are those of this environment, behind the venv's own.
    (site_packages(python) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    with Server(folder / "served") as server:
        world = World(folder=folder / "work", python=python, server=server, environ=environ)
        install_as_shown(world)
        yield world


def install_as_shown(world: World) -> None:
    """The first command of the tutorial; the pipfallback that runs these tests does not count as installed."""
    command, shown, _ = next(commands("tutorial.md"))
    assert command == "pip install pipfallback"
    code, printed = world.under(PIP_NO_DEPS="1", PIP_IGNORE_INSTALLED="1").run(command)
    assert code == 0, printed
    assert shown[0] in printed[-1]


def commands(page: str, start: str = "", end: str | None = None) -> Iterator[tuple[str, list[str], int]]:
    """The commands of the ```console blocks between two headings, each with the lines shown and the exit code."""
    text = (DOCS / page).read_text(encoding="utf-8")
    text = text[text.index(start) : text.index(end) if end else None]
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.splitlines()
            code = 0
            if shown and (found := re.fullmatch(r"\[exit code (\d+)\]", shown[-1])):
                code = int(found[1])
                shown.pop()
            yield command, shown, code


def file_of(page: str, language: str) -> str:
    """The first block of a page in a language."""
    found = re.search(
        rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found is not None
    return found[1]


def follow(world: World, page: str, start: str = "", end: str | None = None) -> None:
    """Run each command and look for each line shown, in order, in what it prints."""
    ran = 0
    for command, shown, code in commands(page, start, end):
        ended, printed = world.run(world.here(command))
        assert ended == code, (command, printed)
        rest = iter(printed)
        for line in map(world.here, shown):
            # "…" stands for whatever is left out, in a line or between lines.
            pattern = ".*".join(map(re.escape, line.split("…")))
            assert any(re.search(pattern, each) for each in rest), (command, line, printed)
        ran += 1
    assert ran, page


def publish_flash_attn(world: World) -> Path:
    """The two wheels of the tutorial, and a catalog that names them in the place of all that is built in."""
    tag = native_tag(world.python)
    wheels = [
        make_wheel(
            world.server.folder / "v",
            "flash_attn",
            "2.8.3.post1",
            filename_version="2.8.3.post1+cu12torch2.7cxx11abiTRUE",
            tag=tag,
            files=MODULE | working_extension(python=world.python),
        ),
        make_wheel(
            world.server.folder / "v",
            "flash_attn",
            "2.7.4.post1",
            filename_version="2.7.4.post1+cu12torch2.6cxx11abiTRUE",
            tag=tag,
            files=MODULE,
        ),
    ]
    text = (
        'schema = 1\n[package.flash-attn]\nimport = ["flash_attn", "flash_attn_2_cuda"]\nneeds = ["torch"]\n'
        'smoke = "import flash_attn"\n[[package.flash-attn.source]]\nname = "Dao-AILab"\ntrust = "official"\nkind = "url"\n'
        f'cxx11_abi = "as-labelled"\nurl = {json.dumps([world.server.url_of(wheel) for wheel in wheels])}\n'
    )
    path = world.folder.parent / "builds.toml"
    path.write_text(text + silenced("flash-attn", world.server.url, but=("Dao-AILab",)))
    return path


def test_the_tutorial_on_ones_own_machine(world: World) -> None:
    catalog = publish_flash_attn(world)
    follow(
        world.at("tutorial").under(PIPFALLBACK_FALLBACKS=str(catalog)),
        "tutorial.md",
        "See what it sees.",
        "## In a Dockerfile",
    )


def test_the_tutorial_in_a_dockerfile(world: World) -> None:
    here = world.at("dockerfile")
    plain = Untouched(folder=here.folder, python=here.python, server=here.server, environ=here.environ)
    (plain.folder / "Dockerfile").write_text(file_of("tutorial.md", "dockerfile"))
    follow(plain, "tutorial.md", "## In a Dockerfile", "## Further")


class Untouched(World):
    """A world that the commands do not ask about: a Dockerfile has its own Python and machine."""

    def here(self, text: str) -> str:
        return text


def test_the_guide_for_a_team(world: World) -> None:
    publish_our_kernels(world)
    here = world.at("team")
    for name, language in (("fallbacks.toml", "toml"), ("Dockerfile", "dockerfile")):
        text = file_of("team-catalog.md", language).replace("-linux_x86_64.whl", f"-{platform(world)}.whl")
        (here.folder / name).write_text(world.here(text))
    follow(here, "team-catalog.md")


def platform(world: World) -> str:
    return native_tag(world.python).rpartition("-")[2]


def publish_our_kernels(world: World) -> None:
    """Every wheel that the matrix of the guide says, and the chosen one."""
    for label in ("1.1+cu126torch2.7", "1.2+cu126torch2.7", "1.2+cu126torch2.8", "1.2+cu128torch2.8"):
        for python in ("cp310", "cp311", "cp312", "cp313"):
            publish(world.server.folder, label, f"{python}-{python}-{platform(world)}")
    publish(world.server.folder / "chosen", "1.0+cu126torch2.7", native_tag(world.python))


def publish(folder: Path, label: str, tag: str) -> None:
    files = {"our_kernels/__init__.py": "import torch\n"}
    version = label.partition("+")[0]
    make_wheel(folder, "our_kernels", version, filename_version=label, tag=tag, files=files, requires=["torch"])


def test_the_json_forms_have_the_keys_that_are_described(world: World) -> None:
    asked = world.at("json").under(PIPFALLBACK_FALLBACKS=str(publish_flash_attn(world)))
    asked.run("pip uninstall --yes flash-attn")
    code, printed = asked.run("pipfallback install --outcome outcome.json flash-attn")
    assert code == 0, printed
    printers = {
        "Environment": "pipfallback env --json",
        "Decision": "pipfallback explain flash_attn-2.8.3+cu12torch2.7cxx11abiFALSE-cp36-cp36m-linux_x86_64.whl --json",
        "Outcome": "cat outcome.json",
        "Verify": "pipfallback verify flash-attn --json",
        "Catalog": "pipfallback catalog list flash-attn --json",
        "Error": "pipfallback plan nosuchthing --json",
    }
    text = (DOCS / "json.md").read_text(encoding="utf-8")
    forms = re.findall(r"^## (\w+)\n(?:(?!## )[^\n]*\n)*?```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert [title for title, _ in forms] == list(printers)
    for title, form in forms:
        said = "\n".join(asked.run(printers[title])[1])
        assert said.startswith("{"), said
        assert unlike(json.loads(form), json.loads(said)) == [], title


def unlike(form: Any, real: Any, path: str = "") -> list[str]:
    """Where the keys or the kind of a value differ; "…" and null stand for anything."""
    if form in ("…", ["…"], {"…": "…"}, None) or real is None:
        return []
    if isinstance(form, dict) and isinstance(real, dict):
        missing = [f"{path}.{key}" for key in form.keys() ^ real.keys()]
        return missing + [
            each for key in form.keys() & real.keys() for each in unlike(form[key], real[key], f"{path}.{key}")
        ]
    if isinstance(form, list) and isinstance(real, list):
        return unlike(form[0], real[0], f"{path}[]") if form and real else []
    return [] if type(form) is type(real) else [f"{path}: {form!r} is not like {real!r}"]


def test_every_command_runs_in_a_shell_as_it_stands() -> None:
    for page in ("tutorial.md", "team-catalog.md"):
        for command, _, _ in commands(page):
            assert shlex.split(command)
