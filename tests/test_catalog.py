"""fallbacks.toml: what is read, how layers merge, and that every mistake is told with its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pipfallback import catalog_reader
from pipfallback.builds import LabelHints
from pipfallback.catalog import Catalog
from pipfallback.catalog_files import Layer, builtin_path, layers
from pipfallback.errors import CatalogError
from pipfallback.sources.pattern import expand
from pipfallback.toml_document import nearest, redacted
from pipfallback.trust import Trust

GOOD = """\
schema = 1

[package.wobbly]
import = ["wobbly", "wobbly._native"]
import_for = { "<2" = ["wobbly_native"] }
needs = ["torch"]
smoke = "import wobbly"

[[package.wobbly.source]]
name = "Maker"
trust = "official"
kind = "url"
url = ["https://example.org/wobbly-1.0-py3-none-any.whl"]

[[package.wobbly.source]]
name = "Farm"
trust = "community"
kind = "pattern"
url = "https://example.org/{version}/wobbly-{version}+cu{cuda}-{python}-{python_abi}-linux_x86_64.whl"
torch = "2.7"
cxx11_abi = true
archs = ["8.0", "9.0a", "12.0+PTX"]
matrix = [
    { version = "1.0..2.0", cuda = ["11", "12"] },
    { version = "3.0", cuda = "13", archs = ["10.0"] },
]
values = { version = ["1.0", "1.1", "2.0", "3.0"], python = ["cp37", "cp310"] }
"""


def write(folder: Path, text: str, name: str = "fallbacks.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str) -> Catalog:
    return catalog_reader.load([write(folder, text)])


def mistakes(folder: Path, text: str) -> list[str]:
    """What is said about a file, without the file's name."""
    path = write(folder, text)
    with pytest.raises(CatalogError) as caught:
        catalog_reader.load([path])
    assert all(line.startswith(f"{path}:") for line in caught.value.details)
    return [line.removeprefix(f"{path}:") for line in caught.value.details]


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def line_with(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def test_a_file_is_read_into_values(tmp_path: Path) -> None:
    package = read(tmp_path, GOOD).packages["wobbly"]

    assert package.imports == ("wobbly", "wobbly._native")
    assert package.needs == ("torch",)
    assert package.smoke == "import wobbly"
    maker, farm = package.sources
    assert (maker.name, maker.kind, maker.trust) == ("Maker", "url", Trust.OFFICIAL)
    assert maker.urls == ("https://example.org/wobbly-1.0-py3-none-any.whl",)
    assert farm.hints == LabelHints(torch="2.7", cxx11_abi=True, archs=("8.0", "9.0a", "12.0+PTX"))
    first, second = farm.matrix
    assert first.values == {"version": ("1.0", "1.1", "2.0"), "cuda": ("11", "12"), "python": ("cp37", "cp310")}
    assert first.hints == farm.hints
    assert second.hints == LabelHints(torch="2.7", cxx11_abi=True, archs=("10.0",))


@pytest.mark.parametrize(
    ("version", "imports"),
    [
        ("1.9", ("wobbly_native",)),
        ("2.0rc1", ("wobbly", "wobbly._native")),
        ("2.1+cu12", ("wobbly", "wobbly._native")),
        ("no version", ("wobbly", "wobbly._native")),
        (None, ("wobbly", "wobbly._native")),
    ],
)
def test_other_versions_may_be_proved_by_other_modules(
    tmp_path: Path, version: str | None, imports: tuple[str, ...]
) -> None:
    text = changed('{ "<2" =', '{ "<2.0.dev0" =')

    assert read(tmp_path, text).packages["wobbly"].imports_for(version) == imports


def test_a_shared_matrix_serves_several_sources(tmp_path: Path) -> None:
    text = """\
schema = 1
[matrix.farm]
values = { python = ["cp310", "cp311", "cp312"], torch = ["2.6"] }
rows = [{ python = "cp310..cp311" }, { python = "cp312", torch = "2.7" }]
"""
    for name in ("wobbly-a", "wobbly-b"):
        text += f"""
[package.{name}]
import = "wobbly"
[[package.{name}.source]]
name = "Farm"
trust = "vendor"
kind = "pattern"
url = "https://example.org/{name}-{{version}}+torch{{torch}}-{{python}}-{{python}}-any.whl"
matrix = "farm"
values = {{ version = "1.0" }}
"""
    packages = read(tmp_path, text).packages

    for name in ("wobbly-a", "wobbly-b"):
        (source,) = packages[name].sources
        assert [dict(row.values) for row in source.matrix] == [
            {"version": ("1.0",), "torch": ("2.6",), "python": ("cp310", "cp311")},
            {"version": ("1.0",), "torch": ("2.7",), "python": ("cp312",)},
        ]


HASH = "ab" * 32


@pytest.mark.parametrize(
    "written",
    [
        f'sha256 = "{HASH}"',
        f'sha256 = "{HASH.upper()}"',
        f'sha256 = {{ "https://example.org/wobbly-1.0-py3-none-any.whl" = "{HASH}" }}',
    ],
)
def test_hashes_are_kept_by_url_in_lower_case(tmp_path: Path, written: str) -> None:
    text = changed('kind = "url"', f'kind = "url"\n{written}')

    (source, _) = read(tmp_path, text).packages["wobbly"].sources

    assert source.sha256 == {"https://example.org/wobbly-1.0-py3-none-any.whl": HASH}


WRONG: Mapping[str, tuple[str, str, str, str]] = {
    # case: (what is replaced, by what, path, part of the message)
    "unknown key of a source": ('kind = "url"', 'kinds = "url"', "package.wobbly.source[1].kinds", '"kind"?'),
    "unknown key of a package": ("needs =", "need =", "package.wobbly.need", 'did you mean "needs"?'),
    "unknown key at the top": ("schema = 1", "schema = 1\npackages = 2", "packages", 'did you mean "package"?'),
    "unknown key far from all": ("needs =", "zzzzzz =", "package.wobbly.zzzzzz", "known: import, import_for"),
    "another schema": ("schema = 1", "schema = 2", "schema", "is 2; this version of pipfallback reads schema 1"),
    "unknown kind": ('kind = "url"', 'kind = "urls"', "package.wobbly.source[1].kind", 'did you mean "url"?'),
    "unknown trust": ('"community"', '"comunity"', "package.wobbly.source[2].trust", 'did you mean "community"?'),
    "no list of imports": ('import = ["wobbly", "wobbly._native"]', "import = 3", "package.wobbly.import", "a number"),
    "an import that is no name": ("wobbly._native", "wobbly-native", "package.wobbly.import[2]", "Python can import"),
    "an import that is a keyword": ("wobbly._native", "wobbly.class", "package.wobbly.import[2]", "Python can import"),
    "an empty list": ('["torch"]', "[]", "package.wobbly.needs", "is empty"),
    "an item of another type": ('["torch"]', '["torch", 1]', "package.wobbly.needs[2]", "must be a string, not a num"),
    "a need that is not normalised": ('["torch"]', '["Torch_x"]', "package.wobbly.needs[1]", 'write "torch-x"'),
    "versions that are no specifier": ('{ "<2" =', '{ "2" =', "package.wobbly.import_for.2", "version specifier"),
    "smoke that is no Python": ('"import wobbly"', '"import"', "package.wobbly.smoke", "is not Python"),
    "a second source of the same name": ('"Farm"', '"Maker"', "package.wobbly.source[2].name", "another source"),
    "a relative url": ('["https://example.org/', '["', "package.wobbly.source[1].url[1]", "begins with https://"),
    "a url of another scheme": ('["https:', '["ftp:', "package.wobbly.source[1].url[1]", "begins with https://"),
    "a url without a host": ('["https://example.org/', '["https:///', "package.wobbly.source[1].url[1]", "no host"),
    "a url with a bad port": ('["https://example.org/', '["https://e.org:x/', "package.wobbly.source[1].url[1]", "URL"),
    "a url with a bad address": ('["https://example.org/', '["https://[::/', "package.wobbly.source[1].url[1]", "URL"),
    "a url with a space": ('["https://example.org/', '["https://e.org/ ', "package.wobbly.source[1].url[1]", "a space"),
    "a placeholder in a plain url": (
        "/wobbly-1.0-py3",
        "/wobbly-{v}-py3",
        "package.wobbly.source[1].url[1]",
        "pattern",
    ),
    "a stray brace": ("+cu{cuda}", "+cu{cuda", "package.wobbly.source[2].url", "not part of a placeholder"),
    "a variable of the environment": ("+cu{cuda}", "+cu${CUDA}", "package.wobbly.source[2].url", "not part of a"),
    "a matrix of a plain url": (
        'kind = "url"',
        'kind = "url"\nmatrix = []',
        "package.wobbly.source[1].matrix",
        "pattern",
    ),
    "an unknown placeholder": ('cuda = "13"', 'cudas = "13"', "package.wobbly.source[2].matrix[2].cudas", '"cuda"?'),
    "a placeholder without value": ('cuda = "13", ', "", "package.wobbly.source[2].matrix[2]", "no value for {cuda}"),
    "values for nothing": ("python = [", "pythons = [", "package.wobbly.source[2].values.pythons", '"python"?'),
    "an end that is not there": (
        "1.0..2.0",
        "1.0..2.2",
        "package.wobbly.source[2].matrix[1].version",
        '"2.2" is not in',
    ),
    "a backward range": ("1.0..2.0", "2.0..1.0", "package.wobbly.source[2].matrix[1].version", "runs backwards"),
    "a range without a list": ('cuda = "13"', 'cuda = "1..2"', "package.wobbly.source[2].matrix[2].cuda", "a range"),
    "a version that is none": (
        'version = "3.0"',
        'version = "3_"',
        "package.wobbly.source[2].matrix[2].version",
        "440",
    ),
    "a version in the values": ('"3.0"], python', '"x"], python', "package.wobbly.source[2].values.version", "PEP 440"),
    "a brace in a value": ('cuda = "13"', 'cuda = "{"', "package.wobbly.source[2].matrix[2].cuda", "placeholder"),
    "a hint of another type": (
        "cxx11_abi = true",
        "cxx11_abi = 1",
        "package.wobbly.source[2].cxx11_abi",
        "as-labelled",
    ),
    "a hint that is no version": ('torch = "2.7"', "torch = 2.7", "package.wobbly.source[2].torch", "as a string"),
    "a hint in a row": ('["10.0"]', '["sm_100"]', "package.wobbly.source[2].matrix[2].archs[1]", "GPU architecture"),
    "a way to read digits": (
        'torch = "2.7"',
        'torch_digits = "minor"',
        "package.wobbly.source[2].torch_digits",
        "digits",
    ),
    "a rule about torch": ('torch = "2.7"', 'torch_rule = "patch"', "package.wobbly.source[2].torch_rule", "exact"),
    "a cpu that is no boolean": ('torch = "2.7"', 'cpu = "yes"', "package.wobbly.source[2].cpu", "true or false"),
    "a bad hash": ('kind = "url"', 'kind = "url"\nsha256 = "abc"', "package.wobbly.source[1].sha256", "64 hexadecimal"),
    "a hash of no url": (
        'kind = "url"',
        f'kind = "url"\nsha256 = {{ "https://example.org/wobbly-1.1-py3-none-any.whl" = "{HASH}" }}',
        'package.wobbly.source[1].sha256."https://example.org/wobbly-1.1-py3-none-any.whl"',
        'did you mean "https://example.org/wobbly-1.0-py3-none-any.whl"?',
    ),
    "an exception of a plain url": (
        'kind = "url"',
        'kind = "url"\nexcept = []',
        "package.wobbly.source[1].except",
        'kind "pattern"',
    ),
    "an exception for everything": (
        'kind = "pattern"',
        'kind = "pattern"\nexcept = [{}]',
        "package.wobbly.source[2].except[1]",
        "every build",
    ),
    "a hint in an exception": (
        'kind = "pattern"',
        'kind = "pattern"\nexcept = [{ cuda = "13", archs = "8.0" }]',
        "package.wobbly.source[2].except[1].archs",
        "unknown key",
    ),
    "an unknown placeholder in a condition": (
        'kind = "pattern"',
        'kind = "pattern"\nwhere = [{ cudas = "13", archs = "8.0" }]',
        "package.wobbly.source[2].where[1].cudas",
        'did you mean "cuda"?',
    ),
    "a condition that says nothing": (
        'kind = "pattern"',
        'kind = "pattern"\nwhere = [{ cuda = "13" }]',
        "package.wobbly.source[2].where[1]",
        "states nothing",
    ),
    "a bad hint in a condition": (
        'kind = "pattern"',
        'kind = "pattern"\nwhere = [{ cuda = "13", cxx11_abi = "yes" }]',
        "package.wobbly.source[2].where[1].cxx11_abi",
        "true, false",
    ),
    "a range in a condition": (
        'kind = "pattern"',
        'kind = "pattern"\nexcept = [{ version = "1.0..9.0" }]',
        "package.wobbly.source[2].except[1].version",
        "is not in the source's values",
    ),
    "one hash for a pattern": (
        'kind = "pattern"',
        f'kind = "pattern"\nsha256 = "{HASH}"',
        "package.wobbly.source[2].sha256",
        "one hash belongs to one url",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_told_with_line_path_and_what_was_meant(tmp_path: Path, case: str) -> None:
    old, new, path, part = WRONG[case]
    line = 1 + GOOD.count("\n", 0, GOOD.index(old)) + new.count("\n")

    told = mistakes(tmp_path, changed(old, new))

    assert any(text.startswith(f"{line}: {path}: ") and part in text for text in told), told


@pytest.mark.parametrize("key", ["name", "kind", "trust", "url"])
def test_a_missing_key_is_told_with_the_line_of_its_table(tmp_path: Path, key: str) -> None:
    text = "\n".join(
        line for number, line in enumerate(GOOD.splitlines()) if number < 9 or number > 13 or not line.startswith(key)
    )
    assert text.count("\n") == GOOD.count("\n") - 2

    assert f"9: package.wobbly.source[1]: {key} is missing" in mistakes(tmp_path, text)


def test_a_package_without_import_is_told(tmp_path: Path) -> None:
    text = changed('import = ["wobbly", "wobbly._native"]\n', "")

    assert mistakes(tmp_path, text) == [
        "3: package.wobbly: import is missing: the modules that prove that the package works"
    ]


@pytest.mark.parametrize(
    ("written", "normal"), [("Wobbly", "wobbly"), ("wobbly_x", "wobbly-x"), ('"wobbly.x"', "wobbly-x")]
)
def test_a_package_name_that_is_not_normalised_is_told(tmp_path: Path, written: str, normal: str) -> None:
    told = mistakes(tmp_path, f'schema = 1\n\n[package.{written}]\nimport = "wobbly"\n')

    (line,) = told
    assert line.startswith("3: package.")
    assert line.endswith(f'is not a normalised name (PEP 503); write "{normal}"')


def test_a_source_in_single_brackets_is_told(tmp_path: Path) -> None:
    text = 'schema = 1\n[package.wobbly]\nimport = "wobbly"\n[package.wobbly.source]\nname = "Maker"\n'

    assert mistakes(tmp_path, text) == [
        "4: package.wobbly.source: must be a list of tables, not a table; write [[package.wobbly.source]]"
    ]


def test_a_row_that_is_no_table_is_told_once(tmp_path: Path) -> None:
    told = mistakes(tmp_path, changed('{ version = "3.0", cuda = "13", archs = ["10.0"] }', "3"))

    assert told == ["25: package.wobbly.source[2].matrix[2]: must be a table, not a number"]


def test_a_missing_schema_is_told(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "[package.wobbly]\nunknown = 1\n") == ["1: schema = 1 is missing"]


def test_an_unknown_shared_matrix_is_told(tmp_path: Path) -> None:
    rows = GOOD[GOOD.index("matrix = [") : GOOD.index("values = {")]
    text = changed(rows, 'matrix = "farms"\n') + "[matrix.farm]\n"

    assert mistakes(tmp_path, text)[0] == (
        '23: package.wobbly.source[2].matrix: there is no table [matrix.farms] in this file; did you mean "farm"?'
    )


def test_a_row_of_a_shared_matrix_is_told_where_it_stands(tmp_path: Path) -> None:
    rows = GOOD[GOOD.index("matrix = [") : GOOD.index("values = {")]
    text = (
        changed(rows, 'matrix = "farm"\n')
        + "[matrix.farm]\nrows = [\n    { cuda = '12' },\n    { cuda = '12', rom = '6' },\n]\n"
    )

    (told,) = mistakes(tmp_path, text)

    assert told.startswith(f"{line_with(text, 'rom =')}: matrix.farm.rows[2].rom: unknown key")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("schema = 1\n\n[package.wobbly\n", 3),
        ('schema = 1\nx = "never closed\n', 2),
        ("schema = 1\nschema = 1\n", 2),
        ("schema = 1\n\n\nx = [1, 2", 4),
        ("schema = [" + "[" * 5000, 1),
    ],
)
def test_wrong_syntax_is_told_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    (told,) = mistakes(tmp_path, text)

    assert told.startswith(f"{line}: is ")


def test_a_file_that_is_not_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "fallbacks.toml"
    path.write_bytes(b"schema = 1\n# caf\xe9\n")

    with pytest.raises(CatalogError) as caught:
        catalog_reader.load([path])

    assert caught.value.details == (f"{path}:2: is not UTF-8, as TOML must be",)


def test_a_named_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"cannot read .*absent\.toml: No such file"):
        catalog_reader.load([tmp_path / "absent.toml"])


def test_all_mistakes_of_all_files_are_told_at_once_in_their_order(tmp_path: Path) -> None:
    first = write(tmp_path, GOOD.replace('"official"', '"oficial"').replace("needs =", "need ="), "first.toml")
    second = write(tmp_path, "schema = 1\n[package\n", "second.toml")
    third = write(tmp_path, GOOD.replace('kind = "pattern"', 'kind = "patern"'), "third.toml")

    with pytest.raises(CatalogError) as caught:
        catalog_reader.load([first, second, third])

    assert caught.value.message == f"4 mistakes in {first}, {second}, {third}"
    assert [line.split(": ")[0] for line in caught.value.details] == [
        f"{first}:6",
        f"{first}:11",
        f"{second}:2",
        f"{third}:18",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://user:s3cret@example.org/ wobbly-1.0-py3-none-any.whl",
        "ftp://user:s3cret@example.org/wobbly-1.0-py3-none-any.whl",
        "https://user:s3cret@example.org:x/wobbly-1.0-py3-none-any.whl",
        "https://user:s3/cret@example.org/wobbly-1.0-py3-none-any.whl",
        "https://s3cret@example.org/{x-1.0-py3-none-any.whl",
        "wobbly @ https://user:s3cret@example.org/wobbly-1.0-py3-none-any.whl",
    ],
)
def test_credentials_in_a_url_are_never_told(tmp_path: Path, url: str) -> None:
    text = changed("https://example.org/wobbly-1.0-py3-none-any.whl", url)

    told = "\n".join(mistakes(tmp_path, text))

    assert "package.wobbly.source[1].url[1]" in told
    assert "***@example.org" in told
    assert "cret" not in told


def test_credentials_in_a_key_are_never_told(tmp_path: Path) -> None:
    text = changed('kind = "url"', f'kind = "url"\nsha256 = {{ "https://user:s3cret@example.org/x.whl" = "{HASH}" }}')

    (told,) = mistakes(tmp_path, text)

    assert 'source[1].sha256."https://***@example.org/x.whl"' in told


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("https://example.org/a@b/x.whl", "https://example.org/a@b/x.whl"),
        ("https://example.org:8080/a@b", "https://example.org:8080/a@b"),
        ("see https://a:b@c/d and http://e@f/", "see https://***@c/d and http://***@f/"),
        ("https://a:b/c@d/e", "https://***@d/e"),
    ],
)
def test_only_credentials_are_left_out_of_a_text(text: str, safe: str) -> None:
    assert redacted(text) == safe


def test_a_word_far_from_all_known_ones_brings_the_known_ones() -> None:
    assert nearest("zzz", ("url", "name")) == " (known: url, name)"
    assert nearest("zzz", ()) == ""


def test_the_examples_of_the_documentation_are_valid_and_their_mistakes_are_told_as_shown(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "fallbacks-toml.md").read_text(encoding="utf-8")
    complete, excepting, shared = (block.partition("```")[0] for block in text.split("```toml\n")[1:])

    (ours, one) = read(tmp_path, complete).packages["flash-attn"].sources[:2]
    assert [len(row.values) for row in ours.matrix] == [4, 4]
    assert one.sha256 == {one.urls[0]: one.sha256[one.urls[0]]}
    farm = read(tmp_path, f'schema = 1\n[package.wobbly]\nimport = "wobbly"\n{shared}').packages["wobbly"].sources[0]
    assert farm.matrix[1].values["cuda"] == ("126", "129")
    wobbly = read(tmp_path, f'schema = 1\n[package.wobbly]\nimport = "wobbly"\n{excepting}').packages["wobbly"]
    assert len(expand(wobbly.sources[0])) == 3 * 2 * 4 * 2 - 8 - 2 + 2 * 3

    assert 'unknown key; did you mean "kind"?' in text
    wrong = mistakes(tmp_path, changed('"community"', '"offical"'))
    assert wrong[0].partition(": ")[2].replace("wobbly", "flash-attn") in text


# Layers.

OTHER = """schema = 1
[package.wobbly]
smoke = "import wobbly.other"
[[package.wobbly.source]]
name = "Farm"
trust = "official"
kind = "url"
url = "https://example.net/wobbly-2.0-py3-none-any.whl"
[[package.wobbly.source]]
name = "Third"
trust = "community"
kind = "url"
url = "https://example.net/wobbly-3.0-py3-none-any.whl"
"""


def test_a_later_file_wins_for_each_package_key_and_source_name(tmp_path: Path) -> None:
    config, here = tmp_path / "config", tmp_path / "here"
    write(config, GOOD)
    named = write(here, OTHER, "named.toml")

    package = catalog_reader.load([named], cwd=here, config_dir=config).packages["wobbly"]

    assert package.imports == ("wobbly", "wobbly._native")
    assert package.needs == ("torch",)
    assert package.smoke == "import wobbly.other"
    assert [(source.name, source.kind, source.trust) for source in package.sources] == [
        ("Farm", "url", Trust.OFFICIAL),
        ("Third", "url", Trust.COMMUNITY),
        ("Maker", "url", Trust.OFFICIAL),
    ]


def test_imports_of_a_later_file_replace_those_for_other_versions_too(tmp_path: Path) -> None:
    first = write(tmp_path, GOOD, "first.toml")
    second = write(tmp_path, 'schema = 1\n[package.wobbly]\nimport = "wobbly"\n', "second.toml")

    package = catalog_reader.load([first, second]).packages["wobbly"]

    assert package.imports_for("1.0") == ("wobbly",)


def test_a_file_found_in_the_working_directory_is_announced_and_trusted_less(tmp_path: Path) -> None:
    config, here = tmp_path / "config", tmp_path / "here"
    write(config, GOOD)
    found = write(here, OTHER)

    catalog = catalog_reader.load(cwd=here, config_dir=config)

    package = catalog.packages["wobbly"]
    assert package.smoke == "import wobbly"
    assert [(source.name, source.trust) for source in package.sources][:2] == [
        ("Farm", Trust.VENDOR),
        ("Third", Trust.COMMUNITY),
    ]
    assert catalog.notes == (
        f"using {found}, found in the working directory",
        "wobbly: Farm counts as vendor, not official: nobody named fallbacks.toml",
        "wobbly: smoke is not run: nobody named fallbacks.toml",
    )


def test_the_same_file_named_by_the_user_counts_in_full(tmp_path: Path) -> None:
    config = tmp_path / "config"
    write(config, GOOD)
    named = write(tmp_path, OTHER)

    catalog = catalog_reader.load([named], cwd=tmp_path, config_dir=config)

    assert catalog.notes == ()
    assert catalog.packages["wobbly"].smoke == "import wobbly.other"
    assert catalog.packages["wobbly"].sources[0].trust is Trust.OFFICIAL


def test_the_built_in_file_is_no_found_file_for_who_works_in_its_folder() -> None:
    assert layers(cwd=builtin_path().parent) == (Layer(path=builtin_path()),)


def test_without_files_the_built_in_catalog_is_in_force(tmp_path: Path) -> None:
    catalog = catalog_reader.load(cwd=tmp_path, config_dir=tmp_path / "absent")

    assert catalog.files == (str(builtin_path()),)
    assert "flash-attn" in catalog.packages
