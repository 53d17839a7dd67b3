"""e: the new build of a package of 700 MB does not import: how long until the old one is there again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.frame import Figure, Spent, in_turns, spend
from benchmarks.world import World
from lib.wheels import make_wheel

MEGABYTES, FILES = 700, 2000
NAME = "heavyold"
# The import of the new build: when it failed is noted.
FAILS = "import os, time\nopen(os.environ['BENCH_FAILED'], 'w').write(repr(time.time()))\nraise ImportError('undefined symbol: x')\n"


def figures(world: World, rounds: int = 5) -> Iterator[Figure]:
    """e: from the failed import to the end of the program, beside pip putting the old wheel in again."""
    old, new = _old(world), make_wheel(world.served, NAME, "2.0", files={f"{NAME}/__init__.py": FAILS})
    environ = world.environ(BENCH_FAILED=str(world.folder / "failed"))
    known = ("--fallbacks", str(world.catalog(NAME, ["http://127.0.0.1:9/heavyold-0.1-py2-none-any.whl"])))
    spend(world.pip("install", "--no-compile", old), environ)

    def ours() -> Spent:
        expected = _seen(world)
        took = spend(world.pipfallback("install", *known, new), environ, code=1)
        back = time.time() - float((world.folder / "failed").read_text())
        assert _seen(world) == expected
        return Spent(wall=back, cpu=took.cpu)

    def by_hand() -> Spent:
        spend(world.pip("install", "--no-compile", new), environ)
        return spend(world.pip("install", "--no-compile", "--force-reinstall", old), environ)

    spent = in_turns(rounds, **{"pip install of the old wheel": by_hand, "ours": ours})
    world.remove(NAME)
    back, again = ([each.wall for each in runs] for runs in (spent["ours"], spent["pip install of the old wheel"]))
    yield Figure(
        key="e",
        what="failed import to restored environment, 700 MB in 2,000 files",
        values=tuple(back),
        goal=0.5,
        unit="s",
        reference="pip install of the old wheel",
        beside=sorted(back)[len(back) // 2] / sorted(again)[len(again) // 2],
    )


def _seen(world: World) -> set[tuple[str, int, int]]:
    """Every file with its size and time: a file that was copied instead of kept would be newer."""
    files = (path for path in world.site.glob(f"{NAME}*/**/*") if path.is_file())
    return {(str(path), (state := path.stat()).st_size, state.st_mtime_ns) for path in files}


def _old(world: World) -> Path:
    """A few large files and many small ones, as flash-attn unpacked."""
    noise = bytes(1 << 20) * (MEGABYTES // 7)
    files: dict[str, str | bytes] = {f"{NAME}/large{number}.bin": noise for number in range(7)}
    files |= {f"{NAME}/part{number % 40}/m{number}.py": f"X = {'x' * 4000!r}\n" for number in range(FILES - 8)}
    return make_wheel(world.served, NAME, "1.0", files={f"{NAME}/__init__.py": "", **files})
