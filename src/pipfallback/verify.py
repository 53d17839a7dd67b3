"""Does what is installed work: the import in a child process of the target interpreter, and what its failure means."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pipfallback import processes
from pipfallback.import_failures import diagnose, first_line, soft_failure

_SCRIPT = Path(__file__).with_name("_verify.py")

Status = Literal["works", "imports", "inconclusive", "broken"]

# What a crash tells, where the signal alone does (signal(7)).
_SIGNALS: Mapping[str, str] = {
    "SIGILL": "it was built for a processor with more instructions",
    "SIGBUS": "a file of it is cut short",
}

# Failures that tell of this machine, not of the build: an image build has no driver and no GPU
# (texts as torch, the CUDA runtime and the dynamic loader print them).
_NO_DEVICE = re.compile(
    r"libcuda\.so\.1: cannot open shared object"
    r"|libnvidia-ml\.so\.1: cannot open shared object"
    r"|Found no NVIDIA driver|No CUDA GPUs are available|CUDA driver initialization failed"
    r"|no CUDA-capable device is detected|CUDA_ERROR_STUB_LIBRARY|CUDA driver is a stub library"
    r"|Failed to infer device type|0 active drivers"
    # NVIDIA's video decoder is part of the driver (decord of nvidia-cosmos links it).
    r"|libnvcuvid\.so\.1: cannot open shared object"
    # tinycudann/modules.py (NVlabs/tiny-cuda-nn) where torch sees no GPU.
    r"|Unknown compute capability\. Ensure PyTorch with CUDA support is installed"
    # faithc_aot (Comfy-Forge/cuda-wheels, packages/faithc_aot/package.yml: expect_device_error).
    r"|RuntimeError: CUDA is not available"
)
_NO_DEVICE_HINT = "it can only be tried out where a driver and a GPU are"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an import showed. ``message`` is one line; ``output`` what the child printed, tracebacks included.

    ``hint``: what the user can do. ``warning``: the package may stay, but its smoke test, which has never been seen to
    pass anywhere, failed.
    """

    status: Status
    module: str | None = None
    cause: str | None = None
    message: str | None = None
    hint: str | None = None
    warning: str | None = None
    output: str = ""
    seconds: float = 0.0

    @property
    def acceptable(self) -> bool:
        """Whether the package may stay."""
        return self.status != "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is to be imported, and how.

    ``first``: modules to import before, whose libraries the others rely on (torch). ``paths``: folders to look in first
    (``--target``). ``smoke``: Python code that uses the GPU once; ``smoke_decides``: whether its failure means broken.
    ``files``: the names of the package's files, to tell why a module is not found. ``timeout`` in seconds.
    """

    modules: Sequence[str]
    first: Sequence[str] = ()
    paths: Sequence[str] = ()
    smoke: str | None = None
    smoke_decides: bool = True
    files: Sequence[str] = ()
    timeout: float = 120.0


def verify(executable: str, trial: Trial, *, scratch: Path | None = None) -> Verdict:
    """Import with the interpreter ``executable``, isolated from the working directory.

    ``scratch``: a folder for the files that this needs.
    """
    with tempfile.TemporaryDirectory(prefix="pipfallback-", dir=scratch) as folder:
        request, answer = Path(folder, "request.json"), Path(folder, "answer.json")
        wanted = {
            "first": list(trial.first),
            "modules": list(trial.modules),
            "paths": list(trial.paths),
            "smoke": trial.smoke,
        }
        request.write_text(json.dumps(wanted), encoding="utf-8")
        environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        command: list[str | Path] = [executable, "-B", _SCRIPT, request, answer]
        done = processes.capture(command, cwd=folder, env=environ, timeout=trial.timeout)
        try:
            said = json.loads(answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            said = {}
    verdict = _judge(said, done, trial)
    return replace(verdict, output=done.stdout + done.stderr + (said.get("traceback") or ""), seconds=done.seconds)


def _judge(said: Mapping[str, Any], done: processes.Finished, trial: Trial) -> Verdict:
    if "ok" not in said:
        verdict = _died(done, trial, in_smoke="imported" in said)
        in_smoke = "imported" in said
    elif said["ok"]:
        return _passed(done.stdout + done.stderr, smoke=said["smoke"])
    else:
        verdict = _failed(said["error"], said["traceback"], said["module"], trial)
        in_smoke = said["module"] is None
    if in_smoke and verdict.status == "broken" and not trial.smoke_decides:
        return Verdict(status="imports", warning=verdict.message, hint=verdict.hint)
    return verdict


def _passed(output: str, *, smoke: bool) -> Verdict:
    """Some packages only print that their compiled part did not load."""
    line = soft_failure(output)
    if line is None:
        return Verdict(status="works" if smoke else "imports")
    if _NO_DEVICE.search(line):
        return Verdict(status="inconclusive", cause="no-driver", message=line)
    found = diagnose(output)
    said = line if found.words is None else f"{line} ({found.words})"
    return Verdict(status="broken", cause="soft-failure", message=f"it imports, but says: {said}", hint=found.hint)


def _failed(error: str, traceback: str, module: str | None, trial: Trial) -> Verdict:
    # In the error and what led to it, not in all that was printed: a warning about the driver excuses no other error.
    if _NO_DEVICE.search(traceback):
        return Verdict(
            status="inconclusive",
            module=module,
            cause="no-driver",
            message=_one_line(error, module),
            hint=_NO_DEVICE_HINT,
        )
    found = diagnose(f"{error}\n{traceback}", own=trial.modules, files=trial.files)
    line = _one_line(error, module)
    return Verdict(
        status="broken",
        module=module,
        cause=found.cause,
        message=line if found.words is None else f"{found.words} ({line})",
        hint=found.hint,
    )


def _died(done: processes.Finished, trial: Trial, *, in_smoke: bool) -> Verdict:
    what = "the smoke test" if in_smoke else f"importing {', '.join(trial.modules)}"
    if done.exit_code is None:
        return Verdict(status="broken", cause="timeout", message=f"{what} was not done after {trial.timeout:g} s")
    if done.exit_code >= 0:
        message = f"{what} ended the interpreter with exit code {done.exit_code}"
        return Verdict(status="broken", cause="crash", message=message)
    name = _signal_name(-done.exit_code)
    meaning = f": {_SIGNALS[name]}" if name in _SIGNALS else ""
    return Verdict(status="broken", cause="crash", message=f"{what} crashed with {name}{meaning}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _one_line(error: str, module: str | None) -> str:
    first = first_line(error) or error
    # The dynamic loader names the whole path of the library; its file name tells as much.
    first = re.sub(r"/\S*/(\S+\.so[\w.]*)", r"\1", first)
    return f"import {module}: {first}" if module else f"smoke test: {first}"
