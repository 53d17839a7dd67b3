"""torch and its companions as what is asked for: had from their own channels where pip finds none, before what needs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib.catalogs import silenced
from lib.scene import Scene
from lib.torch import make_torch
from lib.trees import changes, tree
from lib.wheels import make_wheel

LIBRARIES = "nvidia-cuda-runtime-cu12"


def channel(scene: Scene, *wheels: Path) -> None:
    """Add to the fallbacks: wheels of torch and torchvision that only the catalog's source lists."""
    text = ""
    for package in ("torch", "torchvision", "torchaudio"):
        text += silenced(package, scene.server.url)
        urls = [scene.server.url_of(wheel) for wheel in wheels if wheel.name.startswith(f"{package}-")]
        if urls:
            text += f'[[package.{package}.source]]\nname = "channel"\ntrust = "official"\nkind = "url"\nurl = {json.dumps(urls)}\n'
    with (scene.folder / "builds.toml").open("a") as file:
        file.write(text)


def torchvision(scene: Scene, version: str, torch: str, folder: Path | None = None) -> Path:
    files = {"torchvision/__init__.py": "import torch\n", "torchvision/ops.py": ""}
    folder = folder or scene.server.folder / "channel"
    return make_wheel(folder, "torchvision", version, files=files, requires=(f"torch=={torch}",))


def version_of(scene: Scene, name: str) -> str:
    done = scene.pip("list", "--format=json")
    return {each["name"]: each["version"] for each in json.loads(done.stdout)}.get(name, "")


@pytest.fixture
def bare(scene: Scene) -> Scene:
    """Without a torch."""
    assert scene.pip("uninstall", "--yes", "torch").code == 0
    return scene


def test_a_label_that_pips_index_does_not_have_is_had_from_torchs_own_channel(bare: Scene) -> None:
    bare.catalog()
    channel(bare, make_torch(bare.server.folder / "channel", "2.5.1+cu121"))
    done = bare.install("torch==2.5.1+cu121")
    assert done.code == 0, done.said
    assert version_of(bare, "torch") == "2.5.1+cu121"
    assert bare.outcome()["installed"]["verified"] == "imports"
    assert bare.outcome()["status"] == "fallback"


@pytest.mark.parametrize("turned", [False, True])
def test_what_needs_it_is_chosen_for_the_torch_that_came(bare: Scene, turned: bool) -> None:
    bare.catalog(bare.wheel("+cu126torch2.7"), bare.wheel("+cu121torch2.5"))
    made = make_torch(bare.server.folder / "channel", "2.5.1+cu121")
    channel(bare, made, torchvision(bare, "0.20.1+cu121", "2.5.1"))
    words = ["torch==2.5.1+cu121", "torchvision==0.20.1+cu121", "flash-attn"]
    done = bare.install(*(reversed(words) if turned else words))
    assert done.code == 0, done.said
    assert (version_of(bare, "torch"), version_of(bare, "torchvision")) == ("2.5.1+cu121", "0.20.1+cu121")
    assert bare.label() == "+cu121torch2.5"
    assert [each["status"] for each in bare.outcome()["requests"]] == ["fallback"] * 3


def test_where_nothing_works_for_that_torch_not_even_torch_stays(bare: Scene) -> None:
    bare.catalog(bare.wheel("+cu126torch2.7"))
    channel(bare, make_torch(bare.server.folder / "channel", "2.5.1+cu121"))
    before = tree(bare.prefix)
    done = bare.install("torch==2.5.1+cu121", "flash-attn")
    assert done.code == 1
    assert "torch-version" in done.stderr
    assert changes(before, tree(bare.prefix)) == []


def test_the_cuda_distributions_of_torch_move_with_it_and_nothing_else_does(scene: Scene) -> None:
    links = scene.folder / "links"
    for version in ("12.6.77", "12.8.90"):
        make_wheel(links, LIBRARIES, version, files={"nvidia_runtime.py": ""})
    make_wheel(links, "bystander", "1.0", files={"bystander.py": ""})
    make_wheel(links, "bystander", "2.0", files={"bystander.py": ""})
    old = make_torch(links, "2.7.1+cu126", requires=(f"{LIBRARIES}==12.6.77",))
    at = ("--no-index", "--find-links", str(links))
    assert scene.pip("install", *at, "--force-reinstall", str(old), "bystander==1.0").code == 0
    new = make_torch(scene.server.folder / "channel", "2.8.0+cu128", requires=(f"{LIBRARIES}==12.8.90", "bystander"))
    scene.catalog()
    channel(scene, new)
    done = scene.install("--find-links", links, "torch==2.8.0+cu128")
    assert done.code == 0, done.said
    assert version_of(scene, "torch") == "2.8.0+cu128"
    assert version_of(scene, LIBRARIES) == "12.8.90"
    assert version_of(scene, "bystander") == "1.0"


def test_pip_itself_may_exchange_a_torch_that_is_asked_for(scene: Scene) -> None:
    links = scene.folder / "links"
    make_wheel(links, LIBRARIES, "12.6.77", files={"nvidia_runtime.py": ""})
    make_wheel(links, LIBRARIES, "12.8.90", files={"nvidia_runtime.py": ""})
    old = make_torch(links, "2.7.1+cu126", requires=(f"{LIBRARIES}==12.6.77",))
    assert scene.pip("install", "--no-index", "--find-links", links, "--force-reinstall", old).code == 0
    make_torch(links, "2.8.0+cu128", requires=(f"{LIBRARIES}==12.8.90",))
    scene.catalog()
    channel(scene)
    done = scene.install("--find-links", links, "--upgrade", "torch")
    assert done.code == 0, done.said
    assert (version_of(scene, "torch"), version_of(scene, LIBRARIES)) == ("2.8.0+cu128", "12.8.90")
    assert "pipfallback" not in done.stderr


def test_a_torch_that_does_not_import_is_replaced_by_one_that_does(bare: Scene) -> None:
    links = bare.folder / "links"
    make_torch(
        links,
        "2.7.1",
        files={"torch/__init__.py": 'raise ImportError("libcudnn.so.9: cannot open shared object file")\n'},
    )
    bare.catalog()
    channel(bare, make_torch(bare.server.folder / "channel", "2.7.1+cu126"))
    done = bare.install("--find-links", links, "torch==2.7.1")
    assert done.code == 0, done.said
    assert version_of(bare, "torch") == "2.7.1+cu126"


def test_a_dry_run_names_the_torch_that_it_would_try(bare: Scene) -> None:
    bare.catalog()
    channel(bare, make_torch(bare.server.folder / "channel", "2.5.1+cu121"))
    before = tree(bare.prefix)
    done = bare.install("--dry-run", "torch==2.5.1+cu121")
    assert done.code == 0, done.said
    assert "would try torch-2.5.1+cu121-py3-none-any.whl (channel) first" in done.stderr
    assert changes(before, tree(bare.prefix)) == []


def test_what_pip_lacks_of_another_name_is_no_matter_of_torchs(scene: Scene) -> None:
    scene.catalog()
    channel(scene, make_torch(scene.server.folder / "channel", "2.7.1+cu126"))
    done = scene.install("torch-geometric")
    assert done.code == 1
    assert "No matching distribution found for torch-geometric" in done.stderr
    assert "considered" not in done.stderr
