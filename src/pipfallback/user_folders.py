"""Where our own and temporary files lie on Linux, by paths alone: to import what finds them everywhere takes longer than Python's start.

``state.py`` and ``commands/starting.py`` ask platformdirs and tempfile; a test holds the answers against each other.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing's own is half of Python's start-up
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def user_folder(environ: Mapping[str, str], variable: str, below_home: str) -> str:
    """Our own folder of a kind (XDG Base Directory Specification), as platformdirs finds it on Linux."""
    said = environ.get(variable, "")
    return os.path.join(said if said.strip() else os.path.join(environ["HOME"], below_home), "pipfallback")


def transaction_folders(environ: Mapping[str, str]) -> Iterator[str]:
    """Every folder that journals of unfinished runs could lie in (state.py)."""
    yield os.path.join(user_folder(environ, "XDG_STATE_HOME", ".local/state"), "transactions")
    for temporary in temporary_folders(environ):
        for end in ("", "-2", "-3"):
            yield os.path.join(temporary, f"pipfallback-{os.getuid()}{end}", "transactions")


def temporary_folders(environ: Mapping[str, str]) -> Iterator[str]:
    """Where temporary files may lie, best first (Python's documentation, ``tempfile.tempdir``)."""
    yield from (environ[name] for name in ("TMPDIR", "TEMP", "TMP") if environ.get(name))
    yield from ("/tmp", "/var/tmp", "/usr/tmp", os.getcwd())  # noqa: S108
