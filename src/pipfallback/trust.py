"""Who made a build."""

from __future__ import annotations

from enum import Enum


class Trust(Enum):
    """The trust level of a source, most trusted first (DESIGN 6)."""

    OFFICIAL = "official"
    VENDOR = "vendor"
    COMMUNITY = "community"

    @property
    def rank(self) -> int:
        """0 for the most trusted."""
        return list(Trust).index(self)
