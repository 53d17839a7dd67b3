"""What a source is asked with: for which environment, over which network, under which of pip's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from packaging.specifiers import SpecifierSet

from pipfallback.environment import Environment
from pipfallback.net.pages import Pages

PYPI = "https://pypi.org/simple"  # pip's default for --index-url


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What the kinds of sources need to list builds for one request.

    ``specifier``: the request's; it decides whether yanked files count (PEP 592). ``index_url``, ``extra_index_urls``,
    ``find_links``: pip's settings, for sources that mean pip's own index. ``offline``: no index is asked (pip's
    ``--no-index``); that the rest comes from the cache is the business of ``pages``. ``environ``: where tokens and
    mirrors are read from (GITHUB_TOKEN, HF_TOKEN, HF_ENDPOINT ...). ``deadline``: seconds until what has answered counts.
    """

    environment: Environment
    pages: Pages
    specifier: SpecifierSet = field(default_factory=SpecifierSet)
    allow_build: bool = False
    offline: bool = False
    index_url: str = PYPI
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    deadline: float = 20.0
