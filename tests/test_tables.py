"""The table of ``env``: what counts, and where each fact comes from, in wide and in narrow terminals."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from pipfallback.environment import Environment, with_torch
from pipfallback.machine import Torch
from pipfallback.tables import environment_table

FOUND = dict.fromkeys(("python", "platform", "glibc", "torch", "driver", "gpus"), "found")
HERE = replace(
    Environment.from_json({
        "python": {"version": "3.11.7", "executable": "/opt/venv/bin/python"},
        "platform": "linux_x86_64",
        "glibc": "2.36",
    }),
    origins=FOUND,
)  # fmt: skip


def shown(environment: Environment, width: int = 80) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(environment_table(environment))
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_every_fact_stands_beside_its_origin() -> None:
    planned = with_torch(HERE, Torch(version="2.7.1", cuda="12.6"), origin="planned")
    declared = replace(planned, declared_by={"glibc": "--glibc"}, origins={**planned.origins, "glibc": "declared"})
    assert shown(declared) == [
        "python       CPython 3.11 (3.11.7)  found",
        "             /opt/venv/bin/python",
        "platform     linux_x86_64           found",
        "libc         glibc 2.36             declared by --glibc",
        "torch        2.7.1                  planned",
        "  CUDA       12.6                   planned",
        "  C++11 ABI  unknown",
        "driver       none                   found",
        "GPUs         none                   found",
    ]


def test_in_a_narrow_terminal_the_origin_follows_the_value() -> None:
    declared = replace(HERE, declared_by={"platform": "--platform"}, origins={**FOUND, "platform": "declared"})
    lines = shown(declared, 40)
    assert lines[2:] == [
        "platform  linux_x86_64  declared by",
        "          --platform",
        "libc      glibc 2.36  found",
        "torch     none  found",
        "driver    none  found",
        "GPUs      none  found",
    ]


def test_nothing_found_is_none_and_not_looked_for_is_unknown() -> None:
    assert shown(HERE)[-3:] == [
        "torch     none                   found",
        "driver    none                   found",
        "GPUs      none                   found",
    ]
    unknown = replace(HERE, origins={**FOUND, **dict.fromkeys(("torch", "driver", "gpus"), "unknown")})
    assert shown(unknown)[-3:] == ["torch     unknown", "driver    unknown", "GPUs      unknown"]


@pytest.mark.parametrize(
    ("torch", "line"),
    [
        (Torch(version="2.7.1+cpu", cpu=True), "  CUDA       none"),
        (Torch(version="2.7.1+cu126", cuda="12.6"), "  CUDA       12.6"),
        (Torch(version="2.7.1+rocm6.3", rocm="6.3"), "  ROCm       6.3"),
        (Torch(version="2.7.1"), "  CUDA       unknown"),
    ],
)
def test_what_torch_computes_on_is_one_line(torch: Torch, line: str) -> None:
    lines = shown(with_torch(HERE, torch, origin="found"))
    (found,) = (each for each in lines if "CUDA" in each or "ROCm" in each)
    assert found.split()[:2] == line.split()
