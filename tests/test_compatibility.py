from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pipfallback.builds import Build, Candidate, read_build
from pipfallback.compatibility import Decision, Mismatch, Policy, decide, judge, judge_all
from pipfallback.environment import Driver, Environment, Gpu, Torch
from pipfallback.ranking import Wish, key
from pipfallback.rules.gpu import runs_on
from pipfallback.trust import Trust
from scenarios.scenario_files import environment

# glibc 2.5 has few tags, so that an example that hypothesis finds can be read.
HERE = environment({"python": "3.11.9", "platform": "linux_x86_64", "glibc": "2.5", "torch": "2.7.1+cu126"})
POLICY = Policy(needs=("torch",))
FITTING = "flash_attn-2.8.3+cu126torch2.7cxx11abiTRUE-cp311-cp311-linux_x86_64.whl"
NAMES = [
    FITTING,
    "flash_attn-2.8.3-1-cp311-cp311-manylinux1_x86_64.whl",
    "flash_attn-2.8.2rc1-cp310-cp310-linux_x86_64.whl",
    "flash_attn-2.8.3-cp313-cp313t-linux_aarch64.whl",
    "flash_attn-2.7.4.post1-cp39-abi3-win_amd64.whl",
    "flash_attn-2.8.3-py3-none-any.whl",
]

BUILDS = [read_build(name) for name in NAMES]


def candidate(name: str = FITTING, *, trust: Trust = Trust.VENDOR, **facts: object) -> Candidate:
    return Candidate(build=replace(read_build(name), **facts), location=f"https://example.org/{name}", trust=trust)


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    backend = draw(st.sampled_from(["cuda", "rocm", "cpu", "xpu", None]))
    return Candidate(
        build=replace(
            draw(st.sampled_from(BUILDS)),
            torch=draw(st.sampled_from([None, "2.6", "2.7", "2.7.0", "2.7.1", "2.10"])),
            torch_rule=draw(st.sampled_from(["series", "exact", "minimum"])),
            cuda=draw(st.sampled_from([None, "12", "12.4", "12.6", "12.8", "13.0"])) if backend == "cuda" else None,
            rocm="6.3" if backend == "rocm" else None,
            cpu=backend == "cpu",
            accelerator=backend if backend == "xpu" else None,
            cxx11_abi=draw(st.sampled_from([None, True, False])),
            cxx11_abi_label=draw(st.sampled_from([None, True, False])),
            archs=draw(st.sampled_from([None, ("8.0",), ("9.0a", "12.0+PTX"), ("7.5+PTX",)])),
            requires_python=draw(st.sampled_from([None, SpecifierSet(">=3.11")])),
            requires=draw(st.sampled_from([(), (Requirement("numpy<2"),), (Requirement("torch>=2.4"),)])),
        ),
        location=draw(st.sampled_from(["https://a.example.org/", "https://b.example.org/"])),
        source=draw(st.sampled_from([None, "one", "two"])),
        trust=draw(st.sampled_from(Trust)),
        sha256=draw(st.sampled_from([None, "aa", "bb"])),
        order=(draw(st.integers(0, 2)), draw(st.integers(0, 2))),
    )


@st.composite
def environments(draw: st.DrawFn) -> Environment:
    torch = draw(
        st.sampled_from(
            [
                None,
                Torch(version="2.7.1+cu126", cuda="12.6", cxx11_abi=True),
                Torch(version="2.7.1+cu126", cuda="12.6"),
                Torch(version="2.7.1"),
                Torch(version="2.7.1+cpu", cpu=True, cxx11_abi=True),
                Torch(version="2.7.1+rocm6.3", rocm="6.3", cxx11_abi=True),
                Torch(version="2.10.0.dev20251001+cu130", cuda="13.0", cxx11_abi=False),
            ]
        )
    )
    return replace(
        HERE,
        torch=torch,
        driver=draw(st.sampled_from([None, Driver(), Driver(version="560.35.05"), Driver(cuda="12.4")])),
        gpus=draw(st.sampled_from([(), (Gpu(compute_capability="8.6"),), (Gpu(compute_capability="12.0"),)])),
        installed=draw(st.sampled_from([None, {}, {"numpy": "2.1.0", "nvidia-cuda-runtime-cu12": "12.6.77"}])),
    )


policies = st.builds(
    Policy,
    trust=st.sampled_from(Trust),
    needs=st.sampled_from([None, (), ("torch",)]),
    specifier=st.sampled_from([None, SpecifierSet(">=2.8"), SpecifierSet("==2.8.3")]),
    hashes=st.sampled_from([None, frozenset({"aa"})]),
)


@given(st.lists(candidates(), max_size=4), environments(), policies)
def test_many_are_judged_as_each_alone(many: list[Candidate], here: Environment, policy: Policy) -> None:
    assert judge_all(many, here, policy) == [judge(one, here, policy) for one in many]


@given(candidates(), environments(), policies)
def test_a_refusal_says_what_was_wanted_what_was_found_and_a_sentence(
    one: Candidate, here: Environment, policy: Policy
) -> None:
    decision = judge(one, here, policy)
    assert decision.accepted is not bool(decision.mismatches)
    for mismatch in decision.mismatches:
        assert mismatch.wanted
        assert mismatch.found
        assert mismatch.text
    assert len({mismatch.rule for mismatch in decision.mismatches}) == len(decision.mismatches)


@given(candidates(), environments(), policies)
def test_fits_means_that_nothing_is_in_doubt(one: Candidate, here: Environment, policy: Policy) -> None:
    decision = judge(one, here, policy)
    assert (decision.grade == "fits") is not bool(decision.doubts or decision.mismatches)


def without_a_fact_of_the_build(build: Build) -> list[Build]:
    return [
        replace(build, torch=None, torch_rule="series"),
        replace(build, cuda=None),
        replace(build, cxx11_abi=None),
        replace(build, cxx11_abi_label=None),
        replace(build, archs=None),
        replace(build, requires_python=None),
        replace(build, requires=()),
    ]


def without_a_fact_of_the_environment(here: Environment) -> list[Environment]:
    torch = here.torch
    return [
        replace(here, driver=None),
        replace(here, gpus=()),
        replace(here, installed=None),
        replace(here, origins={"torch": "unknown"}, torch=None),
        *([replace(here, torch=replace(torch, cxx11_abi=None))] if torch else []),
    ]


def broken(decision: Decision) -> set[str]:
    return {mismatch.rule for mismatch in decision.mismatches}


@given(candidates(), environments(), st.sampled_from([(), ("torch",)]))
def test_an_unknown_never_refuses(one: Candidate, here: Environment, needs: tuple[str, ...]) -> None:
    policy = Policy(needs=needs)
    known = broken(judge(one, here, policy))
    for build in without_a_fact_of_the_build(one.build):
        assert broken(judge(replace(one, build=build), here, policy)) <= known
    for less in without_a_fact_of_the_environment(here):
        assert broken(judge(one, less, policy)) <= known


KNOWN_BAD_OF_BUILDS = [
    {"torch": "2.3"},
    {"cuda": "11.8"},
    {"rocm": "5.7"},
    {"archs": ("5.0",)},
    {"requires_python": SpecifierSet(">=3.99")},
    {"requires": (Requirement("numpy>99"),)},
]


@settings(max_examples=200)
@given(candidates(), environments(), st.sampled_from(KNOWN_BAD_OF_BUILDS), st.booleans())
def test_no_fact_of_a_build_that_turns_out_bad_makes_it_better(
    one: Candidate, here: Environment, bad: dict[str, object], seen: bool
) -> None:
    here = replace(here, gpus=(Gpu(compute_capability="9.0"),) if seen else here.gpus)
    unknown = replace(one, build=replace(one.build, **dict.fromkeys(bad, () if "requires" in bad else None)))
    # A backend is stated once: a build that turns out to be for another one said nothing of any before.
    if {"cuda", "rocm"} & set(bad):
        unknown = replace(unknown, build=replace(unknown.build, cuda=None, rocm=None, cpu=False, accelerator=None))
    worse = replace(unknown, build=replace(unknown.build, **bad))
    before, after = judge(unknown, here, POLICY), judge(worse, here, POLICY)
    assert not after.accepted or (before.accepted and key(before, Wish()) <= key(after, Wish()))


@given(candidates(), environments())
def test_an_abi_that_turns_out_wrong_makes_no_build_better(one: Candidate, here: Environment) -> None:
    unknown = replace(one, build=replace(one.build, cxx11_abi=None))
    wrong = here.torch is not None and here.torch.cxx11_abi is False
    before = judge(unknown, here, POLICY)
    after = judge(replace(unknown, build=replace(unknown.build, cxx11_abi=wrong)), here, POLICY)
    if here.torch is not None and here.torch.cxx11_abi is not None:
        assert key(before, Wish()) <= key(after, Wish())


@given(candidates(), environments(), st.sampled_from([Driver(version="418.39"), Driver(version="418.39", cuda="10.1")]))
def test_a_driver_that_turns_out_old_makes_no_build_better(one: Candidate, here: Environment, old: Driver) -> None:
    before, after = judge(one, replace(here, driver=None), POLICY), judge(one, replace(here, driver=old), POLICY)
    assert broken(before) <= broken(after)
    assert before.accepted or not after.accepted


@given(candidates(), environments(), st.sampled_from(Trust))
def test_less_trust_makes_no_build_better(one: Candidate, here: Environment, allowed: Trust) -> None:
    before = judge(one, here, replace(POLICY, trust=Trust.COMMUNITY))
    after = judge(one, here, replace(POLICY, trust=allowed))
    assert key(before, Wish()) <= key(after, Wish())


def test_the_message_of_the_design() -> None:
    old = candidate("flash_attn-2.7.4.post1+cu12torch2.5cxx11abiFALSE-cp311-cp311-linux_x86_64.whl", cxx11_abi=False)
    assert judge(old, HERE, POLICY).mismatches == (
        Mismatch(rule="torch-version", wanted="2.5", found="2.7.1", text="built for torch 2.5; torch here is 2.7.1"),
        Mismatch(
            rule="cxx11-abi",
            wanted="FALSE",
            found="TRUE",
            text="built with the old C++ ABI; torch 2.7.1 here has the new one",
        ),
    )


def test_what_a_look_into_the_file_finds_is_added() -> None:
    decision = judge(candidate(cxx11_abi=True), HERE, POLICY)
    missing = Mismatch(
        rule="symbols", wanted="_ZN3c10…", found="none", text="needs _ZN3c10…, which nothing here provides"
    )
    assert decision.grade == "fits"
    assert decide(decision, [None]) == decision
    assert decide(decision, ["it could not be read"]).grade == "plausible"
    refused = decide(decision, [missing])
    assert not refused.accepted
    assert refused.mismatches == (missing,)


def test_an_environment_without_tags_refuses_none() -> None:
    assert broken(judge(candidate(NAMES[3]), replace(HERE, tags=()), Policy(needs=()))) == set()


@pytest.mark.parametrize("needs", [None, (), ("torch",)])
def test_the_same_build_twice_is_judged_the_same(needs: tuple[str, ...] | None) -> None:
    first, second = judge_all([candidate(), candidate()], HERE, Policy(needs=needs))
    assert first == second


@pytest.mark.parametrize(
    ("archs", "gpu", "runs"),
    [
        (["7.0"], "7.2", False),  # Xavier
        (["5.0"], "5.3", False),  # Jetson Nano
        (["6.1"], "6.2", False),  # TX2
        (["10.0"], "10.1", False),  # Thor, as CUDA 12 names it
        (["7.2"], "7.2", True),
        (["7.2"], "7.5", False),
        (["11.0"], "11.0", True),
        (["8.7+PTX"], "8.9", True),  # PTX is shared where machine code is not
        (["12.0"], "12.1", True),
        (["8.6"], "8.9", True),
        (["8.9"], "8.6", False),
        (["10.0f+PTX"], "10.3", True),
        (["10.0f+PTX"], "11.0", False),
        (["9.0a+PTX"], "9.0", True),
        (["9.0a+PTX"], "10.0", False),
        (["8.0+PTX"], "8.0", True),
        (["gfx942"], "9.0", None),
        (["8.0"], "unknown", None),
    ],
)
def test_which_gpu_runs_which_code(archs: list[str], gpu: str, runs: bool | None) -> None:
    here = replace(HERE, driver=Driver(cuda="13.2"))
    assert runs_on(archs, Gpu(compute_capability=gpu), "12.8", here) is runs


@pytest.mark.parametrize(
    ("toolkit", "driver", "runs"),
    [
        ("12.6", Driver(cuda="12.6"), True),
        ("12.8", Driver(cuda="12.6"), False),
        ("12.4", Driver(cuda="12.6"), True),
        ("12", Driver(cuda="12.6"), None),
        ("12", Driver(cuda="13.0"), True),
        ("13", Driver(cuda="12.6"), False),
        ("12.6", Driver(version="560.35.05"), True),
        ("12.6", Driver(), None),
        ("12.6", None, None),
        (None, Driver(cuda="12.6"), None),
    ],
)
def test_which_driver_compiles_which_ptx(toolkit: str | None, driver: Driver | None, runs: bool | None) -> None:
    here = replace(HERE, driver=driver)
    assert runs_on(["8.0+PTX"], Gpu(compute_capability="9.0"), toolkit, here) is runs


@pytest.mark.parametrize(("rule", "wanted"), [("series", "2.7"), ("exact", "2.7"), ("minimum", ">=2.7")])
def test_a_missing_torch_is_wanted_as_the_build_states_it(rule: str, wanted: str) -> None:
    decision = judge(candidate(torch_rule=rule), replace(HERE, torch=None), POLICY)
    assert [(each.rule, each.wanted, each.found) for each in decision.mismatches] == [("torch-missing", wanted, "none")]


def test_what_a_driver_is_wanted_and_found_is_short() -> None:
    newer = candidate(cuda="13.0", torch="2.9", cxx11_abi=True)
    here = replace(HERE, torch=Torch(version="2.9.1+cu130", cuda="13.0", cxx11_abi=True))
    for driver, found in ((Driver(version="560.35.05"), "560.35.05"), (Driver(cuda="12.6"), "CUDA 12.6")):
        (mismatch,) = judge(newer, replace(here, driver=driver), POLICY).mismatches
        assert (mismatch.rule, mismatch.wanted, mismatch.found) == ("driver", ">=580.65.06", found)
