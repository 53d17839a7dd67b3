"""The user's command in other words: some of what it asks for is asked in another way, or not at all.

All options stay where they are. What stands in a file is changed in a copy of that file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pipfallback.arguments import CommandLine, Item
from pipfallback.asks import Ask, Asks, Element, ask_of
from pipfallback.requirement_files import rewritten

# The new text of a requirement; "" leaves it out, None leaves it as it is.
Change: TypeAlias = Callable[[Ask], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """Words for pip, and variables that take the place of its settings."""

    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


def reworded(
    asks: Asks,
    change: Change,
    folder: Path,
    *,
    options: Callable[[Item], Sequence[str] | None],
    end: Sequence[str] = (),
) -> Wording:
    """The command with ``change`` applied to what it asks for, and ``options`` to its other words.

    ``options``: other words for an item, ``()`` to drop it, None to keep it. ``end``: further requirements. Copies of
    files come into ``folder``.
    """
    elements = {id(element.item): element for element in asks.elements if not element.configured}
    words: list[str] = []
    for item in asks.command.items:
        new = _words(elements[id(item)], change, folder) if id(item) in elements else options(item)
        words.extend(item.words if new is None else new)
    return Wording(words=(*words, *end), variables=_variables(asks, change, folder))


def without_building(command: CommandLine, names: Collection[str]) -> tuple[str, ...]:
    """pip's words that keep it from building these packages; none where the user allows it."""
    return () if command.own.allow_build or not names else ("--only-binary", ",".join(sorted(names)))


def words_without_building(command: CommandLine, names: Collection[str]) -> tuple[str, ...]:
    """The command as written, with no build from source of these packages."""
    extra = without_building(command, names)
    return command.replaced(lambda item: (*item.words, *extra) if item.kind == "command" else None)


def leaving_out(names: Collection[str]) -> Change:
    """A change that leaves out what is asked of some packages, and the URLs that constraints name for them."""
    return replacing({}, names)


def replacing(pins: Mapping[str, str], dropped: Collection[str] = ()) -> Change:
    """A change that asks for packages (by name) in the words of ``pins``, and not for those that are ``dropped``."""

    def change(ask: Ask) -> str | None:
        name = ask.request.name
        if ask.editable or name is None or not (name in pins or name in dropped):
            return None
        if ask.constraint:
            return "" if ask.request.location else None
        return "" if name in dropped else pins[name]

    return change


def without_any(asks: Asks, folder: Path, *, options: Callable[[Item], Sequence[str] | None]) -> Wording:
    """The command without all that it asks for, pip's settings included."""
    elements = {id(element.item) for element in asks.elements}
    words: list[str] = []
    for item in asks.command.items:
        new = () if id(item) in elements else options(item)
        words.extend(item.words if new is None else new)
    nothing = folder / "nothing.txt"
    names = {element.item.name for element in asks.elements if element.configured}
    if names:
        nothing.write_text("", encoding="utf-8")
    return Wording(words=tuple(words), variables={_variable(name): str(nothing) for name in names})


def _words(element: Element, change: Change, folder: Path) -> Sequence[str] | None:
    item = element.item
    if item.kind == "requirement":
        text = change(element.asks[0])
        return None if text is None else (text,) if text else ()
    if element.sheet is not None:
        copy = rewritten(element.sheet, lambda line, sheet: change(ask_of(line, sheet)), folder)
        return None if copy is None else (item.name, str(copy))
    texts = [(ask, change(ask)) for ask in element.asks]
    if element.locked or item.name == "--editable" or all(text is None for _, text in texts):
        return None
    copy = folder / f"{len(list(folder.iterdir()))}-requirements.txt"
    lines = [ask.request.text if text is None else text for ask, text in texts]
    copy.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return ("--requirement", str(copy))


def _variables(asks: Asks, change: Change, folder: Path) -> dict[str, str]:
    """Of pip's settings those that name a file that had to be changed; lists are separated by white space."""
    files: dict[str, list[str]] = {}
    changed = set()
    for element in asks.elements:
        if element.configured:
            words = _words(element, change, folder)
            files.setdefault(element.item.name, []).append(words[-1] if words else element.item.value or "")
            changed |= {element.item.name} if words else set()
    return {_variable(name): " ".join(files[name]) for name in changed}


def _variable(option: str) -> str:
    """The variable that pip takes an option from (pip's documentation, "Environment Variables")."""
    return "PIP_" + option[2:].replace("-", "_").upper()
