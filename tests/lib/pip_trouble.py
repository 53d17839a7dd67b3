"""Every way in which pip fails: real wheels, a real web server, real options (measured, facts/pip-failures.md)."""

from __future__ import annotations

import io
import socket
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lib.server import HTML_PAGE, RESET, Answer, Server, fail
from lib.wheels import damage_member, html_page, lfs_pointer, make_wheel, without_member

OTHER_TAG = "cp27-cp27m-linux_x86_64"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


Words = Callable[["Trouble"], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One failing command. ``cause`` is what it must be told as; ``older``: a first version and what it was before.

    None: those pips do not fail. ``core``: among the default tests; the others are slow ones.
    """

    words: Words
    cause: str
    older: tuple[str, str | None] | None = None
    core: bool = True

    def cause_with(self, pip: str) -> str | None:
        """The cause with this version of pip; None where it does not fail."""
        if self.older is not None and _version(pip) < _version(self.older[0]):
            return self.older[1]
        return self.cause


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
            **_broken_wheels(served, server),
            **_source_archives(served),
            **_requirement_files(folder, server, nowhere),
        }
        for name, answer in _ANSWERS.items():
            server.answer(f"/{name}-1.0-py3-none-any.whl", answer)
        for path, answer in _PAGES.items():
            server.answer(path, answer)
        yield Trouble(server=server, nowhere=nowhere, files=files)


_ANSWERS = {
    "forbidden": fail(403),
    "gone": fail(410),
    "limited": fail(429),
    "failing": fail(500),
    "unavailable": fail(503),
    "silent": Answer(delay=5),
    "stalling": Answer(body=b"PK" * 500, stall_at=100, ranges=False),
    "truncated": Answer(body=b"PK" * 50_000, cut_at=40_000, ranges=False),
    "page": HTML_PAGE,
    "reset": RESET,
}
_PAGES = {"/simple/forbidden/": fail(403), "/simple/failing/": fail(500), "/simple/silent/": Answer(delay=5)}


def _broken_wheels(folder: Path, server: Server) -> dict[str, Path]:
    make_wheel(folder, "dep", "1.0")
    make_wheel(folder, "dep", "2.0")
    make_wheel(folder, "listed", "1.0", tag=OTHER_TAG)
    make_wheel(folder, "future", "1.0", requires_python=">=3.99")
    wrong_name = make_wheel(folder / "named", "inside", "1.0")
    wrong_name = wrong_name.rename(folder / "named" / "outside-1.0-py3-none-any.whl")
    badly_named = make_wheel(folder / "named", "bad", "1.0")
    wrong = server.url_of(f"/flash_attn-2.8.3+cu12torch2.7cxx11abiFALSE-{OTHER_TAG}.whl")
    make_wheel(folder, "urlasker", "1.0", requires=(f"flash-attn @ {wrong}",))
    return {
        "good": make_wheel(folder, "good", "1.0"),
        "unsupported": make_wheel(folder, "flash_attn", "2.8.3+cu12torch2.7cxx11abiFALSE", tag=OTHER_TAG),
        "bad-name": badly_named.rename(folder / "named" / "bad-1.0-any.whl"),
        "wrong-name": wrong_name,
        "bad-crc": damage_member(make_wheel(folder / "b", "crc", "1.0"), "crc/__init__.py"),
        "no-record": without_member(make_wheel(folder / "b", "norecord", "1.0"), "RECORD"),
        "no-metadata": without_member(make_wheel(folder / "b", "nometadata", "1.0"), "METADATA"),
        "no-wheel": without_member(make_wheel(folder / "b", "nowheel", "1.0"), "WHEEL"),
        "bad-metadata": make_wheel(folder / "b", "badmeta", "1.0", requires=("dep (>=1.0.*,",)),
        "bad-version": make_wheel(folder / "b", "badversion", "not.a.version", filename_version="1.0"),
        "inconsistent": make_wheel(folder, "incons", "1.0+cu121", filename_version="1.0"),
        "html": html_page(folder / "b", "page-1.0-py3-none-any.whl"),
        "lfs": lfs_pointer(folder / "b", "lfs-1.0-py3-none-any.whl"),
        "new-python": make_wheel(folder / "b", "newer", "1.0", requires_python=">=3.99"),
        "needs-dep-1": make_wheel(folder, "one", "1.0", requires=("dep==1.0",)),
        "needs-dep-2": make_wheel(folder, "two", "1.0", requires=("dep==2.0",)),
        "needs-missing": make_wheel(folder, "parent", "1.0", requires=("nosuchname",)),
        "needs-unsupported": make_wheel(folder, "asker", "1.0", requires=("listed",)),
    }


def _requirement_files(folder: Path, server: Server, nowhere: str) -> dict[str, Path]:
    unsupported = server.url_of(f"/flash_attn-2.8.3+cu12torch2.7cxx11abiFALSE-{OTHER_TAG}.whl")
    texts = {
        "unsupported.txt": f"dep\n{unsupported}\n",
        "hash.txt": f"good @ {server.url}/good-1.0-py3-none-any.whl --hash=sha256:{'0' * 64}\n",
        "no-hash.txt": f"dep==1.0 --hash=sha256:{'0' * 64}\ngood==1.0\n",
        "pins.txt": "dep==2.0\n",
        "unclear.txt": "this is no requirement\n",
        "down.txt": f"--index-url {nowhere}/simple/\nsomename\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "file").write_text("")
    return {name: folder / name for name in (*texts, "file")}


_BACKEND = """\
def get_requires_for_build_wheel(config_settings=None):
    {requires}
    return []

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    {metadata}
    import os
    os.mkdir(os.path.join(folder, "source-1.0.dist-info"))
    with open(os.path.join(folder, "source-1.0.dist-info", "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: source\\nVersion: 1.0\\n")
    with open(os.path.join(folder, "source-1.0.dist-info", "WHEEL"), "w") as file:
        file.write("Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    return "source-1.0.dist-info"

def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise SystemExit("error: command 'nvcc' failed with exit code 1")
"""
_PYPROJECT = '[build-system]\nrequires = [{requires}]\nbuild-backend = "{backend}"\nbackend-path = ["."]\n'


def _source_archives(folder: Path) -> dict[str, Path]:
    """sdists that do not build. The back end is in the archive, so that none needs a network."""

    def archive(label: str, *, requires: str = "", metadata: str = "", needs: str = "", backend: str = "own") -> Path:
        code = _BACKEND.format(requires=requires or "pass", metadata=metadata or "pass")
        texts = {"own.py": code, "pyproject.toml": _PYPROJECT.format(requires=needs, backend=backend)}
        return _sdist(folder / label / "source-1.0.tar.gz", texts)

    return {
        "imports-torch": archive("torch", requires="import torch"),
        "metadata-fails": archive("metadata", metadata="import torch"),
        "does-not-compile": archive("compile"),
        "needs-build-dependency": archive("needs", needs='"nosuchbackend"'),
        "no-backend": archive("backend", backend="nosuchmodule"),
        "setup-py": _sdist(folder / "setup" / "source-1.0.tar.gz", {"setup.py": "import torch\n"}),
        "only-source": _sdist(
            folder / "onlysource-1.0.tar.gz",
            {
                "own.py": _BACKEND.format(requires="import torch", metadata="pass"),
                "pyproject.toml": _PYPROJECT.format(requires="", backend="own"),
            },
        ),
    }


def _sdist(path: Path, texts: Mapping[str, str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    stem = path.name.removesuffix(".tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {"PKG-INFO": "Metadata-Version: 2.1\nName: source\nVersion: 1.0\n", **texts}.items():
            info = tarfile.TarInfo(f"{stem}/{name}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def _install(*names: str, options: tuple[str, ...] = ("--no-index",)) -> Words:
    """Files by their short names, by path."""
    return lambda world: ["install", *options, *(world.path(name) for name in names)]


def _url(name: str, *options: str, end: str = "") -> Words:
    """A wheel by URL: its short name, or the name that has an answer of its own."""
    return lambda world: [
        "install",
        "--no-index",
        "--retries=0",
        *options,
        world.url(name if name in world.files else f"{name}-1.0-py3-none-any.whl") + end,
    ]


def _index(*words: str) -> Words:
    """Names, from the served index."""
    return lambda world: ["install", "--retries=0", "--index-url", f"{world.server.url}/simple/", *words]


def _file(name: str) -> Words:
    """A file of requirements, with the served index."""
    return lambda world: [*_index()(world), "-r", world.path(name)]


def _words(*words: str) -> Words:
    return lambda world: [word.format(world=world, good=world.path("good"), file=world.path("file")) for word in words]


CASES: dict[str, Case] = {
    "unsupported-path": Case(words=_install("unsupported"), cause="unsupported-wheel"),
    "unsupported-url": Case(words=_url("unsupported"), cause="unsupported-wheel"),
    "unsupported-file": Case(words=_file("unsupported.txt"), cause="unsupported-wheel"),
    "unsupported-quiet": Case(words=_url("unsupported", "-qqq"), cause="unsupported-wheel", core=False),
    "unsupported-in-index": Case(words=_index("listed"), cause="no-matching-distribution", core=False),
    "unsupported-dependency": Case(words=_index("asker"), cause="no-matching-distribution"),
    "bad-name": Case(words=_install("bad-name"), cause="unsupported-wheel", core=False),
    "404": Case(words=_url("missing"), cause="not-found"),
    "404-quiet": Case(words=_url("missing", "-qqq"), cause="not-found", core=False),
    "403": Case(words=_url("forbidden"), cause="not-found", core=False),
    "410": Case(words=_url("gone"), cause="not-found", core=False),
    "429": Case(words=_url("limited"), cause="server-error", core=False),
    "500": Case(words=_url("failing"), cause="server-error"),
    "503": Case(words=_url("unavailable"), cause="server-error", core=False),
    "no-such-path": Case(words=_install("missing-1.0-py3-none-any.whl"), cause="not-found"),
    "refused": Case(
        words=_words("install", "--no-index", "--retries=0", "{world.nowhere}/x-1.0-py3-none-any.whl"),
        cause="unreachable",
    ),
    "no-such-host": Case(
        words=_words("install", "--no-index", "--retries=0", "http://nosuchhost.invalid/x-1.0-py3-none-any.whl"),
        cause="unreachable",
        core=False,
    ),
    "time-out": Case(words=_url("silent", "--timeout=0.5"), cause="timeout"),
    "stalling": Case(words=_url("stalling", "--timeout=0.5"), cause="truncated", older=("25.3", "timeout"), core=False),
    "truncated": Case(words=_url("truncated"), cause="truncated", older=("25.3", "corrupt")),
    "page-url": Case(words=_url("page"), cause="corrupt", core=False),
    "page-path": Case(words=_install("html"), cause="corrupt", core=False),
    "lfs": Case(words=_install("lfs"), cause="corrupt"),
    "bad-crc": Case(words=_install("bad-crc"), cause="corrupt"),
    "no-record": Case(words=_install("no-record", options=("--no-index", "--target=there")), cause="corrupt"),
    "no-metadata": Case(words=_install("no-metadata"), cause="invalid-metadata"),
    "no-wheel": Case(words=_install("no-wheel"), cause="corrupt", core=False),
    "bad-metadata": Case(words=_install("bad-metadata"), cause="invalid-metadata"),
    "inconsistent": Case(words=_index("incons"), cause="no-matching-distribution", core=False),
    "wrong-name": Case(words=_install("wrong-name"), cause="corrupt", core=False),
    "another-name": Case(
        words=_words("install", "--no-index", "foo @ {world.server.url}/good-1.0-py3-none-any.whl"),
        cause="inconsistent-version",
        core=False,
    ),
    "wrong-hash": Case(words=_url("good", end="#sha256=" + "0" * 64), cause="hash-mismatch"),
    "wrong-hash-file": Case(words=_file("hash.txt"), cause="hash-mismatch", core=False),
    "hash-missing": Case(words=_file("no-hash.txt"), cause="hash-mismatch", core=False),
    "requires-python": Case(words=_install("new-python"), cause="requires-python"),
    "requires-python-index": Case(words=_index("future"), cause="no-matching-distribution", core=False),
    "no-such-name": Case(words=_index("nosuchname"), cause="no-matching-distribution"),
    "no-such-name-quiet": Case(words=_index("-qqq", "nosuchname"), cause="no-matching-distribution", core=False),
    "no-such-version": Case(words=_index("good==9"), cause="no-matching-distribution", core=False),
    "no-such-dependency": Case(words=_index("parent"), cause="no-matching-distribution"),
    "only-binary": Case(
        words=_index("--only-binary=onlysource", "onlysource"), cause="no-matching-distribution", core=False
    ),
    "index-down": Case(
        words=_words("install", "--retries=0", "--index-url={world.nowhere}/simple/", "somename"),
        cause="index-unreachable",
    ),
    "index-down-quiet": Case(
        words=_words("install", "-qqq", "--retries=0", "--index-url={world.nowhere}/simple/", "somename"),
        cause="index-unreachable",
        core=False,
    ),
    "index-down-in-file": Case(words=_file("down.txt"), cause="index-unreachable", core=False),
    "index-silent": Case(words=_index("--timeout=0.5", "silent"), cause="index-unreachable", core=False),
    "index-failing": Case(words=_index("failing"), cause="index-unreachable", core=False),
    "index-forbidden": Case(words=_index("forbidden"), cause="no-matching-distribution", core=False),
    "one-index-of-two-down": Case(
        words=lambda world: _index(f"--extra-index-url={world.nowhere}/", "nosuchname")(world),
        cause="no-matching-distribution",
        core=False,
    ),
    "links-down": Case(
        words=lambda world: _index(f"--find-links={world.nowhere}/", "good==9")(world),
        cause="no-matching-distribution",
        older=("21", "index-unreachable"),
        core=False,
    ),
    "links-only-down": Case(
        words=_words("install", "--no-index", "--retries=0", "--find-links={world.nowhere}/", "good"),
        cause="index-unreachable",
        core=False,
    ),
    "reset": Case(words=_url("reset"), cause="unreachable", core=False),
    "bad-version": Case(words=_install("bad-version"), cause="invalid-metadata", older=("24.1", None), core=False),
    "unsupported-dependency-url": Case(words=_index("urlasker"), cause="unsupported-wheel", core=False),
    "constrained": Case(
        words=lambda world: _index("-c", world.path("pins.txt"), "one")(world),
        cause="conflict",
        older=("21", "no-matching-distribution"),
    ),
    "conflict": Case(words=_index("one", "two"), cause="conflict"),
    "imports-torch": Case(words=_install("imports-torch"), cause="build-failed"),
    "imports-torch-quiet": Case(
        words=_install("imports-torch", options=("-qqq", "--no-index")), cause="build-failed", core=False
    ),
    "metadata-fails": Case(words=_install("metadata-fails"), cause="build-failed", core=False),
    "does-not-compile": Case(words=_install("does-not-compile"), cause="build-failed"),
    "does-not-compile-quiet": Case(
        words=_install("does-not-compile", options=("-qqq", "--no-index")), cause="build-failed"
    ),
    "build-dependency": Case(words=_install("needs-build-dependency"), cause="build-failed", core=False),
    "no-backend": Case(words=_install("no-backend"), cause="build-failed", core=False),
    "setup-py": Case(
        words=_install("setup-py", options=("--no-index", "--no-build-isolation")), cause="build-failed", core=False
    ),
    "setup-py-isolated": Case(words=_install("setup-py"), cause="build-failed", core=False),
    "source-in-index": Case(
        words=_index("onlysource"), cause="build-failed", older=("22", "no-matching-distribution"), core=False
    ),
    "target-in-file": Case(
        words=_words("install", "--no-index", "--target={file}/x", "{good}"), cause="other", core=False
    ),
    "target-forbidden": Case(
        words=_words("install", "--no-index", "--target=/sys/pipfallback", "{good}"),
        cause="no-permission",
        core=False,
    ),
    "prefix-forbidden": Case(
        words=_words("install", "--no-index", "--prefix=/sys/pipfallback", "{good}"), cause="no-permission"
    ),
    "target-proc": Case(
        words=_words("install", "--no-index", "--target=/proc/pipfallback", "{good}"), cause="other", core=False
    ),
    "prefix-proc": Case(
        words=_words("install", "--no-index", "--prefix=/proc/pipfallback", "{good}"), cause="other", core=False
    ),
    "prefix-in-file": Case(
        words=_words("install", "--no-index", "--prefix={file}/x", "{good}"), cause="other", core=False
    ),
    "no-such-option": Case(words=_words("install", "--no-such-option", "good"), cause="usage", core=False),
    "bad-value": Case(words=_words("install", "--retries=many", "good"), cause="usage", core=False),
    "nothing-asked": Case(words=_words("install"), cause="usage", core=False),
    "combination": Case(words=_words("install", "--user", "--target=x", "good"), cause="usage", core=False),
    "unclear-requirement": Case(
        words=_words("install", "--no-index", "this is no requirement"), cause="usage", core=False
    ),
    "unclear-file": Case(words=_file("unclear.txt"), cause="usage", core=False),
    "no-such-file": Case(words=_file("missing.txt"), cause="usage"),
    "no-such-constraint": Case(
        words=_words("install", "--no-index", "-c", "nosuch.txt", "{good}"), cause="usage", core=False
    ),
    "no-such-folder": Case(words=_words("install", "--no-index", "./nosuchfolder"), cause="usage", core=False),
    "no-such-editable": Case(words=_words("install", "--no-index", "-e", "./nosuchfolder"), cause="usage", core=False),
}
