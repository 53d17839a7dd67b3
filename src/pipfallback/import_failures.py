"""What a failed import means: its cause in a word, in a sentence, and what can be done about it.

The texts are those of the dynamic loader (glibc's dl-lookup.c and dl-version.c), CPython, torch, the CUDA runtime and
numpy, as users report them. The line that decides need not be the last: all that was said is searched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pipfallback.mangled import cxx11_abi, is_pythons, is_torchs, readable, uses_torch

# The cause (below) where another package is not there, which the one that was imported needs.
MISSING_DEPENDENCY = "missing-dependency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """``cause`` in kebab-case; ``words`` a sentence, None where the error itself says it best; ``hint`` what to do."""

    cause: str
    words: str | None = None
    hint: str | None = None


# What CUDA's libraries are called (docs.nvidia.com, "CUDA Toolkit Release Notes", table of components), and its friends.
_CUDA_LIBRARY = re.compile(
    r"lib(?P<name>cudart|cublas|cublasLt|cufft|curand|cusolver|cusolverMg|cusparse|cusparseLt|cudnn\w*|nccl|nvrtc\S*?|"
    r"nvJitLink|nvToolsExt|cupti|npp\w+|nvjpeg|nvshmem_host|cufile)\.so(?:\.(?P<version>[\d.]+))?"
)
_MISSING_LIBRARY = re.compile(r"(?P<library>lib[^\s:/]+\.so[\d.]*): cannot open shared object file")
_ITSELF = re.compile(r"/(?P<file>[^\s:/]+\.so): cannot open shared object file")
_UNDEFINED = re.compile(r"undefined symbol:? (?P<symbol>[A-Za-z_][\w@.]*)(?:, version (?P<version>\S+))?")
_VERSION = re.compile(r"version [`']?(?P<version>(?P<kind>GLIBC|GLIBCXX|CXXABI|GOMP)_[\w.]+)' not found")
_MISSING_MODULE = re.compile(r"ModuleNotFoundError: No module named '(?P<module>[\w.]+)'")
# An extension module names the Python that it is for (PEP 3149; PEP 703 adds the t).
_EXTENSION = re.compile(r"^(?P<module>\w+)\.cpython-3(?P<minor>\d+)(?P<threads>t?)-")

# torch's own error when no machine code fits (c10/cuda/CUDAException.cpp), and its warning (torch/cuda/__init__.py).
_NO_KERNEL = re.compile(r"no kernel image is available|is not compatible with the current PyTorch installation")
_OLD_DRIVER = re.compile(
    r"The NVIDIA driver on your system is too old|CUDA driver version is insufficient for CUDA runtime version"
    r"|the provided PTX was compiled with an unsupported toolchain"
)
_NUMPY = re.compile(
    r"module (?:was )?compiled against (?:ABI|API) version|numpy\.dtype size changed"
    r"|compiled using NumPy 1\.x cannot be run in"
)
_OPERATOR = re.compile(
    r"operator (?P<operator>\w+::\w+) does not exist|Could not find the operator (?P<other>\w+::\w+)"
)

# Packages whose import succeeds though their compiled part did not load, by what they print then (xformers/_cpp_lib.py,
# vllm/_custom_ops.py, bitsandbytes/cextension.py).
_SOFT = re.compile(
    r"can't load C\+\+/CUDA extensions|Failed to import from vllm\._(?:C|moe_C)\b|"
    r"Could not find the bitsandbytes CUDA binary|CUDA SETUP: Required library version not found|"
    r"bitsandbytes library load error"
)


def diagnose(text: str, *, own: Sequence[str] = (), files: Sequence[str] = ()) -> Diagnosis:
    """What ``text``, all that a failed import said, means.

    ``own``: the modules that were to be imported; ``files``: the names of the files of the package.
    """
    for recognise in _RECOGNISERS:
        found = recognise(text)
        if found is not None:
            return found
    return _missing_module(text, own, files) or Diagnosis(cause="import-failed")


def soft_failure(output: str) -> str | None:
    """The line with which a package that imports says that its compiled part does not work; None where it says none."""
    found = _SOFT.search(output)
    if found is None:
        return None
    return first_line(output[output.rfind("\n", 0, found.start()) + 1 :])


def first_line(text: str) -> str:
    """The first line that says something; with the next, where it ends with a colon and that says what."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])


def _undefined_symbol(text: str) -> Diagnosis | None:
    found = _UNDEFINED.search(text)
    if found is None:
        return None
    symbol, version = found["symbol"].partition("@")[0], found["version"] or ""
    # Reported for every library of CUDA 12 that finds an older libnvJitLink first (pytorch 111469, 134929, 140797).
    if symbol.startswith("__nvJitLink") or version.startswith("libnv"):
        return Diagnosis(
            cause="cuda-lib-shadowed",
            words=f"another CUDA library is found before the one that belongs here ({symbol} is missing in it)",
            hint="take folders of another CUDA out of LD_LIBRARY_PATH",
        )
    name = readable(symbol)
    if is_torchs(symbol) or uses_torch(symbol):
        return Diagnosis(
            cause="torch-abi",
            words=f"built for another torch{_said_of_abi(symbol)}: it needs {name}, which the torch here does not have",
            hint="a build for the torch that is installed",
        )
    if is_pythons(symbol):
        return Diagnosis(cause="wrong-python", words=f"built for another Python: it needs {name}, which this one lacks")
    if symbol.startswith(("_ZNSt", "_ZNKSt", "_ZSt")):
        return Diagnosis(
            cause="glibcxx",
            words=f"needs a newer libstdc++ than the one here: {name} is missing",
            hint="a build for an older compiler, or a newer base image",
        )
    return Diagnosis(cause="undefined-symbol", words=f"{name} is in none of the libraries that it loads")


def _said_of_abi(symbol: str) -> str:
    said = cxx11_abi(symbol)
    if said is None:
        return ""
    return f", or with the {'new' if said else 'old'} C++ ABI"


def _missing_library(text: str) -> Diagnosis | None:
    found = _MISSING_LIBRARY.search(text)
    if found is None:
        return None
    library = found["library"]
    if library.startswith(("libc10_cuda", "libtorch_cuda")) and "_cuda_c" not in library:
        return Diagnosis(
            cause="torch-libs-not-loaded",
            words=f"torch's {library} was not found: the torch here is a build for CPU, or was not imported first",
            hint="a CUDA build of torch, or a build of this package for CPU",
        )
    if re.match(r"libtorch_cuda_c(?:u|pp)\.so", library):  # torch 1.10 to 1.13 (pytorch/caffe2/CMakeLists.txt)
        return Diagnosis(cause="torch-libs-removed", words=f"built for a torch before 2.0 ({library} is no more)")
    if library.startswith(("libc10", "libtorch", "libshm", "libcaffe2")):
        return Diagnosis(
            cause="torch-libs-not-loaded",
            words=f"torch's library {library} was not found: torch is missing, or was not imported first",
            hint="python -c 'import torch' shows whether torch itself works",
        )
    cuda = _CUDA_LIBRARY.match(library)
    if cuda is None:
        return Diagnosis(cause="missing-library", words=f"it needs {library}, which is not on this system")
    version = f" {cuda['version'].split('.')[0]}" if cuda["version"] and cuda["name"] == "cudart" else ""
    return Diagnosis(
        cause="cuda-runtime-missing",
        words=f"built for CUDA{version}: {library} is not here",
        hint="a build for the CUDA of the torch that is installed",
    )


def _old_library(text: str) -> Diagnosis | None:
    found = _VERSION.search(text)
    if found is None:
        return None
    wanted = found["version"].replace("_", " ")
    if found["kind"] == "GLIBC":
        return Diagnosis(
            cause="glibc",
            words=f"built on a newer system: it needs {wanted.replace('GLIBC', 'glibc')}",
            hint="a manylinux build, or a newer base image",
        )
    return Diagnosis(
        cause="glibcxx",
        words=f"built with a newer compiler: its libstdc++ has {found['version']}, the one here has not",
        hint="a newer libstdc++ (apt: libstdc++6, conda: libstdcxx-ng), and none older before it in LD_LIBRARY_PATH",
    )


def _operator(text: str) -> Diagnosis | None:
    found = _OPERATOR.search(text)
    if found is None:
        return None
    operator = found["operator"] or found["other"]
    package = operator.partition("::")[0]
    return Diagnosis(
        cause="op-registration",
        words=f"the compiled part of {package} did not load ({operator} is unknown): it was built for another torch",
        hint=f"a {package} that belongs to the torch that is installed",
    )


def _own_file(text: str) -> Diagnosis | None:
    """The loader names the file itself where its format is not this machine's."""
    found = _ITSELF.search(text)
    if found is not None and not found["file"].startswith("lib"):
        return Diagnosis(cause="wrong-machine", words=f"{found['file']} is for another kind of machine, or damaged")
    if re.search(r"invalid ELF header|wrong ELF class|file too short|not a valid Win32 application", text):
        return Diagnosis(
            cause="wrong-machine", words="a compiled file of it is for another kind of machine, or damaged"
        )
    return None


def _gpu(text: str) -> Diagnosis | None:
    if _NO_KERNEL.search(text):
        return Diagnosis(
            cause="gpu-arch", words="it holds no machine code for this GPU", hint="a build for this GPU's architecture"
        )
    if _OLD_DRIVER.search(text):
        return Diagnosis(
            cause="driver",
            words="the driver of this machine is too old for the CUDA that it was built with",
            hint="a newer driver, or a build for an older CUDA",
        )
    if "Torch not compiled with CUDA enabled" in text:  # torch/cuda/__init__.py
        return Diagnosis(cause="cpu-torch", words="it wants a GPU, and the torch here is a CPU build")
    return None


def _numpy(text: str) -> Diagnosis | None:
    if not _NUMPY.search(text):
        return None
    return Diagnosis(
        cause="numpy-abi",
        words="built for another numpy than the one that is installed",
        hint="numpy<2 for builds made before numpy 2.0, else a newer build",
    )


def _protobuf(text: str) -> Diagnosis | None:
    if "Descriptors cannot be created directly" not in text:  # google/protobuf/descriptor.py, since 4.21
        return None
    return Diagnosis(
        cause="dependency-version",
        words="its generated code is too old for the protobuf that is installed",
        hint="protobuf<3.21 (so that error itself says)",
    )


def _windows(text: str) -> Diagnosis | None:
    found = re.search(r"DLL load failed while importing (?P<module>\w+)", text)  # the rest is in the user's language
    if found is None:
        return None
    return Diagnosis(
        cause="windows-dll",
        words=f"{found['module']} needs a DLL, or a function in one, that is not here: another torch or CUDA, mostly",
        hint="a build for the torch and CUDA that are installed",
    )


def _missing_module(text: str, own: Sequence[str], files: Sequence[str]) -> Diagnosis | None:
    found = _MISSING_MODULE.search(text)
    if found is None:
        return None
    module = found["module"]
    for python in _pythons_of(module.rpartition(".")[2], files):
        return Diagnosis(cause="wrong-python", words=f"{module} is there, but built for CPython {python}")
    if any(module == each or each.startswith(f"{module}.") for each in own):
        return Diagnosis(cause="missing-module", words=f"it brings no module {module}")
    parent = module.rpartition(".")[0]
    if parent:  # of a package that is not there, Python names the package alone (importlib, _find_and_load_unlocked)
        other = "a build for the torch that is here" if parent == "torch" else f"another version of it, or of {parent}"
        return Diagnosis(
            cause="dependency-version",
            words=f"it needs the module {module}, which the {parent} that is installed does not have",
            hint=other,
        )
    return Diagnosis(
        cause="missing-dependency",
        words=f"it needs the module {module}, which is not installed",
        hint=f"install what provides {module}",
    )


def _pythons_of(module: str, files: Sequence[str]) -> Iterator[str]:
    for file in files:
        found = _EXTENSION.match(file.rpartition("/")[2])
        if found is not None and found["module"] == module:
            yield f"3.{found['minor']}{found['threads']}"


_Recogniser: TypeAlias = Callable[[str], "Diagnosis | None"]
# What says most comes first: an undefined symbol may be followed by "operator ... does not exist".
_RECOGNISERS: tuple[_Recogniser, ...] = (
    _undefined_symbol, _old_library, _own_file, _missing_library, _gpu, _numpy, _protobuf, _windows, _operator
)  # fmt: skip
