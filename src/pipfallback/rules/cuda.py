"""CUDA, ROCm and the driver: torch's own CUDA decides; only the driver can veto."""

from __future__ import annotations

import re

from pipfallback.builds import Build
from pipfallback.environment import Environment, Torch
from pipfallback.releases import driver_cuda, driver_floor, numbers
from pipfallback.rules.values import Finding, Mismatch, Setting

# Distributions that carry the CUDA runtime and have its version. From CUDA 13 on the name has no suffix, and
# cuda-toolkit, which torch requires, gathers them (Requires-Dist of torch 2.11 on PyPI).
_RUNTIME = re.compile(r"nvidia-cuda-runtime(?:-cu(\d+))?|cuda-toolkit")
_MINOR_COMPATIBLE_SINCE = 11  # docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html


def cuda_missing(build: Build, setting: Setting) -> Finding:
    """Refuse a CUDA build beside a torch without CUDA, and a CPU build beside a torch that has a GPU backend."""
    torch = setting.environment.torch
    if torch is None or not setting.tied_to_torch(build):
        return None
    backend = backend_of(torch)
    if is_for_cuda(build) and backend not in ("cuda", None):
        wanted = f"CUDA {build.cuda or ''}".strip()
        text = f"built for {wanted}; torch {torch.version} here has no CUDA"
        return Mismatch(rule="cuda-missing", wanted=wanted, found=_backend_text(torch), text=text)
    if build.cpu and backend not in ("cpu", None):
        text = f"built for the CPU only; torch {torch.version} here is built for {_backend_text(torch)}"
        return Mismatch(rule="cuda-missing", wanted="CPU", found=_backend_text(torch), text=text)
    if backend is None:
        return "whether torch here has CUDA is not known"
    return None


def accelerator(build: Build, setting: Setting) -> Finding:
    """Refuse a build for an accelerator that the torch here is not built for (XPU, MUSA, Ascend beside CUDA or ROCm)."""
    kind, torch = build.accelerator, setting.environment.torch
    backend = backend_of(torch) if torch else None
    if kind in (None, "cuda", "rocm", backend) or (
        kind == "metal" and setting.environment.platform.startswith("macosx")
    ):
        return None
    # torch for MUSA and Ascend is a CPU torch with a plugin; Vulkan and Metal are no affair of torch's.
    others = ("cuda", "rocm", "cpu") if kind == "xpu" else ("cuda", "rocm", "xpu")
    if torch is None or backend not in others or kind in ("metal", "vulkan") or not setting.tied_to_torch(build):
        return f"whether {kind} is here is not known"
    text = f"built for {kind}; torch {torch.version} here is built for {_backend_text(torch)}"
    return Mismatch(rule="accelerator", wanted=kind, found=_backend_text(torch), text=text)


def rocm(build: Build, setting: Setting) -> Finding:
    """Refuse a ROCm build beside a torch for something else or another minor release of ROCm, and where CUDA is here."""
    if not is_for_rocm(build):
        return None
    torch = setting.environment.torch
    if torch is not None and backend_of(torch) is not None and _torch_decides_for_rocm(build, torch, setting):
        return _rocm_beside_torch(build, torch)
    return _rocm_alone(build, setting.environment)


def cuda_version(build: Build, setting: Setting) -> Finding:
    """Refuse another CUDA major than torch's, or, for a build that needs no torch, than the CUDA libraries here."""
    stated_otherwise = build.cpu or is_for_rocm(build) or build.accelerator not in (None, "cuda")
    if stated_otherwise or build.name == "torch" or setting.environment.platform.startswith("macosx"):
        return None
    tied = setting.tied_to_torch(build)
    if build.cuda is None:
        return "which CUDA it was built for is not stated" if tied or is_for_cuda(build) else None
    return _against_torch(build.cuda, setting.environment.torch) if tied else _against_libraries(build, setting)


def driver(build: Build, setting: Setting) -> Finding:
    """Refuse a CUDA major that the driver is too old for."""
    here = setting.environment.driver
    if not build.cuda or here is None or not _is_too_old(build.cuda, setting.environment):
        return None
    newest = cuda_of_driver(setting.environment)
    floor = driver_floor(numbers(build.cuda)[0], windows=_windows(setting.environment))
    needed = f"driver {floor} or newer" if floor else "a newer driver"
    named = f"driver {here.version}" if here.version else "the driver"
    return Mismatch(
        rule="driver",
        wanted=f">={floor}" if floor else f"CUDA {build.cuda}",
        found=here.version or f"CUDA {newest}",
        text=f"CUDA {build.cuda} needs {needed}; {named} here {f'supports CUDA {newest}' if newest else 'is older'}",
    )


def _is_too_old(cuda: str, environment: Environment) -> bool:
    """Whether the driver is older than the CUDA's major asks (its minor too, before minor-version compatibility)."""
    asked, newest = numbers(cuda), cuda_of_driver(environment)
    if newest is not None:
        return asked > numbers(newest) if asked[0] < _MINOR_COMPATIBLE_SINCE else asked[0] > numbers(newest)[0]
    floor = driver_floor(asked[0], windows=_windows(environment))
    version = environment.driver.version if environment.driver else None
    return bool(floor and version and numbers(version) < numbers(floor))


def is_for_cuda(build: Build) -> bool:
    """Whether the build is for CUDA, of a stated version or not."""
    return build.cuda is not None or build.accelerator == "cuda"


def is_for_rocm(build: Build) -> bool:
    """Whether the build is for ROCm, of a stated version or not."""
    return build.rocm is not None or build.accelerator == "rocm"


def backend_of(torch: Torch) -> str | None:
    """What a torch computes on: "cuda", "rocm", "xpu", "cpu"; None: not known."""
    if torch.cuda or torch.rocm:
        return "cuda" if torch.cuda else "rocm"
    if "+xpu" in torch.version:
        return "xpu"
    return "cpu" if torch.cpu or "+cpu" in torch.version else None


def cuda_of_driver(environment: Environment) -> str | None:
    """The newest CUDA that the driver here supports; None: no driver, or it does not say and the tables do not know."""
    here = environment.driver
    if here is None or here.cuda or here.version is None:
        return here.cuda if here else None
    return driver_cuda(here.version, windows=_windows(environment))


def cuda_here(build: Build, setting: Setting) -> str | None:
    """The CUDA that builds are compared with: torch's; for a build that needs no torch, of the libraries, else the driver's."""
    environment = setting.environment
    torch_cuda = environment.torch.cuda if environment.torch else None
    if setting.tied_to_torch(build):
        return torch_cuda
    libraries = _libraries(setting)
    newest = max(libraries.values(), key=numbers) if libraries else None
    own = libraries.get(numbers(build.cuda)[0]) if build.cuda else None
    return own or newest or torch_cuda or cuda_of_driver(environment)


def cuda_distance(build: Build, setting: Setting) -> int:
    """How far the build's CUDA is from the one here, 0 the same: older minors, major only, newer minors, unknown."""
    here = cuda_here(build, setting)
    if build.cuda is None or here is None:
        return 900
    asked, own = numbers(build.cuda), numbers(here)
    if asked[0] != own[0]:
        return 800 + abs(asked[0] - own[0])
    if len(asked) < 2:
        return 100
    below = own[1] - asked[1]
    return below if below >= 0 else 200 - below


def _rocm_beside_torch(build: Build, torch: Torch) -> Finding:
    asked, here = numbers(build.rocm or "")[:2], numbers(torch.rocm or "")[:2]
    if torch.rocm is None or asked != here[: len(asked)]:
        wanted, found = _rocm_text(build), _backend_text(torch)
        text = f"built for {wanted}; torch {torch.version} here is built for {found}"
        return Mismatch(rule="rocm", wanted=wanted, found=found, text=text)
    return None if len(asked) == 2 else "which ROCm release it was built for is not stated"


def _torch_decides_for_rocm(build: Build, torch: Torch, setting: Setting) -> bool:
    """It does for what is tied to it, and for what may be where a torch for CUDA is all that tells of the GPU."""
    if setting.tied_to_torch(build):
        return True
    return bool(torch.cuda and not setting.environment.rocm_toolkit and setting.may_be_tied_to_torch(build))


def _rocm_alone(build: Build, environment: Environment) -> Finding:
    """Without a tie to torch the libraries count, as for CUDA: the major must agree."""
    torch, wanted = environment.torch, _rocm_text(build)
    here = (torch.rocm if torch else None) or environment.rocm_toolkit
    if here is None:
        if environment.driver is None and not environment.gpus:
            return "whether ROCm is here is not known"
        return Mismatch(rule="rocm", wanted=wanted, found="CUDA", text=f"built for {wanted}; the GPU here is NVIDIA's")
    asked, own = numbers(build.rocm or "")[:2], numbers(here)[:2]
    if not asked:
        return "which ROCm release it was built for is not stated"
    if asked[0] != own[0]:
        text = f"built for {wanted}; the libraries of ROCm here are {here}"
        return Mismatch(rule="rocm", wanted=wanted, found=f"ROCm {here}", text=text)
    return f"built for {wanted}, which is newer than the {here} here" if asked > own else None


def _rocm_text(build: Build) -> str:
    return f"ROCm {build.rocm or ''}".strip()


def _against_torch(asked: str, torch: Torch | None) -> Finding:
    if torch is None or torch.cuda is None:
        return None
    if _same_major(asked, torch.cuda):
        return _doubt_of_minor(asked, torch.cuda, f"torch's {torch.cuda}")
    return Mismatch(
        rule="cuda-version",
        wanted=asked,
        found=torch.cuda,
        text=f"built for CUDA {asked}; torch {torch.version} here has CUDA {torch.cuda}",
    )


def _against_libraries(build: Build, setting: Setting) -> Finding:
    asked = str(build.cuda)
    libraries, torch = _libraries(setting), setting.environment.torch
    if any(_RUNTIME.fullmatch(requirement.name) for requirement in build.requires):
        return None  # it brings its own
    if libraries:
        if own := libraries.get(numbers(asked)[0]):
            return _doubt_of_minor(asked, own, f"the {own} here")
        found = " and ".join(sorted(libraries.values(), key=numbers))
        text = f"built for CUDA {asked}; the CUDA libraries here are {found}"
        return Mismatch(rule="cuda-version", wanted=asked, found=found, text=text)
    if torch and torch.cuda and _same_major(asked, torch.cuda):
        return _doubt_of_minor(asked, torch.cuda, f"torch's {torch.cuda}")
    return f"whether the libraries of CUDA {asked} are here is not known"


def _libraries(setting: Setting) -> dict[int, str]:
    """The CUDA libraries that are here, as distributions or as a toolkit: major to major.minor."""
    environment = setting.environment
    runtimes = [version for name, version in (environment.installed or {}).items() if _RUNTIME.fullmatch(name)]
    releases = [numbers(version) for version in (environment.cuda_toolkit or "", *runtimes)]
    return {release[0]: f"{release[0]}.{release[1]}" for release in releases if len(release) > 1}


def _same_major(one: str, other: str) -> bool:
    """Whether two CUDA versions share their libraries: the major from 11 on, the minor before (libcudart.so.10.1)."""
    one_numbers, other_numbers = numbers(one), numbers(other)
    if one_numbers[:1] != other_numbers[:1]:
        return False
    if one_numbers[0] >= _MINOR_COMPATIBLE_SINCE or min(len(one_numbers), len(other_numbers)) < 2:
        return True
    return one_numbers[:2] == other_numbers[:2]


def _doubt_of_minor(built: str, own: str, whose: str) -> Finding:
    asked = numbers(built)
    if asked[:2] > numbers(own)[:2]:
        return f"built for CUDA {built}, which is newer than {whose}"
    return None


def _backend_text(torch: Torch) -> str:
    if torch.cuda:
        return f"CUDA {torch.cuda}"
    return f"ROCm {torch.rocm}" if torch.rocm else {"cpu": "CPU"}.get(str(backend_of(torch)), str(backend_of(torch)))


def _windows(environment: Environment) -> bool:
    return environment.platform.startswith("win")
