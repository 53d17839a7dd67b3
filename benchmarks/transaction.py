"""What keeping and putting back costs for a package of 700 MB in 2,000 files, beside pip's own install of it.

Usage: python benchmarks/transaction.py [MEGABYTES [FILES]]. A real venv and a real pip; the stash is on the disk that
the temporary folder is on. Goal: snapshot and restore in under 0.5 s, and no extra disk use.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from pipfallback import restoring
from pipfallback._undo_log import UndoLog
from pipfallback.restoring import Span

FOLDERS = 40


def heavy_wheel(folder: Path, megabytes: int, files: int) -> Path:
    """A wheel as heavy as flash-attn unpacked: a few large files and many small ones."""
    path = folder / "heavy-1.0-py3-none-any.whl"
    large = max(megabytes - files // 256, 7) // 7
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(7):
            archive.writestr(f"heavy/large{number}.bin", os.urandom(1 << 20) * large)
        for number in range(files - 7):
            archive.writestr(f"heavy/part{number % FOLDERS}/m{number}.py", f"X = '{'x' * 4000}'\n")
        archive.writestr("heavy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: heavy\nVersion: 1.0\n")
        archive.writestr("heavy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("heavy-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in archive.namelist()))
    return path


def seconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def used(folder: Path) -> int:
    """The bytes that are taken on the folder's filesystem."""
    os.sync()
    state = os.statvfs(folder)
    return (state.f_blocks - state.f_bfree) * state.f_frsize


def main(megabytes: int = 700, files: int = 2000) -> None:
    """Print the times, as ratios of pip's own, and the disk use."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        wheel = heavy_wheel(folder, megabytes, files)
        site = folder / "site"
        words = ["install", "-q", "--no-index", "--no-compile", "--disable-pip-version-check", "--target", str(site)]
        command = [sys.executable, "-m", "pip", *words, str(wheel)]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        of_pip = seconds(lambda: subprocess.run(command, check=True, env={**environ, "PIP_CONFIG_FILE": os.devnull}))
        journal, stash = folder / "state" / "journal", folder / ".pipfallback-bench"
        journal.parent.mkdir()
        log = UndoLog(str(journal), str(stash), [str(site)])
        before = used(folder)
        kept = seconds(lambda: log.before_removal(site / "heavy"))
        extra = used(folder) - before
        log.close()
        shutil.rmtree(site / "heavy")
        span = Span(since=0.0, until=time.time())
        back = seconds(lambda: restoring.undo(journal, 0, span))
        count = sum(len(names) for _, _, names in os.walk(site / "heavy"))
    print(f"{megabytes} MB in {count} files; pip install takes {of_pip:.2f} s")
    print(f"snapshot {kept:.3f} s, {kept / of_pip:.1%} of pip's time; {extra / 1e6:+.1f} MB on disk")
    print(f"restore  {back:.3f} s, {back / of_pip:.1%} of pip's time")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
