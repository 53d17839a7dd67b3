"""The directory of a zip and its members, read from few places, as zipfile reads them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.wheels import cut, damage_member, html_page, make_wheel
from pipfallback.inspection.findings import read_facts
from pipfallback.inspection.read_at import Bounded, LocalFile, TooMuchError
from pipfallback.inspection.wheel import InvalidWheelError
from pipfallback.inspection.zip_entries import BadZipError, Entry, open_member, read_entries

TEXT = bytes(range(256)) * 3000


class Unseekable(io.RawIOBase):
    """A stream that can only be written on: zipfile puts sizes behind the members then (data descriptors)."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, piece: object) -> int:
        self.content += piece  # type: ignore[operator]  # bytes or a view of bytes
        return len(piece)  # type: ignore[arg-type]  # the same


def written(path: Path, members: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.comment = comment
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def entry_of(path: Path, name: str) -> Entry:
    with LocalFile(path) as source:
        return next(entry for entry in read_entries(source) if entry.name == name)


def content_of(path: Path, name: str) -> bytes:
    entry = entry_of(path, name)
    with LocalFile(path) as source:
        return open_member(source, entry).read(0, entry.size)


def assert_read_as_zipfile_does(path: Path) -> None:
    with zipfile.ZipFile(path) as archive, LocalFile(path) as source:
        entries = read_entries(source)
        assert [(e.name, e.packed, e.size, e.offset) for e in entries] == [
            (i.filename, i.compress_size, i.file_size, i.header_offset) for i in archive.infolist()
        ]
        for entry in entries:
            assert open_member(source, entry).read(0, entry.size + 10) == archive.read(entry.name)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("comment", [b"", b"c" * 60_000, b"PK\5\6 no end"])
def test_stored_and_deflated_members_with_any_comment(tmp_path: Path, method: int, comment: bytes) -> None:
    if comment.startswith(b"PK"):
        comment = comment[2:]  # a comment that holds the end's mark would make zipfile itself err
    members = {"a.txt": TEXT, "ü/b.so": b"", "c": b"x"}
    assert_read_as_zipfile_does(written(tmp_path / "x.zip", members, method=method, comment=comment))


def test_sizes_that_stand_behind_the_members(tmp_path: Path) -> None:
    stream = Unseekable()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]  # it only writes
        archive.writestr("a.so", TEXT)
        archive.writestr("b.so", TEXT[:10])
    path = tmp_path / "x.zip"
    path.write_bytes(stream.content)
    assert_read_as_zipfile_does(path)


def test_zip64(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a.so", "w", force_zip64=True) as member:
            member.write(TEXT)
        for number in range(66_000):
            archive.writestr(f"m/{number}", b"", zipfile.ZIP_STORED)
    assert_read_as_zipfile_does_by_entries(path)
    assert content_of(path, "a.so") == TEXT


def assert_read_as_zipfile_does_by_entries(path: Path) -> None:
    with zipfile.ZipFile(path) as archive, LocalFile(path) as source:
        assert [e.name for e in read_entries(source)] == archive.namelist()


def test_sizes_and_offsets_of_zip64_fields(tmp_path: Path) -> None:
    path = written(tmp_path / "x.zip", {"a.so": TEXT})
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\1\2")
    packed = int.from_bytes(content[entry + 20 : entry + 24], "little")
    content[entry + 20 : entry + 28] = b"\xff" * 8
    content[entry + 30 : entry + 32] = (20).to_bytes(2, "little")
    extra = b"\1\0\x10\0" + len(TEXT).to_bytes(8, "little") + packed.to_bytes(8, "little")
    content[entry + 46 + 4 : entry + 46 + 4] = extra
    end = content.rindex(b"PK\5\6")
    size = int.from_bytes(content[end + 12 : end + 16], "little") + len(extra)
    content[end + 12 : end + 16] = size.to_bytes(4, "little")
    path.write_bytes(content)
    assert content_of(path, "a.so") == TEXT


def test_only_what_is_needed_is_read(tmp_path: Path) -> None:
    noise = os.urandom(4 << 20)
    path = written(tmp_path / "x.zip", {"big.so": noise, "other": TEXT})
    with LocalFile(path) as file:
        source = Bounded(file, 400_000)
        entry = next(entry for entry in read_entries(source) if entry.name == "big.so")
        member = open_member(source, entry, step=1 << 16)
        assert member.read(0, 100_000) == noise[:100_000]
        assert member.read(50_000, 1000) == noise[50_000:51_000]
        assert source.spent < 300_000
        with pytest.raises(TooMuchError):
            member.read(0, 1 << 20)


def test_no_byte_is_fetched_twice(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(TEXT)
    with LocalFile(path) as file:
        source = Bounded(file, len(TEXT))
        for offset, length in ((100, 200), (150, 100), (0, 50), (200, 300), (len(TEXT) - 5, 100)):
            assert source.read(offset, length) == TEXT[offset : offset + length]
        assert source.spent == 200 + 50 + 200 + 5


@settings(max_examples=30, deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, 6 << 20), st.integers(0, 1 << 20)), min_size=1, max_size=8))
def test_any_part_of_a_member_in_any_order(places: list[tuple[int, int]]) -> None:
    content = hashlib.shake_256(b"noise").digest(1 << 16) * 90
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("a", content)

    class Source:
        size = len(stream.getvalue())

        def read(self, offset: int, length: int, /) -> bytes:
            return stream.getvalue()[offset : offset + length]

    member = open_member(Source(), read_entries(Source())[0], step=1 << 14)
    for offset, length in places:
        assert member.read(offset, length) == content[offset : offset + length]


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    for path in (html_page(tmp_path, "a.whl"), cut(make_wheel(tmp_path))):
        with LocalFile(path) as source, pytest.raises(BadZipError, match="does not end as a zip does"):
            read_entries(source)


def test_a_damaged_stream_is_told(tmp_path: Path) -> None:
    wheel = written(tmp_path / "x.zip", {"a.so": TEXT})
    content = bytearray(wheel.read_bytes())
    content[40:300] = b"\xff" * 260
    wheel.write_bytes(content)
    with pytest.raises(BadZipError, match="damaged"):
        content_of(wheel, "a.so")


def test_a_member_that_is_not_where_the_directory_says_is_told(tmp_path: Path) -> None:
    wheel = written(tmp_path / "x.zip", {"a.so": TEXT})
    content = bytearray(wheel.read_bytes())
    content[:4] = b"XXXX"
    wheel.write_bytes(content)
    with pytest.raises(BadZipError, match=r"a\.so is not where the directory says"):
        content_of(wheel, "a.so")


@pytest.mark.parametrize("place", [8, 10])
def test_encryption_and_unknown_methods_are_told(tmp_path: Path, place: int) -> None:
    wheel = written(tmp_path / "x.zip", {"a.so": TEXT})
    content = bytearray(wheel.read_bytes())
    content[content.rindex(b"PK\1\2") + place] = 99
    wheel.write_bytes(content)
    with pytest.raises(BadZipError, match="encrypted, or packed in a way"):
        content_of(wheel, "a.so")


@settings(max_examples=200, deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_zip_ends_in_an_answer_or_a_refusal(places: list[tuple[int, int]]) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.so", TEXT[:5000])
        archive.writestr("b.so", b"x" * 50, zipfile.ZIP_STORED)
    content = bytearray(stream.getvalue())
    for at, value in places:
        content[at % len(content)] = value

    class Source:
        size = len(content)

        def read(self, offset: int, length: int, /) -> bytes:
            return bytes(content[offset : offset + length])

    with contextlib.suppress(BadZipError):
        for entry in read_entries(Source()):
            assert len(open_member(Source(), entry).read(0, 5000)) <= 5000


def test_a_damaged_member_of_a_wheel_is_no_matter_to_the_directory(tmp_path: Path) -> None:
    wheel = damage_member(make_wheel(tmp_path), "flash_attn-2.8.3.dist-info/METADATA")
    assert entry_of(wheel, "flash_attn-2.8.3.dist-info/METADATA").size > 0


def test_a_member_that_bears_another_name_where_it_lies_is_told_as_pip_would_fail_over_it(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0", files={"demo/__init__.py": "x = 1\n"})
    content = bytearray(wheel.read_bytes())
    content[32:34] = b"??"
    wheel.write_bytes(content)
    with pytest.raises(InvalidWheelError, match="has another name where it lies"):
        read_facts(wheel)
