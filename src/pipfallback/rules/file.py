"""What the file itself says (DESIGN 5): its symbols, versions, Pythons and GPU code, against what is here.

Facts override labels. Matching symbols do not lift ``torch-version`` (a struct's layout can change without a symbol
changing); missing ones refuse. What something that is loaded earlier may still provide is a doubt, no refusal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipfallback.builds import Build
from pipfallback.environment import Torch
from pipfallback.file_facts import Answers, FileFacts, Findings, SharedObject, newest_versions, version_key
from pipfallback.mangled import readable
from pipfallback.releases import numbers
from pipfallback.rules import gpu, torch
from pipfallback.rules.gpu_code import gpu_code, labels_of
from pipfallback.rules.values import Finding, Mismatch, Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVerdict:
    """What a look into the file changes: findings that come ``added``, and those of other rules that it ``disproves``."""

    added: tuple[Finding, ...] = ()
    disproved: frozenset[Finding] = frozenset()


def with_facts(build: Build, facts: FileFacts) -> Build:
    """The build with what its file says: C++ ABI, GPU architectures, and the major of its CUDA where none was stated."""
    if facts.gpu_code_known:
        build = replace(build, archs=labels_of(facts.gpu_code.values()) or build.archs)
    if facts.cxx11_abi is not None:
        build = replace(build, cxx11_abi=facts.cxx11_abi)
    stated = build.cuda or build.rocm or build.cpu or build.accelerator not in {None, "cuda"}
    if len(facts.cuda_runtime) == 1 and not stated:
        build = replace(build, cuda=facts.cuda_runtime[0], accelerator=None)
    return build


def judge_file(build: Build, setting: Setting, found: Findings, imports: Collection[str] = ()) -> FileVerdict:
    """Judge what was found in a file. ``build``: as ``with_facts`` gives it; ``imports``: modules that must import.

    An object is known to be loaded where one of ``imports`` is it; where none is any of them, every extension module
    and every object that calls torch counts as loaded. Only objects of Linux are understood; others change nothing.
    """
    if not setting.linux:
        return FileVerdict()
    loaded = _loaded(found.facts, imports)
    added = [
        *_pythons(found.facts, setting, loaded),
        _libpython(found.facts, setting, loaded),
        *_machines(found.facts, setting),
        *_versions(found, setting, loaded),
        *_symbols(build, found, setting, loaded),
        gpu_code(found.facts, setting),
        _unread(found.facts),
    ]
    return FileVerdict(
        added=tuple(finding for finding in added if finding),
        disproved=frozenset(finding for finding in _disproved(build, setting, found) if finding),
    )


def _disproved(build: Build, setting: Setting, found: Findings) -> Iterable[Finding]:
    facts = found.facts
    if facts.uses_torch is False and not _pins_torch(build):
        yield torch.torch_version(build, setting)
    without_strings = facts.known and facts.cxx11_abi is None
    if without_strings and (facts.uses_torch is False or _all_found(found)):
        yield torch.cxx11_abi(build, setting)
    if facts.gpu_code:
        yield gpu.gpu_arch(build, setting)


def _pins_torch(build: Build) -> bool:
    """Whether its METADATA wants one version of torch, which pip enforces, whatever the objects are."""
    return build.torch_rule == "exact" and any(requirement.name == "torch" for requirement in build.requires)


def _all_found(found: Findings) -> bool:
    return found.answers is not None and found.answers.torch_symbols == {}


def _loaded(facts: FileFacts, imports: Collection[str]) -> frozenset[str]:
    """The names of the objects that an import surely loads."""
    named = frozenset(one.name for one in facts.objects if one.module in imports)
    return named or frozenset(one.name for one in facts.objects if one.module or one.uses_torch or one.torch_symbols)


def _pythons(facts: FileFacts, setting: Setting, loaded: Collection[str]) -> Iterable[Finding]:
    """Extension modules that this interpreter does not see, since their names end as those of another do; libpython."""
    here = _python(setting)
    by_module: dict[str, list[SharedObject]] = {}
    for one in facts.objects:
        if one.module:
            by_module.setdefault(one.module, []).append(one)
    unseen = [objects for objects in by_module.values() if not any(_is_seen(one, setting) for one in objects)]
    for objects in unseen:
        wanted = ", ".join(sorted(one.python.suffix for one in objects if one.python))
        text = f"its module {objects[0].module} is built for {wanted}; this is {here}"
        certain = any(one.name in loaded for one in objects)
        yield Mismatch(rule="python-tag", wanted=wanted, found=here, text=text) if certain else text


def _libpython(facts: FileFacts, setting: Setting, loaded: Collection[str]) -> Finding:
    """An object that is linked with the shared library of another Python, which would be loaded beside this one."""
    here = _python(setting)
    for one in facts.objects:
        if one.libpython not in {None, here.rpartition(" ")[2]} and one.name in loaded:
            wanted = str(one.libpython)
            text = f"{_file(one.name)} is linked with the library of Python {wanted}; this is {here}"
            return Mismatch(rule="python-tag", wanted=wanted, found=here, text=text)
    return None


def _python(setting: Setting) -> str:
    """The interpreter here: "cpython 3.13t"."""
    python = setting.environment.python
    minor = ".".join(map(str, numbers(python.version)[:2]))
    return f"{python.implementation} {minor}{'t' if python.free_threaded else ''}"


def _is_seen(one: SharedObject, setting: Setting) -> bool:
    wanted, python = one.python, setting.environment.python
    if wanted is None:
        return True
    if wanted.implementation != python.implementation:
        return False
    if wanted.implementation != "cpython":
        return True
    same = wanted.version == ".".join(map(str, numbers(python.version)[:2]))
    return same and wanted.free_threaded == python.free_threaded


def _machines(facts: FileFacts, setting: Setting) -> Iterable[Finding]:
    """Objects for another processor: the loader says of them that the file does not exist."""
    here = setting.environment.platform.partition("_")[2]
    machines = {one.machine for one in facts.objects if one.machine}
    if not machines or here in machines:
        return
    wanted = ", ".join(sorted(machines))
    text = f"its shared objects are built for {wanted}; this machine is {here}"
    yield Mismatch(rule="platform-tag", wanted=wanted, found=here, text=text)


def _versions(found: Findings, setting: Setting, loaded: Collection[str]) -> Iterable[Finding]:
    """Newer symbol versions than the C library and the C++ library here have."""
    if setting.environment.musl:
        return
    answers = found.answers
    names = {"GLIBC": "glibc", "GLIBCXX": "the C++ library (GLIBCXX)", "CXXABI": "the C++ library (CXXABI)"}
    here = {
        "GLIBC": setting.environment.glibc,
        "GLIBCXX": answers.glibcxx if answers else None,
        "CXXABI": answers.cxxabi if answers else None,
    }
    sure = [one for one in found.facts.objects if one.name in loaded]
    for family, own in here.items():
        if worst := _newer(sure, family, own):
            text = f"{_file(worst[1])} needs {names[family]} {worst[0]} or newer; here is {own}"
            yield Mismatch(rule="glibc", wanted=f"{family}_{worst[0]}", found=str(own), text=text)
        elif worst := _newer(found.facts.objects, family, own):
            yield f"{_file(worst[1])} needs {names[family]} {worst[0]} or newer; here is {own}"


def _newer(objects: Iterable[SharedObject], family: str, own: str | None) -> tuple[str, str] | None:
    """The newest version of a family that is needed, where it is newer than ``own``, and who needs it."""
    found = [
        (node.partition("_")[2], one.name)
        for one in objects
        for node in one.versions
        if newest_versions([node]).get(family)
    ]
    worst = max(found, key=lambda pair: version_key(pair[0]), default=None)
    return worst if worst and own and version_key(worst[0]) > version_key(own) else None


def _symbols(build: Build, found: Findings, setting: Setting, loaded: Collection[str]) -> Iterable[Finding]:
    answers = found.answers
    if answers is None or build.name == "torch":  # its libraries are its own, or come with what it requires
        return
    here = setting.environment.torch
    version, python = here.version if here else "", setting.environment.python.version
    if any(one.torch_symbols for one in found.facts.objects):
        yield _torch_to_look_in(build, answers, setting)
    yield from _missing(
        answers.torch_symbols or {}, loaded, f"{_built_for(build, here)}: ", f"torch {version} here does not export"
    )
    yield from _torch_libraries(answers, loaded, version)
    yield from _missing(answers.python_symbols or {}, loaded, "", f"Python {python} here does not export")
    yield from _missing(answers.symbols, (), "", "no library here exports")
    # An object that nothing surely loads may be for another machine, as most of bitsandbytes are.
    lacking = sorted(name for name in answers.libraries if name in loaded)
    if lacking:
        libraries = sorted({library for name in lacking for library in answers.libraries[name]})
        yield f"{_file(lacking[0])} needs {', '.join(libraries)}, not found here"


def _built_for(build: Build, here: Torch | None) -> str:
    if build.torch is None:
        return "built for another torch"
    same = here is not None and numbers(build.torch)[:2] == numbers(here.version)[:2]
    return "built for another torch than it says" if same else f"built for torch {build.torch}"


def _torch_to_look_in(build: Build, answers: Answers, setting: Setting) -> Finding:
    if setting.environment.torch is None and setting.environment.origins.get("torch") != "unknown":
        if setting.tied_to_torch(build):
            return None  # torch-missing has told it
        text = "it calls torch's libraries; no torch is installed"
        return Mismatch(rule="torch-missing", wanted="torch", found="none", text=text)
    known = answers.torch_symbols is not None
    return None if known else "whether torch here has the functions that it calls is not known"


def _torch_libraries(answers: Answers, loaded: Collection[str], version: str) -> Iterable[Finding]:
    name = _first(answers.torch_libraries, loaded)
    if name is not None:
        library = answers.torch_libraries[name][0]
        text = f"{_file(name)} needs {library}, which torch {version} here does not have"
        found = f"torch {version}"
        yield Mismatch(rule="symbols", wanted=library, found=found, text=text) if name in loaded else text


def _first(names: Iterable[str], loaded: Collection[str]) -> str | None:
    """The object to tell of: one that is surely loaded before others, since what it misses refuses."""
    return min(names, key=lambda name: (name not in loaded, name), default=None)


def _missing(symbols: Mapping[str, Sequence[str]], loaded: Collection[str], built: str, whom: str) -> Iterable[Finding]:
    """One sentence for all objects."""
    name = _first(symbols, loaded)
    if name is None:
        return
    first, more = symbols[name][0], len(symbols[name]) - 1
    others = f" (and {more} more)" if more else ""
    text = f"{built}{_file(name)} needs `{readable(first)}`{others}, which {whom}"
    yield Mismatch(rule="symbols", wanted=first, found="missing", text=text) if name in loaded else text


def _unread(facts: FileFacts) -> Finding:
    unread = [one.name for one in facts.objects if not one.known and not one.bundled]
    if not unread:
        return None
    others = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
    return f"what {_file(unread[0]) or 'the file'}{others} needs could not be read"


def _file(name: str) -> str:
    return name.rpartition("/")[2]
