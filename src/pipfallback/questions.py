"""``plan`` and ``explain``: the decisions without the installing. Nothing here changes anything."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipfallback.arguments import CommandLine
from pipfallback.builds import Candidate, UnreadableFilenameError, read_build
from pipfallback.catalog import Catalog, Package
from pipfallback.choice import asked_candidate, choose, policy_of, without_asked
from pipfallback.compatibility import Decision, Policy, judge
from pipfallback.environment import Environment
from pipfallback.requests import Request, RequestError, read_request
from pipfallback.sources import Asking, Note, candidates
from pipfallback.sources.listed import plain_url
from pipfallback.trust import Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be tried for one request, in order, then what would not, and how it was judged."""

    request: Request
    managed: bool
    decisions: tuple[Decision, ...]
    policy: Policy
    unheard: tuple[Note, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Why something of the sources is not among the decisions, in lines."""
        return tuple(f"{note.source}: {note.text}" + (f" ({note.hint})" if note.hint else "") for note in self.unheard)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why one wheel does or does not fit; ``error`` where the argument names none."""

    argument: str
    decision: Decision | None = None
    error: str | None = None


def plan(
    text: str, catalog: Catalog, environment: Environment, command: CommandLine, ask: Asking | None = None
) -> Plan:
    """Judge and rank every build that is known for a requirement. Raises RequestError where it is none.

    ``ask``: how sources are asked that have to be; without it they are only noted. ``environment`` and the
    requirement's specifier take the place of its own.
    """
    request = read_request(text)
    if request.name is None and request.location is None:
        raise RequestError(f"{text!r} is no requirement", hints=("a name with specifiers, a URL, or a path (PEP 508)",))
    if request.location is not None and request.location.endswith(".whl") and not request.is_wheel:
        raise RequestError(
            f"{request.text} is not a wheel's file name", hints=("name-version-python-abi-platform.whl",)
        )
    package = catalog.packages.get(request.name or "")
    asked_with = ask and replace(ask, environment=environment, specifier=request.specifier)
    listing = candidates(package, asked_with) if package is not None else None
    asked = asked_candidate(request)
    known = without_asked(listing.candidates, request) if listing else []
    decisions = choose([asked, *known] if asked else known, request, package, environment, command)
    return Plan(
        request=request,
        managed=package is not None,
        decisions=tuple(decisions),
        policy=policy_of(request, package, command),
        unheard=listing.notes if listing else (),
    )


def explain(argument: str, catalog: Catalog, environment: Environment, ask: Asking | None = None) -> Explanation:
    """Judge one wheel by its name, URL or path: a candidate of the catalog's where it lists that very URL.

    ``ask``: how sources are asked that have to be, where no other lists the URL; without it they are not.
    """
    try:
        build = read_build(argument)
    except UnreadableFilenameError as error:
        return Explanation(argument=argument, error=str(error))
    package = catalog.packages.get(build.name)
    candidate = _listed(argument, package, ask and replace(ask, environment=environment)) or Candidate(
        build=build, location=argument
    )
    policy = Policy(trust=Trust.COMMUNITY, needs=None if package is None else package.needs)
    return Explanation(argument=argument, decision=judge(candidate, environment, policy))


def _listed(location: str, package: Package | None, ask: Asking | None) -> Candidate | None:
    """The catalog's candidate at that URL, whose source may say more than the name does."""
    if package is None or "://" not in location:
        return None
    plain = plain_url(location)
    for asked_with in (None, ask) if ask else (None,):
        known = candidates(package, asked_with).candidates
        found = next((each for each in known if plain_url(each.location) == plain), None)
        if found is not None:
            return found
    return None
