"""The builds that a request could be served with: listed, judged, looked into where that decides, best first."""

from __future__ import annotations

from collections.abc import Sequence

from pipfallback.arguments import CommandLine
from pipfallback.choice import asked_candidate, choose, in_order, policy_of, without_asked
from pipfallback.compatibility import Decision
from pipfallback.environment import Environment, Torch
from pipfallback.looking_inside import Inside
from pipfallback.online import Online
from pipfallback.primary import Managed
from pipfallback.sources import Listing
from pipfallback.sources import candidates as candidates_of


class Prospects:
    """What the sources offer, asked once for each torch that the builds could be for."""

    def __init__(self, online: Online, command: CommandLine) -> None:
        self._online = online
        self._command = command
        self._listed: dict[tuple[str, Torch | None], Listing] = {}

    def listing(self, managed: Managed, environment: Environment) -> Listing:
        """The builds of the sources of a request, and why something is not among them."""
        key = (managed.request.text, environment.torch)
        if key not in self._listed:
            asking = self._online.asking(environment, managed.request)
            self._listed[key] = candidates_of(managed.package, asking)
        return self._listed[key]

    def decisions(
        self, managed: Managed, environment: Environment, inside: Inside, *, with_asked: bool
    ) -> list[Decision]:
        """On the builds of the catalog, and ``with_asked`` on the wheel that the user named, which comes first."""
        request, package, command = managed.request, managed.package, self._command
        listing = self.listing(managed, environment)
        candidates = without_asked(listing.candidates, request)
        asked = asked_candidate(request)
        if asked is not None and with_asked:
            candidates.insert(0, asked)
        decisions = choose(candidates, request, package, environment, command)
        imports = package.imports_for(request.version)
        policy = policy_of(request, package, command)
        peeked = inside.judge_afar(decisions, policy, imports, metadata_of=listing.metadata_of)
        return in_order(peeked, request, command)


def in_words(managed: Managed, decisions: Sequence[Decision], accepted: Sequence[Decision]) -> str:
    """How many builds were considered for a request, and how many of them fit."""
    if not decisions:
        return f"{managed.package.name}: its {len(managed.package.sources)} sources list no build"
    sources = len({decision.candidate.source for decision in decisions} - {None})
    builds = "1 build" if len(decisions) == 1 else f"{len(decisions)} builds"
    origin = "1 source" if sources == 1 else f"{sources} sources"
    fit = "fits" if len(accepted) == 1 else "fit"
    return f"{managed.package.name}: {builds} from {origin} considered, {len(accepted)} {fit}"
