"""METADATA read from real wheel files, sound and damaged."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from lib.wheels import cut, damage_member, html_page, lfs_pointer, make_wheel, without_member
from pipfallback.builds import Metadata, read_build
from pipfallback.inspection.wheel import InvalidWheelError, contradiction, read_metadata

METADATA = "flash_attn-2.8.3.dist-info/METADATA"


def refusal(wheel: Path) -> str:
    with pytest.raises(InvalidWheelError) as caught:
        read_metadata(wheel)
    return str(caught.value)


def with_member(wheel: Path, name: str, content: str | bytes = "") -> Path:
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(name, content)
    return wheel


def with_metadata(folder: Path, text: str | bytes) -> Path:
    wheel = without_member(make_wheel(folder), "/METADATA")
    return with_member(wheel, METADATA, text)


def test_name_version_and_what_it_requires_are_read(tmp_path: Path) -> None:
    wheel = make_wheel(
        tmp_path,
        requires=["torch==2.7.1", "einops", 'ninja; extra == "dev"'],
        requires_python=">=3.9,<4",
        metadata=["Summary: Größe", "Classifier: Programming Language :: Python"],
    )
    assert read_metadata(wheel) == Metadata(
        name="flash_attn",
        version="2.8.3",
        requires_python=SpecifierSet(">=3.9,<4"),
        requires=(Requirement("torch==2.7.1"), Requirement("einops"), Requirement('ninja; extra == "dev"')),
    )


def test_what_is_not_said_is_not_invented(tmp_path: Path) -> None:
    assert read_metadata(make_wheel(tmp_path)) == Metadata(name="flash_attn", version="2.8.3")


def test_a_vendored_distribution_inside_does_not_count(tmp_path: Path) -> None:
    wheel = with_member(make_wheel(tmp_path), "flash_attn/_vendor/six-1.0.dist-info/METADATA", "Name: six\n")
    assert read_metadata(wheel).name == "flash_attn"


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    for wheel in (html_page(tmp_path, "a.whl"), lfs_pointer(tmp_path, "b.whl"), cut(make_wheel(tmp_path))):
        assert refusal(wheel).startswith("the zip is damaged: ")


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    assert "Bad CRC-32" in refusal(damage_member(make_wheel(tmp_path), METADATA))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "gone.whl")


def test_a_member_with_a_broken_stream_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        info = archive.getinfo(METADATA)
    content = bytearray(wheel.read_bytes())
    start = info.header_offset + 30 + len(METADATA)
    content[start : start + info.compress_size] = b"\xff" * info.compress_size
    wheel.write_bytes(content)
    assert refusal(wheel).startswith("the zip is damaged: ")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        info = archive.getinfo(METADATA)
    content = bytearray(wheel.read_bytes())
    content[info.header_offset + 6] |= 1  # general purpose flag, bit 0 (APPNOTE.TXT 4.4.4): locally ...
    entry = content.rindex(METADATA.encode()) - 46
    content[entry + 8] |= 1  # ... and in the central directory
    wheel.write_bytes(content)
    assert "encrypted" in refusal(wheel)


def test_a_compression_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    content = bytearray(wheel.read_bytes())
    entry = content.rindex(METADATA.encode()) - 46
    content[entry + 10] = 99
    wheel.write_bytes(content)
    assert refusal(wheel)


def test_a_wheel_without_metadata_is_refused(tmp_path: Path) -> None:
    assert refusal(without_member(make_wheel(tmp_path), "/METADATA")) == "it has no METADATA"


def test_a_wheel_with_two_distributions_is_refused(tmp_path: Path) -> None:
    wheel = with_member(make_wheel(tmp_path), "other-1.0.dist-info/METADATA", "Name: other\nVersion: 1.0\n")
    assert refusal(wheel) == "it has several METADATA files"


@pytest.mark.parametrize("name", ["../evil.py", "flash_attn/../../evil.py", "/etc/evil", "..\\evil.py"])
def test_a_member_that_would_lie_outside_is_refused(tmp_path: Path, name: str) -> None:
    wheel = with_member(make_wheel(tmp_path), name, "evil")
    assert refusal(wheel) == f"it would write outside of the environment: {name}"


def test_two_dots_in_a_name_are_no_way_out(tmp_path: Path) -> None:
    assert read_metadata(with_member(make_wheel(tmp_path), "flash_attn/a..b.py")).name == "flash_attn"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Metadata-Version: 2.1\nVersion: 2.8.3\n", "name"),
        ("Metadata-Version: 2.1\nName: flash_attn\n", "version"),
        ("Name: flash_attn\nVersion: 2.8.3\nRequires-Dist: torch (unfinished\n", "torch (unfinished"),
        ("Name: flash_attn\nVersion: 2.8.3\nRequires-Python: three\n", "three"),
        (b"\xff\xfe\x00", "name"),
        ("", "name"),
    ],
)
def test_metadata_that_cannot_be_read_is_refused(tmp_path: Path, text: str | bytes, what: str) -> None:
    message = refusal(with_metadata(tmp_path, text))
    assert message.startswith("its METADATA is invalid: ")
    assert what in message


def test_a_version_that_is_none_is_passed_on_for_pip_to_refuse(tmp_path: Path) -> None:
    wheel = with_metadata(tmp_path, "Name: flash_attn\nVersion: not a version\n")
    found = contradiction(read_build(wheel.name), read_metadata(wheel))
    assert found == "it is called 2.8.3 and holds not a version"


@pytest.mark.parametrize(
    ("filename", "name", "version"),
    [
        ("flash_attn-2.8.3-py3-none-any.whl", "flash_attn", "2.8.3"),
        ("flash_attn-2.8.3+cu12torch2.7cxx11abiTRUE-cp311-cp311-linux_x86_64.whl", "flash-attn", "2.8.3"),
        ("flash_attn-2.8.3-cp311-cp311-linux_x86_64.whl", "Flash.Attn", "2.8.3+cu12torch2.7cxx11abitrue"),
        ("flash_attn-2.8.3+cu128-cp311-cp311-linux_x86_64.whl", "flash_attn", "2.8.3+cu126"),
        ("flash_attn-2.8.3-py3-none-any.whl", "flash_attn", "v2.8.3"),
        ("torch_scatter-2.1.2-py3-none-any.whl", "torch_scatter", "2.1.2.0"),
        ("flash_attn-2.8.3.post1-py3-none-any.whl", "flash_attn", "2.8.3-1"),
    ],
)
def test_what_is_the_same_in_another_spelling_is_no_contradiction(filename: str, name: str, version: str) -> None:
    assert contradiction(read_build(filename), Metadata(name=name, version=version)) is None


@pytest.mark.parametrize(
    ("name", "version", "text"),
    [
        ("flash_attn_3", "2.8.3", "it is called flash-attn and holds flash_attn_3"),
        ("flash_attn", "2.8.2", "it is called 2.8.3 and holds 2.8.2"),
        ("flash_attn", "2.8.3.post1", "it is called 2.8.3 and holds 2.8.3.post1"),
        ("flash_attn", "1!2.8.3", "it is called 2.8.3 and holds 1!2.8.3"),
    ],
)
def test_another_name_or_version_inside_is_a_contradiction(name: str, version: str, text: str) -> None:
    build = read_build("flash_attn-2.8.3+cu12torch2.7-cp311-cp311-linux_x86_64.whl")
    assert contradiction(build, Metadata(name=name, version=version)) == text
