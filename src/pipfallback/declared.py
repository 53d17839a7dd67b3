"""An environment as declared instead of found: for image builds, and to ask about another machine.

Options come first, then pipfallback's own variables, then those that people have set for other tools.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from packaging.version import Version

from pipfallback.environment import Environment, tags_of, with_torch
from pipfallback.environment_json import compute_capability, major_minor, platform_name, python_version
from pipfallback.errors import EnvironmentDescriptionError
from pipfallback.machine import Driver, Gpu, Python, Torch
from pipfallback.releases import driver_cuda as cuda_of_driver
from pipfallback.tags import linux_level
from pipfallback.torch_files import minor_of, torch_of_metadata

_T = TypeVar("_T")

# Names that TORCH_CUDA_ARCH_LIST may hold: torch/utils/cpp_extension.py of torch 2.13.
_NAMED_ARCHS = {
    "Kepler+Tesla": "3.7",
    "Kepler": "3.5",
    "Maxwell+Tegra": "5.3",
    "Maxwell": "5.0 5.2",
    "Pascal": "6.0 6.1",
    "Volta+Tegra": "7.2",
    "Volta": "7.0",
    "Turing": "7.5",
    "Ampere+Tegra": "8.7",
    "Ampere": "8.0 8.6",
    "Ada": "8.9",
    "Hopper": "9.0",
    "Blackwell+Tegra": "11.0",
    "Blackwell": "10.0 10.3 12.0 12.1",
}
_NONE = "none"  # a value of --torch and --cuda: there is none


def declare(
    environment: Environment, environ: Mapping[str, str], *, gpu: str | None = None, driver_cuda: str | None = None
) -> Environment:
    """The environment with what was declared in place of what was found.

    ``gpu`` and ``driver_cuda`` are the values of ``--gpu`` and ``--driver-cuda``. Of ``environ`` count
    PIPFALLBACK_GPU, PIPFALLBACK_DRIVER_CUDA, then UV_CUDA_DRIVER_VERSION and CONDA_OVERRIDE_CUDA for the driver.
    TORCH_CUDA_ARCH_LIST names the GPUs where none was found (origin "assumed": it tells what to compile for, which may
    be more than there is), CUDA_VERSION of NVIDIA's images the toolkit, never torch's CUDA.
    Raises EnvironmentDescriptionError for unreadable values of pipfallback's own; others' are left alone.
    """
    values = _Values()
    for by, text in _said("gpu", gpu, environ):
        if (gpus := values.read(by, text, read_gpus, _GPU_FORM)) is not None:
            environment = _changed(environment, "gpus", by=by, gpus=gpus)
            break
    else:
        if not environment.gpus and (listed := _arch_list(environ.get("TORCH_CUDA_ARCH_LIST", ""))):
            environment = _changed(environment, "gpus", by="TORCH_CUDA_ARCH_LIST", origin="assumed", gpus=listed)
    for by, text in _said("driver-cuda", driver_cuda, environ):
        if (newest := values.read(by, text, major_minor, _CUDA_FORM)) is not None:
            environment = _changed(environment, "driver", by=by, driver=Driver(cuda=newest))
            break
    else:
        environment = _driver_of_others(environment, environ)
    if environment.cuda_toolkit is None and (cuda := minor_of(environ.get("CUDA_VERSION"))):
        environment = _changed(environment, "toolkit", by="CUDA_VERSION", cuda_toolkit=cuda)
    values.check()
    return environment


def describe(
    base: Environment,
    *,
    torch: str | None = None,
    cuda: str | None = None,
    cxx11_abi: str | None = None,
    python_version: str | None = None,
    platform: str | None = None,
    glibc: str | None = None,
    driver_cuda: str | None = None,
    gpu: str | None = None,
) -> Environment:
    """``base`` as changed by the options of the same names, each as it was written; None: as in ``base``.

    ``torch`` and ``cuda`` may be "none". What is installed is not known of another torch, Python or platform.
    Raises EnvironmentDescriptionError with all unreadable values.
    """
    values = _Values()
    environment = _described_python(base, values, python_version=python_version, platform=platform, glibc=glibc)
    environment = _described_torch(environment, values, torch=torch, cuda=cuda, cxx11_abi=cxx11_abi)
    if (newest := values.read("--driver-cuda", driver_cuda, major_minor, _CUDA_FORM)) is not None:
        environment = _changed(environment, "driver", by="--driver-cuda", driver=Driver(cuda=newest))
    if (gpus := values.read("--gpu", gpu, read_gpus, _GPU_FORM)) is not None:
        environment = _changed(environment, "gpus", by="--gpu", gpus=gpus)
    values.check()
    return environment


_GPU_FORM = 'compute capabilities such as "8.9,9.0"'
_CUDA_FORM = 'a CUDA version such as "12.8"'


def read_gpus(text: str) -> tuple[Gpu, ...]:
    """GPUs from compute capabilities: "8.9", "8.9,9.0". Raises ValueError."""
    words = [word for word in re.split(r"[,;\s]+", text) if word]
    if not words:
        raise ValueError(text)
    return tuple(Gpu(compute_capability=compute_capability(word)) for word in dict.fromkeys(words))


def _said(option: str, value: str | None, environ: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """An option and its variable with their values; ``value`` may have come from the variable."""
    variable = "PIPFALLBACK_" + option.replace("-", "_").upper()
    if value != environ.get(variable):
        yield f"--{option}", value
    yield variable, environ.get(variable)


class _Values:
    """Reads what users wrote; the mistakes gather until ``check`` raises them all."""

    def __init__(self) -> None:
        self._mistakes: list[str] = []

    def read(self, name: str, text: str | None, reader: Callable[[str], _T], form: str) -> _T | None:
        if not text:
            return None
        try:
            return reader(text.strip())
        except ValueError:
            self._mistakes.append(f"{name}: must be {form}, not {text!r}")
            return None

    def check(self) -> None:
        if self._mistakes:
            raise EnvironmentDescriptionError("the environment is not described well", details=self._mistakes)


def _changed(environment: Environment, key: str, *, by: str, origin: str = "declared", **fields: Any) -> Environment:
    """The environment with other ``fields``, and where they come from noted under the ``key`` of the JSON form."""
    return replace(
        environment,
        **fields,
        origins={**environment.origins, key: origin},
        declared_by={**environment.declared_by, key: by},
    )


def _driver_of_others(environment: Environment, environ: Mapping[str, str]) -> Environment:
    version = environ.get("UV_CUDA_DRIVER_VERSION", "")  # uv: the driver's version ("550.144.03"), not CUDA's
    if minor_of(version):
        windows = environment.platform.startswith("win")
        driver = Driver(version=version, cuda=cuda_of_driver(version, windows=windows))
        return _changed(environment, "driver", by="UV_CUDA_DRIVER_VERSION", driver=driver)
    override = environ.get("CONDA_OVERRIDE_CUDA")  # conda: the newest CUDA of the driver; empty: there is none
    if override == "":
        return _changed(environment, "driver", by="CONDA_OVERRIDE_CUDA", driver=None)
    if newest := minor_of(override):
        return _changed(environment, "driver", by="CONDA_OVERRIDE_CUDA", driver=Driver(cuda=newest))
    return environment


def _arch_list(text: str) -> tuple[Gpu, ...]:
    """The GPUs of a TORCH_CUDA_ARCH_LIST ("8.0;9.0a+PTX", "Ampere Hopper"); none where any of it is not an architecture."""
    for name, archs in _NAMED_ARCHS.items():
        text = text.replace(name, archs)
    words = [re.sub(r"[af]?(\+PTX)?$", "", word) for word in re.split(r"[;,\s]+", text) if word]
    try:
        return read_gpus(" ".join(words))
    except ValueError:  # "native", "All": others' words
        return ()


def _described_python(
    base: Environment, values: _Values, *, python_version: str | None, platform: str | None, glibc: str | None
) -> Environment:
    environment = base
    if python := values.read("--python-version", python_version, _python, 'a version such as "3.10" or "3.13t"'):
        environment = _changed(environment, "python", by="--python-version", python=python)
    if there := values.read("--platform", platform, platform_name, 'a platform such as "linux_x86_64"'):
        machine, level, musl = linux_level(there)
        if machine is not None and level is None and musl is None:
            level, musl = base.glibc, base.musl
        else:
            keys = dict.fromkeys(("glibc", "musl"), "--platform")
            environment = replace(
                environment,
                origins={**environment.origins, **dict.fromkeys(keys, "declared")},
                declared_by={**environment.declared_by, **keys},
            )
        there = there if machine is None else f"linux_{machine}"
        environment = _changed(environment, "platform", by="--platform", platform=there, glibc=level, musl=musl)
    if level := values.read("--glibc", glibc, major_minor, 'a version such as "2.35"'):
        environment = _changed(environment, "glibc", by="--glibc", glibc=level, musl=None)
    if environment is base:
        return base
    tags = tags_of(environment.python, environment.platform, glibc=environment.glibc, musl=environment.musl)
    return replace(environment, tags=tags, installed=None, origins={**environment.origins, "tags": "declared"})


def _python(text: str) -> Python:
    return Python(version=python_version(text.removesuffix("t")), free_threaded=text.endswith("t"))


def _described_torch(
    environment: Environment, values: _Values, *, torch: str | None, cuda: str | None, cxx11_abi: str | None
) -> Environment:
    if torch == _NONE:
        environment = _other_torch(environment, None)
    elif named := values.read("--torch", torch, Version, 'a version such as "2.7.1" (PEP 440)'):
        environment = _other_torch(environment, torch_of_metadata(str(named)))
    version = values.read("--cuda", cuda, _cuda, f"{_CUDA_FORM} or none")
    if version is not None and environment.torch is None:
        return _changed(environment, "toolkit", by="--cuda", cuda_toolkit=None if version == _NONE else version)
    there = environment.torch
    if version is not None and there is not None:
        there = replace(there, cuda=None if version == _NONE else version, rocm=None, cpu=version == _NONE)
        environment = _changed(environment, "torch.cuda", by="--cuda", torch=there)
    abi = values.read("--cxx11-abi", cxx11_abi, _true_or_false, "true or false")
    if abi is not None and there is not None:
        return _changed(environment, "torch.cxx11_abi", by="--cxx11-abi", torch=replace(there, cxx11_abi=abi))
    return environment


def _other_torch(environment: Environment, torch: Torch | None) -> Environment:
    other = with_torch(replace(environment, installed=None), torch, origin="declared")
    return replace(other, declared_by={**other.declared_by, "torch": "--torch"})


def _cuda(text: str) -> str:
    return text if text == _NONE else major_minor(text)


def _true_or_false(text: str) -> bool:
    try:
        return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    except KeyError:
        raise ValueError(text) from None
