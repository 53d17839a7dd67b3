"""What ``uv pip install`` says that pip has another name for, and what pip cannot say (uv 0.13.9, ``--help``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# uv's name -> pip's, where both mean the same; "" drops it, since pip has no need of it.
_FLAGS = {
    **{name: name for name in ("--no-deps", "--require-hashes", "--break-system-packages", "--dry-run", "--no-index")},
    **{
        name: name for name in ("--upgrade", "-U", "--quiet", "-q", "--verbose", "-v", "--no-build-isolation", "--user")
    },
    "--no-cache": "--no-cache-dir",
    "--no-cache-dir": "--no-cache-dir",
    "-n": "--no-cache-dir",
    "--reinstall": "--force-reinstall",
    "--force-reinstall": "--force-reinstall",
    "--compile-bytecode": "--compile",
    "--compile": "--compile",
    "--no-progress": "--progress-bar=off",
    "--pre": "--pre",
    "--system": "--python=python3",
    "--no-build": "--only-binary=:all:",
}
_VALUED = {
    **{name: name for name in ("-r", "-c", "-e", "-t", "-i", "-f", "--requirement", "--constraint", "--editable")},
    **{name: name for name in ("--target", "--prefix", "--no-binary", "--only-binary", "--index-url", "--group")},
    **{name: name for name in ("--extra-index-url", "--find-links", "--cache-dir", "--cert")},
    "--requirements": "--requirement",
    "--constraints": "--constraint",
    "--default-index": "--index-url",
    "--build-constraint": "--build-constraint",
    "--build-constraints": "--build-constraint",
    "--allow-insecure-host": "--trusted-host",
    "--trusted-host": "--trusted-host",
    "--python": "--python",
    "-p": "--python",
}
# They take a value and pip has none such.
_ONLY_UV = frozenset({
    "--color", "--config-file", "--config-setting", "--config-settings-package", "--directory", "--exclude-newer",
    "--exclude-newer-package", "--excludes", "--extra", "--fork-strategy", "--index", "--index-strategy",
    "--keyring-provider", "--link-mode", "--no-build-isolation-package", "--no-editable-package",
    "--no-sources-package", "--output-format", "--override", "--overrides", "--prerelease", "--prerelease-package",
    "--project", "--python-platform", "--python-version", "--refresh-package", "--reinstall-package", "--resolution",
    "--torch-backend", "--upgrade-group", "--upgrade-package", "-C", "-P", "-b",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One option or requirement of a uv command: the places of its words, and pip's words for it.

    ``pip`` is None where pip cannot say it. ``name`` and ``value`` as uv has them; a requirement has no name.
    """

    start: int
    end: int
    pip: tuple[str | None, ...] | None
    name: str = ""
    value: str | None = None


def read(words: Sequence[str | None]) -> Iterator[Part]:
    """The words behind ``uv pip install``; a word that is not known (None) is taken for a requirement or a value."""
    at = 0
    while at < len(words):
        word = words[at]
        part = _part(word, words, at) if word is not None and word.startswith("-") and word != "-" else None
        if part is None:
            part = Part(start=at, end=at + 1, pip=(word,), value=word)
        yield part
        at = part.end


def _part(word: str, words: Sequence[str | None], at: int) -> Part | None:
    name, equals, attached = word.partition("=") if word.startswith("--") else (word[:2], "", word[2:])
    if name in _FLAGS:
        return (
            _cluster(word, at)
            if attached and not equals
            else Part(start=at, end=at + 1, pip=(_FLAGS[name],), name=name)
        )
    if name not in _VALUED and name not in _ONLY_UV:
        return Part(start=at, end=at + 1, pip=None, name=name)
    separate = not equals and not attached
    value = (words[at + 1] if at + 1 < len(words) else None) if separate else attached.removeprefix("=")
    end = min(at + 2, len(words)) if separate else at + 1
    if name == "--prerelease" and value == "allow":
        return Part(start=at, end=end, pip=("--pre",), name=name, value=value)
    if name in _ONLY_UV:
        return Part(start=at, end=end, pip=None, name=name, value=value)
    if name in {"--python", "-p"}:
        value = _python(value)
    return Part(start=at, end=end, pip=(_VALUED[name], value), name=name, value=value)


def _python(value: str | None) -> str | None:
    """uv takes a version where pip takes a program: ``--python 3.11`` is ``--python python3.11``."""
    return f"python{value}" if value is not None and re.fullmatch(r"3(\.\d+)?", value) else value


def _cluster(word: str, at: int) -> Part:
    """``-qqU``: several short ones in a word."""
    if all(f"-{letter}" in _FLAGS for letter in word[1:]):
        return Part(start=at, end=at + 1, pip=tuple(_FLAGS[f"-{letter}"] for letter in word[1:]), name=word)
    return Part(start=at, end=at + 1, pip=None, name=word)
