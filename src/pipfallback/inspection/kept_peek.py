"""A peek as bytes, to be kept by hash or ETag, and read again."""

from __future__ import annotations

import json
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from pipfallback.builds import Metadata
from pipfallback.file_facts import GpuCode, SharedObject, facts_of
from pipfallback.inspection.peek import Peek

_FORM = 1  # rises whenever the readers learn something, so that what older ones kept is read anew


def to_bytes(found: Peek) -> bytes:
    """The peek as JSON. Of what an object offers only what others ask of it is kept, and what makes it a module."""
    asked = {symbol for one in found.facts.objects for symbol in one.undefined}
    form = {
        "form": _FORM,
        "objects": [_object_to_json(one, asked) for one in found.facts.objects],
        "metadata": found.metadata and _metadata_to_json(found.metadata),
    }
    return json.dumps(form, separators=(",", ":")).encode()


def from_bytes(content: bytes) -> Peek | None:
    """What ``to_bytes`` wrote; None for what another version wrote, or what is damaged. ``spent`` is 0."""
    try:
        form = json.loads(content)
        if form["form"] != _FORM:
            return None
        objects = [_object_from_json(one) for one in form["objects"]]
        metadata = form["metadata"] and _metadata_from_json(form["metadata"])
    except (ValueError, KeyError, TypeError, AttributeError, InvalidRequirement, InvalidSpecifier):
        return None
    return Peek(facts=facts_of(objects), metadata=metadata, spent=0)


def _object_to_json(one: SharedObject, asked: set[str]) -> dict[str, Any]:
    offered = {name for name in one.exported if name in asked or name.startswith("PyInit")}
    return {
        "name": one.name,
        "machine": one.machine,
        "known": one.known,
        "soname": one.soname,
        "needed": one.needed,
        "undefined": sorted(one.undefined),
        "weak": sorted(one.weak),
        "exported": sorted(offered),
        "versions": sorted(one.versions),
        "gpu": one.gpu
        and {"machine": sorted(one.gpu.machine), "isa": dict(one.gpu.ptx_isa), "complete": one.gpu.complete},
    }


def _object_from_json(form: dict[str, Any]) -> SharedObject:
    gpu = form["gpu"]
    code = gpu and GpuCode(
        machine=frozenset(gpu["machine"]), ptx=frozenset(gpu["isa"]), ptx_isa=gpu["isa"], complete=gpu["complete"]
    )
    return SharedObject(
        name=form["name"],
        machine=form["machine"],
        known=form["known"],
        soname=form["soname"],
        needed=tuple(form["needed"]),
        undefined=frozenset(form["undefined"]),
        weak=frozenset(form["weak"]),
        exported=frozenset(form["exported"]),
        versions=frozenset(form["versions"]),
        gpu=code,
    )


def _metadata_to_json(metadata: Metadata) -> dict[str, Any]:
    python = metadata.requires_python
    return {
        "name": metadata.name,
        "version": metadata.version,
        "python": None if python is None else str(python),
        "requires": [str(requirement) for requirement in metadata.requires],
    }


def _metadata_from_json(form: dict[str, Any]) -> Metadata:
    return Metadata(
        name=form["name"],
        version=form["version"],
        requires_python=None if form["python"] is None else SpecifierSet(form["python"]),
        requires=tuple(Requirement(text) for text in form["requires"]),
    )
