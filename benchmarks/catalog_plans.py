"""How long ``plan NAME`` takes for every package of the built-in catalog on ten described machines.

Usage: python benchmarks/catalog_plans.py [ROUNDS]. The publishers are those of tests/catalog/scenarios, served from the
loopback interface by this very process; pages are kept as in use, so each is asked for once. The best of ROUNDS counts;
printed are the total by the clock and in CPU time (which other programs lengthen less), the packages that take longest,
and one line of JSON. Goal: under 5 s altogether.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from catalog.machines import MACHINES
from catalog.publishers import CachedPublishers, World, planned
from catalog.scenario_files import built_in_catalog, scenario_files

GOAL = 5.0


class Measured(NamedTuple):
    """Seconds by package for all machines, CPU seconds altogether, and how many decisions were made."""

    seconds: dict[str, float]
    cpu: float
    decisions: int


def measure(world: World) -> Measured:
    """One round."""
    catalog = built_in_catalog()
    seconds: dict[str, float] = {}
    decisions = 0
    cpu = time.process_time()
    for package in catalog.packages:
        started = time.perf_counter()
        for here in MACHINES.values():
            decisions += len(planned(package, world.client_of(package), here, catalog, "community").decisions)
        seconds[package] = time.perf_counter() - started
    return Measured(seconds, time.process_time() - cpu, decisions)


def main(arguments: list[str]) -> None:
    """Measure, and print."""
    rounds = int(arguments[0]) if arguments else 3
    catalog = built_in_catalog()
    with (
        tempfile.TemporaryDirectory() as folder,
        CachedPublishers(Path(folder)) as server,
        World(scenario_files(catalog), catalog, server) as world,
    ):
        measured = [measure(world) for _ in range(rounds)]
    seconds, cpu, decisions = min(measured, key=lambda one: sum(one.seconds.values()))
    total = sum(seconds.values())
    plans = len(seconds) * len(MACHINES)
    print(f"{plans} plans, {decisions:,} decisions: {total:.2f} s, {cpu:.2f} s of CPU (goal: {GOAL:.0f} s)")
    for package in sorted(seconds, key=lambda name: -seconds[name])[:8]:
        print(f"  {seconds[package]:6.2f} s  {package}")
    print(
        json.dumps(
            {"plans": plans, "decisions": decisions, "seconds": round(total, 3), "cpu": round(cpu, 3), "goal": GOAL}
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
