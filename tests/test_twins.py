"""Every command line of tests/twins, run with pip and with pipfallback in pip's place: the same end, the same text."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from _pytest.mark import ParameterSet

from lib.twin_world import World, twin_world
from lib.twins import Case, Seen, cases, see

CASES = list(cases())
PIPFALLBACK = [sys.executable, "-m", "pipfallback"]


class Worlds:
    """One world for each version of pip, made when the first of its cases comes."""

    def __init__(self, folder: pytest.TempPathFactory, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._made: dict[str, World] = {}

    def of(self, pip: str) -> World:
        """The world with this pip."""
        if pip not in self._made:
            self._made[pip] = self._stack.enter_context(twin_world(self._folder.mktemp("world"), pip))
        return self._made[pip]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    with ExitStack() as stack:
        yield Worlds(tmp_path_factory, stack)


def test_there_are_at_least_200_of_them() -> None:
    assert len({(case.line, str(case.files), str(case.env), case.stdin) for case in CASES}) >= 200


def test_managed_and_unmanaged_names_are_among_them() -> None:
    managed = [case for case in CASES if "managed" in case.line + str(case.files) + case.stdin]
    assert len(managed) >= 60
    assert len(CASES) - len(managed) >= 100


def as_parameter(case: Case) -> ParameterSet:
    return pytest.param(case, id=f"{case.pip} {case.name}", marks=[pytest.mark.matrix] if case.slow else [])


@pytest.mark.parametrize("case", [as_parameter(case) for case in CASES])
def test_twins(case: Case, worlds: Worlds) -> None:
    world = worlds.of(case.pip)
    pip = see(world, case, [str(world.python), "-m", "pip"])
    assert pip.done.code == case.code, f"pip does not do what this case is about\n{pip.done.said}"
    ours = see(world, case, PIPFALLBACK)
    assert not (case.is_quiet and ours.own_lines)
    assert "Traceback" not in ours.done.stderr or "Traceback" in pip.done.stderr, ours.done.said
    if case.differs is None:
        assert_same(pip, ours)
        return
    assert ours.done.code == case.differs.code, ours.done.said
    assert case.differs.says in ours.done.stderr, ours.done.said
    found = {name: ours.installed(name) for name in (*case.differs.installed, *case.differs.absent)}
    assert found == {**case.differs.installed, **dict.fromkeys(case.differs.absent)}, ours.done.said
    if case.differs.code:
        assert ours.left == {}, "a failure leaves everything as it was"
    assert_pip_is_heard(pip, ours)


def assert_same(pip: Seen, ours: Seen) -> None:
    """The same exit code, the same text, the same files."""
    assert ours.done.code == pip.done.code, ours.done.said
    differences = [*unlike("stdout", pip.stdout, ours.stdout), *unlike("stderr", pip.stderr, ours.stderr)]
    for path in sorted(pip.left.keys() | ours.left.keys()):
        differences += unlike(path, pip.left.get(path, "not there"), ours.left.get(path, "not there"))
    assert not differences, "\n".join(differences) + "\n" + "".join(ours.own_lines)


def assert_pip_is_heard(pip: Seen, ours: Seen) -> None:
    """Where pipfallback went on after pip failed, what pip said of its failure stands there unchanged."""
    errors = [line for line in pip.stderr.splitlines() if line.startswith("ERROR: ")]
    missing = [line for line in errors if line not in ours.stderr.splitlines()]
    assert not missing, ours.done.said


def unlike(what: str, pip: str, ours: str) -> list[str]:
    compare = partial(difflib.unified_diff, fromfile=f"pip: {what}", tofile=f"pipfallback: {what}", lineterm="", n=1)
    return list(compare(pip.splitlines(), ours.splitlines()))
