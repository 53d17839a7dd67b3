"""What the name and tag of a base image tell: its system, Python, torch. Unknown is None, never a guess."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pipfallback.machine import Torch
from pipfallback.releases import numbers, torch_with_cuda


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A distribution: the level of its glibc or musl, and the Python that its package ``python3`` is."""

    name: str
    glibc: str | None = None
    musl: str | None = None
    python: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python of an image: ``python`` is its minor version ("3.10"), None where that is unknown.

    ``torch`` None is "no torch" where ``torch_known``, else it says nothing. ``planned``: a command of the Dockerfile
    brings that torch, from torch's own project.
    """

    python: str | None = None
    torch: Torch | None = None
    torch_known: bool = False
    planned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What is known of a base image.

    ``known``: it is of a family that this module knows, none of which has pipfallback. ``cuda``: of the toolkit that
    comes with it, which says nothing of torch's.
    """

    name: str
    interpreter: Interpreter = Interpreter()
    system: System | None = None
    cuda: str | None = None
    known: bool = False


# Release notes of each: packages libc6 and python3 (packages.ubuntu.com, packages.debian.org); of Red Hat's 8 and 9 and
# their rebuilds glibc and python3; Alpine has musl 1.2 since 3.13, and a Python of its own in each release.
_SYSTEMS: Mapping[str, System] = {
    "ubuntu18.04": System(name="Ubuntu 18.04", glibc="2.27", python="3.6"),
    "ubuntu20.04": System(name="Ubuntu 20.04", glibc="2.31", python="3.8"),
    "ubuntu22.04": System(name="Ubuntu 22.04", glibc="2.35", python="3.10"),
    "ubuntu24.04": System(name="Ubuntu 24.04", glibc="2.39", python="3.12"),
    "buster": System(name="Debian 10", glibc="2.28", python="3.7"),
    "bullseye": System(name="Debian 11", glibc="2.31", python="3.9"),
    "bookworm": System(name="Debian 12", glibc="2.36", python="3.11"),
    "trixie": System(name="Debian 13", glibc="2.41", python="3.13"),
    "rockylinux8": System(name="Rocky Linux 8", glibc="2.28", python="3.6"),
    "rockylinux9": System(name="Rocky Linux 9", glibc="2.34", python="3.9"),
    "ubi8": System(name="UBI 8", glibc="2.28", python="3.6"),
    "ubi9": System(name="UBI 9", glibc="2.34", python="3.9"),
    "alpine": System(name="Alpine", musl="1.2"),
}
_OTHER_NAMES = {
    "bionic": "ubuntu18.04",
    "focal": "ubuntu20.04",
    "jammy": "ubuntu22.04",
    "noble": "ubuntu24.04",
    "ubuntu2004": "ubuntu20.04",
    "ubuntu2204": "ubuntu22.04",
    "ubuntu2404": "ubuntu24.04",
    "10": "buster",
    "11": "bullseye",
    "12": "bookworm",
    "13": "trixie",
    "18.04": "ubuntu18.04",
    "20.04": "ubuntu20.04",
    "22.04": "ubuntu22.04",
    "24.04": "ubuntu24.04",
}

# The Python of pytorch/pytorch, by the series of torch; what is not listed is unknown. Sources:
#   2.0 to 2.3: pytorch/pytorch docker.Makefile (PYTHON_VERSION ?= 3.10), and the log of the release build of 2024-05-08
#               in pytorch PR 125770 ("python=3.10"), after 2.3 was cut and before 2.4 was
#   2.5 to 2.7: 3.11.10 in 2.5.1-cuda12.4 (rlan/notebooks issue 144); 3.11 in 2.7.1-cuda12.6 (DESIGN 1)
#   2.8: a public Dockerfile on 2.8.0-cuda12.6-cudnn9-devel edits /opt/conda/lib/python3.11/site-packages
_PYTORCH_PYTHON: Mapping[str, str] = {
    **dict.fromkeys(("2.0", "2.1", "2.2", "2.3"), "3.10"),
    **dict.fromkeys(("2.5", "2.6", "2.7", "2.8"), "3.11"),
}
# pytorch PR 113032 (November 2023): release images move to Ubuntu 22.04; 2.2 is the first release after it.
_PYTORCH_UBUNTU_2204 = ("2.2", "2.8")
# Up to 2.5 torch came into those images from conda (pytorch PR 125770), whose builds have no label and an ABI of their
# own; its conda packages ended with 2.5 (pytorch issue 138506), so from 2.6 on it is the wheel with its label.
_PYTORCH_FROM_WHEELS = (2, 6)


def read_image(reference: str, *, machine: str = "x86_64") -> Image:
    """What an image reference tells. ``machine``: of the platform that is built for ("x86_64", "aarch64").

    Docker Hub's names may be written in full ("docker.io/library/python:3.10").
    """
    name, tag = _split(reference)
    reader = _FAMILIES.get(name)
    if reader is None:
        return Image(name=reference, system=_system(tag))
    return replace(reader(tag, machine), name=reference)


def _split(reference: str) -> tuple[str, str]:
    """Name and tag; a digest does not count, a tag that is not given is "latest"."""
    plain = reference.partition("@")[0]
    folder, _, last = plain.rpartition("/")
    last, _, tag = last.partition(":")
    name = f"{folder}/{last}" if folder else last
    for hub in ("docker.io/", "index.docker.io/", "registry-1.docker.io/"):
        name = name.removeprefix(hub)
    return name.removeprefix("library/"), tag or "latest"


def _system(tag: str) -> System | None:
    """The distribution that a part of a tag names."""
    for part in tag.split("-"):
        plain = re.sub(r"^(alpine)[\d.]+$", r"\1", part)
        system = _SYSTEMS.get(_OTHER_NAMES.get(plain, plain) if not plain[:1].isdigit() else "")
        if system is not None:
            return system
    return None


def _plain_system(tag: str, _: str) -> Image:
    """``ubuntu:22.04``, ``debian:bookworm-slim``: no Python before it is installed, and no torch."""
    first = tag.split("-", maxsplit=1)[0]
    system = _SYSTEMS.get(_OTHER_NAMES.get(first, first))
    return Image(name="", system=system, interpreter=Interpreter(torch_known=True), known=True)


def _alpine(_: str, __: str) -> Image:
    return Image(name="", system=_SYSTEMS["alpine"], interpreter=Interpreter(torch_known=True), known=True)


def _python(tag: str, _: str) -> Image:
    """``python:3.10-slim``, ``python:3.10.13-slim-bookworm``, ``python:3.13-alpine`` (hub.docker.com/_/python)."""
    found = re.match(r"(3\.\d+)", tag)
    interpreter = Interpreter(python=found[1] if found else None, torch_known=True)
    return Image(name="", system=_system(tag), interpreter=interpreter, known=True)


def _cuda(tag: str, _: str) -> Image:
    """``nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04`` (hub.docker.com/r/nvidia/cuda): no Python, no torch."""
    found = re.match(r"(\d+\.\d+)", tag)
    return Image(
        name="",
        system=_system(tag),
        interpreter=Interpreter(torch_known=True),
        cuda=found[1] if found else None,
        known=True,
    )


def _pytorch(tag: str, machine: str) -> Image:
    """``pytorch/pytorch:2.7.1-cuda12.6-cudnn9-devel`` (hub.docker.com/r/pytorch/pytorch)."""
    found = re.match(r"(\d+\.\d+\.\d+)-cuda(\d+\.\d+)-", tag)
    if found is None:
        return Image(name="", known=True)
    release = numbers(found[1])
    series = f"{release[0]}.{release[1]}"
    first, last = (numbers(end) for end in _PYTORCH_UBUNTU_2204)
    interpreter = Interpreter(python=_PYTORCH_PYTHON.get(series))
    if machine == "x86_64":  # the image for arm64 has a CPU build of torch, whatever its tag says (pytorch PR 125770)
        label = f"+cu{found[2].replace('.', '')}" if release[:2] >= _PYTORCH_FROM_WHEELS else ""
        torch = Torch(version=f"{found[1]}{label}", cuda=found[2])
        interpreter = replace(interpreter, torch=torch, torch_known=True)
    system = _SYSTEMS["ubuntu22.04"] if first <= release[:2] <= last else None
    return Image(name="", system=system, interpreter=interpreter, cuda=found[2], known=True)


_RUNPOD_OLD = re.compile(r"(\d+\.\d+\.\d+)-py(3\.\d+)-cuda:?(\d+\.\d+)")
_RUNPOD_NEW = re.compile(r"(?:^|-)cu(\d\d)(\d)\d-torch(\d)(\d+)(\d)(?:-|$)")


def _runpod(tag: str, _: str) -> Image:
    """``runpod/pytorch:2.1.0-py3.10-cuda11.8.0-devel-ubuntu22.04``, since 2025 ``1.0.2-cu1281-torch280-ubuntu2404``.

    github.com/runpod/containers, official-templates/pytorch. An image of the later form has several Pythons.
    """
    if found := _RUNPOD_OLD.match(tag):
        version, python, cuda = found.groups()
    elif found := _RUNPOD_NEW.search(tag):
        version, python, cuda = f"{found[3]}.{found[4]}.{found[5]}", None, f"{found[1]}.{found[2]}"
    else:
        return Image(name="", system=_system(tag), known=True)
    # There is a tag "2.6.0-py3.11-cuda:12.8.1" (runpod/containers PR 86), and no such torch: what is in it is not known.
    series = ".".join(version.split(".")[:2])
    torch = None
    if torch_with_cuda(series, cuda):
        torch = Torch(version=f"{version}+cu{cuda.replace('.', '')}", cuda=cuda)
    interpreter = Interpreter(python=python, torch=torch, torch_known=torch is not None)
    return Image(name="", system=_system(tag), interpreter=interpreter, cuda=cuda, known=True)


def _uv(tag: str, _: str) -> Image:
    """``ghcr.io/astral-sh/uv:python3.12-bookworm-slim`` (docs.astral.sh/uv/guides/integration/docker)."""
    found = re.search(r"(?:^|-)python(3\.\d+)", tag)
    interpreter = Interpreter(python=found[1] if found else None, torch_known=True)
    return Image(name="", system=_system(tag), interpreter=interpreter, known=True)


_ROCM = re.compile(r"rocm(\d+\.\d+)[\d.]*_(ubuntu\d+\.\d+)_py(3\.\d+)_pytorch_(?:release_)?(\d+\.\d+\.\d+)")


def _rocm(tag: str, _: str) -> Image:
    """``rocm/pytorch:rocm6.2_ubuntu22.04_py3.10_pytorch_release_2.3.0`` (hub.docker.com/r/rocm/pytorch)."""
    found = _ROCM.match(tag)
    if found is None:
        return Image(name="", known=True)
    interpreter = Interpreter(python=found[3], torch=Torch(version=found[4], rocm=found[1]), torch_known=True)
    return Image(name="", system=_SYSTEMS.get(found[2]), interpreter=interpreter, known=True)


def _nvidia_pytorch(_: str, __: str) -> Image:
    """``nvcr.io/nvidia/pytorch:24.05-py3``: the tag is a month; no Python, torch or CUDA is told by it."""
    return Image(name="", known=True)


_FAMILIES: Mapping[str, Callable[[str, str], Image]] = {
    "python": _python,
    "ubuntu": _plain_system,
    "debian": _plain_system,
    "alpine": _alpine,
    "nvidia/cuda": _cuda,
    "nvcr.io/nvidia/cuda": _cuda,
    "pytorch/pytorch": _pytorch,
    "runpod/pytorch": _runpod,
    "ghcr.io/astral-sh/uv": _uv,
    "rocm/pytorch": _rocm,
    "nvcr.io/nvidia/pytorch": _nvidia_pytorch,
}
