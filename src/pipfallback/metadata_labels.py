"""What a wheel's Requires-Dist states of torch and CUDA: exact pins, where their markers hold for the wheel's platform."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """``torch`` and how exact its pin is; ``cuda`` as the nvidia distributions state it ("12.8", or "12")."""

    torch: str | None = None
    torch_rule: Literal["series", "exact"] = "exact"
    torch_local: str | None = None
    cuda: str | None = None


def without_extras(requires: Iterable[Requirement]) -> tuple[Requirement, ...]:
    """The requirements that hold without any extra."""
    return tuple(one for one in requires if one.marker is None or "extra" not in _variables(one.marker))


def read_pins(requires: Iterable[Requirement], tags: frozenset[Tag]) -> Pins:
    """The pins among requirements without extras, for a wheel with these tags.

    A requirement whose marker asks for more than the tags tell is left out: whether it holds is not known here.
    """
    known = _marker_values(tags)
    holding = [one for one in requires if one.marker is None or _holds(one.marker, known)]
    torch = next((_torch_pin(one.specifier) for one in holding if canonicalize_name(one.name) == "torch"), Pins())
    stated = [cuda for one in holding if (cuda := _cuda(canonicalize_name(one.name), one.specifier))]
    majors = {cuda.partition(".")[0] for cuda in stated}
    return Pins(
        torch=torch.torch,
        torch_rule=torch.torch_rule,
        torch_local=torch.torch_local,
        cuda=max(stated, key=len) if len(majors) == 1 else None,
    )


_MARKER_VARIABLE = re.compile(r"""(?:"[^"]*"|'[^']*')|([a-z_.]+)""")


def _variables(marker: Marker) -> set[str]:
    return {found for found in _MARKER_VARIABLE.findall(str(marker)) if found} - {"and", "or", "in", "not"}


def _holds(marker: Marker, known: Mapping[str, str]) -> bool:
    return _variables(marker) <= known.keys() and marker.evaluate(dict(known))


_SYSTEMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "win": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
    "macosx": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
}
_PLATFORM = re.compile(
    r"(?:many|musl)?(linux|win|macosx)[0-9_.]*?_?(x86_64|aarch64|arm64|amd64|i686|ppc64le|s390x|32)?"
)


def _marker_values(tags: frozenset[Tag]) -> dict[str, str]:
    """The environment markers (PEP 508) that a wheel's tags tell: its platform's, and its Python where it has just one."""
    values: dict[str, str] = {}
    platforms = {found.groups() for tag in tags if (found := _PLATFORM.fullmatch(tag.platform))}
    if len({system for system, _ in platforms}) == 1:
        values |= _SYSTEMS[next(iter(platforms))[0]]
    if len(platforms) == 1:
        system, machine = next(iter(platforms))
        if machine:
            values["platform_machine"] = machine.upper() if system == "win" else machine
    pythons = {tag.interpreter for tag in tags if tag.interpreter.startswith("cp3") and tag.abi.startswith("cp3")}
    if len(pythons) == 1 == len({tag.interpreter for tag in tags}):
        values |= {"python_version": f"3.{pythons.pop()[3:]}", "platform_python_implementation": "CPython"}
        values["implementation_name"] = "cpython"
    return values


def _torch_pin(specifiers: SpecifierSet) -> Pins:
    """What a pin of torch states: "==2.7.1" is exact, "==2.7.*" and "~=2.7.0" are a series, a minimum is neither."""
    for one in specifiers:
        if one.operator in ("==", "==="):
            text, wildcard = one.version.removesuffix(".*"), one.version.endswith(".*")
            version = _version(text)
            if version and len(version.release) > 1:
                return Pins(
                    torch=version.public, torch_rule="series" if wildcard else "exact", torch_local=version.local
                )
        if one.operator == "~=" and (version := _version(one.version)) and len(version.release) > 2:
            return Pins(torch=f"{version.major}.{version.minor}", torch_rule="series")
    return Pins()


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


# Distributions whose version is the CUDA toolkit's (PyPI: nvidia-cuda-runtime-cu12 12.8.90, cuda-toolkit 13.0.2); that
# of nvidia-cublas-cu12 and its like is their own.
_TOOLKIT = re.compile(r"cuda-toolkit|nvidia-cuda-(?:runtime|nvrtc|cupti|nvcc)(?:-cu\d\d)?")
_NVIDIA = re.compile(r"nvidia-[a-z0-9-]+-cu(\d\d)")


def _cuda(name: str, specifiers: SpecifierSet) -> str | None:
    if _TOOLKIT.fullmatch(name):
        for one in specifiers:
            release = version.release if one.operator == "==" and (version := _version(one.version)) else ()
            if len(release) > 1:
                return f"{release[0]}.{release[1]}"
    found = _NVIDIA.fullmatch(name)
    return found[1] if found else None
