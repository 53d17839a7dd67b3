"""c, d: a wheel of 250 MB that the catalog knows: one that pip takes, and one that pip refuses before the next works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.frame import Figure, Spent, in_turns, ratio, spend
from benchmarks.serving import serving
from benchmarks.world import World

MEGABYTES = 250
NAME = "heavycuda"
FOREIGN = "cp36-cp36m-linux_x86_64"


def fine(world: World, rounds: int = 4) -> Iterator[Figure]:
    """c: the user's wheel is managed and works; ``--no-verify`` leaves out the import that pip does not do."""
    wheel = _wheel(world)
    with serving(world.served) as served:
        url = served.url(wheel.name)
        known = ("--fallbacks", str(world.catalog(NAME, [url])))
        spent = in_turns(
            rounds,
            **{
                "pip install": _into_empty(world, world.pip("install", url)),
                "unverified": _into_empty(world, world.pipfallback("install", *known, "--no-verify", url)),
                "verified": _into_empty(world, world.pipfallback("install", *known, url)),
            },
        )
    yield ratio("c", "managed wheel of 250 MB, not verified", spent, "unverified", "pip install", 1.05)
    yield ratio("c", "the same, verified", spent, "verified", "pip install", None)
    world.remove(NAME)


def refused(world: World, rounds: int = 4) -> Iterator[Figure]:
    """d: the first wheel is for another Python, the second is right; beside what a Dockerfile says with ``||``."""
    wheel = _wheel(world)
    foreign = world.wheel(NAME, "2.0", 0, tag=FOREIGN)
    python = world.python
    with serving(world.served) as served:
        bad, good = served.url(foreign.name), served.url(wheel.name)
        known = ("--fallbacks", str(world.catalog(NAME, [bad, good])))
        words = f"--python {python}"
        runs = {
            "pip || pip && python": f"{python} -m pip install {bad} || {python} -m pip install {good}",
            "uv || uv && python": f"{world.uv()[0]} pip install {words} {bad} || {world.uv()[0]} pip install {words} {good}",
        }
        commands = {name: ["sh", "-c", f"{{ {line}; }} && {python} -c 'import {NAME}'"] for name, line in runs.items()}
        commands["ours"] = world.pipfallback("install", *known, bad)
        commands["ours by uv"] = world.pipfallback("install", *known, "--installer", "uv", bad)
        spent = in_turns(rounds, **{name: _into_empty(world, command) for name, command in commands.items()})
    yield ratio("d", "refused wheel to working build, 250 MB", spent, "ours", "pip || pip && python", 0.9)
    yield ratio("d", "the same", spent, "ours", "uv || uv && python", 0.9)
    yield ratio("d", "the same with --installer uv", spent, "ours by uv", "uv || uv && python", 0.9)
    world.remove(NAME)


def _wheel(world: World) -> Path:
    return world.wheel(NAME, "1.0", MEGABYTES, tag=world.tag)


def _into_empty(world: World, command: list[str]) -> Callable[[], Spent]:
    """Where nothing is installed, with empty caches."""

    def run() -> Spent:
        world.remove(NAME)
        environ = world.environ(PATH=f"{Path(world.uv()[0]).parent}:/usr/bin:/bin")
        spent = spend(command, environ)
        assert list(world.site.glob(f"{NAME}/__init__.py")), command
        world.forget(environ)
        return spent

    return run
