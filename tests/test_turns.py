"""Which builds are tried one after another, and which need not be."""

from __future__ import annotations

from lib.scene import Scene
from lib.venvs import native_tag
from lib.wheels import make_wheel

LACKS = {"flash_attn/__init__.py": "import torch\nimport nowhere_else\n", "flash_attn_2_cuda.py": ""}


def build(scene: Scene, label: str, folder: str, **more: object) -> str:
    wheel = make_wheel(
        scene.server.folder / folder,
        "flash_attn",
        "2.8.3",
        filename_version=f"2.8.3{label}",
        tag=native_tag(scene.python),
        files={**LACKS, "flash_attn/label.py": f"LABEL = {label!r}\n"},
        **more,  # type: ignore[arg-type]
    )
    return scene.server.url_of(wheel)


def attempts(scene: Scene) -> list[str]:
    return [each["url"].rpartition("/v/")[2] for each in scene.outcome()["attempts"]]


def test_a_wheel_under_several_tags_is_tried_once(scene: Scene) -> None:
    broken = scene.wheel("+cu12torch2.7", broken=True)
    scene.catalog(
        broken,
        scene.wheel("+cu12torch2.7", broken=True, folder="again/v"),
        scene.wheel("+cu126torch2.7", version="2.8.2"),
    )
    done = scene.install("flash-attn", "--no-peek")
    assert done.code == 0, done.said
    assert len(attempts(scene)) == 2
    assert scene.label() == "+cu126torch2.7"


def test_a_copy_is_tried_where_the_first_could_not_be_had(scene: Scene) -> None:
    works = scene.wheel("+cu12torch2.7")
    gone = scene.server.url_of(works).replace("/v/", "/gone/v/")
    scene.catalog(gone, works)
    done = scene.install("flash-attn", "--no-peek")
    assert done.code == 0, done.said
    assert [each["ok"] for each in scene.outcome()["attempts"]] == [False, True]


def test_what_two_builds_lacked_the_others_are_not_tried_for(scene: Scene) -> None:
    urls = [build(scene, f"+cu12{number}torch2.7", "v") for number in range(5)]
    scene.catalog(*urls)
    done = scene.install("flash-attn", "--no-peek")
    assert done.code == 1
    assert len(attempts(scene)) == 2
    assert "pipfallback: 2 builds lack the same" in done.stderr
    assert "hint: install what provides nowhere_else" in done.stderr
    assert "3 more fit and were not tried: they are the same files, or lack the same" in done.stderr


def test_builds_that_fail_in_other_ways_are_all_tried(scene: Scene) -> None:
    scene.catalog(*(scene.wheel(f"+cu12{number}torch2.7", broken=True) for number in range(3)))
    done = scene.install("flash-attn", "--no-peek")
    assert done.code == 1
    assert len(attempts(scene)) == 3
    assert "lack the same" not in done.stderr
