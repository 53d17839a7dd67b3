"""``python -m benchmarks [--only a,b] [--json FILE]``: every figure in one table, and in a file.

On a machine that others use, too: everything is measured in turns with what it is compared with, several times. Exit
code 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path

from benchmarks.frame import Figure
from benchmarks.world import World

Measure = Callable[[World], Iterable[Figure]]

# figure -> where it is measured
_FIGURES = {
    "a": "startup:version_and_help",
    "b": "startup:nothing_managed",
    "c": "heavy:fine",
    "d": "heavy:refused",
    "e": "restored:figures",
    "f": "candidates:figures",
    "g": "asking:figures",
    "h": "download:figures",
    "i": "inspection:figures",
    "p": "probe:figures",
}


def main(words: list[str]) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default=",".join(_FIGURES), help="figures, such as a,b")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args(words)
    if unknown := set(options.only.split(",")) - set(_FIGURES):
        parser.error(f"no such figure: {', '.join(sorted(unknown))}; there are {', '.join(_FIGURES)}")
    print("      median        quartiles         goal           what", flush=True)
    figures: list[Figure] = []
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        world = World(Path(folder))
        for key in options.only.split(","):
            started = time.monotonic()
            for figure in _measure(key)(world):
                figures.append(figure)
                print(figure.line(), flush=True)
            seconds[key] = round(time.monotonic() - started, 1)
    print(f"{sum(seconds.values()):.0f} s: " + " ".join(f"{key} {took:.0f}" for key, took in seconds.items()))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(_document(figures, seconds), indent=2) + "\n", encoding="utf-8")
    return int(any(figure.met is False for figure in figures))


def _measure(key: str) -> Measure:
    module, _, function = _FIGURES[key].partition(":")
    measure: Measure = getattr(import_module(f"benchmarks.{module}"), function)
    return measure


def _document(figures: Iterable[Figure], seconds: Mapping[str, float]) -> dict[str, object]:
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
    }
    return {
        "schema": 1,
        "machine": machine,
        "seconds": dict(seconds),
        "figures": [figure.as_json() for figure in figures],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
