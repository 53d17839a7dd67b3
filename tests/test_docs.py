"""What the documents show is what happens."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pipfallback

DOCS = Path(__file__).parent.parent / "docs"


def blocks(file: str, language: str) -> list[str]:
    """The code blocks of a document in one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", (DOCS / file).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def test_the_example_of_the_api_prints_what_it_says() -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(blocks("api.md", "python")[0], "docs/api.md", "exec"), {})  # noqa: S102  (our own document)
    assert printed.getvalue() == blocks("api.md", "text")[0]


def test_every_public_name_is_described_and_there() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for name in pipfallback.__all__:
        assert getattr(pipfallback, name) is not None
        assert name == "__version__" or f"`{name}" in text, name
    assert set(dir(pipfallback)) == set(pipfallback.__all__)
