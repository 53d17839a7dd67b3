"""``pipfallback catalog check`` without the network: each thing that can be wrong, at its place, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib.program import run_pipfallback
from pipfallback.catalog_files import builtin_path, layers
from pipfallback.catalog_work.checking import check
from pipfallback.catalog_work.findings import Finding, open_file
from pipfallback.commands.catalog import run

HASH = "a" * 64
GOOD = f"""\
schema = 1

[package.wobbly]
import = ["wobbly"]
import_for = {{ "<2" = ["wobbly_native"] }}
smoke = "import wobbly"
smoke_unproven = true

[[package.wobbly.source]]
name = "Farm"
trust = "official"
kind = "pattern"
url = "https://farm.example.org/wobbly-{{version}}+cu{{cuda}}-{{python}}-{{python_abi}}-linux_x86_64.whl"
matrix = [
    {{ version = "1.0..1.1", cuda = ["11", "12"] }},
    {{ version = "1.2", cuda = "12" }},
]
values = {{ version = ["1.0", "1.1", "1.2"], python = ["cp37", "cp310"] }}

[[package.wobbly.source]]
name = "Wheels"
trust = "community"
kind = "url"
url = [
    "https://wheels.example.org/wobbly-2.0-py3-none-any.whl#sha256={HASH}",
    "https://wheels.example.org/wobbly-2.1-cp36-abi3-linux_x86_64.whl",
]
[package.wobbly.source.sha256]
"https://wheels.example.org/wobbly-2.1-cp36-abi3-linux_x86_64.whl" = "{HASH}"

[[package.wobbly.source]]
name = "Releases"
trust = "vendor"
kind = "github"
url = "https://github.com/maker/wobbly"

[[package.wobbly.source]]
name = "Sources"
trust = "official"
kind = "sdist"
"""


def findings(folder: Path, *texts: str) -> list[Finding]:
    files = []
    for number, text in enumerate(texts):
        files.append(folder / f"{number}.toml")
        files[-1].write_text(text)
    opened = [open_file(layer, told=layer.path in files) for layer in layers(files)]
    return check(opened)[1]


def said(folder: Path, *texts: str) -> list[str]:
    """``LINE: PATH: RULE: TEXT`` of each."""
    return [f"{one.line}: {one.path}: {one.rule}: {one.text}" for one in findings(folder, *texts)]


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def with_source(keys: str) -> str:
    return f'{GOOD}\n[[package.wobbly.source]]\nname = "New"\n{keys}'


def test_a_good_file_has_no_findings(tmp_path: Path) -> None:
    assert findings(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            changed('"<2" =', '">2,<1" ='),
            '5: package.wobbly.import_for.">2,<1": unreachable: no version can meet this specifier',
        ),
        (
            changed('smoke = "import wobbly"\n', ""),
            "6: package.wobbly.smoke_unproven: unreachable: counts only beside smoke, which this table does not have",
        ),
        (
            changed('{ version = "1.2", cuda = "12" }', '{ version = "1.2", cuda = "12" },\n    { version = "1.0", cuda = "12" }'),
            "17: package.wobbly.source[1].matrix[3]: unreachable: adds nothing: earlier rows make all of its builds already",
        ),
        (
            changed('{ version = "1.2", cuda = "12" }', '{ version = "1.1..1.2", cuda = "12", archs = "8.0" }'),
            ("16: package.wobbly.source[1].matrix[2]: duplicate: 2 builds of it come from row 1 already, whose other hints "
            "count: wobbly-1.1+cu12-cp37-cp37m-linux_x86_64.whl"),
        ),
        (
            changed('["1.0", "1.1", "1.2"]', '["1.0", "1.1", "1.2", "1.3"]'),
            '18: package.wobbly.source[1].values.version[4]: unreachable: "1.3" is in no row of the matrix, so no build has it',
        ),
        (
            changed("values = { version", "except = [{ cuda = '11' }, { version = '1.2', cuda = '11' }]\nvalues = { version"),
            ("18: package.wobbly.source[1].except[2]: unreachable: takes nothing away: no row makes such a build, or another "
            "table takes it away already"),
        ),
        (
            changed("values = { version", "except = [{ version = '1.2' }]\nvalues = { version"),
            "16: package.wobbly.source[1].matrix[2]: unreachable: adds nothing: all of its builds are in except",
        ),
        (
            changed("values = { version", "where = [{ version = '1.2', cuda = '11', archs = '8.0' }]\nvalues = { version"),
            "18: package.wobbly.source[1].where[1]: unreachable: no build meets it",
        ),
        (
            changed('["cp37", "cp310"]', '["cp36", "cp37"]'),
            "9: package.wobbly.source[1]: unreachable: no build of it is for Python 3.8 or newer, so none can be chosen",
        ),
        (
            changed('-linux_x86_64.whl"\nmatrix', '-linux-x86_64.whl"\nmatrix'),
            ("15: package.wobbly.source[1].matrix[1]: wheel-name: https://farm.example.org/wobbly-1.1+cu11-cp37-cp37m-linux-x86_64"
            ".whl: 'cp37' is not a build tag: it must begin with a number; so are 7 more of 8"),
        ),
        (
            changed("farm.example.org/wobbly-{", "farm.example.org/gear-{"),
            ("15: package.wobbly.source[1].matrix[1]: wheel-name: gear-1.1+cu11-cp37-cp37m-linux_x86_64.whl is a wheel of gear, "
            "not of wobbly; so are 7 more of 8"),
        ),
        (
            changed("wobbly-2.0-py3-none-any.whl", "gear-2.0-py3-none-any.whl"),
            "25: package.wobbly.source[2].url[1]: wheel-name: gear-2.0-py3-none-any.whl is a wheel of gear, not of wobbly",
        ),
        (
            changed("wobbly-2.0-py3-none-any.whl", "wobbly-2.0-py2-none-any.whl"),
            "25: package.wobbly.source[2].url[1]: unreachable: is for no Python from 3.8 on, so it can never be chosen",
        ),
        (
            changed('Wheels"\ntrust = "community"', 'Wheels"\ntrust = "vendor"').replace(f"#sha256={HASH}", ""),
            ("24: package.wobbly.source[2].url: no-hash: 1 of its 2 wheels have no sha256, and its trust is vendor; "
            "`pipfallback catalog hash FILE` fills it in"),
        ),
        (
            with_source(
                f'trust = "vendor"\nkind = "url"\nurl = "https://w.org/wobbly-3-py3-none-any.whl#sha256={HASH}"\nsha256 = "{"b" * 64}"\n'
            ),
            ("47: package.wobbly.source[5].sha256: contradiction: is not what the URL's fragment says of "
            "wobbly-3-py3-none-any.whl"),
        ),
        (
            changed('    "https://wheels.example.org/wobbly-2.1', f'    "https://wheels.example.org/wobbly-2.0-py3-none-any.whl?again#sha256={HASH}",\n'
            '    "https://wheels.example.org/wobbly-2.1').replace("?again", "").replace(f"#sha256={HASH}", "", 1),
            "26: package.wobbly.source[2].url[2]: duplicate: is listed twice: wobbly-2.0-py3-none-any.whl",
        ),
        (
            with_source('trust = "vendor"\nkind = "github"\nurl = "https://github.com/maker/wobbly/releases/"\n'),
            '42: package.wobbly.source[5]: duplicate: asks the same place as source "Releases" (line 31)',
        ),
        (
            with_source('trust = "official"\nkind = "sdist"\n'),
            '42: package.wobbly.source[5]: duplicate: asks the same place as source "Sources" (line 37)',
        ),
        (
            with_source(
                f'trust = "vendor"\nkind = "url"\nurl = "https://farm.example.org/wobbly-1.0%2Bcu11-cp310-cp310-linux_x86_64.whl"\nsha256 = "{HASH}"\n'
            ),
            ('42: package.wobbly.source[5]: duplicate: its only build is in source "Farm" as well, such as '
            "wobbly-1.0+cu11-cp310-cp310-linux_x86_64.whl"),
        ),
        (
            f'{GOOD}[matrix.farm]\nvalues = {{ python = "cp310" }}\n',
            "41: matrix.farm: unreachable: no source of this file takes this matrix",
        ),
        (
            f'{GOOD}[package.gear]\nimport = "gear"\n',
            "41: package.gear: unreachable: has no source, in this file or another, so nothing is chosen",
        ),
        (
            with_source('trust = "vendor"\nkind = "pattern"\nurl = "https://example.org/{version}.whl"\nmatrix = []\n'),
            "47: package.wobbly.source[5].matrix: unreachable: is empty, so the source lists no build",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, wanted: str) -> None:
    assert wanted.replace("FILE", str(tmp_path / "0.toml")) in said(tmp_path, text)


def test_a_password_is_noted_and_not_quoted(tmp_path: Path) -> None:
    found = findings(
        tmp_path, changed("https://wheels.example.org/wobbly-2.0", "https://me:s3cret@wheels.example.org/wobbly-2.0")
    )
    assert [(one.rule, one.level) for one in found] == [("secret", "note")]
    assert "s3cret" not in str(found)


def test_each_row_of_a_shared_matrix_has_its_own_place(tmp_path: Path) -> None:
    text = (
        'schema = 1\n[matrix.farm]\nrows = [\n    { version = "1.0" },\n    { version = "1.0" },\n]\n[package.wobbly]\nimport = "wobbly"\n'
        '[[package.wobbly.source]]\nname = "Farm"\ntrust = "vendor"\nkind = "pattern"\nmatrix = "farm"\n'
        'url = "https://farm.example.org/wobbly-{version}-py3-none-any.whl"\n'
    )
    assert said(tmp_path, text) == [
        "5: matrix.farm.rows[2]: unreachable: adds nothing: earlier rows make all of its builds already"
    ]


def test_the_loaders_mistakes_are_findings_and_stand_alone(tmp_path: Path) -> None:
    text = changed('"wobbly_native"', '"not a name"').replace('kind = "github"', 'kind = "githab"')
    assert said(tmp_path, text) == [
        '5: package.wobbly.import_for.<2[1]: invalid: "not a name" is not a name that Python can import'.replace(
            "<2", '"<2"'
        ),
        '34: package.wobbly.source[3].kind: invalid: "githab" is not a kind of source; did you mean "github"?',
    ]


def test_a_source_that_a_later_file_replaces_never_counts(tmp_path: Path) -> None:
    later = 'schema = 1\n[[package.wobbly.source]]\nname = "Releases"\ntrust = "vendor"\nkind = "index"\n'
    assert said(tmp_path, GOOD, later) == [
        f"31: package.wobbly.source[3]: unreachable: never counts: {tmp_path / '1.toml'}:2 has a source of this name, too"
    ]


def test_replacing_a_source_of_the_built_in_catalog_is_noted_only(tmp_path: Path) -> None:
    text = 'schema = 1\n[[package.flash-attn.source]]\nname = "Dao-AILab"\ntrust = "vendor"\nkind = "index"\n'
    (found,) = findings(tmp_path, text)
    assert (found.level, found.line) == ("note", 2)
    assert found.text == f"takes the place of the source of this name in {builtin_path()}"


def test_the_command_tells_findings_and_fails(tmp_path: Path) -> None:
    (tmp_path / "team.toml").write_text(changed('"1.2"]', '"1.2", "1.3"]'))
    done = run_pipfallback(["catalog", "check", tmp_path / "team.toml"])
    assert done.code == 1, done.said
    assert done.stdout == (
        f'{tmp_path}/team.toml:18: package.wobbly.source[1].values.version[4]: "1.3" is in no row of the matrix, so no build has it\n\n'
        f"1 finding: 1 package, 4 sources in {tmp_path}/team.toml\n"
    )


def test_the_command_is_content_with_a_good_file(tmp_path: Path) -> None:
    (tmp_path / "fallbacks.toml").write_text(GOOD)
    done = run_pipfallback(["catalog", "check", "fallbacks.toml"], cwd=tmp_path)
    assert (done.code, done.stdout) == (0, "nothing wrong: 1 package, 4 sources in fallbacks.toml\n"), done.said


def test_without_a_file_all_in_force_are_checked(tmp_path: Path) -> None:
    (tmp_path / "fallbacks.toml").write_text(changed('kind = "github"', 'kind = "githab"'))
    (tmp_path / "more.toml").write_text("schema = 2\n")
    done = run_pipfallback(["catalog", "check", "--json", "--fallbacks", "more.toml"], cwd=tmp_path)
    assert done.code == 1, done.said
    document = json.loads(done.stdout)
    assert document["schema"] == 1
    assert document["files"] == [str(builtin_path()), str(tmp_path / "fallbacks.toml"), "more.toml"]
    assert [one for one in document["findings"] if one["file"] != str(builtin_path())] == [
        {
            "file": str(tmp_path / "fallbacks.toml"),
            "line": 34,
            "path": "package.wobbly.source[3].kind",
            "level": "finding",
            "rule": "invalid",
            "message": '"githab" is not a kind of source; did you mean "github"?',
            "urls": [],
        },
        {
            "file": "more.toml",
            "line": 1,
            "path": "schema",
            "level": "finding",
            "rule": "invalid",
            "message": "is 2; this version of pipfallback reads schema 1",
            "urls": [],
        },
    ]


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    done = run_pipfallback(["catalog", "check", "none.toml"], cwd=tmp_path)
    assert (done.code, done.stdout) == (1, ""), done.said
    assert done.stderr.startswith("error: cannot read none.toml: No such file or directory")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["catalog"], "error: catalog needs a command"),
        (["catalog", "chek"], 'error: catalog chek is not a command; did you mean "check"?'),
        (["catalog", "check", "--onlin"], "error: unrecognized arguments: --onlin"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(words: list[str], told: str) -> None:
    done = run_pipfallback(words)
    assert (done.code, done.stderr.splitlines()[0]) == (2, told), done.said


@pytest.mark.parametrize("action", ["check", "list", "add", "hash", "schema"])
def test_each_command_has_a_help(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["catalog", action, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"Usage: pipfallback catalog {action} [options]")


def test_help_names_every_command() -> None:
    done = run_pipfallback(["catalog", "--help"])
    assert done.code == 0, done.said
    assert [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")] == [
        "check", "list", "add", "hash", "schema",
    ]  # fmt: skip


def test_no_finding_shows_a_token(tmp_path: Path) -> None:
    text = changed("/wobbly-2.0-py3-none-any.whl", "/wobbly.whl?token=s3cret")
    assert "s3cret" not in "".join(said(tmp_path, text))
    assert any("wheel-name" in line for line in said(tmp_path, text))


def test_the_built_in_catalog_is_sound() -> None:
    found = check([open_file(layer) for layer in layers()])[1]
    assert [(one.rule, one.text) for one in found] == []
