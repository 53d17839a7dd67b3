"""The command line: argv -> one command -> exit code. Errors become text here."""

from __future__ import annotations

import gc
import os
import signal
import sys

from pipfallback.errors import EXIT_FAILED, EXIT_INTERRUPTED, PipfallbackError
from pipfallback.version import __version__

TYPE_CHECKING = False  # typing's own is half of Python's start-up
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import NoReturn

# command -> its module below pipfallback.commands; each has ``run(words) -> exit code``. Any other command is pip's.
# Only the one that is given is imported: start-up is part of the product.
COMMANDS = {
    "install": "install",
    "download": "collect",
    "wheel": "collect",
    "plan": "asked",
    "explain": "asked",
    "env": "asked",
    "verify": "asked",
    "catalog": "catalog",
    "completion": "completion",
    "dockerfile": "dockerfile",
    "lock": "lock",
    "help": "explained",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Errors are told here, never as a traceback for what a user can cause."""
    # A command lives for seconds, and 100,000 values without a cycle among them cost the collector half a second.
    gc.disable()
    words = list(sys.argv[1:] if argv is None else argv)
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _terminated)
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who ignores it is not told how a child ended (waitpid(2))
    _open_closed_streams()
    try:
        code = _run(words)
        sys.stdout.flush()  # here, where a reader that has gone is no trouble
    except PipfallbackError as error:
        _show_error(error, as_json="--json" in words)
        return error.exit_code
    except KeyboardInterrupt:
        print("pipfallback: interrupted; everything is as it was before", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to tell it
        _drop_output()
        return EXIT_FAILED
    except OSError as error:  # a full disk, a folder that cannot be written
        _drop_output()
        _show_error(PipfallbackError(str(error)), as_json=False)
        return EXIT_FAILED
    else:
        return code
    finally:
        gc.freeze()  # what the interpreter looks for in the end, cycles, takes 20 ms to look for


def _open_closed_streams() -> None:
    """A program that was started with a closed stream (``>&-``) writes into the void, not into a traceback."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  (for as long as we run)


def _drop_output() -> None:
    """Let what is left in standard output's buffer go: the interpreter would fail over it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminated(number: int, _: FrameType | None) -> NoReturn:
    """SIGTERM ends the run as an exception would, so that everything is put back first."""
    raise SystemExit(128 + number)


def _show_error(error: PipfallbackError, *, as_json: bool) -> None:
    from pipfallback.terminal import show_error  # start-up: only where there is an error

    show_error(error, as_json=as_json)


def _run(words: list[str]) -> int:
    if words[:1] == ["help"] and len(words) == 2 and words[1] in COMMANDS:
        words = [words[1], "--help"]
    if not words or words[0] in {"-h", "--help"}:
        from pipfallback.manual import HELP  # start-up: only where it is shown

        print(HELP, end="")
        return 0
    if words[0] in {"-V", "--version"}:
        print(
            f"pipfallback {__version__} from {os.path.dirname(os.path.abspath(__file__))} (python {sys.version.split()[0]})"
        )
        return 0
    if not _has_folder():
        raise PipfallbackError("the current folder is gone", hints=("cd to a folder that exists",))
    from pipfallback.commands.straight import straight  # start-up: not for --version and --help

    code = straight(words, COMMANDS)
    return _run_command(words) if code is None else code


def _run_command(words: list[str]) -> int:
    from importlib import import_module  # start-up: only for what is not plain

    from pipfallback.commands.starting import read_words

    module = COMMANDS.get(read_words(words).command or "", "passing")
    code: int = import_module(f"pipfallback.commands.{module}").run(words)
    return code


def _has_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
