"""Requirement files: read as the real pip reads them, written anew with all but one thing as it was."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lib.program import run
from lib.venvs import isolated_environ
from pipfallback.requirement_files import Line, Sheet, read_sheet, rewritten

# What pip makes of files: their requirements and constraints with line, options and editability.
_PIPS_READING = """
import json, sys
from pip._internal.network.session import PipSession
from pip._internal.req.req_file import parse_requirements
found = {}
for name in json.load(open(sys.argv[1])):
    try:
        found[name] = [
            [each.requirement.strip(), each.is_editable, each.constraint, int(each.line_source.split()[1]),
             sorted((each.options or {}).get("hashes", {}).get("sha256", []))]
            for each in parse_requirements(name, session=PipSession())
        ]
    except Exception as error:
        found[name] = type(error).__name__
print(json.dumps(found))
"""
_PIECES = [
    "alpha", "alpha==1.0", "Al.pha[x,y]>=1,<2 ; python_version >= '3.8'", "alpha @ https://h.example/a-1-py3-none-any.whl",
    "./a b.whl", "  alpha  ", "# a comment", "alpha # a comment", "alpha#nocomment", "alpha \\", "\\", " \\", "alpha\\",
    "# comment \\", "  # comment", "-e ./here", "--editable=git+https://h.example/r#egg=x", "-e .[x]", "", "   ", "${NAME}",
    "a${NAME}b", "${name}", "${NONE}", "$NAME", "alpha --hash=sha256:" + "a" * 64, "    --hash=sha256:" + "b" * 64 + " \\",
    "alpha==1 \\", "--pre", "--index-url https://h.example/simple", "-i https://h.example/simple", "-f ./links", "--no-index",
    "-r inner.txt", "--requirement inner.txt", "-c bounds.txt", "-cbounds.txt", "--constraint=bounds.txt", "-r inner.txt # why",
    "alpha -r inner.txt", "--no-binary :all:", "--only-binary=alpha", "alpha --global-option=x", "-r", "--unknown", "alpha ;",
    "alpha; extra == 'x'", "git+https://h.example/r@main#egg=alpha", "alpha \t# tab", "\talpha", "alpha\x0cbeta", "ä",
]  # fmt: skip
ENVIRON = {"NAME": "beta", "name": "no", "EMPTY": ""}


def _no_network(url: str) -> bytes:
    raise OSError(url)


def sheet(path: Path, environ: Mapping[str, str] = ENVIRON) -> Sheet:
    return read_sheet(str(path), constraint=False, fetch=_no_network, environ=environ)


def described(path: Path) -> object:
    try:
        read = sheet(path)
    except (OSError, ValueError):
        return None
    return [
        [
            line.requirement,
            line.editable,
            inner.constraint,
            line.number,
            sorted(each[7:] for each in line.values("--hash") if each.startswith("sha256:") and not line.editable),
        ]
        for inner, line in read.walk()
        if line.requirement is not None
    ]


def test_a_thousand_files_are_read_as_pip_reads_them(tmp_path: Path) -> None:
    """Made of pieces by a fixed seed; where pip refuses a file ours may do anything, since pip then ends the command."""
    choose = random.Random(8)  # noqa: S311
    (tmp_path / "inner.txt").write_text("inner-one # x\ninner-two \\\n ==2\n-c deep.txt\n")
    (tmp_path / "deep.txt").write_text("deep<3\n")
    (tmp_path / "bounds.txt").write_text("bound==1\n-r inner.txt\n")
    names = []
    for number in range(1000):
        path = tmp_path / f"r{number}.txt"
        end = choose.choice(["\n", "\n", "\r\n"])
        lines = choose.choices(_PIECES, k=choose.randrange(1, 7))
        path.write_bytes((end.join(lines) + choose.choice(["", end])).encode())
        names.append(str(path))
    (tmp_path / "names.json").write_text(json.dumps(names))
    environ = {**isolated_environ(tmp_path), **ENVIRON, "PYTHONUTF8": "1"}
    done = run([sys.executable, "-c", _PIPS_READING, tmp_path / "names.json"], cwd=tmp_path, env=environ)
    pips = json.loads(done.stdout)
    read = [name for name in names if not isinstance(pips[name], str)]
    assert len(read) > 400
    wrong = {
        name: (Path(name).read_text(), pips[name], described(Path(name)))
        for name in read
        if described(Path(name)) != pips[name]
    }
    assert not wrong, "\n".join(map(str, next(iter(wrong.values()))))


def change(**new: str) -> object:
    def changed(line: Line, _: Sheet) -> str | None:
        return new.get((line.requirement or "").partition("=")[0].partition(" ")[0])

    return changed


def test_one_requirement_is_written_anew_and_the_lines_keep_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "r.txt"
    file.write_text("# first\nalpha==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n--pre\nbeta # why\n")
    folder = tmp_path / "copies"
    folder.mkdir()
    copy = rewritten(sheet(file), change(alpha="alpha==2"), folder)  # type: ignore[arg-type]
    assert copy is not None
    assert copy.read_text() == "# first\nalpha==2\n\n\n--pre\nbeta # why\n"
    assert rewritten(sheet(file), change(gamma="x"), folder) is None  # type: ignore[arg-type]


def test_a_nested_file_is_copied_and_named_in_a_copy(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "links").mkdir()
    (tmp_path / "r.txt").write_text("beta\n-r sub/one.txt\n-c sub/two.txt\n--find-links links --pre\n./alpha.whl\n")
    (tmp_path / "sub" / "one.txt").write_text("-r two.txt\nalpha\n")
    (tmp_path / "sub" / "two.txt").write_text("gamma\n")
    folder = tmp_path / "co pies"
    folder.mkdir()
    copy = rewritten(sheet(tmp_path / "r.txt"), change(alpha=""), folder)  # type: ignore[arg-type]
    assert copy is not None
    again = sheet(copy)
    asked = [(line.requirement, inner.constraint) for inner, line in again.walk() if line.requirement]
    assert asked == [("beta", False), ("gamma", False), ("gamma", True), ("./alpha.whl", False)]
    assert f"--find-links {tmp_path / 'links'} --pre" in copy.read_text()


def test_a_copy_is_utf_8_whatever_the_file_was(tmp_path: Path) -> None:
    file = tmp_path / "r.txt"
    file.write_bytes("# -*- coding: latin-1 -*-\nalpha # für\nbeta\n".encode("latin-1"))
    copy = rewritten(sheet(file), change(beta="beta==2"), tmp_path)  # type: ignore[arg-type]
    assert copy is not None
    assert copy.read_bytes() == "\nalpha # für\nbeta==2\n".encode()


def test_the_name_of_a_copy_tells_no_secret_of_a_url(tmp_path: Path) -> None:
    url = "https://user:secret@h.example/r.txt?token=hidden"
    read = read_sheet(url, constraint=False, fetch=lambda _: b"alpha\n", environ={})
    copy = rewritten(read, change(alpha="alpha==2"), tmp_path)  # type: ignore[arg-type]
    assert copy is not None
    assert "secret" not in copy.name
    assert "hidden" not in copy.name


@pytest.mark.parametrize("text", ["-r r.txt\n", "-r other.txt\n", "-r nothing.txt\n", "alpha --hash='\n"])
def test_what_pip_will_complain_of_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.txt").write_text(text)
    (tmp_path / "other.txt").write_text("-r r.txt\n")
    with pytest.raises((OSError, ValueError)):
        sheet(tmp_path / "r.txt")
