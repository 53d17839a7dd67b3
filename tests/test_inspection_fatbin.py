"""GPU code in objects that nvcc 13.0 made for known architectures, as cuobjdump lists it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.binaries import GPU_OBJECTS
from pipfallback.file_facts import GpuCode
from pipfallback.inspection.fatbin import read_gpu_code
from pipfallback.inspection.findings import everything, read_facts

# What ``nvcc -gencode`` was told (fixtures/gpu/build_objects.sh): machine code, PTX.
MADE_FOR = {
    "sm_80": ({"8.0"}, set()),
    "sm_90": ({"9.0"}, set()),
    "sm_80_ptx": ({"8.0"}, {"8.0"}),
    "several": ({"7.5", "9.0a", "12.0"}, {"12.0"}),
    "variants": ({"10.0f", "10.3a"}, {"9.0a", "12.0f"}),
    "compressed": ({"8.0", "9.0"}, {"9.0"}),
}


def pieces(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(size):
            yield piece


@pytest.mark.parametrize("size", [1, 7, 64, 4096, 1 << 20])
@pytest.mark.parametrize("name", MADE_FOR)
def test_the_architectures_are_those_it_was_made_for(name: str, size: int) -> None:
    found = read_gpu_code(pieces(GPU_OBJECTS / f"{name}.so", size))
    machine, ptx = MADE_FOR[name]
    assert (found.machine, found.ptx, found.complete) == (machine, ptx, True)
    assert set(found.ptx_isa.values()) <= {"9.0"}  # of CUDA 13.0


@pytest.mark.skipif(shutil.which("cuobjdump") is None, reason="needs cuobjdump")
@pytest.mark.parametrize("name", MADE_FOR)
def test_cuobjdump_lists_the_same(name: str) -> None:
    path = GPU_OBJECTS / f"{name}.so"
    done = subprocess.run(
        ["cuobjdump", "-all", "--list-elf", "--list-ptx", str(path)], check=True, capture_output=True, text=True
    )
    listed = re.findall(r"sm_(\d+)(\d)([af]?)\.(cubin|ptx)", done.stdout)
    found = read_gpu_code(pieces(path, 4096))
    # cuobjdump does not tell the family variant of machine code.
    assert {arch.rstrip("f") for arch in found.machine} == {
        f"{a}.{b}{v}" for a, b, v, kind in listed if kind == "cubin"
    }
    assert found.ptx == {f"{a}.{b}{v}" for a, b, v, kind in listed if kind == "ptx"}


def test_reading_stops_where_enough_is_known() -> None:
    read = []

    def counted() -> Iterator[bytes]:
        for piece in pieces(GPU_OBJECTS / "several.so", 512):
            read.append(piece)
            yield piece

    found = read_gpu_code(counted(), lambda code: "7.5" in code.machine)
    assert (found.machine, found.complete) == ({"7.5"}, False)
    assert len(b"".join(read)) < (GPU_OBJECTS / "several.so").stat().st_size / 2


def test_what_only_looks_like_a_fat_binary_is_passed_over() -> None:
    magic = bytes.fromhex("50ed55ba")
    junk = magic + b"\1\0\x10\0" + (1 << 40).to_bytes(8, "little") + b"\xff" * 200
    real = (GPU_OBJECTS / "sm_90.so").read_bytes()
    found = read_gpu_code([magic + bytes(3), bytes(5), magic * 3, junk + bytes(-len(junk) % 8), real])
    assert found.machine == {"9.0"}


def test_an_object_without_gpu_code_has_none() -> None:
    assert read_gpu_code([bytes(10_000), b"\x7fELF"]) == GpuCode()


@pytest.mark.parametrize(
    ("label", "machine", "ptx"), [("sm80", {"8.0"}, set()), ("sm90", {"9.0"}, set()), ("sm80ptx", {"8.0"}, {"8.0"})]
)
def test_extensions_of_torch_hold_what_cuobjdump_listed_where_they_were_built(
    label: str, machine: set[str], ptx: set[str]
) -> None:
    """Built with nvcc beside torch 2.11.0+cu130 on a machine with an H100, where the first one dies at its first kernel."""
    wheel = GPU_OBJECTS / f"gpuprobe-1.0+{label}-cp312-cp312-linux_x86_64.whl"
    (found,) = read_facts(wheel, gpu_code=everything).gpu_code.values()
    assert (set(found.machine), set(found.ptx)) == (machine, ptx)
