"""A wheel file, inspected: what its shared objects are, and what they would miss here. Streaming, bounded in memory."""

from __future__ import annotations

from pathlib import Path

from pipfallback.file_facts import FileFacts, Findings, GpuCode, facts_of
from pipfallback.inspection.looking_up import look_up
from pipfallback.inspection.objects import Enough, objects_among, read_objects
from pipfallback.inspection.provided import Provided
from pipfallback.inspection.read_at import LocalFile
from pipfallback.inspection.wheel import InvalidWheelError
from pipfallback.inspection.zip_entries import BadZipError, check_headers, read_entries


def everything(found: GpuCode) -> bool:  # noqa: ARG001  (it is an Enough, and never satisfied)
    """Read all GPU code there is: for a person who asks what a file holds. Inflates the whole file: 200 MB/s."""
    return False


def inspect(path: Path, provided: Provided | None = None, *, gpu_code: Enough | None = None) -> Findings:
    """What the shared objects of the wheel at ``path`` are, and how they meet what is here.

    ``provided``: None where there is nothing to look in. ``gpu_code``: reads the GPU code of each object until this is
    satisfied with it; None: not at all, which needs only the beginning of each object. Raises InvalidWheelError.
    """
    facts = read_facts(path, gpu_code=gpu_code)
    return Findings(facts=facts, answers=look_up(facts, provided) if provided else None)


def read_facts(path: Path, *, gpu_code: Enough | None = None) -> FileFacts:
    """What the shared objects of the wheel at ``path`` are; ``gpu_code`` as for ``inspect``. Raises InvalidWheelError."""
    try:
        with LocalFile(path) as source:
            entries = read_entries(source)
            check_headers(source, entries)
            return facts_of(read_objects(source, objects_among(entries), gpu_code))
    except BadZipError as error:
        raise InvalidWheelError(f"the zip is damaged: {error}") from None
    except OSError as error:
        raise InvalidWheelError(str(error)) from error
