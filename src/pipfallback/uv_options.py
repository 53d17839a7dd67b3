"""pip's options and settings in uv's words: a table of every option of pip, and what applies it.

uv reads neither PIP_* variables nor pip.conf (docs.astral.sh/uv/pip/compatibility), so these are translated as well. The
table's source for what uv has is ``uv pip install --help`` of uv 0.9.0 and 0.13.9, for its variables
docs.astral.sh/uv/reference/environment; a test compares it with the uv that is installed, and with pip's options.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from pipfallback.arguments import CommandLine, Item, parse
from pipfallback.errors import UsageError
from pipfallback.pip_config import PipConfig, read_pip_config
from pipfallback.pip_options import TAKES_VALUE, canonical
from pipfallback.requests import RequestError, read_request
from pipfallback.requirement_files import read_sheet

# The same option under uv's name.
SAME = {
    "--requirement": "--requirements", "--constraint": "--constraints", "--build-constraint": "--build-constraints",
    "--editable": "--editable", "--group": "--group", "--no-deps": "--no-deps", "--dry-run": "--dry-run",
    "--target": "--target", "--prefix": "--prefix", "--break-system-packages": "--break-system-packages",
    "--require-hashes": "--require-hashes", "--config-settings": "--config-setting",
    "--no-build-isolation": "--no-build-isolation", "--no-binary": "--no-binary", "--only-binary": "--only-binary",
    "--index-url": "--index-url", "--extra-index-url": "--extra-index-url", "--no-index": "--no-index",
    "--find-links": "--find-links", "--uploaded-prior-to": "--exclude-newer", "--refresh-package": "--refresh-package",
    "--trusted-host": "--allow-insecure-host", "--cache-dir": "--cache-dir", "--no-cache-dir": "--no-cache",
    "--quiet": "--quiet", "--verbose": "--verbose",
    # uv has one form of it, which uninstalls what it replaces.
    "--force-reinstall": "--reinstall", "--ignore-installed": "--reinstall",
}  # fmt: skip

# The same option with a value of uv's.
FIXED = {
    "--pre": ("--prerelease", "allow"),
    "--no-color": ("--color", "never"),
    "--isolated": ("--no-config",),  # and pip's own settings are not read
}

# What uv takes from its environment only.
VARIABLES = {
    "--cert": ("SSL_CERT_FILE",), "--client-cert": ("SSL_CLIENT_CERT",),
    "--proxy": ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
    "--timeout": ("UV_HTTP_TIMEOUT",), "--retries": ("UV_HTTP_RETRIES",),
}  # fmt: skip

# Nothing is lost without them: option -> why.
DROPPED = {
    "--compile": "uv would compile the whole environment, not what it installs",
    "--debug": "it shows how pip fails",
    "--disable-pip-version-check": "uv looks for no newer version of itself",
    "--exists-action": "uv keeps what it clones in its cache",
    "--no-compile": "uv does not compile",
    "--no-input": "uv asks nothing",
    "--no-python-version-warning": "uv has no such warning",
    "--no-require-hashes": "uv checks the hashes that are given, and requires none of the others",
    "--no-user": "uv never installs for the user alone",
    "--no-warn-conflicts": "uv has no such warning",
    "--no-warn-script-location": "uv has no such warning",
    "--resume-retries": "uv resumes no download; --retries counts",
    "--root-user-action": "uv has no such warning",
    "--use-feature": "it chooses how pip works, not what it installs",
    "--use-pep517": "uv always does",
}

# What these mean for uv depends on their value, or on the rest of the command (``_Translator``).
SPECIAL = frozenset({
    "--keyring-provider", "--no-proxy-env", "--progress-bar", "--python-version", "--require-virtualenv",
    "--requirements-from-script", "--upgrade", "--upgrade-strategy",
})  # fmt: skip

# Usage errors: option -> what to do instead, where there is something.
LACKING: dict[str, str | None] = {
    "--abi": None, "--all-releases": None, "--build": None, "--build-option": None,
    "--check-build-dependencies": None, "--global-option": None, "--ignore-requires-python": None,
    "--implementation": None, "--install-option": None, "--log": None, "--no-clean": None, "--no-use-pep517": None,
    "--only-deps": None, "--only-final": None, "--platform": None, "--prefer-binary": None, "--report": None,
    "--root": None, "--src": None, "--use-deprecated": None, "--user": "a virtual environment serves one user as well",
}  # fmt: skip

# They may stand several times; in a setting their values are separated by white space (pip's documentation), and the
# command line adds to it (optparse).
_LISTS = frozenset({
    "--build-constraint", "--config-settings", "--constraint", "--editable", "--extra-index-url", "--find-links",
    "--group", "--refresh-package", "--requirement", "--trusted-host",
})  # fmt: skip
# pip takes several names in one value; uv before 0.13 one.
_FORMATS = frozenset({"--no-binary", "--only-binary"})
_COUNTED = frozenset({"--quiet", "--verbose"})

# Where the user has told uv itself, that counts more than what pip was told.
_UVS_OWN = {
    "--index-url": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"), "--extra-index-url": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "--find-links": ("UV_FIND_LINKS",), "--constraint": ("UV_CONSTRAINT",), "--trusted-host": ("UV_INSECURE_HOST",),
    "--build-constraint": ("UV_BUILD_CONSTRAINT",),
    "--timeout": ("UV_HTTP_TIMEOUT",), "--retries": ("UV_HTTP_RETRIES",), "--keyring-provider": ("UV_KEYRING_PROVIDER",),
    "--pre": ("UV_PRERELEASE",), "--uploaded-prior-to": ("UV_EXCLUDE_NEWER",), "--cache-dir": ("UV_CACHE_DIR",),
}  # fmt: skip

# A folder of pip's own, which the user of a setting did not mean for another program.
_NOT_FROM_SETTINGS = frozenset({"--cache-dir"})

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A pip install in uv's words.

    ``options``: (uv's option, its value or None) in order; ``requirements``: what is asked for by position.
    ``variables`` are set in uv's environment, ``removed`` taken out of it. ``constrained``: the constraint files.
    """

    options: tuple[tuple[str, str | None], ...]
    requirements: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()

    def words(self, *without: str) -> tuple[str, ...]:
        """The options, less some of them by uv's names, as uv is given them."""
        return tuple(
            option if value is None else f"{option}={value}" for option, value in self.options if option not in without
        )

    def values(self, option: str) -> tuple[str, ...]:
        """The values of one of uv's options, in order."""
        return tuple(value for name, value in self.options if name == option and value is not None)

    def has(self, option: str) -> bool:
        """Whether one of uv's options is given."""
        return any(name == option for name, _ in self.options)

    def count(self, option: str) -> int:
        """How often one of uv's options is given."""
        return sum(name == option for name, _ in self.options)


def translate(words: Sequence[str], environ: Mapping[str, str], *, prefix: str, is_venv: bool) -> Translation:
    """The words of a ``pip install`` for uv, with what PIP_* variables and the target's pip.conf add to them.

    ``prefix``: the target's ``sys.prefix``, ``is_venv`` whether it is a virtual environment. Raises UsageError for an
    option or a setting that uv lacks, which it names.
    """
    command = parse(words, {})
    if command.command != "install":
        raise UsageError(f"--installer uv: uv has no equivalent of pip {command.command}")
    config = read_pip_config(environ, prefix=Path(prefix), isolated=command.has("--isolated"))
    translator = _Translator(command, environ, is_venv=is_venv)
    for name, value, said in (*_configured(command, config, environ), *_given(command)):
        translator.take(name, value, said)
    return translator.translation()


def _given(command: CommandLine) -> Iterator[tuple[str, str | None, str]]:
    for item in command.items:
        if item.kind == "option":
            yield item.name, item.value, item.words[0].partition("=")[0]


def _configured(
    command: CommandLine, config: PipConfig, environ: Mapping[str, str]
) -> Iterator[tuple[str, str | None, str]]:
    """What pip's settings add to the command line: (canonical option, value, how it is named in a message)."""
    known = {*SAME, *FIXED, *VARIABLES, *SPECIAL, *LACKING}
    for name, text in config.values.items():
        if name not in known or name in _NOT_FROM_SETTINGS or any(environ.get(own) for own in _UVS_OWN.get(name, ())):
            continue
        variable = "PIP_" + name[2:].replace("-", "_").upper()
        said = f"{name} (from {variable if variable in environ else 'pip.conf'})"
        if name in _LISTS:
            yield from ((name, value, said) for value in config.getlist(name))
        elif name in _COUNTED:
            count = int(text) if text.strip().isdigit() else int(config.flag(name))
            yield from ((name, None, said) for _ in range(count))
        elif name == "--no-cache-dir":  # pip switches its cache off whatever the value is (cmdoptions.py)
            yield name, None, said
        elif name in TAKES_VALUE:
            if not command.has(name):
                yield name, text, said
        elif config.flag(name):
            yield name, None, said


class _Translator:
    """Takes options one by one."""

    def __init__(self, command: CommandLine, environ: Mapping[str, str], *, is_venv: bool) -> None:
        self._command = command
        self._environ = environ
        self._is_venv = is_venv
        self._options: list[tuple[str, str | None]] = []
        self._variables: dict[str, str] = {}
        self._removed: set[str] = set()
        self._upgrades = self._eagerly = False
        self._special: dict[str, Callable[[str | None, str], None]] = {
            "--keyring-provider": self._keyring,
            "--no-proxy-env": self._no_proxy_env,
            "--progress-bar": self._progress_bar,
            "--python-version": self._python_version,
            "--require-virtualenv": self._require_virtualenv,
            "--requirements-from-script": self._from_script,
            "--upgrade": self._upgrade,
            "--upgrade-strategy": self._upgrade_strategy,
        }

    def take(self, name: str, value: str | None, said: str) -> None:
        """Take one option of pip (canonical name), ``said`` as the user wrote it. Raises UsageError."""
        if name in LACKING:
            raise UsageError(f"--installer uv: uv has no {said}", hints=_hints(LACKING[name]))
        if name in self._special:
            self._special[name](value, said)
        elif name in VARIABLES:
            if value is None:
                raise UsageError(f"{said} needs a value")
            self._variables |= dict.fromkeys(VARIABLES[name], _seconds(value, said) if name == "--timeout" else value)
        elif name in FIXED:
            option, *values = FIXED[name]
            self._options.append((option, values[0] if values else None))
        elif name in _FORMATS and value is not None:
            self._options += [(SAME[name], each) for each in value.split(",")]
        elif name in SAME:
            self._options.append((SAME[name], _expanded(value) if name == "--find-links" else value))
        elif name not in DROPPED:
            self._options.append((name, value))  # no option of pip: it is uv's to take or to refuse

    def translation(self) -> Translation:
        """What has been taken, with what it means together."""
        if self._upgrades:
            self._options += self._upgrade_options()
        # pip looks at all indexes and takes the best; uv by itself at the first that has the name.
        if (
            self._has("--extra-index-url")
            and not self._has("--index-strategy")
            and self._is_unsaid("UV_INDEX_STRATEGY")
        ):
            self._options.append(("--index-strategy", "unsafe-best-match"))
        # pip's library for HTTP reads these, uv does not (requests, "SSL Cert Verification").
        bundle = self._environ.get("REQUESTS_CA_BUNDLE") or self._environ.get("CURL_CA_BUNDLE")
        if bundle and self._is_unsaid("SSL_CERT_FILE"):
            self._variables.setdefault("SSL_CERT_FILE", bundle)
        return Translation(
            options=_each_once(self._options),
            requirements=tuple(_requirement(item) for item in self._command.requirements),
            variables=self._variables,
            removed=frozenset(self._removed),
        )

    def _has(self, option: str) -> bool:
        return any(name == option for name, _ in self._options)

    def _is_unsaid(self, variable: str) -> bool:
        return not self._environ.get(variable)

    def _keyring(self, value: str | None, said: str) -> None:
        if value in {"disabled", "subprocess"}:
            self._options.append(("--keyring-provider", value))
        elif value != "auto":  # pip's default
            raise UsageError(f"--installer uv: uv has no {said} {value}", hints=("uv knows subprocess and disabled",))

    def _no_proxy_env(self, _value: str | None, _said: str) -> None:
        self._removed |= {*_PROXIES}

    def _progress_bar(self, value: str | None, _said: str) -> None:
        if value == "off":
            self._options.append(("--no-progress", None))

    def _python_version(self, value: str | None, said: str) -> None:
        """pip also takes "3", "37" and "310" (cmdoptions.py, _convert_python_version)."""
        text = value or ""
        if text.isdigit() and len(text) > 1:
            text = f"{text[0]}.{text[1:]}"
        if "." not in text:
            raise UsageError(f"--installer uv: {said} needs a minor version for uv, such as 3.11")
        self._options.append(("--python-version", text))

    def _require_virtualenv(self, _value: str | None, said: str) -> None:
        if not self._is_venv:
            raise UsageError(f"{said}: the target is no virtual environment")

    def _from_script(self, value: str | None, said: str) -> None:
        if value is None or not value.endswith(".py"):
            raise UsageError(f"--installer uv: {said} takes a script whose name ends in .py")
        self._options.append(("--requirements", value))

    def _upgrade(self, _value: str | None, _said: str) -> None:
        self._upgrades = True

    def _upgrade_strategy(self, value: str | None, _said: str) -> None:
        self._eagerly = value == "eager"

    def _upgrade_options(self) -> list[tuple[str, str | None]]:
        """pip upgrades what was named, and the rest only if it must; uv's ``--upgrade`` is pip's "eager"."""
        if self._eagerly:
            return [("--upgrade", None)]
        return [("--upgrade-package", name) for name in dict.fromkeys(self._names())]

    def _names(self) -> Iterator[str]:
        texts = [item.value or "" for item in self._command.requirements]
        for option, file in self._options:
            if option == "--requirements" and file is not None and not file.endswith((".toml", ".py")):
                texts += _lines_of(file, self._environ)
        for text in texts:
            try:
                name = read_request(text).name
            except RequestError:  # uv says what is wrong with it
                continue
            if name is not None:
                yield name


def _hints(hint: str | None) -> tuple[str, ...]:
    return (*([hint] if hint else []), "--installer pip installs with pip, which has it")


def _seconds(value: str, said: str) -> str:
    """uv counts whole seconds."""
    try:
        return str(max(1, math.ceil(float(value))))
    except (ValueError, OverflowError):
        raise UsageError(f"{said} must be a number of seconds, not {value!r}") from None


def _expanded(value: str | None) -> str | None:
    """pip knows "~" here, also where no shell has replaced it (normalize_path)."""
    return os.path.expanduser(value) if value is not None and value.startswith("~") else value  # noqa: PTH111


def _lines_of(file: str, environ: Mapping[str, str]) -> list[str]:
    try:
        sheet = read_sheet(file, constraint=False, fetch=_unreachable, environ=environ)
    except (OSError, ValueError):  # uv says what is wrong with it
        return []
    return [line.requirement for _, line in sheet.walk() if line.requirement is not None]


def _unreachable(url: str) -> bytes:
    raise OSError(url)


def _requirement(item: Item) -> str:
    """A URL of a wheel gets the wheel's name: uv takes a hash behind a ``file:`` URL only so (PEP 508)."""
    text = item.value or ""
    if "#" not in text or "://" not in text or " @ " in text:
        return text
    try:
        name = parse_wheel_filename(unquote(urlsplit(text).path).rpartition("/")[2])[0]
    except (InvalidWheelFilename, ValueError):
        return text
    return f"{name} @ {text}"


def canonical_names() -> frozenset[str]:
    """Every option of pip that the table speaks of."""
    return frozenset(map(canonical, {*SAME, *FIXED, *VARIABLES, *DROPPED, *SPECIAL, *LACKING}))


def _each_once(options: Sequence[tuple[str, str | None]]) -> tuple[tuple[str, str | None], ...]:
    """pip lets the same be said twice, uv does not; but for the options that it counts."""
    counted = {"--quiet", "--verbose"}
    places = {option: place for place, option in reversed(list(enumerate(options)))}
    return tuple(option for place, option in enumerate(options) if option[0] in counted or places[option] == place)
