"""Driver and GPUs as real shared libraries and a real nvidia-smi tell them, each a stand-in compiled for the test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lib.extensions import has_compiler
from lib.venvs import find_interpreter
from pipfallback import _gpu_probe
from pipfallback.environment import probe
from pipfallback.machine import Driver, Gpu

SCRIPT = Path(_gpu_probe.__file__)
NO_DEVICE = 9  # NVML_ERROR_DRIVER_NOT_LOADED of nvml.h; cuInit, too, returns something else than 0
MISMATCH = 18  # NVML_ERROR_LIB_RM_VERSION_MISMATCH: a driver was updated and its module is still the old one

H100 = ("NVIDIA H100 80GB HBM3", "9.0", "GPU-11111111-aaaa")
L40 = ("NVIDIA L40", "8.9", "GPU-22222222-bbbb")
T4 = ("Tesla T4", "7.5", "GPU-22233333-cccc")

pytestmark = pytest.mark.skipif(not has_compiler(), reason="no C compiler on this machine")

NVML = """
#include <string.h>
static const char *names[] = {%(names)s}, *uuids[] = {%(uuids)s};
static const int majors[] = {%(majors)s}, minors[] = {%(minors)s};
int nvmlInit_v2(void) { return %(init)d; }
int nvmlSystemGetDriverVersion(char *to, unsigned size) { strncpy(to, "560.35.05", size); return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *to) { *to = 12060; return 0; }
int nvmlDeviceGetCount_v2(unsigned *to) { *to = %(count)d; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **to) { *to = (void *)(long)index; return index == %(lost)d ? 15 : 0; }
int nvmlDeviceGetName(void *gpu, char *to, unsigned size) { strncpy(to, names[(long)gpu], size); return 0; }
int nvmlDeviceGetUUID(void *gpu, char *to, unsigned size) { strncpy(to, uuids[(long)gpu], size); return 0; }
int nvmlDeviceGetCudaComputeCapability(void *gpu, int *major, int *minor) {
    *major = majors[(long)gpu]; *minor = minors[(long)gpu]; return 0;
}
"""

CUDA = """
#include <string.h>
static const char *names[] = {%(names)s};
static const int majors[] = {%(majors)s}, minors[] = {%(minors)s};
int cuInit(unsigned flags) { return %(init)d; }
int cuDriverGetVersion(int *to) { *to = 12080; return %(stub)d; }
int cuDeviceGetCount(int *to) { *to = %(count)d; return 0; }
int cuDeviceGet(int *to, int index) { *to = index; return 0; }
int cuDeviceGetName(char *to, int size, int gpu) { strncpy(to, names[gpu], size); return 0; }
int cuDeviceGetAttribute(int *to, int attribute, int gpu) {
    *to = attribute == 75 ? majors[gpu] : attribute == 76 ? minors[gpu] : -1; return 0;
}
"""

SMI = """#!/bin/sh
case "$*" in
  *--query-gpu=name,uuid,compute_cap*) printf '%(rows)s' ;;
  *) echo "| NVIDIA-SMI 560.35.05    Driver Version: 560.35.05    CUDA Version: 12.6     |" ;;
esac
"""


def quoted(words: Sequence[str]) -> str:
    return ", ".join(f'"{word}"' for word in words) or '""'


def write_library(folder: Path, name: str, source: str, gpus: Sequence[tuple[str, str, str]], **values: int) -> None:
    folder.mkdir(exist_ok=True)
    code = source % {
        "names": quoted([gpu[0] for gpu in gpus]),
        "uuids": quoted([gpu[2] for gpu in gpus]),
        "majors": ", ".join(gpu[1].split(".")[0] for gpu in gpus) or "0",
        "minors": ", ".join(gpu[1].split(".")[1] for gpu in gpus) or "0",
        "count": len(gpus),
        "init": 0,
        "lost": -1,
        "stub": 0,
        **values,
    }
    command = ["cc", "-shared", "-fPIC", "-w", "-x", "c", "-o", str(folder / name), "-"]
    subprocess.run(command, input=code, text=True, check=True)


def write_smi(folder: Path, rows: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "nvidia-smi").write_text(SMI % {"rows": rows})
    (folder / "nvidia-smi").chmod(0o755)


def ask(folder: Path, settings: Mapping[str, str] | None = None, *, change: str = "") -> dict[str, Any]:
    """What the script says where ``folder`` holds the driver's libraries and programs. ``change`` is run before."""
    environ = {"LD_LIBRARY_PATH": str(folder), "PATH": f"{folder}:/usr/bin:/bin", **(settings or {})}
    command = [sys.executable, str(SCRIPT)]
    if change:
        run = f"import json, sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import _gpu_probe as probe"
        command = [sys.executable, "-c", f"{run}\n{change}\nprint(json.dumps(probe.report()))"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def names(said: Mapping[str, Any]) -> list[str]:
    return [gpu["name"] for gpu in said["gpus"]]


def test_nvml_names_the_driver_and_several_different_gpus(tmp_path: Path) -> None:
    write_library(tmp_path, "libnvidia-ml.so.1", NVML, [H100, L40])
    assert ask(tmp_path) == {
        "format": 1,
        "driver": {"version": "560.35.05", "cuda": "12.6"},
        "gpus": [
            {"name": "NVIDIA H100 80GB HBM3", "compute_capability": "9.0"},
            {"name": "NVIDIA L40", "compute_capability": "8.9"},
        ],
    }


def test_the_environment_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_library(tmp_path, "libnvidia-ml.so.1", NVML, [L40])
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    environment, _ = probe(sys.executable)
    assert environment.driver == Driver(version="560.35.05", cuda="12.6")
    assert environment.gpus == (Gpu(compute_capability="8.9", name="NVIDIA L40"),)
    assert environment.origins["gpus"] == "found"


def test_a_driver_that_crashes_leaves_only_itself_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_library(
        tmp_path, "libnvidia-ml.so.1", NVML.replace("{ return %(init)d; }", "{ *(volatile int *)0 = 1; }"), [L40]
    )
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    environment, _ = probe(sys.executable)
    assert environment.driver is None
    assert environment.origins["driver"] == "unknown"
    assert environment.origins["python"] == "found"


def test_a_gpu_that_is_lost_is_left_out(tmp_path: Path) -> None:
    write_library(tmp_path, "libnvidia-ml.so.1", NVML, [H100, L40], lost=0)
    assert names(ask(tmp_path)) == ["NVIDIA L40"]


def test_a_driver_without_a_gpu_is_a_driver(tmp_path: Path) -> None:
    write_library(tmp_path, "libnvidia-ml.so.1", NVML, [])
    said = ask(tmp_path)
    assert (said["driver"]["cuda"], said["gpus"]) == ("12.6", [])


def test_without_nvml_the_cuda_library_is_asked(tmp_path: Path) -> None:
    write_library(tmp_path, "libcuda.so.1", CUDA, [("Orin", "8.7", "")])  # a Jetson
    said = ask(tmp_path, change="probe._VERSION_FILES = ()")
    assert said["driver"] == {"version": None, "cuda": "12.8"}
    assert said["gpus"] == [{"name": "Orin", "compute_capability": "8.7"}]


def test_the_second_way_is_nvidia_smi(tmp_path: Path) -> None:
    write_smi(tmp_path, "NVIDIA L40, GPU-22222222-bbbb, 8.9\\nTesla T4, GPU-22233333-cccc, 7.5\\n")
    said = ask(tmp_path, {"LD_LIBRARY_PATH": ""}, change="import sys; sys.modules['ctypes'] = None")
    assert said["driver"] == {"version": "560.35.05", "cuda": "12.6"}
    assert [gpu["compute_capability"] for gpu in said["gpus"]] == ["8.9", "7.5"]


def test_an_old_nvidia_smi_knows_the_driver_only(tmp_path: Path) -> None:
    write_smi(tmp_path, 'Field "compute_cap" is not a valid field to query.\\n')
    said = ask(tmp_path, {"LD_LIBRARY_PATH": ""}, change="import sys; sys.modules['ctypes'] = None")
    assert said["driver"] == {"version": "560.35.05", "cuda": "12.6"}
    assert said["gpus"] == []


def test_under_wsl_the_libraries_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    write_library(tmp_path / "wsl", "libnvidia-ml.so.1", NVML, [L40])
    said = ask(tmp_path / "none", change=f"probe._FOLDERS = ({str(tmp_path / 'wsl')!r},)")
    assert names(said) == ["NVIDIA L40"]


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("560.35.05\n", "560.35.05"),  # /sys/module/nvidia/version
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.144.03  Mon Dec 30\nGCC version:  gcc 12.3.0\n",
            "550.144.03",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n", "580.65.06"),
    ],
)
def test_of_a_driver_that_is_there_but_unusable_is_told_what_is_known(
    module: str, expected: str, tmp_path: Path
) -> None:
    write_library(tmp_path, "libnvidia-ml.so.1", NVML, [H100], init=MISMATCH)
    write_library(tmp_path, "libcuda.so.1", CUDA, [H100], init=MISMATCH)
    (tmp_path / "version").write_text(module)
    said = ask(tmp_path, change=f"probe._VERSION_FILES = ('/nowhere', {str(tmp_path / 'version')!r})")
    assert said == {"format": 1, "driver": {"version": expected, "cuda": "12.8"}, "gpus": []}


def test_the_stubs_of_a_toolkit_are_no_driver(tmp_path: Path) -> None:
    write_library(tmp_path, "libcuda.so.1", CUDA, [], init=34, stub=34)  # CUDA_ERROR_STUB_LIBRARY
    said = ask(tmp_path, change="probe._VERSION_FILES = (); probe._WSL_DEVICE = '/nowhere'")
    assert (said["driver"], said["gpus"]) == (None, [])


def test_the_module_of_the_host_alone_is_no_driver_in_a_container(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("560.35.05\n")
    change = f"probe._VERSION_FILES = ({str(tmp_path / 'version')!r},); probe._FOLDERS = ()"
    change += "; probe._NVML = probe._CUDA = 'libnone.so.1'"
    said = ask(tmp_path, change=change)
    assert (said["driver"], said["gpus"]) == (None, [])


def test_nothing_is_told_where_nothing_is(tmp_path: Path) -> None:
    change = "probe._VERSION_FILES = probe._FOLDERS = (); probe._NVML = probe._CUDA = 'libnone.so.1'"
    assert ask(tmp_path, {"PATH": ""}, change=change) == {"format": 1, "driver": None, "gpus": []}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, [0, 1, 2]),
        ("0", [0]),
        ("2,0", [2, 0]),
        (" 1 , 2 ", [1, 2]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1,-1,2", [1]),  # the first that is not valid ends the list
        ("0,7,1", [0]),
        ("1,1", []),  # named twice
        ("GPU-11111111-aaaa", [0]),
        ("GPU-222333", [2]),  # a beginning is enough
        ("GPU-222", []),  # if it is of one only
        ("GPU-22233333-CCCC,0", [2, 0]),
        ("gpu-111", []),
    ],
)
def test_cuda_visible_devices_chooses_as_cuda_does(setting: str | None, expected: list[int]) -> None:
    devices = [{"name": "NVIDIA L40", "compute_capability": "8.9", "uuid": gpu[2]} for gpu in (H100, L40, T4)]
    environ = {} if setting is None else {"CUDA_VISIBLE_DEVICES": setting}
    assert _gpu_probe.visible(devices, environ) == [devices[index] for index in expected]


def test_numbers_of_different_gpus_are_asked_of_cuda_which_counts_the_fastest_first(tmp_path: Path) -> None:
    write_library(tmp_path, "libnvidia-ml.so.1", NVML, [T4, H100])
    write_library(tmp_path, "libcuda.so.1", CUDA, [H100])  # as it answers under CUDA_VISIBLE_DEVICES=0
    assert names(ask(tmp_path, {"CUDA_VISIBLE_DEVICES": "0"})) == ["NVIDIA H100 80GB HBM3"]
    by_bus = {"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert names(ask(tmp_path, by_bus)) == ["Tesla T4"]
    assert names(ask(tmp_path, {"CUDA_VISIBLE_DEVICES": "GPU-2223"})) == ["Tesla T4"]


def test_slices_of_a_gpu_are_asked_of_cuda(tmp_path: Path) -> None:
    write_library(tmp_path, "libnvidia-ml.so.1", NVML, [H100])
    write_library(tmp_path, "libcuda.so.1", CUDA, [("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "9.0", "")])
    said = ask(tmp_path, {"CUDA_VISIBLE_DEVICES": "MIG-0f4d3a2b"})
    assert names(said) == ["NVIDIA H100 80GB HBM3 MIG 1g.10gb"]
    assert said["driver"]["version"] == "560.35.05"


def test_it_runs_in_the_oldest_python_that_can_be_a_target(tmp_path: Path) -> None:
    write_library(tmp_path, "libnvidia-ml.so.1", NVML, [L40])
    environ = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    environ.pop("CUDA_VISIBLE_DEVICES", None)
    done = subprocess.run([find_interpreter("3.8"), SCRIPT], env=environ, capture_output=True, check=True, text=True)
    assert names(json.loads(done.stdout)) == ["NVIDIA L40"]
