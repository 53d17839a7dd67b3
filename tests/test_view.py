"""What a log has of the attempts: one line for each, in words that stay."""

from __future__ import annotations

from pipfallback.view import Lines


def test_each_attempt_is_two_lines_of_a_log() -> None:
    told: list[str] = []
    view = Lines(told.append)
    view.trying("a-1-py3-none-any.whl", "Somebody", place=1, of=2)
    with view.doing("importing a"):
        pass
    view.failed("undone", "import a: ImportError: no", seconds=12.0)
    view.trying("a-1-py3-none-any.whl", None, place=2, of=2)
    view.works("installed a-1-py3-none-any.whl: it imports")
    assert told == [
        "trying a-1-py3-none-any.whl (Somebody)",
        "undone: import a: ImportError: no",
        "trying a-1-py3-none-any.whl",
        "installed a-1-py3-none-any.whl: it imports",
    ]
