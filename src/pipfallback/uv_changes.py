"""What uv is about to change, kept before it does: uv tells no hooks, but its dry run says which distributions go.

uv removes the files that RECORD lists, every ``__pycache__`` beside one of them, and the folders that are empty then
(``uv_install_wheel::uninstall``). What comes is seen in a scratch folder that uv has installed the same packages to.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from pipfallback._undo_log import UndoLog
from pipfallback.installed import Installed, installed_in

_LOCK = ".lock"  # uv's, at the top of what it installs to


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one command of uv installs to.

    ``folders`` hold the packages; ``top`` is what uv locks and what everything else lies below. ``paths``: the
    target's folders by sysconfig's name, None for a separate folder (``--target``, ``--prefix``).
    """

    folders: tuple[str, ...]
    top: str
    paths: Mapping[str, str] | None = None

    @property
    def lock(self) -> Path:
        """The file that uv makes to keep other uvs away."""
        return Path(self.top, _LOCK)

    def installed(self) -> dict[str, Installed]:
        """What uv takes for installed there."""
        return installed_in(self.folders)

    def destinations(self, inner: Path) -> Iterator[Path]:
        """Where something goes that lies at ``inner`` below a ``--prefix`` (or ``--target``): every place it may be."""
        yield Path(self.top, inner)
        if self.paths is None:
            return
        parts = inner.parts
        packages = _after_site_packages(parts)
        if packages is not None:
            yield from (Path(folder, *packages) for folder in self.folders)
        elif parts[0] in {"bin", "Scripts"}:
            yield Path(self.paths.get("scripts", self.top), *parts[1:])
        elif parts[0] == "include" and "include" in self.paths:
            yield Path(self.paths["include"], *parts[3:])  # include/site/python3.11/NAME
        else:
            yield Path(self.paths.get("data", self.top), inner)


def keep_removed(place: Place, names: Collection[str], log: UndoLog) -> None:
    """Keep all of the distributions ``names`` (PEP 503) before they are removed. Raises OSError."""
    installed = place.installed()
    owned: set[str] = set()
    for name in names:
        if name in installed:
            owned |= {os.path.abspath(path) for path in installed[name].files()}  # noqa: PTH100  (RECORD says "..")
            owned |= {str(path) for path in _all_below(installed[name].info)}
    for folder in {os.path.dirname(path) for path in owned}:  # noqa: PTH120
        bytecode = Path(folder, "__pycache__")
        owned |= {str(path) for path in _all_below(bytecode)} if bytecode.is_dir() else set()
    for path in sorted(_wholes(owned, keep_apart={os.path.abspath(folder) for folder in (*place.folders, place.top)})):  # noqa: PTH100
        log.before_removal(path)
    for name in set(names) - installed.keys():
        for legacy in _of_setuptools(place, name):
            log.before_removal(legacy)


def announce(place: Place, scratch: Path, log: UndoLog) -> None:
    """Tell the log of everything that is about to come, as it lies in ``scratch``. Raises OSError."""
    for folder, folders, files in os.walk(scratch):
        inner = Path(folder).relative_to(scratch)
        for name in (*folders, *files):
            if inner / name == Path(_LOCK):
                continue
            for path in place.destinations(inner / name):
                if not (path.is_dir() and not path.is_symlink() and (Path(folder) / name).is_dir()):
                    log.before_replacing(path)


def came(place: Place, scratch: Path) -> frozenset[str]:
    """The distributions that lie in ``scratch``, by PEP 503 name."""
    if place.paths is None and (found := installed_in([str(scratch)])):
        return frozenset(found)
    return frozenset(installed_in(str(folder) for folder in site_packages_below(scratch)))


def site_packages_below(prefix: Path) -> list[Path]:
    """The folders of packages below a ``--prefix`` (sysconfig's schemes of virtual environments)."""
    return [
        *prefix.glob("lib/python*/site-packages"),
        *prefix.glob("Lib/site-packages"),
        *prefix.glob("lib/pypy*/site-packages"),
    ]


def _after_site_packages(parts: tuple[str, ...]) -> tuple[str, ...] | None:
    """The rest of a path below the folder of packages of a ``--prefix``; None where it lies elsewhere."""
    if parts[0].lower() in {"lib", "lib64"} and "site-packages" in parts[:3]:
        return parts[parts.index("site-packages") + 1 :]
    return None


def _all_below(folder: Path) -> Iterable[Path]:
    return (Path(where, name) for where, _, names in os.walk(folder) for name in names)


def _wholes(owned: set[str], *, keep_apart: Collection[str]) -> set[str]:
    """The fewest paths that hold all that exists of ``owned`` and no file besides; never one of ``keep_apart``."""
    tops = {path for path in owned if os.path.lexists(path)}
    emptied = {os.path.dirname(path) for path in tops}  # noqa: PTH120
    while emptied:
        folder = max(emptied, key=len)  # the deepest first: what is above it depends on it
        emptied.remove(folder)
        if folder in keep_apart or not os.path.isdir(folder) or os.path.islink(folder):  # noqa: PTH112, PTH114
            continue
        inside = {entry.path for entry in os.scandir(folder)}
        if inside <= tops:
            tops -= inside
            tops.add(folder)
            emptied.add(os.path.dirname(folder))  # noqa: PTH120
    return tops


def _of_setuptools(place: Place, name: str) -> Iterator[Path]:
    """What an egg-info or egg-link of that name stands for: uv removes what its top_level.txt names."""
    for folder in map(Path, place.folders):
        links = [link for link in folder.glob("*.egg-link") if canonicalize_name(link.stem) == name]
        if links:
            yield from (*links, *folder.glob("*.pth"))
        for info in folder.glob("*.egg-info"):
            if canonicalize_name(info.stem.partition("-")[0]) != name:
                continue
            yield info
            top_level = info / "top_level.txt"
            for module in top_level.read_text(encoding="utf-8").split() if top_level.is_file() else ():
                yield from (path for path in (folder / module, folder / f"{module}.py") if path.exists())
