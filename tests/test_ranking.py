from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from pipfallback.builds import Candidate
from pipfallback.compatibility import Policy, judge_all
from pipfallback.environment import Environment
from pipfallback.ranking import COSTS, Wish, key, rank, version_place
from test_compatibility import HERE, candidate, candidates, environments

POLICY = Policy(needs=("torch",))
VERSIONS = [
    "2.7.4",
    "2.8.0",
    "2.8.3",
    "2.8.3.post1",
    "2.8.3rc1",
    "2.8.3.dev5",
    "2.10",
    "2.10.0",
    "2.8.3a1.post2.dev3",
    "1!1.0",
]
wishes = st.builds(Wish, version=st.sampled_from([None, *map(Version, VERSIONS)]), prereleases=st.booleans())


@given(st.lists(candidates(), max_size=4), environments(), wishes)
def test_rank_is_the_order_of_the_key(many: list[Candidate], here: Environment, wish: Wish) -> None:
    decisions = judge_all(many, here, POLICY)
    assert rank(decisions, wish) == sorted(decisions, key=lambda decision: key(decision, wish))


@given(st.lists(candidates(), max_size=4), environments(), wishes, st.randoms(use_true_random=False))
def test_the_order_that_they_came_in_plays_no_part(
    many: list[Candidate], here: Environment, wish: Wish, chance: random.Random
) -> None:
    decisions = judge_all(many, here, POLICY)
    shuffled = chance.sample(decisions, len(decisions))
    assert [key(each, wish) for each in rank(shuffled, wish)] == [key(each, wish) for each in rank(decisions, wish)]


@given(candidates(), candidates(), environments(), wishes)
def test_only_what_cannot_be_told_apart_has_the_same_place(
    one: Candidate, other: Candidate, here: Environment, wish: Wish
) -> None:
    first, second = judge_all([one, other], here, POLICY)
    if key(first, wish) == key(second, wish):
        assert (one.location, one.source, one.sha256, one.order) == (
            other.location,
            other.source,
            other.sha256,
            other.order,
        )
        assert first.grade == second.grade


@given(st.lists(candidates(), min_size=1, max_size=4), candidates(), environments(), wishes)
def test_a_refused_or_worse_build_never_changes_the_winner(
    many: list[Candidate], one_more: Candidate, here: Environment, wish: Wish
) -> None:
    winner = rank(judge_all(many, here, POLICY), wish)[0]
    with_more = judge_all([one_more, *many], here, POLICY)
    added = with_more[0]
    if winner.accepted and (not added.accepted or key(added, wish) > key(winner, wish)):
        assert rank(with_more, wish)[0] == winner


@given(st.lists(candidates(), max_size=4), environments(), wishes)
def test_the_accepted_come_first(many: list[Candidate], here: Environment, wish: Wish) -> None:
    accepted = [decision.accepted for decision in rank(judge_all(many, here, POLICY), wish)]
    assert accepted == sorted(accepted, reverse=True)


@given(st.sampled_from(VERSIONS), st.sampled_from(VERSIONS))
def test_versions_are_ordered_as_pep_440_says(one: str, other: str) -> None:
    wish = Wish(prereleases=True)
    newer_first = version_place(Version(one), wish) < version_place(Version(other), wish)
    assert newer_first is (Version(one) > Version(other))


def test_a_specifier_that_names_a_prerelease_allows_all() -> None:
    assert Wish.of(SpecifierSet(">=4.0.0b8")).prereleases
    assert Wish.of(version=Version("4.0.0b8")).prereleases
    assert Wish.of(SpecifierSet(">=4"), pre=True).prereleases
    assert not Wish.of(SpecifierSet(">=4"), version=Version("4.1")).prereleases
    assert not Wish.of().prereleases


@pytest.mark.parametrize("wished", [None, "2.8.3"])
def test_a_prerelease_comes_after_all_releases(wished: str | None) -> None:
    wish = Wish(version=Version(wished) if wished else None)
    ordered = sorted(map(Version, VERSIONS), key=lambda version: version_place(version, wish))
    assert [version.is_prerelease for version in ordered] == sorted(version.is_prerelease for version in ordered)


def test_consent_is_the_cheapest_change_and_another_machine_the_dearest() -> None:
    by_cost = sorted(COSTS, key=lambda rule: COSTS[rule])
    assert by_cost[0] == "trust"
    assert set(by_cost[-2:]) == {"platform-tag", "gpu-arch"}


def test_of_the_refused_those_for_a_nearer_torch_come_first_whatever_their_version() -> None:
    labels = [("2.8.3", "2.0"), ("2.8.1", "2.6"), ("2.8.2", "2.6"), ("2.8.3", "2.10"), ("2.8.0", "2.4")]
    many = [
        candidate(f"flash_attn-{version}+cu12torch{torch}-cp311-cp311-linux_x86_64.whl") for version, torch in labels
    ]
    ranked = rank(judge_all(many, HERE, POLICY), Wish())
    assert not any(decision.accepted for decision in ranked)
    order = [(str(each.candidate.build.version.public), each.candidate.build.torch) for each in ranked]
    assert order == [("2.8.2", "2.6"), ("2.8.1", "2.6"), ("2.8.3", "2.10"), ("2.8.0", "2.4"), ("2.8.3", "2.0")]
