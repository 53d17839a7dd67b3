"""Whether all that a package requires is there, as pip would say (pip's own word is asked for the same)."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from lib.program import run
from lib.scene import Scene
from lib.venvs import isolated_environ, make_venv, site_packages
from lib.wheels import make_wheel
from pipfallback.environment import probe
from pipfallback.installed import installed_in
from pipfallback.markers import known_answers
from pipfallback.satisfied import is_satisfied


class Place:
    """An environment in which some packages require others."""

    def __init__(self, folder: Path) -> None:
        self.python = make_venv(folder / "venv")
        self.environ = isolated_environ(folder, PIP_NO_INDEX="1")
        for name, version, requires in (
            ("whole", "1.0", ["leaf>=1; python_version >= '3'", "gone; python_version < '3'"]),
            ("leaf", "1.5rc1", []),
            ("lacking", "1.0", ["absent"]),
            ("round", "1.0", ["trip"]),
            ("trip", "1.0", ["round"]),
            ("optional", "1.0", ["absent; extra == 'more'"]),
        ):
            extras = ["Provides-Extra: more"] if name == "optional" else []
            wheel = make_wheel(folder, name, version, requires=requires, metadata=extras)
            command = [self.python, "-m", "pip", "install", "--no-index", "--no-deps", wheel]
            assert run(command, env=self.environ).code == 0
        self.installed = installed_in([str(site_packages(self.python))])
        self.answers = known_answers(probe(str(self.python))[0])

    def pip_has_nothing_to_add(self, texts: list[str]) -> bool:
        done = run([self.python, "-m", "pip", "install", "--no-index", "--dry-run", *texts], env=self.environ)
        return done.code == 0 and "Would install" not in done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("satisfied"))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["whole"], True),
        (["Whole==1.0", "leaf"], True),
        (["leaf>=1.5rc1"], True),
        (["leaf>=1.5"], False),
        (["absent"], False),
        (["absent; python_version < '3'"], True),
        (["lacking"], False),
        (["round"], True),
        (["optional"], True),
        (["optional[more]"], False),
        (["optional", "optional[more]"], False),
        (["whole>1"], False),
    ],
)
def test_it_is_what_pip_says(place: Place, texts: list[str], expected: bool) -> None:
    requires = [Requirement(text) for text in texts]
    assert is_satisfied(requires, (), place.installed, place.answers) is expected
    assert place.pip_has_nothing_to_add(texts) is expected


def test_an_extra_of_the_package_itself_counts(place: Place) -> None:
    requires = [Requirement("absent; extra == 'more'")]
    assert is_satisfied(requires, (), place.installed, place.answers)
    assert not is_satisfied(requires, ("more",), place.installed, place.answers)


def test_a_requirement_by_url_is_pips_to_judge(place: Place) -> None:
    assert not is_satisfied([Requirement("leaf @ https://a.example/leaf.whl")], (), place.installed, place.answers)


@pytest.mark.parametrize("lacks", [False, True])
def test_pip_runs_once_more_only_where_something_is_to_be_added(scene: Scene, lacks: bool) -> None:
    dependency = make_wheel(scene.folder / "more", "einops", "1.0")
    if not lacks:
        assert scene.pip("install", "--no-index", dependency).code == 0
    scene.catalog(scene.wheel("+cu12torch2.7", requires=["torch", "einops"]))
    done = scene.install("--find-links", str(dependency.parent), scene.server.url_of(scene.wheel("+x", foreign=True)))
    assert done.code == 0, done.said
    assert scene.label() == "+cu12torch2.7"
    assert "einops" in installed_in([str(scene.site)])
    assert ("Requirement already satisfied" in done.stdout) is lacks
