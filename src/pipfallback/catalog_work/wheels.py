"""What an entry for a wheel needs to know of it: its hash, and what it can import."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipfallback.builds import Build, Metadata
from pipfallback.inspection.read_at import LocalFile, ReadAt
from pipfallback.inspection.wheel import InvalidWheelError, contradiction, metadata_name, parse_metadata
from pipfallback.inspection.zip_entries import BadZipError, Entry, open_member, read_entries
from pipfallback.net.client import Client
from pipfallback.net.failures import FetchFailure
from pipfallback.net.remote_file import open_remote

# Files of the interpreter that Python imports: PEP 3147 sources, extension modules with the tags of PEP 3149 and PEP 384.
_MODULE = re.compile(r"([^./]+)(?:\.[A-Za-z0-9_-]+)?\.(?:py|so|pyd)")
# What wheels bring along by mistake, into the top of site-packages; it proves nothing.
_NO_PROOF = frozenset(
    {"test", "tests", "testing", "docs", "doc", "example", "examples", "benchmark", "benchmarks", "setup"}
)
_INSTALLED = frozenset({"purelib", "platlib"})  # of a .data folder (PEP 427, "The .data directory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What is in a wheel: the modules that it brings, most telling first, and whether it is tied to torch."""

    imports: tuple[str, ...]
    needs_torch: bool


def contents_on_disk(path: Path, build: Build) -> Contents | FetchFailure:
    """Look into a wheel on disk."""
    try:
        with LocalFile(path) as file:
            return _contents(file, build)
    except OSError as error:
        return FetchFailure(cause="not-found", message=f"{path}: {error.strerror or error}")


def contents_elsewhere(client: Client, location: str, build: Build) -> Contents | FetchFailure | None:
    """Look into a wheel at a URL by reading parts of it; None where the server does not give parts."""
    file = open_remote(client, location)
    if isinstance(file, FetchFailure):
        return None
    try:
        return _contents(file, build)
    except OSError:
        return None


def _contents(source: ReadAt, build: Build) -> Contents | FetchFailure:
    try:
        entries = read_entries(source)
        metadata = _metadata(source, entries)
        listed = _top_level(source, entries)
    except (BadZipError, InvalidWheelError) as error:
        return FetchFailure(cause="corrupt", message=f"pip would refuse it: {error}")
    if (wrong := contradiction(build, metadata)) is not None:
        return FetchFailure(cause="corrupt", message=f"pip would refuse it: {wrong}")
    needs_torch = build.torch is not None or any(one.name == "torch" for one in metadata.requires)
    imports = proposed([entry.name for entry in entries], listed, build.name)
    return Contents(imports=imports, needs_torch=needs_torch and build.name != "torch")


def _metadata(source: ReadAt, entries: Sequence[Entry]) -> Metadata:
    name = metadata_name([entry.name for entry in entries])
    return parse_metadata(_read(source, next(entry for entry in entries if entry.name == name)))


def _top_level(source: ReadAt, entries: Sequence[Entry]) -> list[str]:
    """What setuptools' top_level.txt says, where the wheel has one."""
    for entry in entries:
        if entry.name.count("/") == 1 and entry.name.endswith(".dist-info/top_level.txt"):
            return _read(source, entry).decode("utf-8", "replace").split()
    return []


def _read(source: ReadAt, entry: Entry) -> bytes:
    return open_member(source, entry).read(0, entry.size)


def proposed(members: Iterable[str], listed: Sequence[str], name: str) -> tuple[str, ...]:
    """The modules at the top of a wheel that prove that it works; those of its own name first, compiled ones next.

    ``members``: the paths in the wheel. ``listed``: those of top_level.txt, which decide between folders that are packages
    without ``__init__`` (PEP 420) and folders of data. ``name``: the distribution's.
    """
    own = name.replace("-", "_")
    found: dict[str, tuple[int, str]] = {}
    for module, compiled, plain in _modules(members):
        telling = not plain or module in listed or module.lower() == own
        if telling and module not in _NO_PROOF and module.isidentifier() and not keyword.iskeyword(module):
            rank = 0 if module.lower() == own else 1 if compiled else 2
            found[module] = min(found.get(module, (9, module)), (rank, module))
    return tuple(sorted(found, key=lambda one: found[one]))


def _modules(members: Iterable[str]) -> Iterator[tuple[str, bool, bool]]:
    """(module, whether it is compiled itself, whether its folder may be no package) of each member that Python imports."""
    for member in members:
        parts = PurePosixPath(member).parts
        if len(parts) > 2 and parts[0].endswith(".data") and parts[1] in _INSTALLED:
            parts = parts[2:]
        file = _MODULE.fullmatch(parts[-1])
        if file is None or parts[0].endswith((".data", ".dist-info")):
            continue
        if len(parts) == 1:
            yield file[1], not parts[0].endswith(".py"), False
        else:
            yield parts[0], False, parts[1:] != ("__init__.py",)
