"""Kind ``sdist``: building from source, the last resort, and only where the user allows it.

It lists no candidate: nothing is known of a build before it is made. ``recipe`` says how pip should be run for one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipfallback.catalog import Source
from pipfallback.environment import Environment
from pipfallback.sources.reading import Note
from pipfallback.trust import Trust

_GIB = 1 << 30
# "each JOB peak memory cost is ~8-9GB when threads = 4", and at most half the cores (flash-attn, setup.py,
# NinjaBuildExtension; mamba-ssm and causal-conv1d have the same lines).
_MEMORY_OF_A_JOB = 9 * _GIB
# What builds of torch extensions import before pip could install it for them, where they are not isolated (flash-attn,
# README: "packaging, psutil and ninja").
_TOOLS = ("setuptools", "wheel", "packaging", "ninja", "psutil")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBuild:
    """What pip may build: ``location`` is a URL of sources, None where the index has them under the package's name."""

    source: str
    trust: Trust
    location: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How pip is run for a build: further ``options``, ``variables`` for its environment, and the line said before.

    ``missing``: distributions that such builds mostly need and that are not installed (None: not known what is).
    """

    options: tuple[str, ...]
    announcement: str
    variables: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


def source_build(source: Source, name: str, *, allowed: bool) -> SourceBuild | Note:
    """What a source of this kind offers; a note that names the option where building is not allowed."""
    if not allowed:
        text = f"{name} can be built from source, which can take hours"
        return Note(source=source.name, text=text, cause="build-not-allowed", hint="--allow-build lets pip build it")
    return SourceBuild(source=source.name, trust=source.trust, location=next(iter(source.urls), None))


def recipe(
    name: str, environment: Environment, environ: Mapping[str, str], *, memory: int | None, cores: int
) -> Recipe:
    """How to build package ``name`` for ``environment``.

    ``memory``: bytes that are free, None where that is not known. What the user has set in ``environ`` stays. The
    torch that is installed is built against: an isolated build would fetch another one (pip, --no-build-isolation).
    """
    jobs = max(1, min(cores // 2, memory // _MEMORY_OF_A_JOB if memory is not None else cores))
    variables = {}
    if not environ.get("MAX_JOBS"):
        variables["MAX_JOBS"] = str(jobs)
    archs = sorted(
        {gpu.compute_capability for gpu in environment.gpus}, key=lambda arch: [*map(_number, arch.split("."))]
    )
    if archs and not environ.get("TORCH_CUDA_ARCH_LIST"):
        variables["TORCH_CUDA_ARCH_LIST"] = ";".join(archs)
    installed = environment.installed
    said = environ.get("MAX_JOBS") or jobs
    return Recipe(
        options=("--no-build-isolation", "--no-binary", name),
        announcement=f"building {name} from source: minutes on a large machine, hours on a small one "
        f"({said} {'job' if str(said) == '1' else 'jobs'} at a time; MAX_JOBS sets it)",
        variables=variables,
        missing=() if installed is None else tuple(tool for tool in _TOOLS if tool not in installed),
    )


def _number(text: str) -> int:
    return int("".join(filter(str.isdigit, text)) or 0)


def cores_here() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that can be used without swapping: what the kernel says, or less under a limit of the container.

    None where neither is known. (proc(5), MemAvailable; the kernel's documentation of cgroup v2, memory.max, and of v1.)
    """
    found = [limit for limit in (_available(root), *_left_in_container(root)) if limit is not None]
    return max(0, min(found)) if found else None


def _available(root: Path) -> int | None:
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable" and value.split()[1:] == ["kB"]:
            return int(value.split()[0]) * 1024
    return None


def _left_in_container(root: Path) -> list[int]:
    group = root / "sys/fs/cgroup"
    left = []
    for limit, used in (
        (group / "memory.max", group / "memory.current"),
        (group / "memory/memory.limit_in_bytes", group / "memory/memory.usage_in_bytes"),
    ):
        allowed, taken = _text(limit).strip(), _text(used).strip()
        if allowed.isdigit() and taken.isdigit():  # "max": no limit
            left.append(int(allowed) - int(taken))
    return left


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
