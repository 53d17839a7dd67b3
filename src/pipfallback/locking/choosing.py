"""The build of one managed package that a lock takes: listed, judged, settled; the first that holds what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipfallback.arguments import CommandLine
from pipfallback.builds import Candidate
from pipfallback.catalog import Package
from pipfallback.choice import asked_candidate, choose, in_order, policy_of, without_asked
from pipfallback.environment import Environment
from pipfallback.locking.settling import Settled, Settler, Unfit
from pipfallback.looking_inside import Inside
from pipfallback.online import Online
from pipfallback.questions import Plan
from pipfallback.requests import Request
from pipfallback.sources import Listing, candidates, leaves_out, with_the_rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen for a request (``settled``; None: nothing), from what, and what was turned down on the way."""

    plan: Plan
    settled: Settled | None = None
    unfit: tuple[Unfit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chooser:
    """Chooses builds for one environment."""

    command: CommandLine
    environment: Environment
    online: Online
    inside: Inside
    settler: Settler

    def choose(self, request: Request, package: Package, others: Sequence[Candidate] = ()) -> Choice:
        """The best build for a request, which comes first among the accepted that settle.

        ``others``: builds that no source of the catalog lists. As many files are fetched as an install would try.
        """
        plan = self._plan(request, package, others)
        unfit: list[Unfit] = []
        imports = package.imports_for(request.version)
        for decision in plan.decisions:
            if not decision.accepted or sum(each.fetched for each in unfit) == self.command.own.max_attempts:
                break
            answer = self.settler.settle(decision, plan.policy, imports)
            if isinstance(answer, Settled):
                return Choice(plan=plan, settled=answer, unfit=tuple(unfit))
            unfit.append(answer)
        return Choice(plan=plan, unfit=tuple(unfit))

    def _plan(self, request: Request, package: Package, others: Sequence[Candidate]) -> Plan:
        trust, asking = self.command.own.trust_level, self.online.asking(self.environment, request)
        listing = candidates(package, asking, trust=trust)
        plan = self._judged(request, package, others, listing)
        if any(decision.accepted for decision in plan.decisions) or not leaves_out(package, trust):
            return plan
        # What the others would have is worth telling where nothing fits.
        return self._judged(request, package, others, with_the_rest(listing, package, asking, trust=trust))

    def _judged(self, request: Request, package: Package, others: Sequence[Candidate], listing: Listing) -> Plan:
        known = without_asked(listing.candidates, request)
        asked = asked_candidate(request)
        first = [asked] if asked is not None else []
        decisions = choose([*first, *others, *known], request, package, self.environment, self.command)
        policy = policy_of(request, package, self.command)
        imports = package.imports_for(request.version)
        peeked = self.inside.judge_afar(decisions, policy, imports, metadata_of=listing.metadata_of)
        return Plan(
            request=request,
            managed=True,
            decisions=tuple(in_order(peeked, request, self.command, ordered=decisions)),
            policy=policy,
            unheard=listing.notes,
        )
