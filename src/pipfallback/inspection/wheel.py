"""The zip and the METADATA of a wheel file (PEP 427)."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from packaging.metadata import InvalidMetadata, RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name, canonicalize_version

from pipfallback.builds import Build, Metadata

_DRIVE = re.compile(r"[A-Za-z]:")  # of Windows


class InvalidWheelError(ValueError):
    """The file is no wheel that pip would install; the message says why."""


def read_metadata(path: Path) -> Metadata:
    """METADATA of the wheel at ``path``. Raises InvalidWheelError."""
    try:
        with zipfile.ZipFile(path) as archive:
            return parse_metadata(archive.read(metadata_name(archive.namelist())))
    except (zipfile.BadZipFile, zlib.error) as error:
        raise InvalidWheelError(f"the zip is damaged: {error}") from error
    except (OSError, RuntimeError) as error:
        raise InvalidWheelError(str(error)) from error


def contradiction(build: Build, metadata: Metadata) -> str | None:
    """How METADATA contradicts the file name; None where it does not. The local version may be in one of them only."""
    if canonicalize_name(metadata.name) != build.name:
        return f"it is called {build.name} and holds {metadata.name}"
    version = canonicalize_version(metadata.version).partition("+")[0]
    if version != canonicalize_version(build.version.public):
        return f"it is called {build.version.public} and holds {metadata.version}"
    return None


def metadata_name(names: Sequence[str]) -> str:
    """Which member is METADATA. Raises InvalidWheelError where none is, or where a member must not be installed."""
    _check_names(names)
    found = [name for name in names if name.count("/") == 1 and name.endswith(".dist-info/METADATA")]
    if len(found) != 1:
        raise InvalidWheelError("it has several METADATA files" if found else "it has no METADATA")
    return found[0]


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or _DRIVE.match(name):
            raise InvalidWheelError(f"it would write outside of the environment: {name}")
    if len(set(names)) != len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise InvalidWheelError(f"it holds {twice} twice")


def parse_metadata(content: bytes) -> Metadata:
    """A METADATA file (core metadata specifications). Raises InvalidWheelError."""
    raw: RawMetadata = parse_email(content)[0]
    try:
        return Metadata(
            name=raw["name"],
            version=raw["version"],
            requires_python=SpecifierSet(raw["requires_python"]) if "requires_python" in raw else None,
            requires=tuple(Requirement(text) for text in raw.get("requires_dist", ())),
        )
    except (InvalidMetadata, InvalidRequirement, InvalidSpecifier, KeyError) as error:
        raise InvalidWheelError(f"its METADATA is invalid: {error}") from error
