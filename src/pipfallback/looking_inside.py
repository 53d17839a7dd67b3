"""Judging builds by their files: one that is at hand, or the parts that tell of several that are far away."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from pipfallback.builds import Candidate, Metadata, with_metadata
from pipfallback.compatibility import Decision, Policy, decide, judge, judge_with_file
from pipfallback.environment import Environment, Installation
from pipfallback.file_facts import Findings
from pipfallback.inspection.findings import everything, inspect
from pipfallback.inspection.kept_peek import from_bytes, to_bytes
from pipfallback.inspection.looking_up import look_up
from pipfallback.inspection.peek import Peek, peek
from pipfallback.inspection.provided import Provided, provided_by
from pipfallback.inspection.wheel import InvalidWheelError, contradiction, parse_metadata
from pipfallback.net.cache import JsonStore
from pipfallback.net.client import Client
from pipfallback.net.content import wrong_start
from pipfallback.net.failures import FetchFailure
from pipfallback.net.remote_file import RemoteFile, open_remote
from pipfallback.requests import without_credentials
from pipfallback.rules.gpu_code import enough_for
from pipfallback.rules.values import Mismatch
from pipfallback.sources import MetadataFile
from pipfallback.sources.gathering import Gathering
from pipfallback.sources.metadata import fetch_metadata

_MOST = 10  # peeks of one command, and the seconds that they may take in all (DESIGN 5)
_SECONDS = 5.0
_MOST_METADATA = 100  # of a few kB each, where an index has them as files of their own


class Inside:
    """Looks into files for one environment.

    ``installation``: the interpreter of this machine that the environment is, None where it is another machine: then it
    is not known what there is to find, and files only tell of themselves. ``client``: None where nothing may be
    asked for; ``peeks``: whether parts of remote wheels may be read, besides METADATA that is a file of its own. ``kept``: where is kept what was read.
    """

    def __init__(
        self,
        environment: Environment,
        installation: Installation | None,
        *,
        client: Client | None = None,
        kept: JsonStore | None = None,
        peeks: bool = True,
    ) -> None:
        self._environment = environment
        self._installation = installation
        self._client = client
        self._kept = kept
        self._peeks = peeks
        self._left = _MOST
        self._seconds = _SECONDS

    @cached_property
    def _provided(self) -> Provided | None:
        return None if self._installation is None else provided_by(self._environment, self._installation)

    def judge_file(self, candidate: Candidate, path: Path, policy: Policy, imports: Sequence[str] = ()) -> Decision:
        """The decision on a candidate whose wheel is at ``path``. Raises InvalidWheelError, OSError.

        ``imports``: the modules that must import.
        """
        found = inspect(path, self._provided, gpu_code=enough_for(self._environment))
        return judge_with_file(candidate, self._environment, policy, found, imports)

    def explain_file(self, path: Path) -> Findings:
        """All that a wheel on disk tells, GPU code included, which takes seconds. Raises InvalidWheelError, OSError."""
        return inspect(path, self._provided, gpu_code=everything)

    def explain_url(self, location: str) -> tuple[Peek, Findings] | FetchFailure | InvalidWheelError | None:
        """All that a few reads of a remote wheel tell; None where no remote file may be read."""
        answers = self._gathered([location])
        found = answers[0] if answers else None
        return (found, self._findings(found)) if isinstance(found, Peek) else found

    def judge_afar(
        self,
        decisions: Sequence[Decision],
        policy: Policy,
        imports: Sequence[str] = (),
        *,
        metadata_of: Callable[[Candidate], MetadataFile | None] = lambda _: None,
    ) -> list[Decision]:
        """The decisions, those near the top judged by their METADATA, and by parts of their files where in doubt.

        ``metadata_of``: where an index offers the METADATA of a candidate alone (PEP 658). The order is as it was. What
        cannot be read is left as it was judged.
        """
        return self._judged_by_parts(self._judged_by_metadata(decisions, policy, metadata_of), policy, imports)

    def _judged_by_metadata(
        self,
        decisions: Sequence[Decision],
        policy: Policy,
        metadata_of: Callable[[Candidate], MetadataFile | None],
    ) -> list[Decision]:
        judged = list(decisions)
        if self._client is None:
            return judged
        accepted = [place for place, decision in enumerate(decisions) if decision.accepted]
        until = time.monotonic() + _SECONDS
        # What pins one torch exactly, such as xformers, has the fitting release far below the newest.
        for start in range(0, min(len(accepted), _MOST_METADATA), _MOST):
            among = accepted[start : start + _MOST]
            files = {place: file for place in among if (file := metadata_of(decisions[place].candidate))}
            left = until - time.monotonic()
            if left <= 0:
                break
            gathering = Gathering([_listed_metadata(file, self._client) for file in files.values()], seconds=left)
            for place, answer in zip(files, gathering.wait(), strict=True):
                candidate = judged[place].candidate
                for metadata in answer.entries:
                    known = replace(candidate, build=with_metadata(candidate.build, metadata))
                    judged[place] = judge(known, self._environment, policy)
            if any(judged[place].accepted for place in among):
                break
        return judged

    def _judged_by_parts(self, decisions: Sequence[Decision], policy: Policy, imports: Sequence[str]) -> list[Decision]:
        doubtful = [
            place
            for place, decision in enumerate(decisions)
            if decision.accepted and decision.doubts and "://" in decision.candidate.location
        ][: self._left]
        judged = list(decisions)
        answers = self._gathered([decisions[place].candidate.location for place in doubtful])
        for place, found in zip(doubtful, answers, strict=False):
            if isinstance(found, InvalidWheelError):
                judged[place] = _refused(judged[place], str(found))
            elif isinstance(found, Peek):
                judged[place] = self._judged(judged[place].candidate, found, policy, imports)
        return judged

    def _judged(self, candidate: Candidate, found: Peek, policy: Policy, imports: Sequence[str]) -> Decision:
        if found.metadata is not None and (lie := contradiction(candidate.build, found.metadata)) is not None:
            return _refused(judge(candidate, self._environment, policy), lie)
        if found.metadata is not None:
            candidate = replace(candidate, build=with_metadata(candidate.build, found.metadata))
        return judge_with_file(candidate, self._environment, policy, self._findings(found), imports)

    def _findings(self, found: Peek) -> Findings:
        answers = None if self._provided is None else look_up(found.facts, self._provided)
        return Findings(facts=found.facts, answers=answers)

    def _gathered(self, locations: Sequence[str]) -> list[Peek | FetchFailure | InvalidWheelError | None]:
        """What was read of each, side by side; None where time was up."""
        if self._client is None or not self._peeks or not locations or self._seconds <= 0:
            return []
        started = time.monotonic()
        self._left -= len(locations)
        gathering = Gathering([self._peeked(location, self._client) for location in locations], seconds=self._seconds)
        answers = [next(iter(gathered.entries), None) for gathered in gathering.wait()]
        self._seconds -= time.monotonic() - started
        return answers

    def _peeked(self, location: str, client: Client) -> Iterator[Peek | FetchFailure | InvalidWheelError]:
        remote = open_remote(client, location)
        if isinstance(remote, FetchFailure):
            yield remote
            return
        key = f"peek {without_credentials(location)} {remote.validator}" if remote.validator else None
        kept = self._kept.get(key) if self._kept is not None and key else None
        found = from_bytes(kept.encode()) if isinstance(kept, str) else None
        if found is None:
            try:
                found = peek(remote)
            except InvalidWheelError as error:
                yield _what_it_is(remote) or error
                return
            except OSError as error:
                yield FetchFailure(cause="truncated", message=str(error))
                return
            if self._kept is not None and key:
                self._kept.put(key, to_bytes(found).decode())
        yield found


def _listed_metadata(file: MetadataFile, client: Client) -> Iterator[Metadata]:
    content = fetch_metadata(file, client)
    if isinstance(content, bytes):
        with contextlib.suppress(InvalidWheelError):  # the wheel's own counts then
            yield parse_metadata(content)


def _refused(decision: Decision, why: str) -> Decision:
    """What pip would refuse, or install as another package."""
    return decide(decision, [Mismatch(rule="file", wanted="the wheel that its name says", found=why, text=why)])


def _what_it_is(remote: RemoteFile) -> InvalidWheelError | None:
    """A page or a pointer in the place of a wheel."""
    try:
        wrong = wrong_start(remote.read(0, 512))
    except OSError:
        return None
    return None if wrong is None else InvalidWheelError(wrong.message)
