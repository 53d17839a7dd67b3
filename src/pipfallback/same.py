"""What is told from others by being the same object: a key for what is slow to compare, such as a thousand tags."""

from __future__ import annotations

from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Same(Generic[T_co]):
    """``thing`` as a key of ``lru_cache``, which holds it as long as the answer, so that its id stays its own.

    Only for things that do not change.
    """

    __slots__ = ("thing",)

    def __init__(self, thing: T_co) -> None:
        self.thing = thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.thing is other.thing
