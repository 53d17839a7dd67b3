"""Reading a JSON document that people write: every mistake at once, each with the path of its key."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Collection
from typing import Any, TypeVar

_T = TypeVar("_T")

_NAMES = {dict: "a table", list: "a list", str: "a string", bool: "true or false", int: "a number", type(None): "null"}


class Fields:
    """One JSON object being read. Mistakes of it and of the objects in it gather in one list (``mistakes``)."""

    def __init__(
        self, data: object, known: Collection[str], *, path: str = "", mistakes: list[str] | None = None
    ) -> None:
        """``known``: the keys that the object may have; ``path``: where it stands in the document."""
        self.path = path
        self.mistakes = [] if mistakes is None else mistakes
        self._data: dict[str, Any] = data if isinstance(data, dict) else {}
        if not isinstance(data, dict):
            self.refuse("", f"must be {_NAMES[dict]}, not {_kind(data)}")
        for key in self._data:
            if key not in known:
                self.refuse(key, "is not known" + _nearest(str(key), known))

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def get(self, key: str, kind: type[_T]) -> _T | None:
        """The value of ``key``, None where it is left out, null or (a mistake, then) of another type."""
        value = self._data.get(key)
        # True is an int to Python, but not to who writes JSON
        if value is None or (isinstance(value, kind) and not (kind is int and isinstance(value, bool))):
            return value
        self.refuse(key, f"must be {_NAMES[kind]}, not {_kind(value)}")
        return None

    def text(self, key: str, valid: Callable[[str], object], form: str, *, needed: bool = False) -> str | None:
        """The string at ``key`` for which ``valid`` raises no ValueError; ``form`` says how it must look."""
        if needed and self._data.get(key) is None:
            self.refuse(key, f"is missing: must be {form}")
        value = self.get(key, str)
        return value if value is not None and self._checked(key, value, valid, form) is not None else None

    def table(self, key: str, known: Collection[str]) -> Fields | None:
        """The object at ``key``, None where it is left out or null."""
        value = self._data.get(key)
        return None if value is None else Fields(value, known, path=self._at(key), mistakes=self.mistakes)

    def tables(self, key: str, known: Collection[str]) -> list[Fields]:
        """The objects of the list at ``key``."""
        items = self.get(key, list) or []
        return [
            Fields(item, known, path=f"{self._at(key)}[{index}]", mistakes=self.mistakes)
            for index, item in enumerate(items)
        ]

    def texts(self, key: str, valid: Callable[[str], _T], form: str) -> list[_T] | None:
        """What ``valid`` makes of the strings of the list at ``key``, None where it is left out or null."""
        items = self.get(key, list)
        if items is None:
            return None
        found = [self._checked(f"{key}[{index}]", item, valid, form) for index, item in enumerate(items)]
        return [item for item in found if item is not None]

    def refuse(self, key: str, text: str) -> None:
        """Note a mistake at ``key``."""
        self.mistakes.append(f"{self._at(key) or 'the document'}: {text}")

    def _checked(self, key: str, value: object, valid: Callable[[str], _T], form: str) -> _T | None:
        try:
            return valid(value if isinstance(value, str) else "")
        except ValueError:
            self.refuse(key, f"must be {form}, not {json.dumps(value)}")
            return None

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path and key else self.path or key


def _kind(value: object) -> str:
    return _NAMES.get(type(value), "a number")


def _nearest(key: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"
