"""An earlier lock (PEP 751) as the one source of an install: what it names is taken, and no listing is asked.

Pure but for the reading of the file: what pip is given is returned as text.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast
from urllib.parse import quote, unquote, urlsplit

from packaging.markers import Environment as Answers
from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageVcs,
    PackageWheel,
    Pylock,
    PylockSelectError,
    PylockUnsupportedVersionError,
    PylockValidationError,
)

from pipfallback.environment import Environment
from pipfallback.errors import PipfallbackError
from pipfallback.markers import answers_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Artifact: TypeAlias = PackageVcs | PackageDirectory | PackageArchive | PackageWheel | PackageSdist


class LockFileError(PipfallbackError):
    """A lock cannot be read, or is not for this environment."""

    reference = "invalid-lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One package that a lock names for an environment, and the file or repository that it is taken from.

    ``location``: a URL (of a repository behind "git+" and the like, with its commit), or an absolute path.
    """

    package: Package
    artifact: Artifact
    location: str

    @property
    def sha256(self) -> str | None:
        """The hash that the file must have; None for a folder or a repository."""
        hashes = getattr(self.artifact, "hashes", None) or {}
        return str(hashes["sha256"]).lower() if "sha256" in hashes else None

    @property
    def is_file(self) -> bool:
        """Whether it is one file: a wheel or a source archive."""
        return isinstance(self.artifact, PackageArchive | PackageWheel | PackageSdist)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a lock names for one environment, by PEP 503 name. ``file``: the lock, as the user named it."""

    file: str
    taken: dict[str, Taken]


def read_lock(file: str) -> Pylock:
    """The lock in a file. Raises LockFileError, which names the file and what is wrong with it."""
    try:
        data = tomllib.loads(Path(file).read_text(encoding="utf-8"))
        return Pylock.from_dict(data)
    except OSError as error:
        raise LockFileError(f"{file}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LockFileError(f"{file} is not TOML: {error}") from None
    except PylockUnsupportedVersionError as error:
        raise LockFileError(f"{file}: {error}", hints=("a newer pipfallback may read it",)) from None
    except PylockValidationError as error:
        raise LockFileError(f"{file} is not a lock file (PEP 751): {error}") from None


def select(file: str, document: Pylock, environment: Environment) -> Selection:
    """What the lock names for an environment (PEP 751, "Installation"). Raises LockFileError where it is not for it."""
    answers = cast("Answers", dict(answers_of(environment)))
    folder = Path(file).absolute().parent
    try:
        chosen = list(document.select(environment=answers, tags=environment.tags))
    except PylockSelectError as error:
        python = ".".join(environment.python.version.split(".")[:2])
        raise LockFileError(
            f"{file} is not for this environment (Python {python}, {environment.platform})",
            details=(str(error),),
            hints=("make a lock for it: pipfallback lock",),
        ) from None
    taken = {
        str(package.name): Taken(package=package, artifact=artifact, location=_location(artifact, folder))
        for package, artifact in chosen
    }
    return Selection(file=file, taken=taken)


def links_page(selection: Selection) -> str:
    """A page of links to all files of the lock, with their hashes, as pip's ``--find-links`` reads one.

    With ``--no-index`` pip then finds these files and no others, without asking anybody for a listing.
    """
    links = (
        f'<a href="{html.escape(reference(taken))}">{html.escape(_file_name(taken.location))}</a><br>'
        for taken in selection.taken.values()
        if taken.is_file
    )
    return "\n".join(
        ["<!doctype html>", "<html><head><title>locked</title></head><body>", *links, "</body></html>", ""]
    )


def constraints(selection: Selection, without: Collection[str] = ()) -> Iterator[str]:
    """Lines of a constraints file that hold every package to what the lock names, but for those ``without``."""
    for name, taken in selection.taken.items():
        if name in without:
            continue
        if taken.package.version is not None:
            yield f"{name}=={taken.package.version}"
        elif taken.is_file:
            yield f"{name} @ {reference(taken)}"
        else:
            yield f"{name} @ {_as_url(taken.location)}"


def _location(artifact: Artifact, folder: Path) -> str:
    path = getattr(artifact, "path", None)
    if path is not None:
        local = str((folder / path).absolute())
        return (
            f"{artifact.type}+{Path(local).as_uri()}@{artifact.commit_id}"
            if isinstance(artifact, PackageVcs)
            else local
        )
    url = str(getattr(artifact, "url", ""))
    if isinstance(artifact, PackageVcs):
        below = f"#subdirectory={artifact.subdirectory}" if artifact.subdirectory else ""
        return f"{artifact.type}+{url}@{artifact.commit_id}{below}"
    return url


def reference(taken: Taken) -> str:
    """The URL of what is taken, with its hash (PEP 508 direct reference)."""
    url = _as_url(taken.location)
    return f"{url}#sha256={taken.sha256}" if taken.sha256 else url


def _as_url(location: str) -> str:
    return location if "://" in location else "file://" + quote(location)


def _file_name(location: str) -> str:
    return unquote(urlsplit(location).path if "://" in location else location).rpartition("/")[2]
