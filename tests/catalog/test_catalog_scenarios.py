"""What the built-in catalog leads to: in each environment of tests/catalog/scenarios the build that a person would choose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.machines import MACHINES
from catalog.publishers import CachedPublishers, World, planned
from catalog.scenario_files import Scenario, ScenarioError, ScenarioFile, built_in_catalog, read, scenario_files
from pipfallback.compatibility import Decision

CATALOG = built_in_catalog()
FILES = scenario_files(CATALOG)
CASES = [(file, scenario) for file in FILES for scenario in file.scenarios]
# facts: torch 2.0 is the first for which any of these builds is made, 2.15 the newest that is published.
SERIES = frozenset(f"2.{minor}" for minor in range(16))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The publishers as the files have them."""
    with CachedPublishers(tmp_path_factory.mktemp("publishers")) as server, World(FILES, CATALOG, server) as made:
        yield made


def in_words(decisions: tuple[Decision, ...], expected: str | None) -> str:
    """The first five, and the expected one."""
    shown = [*decisions[:5], *(one for one in decisions[5:] if one.candidate.build.filename == expected)]
    return "\n".join(
        f"{one.candidate.source}: {one.candidate.build.filename}: "
        f"{one.grade or ', '.join(f'{mismatch.rule} ({mismatch.text})' for mismatch in one.mismatches)} {one.doubts}"
        for one in shown
    )


@pytest.mark.parametrize(
    ("file", "scenario"), CASES, ids=[f"{scenario.package}: {scenario.name}" for _, scenario in CASES]
)
def test_the_first_choice_is_what_a_person_would_choose(file: ScenarioFile, scenario: Scenario, world: World) -> None:
    client = world.client_of(scenario.package, file.name)
    made = planned(scenario.request, client, scenario.environment, CATALOG, scenario.trust)

    best = made.decisions[0] if made.decisions else None
    told = f"{in_words(made.decisions, scenario.first)}\n{made.notes}"
    if scenario.nothing is not None:
        rules = {mismatch.rule for mismatch in best.mismatches} if best is not None else {"no-build"}
        assert not any(decision.accepted for decision in made.decisions), told
        assert scenario.nothing in rules, told
        return
    assert best is not None, told
    assert best.accepted, told
    assert best.candidate.build.filename == scenario.first, told
    assert scenario.source in {None, best.candidate.source}, told
    assert scenario.grade in {None, best.grade}, told


@pytest.mark.parametrize("package", sorted(CATALOG.packages))
def test_each_package_has_an_old_and_a_current_environment_and_an_image_without_gpu(package: str) -> None:
    own = [scenario for _, scenario in CASES if scenario.package == package]
    eras = Counter(scenario.era for scenario in own)
    assert len(own) >= 3
    assert eras["old"], "an old torch"
    assert eras["current"], "a current torch"
    assert any(scenario.without_gpu for scenario in own)


def test_every_series_of_torch_is_met() -> None:
    torches = [scenario.environment.torch for _, scenario in CASES]
    met = {".".join(torch.version.split(".")[:2]) for torch in torches if torch is not None}
    assert met >= SERIES


def test_each_package_is_planned_on_ten_machines(world: World) -> None:
    assert len(MACHINES) == 10
    counts = {
        (package, machine): len(planned(package, world.client_of(package), here, CATALOG, "community").decisions)
        for package in CATALOG.packages
        for machine, here in MACHINES.items()
    }
    # What needs no asking is judged on every machine: flash-attn's patterns alone state more builds than this.
    assert min(counts["flash-attn", machine] for machine in MACHINES) > 9_000
    assert sum(counts.values()) > 200_000
    assert [package for package in CATALOG.packages if not any(counts[package, machine] for machine in MACHINES)] == []


MISTAKES = {
    'colour = 1\n[[scenario]]\npackage = "xformers"\nname = "a"\nhere = { torch = "", python = "3.11" }\nfirst = "x"': (
        "the file: unknown keys: colour"
    ),
    '[[scenario]]\npackage = "xformers"\nname = "a"\nhere = { torch = "", python = "3.11", gpu = 1 }\nfirst = "x"': (
        "xformers: a: here: unknown keys: gpu"
    ),
    '[[scenario]]\npackage = "xformers"\nname = "a"\nhere = { torch = "", python = "3.11" }': (
        "xformers: a: either first, perhaps with from and grade, or nothing"
    ),
    '[[scenario]]\npackage = "wobbly"\nname = "a"\nhere = { torch = "", python = "3.11" }\nfirst = "x"': (
        "the catalog has no package wobbly"
    ),
    '[listing]\nNobody = ["xformers-1.0-py3-none-any.whl"]\n[[scenario]]\npackage = "xformers"\nname = "a"\n'
    'here = { torch = "", python = "3.11" }\nfirst = "x"': "'Nobody' is no source that is asked, of xformers",
    '[listing]\nPyPI = ["wobbly-1.0-py3-none-any.whl"]\n[[scenario]]\npackage = "xformers"\nname = "a"\n'
    'here = { torch = "", python = "3.11" }\nfirst = "x"': "'PyPI' lists wheels of no package of this file: wobbly",
    '[listing]\nPyTorch = ["xformers-1.0-py3-none-any.whl"]\n[[scenario]]\npackage = "xformers"\nname = "a"\n'
    'here = { torch = "", python = "3.11" }\nfirst = "x"': "'PyTorch' has no page ''",
}


@pytest.mark.parametrize("text", MISTAKES, ids=MISTAKES.values())
def test_a_mistake_in_a_scenario_file_is_told(text: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        read(path, CATALOG)
    assert str(caught.value) == f"wrong.toml: {MISTAKES[text]}"


def test_braces_stand_for_names(tmp_path: Path) -> None:
    path = tmp_path / "braces.toml"
    path.write_text(
        '[listing]\nPyPI = ["xformers-{1.0,2.0}-cp{39,310}-cp{2}-linux_x86_64.whl"]\n[[scenario]]\n'
        'package = "xformers"\nname = "a"\nhere = { torch = "", python = "3.11" }\nnothing = "python-tag"',
        encoding="utf-8",
    )
    assert [entry.place for entry in read(path, CATALOG).listings["PyPI"][""]] == [
        "xformers-1.0-cp39-cp39-linux_x86_64.whl",
        "xformers-1.0-cp310-cp310-linux_x86_64.whl",
        "xformers-2.0-cp39-cp39-linux_x86_64.whl",
        "xformers-2.0-cp310-cp310-linux_x86_64.whl",
    ]
