"""Many slow places asked at once: what has come when time is up counts, and who is late holds up nobody."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
WORKERS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered(Generic[T]):
    """What one place gave; ``late``: time was up before it had given all."""

    entries: tuple[T, ...]
    late: bool


class Gathering(Generic[T]):
    """Reads all ``places`` side by side, from now on. ``seconds``: how long ``wait`` waits, counted from here.

    The threads are daemons, unlike those of a ThreadPoolExecutor, which a program waits for when it ends: a server that
    never answers must not keep it.
    """

    def __init__(self, places: Sequence[Iterable[T]], *, seconds: float, workers: int = WORKERS) -> None:
        self._places = places
        self._until = time.monotonic() + seconds
        self._found: list[list[T]] = [[] for _ in places]
        self._todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[tuple[int, BaseException | None]] = queue.SimpleQueue()
        self._over = threading.Event()
        for number in range(len(places)):
            self._todo.put(number)
        for _ in range(min(workers, len(places))):
            threading.Thread(target=self._work, name="pipfallback-source", daemon=True).start()

    def wait(self) -> list[Gathered[T]]:
        """What came of each place, in the order of the places. An exception of one (a defect of ours) is raised."""
        open_places = set(range(len(self._places)))
        try:
            while open_places:
                try:
                    number, error = self._ended.get(timeout=max(0.0, self._until - time.monotonic()))
                except queue.Empty:
                    break
                if error is not None:
                    raise error
                open_places.discard(number)
        finally:
            self._over.set()
        return [Gathered(entries=tuple(found), late=number in open_places) for number, found in enumerate(self._found)]

    def _work(self) -> None:
        while not self._over.is_set():
            try:
                number = self._todo.get_nowait()
            except queue.Empty:
                return
            error: BaseException | None = None
            try:
                self._read(number)
            except BaseException as caught:  # noqa: BLE001  (wait raises it in the thread that waits)
                error = caught
            self._ended.put((number, error))

    def _read(self, number: int) -> None:
        for entry in self._places[number]:
            self._found[number].append(entry)
            if self._over.is_set():
                return
