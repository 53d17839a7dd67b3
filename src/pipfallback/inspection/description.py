"""What a file was really built for, in lines for a person and as JSON for a program."""

from __future__ import annotations

from typing import Any

from pipfallback.file_facts import FileFacts, Findings
from pipfallback.mangled import readable

_ABI = {True: "new", False: "old"}


def describe(facts: FileFacts) -> tuple[str, ...]:
    """A line for each thing that the shared objects tell, such as "calls torch's C++ (new C++ ABI)"."""
    if not facts.objects:
        return ("holds no shared objects",)
    unread = sum(not one.known for one in facts.objects)
    machines = ", ".join(sorted({one.machine for one in facts.objects if one.machine}))
    count = f"{len(facts.objects)} shared object{'s' if len(facts.objects) > 1 else ''}"
    lines = [
        f"{count} for {machines or 'an unknown machine'}" + (f", {unread} of them not read" if unread else ""),
        f"built for {pythons}" if (pythons := ", ".join(_pythons(facts))) else None,
        _torch(facts),
        f"linked with CUDA runtime {' and '.join(facts.cuda_runtime)}" if facts.cuda_runtime else None,
        f"needs {needs}" if (needs := ", ".join(_versions(facts))) else None,
        _gpu(facts),
    ]
    return tuple(line for line in lines if line)


def _pythons(facts: FileFacts) -> list[str]:
    suffixes = {one.python.suffix if one.python else "abi3" for one in facts.objects if one.module and _says(one.name)}
    return sorted(suffixes)


def _says(name: str) -> bool:
    return name.count(".") > name.count(".so") or ".abi3." in name


def _torch(facts: FileFacts) -> str | None:
    if facts.uses_torch:
        abi = f" ({_ABI[facts.cxx11_abi]} C++ ABI)" if facts.cxx11_abi is not None else ""
        return f"calls torch's C++{abi}"
    if facts.uses_torch is None:
        return "whether it calls torch is not known"
    stable = any(one.torch_symbols for one in facts.objects)
    return "calls torch by its stable C functions only" if stable else "does not call torch's libraries"


def _versions(facts: FileFacts) -> list[str]:
    stated = {"glibc": facts.glibc, "GLIBCXX": facts.glibcxx, "CXXABI": facts.cxxabi}
    return [f"{name} {version}" for name, version in stated.items() if version]


def _gpu(facts: FileFacts) -> str | None:
    if not facts.archs and not facts.ptx:
        return None
    partly = any(one.gpu and not one.gpu.complete for one in facts.objects)
    code = " ".join(facts.archs) or "none"
    ptx = f", PTX for {' '.join(facts.ptx)}" if facts.ptx else ""
    return f"GPU code for {code}{ptx}{' at least: not all of it was read' if partly else ''}"


def to_json(found: Findings) -> dict[str, Any]:
    """The facts and what was missed here, with mangled and readable names. null is unknown."""
    facts, answers = found.facts, found.answers
    missing = {} if answers is None or answers.torch_symbols is None else answers.torch_symbols
    return {
        "objects": [
            {
                "name": one.name,
                "machine": one.machine or None,
                "read": one.known,
                "module": one.module,
                "python": one.python.suffix if one.python else None,
                "needed": list(one.needed),
                "gpu": None if one.gpu is None else {"machine": sorted(one.gpu.machine), "ptx": sorted(one.gpu.ptx)},
                "missing": [{"symbol": each, "name": readable(each)} for each in missing.get(one.name, ())],
            }
            for one in facts.objects
        ],
        "uses_torch": facts.uses_torch,
        "cxx11_abi": facts.cxx11_abi,
        "glibc": facts.glibc,
        "glibcxx": facts.glibcxx,
        "cxxabi": facts.cxxabi,
        "cuda_runtime": list(facts.cuda_runtime),
        "archs": list(facts.archs),
        "ptx": list(facts.ptx),
    }
