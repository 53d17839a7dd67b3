"""``install --lock FILE``: everything is taken from an earlier lock, and no listing is asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipfallback.arguments import Item
from pipfallback.asks import Ask, Asks
from pipfallback.commands.starting import read_command, read_words
from pipfallback.locked import LockFileError, Selection, constraints, links_page, read_lock, reference, select
from pipfallback.looking import applies, look
from pipfallback.requests import shown
from pipfallback.rewording import reworded
from pipfallback.target import Target

# Where else pip would look.
_ELSEWHERE = frozenset({"--index-url", "--extra-index-url", "--find-links"})


def held_by_lock(asks: Asks, file: str, target: Target, folder: Path) -> Asks:
    """The command that takes all it asks for from the lock ``file``. Its files for pip come into ``folder``.

    Raises LockFileError where the lock cannot be read, is not for this environment, or lacks what is asked for.
    """
    environment, _ = look(target.executable, asks.command, os.environ)
    selection = select(file, read_lock(file), environment)
    wanted = {ask.request.name for ask in asks.requirements if not ask.editable and applies(ask.request, environment)}
    lacking = sorted(name for name in wanted if name and name not in selection.taken)
    if lacking:
        raise LockFileError(
            f"{file} does not name {', '.join(lacking)}",
            hints=("make it anew, with all that is asked for: pipfallback lock",),
        )
    _check_versions(asks, selection)
    page, bounds = folder / "links.html", folder / "bounds.txt"
    page.write_text(links_page(selection), encoding="utf-8")
    bounds.write_text("".join(f"{line}\n" for line in constraints(selection)), encoding="utf-8")
    extra = ("--no-index", "--find-links", page.as_uri(), "--constraint", str(bounds))

    def options(item: Item) -> Sequence[str] | None:
        if item.kind == "command":
            return (*item.words, *extra)
        return () if item.name in _ELSEWHERE else None

    wording = reworded(asks, lambda ask: _from(selection, ask), folder, options=options)
    os.environ.update(wording.variables)
    command = replace(read_words(wording.words), own=asks.command.own)
    return replace(read_command(command, target), held=frozenset(selection.taken))


def _check_versions(asks: Asks, selection: Selection) -> None:
    for ask in asks.requirements:
        taken = selection.taken.get(ask.request.name or "")
        version = None if taken is None else taken.package.version
        if version is not None and not ask.request.specifier.contains(version, prereleases=True):
            raise LockFileError(
                f"{selection.file} has {ask.request.name} {version}; {shown(ask.request.text)} is asked for",
                hints=("make it anew, with what is asked for now: pipfallback lock",),
            )


def _from(selection: Selection, ask: Ask) -> str | None:
    """What asks for the very file, where the version of a lock's entry does not name it."""
    name = ask.request.name
    taken = selection.taken.get(name or "")
    if name is None or taken is None or ask.editable or taken.package.version is not None:
        return None
    if ask.constraint:
        return "" if ask.request.location else None
    extras = f"[{','.join(ask.request.extras)}]" if ask.request.extras else ""
    marker = f" ; {ask.request.marker}" if ask.request.marker else ""
    return f"{name}{extras} @ {reference(taken)}{marker}"
