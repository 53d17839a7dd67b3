"""``pipfallback verify``: does what is installed now work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from pipfallback.catalog import Catalog
from pipfallback.environment import Environment, Installation
from pipfallback.installed import Installed, installed_in
from pipfallback.verify import Trial, Verdict, verify
from pipfallback.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One package and what its import showed; ``version`` is METADATA's, None where it is not installed."""

    name: str
    version: str | None
    verdict: Verdict


def check(
    names: Sequence[str],
    catalog: Catalog,
    environment: Environment,
    installation: Installation,
    *,
    timeout: float,
    view: View,
) -> Iterator[Check]:
    """Import each of ``names``, without names every managed package that is installed; ``timeout`` in seconds.

    ``view`` sees which is imported now.
    """
    installed = installed_in(dict.fromkeys((*installation.site_packages, installation.paths["purelib"])))
    known = [str(name) for name in installed if name in catalog.packages]
    wanted = [str(canonicalize_name(name)) for name in names] or sorted(known)
    for name in dict.fromkeys(wanted):
        there = installed.get(name)
        if there is None:
            yield Check(name=name, version=None, verdict=_missing(name))
            continue
        with view.doing(f"importing {name}"):
            verdict = verify(installation.executable, _trial(there, catalog, environment, timeout))
        yield Check(name=name, version=there.version, verdict=verdict)


def _missing(name: str) -> Verdict:
    hint = f"pipfallback install {name}"
    return Verdict(status="broken", cause="not-installed", message="it is not installed", hint=hint)


def _trial(there: Installed, catalog: Catalog, environment: Environment, timeout: float) -> Trial:
    files = tuple(path.name for path in there.files())
    package = catalog.packages.get(there.name)
    if package is None:
        return Trial(modules=there.importable_names(), files=files, timeout=timeout)
    return Trial(
        modules=package.imports_for(there.version),
        first=package.needs,
        smoke=package.smoke if environment.gpus else None,
        smoke_decides=not package.smoke_unproven,
        files=files,
        timeout=timeout,
    )
