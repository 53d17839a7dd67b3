"""What a lock holds for one environment: builds chosen, pip's answer beside them, until both agree."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pipfallback import pins
from pipfallback.asks import Asks
from pipfallback.builds import Candidate, UnreadableFilenameError, read_build
from pipfallback.catalog import Catalog
from pipfallback.environment import Environment, Installation, with_torch
from pipfallback.installed import Installed, installed_in
from pipfallback.locking.choosing import Choice, Chooser
from pipfallback.locking.document import Locked
from pipfallback.locking.entries import LockError, entry_of_build, entry_of_item
from pipfallback.locking.pips_word import cannot_resolve, missing_in
from pipfallback.locking.resolving import (
    Resolved,
    Resolver,
    name_of,
    serving_elsewhere,
    serving_here,
)
from pipfallback.locking.settling import Settled, Settler
from pipfallback.locking.stubs import Stub, write_stub
from pipfallback.looking import applies
from pipfallback.markers import UNKNOWN
from pipfallback.net.failures import FetchFailure
from pipfallback.online import Online
from pipfallback.pip_failures import Failure
from pipfallback.report import no_plan
from pipfallback.requests import Request, host_of, without_credentials
from pipfallback.torch_files import torch_of_metadata

_ROUNDS = 12  # each settles one more package or another torch; real commands take two to four
_SHOWN = 12  # builds that an error lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One environment to lock for. ``installation``: the interpreter here that it is, None for another machine.

    ``base``: the folder of the lock file. ``scratch``: a folder for downloads and files of ours. ``everything``: also
    what the environment has already.
    """

    asks: Asks
    catalog: Catalog
    environment: Environment
    installation: Installation | None
    online: Online
    everything: bool
    base: Path
    scratch: Path
    tell: Callable[[str], None]


def lock(task: Task) -> Locked:
    """Everything that the command would install there. Raises LockError, NothingFitsError, TargetError."""
    return _Story(task).run()


class _Story:
    """The state while the choice and pip's answer are brought together."""

    def __init__(self, task: Task) -> None:
        self._task = task
        # Of another machine torch is known, and what it has besides is not: that must not keep requirements of torch
        # from being looked at.
        self._environment = replace(task.environment, installed=task.environment.installed or {})
        self._chosen: dict[str, Settled] = {}
        self._to_pip: dict[str, Choice] = {}
        # torch is what builds are chosen for, and pip's to choose; where pip does not find it, it is chosen as they are.
        managed = sorted((task.asks.names & task.catalog.packages.keys()) - {"torch"})
        merged = {name: task.asks.merged(name, lambda each: applies(each, task.environment)) for name in managed}
        self._requests = {
            name: request for name, request in merged.items() if request and not task.asks.is_locked(name)
        }
        self._named = frozenset(self._requests)
        self._keep_installed()
        self._torch = self._stub_of_torch()
        self._resolver = self._new_resolver()

    def _keep_installed(self) -> None:
        """A name that is satisfied by what is there is nothing that an install would change."""
        task = self._task
        there = task.environment.installed
        for name, request in list(self._requests.items()):
            version = None if there is None or task.everything else there.get(name)
            if version is None or request.location or not _satisfies(version, request.specifier):
                continue
            del self._requests[name]
            task.tell(f"{name} {version} is installed already and is not locked; --all locks it as well")

    def run(self) -> Locked:
        """Round by round, until nothing changes any more."""
        self._foresee_torch()
        for _ in range(_ROUNDS):
            self._choose_all()
            answer = self._resolve()
            if isinstance(answer, Failure):
                self._learn_from(answer)
            elif not (self._meets_other_torch(answer) or self._meets_managed(answer)):
                return self._locked(answer)
        raise LockError(
            "the choice and what pip resolves do not come to rest",
            details=[f"{name}: {each.candidate.build.filename}" for name, each in self._chosen.items()],
            hints=("name exact versions of these packages and of torch",),
        )

    def _stub_of_torch(self) -> Stub | None:
        """For a described machine that has a torch: pip must take it as there, and not bring one."""
        task, torch = self._task, self._task.environment.torch
        if task.installation is not None or task.everything or torch is None or "torch" in task.asks.names:
            return None
        metadata = f"Metadata-Version: 2.1\nName: torch\nVersion: {torch.version}\n\n".encode()
        filename = f"torch-{torch.version}-py3-none-any.whl"
        return write_stub(task.scratch, filename, metadata, name="torch", version=torch.version)

    def _new_resolver(self) -> Resolver:
        task = self._task
        if task.installation is None:
            serving = serving_elsewhere(task.environment, task.scratch / "target")
            torch = task.environment.torch
            pinned = [f"torch=={torch.version}"] if torch and not self._torch and "torch" not in task.asks.names else []
            fixed, looser = pinned, pinned
        else:
            serving = serving_here(task.installation, task.environment, everything=task.everything)
            fixed, looser = self._pins(task.installation)
        return Resolver(
            asks=task.asks,
            serving=serving,
            folder=task.scratch,
            never_built=frozenset(task.catalog.packages) - self._kept_sources(),
            pins=fixed,
            looser=looser,
        )

    def _kept_sources(self) -> frozenset[str]:
        """What the user asks for as sources to be edited."""
        return frozenset(ask.request.name for ask in self._task.asks.requirements if ask.editable and ask.request.name)

    def _pins(self, installation: Installation) -> tuple[list[str], list[str]]:
        """What stays as it is: all that is installed and not named; where that is too much, torch and its family."""
        installed = installed_in(installation.site_packages)
        family = pins.torch_family(installed)
        free = self._task.asks.names | ({*family} if "torch" in self._task.asks.names else set())
        looser = _pinned(installed, [name for name in family if name not in free])
        if self._task.everything:
            return looser, looser
        return _pinned(installed, [name for name in installed if name not in free]), looser

    def _foresee_torch(self) -> None:
        """The torch that the rest of the command brings, before the first build is judged."""
        task = self._task
        others = any(ask.request.name not in self._named for ask in task.asks.requirements)
        if not (self._requests and others) or self._torch is not None:
            return
        if task.environment.torch is not None and "torch" not in task.asks.names:
            return
        answer = self._resolver.resolve({}, left_out=self._named)
        if isinstance(answer, Resolved):  # where pip fails, it does so again beside the builds, and is heard then
            self._meets_other_torch(answer)

    def _choose_all(self) -> None:
        for name, request in self._requests.items():
            if name not in self._chosen and name not in self._to_pip:
                self._choose(name, request)

    def _choose(self, name: str, request: Request, pips: Candidate | None = None) -> None:
        """Choose the build of a package; where none fits, what pip itself finds is looked at, once."""
        others = [each for each in (self._installed_build(name), pips) if each is not None]
        choice = self._chooser().choose(request, self._task.catalog.packages[name], others)
        for unfit in choice.unfit:
            if unfit.fetched:
                self._task.tell(f"{unfit.candidate.build.filename}: {unfit.why}")
        if choice.settled is not None:
            self._chosen[name] = choice.settled
            self._to_pip.pop(name, None)
        elif pips is None and request.location is None and not choice.unfit:
            self._to_pip[name] = choice
        else:
            raise self._nothing(name, choice)

    def _installed_build(self, name: str) -> Candidate | None:
        """With ``--all`` the very file that is installed comes first, where it is known which that is (PEP 610)."""
        task = self._task
        if task.installation is None or not task.everything:
            return None
        there = installed_in(task.installation.site_packages).get(name)
        origin = (there.direct_url or {}) if there is not None else {}
        found = _wheel_at(str(origin.get("url", "")), origin.get("archive_info") or {})
        return found and replace(found, order=(-1, 0))

    def _nothing(self, name: str, choice: Choice) -> Exception:
        if not choice.unfit:
            return no_plan(choice.plan, self._environment)
        gone = any(unfit.unreachable for unfit in choice.unfit)
        said = [f"{unfit.candidate.build.filename}: {unfit.why}" for unfit in choice.unfit]
        more = [f"and {len(said) - _SHOWN} more"] if len(said) > _SHOWN else []
        return LockError(
            f"{name}: none of the builds that fit can be locked",
            details=[*said[:_SHOWN], *more],
            hints=("check the network and its proxy settings, then run the same command again",) if gone else (),
        )

    def _chooser(self) -> Chooser:
        task = self._task
        inside = task.online.inside(self._environment, task.installation)
        settler = Settler(
            environment=self._environment,
            inside=inside,
            downloader=task.online.downloader(task.scratch),
            client=task.online.client,
            look=task.asks.command.own.peek,
        )
        return Chooser(
            command=task.asks.command,
            environment=self._environment,
            online=task.online,
            inside=inside,
            settler=settler,
        )

    def _resolve(self) -> Resolved | Failure:
        stubs = {name: self._stub(settled) for name, settled in self._chosen.items()}
        named = {
            name: stub.requirement(self._requests[name].extras) for name, stub in stubs.items() if name in self._named
        }
        unnamed = [stub.requirement() for name, stub in stubs.items() if name not in self._named]
        if self._torch is not None:
            unnamed.append(self._torch.requirement())
        return self._resolver.resolve(named, unnamed)

    def _stub(self, settled: Settled) -> Stub:
        metadata = settled.metadata
        return write_stub(
            self._task.scratch,
            settled.candidate.build.filename,
            settled.content,
            name=metadata.name,
            version=metadata.version,
        )

    def _learn_from(self, failure: Failure) -> None:
        """A managed package that pip does not find is chosen for the next round. Raises what ends the command."""
        missing = missing_in(failure)
        name = canonicalize_name(missing.name) if missing is not None else ""
        if name in self._to_pip:
            raise no_plan(self._to_pip[name].plan, self._environment)
        if missing is None or name not in self._task.catalog.packages or name in self._chosen:
            raise cannot_resolve(failure, elsewhere=self._task.installation is None, everything=self._task.everything)
        self._requests[name] = Request(text=str(missing), name=name, specifier=missing.specifier)

    def _meets_other_torch(self, answer: Resolved) -> bool:
        """Whether pip would bring another torch than the one that builds were judged by; then they are judged anew."""
        item = answer.find("torch")
        if item is None or self._torch is not None:
            return False
        metadata, judged = item["metadata"], self._environment.torch
        if judged is not None and judged.version == metadata["version"]:
            return False
        platform = self._environment.platform
        torch = torch_of_metadata(metadata["version"], metadata.get("requires_dist") or (), platform=platform)
        if judged is not None and Version(judged.version).public == Version(torch.version).public:
            torch = replace(torch, cxx11_abi=judged.cxx11_abi)  # no label tells it
        there = self._environment.installed
        environment = with_torch(self._environment, torch, origin="planned")
        versions = answer.versions()
        installed = {name: versions.get(name, version) for name, version in (there or {}).items()}
        self._environment = replace(environment, installed=installed)
        self._chosen.clear()
        self._to_pip.clear()
        cuda = f" with CUDA {torch.cuda}" if torch.cuda and "+" not in torch.version else ""
        self._task.tell(f"torch {torch.version}{cuda} comes with it; builds are judged by that")
        return True

    def _meets_managed(self, answer: Resolved) -> bool:
        """Whether pip brings a managed package whose build is not chosen yet; then it is."""
        for item in answer.items:
            name = name_of(item)
            settled = name == "torch" or name in self._chosen or name in self._kept_sources()
            if settled or name not in self._task.catalog.packages:
                continue
            pips = _pips_candidate(item)
            if pips is None or self._task.asks.is_locked(name):
                continue
            request = self._requests.get(name)
            if request is None:
                wanted = answer.wanted_of(name)
                request = Request(text=f"{name}{wanted}", name=name, specifier=wanted)
                self._requests[name] = request
            self._choose(name, request, pips)
            return True
        return False

    def _locked(self, answer: Resolved) -> Locked:
        task = self._task
        self._check_markers(answer)
        entries = {
            name_of(item): entry_of_item(item, task.base, self._digest)
            for item in answer.items
            if name_of(item) not in self._chosen and not (name_of(item) == "torch" and self._torch)
        }
        for item in answer.items:
            self._tell_credentials(item["download_info"]["url"])
        for name, settled in self._chosen.items():
            if answer.find(name) is not None or (name in self._named and not task.asks.command.has("--only-deps")):
                entries[name] = entry_of_build(settled, task.base)
                self._tell_choice(name, settled)
        return Locked(environment=self._environment, packages=tuple(entries[name] for name in sorted(entries)))

    def _tell_choice(self, name: str, settled: Settled) -> None:
        candidate = settled.candidate
        source = f" from {candidate.source}" if candidate.source else ""
        doubts = f" ({'; '.join(settled.decision.doubts)})" if settled.decision.doubts else ""
        self._tell_credentials(candidate.location)
        self._task.tell(
            f"{name}: {candidate.build.filename}{source}: {settled.decision.grade}{doubts}; nothing was imported"
        )

    def _tell_credentials(self, location: str) -> None:
        if "://" in location and re.search(r"://[^/?#]*:[^/?#]*@", location):
            self._task.tell(f"user name and password for {host_of(location)} are left out: installers need them again")

    def _check_markers(self, answer: Resolved) -> None:
        """For another machine, what no description tells must decide nothing. Raises LockError."""
        if self._task.installation is not None:
            return
        for item in answer.items:
            for text in item["metadata"].get("requires_dist") or ():
                if any(name in text.partition(";")[2] for name in UNKNOWN):
                    raise LockError(
                        f"{name_of(item)} requires {text}: that depends on the release of the operating system, which "
                        "the description of a machine does not tell",
                        hints=("lock on that machine itself, without --environment",),
                    )

    def _digest(self, url: str) -> tuple[str, int]:
        """One download of a file whose index states no hash. Raises LockError."""
        name = without_credentials(url).rpartition("/")[2]
        fetched = self._task.online.downloader(self._task.scratch).fetch(url, name)
        if isinstance(fetched, FetchFailure):
            raise LockError(f"{name} has no hash at its index and cannot be fetched: {fetched.message}")
        return fetched.sha256, fetched.size


def _satisfies(version: str, specifier: SpecifierSet) -> bool:
    with suppress(InvalidVersion):
        return specifier.contains(Version(version), prereleases=True)
    return False


def _pinned(installed: Mapping[str, Installed], names: Sequence[str]) -> list[str]:
    lines = []
    for name in sorted(names):
        with suppress(InvalidVersion):
            lines.append(f"{name}=={Version(installed[name].version)}")
    return lines


def _pips_candidate(item: Mapping[str, Any]) -> Candidate | None:
    """The wheel of an item; None where it is none."""
    origin = item["download_info"]
    return _wheel_at(origin["url"], origin["archive_info"]) if "archive_info" in origin else None


def _wheel_at(url: str, archive: Mapping[str, Any]) -> Candidate | None:
    """The wheel of a direct URL data structure (PEP 610); None where it is none."""
    try:
        build = read_build(url)
    except UnreadableFilenameError:
        return None
    return Candidate(build=build, location=url, sha256=(archive.get("hashes") or {}).get("sha256"))
