"""What rules take and give: Policy, Setting, Mismatch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from packaging.specifiers import SpecifierSet
from packaging.tags import Tag

from pipfallback.builds import Build
from pipfallback.environment import Environment
from pipfallback.releases import TORCH_EXTENSIONS
from pipfallback.same import Same
from pipfallback.trust import Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One broken rule of DESIGN 5. ``wanted``: what the build needs; ``found``: what is here; ``text``: a sentence."""

    rule: str
    wanted: str
    found: str
    text: str


# A rule finds a mismatch (refuses), a doubt (a sentence that keeps the build from *fits*), or nothing.
Finding = Mismatch | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the user and the catalog ask of a build, besides the environment.

    ``needs``: what the package is tied to, as the catalog says ("torch",); (): to nothing, a torch in a name is only a
    shelf mark; None: the package is not in the catalog, and names are taken at their word. ``specifier``: of the
    request (PEP 440). ``hashes``: the lower-case sha256 that are allowed, where hashes are required.
    """

    trust: Trust = Trust.VENDOR
    needs: tuple[str, ...] | None = None
    specifier: SpecifierSet | None = None
    hashes: frozenset[str] | None = None


# One machine is asked about many packages.
@lru_cache(maxsize=32)
def _places(tags: Same[tuple[Tag, ...]]) -> Mapping[Tag, int]:
    return {tag: place for place, tag in reversed(list(enumerate(tags.thing)))}


@lru_cache(maxsize=32)
def _platforms(tags: Same[tuple[Tag, ...]]) -> frozenset[str]:
    return frozenset(tag.platform for tag in tags.thing)


@dataclass(frozen=True, kw_only=True)  # no slots: cached_property keeps its values in __dict__
class Setting:
    """An environment and a policy, with what the rules look up in them again and again."""

    environment: Environment
    policy: Policy

    @cached_property
    def tag_places(self) -> Mapping[Tag, int]:
        """Each tag of the environment with its place, 0 for the preferred one."""
        return _places(Same(self.environment.tags))

    @cached_property
    def platforms(self) -> frozenset[str]:
        """The platform tags that the environment accepts."""
        return _platforms(Same(self.environment.tags))

    @property
    def linux(self) -> bool:
        """Whether the environment is Linux, glibc or musl."""
        return "linux" in self.environment.platform

    def tied_to_torch(self, build: Build) -> bool:
        """Whether the build works only beside a torch that fits it: so the catalog, its METADATA or its name says.

        A name says it with a torch, be it unreadable, and with a C++ ABI, which is torch's; some names are well known.
        """
        if build.name == "torch":
            return False
        needs = self.policy.needs
        if needs is None and (build.vague_torch or build.torch is not None or build.name in TORCH_EXTENSIONS):
            return True
        if needs is None and (build.cxx11_abi is not None or build.cxx11_abi_label is not None):
            return True
        return "torch" in (needs or ()) or any(requirement.name == "torch" for requirement in build.requires)

    def may_be_tied_to_torch(self, build: Build) -> bool:
        """Whether nobody says if the build is tied to torch: the catalog does not know it, and it names none."""
        return self.policy.needs is None and build.name != "torch" and not self.tied_to_torch(build)


Rule = Callable[[Build, Setting], Finding]
