"""What one interpreter is and what is installed for it, printed as one JSON document.

Run as ``TARGET_PYTHON .../_probe.py`` by ``environment.probe``. Standard library only, Python 3.8 and newer. It tells
raw facts; judging them (torch's files, tags where there is no pip) is left to the modules that started it, and torch is
never imported: that takes seconds. The interpreter is asked as pip would run in it, without -I or -s, so that the
packages of the user count as pip counts them.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # The folder of this script holds modules named like others (pip.py): nothing may be imported from it.
    if not getattr(sys.flags, "safe_path", False):  # -P and PYTHONSAFEPATH: Python 3.11 leaves it out by itself
        del sys.path[0]
    # What is imported from the target (pip's tags) must not leave bytecode there.
    sys.dont_write_bytecode = True

import json
import os
import re
import site
import sysconfig
from importlib.util import find_spec

TYPE_CHECKING = False  # typing takes 5 ms to import
if TYPE_CHECKING:
    from typing import Any, Iterator

FORMAT = 1  # of the document; environment.probe reads this one only

_DIST_INFO = re.compile(r"(?P<name>[^-]+)(?:-(?P<version>[^-]+))?.*\.(?:dist|egg)-info", re.IGNORECASE)
_HEADER = re.compile(r"^(Name|Version):[ \t]*(\S.*?)[ \t\r]*$", re.MULTILINE)


def report() -> dict[str, Any]:
    """All facts, ready for JSON; None is unknown or absent."""
    distributions = list(_distributions())
    return {
        "format": FORMAT,
        "python": _python(),
        "platform": _platform(),
        "glibc": _glibc(),
        "musl": musl_of(sys.executable) if sys.platform.startswith("linux") else None,
        "tags": _tags_of_pip(),
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "paths": _paths(),
        "site_packages": _site_packages(),
        "externally_managed": _externally_managed(),
        "distributions": distributions,
        "torch_folders": _torch_folders(),
    }


def _python() -> dict[str, Any]:
    soabi = sysconfig.get_config_var("SOABI")
    return {
        "executable": sys.executable or None,
        "version": "{}.{}.{}".format(*sys.version_info[:3]) + _pre_release(),
        "implementation": sys.implementation.name,
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "debug": hasattr(sys, "gettotalrefcount"),
        "soabi": soabi if isinstance(soabi, str) else None,
    }


def _pre_release() -> str:
    level, serial = sys.version_info[3:]
    return "" if level == "final" else {"alpha": "a", "beta": "b", "candidate": "rc"}[level] + str(serial)


def _platform() -> str:
    """The platform as wheels name it ("linux_x86_64", "macosx_14_5_arm64", "win_amd64")."""
    name = sysconfig.get_platform()
    if name.startswith("macosx"):
        # sysconfig names the macOS that Python was built for; wheels count against the one that runs (PEP 425).
        import platform

        release, _, machine = platform.mac_ver()
        name = "macosx-{}-{}".format(".".join([*release.split("."), "0"][:2]), machine)
    elif sys.maxsize <= 2**32:  # a 32-bit Python on a 64-bit kernel, as packaging.tags reads it
        name = {"linux-x86_64": "linux-i686", "linux-aarch64": "linux-armv8l"}.get(name, name)
    return re.sub(r"[-. ]", "_", name)


def _glibc() -> str | None:
    try:
        words = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
    except (AttributeError, OSError, ValueError):  # no confstr (Windows), not a glibc (musl)
        return None
    found = re.match(r"\d+\.\d+", words[-1]) if words else None
    return found.group() if found else None


def musl_of(executable: str) -> str | None:
    """The musl that runs a program, as its loader says it (PEP 656); None where it is not musl that does."""
    loader = elf_interpreter(executable)
    if loader is None or "musl" not in loader:
        return None
    import subprocess  # only on musl; it costs 10 ms

    try:
        done = subprocess.run([loader], stderr=subprocess.PIPE, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(rb"^Version (\d+\.\d+)", done.stderr, re.MULTILINE)
    return found.group(1).decode() if found else None


def elf_interpreter(path: str) -> str | None:
    """The loader that an ELF program names (PT_INTERP), None where the file is no such program."""
    import struct

    try:
        with open(path, "rb") as file:
            ident = file.read(16)
            if ident[:4] != b"\x7fELF":
                return None
            wide, order = ident[4] == 2, ">" if ident[5] == 2 else "<"  # 64 bits, byte order
            header = struct.Struct(order + ("HHIQQQIHHH" if wide else "HHIIIIIHHH"))
            entry = struct.Struct(order + ("IIQQQQ" if wide else "IIIII"))
            numbers = header.unpack(file.read(header.size))
            table, size, count = numbers[4], numbers[8], numbers[9]  # e_phoff, e_phentsize, e_phnum
            for index in range(count):
                file.seek(table + index * size)
                fields = entry.unpack(file.read(entry.size))
                if fields[0] == 3:  # PT_INTERP
                    file.seek(fields[2] if wide else fields[1])
                    return os.fsdecode(file.read(fields[5] if wide else fields[4]).rstrip(b"\0"))
    except (OSError, struct.error, IndexError):
        return None
    return None


def _tags_of_pip() -> list[str] | None:
    """The tags that this interpreter's own pip accepts, best first, as its ``get_supported()`` puts them together.

    They differ between versions of pip (order, musllinux, new limited APIs). None: no pip, or one that cannot tell.
    """
    try:
        from pip._vendor.packaging import tags

        interpreter = tags.interpreter_name() + tags.interpreter_version()
        is_cpython = tags.interpreter_name() == "cp"
        found = list(tags.cpython_tags() if is_cpython else tags.generic_tags(interpreter=interpreter))
        found += tags.compatible_tags(interpreter=interpreter)
        return list(dict.fromkeys(map(str, found)))
    except Exception:  # noqa: BLE001 - a broken pip may raise anything; the tags are then computed without it
        return None


def _paths() -> dict[str, str]:
    found = {name: path for name, path in sysconfig.get_paths().items() if path}
    for name, ask in (("userbase", site.getuserbase), ("usersite", site.getusersitepackages)):
        try:
            found[name] = ask()
        except (KeyError, TypeError):  # no home folder is known
            continue
    return found


def _site_packages() -> list[str]:
    """The folders that hold distributions, as far as they are on sys.path and in its order."""
    paths = sysconfig.get_paths()
    holders = [paths["purelib"], paths["platlib"]]
    holders += getattr(site, "getsitepackages", list)()
    if site.ENABLE_USER_SITE:
        holders.append(site.getusersitepackages())
    known = {_normal(holder) for holder in holders}
    return [entry for entry in dict.fromkeys(sys.path) if entry and _normal(entry) in known]


def _normal(path: str) -> str:
    return os.path.normcase(os.path.realpath(path))


def _externally_managed() -> bool:
    """PEP 668; a virtual environment is the user's own, whatever its base is."""
    marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    return sys.prefix == sys.base_prefix and os.path.isfile(marker)


def _torch_folders() -> list[str]:
    """Where ``import torch`` would find it, editable installs included; finding does not import it."""
    try:
        spec = find_spec("torch")
    except Exception:  # noqa: BLE001 - import hooks of others (editable installs) may raise anything
        return []
    return list(spec.submodule_search_locations or []) if spec else []


def _distributions() -> Iterator[dict[str, Any]]:
    """What is installed, the first of each name on sys.path as pip and Python take it.

    Read by hand: importlib.metadata takes 12 to 33 ms to import and 0.6 ms a distribution, this 0.1 ms (measured,
    Python 3.8 to 3.13 with up to 103 distributions; benchmarks/probe.py measures the whole).
    """
    seen = set()
    for entry in dict.fromkeys(sys.path):
        for path in _metadata_paths(entry or os.curdir):
            found = _distribution(path)
            if found is None:
                continue
            key = re.sub(r"[-_.]+", "-", found["name"]).lower()
            if key not in seen:
                seen.add(key)
                yield found


def _metadata_paths(entry: str) -> Iterator[str]:
    try:
        names = os.listdir(entry)  # its order decides between two of one name, as in importlib.metadata
    except OSError:  # not there, or a zip file
        return
    if entry.endswith(".egg") and "EGG-INFO" in names:
        yield os.path.join(entry, "EGG-INFO")
    for name in names:
        # pip leaves "~orch-2.7.1.dist-info" where it was stopped in the middle, and ignores it afterwards
        if name.lower().endswith((".dist-info", ".egg-info")) and not name.startswith("~"):
            yield os.path.join(entry, name)


def _distribution(path: str) -> dict[str, Any] | None:
    """One distribution; what its metadata leaves out is taken from its folder's name, None where that fails too."""
    headers = _headers(path)
    named = _DIST_INFO.fullmatch(os.path.basename(path))
    name = headers.get("Name") or (named and named.group("name"))
    version = headers.get("Version") or (named and named.group("version"))
    if not name or not version:
        return None
    return dict({"name": name, "version": version, "path": path}, **_origin(path, name))


def _headers(path: str) -> dict[str, str]:
    files = [path] if os.path.isfile(path) else [os.path.join(path, name) for name in ("METADATA", "PKG-INFO")]
    for file in files:
        text = _read(file)
        if text:
            end = re.search(r"\r?\n\r?\n", text)
            pairs = _HEADER.findall(text, 0, end.start() if end else len(text))
            return dict(reversed(pairs))  # the first of each counts
    return {}


def _origin(path: str, name: str) -> dict[str, Any]:
    """Where it was installed from (PEP 610); ``setup.py develop`` leaves a .egg-link instead."""
    text = _read(os.path.join(path, "direct_url.json"))
    if text is None:
        develop = path.endswith(".egg-info") and any(
            os.path.isfile(os.path.join(folder, name + ".egg-link")) for folder in _site_packages()
        )
        return {"url": None, "sha256": None, "editable": develop}
    try:
        data = json.loads(text)
        archive, folder = data.get("archive_info") or {}, data.get("dir_info") or {}
        hashes = dict([archive.get("hash", "=").split("=", 1)], **archive.get("hashes") or {})
        return {
            "url": data.get("url"),
            "sha256": hashes.get("sha256"),
            "editable": folder.get("editable") is True,
        }
    except (ValueError, TypeError, AttributeError):  # not what PEP 610 says
        return {"url": None, "sha256": None, "editable": False}


def _read(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(report()) + "\n")
