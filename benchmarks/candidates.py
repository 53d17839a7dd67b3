"""f: how long reading, judging and ranking of 1,000, 10,000 and 100,000 candidates takes, and how much memory.

Each count is measured in processes of its own, so that its caches are cold and its peak memory is its own. Times are
CPU time, which other programs lengthen less than the clock's.

What is read is made up after the lists of real publishers: no two names are the same, but their parts repeat. There are
108 releases, each in a folder of its own; 378 labels (14 torch x 9 CUDA x 3 C++ ABI); 36 tag triples. Each version text
(a release and a label) has 7 or 8 wheels, as flash-attn's have: one for some of the Pythons and platforms. So 100,000
wheels have 13,900 version texts, and 1,000 wheels have 139, nearly each with a release and a label of its own.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice, pairwise, product
from typing import TYPE_CHECKING

from benchmarks.frame import Figure, peak_megabytes
from pipfallback.builds import LabelHints, listed_candidate, read_build
from pipfallback.compatibility import Policy, judge_all
from pipfallback.environment import Driver, Environment, Gpu, Python, Torch
from pipfallback.ranking import Wish, rank
from pipfallback.tags import tags_for
from pipfallback.trust import Trust

if TYPE_CHECKING:
    from benchmarks.world import World

GOALS = {1_000: 0.03, 100_000: 1.5}  # seconds
COUNTS = (1_000, 10_000, 100_000)
VERSIONS = tuple(f"{major}.{minor}.{patch}" for major, minor, patch in product((1, 2), range(9), range(6)))
CUDAS = ("cu118", "cu121", "cu124", "cu126", "cu128", "cu129", "cu130", "cu12", "cu13")
TORCHES = tuple(f"2.{minor}" for minor in range(1, 15))
ABIS = ("cxx11abiTRUE", "cxx11abiFALSE", "")
PYTHONS = (*(f"cp3{minor}-cp3{minor}" for minor in range(8, 15)), "cp313-cp313t", "cp39-abi3")
PLATFORMS = ("linux_x86_64", "manylinux_2_24_x86_64.manylinux_2_28_x86_64", "win_amd64", "linux_aarch64")


LABELS = tuple(f"{cuda}torch{torch}{abi}" for torch, cuda, abi in product(TORCHES, CUDAS, ABIS))
TAGS = tuple(f"{python}-{platform}" for python, platform in product(PYTHONS, PLATFORMS))
WHEELS = 5  # one in so many of the possible tag triples of a version text is there


def locations(count: int) -> list[str]:
    """URLs of ``count`` made-up wheels, all different."""
    texts = list(product(VERSIONS, LABELS))
    wanted = -(-count * WHEELS // len(TAGS))
    # 1,597 has no factor in common with the number of texts: each is met once, and the first hundred are as mixed as all.
    chosen = (texts[place * 1597 % len(texts)] for place in range(wanted))
    wheels = islice(product(chosen, TAGS), 0, None, WHEELS)
    return [
        f"https://example.org/releases/v{version}/flash_attn-{version}%2B{label}-{tags}.whl"
        for (version, label), tags in islice(wheels, count)
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
    """Print as JSON the seconds of each step, the peak memory of the process in MB, and how many were accepted."""
    names = locations(count)
    environment, policy = here()
    hints = LabelHints(cxx11_abi_labels="fact")
    gc.disable()  # as the command line does
    started = time.process_time()
    candidates = [
        listed_candidate(read_build(name, hints), name, "somebody", Trust.VENDOR, (0, place))
        for place, name in enumerate(names)
    ]
    read = time.process_time()
    decisions = judge_all(candidates, environment, policy)
    judged = time.process_time()
    ranked = rank(decisions, Wish())
    done = time.process_time()
    peak = peak_megabytes()
    steps = {"read": read - started, "judge": judged - read, "rank": done - judged, "all": done - started}
    print(json.dumps({**steps, "peak": peak, "accepted": sum(decision.accepted for decision in ranked)}))


def figures(_: World, rounds: int = 5) -> Iterator[Figure]:
    """f: the time of each count, the growth from one to the next, and the memory of the largest."""
    runs = {count: [_run(count) for _ in range(rounds)] for count in COUNTS}
    for count, goal in GOALS.items():
        what = f"{count:,} candidates read, judged, ranked (CPU time)"
        yield Figure(key="f", what=what, values=tuple(each["all"] for each in runs[count]), goal=goal, unit="s")
    for few, many in pairwise(COUNTS):
        each = zip(runs[few], runs[many], strict=True)
        values = tuple(large["all"] / many * few / small["all"] for small, large in each)
        yield Figure(key="f", what=f"time of one among {many:,}", values=values, goal=1.25, reference=f"among {few:,}")
    peaks = tuple(each["peak"] for each in runs[COUNTS[-1]])
    yield Figure(key="f", what=f"peak memory of {COUNTS[-1]:,}", values=peaks, goal=300, unit="MB")


def _run(count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.candidates", str(count)]
    said: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return said


if __name__ == "__main__":
    measure(int(sys.argv[1]))
