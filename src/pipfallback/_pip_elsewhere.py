"""Runs pip's shim as if on another machine: environment markers (PEP 508) have that machine's answers.

pip's own options for another machine (``--platform``, ``--python-version``) choose wheels by its tags, but every marker
is still answered by the interpreter that runs pip (pip 26.3, measured: ``tomli; python_version < "3.11"`` is left out
of what ``--python-version 3.10`` needs where a Python 3.11 runs). Standard library only; Python 3.8 and newer.

argv: the answers as a JSON object, then the shim and all that it takes.
"""

import json
import os
import runpy
import sys
from typing import Dict

# Our own modules must not be found before others' of the same name: pip is one of them.
if os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
    del sys.path[0]


def answer_markers(answers: Dict[str, str]) -> bool:
    """Have pip's copy of packaging answer so; whether it does."""
    from pip._vendor.packaging import markers

    markers.default_environment = lambda: dict(answers)  # type: ignore[assignment,return-value,unused-ignore]
    asked = ("python_full_version", "sys_platform", "platform_machine")
    return all(markers.Marker(f'{name} == "{answers[name]}"').evaluate() for name in asked)


def main() -> None:
    """Run the shim with what comes after the answers."""
    answers = json.loads(sys.argv[1])
    del sys.argv[:2]
    if not answer_markers(answers):
        sys.exit("this pip does not take the answers of another machine")
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
