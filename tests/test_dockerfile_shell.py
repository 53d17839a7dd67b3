"""Words of shell commands: the same that a real shell makes of them, each with its place."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipfallback.dockerfile.expansion import UnfinishedError
from pipfallback.dockerfile.located import located
from pipfallback.dockerfile.shell import Command, commands

VARIABLES = {"ONE": "1", "TWO": "a b", "EMPTY": "", "PATHS": "/x/y"}


def read(script: str, variables: Mapping[str, str | None] = VARIABLES) -> list[Command]:
    return list(commands(located(script), variables))


def values(script: str) -> list[list[str | None]]:
    return [[word.value for word in command.words] for command in read(script)]


def by_a_shell(script: str) -> list[str]:
    """The words that ``show`` is called with, as /bin/sh makes them."""
    program = f'show() {{ for word in "$@"; do printf "%s\\0" "$word"; done; }}\n{script}'
    done = subprocess.run(["/bin/sh", "-c", program], capture_output=True, env=VARIABLES, check=True)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize(
    "words",
    [
        "a b  c",
        "'a b' \"c d\" e\\ f",
        "a'b'\"c\"d",
        "''",
        '""',
        '"a\\"b\\\\c\\$d\\e"',
        "'a\\b'",
        "$ONE ${ONE} x${ONE}y '$ONE' \"$ONE\" \\$ONE",
        '$TWO "$TWO" x$TWO',
        '$EMPTY "$EMPTY" x$EMPTY',
        "${NONE:-d} ${NONE-d} ${EMPTY:-d} ${EMPTY-d}x ${ONE:+set} ${NONE:+set}x ${ONE:-$TWO}",
        "a \\\n b",
        "a\\\nb",
        "a # a comment",
        "a#b",
        "flash-attn[x]==2.* 'y; python_version < \"3.10\"' z>=1",
        "$PATHS/z",
        "a$",
        "{a} a,b",
    ],
)
def test_words_are_those_of_a_real_shell(words: str) -> None:
    script = f"show {words}"
    first = read(script)[0]
    found = [word.value for word in first.words[1:]]
    if "2.*" not in words and ">=" not in words:
        assert found == by_a_shell(script)
    else:  # a pattern is known only with the files; ">" redirects
        assert found == [None, 'y; python_version < "3.10"', "z"]


WORDS = some.text(alphabet="ab $'\"\\{}#-=[]:/.,~!", min_size=0, max_size=12)


@given(
    some.lists(
        some.one_of(
            WORDS.map(lambda text: "'" + text.replace("'", "") + "'"),
            some.sampled_from(["a", "b-c", "d=e", "~", "x#y", "'a'\"b\"c"]),
        ),
        max_size=4,
    )
)
def test_quoted_words_are_those_of_a_real_shell(words: list[str]) -> None:
    script = "show " + " ".join(words)
    found = [word.value for word in read(script)[0].words[1:]]
    assert [word for word in found if word != "~"] == [
        word for word in by_a_shell(script) if not word.startswith("/root") and word != "~"
    ]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("a && b || c; d | e & f", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]),
        ("a\nb\n\nc", [["a"], ["b"], ["c"]]),
        ("(a; b) && { c; }", [["a"], ["b"], ["c"]]),
        ("if a; then b; elif c; then d; else e; fi", [["a"], ["b"], ["c"], ["d"], ["e"]]),
        ("while ! a; do b; done", [["a"], ["b"]]),
        ("a <<E\nb c\nE\nd", [["a"], ["d"]]),
        ("a <<-'E'\n\tb 'c\n\tE\nd", [["a"], ["d"]]),
        ("a &>x b", [["a", "b"]]),
        ("a 2>/dev/null <in b", [["a", "b"]]),
    ],
)
def test_commands_are_told_apart(script: str, expected: list[list[str]]) -> None:
    assert values(script) == expected


@pytest.mark.parametrize(
    "word",
    [
        "$NONE",
        "${NONE}",
        "$(cat x)",
        "`cat x`",
        "$((1 + 2))",
        "$1",
        "$@",
        "${ONE#x}",
        "x*",
        "<(cat x)",
        "{a,b}",
        "$'a'",
        '"$(cat "x y")"',
    ],
)
def test_what_only_running_it_tells_has_no_value(word: str) -> None:
    assert values(f"a {word} b") == [["a", None, "b"]]


@pytest.mark.parametrize("script", ["a 'b", 'a "b', "a $(b", "a `b", "a ${b", 'a "$(b"'])
def test_what_is_not_closed_cannot_be_read(script: str) -> None:
    with pytest.raises(UnfinishedError):
        read(script)


def test_places_lead_into_the_file_also_from_within_quotes() -> None:
    script = "bash -c \"x=1 && pip install 'a'\""
    inner = read(script)[0].words[2].text
    (_, install) = list(commands(inner, {}))
    span = inner.span(install.words[0].start, install.words[0].end)
    assert span is not None
    assert script[slice(*span)] == "pip"


def test_variables_may_change_between_commands() -> None:
    variables: dict[str, str | None] = {}
    seen = []
    for command in commands(located("X=1; a $X; X=2; a $X"), variables):
        seen.append(command.words[-1].value)
        if command.words[0].value in {"X=1", "X=2"}:
            variables["X"] = str(command.words[0].value)[2:]
    assert seen == ["X=1", "1", "X=2", "2"]
