"""``plan`` and ``explain``: the decisions without the installing. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipfallback.arguments import CommandLine
from pipfallback.builds import Candidate, Metadata, UnreadableFilenameError, read_build, with_metadata
from pipfallback.catalog import Catalog, Package
from pipfallback.choice import asked_candidate, choose, in_order, policy_of, without_asked
from pipfallback.compatibility import Decision, Policy, judge, judge_with_file
from pipfallback.environment import Environment
from pipfallback.file_facts import Findings
from pipfallback.inspection.wheel import InvalidWheelError, read_metadata
from pipfallback.looking_inside import Inside
from pipfallback.net.failures import FetchFailure
from pipfallback.net.local import local_path
from pipfallback.requests import Request, RequestError, read_request
from pipfallback.sources import Asking, Listing, Note, candidates, leaves_out, with_the_rest
from pipfallback.sources.listed import plain_url
from pipfallback.sources.reading import in_words as notes_in_words
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
        return tuple(notes_in_words(self.unheard, hints=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why one wheel does or does not fit; ``error`` where the argument names none.

    ``findings``: what the file itself tells, where it could be looked into; ``unread``: why that was not possible.
    """

    argument: str
    decision: Decision | None = None
    error: str | None = None
    findings: Findings | None = None
    unread: str | None = None


def plan(
    text: str,
    catalog: Catalog,
    environment: Environment,
    command: CommandLine,
    *,
    ask: Asking | None = None,
    inside: Inside | None = None,
    thrifty: bool = False,
) -> Plan:
    """Judge and rank every build that is known for a requirement. Raises RequestError where it is none.

    ``ask``: how sources are asked that have to be; without it they are only noted. ``environment`` and the
    requirement's specifier take the place of its own. ``inside``: what looks into the doubtful among the best builds.
    ``thrifty``: sources below the trust that is allowed are asked only where nothing else fits.
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
    trust = command.own.trust_level if thrifty else Trust.COMMUNITY
    listing = candidates(package, asked_with, trust=trust) if package is not None else None
    decisions = _decided(listing, request, package, environment, command)
    if (
        listing
        and package
        and asked_with
        and leaves_out(package, trust)
        and not any(each.accepted for each in decisions)
    ):
        listing = with_the_rest(listing, package, asked_with, trust=trust)
        decisions = _decided(listing, request, package, environment, command)
    policy = policy_of(request, package, command)
    if inside is not None:
        imports = package.imports_for(request.version) if package is not None else ()
        metadata_of = listing.metadata_of if listing is not None else lambda _: None
        peeked = inside.judge_afar(decisions, policy, imports, metadata_of=metadata_of)
        decisions = in_order(peeked, request, command, ordered=decisions)
    return Plan(
        request=request,
        managed=package is not None,
        decisions=tuple(decisions),
        policy=policy,
        unheard=listing.notes if listing else (),
    )


def _decided(
    listing: Listing | None, request: Request, package: Package | None, environment: Environment, command: CommandLine
) -> list[Decision]:
    asked = asked_candidate(request)
    known = without_asked(listing.candidates, request) if listing else []
    return choose([asked, *known] if asked else known, request, package, environment, command)


def explain(
    argument: str,
    catalog: Catalog,
    environment: Environment,
    *,
    ask: Asking | None = None,
    inside: Inside | None = None,
) -> Explanation:
    """Judge one wheel by its name, URL or path: a candidate of the catalog's where it lists that very URL.

    ``ask``: how sources are asked that have to be, where no other lists the URL; without it they are not. ``inside``:
    what looks into a file that is there, and into parts of one that is elsewhere.
    """
    try:
        build = read_build(argument)
    except UnreadableFilenameError as error:
        return Explanation(argument=argument, error=str(error).removeprefix(f"{argument!r} is "))
    package = catalog.packages.get(build.name)
    candidate = _listed(argument, package, ask and replace(ask, environment=environment)) or Candidate(
        build=build, location=argument
    )
    policy = Policy(trust=Trust.COMMUNITY, needs=None if package is None else package.needs)
    plain = Explanation(argument=argument, decision=judge(candidate, environment, policy))
    if inside is None:
        return plain
    imports = () if package is None else package.imports_for(build.version)
    return _looked_into(plain, candidate, environment, policy, inside=inside, imports=imports)


def _looked_into(
    plain: Explanation,
    candidate: Candidate,
    environment: Environment,
    policy: Policy,
    *,
    inside: Inside,
    imports: Sequence[str],
) -> Explanation:
    """With what the file tells, and judged by that."""
    location = candidate.location
    try:
        if "://" not in location and not Path(location).exists():
            only_a_name = Path(location).name == location
            return (
                plain
                if only_a_name
                else Explanation(argument=plain.argument, error="there is no such file; the name alone can be judged")
            )
        if "://" not in location or location.startswith("file:"):
            path = local_path(location) or Path(location)
            known: Metadata | None = read_metadata(path)
            found = inside.explain_file(path)
        else:
            afar = inside.explain_url(location)
            if afar is None:
                return plain
            if isinstance(afar, FetchFailure) and afar.cause == "not-found":
                there = f"there is no such file ({afar.message}); the name alone can be judged"
                return Explanation(argument=plain.argument, error=there)
            if not isinstance(afar, tuple):
                return replace(plain, unread=getattr(afar, "message", str(afar)))
            known, found = afar[0].metadata, afar[1]
    except InvalidWheelError as error:
        return Explanation(argument=plain.argument, error=f"pip would not install it: {error}")
    except OSError as error:
        return replace(plain, unread=str(error))
    if known is not None:
        candidate = replace(candidate, build=with_metadata(candidate.build, known))
    return replace(plain, decision=judge_with_file(candidate, environment, policy, found, imports), findings=found)


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
