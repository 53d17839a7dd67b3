"""Installs that the file decides: what it really needs is known before pip touches anything, often before it is fetched."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from lib.binaries import compiled_anew
from lib.extensions import shared_library
from lib.program import Completed, run_pipfallback
from lib.scene import NAME, WORKS, Scene
from lib.server import NO_RANGES
from lib.trees import changes, tree
from lib.venvs import native_tag
from lib.wheels import make_wheel

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler")

NEW = "_ZN3c106detail14torchCheckFailEPKcS2_jRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
OLD = "_ZN3c106detail14torchCheckFailEPKcS2_jRKSs"
# What no test of ours decompresses: a wheel whose size shows whether it was fetched.
BALLAST = random.Random(0).randbytes(4_000_000)  # noqa: S311  (no secret)


def give_torch_libraries(scene: Scene) -> None:
    """A libc10.so that exports what torch's own check calls, with the new C++ ABI, and is loaded by import torch."""
    folder = scene.site / "torch" / "lib"
    folder.mkdir(exist_ok=True)
    (folder / "libc10.so").write_bytes(shared_library("libc10.so", defines=[NEW]))
    module = scene.site / "torch" / "__init__.py"
    load = "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), 'lib', 'libc10.so'), ctypes.RTLD_GLOBAL)\n"
    module.write_text(module.read_text().replace("from __future__ import annotations\n", "", 1) + load)


def build(scene: Scene, label: str, symbol: str, version: str = "2.8.3") -> Path:
    """A flash_attn on the server whose extension calls ``symbol``."""
    source = (
        f"void {symbol}(void); void* PyModule_Create2(void*, int);\n"
        "struct Def { long base[5]; const char* name; const char* doc; long size; void* rest[5]; };\n"
        'static struct Def def = {{1, 0, 0, 0, 0}, "flash_attn_2_cuda", 0, -1, {0, 0, 0, 0, 0}};\n'
        f"void call(void) {{ {symbol}(); }}\n"
        "void* PyInit_flash_attn_2_cuda(void) { return PyModule_Create2(&def, 1013); }\n"
    )
    extension = compiled_anew(source, "-Wl,-z,now")
    files = {**WORKS, "flash_attn_2_cuda.so": extension, "flash_attn/ballast.bin": BALLAST}
    tag = native_tag(scene.python)
    folder = scene.server.folder / "v"
    return make_wheel(folder, NAME, version, filename_version=f"{version}{label}", tag=tag, files=files)


def asked(scene: Scene, *words: str | Path) -> Completed:
    options: list[str | Path] = ["--fallbacks", scene.folder / "builds.toml", "--json"]
    return run_pipfallback([words[0], *options, *words[1:]], python=scene.python, env=scene.environ)


def sent(scene: Scene, wheel: Path) -> int:
    return sum(one.sent for one in scene.server.requests_of("/v/" + wheel.name))


def test_a_label_that_lies_is_found_out_before_anything_large_is_fetched(scene: Scene) -> None:
    """Both names say nothing of the C++ ABI; one file has the old one."""
    give_torch_libraries(scene)
    lies, works = build(scene, "+cu126torch2.7", OLD), build(scene, "+cu126torch2.7", NEW, "2.8.2")
    scene.catalog(lies, works)
    done = scene.install("flash-attn")
    assert done.code == 0, done.said
    first, second = scene.outcome()["decisions"][:2]
    assert (first["filename"], first["grade"]) == (works.name, "fits"), "what was open is settled"
    assert [attempt["url"] for attempt in scene.outcome()["attempts"]] == [scene.server.url_of(works)]
    (refused,) = [each for each in scene.outcome()["decisions"] if each["filename"] == lies.name]
    assert {each["rule"] for each in refused["mismatches"]} >= {"symbols"}
    assert sent(scene, lies) < lies.stat().st_size / 4
    assert second["accepted"] is False or second["filename"] != lies.name


def test_the_name_may_say_false_where_the_file_is_right(scene: Scene) -> None:
    give_torch_libraries(scene)
    works = build(scene, "+cu126torch2.7cxx11abiFALSE", NEW)
    scene.catalog(works)
    done = scene.install("flash-attn")
    assert done.code == 0, done.said
    assert scene.outcome()["decisions"][0]["build"]["cxx11_abi"] is True
    assert scene.outcome()["decisions"][0]["build"]["cxx11_abi_label"] is False


def test_without_a_peek_the_file_is_inspected_when_it_is_there(scene: Scene) -> None:
    give_torch_libraries(scene)
    lies = build(scene, "+cu126torch2.7", OLD)
    scene.catalog(lies)
    before = tree(scene.prefix)
    done = scene.install("flash-attn", "--no-peek")
    assert done.code == 1
    (attempt,) = scene.outcome()["attempts"]
    assert attempt["stage"] == "inspect"
    assert "c10::detail::torchCheckFail" in attempt["error"]
    assert changes(before, tree(scene.prefix)) == []
    assert sent(scene, lies) >= lies.stat().st_size


def test_what_was_predicted_is_what_the_import_says(scene: Scene) -> None:
    """The same file, given to pip itself: the prediction was right."""
    give_torch_libraries(scene)
    lies = build(scene, "+cu126torch2.7", OLD)
    scene.catalog()
    assert scene.pip("install", "--no-index", "--no-deps", lies).code == 0
    done = run_pipfallback(
        ["verify", "--fallbacks", scene.folder / "builds.toml", "flash-attn"], python=scene.python, env=scene.environ
    )
    assert done.code == 1
    assert OLD in done.stdout.replace("\n", "").replace(" ", "")


def test_plan_and_explain_look_into_the_file_too(scene: Scene) -> None:
    give_torch_libraries(scene)
    lies = build(scene, "+cu126torch2.7", OLD)
    scene.catalog(lies)
    (planned,) = [
        each
        for each in json.loads(asked(scene, "plan", "flash-attn").stdout)["decisions"]
        if each["filename"] == lies.name
    ]
    assert planned["accepted"] is False
    for argument in (lies, scene.server.url_of(lies)):
        (explained,) = json.loads(asked(scene, "explain", argument).stdout)["decisions"]
        assert explained["file"]["cxx11_abi"] is False
        assert explained["file"]["objects"][0]["missing"] == [{"symbol": OLD, "name": "c10::detail::torchCheckFail"}]
        assert "symbols" in {each["rule"] for each in explained["mismatches"]}
    unpeeked = json.loads(asked(scene, "explain", "--no-peek", scene.server.url_of(lies)).stdout)["decisions"][0]
    assert "file" not in unpeeked


def test_a_described_machine_is_not_peeked_for(scene: Scene) -> None:
    wheel = build(scene, "+cu126torch2.7", OLD)
    scene.catalog(wheel)
    asked(scene, "plan", "--torch", "2.7.1+cu126", "--platform", "linux_x86_64", "--glibc", "2.35", "flash-attn")
    assert scene.server.requests_of("/v/" + wheel.name) == []


def test_a_server_without_ranges_is_simply_fetched_from(scene: Scene) -> None:
    give_torch_libraries(scene)
    works = build(scene, "+cu126torch2.7", NEW)
    scene.catalog(works)
    scene.server.answer("/v/" + works.name, NO_RANGES)
    done = scene.install("flash-attn")
    assert done.code == 0, done.said
    assert (scene.site / "flash_attn" / "ballast.bin").exists()
