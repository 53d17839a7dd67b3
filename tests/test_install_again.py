"""Runs after runs: what was verified is remembered, and what another run did in the meantime is seen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lib.extensions import working_extension
from lib.scene import NAME, WORKS, Scene
from lib.torch import make_torch
from lib.venvs import native_tag
from lib.wheels import make_wheel


def imports_counted(scene: Scene) -> Path:
    """A flash_attn on the server that leaves a line here for each time that it is imported."""
    count = scene.folder / "imported"
    code = f"{WORKS['flash_attn/__init__.py']}open({str(count)!r}, 'a').write('x')\n"
    files = {"flash_attn/__init__.py": code, **working_extension(python=scene.python)}
    tag = native_tag(scene.python)
    make_wheel(scene.server.folder, NAME, "2.8.3", filename_version="2.8.3+cu126torch2.7", tag=tag, files=files)
    scene.catalog("/".join((scene.server.url, f"{NAME}-2.8.3+cu126torch2.7-{tag}.whl")))
    return count


def test_what_was_verified_is_not_tried_again_until_something_changes(scene: Scene) -> None:
    count = imports_counted(scene)
    for _ in range(3):
        assert scene.install("flash-attn").code == 0
    assert count.read_text() == "x"
    assert scene.outcome()["installed"]["verified"] == "imports"
    another = make_wheel(scene.folder, "another", "1.0", files={"another.py": ""})
    assert scene.pip("install", "--no-index", another).code == 0
    assert scene.install("flash-attn").code == 0
    assert count.read_text() == "xx", "what it imports may be another now"


def test_a_file_that_changed_after_it_was_verified_is_tried_again(scene: Scene) -> None:
    count = imports_counted(scene)
    assert scene.install("flash-attn").code == 0
    module = scene.site / "flash_attn" / "__init__.py"
    module.write_text(module.read_text() + "# touched\n")
    assert scene.install("flash-attn").code == 0
    assert count.read_text() == "xx"


def test_what_waited_for_another_run_sees_what_that_has_brought(scene: Scene) -> None:
    """The other run changes torch while this one waits for it: the build must be one for the new torch."""
    scene.catalog(scene.wheel("+cu126torch2.7"), scene.wheel("+cu124torch2.6"))
    gate = scene.folder / "gate"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(prefix=str(scene.prefix), site=str(scene.site), gate=str(gate))],
        env={**os.environ, **scene.environ},
        stdout=subprocess.PIPE,
    )
    with holder, ThreadPoolExecutor() as pool:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        waiting = pool.submit(scene.install, "flash-attn")
        assert scene.pip("install", "--no-index", make_torch(scene.folder / "other", "2.6.0+cu124")).code == 0
        time.sleep(3)  # by now the waiting run has seen the old torch, and says that it waits
        gate.touch()
        done = waiting.result()
    assert done.code == 0, done.said
    assert "waiting for another pipfallback" in done.stderr
    assert scene.label() == "+cu124torch2.6"


HOLD = """
import pathlib, time
from pipfallback import transaction
change = transaction.begin({prefix!r}, site_packages={site!r}, roots=[], tell=print)
print("held", flush=True)
while not pathlib.Path({gate!r}).exists():
    time.sleep(0.05)
change.commit()
"""
