"""How long the probe of an environment takes, beside ``python -c pass`` of the same interpreter.

Usage: python benchmarks/probe.py [INTERPRETER...]; without any, those under ~/.pyenv and this one. Goal: under 150 ms.
A line: the median of 15 runs of each in ms, the difference, and the ratio. ``_probe.py`` and ``_gpu_probe.py`` run side
by side; ``whole`` is ``environment.probe``, with what it reads of torch.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pipfallback import environment

RUNS = 15
PROBE = Path(environment.__file__).with_name("_probe.py")


def milliseconds(call: Callable[[], object]) -> float:
    """The median time of a call."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def running(*command: str | Path) -> Callable[[], object]:
    """A call that runs a program to its end."""
    return lambda: subprocess.run(command, capture_output=True, check=True)


def main(interpreters: Sequence[str]) -> None:
    """Measure each interpreter and print a line for it."""
    print(f"{'pass':>6} {'probe':>6} {'whole':>6}  ratio  distributions  interpreter")
    for interpreter in interpreters:
        empty = milliseconds(running(interpreter, "-c", "pass"))
        script = milliseconds(running(interpreter, PROBE))
        whole = milliseconds(lambda: environment.probe(interpreter))  # noqa: B023  (called at once)
        count = len(environment.probe(interpreter)[1].distributions)
        print(f"{empty:6.0f} {script:6.0f} {whole:6.0f}  {whole / empty:5.1f}  {count:13}  {interpreter}")


if __name__ == "__main__":
    found = sorted(str(path) for path in Path.home().glob(".pyenv/versions/3.[891]*/bin/python"))
    main(sys.argv[1:] or [*found, sys.executable])
