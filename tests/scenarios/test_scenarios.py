from __future__ import annotations

from collections.abc import Callable
from itertools import islice, permutations

import pytest

from pipfallback import compatibility, ranking
from pipfallback.compatibility import BUILD_RULES, TAG_RULES, Decision, judge_all
from pipfallback.nearest import what_would_change
from pipfallback.ranking import rank
from pipfallback.rules import request
from pipfallback.rules.values import Rule
from scenarios.scenario_files import Scenario, scenarios

SCENARIOS = tuple(scenarios())
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


def decisions_of(scenario: Scenario) -> list[Decision]:
    return judge_all([each.candidate for each in scenario.expectations], scenario.environment, scenario.policy)


def said(decision: Decision) -> str:
    return decision.grade or ", ".join(mismatch.rule for mismatch in decision.mismatches)


def is_judged_as_expected(scenario: Scenario) -> bool:
    return [said(decision) for decision in decisions_of(scenario)] == [each.expect for each in scenario.expectations]


def is_ranked_as_expected(scenario: Scenario) -> bool:
    expected = [id(each.candidate) for each in scenario.expectations]
    return all(
        [id(decision.candidate) for decision in rank(shuffled, scenario.wish)] == expected
        for shuffled in islice(permutations(decisions_of(scenario)), 120)
    )


@by_name
def test_each_build_is_judged_as_the_scenario_says(scenario: Scenario) -> None:
    decisions = decisions_of(scenario)
    assert [said(decision) for decision in decisions] == [each.expect for each in scenario.expectations], (
        scenario.catches,
        [(decision.mismatches, decision.doubts) for decision in decisions],
    )


@by_name
def test_the_builds_are_ranked_in_the_order_of_the_scenario(scenario: Scenario) -> None:
    assert is_ranked_as_expected(scenario), scenario.catches


@pytest.mark.parametrize(
    "scenario",
    [scenario for scenario in SCENARIOS if any(each.says or each.doubt for each in scenario.expectations)],
    ids=lambda scenario: scenario.name,
)
def test_the_reason_is_said_in_the_words_of_the_scenario(scenario: Scenario) -> None:
    for decision, expected in zip(decisions_of(scenario), scenario.expectations, strict=True):
        if expected.says:
            assert expected.says in [mismatch.text for mismatch in decision.mismatches]
        if expected.doubt:
            assert expected.doubt in decision.doubts


@pytest.mark.parametrize(
    "scenario", [scenario for scenario in SCENARIOS if scenario.hints is not None], ids=lambda scenario: scenario.name
)
def test_the_cheapest_changes_are_named(scenario: Scenario) -> None:
    hints = what_would_change(decisions_of(scenario), scenario.environment, scenario.policy)
    assert tuple(hint.text for hint in hints) == scenario.hints


def test_there_are_many_scenarios_and_each_says_what_it_would_catch() -> None:
    assert len(SCENARIOS) >= 150
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert len({scenario.catches for scenario in SCENARIOS}) == len(SCENARIOS)


# The scenarios bite: with any one rule, or any one part of the key, taken away, at least one of them fails.


@pytest.mark.parametrize("rule", [*TAG_RULES, *BUILD_RULES], ids=lambda rule: rule.__name__)
def test_a_scenario_fails_without_the_rule(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compatibility, "TAG_RULES", [other for other in TAG_RULES if other is not rule])
    monkeypatch.setattr(compatibility, "BUILD_RULES", [other for other in BUILD_RULES if other is not rule])
    assert not all(map(is_judged_as_expected, SCENARIOS))


@pytest.mark.parametrize("rule", ["trust", "version", "sha256"])
def test_a_scenario_fails_without_the_rule_of_the_request(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, rule, lambda *_: None)
    assert not all(map(is_judged_as_expected, SCENARIOS))


@pytest.mark.parametrize("part", range(14))
def test_a_scenario_fails_without_the_part_of_the_key(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Callable[..., tuple[object, ...]] = ranking._key
    assert len(whole(decisions_of(SCENARIOS[0])[0], (), ())) == 14
    monkeypatch.setattr(ranking, "_key", lambda *given: (*whole(*given)[:part], *whole(*given)[part + 1 :]))
    assert not all(map(is_ranked_as_expected, SCENARIOS))
