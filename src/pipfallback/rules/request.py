"""What the user asked and allows: version, trust, hashes; and what the wheel's own METADATA asks of what is installed."""

from __future__ import annotations

from collections.abc import Mapping

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pipfallback.builds import Build, Candidate
from pipfallback.environment import Environment
from pipfallback.releases import numbers
from pipfallback.rules.values import Finding, Mismatch, Setting
from pipfallback.tags import linux_level
from pipfallback.torch_family import comes_with_torch
from pipfallback.trust import Trust

_RANKS = {level: level.rank for level in Trust}


def needs(build: Build, setting: Setting) -> Finding:
    """Refuse a build that requires another version of an installed distribution than the one that is there."""
    installed = setting.environment.installed or {}
    torch = setting.environment.torch
    for requirement in build.requires:
        name = canonicalize_name(requirement.name)
        version = torch.version if name == "torch" and torch else installed.get(name)
        if version is None or (name == "torch" and build.torch_rule == "exact"):
            continue  # torch-version has told it
        if build.name == "torch" and comes_with_torch(name):
            continue  # they change with it
        if not _admits(requirement.specifier, version) and _applies(requirement, setting.environment):
            wanted = f"{name}{requirement.specifier}"
            text = f"requires {wanted}; {name} here is {version}"
            return Mismatch(rule="needs", wanted=wanted, found=version, text=text)
    return None


def version(asked: SpecifierSet, own: Version) -> Finding:
    """Refuse what the request's specifier excludes; the local part of the build's version counts for nothing (PEP 440)."""
    public = own.__replace__(local=None)
    if asked.contains(own, prereleases=True) or asked.contains(public, prereleases=True):
        return None
    found = str(own if "+" in str(asked) else public)  # of ==2.0+cu118 the label decides
    return Mismatch(
        rule="version", wanted=str(asked), found=found, text=f"the request asks for {asked}; this is {found}"
    )


def trust(allowed: Trust, candidate: Candidate) -> Finding:
    """Refuse a source that is less trusted than the user allows."""
    own = candidate.trust
    if own is allowed or _RANKS[own] <= _RANKS[allowed]:
        return None
    text = f"comes from a {own.value} source; the trust level is {allowed.value}"
    return Mismatch(rule="trust", wanted=own.value, found=allowed.value, text=text)


def sha256(allowed: frozenset[str], candidate: Candidate) -> Finding:
    """Refuse, where hashes are required, a file whose hash is not known or not among those that are allowed."""
    known = candidate.sha256
    if known in allowed:
        return None
    if known is None:
        return Mismatch(
            rule="hash", wanted="sha256", found="unknown", text="a hash is required; that of this file is not known"
        )
    text = "a hash is required; that of this file is not among those allowed"
    return Mismatch(rule="hash", wanted="an allowed sha256", found=known, text=text)


def _admits(specifier: SpecifierSet, version: str) -> bool:
    try:
        return specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


def _applies(requirement: Requirement, environment: Environment) -> bool:
    if requirement.marker is None:
        return True
    try:
        return requirement.marker.evaluate(dict(_marker_values(environment)))
    except (UndefinedComparison, UndefinedEnvironmentName):
        return False


def _marker_values(environment: Environment) -> Mapping[str, str]:
    """The values of PEP 508's environment markers for the target, as far as it is known."""
    python, platform = environment.python, environment.platform
    system = "win" if platform.startswith("win") else "darwin" if platform.startswith("macosx") else "linux"
    machine = linux_level(platform)[0] or platform.split("_", 3)[-1]
    return {
        "python_version": ".".join(map(str, numbers(python.version)[:2])),
        "python_full_version": python.version,
        "implementation_name": python.implementation,
        "implementation_version": python.version,
        "platform_python_implementation": {"cpython": "CPython", "pypy": "PyPy"}.get(python.implementation, ""),
        "sys_platform": {"win": "win32"}.get(system, system),
        "os_name": "nt" if system == "win" else "posix",
        "platform_system": {"win": "Windows", "darwin": "Darwin", "linux": "Linux"}[system],
        "platform_machine": {"win_amd64": "AMD64", "win_arm64": "ARM64"}.get(platform, machine),
        "platform_release": "",
        "platform_version": "",
        "extra": "",
    }
