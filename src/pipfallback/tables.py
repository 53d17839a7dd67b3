"""What ``plan``, ``explain``, ``env`` and ``verify`` show a person, as rich renderables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from pipfallback.checks import Check
from pipfallback.compatibility import Decision
from pipfallback.environment import Environment
from pipfallback.inspection.description import describe
from pipfallback.questions import Explanation, Plan
from pipfallback.report import examples, in_words
from pipfallback.requests import without_credentials
from pipfallback.short_names import fitted, shortened, that_fits

_ACCEPTED, _REFUSED = 10, 5  # builds that are listed without --all
_INDENT = (0, 0, 0, 2)
_VERDICT_STYLES = {"works": "green", "imports": "green", "inconclusive": "yellow", "broken": "red"}
_WIDE = 60  # columns in which three of a table have room
_BESIDE = 36  # columns for a name, below which its source goes to the next line


def plan_table(plan: Plan, environment: Environment, *, everything: bool = False) -> RenderableType:
    """The builds in the order in which they would be tried, then the nearest of those that are refused."""
    accepted = [decision for decision in plan.decisions if decision.accepted]
    refused = [decision for decision in plan.decisions if not decision.accepted]
    request = plan.request
    # A URL would fill two lines, and its file stands below, "as asked".
    asked = request.name if request.is_wheel and request.name else without_credentials(request.text)
    lines: list[RenderableType] = [Text(f"{asked}: {_count(accepted)} {in_words(environment)}", style="bold")]
    shown = accepted if everything else accepted[:_ACCEPTED]
    names = _Names()
    for place, decision in enumerate(shown, start=1):
        lines += _accepted(place, decision, names)
    if len(accepted) > len(shown):
        lines.append(Text(f"and {len(accepted) - len(shown)} more (--all)", style="dim"))
    if refused:
        few = refused if everything else examples(refused, _REFUSED)
        which = "the nearest first" if len(few) == len(refused) else "the nearest for each reason (--all: every one)"
        lines += [Text(), Text(f"refused: {len(refused)}, {which}", style="bold")]
        for decision in few:
            lines += _refused(decision, names)
    lines += [Fitted(note, "dim", always=True) for note in plan.notes]
    return Group(*lines, names)


def explanation_table(explanation: Explanation, environment: Environment) -> RenderableType:
    """One wheel: what it was built for, and whether that fits."""
    if explanation.decision is None:
        return Text(f"{without_credentials(explanation.argument)}: {explanation.error}", style="red")
    decision = explanation.decision
    verdict = f"fits {in_words(environment)}" if decision.grade == "fits" else f"may fit {in_words(environment)}"
    if not decision.accepted:
        verdict = f"does not fit {in_words(environment)}"
    table = _grid()
    for label, value in _facts(decision):
        table.add_row(label, value)
    if explanation.findings is not None:
        for place, line in enumerate(describe(explanation.findings.facts)):
            table.add_row("the file" if place == 0 else "", line)
    if explanation.unread is not None:
        table.add_row(Text("the file", style="yellow"), Text(f"could not be read: {explanation.unread}"))
    for mismatch in decision.mismatches:
        table.add_row(Text(mismatch.rule, style="red"), Text(mismatch.text))
    for doubt in decision.doubts:
        table.add_row(Text("open", style="yellow"), Text(doubt))
    name = Text(decision.candidate.build.filename, style="bold", overflow="ignore", no_wrap=True)
    colour = {"fits": "green", "plausible": "yellow", None: "red"}[decision.grade]
    return Group(
        name, Padding(Text(verdict, style=colour), _INDENT, expand=False), Padding(table, _INDENT, expand=False)
    )


def checks_table(checks: Sequence[Check]) -> RenderableType:
    """What was verified, one package after another, and what to do where it does not work."""
    if not checks:
        return Text("no package is installed that a fallbacks.toml knows")
    lines: list[RenderableType] = []
    for each in checks:
        verdict = each.verdict
        name = f"{each.name} {each.version}" if each.version else each.name
        lines.append(Text.assemble((name, "bold"), "  ", (verdict.status, _VERDICT_STYLES[verdict.status])))
        told = [verdict.message, verdict.warning and f"warning: {verdict.warning}"]
        told.append(verdict.hint and f"hint: {verdict.hint}")
        lines += [Padding(Text(line), _INDENT, expand=False) for line in told if line]
    return Group(*lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fact:
    """One line of an environment; ``key`` is that of its origin."""

    label: str
    value: str
    key: str = ""


class Trimmed:
    """What is in it, without the spaces that rich puts behind the last word of a line."""

    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """See rich's console protocol."""
        for segments in Segment.split_lines(console.render(self._renderable, options)):
            line = list(segments)
            while line and not line[-1].text.strip() and not line[-1].control:
                line.pop()
            if line and not line[-1].control:
                text, style, _ = line.pop()
                line.append(Segment(text.rstrip(), style))
            yield from line
            yield Segment.line()


class Fitted:
    """A line; what a terminal has no room for is indented below (``always``: in any output that has a width)."""

    def __init__(self, line: str, style: str, *, always: bool = False) -> None:
        self._line, self._style, self._always = line, style, always

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """See rich's console protocol."""
        width = options.max_width if console.is_interactive or self._always else None
        for line in fitted(self._line, width, ellipsis="..." if options.ascii_only else "…"):
            yield Text(line, style=self._style, no_wrap=True, overflow="ignore")


class _Names:
    """Whether names of a table were shortened; shown at its end."""

    def __init__(self) -> None:
        self.shortened = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """See rich's console protocol."""
        del console, options
        if self.shortened:
            yield Text("(names are shortened here; in a pipe and with --json they are whole)", style="dim")


class _Name:
    """A build with what stands before its name, and its source.

    A file name is never broken over lines, and shortened only at a terminal: it is what a reader copies and searches for.
    """

    def __init__(self, decision: Decision, head: Text, source: str | None, names: _Names) -> None:
        self._filename, self._head, self._names = decision.candidate.build.filename, head, names
        self._source = f"({source})" if source else ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """See rich's console protocol."""
        source = f"  {self._source}" if self._source else ""
        ellipsis = "..." if options.ascii_only else "…"
        room = options.max_width - len(self._head)
        if not console.is_interactive or len(self._filename) + len(source) <= room:
            yield _unbroken(self._head, self._filename, (source, "dim"))
            return
        self._names.shortened |= len(self._filename) > room
        if (name := that_fits(self._filename, room - len(source), ellipsis)) and room - len(source) >= _BESIDE:
            self._names.shortened |= name != self._filename
            yield _unbroken(self._head, name, (source, "dim"))
            return
        if (name := that_fits(self._filename, room, ellipsis)) is not None:
            yield _unbroken(self._head, name)
        else:
            yield _unbroken(self._head)
            yield _unbroken(" " * 5, shortened(self._filename, options.max_width - 5, ellipsis))
        if self._source:
            yield _indented(Text(self._source, style="dim"))


class _Facts:
    """Facts with their origins: in a column of their own, or behind the values where the terminal is narrow."""

    def __init__(self, rows: Sequence[tuple[str, Text, Text]]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """See rich's console protocol."""
        del console
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        if options.max_width >= _WIDE:
            table.add_column(no_wrap=True)
        for label, value, origin in self._rows:
            if options.max_width >= _WIDE:
                table.add_row(label, value, origin)
            else:
                table.add_row(label, Text.assemble(value, "  " if origin.plain else "", origin))
        yield table


def environment_table(environment: Environment) -> RenderableType:
    """What counts for the choice of a build, and where each fact comes from."""
    rows = []
    for fact in _environment_facts(environment):
        unknown = fact.value == "unknown"
        origin = Text() if unknown else _origin(fact.key, environment)
        rows.append((fact.label, Text(fact.value, style="yellow" if unknown else ""), origin))
    return _Facts(rows)


def _environment_facts(environment: Environment) -> Iterator[_Fact]:
    python = environment.python
    yield _Fact(label="python", value=f"{in_words(environment).partition(',')[0]} ({python.version})", key="python")
    if python.executable:
        yield _Fact(label="", value=python.executable)
    yield _Fact(label="platform", value=environment.platform, key="platform")
    yield _Fact(label="libc", value=_libc(environment), key="musl" if environment.musl else "glibc")
    yield from _torch_facts(environment)
    if environment.cuda_toolkit or environment.rocm_toolkit:
        yield _Fact(label="toolkit", value=_toolkit(environment), key="toolkit")
    yield _Fact(label="driver", value=_or_unknown(_driver(environment), "driver", environment), key="driver")
    yield _Fact(label="GPUs", value=_or_unknown(_gpus(environment), "gpus", environment), key="gpus")


def _torch_facts(environment: Environment) -> Iterator[_Fact]:
    torch = environment.torch
    version = torch.version if torch else "none"
    yield _Fact(label="torch", value=_or_unknown(version, "torch", environment), key="torch")
    if torch is None:
        return
    if torch.rocm:
        yield _Fact(label="  ROCm", value=torch.rocm, key="torch.cuda")
    else:
        yield _Fact(label="  CUDA", value=torch.cuda or ("none" if torch.cpu else "unknown"), key="torch.cuda")
    yield _Fact(label="  C++11 ABI", value=_abi(torch.cxx11_abi), key="torch.cxx11_abi")


def _or_unknown(value: str, key: str, environment: Environment) -> str:
    """Nothing there is "none" only where it was looked for."""
    return "unknown" if value == "none" and environment.origins.get(key) == "unknown" else value


def _origin(key: str, environment: Environment) -> Text:
    """Where a fact comes from; one of torch's that is noted for itself comes from where torch does."""
    origin = environment.origins.get(key) or environment.origins.get(key.partition(".")[0], "")
    by = environment.declared_by.get(key) or (
        environment.declared_by.get("torch") if key.startswith("torch.") else None
    )
    return Text(f"{origin} by {by}" if by else origin, style="dim" if origin == "found" else "cyan")


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _accepted(place: int, decision: Decision, names: _Names) -> Iterator[RenderableType]:
    style = "green" if decision.grade == "fits" else "yellow"
    head = Text.assemble(f"{place:>3}  ", (f"{decision.grade or '':<9}", style), "  ")
    yield _Name(decision, head, decision.candidate.source or "as asked", names)
    for doubt in decision.doubts:
        yield _indented(Text(doubt, style="dim"))


def _refused(decision: Decision, names: _Names) -> Iterator[RenderableType]:
    yield _Name(decision, Text("     "), decision.candidate.source, names)
    for mismatch in decision.mismatches:
        yield _indented(Text.assemble((f"{mismatch.rule:<13}", "red"), f"  {mismatch.text}"))


def _unbroken(*parts: str | Text | tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ignore")


def _indented(text: Text) -> RenderableType:
    return Padding(text, (0, 0, 0, 7), expand=False)


def _facts(decision: Decision) -> Iterator[tuple[str, str]]:
    build = decision.candidate.build
    yield "for", ", ".join(sorted({f"{tag.interpreter}-{tag.abi}-{tag.platform}" for tag in build.tags}))
    compare = {"series": "", "exact": "exactly ", "minimum": "at least "}[build.torch_rule]
    yield "torch", f"{compare}{build.torch}" if build.torch else "not said"
    yield (
        "CUDA",
        "none (CPU only)" if build.cpu else build.cuda or (f"none (ROCm {build.rocm})" if build.rocm else "not said"),
    )
    label = "does not say" if build.cxx11_abi_label is None else f"says {str(build.cxx11_abi_label).upper()}"
    yield "C++11 ABI", f"{_abi(build.cxx11_abi)}; the name {label}"
    if build.archs is not None:
        yield "GPUs", ", ".join(build.archs)
    if decision.candidate.source:
        yield "source", f"{decision.candidate.source} ({decision.candidate.trust.value})"


def _abi(value: bool | None) -> str:
    return "unknown" if value is None else "new (TRUE)" if value else "old (FALSE)"


def _libc(environment: Environment) -> str:
    if environment.glibc:
        return f"glibc {environment.glibc}"
    return f"musl {environment.musl}" if environment.musl else "-"


def _toolkit(environment: Environment) -> str:
    kinds = (("CUDA", environment.cuda_toolkit), ("ROCm", environment.rocm_toolkit))
    return ", ".join(f"{name} {version}" for name, version in kinds if version)


def _driver(environment: Environment) -> str:
    driver = environment.driver
    if driver is None:
        return "none"
    return f"{driver.version or 'version unknown'}, CUDA up to {driver.cuda or 'unknown'}"


def _gpus(environment: Environment) -> str:
    """Each kind once: a machine may have eight of the same."""
    kinds = Counter(f"{gpu.name or 'GPU'} ({gpu.compute_capability})" for gpu in environment.gpus)
    return ", ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in kinds.items()) or "none"


def _count(decisions: Sequence[Decision]) -> str:
    return (
        "no build fits" if not decisions else "1 build fits" if len(decisions) == 1 else f"{len(decisions)} builds fit"
    )
