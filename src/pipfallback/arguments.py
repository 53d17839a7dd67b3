"""A pip command line taken apart: pip's words, pipfallback's own options, and the requirements among them.

Nothing is validated that is pip's to validate: what this module does not know goes on to pip as it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from pipfallback import pip_options
from pipfallback.errors import UsageError
from pipfallback.pip_config import PipConfig
from pipfallback.trust import Trust

ItemKind: TypeAlias = Literal["command", "option", "requirement", "end"]


# pip's options that name what to install.
REQUIREMENT_OPTIONS = frozenset({"--requirement", "--editable", "--group", "--requirements-from-script"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One element of the command line. ``words`` are what pip is given for it.

    ``name`` is an option's canonical long name; ``value`` its value, or the text of a requirement or command.
    """

    kind: ItemKind
    words: tuple[str, ...]
    name: str = ""
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnOptions:
    """The options that are pipfallback's and not pip's (DESIGN 7)."""

    python: str | None = None
    fallbacks: tuple[str, ...] = ()
    fallback: bool = True
    verify: bool = True
    verify_timeout: float = 120.0
    trust_level: Trust = Trust.VENDOR
    allow_build: bool = False
    keep_torch: bool = False
    allow_torch_change: bool = False
    same_version: bool = False
    fail_on_fallback: bool = False
    max_attempts: int = 5
    peek: bool = True
    gpu: str | None = None
    driver_cuda: str | None = None
    lock: str | None = None
    outcome: str | None = None
    explain: bool = False
    installer: Literal["pip", "uv"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """A pip command line. ``command`` is None where none was given (``pipfallback --version``).

    ``variables``: the options that decide what an install does and that pip itself takes from PIP_* variables.
    """

    command: str | None
    items: tuple[Item, ...]
    own: OwnOptions = field(default_factory=OwnOptions)
    variables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def requirements(self) -> tuple[Item, ...]:
        """The positional requirements, in order."""
        return tuple(item for item in self.items if item.kind == "requirement")

    @property
    def wanted(self) -> tuple[Item, ...]:
        """Everything that asks for something to be installed: requirements, and the options that name some."""
        return tuple(item for item in self.items if item.kind == "requirement" or item.name in REQUIREMENT_OPTIONS)

    def has(self, *names: str) -> bool:
        """Whether one of the options (canonical names) was given, on the command line or by a PIP_* variable."""
        return any(item.kind == "option" and item.name in names for item in self.items) or any(
            name in self.variables for name in names
        )

    def values(self, name: str) -> tuple[str, ...]:
        """The values given for an option (canonical name), in order; the command line counts before a variable."""
        said = tuple(item.value for item in self.items if item.name == name and item.value is not None)
        return said or self.variables.get(name, ())

    def words(self) -> tuple[str, ...]:
        """The whole command for pip, without pipfallback's own options."""
        return tuple(word for item in self.items for word in item.words)

    def replaced(self, change: Callable[[Item], Sequence[str] | None]) -> tuple[str, ...]:
        """The words with ``change`` applied to each item: other words for it, ``()`` to drop it, None to keep it."""
        changed: list[str] = []
        for item in self.items:
            words = change(item)
            changed.extend(item.words if words is None else words)
        return tuple(changed)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError
    return seconds


def _installer(text: str) -> str:
    if text not in {"pip", "uv"}:
        raise ValueError
    return text


# option -> (field, how its value is read, what the value must be)
_OWN_VALUES: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "--python": ("python", str, "an interpreter"),
    "--fallbacks": ("fallbacks", str, "a file"),
    "--verify-timeout": ("verify_timeout", _seconds, "a number of seconds"),
    "--trust-level": ("trust_level", Trust, "official, vendor or community"),
    "--max-attempts": ("max_attempts", _positive, "a whole number from 1"),
    "--gpu": ("gpu", str, "compute capabilities such as 8.9,9.0"),
    "--driver-cuda": ("driver_cuda", str, "a CUDA version such as 12.8"),
    "--lock": ("lock", str, "a lock file"),
    "--outcome": ("outcome", str, "a file"),
    "--installer": ("installer", _installer, "pip or uv"),
}
_OWN_FLAGS: dict[str, tuple[str, bool]] = {
    "--no-fallback": ("fallback", False),
    "--verify": ("verify", True),
    "--no-verify": ("verify", False),
    "--allow-build": ("allow_build", True),
    "--keep-torch": ("keep_torch", True),
    "--allow-torch-change": ("allow_torch_change", True),
    "--same-version": ("same_version", True),
    "--fail-on-fallback": ("fail_on_fallback", True),
    "--no-peek": ("peek", False),
    "--explain": ("explain", True),
}
_TRUE, _FALSE = {"1", "true", "yes", "on", "y", "t"}, {"0", "false", "no", "off", "n", "f", ""}


def parse(words: Sequence[str], environ: Mapping[str, str]) -> CommandLine:
    """Take a command line apart (without the program's name), with PIPFALLBACK_* variables as defaults.

    Raises UsageError for an own option whose value is missing or cannot be read.
    """
    own = _from_environ(environ)
    items: list[Item] = []
    command: str | None = None
    rest = iter(words)
    for word in rest:
        if word == "--":
            items.append(Item(kind="end", words=("--",)))
            items.extend(Item(kind="requirement", words=(text,), value=text) for text in rest)
        elif word.startswith("--"):
            if not _take_own(word, rest, own, command):
                items.append(_long(word, rest))
        elif word.startswith("-") and word != "-":
            items.extend(_cluster(word, rest))
        elif command is None:
            command = word
            items.append(Item(kind="command", words=(word,), value=word))
        else:
            items.append(Item(kind="requirement", words=(word,), value=word))
    if own.get("keep_torch") and own.get("allow_torch_change"):
        raise UsageError("--keep-torch and --allow-torch-change exclude each other")
    return CommandLine(command=command, items=tuple(items), own=OwnOptions(**own), variables=_of_pip(environ))


# pip's options that this program looks at, as pip names their variables: PIP_ and the long name.
_PIP_VALUES = (
    "--target", "--prefix", "--root", "--platform", "--python-version", "--abi", "--implementation", "--progress-bar",
)  # fmt: skip
_PIP_COUNTS = ("--quiet", "--verbose")
_PIP_LISTS = frozenset({"--platform", "--abi"})
_PIP_FLAGS = ("--user", "--dry-run", "--no-deps", "--pre", "--require-hashes")


def _of_pip(environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """What PIP_* variables say of them; of a list the parts are separated by white space (pip's documentation)."""
    said = {name: environ.get("PIP_" + name[2:].replace("-", "_").upper(), "").strip() for name in _PIP_VALUES}
    values = {name: tuple(text.split()) if name in _PIP_LISTS else (text,) for name, text in said.items() if text}
    flags = {name: environ.get("PIP_" + name[2:].replace("-", "_").upper(), "").lower() for name in _PIP_FLAGS}
    return values | {name: () for name, text in flags.items() if text in _TRUE}


def under_settings(command: CommandLine, config: PipConfig) -> CommandLine:
    """The command with what pip's settings say, its configuration files included."""
    said = {
        name: config.getlist(name) if name in _PIP_LISTS else (str(config.get(name)).strip(),)
        for name in _PIP_VALUES
        if config.get(name)
    }
    flags: dict[str, tuple[str, ...]] = {name: () for name in _PIP_FLAGS if config.flag(name)}
    flags |= {name: () for name in _PIP_COUNTS if (config.get(name) or "0").strip() not in {"0", "false", "no", "off"}}
    return replace(command, variables=said | flags)


def own_option_names(field_name: str) -> tuple[str, ...]:
    """The option spellings that set a field of OwnOptions, for messages and the manual."""
    values = [option for option, (name, _, _) in _OWN_VALUES.items() if name == field_name]
    return (*values, *(option for option, (name, _) in _OWN_FLAGS.items() if name == field_name))


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    """Defaults from the environment: PIPFALLBACK_ and the option's name; lists are separated by white space."""
    own: dict[str, Any] = {}
    for option, (name, read, wanted) in _OWN_VALUES.items():
        variable = "PIPFALLBACK_" + option[2:].replace("-", "_").upper()
        text = environ.get(variable)
        if not text:
            continue
        if name == "fallbacks":
            own[name] = tuple(text.split())
        else:
            own[name] = _read(variable, read, text, wanted)
    for option, (name, meaning) in _OWN_FLAGS.items():
        variable = "PIPFALLBACK_" + option[2:].replace("-", "_").upper()
        text = environ.get(variable, "").lower()
        if text not in _TRUE | _FALSE:
            raise UsageError(f"{variable} must be 1 or 0, not {environ[variable]!r}")
        if text:
            own[name] = meaning if text in _TRUE else not meaning
    return own


def _take_own(word: str, rest: Iterator[str], own: dict[str, Any], command: str | None) -> bool:
    option, equals, attached = word.partition("=")
    if option == "--no-verify" and command == "wheel":
        return False  # pip wheel has an option of this name
    if option in _OWN_FLAGS:
        if equals:
            raise UsageError(f"{option} takes no value")
        name, own[name] = _OWN_FLAGS[option]
        return True
    if option not in _OWN_VALUES:
        return False
    name, read, wanted = _OWN_VALUES[option]
    text = attached if equals else next(rest, None)
    if text is None:
        raise UsageError(f"{option} needs {wanted}")
    value = _read(option, read, text, wanted)
    own[name] = (*own.get(name, ()), value) if name == "fallbacks" else value
    return True


def _read(where: str, read: Callable[[str], Any], text: str, wanted: str) -> Any:
    try:
        return read(text)
    except ValueError:
        raise UsageError(f"{where} must be {wanted}, not {text!r}") from None


def _long(word: str, rest: Iterator[str]) -> Item:
    option, equals, attached = word.partition("=")
    full = pip_options.unabbreviated(option)
    name = pip_options.canonical(full)
    if equals:
        return Item(kind="option", words=(word,), name=name, value=attached)
    if full not in pip_options.TAKES_VALUE:
        return Item(kind="option", words=(word,), name=name)
    value = next(rest, None)
    if value is None:
        return Item(kind="option", words=(word,), name=name)  # pip says what is missing
    return Item(kind="option", words=(word, value), name=name, value=value)


def _cluster(word: str, rest: Iterator[str]) -> Iterator[Item]:
    """``-qqr file`` is ``-q -q -r file``; ``-rfile`` is ``-r file``."""
    for position, letter in enumerate(word[1:], start=1):
        option = f"-{letter}"
        name = pip_options.canonical(option)
        if option not in pip_options.TAKES_VALUE:
            yield Item(kind="option", words=(option,), name=name)
            continue
        value = word[position + 1 :] or next(rest, None)
        words = (option,) if value is None else (option, value)
        yield Item(kind="option", words=words, name=name, value=value)
        return
