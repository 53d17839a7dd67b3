"""CUDA and ROCm that are installed besides a driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipfallback.toolkits import cuda_toolkit, rocm_toolkit


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"nvidia-cuda-runtime-cu12": "12.6.77", "pip": "26.3"}, "12.6"),
        ({"cuda-toolkit": "13.0.2", "nvidia-cuda-runtime": "13.0.96"}, "13.0"),
        ({"nvidia-cuda-runtime-cu11": "11.8.89", "nvidia-cuda-runtime-cu12": "12.10.1"}, "12.10"),
        ({"nvidia-cudnn-cu12": "9.5.1"}, None),
    ],
)
def test_nvidias_distributions_have_the_version_of_cuda(
    installed: dict[str, str], expected: str | None, tmp_path: Path
) -> None:
    assert cuda_toolkit(installed, {"CUDA_HOME": str(tmp_path)}) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"cuda": {"name": "CUDA SDK", "version": "12.8.1"}}', "12.8"),
        ('{"cuda": {}}', None),
        ("[]", None),
        ("{", None),
    ],
)
def test_a_toolkit_states_its_version(content: str, expected: str | None, tmp_path: Path) -> None:
    (tmp_path / "version.json").write_text(content)
    assert cuda_toolkit({}, {"CUDA_HOME": str(tmp_path)}) == expected
    assert cuda_toolkit({}, {"CUDA_PATH": str(tmp_path)}) == expected


def test_rocm_states_its_version(tmp_path: Path) -> None:
    assert rocm_toolkit({"ROCM_PATH": str(tmp_path)}) is None
    (tmp_path / ".info").mkdir()
    (tmp_path / ".info/version").write_text("6.2.4-66\n")
    assert rocm_toolkit({"ROCM_PATH": str(tmp_path)}) == "6.2"
