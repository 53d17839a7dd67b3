"""Ten described machines, as people have them: what ``plan`` of all packages is measured and counted on."""

from __future__ import annotations

from collections.abc import Mapping

from pipfallback.environment import Environment
from scenarios.scenario_files import environment

_LINUX = {"platform": "linux_x86_64", "glibc": "2.35"}
_ARM = {"platform": "linux_aarch64", "glibc": "2.35"}
_WINDOWS = {"platform": "win_amd64"}

MACHINES: Mapping[str, Environment] = {
    name: environment(here)
    for name, here in {
        "A100, old": {
            **_LINUX,
            "glibc": "2.31",
            "torch": "2.0.1+cu118",
            "python": "3.8.18",
            "driver": "525.60.13",
            "gpus": ["8.0"],
        },
        "image of the incident": {**_LINUX, "torch": "2.3.0+cu121", "python": "3.10.12"},
        "T4": {**_LINUX, "torch": "2.5.1+cu124", "python": "3.11.9", "driver": "550.54.14", "gpus": ["7.5"]},
        "Windows, RTX 4090": {
            **_WINDOWS,
            "torch": "2.6.0+cu126",
            "python": "3.11.9",
            "driver": "560.94",
            "gpus": ["8.9"],
        },
        "GH200": {**_ARM, "torch": "2.7.1+cu128", "python": "3.12.4", "driver": "570.26", "gpus": ["9.0"]},
        "RTX 5090": {**_LINUX, "torch": "2.8.0+cu128", "python": "3.12.4", "driver": "570.26", "gpus": ["12.0"]},
        "H100, current": {**_LINUX, "torch": "2.9.1+cu128", "python": "3.12.4", "driver": "580.65.06", "gpus": ["9.0"]},
        "Windows, current": {
            **_WINDOWS,
            "torch": "2.10.0+cu130",
            "python": "3.13.1",
            "driver": "581.15",
            "gpus": ["12.0"],
        },
        "image without GPU, newest": {**_LINUX, "glibc": "2.39", "torch": "2.15.0", "cuda": "13.2", "python": "3.14.0"},
        "CPU": {**_LINUX, "torch": "2.11.0+cpu", "python": "3.13.1"},
    }.items()
}
