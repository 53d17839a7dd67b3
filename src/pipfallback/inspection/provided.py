"""What is here for a shared object to find: torch's libraries, NVIDIA's, the interpreter, the system's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipfallback.environment import Environment, Installation
from pipfallback.file_facts import is_of_torch, newest_versions

_LIBRARY = re.compile(r"[\w.+-]+\.so(?:\.[\w.]+)?")
_NODES = re.compile(rb"\0((?:GLIBCXX|CXXABI)_\d+(?:\.\d+)+)(?=\0)")
# Where the loader of glibc looks without being told (ld.so(8)), and Debian's folders for several architectures.
_SYSTEM = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provided:
    """What shared objects can find in an environment.

    ``torch``: paths of torch's own libraries, None where there are none to look in. ``python``: what holds the
    interpreter's C API. ``libraries``: every shared library that a loaded object can find, its file name to its path;
    None where the folders of the system are not those of the target (a described machine). ``glibcxx`` and ``cxxabi``:
    the newest symbol versions of the libstdc++ that is here, None where none was found.
    """

    torch: tuple[str, ...] | None = None
    python: tuple[str, ...] = ()
    libraries: Mapping[str, str] | None = field(default_factory=dict)
    glibcxx: str | None = None
    cxxabi: str | None = None


def provided_by(environment: Environment, installation: Installation) -> Provided:
    """What is in the environment of an interpreter of this machine. Lists folders (50 ms); reads libstdc++ only.

    Of a torch that is not installed (planned, or described to us) there are no libraries to look in.
    """
    machine = environment.platform.partition("_")[2]
    prefixes = dict.fromkeys((installation.prefix, installation.base_prefix))
    torch_folders = [*(f"{folder}/lib" for folder in installation.torch_folders), *(f"{each}/lib" for each in prefixes)]
    libraries: dict[str, str] = {}
    folders = [*map(Path, torch_folders), *_nvidia_folders(installation.site_packages), *_toolkit(), *_system(machine)]
    for folder in folders:
        for name, path in _in_folder(folder):
            libraries.setdefault(name, path)
    torch = tuple(path for name, path in libraries.items() if is_of_torch(name))
    standard = libraries.get("libstdc++.so.6")
    nodes = newest_versions(_nodes(Path(standard))) if standard else {}
    return Provided(
        torch=torch if _is_here(environment) and any("libc10.so" in path for path in torch) else None,
        python=(str(Path(installation.executable).resolve()), *_libpython(installation, libraries)),
        libraries=libraries,
        glibcxx=nodes.get("GLIBCXX"),
        cxxabi=nodes.get("CXXABI"),
    )


def _is_here(environment: Environment) -> bool:
    """Whether the torch that builds are judged for is the installed one, not one that is planned or described."""
    return environment.torch is not None and environment.origins.get("torch", "found") == "found"


def _nvidia_folders(site_packages: Sequence[str]) -> Iterator[Path]:
    """Where the nvidia-* distributions have their libraries: nvidia/cublas/lib, nvidia/cu13/lib ..."""
    for folder in site_packages:
        yield from sorted(Path(folder).glob("nvidia/*/lib"))


def _toolkit() -> Iterator[Path]:
    for pattern in ("cuda/lib64", "cuda/targets/*/lib"):
        yield from sorted(Path("/usr/local").glob(pattern))


def _system(machine: str) -> Iterator[Path]:
    multiarch = f"{machine}-linux-gnu"
    yield from map(Path, (f"/lib/{multiarch}", f"/usr/lib/{multiarch}", *_SYSTEM))


def _in_folder(folder: Path) -> Iterable[tuple[str, str]]:
    try:
        return [(path.name, str(path)) for path in folder.iterdir() if _LIBRARY.fullmatch(path.name)]
    except OSError:
        return []


def _libpython(installation: Installation, libraries: Mapping[str, str]) -> tuple[str, ...]:
    """Shared libraries of the interpreter, whose program may hold nothing itself (--enable-shared)."""
    version = Path(installation.paths.get("stdlib", "")).name  # "python3.11", "python3.13t"
    own = [path for name, path in libraries.items() if name.startswith(f"lib{version}.so")] if version else []
    return tuple(own)


def _nodes(path: Path) -> list[str]:
    try:
        return [found.decode("ascii") for found in _NODES.findall(path.read_bytes())]
    except OSError:
        return []
