"""GPU code that was found in a file, against the GPUs here: machine code, or PTX that the driver knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from pipfallback.environment import Environment, Gpu
from pipfallback.file_facts import FileFacts, GpuCode, sorted_archs
from pipfallback.releases import numbers
from pipfallback.rules.cuda import cuda_of_driver
from pipfallback.rules.gpu import Arch, runs_on
from pipfallback.rules.values import Finding, Mismatch, Setting

# The oldest CUDA whose driver knows a PTX version, where it is not major + 4 and minor (8.3: CUDA 12.3):
# docs.nvidia.com/cuda/parallel-thread-execution, "Release Notes", table "PTX Release History".
_CUDA_OF_PTX = {
    "6.3": "10.0", "6.4": "10.1", "6.5": "10.2", "8.6": "12.7", "8.7": "12.8", "8.8": "12.9",
}  # fmt: skip


def gpu_code(facts: FileFacts, setting: Setting) -> Finding:
    """Refuse a file none of whose GPU code the GPU here can run; doubt one that has such code in some objects only."""
    environment = setting.environment
    codes = facts.gpu_code
    if not codes or not environment.gpus:
        return None
    verdicts = {
        device.compute_capability: {name: runs(code, device, environment) for name, code in codes.items()}
        for device in environment.gpus
    }
    refused = [capability for capability, each in verdicts.items() if set(each.values()) == {False}]
    # As for labels (gpu.py): all GPUs that the user named must be served; of those found, one.
    if refused and (len(refused) == len(verdicts) or environment.origins.get("gpus") == "declared"):
        code, found = " ".join(labels_of(codes.values())), " ".join(refused)
        text = f"has GPU code for {code}; the GPU here is {found}"
        return Mismatch(rule="gpu-arch", wanted=code, found=found, text=text)
    return _doubt(verdicts, refused)


def _doubt(verdicts: Mapping[str, Mapping[str, bool | None]], refused: Sequence[str]) -> str | None:
    if refused:
        return f"has no GPU code for one of the GPUs here ({' '.join(refused)})"
    lacking = [name for each in verdicts.values() for name, runs_here in each.items() if runs_here is False]
    if lacking:
        return f"{lacking[0].rpartition('/')[2]} has no GPU code that the GPU here can run; other parts have"
    if all(True in each.values() for each in verdicts.values()):
        return None
    return "whether it has code that the GPU here can run is not known"


def runs(code: GpuCode, device: Gpu, environment: Environment) -> bool | None:
    """Whether a GPU can run this code; None: only PTX would do, and it is not known whether the driver compiles it."""
    machine = runs_on(code.machine, device, None, environment)
    if machine is not False:
        return machine
    at = numbers(device.compute_capability)
    fitting = [arch for arch in code.ptx if _has_ptx_for(arch, (at[0], at[1]))]
    newest = cuda_of_driver(environment)
    if not fitting or newest is None:
        return None if fitting else False
    needed = min(
        (_cuda_of_ptx(code.ptx_isa[arch]) for arch in fitting if arch in code.ptx_isa), key=numbers, default=""
    )
    return numbers(newest)[:2] >= numbers(needed)[:2] if needed else None


def _has_ptx_for(arch: str, capability: tuple[int, int]) -> bool:
    major, minor = arch.rstrip("af").split(".")
    variant = arch[len(arch.rstrip("af")) :]
    return Arch(capability=(int(major), int(minor)), variant=variant, ptx=True).has_ptx_for(capability)


def _cuda_of_ptx(version: str) -> str:
    major, minor = version.split(".")
    return _CUDA_OF_PTX.get(version, f"{int(major) + 4}.{minor}")


def labels_of(codes: Iterable[GpuCode]) -> tuple[str, ...]:
    """Architectures as labels have them: "8.0", "9.0a", "12.0+PTX"."""
    each = list(codes)
    ptx = {arch for code in each for arch in code.ptx}
    archs = sorted_archs({arch for code in each for arch in code.machine} | ptx)
    return tuple(f"{arch}+PTX" if arch in ptx else arch for arch in archs)


def enough_for(environment: Environment) -> Callable[[GpuCode], bool] | None:
    """What tells when enough GPU code of an object was read: when every GPU here may run it. None: there is no GPU."""
    if not environment.gpus:
        return None
    return lambda code: all(runs(code, device, environment) is not False for device in environment.gpus)
