"""What the target interpreter is: Environment. Found by the probe, declared, or described for another machine.

Unknown is None, never a guess.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from packaging.tags import Tag, parse_tag
from packaging.utils import canonicalize_name

from pipfallback.environment_json import KEYS, SCHEMA, read_description, torch_to_json
from pipfallback.errors import TargetError
from pipfallback.machine import Distribution, Driver, Gpu, Installation, Python, Torch
from pipfallback.processes import Finished, capture
from pipfallback.tags import linux_level, tags_for
from pipfallback.toolkits import cuda_toolkit, rocm_toolkit
from pipfallback.torch_files import read_torch

__all__ = ["Distribution", "Driver", "Environment", "Gpu", "Installation", "Python", "Torch", "probe", "with_torch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What builds are judged against (DESIGN 7, JSON form schema 1).

    ``tags``: in the order of preference of the interpreter's pip (PEP 425). ``glibc`` and ``musl``: "2.35", or None.
    ``torch``: None is "no torch". ``installed``: PEP 503 names of what is installed to version strings; None where
    that is unknown (a described machine). ``cuda_toolkit`` and ``rocm_toolkit``: the libraries that are there besides
    torch's, as major.minor. ``origins``: where a fact comes from, by the key of the JSON form ("torch", "driver",
    "gpus", "torch.cxx11_abi" ...): "found", "declared", "assumed" (declared to another program, for another purpose),
    "planned" or "unknown"; ``declared_by``: the option or variable that says so. Neither counts when two environments
    are compared.
    """

    python: Python
    platform: str
    tags: tuple[Tag, ...]
    glibc: str | None = None
    musl: str | None = None
    torch: Torch | None = None
    driver: Driver | None = None
    gpus: tuple[Gpu, ...] = ()
    cuda_toolkit: str | None = None
    rocm_toolkit: str | None = None
    installed: Mapping[str, str] | None = None
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    declared_by: Mapping[str, str] = field(default_factory=dict, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The JSON form of DESIGN 7, with ``toolkit`` where one is there. What is installed is not part of it.

        null says that there is none; a torch, driver or GPUs that are unknown are left out, as ``from_json`` reads it.
        """
        form: dict[str, Any] = {
            "schema": SCHEMA,
            "python": {
                "executable": self.python.executable,
                "version": self.python.version,
                "implementation": self.python.implementation,
                "free_threaded": self.python.free_threaded,
            },
            "platform": self.platform,
            "glibc": self.glibc,
            "musl": self.musl,
            "tags": [str(tag) for tag in self.tags],
            "torch": self.torch and torch_to_json(self.torch),
            "driver": self.driver and {"version": self.driver.version, "cuda": self.driver.cuda},
            "gpus": [{"name": gpu.name, "compute_capability": gpu.compute_capability} for gpu in self.gpus],
        }
        if self.cuda_toolkit or self.rocm_toolkit:
            form["toolkit"] = {"cuda": self.cuda_toolkit, "rocm": self.rocm_toolkit}
        unknown = [key for key in ("torch", "driver", "gpus") if self.origins.get(key) == "unknown" and not form[key]]
        return {key: value for key, value in form.items() if key not in unknown}

    @classmethod
    def from_json(cls, data: object, *, base: Environment | None = None) -> Environment:
        """Read the JSON form; fields may be left out.

        Without a Python and a platform nothing can be judged: where they are left out they are those of ``base``.
        Raises EnvironmentDescriptionError, whose details are all mistakes with the path of their key.
        """
        said = read_description(data, python=base.python if base else None, platform=base.platform if base else None)
        glibc, musl = said.glibc, said.musl
        if base is not None and "platform" not in said.given and glibc is None and musl is None:
            glibc, musl = base.glibc, base.musl
        return cls(
            python=said.python,
            platform=said.platform,
            glibc=glibc,
            musl=musl,
            tags=said.tags or tags_of(said.python, said.platform, glibc=glibc, musl=musl),
            torch=said.torch,
            driver=said.driver,
            gpus=said.gpus,
            cuda_toolkit=said.cuda_toolkit,
            rocm_toolkit=said.rocm_toolkit,
            origins={key: "declared" if key in said.given else "unknown" for key in KEYS},
        )


def with_torch(environment: Environment, torch: Torch | None, *, origin: str) -> Environment:
    """The environment with another torch; ``origin`` holds for all that is known of it (see Environment.origins)."""
    origins = {key: value for key, value in environment.origins.items() if not key.startswith("torch")}
    declared = {key: value for key, value in environment.declared_by.items() if not key.startswith("torch")}
    facts = {"torch": origin} | dict.fromkeys(_unknown_of(torch), "unknown")
    return replace(environment, torch=torch, origins={**origins, **facts}, declared_by=declared)


def _unknown_of(torch: Torch | None) -> list[str]:
    """The facts of a torch that were not learned, by their keys."""
    if torch is None:
        return []
    abi = ["torch.cxx11_abi"] if torch.cxx11_abi is None else []
    return abi if torch.cuda or torch.rocm or torch.cpu else [*abi, "torch.cuda"]


def tags_of(python: Python, platform: str, *, glibc: str | None = None, musl: str | None = None) -> tuple[Tag, ...]:
    """The tags that such an interpreter accepts on such a platform, best first.

    Where neither glibc nor musl of a Linux is known, no wheel is refused for its glibc.
    """
    if linux_level(platform, glibc=glibc, musl=musl)[1:] == (None, None):
        glibc = _ANY_GLIBC
    return tags_for(
        python.version,
        implementation=python.implementation,
        free_threaded=python.free_threaded,
        platform=platform,
        glibc=glibc,
        musl=musl,
    )


_ANY_GLIBC = "2.50"  # newer than any there is; packaging.tags, too, takes 50 for the last
_PROBE = Path(__file__).with_name("_probe.py")
_GPU_PROBE = Path(__file__).with_name("_gpu_probe.py")
_TIME_LIMIT = 60.0  # seconds: an interpreter on a cold network disk may take many
_GPU_TIME_LIMIT = 20.0  # NVML takes 0.1 s; a driver that is stuck takes for ever


def probe(executable: str | Path) -> tuple[Environment, Installation]:
    """Ask an interpreter what it is, without importing torch, in about 0.1 s.

    ``executable`` is the path or name of the program. Driver and GPUs are asked for at the same time by a process of
    their own, because a driver that hangs or crashes must not cost the rest. Raises TargetError.
    """
    with ThreadPoolExecutor(max_workers=1) as aside:
        devices = aside.submit(_devices, executable)
        said = _interpreter(executable)
    installation = _installation(said, str(executable))
    return _environment(said, installation, devices.result()), installation


def _devices(executable: str | Path) -> dict[str, Any] | None:
    """What _gpu_probe.py says, None where it says nothing."""
    try:
        return _last_object(capture([executable, _GPU_PROBE], timeout=_GPU_TIME_LIMIT))
    except OSError:
        return None  # _interpreter fails in the same way and tells it


def _interpreter(executable: str | Path) -> dict[str, Any]:
    """What _probe.py says. Raises TargetError."""
    try:
        done = capture([executable, _PROBE], timeout=_TIME_LIMIT)
        said = _last_object(done)
        version = said["python"]["version"] if said else capture([executable, "-c", _ASK_VERSION], timeout=10).stdout
    except OSError as error:
        raise TargetError(f"{executable} cannot be run: {error.strerror}", hints=(_HINT,)) from error
    found = re.match(r"(\d+)\.(\d+)\.\d+", version)
    if done.exit_code is None:
        raise TargetError(f"{executable} did not answer within {_TIME_LIMIT:.0f} s", hints=(_HINT,))
    if found is None:
        raise TargetError(f"{executable} is not a Python interpreter", details=_last_lines(done), hints=(_HINT,))
    if (int(found[1]), int(found[2])) < _OLDEST_PYTHON:
        needed = "needed is {}.{} or newer".format(*_OLDEST_PYTHON)
        raise TargetError(f"{executable} is Python {found[1]}.{found[2]}, which is too old", hints=(needed, _HINT))
    if said is None:
        message = f"{executable} could not say what is installed for it"
        raise TargetError(message, details=_last_lines(done), hints=(_HINT,))
    return said


_OLDEST_PYTHON = (3, 8)  # of a target (DESIGN 8)
_ASK_VERSION = "import sys; sys.stdout.write('%d.%d.%d' % sys.version_info[:3])"  # any Python can say it
_HINT = "name the Python to install for: --python PATH"


def _last_object(done: Finished) -> dict[str, Any] | None:
    """The JSON object on the last line that is one; start-up code of the target (sitecustomize) may print others."""
    for line in reversed(done.stdout.splitlines()):
        if line.startswith('{"format": 1,'):
            try:
                said = json.loads(line)
            except ValueError:
                continue
            return said if isinstance(said, dict) else None
    return None


def _last_lines(done: Finished, count: int = 5) -> list[str]:
    return (done.stderr.strip() or done.stdout.strip()).splitlines()[-count:]


def _installation(said: Mapping[str, Any], executable: str) -> Installation:
    distributions = tuple(Distribution(**found) for found in said["distributions"])
    return Installation(
        executable=said["python"]["executable"] or executable,
        prefix=said["prefix"],
        base_prefix=said["base_prefix"],
        paths=said["paths"],
        site_packages=tuple(said["site_packages"]),
        pip=next((found.version for found in distributions if canonicalize_name(found.name) == "pip"), None),
        externally_managed=said["externally_managed"],
        distributions=distributions,
        torch_folders=tuple(said["torch_folders"]),
    )


def _environment(said: Mapping[str, Any], installation: Installation, devices: Mapping[str, Any] | None) -> Environment:
    python, platform = said["python"], said["platform"]
    torch = _torch(installation, platform)
    driver = devices and devices["driver"]
    installed: dict[str, str] = {canonicalize_name(found.name): found.version for found in installation.distributions}
    return Environment(
        python=Python(
            version=python["version"],
            executable=installation.executable,
            implementation=python["implementation"],
            free_threaded=python["free_threaded"],
        ),
        platform=platform,
        glibc=said["glibc"],
        musl=said["musl"],
        tags=_tags(said),
        torch=torch,
        driver=Driver(**driver) if driver else None,
        gpus=tuple(Gpu(**gpu) for gpu in devices["gpus"]) if devices else (),
        cuda_toolkit=cuda_toolkit(installed, os.environ),
        rocm_toolkit=rocm_toolkit(os.environ),
        installed=installed,
        origins={**dict.fromkeys(KEYS, "found"), **dict.fromkeys(_unknown(torch, devices), "unknown")},
    )


def _unknown(torch: Torch | None, devices: Mapping[str, Any] | None) -> list[str]:
    """The facts that were asked for and not learned."""
    return [*([] if devices else ["driver", "gpus"]), *_unknown_of(torch)]


def _tags(said: Mapping[str, Any]) -> tuple[Tag, ...]:
    """Those of the target's own pip; of this year's pip where it has none."""
    if said["tags"]:
        return tuple(tag for text in said["tags"] for tag in parse_tag(text))
    return tags_for(
        said["python"]["version"],
        implementation=said["python"]["implementation"],
        free_threaded=said["python"]["free_threaded"],
        debug=said["python"]["debug"],
        soabi=said["python"]["soabi"],
        platform=said["platform"],
        glibc=said["glibc"],
        musl=said["musl"],
    )


def _torch(installation: Installation, platform: str) -> Torch | None:
    distribution = next((found for found in installation.distributions if found.name.lower() == "torch"), None)
    libraries = [Path(installation.prefix) / "lib"]  # conda
    if platform.startswith("linux_"):
        libraries.append(Path(f"/usr/lib/{platform.removeprefix('linux_')}-linux-gnu"))  # Debian
    return read_torch(
        installation.torch_folders,
        version=distribution.version if distribution else None,
        metadata_folder=distribution.path if distribution else None,
        libraries=libraries if installation.torch_folders else (),
        platform=platform,
    )
