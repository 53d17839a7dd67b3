"""pip's options, as data: the same as the parsers of ten real pips."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock

from lib import venvs
from lib.venvs import cache_folder, fetch_pip, isolated_environ, make_venv
from pipfallback import pip_options

PIPS = ("20.3.4", "21.3.1", "22.3.1", "23.2.1", "24.0", "24.3.1", "25.0.1", "25.3", "26.0", "26.3")

# Prints, for each option of a command, its spellings, whether it takes a value, and whether it is a general option.
_DUMP = """\
import json, sys
sys.path.insert(0, sys.argv[1])
from pip._internal.commands import create_command
options = []
for name in ("install", "download", "wheel"):
    parser = create_command(name).parser
    general = {id(o) for group in parser.option_groups if group.title == "General Options" for o in group.option_list}
    for option in parser.option_list_all:
        spellings = option._short_opts + option._long_opts
        options.append([spellings, option.takes_value(), id(option) in general])
print(json.dumps(options))
"""


class Option(NamedTuple):
    spellings: frozenset[str]
    takes_value: bool
    general: bool


@functools.cache
def options_of(pip: str) -> tuple[Option, ...]:
    """The options of install, download and wheel, from the parsers of a pip that runs in a process of its own."""
    answers = cache_folder() / f"options-{pip}-{hashlib.sha256(_DUMP.encode()).hexdigest()[:12]}.json"
    with FileLock(f"{answers}.lock"):  # a pip never changes; compiling one that lies in a zip file takes seconds
        if not answers.exists():
            command = [sys.executable, "-I", "-W", "ignore", "-c", _DUMP, str(fetch_pip(pip))]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            answers.write_text(done.stdout)
    return tuple(Option(frozenset(spellings), *rest) for spellings, *rest in json.loads(answers.read_text()))


def union(*, takes_value: bool, general: bool) -> list[str]:
    every = [option for pip in PIPS for option in options_of(pip)]
    wanted = [option for option in every if (option.takes_value, option.general) == (takes_value, general)]
    return sorted({spelling for option in wanted for spelling in option.spellings})


def test_the_tables_are_the_union_of_ten_pips() -> None:
    with ThreadPoolExecutor(max_workers=2) as processes:
        list(processes.map(options_of, PIPS))
    assert sorted(pip_options.GENERAL_VALUE) == union(takes_value=True, general=True)
    assert sorted(pip_options.GENERAL_FLAG) == union(takes_value=False, general=True)
    assert sorted(pip_options.COMMAND_VALUE) == union(takes_value=True, general=False)
    assert sorted(pip_options.COMMAND_FLAG) == union(takes_value=False, general=False)
    _assert_names([option for pip in PIPS for option in options_of(pip)])


def _assert_names(options: list[Option]) -> None:
    """The spellings of one option have one name, and only they."""
    for option in options:
        assert len({pip_options.canonical(spelling) for spelling in option.spellings}) == 1, option.spellings
    for spelling, name in pip_options.CANONICAL.items():
        assert any({spelling, name} <= option.spellings for option in options), spelling


def test_no_option_takes_a_value_in_one_pip_and_none_in_another() -> None:
    assert not pip_options.TAKES_VALUE & pip_options.FLAGS


@pytest.mark.parametrize("option", ["--no-cache-dir", "--no-use-pep517"])
def test_an_option_with_a_callback_takes_no_value(option: str) -> None:
    assert option in pip_options.FLAGS
    for pip in ("20.3.4", "26.3"):
        assert all(not found.takes_value for found in options_of(pip) if option in found.spellings)


def test_nothing_of_this_machine_is_asked(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A configuration of pip changes defaults, never what takes a value."""
    home = tmp_path_factory.mktemp("home")
    environ = isolated_environ(home, PIP_NO_CACHE_DIR="1", PIP_INDEX_URL="http://127.0.0.1:1/")
    command = [sys.executable, "-W", "ignore", "-c", _DUMP, str(fetch_pip("26.3"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    assert [Option(frozenset(one), *rest) for one, *rest in json.loads(done.stdout)] == list(options_of("26.3"))


@pytest.mark.slow
def test_the_newest_pip_has_no_option_that_the_tables_lack(tmp_path: Path) -> None:
    """What is on the package index today, so that the tables do not go stale unseen."""
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--dest", str(tmp_path)]
    command = [sys.executable, "-m", "pip", "download", *options, "pip"]
    subprocess.run(command, check=True, env=venvs._OWN_ENVIRON)
    (wheel,) = tmp_path.glob("pip-*.whl")
    command = [sys.executable, "-I", "-W", "ignore", "-c", _DUMP, str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for spellings, takes_value, _ in json.loads(done.stdout):
        assert set(spellings) <= (pip_options.TAKES_VALUE if takes_value else pip_options.FLAGS)


@pytest.mark.parametrize("pip", PIPS)
def test_every_option_that_install_help_shows_is_in_the_tables(pip: str, tmp_path: Path) -> None:
    """What a person reads, and with it whether a value is shown."""
    python = make_venv(tmp_path / "venv", pip=pip)
    command = [str(python), "-W", "ignore", "-m", "pip", "install", "--help"]
    environ = isolated_environ(tmp_path, COLUMNS="300")
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    shown = re.findall(r"^  (-[-\w]+(?:, -[-\w]+)*)( <[^>]+>)?(?=  |$)", done.stdout, re.MULTILINE)
    assert len(shown) > 40
    for spellings, value in shown:
        assert set(spellings.split(", ")) <= (pip_options.TAKES_VALUE if value else pip_options.FLAGS), spellings
