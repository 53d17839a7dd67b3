"""Pages that list wheels: a package index (PEP 503) and a page of links."""

from __future__ import annotations

import html
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from lib.wheels import sha256


def index_page(folder: Path, project: str) -> bytes | None:
    """The index page of one project, or of all where ``project`` is empty; None where no file is of that project."""
    by_project: dict[str, list[Path]] = {}
    for file in _files(folder):
        by_project.setdefault(_normal(file.name.split("-")[0]), []).append(file)
    if not project:
        return _page(f'<a href="/simple/{name}/">{name}</a>' for name in by_project)
    return _page(_link(folder, file) for file in by_project[project]) if project in by_project else None


def links_page(folder: Path) -> bytes:
    """A page of links to every wheel and source archive below ``folder``, as ``--find-links`` reads it."""
    return _page(_link(folder, file) for file in _files(folder))


def _files(folder: Path) -> list[Path]:
    return sorted([*folder.rglob("*.whl"), *folder.rglob("*.tar.gz")])


def _link(folder: Path, file: Path) -> str:
    target = quote("/" + file.relative_to(folder).as_posix())
    return f'<a href="{target}#sha256={sha256(file)}"{_requires_python(file)}>{html.escape(file.name)}</a>'


def _requires_python(file: Path) -> str:
    """The attribute of PEP 503; a file that is no wheel or a damaged one has none."""
    if not zipfile.is_zipfile(file):
        return ""
    with zipfile.ZipFile(file) as archive:
        texts = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    found = re.search(r"^Requires-Python: (.+)$", texts[0], re.MULTILINE) if texts else None
    return f' data-requires-python="{html.escape(found[1])}"' if found else ""


def _page(lines: Iterable[str]) -> bytes:
    body = "<br>\n".join(lines)
    return f"<!doctype html>\n<html><head><title>Wheels</title></head><body>\n{body}\n</body></html>\n".encode()


def _normal(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()
