"""Which modules of a wheel are proposed as proof that it works."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.wheels import make_wheel, without_member
from pipfallback.builds import read_build
from pipfallback.catalog_work.wheels import Contents, contents_on_disk, proposed
from pipfallback.net.failures import FetchFailure


@pytest.mark.parametrize(
    ("members", "listed", "wanted"),
    [
        (["wobbly/__init__.py", "wobbly/data.py"], [], ("wobbly",)),
        (["a.py", "wobbly_cuda.abi3.so", "wobbly.pyd"], [], ("wobbly", "wobbly_cuda", "a")),
        (["_wobbly_c.cpython-312-x86_64-linux-gnu.so"], [], ("_wobbly_c",)),
        (["wobbly/ops.py", "gear/ops.py"], [], ("wobbly",)),
        (["wobbly/ops.py", "gear/ops.py"], ["gear", "wobbly"], ("wobbly", "gear")),
        (["wobbly-1.0.data/platlib/wobbly/__init__.py"], [], ("wobbly",)),
        (["wobbly-1.0.data/scripts/run.py", "wobbly-1.0.dist-info/x.py"], [], ()),
        (["tests/__init__.py", "setup.py", "wobbly.libs/libcudart.so", "class.py", "data/x.json"], [], ()),
        (["wobbly.libs/libgomp.so.1", "wobbly/_C.so", "wobbly/__init__.py"], [], ("wobbly",)),
    ],
)
def test_modules_at_the_top_are_proposed(members: list[str], listed: list[str], wanted: tuple[str, ...]) -> None:
    assert proposed(members, listed, "wobbly") == wanted


def test_metadata_says_whether_torch_is_needed(tmp_path: Path) -> None:
    for requires, torch in ((["torch>=2"], True), (["numpy"], False)):
        path = make_wheel(tmp_path, "wobbly", "1.0", requires=requires)
        assert contents_on_disk(path, read_build(path.name)) == Contents(imports=("wobbly",), needs_torch=torch)


def test_torch_itself_is_not_tied_to_torch(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "torch", "2.7.1", filename_version="2.7.1+cu126")
    assert contents_on_disk(path, read_build(path.name)) == Contents(imports=("torch",), needs_torch=False)


def test_top_level_txt_decides_about_folders_without_init(tmp_path: Path) -> None:
    files = {"gear/ops.py": "", "rubbish/ops.py": "", "wobbly-1.0.dist-info/top_level.txt": "gear\n"}
    path = make_wheel(tmp_path, "wobbly", "1.0", files=files)
    contents = contents_on_disk(path, read_build(path.name))
    assert isinstance(contents, Contents)
    assert contents.imports == ("gear",)


def test_what_pip_would_refuse_is_told(tmp_path: Path) -> None:
    path = without_member(make_wheel(tmp_path, "wobbly", "1.0"), "METADATA")
    failure = contents_on_disk(path, read_build(path.name))
    assert isinstance(failure, FetchFailure)
    assert failure.message == "pip would refuse it: it has no METADATA"
