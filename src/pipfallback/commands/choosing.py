"""What installs: the target's pip, pipfallback's own, or uv."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pipfallback.active import seems_to_have_pip
from pipfallback.arguments import CommandLine
from pipfallback.errors import UsageError
from pipfallback.pip import Pip, pip_for
from pipfallback.target import Target
from pipfallback.terminal import teller

if TYPE_CHECKING:
    from pipfallback.environment import Installation
    from pipfallback.installer import Installer


def installer_of(command: CommandLine, installation: Installation, python_version: str) -> Installer:
    """The installer for a target that was asked what it is: the one that the user names, else as follows.

    The target's own pip, where it has one. Where it has none: uv, if uv made the environment and is at hand; else
    pipfallback's own pip. Raises TargetError where none serves the target.
    """
    named = _named(command)
    if named == "pip" or (named is None and installation.pip is not None):
        return pip_for(installation, python_version)
    from pipfallback import uv  # start-up: only where it may be uv

    beside = (installation.paths.get("scripts", ""),)
    if named == "uv":
        return uv.Uv(program=uv.find_uv(os.environ, beside=beside), installation=installation)
    if uv.is_uvs_own(installation.prefix) and (program := _uv_at_hand(beside)) is not None:
        return uv.Uv(program=program, installation=installation)
    return pip_for(installation, python_version)


def _uv_at_hand(beside: tuple[str, ...]) -> str | None:
    """Where uv is; None where it is not, or too old: nobody asked for it."""
    from pipfallback import uv  # start-up: only where it may be uv

    try:
        return uv.find_uv(os.environ, beside=beside)
    except uv.UvError:
        return None


def installer_without_probe(command: CommandLine, target: Target) -> Installer:
    """The installer for a target, asking the interpreter only where it seems to have no pip, or uv is to install.

    Raises UsageError as ``installer_of``.
    """
    if seems_to_have_pip(target.executable) and _named(command) != "uv":
        return Pip(executable=target.executable)
    from pipfallback.environment import probe  # start-up: seldom needed

    environment, installation = probe(target.executable)
    installer = installer_of(command, installation, environment.python.version)
    tell_if_unasked(command, installer)
    return installer


def tell_if_unasked(command: CommandLine, installer: Installer) -> None:
    """Say that uv installs where nobody named it."""
    if command.own.installer is None and installer.name == "uv":
        teller(command)("no pip here, and uv made this environment: installing with uv (--installer pip forbids it)")


def _named(command: CommandLine) -> str | None:
    """uv installs; all other commands are pip's. Raises UsageError where uv is to do what only pip does."""
    named = command.own.installer
    if command.command == "install":
        return named
    if named == "uv" and command.command in {"download", "wheel"}:
        raise UsageError(f"--installer uv: uv has no pip {command.command}")
    return "pip"
