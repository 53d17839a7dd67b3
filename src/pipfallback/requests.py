"""One requirement as the user wrote it: a name with specifiers (PEP 508), a URL, a path."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from pipfallback.errors import PipfallbackError

_SECRET = re.compile(r"([?&](?:[\w-]*(?:token|key|signature|credential|password)|sig)=)[^&\s'\"),]+", re.IGNORECASE)
_EXTRAS = re.compile(r"^(?P<location>.+?)(?P<extras>\[[^\]]*\])?$")
# What pip fetches, plain or behind "git+" and the like (pip's vcs and network modules).
_SCHEMES = frozenset({"http", "https", "file", "ssh", "git", "svn", "sftp", "lp", "hg", "bzr", "ftp"})
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tar.bz2", ".tgz")


class RequestError(PipfallbackError):
    """A requirement names a URL that is none, or a file that is not there."""

    reference = "invalid-request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One requirement. ``name`` is PEP 503-normalised, None where only pip can find it out (a VCS URL, a folder).

    ``location`` is the URL or absolute path where the user named one; ``version`` that of the wheel or source archive
    it names. ``marker``: the environment that it is meant for (PEP 508). ``hashes``: the SHA-256 digests that it
    allows; ``hashed``: it names some with --hash, so that pip asks for one of everything.
    """

    text: str
    name: str | None = None
    extras: tuple[str, ...] = ()
    specifier: SpecifierSet = field(default_factory=SpecifierSet)
    location: str | None = None
    version: Version | None = None
    marker: Marker | None = None
    hashes: frozenset[str] = frozenset()
    hashed: bool = False

    @property
    def is_wheel(self) -> bool:
        """Whether it names a wheel file."""
        return self.version is not None and _file_name(self.location or "").endswith(".whl")

    @property
    def is_source(self) -> bool:
        """Whether it names sources, which pip would have to build."""
        return self.location is not None and not self.is_wheel

    @property
    def is_local(self) -> bool:
        """Whether it names a file on this machine."""
        return self.location is not None and "://" not in self.location

    def pinned(self, version: str) -> str:
        """The requirement for exactly the ``version`` that is in place (PEP 440)."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.name}{extras}=={version}"


def read_request(text: str) -> Request:
    """Read a requirement as pip does: a name first, else a URL, else a path. Raises RequestError for a broken URL."""
    if "://" not in text and not _looks_like_path(text):
        try:
            return _from_requirement(text, Requirement(text))
        except InvalidRequirement:
            return Request(text=text)  # pip says what is wrong with it
    try:
        direct = Requirement(text)
    except InvalidRequirement:
        return _from_location(text, text)
    return _from_requirement(text, direct)


def named_in(text: str) -> NormalizedName | None:
    """The package that the file name at the end of a location states; None where there is none."""
    return _project(_file_name(text.partition("#")[0].partition("?")[0]))[0]


def check_reachable(request: Request) -> None:
    """Raise RequestError where the named file is not there: another build is no cure for a mistyped path."""
    if request.is_local and request.location is not None and not _exists(request.location):
        raise RequestError(f"{request.text}: no such file", hints=("check the path; nothing was changed",))


def _exists(path: str) -> bool:
    try:
        Path(path).stat()
    except (OSError, ValueError):  # a name that no file can have is one that is not there
        return False
    return True


def _looks_like_path(text: str) -> bool:
    plain = text.partition("[")[0]
    return os.sep in plain or plain.startswith(".") or plain.lower().endswith(_ARCHIVES)


def _from_requirement(text: str, requirement: Requirement) -> Request:
    if requirement.url is None:
        name = canonicalize_name(requirement.name)
        return Request(
            text=text,
            name=name,
            extras=tuple(sorted(requirement.extras)),
            specifier=requirement.specifier,
            marker=requirement.marker,
        )
    located = _from_location(text, requirement.url)
    return Request(
        text=text,
        name=canonicalize_name(requirement.name),
        extras=tuple(sorted(requirement.extras)),
        location=located.location,
        version=located.version,
        marker=requirement.marker,
        hashes=located.hashes,
    )


def _from_location(text: str, location: str) -> Request:
    match = _EXTRAS.match(location)
    plain, extras = (match["location"], match["extras"]) if match and "://" not in location else (location, None)
    where = _checked_url(text, plain) if "://" in plain else str(Path(plain).absolute())
    named = tuple(extra.strip() for extra in extras[1:-1].split(",")) if extras else ()
    name, version = _project(_file_name(where))
    fragment = parse_qs(urlsplit(where).fragment) if "://" in where else {}
    return Request(
        text=text,
        name=name or _egg(fragment),
        extras=named,
        location=where,
        version=version,
        hashes=frozenset(digest.lower() for digest in fragment.get("sha256", ())),
    )


def _egg(fragment: Mapping[str, list[str]]) -> NormalizedName | None:
    """The name that a URL's fragment states (pip's documentation, "VCS Support")."""
    named = fragment.get("egg", [""])[0].partition("[")[0]
    return canonicalize_name(named) if named else None


def _file_name(location: str) -> str:
    try:
        path = urlsplit(location).path if "://" in location else location
    except ValueError:  # a host that cannot be
        path = location
    return unquote(path).rpartition("/")[2]


def _project(filename: str) -> tuple[NormalizedName | None, Version | None]:
    """Name and version that the name of a wheel or a source archive states."""
    try:
        if filename.endswith(".whl"):
            return parse_wheel_filename(filename)[:2]
        return parse_sdist_filename(filename)
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None, None


def _checked_url(text: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname, parts.scheme.rpartition("+")[2]
        _ = parts.port  # raises for one that cannot be
    except ValueError:
        # Its message may quote user name and password, so it is neither told nor kept as a cause.
        raise RequestError(f"{without_credentials(text)} is not a URL: its host or port cannot be read") from None
    if scheme not in _SCHEMES:
        raise RequestError(f"{without_credentials(text)} is not a URL that can be asked for: {scheme}://")
    if not host and scheme not in {"file", ""}:
        raise RequestError(f"{without_credentials(text)} is not a URL: it names no host")
    return url


def redacted(text: str) -> str:
    """A message of somebody else without user names, passwords and signatures in its URLs."""
    without = re.sub(r"(://)[^/?#\s]*@", r"\1", text)
    return _SECRET.sub(r"\1***", without)


def without_credentials(url: str) -> str:
    """The URL without user name, password and fragment (PEP 610); a path is left as it is."""
    return re.sub(r"(://)[^/?#]*@", r"\1", url).partition("#")[0] if "://" in url else url


def shown(location: str) -> str:
    """A URL or path as it may be shown and written: no user name, no password, no signature, no fragment."""
    return redacted(without_credentials(location))


def host_of(location: str) -> str:
    """The server that a URL names ("host" or "host:port"); "this machine" for a path or a ``file:`` URL."""
    return (urlsplit(location).netloc.rpartition("@")[2] if "://" in location else "") or "this machine"
