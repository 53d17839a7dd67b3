"""What a person and a program are told of a file."""

from __future__ import annotations

import json

from pipfallback.file_facts import Answers, Findings, GpuCode, SharedObject, facts_of
from pipfallback.inspection.description import describe, to_json
from pipfallback.inspection.looking_up import where_from
from pipfallback.inspection.provided import Provided

EXTENSION = SharedObject(
    name="p/_C.cpython-311-x86_64-linux-gnu.so",
    machine="x86_64",
    needed=("libc10.so", "libcudart.so.12", "libmine.so.1"),
    undefined=frozenset({"_ZN3c106detail14torchCheckFailEPKcS2_jRKSs", "puts"}),
    exported=frozenset({"PyInit__C"}),
    versions=frozenset({"GLIBC_2.2.5", "GLIBC_2.34", "GLIBCXX_3.4.9", "GLIBCXX_3.4.30"}),
    gpu=GpuCode(machine=frozenset({"8.0", "10.0", "9.0a"}), ptx=frozenset({"9.0"})),
)
OWN = SharedObject(name="p.libs/libmine.so.1", machine="x86_64", soname="libmine.so.1")


def test_each_fact_is_a_line() -> None:
    assert describe(facts_of([EXTENSION, OWN])) == (
        "2 shared objects for x86_64",
        "built for cpython-311",
        "calls torch's C++ (old C++ ABI)",
        "linked with CUDA runtime 12",
        "needs glibc 2.34, GLIBCXX 3.4.30",
        "GPU code for 8.0 9.0a 10.0, PTX for 9.0",
    )


def test_what_is_not_known_is_said() -> None:
    unread = SharedObject(name="p/_C.so", machine="", known=False)
    partly = SharedObject(name="p/k.so", machine="x86_64", gpu=GpuCode(machine=frozenset({"8.0"}), complete=False))
    assert describe(facts_of([unread, partly])) == (
        "2 shared objects for x86_64, 1 of them not read",
        "whether it calls torch is not known",
        "GPU code for 8.0 at least: not all of it was read",
    )


def test_a_stable_abi_and_none_at_all() -> None:
    stable = SharedObject(name="p/_C.abi3.so", machine="x86_64", undefined=frozenset({"aoti_torch_empty"}))
    assert "calls torch by its stable C functions only" in describe(facts_of([stable]))
    assert "does not call torch's libraries" in describe(facts_of([OWN]))
    assert describe(facts_of([])) == ("holds no shared objects",)


def test_the_json_form_names_what_is_missing() -> None:
    symbol = "_ZN3c106detail14torchCheckFailEPKcS2_jRKSs"
    found = Findings(facts=facts_of([EXTENSION]), answers=Answers(torch_symbols={EXTENSION.name: (symbol,)}))
    form = json.loads(json.dumps(to_json(found)))
    assert form["objects"][0]["missing"] == [{"symbol": symbol, "name": "c10::detail::torchCheckFail"}]
    assert (form["cxx11_abi"], form["cuda_runtime"], form["archs"]) == (False, ["12"], ["8.0", "9.0a", "10.0"])


def test_where_each_library_comes_from() -> None:
    provided = Provided(libraries={"libc10.so": "/torch/lib/libc10.so"})
    assert where_from(facts_of([EXTENSION, OWN]), provided) == {
        "libc10.so": "/torch/lib/libc10.so",
        "libcudart.so.12": None,
        "libmine.so.1": "the wheel",
    }
