"""The JSON form of an environment (DESIGN 7), read strictly: every mistake with the path of its key."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from packaging.tags import Tag, parse_tag
from packaging.version import Version

from pipfallback.errors import EnvironmentDescriptionError
from pipfallback.json_fields import Fields
from pipfallback.machine import Driver, Gpu, Python, Torch
from pipfallback.torch_files import torch_of_metadata

SCHEMA = 1
KEYS = ("python", "platform", "glibc", "musl", "tags", "torch", "driver", "gpus", "toolkit")

_VERSION_FORM = 'a version such as "12.6"'
_PYTHON_FORM = 'a version such as "3.10.13"'
_PLATFORM_FORM = 'a platform as wheels name it, such as "linux_x86_64"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a document says; ``given`` are the keys that stand in it, the others are None or empty."""

    given: frozenset[str]
    python: Python
    platform: str
    glibc: str | None
    musl: str | None
    tags: tuple[Tag, ...] | None
    torch: Torch | None
    driver: Driver | None
    gpus: tuple[Gpu, ...]
    cuda_toolkit: str | None
    rocm_toolkit: str | None


def read_description(data: object, *, python: Python | None = None, platform: str | None = None) -> Description:
    """Read the JSON form. ``python`` and ``platform`` hold where they are left out; without either, it is a mistake.

    Raises EnvironmentDescriptionError, whose details are all mistakes.
    """
    fields = Fields(data, ("schema", *KEYS))
    if fields.get("schema", int) not in {None, SCHEMA}:
        fields.refuse("schema", f"must be {SCHEMA}; this version reads no other form")
    toolkit = fields.table("toolkit", ("cuda", "rocm"))
    tags = fields.texts("tags", _tag, 'a tag such as "cp310-cp310-linux_x86_64" (PEP 425)')
    description = Description(
        given=frozenset(key for key in KEYS if key in fields),
        python=_python(fields, python),
        platform=fields.text("platform", platform_name, _PLATFORM_FORM, needed=not platform) or platform or "",
        glibc=fields.text("glibc", major_minor, _VERSION_FORM),
        musl=fields.text("musl", major_minor, _VERSION_FORM),
        tags=None if tags is None else tuple(tags),
        torch=_torch(fields),
        driver=_driver(fields),
        gpus=_gpus(fields),
        cuda_toolkit=toolkit.text("cuda", major_minor, _VERSION_FORM) if toolkit else None,
        rocm_toolkit=toolkit.text("rocm", major_minor, _VERSION_FORM) if toolkit else None,
    )
    if fields.mistakes:
        raise EnvironmentDescriptionError("the environment cannot be read", details=fields.mistakes)
    return description


def _python(fields: Fields, left_out: Python | None) -> Python:
    table = fields.table("python", ("executable", "version", "implementation", "free_threaded"))
    if table is None:
        if left_out is None:
            fields.refuse("python.version", f"is missing: must be {_PYTHON_FORM}")
        return left_out or Python(version="")
    version = table.text("version", python_version, _PYTHON_FORM, needed=True)
    return Python(
        version=version or "",
        executable=table.get("executable", str),
        implementation=table.get("implementation", str) or "cpython",
        free_threaded=table.get("free_threaded", bool) or False,
    )


def _torch(fields: Fields) -> Torch | None:
    table = fields.table("torch", ("version", "cuda", "rocm", "cxx11_abi"))
    if table is None:
        return None
    version = table.text("version", Version, 'a version such as "2.7.1+cu126" (PEP 440)', needed=True)
    cuda = table.text("cuda", major_minor, _VERSION_FORM)
    rocm = table.text("rocm", major_minor, _VERSION_FORM)
    if version and "cuda" not in table and "rocm" not in table:  # its own label says it ("+cu126"), if it has one
        return replace(torch_of_metadata(version), cxx11_abi=table.get("cxx11_abi", bool))
    return Torch(
        version=version or "",
        cuda=cuda,
        rocm=rocm,
        cxx11_abi=table.get("cxx11_abi", bool),
        cpu="cuda" in table and cuda is None and rocm is None,
    )


def torch_to_json(torch: Torch) -> dict[str, str | bool | None]:
    """The JSON form of torch. Where CUDA and ROCm are unknown their keys are left out; null says that there is none."""
    form: dict[str, str | bool | None] = {"version": torch.version}
    if torch.cuda or torch.rocm or torch.cpu:
        form |= {"cuda": torch.cuda, "rocm": torch.rocm}
    return form | {"cxx11_abi": torch.cxx11_abi}


def _driver(fields: Fields) -> Driver | None:
    table = fields.table("driver", ("version", "cuda"))
    if table is None:
        return None
    version = table.text("version", major_minor, 'a version such as "560.35.05"')
    return Driver(version=version, cuda=table.text("cuda", major_minor, _VERSION_FORM))


def _gpus(fields: Fields) -> tuple[Gpu, ...]:
    gpus = []
    for table in fields.tables("gpus", ("name", "compute_capability")):
        capability = table.text("compute_capability", compute_capability, 'such as "8.9"', needed=True)
        gpus.append(Gpu(compute_capability=capability or "", name=table.get("name", str)))
    return tuple(gpus)


def major_minor(text: str) -> str:
    """``text`` if it is a version of at least two numbers ("12.6"); raises ValueError otherwise."""
    return _matching(r"\d+(\.\d+)+", text)


def python_version(text: str) -> str:
    """``text`` if it is a version of Python ("3.10", "3.14.0rc2"); raises ValueError otherwise."""
    return _matching(r"\d+\.\d+(\.\d+)?((a|b|rc)\d+)?", text)


def compute_capability(text: str) -> str:
    """``text`` if it is a compute capability as NVIDIA writes it ("8.9"); raises ValueError otherwise."""
    return _matching(r"\d+\.\d+", text)


def platform_name(text: str) -> str:
    """``text`` if it can be a platform tag (PEP 425); raises ValueError otherwise."""
    return _matching(r"[a-z][a-z0-9_]*", text)


def _tag(text: str) -> Tag:
    (tag,) = parse_tag(text)  # a compressed set of tags is not one tag
    return tag


def _matching(pattern: str, text: str) -> str:
    if not re.fullmatch(pattern, text, re.ASCII):
        raise ValueError(text)
    return text
