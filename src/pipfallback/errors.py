"""The errors of pipfallback: one base class, each holding data, a reference and hints.

Expected refusals (a build that does not fit, a source that does not answer) are values, not exceptions.
An exception is what ends the command.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

EXIT_FAILED = 1
EXIT_USAGE = 2  # pip's code for a command line that it does not understand
EXIT_NOT_RESTORED = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it

TROUBLESHOOTING = "docs/troubleshooting.md"  # has a heading for each reference; tests/test_docs.py compares them


class PipfallbackError(Exception):
    """What ended the command, told as ``error:``, ``cause:`` and ``hint:`` lines.

    ``reference`` is kebab-case and names the error in the documentation; ``details`` are indented lines below the
    message; ``hints`` say what to do next. The causes are the chain of ``__cause__``.
    """

    reference: str = "error"
    exit_code: int = EXIT_FAILED

    def __init__(self, message: str, *, details: Iterable[str] = (), hints: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        self.hints = tuple(dict.fromkeys(hints))  # several sources may ask for the same

    @property
    def causes(self) -> tuple[str, ...]:
        """The messages of the exceptions that led here, nearest first."""
        return tuple(_chain(self.__cause__))

    @property
    def see(self) -> str | None:
        """The command that explains the error; None for one without a reference of its own."""
        return None if self.reference == PipfallbackError.reference else f"pipfallback help {self.reference}"


def _chain(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        if text := str(error):
            yield text
        error = error.__cause__


class UsageError(PipfallbackError):
    """The command line cannot be understood."""

    reference = "usage"
    exit_code = EXIT_USAGE


class CatalogError(PipfallbackError):
    """A fallbacks.toml is wrong; ``details`` holds every mistake with file, line and path of the key."""

    reference = "invalid-catalog"


class TargetError(PipfallbackError):
    """The interpreter to install for cannot be used (no Python, too old, no pip)."""

    reference = "unusable-target"


class EnvironmentDescriptionError(PipfallbackError):
    """A described environment (``--environment FILE`` or flags) cannot be read."""

    reference = "invalid-environment"
    exit_code = EXIT_USAGE


class NothingFitsError(PipfallbackError):
    """No build is left to try; ``details`` lists every candidate with its reasons."""

    reference = "no-build-fits"


class UnknownPackageError(PipfallbackError):
    """No fallbacks.toml in force knows the package: nothing but pip can have it."""

    reference = "unknown-package"


class NothingWorksError(PipfallbackError):
    """Builds were tried and none works; ``details`` lists the attempts."""

    reference = "no-build-works"


class NotRestoredError(PipfallbackError):
    """The environment could not be put back; the message names where the old files are."""

    reference = "not-restored"
    exit_code = EXIT_NOT_RESTORED


class InterruptedRunError(PipfallbackError):
    """Ctrl-C, after everything was put back."""

    reference = "interrupted"
    exit_code = EXIT_INTERRUPTED
