"""GPU architectures: machine code for the GPU that is here, or PTX that the driver can compile for it.

Rules: docs.nvidia.com/cuda/cuda-c-programming-guide, "Binary Compatibility" and "PTX Compatibility"; for ``a`` and
``f``, "Architecture-specific" and "Family-specific Features".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipfallback.builds import Build
from pipfallback.environment import Environment, Gpu
from pipfallback.releases import numbers
from pipfallback.rules.cuda import cuda_of_driver, is_for_rocm
from pipfallback.rules.values import Finding, Mismatch, Setting

# Jetson and Drive. Machine code is not shared between them and the desktop GPUs, nor among them (binary compatibility
# "is supported only for the desktop"): developer.nvidia.com/cuda-gpus, Xavier 7.2, Orin 8.7, Thor 11.0 (once 10.1).
_TEGRA = frozenset({(3, 2), (5, 3), (6, 2), (7, 2), (8, 7), (10, 1), (11, 0)})
_ARCH = re.compile(r"(\d+)\.(\d)([af]?)(\+PTX)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arch:
    """An architecture that a build holds code for: "9.0a" is (9, 0) with variant "a", "12.0+PTX" has PTX besides."""

    capability: tuple[int, int]
    variant: str = ""
    ptx: bool = False

    def has_machine_code_for(self, gpu: tuple[int, int]) -> bool:
        """Whether its machine code runs on a GPU: the same major, the same or a newer minor."""
        if self.variant == "a" or gpu in _TEGRA or self.capability in _TEGRA:
            return gpu == self.capability
        return gpu[0] == self.capability[0] and gpu[1] >= self.capability[1]

    def has_ptx_for(self, gpu: tuple[int, int]) -> bool:
        """Whether a driver that is new enough can compile its PTX for a GPU: any newer one, but not from ``a`` or ``f``."""
        if not self.ptx:
            return False
        return self.has_machine_code_for(gpu) if self.variant else gpu >= self.capability


def gpu_arch(build: Build, setting: Setting) -> Finding:
    """Refuse a build that states its architectures and holds nothing that the GPU here can run."""
    environment = setting.environment
    if not build.archs or not environment.gpus or is_for_rocm(build):
        return None
    verdicts = {gpu.compute_capability: runs_on(build.archs, gpu, build.cuda, environment) for gpu in environment.gpus}
    refused = [capability for capability, runs in verdicts.items() if runs is False]
    # Where the user named the GPUs, the build is to serve them all; of those found, one may only drive the screen.
    if refused and (len(refused) == len(verdicts) or environment.origins.get("gpus") == "declared"):
        code, found = " ".join(build.archs), " ".join(refused)
        text = f"has GPU code for {code}; the GPU here is {found}"
        return Mismatch(rule="gpu-arch", wanted=code, found=found, text=text)
    if refused:
        return f"has no GPU code for one of the GPUs here ({' '.join(refused)})"
    return "whether it has code that the GPU here can run is not known" if None in verdicts.values() else None


def runs_on(archs: Iterable[str], gpu: Gpu, toolkit: str | None, environment: Environment) -> bool | None:
    """Whether a GPU can run code for these architectures, made by CUDA ``toolkit``.

    None: an architecture or the GPU cannot be read; or only PTX would do, and driver or toolkit are not known.
    """
    capability, known = numbers(gpu.compute_capability), [_parse(text) for text in archs]
    if len(capability) != 2 or None in known:
        return None
    at = (capability[0], capability[1])
    if any(arch and arch.has_machine_code_for(at) for arch in known):
        return True
    if not any(arch and arch.has_ptx_for(at) for arch in known):
        return False
    return _driver_compiles(toolkit, environment)


def _driver_compiles(toolkit: str | None, environment: Environment) -> bool | None:
    """Whether the driver compiles PTX of a toolkit: its CUDA must not be older (minor-version-compatibility.html)."""
    newest = cuda_of_driver(environment)
    if newest is None or toolkit is None:
        return None
    asked, here = numbers(toolkit), numbers(newest)
    if len(asked) < 2:
        return None if asked[0] == here[0] else asked[0] < here[0]
    return here[:2] >= asked[:2]


def _parse(text: str) -> Arch | None:
    found = _ARCH.fullmatch(text)
    if found is None:
        return None
    return Arch(capability=(int(found[1]), int(found[2])), variant=found[3], ptx=bool(found[4]))
