"""Sources of kind ``sdist``: never by surprise, and how pip is run where the user allows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.asking import asking, environment, listing, source
from pipfallback.environment import Gpu
from pipfallback.sources.sdist import cores_here, free_memory, recipe

GIB = 1 << 30


def test_without_permission_the_option_is_named() -> None:
    found = listing(source("sdist"))

    assert (found.candidates, found.source_builds) == ((), ())
    (note,) = found.notes
    assert (note.cause, note.hint) == ("build-not-allowed", "--allow-build lets pip build it")


@pytest.mark.parametrize("urls", [(), ("https://example.org/wobbly-1.0.tar.gz",)])
def test_with_permission_there_is_something_to_build(urls: tuple[str, ...]) -> None:
    found = listing(source("sdist", *urls), ask=asking(allow_build=True))

    (build,) = found.source_builds
    assert (build.source, build.location) == ("Maker", urls[0] if urls else None)
    assert found.notes == ()


@pytest.mark.parametrize(
    ("memory", "cores", "jobs"),
    [(64 * GIB, 16, "7"), (64 * GIB, 8, "4"), (8 * GIB, 64, "1"), (0, 1, "1"), (None, 8, "4"), (500 * GIB, 1, "1")],
)
def test_jobs_follow_from_memory_and_cores(memory: int | None, cores: int, jobs: str) -> None:
    made = recipe("wobbly", environment(), {}, memory=memory, cores=cores)

    assert made.variables == {"MAX_JOBS": jobs}
    assert made.options == ("--no-build-isolation", "--no-binary", "wobbly")


def test_what_the_user_has_set_stays() -> None:
    environ = {"MAX_JOBS": "3", "TORCH_CUDA_ARCH_LIST": "9.0"}

    made = recipe("wobbly", environment(gpus=(Gpu(compute_capability="8.9"),)), environ, memory=64 * GIB, cores=64)

    assert made.variables == {}
    assert "3 jobs at a time" in made.announcement


def test_only_the_gpus_that_are_here_are_built_for() -> None:
    gpus = tuple(Gpu(compute_capability=arch) for arch in ("10.0", "8.9", "8.9", "9.0"))

    made = recipe("wobbly", environment(gpus=gpus), {}, memory=None, cores=2)

    assert made.variables["TORCH_CUDA_ARCH_LIST"] == "8.9;9.0;10.0"


def test_the_first_line_says_how_long_it_takes() -> None:
    line = recipe("wobbly", environment(), {}, memory=None, cores=2).announcement

    assert line.startswith("building wobbly from source: minutes on a large machine, hours on a small one")
    assert "1 job at a time" in line


def test_tools_that_a_build_without_isolation_lacks_are_named() -> None:
    installed = {"setuptools": "80.0", "ninja": "1.13", "torch": "2.7.1"}

    assert recipe("w", environment(installed=installed), {}, memory=None, cores=2).missing == (
        "wheel",
        "packaging",
        "psutil",
    )
    assert recipe("w", environment(), {}, memory=None, cores=2).missing == ()


MACHINES: dict[str, tuple[dict[str, str], int | None]] = {
    "no container": ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    1024 kB\n"}, 1 << 20),
    "a container with cgroup v2": (
        {
            "proc/meminfo": "MemAvailable: 1024 kB\n",
            "sys/fs/cgroup/memory.max": "5000\n",
            "sys/fs/cgroup/memory.current": "1000\n",
        },
        4000,
    ),
    "a container without a limit": (
        {
            "proc/meminfo": "MemAvailable: 1 kB\n",
            "sys/fs/cgroup/memory.max": "max\n",
            "sys/fs/cgroup/memory.current": "10\n",
        },
        1024,
    ),
    "a container with cgroup v1": (
        {"sys/fs/cgroup/memory/memory.limit_in_bytes": "70", "sys/fs/cgroup/memory/memory.usage_in_bytes": "30"},
        40,
    ),
    "a container that is full": (
        {"sys/fs/cgroup/memory.max": "5", "sys/fs/cgroup/memory.current": "9"},
        0,
    ),
    "another system": ({}, None),
    "an odd meminfo": ({"proc/meminfo": "MemAvailable\nMemAvailable: many\n"}, None),
}


@pytest.mark.parametrize("case", MACHINES)
def test_free_memory_is_the_least_that_anybody_allows(tmp_path: Path, case: str) -> None:
    files, free = MACHINES[case]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="ascii")

    assert free_memory(tmp_path) == free


def test_this_machine_has_cores_and_memory() -> None:
    assert cores_here() >= 1
    assert (free_memory() or GIB) > 1 << 20
