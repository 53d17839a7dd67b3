"""How long reading, judging and ranking of 1,000, 10,000 and 100,000 candidates takes, and how much memory.

Usage: python benchmarks/candidates.py [COUNT...]. Each count runs in a process of its own, so that its peak is its own.
Goal: 100,000 in under 1.5 s and 300 MB; 1,000 in under 30 ms.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from itertools import cycle, islice, product

from pipfallback.builds import Candidate, LabelHints, read_build
from pipfallback.trust import Trust
from pipfallback.compatibility import Policy, judge_all
from pipfallback.environment import Driver, Environment, Gpu, Python, Torch
from pipfallback.ranking import Wish, rank
from pipfallback.tags import tags_for

COUNTS = (1_000, 10_000, 100_000)
VERSIONS = tuple(f"{major}.{minor}.{patch}" for major, minor, patch in product((1, 2), range(9), range(6)))
CUDAS = ("cu118", "cu121", "cu124", "cu126", "cu128", "cu129", "cu130", "cu12", "cu13")
TORCHES = tuple(f"2.{minor}" for minor in range(1, 15))
ABIS = ("cxx11abiTRUE", "cxx11abiFALSE", "")
PYTHONS = (*(f"cp3{minor}-cp3{minor}" for minor in range(8, 15)), "cp313-cp313t", "cp39-abi3")
PLATFORMS = ("linux_x86_64", "manylinux_2_24_x86_64.manylinux_2_28_x86_64", "win_amd64", "linux_aarch64")


def locations(count: int) -> list[str]:
    """URLs of made-up wheels, as different as those of the publishers."""
    # Prime steps through the choices, so that the first thousand are as mixed as the first hundred thousand.
    names = product(VERSIONS, TORCHES, PYTHONS, CUDAS, ABIS, PLATFORMS)
    spread = list(islice(names, 0, None, 7))
    return [
        f"https://example.org/releases/v{version}/flash_attn-{version}%2B{cuda}torch{torch}{abi}-{python}-{platform}.whl"
        for version, torch, python, cuda, abi, platform in islice(cycle(spread[::31] + spread), count)
    ]


def here() -> tuple[Environment, Policy]:
    """A machine as people have it."""
    environment = Environment(
        python=Python(version="3.11.9"),
        platform="linux_x86_64",
        glibc="2.35",
        tags=tags_for("3.11", platform="linux_x86_64", glibc="2.35"),
        torch=Torch(version="2.7.1+cu126", cuda="12.6", cxx11_abi=True),
        driver=Driver(version="560.35.05", cuda="12.6"),
        gpus=(Gpu(compute_capability="8.9"),),
        installed={"torch": "2.7.1+cu126", "numpy": "2.1.0"},
    )
    return environment, Policy(needs=("torch",))


def measure(count: int) -> None:
    """Print the milliseconds of each step and the peak memory of the process in MB."""
    names = locations(count)
    environment, policy = here()
    hints = LabelHints(cxx11_abi_labels="fact")
    started = time.perf_counter()
    candidates = [
        Candidate(build=read_build(name, hints), location=name, source="somebody", trust=Trust.VENDOR, order=(0, place))
        for place, name in enumerate(names)
    ]
    read = time.perf_counter()
    decisions = judge_all(candidates, environment, policy)
    judged = time.perf_counter()
    ranked = rank(decisions, Wish())
    done = time.perf_counter()
    accepted = sum(decision.accepted for decision in ranked)
    steps = ((read - started), (judged - read), (done - judged), (done - started))
    milliseconds = " ".join(f"{seconds * 1000:9.1f}" for seconds in steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count:9,} {milliseconds} {peak:8.0f} {accepted:9,}")


def main(arguments: list[str]) -> None:
    """Measure each count in a process of its own."""
    if len(arguments) == 2 and arguments[0] == "--one":
        measure(int(arguments[1]))
        return
    print("    count   read ms  judge ms   rank ms    all ms  peak MB  accepted", flush=True)
    for count in arguments or COUNTS:
        subprocess.run([sys.executable, __file__, "--one", str(count)], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
