"""pip install that does not stop at the first wheel that will not do.

The names in ``__all__`` are the public interface, for programs that want the decisions without the installing:
``docs/api.md`` shows them at work. Everything else may change.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own is half of Python's start-up
if TYPE_CHECKING:
    from typing import Any

    from pipfallback.builds import Build, Candidate, LabelHints, Metadata, read_build, with_metadata
    from pipfallback.catalog import Catalog, Package, Source
    from pipfallback.catalog_reader import load as load_catalog
    from pipfallback.compatibility import Decision, Mismatch, Policy, judge, judge_all
    from pipfallback.environment import Driver, Environment, Gpu, Python, Torch, probe
    from pipfallback.errors import PipfallbackError
    from pipfallback.nearest import what_would_change
    from pipfallback.ranking import Wish, rank
    from pipfallback.sources import candidates
    from pipfallback.trust import Trust
    from pipfallback.version import __version__
    from pipfallback.wheel_names import UnreadableFilenameError

__all__ = [
    "Build",
    "Candidate",
    "Catalog",
    "Decision",
    "Driver",
    "Environment",
    "Gpu",
    "LabelHints",
    "Metadata",
    "Mismatch",
    "Package",
    "PipfallbackError",
    "Policy",
    "Python",
    "Source",
    "Torch",
    "Trust",
    "UnreadableFilenameError",
    "Wish",
    "__version__",
    "candidates",
    "judge",
    "judge_all",
    "load_catalog",
    "probe",
    "rank",
    "read_build",
    "what_would_change",
    "with_metadata",
]

# Loaded when they are asked for: a command that is only passed on to pip pays for none of them.
_HOMES = {
    "builds": ("Build", "Candidate", "LabelHints", "Metadata", "read_build", "with_metadata"),
    "catalog": ("Catalog", "Package", "Source"),
    "compatibility": ("Decision", "Mismatch", "Policy", "judge", "judge_all"),
    "environment": ("Driver", "Environment", "Gpu", "Python", "Torch", "probe"),
    "errors": ("PipfallbackError",),
    "nearest": ("what_would_change",),
    "ranking": ("Wish", "rank"),
    "sources": ("candidates",),
    "trust": ("Trust",),
    "version": ("__version__",),
    "wheel_names": ("UnreadableFilenameError",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    from importlib import import_module  # start-up: only for programs that use us as a library

    if name == "load_catalog":
        return import_module("pipfallback.catalog_reader").load
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"pipfallback.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
