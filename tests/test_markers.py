"""Environment markers of a described machine, compared with what interpreters answer."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.markers import Marker, default_environment

from lib.venvs import find_interpreter
from pipfallback.environment import Environment, probe
from pipfallback.markers import UNKNOWN, answers_of, marker_of


def described(**form: Any) -> Environment:
    return Environment.from_json(
        {"python": {"version": "3.10.13"}, "platform": "linux_x86_64", "glibc": "2.35", **form}
    )


def test_this_interpreter_is_answered_for_as_it_answers_itself() -> None:
    environment, _ = probe(find_interpreter(default_environment()["python_version"]))
    answers = {name: value for name, value in answers_of(environment).items() if name not in UNKNOWN}
    assert answers == {name: value for name, value in default_environment().items() if name not in UNKNOWN}


@pytest.mark.parametrize(
    ("platform", "system", "machine"),
    [
        ("linux_x86_64", "linux", "x86_64"),
        ("linux_aarch64", "linux", "aarch64"),
        ("macosx_14_0_arm64", "darwin", "arm64"),
        ("macosx_10_9_x86_64", "darwin", "x86_64"),
        ("win_amd64", "win32", "AMD64"),
        ("win_arm64", "win32", "ARM64"),
        ("win32", "win32", "x86"),
    ],
)
def test_platforms(platform: str, system: str, machine: str) -> None:
    answers = answers_of(described(platform=platform, glibc=None))
    assert (answers["sys_platform"], answers["platform_machine"]) == (system, machine)


def test_a_version_in_parts_is_complete() -> None:
    answers = answers_of(described(python={"version": "3.13"}))
    assert (answers["python_version"], answers["python_full_version"]) == ("3.13", "3.13.0")


def test_the_marker_of_a_machine_holds_there_alone() -> None:
    machines = [
        described(),
        described(python={"version": "3.11.2"}),
        described(platform="linux_aarch64"),
        described(python={"version": "3.10.13", "implementation": "pypy"}),
        described(platform="win_amd64", glibc=None),
    ]
    for marker, of in ((Marker(marker_of(machine)), machine) for machine in machines):
        assert [machine for machine in machines if marker.evaluate(dict(answers_of(machine)))] == [of]
