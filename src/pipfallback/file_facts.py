"""What the shared objects of a wheel are and need: facts, read from the file, against which its labels are claims.

None, or an empty tuple where ``known`` is False, is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipfallback import mangled

# Libraries of the NVIDIA driver: an image build has none, and it is no fault of the file's.
_DRIVER = re.compile(r"lib(?:cuda|nvidia-ml|nvcuvid|nvidia-encode|nvoptix)\.so(?:\.\d+)*")
# torch's own libraries, not those of its extensions (libtorchaudio.so, libtorchcodec_core7.so).
_TORCH = re.compile(r"lib(?:(?:c10|torch|caffe2)(?:_\w+)?|shm)\.so(?:\.\d+)*")
_VERSION_NODE = re.compile(r"(GLIBC|GLIBCXX|CXXABI)_(\d+(?:\.\d+)+)")
_CUDA_RUNTIME = re.compile(r"libcudart\.so\.(\d+)")
_LIBPYTHON = re.compile(r"libpython(\d+\.\d+)(t?)[a-z]*\.so(?:\.\d+)*")
# sysconfig's EXT_SUFFIX: ".cpython-311-x86_64-linux-gnu.so", ".cpython-313t-...", ".pypy310-pp73-...", ".abi3.so", ".so".
_SUFFIX = re.compile(r"\.(?:cpython-(\d)(\d+)([a-z]*)(?:-[^.]*)?|(pypy\d+-pp\d+)(?:-[^.]*)?|(abi3))\.so")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuCode:
    """The CUDA code in a fat binary: architectures ("8.0", "9.0a", "10.0f") of its machine code, and of its PTX.

    ``ptx_isa``: of each PTX architecture, the oldest PTX version that it is there in ("9.0"), which is what a driver must
    know. ``complete``: False where reading stopped early, so that there may be more.
    """

    machine: frozenset[str] = frozenset()
    ptx: frozenset[str] = frozenset()
    ptx_isa: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedObject:
    """One ELF object. ``name``: its path in the wheel. ``machine``: as platform tags name it ("x86_64", "aarch64").

    ``known``: whether its symbols and libraries were read. ``undefined``: what it must find to be loaded, ``weak``: what
    it may, ``exported``: what it offers. ``versions``: the symbol versions it needs ("GLIBC_2.34", "CXXABI_1.3.9").
    ``gpu``: None where that was not looked at; empty where it calls nothing that would load GPU code.
    """

    name: str
    machine: str
    known: bool = True
    soname: str | None = None
    needed: tuple[str, ...] = ()
    undefined: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()
    exported: frozenset[str] = frozenset()
    versions: frozenset[str] = frozenset()
    gpu: GpuCode | None = None

    @property
    def module(self) -> str | None:
        """The dotted name it is imported as, where it is an extension module: it offers PyInit (PEP 3121, PEP 489)."""
        stem = self.name.rpartition("/")[2].partition(".")[0]
        if not any(name in self.exported for name in (f"PyInit_{stem}", f"PyInitU_{stem}")):
            return None
        return f"{self.name.rpartition('/')[0]}/{stem}".strip("/").replace("/", ".")

    @property
    def bundled(self) -> bool:
        """Whether auditwheel or delocate brought it along from the machine of the build; torch's are never among these."""
        return ".libs/" in self.name

    @property
    def python(self) -> PythonAbi | None:
        """The Python that an extension module is for, as the end of its name says; None: any that can read it."""
        found = _SUFFIX.search(self.name)
        if found is None or found[5]:
            return None
        if found[4]:
            return PythonAbi(implementation="pypy", version="", suffix=found[4])
        return PythonAbi(
            implementation="cpython",
            version=f"{found[1]}.{found[2]}",
            free_threaded="t" in found[3],
            suffix=f"cpython-{found[1]}{found[2]}{found[3]}",
        )

    @property
    def uses_torch(self) -> bool:
        """Whether it calls torch's C++ (c10::, at::, torch::), or has its types in a signature."""
        return any(mangled.uses_torch(symbol) for symbol in (*self.undefined, *self.weak))

    @property
    def torch_symbols(self) -> frozenset[str]:
        """What it must find in torch's libraries: C++, and the C functions of the stable ABI."""
        return frozenset(symbol for symbol in self.undefined if mangled.is_torchs(symbol))

    @property
    def libpython(self) -> str | None:
        """The Python whose shared library it is linked with ("3.10", "3.13t"); most extension modules are with none."""
        found = next((match for lib in self.needed if (match := _LIBPYTHON.fullmatch(lib))), None)
        return f"{found[1]}{found[2]}" if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonAbi:
    """The interpreter that an extension module's file name names. ``suffix``: in the words of that name."""

    implementation: str
    version: str
    free_threaded: bool = False
    suffix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What all shared objects of a wheel say together. ``objects``: () for a wheel of Python alone.

    ``uses_torch``: None where not every object could be read. ``cxx11_abi``: by the std::string in the functions that it
    asks of torch; None: nothing says it. ``glibc``, ``glibcxx``, ``cxxabi``: the newest version needed ("2.34").
    ``cuda_runtime``: the majors of the libcudart that it is linked with ("12"); () also where that is linked in.
    """

    objects: tuple[SharedObject, ...] = ()
    uses_torch: bool | None = False
    cxx11_abi: bool | None = None
    glibc: str | None = None
    glibcxx: str | None = None
    cxxabi: str | None = None
    cuda_runtime: tuple[str, ...] = ()
    archs: tuple[str, ...] = ()
    ptx: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the symbols of every object were read, but for libraries that auditwheel brought along."""
        return all(each.known or each.bundled for each in self.objects)

    @property
    def gpu_code(self) -> Mapping[str, GpuCode]:
        """The GPU code of each object that has some; that of libraries that came along is not what the file is for."""
        codes = {one.name: one.gpu for one in self.objects if one.gpu and not one.bundled}
        return {name: code for name, code in codes.items() if code.machine or code.ptx}

    @property
    def gpu_code_known(self) -> bool:
        """Whether all GPU code of the file was read."""
        return all(one.gpu is not None and one.gpu.complete for one in self.objects if not one.bundled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What was found, or not, when the facts of a file were looked up in the libraries that are here.

    The mappings are of object names to what it misses, without the objects that miss nothing. ``torch_symbols``: None
    where torch's libraries are not there to look in. ``torch_libraries``: libraries of torch itself that it needs and
    that this torch lacks (libtorch_cuda.so beside a torch for the CPU). ``python_symbols``: None where the interpreter's
    exports cannot be read. ``symbols``: of nobody in particular; something loaded earlier may still bring them.
    ``libraries``: needed and found nowhere. ``glibcxx``, ``cxxabi``: the newest version that the libstdc++ here has.
    """

    torch_symbols: Mapping[str, tuple[str, ...]] | None = None
    torch_libraries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    python_symbols: Mapping[str, tuple[str, ...]] | None = None
    symbols: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    libraries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    glibcxx: str | None = None
    cxxabi: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a file is, and how that meets the libraries here. ``answers``: None where there are none to look in."""

    facts: FileFacts
    answers: Answers | None = None


def facts_of(objects: Iterable[SharedObject]) -> FileFacts:
    """What the shared objects of one wheel say together."""
    each = tuple(objects)
    newest = newest_versions(version for one in each for version in one.versions)
    runtimes = {found[1] for one in each for library in one.needed if (found := _CUDA_RUNTIME.match(library))}
    codes = [one.gpu for one in each if one.gpu and not one.bundled]
    return FileFacts(
        objects=each,
        uses_torch=_uses_torch(each),
        cxx11_abi=_cxx11_abi(each),
        glibc=newest.get("GLIBC"),
        glibcxx=newest.get("GLIBCXX"),
        cxxabi=newest.get("CXXABI"),
        cuda_runtime=tuple(sorted(runtimes, key=int)),
        archs=sorted_archs(arch for code in codes for arch in code.machine),
        ptx=sorted_archs(arch for code in codes for arch in code.ptx),
    )


def newest_versions(nodes: Iterable[str]) -> dict[str, str]:
    """The newest of each family of symbol versions: {"GLIBC": "2.34", "GLIBCXX": "3.4.30"}."""
    newest: dict[str, str] = {}
    for node in nodes:
        if found := _VERSION_NODE.fullmatch(node):
            family, version = found.groups()
            newest[family] = max(newest.get(family, "0"), version, key=version_key)
    return newest


def version_key(version: str) -> tuple[int, ...]:
    """The numbers of a symbol version, to compare with."""
    return tuple(int(part) for part in version.split("."))


def sorted_archs(archs: Iterable[str]) -> tuple[str, ...]:
    """Architectures in their order: 8.0, 9.0, 9.0a, 10.0."""
    return tuple(sorted(set(archs), key=lambda arch: (version_key(arch.rstrip("af")), arch)))


def is_of_driver(library: str) -> bool:
    """Whether a library comes with the NVIDIA driver."""
    return _DRIVER.fullmatch(library) is not None


def is_of_torch(library: str) -> bool:
    """Whether a library is one of torch's own, in torch/lib."""
    return _TORCH.fullmatch(library) is not None


def _uses_torch(objects: Sequence[SharedObject]) -> bool | None:
    if any(one.uses_torch for one in objects):
        return True
    return False if all(one.known or one.bundled for one in objects) else None


def _cxx11_abi(objects: Iterable[SharedObject]) -> bool | None:
    """True or False where all functions of torch that take a std::string agree on it."""
    said = {mangled.cxx11_abi(symbol) for one in objects for symbol in one.torch_symbols} - {None}
    return said.pop() if len(said) == 1 else None
