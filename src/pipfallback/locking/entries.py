"""Entries of a lock (PEP 751): of a chosen build, and of what pip's report says that it would install."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageVcs,
    PackageWheel,
)
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from pipfallback.errors import PipfallbackError
from pipfallback.locking.settling import Settled
from pipfallback.net.local import local_path
from pipfallback.requests import redacted, shown, without_credentials

# Of hashlib's, those that pip takes for a lock's (pip's FAVORITE_HASH and STRONG_HASHES, utils/hashes.py).
_STRONG = ("sha256", "sha384", "sha512")

# (URL or path) -> its sha256 and size, by one download.
Digest = Callable[[str], tuple[str, int]]


class LockError(PipfallbackError):
    """A lock cannot be made, or cannot be read."""

    reference = "lock"


def entry_of_build(settled: Settled, base: Path) -> Package:
    """The entry of a chosen build. ``base``: the folder of the lock file. Raises LockError.

    It is an archive, as of a direct URL: most of these files hold another version than their name states, which pip and
    uv take for a URL alone. Of such a file the version is left out (uv refuses either; measured, docs/lock.md).
    """
    candidate = settled.candidate
    url, path = _place(candidate.location, base)
    version = Version(settled.metadata.version)
    return Package(
        name=_name(candidate.build.name),
        version=version if version == candidate.build.version and not candidate.build.unusual_version else None,
        archive=PackageArchive(url=url, path=path, size=settled.size, hashes={"sha256": settled.sha256}),
        tool={"pipfallback": _reason(settled)},
    )


def _reason(settled: Settled) -> dict[str, str]:
    candidate = settled.candidate
    said = {"grade": str(settled.decision.grade)}
    return {"source": candidate.source, "trust": candidate.trust.value, **said} if candidate.source else said


def entry_of_item(item: Mapping[str, Any], base: Path, digest: Digest) -> Package:
    """The entry of one item of pip's report (pip.pypa.io, "Installation Report"; PEP 610). Raises LockError."""
    name = _name(item["metadata"]["name"])
    origin = item["download_info"]
    if "vcs_info" in origin:
        return Package(name=name, vcs=_vcs(origin))
    if "dir_info" in origin:
        path = _beside(local_path(origin["url"]) or Path(origin["url"]), base)
        directory = PackageDirectory(
            path=path, editable=origin["dir_info"].get("editable") or None, subdirectory=origin.get("subdirectory")
        )
        return Package(name=name, directory=directory)
    return _of_archive(name, item, base, digest)


def _vcs(origin: Mapping[str, Any]) -> PackageVcs:
    info = origin["vcs_info"]
    return PackageVcs(
        type=info["vcs"],
        url=_written(origin["url"]),
        requested_revision=info.get("requested_revision"),
        commit_id=info["commit_id"],
        subdirectory=origin.get("subdirectory"),
    )


def _of_archive(name: NormalizedName, item: Mapping[str, Any], base: Path, digest: Digest) -> Package:
    origin = item["download_info"]
    stated = origin["archive_info"].get("hashes") or {}
    hashes, size = {kind: stated[kind] for kind in _STRONG if kind in stated}, None
    if not hashes:
        sha256, size = digest(origin["url"])
        hashes = {"sha256": sha256}
    url, path = _place(origin["url"], base)
    version = Version(item["metadata"]["version"])
    if item.get("is_direct"):
        archive = PackageArchive(url=url, path=path, size=size, hashes=hashes, subdirectory=origin.get("subdirectory"))
        named = _named_version(origin["url"])
        return Package(name=name, version=version if named in {None, version} else None, archive=archive)
    if urlsplit(origin["url"]).path.endswith(".whl"):
        wheel = PackageWheel(name=_file_name(origin["url"]), url=url, path=path, size=size, hashes=hashes)
        return Package(name=name, version=version, wheels=[wheel])
    sdist = PackageSdist(name=_file_name(origin["url"]), url=url, path=path, size=size, hashes=hashes)
    return Package(name=name, version=version, sdist=sdist)


def _named_version(url: str) -> Version | None:
    """What a wheel's name states; None for anything else."""
    parts = _file_name(url).split("-")
    try:
        return Version(parts[1]) if parts[-1].endswith(".whl") and len(parts) >= 5 else None
    except InvalidVersion:
        return None


def _file_name(url: str) -> str:
    return unquote(urlsplit(url).path).rpartition("/")[2]


def _name(name: str) -> NormalizedName:
    return canonicalize_name(name)


def _place(location: str, base: Path) -> tuple[str | None, str | None]:
    """(URL, path): a file of this machine has a path alone. Raises LockError."""
    path = local_path(location)
    if path is not None:
        return None, _beside(path, base)
    return _written(location), None


def _beside(path: Path, base: Path) -> str:
    """A path from the lock's folder where it lies below, so that both can move together; else as it is."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  (no links are to be followed)
    return absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else absolute.as_posix()


def _written(url: str) -> str:
    """A URL as it may stand in a file. Raises LockError where it works only with a secret in it."""
    user = re.match(r"ssh://git@", url)  # whom every git server knows: it is no secret (PEP 610)
    plain = user[0] + url[user.end() :].partition("#")[0] if user else without_credentials(url)
    if redacted(plain) != without_credentials(plain):
        raise LockError(
            f"{shown(url)} works only with the secret in it, and a lock file must not hold one",
            hints=("name a URL without a signature or token; user name and password belong into netrc or a keyring",),
        )
    return plain
