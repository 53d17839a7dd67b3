"""A fallbacks.toml that a program changes: what is added is there, and everything else is as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipfallback.catalog_files import builtin_path
from pipfallback.catalog_reader import load
from pipfallback.catalog_work.writing import NEW_FILE, CatalogText, NewSource, read_text, write_text
from pipfallback.errors import CatalogError
from pipfallback.trust import Trust

A, B, C = (letter * 64 for letter in "abc")
BASE = "https://wheels.example.org"
ONE, TWO, THREE = (f"{BASE}/wobbly-{version}-py3-none-any.whl" for version in ("1.0", "1.1", "1.2"))

FILE = f"""\
#:schema ./fallbacks.schema.json
# Ours.
schema = 1   # the only one

[package.wobbly]
import = [ "wobbly",   "wobbly_c" ]  # both

# The builds of our own farm.
[[package.wobbly.source]]
name = "Farm"  # in the cellar
trust = "vendor"
kind = "url"
url = [
    "{ONE}",  # the good one
    "{TWO}"   # the other one
]

# What follows is somebody else's.
[package.other]
import = "other"

[[package.other.source]]
name = 'Pages'
trust = "community"
kind = "links"
url = "https://example.net/"
"""


def new(*urls: tuple[str, str], package: str = "wobbly", source: str = "Farm", **more: tuple[str, ...]) -> NewSource:
    return NewSource(package=package, name=source, trust=Trust.VENDOR, urls=urls, **more)


def added(text: str, *entries: NewSource) -> str:
    file = CatalogText("fallbacks.toml", text)
    for entry in entries:
        file.add(entry)
    return file.text


def differing(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that went away and those that came."""
    old, now = before.splitlines(), after.splitlines()
    return [line for line in old if line not in now], [line for line in now if line not in old]


def test_a_url_joins_the_others_of_its_source() -> None:
    gone, come = differing(FILE, added(FILE, new((THREE, C))))
    assert gone == [f'    "{TWO}"   # the other one']
    assert come == [f'    "{TWO}",   # the other one', f'    "{THREE}#sha256={C}"']


def test_a_source_comes_behind_the_last_of_its_package_and_before_the_comment_of_the_next() -> None:
    text = added(FILE, new((THREE, C), source="Elsewhere"))
    before, _, after = text.partition("# What follows is somebody else's.\n")
    assert before.endswith(
        f']\n\n[[package.wobbly.source]]\nname = "Elsewhere"\ntrust = "vendor"\nkind = "url"\nurl = "{THREE}#sha256={C}"\n\n'
    )
    assert after == FILE.partition("# What follows is somebody else's.\n")[2]
    assert differing(FILE, text)[0] == []


def test_a_package_comes_at_the_end() -> None:
    text = added(
        FILE,
        new((ONE.replace("wobbly", "gear"), A), (TWO.replace("wobbly", "gear"), B), package="gear", imports=("gear",)),
    )
    assert text.startswith(FILE)
    assert text.removeprefix(FILE) == (
        '\n[package.gear]\nimport = ["gear"]\n\n'
        '[[package.gear.source]]\nname = "Farm"\ntrust = "vendor"\nkind = "url"\nurl = [\n'
        f'    "{BASE}/gear-1.0-py3-none-any.whl#sha256={A}",\n    "{BASE}/gear-1.1-py3-none-any.whl#sha256={B}",\n]\n'
    )


def test_a_new_file_says_the_schema_and_which_one_editors_check_it_by(tmp_path: Path) -> None:
    path = tmp_path / "fallbacks.toml"
    path.write_text(added(NEW_FILE, new((ONE, A), imports=("wobbly",), needs=("torch",))))
    assert path.read_text().startswith("#:schema ./fallbacks.schema.json\n")
    package = load([path]).packages["wobbly"]
    assert (package.imports, package.needs) == (("wobbly",), ("torch",))
    assert package.named_hashes == {A}


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        (f'url = "{ONE}"  # good\n', f'url = [\n    "{ONE}",\n    "{TWO}#sha256={B}",\n]  # good\n'),
        (f'url = ["{ONE}"]\n', f'url = [\n    "{ONE}",\n    "{TWO}#sha256={B}",\n]\n'),
        (
            f'url = "{ONE}"\nsha256 = "{A}"  # by hand\n',
            f'url = [\n    "{ONE}#sha256={A}",\n    "{TWO}#sha256={B}",\n] # by hand\n',
        ),
        (
            f'url = ["{ONE}"]\nsha256 = "{A}"\n',
            f'url = [\n    "{ONE}#sha256={A}",\n    "{TWO}#sha256={B}",\n]\n',
        ),
        (
            f'url = ["{ONE}"]\n[package.wobbly.source.sha256]\n"{ONE}" = "{A}"  # by hand\n',
            f'url = [\n    "{ONE}",\n    "{TWO}",\n]\n[package.wobbly.source.sha256]\n"{ONE}" = "{A}"  # by hand\n"{TWO}" = "{B}"\n',
        ),
    ],
    ids=["one", "list", "hash", "hash of list", "table"],
)
def test_a_source_that_grows_keeps_its_way_to_state_hashes(own: str, wanted: str) -> None:
    start = '[package.wobbly]\nimport = "wobbly"\n[[package.wobbly.source]]\nname = "Farm"\ntrust = "vendor"\nkind = "url"\n'
    assert added(f"schema = 1\n{start}{own}", new((TWO, B))) == f"schema = 1\n{start}{wanted}"


@pytest.mark.parametrize(
    "text",
    [
        'schema = 1\npackage = { wobbly = { import = "wobbly" } }\n',
        'schema = 1\n[package]\nwobbly = { import = "wobbly", source = [] }\n',
    ],
)
def test_tables_in_a_form_that_cannot_be_extended_are_left_alone(text: str) -> None:
    file = CatalogText("fallbacks.toml", text)
    with pytest.raises(CatalogError, match="in a form that cannot be extended") as caught:
        file.add(new((ONE, A)))
    assert caught.value.hints == ("write them with headers: [package.NAME] and [[package.NAME.source]]",)
    assert file.text == text


def test_import_comes_into_a_package_that_had_only_sources() -> None:
    text = f'schema = 1\n\n# Farm.\n[[package.wobbly.source]]\nname = "Farm"\ntrust = "vendor"\nkind = "url"\nurl = "{ONE}"\n'
    grown = added(text, new((TWO, B), source="Other", imports=("wobbly",)))
    assert '\n[package.wobbly]\nimport = ["wobbly"]\n\n# Farm.\n[[package.wobbly.source]]\n' in grown


def test_import_stands_with_the_keys_of_its_package() -> None:
    text = f'schema = 1\n[package.wobbly]\nneeds = ["torch"]\n\n[[package.wobbly.source]]\nname = "Farm"\ntrust = "vendor"\nkind = "url"\nurl = "{ONE}"\n'
    grown = added(text, new((TWO, B), source="Other", imports=("wobbly",)))
    assert '[package.wobbly]\nneeds = ["torch"]\nimport = ["wobbly"]\n\n[[package' in grown


def test_source_tables_far_from_each_other_are_extended_where_they_stand() -> None:
    more = f'[[package.wobbly.source]]\nname = "Late"\ntrust = "vendor"\nkind = "url"\nurl = "{THREE}"'
    text = added(f"{FILE}\n{more}", new((TWO, B), source="Late"), new((ONE, A), source="Last"))
    assert text.startswith(FILE)
    assert text.endswith(f'kind = "url"\nurl = "{ONE}#sha256={A}"\n')


def test_line_ends_of_windows_stay() -> None:
    windows = FILE.replace("\n", "\r\n")
    text = added(windows, new((THREE, C), source="Elsewhere"), new((THREE, C), package="gear", imports=("gear",)))
    assert text.count("\r\n") == text.count("\n")
    assert windows.partition("# What follows")[2] in text


def test_missing_hashes_come_to_their_urls() -> None:
    file = CatalogText("fallbacks.toml", FILE)
    file.pin("wobbly", "Farm", {TWO: B})
    assert differing(FILE, file.text) == (
        [f'    "{TWO}"   # the other one'],
        [f'    "{TWO}#sha256={B}"   # the other one'],
    )


def test_a_file_with_mistakes_is_not_touched() -> None:
    with pytest.raises(CatalogError) as caught:
        CatalogText("fallbacks.toml", FILE.replace('"vendor"', '"vendro"'))
    assert "did you mean" in caught.value.details[0]


def test_what_the_loader_would_refuse_is_not_written() -> None:
    file = CatalogText("fallbacks.toml", FILE)
    with pytest.raises(CatalogError) as caught:
        file.add(new((ONE, A), package="gear", imports=("not a name",)))
    assert "not a name that Python can import" in caught.value.details[0]
    assert file.text == FILE


def test_a_file_is_replaced_at_once_and_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text("old")
    real.chmod(0o640)
    link = tmp_path / "fallbacks.toml"
    link.symlink_to(real)
    write_text(link, "new", before="old")
    assert link.is_symlink()
    assert (real.read_text(), real.stat().st_mode & 0o777) == ("new", 0o640)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fallbacks.toml", "real.toml"]


def test_a_new_file_has_the_mode_that_others_get(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "fallbacks.toml", "new", before=None)
    finally:
        os.umask(before)
    assert (tmp_path / "fallbacks.toml").stat().st_mode & 0o777 == 0o640


def test_what_somebody_else_wrote_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "fallbacks.toml"
    path.write_text("theirs")
    with pytest.raises(CatalogError, match="changed by somebody else"):
        write_text(path, "ours", before="old")
    assert path.read_text() == "theirs"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be written: No such file or directory"):
        write_text(tmp_path / "none" / "fallbacks.toml", "new", before=None)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "fallbacks.toml").write_bytes(b"\xff")
    with pytest.raises(CatalogError, match="is not UTF-8"):
        read_text(tmp_path / "fallbacks.toml")
    with pytest.raises(CatalogError, match="cannot read"):
        read_text(tmp_path)


def test_every_package_of_the_built_in_catalog_can_be_extended_without_changing_another_line() -> None:
    text = builtin_path().read_text(encoding="utf-8")
    file = CatalogText("fallbacks.toml", text)
    names = list(file.data["package"])
    for name in names:
        url = f"{BASE}/{name.replace('-', '_')}-99-py3-none-any.whl"
        file.add(new((url, A), package=name, source="Added"))
    was, now = text.splitlines(), iter(file.text.splitlines())
    assert all(line in now for line in was)  # every line, in its order
    inline = text.count("\nsource = [\n")
    grown = len(list(filter(None, file.text.splitlines()))) - len(list(filter(None, was)))
    assert grown == 5 * (len(names) - inline) + inline


def test_a_source_comes_into_a_list_of_inline_tables() -> None:
    text = (
        'schema = 1\n[package.wobbly]\nimport = "wobbly"\n# Asked.\nsource = [\n'
        '    { name = "x", trust = "vendor", kind = "index" },  # the index\n]\n\n# Next.\n[package.other]\nimport = "other"\n'
    )
    grown = added(text, new((ONE, A), source="Other"))
    line = f'    {{ name = "Other", trust = "vendor", kind = "url", url = "{ONE}#sha256={A}" }},\n'
    assert grown == text.replace("# the index\n]", f"# the index\n{line}]")
