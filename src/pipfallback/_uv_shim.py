"""Becomes uv, as a process that ends with pipfallback and that the next run can find and wait for.

Standard library only, Python 3.8 and newer. Called as ``python -I _uv_shim.py CONFIG PROGRAM [words]``; CONFIG is a JSON
object: {"parent": PID, "alive": FILE or null} (see ``hold`` and ``die_with_parent`` in _pip_shim.py, which it shares).
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys


def main() -> None:
    """Lock the file, ask for a signal, become uv. Windows has no exec: there uv is waited for."""
    config = json.loads(sys.argv[1])
    command = sys.argv[2:]
    shared = runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), "_pip_shim.py"))
    if config["alive"]:
        os.set_inheritable(shared["hold"](config["alive"]), True)
    shared["die_with_parent"](config["parent"])
    if os.name == "nt":
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    main()
