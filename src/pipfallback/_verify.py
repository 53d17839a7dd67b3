"""Imports modules in the target interpreter and tells how that went.

Standard library only, Python 3.8 and newer. Called as ``python -B _verify.py REQUEST ANSWER``; both are JSON files.
REQUEST: {"first": [modules whose failure is no verdict], "modules": [...], "paths": [...], "smoke": "…" or null}.
ANSWER: {"ok": bool, "module": M, "error": "Class: text", "traceback": "…", "smoke": bool}; {"imported": true} where the
process died in the smoke test, nothing where it died before.
"""

from __future__ import annotations

import sys

if not getattr(sys.flags, "safe_path", False):  # Python 3.11 and newer, PYTHONSAFEPATH: it is not there then
    sys.path.pop(0)  # our own folder holds modules called like pip's (pip.py)

import importlib
import json
import os
import traceback
from typing import Any, Callable, Dict, Optional


def check(request: Dict[str, Any], answer: Callable[[Dict[str, Any]], None]) -> None:
    """Import what proves the package, and run its smoke test; ``answer`` takes what came of it."""
    for needed in request["first"]:
        try:
            importlib.import_module(needed)
        except Exception:  # noqa: BLE001  (a broken torch shows again, with its reason, in the module that needs it)
            traceback.print_exc()
    module: Optional[str] = None
    try:
        for module in request["modules"]:
            importlib.import_module(module)
        module = None
        if request["smoke"]:
            answer({"imported": True})
            exec(  # noqa: S102  (the catalog's smoke test)
                compile(request["smoke"], "<smoke test>", "exec"), {"__name__": "smoke"}
            )
    except BaseException as error:  # noqa: BLE001  (an import may even call sys.exit)
        text = "%s: %s" % (type(error).__name__, error)
        answer({"ok": False, "module": module, "error": text, "traceback": traceback.format_exc(), "smoke": False})
    else:
        answer({"ok": True, "module": None, "error": None, "traceback": None, "smoke": bool(request["smoke"])})


def main() -> None:
    """Answer, then leave at once: a thread or an exit handler of the package must not change the verdict."""
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    sys.path[:0] = request["paths"]
    sys.argv[1:], answer_path = [], sys.argv[2]

    def answer(content: Dict[str, Any]) -> None:
        with open(answer_path, "w", encoding="utf-8") as file:
            json.dump(content, file)

    check(request, answer)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


main()
