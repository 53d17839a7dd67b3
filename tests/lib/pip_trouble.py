"""A world in which pip fails: wheels that will not do, a web server that answers badly, requirement files."""

from __future__ import annotations

import socket
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lib.broken_sources import broken_sources
from lib.server import HTML_PAGE, RESET, Answer, Server, fail
from lib.wheels import cut, damage_member, html_page, lfs_pointer, make_wheel, without_member

OTHER_TAG = "cp27-cp27m-linux_x86_64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A served folder of wheels that will not do, and an address that nothing listens at."""

    server: Server
    nowhere: str
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """What the server serves; pages and indexes are made from the wheels in it."""
        return self.server.folder

    def url(self, name: str) -> str:
        """The URL of a file by its short name, or of a path."""
        return self.server.url_of(self.files.get(name, f"/{name}"))

    def path(self, name: str) -> str:
        """The path of a file by its short name, or below the folder."""
        return str(self.files.get(name, self.folder / name))


@contextmanager
def trouble(folder: Path) -> Iterator[Trouble]:
    """Make the wheels below ``folder`` and serve them."""
    served = folder / "served"
    served.mkdir(parents=True)
    with Server(served) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: the port answers "refused" as long as this is open
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        files = {
            **_broken_wheels(served / "b"),
            **_badly_named_wheels(served / "named"),
            **_indexed_wheels(served, server),
            **broken_sources(served),
            **_requirement_files(folder, server, nowhere),
            **_folders(folder),
        }
        for name, answer in _ANSWERS.items():
            server.answer(f"/{name}-1.0-py3-none-any.whl", answer)
        for path, answer in _PAGES.items():
            server.answer(path, answer)
        yield Trouble(server=server, nowhere=nowhere, files=files)


_BODY = b"PK" * 50_000
_ANSWERS = {
    "secret": Answer(status=401, headers={"WWW-Authenticate": 'Basic realm="wheels"'}, body=b"401\n"),
    "forbidden": fail(403),
    "gone": fail(410),
    "limited": fail(429),
    "failing": fail(500),
    "unavailable": fail(503),
    "silent": Answer(delay=5),
    "stalling": Answer(body=b"PK" * 500, stall_at=100, ranges=False),
    "truncated": Answer(body=_BODY, cut_at=40_000, ranges=False),
    "choppy": Answer(body=_BODY, cut_at=10_000),
    "page": HTML_PAGE,
    "reset": RESET,
}
_LINK = '<a href="/{name}-1.0-py3-none-any.whl{end}">{name}-1.0-py3-none-any.whl</a>'
_PAGES = {
    "/simple/forbidden/": fail(403),
    "/simple/failing/": fail(500),
    "/simple/silent/": Answer(delay=5),
    "/simple/empty/": Answer(body=b"<!doctype html><title>no files</title>", headers={"Content-Type": "text/html"}),
    "/wrong-hash/good/": Answer(
        body=f"<!doctype html>{_LINK.format(name='good', end='#sha256=' + '0' * 64)}".encode(),
        headers={"Content-Type": "text/html"},
    ),
    # An index that does not say what Requires-Python the file has.
    "/hidden/future/": Answer(
        body=f"<!doctype html>{_LINK.format(name='future', end='')}".encode(), headers={"Content-Type": "text/html"}
    ),
    "/yanked/withdrawn/": Answer(
        body=b'<!doctype html><a data-yanked="" href="/withdrawn-1.0-py3-none-any.whl">withdrawn-1.0-py3-none-any.whl</a>',
        headers={"Content-Type": "text/html"},
    ),
}


def _broken_wheels(folder: Path) -> dict[str, Path]:
    """Wheels with a proper name whose inside will not do."""
    return {
        "bad-crc": damage_member(make_wheel(folder, "crc", "1.0"), "crc/__init__.py"),
        "no-record": without_member(make_wheel(folder, "norecord", "1.0"), "RECORD"),
        "no-metadata": without_member(make_wheel(folder, "nometadata", "1.0"), "METADATA"),
        "no-wheel": without_member(make_wheel(folder, "nowheel", "1.0"), "WHEEL"),
        "no-dist-info": _rewritten(make_wheel(folder, "nodistinfo", "1.0"), drop=".dist-info/"),
        "two-dist-infos": _rewritten(
            make_wheel(folder, "twoinfos", "1.0"), add={"twoinfos-2.0.dist-info/METADATA": "Name: twoinfos\n"}
        ),
        "wheel-2.0": _rewritten(
            make_wheel(folder, "newwheel", "1.0"), add={"newwheel-1.0.dist-info/WHEEL": "Wheel-Version: 2.0\n"}
        ),
        "bad-metadata": make_wheel(folder, "badmeta", "1.0", requires=("dep (>=1.0.*,",)),
        "old-specifier": make_wheel(folder, "oldspecifier", "1.0", requires=("dep (>=1.0.*)",)),
        "bad-version": make_wheel(folder, "badversion", "not.a.version", filename_version="1.0"),
        "html": html_page(folder, "page-1.0-py3-none-any.whl"),
        "lfs": lfs_pointer(folder, "lfs-1.0-py3-none-any.whl"),
        "cut": cut(make_wheel(folder, "cutshort", "1.0")),
        "empty-file": _with(folder / "emptyfile-1.0-py3-none-any.whl", b""),
        "random": _with(folder / "random-1.0-py3-none-any.whl", bytes(range(256)) * 20),
        "new-python": make_wheel(folder, "newer", "1.0", requires_python=">=3.99"),
    }


def _badly_named_wheels(folder: Path) -> dict[str, Path]:
    names = {
        "bad-name": "badname-1.0-any.whl",
        "bad-version-name": "badlabel-1.0_bad-py3-none-any.whl",
        "no-version-name": "nonumber-one-py3-none-any.whl",
        "bad-build-name": "badbuild-1.0-build-py3-none-any.whl",
        "browser-copy": "copied-1.0-py3-none-any (1).whl",
        "wrong-name": "outside-1.0-py3-none-any.whl",
    }
    inside = {short: make_wheel(folder / short, name.split("-")[0], "1.0") for short, name in names.items()}
    inside["wrong-name"] = make_wheel(folder / "wrong-name", "inside", "1.0")
    return {short: wheel.rename(wheel.with_name(names[short])) for short, wheel in inside.items()}


def _indexed_wheels(folder: Path, server: Server) -> dict[str, Path]:
    """What the index has."""
    make_wheel(folder, "dep", "1.0")
    make_wheel(folder, "dep", "2.0")
    make_wheel(folder, "listed", "1.0", tag=OTHER_TAG)
    make_wheel(folder, "onlysource", "1.0", tag=OTHER_TAG)
    make_wheel(folder, "future", "1.0", requires_python=">=3.99")
    make_wheel(folder, "withdrawn", "1.0")
    make_wheel(folder, "past", "1.0")
    make_wheel(folder, "past", "2.0", requires_python=">=3.99")
    wrong = server.url_of(f"/flash_attn-2.8.3+cu12torch2.7cxx11abiFALSE-{OTHER_TAG}.whl")
    make_wheel(folder, "urlasker", "1.0", requires=(f"flash-attn @ {wrong}",))
    make_wheel(folder, "one", "1.0", requires=("dep==1.0",))
    make_wheel(folder, "two", "1.0", requires=("dep==2.0",))
    make_wheel(folder, "parent", "1.0", requires=("nosuchname",))
    make_wheel(folder, "asker", "1.0", requires=("listed",))
    make_wheel(folder, "incons", "1.0+cu121", filename_version="1.0")
    label = "2.8.3+cu12torch2.7cxx11abiFALSE"
    return {
        "good": make_wheel(folder, "good", "1.0"),
        "big": make_wheel(folder, "big", "1.0", size_mb=1),
        "unsupported": make_wheel(folder, "flash_attn", label, tag=OTHER_TAG),
        "unsupported-abi": make_wheel(folder / "abi", "flash_attn", label, tag="py3-cp27m-linux_x86_64"),
        "unsupported-platform": make_wheel(folder / "windows", "flash_attn", label, tag="py3-none-win_amd64"),
        "unsupported-glibc": make_wheel(folder / "glibc", "flash_attn", label, tag="py3-none-manylinux_2_99_x86_64"),
    }


def _requirement_files(folder: Path, server: Server, nowhere: str) -> dict[str, Path]:
    unsupported = server.url_of(f"/flash_attn-2.8.3+cu12torch2.7cxx11abiFALSE-{OTHER_TAG}.whl")
    texts = {
        "unsupported.txt": f"dep\n{unsupported}\n",
        "link.txt": f"flash-attn @ {unsupported}\n",
        "hash.txt": f"good @ {server.url}/good-1.0-py3-none-any.whl --hash=sha256:{'0' * 64}\n",
        "no-hash.txt": f"dep==1.0 --hash=sha256:{'0' * 64}\ngood==1.0\n",
        "unpinned-hash.txt": f"dep --hash=sha256:{'0' * 64}\n",
        "pins.txt": "dep==2.0\n",
        "unclear.txt": "this is no requirement\n",
        "options.txt": "--no-such-option\n",
        "down.txt": f"--index-url {nowhere}/simple/\nsomename\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "file").write_text("")
    return {name: folder / name for name in (*texts, "file")}


def _folders(folder: Path) -> dict[str, Path]:
    """Folders that are no project, and one that cannot be installed as editable (its back end is not for that)."""
    (folder / "no-project").mkdir()
    fixed = folder / "fixed"
    fixed.mkdir()
    (fixed / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n'
    )
    (fixed / "own.py").write_text("def build_wheel(*args):\n    pass\n")
    return {"no-project": folder / "no-project", "fixed": fixed}


def _rewritten(wheel: Path, *, drop: str | None = None, add: Mapping[str, str] | None = None) -> Path:
    """Without the members whose path has ``drop`` in it, and with ``add`` in their place or besides."""
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if drop is None or drop not in name}
    members |= {name: text.encode() for name, text in (add or {}).items()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return wheel


def _with(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
