"""CUDA and ROCm as they are installed besides the driver: libraries, whatever torch brings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from pipfallback.torch_files import minor_of

# NVIDIA's distributions that have the version of the CUDA runtime: nvidia-cuda-runtime-cu12 12.6.77, cuda-toolkit 13.0.2.
_CUDA_DISTRIBUTION = re.compile(r"nvidia-cuda-runtime(?:-cu\d+)?|cuda-toolkit")


def cuda_toolkit(installed: Mapping[str, str], environ: Mapping[str, str]) -> str | None:
    """The newest CUDA of the installed distributions, else of the toolkit in CUDA_HOME, CUDA_PATH or /usr/local/cuda.

    ``installed``: PEP 503 names to versions. The answer is major.minor, None where there is none or it has no version.
    """
    versions = [minor_of(version) for name, version in installed.items() if _CUDA_DISTRIBUTION.fullmatch(name)]
    if found := [version for version in versions if version]:
        return max(found, key=lambda version: [int(part) for part in version.split(".")])
    folder = environ.get("CUDA_HOME") or environ.get("CUDA_PATH") or "/usr/local/cuda"
    try:
        stated = json.loads((Path(folder) / "version.json").read_bytes())
        return minor_of(stated["cuda"]["version"])
    except (OSError, ValueError, LookupError, TypeError):  # not there, or not of NVIDIA's form
        return None


def rocm_toolkit(environ: Mapping[str, str]) -> str | None:
    """The ROCm in ROCM_PATH or /opt/rocm, as major.minor; its ``.info/version`` holds "6.2.4-66"."""
    try:
        return minor_of((Path(environ.get("ROCM_PATH") or "/opt/rocm") / ".info/version").read_text("utf-8").strip())
    except (OSError, ValueError):
        return None
