"""``pipfallback verify``: what is installed, asked whether it works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib.extensions import has_compiler
from lib.program import Completed, run_pipfallback
from lib.scene import Scene
from lib.wheels import make_wheel


def verified(scene: Scene, *words: str) -> Completed:
    catalog = ("--fallbacks", str(scene.folder / "builds.toml"))
    return run_pipfallback(["verify", *catalog, *words], python=scene.python, env=scene.environ)


def put(scene: Scene, name: str, code: str) -> None:
    wheel = make_wheel(scene.folder / "wheels", name, "1.0", files={f"{name}/__init__.py": code})
    assert scene.pip("install", "--no-index", "--no-deps", wheel).code == 0


def test_a_working_package_and_one_that_is_not_there(scene: Scene) -> None:
    scene.catalog(scene.wheel("+cu126torch2.7"))
    assert scene.install("flash-attn").code == 0
    done = verified(scene, "flash_attn", "nothing-of-this-name", "--json")
    assert done.code == 1
    first, second = json.loads(done.stdout)["packages"]
    assert first == {
        "name": "flash-attn", "version": "2.8.3", "status": "imports", "cause": None, "message": None, "hint": None
    }  # fmt: skip
    assert (second["name"], second["version"], second["status"]) == ("nothing-of-this-name", None, "broken")


@pytest.mark.skipif(not has_compiler(), reason="no C compiler")
def test_without_names_every_package_of_the_catalog_is_tried(scene: Scene) -> None:
    wheel = scene.wheel("+cu126torch2.7", broken=True)
    scene.catalog(wheel)
    assert scene.pip("install", "--no-index", wheel).code == 0
    put(scene, "bystander", "raise ImportError\n")
    done = verified(scene)
    assert done.code == 1
    assert "flash-attn 2.8.3  broken" in done.stdout
    assert "built for another torch" in done.stdout
    assert "bystander" not in done.stdout


def test_nothing_to_verify_is_said(scene: Scene) -> None:
    scene.catalog()
    assert scene.pip("uninstall", "--yes", "torch").code == 0
    done = verified(scene)
    assert (done.code, done.stdout) == (0, "no package is installed that a fallbacks.toml knows\n")


def test_a_package_outside_the_catalog_is_imported_by_what_it_brings(scene: Scene) -> None:
    scene.catalog()
    put(scene, "good", "")
    put(scene, "bad", "import nothing_of_this_name\n")
    assert verified(scene, "good").code == 0
    done = verified(scene, "bad", "--json")
    assert done.code == 1
    (package,) = json.loads(done.stdout)["packages"]
    assert (package["status"], package["cause"]) == ("broken", "missing-dependency")
    assert package["hint"] == "install what provides nothing_of_this_name"


def test_an_editable_install_is_imported_by_its_name(scene: Scene) -> None:
    scene.catalog()
    info = scene.site / "edited-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: edited\nVersion: 1.0\n")
    (info / "RECORD").write_text("__editable__.edited-1.0.pth,,\nedited-1.0.dist-info/METADATA,,\n")
    (scene.site / "edited.py").write_text("")
    assert verified(scene, "edited").code == 0


def test_no_driver_is_inconclusive_and_no_failure(scene: Scene) -> None:
    scene.catalog()
    put(scene, "driven", "raise ImportError('libcuda.so.1: cannot open shared object file: No such file')\n")
    done = verified(scene, "driven")
    assert done.code == 0
    assert "inconclusive" in done.stdout
    assert "where a driver and a GPU are" in done.stdout


def test_a_wrong_option_is_a_mistake_of_usage(tmp_path: Path, environ: dict[str, str]) -> None:
    done = run_pipfallback(["verify", "--all"], cwd=tmp_path, env=environ)
    assert done.code == 2
    assert "unrecognized arguments: --all" in done.stderr
