"""The README shows what the demo prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipfallback.manual import overview

ROOT = Path(__file__).parent.parent

# What differs from run to run: ports, temporary folders, hashes of wheels that hold a compiled extension, Pythons.
_VARYING = (
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"/tmp/[\w/.-]*pipfallback-\w+", "TMP"),  # noqa: S108  (a pattern, no path that is used)
    (r"sha256=[0-9a-f]{64}", "sha256=HASH"),
    (r"3\.\d+\.\d+(?![\w.])", "3.X.Y"),
    (r"CPython 3\.\d+", "CPython 3.X"),
    (r"python3\.\d+", "python3.X"),
    (r"cpython-\d+", "cpython-X"),
    (r"cp3\d+", "cpX"),
    (r"\d+ builds from \d+ sources", "N builds from N sources"),  # of which most are the built-in catalog's
)


def plain(text: str) -> list[str]:
    for pattern, word in _VARYING:
        text = re.sub(pattern, word, text)
    return text.strip().splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="the demo compiles a Linux extension")
def test_the_readme_shows_what_the_demo_prints() -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(
        [sys.executable, ROOT / "demo" / "demo.py"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    shown = re.search(
        r"^```text\n(A virtual environment.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert shown is not None
    assert plain(done.stdout) == plain(shown[1])


def test_the_readme_shows_the_help() -> None:
    shown = re.search(
        r"^```text\n(Usage: pipfallback .*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert shown is not None
    assert shown[1] == overview()
