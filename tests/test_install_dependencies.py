"""Managed packages that nothing names: something else requires them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from lib.program import run_pipfallback
from lib.scene import Scene
from lib.trees import changes, tree
from lib.wheels import make_wheel

PIPS = pytest.mark.parametrize("pip_version", ["20.3.4", "23.2.1", "26.3"], indirect=True)


def requiring(scene: Scene, *requires: str, name: str = "some_lib", version: str = "1.0") -> Path:
    """A plain wheel that requires something, in the folder that ``--find-links`` names."""
    return make_wheel(scene.folder / "links", name, version, requires=requires)


def names(scene: Scene) -> set[str]:
    listed = json.loads(scene.pip("list", "--format=json").stdout)
    return {canonicalize_name(one["name"]) for one in listed} - {"pip", "torch", "setuptools"}


@PIPS
def test_what_pip_cannot_find_as_a_dependency_falls_back(scene: Scene) -> None:
    requiring(scene, "flash-attn>=2.8,<2.9")
    scene.catalog(scene.wheel("+new", version="2.9.0"), scene.wheel("+cu126torch2.7"))
    done = scene.install("-f", scene.folder / "links", "some-lib")
    assert done.code == 0, done.said
    assert names(scene) == {"some-lib", "flash-attn"}
    assert scene.label() == "+cu126torch2.7"
    assert scene.outcome()["requests"][0]["request"].startswith("flash-attn")
    assert scene.outcome()["status"] == "fallback"


@PIPS
@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_a_dependency_by_url_that_does_not_import_falls_back(scene: Scene, quiet: list[str]) -> None:
    broken = scene.wheel("+cu12torch2.6", broken=True)
    requiring(scene, f"flash-attn @ {scene.server.url_of(broken)}")
    scene.catalog(scene.wheel("+cu126torch2.7"))
    done = scene.install(*quiet, "-f", scene.folder / "links", "some-lib")
    assert done.code == 0, done.said
    assert names(scene) == {"some-lib", "flash-attn"}
    assert scene.label() == "+cu126torch2.7"
    assert quiet or "undefined symbol" in done.stderr


@PIPS
@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_a_dependency_from_an_index_that_does_not_import_falls_back(scene: Scene, quiet: list[str]) -> None:
    requiring(scene, "flash-attn>=2.8")
    broken = scene.wheel("", broken=True)
    broken.rename(scene.folder / "links" / broken.name)
    scene.catalog(scene.wheel("+cu126torch2.7"))
    done = scene.install(*quiet, "-f", scene.folder / "links", "some-lib")
    assert done.code == 0, done.said
    assert names(scene) == {"some-lib", "flash-attn"}
    assert scene.label() == "+cu126torch2.7"
    assert quiet or "undefined symbol" in done.stderr


def test_where_no_build_of_a_dependency_works_everything_is_as_before(scene: Scene) -> None:
    requiring(scene, "flash-attn>=2.8")
    broken = scene.wheel("", broken=True)
    broken.rename(scene.folder / "links" / broken.name)
    scene.catalog(scene.wheel("+cu126torch2.7", broken=True))
    before = tree(scene.prefix)
    done = scene.install("-f", scene.folder / "links", "some-lib")
    assert done.code == 1, done.said
    assert changes(before, tree(scene.prefix)) == []


def test_a_dependency_that_works_is_pips_own_install(scene: Scene) -> None:
    requiring(scene, "flash-attn>=2.8")
    works = scene.wheel("")
    works.rename(scene.folder / "links" / works.name)
    scene.catalog()
    done = scene.install("-f", scene.folder / "links", "some-lib")
    assert done.code == 0, done.said
    assert "pipfallback:" not in done.stderr
    assert scene.outcome()["requests"][0]["status"] == "primary"
    assert scene.outcome()["requests"][0]["installed"]["verified"] == "imports"


def test_a_dependency_of_another_managed_request(scene: Scene) -> None:
    """xformers is asked for and works; flash-attn comes along and does not."""
    files = {"xformers/__init__.py": "", "xformers/ops.py": ""}
    make_wheel(scene.folder / "links", "xformers", "0.1", requires=["flash-attn"], files=files)
    broken = scene.wheel("", broken=True)
    broken.rename(scene.folder / "links" / broken.name)
    scene.catalog(scene.wheel("+cu126torch2.7"))
    done = scene.install("-f", scene.folder / "links", "xformers")
    assert done.code == 0, done.said
    assert names(scene) == {"xformers", "flash-attn"}
    assert scene.label() == "+cu126torch2.7"


def test_no_dependency_is_built_from_source(scene: Scene) -> None:
    links = scene.folder / "links"
    requiring(scene, "flash-attn")
    (links / "flash_attn-2.8.3.tar.gz").write_bytes(b"no archive: a pip that opens it fails otherwise")
    scene.catalog(scene.wheel("+cu126torch2.7"))
    done = scene.install("-f", links, "some-lib")
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"


def test_what_the_catalog_does_not_know_stays_pips_word(scene: Scene) -> None:
    requiring(scene, "never-heard-of")
    scene.catalog(scene.wheel("+cu126torch2.7"))
    alone = scene.pip("install", "--no-index", "-f", scene.folder / "links", "some-lib")
    done = scene.install("-f", scene.folder / "links", "some-lib")
    assert (done.code, done.stderr) == (alone.code, alone.stderr)


def test_no_fallback_leaves_it_to_pip(scene: Scene) -> None:
    requiring(scene, "flash-attn>=2.8")
    scene.catalog(scene.wheel("+cu126torch2.7"))
    alone = scene.pip("install", "--no-index", "-f", scene.folder / "links", "some-lib")
    done = scene.install("--no-fallback", "-f", scene.folder / "links", "some-lib")
    assert (done.code, done.stderr) == (alone.code, alone.stderr)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_while_a_dependency_is_verified_is_put_back(scene: Scene, stop: signal.Signals) -> None:
    requiring(scene, "flash-attn>=2.8")
    files = {"flash_attn/__init__.py": "import time\ntime.sleep(60)\n", "flash_attn_2_cuda.py": ""}
    make_wheel(scene.folder / "links", "flash_attn", "2.8.3", files=files)
    scene.catalog(scene.wheel("+cu126torch2.7"))
    before = tree(scene.prefix)
    command = [sys.executable, "-m", "pipfallback", "install", "--python", scene.python, "--no-index", "-f"]
    command += [scene.folder / "links", "--fallbacks", scene.folder / "builds.toml", "some-lib"]
    with subprocess.Popen([str(word) for word in command], env=scene.environ, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not (scene.site / "some_lib").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(stop)
        process.wait()
    if stop is signal.SIGKILL:
        assert changes(before, tree(scene.prefix)) != []
        assert "interrupted" in scene.install("some-lib", "--dry-run").stderr
    assert changes(before, tree(scene.prefix)) == []


def test_who_waited_for_another_run_begins_anew(scene: Scene) -> None:
    """The second command meets flash-attn while the first still tries builds: what its pip chose does not hold then."""
    requiring(scene, "flash-attn>=2.8")
    broken = scene.wheel("", broken=True)
    broken.rename(scene.folder / "links" / broken.name)
    slow = {"flash_attn/__init__.py": "import time, torch\ntime.sleep(4)\n", "flash_attn_2_cuda.py": ""}
    works = make_wheel(
        scene.server.folder / "v", "flash_attn", "2.8.3", filename_version="2.8.3+cu126torch2.7", files=slow
    )
    scene.catalog(works)
    start = [sys.executable, "-m", "pipfallback", "install", "--python", scene.python, "--no-index"]
    start += ["-f", scene.folder / "links", "--fallbacks", scene.folder / "builds.toml"]
    both = [
        subprocess.Popen([str(word) for word in (*start, name)], env=scene.environ, stderr=subprocess.PIPE, text=True)
        for name in ("flash-attn", "some-lib")
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert names(scene) == {"some-lib", "flash-attn"}
    assert (
        run_pipfallback(
            ["verify", "flash-attn", "--fallbacks", scene.folder / "builds.toml"],
            python=scene.python,
            env=scene.environ,
        ).code
        == 0
    )


@pytest.mark.parametrize("option", ["--target", "--prefix", "--root"])
def test_a_dependency_in_a_separate_folder(scene: Scene, option: str) -> None:
    """The newer build would need another lib than the one that is asked for."""
    requiring(scene, "flash-attn==2.8.3", "plain", version="2.0")
    requiring(scene, "flash-attn", version="1.0")
    make_wheel(scene.folder / "links", "plain", "1.0")
    broken = scene.wheel("", broken=True)
    broken.rename(scene.folder / "links" / broken.name)
    scene.catalog(scene.wheel("+cu126torch2.7", version="2.8.4"), scene.wheel("+cu126torch2.7"))
    apart = scene.folder / "apart"
    done = scene.install("-f", scene.folder / "links", option, apart, "some-lib")
    assert done.code == 0, done.said
    found = {path.name for path in apart.rglob("*.dist-info")}
    assert found == {"some_lib-2.0.dist-info", "plain-1.0.dist-info", "flash_attn-2.8.3.dist-info"}
    label = next(apart.rglob("flash_attn/label.py")).read_text()
    assert "+cu126torch2.7" in label


def test_what_requires_it_says_which_versions_will_do(scene: Scene) -> None:
    requiring(scene, "flash-attn==2.8.3", version="2.0")
    requiring(scene, "flash-attn", version="1.0")
    requiring(scene, "some-lib", name="deep")
    broken = scene.wheel("", broken=True)
    broken.rename(scene.folder / "links" / broken.name)
    scene.catalog(scene.wheel("+new", version="2.8.4"), scene.wheel("+cu126torch2.7"))
    done = scene.install("-f", scene.folder / "links", "deep")
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"
    assert (scene.site / "some_lib-2.0.dist-info").exists()


def with_another(scene: Scene, flash: Path, *requires: str) -> Path:
    """A catalog that knows flash-attn and xformers, whose one build requires ``requires``."""
    other = make_wheel(scene.server.folder / "v", "xformers", "0.1", requires=requires, files={"xformers.py": ""})
    scene.catalog(flash)
    with (scene.folder / "builds.toml").open("a") as file:
        file.write(
            '[package.xformers]\nimport = ["xformers"]\n[[package.xformers.source]]\nname = "builds"\ntrust = "vendor"\n'
            f'kind = "url"\nurl = ["{scene.server.url_of(other)}"]\n'
        )
    return other


@pytest.mark.parametrize("asked", [["xformers"], ["xformers", "flash-attn"], ["flash-attn", "xformers"]], ids=" ".join)
def test_a_managed_package_that_another_managed_package_requires_gets_its_build_first(
    scene: Scene, asked: list[str]
) -> None:
    with_another(scene, scene.wheel("+cu126torch2.7"), "flash-attn>=2.8")
    done = scene.install(*asked)
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"
    assert {one["request"].partition(">")[0]: one["status"] for one in scene.outcome()["requests"]} == {
        "xformers": "fallback",
        "flash-attn": "fallback",
    }
    assert "undone" not in done.stderr


def test_two_managed_packages_that_require_each_other_and_one_that_nobody_has_come_to_an_end(scene: Scene) -> None:
    with_another(scene, scene.wheel("+cu126torch2.7", requires=("xformers>=9",)), "flash-attn>=2.8")
    before = tree(scene.prefix)
    done = scene.install("xformers")
    assert done.code == 1, done.said
    assert changes(before, tree(scene.prefix)) == []
