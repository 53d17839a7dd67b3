"""torch: whether one is there, of the release that the build was made for, and with the same C++ ABI."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version

from pipfallback.builds import Build, TorchRule
from pipfallback.environment import Torch
from pipfallback.releases import is_published, minimum_beside, numbers, official_cxx11_abi, series_beside
from pipfallback.rules.cuda import is_for_cuda, is_for_rocm
from pipfallback.rules.values import Finding, Mismatch, Setting

_ABI_NAMES = {True: "new", False: "old"}


def torch_missing(build: Build, setting: Setting) -> Finding:
    """Refuse a build that is tied to torch where there is none and none will be."""
    if setting.may_be_tied_to_torch(build) and (is_for_cuda(build) or is_for_rocm(build)):
        return "whether it needs torch, and which, is not known"
    if setting.environment.torch is not None or not setting.tied_to_torch(build):
        return None
    if setting.environment.origins.get("torch") == "unknown":
        return "it needs torch; whether torch is here is not known"
    wanted = _named(build) if torch_of(build) else "torch"
    return Mismatch(rule="torch-missing", wanted=wanted, found="none", text="needs torch; none is installed")


def torch_version(build: Build, setting: Setting) -> Finding:
    """Refuse another release series than the build was made for; another patch where it pins one; an older one."""
    torch = setting.environment.torch
    if torch is None:
        return None
    if not setting.tied_to_torch(build):
        return _shelf_mark(build, torch)
    asked = torch_of(build)
    if asked is None:
        return "which torch it was built for is not stated"
    return {"series": _series, "exact": _exact, "minimum": _minimum}[rule_of(build)](asked, torch)


def torch_of(build: Build) -> str | None:
    """The torch that the build is for: as it states, else the one that a release of its package goes with."""
    return build.torch or series_beside(build.name, build.version) or minimum_beside(build.name, build.version)


def rule_of(build: Build) -> TorchRule:
    """How ``torch_of`` is meant."""
    return "minimum" if not build.torch and minimum_beside(build.name, build.version) else build.torch_rule


def cxx11_abi(build: Build, setting: Setting) -> Finding:
    """Refuse a build whose C++ ABI is known and not torch's. A label that is not known to be true only raises doubt.

    torch's is known where its libraries were read, and where its version is that of a wheel of torch's own project
    (``torch_abi``). That is no guess: such a wheel is one file with one ABI, which the release tables record.
    """
    torch = setting.environment.torch
    if torch is None or not abi_matters(build, setting):
        return None
    here, is_fact = torch_abi(torch, setting)
    if build.cxx11_abi is not None:
        return _abi_of_fact(build.cxx11_abi, here, torch, is_fact=is_fact)
    if build.cxx11_abi_label is None:
        return "which C++ ABI it was built with is not stated"
    if here is None:
        return "which C++ ABI torch here has is not known"
    claim = f"its name says the {_ABI_NAMES[build.cxx11_abi_label]} C++ ABI, which is not known to be true"
    if build.cxx11_abi_label == here:
        return claim
    return f"{claim}; torch {torch.version} here has the {_ABI_NAMES[here]} one"


def abi_matters(build: Build, setting: Setting) -> bool:
    """Whether the C++ ABI decides: on Linux (MSVC and macOS have one), for C++ that calls torch's own."""
    if not setting.linux or not setting.tied_to_torch(build):
        return False
    # The stable ABI of torch is C: a build for "this or any newer" torch has no C++ names in common with it.
    return rule_of(build) != "minimum" or build.cxx11_abi is not None


def torch_abi(torch: Torch, setting: Setting) -> tuple[bool | None, bool]:
    """The C++ ABI of the torch here, and whether that is a fact or only what the official wheel of that name has.

    A label such as +cu124 is given by torch's own project alone. A release without one is PyPI's where pip will bring it
    or where it was described to us; one that was found may be conda's, which has the same name and another ABI.
    Nightlies, NVIDIA's and source builds are never taken for official wheels.
    """
    if torch.cxx11_abi is not None:
        return torch.cxx11_abi, True
    official = official_cxx11_abi(torch.version, torch.cuda, setting.environment.platform)
    told = "+" in torch.version or setting.environment.origins.get("torch") in ("declared", "planned")
    return official, told and is_published(torch.version, torch.cuda)


def torch_distance(build: Build, setting: Setting) -> int:
    """How near the build's torch is to the one here: 0 the same patch, 1 the same series, 2 another patch of it.

    From 3 on another series, more the further away it is; 3 also where one of the two is not known.
    """
    torch, own = setting.environment.torch, torch_of(build)
    if torch is None or own is None:
        return 3
    asked, here = numbers(own), numbers(torch.version)
    if asked[:2] != here[:2]:
        (major, minor), (own_major, own_minor) = (*asked, 0)[:2], (*here, 0)[:2]
        return 3 + 100 * abs(major - own_major) + abs(minor - own_minor)
    if len(asked) < 3:
        return 1
    return 0 if asked == here else 2


def _shelf_mark(build: Build, torch: Torch) -> Finding:
    """A torch in the name of a package that is tied to none is a mark of the shelf it lies on, and no reason to refuse."""
    if build.torch is None or build.name == "torch" or numbers(build.torch)[:2] == numbers(torch.version)[:2]:
        return None
    return f"its name says torch {build.torch}; the catalog says that the package is not tied to torch"


def _series(asked: str, torch: Torch) -> Finding:
    if numbers(asked)[:2] != numbers(torch.version)[:2]:
        return _refused(asked, torch, f"built for torch {asked}")
    return _doubt_of_prerelease(asked, torch)


def _exact(asked: str, torch: Torch) -> Finding:
    try:
        same = Version(asked).__replace__(local=None) == Version(torch.version).__replace__(local=None)
    except InvalidVersion:
        same = asked == torch.version.partition("+")[0]
    return None if same else _refused(asked, torch, f"built for exactly torch {asked}")


def _minimum(asked: str, torch: Torch) -> Finding:
    wanted, here = numbers(asked), numbers(torch.version)
    if here < wanted[: len(here)]:
        return _refused(f">={asked}", torch, f"built for torch {asked} or newer")
    return _doubt_of_prerelease(asked, torch) if here[:2] == wanted[:2] else None


def _doubt_of_prerelease(asked: str, torch: Torch) -> Finding:
    """Two snapshots of one series, or a snapshot and the release, may differ; only the same version surely does not."""
    version = torch.version.partition("+")[0]
    if asked == version or not (_is_prerelease(version) or _is_prerelease(asked)):
        return None
    return f"built for torch {asked}; torch {version} here is another state of that release"


def _is_prerelease(version: str) -> bool:
    try:
        return Version(version).is_prerelease
    except InvalidVersion:
        return False


def _abi_of_fact(built: bool, here: bool | None, torch: Torch, *, is_fact: bool) -> Finding:
    if here is None:
        return "which C++ ABI torch here has is not known"
    if built == here:
        return None
    text = f"built with the {_ABI_NAMES[built]} C++ ABI; torch {torch.version.partition('+')[0]} here has the {_ABI_NAMES[here]} one"
    if not is_fact:
        return f"{text}, if it is the official wheel"
    return Mismatch(rule="cxx11-abi", wanted=str(built).upper(), found=str(here).upper(), text=text)


def _refused(wanted: str, torch: Torch, claim: str) -> Mismatch:
    here = torch.version.partition("+")[0]
    return Mismatch(rule="torch-version", wanted=wanted, found=here, text=f"{claim}; torch here is {here}")


def _named(build: Build) -> str:
    return f">={torch_of(build)}" if rule_of(build) == "minimum" else str(torch_of(build))
