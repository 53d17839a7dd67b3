"""``download`` and ``wheel`` with the fallback: real pips, a real server, files in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.program import Completed, run_pipfallback
from lib.scene import Scene
from lib.trees import changes, tree
from lib.wheels import make_wheel, sha256

COMMANDS = pytest.mark.parametrize(("command", "option"), [("download", "-d"), ("wheel", "-w")])


def collect(scene: Scene, command: str, *words: str | Path) -> Completed:
    start: list[str | Path] = [command, "--fallbacks", scene.folder / "builds.toml", "--no-index"]
    return run_pipfallback([*start, *words], python=scene.python, cwd=scene.folder, env=scene.environ)


def found(scene: Scene) -> set[str]:
    return {path.name for path in (scene.folder / "out").glob("*")}


def plain(scene: Scene, name: str = "other", **more: object) -> Path:
    return make_wheel(scene.folder / "links", name, "1.0", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("pip_version", ["20.3.4", "23.2.1", "26.3"], indirect=True)
@COMMANDS
def test_what_pip_does_not_find_comes_from_the_catalog(scene: Scene, command: str, option: str) -> None:
    works, other = scene.wheel("+cu126torch2.7", requires=["third"]), plain(scene)
    third = plain(scene, "third")
    scene.catalog(works)
    before = tree(scene.prefix)
    done = collect(scene, command, "-f", scene.folder / "links", option, "out", "other", "flash-attn>=2.8")
    assert done.code == 0, done.said
    assert found(scene) == {works.name, other.name, third.name}
    assert sha256(scene.folder / "out" / works.name) == sha256(works)
    assert changes(before, tree(scene.prefix)) == []


@COMMANDS
def test_a_name_in_a_file_and_a_refused_wheel(scene: Scene, command: str, option: str) -> None:
    foreign, works = scene.wheel("+cu12torch2.7", foreign=True), scene.wheel("+cu126torch2.7")
    scene.catalog(works)
    (scene.folder / "r.txt").write_text(f"{scene.server.url_of(foreign)}\n")
    done = collect(scene, command, option, "out", "-r", "r.txt")
    assert done.code == 0, done.said
    assert "is not a supported wheel on this platform" in done.stderr
    assert found(scene) == {works.name}


@COMMANDS
def test_a_dependency_that_pip_does_not_find(scene: Scene, command: str, option: str) -> None:
    works, lib = scene.wheel("+cu126torch2.7"), plain(scene, "some_lib", requires=["flash-attn>=2.8"])
    scene.catalog(works)
    done = collect(scene, command, "-f", scene.folder / "links", option, "out", "some-lib")
    assert done.code == 0, done.said
    assert found(scene) == {works.name, lib.name}


@COMMANDS
def test_what_pip_brings_and_cannot_work_is_replaced(scene: Scene, command: str, option: str) -> None:
    """Its METADATA wants another torch than the one that is here."""
    wrong = make_wheel(scene.folder / "links", "flash_attn", "2.8.4", requires=["torch==2.6.0"])
    make_wheel(scene.folder / "links", "torch", "2.6.0")
    works = scene.wheel("+cu126torch2.7")
    scene.catalog(works)
    done = collect(scene, command, "--no-deps", "-f", scene.folder / "links", option, "out", "flash-attn")
    assert done.code == 0, done.said
    assert f"pip brought {wrong.name}, which does not fit" in done.stderr
    assert found(scene) == {works.name}


@COMMANDS
def test_where_no_build_fits_nothing_is_left(scene: Scene, command: str, option: str) -> None:
    scene.catalog(scene.wheel("+cu126torch2.5"))
    done = collect(scene, command, option, "out", "flash-attn")
    assert done.code == 1
    assert "built for torch 2.5" in done.stderr
    assert found(scene) == set()


@COMMANDS
def test_a_command_without_managed_names_is_pips(scene: Scene, command: str, option: str) -> None:
    other = plain(scene)
    scene.catalog()
    done = collect(scene, command, "-f", scene.folder / "links", option, "out", "other")
    assert (done.code, done.stderr) == (0, "")
    assert found(scene) == {other.name}
    alone = scene.pip(command, "--no-index", option, scene.folder / "out", "nothing-such")
    done = collect(scene, command, option, "out", "nothing-such")
    assert (done.code, done.stderr) == (alone.code, alone.stderr)


@COMMANDS
def test_another_file_of_that_name_is_told_and_stays(scene: Scene, command: str, option: str) -> None:
    works = scene.wheel("+cu126torch2.7")
    scene.catalog(works)
    (scene.folder / "out").mkdir()
    (scene.folder / "out" / works.name).write_bytes(b"junk")
    done = collect(scene, command, option, "out", "flash-attn")
    assert done.code == 1
    assert "is there already, and is another file" in done.stderr
    assert (scene.folder / "out" / works.name).read_bytes() == b"junk"


@COMMANDS
def test_a_file_in_the_place_of_the_folder_is_pips_word(scene: Scene, command: str, option: str) -> None:
    scene.catalog(scene.wheel("+cu126torch2.7"))
    (scene.folder / "out").write_text("a file")
    alone = scene.pip(command, "--no-index", option, scene.folder / "out", "flash-attn")
    done = collect(scene, command, option, "out", "flash-attn")
    assert done.code == alone.code
    assert "pipfallback:" not in done.stderr
