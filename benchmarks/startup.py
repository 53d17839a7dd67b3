"""a, b: what it costs to have pipfallback in pip's place where there is nothing to do for it."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.frame import Figure, Spent, in_turns, ratio, spend
from benchmarks.world import BIN, World


def version_and_help(world: World, rounds: int = 15) -> Iterator[Figure]:
    """a: ``--version`` and ``--help`` beside ``pip --version``, both by their scripts."""
    environ = world.environ()
    spent = in_turns(
        rounds,
        **{
            "pip --version": lambda: spend([BIN / "pip", "--version"], environ),
            "version": lambda: spend(world.pipfallback("--version"), environ),
            "help": lambda: spend(world.pipfallback("--help"), environ),
        },
    )
    yield ratio("a", "pipfallback --version", spent, "version", "pip --version", 0.5)
    yield ratio("a", "pipfallback --help", spent, "help", "pip --version", 0.5)


def nothing_managed(world: World, rounds: int = 9) -> Iterator[Figure]:
    """b: an install that names nothing of the catalog: what is there already, and a small wheel of this disk."""
    wheel = world.wheel("plain", "1.0", 0)
    environ = world.environ()
    spend(world.pip("install", wheel), environ)
    there = ("install", "plain")
    spent = in_turns(
        rounds,
        **{
            "pip install": lambda: spend(world.pip(*there), environ),
            "ours": lambda: spend(world.pipfallback(*there), environ),
        },
    )
    yield ratio("b", "install X, already satisfied", spent, "ours", "pip install", 1.10)
    yield ratio("b", "the same in CPU time", spent, "ours", "pip install", None, of="cpu")

    def install(command: list[str]) -> Spent:
        world.remove("plain")
        return spend(command, environ)

    spent = in_turns(
        rounds,
        **{
            "pip install": lambda: install(world.pip("install", wheel)),
            "ours": lambda: install(world.pipfallback("install", wheel)),
        },
    )
    yield ratio("b", "install of a local wheel", spent, "ours", "pip install", 1.10)
    yield ratio("b", "the same in CPU time", spent, "ours", "pip install", None, of="cpu")
    world.remove("plain")
    world.forget(environ)
