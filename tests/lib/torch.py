"""Stand-in torch distributions: what tools read of a torch, in the places where torch has it, without its 3 GB."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lib.wheels import Content, make_wheel


def make_torch(
    folder: Path,
    version: str = "2.7.1+cu126",
    *,
    cxx11_abi: bool = True,
    tag: str = "py3-none-any",
    requires: Sequence[str] = (),
    files: Mapping[str, Content] | None = None,
) -> Path:
    """Write a wheel of a torch of this version; CUDA or ROCm follow from its local part ("cu126", "rocm6.3", "cpu").

    It has torch/version.py, TorchConfig.cmake with the C++ ABI (as torch has it up to 2.12), ``torch.cuda`` without a
    GPU, and ``torch._C._GLIBCXX_USE_CXX11_ABI``. ``files`` adds members, such as "torch/lib/libc10.so".
    """
    cuda, hip = _accelerator(version)
    members: dict[str, Content] = {
        "torch/__init__.py": _INIT,
        "torch/_C.py": f"_GLIBCXX_USE_CXX11_ABI = {cxx11_abi}\n",
        "torch/cuda/__init__.py": _CUDA,
        "torch/version.py": _VERSION.format(version=version, cuda=cuda, hip=hip),
        "torch/share/cmake/Torch/TorchConfig.cmake": _CMAKE.format(abi=int(cxx11_abi)),
    }
    return make_wheel(folder, "torch", version, tag=tag, requires=requires, files=members | dict(files or {}))


def _accelerator(version: str) -> tuple[str | None, str | None]:
    """(CUDA, HIP) as torch/version.py states them: cu126 is "12.6", cu118 is "11.8", rocm6.3 is "6.3"."""
    local = version.partition("+")[2]
    if cuda := re.fullmatch(r"cu(\d+)(\d)", local):
        return f"{cuda[1]}.{cuda[2]}", None
    if hip := re.fullmatch(r"rocm([\d.]+)", local):
        return None, hip[1]
    return None, None


_INIT = """\
from torch import _C, cuda, version
from torch.version import __version__


def compiled_with_cxx11_abi():
    return _C._GLIBCXX_USE_CXX11_ABI
"""

_CUDA = """\
def is_available():
    return False


def device_count():
    return 0
"""

_VERSION = """\
from typing import Optional

__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip']
__version__ = '{version}'
debug = False
cuda: Optional[str] = {cuda!r}
git_version = 'e2d141dbde55c2a4370fac5165b0561b6af4798b'
hip: Optional[str] = {hip!r}
"""

_CMAKE = """\
# FindTorch
set(TORCH_LIBRARIES torch torch_library)

# When we build libtorch with the old libstdc++ ABI, dependent libraries must too.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI={abi}")
endif()
"""
