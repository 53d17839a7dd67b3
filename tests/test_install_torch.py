"""Which torch stays, and which comes, where what was asked for beside a managed package wants another one."""

from __future__ import annotations

from pathlib import Path

from lib.scene import Scene
from lib.torch import make_torch
from lib.trees import changes, tree
from lib.wheels import make_wheel


def torchvision_for(scene: Scene, torch: str) -> tuple[str | Path, ...]:
    """Words of a command that asks for a torchvision made for ``torch``, and find both."""
    links = scene.folder / "links"
    make_torch(links, torch)
    make_wheel(
        links,
        "torchvision",
        "0.21.0",
        files={"torchvision/__init__.py": "", "torchvision/ops.py": ""},
        requires=(f"torch=={torch}",),
    )
    return ("--no-index", "--find-links", links, "torchvision==0.21.0")


def test_what_was_asked_for_beside_it_may_bring_another_torch_and_that_is_said(scene: Scene) -> None:
    words = torchvision_for(scene, "2.6.0+cu124")
    for_the_old = scene.wheel("+cu126torch2.7")
    for_the_new = scene.wheel("+cu124torch2.6")
    scene.catalog(for_the_old, for_the_new)
    done = scene.install(*words, "flash-attn")
    assert done.code == 0, done.said
    assert scene.label() == "+cu124torch2.6"
    assert "so pip changed it: torch 2.7.1+cu126 -> 2.6.0+cu124" in done.stderr


def test_keep_torch_holds_it_against_whatever_was_asked_for(scene: Scene) -> None:
    words = torchvision_for(scene, "2.6.0+cu124")
    scene.catalog(scene.wheel("+cu126torch2.7"))
    before = tree(scene.prefix)
    done = scene.install("--keep-torch", *words, "flash-attn")
    assert done.code == 1
    assert "conflict" in done.stderr
    assert changes(before, tree(scene.prefix)) == []
