"""The user's own command, run first, as written: which managed requests it leaves without a working package."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from pipfallback import pins
from pipfallback.arguments import CommandLine, Item
from pipfallback.attempts import Workplace
from pipfallback.builds import read_build
from pipfallback.catalog import Package
from pipfallback.choice import tag_mismatches
from pipfallback.environment import Environment, Installation
from pipfallback.installed import Installed
from pipfallback.online import Online
from pipfallback.outcome import Primary
from pipfallback.pip import Pip
from pipfallback.pip_failures import Cause, Failure
from pipfallback.planned import Foresight, foresee
from pipfallback.requests import Request, without_credentials
from pipfallback.verify import Verdict

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """A requirement of the command that names a package of the catalog."""

    request: Request
    package: Package


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One ``pipfallback install``: what was asked for, where, and how to tell about it.

    ``online``: the network under the command's options. ``tell`` takes lines of our own, ``say_as_pip`` those that pip
    itself would have written. ``look_again`` gives the environment anew, after the command has brought another torch.
    """

    command: CommandLine
    requests: tuple[Request, ...]
    managed: tuple[Managed, ...]
    environment: Environment
    installation: Installation
    pip: Pip
    online: Online
    tell: Tell
    say_as_pip: Tell
    look_again: Callable[[], Environment]


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
    command: CommandLine, managed: Sequence[Managed], place: Workplace, *, tell: Tell, say_as_pip: Tell
) -> dict[str, Primary]:
    """What pip need not be asked for, by request: wheels that it refuses without a download, and sources."""
    refused = {}
    for each in managed:
        if each.request.is_source and not command.own.allow_build:
            message = f"building {each.package.name} from source can take hours; --allow-build lets pip try"
            tell(message)
            refused[each.request.text] = Primary(ok=False, cause="build-not-allowed", message=message)
        elif each.request.is_wheel and (words := _refused_wheel(each.request, place, tell, say_as_pip)):
            refused[each.request.text] = Primary(ok=False, cause=Cause.UNSUPPORTED_WHEEL.value, message=words)
    return refused


def _refused_wheel(request: Request, place: Workplace, tell: Tell, say_as_pip: Tell) -> str | None:
    """pip's words where it refuses a wheel for its tags; told with the reason that it leaves out."""
    build = read_build(request.location or request.text)
    mismatches = tag_mismatches(build, place.environment)
    if not mismatches:
        return None
    message = f"{build.filename} is not a supported wheel on this platform."
    say_as_pip(f"ERROR: {message}")
    for mismatch in mismatches:
        tell(f"{mismatch.rule}: {mismatch.text}")
    return message


def words_of_primary(
    command: CommandLine,
    requests: Sequence[Request],
    managed: Sequence[Managed],
    place: Workplace,
    *,
    hold_torch: bool,
) -> tuple[str, ...]:
    """The command as written, with torch held where it is and no build from source of what the catalog knows."""
    installed = place.installed()
    extra: list[str] = []
    if hold_torch:
        family = pins.torch_family(installed) - {request.name for request in requests}
        extra += pins.constraints(installed, family, place.scratch / "torch.txt")
    extra += _no_builds(command, managed)
    return command.replaced(lambda item: (*item.words, *extra) if item.kind == "command" else None)


def words_of_rest(command: CommandLine, managed: Sequence[Managed], failed: Collection[str]) -> tuple[str, ...]:
    """The command without its failed requirements, and no build from source of what the catalog knows."""

    def change(item: Item) -> Sequence[str] | None:
        if item.kind == "command":
            return (*item.words, *_no_builds(command, managed))
        return () if item.kind == "requirement" and item.value in failed else None

    return command.replaced(change)


def _no_builds(command: CommandLine, managed: Sequence[Managed]) -> tuple[str, ...]:
    if command.own.allow_build:
        return ()
    return tuple(word for each in managed for word in ("--only-binary", each.package.name))


def foresee_rest(
    command: CommandLine,
    requests: Sequence[Request],
    managed: Sequence[Managed],
    *,
    installation: Installation,
    failed: Collection[str],
    place: Workplace,
) -> Foresight | None:
    """What the command would bring without its failed requirements; None where that leaves torch as it is."""
    wanted = [item for item in command.wanted if item.value not in failed]
    # Another torchvision may well bring another torch.
    may_move = ("torch",) if command.own.keep_torch else pins.TORCH_FAMILY
    named = any(request.name in may_move for request in requests if request.name)
    held = "torch" in place.installed() and not named and not command.own.allow_torch_change
    if held or not wanted:
        return None
    return foresee(
        command,
        environment=place.environment,
        installation=installation,
        without=failed,
        extra=_no_builds(command, managed),
    )


def blamed(failure: Failure, managed: Sequence[Managed], command: CommandLine) -> Managed | None:
    """The managed request that pip failed over, if another build could cure that; None: pip's word stands."""
    if not (failure.cause.curable or held_up_by_torch(failure)):
        return None
    if (
        "No matching distribution" in failure.message
    ):  # pip names what it did not find last, before that who asked for it
        return _named(failure.message, managed)
    named = _named(failure.message, managed) or _named(failure.text, managed)
    # Of a damaged file some pips name nothing ("File is not a zip file"): where one thing was asked for, it is that.
    return named or (managed[0] if len(managed) == 1 and len(command.wanted) == 1 else None)


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
    return failure.cause is Cause.CONFLICT and any(
        name in pins.TORCH_FAMILY or name.startswith(("nvidia-", "cuda-")) for name in map(canonicalize_name, pinned)
    )


def _named(text: str, managed: Sequence[Managed]) -> Managed | None:
    flat = text.lower().replace("_", "-")
    longest_first = sorted(managed, key=lambda each: -len(each.package.name))
    return next((each for each in longest_first if re.search(rf"(?<![\w-]){each.package.name}(?!\w)", flat)), None)


def verdict_on(each: Managed, command: CommandLine, place: Workplace, tell: Tell) -> tuple[Primary, Verdict | None]:
    """Whether what pip installed for a request by itself works; ``Primary.ok`` is False where it needs another build."""
    installed = place.installed().get(each.package.name)
    if installed is None:  # an environment marker excluded it
        return Primary(ok=True), None
    if is_another_file(each.request, installed):
        message = f"pip left {installed.name} {installed.version} as it was: the wheel asked for calls itself the same"
        tell(message)
        return Primary(ok=False, cause="not-replaced", message=message), None
    if not command.own.verify:
        return Primary(ok=True), None
    verdict = place.verify(each.package, installed.version, timeout=command.own.verify_timeout)
    if verdict.acceptable:
        return Primary(ok=True), verdict
    tell(f"{installed.name} {installed.version} is installed, but does not work: {verdict.message}")
    return Primary(ok=False, cause=Cause.IMPORT_FAILED.value, message=verdict.message), verdict


def is_another_file(request: Request, installed: Installed) -> bool:
    """Whether pip did nothing, because what is there has the metadata version of the wheel that was asked for."""
    if not request.is_wheel or request.location is None:
        return False
    asked = request.location if "://" in request.location else Path(request.location).as_uri()
    origin = str((installed.direct_url or {}).get("url"))
    return origin.partition("?")[0] != without_credentials(asked).partition("?")[0]
