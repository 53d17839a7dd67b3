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
from pipfallback.sources import Listing, leaves_out, with_the_rest
from pipfallback.sources import candidates as candidates_of
from pipfallback.trust import Trust
from pipfallback.view import View


class Prospects:
    """What the sources offer, asked once for each torch that the builds could be for."""

    def __init__(self, online: Online, command: CommandLine, view: View) -> None:
        self._online = online
        self._command = command
        self._view = view
        self._listed: dict[tuple[str, Torch | None], Listing] = {}
        self._asked_all: set[tuple[str, Torch | None]] = set()

    def listing(self, managed: Managed, environment: Environment) -> Listing:
        """The builds of the sources of a request, and why something is not among them.

        Sources below the trust that is allowed are asked only where nothing else fits, to tell what they would have.
        """
        key = (managed.request.text, environment.torch)
        if key not in self._listed:
            asking = self._online.asking(environment, managed.request)
            with self._view.doing(f"asking the sources of {managed.package.name}"):
                self._listed[key] = candidates_of(managed.package, asking, trust=self._trust(managed))
        return self._listed[key]

    def _ask_the_rest(self, managed: Managed, environment: Environment) -> bool:
        """Ask the sources that were left out; whether there are any."""
        key, trust = (managed.request.text, environment.torch), self._trust(managed)
        if key in self._asked_all or not leaves_out(managed.package, trust):
            return False
        self._asked_all.add(key)
        asking = self._online.asking(environment, managed.request)
        with self._view.doing(f"asking the other sources of {managed.package.name}"):
            self._listed[key] = with_the_rest(self._listed[key], managed.package, asking, trust=trust)
        return True

    def _trust(self, managed: Managed) -> Trust:
        return policy_of(managed.request, managed.package, self._command).trust

    def decisions(
        self, managed: Managed, environment: Environment, inside: Inside, *, with_asked: bool
    ) -> list[Decision]:
        """On the builds of the catalog, and ``with_asked`` on the wheel that the user named, which comes first."""
        found = self._decided(managed, environment, inside, with_asked=with_asked)
        if not any(decision.accepted for decision in found) and self._ask_the_rest(managed, environment):
            found = self._decided(managed, environment, inside, with_asked=with_asked)
        return found

    def _decided(
        self, managed: Managed, environment: Environment, inside: Inside, *, with_asked: bool
    ) -> list[Decision]:
        request, package, command = managed.request, managed.package, self._command
        listing = self.listing(managed, environment)
        candidates = without_asked(listing.candidates, request)
        asked = asked_candidate(request)
        if asked is not None and with_asked:
            candidates.insert(0, asked)
        decisions = choose(candidates, request, package, environment, command)
        imports = package.imports_for(request.version)
        policy = policy_of(request, package, command)
        with self._view.doing("looking into the wheels that come first"):
            peeked = inside.judge_afar(decisions, policy, imports, metadata_of=listing.metadata_of)
        return in_order(peeked, request, command, ordered=decisions)


def in_words(managed: Managed, decisions: Sequence[Decision], accepted: Sequence[Decision]) -> str:
    """How many builds were considered for a request, and how many of them fit."""
    if not decisions:
        return f"{managed.package.name}: its {len(managed.package.sources)} sources list no build"
    sources = len({decision.candidate.source for decision in decisions} - {None})
    builds = "1 build" if len(decisions) == 1 else f"{len(decisions)} builds"
    origin = "1 source" if sources == 1 else f"{sources} sources"
    fit = "fits" if len(accepted) == 1 else "fit"
    return f"{managed.package.name}: {builds} from {origin} considered, {len(accepted)} {fit}"
