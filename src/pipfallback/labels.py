"""The grammar of build labels: ``cu128torch2.9cxx11abiTRUE`` and its many relatives, read into a Label.

A label is words, each at the start, behind a separator, or glued to a word that was understood. What is not understood
swallows everything up to the next separator, so that a git hash, a date or a stranger's word never turns into a version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

from pipfallback import releases

TorchDigits = Literal["major.minor", "major.minor.patch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """What a build runs on: ``kind`` is "cuda", "rocm", "cpu", "xpu", "metal", "vulkan", "musa", "ascend" ...

    ``version`` is as precise as stated ("12", "12.8", "6.2.4"); None where only the kind is.
    """

    kind: str
    version: str | None = None


class Label(NamedTuple):
    """What one label says. None is "says nothing", or nothing that can be read.

    ``torch`` is a version with dots, ``torch_digits`` one without ("210"), which ``torch_from_digits`` settles.
    ``torch_minimum``: that version or any newer. ``vague_torch``: a torch is named, but which one cannot be read.
    ``cxx11_abi`` and ``archs`` as in Build.
    """

    torch: str | None = None
    torch_digits: str | None = None
    torch_minimum: bool = False
    vague_torch: bool = False
    accelerator: Accelerator | None = None
    cxx11_abi: bool | None = None
    archs: tuple[str, ...] | None = None


NO_LABEL = Label()
CPU = Accelerator(kind="cpu")

_SEPARATOR = r"[._+\-\s]"
_END = rf"(?=$|{_SEPARATOR})"
# The last number of a version must not be the beginning of a git hash ("rocm6.1.4d510c3a44" is 6.1 and a hash),
# but a date may follow it ("torch2.10.0d20260328").
_NO_HASH = rf"(?!\d|(?!d20\d{{6}})[0-9a-f]{{3,}}{_END})"
_NUMBER = rf"(?:\d{{3,4}}(?!\d)|\d{{1,2}}(?!\d)(?:\.\d{{1,2}}{_NO_HASH}(?:\.\d{{1,3}}{_NO_HASH})?)?)"
_ARCH = rf"(?:[3-9]\d|1[0-2]\d)(?!\d)(?:[af](?=$|{_SEPARATOR}|sm|nvcc))?"

_SKIPPED = (
    rf"{_SEPARATOR}+|full(?=sm)",
    r"(?:py|cp)[23]\d{0,2}(?!\d)t?",
    r"[0-9a-f]{6,40}(?=(?:pt|torch|cu(?:da)?)\d)",  # a commit glued in front: 2a420edpt2.1.1cu121
    r"d?(?:19|20)\d{6}(?!\d)",  # the date of a dirty tree (setuptools_scm)
    rf"git_?[0-9a-f]*{_END}|g?[0-9a-f]{{6,64}}{_END}",
)
_CUDA = rf"cu(?:da)?[._\-]?(?P<cuda>{_NUMBER})x?"
_COMPILER = rf"nvcc[._\-]?(?P<nvcc>{_NUMBER})"
_TORCH_VERSION = (
    rf"\d{{1,2}}\.\d{{1,2}}(?!\d)(?:\.\d{{1,2}}{_NO_HASH}(?:\.?dev\d+|(?:a|b|rc)\d(?=$|{_SEPARATOR}|cu|cxx))?)?"
)
_TORCH = rf"(?:(?:py)?torch|pyt|pt)[._\-]?v?(?:(?P<torch>{_TORCH_VERSION})|(?P<digits>\d{{2,4}})(?!\d))"
_OR_NEWER = r"(?P<minimum>(?:and|or)(?:higher|above|newer|later|up)|plus)?"
_ROCM_VERSION = rf"\d{{1,2}}\.\d{{1,2}}(?!\d)(?:\.\d{{1,2}}{_NO_HASH})?|\d{{1,3}}(?!\d)"
_ROCM = rf"(?:rocm|hip)[._\-]?(?:rel[._\-])?v?(?P<rocm>{_ROCM_VERSION})"
_KINDS = "cpu|rocm|cuda|xpu|vulkan|metal|ascend|npu|sycl|tpu|hpu|mlu"
_KIND = rf"(?P<kind>{_KINDS})(?:only|sdk|basic|avx\d*)?(?![a-z])|(?P<glued>cpu|xpu)(?=torch\d|pt\d|cxx11)"
_MUSA = r"(?P<musa>musa(?:\d(?:\.?\d)?)?)(?![a-z0-9])"
_OLD_ABI = r"(?P<old_abi>pre[._\-]?cxx11[._\-]?abi)"
_ABI = r"(?:cxx11[._\-]?)?abi[._\-]?(?P<abi>true|false)|cxx11[._\-]?abi(?P<abi_digit>[01]?)(?!\d)"
_ARCHS = rf"(?:sm|arch|compute)_?(?P<archs>{_ARCH}(?:\.{_ARCH}{_END})*)"
_JUNK = r"(?P<junk>[^._+\-\s]+)"

# In this order: the first that matches is taken.
_WORD = re.compile(
    "|".join((*_SKIPPED, _CUDA, _COMPILER, _TORCH + _OR_NEWER, _ROCM, _KIND, _MUSA, _OLD_ABI, _ABI, _ARCHS, _JUNK))
)
# Without one of these a text says nothing ("v2.8.3", "releases"): every word above that states something holds one.
_STATES = re.compile(rf"cu|nvcc|pt|pyt|torch|rocm|hip|{_KINDS}|musa|abi|sm|arch|compute")


@dataclass(slots=True, kw_only=True)
class _Statements:
    """Everything that a label states, before contradictions are found."""

    torch: list[str] = field(default_factory=list)
    digits: list[str] = field(default_factory=list)
    minimum: bool = False
    named: bool = False
    accelerators: list[Accelerator] = field(default_factory=list)
    compiler: list[str] = field(default_factory=list)
    abi: set[bool] = field(default_factory=set)
    archs: list[str] = field(default_factory=list)

    def torch_versions(self) -> tuple[str | None, str | None]:
        """The torch with dots, and the one without; the latter counts only where there is none of the former."""
        return agreed(self.torch), None if self.torch else agreed(self.digits)

    def all_accelerators(self) -> list[Accelerator]:
        """What it runs on; the compiler's CUDA counts only where no other is named."""
        if not self.compiler or any(one.kind == "cuda" for one in self.accelerators):
            return self.accelerators
        return [*self.accelerators, *[_accelerator("cuda", version) for version in self.compiler]]


@lru_cache(maxsize=16384)
def read_label(text: str) -> Label:
    """Read a local version, a folder's name or a release tag; letter case does not matter.

    Two statements that contradict each other are none.
    """
    text = text.lower()
    if not _STATES.search(text):
        return NO_LABEL
    said = _Statements()
    for word in _WORD.finditer(text):
        if word.lastgroup in _NOTES:
            _NOTES[word.lastgroup](said, word)
    torch, digits = said.torch_versions()
    return Label(
        torch=torch,
        torch_digits=digits,
        torch_minimum=said.minimum and (torch is not None or bool(said.digits)),
        vague_torch=said.named and torch is None and digits is None,
        accelerator=_agreed_accelerator(said.all_accelerators()),
        cxx11_abi=said.abi.pop() if len(said.abi) == 1 else None,
        archs=tuple(dict.fromkeys(said.archs)) or None,
    )


@lru_cache(maxsize=1024)
def _accelerator(kind: str, version: str | None) -> Accelerator:
    return Accelerator(kind=kind, version=version)


def _note_cuda(said: _Statements, word: re.Match[str]) -> None:
    if version := cuda_version(word["cuda"]):
        said.accelerators.append(_accelerator("cuda", version))


def _note_compiler(said: _Statements, word: re.Match[str]) -> None:
    if version := cuda_version(word["nvcc"]):
        said.compiler.append(version)


def _note_torch(said: _Statements, word: re.Match[str]) -> None:
    said.named = True
    said.minimum = said.minimum or word["minimum"] is not None
    if word["digits"]:
        said.digits.append(word["digits"])
    elif _is_torch_series(word["torch"]):
        said.torch.append(word["torch"])


def _note_rocm(said: _Statements, word: re.Match[str]) -> None:
    said.accelerators.append(_accelerator("rocm", _dotted(word["rocm"])))


def _note_musa(said: _Statements, word: re.Match[str]) -> None:
    said.accelerators.append(_accelerator("musa", _dotted(word["musa"].removeprefix("musa")) or None))


def _note_kind(said: _Statements, word: re.Match[str]) -> None:
    said.accelerators.append(_accelerator(word["kind"] or word["glued"], None))


def _note_old_abi(said: _Statements, _: re.Match[str]) -> None:
    said.abi.add(False)


def _note_abi(said: _Statements, word: re.Match[str]) -> None:
    said.abi.add(word["abi"] != "false" and word["abi_digit"] != "0")


def _note_archs(said: _Statements, word: re.Match[str]) -> None:
    said.archs += [f"{arch[: _minor_at(arch)]}.{arch[_minor_at(arch) :]}" for arch in word["archs"].split(".")]


# What to do with a word, by the name of its last group. Not here: what is skipped, and junk.
_NOTES: Mapping[str | None, Callable[[_Statements, re.Match[str]], None]] = {
    "cuda": _note_cuda,
    "nvcc": _note_compiler,
    "torch": _note_torch,
    "digits": _note_torch,
    "minimum": _note_torch,
    "rocm": _note_rocm,
    "kind": _note_kind,
    "glued": _note_kind,
    "musa": _note_musa,
    "old_abi": _note_old_abi,
    "abi": _note_abi,
    "abi_digit": _note_abi,
    "archs": _note_archs,
}


def _minor_at(arch: str) -> int:
    """Where the minor number of an architecture begins: its last digit ("90a" is 9.0a, "120" is 12.0)."""
    return len(arch.rstrip("af")) - 1


def _dotted(text: str) -> str:
    """ROCm and MUSA glue one digit a part: "62" is 6.2, "561" is 5.6.1."""
    return text if "." in text else ".".join(text)


def agreed(versions: Iterable[str]) -> str | None:
    """The most precise of versions that agree ("12", "12.8" -> "12.8"); None where two contradict each other."""
    distinct = list(dict.fromkeys(versions))
    if len(distinct) == 1:
        return distinct[0] or None
    best: list[str] = []
    for version in distinct:
        parts = version.split(".")
        shorter = min(len(parts), len(best))
        if parts[:shorter] != best[:shorter]:
            return None
        best = max(best, parts, key=len)
    return ".".join(best) or None


def _agreed_accelerator(stated: list[Accelerator]) -> Accelerator | None:
    if len(stated) == 1:
        return stated[0]
    kinds = {one.kind for one in stated}
    if len(kinds) != 1:
        return None
    versions = [one.version for one in stated if one.version]
    version = agreed(versions)
    return None if versions and not version else Accelerator(kind=kinds.pop(), version=version)


_TWO_DIGIT_RELEASES = {"75", "80", "90", "91", "92"}  # CUDA 7.5 to 9.2 (pytorch.org/get-started/previous-versions)


@lru_cache(maxsize=1024)
def cuda_version(text: str) -> str | None:
    """The CUDA version that a label's number means: "121" is 12.1, "92" is 9.2, "12" is 12, "12.8.1" is 12.8.

    Four digits ("1210") are 12.10 or 12.1.0: only the major is sure. None: no CUDA had such a number.
    """
    if "." in text:
        major, minor = text.split(".")[:2]
    elif text in _TWO_DIGIT_RELEASES:
        major, minor = text[0], text[1]
    elif len(text) == 3:
        major, minor = text[:2], text[2]
    else:
        major, minor = text[:2], ""
    if not 5 <= int(major) <= 29:
        return None
    return f"{int(major)}.{int(minor)}" if minor else major


_KNOWN = frozenset(releases.torch_series())
_NEWEST = releases.numbers(releases.torch_series()[-1])
_LAST_PATCH = 2  # of any torch since 1.0 (file names on PyPI)
_FORESEEABLE = 10  # minor releases ahead of the tables; a number beyond that is something else ("271" is 2.7.1)


def _is_torch_series(version: str) -> bool:
    """Whether torch can have such a version: 25.09 is the month of an NVIDIA container, 2.71 is 2.7.1 without a dot."""
    major, minor = releases.numbers(version)[:2]
    return (major, minor) <= (_NEWEST[0], _NEWEST[1] + _FORESEEABLE) or (major == _NEWEST[0] + 1 and minor < 10)


@lru_cache(maxsize=4096)
def torch_from_digits(
    digits: str,
    convention: TorchDigits | None = None,
    cuda: str | None = None,
    python: str | None = None,
) -> str | None:
    """The torch that packed digits mean: "27" is 2.7, "280" is 2.8.0, "2100" is 2.10.0.

    "210" is 2.10 or 2.1.0: ``convention`` (the publisher's) settles it, else what exists: which of the two was
    published with ``cuda`` ("12.8", or "12") and for ``python`` ("3.12"). None: still open, or no torch at all.
    """
    possible = _torch_readings(digits)
    if len(possible) < 2:
        return next(iter(possible.values()), None)
    if convention:
        return possible[convention]
    judged = {version: _published(version, cuda, python) for version in possible.values()}
    for wanted in (True, None):
        matching = [version for version, answer in judged.items() if answer is wanted]
        if matching:
            return matching[0] if len(matching) == 1 and _series(matching[0]) in _KNOWN else None
    return None


def _torch_readings(digits: str) -> dict[TorchDigits, str]:
    """How digits can be read, by convention."""
    major, rest = digits[0], digits[1:]
    readings: dict[TorchDigits, str]
    if len(rest) == 1:
        readings = {"major.minor": f"{major}.{rest}"}
    elif len(rest) == 3:
        readings = {"major.minor.patch": f"{major}.{rest[:2]}.{rest[2]}"}
    else:
        readings = {"major.minor": f"{major}.{rest}", "major.minor.patch": f"{major}.{rest[0]}.{rest[1]}"}
    if len(rest) == 2 and int(rest[1]) > _LAST_PATCH:
        del readings["major.minor.patch"]
    return {form: version for form, version in readings.items() if _can_exist(version)}


def _series(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _can_exist(version: str) -> bool:
    """A series that the tables know, an older one (one digit), or one that can come soon."""
    series = _series(version)
    major, minor = releases.numbers(series)
    if series in _KNOWN or (major <= _NEWEST[0] and minor < 10):
        return not series.split(".")[1].startswith("0") or minor == 0
    return (_NEWEST[0], _NEWEST[1]) < (major, minor) and _is_torch_series(series)


def _published(version: str, cuda: str | None, python: str | None) -> bool | None:
    """Whether the torch of a label exists with this CUDA and Python; None where neither says it."""
    series = _series(version)
    answers = []
    if python:
        answers.append(releases.torch_for_python(series, python))
    if cuda and "." in cuda:
        answers.append(releases.torch_with_cuda(series, cuda))
    elif cuda:
        minors = {releases.torch_with_cuda(series, f"{cuda}.{minor}") for minor in range(10)}
        answers.append(True if True in minors else (None if None in minors else False))
    if False in answers:
        return False
    return True if True in answers or (not answers and series in _KNOWN) else None
