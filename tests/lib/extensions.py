"""Compiled extension modules: one that loads, and one that fails as a build for another torch fails."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lib.wheels import Content

# What a build with the new C++ ABI asks of a torch that has the old one (Dao-AILab/flash-attention issue 975).
MISSING_SYMBOL = (
    "_ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"  # c10::Error::Error
)


def has_compiler() -> bool:
    """Whether a C compiler is there. Without one, the functions here write Python that does the same."""
    return _compiler() is not None


def broken_extension(
    module: str = "flash_attn_2_cuda",
    *,
    python: Path | None = None,
    undefined: Sequence[str] = (MISSING_SYMBOL,),
    compiled: bool = True,
) -> dict[str, Content]:
    """A top-level extension module whose import fails with "undefined symbol", as ``files`` of a wheel.

    It is compiled for the interpreter ``python`` (default: this one). Without a compiler, or where ``compiled`` is
    False, it is a Python module that raises the same ImportError.
    """
    return _extension(module, python, tuple(undefined), compiled=compiled)


def working_extension(
    module: str = "flash_attn_2_cuda", *, python: Path | None = None, compiled: bool = True
) -> dict[str, Content]:
    """A top-level extension module that imports, as ``files`` of a wheel; made as ``broken_extension`` is."""
    return _extension(module, python, (), compiled=compiled)


def shared_library(soname: str, *, defines: Sequence[str] = (), undefined: Sequence[str] = ()) -> bytes:
    """An ELF library that exports the symbols ``defines``, such as a stand-in ``libc10.so``. Needs a compiler."""
    source = [f"void {symbol}(void) {{}}" for symbol in defines]
    return _compile(soname, "\n".join([*source, *_references(undefined)]), ())


def _extension(module: str, python: Path | None, undefined: tuple[str, ...], *, compiled: bool) -> dict[str, Content]:
    include, suffix = _interpreter(str(python or sys.executable))
    filename = module.replace(".", "/") + suffix
    if not (compiled and has_compiler() and (Path(include) / "Python.h").exists()):
        message = f"{filename}: undefined symbol: {undefined[0]}" if undefined else ""
        source = f"raise ImportError({message!r})\n" if message else "LOADED = True\n"
        return {module.replace(".", "/") + ".py": source}
    return {filename: _compile(filename, _module_source(module.rpartition(".")[2], undefined), (f"-I{include}",))}


def _module_source(name: str, undefined: tuple[str, ...]) -> str:
    return "\n".join(
        [
            "#include <Python.h>",
            *_references(undefined),
            f'static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "{name}", NULL, -1, NULL}};',
            f"PyMODINIT_FUNC PyInit_{name}(void) {{ return PyModule_Create(&module); }}",
            "",
        ]
    )


def _references(symbols: Sequence[str]) -> list[str]:
    """C that makes the loader look for each symbol, even where it binds functions lazily."""
    lines = [f"extern void {symbol}(void);" for symbol in symbols]
    if symbols:
        lines.append(f"void *pipfallback_needs[] = {{{', '.join(f'(void *){symbol}' for symbol in symbols)}}};")
    return lines


@functools.cache
def _compile(filename: str, source: str, flags: tuple[str, ...]) -> bytes:
    compiler = _compiler()
    if compiler is None:
        raise LookupError("no C compiler is there")
    with tempfile.TemporaryDirectory() as folder:
        code, library = Path(folder, "source.c"), Path(folder, "library.so")
        code.write_text(source)
        soname = f"-Wl,-soname,{Path(filename).name}"
        command = [compiler, "-shared", "-fPIC", "-O1", soname, *flags, "-o", str(library), str(code)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return library.read_bytes()


@functools.cache
def _interpreter(python: str) -> tuple[str, str]:
    """The folder of Python.h and the ending of extension modules ("``.cpython-311-x86_64-linux-gnu.so``")."""
    code = "import json, sysconfig as s; print(json.dumps([s.get_path('include'), s.get_config_var('EXT_SUFFIX')]))"
    done = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True)
    include, suffix = json.loads(done.stdout)
    return str(include), str(suffix)


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
