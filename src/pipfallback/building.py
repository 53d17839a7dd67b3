"""A package built from source by pip, for the torch that is installed: the last resort, and only where it is allowed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from pipfallback import pins
from pipfallback.arguments import CommandLine
from pipfallback.asks import Asks
from pipfallback.attempts import Success, Tried, Workplace, words_of_rest
from pipfallback.catalog import Package
from pipfallback.outcome import Attempt
from pipfallback.pip import PipRun
from pipfallback.requests import Request
from pipfallback.sources import SourceBuild
from pipfallback.sources.sdist import Recipe, cores_here, free_memory
from pipfallback.sources.sdist import recipe as recipe_of


def try_building(
    build: SourceBuild,
    *,
    request: Request,
    package: Package,
    asks: Asks,
    settled: Mapping[str, str],
    dropped: frozenset[str],
    place: Workplace,
    tell: Callable[[str], None],
) -> Tried:
    """Let pip build what ``request`` asks for, its output live, and verify it; undone where either fails.

    ``settled`` and ``dropped``: as for ``attempts.try_candidate``. ``tell`` is told how long such builds take.
    """
    started = time.monotonic()
    point = place.transaction.savepoint()
    wanted = build.location or f"{package.name}{request.specifier}"
    recipe = recipe_of(package.name, place.environment, os.environ, memory=free_memory(), cores=cores_here())
    tell(recipe.announcement)
    if recipe.missing:
        tell(f"most such builds need {', '.join(recipe.missing)}, which have to be installed before")
    run = _run(asks, recipe, pinned={**settled, package.name: wanted}, dropped=dropped, place=place)
    success, error = (None, run.failure.in_words) if run.failure else _verified(package, asks.command, place, wanted)
    if success is None:
        place.transaction.undo(point)
    attempt = Attempt(
        location=wanted,
        filename=f"{package.name} from source",
        source=build.source,
        stage="pip" if run.failure else "verify",
        ok=success is not None,
        error=error,
        seconds=round(time.monotonic() - started, 3),
    )
    return Tried(attempt=attempt, success=success, pip=run if run.failure else None)


def _run(asks: Asks, recipe: Recipe, *, pinned: Mapping[str, str], dropped: frozenset[str], place: Workplace) -> PipRun:
    before = place.installed()
    fixed = [each for each in before if each not in {*pinned, *asks.names}]
    extra = (*pins.constraints(before, fixed, place.scratch / "pins.txt"), *recipe.options)
    wording = words_of_rest(asks, pinned=pinned, dropped=dropped, extra=extra, folder=place.scratch)
    return place.pip.run(wording.words, place.transaction, variables={**wording.variables, **recipe.variables})


def _verified(
    package: Package, command: CommandLine, place: Workplace, location: str
) -> tuple[Success | None, str | None]:
    installed = place.installed().get(package.name)
    if installed is None:
        return None, f"pip ended well, but {package.name} is not installed"
    if not command.own.verify:
        return Success(
            installed=installed,
            pin=f"{package.name}=={installed.version}",
            location=location,
            sha256=None,
            verdict=None,
        ), None
    verdict = place.verify(package, installed.version, timeout=command.own.verify_timeout)
    if not verdict.acceptable:
        return None, verdict.message or "it does not import"
    return Success(
        installed=installed, pin=f"{package.name}=={installed.version}", location=location, sha256=None, verdict=verdict
    ), None
