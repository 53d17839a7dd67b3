"""What a figure is, and how two programs are measured beside each other on a machine that others use, too."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run took, in seconds; ``cpu``: of it and all its children, in user and system mode."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number with its goal: at most ``goal``. ``values``: of every run, in ``unit`` ("x": of the reference).

    ``reference``: what it is a ratio to, or, for a time or a size, what is beside it in ``beside`` (a ratio to that).
    """

    key: str
    what: str
    values: tuple[float, ...]
    goal: float | None
    unit: str = "x"
    reference: str = ""
    beside: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """The middle of the values."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles (of fewer than four values: the extremes)."""
        if len(self.values) < 4:
            return min(self.values), max(self.values)
        first, _, third = statistics.quantiles(self.values, n=4, method="inclusive")
        return first, third

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        return None if self.goal is None else self.median <= self.goal

    def as_json(self) -> dict[str, object]:
        """For the file."""
        return {**asdict(self), "median": self.median, "spread": self.spread, "met": self.met}

    def line(self) -> str:
        """For the table."""
        low, high = self.spread
        goal = "" if self.goal is None else f"<= {self.goal:g}"
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        ratio = "" if self.beside is None else f"  ({self.beside:.2f} x {self.reference})"
        of = f"  of {self.reference}" if self.unit == "x" and self.reference else ratio
        numbers = f"{self.median:9.3g} {self.unit:<3} {low:8.3g} .. {high:<8.3g} {goal:>8}  {verdict:<6}"
        return f"{self.key:<2} {numbers}  {self.what}{of}"


def spend(command: Sequence[str | Path], environ: Mapping[str, str], *, code: int | None = 0) -> Spent:
    """Run a command to its end, its output unseen. Fails where it ends with another exit ``code`` (None: any will do)."""
    words = [str(word) for word in command]
    before, started = os.times(), time.perf_counter()
    with subprocess.Popen(
        words,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=environ["HOME"],
    ) as process:
        _, said = process.communicate()
    wall, after = time.perf_counter() - started, os.times()
    if code is not None and process.returncode != code:
        raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}\n{said.decode('utf-8', 'replace')}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Spent(wall=wall, cpu=cpu)


def in_turns(rounds: int, **runs: Callable[[], Spent]) -> dict[str, list[Spent]]:
    """Each run once in every round, in changing order, so that what disturbs one disturbs all; a first round is not counted."""
    spent: dict[str, list[Spent]] = {name: [] for name in runs}
    for number in range(-1, rounds):
        for name in list(runs) if number % 2 else reversed(runs):
            took = runs[name]()
            if number >= 0:
                spent[name].append(took)
    return spent


def ratio(  # noqa: PLR0917  (key, what it is, what was measured, of what to what, goal: as in the table)
    key: str,
    what: str,
    spent: Mapping[str, Sequence[Spent]],
    ours: str,
    reference: str,
    goal: float | None = None,
    *,
    of: str = "wall",
) -> Figure:
    """How many times the reference's time ours takes, round by round."""
    pairs = zip(_times(spent[ours], of), _times(spent[reference], of), strict=True)
    return Figure(
        key=key,
        what=what,
        values=tuple(mine / theirs for mine, theirs in pairs),
        goal=goal,
        reference=reference,
        seconds={name: statistics.median(_times(spent[name], of)) for name in (ours, reference)},
    )


def _times(spent: Iterable[Spent], of: str) -> list[float]:
    return [getattr(each, of) for each in spent]


def peak_megabytes() -> float:
    """The most memory that this program had. getrusage(2) counts what it was forked from, too; VmHWM begins with exec."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("/proc/self/status says no VmHWM: the benchmarks need Linux")
