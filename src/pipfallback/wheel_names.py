"""Wheel file names (PEP 427) and where they stand in a URL or path, read fast: parts that repeat are read once.

``packaging.utils.parse_wheel_filename`` is the measure: what it reads is read the same. It refuses names whose version
is not PEP 440; such wheels are published (EETQ, older Paddle and gsplat) and older pips install them, so they are read.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import prod
from typing import NamedTuple
from urllib.parse import unquote

from packaging.tags import Tag, parse_tag
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version


class UnreadableFilenameError(ValueError):
    """The name is not a wheel's file name (PEP 427)."""


class ReadVersion(NamedTuple):
    """``version`` as PEP 440 has it; ``unusual`` is the text as written where it is none (pip newer than 24.0 refuses it)."""

    version: Version
    unusual: str | None = None


class Project(NamedTuple):
    """Name (PEP 503), version and build tag of a wheel's name; ``build_number`` as ``packaging`` sorts the tag.

    ``label`` is the local part of the version, "" where it has none.
    """

    name: str
    version: Version
    label: str
    version_text: str
    unusual_version: str | None
    build_tag: str
    build_number: tuple[()] | tuple[int, str]


class WheelTags(NamedTuple):
    """What a compressed tag set says: ``tags``, its ``platform`` part as written, and whether that is a Linux.

    ``python``: the one CPython that they are for ("3.12", "3.13t"); None for abi3, py3 and several.
    """

    tags: frozenset[Tag]
    platform: str
    linux: bool
    python: str | None


_LONGEST_NAME = 1000  # characters; file systems allow 255
_LONGEST_PLAIN = _LONGEST_NAME // 2 - 1  # of what stands before and behind the dash before the tags
_MOST_TAGS = 4096  # of one compressed tag set; the longest that is published has some 40


def split_location(location: str) -> tuple[str, str]:
    """``(folder, file name)`` of a URL, path or bare name, percent-decoded, without query and fragment."""
    is_url = "://" in location
    if is_url:
        location = location.partition("#")[0].partition("?")[0]
    elif not location.endswith(".whl"):
        location = _without_suffix(location)
    return _split_folder(location, is_url=is_url)


def split_plain(before: str) -> tuple[str, str] | None:
    """``(folder, beginning of the name)`` of what stands before plain tags; None where that must be read with its end."""
    is_url = "://" in before
    if is_url and ("#" in before or "?" in before):
        return None
    folder, beginning = _split_folder(before, is_url=is_url)
    return (folder, beginning) if len(beginning.lower()) <= _LONGEST_PLAIN else None


def _split_folder(location: str, *, is_url: bool) -> tuple[str, str]:
    folder, _, name = (location if is_url else location.replace("\\", "/")).rpartition("/")
    if "%" in location:
        folder, name = _decoded_folder(folder), _decoded_name(name)
        further, slash, name = name.rpartition("/")
        folder += slash + further
    return folder, name


_decoded_folder = lru_cache(maxsize=8192)(unquote)


def _decoded_name(name: str) -> str:
    """As ``unquote``, which takes ten times as long for the one character that nearly all wheels have encoded."""
    plain = name.replace("%2B", "+").replace("%2b", "+")
    return unquote(name) if "%" in plain else plain


def _without_suffix(path: str) -> str:
    """A path without a query or fragment; "#" and "?" within a folder's name stay."""
    end = path.lower().rfind(".whl") + len(".whl")
    return path[:end] if end >= len(".whl") and path[end : end + 1] in ("#", "?") else path


def split_name(filename: str) -> tuple[str, str]:
    """``(beginning, tags)`` of a wheel's name: "flash_attn-2.8.3", "cp310-cp310-linux_x86_64".

    Raises UnreadableFilenameError where it has not the form of a wheel's name.
    """
    if filename[-4:] != ".whl" or len(filename) > _LONGEST_NAME:
        raise UnreadableFilenameError(f"{filename[:_LONGEST_NAME]!r} is not a wheel's name: it must end with .whl")
    stem = filename[:-4]
    parts = stem.rsplit("-", 3)
    if len(parts) != 4:
        raise UnreadableFilenameError(
            f"{filename!r} is not a wheel's name: it must be name-version(-build)-python-abi-platform.whl"
        )
    return parts[0], stem[len(parts[0]) + 1 :]


def read_project(beginning: str) -> Project:
    """What stands before the tags. Raises UnreadableFilenameError."""
    parts = beginning.split("-")
    if len(parts) not in {2, 3}:
        raise UnreadableFilenameError(f"{beginning!r} is not the beginning of a wheel's name: name-version(-build)")
    read = read_version(parts[1])
    build_tag = parts[2] if len(parts) == 3 else ""
    return Project(
        name=read_name(parts[0]),
        version=read.version,
        label=read.version.local or "",
        version_text=parts[1],
        unusual_version=read.unusual,
        build_tag=build_tag,
        build_number=_build_number(build_tag) if len(parts) == 3 else (),
    )


_NAME = re.compile(r"[\w.]+", re.UNICODE)


@lru_cache(maxsize=4096)
def read_name(text: str) -> str:
    """The PEP 503 name. Raises UnreadableFilenameError where it holds characters that no name has."""
    if "__" in text or not _NAME.fullmatch(text):
        raise UnreadableFilenameError(f"{text!r} is not a project's name as wheels write it")
    return canonicalize_name(text)


_BEGINNING = re.compile(r"v?\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?(?:\.post\d+)?(?:\.dev\d+)?", re.IGNORECASE | re.ASCII)


def read_version(text: str) -> ReadVersion:
    """The version; what follows a version that is not PEP 440 is taken for its local part.

    "1.2.0.pt20cu117" is 1.2.0+pt20cu117, "1.0.0+cu121+torch2.1.2" is 1.0.0+cu121.torch2.1.2.
    Raises UnreadableFilenameError where the text does not begin like a version.
    """
    try:
        return ReadVersion(version=_version(text))
    except InvalidVersion:
        beginning = _BEGINNING.match(text)
    if not beginning:
        raise UnreadableFilenameError(f"{text!r} is not a version (PEP 440)")
    rest = re.sub(r"[^a-z0-9]+", ".", text[beginning.end() :].lower()).strip(".")
    return ReadVersion(version=Version(f"{beginning.group()}+{rest}" if rest else beginning.group()), unusual=text)


_public_version = lru_cache(maxsize=4096)(Version)


def _version(text: str) -> Version:
    """As ``Version``, in half the time where many labels follow few public versions."""
    public, plus, local = text.partition("+")
    if plus and text.split() == [text]:  # Version takes space around the whole text, but not around the plus
        return _public_version(public).__replace__(local=local)
    return _public_version(text)


_BUILD_TAG = re.compile(r"(\d+)(.*)", re.ASCII | re.DOTALL)


def _build_number(text: str) -> tuple[int, str]:
    found = _BUILD_TAG.match(text)
    if not found:
        raise UnreadableFilenameError(f"{text!r} is not a build tag: it must begin with a number")
    return int(found[1]), found[2]


_CPYTHON = re.compile(r"cp3(\d+)-cp3\1(t?)m?-")


@lru_cache(maxsize=16384)
def read_tags(text: str) -> WheelTags:
    """What a compressed tag set (PEP 425), in lower case, says. Raises UnreadableFilenameError."""
    if prod(part.count(".") + 1 for part in text.split("-")) > _MOST_TAGS:
        raise UnreadableFilenameError("the compressed tag set holds too many tags")
    try:
        tags = parse_tag(text)
    except ValueError as error:
        raise UnreadableFilenameError(f"{text!r} are not a wheel's tags (PEP 425)") from error
    platform = text.rpartition("-")[2]
    python = _CPYTHON.match(text)
    return WheelTags(
        tags=tags,
        platform=platform,
        linux=platform.startswith(("linux", "manylinux", "musllinux")),
        python=f"3.{python[1]}{python[2]}" if python else None,
    )


_NOT_PLAIN = re.compile(r"[%?#/\\]")


@lru_cache(maxsize=16384)
def read_plain_tags(ending: str) -> WheelTags | None:
    """What the end of a location, "cp310-cp310-linux_x86_64.whl", says; None where that must be read with the rest."""
    if ending[-4:] != ".whl" or len(ending.lower()) > _LONGEST_PLAIN or _NOT_PLAIN.search(ending):
        return None
    try:
        return read_tags(ending[:-4].lower())
    except UnreadableFilenameError:
        return None
