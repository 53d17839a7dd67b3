"""The environment as JSON: written, read back, and refused with every mistake at once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.tags import Tag

from pipfallback.environment import Environment, with_torch
from pipfallback.errors import EnvironmentDescriptionError
from pipfallback.machine import Driver, Gpu, Python, Torch
from pipfallback.tags import tags_for

# DESIGN 7, word for word but for the tags.
DESIGNED = {
    "schema": 1,
    "python": {
        "executable": "/usr/bin/python3.10",
        "version": "3.10.13",
        "implementation": "cpython",
        "free_threaded": False,
    },
    "platform": "linux_x86_64",
    "glibc": "2.35",
    "musl": None,
    "tags": ["cp310-cp310-manylinux_2_35_x86_64", "py3-none-any"],
    "torch": {"version": "2.7.1+cu126", "cuda": "12.6", "rocm": None, "cxx11_abi": True},
    "driver": {"version": "560.35.05", "cuda": "12.6"},
    "gpus": [{"name": "NVIDIA L40", "compute_capability": "8.9"}],
}

numbers = st.integers(min_value=0, max_value=40).map(str)
minors = st.tuples(numbers, numbers).map(".".join)
texts = st.text(max_size=8)
torches = st.builds(
    Torch,
    version=st.sampled_from(["2.7.1+cu126", "2.8.0a0+5228986c39.nv25.09", "2.12.0.dev20260101+cu130", "2.13.0"]),
    cuda=minors | st.none(),
    rocm=minors | st.none(),
    cxx11_abi=st.booleans() | st.none(),
) | st.builds(Torch, version=st.just("2.13.0+cpu"), cpu=st.just(True))
environments = st.builds(
    Environment,
    python=st.builds(
        Python,
        version=st.sampled_from(["3.8", "3.10.13", "3.14.0rc2"]),
        executable=texts | st.none(),
        implementation=st.sampled_from(["cpython", "pypy"]),
        free_threaded=st.booleans(),
    ),
    platform=st.sampled_from(["linux_x86_64", "win_amd64", "macosx_14_0_arm64"]),
    tags=st.lists(
        st.builds(Tag, st.sampled_from(["cp310", "py3"]), st.sampled_from(["cp310", "none"]), st.just("linux_x86_64")),
        min_size=1,
        max_size=3,
    ).map(tuple),
    glibc=minors | st.none(),
    musl=minors | st.none(),
    torch=torches | st.none(),
    driver=st.builds(Driver, version=minors | st.none(), cuda=minors | st.none()) | st.none(),
    gpus=st.lists(st.builds(Gpu, compute_capability=minors, name=texts | st.none()), max_size=3).map(tuple),
    cuda_toolkit=minors | st.none(),
    rocm_toolkit=minors | st.none(),
    installed=st.none(),
)


@given(environment=environments)
def test_what_is_written_is_read_back(environment: Environment) -> None:
    assert Environment.from_json(json.loads(json.dumps(environment.to_json()))) == environment


def test_the_form_is_that_of_the_design() -> None:
    assert Environment.from_json(DESIGNED).to_json() == DESIGNED


def test_what_is_installed_and_where_facts_come_from_are_no_part_of_the_form() -> None:
    environment = Environment.from_json(DESIGNED)
    assert environment.installed is None
    assert environment.origins["torch"] == "declared"
    assert environment.origins["toolkit"] == "unknown"


@pytest.mark.parametrize("key", ["torch", "driver", "gpus"])
def test_what_is_unknown_is_left_out_and_what_is_not_there_is_null(key: str) -> None:
    none = Environment.from_json({**DESIGNED, key: [] if key == "gpus" else None})
    assert not none.to_json()[key]
    unknown = replace(none, origins={**none.origins, key: "unknown"})
    assert key not in unknown.to_json()
    again = Environment.from_json(unknown.to_json())
    assert (again, again.origins[key]) == (unknown, "unknown")
    assert Environment.from_json(none.to_json()).origins[key] == "declared"


def test_another_torch_takes_its_origin_and_forgets_that_of_the_old() -> None:
    base = Environment.from_json(DESIGNED)
    base = replace(base, declared_by={"torch": "--torch", "torch.cuda": "--cuda", "driver": "--driver-cuda"})
    planned = with_torch(base, Torch(version="2.8.0", cuda="12.8"), origin="planned")
    assert (planned.origins["torch"], planned.origins["torch.cxx11_abi"]) == ("planned", "unknown")
    assert "torch.cuda" not in planned.origins
    assert planned.declared_by == {"driver": "--driver-cuda"}
    assert with_torch(base, Torch(version="2.8.0"), origin="planned").origins["torch.cuda"] == "unknown"
    none = with_torch(planned, None, origin="unknown")
    assert (none.torch, none.origins["torch"]) == (None, "unknown")


def test_tags_that_are_left_out_follow_from_the_rest() -> None:
    environment = Environment.from_json({"python": {"version": "3.12"}, "platform": "linux_aarch64", "glibc": "2.31"})
    assert environment.tags == tags_for("3.12", platform="linux_aarch64", glibc="2.31")
    assert environment.torch is None
    assert environment.origins["torch"] == "unknown"


def test_a_linux_of_unknown_glibc_refuses_no_manylinux() -> None:
    environment = Environment.from_json({"python": {"version": "3.12"}, "platform": "linux_x86_64"})
    assert Tag("cp312", "cp312", "manylinux_2_39_x86_64") in environment.tags
    assert environment.glibc is None


def test_a_platform_tag_of_manylinux_states_its_glibc() -> None:
    environment = Environment.from_json({"python": {"version": "3.12"}, "platform": "manylinux_2_28_x86_64"})
    assert Tag("cp312", "cp312", "manylinux_2_28_x86_64") in environment.tags
    assert Tag("cp312", "cp312", "manylinux_2_29_x86_64") not in environment.tags


def test_python_and_platform_are_those_of_the_machine_where_they_are_left_out() -> None:
    base = Environment.from_json(DESIGNED)
    environment = Environment.from_json({"torch": {"version": "2.8.0"}}, base=base)
    assert (environment.python, environment.platform, environment.glibc) == (base.python, "linux_x86_64", "2.35")
    assert environment.torch == Torch(version="2.8.0")
    assert environment.driver is None
    assert environment.gpus == ()


@pytest.mark.parametrize(
    ("torch", "expected"),
    [
        ({"version": "2.7.1"}, Torch(version="2.7.1")),  # left out: unknown
        ({"version": "2.7.1", "cuda": None}, Torch(version="2.7.1", cpu=True)),  # null: there is none
        ({"version": "2.7.1", "cuda": "12.6"}, Torch(version="2.7.1", cuda="12.6")),
        ({"version": "2.7.1", "cuda": None, "rocm": "6.3"}, Torch(version="2.7.1", rocm="6.3")),
        (None, None),
    ],
)
def test_a_cuda_that_is_null_is_none_and_one_left_out_is_unknown(torch: Any, expected: Torch | None) -> None:
    assert Environment.from_json({**DESIGNED, "torch": torch}).torch == expected


@pytest.mark.parametrize(
    ("change", "mistakes"),
    [
        ({"schema": 2}, ["schema: must be 1; this version reads no other form"]),
        ({"schema": True}, ["schema: must be a number, not true or false"]),
        ({"glibc": 2.35}, ["glibc: must be a string, not a number"]),
        ({"glibc": "two"}, ['glibc: must be a version such as "12.6", not "two"']),
        ({"plattform": "x"}, ["plattform: is not known; did you mean 'platform'?"]),
        ({"gpu": []}, ["gpu: is not known; did you mean 'gpus'?"]),
        ({"platform": "Linux x86"}, ['platform: must be a platform as wheels name it, such as "linux_x86_64", not "Linux x86"']),
        ({"platform": None}, ['platform: is missing: must be a platform as wheels name it, such as "linux_x86_64"']),
        ({"python": None}, ['python.version: is missing: must be a version such as "3.10.13"']),
        ({"python": "3.10"}, [
            "python: must be a table, not a string",
            'python.version: is missing: must be a version such as "3.10.13"',
        ]),
        ({"python": {"version": "3"}}, ['python.version: must be a version such as "3.10.13", not "3"']),
        ({"tags": ["cp310"]}, ['tags[0]: must be a tag such as "cp310-cp310-linux_x86_64" (PEP 425), not "cp310"']),
        ({"tags": ["py2.py3-none-any"]}, [
            'tags[0]: must be a tag such as "cp310-cp310-linux_x86_64" (PEP 425), not "py2.py3-none-any"'
        ]),
        ({"torch": {"version": "2.7.x"}}, ['torch.version: must be a version such as "2.7.1+cu126" (PEP 440), not "2.7.x"']),
        ({"torch": {}}, ['torch.version: is missing: must be a version such as "2.7.1+cu126" (PEP 440)']),
        ({"torch": {"version": "2.7.1", "cxx11_abi": 1}}, ["torch.cxx11_abi: must be true or false, not a number"]),
        ({"gpus": {}}, ["gpus: must be a list, not a table"]),
        ({"gpus": [{"compute_capability": "8.9"}, {"compute_capability": "sm_89"}]}, [
            'gpus[1].compute_capability: must be such as "8.9", not "sm_89"'
        ]),
        ({"gpus": [{"capability": "8.9"}]}, [
            "gpus[0].capability: is not known; did you mean 'compute_capability'?",
            'gpus[0].compute_capability: is missing: must be such as "8.9"',
        ]),
        ({"toolkit": {"cuda": []}}, ["toolkit.cuda: must be a string, not a list"]),
        ({"driver": {"version": "new", "cude": "12.6"}}, [
            "driver.cude: is not known; did you mean 'cuda'?",
            'driver.version: must be a version such as "560.35.05", not "new"',
        ]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_the_path_of_its_key(change: dict[str, Any], mistakes: list[str]) -> None:
    with pytest.raises(EnvironmentDescriptionError) as error:
        Environment.from_json({**DESIGNED, **change})
    assert list(error.value.details) == mistakes


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(EnvironmentDescriptionError) as error:
        Environment.from_json({"glibc": 1, "torch": {"cuda": "x"}, "extra": 0})
    assert [line.partition(":")[0] for line in error.value.details] == [
        "extra",
        "python.version",
        "platform",
        "glibc",
        "torch.version",
        "torch.cuda",
    ]


@pytest.mark.parametrize("data", [None, [], "x", 1.5, True])
def test_a_document_that_is_no_table_is_refused(data: object) -> None:
    with pytest.raises(EnvironmentDescriptionError) as error:
        Environment.from_json(data)
    assert error.value.details[0].startswith("the document: must be a table, not ")


@given(data=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*DESIGNED, "version", "cuda", "compute_capability"]), inner, max_size=4),
    max_leaves=10,
))  # fmt: skip
def test_any_document_is_read_or_refused(data: object) -> None:
    try:
        told = [str(tag) for tag in Environment.from_json(data).tags]
    except EnvironmentDescriptionError as error:
        told = list(error.details)
    assert told
