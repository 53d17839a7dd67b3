"""Mangled C++ names (Itanium C++ ABI, section 5.1), as far as they tell whose symbol it is and with which C++ ABI.

No demangler: what a signature holds is not read, only searched. That is enough to name a missing function for a person
("c10::cuda::SetDevice") and to see std::string among its parameters.
"""

from __future__ import annotations

import re

# Namespaces of libc10, libtorch_cpu, libtorch_cuda, libtorch_python (caffe2: up to torch 2.3). In a mangled name they
# open a nested name, N...E, whatever they stand in.
_TORCH = r"N[KVrRO]*(?:3c10|2at|5torch|6caffe2)(?=[\dA-Za-z_])"
_MENTIONS_TORCH = re.compile(_TORCH)
_BEGINS_WITH_TORCH = re.compile(rf"_Z(?:T[VTIS]|GV|Z)*{_TORCH}")
# The C functions of torch's stable ABI: torch/csrc/inductor/aoti_torch/c/shim.h, torch/csrc/stable/c/shim.h.
_TORCH_C = ("aoti_torch_", "torch_")
# docs.python.org/3/c-api/intro.html: names with Py and _Py are CPython's.
_PYTHON = re.compile(r"_?Py(?:[A-Z][A-Za-z0-9]*)?_\w+")

_NEW_STRING = "NSt7__cxx1112basic_string"
# Digits that begin no name: of a substitution (S1_), a template parameter (T0_), a constructor (C1), a literal (Li5E).
_NAME_LENGTH = re.compile(r"(?<![STCD\d])(?<!L[a-z])\d+(?=[A-Za-z_])|(?<=St)\d+(?=[A-Za-z_])")
_PREFIX = re.compile(r"_Z(?P<special>T[VTIS]|GV)?Z?(?P<nested>N[KVrRO]*)?")
_SPECIAL = {"TV": "vtable for ", "TI": "typeinfo for ", "TT": "VTT for ", "TS": "typeinfo name for "}
# Itanium C++ ABI 5.1.3.
_OPERATORS = {
    "eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">=", "aS": "=", "cl": "()", "ix": "[]", "pl": "+",
    "mi": "-", "ml": "*", "dv": "/", "pL": "+=", "mI": "-=", "mL": "*=", "dV": "/=", "ls": "<<", "rs": ">>", "nt": "!",
    "pt": "->", "de": "*", "co": "~", "rm": "%", "aN": "&=", "oR": "|=", "an": "&", "or": "|", "eo": "^",
}  # fmt: skip


def uses_torch(symbol: str) -> bool:
    """Whether a C++ symbol belongs to torch or has one of its types in its signature."""
    return symbol.startswith("_Z") and _MENTIONS_TORCH.search(symbol) is not None


def is_torchs(symbol: str) -> bool:
    """Whether a symbol can only come from torch: it lies in a namespace of its libraries, or is of its stable C ABI."""
    return symbol.startswith(_TORCH_C) or _BEGINS_WITH_TORCH.match(symbol) is not None


def is_pythons(symbol: str) -> bool:
    """Whether a symbol is named as those of CPython's C API are."""
    return _PYTHON.fullmatch(symbol) is not None


def cxx11_abi(symbol: str) -> bool | None:
    """Which std::string a function takes: of the new C++ ABI (True), of the old one (False); None: none, or both.

    The new one is std::__cxx11::basic_string, the old one is abbreviated to Ss (Itanium C++ ABI 5.1.8).
    """
    new, old = _NEW_STRING in symbol, "Ss" in symbol and "Ss" in _without_names(symbol)
    return None if new == old else new


def readable(symbol: str) -> str:
    """A symbol as a person may know it, without the types of its signature: "c10::cuda::SetDevice"."""
    start = _PREFIX.match(symbol)
    if start is None:
        return symbol
    names, rest = _scope(symbol[start.end() :], nested=start["nested"] is not None)
    if not names:
        return symbol
    return _SPECIAL.get(start["special"] or "", "") + "::".join((*names, *_last_part(rest[:2], names[-1])))


def _scope(text: str, *, nested: bool) -> tuple[list[str], str]:
    """The plain names that a mangled text begins with, and what follows them. Only nested names have several."""
    names: list[str] = []
    while text:
        if text.startswith("St"):
            names.append("std")
            text = text[2:]
            continue
        found = re.match(r"L?(\d+)", text)
        if found is None:
            break
        end = found.end() + int(found[1])
        if end > len(text):
            return [], text
        names.append(text[found.end() : end])
        text = text[end:]
        if not nested:
            break
    return names, text


def _last_part(code: str, name: str) -> tuple[str, ...]:
    if code in {"C1", "C2", "C3"}:
        return (name,)
    if code in {"D0", "D1", "D2"}:
        return (f"~{name}",)
    return (f"operator{_OPERATORS[code]}",) if code in _OPERATORS else ()


def _without_names(symbol: str) -> str:
    """What is left of a mangled symbol without its plain names."""
    parts, text = [], symbol
    while found := _NAME_LENGTH.search(text):
        parts.append(text[: found.start()])
        text = text[found.end() + int(found[0]) :]  # cut, so that digits right behind a name begin the next
    return "".join((*parts, text))
