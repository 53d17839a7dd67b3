"""The NVIDIA driver and the GPUs that a process of this interpreter would see, printed as one JSON document.

Run as ``TARGET_PYTHON .../_gpu_probe.py`` by ``environment.probe``, beside ``_probe.py``: whatever a driver does, hang
or crash, happens in a process of its own. Standard library only, Python 3.8 and newer. Asked are, in this order, NVML
(0.1 s on an H100), the CUDA driver library (cuInit may take seconds on a machine with many GPUs; Jetsons had no NVML)
and nvidia-smi (where Python has no ctypes). Absent is null.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    # The folder of this script holds modules named like others: nothing may be imported from it.
    del sys.path[0]

import json
import os
import re

TYPE_CHECKING = False  # typing takes 5 ms to import
if TYPE_CHECKING:
    from typing import Any, Dict, Mapping, Sequence

    # A GPU: "name", "compute_capability" ("8.9"), "uuid" ("GPU-...", None where it is not known).
    Device = Dict[str, Any]

FORMAT = 1  # of the document; environment.probe reads this one only

_UNIX = not sys.platform.startswith("win")
_NVML = "libnvidia-ml.so.1" if _UNIX else "nvml.dll"
_CUDA = "libcuda.so.1" if _UNIX else "nvcuda.dll"
# Where drivers lie that the loader does not know by itself: WSL (docs.nvidia.com/cuda/wsl-user-guide), NixOS, GKE.
_FOLDERS = ("/usr/lib/wsl/lib", "/run/opengl-driver/lib", "/usr/local/nvidia/lib64")
# What the kernel shows of a driver: its module, and the device that WSL has instead of one.
_VERSION_FILES = ("/sys/module/nvidia/version", "/proc/driver/nvidia/version")
_WSL_DEVICE = "/dev/dxg"
_SMI_SECONDS = 5  # nvidia-smi takes 0.02 s; on a driver that is stuck it hangs


def report() -> dict[str, Any]:
    """Driver and visible GPUs, ready for JSON."""
    found = _ask_nvml() or _ask_cuda() or _ask_smi() or _unusable()
    if found is None:
        return {"format": FORMAT, "driver": None, "gpus": []}
    gpus = [{"name": gpu["name"], "compute_capability": gpu["compute_capability"]} for gpu in found["gpus"]]
    return {"format": FORMAT, "driver": found["driver"], "gpus": gpus}


def _ask_nvml() -> dict[str, Any] | None:
    """Driver and GPUs from NVML, None where it is not there or the driver does not answer it."""
    nvml = _load(_NVML)
    if nvml is None or nvml.nvmlInit_v2() != 0:
        return None
    version = _text(nvml.nvmlSystemGetDriverVersion)
    cuda = _cuda_version(
        getattr(nvml, "nvmlSystemGetCudaDriverVersion_v2", None) or nvml.nvmlSystemGetCudaDriverVersion
    )
    gpus = visible(_nvml_devices(nvml), os.environ)
    if gpus is None:  # only CUDA itself knows
        by_cuda = _ask_cuda()
        gpus = by_cuda["gpus"] if by_cuda else _nvml_devices(nvml)
    return {"driver": {"version": version, "cuda": cuda}, "gpus": gpus}


def _nvml_devices(nvml: Any) -> list[Device]:
    from ctypes import byref, c_int, c_uint, c_void_p  # a Python may lack ctypes

    count, devices = c_uint(), []
    nvml.nvmlDeviceGetCount_v2(byref(count))
    for index in range(count.value):
        handle, major, minor = c_void_p(), c_int(), c_int()
        if nvml.nvmlDeviceGetHandleByIndex_v2(c_uint(index), byref(handle)) != 0:
            continue  # one that has fallen off the bus, or that this user may not use
        if nvml.nvmlDeviceGetCudaComputeCapability(handle, byref(major), byref(minor)) == 0:
            devices.append(
                {
                    "name": _text(nvml.nvmlDeviceGetName, handle),
                    "compute_capability": "{}.{}".format(major.value, minor.value),
                    "uuid": _text(nvml.nvmlDeviceGetUUID, handle),
                }
            )
    return devices


def _ask_cuda() -> dict[str, Any] | None:
    """Driver and GPUs from the CUDA driver library, which applies CUDA_VISIBLE_DEVICES itself."""
    cuda = _load(_CUDA)
    if cuda is None or cuda.cuInit(0) != 0:
        return None
    from ctypes import byref, c_int, create_string_buffer  # a Python may lack ctypes

    count, devices = c_int(), []
    cuda.cuDeviceGetCount(byref(count))
    for index in range(count.value):
        device, major, minor, name = c_int(), c_int(), c_int(), create_string_buffer(256)
        cuda.cuDeviceGet(byref(device), index)
        cuda.cuDeviceGetName(name, len(name), device)
        # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h
        failed = cuda.cuDeviceGetAttribute(byref(major), 75, device) or cuda.cuDeviceGetAttribute(
            byref(minor), 76, device
        )
        if not failed:
            capability = "{}.{}".format(major.value, minor.value)
            devices.append(
                {"name": name.value.decode("utf-8", "replace"), "compute_capability": capability, "uuid": None}
            )
    return {"driver": {"version": _kernel_version(), "cuda": _cuda_version(cuda.cuDriverGetVersion)}, "gpus": devices}


def _ask_smi() -> dict[str, Any] | None:
    """Driver and GPUs from nvidia-smi."""
    folders = os.environ.get("PATH", "").split(os.pathsep) + list(_FOLDERS[:1])
    files = [os.path.join(folder, "nvidia-smi" if _UNIX else "nvidia-smi.exe") for folder in folders]
    program = next((file for file in files if os.access(file, os.X_OK)), None)
    if program is None:
        return None
    about = _run([program])  # its head: "Driver Version: 560.35.05      CUDA Version: 12.6"
    version, cuda = (re.search(what + r" Version:\s*(\d+(?:\.\d+)+)", about) for what in ("Driver", "CUDA"))
    if version is None:
        return None
    devices = _smi_devices(_run([program, "--query-gpu=name,uuid,compute_cap", "--format=csv,noheader"]))
    chosen = visible(devices, os.environ)
    driver = {"version": version.group(1), "cuda": cuda.group(1) if cuda else None}
    return {"driver": driver, "gpus": devices if chosen is None else chosen}


def _smi_devices(rows: str) -> list[Device]:
    """The GPUs of "NVIDIA L40, GPU-8932f937-..., 8.9"; before driver 510 nvidia-smi does not know compute_cap."""
    cells = [[cell.strip() for cell in row.split(",")] for row in rows.splitlines()]
    return [
        {"name": row[0], "uuid": row[1], "compute_capability": row[2]}
        for row in cells
        if len(row) == 3 and re.match(r"\d+\.\d+$", row[2])
    ]


def _unusable() -> dict[str, Any] | None:
    """What is known of a driver that is there and does not work (another version of its module is loaded, say).

    A module of the host without the driver's libraries, as containers see it, is no driver here; nor are the libraries
    of a compatibility package or the stubs of a toolkit without a module.
    """
    version, cuda = _kernel_version(), _load(_CUDA)
    if (cuda is None and _load(_NVML) is None) or not (version or os.path.exists(_WSL_DEVICE)):
        return None
    return {"driver": {"version": version, "cuda": cuda and _cuda_version(cuda.cuDriverGetVersion)}, "gpus": []}


def visible(devices: Sequence[Device], environ: Mapping[str, str]) -> list[Device] | None:
    """The devices that CUDA_VISIBLE_DEVICES leaves, in its order; None where this cannot be told from here.

    ``devices`` are in the order of their PCI bus. Rules: CUDA programming guide, "CUDA environment variables": numbers
    or beginnings of UUIDs; the first that is not valid ends the list; one that is named twice empties it.
    """
    setting = environ.get("CUDA_VISIBLE_DEVICES")
    if setting is None:
        return list(devices)
    words = [word.strip() for word in setting.split(",")]
    if words[0].startswith("MIG-"):
        return None  # slices of a GPU
    same = len({(device["name"], device["compute_capability"]) for device in devices}) < 2
    if re.match(r"\d", words[0]) and not same and environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        return None  # numbers count the fastest first
    chosen: list[int] = []
    for word in words:
        index = _index(word, devices)
        if index is None:
            break
        if index in chosen:
            return []
        chosen.append(index)
    return [devices[index] for index in chosen]


def _index(word: str, devices: Sequence[Device]) -> int | None:
    number = re.match(r"\d+", word)
    if number:
        found = [int(number.group())] if int(number.group()) < len(devices) else []
    else:
        found = [
            index
            for index, device in enumerate(devices)
            if word.startswith("GPU-") and (device["uuid"] or "").lower().startswith(word.lower())
        ]
    return found[0] if len(found) == 1 else None


def _load(name: str) -> Any:
    """A library of the driver, None where it is not there (or Python cannot load any)."""
    try:
        import ctypes  # a Python may lack ctypes
    except ImportError:
        return None
    for path in (name, *(os.path.join(folder, name) for folder in _FOLDERS)):
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    return None


def _text(ask: Any, *arguments: Any) -> str | None:
    """What an NVML function writes into its buffer."""
    from ctypes import c_uint, create_string_buffer  # a Python may lack ctypes

    buffer = create_string_buffer(96)  # NVML_DEVICE_UUID_V2_BUFFER_SIZE, its longest
    if ask(*arguments, buffer, c_uint(len(buffer))) != 0:
        return None
    return buffer.value.decode("utf-8", "replace") or None


def _cuda_version(ask: Any) -> str | None:
    """The newest CUDA that the driver runs; 12060 is 12.6."""
    from ctypes import byref, c_int  # a Python may lack ctypes

    number = c_int()
    if ask(byref(number)) != 0 or not number.value:
        return None
    return "{}.{}".format(number.value // 1000, number.value % 1000 // 10)


def _kernel_version() -> str | None:
    """The version of the driver's kernel module."""
    for path in _VERSION_FILES:
        try:
            with open(path, encoding="utf-8") as file:
                found = re.search(r"(?<![\w.])\d{3,}\.\d+(?:\.\d+)*(?![\w.])", file.read())
        except OSError:
            continue
        if found:
            return found.group()
    return None


def _run(command: list[str]) -> str:
    import subprocess  # it costs 10 ms and is seldom needed

    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=_SMI_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps(report()) + "\n")
