"""An environment in the words of environment markers (PEP 508)."""

from __future__ import annotations

from collections.abc import Mapping

from pipfallback.environment import Environment

# Beginning of a platform as wheels name it -> sys.platform, platform.system(), os.name (PEP 508).
_SYSTEMS = {
    "linux": ("linux", "Linux", "posix"),
    "macosx": ("darwin", "Darwin", "posix"),
    "win": ("win32", "Windows", "nt"),
}
# The machine of a Windows platform tag -> platform.machine() there (CPython, Lib/platform.py: PROCESSOR_ARCHITECTURE).
_WINDOWS_MACHINES = {"amd64": "AMD64", "arm64": "ARM64", "32": "x86"}
_IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy"}  # sys.implementation.name -> platform.python_implementation()
# What of an environment a lock can tell apart; torch, CUDA, glibc and the GPU have no marker.
_TELLING = ("python_version", "implementation_name", "sys_platform", "platform_machine")
# What a described machine does not say.
UNKNOWN = ("platform_release", "platform_version")


def answers_of(environment: Environment) -> Mapping[str, str]:
    """The value of every marker variable there; those in ``UNKNOWN`` are empty."""
    system = next((name for name in _SYSTEMS if environment.platform.startswith(name)), "")
    sys_platform, platform_system, os_name = _SYSTEMS.get(system, ("", "", ""))
    python = environment.python
    full = ".".join([*python.version.split("."), "0", "0"][:3])
    return {
        "implementation_name": python.implementation,
        "implementation_version": full,
        "os_name": os_name,
        "platform_machine": _machine(environment.platform, system),
        "platform_release": "",
        "platform_system": platform_system,
        "platform_version": "",
        "python_full_version": full,
        "platform_python_implementation": _IMPLEMENTATIONS.get(python.implementation, python.implementation),
        "python_version": ".".join(full.split(".")[:2]),
        "sys_platform": sys_platform,
    }


def known_answers(environment: Environment) -> Mapping[str, str]:
    """Those that are known there; where they are not, packaging asks the interpreter that runs."""
    return {name: answer for name, answer in answers_of(environment).items() if answer}


def marker_of(environment: Environment) -> str:
    """The marker that holds in this environment, and in none with another Python, system or machine."""
    answers = answers_of(environment)
    return " and ".join(f'{name} == "{answers[name]}"' for name in _TELLING)


def _machine(platform: str, system: str) -> str:
    """platform.machine() of a platform as wheels name it: "x86_64" of "linux_x86_64" and of "macosx_14_0_x86_64"."""
    if system == "win":
        named = platform.removeprefix("win_").removeprefix("win")
        return _WINDOWS_MACHINES.get(named, named)
    parts = platform.split("_", 3 if system == "macosx" else 1)
    return parts[-1]
