"""A plain install whose pip is watched.

Nothing is imported for the story until pip meets a managed package, or fails; where one is asked for by name, that is
done while pip resolves and downloads: it changes nothing before it is let go on.
"""

from __future__ import annotations

import os
import time

from pipfallback import children
from pipfallback.shim_files import ANSWER, CHANNEL, CONFIG, HELD, MET, SHIM
from pipfallback.torch_family import COMES_WITH_TORCH, TORCH_FAMILY
from pipfallback.user_folders import temporary_folders

TYPE_CHECKING = False  # typing's own is half of Python's start-up
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from types import TracebackType

    from pipfallback.commands.plain import Course


def install_watched(
    words: Sequence[str], pips: Sequence[str], executable: str, names: Collection[str], *, expected: bool
) -> int | None:
    """Run pip for the ``words`` of an install, ``pips`` being those after "install" that are its own; fall back if need be.

    ``names``: what the catalog knows; ``expected``: whether the command asks for some of it. The exit code; None where
    nothing was run, because there is no room for the files of the run.
    """
    folder = _own_folder()
    if folder is None:
        return None
    with _Watch(words, executable, names, folder, expected=expected) as watch:
        begun = time.monotonic()
        # As rewording.words_without_building has it: no managed package that pip meets is built from source.
        command = [executable, SHIM, os.path.join(folder, CONFIG), words[0], "--only-binary", ",".join(sorted(names))]
        exit_code = children.run([*command, *pips], meanwhile=watch)
        if exit_code or watch.course is not None:
            watch.follow(exit_code, time.monotonic() - begun)
    return exit_code if watch.course is None else watch.course.ended()


def _own_folder() -> str | None:
    """A new folder that only this user can look into, whose path can stand in JSON as it is."""
    name = f"pipfallback-{os.urandom(6).hex()}"
    for place in temporary_folders(os.environ):
        folder = os.path.join(place, name)
        if os.path.isabs(folder) and folder.isprintable() and folder.isascii() and not set('"\\') & set(folder):
            try:
                os.mkdir(folder, 0o700)
            except OSError:
                continue
            return folder
    return None


def config_text(folder: str, names: Collection[str], parent: int, *, expected: bool) -> str:
    """What pip.Pip.run would write for such a run, without the time that importing json takes.

    Where a managed package is ``expected``, pip is to hold torch where it is (primary.words_of_primary).
    """
    listed = _listed(sorted(names))
    family, prefixes = _listed(TORCH_FAMILY), _listed(COMES_WITH_TORCH)
    hold = f'{{"family": [{family}], "prefixes": [{prefixes}], "file": "{folder}/{HELD}"}}' if expected else "null"
    meeting = f'{{"names": [{listed}], "met": "{folder}/{MET}", "answer": "{folder}/{ANSWER}"}}'
    rest = f'"pip": null, "undo": null, "hold": {hold}, "meeting": {meeting}'
    return f'{{"channel": "{folder}/{CHANNEL}", "parent": {parent}, {rest}}}'


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


class _Watch:
    """Looks whether pip waits at a managed package; from then on, or once it failed, a ``course`` takes over."""

    def __init__(
        self, words: Sequence[str], executable: str, names: Collection[str], folder: str, *, expected: bool
    ) -> None:
        self._words = words
        self._executable = executable
        self._names = names
        self._folder = folder
        self._expected = expected
        self._met = os.path.join(folder, MET)
        self._answered = False
        self.course: Course | None = None

    def __enter__(self) -> _Watch:  # noqa: PYI034  (typing.Self needs Python 3.11)
        with open(os.path.join(self._folder, CONFIG), "w", encoding="ascii") as file:
            file.write(config_text(self._folder, self._names, os.getpid(), expected=self._expected))
        return self

    def __call__(self) -> None:
        """At once: prepare for what is expected. Once pip waits: let the course answer."""
        if self.course is None and self._expected:
            self._begun().prepare()
        if not self._answered and os.path.exists(self._met):
            self._answered = True
            self._begun().answer(self._folder)

    def follow(self, exit_code: int, seconds: float) -> None:
        """What comes after a pip that met a managed package, or failed."""
        self._begun().follow(exit_code, os.path.join(self._folder, CHANNEL), seconds)

    def _begun(self) -> Course:
        if self.course is None:
            from pipfallback.commands.plain import course_of  # start-up: only where it is needed

            self.course = course_of(self._words, self._executable, self._names)
        return self.course

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self.course is not None:
                self.course.close(kind, error, traceback)
        finally:
            self._remove()

    def _remove(self) -> None:
        try:
            for name in os.listdir(self._folder):
                os.unlink(os.path.join(self._folder, name))
            os.rmdir(self._folder)
        except OSError:
            pass  # as much as can be
