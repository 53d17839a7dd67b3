"""Real virtual environments with a real pip of the wanted version, made in a fraction of a second."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

NEWEST = "newest"

_NEWEST_PIP = {"3.8": "25.0.1", "3.9": "26.0.1"}  # the last that supports these Pythons (Requires-Python on PyPI)
_PIP = "26.3"
_OWN_ENVIRON = dict(os.environ)  # how this machine reaches a package index, before a test changes anything
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")  # and not the empty one of a test


class MissingInterpreterError(LookupError):
    """This machine has no interpreter of the wanted version."""


def cache_folder() -> Path:
    """Where the tests keep what they need again: pip wheels, unpacked pips, the Debian base image."""
    return _CACHE / "pipfallback-tests"


def find_interpreter(version: str) -> Path:
    """The interpreter of a Python version ("3.11"): this one, pyenv's, or the one on PATH.

    Raises MissingInterpreterError.
    """
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Path(sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = sorted(pyenv.glob(f"{version}.*/bin/python{version}"))
    if found:
        return found[-1]
    if (on_path := shutil.which(f"python{version}")) and _runs(on_path):
        return Path(on_path)
    raise MissingInterpreterError(f"no Python {version} on this machine")


def make_venv(path: Path, python: str | None = None, pip: str | None = NEWEST) -> Path:
    """Make a virtual environment at ``path`` and return its interpreter.

    ``python`` is a version ("3.11"), by default the one that runs the tests. ``pip`` is a version ("20.3.4"), NEWEST
    for the newest that supports the Python, or None for an environment without pip. pip's bytecode is there already,
    so that running it changes no file. Raises MissingInterpreterError.
    """
    base = Path(sys.executable) if python is None else find_interpreter(python)
    _run([str(base), "-m", "venv", "--without-pip", str(path)])
    interpreter = path / "bin" / "python"
    if pip is not None:
        version = _python_version(str(base))
        wanted = _NEWEST_PIP.get(version, _PIP) if pip == NEWEST else pip
        _copy_pip(_template(base, version, wanted), path, version)
    return interpreter


def site_packages(interpreter: Path) -> Path:
    """The folder of a virtual environment that its packages lie in."""
    return next((interpreter.parent.parent / "lib").glob("python*")) / "site-packages"


def native_tag(interpreter: Path) -> str:
    """The tag of a wheel that only this interpreter takes ("cp311-cp311-linux_x86_64")."""
    code = "import sys, sysconfig as s; print('cp%d%d' % sys.version_info[:2],"
    code += " 't' if s.get_config_var('Py_GIL_DISABLED') else '', s.get_platform(), sep=';')"
    python, threads, platform = _ask(str(interpreter), code).split(";")
    return f"{python}-{python}{threads}-{platform.replace('-', '_').replace('.', '_')}"


def fetch_pip(version: str) -> Path:
    """The wheel of a pip version, from the cache or, once, from the package index."""
    folder = cache_folder() / "pips"
    wheel = folder / f"pip-{version}-py3-none-any.whl"
    universal = folder / f"pip-{version}-py2.py3-none-any.whl"
    with _locked(folder):
        if not (wheel.exists() or universal.exists()):
            options = ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
            _run([sys.executable, "-m", "pip", "download", *options, f"pip=={version}"], env=_OWN_ENVIRON)
    return wheel if wheel.exists() else universal


def _template(base: Path, version: str, pip: str) -> Path:
    """An environment of this Python with this pip, made once per machine."""
    folder = cache_folder() / "templates"
    template = folder / f"{_identity(str(base))}-pip{pip}"
    wheel = fetch_pip(pip)
    with _locked(folder):
        if template.exists():
            return template
        unfinished = Path(tempfile.mkdtemp(dir=folder))
        _run([str(base), "-m", "venv", "--without-pip", str(unfinished)])
        command = [str(unfinished / "bin" / "python"), f"{wheel}/pip", "install", "--no-index", "--no-deps"]
        with tempfile.TemporaryDirectory() as home:
            _run([*command, "--quiet", "--no-warn-script-location", str(wheel)], env=isolated_environ(Path(home)))
        _run([str(base), "-m", "compileall", "-q", str(unfinished / "lib" / f"python{version}")])
        unfinished.rename(template)
    return template


def _copy_pip(template: Path, venv: Path, version: str) -> None:
    """Copy pip from the template, times included (bytecode is valid for a source of one time)."""
    packages = Path("lib") / f"python{version}" / "site-packages"
    for source in (template / packages).glob("pip*"):
        shutil.copytree(source, venv / packages / source.name)
    for script in (template / "bin").glob("pip*"):
        target = venv / "bin" / script.name
        body = script.read_text().partition("\n")[2]
        target.write_text(f"#!{venv}/bin/python\n{body}")
        target.chmod(0o755)


def isolated_environ(home: Path, **settings: str) -> dict[str, str]:
    """Environment variables in which nothing of this machine's or this user's settings counts.

    No pip variable or configuration, no virtual environment, no PYTHON* variable, no proxy; HOME and the XDG folders
    lie in ``home``. pip's check for its own updates is off. ``settings`` are added.
    """
    kept = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
    environ = {name: os.environ[name] for name in kept if name in os.environ}
    xdg = {f"XDG_{kind.upper()}_HOME": str(home / f".{kind}") for kind in ("cache", "config", "data", "state")}
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return environ | {"HOME": str(home)} | xdg | pip | settings


def _identity(base: str) -> str:
    """A name for the interpreter that differs where templates must."""
    code = "import sys, hashlib; p = sys.base_prefix; print('%d.%d.%d-' % sys.version_info[:3]"
    code += " + hashlib.sha256(p.encode()).hexdigest()[:8])"
    return _ask(base, code)


def _python_version(base: str) -> str:
    return _ask(base, "import sys; print('%d.%d' % sys.version_info[:2])")


@functools.cache
def _ask(python: str, code: str) -> str:
    return subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def _runs(python: str) -> bool:
    """Whether it starts at all: a pyenv shim of a version that is not active does not."""
    return subprocess.run([python, "-I", "-c", ""], capture_output=True, check=False).returncode == 0


def _locked(folder: Path) -> FileLock:
    """Test processes share the cache."""
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".lock")


def _run(command: list[str], env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
