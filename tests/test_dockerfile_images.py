"""What the names of base images tell, and that nothing is guessed."""

from __future__ import annotations

import pytest

from pipfallback.dockerfile.images import read_image


@pytest.mark.parametrize(
    ("reference", "python", "torch", "cuda", "libc"),
    [
        ("pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel", "3.11", "2.7.1+cu126", "12.6", "2.35"),
        ("docker.io/pytorch/pytorch:2.7.1-cuda12.6-cudnn9-runtime", "3.11", "2.7.1+cu126", "12.6", "2.35"),
        ("pytorch/pytorch:2.3.1-cuda12.1-cudnn8-devel", "3.10", "2.3.1", "12.1", "2.35"),
        ("pytorch/pytorch:2.4.1-cuda12.1-cudnn9-devel", None, "2.4.1", "12.1", "2.35"),
        ("pytorch/pytorch:2.99.0-cuda15.0-cudnn9-devel", None, "2.99.0+cu150", "15.0", None),
        ("pytorch/pytorch:latest", None, None, None, None),
        ("python:3.10-slim", "3.10", None, None, None),
        ("python:3.12.4-slim-bookworm", "3.12", None, None, "2.36"),
        ("docker.io/library/python:3.13-alpine3.20", "3.13", None, None, "musl 1.2"),
        ("python:3", None, None, None, None),
        ("python", None, None, None, None),
        ("nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04", None, None, None, "2.35"),
        ("nvcr.io/nvidia/cuda:11.8.0-base-ubi8", None, None, None, "2.28"),
        ("runpod/pytorch:2.1.0-py3.10-cuda11.8.0-devel-ubuntu22.04", "3.10", "2.1.0+cu118", "11.8", "2.35"),
        ("runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404", None, "2.8.0+cu128", "12.8", "2.39"),
        ("runpod/pytorch:2.6.0-py3.11-cuda:12.8.1-cudnn-devel-ubuntu22.04", "3.11", None, None, "2.35"),
        ("nvcr.io/nvidia/pytorch:24.05-py3", None, None, None, None),
        ("ghcr.io/astral-sh/uv:python3.12-bookworm-slim", "3.12", None, None, "2.36"),
        ("ghcr.io/astral-sh/uv:0.9.2-python3.12-trixie", "3.12", None, None, "2.41"),
        ("ubuntu:24.04", None, None, None, "2.39"),
        ("debian:12-slim", None, None, None, "2.36"),
        ("debian:bookworm@sha256:abcd", None, None, None, "2.36"),
        ("rocm/pytorch:rocm6.2_ubuntu22.04_py3.10_pytorch_release_2.3.0", "3.10", "2.3.0", None, "2.35"),
        ("registry.example:5000/team/pytorch:2.7.1-cuda12.6", None, None, None, None),
    ],
)
def test_the_tag_of_an_image(
    reference: str, python: str | None, torch: str | None, cuda: str | None, libc: str | None
) -> None:
    image = read_image(reference)
    there = image.interpreter.torch
    assert image.name == reference
    assert image.interpreter.python == python
    assert (there and there.version) == torch
    assert (there and there.cuda) == cuda
    system = image.system
    assert (system and (system.glibc or f"musl {system.musl}")) == libc


@pytest.mark.parametrize("reference", ["python:3.10", "nvidia/cuda:12.4.1-base-ubuntu22.04", "ubuntu:22.04"])
def test_an_image_without_torch_is_known_to_have_none(reference: str) -> None:
    assert read_image(reference).interpreter.torch_known


@pytest.mark.parametrize(
    "reference", ["nvcr.io/nvidia/pytorch:24.05-py3", "somebody/image:1", "pytorch/pytorch:latest"]
)
def test_of_other_images_it_is_not_known_whether_they_have_torch(reference: str) -> None:
    assert not read_image(reference).interpreter.torch_known


def test_the_image_for_arm_has_another_torch_than_its_tag_says() -> None:
    image = read_image("pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel", machine="aarch64")
    assert image.interpreter.python == "3.11"
    assert not image.interpreter.torch_known


def test_pipfallback_is_only_known_to_be_absent_from_families_that_are_known() -> None:
    assert read_image("python:3.10").known
    assert not read_image("my.registry/python:3.10").known
