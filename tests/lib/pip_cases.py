"""Every way in which pip fails: a command in the world of pip_trouble.py, and what it must be told as.

Measured with pip 20.3.4 to 26.3, facts/pip-failures.md 1.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lib.pip_trouble import Trouble

Words = Callable[[Trouble], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One failing command, and what it must be told as. ``cause`` None: pip does not fail.

    ``since``: another cause from a version of pip on, where the same command has another end. ``core``: among the
    default tests; the others belong to the matrix. ``needs``: a program without which the failure is another one.
    """

    words: Words
    cause: str | None
    since: Mapping[str, str | None] = field(default_factory=dict)
    sub_cause: str | None = None
    core: bool = False
    needs: str | None = None

    @property
    def possible(self) -> bool:
        """Whether this machine has what the case needs."""
        return self.needs is None or shutil.which(self.needs) is not None

    def cause_with(self, pip: str) -> str | None:
        """The cause with this version of pip; None where it does not fail."""
        reached = [version for version in self.since if _numbers(version) <= _numbers(pip)]
        return self.since[max(reached, key=_numbers)] if reached else self.cause


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


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
    """Words with places: {world}, {good} and {file} for paths, {tls} for a server that speaks no TLS.

    That one by name: pip 24.2 to 25.0 stumbles over an address there ("check_hostname requires server_hostname").
    """

    def filled(world: Trouble) -> list[str]:
        tls = world.server.url.replace("http://127.0.0.1", "https://localhost")
        return [word.format(world=world, good=world.path("good"), file=world.path("file"), tls=tls) for word in words]

    return filled


_DIRECT = ("install", "--no-index", "--retries=0")
_SIMPLE = "--index-url={world.server.url}/simple/"
_NOWHERE = ("install", "--retries=0", "--index-url={world.nowhere}/simple/")
_COMPILED = {"compiler-error", "missing-header", "missing-library"}
_CORE_BUILDS = {"imports-torch", "no-cuda-home", "cuda-mismatch", "killed", "compiler-error"}

NO_MATCH = "no-matching-distribution"
DOWN = "index-unreachable"
UNSUPPORTED = "unsupported-wheel"

_WHEELS = {
    "unsupported-path": Case(words=_install("unsupported"), cause=UNSUPPORTED, core=True),
    "unsupported-url": Case(words=_url("unsupported"), cause=UNSUPPORTED, core=True),
    "unsupported-file": Case(words=_file("unsupported.txt"), cause=UNSUPPORTED, core=True),
    "unsupported-quiet": Case(words=_url("unsupported", "-qqq"), cause=UNSUPPORTED),
    "unsupported-forced": Case(words=_url("unsupported", "--force-reinstall", "--no-deps"), cause=UNSUPPORTED),
    "unsupported-abi": Case(words=_install("unsupported-abi"), cause=UNSUPPORTED),
    "unsupported-platform": Case(words=_install("unsupported-platform"), cause=UNSUPPORTED),
    "unsupported-glibc": Case(words=_install("unsupported-glibc"), cause=UNSUPPORTED),
    "unsupported-in-index": Case(words=_index("listed"), cause=NO_MATCH),
    "unsupported-dependency": Case(words=_index("asker"), cause=NO_MATCH, core=True),
    "unsupported-dependency-url": Case(words=_index("urlasker"), cause=UNSUPPORTED),
    "unsupported-constraint": Case(
        words=lambda world: _index("-c", world.path("link.txt"), "flash-attn")(world),
        cause="usage",  # "Links are not allowed as constraints"
        since={"21": "conflict"},
    ),
    "bad-name": Case(words=_install("bad-name"), cause=UNSUPPORTED),
    # pip 24.1 to 25.1 makes a requirement of the file's name, and says that this is an invalid one.
    "bad-version-name": Case(
        words=_install("bad-version-name"), cause=None, since={"24.1": "usage", "25.2": UNSUPPORTED}
    ),
    "no-version-name": Case(
        words=_install("no-version-name"), cause=None, since={"24.1": "usage", "25.2": UNSUPPORTED}
    ),
    "bad-build-name": Case(words=_install("bad-build-name"), cause=UNSUPPORTED),
    "browser-copy": Case(words=_install("browser-copy"), cause=UNSUPPORTED),
    "page-url": Case(words=_url("page"), cause="corrupt"),
    "page-path": Case(words=_install("html"), cause="corrupt"),
    "lfs": Case(words=_install("lfs"), cause="corrupt", core=True),
    "cut": Case(words=_install("cut"), cause="corrupt"),
    "empty-file": Case(words=_install("empty-file"), cause="corrupt"),
    "random": Case(words=_install("random"), cause="corrupt"),
    "bad-crc": Case(words=_install("bad-crc"), cause="corrupt", core=True),
    "no-record": Case(words=_install("no-record", options=("--no-index", "--target=there")), cause="corrupt"),
    "no-record-here": Case(words=_install("no-record", options=("--no-index", "--prefix=there")), cause="corrupt"),
    "no-wheel": Case(words=_install("no-wheel"), cause="corrupt"),
    "no-dist-info": Case(words=_install("no-dist-info"), cause="corrupt"),
    "two-dist-infos": Case(words=_install("two-dist-infos"), cause="corrupt"),
    "wheel-2.0": Case(words=_install("wheel-2.0"), cause="corrupt"),
    "wrong-name": Case(words=_install("wrong-name"), cause="corrupt", core=True),
    "no-metadata": Case(words=_install("no-metadata"), cause="invalid-metadata", core=True),
    "bad-metadata": Case(words=_install("bad-metadata"), cause="invalid-metadata", core=True),
    "old-specifier": Case(
        words=_install("old-specifier", options=("--no-index", "--no-deps")),
        cause=None,
        since={"24.1": "invalid-metadata"},
    ),
    "bad-version": Case(words=_install("bad-version"), cause=None, since={"24.1": "invalid-metadata"}),
    "inconsistent": Case(words=_index("incons"), cause="inconsistent-version"),
    "another-name": Case(
        words=_words("install", "--no-index", "foo @ {world.server.url}/good-1.0-py3-none-any.whl"),
        cause="inconsistent-version",
    ),
    "requires-python": Case(words=_install("new-python"), cause="requires-python", core=True),
    "requires-python-index": Case(words=_index("future"), cause="requires-python", core=True),
    "requires-python-version": Case(words=_index("past==2.0"), cause="requires-python"),
    "requires-python-beside": Case(words=_index("past==3.0"), cause=NO_MATCH),
    "requires-python-hidden": Case(
        words=_words("install", "--retries=0", "--index-url={world.server.url}/hidden/", "future"),
        cause="requires-python",
    ),
    "wrong-hash": Case(words=_url("good", end="#sha256=" + "0" * 64), cause="hash-mismatch", core=True),
    "wrong-hash-index": Case(
        words=_words("install", "--retries=0", "--index-url={world.server.url}/wrong-hash/", "good"),
        cause="hash-mismatch",
    ),
    "wrong-hash-file": Case(words=_file("hash.txt"), cause="hash-mismatch"),
    "hash-missing": Case(words=_file("no-hash.txt"), cause="hash-mismatch"),
    "hash-unpinned": Case(words=_file("unpinned-hash.txt"), cause="hash-mismatch"),
}

_NETWORK = {
    "401": Case(words=_url("secret"), cause="not-found"),
    "401-no-input": Case(words=_url("secret", "--no-input"), cause="not-found"),
    "403": Case(words=_url("forbidden"), cause="not-found"),
    "404": Case(words=_url("missing"), cause="not-found", core=True),
    "404-quiet": Case(words=_url("missing", "-qqq"), cause="not-found"),
    "410": Case(words=_url("gone"), cause="not-found", core=True),
    "429": Case(words=_url("limited"), cause="server-error"),
    "500": Case(words=_url("failing"), cause="server-error", core=True),
    "503": Case(words=_url("unavailable"), cause="server-error"),
    "503-retried": Case(words=_url("unavailable", "--retries=1"), cause="server-error"),
    "no-such-path": Case(words=_install("missing-1.0-py3-none-any.whl"), cause="not-found", core=True),
    "refused": Case(words=_words(*_DIRECT, "{world.nowhere}/x-1.0-py3-none-any.whl"), cause="unreachable", core=True),
    "refused-retried": Case(
        words=_words("install", "--no-index", "--retries=1", "{world.nowhere}/x-1.0-py3-none-any.whl"),
        cause="unreachable",
    ),
    "no-such-host": Case(words=_words(*_DIRECT, "http://host.invalid/x-1.0-py3-none-any.whl"), cause="unreachable"),
    "no-tls": Case(words=_words(*_DIRECT, "{tls}/good-1.0-py3-none-any.whl"), cause="unreachable"),
    "proxy-refused": Case(
        words=_words(*_DIRECT, "--proxy={world.nowhere}", "http://host.invalid/x-1.0-py3-none-any.whl"),
        cause="unreachable",
    ),
    "reset": Case(words=_url("reset"), cause="unreachable"),
    "time-out": Case(words=_url("silent", "--timeout=0.5"), cause="timeout", core=True),
    "stalling": Case(words=_url("stalling", "--timeout=0.5"), cause="timeout"),
    "truncated": Case(words=_url("truncated"), cause="truncated", core=True),
    "truncated-often": Case(words=_url("choppy"), cause="truncated"),
    "no-such-repository": Case(
        words=_words("install", "--no-index", "git+file://{file}/nothing.git"), cause="not-found", needs="git"
    ),
    "repository-refused": Case(
        words=_words("install", "--no-index", "git+{world.nowhere}/a/b.git"), cause="unreachable", needs="git"
    ),
}

_INDEX = {
    "no-such-name": Case(words=_index("nosuchname"), cause=NO_MATCH, core=True),
    "no-such-name-quiet": Case(words=_index("-qqq", "nosuchname"), cause=NO_MATCH),
    "no-such-version": Case(words=_index("good==9"), cause=NO_MATCH),
    "no-such-dependency": Case(words=_index("parent"), cause=NO_MATCH, core=True),
    "no-files": Case(words=_index("empty"), cause=NO_MATCH),
    "yanked": Case(
        words=_words("install", "--retries=0", "--index-url={world.server.url}/yanked/", "withdrawn>=1"),
        cause=None,
        since={"22": NO_MATCH},
    ),
    "only-binary": Case(words=_index("--only-binary=onlysource", "onlysource"), cause=NO_MATCH),
    "index-down": Case(words=_words(*_NOWHERE, "somename"), cause=DOWN, core=True),
    "index-down-quiet": Case(words=_words(*_NOWHERE, "-qqq", "somename"), cause=DOWN),
    "index-down-retried": Case(
        words=_words("install", "--retries=1", "--index-url={world.nowhere}/simple/", "somename"), cause=DOWN
    ),
    "index-down-for-dependency": Case(
        words=_words(*_NOWHERE, "{world.server.url}/parent-1.0-py3-none-any.whl"), cause=DOWN
    ),
    "index-down-in-file": Case(words=_file("down.txt"), cause=DOWN),
    "index-no-such-host": Case(
        words=_words("install", "--retries=0", "--index-url=https://host.invalid/simple/", "somename"),
        cause=DOWN,
        core=True,
    ),
    "index-no-tls": Case(words=_words("install", "--retries=0", "--index-url={tls}/simple/", "somename"), cause=DOWN),
    "index-proxy-refused": Case(
        words=_words(
            "install", "--retries=0", "--proxy={world.nowhere}", "--index-url=https://host.invalid/", "somename"
        ),
        cause=DOWN,
    ),
    "index-not-trusted": Case(
        words=_words("install", "--retries=0", "--index-url=http://host.invalid/simple/", "somename"), cause=DOWN
    ),
    "index-silent": Case(words=_index("--timeout=0.5", "silent"), cause=DOWN),
    "index-failing": Case(words=_index("failing"), cause=DOWN),
    "index-forbidden": Case(words=_index("forbidden"), cause=NO_MATCH),
    "one-index-of-two-down": Case(
        words=_words("install", "--retries=0", _SIMPLE, "--extra-index-url={world.nowhere}/", "nosuchname"),
        cause=NO_MATCH,
    ),
    "one-of-two-has-other-tags": Case(
        words=_words("install", "--retries=0", _SIMPLE, "--extra-index-url={world.nowhere}/", "listed"), cause=NO_MATCH
    ),
    "links-down": Case(
        words=_words("install", "--retries=0", _SIMPLE, "--find-links={world.nowhere}/", "good==9"), cause=NO_MATCH
    ),
    "links-only-down": Case(words=_words(*_DIRECT, "--find-links={world.nowhere}/", "somename"), cause=DOWN),
    "constrained": Case(words=lambda world: _index("-c", world.path("pins.txt"), "one")(world), cause="conflict"),
    "conflict": Case(words=_index("one", "two"), cause="conflict", core=True),
    "conflict-named": Case(words=_index("one", "dep==2.0"), cause="conflict"),
}

_BUILDS = {
    **{
        name: Case(
            words=_install(name),
            cause="build-failed",
            sub_cause=sub_cause,
            core=name in _CORE_BUILDS,
            needs="cc" if name in _COMPILED else None,
        )
        for name, sub_cause in (
            ("imports-torch", "torch-missing"),
            ("imports-numpy", "module-missing"),
            ("metadata-fails", "torch-missing"),
            ("no-cuda-home", "no-nvcc"),
            ("no-nvcc", "no-nvcc"),
            ("cuda-mismatch", "cuda-mismatch"),
            ("cuda-mismatch-2.13", "cuda-mismatch"),
            ("cuda-too-old", "cuda-too-old"),
            ("torch-without-cuda", "torch-without-cuda"),
            ("no-ninja", "no-ninja"),
            ("killed", "out-of-memory"),
            ("compiler-killed", "out-of-memory"),
            ("out-of-memory", "out-of-memory"),
            ("does-not-compile", "compiler"),
            ("compiler-error", "compiler"),
            ("missing-header", "missing-header"),
            ("missing-library", "missing-library"),
            ("no-compiler", "no-compiler"),
            ("talks-on", "cuda-too-old"),
            ("needs-build-dependency", "build-dependency"),
            ("no-backend", "build-dependency"),
        )
    },
    "imports-torch-quiet": Case(words=_install("imports-torch", options=("-qqq", "--no-index")), cause="build-failed"),
    "imports-torch-verbose": Case(
        words=_install("imports-torch", options=("-v", "--no-index")), cause="build-failed", sub_cause="torch-missing"
    ),
    "cuda-mismatch-logged": Case(
        words=_install("cuda-mismatch", options=("--log=pip.log", "--no-index")),
        cause="build-failed",
        sub_cause="cuda-mismatch",
    ),
    "does-not-compile-quiet": Case(
        words=_install("does-not-compile", options=("-qqq", "--no-index")), cause="build-failed", core=True
    ),
    "setup-py": Case(words=_install("setup-py", options=("--no-index", "--no-build-isolation")), cause="build-failed"),
    "setup-py-isolated": Case(words=_install("setup-py"), cause="build-failed"),
    "source-in-index": Case(words=_index("onlysource"), cause="build-failed", sub_cause="torch-missing"),
}

_PLACES = {
    "target-in-file": Case(words=_words("install", "--no-index", "--target={file}/x", "{good}"), cause="other"),
    "target-forbidden": Case(
        words=_words("install", "--no-index", "--target=/sys/pipfallback", "{good}"), cause="no-permission"
    ),
    "prefix-forbidden": Case(
        words=_words("install", "--no-index", "--prefix=/sys/pipfallback", "{good}"), cause="no-permission", core=True
    ),
    "target-proc": Case(words=_words("install", "--no-index", "--target=/proc/pipfallback", "{good}"), cause="other"),
    "prefix-proc": Case(words=_words("install", "--no-index", "--prefix=/proc/pipfallback", "{good}"), cause="other"),
    "prefix-in-file": Case(words=_words("install", "--no-index", "--prefix={file}/x", "{good}"), cause="other"),
}

_USAGE = {
    name: Case(words=words, cause="usage", core=name == "no-such-file")
    for name, words in {
        "no-such-option": _words("install", "--no-such-option", "good"),
        "bad-value": _words("install", "--retries=many", "good"),
        "nothing-asked": _words("install"),
        "combination": _words("install", "--user", "--target=x", "good"),
        "unclear-requirement": _words("install", "--no-index", "this is no requirement"),
        "unclear-file": _file("unclear.txt"),
        "unclear-option-in-file": _file("options.txt"),
        "no-such-file": _file("missing.txt"),
        "no-such-constraint": _words("install", "--no-index", "-c", "nosuch.txt", "{good}"),
        "no-such-folder": _words("install", "--no-index", "./nosuchfolder"),
        "no-such-editable": _words("install", "--no-index", "-e", "./nosuchfolder"),
        "editable-wheel": _words("install", "--no-index", "-e", "{good}"),
        "no-project": _install("no-project"),
        "no-project-editable": _install("no-project", options=("--no-index", "-e")),
        "never-editable": _install("fixed", options=("--no-index", "-e")),
    }.items()
}

CASES: dict[str, Case] = {**_WHEELS, **_NETWORK, **_INDEX, **_BUILDS, **_PLACES, **_USAGE}
