"""Why a build from source failed: what setuptools, torch's cpp_extension, ninja, nvcc and gcc say -> SubCause."""

from __future__ import annotations

import re
from enum import Enum


class SubCause(Enum):
    """What a failed build lacked. The value is a word for programs; ``words`` and ``hint`` are for people."""

    TORCH_MISSING = "torch-missing"
    TORCH_WITHOUT_CUDA = "torch-without-cuda"
    NO_NVCC = "no-nvcc"
    CUDA_MISMATCH = "cuda-mismatch"
    CUDA_TOO_OLD = "cuda-too-old"
    OUT_OF_MEMORY = "out-of-memory"
    NO_SPACE = "no-space"
    COMPILER_VERSION = "compiler-version"
    NO_COMPILER = "no-compiler"
    NO_NINJA = "no-ninja"
    MISSING_HEADER = "missing-header"
    MISSING_LIBRARY = "missing-library"
    BUILD_DEPENDENCY = "build-dependency"
    MODULE_MISSING = "module-missing"
    COMPILER = "compiler"

    @property
    def words(self) -> str:
        """What happened, to stand after "the build failed: "."""
        return _WORDS[self][0]

    @property
    def hint(self) -> str:
        """What to do about it."""
        return _WORDS[self][1]


_WORDS = {
    SubCause.TORCH_MISSING: (
        "it imports torch, which is not there or which pip's build isolation hides",
        "install torch first, then build with --no-build-isolation",
    ),
    SubCause.TORCH_WITHOUT_CUDA: (
        "it needs a torch with CUDA, and this torch has none",
        "install a CUDA build of torch (https://pytorch.org/get-started/locally/)",
    ),
    SubCause.NO_NVCC: (
        "it compiles CUDA code, and no CUDA toolkit (nvcc) was found",
        "install the CUDA toolkit of torch's CUDA version and set CUDA_HOME to it; images called -devel have it",
    ),
    SubCause.CUDA_MISMATCH: (
        "the CUDA toolkit (nvcc) has another version than the CUDA that torch was built with",
        "set CUDA_HOME to a toolkit of torch's CUDA version (python -c 'import torch; print(torch.version.cuda)')",
    ),
    SubCause.CUDA_TOO_OLD: (
        "the CUDA toolkit (nvcc) is too old for what is to be built",
        "use a newer CUDA toolkit, or set TORCH_CUDA_ARCH_LIST to the GPUs that are meant",
    ),
    SubCause.OUT_OF_MEMORY: (
        "the machine ran out of memory",
        "compile fewer files at once: MAX_JOBS=1 (or 2, 4) before the command; each nvcc takes several GB",
    ),
    SubCause.NO_SPACE: (
        "the disk that it was built on is full",
        "set TMPDIR to a folder on a disk with room",
    ),
    SubCause.COMPILER_VERSION: (
        "the C++ compiler's version is not one that nvcc or torch takes",
        "set CC and CXX (and for nvcc NVCC_PREPEND_FLAGS='-ccbin g++-12') to a version that the message names",
    ),
    SubCause.NO_COMPILER: (
        "no C or C++ compiler was found",
        "install one; on Debian and Ubuntu: apt install build-essential",
    ),
    SubCause.NO_NINJA: ("it needs ninja", "pip install ninja"),
    SubCause.MISSING_HEADER: (
        "the compiler did not find a header",
        "install the development package that has it; Python.h is in python3-dev, CUDA's headers are in the toolkit",
    ),
    SubCause.MISSING_LIBRARY: (
        "the linker did not find a library",
        "install the development package that has it, or name its folder in LIBRARY_PATH",
    ),
    SubCause.BUILD_DEPENDENCY: (
        "pip could not install what the build itself needs",
        "look above for the package that was not found, or install it and build with --no-build-isolation",
    ),
    SubCause.MODULE_MISSING: (
        "it imports a Python package that is not there or that pip's build isolation hides",
        "install that package first, then build with --no-build-isolation",
    ),
    SubCause.COMPILER: ("the compiler reported an error", "look above for the first error of the compiler"),
}

# The first that occurs decides: what lies deepest stands first, because what follows from it is in the same output
# ("Killed" comes before "error: command 'g++' failed", and that before "ninja: build stopped").
_SAID = (
    # Python: an import of setup.py.
    (r"No module named '?torch\b", SubCause.TORCH_MISSING),
    # torch/utils/cpp_extension.py: _join_cuda_home, CUDA_NOT_FOUND_MESSAGE, _check_cuda_version (torch 2.13).
    (r"CUDA_HOME environment variable is not set|CUDA was not found on the system|nvcc not found at '", SubCause.NO_NVCC),
    # setup.py of flash-attn, a shell, subprocess, setuptools.
    (r"nvcc was not found|nvcc: (?:command )?not found|No such file or directory: '[^']*nvcc'|command '[^']*nvcc' failed: No such file", SubCause.NO_NVCC),
    (r"(?i)failed to find nvcc|no CMAKE_CUDA_COMPILER could be found", SubCause.NO_NVCC),
    # torch/utils/cpp_extension.py, CUDA_MISMATCH_MESSAGE: torch 2.13 shows the format and the versions side by side.
    (r"detected CUDA version \((?:[\d.]+|%s)\)\s+mismatches\s+the\s+version", SubCause.CUDA_MISMATCH),
    # nvcc; setup.py of flash-attn ("FlashAttention is only supported on CUDA 11.7 and above").
    (r"nvcc fatal\s*: Unsupported gpu architecture|only supported on CUDA [\d.]+ and (?:above|later|newer)", SubCause.CUDA_TOO_OLD),
    # torch.cuda._lazy_init.
    (r"Torch not compiled with CUDA enabled", SubCause.TORCH_WITHOUT_CUDA),
    (r"No space left on device|\[Errno 28\]|Disk quota exceeded", SubCause.NO_SPACE),
    # gcc's driver when a program that it started was killed; nvcc the same ("'cicc' died due to signal 9").
    (r"Killed signal terminated program|(?:internal compiler error|fatal error): Killed|died due to signal 9|\(Kill signal\)", SubCause.OUT_OF_MEMORY),
    # The allocators of gcc, LLVM, Python and the kernel.
    (r"out of memory allocating|virtual memory exhausted|Cannot allocate memory|\bMemoryError\b|std::bad_alloc|LLVM ERROR: out of memory", SubCause.OUT_OF_MEMORY),
    # subprocess, pip and make: SIGKILL, which on Linux is the kernel's OOM killer's.
    (r"died with <Signals\.SIGKILL: 9>|(?:exit (?:code|status):?|exited with) -9\b|exit (?:code|status):? 137\b|returned non-zero exit status 137\b|(?m:^\s*Killed\s*$)|Error 137\b", SubCause.OUT_OF_MEMORY),
    # CUDA's crt/host_config.h; torch/utils/cpp_extension.py (_check_cuda_version, _get_gcc version bounds).
    (r"unsupported GNU version|unsupported clang version|The current installed version of \S+ \([^)]*\) is (?:less|greater) than", SubCause.COMPILER_VERSION),
    # setuptools; cmake; MSVC's distutils module.
    (r"command '[^']*' failed: No such file or directory|unable to execute '[^']*'|No CMAKE_C(?:XX)?_COMPILER could be found|Microsoft Visual C\+\+ [\d.]+ (?:or greater )?is required", SubCause.NO_COMPILER),
    (r"No such file or directory: '(?:[^']*/)?(?:cc|c\+\+|gcc|g\+\+|clang|clang\+\+)'", SubCause.NO_COMPILER),
    # torch/utils/cpp_extension.py (verify_ninja_availability); cmake.
    (r"Ninja is required to load C\+\+ extensions|No such file or directory: 'ninja'|build program corresponding to \"Ninja\"", SubCause.NO_NINJA),
    # gcc, clang; MSVC (C1083).
    (r"fatal error: '?[\w./+-]+\.(?:h|hpp|cuh|hh|hxx)'?(?:: No such file| file not found)|fatal error C1083", SubCause.MISSING_HEADER),
    # GNU ld, lld; MSVC (LNK1104, LNK1181).
    (r"cannot find -l|unable to find library -l|fatal error LNK1(?:104|181)", SubCause.MISSING_LIBRARY),
    # pip's word for a back end or a nested pip that failed before the package's own code ran.
    (r"BackendUnavailable|backend-unavailable|Cannot import '[^']+'", SubCause.BUILD_DEPENDENCY),
    (r"[Ii]nstall(?:ing)? (?:build|backend) dependencies|build-dependency-install|BuildDependencyInstallError", SubCause.BUILD_DEPENDENCY),
    (r"No matching distribution found for", SubCause.BUILD_DEPENDENCY),
    (r"(?:ModuleNotFoundError|ImportError): No module named", SubCause.MODULE_MISSING),
    # setuptools, ninja, make, nvcc, gcc, in this order the last words of a compilation.
    (r"error: command '[^']*' failed with exit|ninja: build stopped|\*\*\* \[.*\] Error \d|(?m:^\s*\S+:\d+(?::\d+)?: (?:fatal )?error: )|(?m:^\s*\S+\(\d+\): error\b)|collect2: error", SubCause.COMPILER),
)  # fmt: skip


def sub_cause(output: str) -> SubCause | None:
    """What a failed build lacked, by everything that it said; None where that is none of the known."""
    return next((found for pattern, found in _SAID if re.search(pattern, output)), None)
