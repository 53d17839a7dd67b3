"""The tags that an interpreter accepts (PEP 425), put together from what is known of it.

For a described machine and for a target without a pip of its own; where the target has one, its own answer counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from packaging.tags import (
    INTERPRETER_SHORT_NAMES,
    Tag,
    android_platforms,
    compatible_tags,
    cpython_tags,
    generic_tags,
    ios_platforms,
    mac_platforms,
)

# Names that these levels of glibc had before PEP 600: PEP 513, 571, 599.
_LEGACY_MANYLINUX = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
_X86 = ("x86_64", "i686")  # the architectures of the oldest manylinux (PEP 513); the others begin with 2014 (PEP 599)
# Linux architectures for which manylinux exists (PEP 600 names none; this is the list of packaging 26.3).
_MANYLINUX_MACHINES = frozenset(
    {"x86_64", "i686", "aarch64", "armv7l", "ppc64", "ppc64le", "s390x", "loongarch64", "riscv64"}
)
_MACOS = re.compile(r"macosx_(\d+)_(\d+)_(\w+)")
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)")
_MANYLINUX_LEGACY = re.compile(r"(manylinux(?:1|2010|2014))_(\w+)")
_MUSLLINUX = re.compile(r"musllinux_(\d+)_(\d+)_(\w+)")


def tags_for(
    version: str,
    *,
    platform: str,
    implementation: str = "cpython",
    free_threaded: bool = False,
    glibc: str | None = None,
    musl: str | None = None,
    debug: bool = False,
    soabi: str | None = None,
) -> tuple[Tag, ...]:
    """The tags of an interpreter, best first, in the order of pip 26 (packaging 26).

    ``version`` begins with major.minor ("3.10", "3.10.13"); ``implementation`` as in sys.implementation.name;
    ``platform`` as wheels name it ("linux_x86_64", "win_amd64", "macosx_14_0_arm64"; a manylinux or musllinux tag
    stands for Linux with that libc). Without ``glibc`` and ``musl`` no manylinux and no musllinux wheel fits.
    ``soabi``: sysconfig's SOABI, from which other implementations than CPython take their ABI tag.
    """
    major, minor = (int(part) for part in version.split(".")[:2])
    platforms = tuple(platform_tags(platform, glibc=glibc, musl=musl))
    short = INTERPRETER_SHORT_NAMES.get(implementation, implementation)
    interpreter = f"{short}{major}{minor}"
    if short == "cp":
        suffix = "t" if free_threaded else ""
        abis = [f"{interpreter}{suffix}d", f"{interpreter}{suffix}"] if debug else [f"{interpreter}{suffix}"]
        own = cpython_tags((major, minor), abis, platforms)
    else:
        own = generic_tags(interpreter, _generic_abis(soabi), platforms)
    return tuple(dict.fromkeys((*own, *compatible_tags((major, minor), interpreter, platforms))))


def cross_tags(
    own: Sequence[Tag],
    *,
    own_version: str,
    version: tuple[int, ...] | None = None,
    implementation: str | None = None,
    abis: Sequence[str] = (),
    platforms: Sequence[str] = (),
) -> tuple[Tag, ...]:
    """The tags that pip takes under ``--python-version``, ``--implementation``, ``--abi`` and ``--platform``, best first.

    ``own``: those of the interpreter that runs pip, of ``own_version`` ("3.11.7"); what no option says is as there.
    ``version`` as given, (3,) or (3, 12, 1); ``implementation`` as in tags ("cp"). As ``get_supported`` of pip 26.3 does it
    (pip/_internal/utils/compatibility_tags.py), which is the same in pip 20.3.
    """
    python = tuple(version[:2] if version else (int(part) for part in own_version.split(".")[:2]))
    kind = implementation or re.sub(r"\d.*", "", own[0].interpreter)
    interpreter = kind + "".join(map(str, python))
    named = [tag for name in platforms for tag in _platforms_of_pip(name)]
    accepted = list(dict.fromkeys(named or [tag.platform for tag in own if tag.platform != "any"]))
    if kind == "cp":
        found = cpython_tags(python, abis or _cpython_abis(python, own), accepted)
    else:
        found = generic_tags(interpreter, abis or [own[0].abi], accepted)
    return tuple(dict.fromkeys((*found, *compatible_tags(python, interpreter, accepted))))


def _cpython_abis(python: tuple[int, ...], own: Sequence[Tag]) -> list[str]:
    """The ABIs of another CPython, built in the way of ours: free-threaded, debug (packaging.tags, ``_cpython_abis``)."""
    if len(python) < 2:
        return []
    threads = "t" if python >= (3, 13) and re.fullmatch(r"cp\d+td?", own[0].abi) else ""
    debug = "d" if re.fullmatch(r"cp\d+t?d", own[0].abi) else ""
    name = f"cp{python[0]}{python[1]}{threads}"
    if python < (3, 8):
        return [f"{name}{debug}m"]
    return [f"{name}d", name] if debug else [name]


def _platforms_of_pip(platform: str) -> Sequence[str]:
    """What one ``--platform`` of pip means: the named one and, for some kinds of names, older ones; PEP 600's alone."""
    kind, _, machine = platform.partition("_")
    if found := _MACOS.fullmatch(platform):
        return list(mac_platforms((int(found[1]), int(found[2])), found[3]))
    if found := re.fullmatch(r"ios_(\d+)_(\d+)_(\w+)", platform):
        return list(ios_platforms((int(found[1]), int(found[2])), found[3]))
    if found := re.fullmatch(r"android_(\d+)_(\w+)", platform):
        return list(android_platforms(int(found[1]), found[2]))
    if kind == "manylinux2014" and machine in _X86:
        return [platform, f"manylinux2010_{machine}", f"manylinux1_{machine}"]
    return [platform, f"manylinux1_{machine}"] if kind == "manylinux2010" else [platform]


def platform_tags(platform: str, *, glibc: str | None = None, musl: str | None = None) -> Iterator[str]:
    """The platform tags that a platform accepts, best first (PEP 600 for glibc, PEP 656 for musl)."""
    if found := _MACOS.fullmatch(platform):
        yield from mac_platforms((int(found[1]), int(found[2])), found[3])
        return
    machine, glibc, musl = linux_level(platform, glibc=glibc, musl=musl)
    if machine is None:
        yield platform
        return
    machines = ["armv8l", "armv7l"] if machine == "armv8l" else [machine]
    yield from (f"linux_{name}" for name in machines)
    for name in machines:
        if glibc and name in _MANYLINUX_MACHINES:
            yield from _manylinux(glibc, name)
    for name in machines:
        if musl:
            major, last = (int(part) for part in musl.split(".")[:2])
            yield from (f"musllinux_{major}_{minor}_{name}" for minor in range(last, -1, -1))


def linux_level(
    platform: str, *, glibc: str | None = None, musl: str | None = None
) -> tuple[str | None, str | None, str | None]:
    """Machine, glibc and musl of a Linux platform tag; the machine is None for another system.

    ``manylinux_2_28_x86_64`` states its glibc, which holds where ``glibc`` is not given; so does musllinux.
    """
    if found := _MANYLINUX.fullmatch(platform):
        return found[3], glibc or f"{found[1]}.{found[2]}", musl
    if found := _MUSLLINUX.fullmatch(platform):
        return found[3], glibc, musl or f"{found[1]}.{found[2]}"
    if found := _MANYLINUX_LEGACY.fullmatch(platform):
        (level,) = (level for level, name in _LEGACY_MANYLINUX.items() if name == found[1])
        return found[2], glibc or "{}.{}".format(*level), musl
    return platform.removeprefix("linux_") if platform.startswith("linux_") else None, glibc, musl


def _manylinux(glibc: str, machine: str) -> Iterator[str]:
    major, last = (int(part) for part in glibc.split(".")[:2])
    oldest = 5 if machine in _X86 else 17
    for minor in range(last, oldest - 1, -1):
        yield f"manylinux_{major}_{minor}_{machine}"
        if legacy := _LEGACY_MANYLINUX.get((major, minor)):
            yield f"{legacy}_{machine}"


def _generic_abis(soabi: str | None) -> Sequence[str]:
    """The ABI tag of an implementation other than CPython, from its SOABI, as packaging.tags reads it."""
    if not soabi:
        return []
    if soabi.startswith(("cpython", "cp")):
        return ["cp" + soabi.split("-")[1]]
    if soabi.startswith(("pypy", "graalpy")):
        # "pypy310-pp73" is pypy310_pp73; "pypy310-pp73-x86_64-linux-gnu" too
        parts = soabi.split("-")
        return ["_".join(parts[: 2 if soabi.startswith("pypy") else 3])]
    return [soabi.replace(".", "_").replace("-", "_")]
