"""What a wheel's name, its folder and the catalog state of it, weighed into one reading.

The name's own words come first: they travel with the file. Then what the catalog states of the source (somebody looked),
then the URL's folders, nearest first ("whl/cu118/", "releases/download/v0.2.64-cu121/"), then digits that may mean
something else (Paddle's ".post112"), and last the publisher's habits. Folders of the user's own disk state nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from pipfallback.labels import (
    CPU,
    NO_LABEL,
    Accelerator,
    Label,
    TorchDigits,
    cuda_version,
    read_label,
    torch_from_digits,
)
from pipfallback.publishers import UNSAID_OF, unsaid_accelerator
from pipfallback.wheel_names import Project


class Evidence(NamedTuple):
    """What is stated, best source first. ``open_digits``: packed torch digits that only the Python tag may settle."""

    torch: str | None = None
    torch_minimum: bool = False
    open_digits: str | None = None
    vague_torch: bool = False
    accelerator: Accelerator | None = None
    cxx11_abi: bool | None = None
    archs: tuple[str, ...] | None = None

    @property
    def cuda(self) -> str | None:
        """The CUDA version, where the build is for CUDA."""
        return version_for(self.accelerator, "cuda")


def version_for(accelerator: Accelerator | None, kind: str) -> str | None:
    """The version of an accelerator of that kind, else None."""
    return accelerator.version if accelerator and accelerator.kind == kind else None


def named_kind(accelerator: Accelerator | None) -> str | None:
    """The kind of an accelerator where the fields cuda, rocm and cpu of a Build do not hold it."""
    if accelerator is None or is_cpu(accelerator) or (accelerator.version and accelerator.kind in {"cuda", "rocm"}):
        return None
    return accelerator.kind


def is_cpu(accelerator: Accelerator | None) -> bool:
    """Whether it says that the build is for the CPU only."""
    return accelerator is not None and accelerator.kind == CPU.kind


class Words(NamedTuple):
    """All that ``weigh`` looks at; hundreds of wheels have the same words, whatever their version and tags.

    ``project``, ``folder``, ``platform``: only where they say more than name and label do, else None and "".
    """

    name: str
    label: str
    build_tag: str
    folder: str
    platform: str
    project: Project | None


def has_habits(project: Project) -> bool:
    """Whether version, folder and platform of such a project say what those of others do not."""
    return project.name in _PROJECTS_WITH_HABITS


def words_of(project: Project, folder: str, platform: str) -> Words:
    """The words of a wheel: ``folder`` (its URL without the name; empty for a bare name), ``platform`` (its tags)."""
    if has_habits(project):
        return Words(project.name, project.label, project.build_tag, folder, platform, project)
    return Words(project.name, project.label, project.build_tag, _telling(folder), "", None)


@lru_cache(maxsize=8192)
def _telling(folder: str) -> str:
    return "" if read_folder(folder) == NO_LABEL else folder


def weigh(words: Words, stated: Label, digits: TorchDigits | None) -> Evidence:
    """All evidence of one wheel; ``stated`` is what the catalog says, ``digits`` how the publisher packs torch versions."""
    label = read_label(words.label)
    tag = _build_tag_label(words.build_tag)
    place = read_folder(words.folder)
    post, unsaid = _habits(words)
    accelerator = first_accelerator(
        (
            label.accelerator,
            name_accelerator(words.name),
            tag.accelerator,
            stated.accelerator,
            place.accelerator,
            post.accelerator,
            unsaid,
        )
    )
    torch, minimum, unsettled = None, False, None
    if words.name == "torch" and words.project:
        torch = words.project.version.public
    else:
        torch, minimum, unsettled = _first_torch(
            (label, tag, stated, place, post), digits, version_for(accelerator, "cuda")
        )
    return Evidence(
        torch=torch,
        torch_minimum=minimum,
        open_digits=unsettled,
        vague_torch=unsettled is not None or any(one.vague_torch for one in (label, tag, place)),
        accelerator=accelerator,
        cxx11_abi=place.cxx11_abi if label.cxx11_abi is None else label.cxx11_abi,
        archs=label.archs or stated.archs or place.archs or post.archs,
    )


def first_accelerator(stated: Iterable[Accelerator | None]) -> Accelerator | None:
    """The first that is stated; where only its kind is ("rocm"), with the first version that another states for it."""
    found = [one for one in stated if one]
    if not found:
        return None
    same_kind = (one for one in found if one.kind == found[0].kind and one.version)
    return next(same_kind, found[0]) if found[0].version is None else found[0]


def _first_torch(
    labels: Iterable[Label], digits: TorchDigits | None, cuda: str | None
) -> tuple[str | None, bool, str | None]:
    unsettled = None
    for label in labels:
        torch = label.torch
        if torch is None and label.torch_digits:
            torch = torch_from_digits(label.torch_digits, digits, cuda)
            unsettled = unsettled or label.torch_digits
        if torch:
            return torch, label.torch_minimum, None
    return None, False, unsettled


_PROJECTS_WITH_HABITS = UNSAID_OF | {"paddlepaddle-gpu", "tinycudann"}


def _habits(words: Words) -> tuple[Label, Accelerator | None]:
    """What the version of some projects states besides, and what goes without saying."""
    project = words.project
    if project is None:
        return NO_LABEL, None
    unsaid = unsaid_accelerator(words.folder, project.name, project.version, words.platform)
    return _post_label(project.name, project.version_text), unsaid


_BUILD_TAG = re.compile(r"(\d{3,4})\.(\d{3})")


def _build_tag_label(text: str) -> Label:
    """torch and CUDA in a build tag: "270.128" is torch 2.7.0 with CUDA 12.8 (woct0rdho, loscrossos: SageAttention)."""
    found = _BUILD_TAG.fullmatch(text) if text else None
    cuda = cuda_version(found[2]) if found else None
    torch = torch_from_digits(found[1], "major.minor.patch", cuda) if found else None
    if not (cuda and torch):
        return NO_LABEL
    return Label(torch=torch, accelerator=Accelerator(kind="cuda", version=cuda))


_IN_NAME = re.compile(
    r"(?:^|-)(?:(?:cuda|cu)(?P<cuda>\d{2,4})x?|rocm(?P<rocm>\d{1,3})?|(?P<kind>cpu|xpu|vulkan|metal))(?=-|$)"
)


@lru_cache(maxsize=4096)
def name_accelerator(name: str) -> Accelerator | None:
    """What a project's name states: "cupy-cuda12x", "spconv-cu120", "jax-rocm7-plugin", "pytorch-triton-xpu"."""
    found = _IN_NAME.search(name)
    if not found:
        return None
    if found["cuda"]:
        return _cuda(found["cuda"])
    if found["kind"]:
        return Accelerator(kind=found["kind"])
    return Accelerator(kind="rocm", version=".".join(found["rocm"]) if found["rocm"] else None)


_POST = re.compile(r"\.post(\d+)")
_ARCH_TORCH_CUDA = re.compile(r"(\d{1,2})(\d)(\d{3})(\d{3})")
_LAST_CUDA_10_MINOR = 2


def _post_label(name: str, version_text: str) -> Label:
    """What two projects write as the number of a post release.

    Paddle: ".post112" is CUDA 11.2; ".post107" and ".post97" are CUDA 10 and 9 with cuDNN 7. OutofAi's tinycudann:
    ".post75251124" is architecture 7.5, torch 2.5.1, CUDA 12.4.
    """
    found = _POST.search(version_text)
    packed = _ARCH_TORCH_CUDA.fullmatch(found[1]) if found and name == "tinycudann" else None
    if packed:
        return Label(torch_digits=packed[3], accelerator=_cuda(packed[4]), archs=(f"{packed[1]}.{packed[2]}",))
    if not found or name != "paddlepaddle-gpu" or len(found[1]) not in {2, 3}:
        return NO_LABEL
    digits = found[1]
    if digits[:2] == "10" and int(digits[2:] or 0) > _LAST_CUDA_10_MINOR:
        digits = digits[:2]
    return Label(accelerator=_cuda(digits) or _cuda(digits[:-1]))


def _cuda(digits: str) -> Accelerator | None:
    version = cuda_version(digits)
    return Accelerator(kind="cuda", version=version) if version else None


# What follows these is a release, a branch or a folder; before them stand the names of owners and repositories, where
# a word such as "cpu" says nothing of a single file.
_AFTER_REPOSITORY = frozenset({"releases", "resolve", "raw", "blob"})
_LONGEST_LABEL = 200


@lru_cache(maxsize=8192)
def read_folder(folder: str) -> Label:
    """What the folders of a URL state, nearest to the file first; nothing for a path."""
    if "://" not in folder or folder.startswith("file:"):
        return NO_LABEL
    components = [part for part in folder.split("/")[3:] if len(part) <= _LONGEST_LABEL]
    labels = [read_label(part) for part in components][::-1]
    if set(labels) <= {NO_LABEL}:
        return NO_LABEL
    torch = next((label for label in labels if label.torch or label.torch_digits), NO_LABEL)
    start = _last_of_repository(components)
    return Label(
        torch=torch.torch,
        torch_digits=torch.torch_digits,
        torch_minimum=torch.torch_minimum,
        vague_torch=any(label.vague_torch for label in labels),
        accelerator=first_accelerator(
            _folder_accelerator(part, inside_repository=index > start)
            for index, part in reversed(list(enumerate(components)))
        ),
        cxx11_abi=next((label.cxx11_abi for label in labels if label.cxx11_abi is not None), None),
        archs=next((label.archs for label in labels if label.archs), None),
    )


def _last_of_repository(components: Sequence[str]) -> int:
    """Where the path of a repository ends and that of its files begins; -1: nowhere."""
    return max((index for index, part in enumerate(components) if part in _AFTER_REPOSITORY), default=-1)


def _folder_accelerator(component: str, *, inside_repository: bool) -> Accelerator | None:
    """A version is always a statement; a bare word only where it cannot be a project's name ("rocm-jax", "cuda")."""
    stated = read_label(component).accelerator
    if stated is None or stated.version:
        return stated
    project = component.startswith(stated.kind) and component != stated.kind
    return stated if inside_repository and not project and stated.kind != "cuda" else None
