"""Pure: Build x Environment -> Decision. Every broken rule is told, not only the first.

The rules are in ``rules/``, one small function each. What the file itself says (its symbols) comes later, as further
findings: ``decide`` takes those of any rule.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Literal, NamedTuple

from packaging.tags import Tag

from pipfallback.builds import Build, Candidate, draft_of
from pipfallback.environment import Environment
from pipfallback.file_facts import Findings
from pipfallback.releases import minimum_beside, series_beside
from pipfallback.rules import cuda, gpu, request, tags, torch
from pipfallback.rules.file import judge_file, with_facts
from pipfallback.rules.values import Finding, Mismatch, Policy, Rule, Setting
from pipfallback.trust import Trust

__all__ = ["Decision", "Grade", "Mismatch", "Nearness", "Policy", "decide", "judge", "judge_all", "judge_with_file"]

Grade = Literal["fits", "plausible"]

TAG_RULES: tuple[Callable[[tags.TagFault, Setting], Finding], ...] = (
    tags.python_tag,
    tags.abi_tag,
    tags.platform_tag,
)
BUILD_RULES: tuple[Rule, ...] = (
    tags.requires_python,
    tags.file_name,
    torch.torch_missing,
    torch.torch_version,
    cuda.cuda_missing,
    cuda.accelerator,
    cuda.rocm,
    cuda.cuda_version,
    torch.cxx11_abi,
    cuda.driver,
    gpu.gpu_arch,
    request.needs,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearness:
    """How near a build is to the environment, apart from its grade; smaller is nearer (DESIGN 5).

    ``tag`` is the place of its best tag in the environment's order.
    """

    cuda: int = 0
    torch: int = 0
    label: int = 0
    tag: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Accepted (with its grade) or refused (with every rule that it breaks).

    ``doubts`` are the sentences that keep an accepted candidate from *fits*.
    """

    candidate: Candidate
    grade: Grade | None
    mismatches: tuple[Mismatch, ...] = ()
    doubts: tuple[str, ...] = ()
    nearness: Nearness = Nearness()

    @property
    def accepted(self) -> bool:
        """Whether no rule refuses the candidate."""
        return self.grade is not None


class _Verdict(NamedTuple):
    """What rules found, apart, and the grade that follows."""

    mismatches: tuple[Mismatch, ...] = ()
    doubts: tuple[str, ...] = ()
    grade: Grade | None = None


def judge(candidate: Candidate, environment: Environment, policy: Policy) -> Decision:
    """Judge one candidate by every rule."""
    return judge_all([candidate], environment, policy)[0]


def judge_all(candidates: Iterable[Candidate], environment: Environment, policy: Policy) -> list[Decision]:
    """Judge candidates, in their order. Builds of the same tags and facts are looked at once: there may be 100,000."""
    builds = _Builds(Setting(environment=environment, policy=policy))
    request_rules = _request_rules(policy)
    decisions = []
    for candidate in candidates:
        verdict, nearness = builds.judge(candidate.build)
        asked = [finding for rule in request_rules if (finding := rule(candidate))]
        if asked:
            verdict = _sort([*verdict.mismatches, *verdict.doubts, *asked])
        decisions.append(_decision(candidate, verdict, nearness))
    return decisions


def decide(decision: Decision, findings: Sequence[Finding]) -> Decision:
    """A decision with further findings, such as those of a look into the file. None among them are passed over."""
    verdict = _sort([*decision.mismatches, *decision.doubts, *findings])
    return _decision(decision.candidate, verdict, decision.nearness)


def judge_with_file(
    candidate: Candidate, environment: Environment, policy: Policy, found: Findings, imports: Collection[str] = ()
) -> Decision:
    """Judge a candidate by what was found in its file as well, which overrides what its name says.

    ``imports``: the modules that must import.
    """
    known = replace(candidate, build=with_facts(candidate.build, found.facts))
    decision = judge(known, environment, policy)
    verdict = judge_file(known.build, Setting(environment=environment, policy=policy), found, imports)
    told: tuple[Finding, ...] = (*decision.mismatches, *decision.doubts)
    kept = [each for each in told if each not in verdict.disproved]
    return _decision(known, _sort([*kept, *verdict.added]), decision.nearness)


class _Tagged(NamedTuple):
    """What is known of all builds with the same tags: what the rules of tags found, and the place of the best tag."""

    verdict: _Verdict
    place: int


@dataclass(slots=True)
class _Alike:
    """What is known of all builds with the same facts, besides their tags; and of those with each of the tags."""

    verdict: _Verdict
    distances: tuple[int, int, int]
    by_tags: dict[frozenset[Tag], tuple[_Verdict, Nearness]] = field(default_factory=dict)


class _Builds:
    """Judges builds and remembers: by their tags, by all else that the rules look at, and by both."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._by_tags: dict[frozenset[Tag], _Tagged] = {}
        self._by_facts: dict[object, _Alike] = {}
        self._nearness: dict[tuple[int, int, int, int], Nearness] = {}

    def judge(self, build: Build) -> tuple[_Verdict, Nearness]:
        facts = _facts(build)
        alike = self._by_facts.get(facts)
        if alike is None:
            alike = self._by_facts[facts] = self._look_at(build)
        known = alike.by_tags.get(build.tags)
        if known is None:
            known = alike.by_tags[build.tags] = self._together(build, alike)
        return known

    def _look_at(self, build: Build) -> _Alike:
        found = [rule(build, self._setting) for rule in BUILD_RULES]
        return _Alike(_sort(found), _distances(build, self._setting))

    def _look_at_tags(self, build: Build) -> _Tagged:
        places = self._setting.tag_places
        fault = tags.fault_of(build.tags, self._setting)
        return _Tagged(
            _sort([rule(fault, self._setting) for rule in TAG_RULES]),
            min((places[tag] for tag in build.tags if tag in places), default=len(places)),
        )

    def _together(self, build: Build, alike: _Alike) -> tuple[_Verdict, Nearness]:
        tagged = self._by_tags.get(build.tags)
        if tagged is None:
            tagged = self._by_tags[build.tags] = self._look_at_tags(build)
        of_tags, verdict = tagged.verdict, alike.verdict
        place = (*alike.distances, tagged.place)
        nearness = self._nearness.get(place)
        if nearness is None:
            of_cuda, of_torch, of_label, of_tag = place
            nearness = Nearness(cuda=of_cuda, torch=of_torch, label=of_label, tag=of_tag)
            self._nearness[place] = nearness
        return _verdict(of_tags.mismatches + verdict.mismatches, of_tags.doubts + verdict.doubts), nearness


def _facts(build: Build) -> tuple[object, ...]:
    """All that the rules of a build look at besides its tags: builds that have it in common are judged alike."""
    return (
        build.torch,
        build.torch_rule,
        build.vague_torch,
        series_beside(build.name, build.version) or minimum_beside(build.name, build.version),
        build.cuda,
        build.rocm,
        build.cpu,
        build.accelerator,
        build.unusual_version,
        build.cxx11_abi,
        build.cxx11_abi_label,
        build.archs,
        build.name,
        build.requires_python,
        build.requires,
    )


def _distances(build: Build, setting: Setting) -> tuple[int, int, int]:
    """How far CUDA, torch and the label are from the environment's, as Nearness has them."""
    return (
        cuda.cuda_distance(build, setting),
        torch.torch_distance(build, setting),
        _label_distance(build, setting),
    )


def _label_distance(build: Build, setting: Setting) -> int:
    """0: its C++ ABI label agrees with what the build is (else, with what is wanted); 1: it has none; 2: it disagrees."""
    here = setting.environment.torch
    if not torch.abi_matters(build, setting) or here is None:
        return 0
    if build.cxx11_abi_label is None:
        return 1
    truth = build.cxx11_abi if build.cxx11_abi is not None else torch.torch_abi(here, setting)[0]
    return 1 if truth is None else 0 if build.cxx11_abi_label == truth else 2


def _request_rules(policy: Policy) -> list[Callable[[Candidate], Finding]]:
    rules: list[Callable[[Candidate], Finding]] = []
    if policy.trust is not Trust.COMMUNITY:
        rules.append(partial(request.trust, policy.trust))
    if policy.specifier:
        of_version = cache(partial(request.version, policy.specifier))
        rules.append(lambda candidate: of_version(candidate.build.version))
    if policy.hashes is not None:
        rules.append(partial(request.sha256, policy.hashes))
    return rules


def _sort(findings: Sequence[Finding]) -> _Verdict:
    return _verdict(
        tuple([finding for finding in findings if isinstance(finding, Mismatch)]),
        tuple([finding for finding in findings if isinstance(finding, str)]),
    )


def _verdict(mismatches: tuple[Mismatch, ...], doubts: tuple[str, ...]) -> _Verdict:
    return _Verdict(mismatches, doubts, None if mismatches else "plausible" if doubts else "fits")


def _decision(candidate: Candidate, verdict: _Verdict, nearness: Nearness) -> Decision:
    decision = _Draft()
    decision.candidate = candidate
    decision.mismatches, decision.doubts, decision.grade = verdict
    decision.nearness = nearness
    decision.__class__ = Decision
    return decision  # type: ignore[no-any-return]  # a draft is Any


_Draft = draft_of(Decision)
