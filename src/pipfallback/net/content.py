"""Whether a file is a wheel as far as its two ends tell, and what it is if not."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from pipfallback.net.failures import FetchFailure

_ZIP = b"PK\x03\x04"
_CHUNK = 1 << 20


def wrong_start(start: bytes) -> FetchFailure | None:
    """What came instead of a wheel, by its first bytes (512 of them are enough)."""
    if start.startswith(_ZIP):
        return None
    return FetchFailure(cause="corrupt", message=_what_it_is(start.lstrip().lower()))


def _what_it_is(start: bytes) -> str:
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the wheel itself"
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page (a login or error page?), not a wheel"
    if start.startswith(b"<?xml"):
        return "it is an XML document (an error of the store?), not a wheel"
    if start.startswith(b"{"):
        return "it is a JSON document (an error of the server?), not a wheel"
    if start.startswith(b"\x1f\x8b"):
        return "it is compressed with gzip, not the wheel itself"
    return "it is empty" if not start else "it is not a zip file"


def wrong_file(path: Path) -> FetchFailure | None:
    """Why a file is no whole wheel. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        if (failure := wrong_start(file.read(512))) is not None:
            return failure
    if not zipfile.is_zipfile(path):
        size = path.stat().st_size
        return FetchFailure(cause="truncated", message=f"its end is missing: {size} bytes came")
    return None


def sha256_of(path: Path) -> str:
    """Its hash, in hexadecimal; memory stays small. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def wrong_hash(actual: str, wanted: str | None) -> FetchFailure | None:
    """The failure where a hash is not the one that was asked for."""
    if wanted is None or actual == wanted.lower():
        return None
    return FetchFailure(
        cause="hash-mismatch",
        message=f"sha256 is {actual}, not {wanted}: the file was changed, or this is an attack",
        hint="this may be an attack: ask the publisher before you accept the new hash",
    )
