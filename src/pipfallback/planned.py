"""The environment that a command will have made: which torch pip would install, from its own dry run (pip 22.2).

Nothing is installed, and with pip 25.3 or newer no wheel is fetched: it reads metadata alone.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from pipfallback.arguments import Item
from pipfallback.asks import Asks
from pipfallback.environment import Environment, Installation, with_torch
from pipfallback.pip import Pip, own_pip, own_pip_version, pip_for
from pipfallback.pip_failures import Failure
from pipfallback.rewording import Wording, leaving_out, reworded
from pipfallback.torch_family import is_of_torch
from pipfallback.torch_files import torch_of_metadata

_REPORTS = Version("22.2")  # pip 22.2: install --dry-run --report
# Dry runs of older pips fetch the wheels (measured: pip 25.0.1 still does so in its resolver, 25.3 does not).
_READS_METADATA_ONLY = Version("25.3")
# They show or write what is not the user's run, or would overwrite what that writes.
_NOT_FOR_DRY_RUN = frozenset({"--dry-run", "--report", "--quiet", "--verbose", "--debug", "--log", "--progress-bar"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """What a command will have made, as far as pip tells.

    ``environment``: with the planned torch and distributions in place of those that are replaced. ``brings_torch``:
    torch is among what pip would install. ``failure``: why pip itself cannot run the command. ``unknown``: why nothing
    could be foreseen.
    """

    environment: Environment
    brings_torch: bool = False
    failure: Failure | None = None
    unknown: str | None = None

    def in_words(self) -> str | None:
        """One line about torch; None where there is nothing to tell."""
        torch = self.environment.torch
        if self.unknown is not None:
            return f"which torch will be there is not known: {self.unknown}"
        if self.failure is not None:
            return f"which torch will be there is not known: pip fails: {self.failure.message}"
        if not self.brings_torch or torch is None:
            return None
        cuda = f" with CUDA {torch.cuda}" if torch.cuda and "+" not in torch.version else ""
        return f"this command installs torch {torch.version}{cuda}; builds are judged by that"


def foresee(
    asks: Asks,
    *,
    environment: Environment,
    installation: Installation,
    without: Collection[str] = (),
    extra: Sequence[str] = (),
) -> Foresight:
    """Ask pip what a command would install, with the user's own options, and see the environment with that.

    ``without``: names that are left out, since pip cannot serve them; ``extra``: words of ours,
    such as "--only-binary". Where no pip can tell, or pip fails, torch is unknown if the command names it.
    """
    names_torch = "torch" in asks.names - set(without)
    unknown = with_torch(environment, None, origin="unknown") if names_torch else environment
    serving = _serving_pip(installation, environment.python.version)
    if serving is None:
        why = f"pip {installation.pip} cannot say what it would install (pip {_REPORTS} can)"
        return Foresight(environment=unknown, brings_torch=names_torch, unknown=why)
    pip, version = serving
    with tempfile.TemporaryDirectory(prefix="pipfallback-") as folder:
        report = Path(folder, "report.json")
        wording = _wording(asks, report, without, extra, version)
        run = pip.run(wording.words, quiet=True, variables=wording.variables)
        if run.failure is not None:
            return Foresight(environment=unknown, brings_torch=names_torch, failure=run.failure)
        planned = json.loads(report.read_text(encoding="utf-8"))["install"]
    return _seen_after([each["metadata"] for each in planned], environment)


def _wording(asks: Asks, report: Path, without: Collection[str], extra: Sequence[str], version: Version) -> Wording:
    # Where an index does not offer metadata alone (PEP 658), it is read from the wheel by Range requests.
    lazily = ("--use-feature", "fast-deps") if version >= _READS_METADATA_ONLY else ()

    def options(item: Item) -> Sequence[str] | None:
        if item.kind == "command":
            return (*item.words, "--quiet", "--dry-run", "--report", str(report), *lazily, *extra)
        return () if item.name in _NOT_FOR_DRY_RUN else None

    return reworded(asks, leaving_out(without), report.parent, options=options)


def _serving_pip(installation: Installation, python_version: str) -> tuple[Pip, Version] | None:
    """The target's pip or pipfallback's own: the first that reads metadata alone, else the first that reports."""
    known: list[tuple[Pip, Version]] = []
    if installation.pip is not None:
        known.append((pip_for(installation, python_version), Version(installation.pip)))
    own = own_pip(installation, python_version)
    if own is not None:
        known.append((own, Version(own_pip_version())))
    for oldest in (_READS_METADATA_ONLY, _REPORTS):
        for pip, version in known:
            if version >= oldest:
                return pip, version
    return None


def _seen_after(planned: Sequence[Mapping[str, Any]], environment: Environment) -> Foresight:
    """The environment with what a report lists (pip.pypa.io/en/stable/reference/installation-report)."""
    versions: dict[str, str] = {canonicalize_name(metadata["name"]): metadata["version"] for metadata in planned}
    if versions:
        # Beside another build pip may choose other versions than these; only torch is what builds are chosen for.
        there = {name: version for name, version in (environment.installed or {}).items() if name not in versions}
        family = {name: version for name, version in versions.items() if is_of_torch(name)}
        environment = replace(environment, installed={**there, **family})
    torch = next((metadata for metadata in planned if canonicalize_name(metadata["name"]) == "torch"), None)
    if torch is None:
        return Foresight(environment=environment)
    facts = torch_of_metadata(torch["version"], torch.get("requires_dist") or (), platform=environment.platform)
    return Foresight(environment=with_torch(environment, facts, origin="planned"), brings_torch=True)
