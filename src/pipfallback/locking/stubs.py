"""Wheels that hold METADATA alone: enough for pip to resolve with a build that it need not fetch."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Stub:
    """A wheel file that stands for a build. ``name`` is PEP 503-normalised."""

    name: str
    path: Path

    def requirement(self, extras: Sequence[str] = ()) -> str:
        """What pip is to install: this very file, with its hash, which pip may ask for."""
        named = f"{self.name}[{','.join(extras)}]" if extras else self.name
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return f"{named} @ {self.path.as_uri()}#sha256={digest}"


def write_stub(folder: Path, filename: str, metadata: bytes, *, name: str, version: str) -> Stub:
    """A wheel of that ``filename`` (which tells its tags) below ``folder``, with this METADATA (PEP 427).

    ``name`` and ``version`` are those that METADATA states.
    """
    place = folder / hashlib.sha256(filename.encode() + b"\0" + metadata).hexdigest()[:16]
    place.mkdir(exist_ok=True)
    info = f"{canonicalize_name(name).replace('-', '_')}-{version}.dist-info"
    members = {
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: pipfallback\nRoot-Is-Purelib: false\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(place / filename, "w") as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member, date_time=_LONG_AGO), content)
    return Stub(name=canonicalize_name(name), path=place / filename)
