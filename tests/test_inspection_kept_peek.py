"""A peek that is kept says the same when it is read again."""

from __future__ import annotations

import json

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pipfallback.builds import Metadata
from pipfallback.file_facts import GpuCode, SharedObject, facts_of
from pipfallback.inspection.kept_peek import from_bytes, to_bytes
from pipfallback.inspection.peek import Peek

EXTENSION = SharedObject(
    name="p/_C.abi3.so",
    machine="x86_64",
    needed=("libc10.so", "libmine.so"),
    undefined=frozenset({"_ZN3c104cuda9SetDeviceEa", "mine"}),
    weak=frozenset({"__gmon_start__"}),
    exported=frozenset({"PyInit__C"}),
    versions=frozenset({"GLIBC_2.34"}),
    gpu=GpuCode(machine=frozenset({"9.0a"}), ptx=frozenset({"9.0"}), ptx_isa={"9.0": "8.7"}),
)
OWN = SharedObject(name="p.libs/libmine.so", machine="x86_64", soname="libmine.so", exported=frozenset({"mine"}))
UNREAD = SharedObject(name="p/big.so", machine="", known=False)
METADATA = Metadata(
    name="p",
    version="1.0",
    requires_python=SpecifierSet(">=3.9"),
    requires=(Requirement('torch==2.8.0; extra == "x"'),),
)


@pytest.mark.parametrize("metadata", [METADATA, None, Metadata(name="p", version="1.0")])
def test_it_says_the_same(metadata: Metadata | None) -> None:
    found = Peek(facts=facts_of([EXTENSION, OWN, UNREAD]), metadata=metadata, spent=0)
    assert from_bytes(to_bytes(found)) == found


def test_what_nobody_asks_for_is_not_kept() -> None:
    large = SharedObject(name="p/l.so", machine="x86_64", exported=frozenset(f"offered_{n}" for n in range(10_000)))
    assert len(to_bytes(Peek(facts=facts_of([large]), metadata=None, spent=0))) < 1000


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff", b'{"form": 0}', b'{"form": 1, "objects": [{}]}', b"null"]
)
def test_what_cannot_be_read_is_nothing(content: bytes) -> None:
    assert from_bytes(content) is None


def test_requirements_that_cannot_be_read_are_nothing() -> None:
    form = json.loads(to_bytes(Peek(facts=facts_of([]), metadata=METADATA, spent=0)))
    form["metadata"]["requires"] = ["torch ("]
    assert from_bytes(json.dumps(form).encode()) is None
