"""Everything that a command asks for, wherever it stands: among its words, in files that it names, in pip's settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_

from packaging.specifiers import SpecifierSet

from pipfallback.arguments import CommandLine, Item
from pipfallback.pip_config import PipConfig
from pipfallback.requests import Request, RequestError, named_in, read_request
from pipfallback.requirement_files import Fetch, Line, Sheet, read_sheet

# Of a requirement file's own options, those that decide what is looked for, and where (pip's documentation,
# "Requirements File Format", "Global options").
_DECIDING = frozenset({
    "--extra-index-url", "--find-links", "--index-url", "--no-binary", "--no-index", "--pre", "--require-hashes", "--trusted-host",
})  # fmt: skip

# The file names that pip reads as a lock (PEP 751), extras of the lock behind them.
_LOCK = re.compile(r"(^|[\\/])pylock(\.[^./\\]+)?\.toml(\[[^\]]*\])?$")


def is_lock(name: str) -> bool:
    """Whether a requirement file of that name is read as a lock."""
    return _LOCK.search(name) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One requirement or constraint. ``editable``: pip is to install it from its sources, as they lie there."""

    request: Request
    constraint: bool = False
    editable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """A word or option of the command that asks for something, with what it asks for.

    ``sheet``: the requirement or constraint file that it names. ``configured``: it stands in pip's settings, not on the
    command line. ``locked``: it is a lock (PEP 751), which names exact files.
    """

    item: Item
    asks: tuple[Ask, ...]
    sheet: Sheet | None = None
    configured: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """What a command asks for. ``unreadable``: it names a file that pip will complain of. ``broken``: what is wrong with its URLs.

    ``held``: the names that ``--lock`` holds to the very files of a lock.
    """

    command: CommandLine
    elements: tuple[Element, ...]
    unreadable: bool = False
    broken: tuple[RequestError, ...] = ()
    held: frozenset[str] = frozenset()

    @property
    def requirements(self) -> tuple[Ask, ...]:
        """What is to be installed, in pip's order of reading."""
        return tuple(ask for element in self.elements for ask in element.asks if not ask.constraint)

    @property
    def bounds(self) -> tuple[Ask, ...]:
        """The constraints."""
        return tuple(ask for element in self.elements for ask in element.asks if ask.constraint)

    @property
    def names(self) -> frozenset[str]:
        """The names among the requirements."""
        return frozenset(ask.request.name for ask in self.requirements if ask.request.name)

    def is_locked(self, name: str) -> bool:
        """Whether a lock names the very files that a package may come from."""
        if name in self.held:
            return True
        return any(ask.request.name == name for element in self.elements if element.locked for ask in element.asks)

    def merged(self, name: str, applies: Callable[[Request], bool]) -> Request | None:
        """All that is asked of one package, as one request: every specifier holds, any location is the one.

        ``applies``: whether a requirement's marker holds. None where nothing asks for it here.
        """
        asked = [ask.request for ask in self.requirements if _is_wanted(ask, name) and applies(ask.request)]
        if not asked:
            return None
        bounds = [ask.request for ask in self.bounds if ask.request.name == name and applies(ask.request)]
        everything = (*asked, *bounds)
        located = next((each for each in everything if each.location), asked[0])
        return replace(
            located,
            text=asked[0].text if located in bounds else located.text,
            extras=tuple(sorted({extra for each in asked for extra in each.extras})),
            specifier=reduce(and_, (each.specifier for each in everything), SpecifierSet()),
            hashes=frozenset(digest for each in everything for digest in each.hashes),
        )


def _is_wanted(ask: Ask, name: str) -> bool:
    return ask.request.name == name and not ask.editable


def _unreachable(url: str) -> bytes:
    raise OSError(url)


def read_asks(
    command: CommandLine,
    config: PipConfig | None = None,
    *,
    fetch: Fetch = _unreachable,
    environ: Mapping[str, str] | None = None,
) -> Asks:
    """Read what a command asks for, its files and pip's settings included.

    ``fetch``: gets the bytes of a URL, or raises OSError. What cannot be read is left to pip, which says what is wrong.
    The command of the result holds what the files themselves say of indexes, pre-releases and hashes.
    """
    reader = _Reader(fetch=fetch, environ=environ or {})
    elements = [element for item in command.items if (element := reader.element(item)) is not None]
    for option in ("--requirement", "--constraint"):
        for value in config.getlist(option) if config is not None else ():
            item = Item(kind="option", words=(), name=option, value=value)
            element = reader.element(item)
            elements += [replace(element, configured=True)] if element is not None else []
    return Asks(
        command=_with_files(command, elements),
        elements=tuple(elements),
        unreadable=reader.unreadable,
        broken=tuple(reader.broken),
    )


def _with_files(command: CommandLine, elements: Iterable[Element]) -> CommandLine:
    """The command that knows what its files say: their options, and that a hash asks for all hashes (pip's own rule)."""
    items = [
        Item(kind="option", words=(), name=name, value=value)
        for element in elements
        if element.sheet is not None
        for _, line in element.sheet.walk()
        if line.requirement is None
        for name, value in line.options
        if name in _DECIDING
    ]
    hashed = any(ask.request.hashed for element in elements for ask in element.asks)
    if hashed and not command.has("--no-require-hashes"):
        items.append(Item(kind="option", words=(), name="--require-hashes"))
    return replace(command, items=(*command.items, *items)) if items else command


@dataclass(slots=True, kw_only=True)
class _Reader:
    fetch: Fetch
    environ: Mapping[str, str]
    unreadable: bool = False
    broken: list[RequestError] = field(default_factory=list)

    def element(self, item: Item) -> Element | None:
        """What one word or option asks for; None for one that asks for nothing."""
        if item.kind == "requirement":
            return Element(item=item, asks=(Ask(request=self._request(item.value or "")),))
        if item.value is None:
            return None
        if item.name == "--editable":
            return Element(item=item, asks=(Ask(request=self._request(item.value), editable=True),))
        if item.name not in {"--requirement", "--constraint", "--group", "--requirements-from-script"}:
            return None
        try:
            return self._file(item, item.value)
        except (OSError, ValueError):
            self.unreadable = True
            return Element(item=item, asks=())

    def _request(self, text: str) -> Request:
        try:
            return read_request(text)
        except RequestError as error:
            self.broken.append(error)
            return _left_to_pip(text)

    def _file(self, item: Item, name: str) -> Element:
        path = name.partition(":")[0] if item.name == "--group" else name
        if item.name in {"--requirement", "--group"} and is_lock(path):
            return Element(item=item, asks=tuple(_locked(path)), locked=True)
        if item.name in {"--group", "--requirements-from-script"}:
            from pipfallback import project_files  # start-up: seldom needed

            found = project_files.group(name) if item.name == "--group" else project_files.script(name)
            return Element(item=item, asks=tuple(Ask(request=_in_file(text)) for text in found))
        sheet = read_sheet(name, constraint=item.name == "--constraint", fetch=self.fetch, environ=self.environ)
        asks = tuple(ask_of(line, inner) for inner, line in sheet.walk() if line.requirement)
        return Element(item=item, asks=asks, sheet=sheet)


def _in_file(text: str) -> Request:
    try:
        return read_request(text)
    except RequestError:
        return _left_to_pip(text)


def _left_to_pip(text: str) -> Request:
    """A URL that is none: pip says so. The package is known by the end of it, at most."""
    return Request(text=text, name=named_in(text))


def ask_of(line: Line, sheet: Sheet) -> Ask:
    """What a line of a file asks for."""
    request = _in_file(line.requirement or "")
    said = () if line.editable else line.values("--hash")  # pip asks for none of what it takes from a folder
    hashes = frozenset(each.partition(":")[2].lower() for each in said if each.startswith("sha256:"))
    request = replace(request, hashes=request.hashes | hashes, hashed=request.hashed or bool(said))
    return Ask(request=request, constraint=sheet.constraint, editable=line.editable)


def _locked(name: str) -> Iterator[Ask]:
    """The packages of a lock: each in the version and with the hashes that it names."""
    from pipfallback import project_files  # start-up: seldom needed

    for package in project_files.locked(name):
        hashes = {wheel.hashes.get("sha256") for wheel in package.wheels or ()}
        hashes |= {source.hashes.get("sha256") for source in (package.sdist, package.archive) if source is not None}
        request = Request(
            text=package.name if package.version is None else f"{package.name}=={package.version}",
            name=package.name,
            specifier=SpecifierSet("" if package.version is None else f"=={package.version}"),
            marker=package.marker,
            hashes=frozenset(digest for digest in hashes if digest),
            hashed=bool(hashes),
        )
        yield Ask(request=request, editable=package.directory is not None and bool(package.directory.editable))
