"""g: twenty sources are asked at once; three answer late, one is dead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.frame import Figure, Spent, in_turns, ratio, spend
from benchmarks.serving import Served, serving
from benchmarks.world import World
from lib.server import dead_host

SOURCES, SLOW, LATE = 20, 3, 3000  # ms
NAME = "asked"


def figures(world: World, rounds: int = 2) -> Iterator[Figure]:
    """g: ``pipfallback plan`` with all of them, beside one with the slowest alone: that is the slowest useful answer."""
    for number in range(SOURCES):
        label = f"{NAME}-1.{number}-py3-none-any.whl"
        (world.served / f"page{number}.html").write_text(f'<a href="{label}">{label}</a>')
    with serving(world.served) as served, dead_host() as silent:
        slow = [_page(served, number, LATE) for number in range(SLOW)]
        quick = [_page(served, number, 0) for number in range(SLOW, SOURCES - 1)]
        closed = "http://127.0.0.1:9/page.html"  # the port "discard": nobody listens
        mute = _page(served, 0, 3_600_000)
        sets = {
            "the slowest alone": slow[:1],
            "closed": [*slow, *quick, closed],
            "silent": [*slow, *quick, f"{silent}/page.html"],
            "mute": [*slow, *quick, mute],
        }
        runs = {name: _asked(world, _plan(world, name, urls)) for name, urls in sets.items()}
        spent = in_turns(rounds, **{name: runs[name] for name in ("the slowest alone", "closed")})
        spent |= {
            name: [runs[name]()] * rounds for name in ("silent", "mute")
        }  # once: what is waited for is a time limit
    for name, what in (
        ("closed", "the dead one refuses connections"),
        ("silent", "the dead one takes no connection"),
        ("mute", "the dead one takes the request and never answers"),
    ):
        yield ratio("g", f"20 sources, 3 late; {what}", spent, name, "the slowest alone", 1.1)


def _asked(world: World, plan: list[str]) -> Callable[[], Spent]:
    """With an empty cache: the answers are to be waited for in every run."""

    def run() -> Spent:
        environ = world.environ(PIP_NO_INDEX="0")
        spent = spend(plan, environ)
        world.forget(environ)
        return spent

    return run


def _page(served: Served, number: int, delay: int) -> str:
    return served.url(f"page{number}.html", delay=delay)


def _plan(world: World, name: str, urls: list[str]) -> list[str]:
    tables = [f'schema = 1\n[package.{NAME}]\nimport = ["{NAME}"]\n']
    tables += [
        f'[[package.{NAME}.source]]\nname = "s{place}"\ntrust = "vendor"\nkind = "links"\nurl = "{url}"\n'
        for place, url in enumerate(urls)
    ]
    path = world.folder / f"{name.replace(' ', '-')}.toml"
    Path(path).write_text("".join(tables))
    return world.pipfallback("plan", "--no-peek", "--json", "--fallbacks", path, NAME)
