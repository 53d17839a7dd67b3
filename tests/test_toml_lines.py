"""Where keys stand in a TOML document, compared with what the real parser finds in it."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from pipfallback.catalog_files import builtin_path
from pipfallback.toml_lines import key_lines, line_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Path = tuple[str | int, ...]

TEXT = """\
# a comment with [brackets] and "quotes"
a = 1
b.c = "x ] } # no comment \\" still"
"d.e" = { f = [1,
    { g = 2 }], h = '''
many = "lines"
''' }

[t . u]
k = \"\"\"
[not.a.table]
\"\"\"
[[t.v]]
date = 1979-05-27 07:32:00
[[t.v]]
w = [
    "one",  # one
    "two",

    [ "three" ],
]
[t.v.x]
last = true
"""


def test_each_key_table_and_item_has_its_line() -> None:
    assert key_lines(TEXT) == {
        ("a",): 2,
        ("b",): 3,
        ("b", "c"): 3,
        ("d.e",): 4,
        ("d.e", "f"): 4,
        ("d.e", "f", 0): 4,
        ("d.e", "f", 1): 5,
        ("d.e", "f", 1, "g"): 5,
        ("d.e", "h"): 5,
        ("t",): 9,
        ("t", "u"): 9,
        ("t", "u", "k"): 10,
        ("t", "v"): 13,
        ("t", "v", 0): 13,
        ("t", "v", 0, "date"): 14,
        ("t", "v", 1): 15,
        ("t", "v", 1, "w"): 16,
        ("t", "v", 1, "w", 0): 17,
        ("t", "v", 1, "w", 1): 18,
        ("t", "v", 1, "w", 2): 20,
        ("t", "v", 1, "w", 2, 0): 20,
        ("t", "v", 1, "x"): 22,
        ("t", "v", 1, "x", "last"): 23,
    }


def test_a_key_that_is_not_there_has_the_line_of_the_table_around_it() -> None:
    lines = key_lines("\n[t]\nk = 1\n")

    assert [line_of(lines, path) for path in [("t", "k"), ("t", "x", 3), ("x",)]] == [3, 2, 1]


def paths(value: object, path: Path = ()) -> set[Path]:
    """The paths of all keys and items of a parsed document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path} - {()} | {inner for key, item in items for inner in paths(item, (*path, key))}


def test_every_key_of_the_built_in_catalog_and_of_the_example_has_a_line() -> None:
    for text in (TEXT, builtin_path().read_text(encoding="utf-8")):
        assert set(key_lines(text)) == paths(tomllib.loads(text))


KEYS = st.sampled_from(["a", "b-c", '"d.e"', "'f'", "g . h"])
STRINGS = st.sampled_from(['"x"', "'#'", '"]"', '"\\""', '"""a\n"b"""""', "'''\n'x'''", '"}"', '""'])
VALUES = st.recursive(
    STRINGS | st.sampled_from(["1", "-1.5e3", "true", "1979-05-27 07:32:00Z"]),
    lambda inner: (
        st.lists(inner).map(lambda items: "[" + ", # ]\n".join(items) + "\n]")
        | st.lists(inner).map(lambda items: "[" + ",".join(items) + ("," if items else "") + "]")
        | st.tuples(KEYS, inner).map(lambda pair: f"{{ {pair[0]} = {pair[1]} }}")
    ),
    max_leaves=8,
)
LINES = st.one_of(
    st.tuples(KEYS, VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}  # said"),
    KEYS.map(lambda key: f"[{key}]"),
    KEYS.map(lambda key: f"  [[ {key} ]]"),
    KEYS.map(lambda key: f"[x.{key}]"),
    st.just(""),
    st.just("# [no] table"),
)


@given(st.lists(LINES, max_size=6))
def test_the_keys_of_any_valid_document_are_found(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        data = {}
        text = ""

    assert set(key_lines(text)) == paths(data)
