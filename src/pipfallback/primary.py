"""The user's own command, run first, as written: which managed requests it leaves without a working package."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pipfallback import pins
from pipfallback.arguments import CommandLine, Item
from pipfallback.asks import Asks
from pipfallback.attempts import Workplace
from pipfallback.builds import read_build
from pipfallback.catalog import Catalog, Package
from pipfallback.choice import tag_mismatches
from pipfallback.environment import Environment, Installation
from pipfallback.installed import Installed
from pipfallback.installer import Installer
from pipfallback.layout import cross_options
from pipfallback.looking_inside import Inside
from pipfallback.online import Online
from pipfallback.outcome import Primary
from pipfallback.pip_failures import Cause, Failure, as_written_in_names, distribution_in
from pipfallback.planned import Foresight, foresee
from pipfallback.requests import Request, read_request, without_credentials
from pipfallback.rewording import Wording, leaving_out, reworded, without_building
from pipfallback.torch_family import TORCH_FAMILY, is_of_torch
from pipfallback.verify import Verdict
from pipfallback.view import View

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """A package of the catalog that the command brings.

    ``request``: all that is asked of it. ``dependency``: nothing names it, something else requires it. ``locked``: a
    lock names its very files.
    """

    request: Request
    package: Package
    dependency: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One ``pipfallback install``: what was asked for, where, and how to tell about it.

    ``managed``: what is asked for by name, or in a file, and the catalog knows; ``catalog`` knows what may come along.
    ``online``: the network under the command's options. ``tell`` takes lines of our own, ``say_as_pip`` those that pip
    itself would have written, ``view`` sees the attempts. ``look_again`` gives the environment anew, after the command has brought another torch.
    """

    asks: Asks
    managed: tuple[Managed, ...]
    catalog: Catalog
    environment: Environment
    installation: Installation
    pip: Installer
    online: Online
    tell: Tell
    say_as_pip: Tell
    view: View
    look_again: Callable[[], Environment]

    @property
    def command(self) -> CommandLine:
        """The command line, with what its files say."""
        return self.asks.command


def inside_of(job: Job, environment: Environment) -> Inside:
    """What looks into files. Of another platform, or with a torch still to come, it is not known what is there to find."""
    here = None if cross_options(job.command) else job.installation
    return job.online.inside(environment, here)


class PipsWord(Exception):  # noqa: N818  (it is no error of ours)
    """pip failed in a way that no other build cures: its error and its exit code stand."""

    def __init__(self, exit_code: int, failure: Failure) -> None:
        super().__init__(failure.message)
        self.exit_code = exit_code
        self.failure = failure


def failed_primary(failure: Failure) -> Primary:
    """How a run of pip ended, with what a failed build lacked."""
    return Primary(ok=False, cause=failure.cause.value, message=failure.in_words, hint=failure.hint)


def refused_beforehand(
    command: CommandLine, managed: Sequence[Managed], environment: Environment, *, tell: Tell, say_as_pip: Tell
) -> dict[str, Primary]:
    """What pip need not be asked for, by name: wheels that it refuses without a download, and sources."""
    refused = {}
    for each in managed:
        if each.request.is_source and not command.own.allow_build:
            message = f"building {each.package.name} from source can take hours; --allow-build lets pip try"
            tell(message)
            refused[each.package.name] = Primary(ok=False, cause="build-not-allowed", message=message)
        elif each.request.is_wheel and (words := _refused_wheel(each.request, environment, tell, say_as_pip)):
            refused[each.package.name] = Primary(ok=False, cause=Cause.UNSUPPORTED_WHEEL.value, message=words)
    return refused


def _refused_wheel(request: Request, environment: Environment, tell: Tell, say_as_pip: Tell) -> str | None:
    """pip's words where it refuses a wheel for its tags; told with the reason that it leaves out."""
    build = read_build(request.location or request.text)
    if not tag_mismatches(build, environment):
        return None
    message = f"{build.filename} is not a supported wheel on this platform."
    say_as_pip(f"ERROR: {message}")
    tell_mismatches(request, environment, tell)
    return message


def tell_mismatches(request: Request, environment: Environment, tell: Tell) -> None:
    """The reasons that pip leaves out where it refuses a wheel for its tags."""
    if request.is_wheel:
        for mismatch in tag_mismatches(read_build(request.location or request.text), environment):
            tell(f"{mismatch.rule}: {mismatch.text}")


def words_of_primary(asks: Asks, catalog: Catalog, place: Workplace, *, hold_torch: bool) -> tuple[str, ...]:
    """The command as written, with torch held where it is and no build from source of what the catalog knows."""
    installed = place.installed()
    extra: list[str] = []
    # A lock says itself which torch it is for, and uv takes no constraints beside one.
    if hold_torch and not any(element.locked for element in asks.elements):
        family = pins.torch_family(installed) - asks.names - pins.goes_with_torch(asks.names, installed)
        extra += pins.constraints(installed, family, place.scratch / "torch.txt")
    extra += without_building(asks.command, catalog.packages)
    return asks.command.replaced(lambda item: (*item.words, *extra) if item.kind == "command" else None)


def words_of_rest(asks: Asks, catalog: Catalog, failed: Collection[str], folder: Path) -> Wording:
    """The command without what failed (names), and no build from source of what the catalog knows."""

    def options(item: Item) -> Sequence[str] | None:
        return (*item.words, *without_building(asks.command, catalog.packages)) if item.kind == "command" else None

    return reworded(asks, leaving_out(failed), folder, options=options)


def foresee_rest(job: Job, *, failed: Collection[str], place: Workplace) -> Foresight | None:
    """What the command would bring without what failed (names); None where that leaves torch as it is."""
    asks, own = job.asks, job.command.own
    if "torch" in failed:  # its own builds come first, and it is known then
        return None
    wanted = [ask for ask in asks.requirements if ask.request.name not in failed]
    # Another torchvision may well bring another torch.
    may_move = ("torch",) if own.keep_torch else TORCH_FAMILY
    held = "torch" in place.installed() and asks.names.isdisjoint(may_move) and not own.allow_torch_change
    if held or not wanted:
        return None
    with job.view.doing("asking pip which torch this brings"):
        return foresee(
            asks,
            environment=place.environment,
            installation=job.installation,
            without=failed,
            extra=without_building(asks.command, job.catalog.packages),
        )


def blamed(failure: Failure, managed: Sequence[Managed], job: Job) -> Managed | None:
    """The package that pip failed over, if another build could cure that; None: pip's word stands.

    It is one of ``managed``, or one that the catalog knows and something else requires.
    """
    by_name = {each.package.name: each for each in managed}
    if (bounded := _bounded_to_nothing(failure)) is not None:
        return by_name.get(bounded)
    if not (failure.cause.curable or held_up_by_torch(failure)):
        return None
    name = distribution_in(failure.message, by_name)
    # pip names what it did not find last, before that who asked for it.
    if name is None and "No matching distribution" not in failure.message:
        name = distribution_in(failure.text, by_name)
    if name is not None:
        return by_name[name]
    if (dependency := dependency_blamed(failure, job)) is not None:
        return dependency
    # Of a damaged file some pips name nothing ("File is not a zip file"): where one thing was asked for, it is that.
    return managed[0] if len(managed) == 1 and len(job.asks.requirements) == 1 else None


def dependency_blamed(failure: Failure, job: Job) -> Managed | None:
    """What the catalog knows, nothing names, and pip failed over."""
    unasked = job.catalog.packages.keys() - job.asks.names
    if job.managed:  # a package that wants another torch is what has other builds; torch has no better ones
        unasked -= set(TORCH_FAMILY)
    name = distribution_in(failure.message, unasked) if failure.cause.curable else None
    if name is None:
        return None
    wanted = re.search(
        rf"No matching distribution found for (?P<text>{re.escape(name)}\b.*)", as_written_in_names(failure.message)
    )
    text = wanted["text"].partition(" (from")[0].strip() if wanted else name
    request = read_request(text)
    return Managed(
        request=request if request.name == name else read_request(name),
        package=job.catalog.packages[name],
        dependency=True,
    )


def stands(failure: Failure, about: Collection[str]) -> bool:
    """Whether pip's word ends the command although a build was being tried.

    So it is where no other build cures it, and where it is not ``about`` this build or what it requires (names).
    """
    if failure.cause in {Cause.OTHER, Cause.CONFLICT}:
        return False  # an attempt pins all that is installed: a build that needs something else is refused by that
    missing = re.search(r"No matching distribution found for ([\w.-]+)", failure.message)
    return not failure.cause.curable or (missing is not None and canonicalize_name(missing[1]) not in about)


def held_up_by_torch(failure: Failure) -> bool:
    """Whether the pins that hold torch, which are ours, made pip refuse: a build for the installed torch is the cure."""
    pinned = re.findall(r"\(constraint\) ([\w.-]+)", failure.text)
    return failure.cause is Cause.CONFLICT and any(is_of_torch(name) for name in map(canonicalize_name, pinned))


def _bounded_to_nothing(failure: Failure) -> str | None:
    """The package that only the user's own requirements and constraints are about, where pip calls that a conflict.

    So it does where it has no build at all of what a constraint bounds. Where they contradict each other it is one.
    """
    if failure.cause is not Cause.CONFLICT:
        return None
    told = failure.text.partition("The conflict is caused by:")[2].partition("\n\n")[0]
    sides = re.findall(r"^\s+(.+)$", told, re.MULTILINE)
    asked = [read_request(re.sub(r"^The user requested (\(constraint\) )?", "", side)) for side in sides]
    if not all(side.startswith("The user requested ") for side in sides) or len({each.name for each in asked}) != 1:
        return None
    together = reduce(and_, (each.specifier for each in asked), SpecifierSet())
    return None if together.is_unsatisfiable() else asked[0].name


def verdict_on(
    each: Managed, command: CommandLine, place: Workplace, tell: Tell, *, before: Mapping[str, Installed]
) -> tuple[Primary, Verdict | None]:
    """Whether what pip installed for a request by itself works; ``Primary.ok`` is False where it needs another build.

    ``before``: what was installed when the command began.
    """
    installed = place.installed().get(each.package.name)
    if installed is None:  # an environment marker excluded it
        return Primary(ok=True), None
    if is_another_file(each.request, installed):
        message = f"pip left {installed.name} {installed.version} as it was: the wheel asked for calls itself the same"
        tell(message)
        return Primary(ok=False, cause="not-replaced", message=message), None
    was = before.get(each.package.name)
    new = was is None or (was.version, was.direct_url) != (installed.version, installed.direct_url)
    if new and _is_unasked_prerelease(installed.version, each.request, command):
        tell(
            f"{installed.name} {installed.version} is a pre-release: pip found no wheel of a release, and builds none from its "
            "sources unless --allow-build is given"
        )
    if not command.own.verify:
        return Primary(ok=True), None
    verdict = place.verify(each.package, installed.version, timeout=command.own.verify_timeout)
    if verdict.acceptable:
        return Primary(ok=True), verdict
    how = "does not work, and is undone" if new else "is installed, but does not work"
    tell(f"{installed.name} {installed.version} {how}: {verdict.message}")
    return Primary(ok=False, cause=Cause.IMPORT_FAILED.value, message=verdict.message), verdict


def _is_unasked_prerelease(version: str, request: Request, command: CommandLine) -> bool:
    """Whether pip took a pre-release for want of a wheel of a release (PEP 440), which it would not where it may build."""
    if request.location is not None or command.own.allow_build or command.has("--pre"):
        return False
    try:
        return Version(version).is_prerelease and not request.specifier.prereleases
    except InvalidVersion:
        return False


def is_another_file(request: Request, installed: Installed) -> bool:
    """Whether pip did nothing, because what is there has the metadata version of the wheel that was asked for."""
    if not request.is_wheel or request.location is None:
        return False
    asked = request.location if "://" in request.location else Path(request.location).as_uri()
    origin = str((installed.direct_url or {}).get("url"))
    # uv notes the hash in the fragment of a file's URL.
    return without_credentials(origin).partition("?")[0] != without_credentials(asked).partition("?")[0]
