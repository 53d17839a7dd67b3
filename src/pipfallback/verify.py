"""Does what is installed work: the import in a child process of the target interpreter, and what its failure means."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipfallback import processes

_SCRIPT = Path(__file__).with_name("_verify.py")

Status = Literal["works", "imports", "inconclusive", "broken"]

# Failures that tell of this machine, not of the build: an image build has no driver and no GPU
# (texts as torch, the CUDA runtime and the dynamic loader print them).
_NO_DEVICE = re.compile(
    r"libcuda\.so\.1: cannot open shared object"
    r"|libnvidia-ml\.so\.1: cannot open shared object"
    r"|Found no NVIDIA driver|No CUDA GPUs are available|CUDA driver initialization failed"
    r"|no CUDA-capable device is detected|CUDA_ERROR_STUB_LIBRARY|CUDA driver is a stub library"
    r"|Failed to infer device type|0 active drivers"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an import showed. ``message`` is one line; ``output`` what the child printed, tracebacks included."""

    status: Status
    module: str | None = None
    cause: str | None = None
    message: str | None = None
    output: str = ""
    seconds: float = 0.0

    @property
    def acceptable(self) -> bool:
        """Whether the package may stay."""
        return self.status != "broken"


def verify(
    executable: str,
    modules: Sequence[str],
    *,
    first: Sequence[str] = (),
    paths: Sequence[str] = (),
    smoke: str | None = None,
    timeout: float = 120.0,
    scratch: Path | None = None,
) -> Verdict:
    """Import ``modules`` with the interpreter ``executable``, isolated from the working directory.

    ``first``: modules to import before, whose libraries the others rely on (torch). ``paths``: folders to look in
    first (``--target``). ``smoke``: Python code that uses the GPU once. ``timeout`` in seconds. ``scratch``: a folder
    for the files that this needs.
    """
    with tempfile.TemporaryDirectory(prefix="pipfallback-", dir=scratch) as folder:
        request, answer = Path(folder, "request.json"), Path(folder, "answer.json")
        wanted = {"first": list(first), "modules": list(modules), "paths": list(paths), "smoke": smoke}
        request.write_text(json.dumps(wanted), encoding="utf-8")
        environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        command: list[str | Path] = [executable, "-B", _SCRIPT, request, answer]
        done = processes.capture(command, cwd=folder, env=environ, timeout=timeout)
        try:
            said = json.loads(answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            said = None
    output = done.stdout + done.stderr
    if said is None:
        return _died(done, modules, output, timeout)
    if said["ok"]:
        return Verdict(status="works" if said["smoke"] else "imports", output=output, seconds=done.seconds)
    # In the error and what led to it, not in all that was printed: a warning about the driver excuses no other error.
    no_device = _NO_DEVICE.search(said["traceback"]) is not None
    return Verdict(
        status="inconclusive" if no_device else "broken",
        module=said["module"],
        cause="no-driver" if no_device else "import-failed",
        message=_one_line(said["error"], said["module"]),
        output=output + said["traceback"],
        seconds=done.seconds,
    )


def _died(done: processes.Finished, modules: Sequence[str], output: str, timeout: float) -> Verdict:
    if done.exit_code is None:
        cause, what = "timeout", f"was not done after {timeout:g} s"
    elif done.exit_code < 0:
        cause, what = "crash", f"crashed with {_signal_name(-done.exit_code)}"
    else:
        cause, what = "crash", f"ended the interpreter with exit code {done.exit_code}"
    return Verdict(
        status="broken",
        cause=cause,
        message=f"importing {', '.join(modules)} {what}",
        output=output,
        seconds=done.seconds,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _one_line(error: str, module: str | None) -> str:
    first = next((line.strip() for line in error.splitlines() if line.strip()), error)
    # The dynamic loader names the whole path of the library; its file name tells as much.
    first = re.sub(r"/\S*/(\S+\.so[\w.]*)", r"\1", first)
    return f"import {module}: {first}" if module else f"smoke test: {first}"
