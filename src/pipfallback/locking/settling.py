"""What a lock must know of a chosen build: its hash, its size, its METADATA, and that the file is what its name says."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipfallback.builds import Candidate, Metadata, with_metadata
from pipfallback.compatibility import Decision, Policy, judge
from pipfallback.environment import Environment
from pipfallback.inspection.wheel import InvalidWheelError, contradiction, metadata_name, parse_metadata
from pipfallback.inspection.zip_entries import BadZipError, open_member, read_entries
from pipfallback.looking_inside import Inside
from pipfallback.net.client import Client
from pipfallback.net.download import Downloader
from pipfallback.net.failures import FetchFailure
from pipfallback.net.local import local_path
from pipfallback.net.remote_file import open_remote


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A build that can be locked. ``decision`` as it is with what the file told; ``size`` in bytes, None where unknown.

    ``metadata``: its METADATA, as ``content`` has it in bytes.
    """

    decision: Decision
    sha256: str
    size: int | None
    metadata: Metadata
    content: bytes

    @property
    def candidate(self) -> Candidate:
        """The build and where it is."""
        return self.decision.candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """A build that was chosen and cannot be locked, and why.

    ``fetched``: its whole file was asked for; ``unreachable``: its server did not answer.
    """

    candidate: Candidate
    why: str
    fetched: bool = False
    unreachable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What was read of a file where it lies: the candidate with its METADATA, and its size in bytes."""

    candidate: Candidate
    size: int
    metadata: Metadata
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Settler:
    """Settles builds for one environment. ``look``: whether parts of remote files may be read (``--no-peek``)."""

    environment: Environment
    inside: Inside
    downloader: Downloader
    client: Client
    look: bool

    def settle(self, decision: Decision, policy: Policy, imports: Sequence[str]) -> Settled | Unfit:
        """What is known of an accepted candidate once METADATA is read, and the file where that is needed.

        The file is fetched where no listing states its hash, and where doubts are left that it could settle.
        """
        read = self._read(decision.candidate) if self.look else None
        if isinstance(read, Unfit):
            return read
        if read is not None and read.candidate.build != decision.candidate.build:
            again = judge(read.candidate, self.environment, policy)
            if not again.accepted:
                return _refused(again)
        sha256 = decision.candidate.sha256
        if read is not None and sha256 is not None and not decision.doubts:
            settled = replace(decision, candidate=read.candidate)
            return Settled(
                decision=settled, sha256=sha256, size=read.size, metadata=read.metadata, content=read.content
            )
        return self._fetched(decision, policy, imports)

    def _read(self, candidate: Candidate) -> _Read | Unfit | None:
        """METADATA, read where the file lies; None where that cannot be."""
        if local_path(candidate.location) is not None:
            return None
        remote = open_remote(self.client, candidate.location)
        if isinstance(remote, FetchFailure):
            return None
        try:
            entries = read_entries(remote)
            name = metadata_name([entry.name for entry in entries])
            entry = next(entry for entry in entries if entry.name == name)
            content = open_member(remote, entry).read(0, entry.size)
            metadata = parse_metadata(content)
            known = _known(candidate, metadata)
        except InvalidWheelError as error:
            return Unfit(candidate=candidate, why=str(error))
        except (OSError, BadZipError):
            return None
        return _Read(candidate=known, size=remote.size, metadata=metadata, content=content)

    def _fetched(self, decision: Decision, policy: Policy, imports: Sequence[str]) -> Settled | Unfit:
        candidate = decision.candidate
        fetched = self.downloader.fetch(candidate.location, candidate.build.filename, candidate.sha256)
        if isinstance(fetched, FetchFailure):
            gone = fetched.cause in {"unreachable", "timeout"}
            return Unfit(candidate=candidate, why=fetched.message, fetched=True, unreachable=gone)
        try:
            content = _metadata_in(fetched.path)
            metadata = parse_metadata(content)
            judged = self.inside.judge_file(_known(candidate, metadata), fetched.path, policy, imports)
        except (InvalidWheelError, OSError) as error:
            return Unfit(candidate=candidate, why=str(error), fetched=True)
        if not judged.accepted:
            return replace(_refused(judged), fetched=True)
        return Settled(decision=judged, sha256=fetched.sha256, size=fetched.size, metadata=metadata, content=content)


def _known(candidate: Candidate, metadata: Metadata) -> Candidate:
    """The candidate with what METADATA says. Raises InvalidWheelError where that contradicts its name."""
    if (lie := contradiction(candidate.build, metadata)) is not None:
        raise InvalidWheelError(lie)
    return replace(candidate, build=with_metadata(candidate.build, metadata))


def _refused(decision: Decision) -> Unfit:
    return Unfit(candidate=decision.candidate, why="; ".join(mismatch.text for mismatch in decision.mismatches))


def _metadata_in(path: Path) -> bytes:
    """METADATA of a wheel on disk, as it is. Raises InvalidWheelError, OSError."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(metadata_name(archive.namelist()))
    except (zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise InvalidWheelError(f"the zip is damaged: {error}") from error
