"""What uv's failures mean: each is brought about with the real uv, and read from what the older ones say."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.server import Answer, Server, fail
from lib.venvs import isolated_environ, make_venv
from lib.wheels import cut, damage_member, html_page, make_wheel, without_member
from pipfallback.build_failures import SubCause
from pipfallback.pip_failures import Cause, Failure
from pipfallback.uv_failures import understand_uv
from pipfallback.uv_output import plain

UV = Path(sys.executable).with_name("uv")


class Trouble:
    """A server with every kind of bad wheel, an empty environment, and a uv to fail over them."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.server = server
        self.python = make_venv(folder / "venv", pip=None)
        self.environ = isolated_environ(folder / "home", UV_HTTP_TIMEOUT="1", UV_HTTP_RETRIES="0")
        self._wheels(server.folder)

    def _wheels(self, folder: Path) -> None:
        make_wheel(folder, "good", "1.0")
        make_wheel(folder, "needs", "1.0", requires=["good<1"])
        make_wheel(folder, "wants", "1.0", requires=["good>=2"])
        make_wheel(folder, "foreign", "1.0", tag="cp36-cp36m-linux_x86_64")
        make_wheel(
            folder, "mac", "1.0", tag=f"cp3{sys.version_info.minor}-cp3{sys.version_info.minor}-macosx_11_0_arm64"
        )
        make_wheel(folder, "future", "1.0", requires_python=">=3.99")
        for version in ("1.0", "1.1"):  # of several versions uv speaks in the plural
            make_wheel(folder, "several", version)
            make_wheel(folder, "several-need", version, requires=["good<1"])
            make_wheel(folder, "several-foreign", version, tag="cp36-cp36m-linux_x86_64")
            make_wheel(folder, "several-future", version, requires_python=">=3.99")
            make_wheel(folder, "several-unreadable", version, requires=["foo bar baz"])
        make_wheel(folder, "lying", "1.0", filename_version="2.0")
        make_wheel(folder, "unreadable", "1.0", requires=["foo bar baz"])
        cut(make_wheel(folder, "half", "1.0", size_mb=1))
        damage_member(make_wheel(folder, "damaged", "1.0"), "damaged/__init__.py")
        without_member(make_wheel(folder, "norecord", "1.0"), "RECORD")
        without_member(make_wheel(folder, "nometa", "1.0"), "METADATA")
        html_page(folder, "page-1.0-py3-none-any.whl")
        bad = {
            "slow": Answer(stall_at=100, ranges=False),
            "cutoff": Answer(cut_at=100, ranges=False),
            "down": fail(500),
            "closed": fail(403),
        }
        for name, answer in bad.items():
            self.server.answer("/" + make_wheel(folder, name, "1.0").name, *[answer] * 9)
        self.server.answer("/ill/good/", *[fail(500)] * 9)
        backend = 'def build_wheel(*args):\n    raise SystemExit("fatal error: Python.h: No such file or directory")\n'
        project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        described = "Metadata-Version: 2.1\nName: sources\nVersion: 1.0\n"
        with tarfile.open(folder / "sources-1.0.tar.gz", "w:gz") as archive:
            for name, text in {"backend.py": backend, "pyproject.toml": project, "PKG-INFO": described}.items():
                info = tarfile.TarInfo(f"sources-1.0/{name}")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
        (self.folder / "pins.txt").write_text("good==1.0\n")
        (self.folder / "hashed.txt").write_text(f"good==1.0 --hash=sha256:{'0' * 64}\n")
        (self.folder / "odd.txt").write_text("==odd 12\n")

    def failure(self, *words: str) -> Failure:
        values = {"index": f"{self.server.url}/simple/", "url": self.server.url, "folder": str(self.folder)}
        command = [UV, "pip", "install", "--python", self.python, *(word.format(**values) for word in words)]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode != 0, done.stderr
        return understand_uv(plain(done.stderr), done.returncode, wheels={"foreign"}, constrained={"good"})


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trouble]:
    folder = tmp_path_factory.mktemp("trouble")
    (folder / "served").mkdir()
    with Server(folder / "served") as server:
        yield Trouble(folder, server)


INDEX = ("--index-url", "{index}")

CASES = {
    "no such name": (Cause.NO_MATCH, (*INDEX, "absent")),
    "no such version": (Cause.NO_MATCH, (*INDEX, "good==3")),
    "no such name in a folder": (Cause.NO_MATCH, ("--no-index", "--find-links", "{url}/links/", "absent")),
    "a dependency that is nowhere": (Cause.NO_MATCH, (*INDEX, "needs")),
    "sources only": (Cause.NO_MATCH, (*INDEX, "--only-binary", "sources", "sources")),
    "no newer version": (Cause.NO_MATCH, (*INDEX, "several>5")),
    "none of several versions": (Cause.NO_MATCH, (*INDEX, "several-need")),
    "wheels for another Python": (Cause.NO_MATCH, (*INDEX, "several-foreign")),
    "several for another Python": (Cause.REQUIRES_PYTHON, (*INDEX, "several-future")),
    "bad metadata of several": (Cause.INVALID_METADATA, (*INDEX, "several-unreadable")),
    "two that exclude each other": (Cause.CONFLICT, (*INDEX, "needs", "good==1.0")),
    "a constraint": (Cause.CONFLICT, (*INDEX, "wants", "-c", "{folder}/pins.txt")),
    "a wheel for another Python, by URL": (Cause.UNSUPPORTED_WHEEL, ("{url}/foreign-1.0-cp36-cp36m-linux_x86_64.whl",)),
    "a wheel for another machine": (
        Cause.UNSUPPORTED_WHEEL,
        (f"{{url}}/mac-1.0-cp3{sys.version_info.minor}-cp3{sys.version_info.minor}-macosx_11_0_arm64.whl",),
    ),
    "a name that is none": (Cause.UNSUPPORTED_WHEEL, ("{url}/flash.whl",)),
    "another Python": (Cause.REQUIRES_PYTHON, (*INDEX, "future")),
    "another Python, by URL": (Cause.REQUIRES_PYTHON, ("{url}/future-1.0-py3-none-any.whl",)),
    "404": (Cause.NOT_FOUND, ("{url}/none-1.0-py3-none-any.whl",)),
    "403": (Cause.NOT_FOUND, ("{url}/closed-1.0-py3-none-any.whl",)),
    "no such file": (Cause.NOT_FOUND, ("{folder}/none-1.0-py3-none-any.whl",)),
    "500": (Cause.SERVER_ERROR, ("{url}/down-1.0-py3-none-any.whl",)),
    "nobody there": (Cause.UNREACHABLE, ("http://127.0.0.1:1/x-1.0-py3-none-any.whl",)),
    "no such host": (Cause.UNREACHABLE, ("http://nosuch.invalid/x-1.0-py3-none-any.whl",)),
    "no such git server": (Cause.UNREACHABLE, ("x @ git+https://127.0.0.1:1/x.git",)),
    "no such repository": (Cause.NOT_FOUND, ("x @ git+file://{folder}/none",)),
    "nothing comes": (Cause.TIMEOUT, ("{url}/slow-1.0-py3-none-any.whl",)),
    "the connection ends": (Cause.TRUNCATED, ("{url}/cutoff-1.0-py3-none-any.whl",)),
    "half a file": (Cause.CORRUPT, ("{url}/half-1.0-py3-none-any.whl",)),
    "a damaged file": (Cause.CORRUPT, ("{url}/damaged-1.0-py3-none-any.whl",)),
    "no RECORD": (Cause.CORRUPT, ("{url}/norecord-1.0-py3-none-any.whl",)),
    "no METADATA": (Cause.CORRUPT, ("{url}/nometa-1.0-py3-none-any.whl",)),
    "a page": (Cause.CORRUPT, ("{url}/page-1.0-py3-none-any.whl",)),
    "a name that lies": (Cause.INCONSISTENT, ("{url}/lying-2.0-py3-none-any.whl",)),
    "bad metadata": (Cause.INVALID_METADATA, ("{url}/unreadable-1.0-py3-none-any.whl",)),
    "bad metadata in an index": (Cause.INVALID_METADATA, (*INDEX, "unreadable")),
    "a wrong hash in a file": (Cause.HASH_MISMATCH, (*INDEX, "-r", "{folder}/hashed.txt")),
    "a wrong hash in a URL": (Cause.HASH_MISMATCH, (f"{{url}}/good-1.0-py3-none-any.whl#sha256={'0' * 64}",)),
    "no hash": (Cause.HASH_MISMATCH, (*INDEX, "--require-hashes", "good")),
    "a build": (Cause.BUILD_FAILED, (*INDEX, "sources")),
    "an index that is down": (Cause.INDEX_DOWN, ("--index-url", "http://127.0.0.1:1/simple", "good")),
    "an index that is ill": (Cause.INDEX_DOWN, ("--index-url", "{url}/ill/", "good")),
    "no network": (Cause.INDEX_DOWN, ("--offline", "good")),
    "no such option": (Cause.USAGE, ("--wat",)),
    "no such requirements": (Cause.USAGE, ("-r", "{folder}/none.txt")),
    "odd requirements": (Cause.USAGE, ("-r", "{folder}/odd.txt")),
    "no requirement": (Cause.USAGE, ("==1",)),
}


@pytest.mark.parametrize("case", CASES)
def test_each_failure_is_understood(trouble: Trouble, case: str) -> None:
    cause, words = CASES[case]
    failure = trouble.failure(*words)
    assert failure.cause is cause, failure.text
    assert failure.message
    assert "\n" not in failure.message


def test_what_is_missing_is_said_in_pips_words_and_nothing_else_is_blamed(trouble: Trouble) -> None:
    assert trouble.failure(*INDEX, "needs").message == "No matching distribution found for good"
    assert trouble.failure(*INDEX, "absent").message == "No matching distribution found for absent"
    assert trouble.failure(*INDEX, "good==3").message == "No matching distribution found for good"


def test_a_constraint_that_takes_part_is_named_as_pip_names_it(trouble: Trouble) -> None:
    assert "(constraint) good==1.0" in trouble.failure(*INDEX, "wants", "-c", "{folder}/pins.txt").text
    assert "(constraint)" not in trouble.failure(*INDEX, "absent").text


def test_what_a_build_lacked_is_known(trouble: Trouble) -> None:
    failure = trouble.failure(*INDEX, "sources")
    assert isinstance(failure.sub_cause, SubCause)
    assert "sources" in failure.message


def test_an_environment_that_others_manage() -> None:
    text = (
        "error: The interpreter at `/usr` is externally managed, and indicates the following:\n\n  no\n\nhint: venv\n"
    )
    assert understand_uv(text, 2).cause is Cause.EXTERNALLY_MANAGED


# What uv 0.9.0 says, whose errors are drawn as trees and broken at the width of the terminal.
OLDER = {
    Cause.NO_MATCH: """\
  \u00d7 No solution found when resolving dependencies:
  \u2570\u2500\u25b6 Because good was not found in the provided package locations
      and you require good, we can conclude that your requirements are
      unsatisfiable.
""",
    Cause.CONFLICT: """\
  \u00d7 No solution found when resolving dependencies:
  \u2570\u2500\u25b6 Because only needs==1.0 is available and needs==1.0 depends on good<1,
      we can conclude that all versions of needs depend on good<1.
      And because you require needs and good==1.0, we can conclude that your
      requirements are unsatisfiable.
""",
    Cause.NOT_FOUND: """\
  \u00d7 Failed to download `none @
  \u2502 https://host/none-1.0-py3-none-any.whl`
  \u251c\u2500\u25b6 Failed to fetch: `https://host/none-1.0-py3-none-any.whl`
  \u2570\u2500\u25b6 HTTP status client error (404 Not Found) for url
      (https://host/none-1.0-py3-none-any.whl)
""",
    Cause.UNREACHABLE: """\
  \u00d7 Failed to download `x @ http://127.0.0.1:1/x-1.0-py3-none-any.whl`
  \u251c\u2500\u25b6 Failed to fetch: `http://127.0.0.1:1/x-1.0-py3-none-any.whl`
  \u251c\u2500\u25b6 error sending request for url (http://127.0.0.1:1/x-1.0-py3-none-any.whl)
  \u251c\u2500\u25b6 client error (Connect)
  \u251c\u2500\u25b6 tcp connect error
  \u2570\u2500\u25b6 Connection refused (os error 111)
""",
    Cause.INDEX_DOWN: """\
error: Failed to fetch: `http://127.0.0.1:1/simple/good/`
  Caused by: error sending request for url (http://127.0.0.1:1/simple/good/)
  Caused by: client error (Connect)
  Caused by: Connection refused (os error 111)
""",
    Cause.UNSUPPORTED_WHEEL: """\
Resolved 1 package in 44ms
error: Failed to determine installation plan
  Caused by: A URL dependency is incompatible with the current platform: https://host/mac-1.0-cp311-cp311-macosx_11_0_arm64.whl

hint: The wheel is compatible with macOS (`macosx_11_0_arm64`), but you're on Linux (`manylinux_2_36_x86_64`)
""",
    Cause.BUILD_FAILED: """\
   Building fails==1.0
  \u00d7 Failed to build `fails==1.0`
  \u251c\u2500\u25b6 The build backend returned an error
  \u2570\u2500\u25b6 Call to `be.build_wheel` failed (exit status: 1)

      [stderr]
      error: nvcc was not found
""",
    Cause.NO_PERMISSION: """\
Prepared 1 package in 2ms
error: Failed to install: dep-1.0-py3-none-any.whl (dep==1.0)
  Caused by: failed to copy file from /c/dep.py to /ve/dep.py: Permission denied (os error 13)
""",
    Cause.NO_SPACE: """\
error: Failed to install: dep-1.0-py3-none-any.whl (dep==1.0)
  Caused by: failed to copy file from /c/dep.py to /ve/dep.py: No space left on device (os error 28)
""",
}


@pytest.mark.parametrize("cause", OLDER, ids=lambda cause: cause.value)
def test_older_uvs_are_understood(cause: Cause) -> None:
    assert understand_uv(OLDER[cause], 1, constrained={"good"}).cause is cause


def test_the_last_cause_is_the_message() -> None:
    message = understand_uv(OLDER[Cause.NOT_FOUND], 1).message
    assert message.startswith("Failed to download `none @ https://host/none-1.0-py3-none-any.whl`: HTTP status client")


def test_no_password_is_passed_on() -> None:
    text = "error: Failed to download `x @ https://user:secret@host/x-1.0-py3-none-any.whl`\n  cause: HTTP status client error (404 Not Found)\n"
    failure = understand_uv(text, 1)
    assert "secret" not in failure.message + failure.text
    assert "https://host/x-1.0" in failure.message


def test_a_uv_that_was_killed_says_nothing() -> None:
    assert understand_uv("Resolved 1 package in 3ms\n", -9).cause is Cause.INTERRUPTED
