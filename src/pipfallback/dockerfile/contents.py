"""The files of the build context that an image gets by COPY, ADD and bind mounts, and the requirement files among them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipfallback.project_files import locked
from pipfallback.requirement_files import read_sheet

# Where pip looks (canonical names): what decides which build of torch comes in.
INDEX_OPTIONS = ("--index-url", "--extra-index-url", "--find-links")
_LOCK = re.compile(r"(^|/)pylock(\.[^./]+)?\.toml$")  # PEP 751, "File Name"
_LARGEST = 1_000_000  # bytes of a requirement file


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """Something that lies at ``target`` in the image.

    ``source``: the path inside the build context that it comes from; ``text``: what it is, where that stands in the
    Dockerfile itself (COPY <<EOF). Neither: it comes from elsewhere, and what it is is not known.
    """

    target: str
    source: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One requirement as it was written; ``file`` and ``line`` of the requirement file that it stands in.

    ``locked``: that file is a lock (PEP 751), which names the very wheel and has no lines that count.
    """

    text: str
    file: str | None = None
    line: int | None = None
    locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementFile:
    """What requirement files hold, nested ones included.

    ``indexes``: the index and link options in them, as (canonical name, value); ``unread``: why something is not known.
    """

    requirements: tuple[Requirement, ...] = ()
    indexes: tuple[tuple[str, str], ...] = ()
    unread: tuple[str, ...] = ()


def read_requirement_file(
    path: str, copies: Sequence[Copied], context: Path | None, variables: Mapping[str, str | None]
) -> RequirementFile:
    """What the requirement file at an absolute ``path`` of the image holds, as far as the build context tells.

    ``context``: None where it is not known. Files that it names are read as well. What cannot be read is told.
    """
    if _LOCK.search(path):
        return _read_lock(path, copies, context)
    names: dict[str, str] = {}
    unread: list[str] = []
    environ = {name: value for name, value in variables.items() if value is not None}
    fetch = _fetch_from(copies, context, names, unread)
    try:
        sheet = read_sheet(Path(posixpath.normpath(path)).as_uri(), constraint=False, fetch=fetch, environ=environ)
    except (OSError, ValueError) as error:
        return RequirementFile(unread=(f"{path}: {error}",))
    lines = [(each, line) for each, line in sheet.walk() if not each.constraint]
    return RequirementFile(
        requirements=tuple(
            Requirement(text=line.requirement, file=names[each.location], line=line.number)
            for each, line in lines
            if line.requirement and not line.editable
        ),
        indexes=tuple(
            (name, value) for _, line in lines for name, value in line.options if name in INDEX_OPTIONS and value
        ),
        unread=tuple(unread),
    )


def _read_lock(path: str, copies: Sequence[Copied], context: Path | None) -> RequirementFile:
    """Of a lock the packages that it has one wheel of: there is nothing to choose."""
    found = _content_of(posixpath.normpath(path), copies, context)
    if found is None or context is None:
        return RequirementFile(unread=(_absent(path),))
    try:
        packages = locked(str(context / found[0]))
    except (OSError, ValueError) as error:
        return RequirementFile(unread=(f"{found[0]}: {error}",))
    requirements = [
        Requirement(text=f"{each.name} @ {each.wheels[0].url}", file=found[0], locked=True)
        for each in packages
        if each.wheels and len(each.wheels) == 1 and each.wheels[0].url
    ]
    return RequirementFile(requirements=tuple(requirements))


def _absent(path: str) -> str:
    return f"{path} is not among the files of the build context that are copied in"


def _fetch_from(
    copies: Sequence[Copied], context: Path | None, names: dict[str, str], unread: list[str]
) -> Callable[[str], bytes]:
    """What reads a file of the image by its ``file:`` URL; ``names`` and ``unread`` are filled on the way."""

    def fetch(url: str) -> bytes:
        path = posixpath.normpath(unquote(urlsplit(url).path))
        found = _content_of(path, copies, context)
        if found is None:
            unread.append(_absent(path))
            return b""
        names[url], content = found
        return content

    return fetch


def _content_of(path: str, copies: Sequence[Copied], context: Path | None) -> tuple[str, bytes] | None:
    """Name and content of a file of the image; of several copies the last counts."""
    for copied in reversed(copies):
        if copied.text is not None and path == posixpath.normpath(copied.target):
            return "the Dockerfile", copied.text.encode("utf-8", "surrogateescape")
        if copied.source is None:
            if copied.text is None and _below(path, copied.target) is not None:
                return None
            continue
        if context is None:
            continue
        for file in _candidates(path, copied, context):
            if (content := _content(file, context)) is not None:
                return file.relative_to(context).as_posix(), content
    return None


def _candidates(path: str, copied: Copied, context: Path) -> Iterator[Path]:
    """The files of the context that could be the one at ``path``."""
    source = posixpath.normpath(copied.source or "").lstrip("/")
    target = copied.target
    globbed = re.search(r"[*?\[]", source) is not None
    for found in sorted(context.glob(source)) if globbed else [context / source]:
        if found.is_dir():
            if (rest := _below(path, target)) is not None:
                yield found / rest
        elif path in {posixpath.normpath(target), posixpath.join(posixpath.normpath(target), found.name)}:
            yield found


def _below(path: str, folder: str) -> str | None:
    """What of ``path`` is below ``folder``; None where it is elsewhere."""
    folder = posixpath.normpath(folder)
    if path == folder:
        return "."
    prefix = folder if folder.endswith("/") else f"{folder}/"
    return path[len(prefix) :] if path.startswith(prefix) else None


def _content(file: Path, context: Path) -> bytes | None:
    try:
        if not file.resolve().is_relative_to(context.resolve()) or not file.is_file():
            return None  # a context ends at its folder; what a link leads to outside of it is not sent
        with file.open("rb") as opened:
            return opened.read(_LARGEST)
    except OSError:
        return None
