"""What the words of an install plainly ask for, seen without taking them apart properly (``arguments.py`` does that)."""

from __future__ import annotations

import os

from pipfallback import pip_options

TYPE_CHECKING = False  # typing's own is half of Python's start-up
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# pipfallback's own options (arguments.py reads them).
OWN = frozenset({
    "--allow-build", "--allow-torch-change", "--driver-cuda", "--explain", "--fail-on-fallback", "--fallbacks",
    "--gpu", "--installer", "--keep-torch", "--lock", "--max-attempts", "--no-fallback", "--no-peek", "--no-verify",
    "--outcome", "--python", "--same-version", "--trust-level", "--verify", "--verify-timeout",
})  # fmt: skip
# Those of them that mean nothing before pip has resolved: without a value, and with one.
_LATER, _LATER_VALUES = frozenset({"--no-verify", "--verify"}), frozenset({"--fallbacks", "--outcome"})

# pip's options that name packages, or that make something else of an install.
_TELLING = frozenset({
    "--dry-run", "--editable", "--group", "--help", "--requirement", "--requirements-from-script", "--version",
})  # fmt: skip
# pip's options that change neither where an install goes nor for which machine, as settings are called.
HARMLESS = frozenset({
    "break-system-packages", "cache-dir", "cert", "client-cert", "config-file", "constraint", "default-timeout",
    "disable-pip-version-check", "exists-action", "extra-index-url", "find-links", "force-reinstall", "index-url",
    "no-cache-dir", "no-color", "no-compile", "no-deps", "no-index", "no-input", "no-warn-script-location", "pre",
    "prefer-binary", "progress-bar", "proxy", "quiet", "retries", "root-user-action", "timeout", "trusted-host",
    "upgrade", "upgrade-strategy", "verbose",
})  # fmt: skip
# Short options without a value; and those with one, which follows.
_FLAGS, _VALUES = frozenset("IUqv"), frozenset({"-c", "-f", "-i", "-t"})
_HARMLESS_SHORT = frozenset({"-U", "-c", "-f", "-i"})

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_REST = _NAME | frozenset(" ,<=>!~*+[]")  # extras and specifiers (PEP 508), no URL and no marker
_PATH = _NAME | frozenset("/+!")
_URL = _PATH | frozenset(":%~")  # no credentials, no query
_ARCHIVES = (".whl", ".zip", ".gz", ".bz2", ".tgz", ".tar", ".xz", ".toml", ".txt")


class PlainWords:
    """``names``: the packages asked for (PEP 503); ``words``: those that are pip's; ``catalogs``: files of ``--fallbacks``.

    ``own``: whether an option of ours is among them; ``harmless``: whether all of pip's are (``HARMLESS``).
    """

    __slots__ = ("catalogs", "harmless", "names", "own", "words")

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.words: list[str] = []
        self.catalogs: list[str] = []
        self.own = False
        self.harmless = True


def read_plainly(words: Sequence[str]) -> PlainWords | None:
    """What the words after ``install`` ask for; None where that is not plain."""
    plain = PlainWords()
    rest = iter(words)
    for word in rest:
        if not (_take_option(word, rest, plain) if word.startswith("-") else _take_requirement(word, plain)):
            return None
    return plain


def _take_option(word: str, rest: Iterator[str], plain: PlainWords) -> bool:
    """Whether an option asks for nothing; its value is taken from the rest."""
    if not word.startswith("--") and word not in _VALUES:
        plain.words.append(word)
        plain.harmless = plain.harmless and "I" not in word
        return word != "-" and _FLAGS.issuperset(word[1:])
    option, equals, value = word.partition("=")
    if option in OWN:
        return _take_own(option, value if equals else None, rest, plain)
    takes_value = option in pip_options.TAKES_VALUE
    if takes_value and not equals:
        value = next(rest, "")
    plain.words += [word] if equals or not takes_value else [word, value]
    plain.harmless = plain.harmless and (option in _HARMLESS_SHORT or option[2:] in HARMLESS)
    if option in _TELLING or (option in {"-c", "--constraint"} and not is_plain_constraints(value)):
        return False
    return takes_value or option in pip_options.FLAGS


def _take_own(option: str, value: str | None, rest: Iterator[str], plain: PlainWords) -> bool:
    plain.own = True
    if option in _LATER:
        return value is None
    if option not in _LATER_VALUES:
        return False
    value = next(rest, "") if value is None else value
    if option == "--fallbacks":
        plain.catalogs.append(value)
    return bool(value)


def _take_requirement(word: str, plain: PlainWords) -> bool:
    name = _name_in(word)
    if name is None or (word.endswith(".whl") and "://" not in word and not os.path.exists(word)):
        return False
    plain.names.add(name)
    plain.words.append(word)
    return True


def _name_in(word: str) -> str | None:
    """The name in one requirement: a bare name with extras and specifiers, or the path or URL of a wheel."""
    if word.endswith(".whl") and (_PATH.issuperset(word) or (word.startswith("http") and _URL.issuperset(word))):
        name, dash, _ = word.rpartition("/")[2].partition("-")
        return normalized(name) if dash and name and _NAME.issuperset(name) else None
    name = word
    for mark in " ,<=>!~*+[]":
        name = name.partition(mark)[0]
    if not name or not _NAME.issuperset(name) or not _REST.issuperset(word) or name.lower().endswith(_ARCHIVES):
        return None
    return None if name.startswith(".") else normalized(name)


def is_plain_constraints(path: str) -> bool:
    """Whether a file of constraints asks for nothing itself (with a ``-r``) and includes no other."""
    lines = lines_of(path)
    return bool(lines) and not any(line.lstrip().startswith("-") for line in lines)


def lines_of(path: str) -> list[str]:
    """The lines of a file; none where it cannot be read, of which pip itself complains."""
    if not os.path.exists(path):
        return []
    try:
        with open(path, encoding="utf-8") as file:
            return file.readlines()
    except (OSError, ValueError):
        return []


def normalized(name: str) -> str:
    """PEP 503, without the regular expression that it is written as: that alone is 7 ms of start-up."""
    return "-".join(filter(None, name.lower().replace("_", "-").replace(".", "-").split("-")))
