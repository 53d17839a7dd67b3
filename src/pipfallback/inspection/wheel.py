"""The zip and the METADATA of a wheel file (PEP 427)."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from packaging.metadata import InvalidMetadata, RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name, canonicalize_version

from pipfallback.builds import Build, Metadata


class InvalidWheelError(ValueError):
    """The file is no wheel that pip would install; the message says why."""


def read_metadata(path: Path) -> Metadata:
    """METADATA of the wheel at ``path``. Raises InvalidWheelError."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_names(archive)
            return parse_metadata(archive.read(_metadata_name(archive)))
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


def _check_names(archive: zipfile.ZipFile) -> None:
    for name in archive.namelist():
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise InvalidWheelError(f"it would write outside of the environment: {name}")


def _metadata_name(archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith(".dist-info/METADATA")]
    if len(names) != 1:
        raise InvalidWheelError("it has no METADATA" if not names else "it has several METADATA files")
    return names[0]


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
