"""p: how long it takes to ask an interpreter what it is, beside ``python -c pass`` of the same interpreter."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.frame import Figure, Spent, in_turns, spend
from benchmarks.world import World
from pipfallback import environment


def figures(world: World, rounds: int = 9) -> Iterator[Figure]:
    """p: ``environment.probe``: two processes side by side, and what is read of torch."""
    environ = world.environ()

    def ours() -> Spent:
        started = time.perf_counter()
        environment.probe(world.python)
        return Spent(wall=time.perf_counter() - started, cpu=0.0)

    spent = in_turns(rounds, **{"pass": lambda: spend([world.python, "-c", "pass"], environ), "ours": ours})
    times = {name: [each.wall for each in runs] for name, runs in spent.items()}
    middle = {name: sorted(values)[len(values) // 2] for name, values in times.items()}
    yield Figure(
        key="p",
        what="what is here: the probe of an interpreter",
        values=tuple(times["ours"]),
        goal=0.15,
        unit="s",
        reference="python -c pass",
        beside=middle["ours"] / middle["pass"],
    )
