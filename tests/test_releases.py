from __future__ import annotations

import pytest
from packaging.version import Version

from pipfallback.releases import (
    cuda_of_torch,
    driver_cuda,
    driver_floor,
    is_published,
    minimum_beside,
    numbers,
    official_cxx11_abi,
    pypi_cuda,
    series_beside,
    series_of,
    torch_archs,
    torch_for_python,
    torch_series,
    torch_with_cuda,
)


@pytest.mark.parametrize(
    ("series", "cuda", "published"),
    [
        ("2.1", "12.1", True),
        ("2.10", "12.1", False),
        ("2.10", "13.0", True),
        ("2.7", "12.8", True),
        ("2.7", "13.0", False),
        ("2.14", "13.0", True),
        ("2.14", "12.6", None),  # read from PyPI alone, which has one CUDA of several
        ("2.20", "13.0", None),
        ("1.10", "11.3", True),
    ],
)
def test_which_torch_was_published_with_which_cuda(series: str, cuda: str, published: bool | None) -> None:
    assert torch_with_cuda(series, cuda) is published


def test_every_series_has_a_cuda_and_pypi_has_one_of_them() -> None:
    for series in torch_series():
        assert cuda_of_torch(series)
        assert pypi_cuda(series) in (None, *cuda_of_torch(series))


def test_series_are_listed_oldest_first() -> None:
    assert list(torch_series()) == sorted(torch_series(), key=numbers)
    assert torch_series()[-1] == "2.15"


@pytest.mark.parametrize(
    ("series", "python", "published"),
    [
        ("2.8", "3.9", True),
        ("2.9", "3.9", False),
        ("2.9", "3.14t", True),
        ("2.5", "3.13t", False),
        ("2.20", "3.13", None),
    ],
)
def test_which_torch_was_published_for_which_python(series: str, python: str, published: bool | None) -> None:
    assert torch_for_python(series, python) is published


@pytest.mark.parametrize(
    ("version", "cuda", "platform", "abi"),
    [
        ("2.5.1+cu124", "12.4", "linux_x86_64", False),
        ("2.5.1+cu124", "12.4", "manylinux_2_28_x86_64", False),
        ("2.6.0+cu124", "12.4", "linux_x86_64", False),
        ("2.6.0", "12.4", "linux_x86_64", False),
        ("2.6.0+cpu", None, "linux_x86_64", False),
        ("2.6.0+cu126", "12.6", "linux_x86_64", True),
        ("2.6.0+rocm6.2.4", None, "linux_x86_64", True),
        ("2.6.0+cu126", "12.6", "linux_aarch64", True),
        ("2.6.0+cpu", None, "linux_aarch64", True),
        ("2.6.0+xpu", None, "linux_x86_64", None),
        ("2.6.0+cpu.cxx11.abi", None, "linux_x86_64", True),
        ("2.6.0.dev20241112+cu126", "12.6", "linux_x86_64", None),
        ("2.7.0.dev20250101+cu126", "12.6", "linux_x86_64", None),
        ("2.7.0", "12.6", "linux_x86_64", True),
        ("2.12.0.dev20260301+cu130", "13.0", "linux_x86_64", True),
        ("2.30.0+cu150", "15.0", "linux_x86_64", True),
        ("2.3.0", None, "linux_aarch64", None),
        ("2.3.0a0+6ddf5cf85e.nv24.04", "12.4", "linux_x86_64", True),
        ("2.3.0a0+ebedce2.nv24.02", "12.2", "linux_aarch64", None),
        ("2.8.0a0+git1234567", "12.8", "linux_x86_64", None),
        ("2.7.1+cu126", "12.6", "win_amd64", None),
        ("2.7.1", None, "macosx_11_0_arm64", None),
        ("not a version", "12.6", "linux_x86_64", None),
    ],
)
def test_the_cxx11_abi_of_official_wheels(version: str, cuda: str | None, platform: str, abi: bool | None) -> None:
    assert official_cxx11_abi(version, cuda, platform) is abi


@pytest.mark.parametrize(
    ("driver", "windows", "cuda"),
    [
        ("560.35.05", False, "12.6"),
        ("560.28.03", False, "12.6"),
        ("560.28.02", False, "12.5"),
        ("525.60.13", False, "12.0"),
        ("525.60.12", False, "11.8"),
        ("580.65.06", False, "13.0"),
        ("595.45.04", False, "13.2"),
        ("595.99", False, "13.2"),
        ("600.10", False, None),  # a branch newer than the table may support any newer CUDA
        ("384.80", False, None),
        ("527.41", True, "12.0"),
        ("527.40", True, "11.8"),
        ("581.15", True, "13.0"),
        ("591.44", True, "13.1"),
        ("", False, None),
        ("N/A", False, None),
    ],
)
def test_the_newest_cuda_of_a_driver(driver: str, windows: bool, cuda: str | None) -> None:
    assert driver_cuda(driver, windows=windows) == cuda


@pytest.mark.parametrize(
    ("major", "windows", "floor"),
    [
        (11, False, "450.80.02"),
        ("12", False, "525.60.13"),
        (12, True, "527.41"),
        (13, False, "580.65.06"),
        (10, False, None),
        (14, False, None),
    ],
)
def test_the_oldest_driver_of_a_cuda_major(major: int | str, windows: bool, floor: str | None) -> None:
    assert driver_floor(major, windows=windows) == floor


def test_architectures_of_official_wheels() -> None:
    assert torch_archs("2.7", "12.8") == ("7.5", "8.0", "8.6", "9.0", "10.0", "12.0+PTX")
    assert torch_archs("2.9", "12.6") == ("5.0", "6.0", "7.0", "7.5", "8.0", "8.6", "9.0")
    assert torch_archs("2.13", "13.0") is None


@pytest.mark.parametrize(
    ("version", "parsed"),
    [
        ("2.10.0a0+cu12", (2, 10, 0)),
        ("2.12.0.dev20260301+cu130", (2, 12, 0)),
        ("560.35.05", (560, 35, 5)),
        ("12", (12,)),
        ("", ()),
        ("nv25.09", ()),
    ],
)
def test_the_leading_numbers_of_a_version(version: str, parsed: tuple[int, ...]) -> None:
    assert numbers(version) == parsed


def test_the_series_of_a_torch() -> None:
    assert series_of("2.8.0a0+34c6371d24.nv25.08") == "2.8"
    assert series_of("2.10") == "2.10"
    assert series_of("2") is None


@pytest.mark.parametrize(
    ("version", "cuda", "published"),
    [
        ("2.6.0+cu124", "12.4", True),
        ("2.5.1+cu118", "11.8", True),
        ("2.5.1+cpu", None, True),
        ("2.6.0+cpu.cxx11.abi", None, True),
        ("2.6.0+rocm6.2.4", None, True),
        ("2.6.0+rocm5.7", None, False),
        ("2.6.0", "12.4", True),
        ("2.6.0", None, True),
        ("2.6.0", "12.6", False),  # that one is labelled
        ("2.6.0+cu124", "12.6", False),  # whoever says so says two things
        ("2.4.0+cu126", "12.6", False),
        ("2.6.0a0+ecf3bae40a.nv25.01", "12.8", False),
        ("2.6.0a0+git1234567", "12.4", False),
        ("2.6.0.dev20241112+cu124", "12.4", False),
        ("2.5.1.post303", "12.4", False),  # conda-forge
        ("2.6.0+xpu", None, False),
        ("2.16.0+cu132", "13.2", False),  # not known yet
        ("2.6.0~dfsg", None, False),
    ],
)
def test_which_versions_are_those_of_torchs_own_wheels(version: str, cuda: str | None, published: bool) -> None:
    assert is_published(version, cuda) is published


@pytest.mark.parametrize(
    ("name", "version", "torch"),
    [
        ("torchvision", "0.15.2", "2.0"),
        ("torchvision", "0.22.1+cu126", "2.7"),
        ("torchvision", "0.27.0", "2.12"),
        ("torchvision", "0.14.1", "1.13"),
        ("torchvision", "0.6.0", "1.5"),
        ("torchvision", "0.5.0", None),
        ("torchvision", "1.0", None),
        ("torchvision", "1", None),
        ("torchaudio", "2.0.2", "2.0"),
        ("torchaudio", "2.9.1+cu128", "2.9"),
        ("torchaudio", "2.10.0", None),
        ("torchaudio", "0.13.1", "1.13"),
        ("torchaudio", "0.6.0", None),
        ("torchaudio", "0.14.0", None),
        ("torchaudio", "3.0", None),
        ("torchcodec", "0.0.3", "2.4"),
        ("torchcodec", "0.5", "2.7"),
        ("torchcodec", "0.10.0+cu128", "2.10"),
        ("torchcodec", "0.11.1", "2.11"),
        ("torchcodec", "0.12", None),
        ("fbgemm-gpu", "1.4.0+cu128", "2.9"),
        ("fbgemm-gpu", "0.8.0", "2.4"),
        ("fbgemm-gpu", "9.0", None),
        ("torchcodec", "1.0", None),
        ("xformers", "0.0.30", None),
    ],
)
def test_which_torch_a_release_goes_with(name: str, version: str, torch: str | None) -> None:
    assert series_beside(name, Version(version)) == torch


@pytest.mark.parametrize(
    ("name", "version", "torch"),
    [
        ("torchcodec", "0.11.9", None),
        ("torchcodec", "0.12", "2.11"),
        ("torchcodec", "0.17.0", "2.11"),
        ("torchcodec", "1.0", None),
        ("torchvision", "0.27", None),
    ],
)
def test_which_torch_a_release_needs_at_least(name: str, version: str, torch: str | None) -> None:
    assert minimum_beside(name, Version(version)) == torch
