"""pip's installation report (``--report``) of a command that took several runs of pip: written once, whole.

Source: pip.pypa.io/en/stable/reference/installation-report.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from pipfallback.asks import Asks
from pipfallback.requests import without_credentials

_OPTION = "--report"


def redirected(asks: Asks, folder: Path) -> Asks:
    """The command whose runs of pip write their report into ``folder``; as it is where it wants none."""
    items = tuple(
        replace(item, words=(_OPTION, str(folder / "report.json"))) if item.name == _OPTION else item
        for item in asks.command.items
    )
    if items == asks.command.items:
        return asks
    elements = {id(old): new for old, new in zip(asks.command.items, items, strict=True)}
    return replace(
        asks,
        command=replace(asks.command, items=items),
        elements=tuple(
            replace(element, item=elements.get(id(element.item), element.item)) for element in asks.elements
        ),
    )


def words_alone(asks: Asks, name: str, folder: Path) -> tuple[str, ...]:
    """pip's words for the run that installs one package alone; none where no report is wanted."""
    return (_OPTION, str(_alone(name, folder))) if asks.command.values(_OPTION) else ()


def _alone(name: str, folder: Path) -> Path:
    return folder / f"report-{name}.json"


def whole(asks: Asks, settled: Mapping[str, str], folder: Path) -> dict[str, Any] | None:
    """The report of all runs; None where none was wanted, or pip wrote none.

    ``settled``: the packages (names) that were installed alone, with the URLs that they really came from.
    """
    if not asks.command.values(_OPTION):
        return None
    last = _read(folder / "report.json")
    alone = {name: report for name in settled if (report := _read(_alone(name, folder))) is not None}
    first = last or next(iter(alone.values()), None)
    if first is None:
        return None
    install = [each for name, report in alone.items() for each in _entries(report["install"], name, settled[name])]
    install += [] if last is None else [each for each in last["install"] if _name(each) not in alone]
    return {**first, "install": install}


def _entries(found: Iterable[dict[str, Any]], name: str, location: str) -> Iterable[dict[str, Any]]:
    for each in found:
        if _name(each) == name:
            url = location if "://" in location else Path(location).absolute().as_uri()
            yield {
                **each,
                "download_info": {**each["download_info"], "url": without_credentials(url)},
                "requested": True,
            }


def _name(entry: Mapping[str, Any]) -> str:
    return canonicalize_name(entry["metadata"]["name"])


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report
