"""The built-in patterns beside what their publishers have: every file that is listed, and no other.

The listings are no part of the repository; where they are not there, these tests are left out and say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import product
from math import prod
from pathlib import Path
from urllib.parse import unquote

import pytest

from pipfallback import catalog_reader, sources
from pipfallback.builds import Candidate
from pipfallback.catalog import Package, Source
from pipfallback.sources.pattern import expand

FACTS = Path(__file__).parents[2] / "shared" / "facts"
MJUN = "listings/mjun0812.flash-attn.txt"


@cache
def packages() -> Mapping[str, Package]:
    return catalog_reader.load().packages


def package(name: str) -> Package:
    return packages()[name]


def source(name: str, called: str) -> Source:
    (found,) = [one for one in package(name).sources if one.name == called]
    return found


def facts(name: str) -> str:
    path = FACTS / name
    if not path.is_file():
        pytest.skip(f"left out: {path} is not here, it is no part of the repository")
    return path.read_text(encoding="utf-8")


def differences(stated: set[str], found: set[str]) -> str:
    """Both differences, a few of each."""
    missing, invented = sorted(stated - found), sorted(found - stated)
    lines = [f"{len(missing)} missing:", *missing[:20], f"{len(invented)} invented:", *invented[:20]]
    return "\n".join(lines) if missing or invented else ""


@pytest.mark.parametrize(("name", "file", "count"), [("flash-attn", "flash_attn-", 3464), ("flash-attn-3", "flash_attn_3-", 103)])  # fmt: skip
def test_the_builds_of_mjun0812_are_exactly_those_that_he_lists(name: str, file: str, count: int) -> None:
    stated = {url for url in facts(MJUN).split() if url.rpartition("/")[2].startswith(file)}

    assert len(stated) == count
    assert differences(stated, {url for url, _ in expand(source(name, "mjun0812"))}) == ""


# What publish.yaml of these three names, less what cannot have come of it; the catalog says why, beside the sources.
OTHER_VERSION: dict[str, dict[str, str]] = {
    "Dao-AILab/flash-attention": {},
    "Dao-AILab/causal-conv1d": {
        "v1.5.3.post2": "1.5.3.post1",
        **dict.fromkeys([f"v1.6.1.post{number}" for number in range(1, 5)], "1.6.1"),
    },
    "state-spaces/mamba": {"v1.0.0.post1": "1.0.0", "v2.3.2": "2.3.1"},
}
UBUNTU_20_REMOVED = "2025-04-15"
# Issue 602 of flash-attention: nvcc 12.1 crashed, so that these releases have no wheels of it.
NVCC_CRASHED = {("Dao-AILab/flash-attention", tag, "121") for tag in ("v2.2.3", "v2.2.3.post1")}


@cache
def pythons_of_torch() -> Mapping[str, frozenset[str]]:
    """For each series of torch the Pythons that it has wheels of CUDA for, on Linux."""
    found: dict[str, set[str]] = {}
    series = ""
    for line in facts("torch.md").split("\n## 2.")[0].splitlines():
        if heading := re.match(r"\* \*\*(\d+\.\d+)", line):
            series = heading[1]
        elif cell := re.match(r"  \* cu\d+ .*linux_x86_64.*?: (.+)", line):
            found.setdefault(series, set()).update(cell[1].split())
    return {series: frozenset(pythons) for series, pythons in found.items()}


def built(repository: str, project: str) -> Iterator[str]:
    section = facts("builds.md").split(f"### {repository}\n")[1].split("\n### ")[0].split("\nNotes")[0]
    tags: list[str] = []
    for line in section.splitlines():
        if heading := re.match(r"\* \*\*(.+?)\*\* \((\S+?)\.\.", line):
            dead = "ubuntu-20.04" in line and heading[2] > UBUNTU_20_REMOVED
            tags = [] if dead else heading[1].split(", ")
            major_only = line.endswith("in the name: major")
        elif cell := re.match(r"  \* nvcc ([\d.]+), linux_(\S+), abi (\S+), (\S+): torch (.+)", line):
            nvcc, machine, abi, pythons, torches = cell.groups()
            if abi == "None":
                continue  # up to 2.0.5: issue 1508 of flash-attention, there were no wheels
            major = nvcc.partition(".")[0]
            cuda = major if major_only else "".join(nvcc.split(".")[:2])
            for torch, its_cuda in re.findall(r"(\S+)\[cu(\w+)\]", torches):
                if its_cuda[:2] != major or (machine, major) == ("aarch64", "11"):
                    continue  # no torch was found, or one of another CUDA, or there is none
                series = ".".join(torch.split(".")[:2])
                there = pythons_of_torch().get(series)
                for tag in tags:
                    if (repository, tag, cuda) in NVCC_CRASHED:
                        continue
                    for python in pythons.split(","):
                        if there and python not in there:
                            continue
                        for label in abi.split("/"):
                            version = OTHER_VERSION[repository].get(tag, tag[1:])
                            tags_of = f"{python}-{python}{'m' if python == 'cp37' else ''}-linux_{machine}"
                            yield (
                                f"https://github.com/{repository}/releases/download/{tag}/"
                                f"{project}-{version}+cu{cuda}torch{series}cxx11abi{label}-{tags_of}.whl"
                            )


@pytest.mark.parametrize(
    ("name", "called", "repository", "project", "least"),
    [
        ("flash-attn", "Dao-AILab", "Dao-AILab/flash-attention", "flash_attn", 5500),
        ("causal-conv1d", "Dao-AILab", "Dao-AILab/causal-conv1d", "causal_conv1d", 3000),
        ("mamba-ssm", "state-spaces", "state-spaces/mamba", "mamba_ssm", 2500),
    ],
)
def test_the_patterns_list_exactly_what_the_publisher_can_have_built(
    name: str, called: str, repository: str, project: str, least: int
) -> None:
    stated = set(built(repository, project))

    assert len(stated) > least
    assert differences(stated, {url for url, _ in expand(source(name, called))}) == ""


@pytest.mark.parametrize(
    ("name", "url"),
    [
        # Public Dockerfiles and lists of hashes fetch these.
        ("causal-conv1d", "Dao-AILab/causal-conv1d/releases/download/v1.6.1.post4/causal_conv1d-1.6.1+cu13torch2.9cxx11abiTRUE-cp310-cp310-linux_aarch64.whl"),
        ("causal-conv1d", "Dao-AILab/causal-conv1d/releases/download/v1.5.3.post2/causal_conv1d-1.5.3.post1+cu12torch2.4cxx11abiFALSE-cp312-cp312-linux_x86_64.whl"),
        ("causal-conv1d", "Dao-AILab/causal-conv1d/releases/download/v1.5.4/causal_conv1d-1.5.4+cu11torch2.7cxx11abiTRUE-cp39-cp39-linux_x86_64.whl"),
        ("mamba-ssm", "state-spaces/mamba/releases/download/v2.2.6.post3/mamba_ssm-2.2.6.post3+cu11torch2.4cxx11abiTRUE-cp39-cp39-linux_x86_64.whl"),
        ("mamba-ssm", "state-spaces/mamba/releases/download/v2.2.6.post2/mamba_ssm-2.2.6.post2+cu12torch2.5cxx11abiFALSE-cp310-cp310-linux_x86_64.whl"),
        ("mamba-ssm", "state-spaces/mamba/releases/download/v2.3.1/mamba_ssm-2.3.1+cu13torch2.10cxx11abiTRUE-cp312-cp312-linux_x86_64.whl"),
    ],
)  # fmt: skip
def test_what_people_really_fetch_is_there(name: str, url: str) -> None:
    assert f"https://github.com/{url}" in {one for found in package(name).sources for one, _ in expand(found)}


def test_every_wheel_that_is_known_of_these_publishers_is_there() -> None:
    listed = {one for found in packages().values() for one in each_url(found)}
    publishers = {(*one.split("/")[:5], one.rpartition("/")[2].partition("-")[0]) for one in listed}
    rows = [line.split("\t") for line in facts("wheels.tsv").splitlines()]
    known = {unquote(row[0]) for row in rows if row[0].startswith("https://") and row[-1] != "?"}
    theirs = {one for one in known if (*one.split("/")[:5], one.rpartition("/")[2].partition("-")[0]) in publishers}

    assert len(theirs) > 100
    assert sorted(theirs - listed) == []


def each_url(found: Package) -> Iterator[str]:
    for one in found.sources:
        yield from (url for url, _ in expand(one)) if one.kind == "pattern" else one.urls if one.kind == "url" else ()


@pytest.mark.parametrize(
    ("name", "abi", "archs"),
    [
        # 2.6.0+cu124 has the old C++ ABI, 2.6.0+cu126 the new one; nvcc 12.8 and newer make Blackwell code.
        ("flash_attn-2.8.3+cu124torch2.6-cp312-cp312-linux_x86_64.whl", False, ("8.0", "9.0")),
        ("flash_attn-2.8.3+cu126torch2.6-cp312-cp312-linux_x86_64.whl", True, ("8.0", "9.0")),
        ("flash_attn-2.8.3+cu128torch2.6-cp312-cp312-linux_aarch64.whl", True, ("8.0", "9.0", "10.0", "12.0")),
        ("flash_attn-2.8.3+cu124torch2.5-cp312-cp312-linux_aarch64.whl", None, ("8.0", "9.0")),
        ("flash_attn-2.8.3+cu128torch2.5-cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl",
         False, ("8.0", "9.0", "10.0", "12.0")),
        ("flash_attn-2.6.3+cu130torch2.12-cp314-cp314t-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl", True, ("8.0", "9.0")),
        ("flash_attn-2.8.3+cu132torch2.13-cp312-cp312-win_amd64.whl", None, ("8.0", "9.0", "10.0", "12.0")),
        ("flash_attn-1.0.9+cu118torch2.0-cp310-cp310-linux_x86_64.whl", False, ("7.5", "8.0", "9.0")),
        ("flash_attn_3-3.0.0+cu124torch2.6gite2743ab-cp39-abi3-linux_x86_64.whl", False, ("8.0", "9.0a")),
        ("causal_conv1d-1.6.1+cu13torch2.10cxx11abiTRUE-cp312-cp312-linux_x86_64.whl", True,
         ("7.5", "8.0", "8.7", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1")),
        ("causal_conv1d-1.6.1+cu12torch2.6cxx11abiFALSE-cp312-cp312-linux_x86_64.whl", True,
         ("6.2", "7.0", "7.2", "7.5", "8.0", "8.7", "9.0", "10.0", "12.0")),
        ("mamba_ssm-2.3.1+cu11torch2.6cxx11abiFALSE-cp312-cp312-linux_x86_64.whl", False, None),
        ("mamba_ssm-2.2.2+cu122torch2.4cxx11abiFALSE-cp310-cp310-linux_x86_64.whl", False,
         ("5.3", "6.2", "7.0", "7.2", "8.0", "8.7", "9.0")),
    ],
)  # fmt: skip
def test_what_the_names_leave_out_is_known(name: str, abi: bool | None, archs: tuple[str, ...] | None) -> None:
    project = name.partition("-")[0].replace("_", "-")
    found = [one for one in stated_builds(project) if one.build.filename == name]

    assert found
    assert {one.build.cxx11_abi for one in found} == {abi}
    if archs is None:  # v2.3.1 and v2.3.2 have wheels of one name, compiled for other GPUs
        assert {one.build.archs for one in found} == {
            ("5.3", "6.2", "7.0", "7.2", "7.5", "8.0", "8.7", "9.0"),
            ("7.5", "8.0", "8.7", "9.0"),
        }
    else:
        assert {one.build.archs for one in found} == {archs}


@cache
def stated_builds(name: str) -> tuple[Candidate, ...]:
    patterns = tuple(one for one in package(name).sources if one.kind == "pattern")
    return sources.candidates(Package(name=name, imports=package(name).imports, sources=patterns)).candidates


def test_the_newest_release_of_a_file_comes_first() -> None:
    name = "flash_attn-2.8.3+cu126torch2.9-cp312-cp312-linux_x86_64.whl"
    tags = [url.split("/")[-2] for url, _ in expand(source("flash-attn", "mjun0812")) if url.endswith(name)]

    assert len(tags) > 2
    assert tags == sorted(tags, key=numbers, reverse=True)


def numbers(tag: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", tag)]


def each_pattern(of: Callable[[Source], int]) -> int:
    return sum(of(one) for found in packages().values() for one in found.sources if one.kind == "pattern")


def test_little_is_made_only_to_be_left_out() -> None:
    """Rows that make much that is not there would slow down every question about the package."""
    made = each_pattern(lambda one: sum(prod(len(values) for values in row.values.values()) for row in one.matrix))
    listed = each_pattern(lambda one: len(expand(one)))

    assert listed > 15_000
    assert made < 1.5 * listed


def of_gsplat() -> Iterator[str]:
    """What gsplat's page lists: builds.md, less 1.2.0, which is another publisher's."""
    section = facts("builds.md").split("\n### gsplat\n")[1].split("\n## ")[0].split("* **1.2.0**")[0]
    version = ""
    for line in section.splitlines():
        if heading := re.match(r"\* \*\*(.+?)\*\*", line):
            version = heading[1]
        elif cell := re.match(r"  \* torch (\S+) . cuda (\S+) . (.+)", line):
            torches, cudas = (numbers.replace(".", "").split(",") for numbers in cell.group(1, 2))
            for torch, cuda, system in product(torches, cudas, re.findall(r"(\w+): cp310", cell[3])):
                place = f"https://github.com/nerfstudio-project/gsplat/releases/download/v{version}"
                platform = system.replace("lin_", "linux_")
                yield f"{place}/gsplat-{version}+pt{torch}cu{cuda}-cp310-cp310-{platform}.whl"


def test_the_builds_of_gsplat_are_exactly_those_that_its_page_lists() -> None:
    stated = set(of_gsplat())

    assert len(stated) == 91
    assert differences(stated, {url for url, _ in expand(source("gsplat", "gsplat, up to 1.5.3"))}) == ""
