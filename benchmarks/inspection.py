"""How long a wheel is inspected, in how much memory, and what a peek reads of it.

Usage: python benchmarks/inspection.py [WHEEL...]; without any, a wheel is made: 1.5 GB of objects in 250 MB. Goal: 2 s
and 150 MB where a GPU is known, whose code is then looked for until it is found. A line for each: symbols alone; with GPU
code until some for 9.0 is found; all GPU code; and a peek. The peak is that of a process that does nothing else.
"""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from pipfallback.environment import Environment, Gpu, Python
from pipfallback.inspection.findings import everything, read_facts
from pipfallback.inspection.peek import peek
from pipfallback.inspection.read_at import LocalFile
from pipfallback.rules.gpu_code import enough_for

GPU_OBJECTS = Path(__file__).parent.parent / "tests" / "fixtures" / "gpu"
HOPPER = Environment(
    python=Python(version="3.11.9"), platform="linux_x86_64", tags=(), gpus=(Gpu(compute_capability="9.0"),)
)
MODES = ("symbols", "gpu 9.0", "all gpu code", "peek")


def large_wheel(folder: Path) -> Path:
    """A wheel of three objects of 500 MB, which pack to a sixth, as machine code that is not compressed does."""
    path = folder / "large-1.0-cp311-cp311-linux_x86_64.whl"
    noise = hashlib.shake_256(b"large").digest(1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, name in enumerate(("several", "sm_90", "sm_80_ptx")):
            with archive.open(f"large/{number}.so", "w", force_zip64=True) as member:
                member.write((GPU_OBJECTS / f"{name}.so").read_bytes())
                for piece in range(500):
                    member.write(noise[piece : piece + 170_000] + bytes((1 << 20) - 170_000))
        archive.writestr("large-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: large\nVersion: 1.0\n")
    return path


def measure(wheel: Path, mode: str) -> None:
    """Do it once and print what it took."""
    started = time.perf_counter()
    if mode == "peek":
        with LocalFile(wheel) as file:
            found = f"{peek(file).spent / 1e6:.2f} MB read"
    else:
        enough = {"symbols": None, "gpu 9.0": enough_for(HOPPER), "all gpu code": everything}[mode]
        found = " ".join(read_facts(wheel, gpu_code=enough).archs)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{mode:13} {seconds:6.2f} s {peak:5.0f} MB  {found}", flush=True)


def main(wheels: list[Path]) -> None:
    """Measure each wheel in each way, each in a process of its own."""
    for wheel in wheels:
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.0f} MB")
        for mode in MODES:
            subprocess.run([sys.executable, __file__, "--one", mode, str(wheel)], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measure(Path(sys.argv[3]), sys.argv[2])
    elif sys.argv[1:]:
        main([Path(name) for name in sys.argv[1:]])
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main([large_wheel(Path(scratch))])
