"""What ``plan``, ``explain`` and ``env`` show a person, as rich renderables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipfallback.compatibility import Decision
from pipfallback.environment import Environment
from pipfallback.questions import Explanation, Plan
from pipfallback.report import in_words

_ACCEPTED, _REFUSED = 10, 5  # builds that are listed without --all


def plan_table(plan: Plan, environment: Environment, *, everything: bool = False) -> RenderableType:
    """The builds in the order in which they would be tried, then the nearest of those that are refused."""
    accepted = [decision for decision in plan.decisions if decision.accepted]
    refused = [decision for decision in plan.decisions if not decision.accepted]
    head = Text(f"{plan.request.text}: {_count(accepted)} fit {in_words(environment)}", style="bold")
    parts: list[RenderableType] = [head]
    if accepted:
        parts.append(_accepted_table(accepted if everything else accepted[:_ACCEPTED]))
    if not everything and len(accepted) > _ACCEPTED:
        parts.append(Text(f"and {len(accepted) - _ACCEPTED} more (--all)", style="dim"))
    if refused:
        shown = refused if everything else refused[:_REFUSED]
        parts += [Text(""), Text(f"refused: {len(refused)}, the nearest first"), _refused_table(shown)]
    parts += [Text(note, style="dim") for note in plan.notes]
    return Group(*parts)


def explanation_table(explanation: Explanation, environment: Environment) -> RenderableType:
    """One wheel: what it was built for, and whether that fits."""
    if explanation.decision is None:
        return Text(f"{explanation.argument}: {explanation.error}", style="red")
    decision = explanation.decision
    verdict = f"fits {in_words(environment)}" if decision.grade == "fits" else f"may fit {in_words(environment)}"
    if not decision.accepted:
        verdict = f"does not fit {in_words(environment)}"
    table = _grid()
    for label, value in _facts(decision):
        table.add_row(label, value)
    for mismatch in decision.mismatches:
        table.add_row(Text(mismatch.rule, style="red"), Text(mismatch.text))
    for doubt in decision.doubts:
        table.add_row(Text("open", style="yellow"), Text(doubt))
    name = Text(decision.candidate.build.filename, style="bold", overflow="fold")
    return Group(name, Text(f"  {verdict}", style="green" if decision.accepted else "red"), table)


def environment_table(environment: Environment) -> RenderableType:
    """What counts for the choice of a build, and where each fact comes from."""
    table = _grid()
    torch, driver = environment.torch, environment.driver
    rows = [
        ("python", in_words(environment).partition(",")[0] + f" ({environment.python.version})", "python.version"),
        ("", environment.python.executable or "", ""),
        ("platform", environment.platform, "platform"),
        ("libc", _libc(environment), "glibc"),
        ("torch", torch.version if torch else "none", "torch"),
        ("  CUDA", (torch.cuda or "none") if torch else "-", "torch.cuda"),
        ("  ROCm", (torch.rocm or "none") if torch else "-", "torch.rocm"),
        ("  C++11 ABI", _abi(torch.cxx11_abi) if torch else "-", "torch.cxx11_abi"),
        ("driver", _driver(environment) if driver else "none", "driver"),
        (
            "GPUs",
            ", ".join(f"{gpu.name or 'GPU'} ({gpu.compute_capability})" for gpu in environment.gpus) or "none",
            "gpus",
        ),
    ]
    for label, value, key in rows:
        by = environment.declared_by.get(key)
        origin = environment.origins.get(key, "")
        table.add_row(label, value, Text(f"{origin} by {by}" if by else origin, style="dim"))
    return table


def _grid() -> Table:
    table = Table.grid(padding=(0, 2, 0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column()
    return table


def _accepted_table(decisions: Sequence[Decision]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("", "build", "source", "grade"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "build")
    for place, decision in enumerate(decisions, start=1):
        style = "green" if decision.grade == "fits" else "yellow"
        source = decision.candidate.source or "as asked"
        name = Text(decision.candidate.build.filename)
        for doubt in decision.doubts:
            name.append(f"\n{doubt}", style="dim")
        table.add_row(str(place), name, source, Text(decision.grade or "", style=style))
    return table


def _refused_table(decisions: Sequence[Decision]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="red")
    table.add_column(overflow="fold")
    for decision in decisions:
        source = f"  ({decision.candidate.source})" if decision.candidate.source else ""
        table.add_row("", Text(decision.candidate.build.filename + source))
        for mismatch in decision.mismatches:
            table.add_row(mismatch.rule, Text(mismatch.text))
    return table


def _facts(decision: Decision) -> Iterator[tuple[str, str]]:
    build = decision.candidate.build
    yield "for", ", ".join(sorted({f"{tag.interpreter}-{tag.abi}-{tag.platform}" for tag in build.tags}))
    compare = {"series": "", "exact": "exactly ", "minimum": "at least "}[build.torch_rule]
    yield "torch", f"{compare}{build.torch}" if build.torch else "not said"
    yield (
        "CUDA",
        "none (CPU only)" if build.cpu else build.cuda or (f"none (ROCm {build.rocm})" if build.rocm else "not said"),
    )
    label = "not said" if build.cxx11_abi_label is None else str(build.cxx11_abi_label).upper()
    yield "C++11 ABI", f"{_abi(build.cxx11_abi)}; the name says {label}"
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


def _driver(environment: Environment) -> str:
    driver = environment.driver
    version = driver.version if driver and driver.version else "version unknown"
    return f"{version}, CUDA up to {driver.cuda if driver and driver.cuda else 'unknown'}"


def _count(decisions: Sequence[Decision]) -> str:
    return "no build" if not decisions else "1 build" if len(decisions) == 1 else f"{len(decisions)} builds"
