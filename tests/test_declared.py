"""What is declared counts instead of what was found, and is known as declared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from packaging.tags import Tag

from pipfallback.declared import declare, describe
from pipfallback.environment import Environment
from pipfallback.errors import EnvironmentDescriptionError
from pipfallback.machine import Driver, Gpu, Python, Torch

FOUND = Environment(
    python=Python(version="3.11.7", executable="/usr/bin/python3.11"),
    platform="linux_x86_64",
    tags=(Tag("cp311", "cp311", "linux_x86_64"),),
    glibc="2.36",
    torch=Torch(version="2.7.1+cu126", cuda="12.6", cxx11_abi=True),
    driver=Driver(version="560.35.05", cuda="12.6"),
    gpus=(Gpu(compute_capability="8.9", name="NVIDIA L40"),),
    installed={"torch": "2.7.1", "pip": "26.3"},
    origins={"driver": "found", "gpus": "found", "torch": "found"},
)
IMAGE = replace(FOUND, driver=None, gpus=())  # docker build


def capabilities(environment: Environment) -> list[str]:
    return [gpu.compute_capability for gpu in environment.gpus]


def test_without_a_declaration_everything_is_as_found() -> None:
    assert declare(FOUND, {}) == FOUND
    assert declare(FOUND, {}).origins == FOUND.origins
    assert describe(FOUND) is FOUND


@pytest.mark.parametrize(
    ("options", "environ", "by"),
    [
        ({"gpu": "8.0, 9.0"}, {}, "--gpu"),
        ({}, {"PIPFALLBACK_GPU": "8.0;9.0"}, "PIPFALLBACK_GPU"),
        ({"gpu": "8.0,9.0"}, {"PIPFALLBACK_GPU": "7.5", "TORCH_CUDA_ARCH_LIST": "7.0"}, "--gpu"),
    ],
)
def test_declared_gpus_count_before_those_found(options: dict[str, str], environ: dict[str, str], by: str) -> None:
    environment = declare(FOUND, environ, **options)
    assert capabilities(environment) == ["8.0", "9.0"]
    assert (environment.origins["gpus"], environment.declared_by["gpus"]) == ("declared", by)
    assert environment.driver == FOUND.driver


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("8.0;8.6;9.0+PTX", ["8.0", "8.6", "9.0"]),
        ("7.5 9.0a 10.0f+PTX", ["7.5", "9.0", "10.0"]),
        ("Ampere;Hopper", ["8.0", "8.6", "9.0"]),
        ("Ampere+Tegra", ["8.7"]),
        ("Turing+PTX", ["7.5"]),
        ("All", []),
        ("", []),
    ],
)
def test_an_arch_list_names_gpus_where_none_was_found(listed: str, expected: list[str]) -> None:
    environment = declare(IMAGE, {"TORCH_CUDA_ARCH_LIST": listed})
    assert capabilities(environment) == expected
    assert environment.origins["gpus"] == ("assumed" if expected else "found")


def test_an_arch_list_does_not_hide_a_gpu_that_is_here() -> None:
    assert declare(FOUND, {"TORCH_CUDA_ARCH_LIST": "8.0"}).gpus == FOUND.gpus


@pytest.mark.parametrize(
    ("options", "environ", "expected", "by"),
    [
        ({"driver_cuda": "12.8"}, {"CONDA_OVERRIDE_CUDA": "11.8"}, Driver(cuda="12.8"), "--driver-cuda"),
        ({}, {"PIPFALLBACK_DRIVER_CUDA": "13.0"}, Driver(cuda="13.0"), "PIPFALLBACK_DRIVER_CUDA"),
        ({}, {"CONDA_OVERRIDE_CUDA": "12.4"}, Driver(cuda="12.4"), "CONDA_OVERRIDE_CUDA"),
        ({}, {"CONDA_OVERRIDE_CUDA": ""}, None, "CONDA_OVERRIDE_CUDA"),
        (
            {},
            {"UV_CUDA_DRIVER_VERSION": "550.144.03", "CONDA_OVERRIDE_CUDA": "11.8"},
            Driver(version="550.144.03", cuda="12.4"),
            "UV_CUDA_DRIVER_VERSION",
        ),
        ({}, {"UV_CUDA_DRIVER_VERSION": "none"}, FOUND.driver, None),
    ],
)
def test_a_declared_driver_counts_before_the_one_found(
    options: dict[str, str], environ: dict[str, str], expected: Driver | None, by: str | None
) -> None:
    environment = declare(FOUND, environ, **options)
    assert environment.driver == expected
    assert environment.declared_by.get("driver") == by
    assert environment.origins["driver"] == ("declared" if by else "found")


def test_cuda_version_of_an_image_is_its_toolkit_and_not_torchs() -> None:
    environment = declare(IMAGE, {"CUDA_VERSION": "12.8.1"})
    assert environment.cuda_toolkit == "12.8"
    assert environment.torch == FOUND.torch
    assert environment.driver is None
    assert declare(replace(IMAGE, cuda_toolkit="12.6"), {"CUDA_VERSION": "12.8.1"}).cuda_toolkit == "12.6"


def test_own_declarations_that_cannot_be_read_are_all_told() -> None:
    with pytest.raises(EnvironmentDescriptionError) as error:
        declare(FOUND, {"PIPFALLBACK_DRIVER_CUDA": "new", "TORCH_CUDA_ARCH_LIST": "?"}, gpu="L40")
    assert error.value.details == (
        "--gpu: must be compute capabilities such as \"8.9,9.0\", not 'L40'",
        "PIPFALLBACK_DRIVER_CUDA: must be a CUDA version such as \"12.8\", not 'new'",
    )


def test_another_python_has_other_tags_and_nothing_known_to_be_installed() -> None:
    environment = describe(FOUND, python_version="3.10")
    assert environment.python == Python(version="3.10")
    assert Tag("cp310", "cp310", "manylinux_2_36_x86_64") in environment.tags
    assert Tag("cp311", "cp311", "linux_x86_64") not in environment.tags
    assert environment.installed is None
    assert environment.torch == FOUND.torch
    assert environment.origins["python"] == environment.origins["tags"] == "declared"
    assert describe(FOUND, python_version="3.13t").python == Python(version="3.13", free_threaded=True)


@pytest.mark.parametrize(
    ("flags", "platform", "glibc", "fits", "does_not"),
    [
        ({"platform": "linux_aarch64"}, "linux_aarch64", "2.36", "manylinux_2_36_aarch64", "manylinux_2_36_x86_64"),
        ({"platform": "linux_x86_64", "glibc": "2.28"}, "linux_x86_64", "2.28", "manylinux_2_28_x86_64", "manylinux_2_29_x86_64"),
        ({"glibc": "2.17"}, "linux_x86_64", "2.17", "manylinux2014_x86_64", "manylinux_2_28_x86_64"),
        ({"platform": "manylinux_2_28_x86_64"}, "linux_x86_64", "2.28", "manylinux_2_28_x86_64", "manylinux_2_29_x86_64"),
        ({"platform": "win_amd64"}, "win_amd64", None, "win_amd64", "linux_x86_64"),
    ],
)  # fmt: skip
def test_another_platform_has_its_own_tags(
    flags: dict[str, str], platform: str, glibc: str | None, fits: str, does_not: str
) -> None:
    environment = describe(FOUND, **flags)
    assert (environment.platform, environment.glibc) == (platform, glibc)
    platforms = {tag.platform for tag in environment.tags}
    assert fits in platforms
    assert does_not not in platforms


def test_from_another_system_a_linux_of_unknown_glibc_refuses_no_manylinux() -> None:
    mac = replace(FOUND, platform="macosx_14_0_arm64", glibc=None)
    environment = describe(mac, platform="linux_x86_64")
    assert environment.glibc is None
    assert Tag("cp311", "cp311", "manylinux_2_39_x86_64") in environment.tags


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"torch": "2.8.0"}, Torch(version="2.8.0")),
        ({"torch": "2.8.0+cu128"}, Torch(version="2.8.0+cu128", cuda="12.8")),
        ({"torch": "2.8.0", "cuda": "12.8"}, Torch(version="2.8.0", cuda="12.8")),
        ({"torch": "2.8.0", "cuda": "none", "cxx11_abi": "TRUE"}, Torch(version="2.8.0", cpu=True, cxx11_abi=True)),
        ({"torch": "2.8.0+rocm6.3", "cuda": "12.8"}, Torch(version="2.8.0+rocm6.3", cuda="12.8")),
        ({"cuda": "12.8"}, Torch(version="2.7.1+cu126", cuda="12.8", cxx11_abi=True)),
        ({"cxx11_abi": "0"}, Torch(version="2.7.1+cu126", cuda="12.6", cxx11_abi=False)),
        ({"torch": "none", "cuda": "12.8"}, None),
    ],
)
def test_another_torch_can_be_asked_about(flags: dict[str, str], expected: Torch | None) -> None:
    environment = describe(FOUND, **flags)
    assert environment.torch == expected
    assert environment.driver == FOUND.driver


def test_another_torch_leaves_unknown_what_else_is_installed() -> None:
    assert describe(FOUND, torch="2.8.0").installed is None
    assert describe(FOUND, gpu="9.0").installed == FOUND.installed


def test_without_torch_a_cuda_is_that_of_the_libraries() -> None:
    environment = describe(FOUND, torch="none", cuda="12.8")
    assert environment.cuda_toolkit == "12.8"
    assert environment.origins["torch"] == environment.origins["toolkit"] == "declared"


def test_driver_and_gpus_of_another_machine() -> None:
    environment = describe(FOUND, driver_cuda="13.0", gpu="12.0,9.0")
    assert environment.driver == Driver(cuda="13.0")
    assert capabilities(environment) == ["12.0", "9.0"]
    assert environment.declared_by == {"driver": "--driver-cuda", "gpus": "--gpu"}


def test_flags_that_cannot_be_read_are_all_told() -> None:
    flags: dict[str, Any] = {
        "torch": "2.7.x",
        "cuda": "cu126",
        "cxx11_abi": "maybe",
        "python_version": "cp310",
        "platform": "Linux x86",
        "glibc": "new",
        "driver_cuda": "12",
        "gpu": "sm_89",
    }
    with pytest.raises(EnvironmentDescriptionError) as error:
        describe(FOUND, **flags)
    assert sorted(line.partition(":")[0] for line in error.value.details) == sorted(
        "--" + name.replace("_", "-") for name in flags
    )
