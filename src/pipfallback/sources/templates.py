"""Pages whose URL names a torch, a CUDA and a Python: filled in from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import NamedTuple

from pipfallback.builds import LabelHints
from pipfallback.environment import Environment
from pipfallback.evidence import read_folder
from pipfallback.labels import Label, torch_from_digits

# Their names are those of catalog_tables.PAGE_PLACEHOLDERS.
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Unfilled(NamedTuple):
    """Why a template has no page here; ``hint``: what would give it one."""

    text: str
    hint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """One page: its URL, and what the values that were filled in say of the files that it lists."""

    url: str
    torch: str | None = None
    cuda: str | None = None
    rocm: str | None = None
    cpu: bool | None = None


def fill(template: str, environment: Environment) -> tuple[Filled, ...] | Unfilled:
    """The pages of a template, to be tried in order: that for the exact torch, then that for the first of its series.

    Publishers that name a patch mostly build for the first of a series only (data.pyg.org, download.openmmlab.com). A
    template without placeholders is one page.
    """
    wanted = set(_PLACEHOLDER.findall(template))
    torch = environment.torch
    if wanted & {"torch", "torch_series", "torch_packed", "cuda"} and torch is None:
        there = "is not installed" if environment.origins.get("torch") != "unknown" else "is not known"
        return Unfilled(
            f"its page depends on torch, which {there}",
            "pipfallback plan NAME --torch 2.7.1+cu126 asks about another machine",
        )
    accelerator = _accelerator(environment)
    if "cuda" in wanted and accelerator is None:
        return Unfilled(
            "its page depends on torch's CUDA, which is not known", "pipfallback plan NAME --cuda 12.6 states it"
        )
    filled: dict[str, Filled] = {}
    for release in _releases(environment):
        values = {**_torch_values(release), **_python_values(environment), "cuda": accelerator or ""}
        url = _PLACEHOLDER.sub(lambda found: values[found[1]], template)  # noqa: B023  (it is called at once)
        filled.setdefault(url, _with_facts(url, wanted, release, environment))
    return tuple(filled.values())


def page_hints(page: Filled, url: str, hints: LabelHints) -> LabelHints:
    """How to read names that say nothing themselves, on a page at ``url``: by ``hints``, the template, the page's path.

    They hold only for files whose own folders say nothing (``read_build`` takes hints before folders).
    """
    label = read_folder(url.partition("?")[0].replace("%2B", "+").replace("%2b", "+").lower())
    if not (hints.cuda or hints.rocm or hints.cpu):
        cuda, rocm, cpu = _accelerator_of(page, label)
        hints = replace(hints, cuda=cuda, rocm=rocm, cpu=cpu)
    torch = hints.torch or page.torch or _torch_of(label, hints)
    return replace(hints, torch=torch, archs=hints.archs or label.archs)


def _accelerator_of(page: Filled, label: Label) -> tuple[str | None, str | None, bool | None]:
    """(CUDA, ROCm, CPU alone): what was filled in counts before what the path says."""
    stated = label.accelerator
    if page.cuda or page.rocm or page.cpu or stated is None:
        return page.cuda, page.rocm, page.cpu
    version = stated.version
    return (
        version if stated.kind == "cuda" else None,
        version if stated.kind == "rocm" else None,
        stated.kind == "cpu" or None,
    )


def _torch_of(label: Label, hints: LabelHints) -> str | None:
    if label.torch_digits is None:
        return label.torch
    cuda = label.accelerator.version if label.accelerator and label.accelerator.kind == "cuda" else None
    return torch_from_digits(label.torch_digits, hints.torch_digits, cuda)


def _releases(environment: Environment) -> tuple[tuple[str, str, str], ...]:
    """(major, minor, patch) of the torch that is here, and of the first of its series."""
    if environment.torch is None:
        return (("", "", ""),)
    numbers = re.findall(r"\d+", environment.torch.version.partition("+")[0])
    major, minor, patch = (number or "0" for number, _ in zip_longest(numbers[:3], range(3)))
    return ((major, minor, patch), (major, minor, "0"))


def _torch_values(release: tuple[str, str, str]) -> Mapping[str, str]:
    return {"torch": ".".join(release), "torch_series": ".".join(release[:2]), "torch_packed": "".join(release)}


def _python_values(environment: Environment) -> Mapping[str, str]:
    """The tag of PEP 425 as in patterns ("cp310"), and its digits alone ("310")."""
    digits = "".join(environment.python.version.split(".")[:2])
    return {"python": f"cp{digits}", "python_packed": digits}


def _accelerator(environment: Environment) -> str | None:
    """As PyTorch's own index names it: "cu126", "rocm6.3", "cpu" (download.pytorch.org/whl)."""
    torch = environment.torch
    if torch is None:
        return None
    if torch.cuda:
        return "cu" + "".join(torch.cuda.split(".")[:2])
    if torch.rocm:
        return f"rocm{torch.rocm}"
    return "cpu" if torch.cpu else None


def _with_facts(url: str, wanted: set[str], release: tuple[str, str, str], environment: Environment) -> Filled:
    torch = environment.torch
    stated = None
    if wanted & {"torch", "torch_packed"}:
        stated = ".".join(release)
    elif "torch_series" in wanted:
        stated = ".".join(release[:2])
    if "cuda" not in wanted or torch is None:
        return Filled(url=url, torch=stated)
    return Filled(url=url, torch=stated, cuda=torch.cuda, rocm=torch.rocm, cpu=torch.cpu or None)
