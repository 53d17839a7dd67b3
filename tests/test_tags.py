"""Tags are those that the interpreter's own pip takes, computed or asked for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from packaging.tags import Tag

from lib.venvs import make_venv
from pipfallback.arguments import parse
from pipfallback.environment import probe
from pipfallback.looking import seen_by
from pipfallback.tags import platform_tags, tags_for

PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")


def tags_of_pip(python: Path, environ: dict[str, str], *options: str) -> list[str]:
    """What ``pip debug --verbose`` lists as compatible, in its order."""
    done = subprocess.run(
        [python, "-m", "pip", "debug", "--verbose", *options], env=environ, capture_output=True, text=True, check=True
    )
    listed = done.stdout[done.stdout.index("Compatible tags:") :].splitlines()
    count = int(re.sub(r"\D", "", listed[0]))
    return [line.strip() for line in listed[1 : count + 1]]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_probe_lists_the_tags_of_the_interpreters_own_pip(
    python: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    interpreter = make_venv(tmp_path / "venv", python)
    environment, _ = probe(interpreter)
    assert [str(tag) for tag in environment.tags] == tags_of_pip(interpreter, environ)


def test_an_old_pip_has_fewer_tags_and_they_are_the_ones_that_count(tmp_path: Path, environ: dict[str, str]) -> None:
    interpreter = make_venv(tmp_path / "venv", "3.9", pip="20.3.4")
    environment, installation = probe(interpreter)
    assert installation.pip == "20.3.4"
    assert [str(tag) for tag in environment.tags] == tags_of_pip(interpreter, environ)


@pytest.mark.parametrize("python", PYTHONS)
def test_without_a_pip_the_tags_are_computed_and_the_same(python: str, tmp_path: Path, environ: dict[str, str]) -> None:
    environment, installation = probe(make_venv(tmp_path / "bare", python, pip=None))
    with_pip = make_venv(tmp_path / "venv", python)
    assert installation.pip is None
    # Only the order of linux_x86_64 and manylinux changed, in pip 26.2: the last pips of 3.8 and 3.9 have the old one.
    assert set(map(str, environment.tags)) == set(tags_of_pip(with_pip, environ))
    assert len(set(environment.tags)) == len(environment.tags)


def test_the_computed_order_is_that_of_the_newest_pip(tmp_path: Path, environ: dict[str, str]) -> None:
    environment, _ = probe(make_venv(tmp_path / "bare", "3.12", pip=None))
    newest = tags_of_pip(make_venv(tmp_path / "venv", "3.12"), environ)
    assert [str(tag) for tag in environment.tags] == newest


def test_a_described_linux_takes_what_its_glibc_allows() -> None:
    tags = tags_for("3.10", platform="linux_x86_64", glibc="2.28")
    assert Tag("cp310", "cp310", "manylinux_2_28_x86_64") in tags
    assert Tag("cp38", "abi3", "manylinux2014_x86_64") in tags
    assert Tag("py3", "none", "manylinux1_x86_64") in tags
    assert Tag("py3", "none", "any") in tags
    assert Tag("cp310", "cp310", "manylinux_2_29_x86_64") not in tags
    assert Tag("cp311", "cp311", "linux_x86_64") not in tags


def test_free_threaded_python_takes_neither_abi3_nor_the_other_abi() -> None:
    tags = {str(tag) for tag in tags_for("3.13.1", platform="linux_x86_64", glibc="2.35", free_threaded=True)}
    assert "cp313-cp313t-manylinux_2_35_x86_64" in tags
    assert "cp313-cp313-manylinux_2_35_x86_64" not in tags
    assert "cp313-abi3-manylinux_2_35_x86_64" not in tags


def test_a_debug_build_takes_its_own_wheels_first_and_normal_ones_too() -> None:
    abis = list(dict.fromkeys(tag.abi for tag in tags_for("3.12", platform="linux_x86_64", glibc="2.35", debug=True)))
    assert abis[:2] == ["cp312d", "cp312"]


def test_pypy_has_the_abi_of_its_extensions() -> None:
    tags = tags_for(
        "3.10.14", platform="linux_x86_64", glibc="2.35", implementation="pypy", soabi="pypy310-pp73-x86_64-linux-gnu"
    )
    assert str(tags[0]) == "pp310-pypy310_pp73-linux_x86_64"
    assert Tag("pp310", "none", "any") in tags
    assert not any(tag.interpreter.startswith("cp") for tag in tags)


@pytest.mark.parametrize(
    ("platform", "level", "expected"),
    [
        ("linux_x86_64", {"musl": "1.2"}, ["linux_x86_64", "musllinux_1_2_x86_64", "musllinux_1_1_x86_64"]),
        ("linux_aarch64", {"glibc": "2.17"}, ["linux_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"]),
        ("linux_armv8l", {"glibc": "2.17"}, ["linux_armv8l", "linux_armv7l", "manylinux_2_17_armv7l"]),
        ("manylinux_2_18_aarch64", {}, ["linux_aarch64", "manylinux_2_18_aarch64", "manylinux_2_17_aarch64"]),
        ("manylinux2014_aarch64", {}, ["linux_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"]),
        ("musllinux_1_0_x86_64", {}, ["linux_x86_64", "musllinux_1_0_x86_64"]),
        ("linux_mips", {"glibc": "2.35"}, ["linux_mips"]),
        ("win_amd64", {}, ["win_amd64"]),
        ("macosx_12_3_arm64", {}, ["macosx_12_0_arm64", "macosx_12_0_universal2", "macosx_11_0_arm64"]),
    ],
)
def test_platforms_begin_with_the_best(platform: str, level: dict[str, str], expected: list[str]) -> None:
    found = list(platform_tags(platform, **level))
    assert found[: len(expected)] == expected


CROSS = (
    ("--python-version", "3.12"),
    ("--python-version", "37"),
    ("--python-version", "3"),
    ("--platform", "manylinux2014_aarch64", "--python-version", "3.12"),
    ("--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_28_x86_64", "--platform", "linux_x86_64"),
    ("--platform", "win_amd64", "--python-version", "3.10.4", "--implementation", "cp", "--abi", "cp310"),
    ("--platform", "manylinux2010_i686"),
    ("--implementation", "py", "--abi", "none"),
    ("--implementation", "pp", "--python-version", "3.9", "--abi", "pypy39_pp73"),
    ("--platform", "any", "--implementation", "py", "--python-version", "3.8", "--abi", "none"),
)


MACOS = ("--platform", "macosx_14_0_arm64", "--python-version", "310", "--abi", "cp310", "--abi", "abi3")


@pytest.mark.parametrize(
    ("python", "pip", "cases"),
    [
        ("3.8", "20.3.4", CROSS),  # it knows nothing of universal2 below macOS 11
        ("3.11", "23.2.1", (*CROSS, MACOS)),
        ("3.13", "25.0.1", (*CROSS, MACOS)),
        ("3.11", "26.3", (*CROSS, MACOS)),
    ],
    ids=["20.3.4", "23.2.1", "25.0.1", "26.3"],
)
def test_pips_options_for_another_platform_give_pips_tags(
    python: str, pip: str, cases: tuple[tuple[str, ...], ...], tmp_path: Path, environ: dict[str, str]
) -> None:
    interpreter = make_venv(tmp_path / "venv", python, pip=pip)
    environment, installation = probe(interpreter)
    for options in cases:
        command = parse(["install", "--target", "x", *options], {})
        found = list(map(str, seen_by(command, environment, installation).tags))
        assert found == list(dict.fromkeys(tags_of_pip(interpreter, environ, *options))), options
