"""What is installed in a folder of packages: found, described, and given its true origin (PEP 376, PEP 610)."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pipfallback._undo_log import UndoLog
from pipfallback.requests import without_credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A distribution on disk. ``info`` is its .dist-info folder, ``name`` PEP 503-normalised."""

    name: str
    version: str
    info: Path

    @property
    def direct_url(self) -> Mapping[str, Any] | None:
        """direct_url.json (PEP 610): where it came from, if it was not an index."""
        try:
            said: Mapping[str, Any] = json.loads((self.info / "direct_url.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return said

    @property
    def fingerprint(self) -> str | None:
        """The hash of RECORD, which changes with any installed file; None where there is no RECORD."""
        try:
            return hashlib.sha256((self.info / "RECORD").read_bytes()).hexdigest()
        except OSError:
            return None

    def files(self) -> Iterator[Path]:
        """The files that RECORD lists; none where there is no RECORD."""
        for path in _record_paths(self.info):
            yield self.info.parent / path

    def importable_names(self) -> tuple[str, ...]:
        """The top-level modules, for a package whose import names no catalog states.

        They are those that RECORD lists, else those of top_level.txt (setuptools), else the name itself: an editable
        install lists none of its modules.
        """
        names = set()
        for path in _record_paths(self.info):
            first, _, rest = path.partition("/")
            if rest == "__init__.py" and first.isidentifier():
                names.add(first)
            elif not rest and first.endswith((".py", ".so", ".pyd")) and first.partition(".")[0].isidentifier():
                names.add(first.partition(".")[0])
        public = sorted(name for name in names if not name.startswith("_"))
        return tuple(public or self._said_top_level() or [self.name.replace("-", "_")])

    def _said_top_level(self) -> list[str]:
        try:
            words = (self.info / "top_level.txt").read_text(encoding="utf-8").split()
        except OSError:
            return []
        return [word for word in words if word.isidentifier() and not word.startswith("_")]


def installed_in(folders: Iterable[str]) -> dict[str, Installed]:
    """The distributions in these folders by PEP 503 name; of two with one name the first folder's counts."""
    found: dict[str, Installed] = {}
    for folder in folders:
        for info in sorted(Path(folder).glob("*.dist-info")):
            name, _, version = info.name.removesuffix(".dist-info").partition("-")
            key = canonicalize_name(name)
            if (info / "METADATA").exists():  # pip's leftovers are empty folders
                found.setdefault(key, Installed(name=key, version=version, info=info))
    return found


def write_direct_url(distribution: Installed, url: str, sha256: str, log: UndoLog) -> None:
    """Say where a distribution really came from (PEP 610), with RECORD's line; credentials are left out.

    Every file is given to ``log`` before it is written. Raises OSError.
    """
    archive = {"hash": f"sha256={sha256}", "hashes": {"sha256": sha256}}
    text = json.dumps({"url": without_credentials(url), "archive_info": archive})
    _replace_file(distribution, text.encode(), log)


def remove_direct_url(distribution: Installed, log: UndoLog) -> None:
    """Forget a temporary path as origin: what came from an index has none (PEP 610)."""
    _replace_file(distribution, None, log)


def _replace_file(distribution: Installed, content: bytes | None, log: UndoLog) -> None:
    path = distribution.info / "direct_url.json"
    record = distribution.info / "RECORD"
    log.before_writing(path)
    log.before_writing(record)
    line = f"{distribution.info.name}/direct_url.json"
    rows = [row for row in _record_rows(record) if row and row[0] != line]
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.append([line, f"sha256={digest}", str(len(content))])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    record.write_text(text.getvalue(), encoding="utf-8")


def _record_rows(record: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(record.read_text(encoding="utf-8"))))


def _record_paths(info: Path) -> list[str]:
    try:
        return [row[0] for row in _record_rows(info / "RECORD") if row]
    except OSError:
        return []


def requirements_of(distribution: Installed) -> Iterator[Requirement]:
    """What its METADATA requires; what cannot be read is passed over."""
    try:
        text = (distribution.info / "METADATA").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.split("\n\n", 1)[0].splitlines():
        if line.lower().startswith("requires-dist:"):
            try:
                yield Requirement(line.partition(":")[2].strip())
            except InvalidRequirement:
                continue


def wanted_version(name: str, installed: Mapping[str, Installed]) -> SpecifierSet:
    """The versions of a package that all installed ones admit that require it."""
    found = (each for distribution in installed.values() for each in requirements_of(distribution))
    return reduce(
        and_,
        (
            each.specifier
            for each in found
            if canonicalize_name(each.name) == name and (each.marker is None or each.marker.evaluate({"extra": ""}))
        ),
        SpecifierSet(),
    )
