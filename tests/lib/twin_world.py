"""The world of the twin cases: an index, projects, a repository, a catalog and one environment that is made anew.

pip and pipfallback run one after another in the same folders with the same server, so that a difference in what they
print or leave behind is a difference between them.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lib.restorable import Restorable
from lib.server import Answer, Server, fail
from lib.venvs import isolated_environ, make_venv
from lib.wheels import Content, make_wheel, sha256

# Nothing of it is for this machine.
_FOREIGN = "cp27-cp27m-win_amd64"

# A back end that lies in its own sources and needs nothing: PEP 517 and PEP 660, the same bytes every time.
_BACKEND = """\
import base64, hashlib, io, os, tarfile, zipfile
NAME, VERSION, REQUIRES, EXTRAS, FAILS = {name!r}, {version!r}, {requires!r}, {extras!r}, {fails!r}
STEM = NAME.replace("-", "_") + "-" + VERSION

def _metadata():
    lines = ["Metadata-Version: 2.1", "Name: " + NAME, "Version: " + VERSION]
    lines += ["Requires-Dist: " + requirement for requirement in REQUIRES]
    for extra, requirement in EXTRAS.items():
        lines += ["Provides-Extra: " + extra, 'Requires-Dist: %s; extra == "%s"' % (requirement, extra)]
    return "\\n".join(lines + ["", ""])

def _wheel(folder, members, settings):
    if FAILS:
        raise SystemExit(FAILS)
    members = dict(members)
    members[STEM + ".dist-info/METADATA"] = _metadata()
    members[STEM + ".dist-info/WHEEL"] = "Wheel-Version: 1.0\\nGenerator: own\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    if settings:
        members[STEM + ".dist-info/settings.txt"] = repr(sorted(settings.items()))
    record = STEM + ".dist-info/RECORD"
    lines = []
    for path, text in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append("%s,sha256=%s,%d" % (path, digest, len(text.encode())))
    members[record] = "\\n".join(lines + [record + ",,", ""])
    name = STEM + "-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        for path, text in members.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return name

def build_wheel(folder, config_settings=None, metadata_directory=None):
    return _wheel(folder, {{NAME.replace("-", "_") + "/__init__.py": "VERSION = %r\\n" % VERSION}}, config_settings)

def build_editable(folder, config_settings=None, metadata_directory=None):
    return _wheel(folder, {{"__editable__." + STEM + ".pth": os.getcwd() + "\\n"}}, config_settings)

def build_sdist(folder, config_settings=None):
    name = STEM + ".tar.gz"
    with tarfile.open(os.path.join(folder, name), "w:gz") as archive:
        for path in ("pyproject.toml", "backend.py"):
            archive.add(path, STEM + "/" + path)
    return name
"""
_PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
_GROUPS = """\
[dependency-groups]
dev = ["alpha<2", "beta"]
lint = [{ include-group = "dev" }, "past"]
managed = ["managed-works", "alpha"]
foreign = ["alpha", "managed-foreign"]
broken = [{ include-group = "no-such-group" }]
"""

_CATALOG = """\
schema = 1
"""
_PACKAGE = """\
[package.{name}]
import = ["{module}"]
[[package.{name}.source]]
name = "builds"
trust = "vendor"
kind = "url"
url = {urls}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where the cases run. ``values`` are what ``%NAME%`` in a case stands for."""

    server: Server
    python: Path
    folder: Path
    prefix: Restorable
    work: Restorable
    catalog: Path
    values: Mapping[str, str] = field(default_factory=dict)

    def filled(self, text: str) -> str:
        """The text with the places of this world: ``%INDEX%``; ``%SHA alpha-2.0%`` is the hash of a file of the index."""
        return re.sub(r"%([A-Z]+)(?: ([^%\s]+))?%", self._value, text)

    def _value(self, found: re.Match[str]) -> str:
        if found[1] == "SHA":
            return sha256(next((self.folder / "served" / "files").glob(f"{found[2]}[-.]*")))
        return self.values[found[1]]

    def begin(self, files: Mapping[str, str]) -> dict[str, str]:
        """Make everything as it was, with the files of a case in the working directory; the environment variables."""
        self.prefix.restore()
        self.work.restore()
        for name in ("home", "tmp"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()
        for name, text in files.items():
            path = self.work.path / self.filled(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_encoded(self.filled(text)))
        return isolated_environ(
            self.folder / "home",
            TMPDIR=str(self.folder / "tmp"),
            VIRTUAL_ENV=str(self.prefix.path),
            PIP_INDEX_URL=self.values["INDEX"],
            PIPFALLBACK_FALLBACKS=str(self.catalog),
            PYTHONHASHSEED="0",  # pip prints sets
            # No case reaches another machine: nothing listens at the discard port.
            HTTPS_PROXY="http://127.0.0.1:9",
            HTTP_PROXY="http://127.0.0.1:9",
            NO_PROXY="127.0.0.1",
        )


def _encoded(text: str) -> bytes:
    """As the file says itself (PEP 263, which pip reads in requirement files too)."""
    return text.encode("latin-1" if "coding: latin-1" in text.partition("\n")[0] else "utf-8")


@contextmanager
def twin_world(folder: Path, pip: str) -> Iterator[World]:
    """Make the world below ``folder``, with an environment that has this pip."""
    served, work = folder / "served", folder / "work"
    served.mkdir(parents=True)
    with Server(served) as server:
        _packages(served / "files")
        _builds(served / "builds")
        _local_files(work, served / "files")
        _serve_index(server, served / "files")
        python = make_venv(folder / "venv", pip=pip)
        catalog = folder / "catalog.toml"
        catalog.write_text(_catalog(server, served / "builds"), encoding="utf-8")
        yield World(
            server=server,
            python=python,
            folder=folder,
            prefix=Restorable(folder / "venv", folder / "pristine-venv"),
            work=Restorable(work, folder / "pristine-work"),
            catalog=catalog,
            values={
                "URL": server.url,
                "INDEX": f"{server.url}/index/",
                "JSON": f"{server.url}/json/",
                "MORE": f"{server.url}/more/",
                "LINKS": f"{server.url}/links.html",
                "FILES": f"{server.url}/files",
                "BUILDS": f"{server.url}/builds",
                "GIT": f"git+file://{_repository(folder / 'repository')}",
                "WORK": str(work),
                "VENV": str(folder / "venv"),
                "PYTHON": str(python),
                "TAG": f"cp{python.resolve().name.removeprefix('python').replace('.', '')}",
            },
        )


def _packages(folder: Path) -> None:
    """What the index has."""
    make_wheel(folder, "alpha", "1.0")
    make_wheel(folder, "alpha", "1.1")
    make_wheel(folder, "alpha", "2.0", commands={"alpha-tool": "alpha:main"}, data={"data/share/alpha/notes": "2.0\n"})
    make_wheel(folder, "alpha", "2.1b1")
    make_wheel(folder, "beta", "1.0")
    make_wheel(folder, "beta", "2.0")
    make_wheel(folder, "gamma", "1.0", requires=("beta<2",))
    make_wheel(folder, "delta", "1.0", requires=("beta>=2",))
    make_wheel(folder, "chain", "1.0", requires=("gamma", "alpha"))
    extras = ('beta; extra == "more"', 'alpha<2; extra == "less"')
    make_wheel(
        folder, "Optional.Parts", "1.0", requires=extras, metadata=("Provides-Extra: more", "Provides-Extra: less")
    )
    make_wheel(folder, "marked", "1.0", requires=('beta; python_version < "3"', 'alpha; python_version >= "3"'))
    make_wheel(folder, "past", "1.0")
    make_wheel(folder, "past", "2.0", requires_python=">=3.99")
    make_wheel(folder, "future", "1.0", requires_python=">=3.99")
    make_wheel(folder, "foreign", "1.0", tag=_FOREIGN)
    make_wheel(folder, "tagged", "1.0")
    make_wheel(folder, "tagged", "2.0", tag=_FOREIGN)
    make_wheel(folder, "withdrawn", "1.0")
    make_wheel(folder, "withdrawn", "2.0")
    make_wheel(folder, "lonely", "1.0", requires=("no-such-package",))
    make_wheel(folder, "both", "1.0")
    make_sdist(folder, "both", "2.0")
    make_sdist(folder, "sources", "1.0", requires=("alpha<2",))
    make_sdist(folder, "unbuildable", "1.0", fails="this never builds")
    make_wheel(folder, "pip", "99.0")
    make_wheel(folder, "managed_works", "1.0")
    make_wheel(folder, "managed_works", "2.0", requires=("alpha",))
    make_wheel(folder, "managed_works", "3.0rc1")
    make_wheel(folder, "managed_foreign", "1.0", tag=_FOREIGN)
    make_wheel(folder, "managed_broken", "1.0", files={"managed_broken.py": "raise ImportError('half a build')\n"})
    make_wheel(folder, "managed_hopeless", "1.0", files={"managed_hopeless.py": "raise ImportError('no build')\n"})
    make_sdist(folder, "managed_source", "1.0")
    make_wheel(folder, "uses_works", "1.0", requires=("managed-works>=1", "beta"))
    make_wheel(folder, "uses_foreign", "1.0", requires=("managed-foreign", "beta"))
    make_wheel(folder, "uses_broken", "1.0", requires=("managed-broken",))
    make_wheel(folder, "uses_hopeless", "1.0", requires=("managed-hopeless", "alpha"))


def _builds(folder: Path) -> None:
    """What the sources of the catalog have, and the index has not."""
    make_wheel(folder, "managed_works", "2.0", build="1")
    make_wheel(folder, "managed_foreign", "1.0", requires=("alpha<2",))
    make_wheel(folder, "managed_broken", "1.0", build="1", files={"managed_broken.py": "BUILD = 1\n"})
    make_wheel(
        folder, "managed_hopeless", "1.0", build="1", files={"managed_hopeless.py": "raise ImportError('nor this')\n"}
    )
    make_wheel(folder, "managed_absent", "1.0")
    make_wheel(folder, "managed_source", "1.0")


def _catalog(server: Server, builds: Path) -> str:
    names: dict[str, list[str]] = {}
    for wheel in sorted(builds.glob("*.whl")):
        names.setdefault(wheel.name.partition("-")[0], []).append(server.url_of(wheel))
    packages = [
        _PACKAGE.format(name=module.replace("_", "-"), module=module, urls=json.dumps(urls))
        for module, urls in names.items()
    ]
    return _CATALOG + "".join(packages)


def _local_files(work: Path, files: Path) -> None:
    """What lies in the working directory: two projects, a folder of wheels, a folder that is no project."""
    make_project(work / "project", "proj", "1.0", requires=("alpha<2",), extras={"test": "beta<2"}, more=_GROUPS)
    make_project(work / "uses-managed", "uses-managed", "1.0", requires=("managed-works",))
    make_project(work / "failing", "failing", "1.0", fails="this never builds")
    (work / "no-project").mkdir()
    (work / "no-project" / "notes.txt").write_text("nothing to build\n")
    (work / "wheels").mkdir()
    for pattern in ("alpha-*", "beta-1*", "foreign-*", "sources-*", "managed_works-1*", "managed_foreign-*"):
        for file in files.glob(pattern):
            shutil.copyfile(file, work / "wheels" / file.name)


def make_project(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    extras: Mapping[str, str] | None = None,
    fails: str = "",
    more: str = "",
) -> Path:
    """A project folder that builds with nothing but itself."""
    files = _sources(name, version, requires, extras or {}, fails)
    files["pyproject.toml"] += more
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def make_sdist(folder: Path, name: str, version: str, *, requires: Sequence[str] = (), fails: str = "") -> Path:
    """A source archive that builds with nothing but itself; ``fails``: what its build says instead."""
    stem = f"{name}-{version}"
    files: dict[str, Content] = {**_sources(name.replace("_", "-"), version, requires, {}, fails)}
    files["PKG-INFO"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / f"{stem}.tar.gz", "w:gz") as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(f"{stem}/{path}")
            raw = content if isinstance(content, bytes) else content.encode()
            info.size, info.mtime = len(raw), 1_577_836_800
            archive.addfile(info, io.BytesIO(raw))
    return folder / f"{stem}.tar.gz"


def _sources(name: str, version: str, requires: Sequence[str], extras: Mapping[str, str], fails: str) -> dict[str, str]:
    backend = _BACKEND.format(name=name, version=version, requires=list(requires), extras=dict(extras), fails=fails)
    return {"pyproject.toml": _PYPROJECT, "backend.py": backend}


def _repository(folder: Path) -> Path:
    """A git repository with a project, whose version is 1.0 at the tag "v1" and 2.0 at the end."""
    make_project(folder, "repo", "1.0")
    make_project(folder / "below", "below", "1.0")
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "add", ".")
    _git(folder, "commit", "--quiet", "--message=first")
    _git(folder, "tag", "v1")
    make_project(folder, "repo", "2.0")
    _git(folder, "commit", "--quiet", "--all", "--message=second")
    return folder


def _git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=Twin", "-c", "user.email=twin@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def _serve_index(server: Server, folder: Path) -> None:
    """The same files in HTML (PEP 503) and JSON (PEP 691), a page of links, and an index that has only a little more."""
    projects: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        projects.setdefault(_normal(file.name.split("-")[0]), []).append(file)
    for name, files in projects.items():
        server.answer(f"/index/{name}/", _html(_link(server, file) for file in files))
        server.answer(f"/json/{name}/", _json(name, files, server))
    server.answer("/links.html", _html(_link(server, file) for file in sorted(folder.iterdir())))
    extra = make_wheel(folder.parent / "more-files", "alpha", "3.0")
    only = make_wheel(folder.parent / "more-files", "only-here", "1.0", requires=("beta",))
    server.answer("/more/alpha/", _html([_link(server, extra)]))
    server.answer("/more/only-here/", _html([_link(server, only)]))
    server.answer("/index/out-of-order/", fail(500))


def _link(server: Server, file: Path) -> str:
    more = ""
    if file.name.startswith(("future", "past-2")):
        more = ' data-requires-python="&gt;=3.99"'
    if file.name.startswith("withdrawn-2"):
        more = ' data-yanked="it was wrong"'
    return f'<a href="{server.url_of(file)}#sha256={sha256(file)}"{more}>{file.name}</a><br>'


def _html(lines: Iterable[str]) -> Answer:
    body = "<!doctype html>\n<html><body>\n" + "\n".join(lines) + "\n</body></html>\n"
    return Answer(body=body.encode(), headers={"Content-Type": "text/html"})


def _json(name: str, files: Sequence[Path], server: Server) -> Answer:
    listed = [
        {
            "filename": file.name,
            "url": server.url_of(file),
            "hashes": {"sha256": sha256(file)},
            "requires-python": ">=3.99" if file.name.startswith(("future", "past-2")) else None,
            "yanked": "it was wrong" if file.name.startswith("withdrawn-2") else False,
        }
        for file in files
    ]
    page = {"meta": {"api-version": "1.0"}, "name": name, "files": listed}
    return Answer(body=json.dumps(page).encode(), headers={"Content-Type": "application/vnd.pypi.simple.v1+json"})


def _normal(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()
