"""The pictures of the documentation show what the program writes."""

from __future__ import annotations

import importlib
import platform
import sys
from pathlib import Path

import pytest

from lib.extensions import has_compiler

ROOT = Path(__file__).parent.parent
NAMES = ("env", "error", "explain", "fetching", "install", "plan", "verify")


@pytest.mark.slow
@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11) or platform.machine() != "x86_64" or not has_compiler(),
    reason="they are made with Python 3.11 on x86_64",
)
def test_made_anew_they_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    pictures = importlib.import_module("pictures")
    pictures.main(tmp_path)
    for name in NAMES:
        kept, made = ((folder / f"{name}.svg").read_text() for folder in (pictures.PICTURES, tmp_path))
        assert pictures.words_of(made) == pictures.words_of(kept), f"make pictures draws {name}.svg anew"
    assert sorted(path.stem for path in pictures.PICTURES.glob("*.svg")) == sorted(NAMES)


def test_each_picture_can_be_read() -> None:
    for name in NAMES:
        text = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text()
        assert text.startswith("<svg")
        assert ">pipfallback<" in text
