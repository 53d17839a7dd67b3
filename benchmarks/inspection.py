"""i: how long a wheel of 250 MB is inspected, in how much memory, and what a peek of a remote one costs.

Each is measured in processes of its own: the peak is that of a process that does nothing else.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.frame import Figure, peak_megabytes
from benchmarks.serving import serving
from pipfallback.environment import Environment, Gpu, Python
from pipfallback.inspection.findings import everything, read_facts
from pipfallback.inspection.peek import peek
from pipfallback.net.failures import FetchFailure
from pipfallback.rules.gpu_code import enough_for

if TYPE_CHECKING:
    from benchmarks.world import World

GPU_OBJECTS = Path(__file__).parent.parent / "tests" / "fixtures" / "gpu"
HOPPER = Environment(
    python=Python(version="3.11.9"), platform="linux_x86_64", tags=(), gpus=(Gpu(compute_capability="9.0"),)
)
LINK = 50  # ms before each answer


def figures(world: World, rounds: int = 3) -> Iterator[Figure]:
    """i: symbols, GPU code, peek; the time beside that of reading the whole wheel with the standard library."""
    wheel = large_wheel(world.served)
    bare = [_run("unzip", str(wheel))["seconds"] for _ in range(rounds)]
    for mode, what in (
        ("symbols", "symbols"),
        ("gpu", "symbols and GPU code until 9.0 is found"),
        ("all", "symbols and all GPU code"),
    ):
        runs = [_run(mode, str(wheel)) for _ in range(rounds)]
        yield _seconds(f"inspection of 250 MB: {what}", runs, 2.0, bare)
        peaks = tuple(each["peak"] for each in runs)
        yield Figure(key="i", what=f"peak memory: {what}", values=peaks, goal=150, unit="MB")
    with serving(world.served) as served:
        runs = []
        for _ in range(rounds):
            before = served.sent()
            run = _run("peek", served.url(wheel.name, delay=LINK))
            runs.append({**run, "sent": (served.sent() - before) / 1e6})
    yield _seconds(f"peek of 250 MB over a link of {LINK} ms", runs, 1.0, bare)
    yield Figure(key="i", what="served for the peek", values=tuple(each["sent"] for each in runs), goal=1.0, unit="MB")
    wheel.unlink()


def _seconds(what: str, runs: list[dict[str, float]], goal: float | None, bare: list[float]) -> Figure:
    values = tuple(each["seconds"] for each in runs)
    beside = sorted(values)[len(values) // 2] / sorted(bare)[len(bare) // 2]
    return Figure(key="i", what=what, values=values, goal=goal, unit="s", reference="unpacking it", beside=beside)


def _run(mode: str, where: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.inspection", mode, where]
    said: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return said


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


def measure(mode: str, where: str) -> None:
    """Do it once and print as JSON what it took."""
    started = time.perf_counter()
    if mode == "unzip":
        _unpack(where)
    elif mode == "peek":
        started = _peek(where)
    else:
        enough = {"symbols": None, "gpu": enough_for(HOPPER), "all": everything}[mode]
        read_facts(Path(where), gpu_code=enough)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak": peak_megabytes()}))


def _unpack(where: str) -> None:
    with zipfile.ZipFile(where) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                while file.read(1 << 20):
                    pass


def _peek(url: str) -> float:
    """When it began: to import what speaks HTTP is no part of it."""
    from pipfallback.net.client import Client
    from pipfallback.net.remote_file import open_remote

    with Client() as client:
        started = time.perf_counter()
        remote = open_remote(client, url)
        assert not isinstance(remote, FetchFailure), remote
        peek(remote)
    return started


if __name__ == "__main__":
    measure(*sys.argv[1:3])
