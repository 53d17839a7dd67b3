"""Tags (PEP 425) and Requires-Python: will pip take the wheel for this interpreter; if not, which part is at fault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from string import ascii_lowercase
from typing import NamedTuple

from packaging.tags import Tag

from pipfallback.builds import Build
from pipfallback.environment import Environment
from pipfallback.releases import numbers
from pipfallback.rules.values import Finding, Mismatch, Policy, Setting
from pipfallback.same import Same

_IMPLEMENTATIONS = {"cp": "CPython", "pp": "PyPy", "py": "Python", "graalpy": "GraalPy", "ip": "IronPython"}
_INTERPRETER = re.compile(r"([a-z]+)(\d)(\d*)")
_GLIBC = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)")
_MUSL = re.compile(r"musllinux_(\d+)_(\d+)_(\w+)")
_MACOS = re.compile(r"macosx_(\d+)_(\d+)_(\w+)")
# PEP 513, 571, 599
_LEGACY = {"manylinux1_": "manylinux_2_5_", "manylinux2010_": "manylinux_2_12_", "manylinux2014_": "manylinux_2_17_"}
_MACHINES_OF_MAC = {"universal2": ("x86_64", "arm64"), "intel": ("x86_64", "i386"), "fat64": ("x86_64",)}
_AXES = ("python-tag", "abi-tag", "platform-tag")


class TagFault(NamedTuple):
    """Why no tag of a wheel fits: the parts at fault of its nearest tags, and these; both empty where one fits."""

    parts: frozenset[str] = frozenset()
    nearest: Sequence[Tag] = ()


def fault_of(tags: frozenset[Tag], setting: Setting) -> TagFault:
    """Which of the three parts of a tag keep a wheel with these tags from this interpreter."""
    return _fault_of(tags, Same(setting.environment))


# One machine is asked about many packages, and their wheels have the same few hundred tags.
@lru_cache(maxsize=8192)
def _fault_of(tags: frozenset[Tag], environment: Same[Environment]) -> TagFault:
    setting = Setting(environment=environment.thing, policy=Policy())
    if not setting.environment.tags or not setting.tag_places.keys().isdisjoint(tags):
        return TagFault()
    broken = {tag: _broken(tag, setting) for tag in tags}
    parts = min(broken.values(), key=_badness)
    return TagFault(parts, sorted((tag for tag, own in broken.items() if own == parts), key=_natural))


def python_tag(fault: TagFault, setting: Setting) -> Finding:
    """Refuse a wheel for another interpreter or another version of it."""
    if "python-tag" not in fault.parts:
        return None
    wanted = _joined(tag.interpreter for tag in fault.nearest)
    names = _joined((_interpreter_name(tag.interpreter) for tag in fault.nearest), " or ")
    if all(_is_stable(tag.abi) for tag in fault.nearest):
        named = f"{names} and newer ({wanted}-{fault.nearest[0].abi})"
    else:
        named = f"{names} ({wanted})"
    return Mismatch(
        rule="python-tag",
        wanted=wanted,
        found=_own_tag(setting),
        text=f"wheel is for {named}; this is {_this_python(setting)}",
    )


def abi_tag(fault: TagFault, setting: Setting) -> Finding:
    """Refuse a wheel for the free-threaded build on a GIL Python, the reverse, and other ABIs that are not here."""
    if "abi-tag" not in fault.parts:
        return None
    abis = sorted({tag.abi for tag in fault.nearest})
    wanted, found = ".".join(abis), _own_abi(setting)
    free = setting.environment.python.free_threaded
    if all(_is_free_threaded(abi) for abi in abis) and not free:
        text = f"wheel is for free-threaded CPython ({wanted}); this is {_this_python(setting)} with the GIL"
    elif free and all(_is_stable(abi) for abi in abis):
        text = f"wheel uses the stable ABI of CPython with the GIL ({wanted}); this is {_this_python(setting)}"
    elif free:
        text = f"wheel is for CPython with the GIL ({wanted}); this is {_this_python(setting)}"
    else:
        text = f"wheel is for the ABI {wanted}; this is {_this_python(setting)} ({found})"
    return Mismatch(rule="abi-tag", wanted=wanted, found=found, text=text)


def platform_tag(fault: TagFault, setting: Setting) -> Finding:
    """Refuse a wheel for another system, machine, C library, or a newer level of it."""
    if "platform-tag" not in fault.parts:
        return None
    platforms = sorted({tag.platform for tag in fault.nearest})
    reasons = [_platform_reason(platform, setting) for platform in platforms]
    found, text = min(reasons, key=lambda reason: reason[0])[1:]
    return Mismatch(rule="platform-tag", wanted=".".join(platforms), found=found, text=text)


def requires_python(build: Build, setting: Setting) -> Finding:
    """Refuse what its Requires-Python (PEP 345) excludes here."""
    asked, version = build.requires_python, setting.environment.python.version
    if asked is None or asked.contains(version, prereleases=True):
        return None
    text = f"needs Python {asked}; this is {version}"
    return Mismatch(rule="requires-python", wanted=str(asked), found=version, text=text)


def file_name(build: Build, setting: Setting) -> Finding:  # noqa: ARG001 - every rule takes the setting
    """Doubt a file name whose version is not PEP 440's: pip 24.1 and newer do not take it."""
    return f"pip 24.1 and newer refuse the version {build.unusual_version}" if build.unusual_version else None


def is_for_machine(tag: Tag, environment: Environment) -> bool:
    """Whether a tag is for this system, machine and C library, of whatever level, or for any."""
    if tag.platform == "any":
        return True
    system, machine, _ = _platform_parts(tag.platform)
    own_system, own_machine, _ = _platform_parts(environment.platform)
    if system != own_system or own_machine not in _MACHINES_OF_MAC.get(machine, (machine,)):
        return False
    return not tag.platform.startswith("manylinux" if environment.musl else "musllinux")


def _badness(axes: frozenset[str]) -> tuple[int, list[int]]:
    """The fewer parts are at fault the nearer, and another Python is nearer than another machine."""
    return len(axes), sorted(_AXES.index(axis) for axis in axes)


def _broken(tag: Tag, setting: Setting) -> frozenset[str]:
    broken = {
        axis
        for axis, fits in zip(_AXES, (_python_fits, _abi_fits, _platform_fits), strict=True)
        if not fits(tag, setting)
    }
    # Parts that are each known here but never together, such as cp311-none-any for a PyPy: the Python is another.
    return frozenset(broken or {"python-tag"})


def _python_fits(tag: Tag, setting: Setting) -> bool:
    python = setting.environment.python
    own = numbers(python.version)[:2]
    found = _INTERPRETER.fullmatch(tag.interpreter)
    if found is None:
        return any(tag.interpreter == here.interpreter for here in setting.environment.tags)
    kind, version = found[1], (int(found[2]), int(found[3])) if found[3] else (int(found[2]), 0)
    if kind == "py":
        return version[0] == own[0] and version <= own
    if kind != "cp":
        return any(tag.interpreter == here.interpreter for here in setting.environment.tags)
    if python.implementation != "cpython":
        return False
    return version <= own if _is_stable(tag.abi) else version == own


def _abi_fits(tag: Tag, setting: Setting) -> bool:
    """Whether the kind of ABI is right: its version, and another implementation, are the affair of the python tag."""
    python = setting.environment.python
    if tag.abi == "none" or tag.interpreter[:2] not in ("py", _own_tag(setting)[:2]):
        return True
    if tag.abi.startswith("cp"):
        return _is_free_threaded(tag.abi) == python.free_threaded and not tag.abi.endswith("d")
    return any(tag.abi == here.abi for here in setting.environment.tags)


def _platform_fits(tag: Tag, setting: Setting) -> bool:
    return tag.platform == "any" or tag.platform in setting.platforms


def _platform_reason(platform: str, setting: Setting) -> tuple[int, str, str]:
    """How far off a platform tag is (0 nearest), what is found here, and the sentence."""
    environment = setting.environment
    here = environment.platform
    system, machine, level = _platform_parts(platform)
    own_system, own_machine, own_level = _platform_parts(here)
    if system != own_system:
        return 3, here, f"wheel is for {_system_name(system)} ({platform}); this is {_system_name(own_system)} ({here})"
    if own_machine not in _MACHINES_OF_MAC.get(machine, (machine,)):
        return 2, own_machine, f"wheel is for {machine} ({platform}); this machine is {own_machine}"
    if platform.startswith("musllinux"):
        return _libc_reason("musl", platform, level, environment.musl, environment.glibc)
    if platform.startswith("manylinux"):
        return _libc_reason("glibc", platform, level, environment.glibc, environment.musl)
    if level > own_level:
        found = ".".join(map(str, own_level))
        text = f"wheel needs macOS {'.'.join(map(str, level))} or newer ({platform}); this is macOS {found}"
        return 0, found, text
    return 1, here, f"wheel is for {platform}; this is {here}"


def _libc_reason(
    libc: str, platform: str, level: tuple[int, ...], own: str | None, other: str | None
) -> tuple[int, str, str]:
    needed = ".".join(map(str, level))
    if own is not None:
        return 0, f"{libc} {own}", f"wheel needs {libc} {needed} or newer ({platform}); {libc} here is {own}"
    names = {"glibc": "musl", "musl": "glibc"}
    found = f"{names[libc]} {other}" if other else f"no {libc}"
    return 1, found, f"wheel needs {libc} {needed} ({platform}); here is {found}"


def _platform_parts(platform: str) -> tuple[str, str, tuple[int, ...]]:
    """System, machine, and level of the C library or of macOS: () where the tag states none."""
    for old, new in _LEGACY.items():
        if platform.startswith(old):
            platform = new + platform.removeprefix(old)
    for pattern, system in ((_GLIBC, "linux"), (_MUSL, "linux"), (_MACOS, "macosx")):
        if found := pattern.fullmatch(platform):
            return system, found[3], (int(found[1]), int(found[2]))
    if platform == "win32":
        return "win", "x86", ()
    system, _, machine = platform.partition("_")
    return system, machine, ()


def _system_name(system: str) -> str:
    return {"linux": "Linux", "win": "Windows", "macosx": "macOS"}.get(system, system)


def _interpreter_name(interpreter: str) -> str:
    found = _INTERPRETER.fullmatch(interpreter)
    if found is None or found[1] not in _IMPLEMENTATIONS:
        return interpreter
    return f"{_IMPLEMENTATIONS[found[1]]} {found[2]}" + (f".{found[3]}" if found[3] else "")


def _this_python(setting: Setting) -> str:
    python = setting.environment.python
    name = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalPy"}.get(
        python.implementation, python.implementation
    )
    minor = ".".join(map(str, numbers(python.version)[:2]))
    return f"free-threaded {name} {minor}" if python.free_threaded else f"{name} {minor}"


def _own_tag(setting: Setting) -> str:
    return setting.environment.tags[0].interpreter


def _own_abi(setting: Setting) -> str:
    return setting.environment.tags[0].abi


def _is_stable(abi: str) -> bool:
    return abi.startswith("abi3")


def _is_free_threaded(abi: str) -> bool:
    """Whether an ABI tag is cp313t or the like, debug builds included (cp313td), or abi3t."""
    version = abi.removeprefix("cp").rstrip(ascii_lowercase)
    flags = abi[len("cp") + len(version) :]
    return abi == "abi3t" or (abi.startswith("cp") and version.isdecimal() and "t" in flags)


def _joined(parts: Iterable[str], between: str = ".") -> str:
    return between.join(dict.fromkeys(parts))


def _natural(tag: Tag) -> tuple[tuple[int, ...], str]:
    """cp38 before cp310."""
    return tuple(int(digits) for digits in re.findall(r"\d+", tag.interpreter)), str(tag)
