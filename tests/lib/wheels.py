"""A wheel factory: real zip files with METADATA, WHEEL and RECORD, the same bytes every time; and damaged ones."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

Content = str | bytes

_LONG_AGO = (2020, 1, 1, 0, 0, 0)


def make_wheel(
    folder: Path,
    name: str = "flash_attn",
    version: str = "2.8.3",
    *,
    filename_version: str | None = None,
    tag: str = "py3-none-any",
    build: str = "",
    files: Mapping[str, Content] | None = None,
    requires: Sequence[str] = (),
    requires_python: str | None = None,
    commands: Mapping[str, str] | None = None,
    data: Mapping[str, Content] | None = None,
    metadata: Sequence[str] = (),
    size_mb: int = 0,
) -> Path:
    """Write a wheel into ``folder`` (made if absent) and return its path.

    ``version`` stands in METADATA; ``filename_version`` ("2.8.3+cu12torch2.7cxx11abiFALSE") may say more in the name,
    as many publishers' names do. ``files`` are the members, by default a package that knows its version; a ``.pth``
    is a member as any other. ``commands`` are console scripts ("tool": "package:function"), ``data`` the members of
    the ``.data`` folder ("scripts/tool", "data/etc/x"), ``metadata`` further header lines. ``size_mb`` MiB of bytes
    that cannot be compressed make it as heavy as a real one.
    """
    project = re.sub(r"[-_.]+", "_", name)
    package = project.lower()
    members: dict[str, Content] = {
        **(files if files is not None else {f"{package}/__init__.py": f'__version__ = "{version}"\n'})
    }
    if size_mb:
        members[f"{package}/padding.bin"] = b"".join(_noise(size_mb))
    stem = f"{project}-{version}"
    members |= {f"{stem}.data/{path}": content for path, content in (data or {}).items()}
    members[f"{stem}.dist-info/METADATA"] = _metadata(name, version, requires, requires_python, metadata)
    members[f"{stem}.dist-info/WHEEL"] = _wheel(tag, build)
    if commands:
        lines = [f"{command} = {target}" for command, target in commands.items()]
        members[f"{stem}.dist-info/entry_points.txt"] = "\n".join(["[console_scripts]", *lines, ""])
    record = f"{stem}.dist-info/RECORD"
    members[record] = _record(members, record)
    parts = [project, filename_version or version, *([build] if build else []), tag]
    return _write(folder / ("-".join(parts) + ".whl"), members)


def cut(wheel: Path, *, share: float = 0.5) -> Path:
    """Keep only the first ``share`` of the file, as a connection that broke leaves it."""
    content = wheel.read_bytes()
    wheel.write_bytes(content[: int(len(content) * share)])
    return wheel


def damage_member(wheel: Path, member: str) -> Path:
    """Make the checksum of one member wrong, so that unpacking it fails with "Bad CRC-32"."""
    with zipfile.ZipFile(wheel) as archive:
        info = archive.getinfo(member)
    right, wrong = struct.pack("<L", info.CRC), struct.pack("<L", info.CRC ^ 0xFFFFFFFF)
    wheel.write_bytes(wheel.read_bytes().replace(right, wrong))
    return wheel


def without_member(wheel: Path, ending: str) -> Path:
    """Leave out the members whose path ends so ("RECORD", "METADATA"); RECORD still lists them."""
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if not name.endswith(ending)}
    return _write(wheel, members)


def html_page(folder: Path, filename: str) -> Path:
    """What a log-in page leaves on disk under a wheel's name."""
    return _place(
        folder / filename, b"<!doctype html>\n<html><head><title>Sign in</title></head><body></body></html>\n"
    )


def lfs_pointer(folder: Path, filename: str) -> Path:
    """What a clone without Git LFS has in the place of the wheel."""
    digest = hashlib.sha256(filename.encode()).hexdigest()
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 256040057\n"
    return _place(folder / filename, text.encode())


def sha256(path: Path) -> str:
    """The file's SHA-256 in lower-case hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _metadata(
    name: str, version: str, requires: Sequence[str], requires_python: str | None, more: Sequence[str]
) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *more]
    if requires_python is not None:
        lines.append(f"Requires-Python: {requires_python}")
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    return "\n".join([*lines, "", ""])


def _wheel(tag: str, build: str) -> str:
    pure = "true" if tag.endswith("-none-any") else "false"
    lines = ["Wheel-Version: 1.0", "Generator: pipfallback-tests", f"Root-Is-Purelib: {pure}"]
    lines += [f"Tag: {one}" for one in _expand(tag)]
    if build:
        lines.append(f"Build: {build}")
    return "\n".join([*lines, ""])


def _expand(tag: str) -> Iterator[str]:
    """PEP 425: a compressed tag set stands for each combination."""
    pythons, abis, platforms = (part.split(".") for part in tag.split("-"))
    for python in pythons:
        for abi in abis:
            for platform in platforms:
                yield f"{python}-{abi}-{platform}"


def _record(members: Mapping[str, Content], record: str) -> str:
    lines = []
    for path, content in members.items():
        raw = _bytes(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(raw)}")
    return "\n".join([*lines, f"{record},,", ""])


def _write(path: Path, members: Mapping[str, Content]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, date_time=_LONG_AGO)
            executable = name.endswith(".so") or ".data/scripts/" in name
            info.external_attr = (0o100755 if executable else 0o100644) << 16
            info.compress_type = zipfile.ZIP_STORED if name.endswith(".bin") else zipfile.ZIP_DEFLATED
            archive.writestr(info, _bytes(content))
    return path


def _place(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _noise(mebibytes: int) -> Iterable[bytes]:
    """Bytes that look random and are the same every time."""
    for number in range(mebibytes):
        yield hashlib.shake_256(str(number).encode()).digest(1024 * 1024)


def _bytes(content: Content) -> bytes:
    return content.encode() if isinstance(content, str) else content
