"""The environment that the builds of one command are judged against.

It is the target interpreter's, as changed by where the command installs to (``--target``), by pip's options that choose
wheels for another platform, and by what the user declared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.version import InvalidVersion, Version

from pipfallback.arguments import CommandLine
from pipfallback.declared import declare
from pipfallback.environment import Environment, Installation, Python, probe, with_torch
from pipfallback.installed import installed_in
from pipfallback.layout import cross_options, layout_of
from pipfallback.markers import known_answers
from pipfallback.requests import Request
from pipfallback.tags import cross_tags, linux_level
from pipfallback.torch_files import read_torch

_IMPLEMENTATIONS = {"cp": "cpython", "pp": "pypy"}  # pip's --implementation to sys.implementation.name


def look(executable: str, command: CommandLine, environ: Mapping[str, str]) -> tuple[Environment, Installation]:
    """Probe the target, and see it as ``command`` does. Raises TargetError, EnvironmentDescriptionError."""
    environment, installation = probe(executable)
    environment = seen_by(command, environment, installation)
    return declare(environment, environ, gpu=command.own.gpu, driver_cuda=command.own.driver_cuda), installation


def seen_by(command: CommandLine, environment: Environment, installation: Installation) -> Environment:
    """The environment of an interpreter as ``command`` sees it.

    A torch in the folder of ``--target``, ``--prefix`` or ``--root`` counts before the interpreter's. Under pip's cross
    options the tags are those that pip takes then, and what is installed for the interpreter does not count: torch is
    unknown unless the target folder holds one; with ``--platform`` so are driver and GPUs.
    """
    crossing = cross_options(command)
    if crossing:
        environment = _crossed(environment, crossing)
    layout = layout_of(command, installation, environment.python.version)
    return _with_folder(environment, layout.folders[0]) if layout.separate else environment


def _with_folder(environment: Environment, folder: str) -> Environment:
    """With the packages of a folder that comes before site-packages."""
    there = installed_in([folder])
    if there:
        versions = {name: found.version for name, found in there.items()}
        environment = replace(environment, installed={**(environment.installed or {}), **versions})
    distribution = there.get("torch")
    torch = read_torch(
        [str(package) for package in [Path(folder, "torch")] if package.is_dir()],
        version=distribution.version if distribution else None,
        metadata_folder=distribution.info if distribution else None,
        platform=environment.platform,
    )
    return environment if torch is None else with_torch(environment, torch, origin="found")


def _crossed(environment: Environment, options: Mapping[str, Sequence[str]]) -> Environment:
    """Another interpreter than the one that runs, as pip's options name it.

    What pip will refuse is left as it is here: pip itself says what is wrong with it.
    """
    try:
        version = _python_version(options.get("--python-version", ()))
    except InvalidVersion:
        return environment
    platforms, kinds = options.get("--platform", ()), options.get("--implementation", ())
    tags = cross_tags(
        environment.tags,
        own_version=environment.python.version,
        version=version,
        implementation=kinds[-1] if kinds else None,
        abis=options.get("--abi", ()),
        platforms=platforms,
    )
    by = dict.fromkeys(("tags", "python"), " ".join(options))
    environment = with_torch(environment, None, origin="unknown")
    environment = replace(
        environment,
        python=_python(environment.python, version, kinds[-1] if kinds else None, options.get("--abi", ())),
        tags=tags,
        installed=None,
        origins={**environment.origins, **dict.fromkeys(by, "declared")},
        declared_by={**environment.declared_by, **by},
    )
    return _on_platform(environment, platforms) if platforms else environment


def _python_version(values: Sequence[str]) -> tuple[int, ...] | None:
    """``--python-version`` as pip reads it: "3", "3.12", "312", "3.12.1". Raises InvalidVersion for anything else."""
    if not values:
        return None
    text = values[-1]
    if "." not in text and len(text) > 1:
        text = f"{text[0]}.{text[1:]}"
    release = Version(text).release
    if text != ".".join(map(str, release)) or len(release) > 3:
        raise InvalidVersion(text)
    return release


def _python(own: Python, version: tuple[int, ...] | None, kind: str | None, abis: Sequence[str]) -> Python:
    number = own.version if version is None else ".".join(map(str, (*version, 0, 0)[:3]))  # pip adds zeros, too
    return Python(
        version=number,
        implementation=own.implementation if kind is None else _IMPLEMENTATIONS.get(kind, kind),
        free_threaded=any(abi.endswith("t") for abi in abis) if abis else own.free_threaded,
    )


def _on_platform(environment: Environment, platforms: Sequence[str]) -> Environment:
    """On the first of the named platforms; of several levels of glibc or musl the highest is there."""
    levels = [linux_level(platform) for platform in platforms]
    machine = next((machine for machine, _, _ in levels if machine is not None), None)
    named = platforms[0] if machine is None else f"linux_{machine}"
    unknown = dict.fromkeys(("driver", "gpus", "toolkit"), "unknown")
    return replace(
        environment,
        platform=named,
        glibc=_highest([glibc for _, glibc, _ in levels]),
        musl=_highest([musl for _, _, musl in levels]),
        driver=None,
        gpus=(),
        cuda_toolkit=None,
        rocm_toolkit=None,
        origins={**environment.origins, **dict.fromkeys(("platform", "glibc", "musl"), "declared"), **unknown},
        declared_by={**environment.declared_by, **dict.fromkeys(("platform", "glibc", "musl"), "--platform")},
    )


def _highest(levels: Sequence[str | None]) -> str | None:
    return max((level for level in levels if level), key=lambda level: Version(level).release, default=None)


def applies(request: Request, environment: Environment) -> bool:
    """Whether a requirement's marker holds in the environment (PEP 508); pip passes over what it does not."""
    if request.marker is None:
        return True
    return request.marker.evaluate({**known_answers(environment), "extra": ""})
