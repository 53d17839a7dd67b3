"""pip's configuration, compared with what a real pip says of the same files and variables."""

from __future__ import annotations

import ast
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from lib.venvs import isolated_environ, make_venv
from pipfallback.pip_config import PipConfig, config_files, read_pip_config


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A machine of its own: a home, XDG folders and an environment with pip."""

    root: Path
    python: Path
    environ: dict[str, str]

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def ours(self, environ: dict[str, str]) -> PipConfig:
        return read_pip_config(environ, prefix=self.root / "venv")

    def of_pip(self, environ: dict[str, str]) -> dict[str, str]:
        """What ``pip install`` takes as its defaults."""
        code = (
            "from pip._internal.commands import create_command as c\n"
            "print({k: v for k, v in vars(c('install').parser.get_default_values()).items()"
            " if isinstance(v, (str, int, float, list, bool, type(None)))})"
        )
        done = subprocess.run([self.python, "-c", code], env=environ, check=True, capture_output=True, text=True)
        found: dict[str, str] = ast.literal_eval(done.stdout)
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    environ = isolated_environ(tmp_path, XDG_CONFIG_DIRS=f"{tmp_path}/etc1{os.pathsep}{tmp_path}/etc2")
    del environ["PIP_CONFIG_FILE"]
    return Place(root=tmp_path, python=make_venv(tmp_path / "venv"), environ=environ)


FILES = ("etc1/pip/pip.conf", "etc2/pip/pip.conf", ".pip/pip.conf", ".config/pip/pip.conf", "venv/pip.conf")


def agreed(place: Place, **variables: str) -> PipConfig:
    """Our reading, after it was found to be pip's."""
    environ = place.environ | variables
    ours, pips = place.ours(environ), place.of_pip(environ)
    assert ours.get("--index-url") in {pips["index_url"], None}
    assert (ours.get("--index-url") is None) == (pips["index_url"] == "https://pypi.org/simple")
    assert list(ours.getlist("--extra-index-url")) == pips["extra_index_urls"]
    assert list(ours.getlist("--trusted-host")) == pips["trusted_hosts"]
    assert list(ours.getlist("--find-links")) == pips["find_links"]
    assert ours.flag("--no-index") == bool(pips["no_index"])
    assert float(ours.get("--timeout") or 15) == pips["timeout"]
    assert ours.get("--proxy") == pips["proxy"]
    return ours


@pytest.mark.parametrize("count", range(len(FILES) + 1))
def test_the_file_that_counts_is_the_one_that_counts_for_pip(place: Place, count: int) -> None:
    for number, file in enumerate(FILES[:count]):
        place.write(file, f"[global]\nindex-url = https://{number}.example/simple\n")
    expected = f"https://{count - 1}.example/simple" if count else None
    assert agreed(place).get("--index-url") == expected


def test_a_section_of_the_command_counts_before_global_in_whatever_file(place: Place) -> None:
    place.write(FILES[0], "[install]\nindex-url = https://install.example/\n[download]\nproxy = http://no.example\n")
    place.write(FILES[4], "[global]\nindex-url = https://global.example/\n")
    assert agreed(place).get("--index-url") == "https://install.example/"


def test_variables_count_before_files_and_empty_ones_not_at_all(place: Place) -> None:
    place.write(FILES[3], "[global]\nindex_url = https://file.example/\ntimeout = 3\nproxy =\n")
    found = agreed(place, PIP_INDEX_URL="https://variable.example/", PIP_DEFAULT_TIMEOUT="7", PIP_PROXY="")
    assert (found.get("--index-url"), found.get("--timeout")) == ("https://variable.example/", "7")


@pytest.mark.parametrize("text", ["a b", "a\n  b", "\n    a\n    b"])
def test_lists_are_separated_by_white_space(place: Place, text: str) -> None:
    place.write(FILES[3], f"[global]\nextra-index-url = {text}\ntrusted-host = {text}\nfind-links = {text}\n")
    assert agreed(place).getlist("--extra-index-url") == ("a", "b")


@pytest.mark.parametrize(("text", "on"), [("yes", True), ("1", True), ("On", True), ("no", False), ("0", False)])
def test_flags_are_pips_words_for_yes_and_no(place: Place, text: str, on: bool) -> None:
    place.write(FILES[3], f"[global]\nno-index = {text}\n")
    assert agreed(place).flag("--no-index") is on


def test_a_named_file_takes_the_place_of_the_users(place: Place) -> None:
    for number, file in enumerate(FILES):
        place.write(file, f"[global]\nextra-index-url = {number}\nproxy = http://{number}\n")
    place.write("own.conf", "[global]\nproxy = http://own\n")
    found = agreed(place, PIP_CONFIG_FILE=str(place.root / "own.conf"))
    assert (found.get("--proxy"), found.getlist("--extra-index-url")) == ("http://own", ("4",))


def test_a_named_file_that_is_missing_changes_nothing(place: Place) -> None:
    place.write(FILES[3], "[global]\nproxy = http://user\n")
    assert agreed(place, PIP_CONFIG_FILE=str(place.root / "missing")).get("--proxy") == "http://user"


def test_devnull_switches_all_files_off_but_no_variable(place: Place) -> None:
    place.write(FILES[3], "[global]\nproxy = http://user\n")
    found = agreed(place, PIP_CONFIG_FILE=os.devnull, PIP_NO_INDEX="1")
    assert (found.get("--proxy"), found.flag("--no-index")) == (None, True)


@pytest.mark.parametrize("content", [b"no section = 1", b"[global\n", b"\xff\xfe[global]", b"[a]\nx=1\n[a]\n", b"\x00"])
def test_a_broken_file_sets_nothing_and_breaks_nothing(place: Place, content: bytes) -> None:
    place.write(FILES[0], "[global]\nproxy = http://machine\n")
    (place.root / ".config" / "pip").mkdir(parents=True)
    (place.root / FILES[3]).write_bytes(content)
    assert place.ours(place.environ).get("--proxy") == "http://machine"


def test_isolated_means_neither_the_users_file_nor_variables(place: Place) -> None:
    place.write(FILES[3], "[global]\nproxy = http://user\n")
    found = read_pip_config({**place.environ, "PIP_NO_INDEX": "1"}, prefix=place.root / "venv", isolated=True)
    assert (found.get("--proxy"), found.flag("--no-index")) == (None, False)


def test_the_files_are_those_that_pip_lists(place: Place) -> None:
    words = [place.python, "-m", "pip", "config", "debug"]
    said = subprocess.run(words, env=place.environ, check=True, capture_output=True, text=True).stdout
    listed = [line.split(", exists:")[0].strip() for line in said.splitlines() if ", exists:" in line]
    assert sorted(listed) == sorted(str(path) for path in config_files(place.environ, prefix=place.root / "venv"))
