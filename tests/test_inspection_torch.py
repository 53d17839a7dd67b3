"""Extensions built against torch 2.13.0 (CPU): each predicted from its file, and confirmed by the import.

And wheels from PyPI as they are. Needs minutes, and PyPI or the wheels that are kept on this machine.
"""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from lib.binaries import compiled_anew, needs_version
from lib.program import run
from lib.venvs import cache_folder, isolated_environ, make_venv
from lib.wheels import make_wheel
from pipfallback.builds import Candidate, read_build
from pipfallback.compatibility import judge
from pipfallback.environment import Environment, Installation, probe
from pipfallback.file_facts import Findings
from pipfallback.inspection.findings import inspect
from pipfallback.inspection.looking_up import look_up
from pipfallback.inspection.peek import peek
from pipfallback.inspection.provided import provided_by
from pipfallback.inspection.read_at import Bounded, LocalFile
from pipfallback.rules.file import judge_file, with_facts
from pipfallback.rules.values import Mismatch, Policy, Setting

pytestmark = pytest.mark.slow

TORCH = "2.13.0"
KEPT = Path(os.environ.get("PIPFALLBACK_TEST_WHEELS", "/opt/wheels"))
POLICY = Policy(needs=("torch",))

# As an extension of six lines calls it: TORCH_CHECK, a tensor, and what the case adds.
SOURCE = """
#include <Python.h>
#include <ATen/ATen.h>
%s
static PyObject *twice(PyObject *, PyObject *) {
  auto ones = at::ones({3});
  TORCH_CHECK(ones.numel() == 3, std::string("three"));
  %s
  return PyFloat_FromDouble((ones + ones).sum().item<double>());
}
static PyMethodDef methods[] = {{"twice", twice, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "probe", nullptr, -1, methods};
PyMODINIT_FUNC PyInit_probe(void) { return PyModule_Create(&module); }
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """An interpreter with torch 2.13.0 for the CPU, made once and kept."""
    wheels = list(KEPT.glob(f"torch-{TORCH}+cpu-cp311-*.whl"))
    if not wheels:
        pytest.skip(f"needs torch {TORCH}+cpu for Python 3.11 in {KEPT} (PIPFALLBACK_TEST_WHEELS)")
    folder = cache_folder() / f"torch-{TORCH}-cpu"
    with FileLock(f"{folder}.lock"):
        if not (folder / "made").exists():
            executable = make_venv(folder / "venv", "3.11")
            environ = isolated_environ(folder)
            subprocess.run([executable, "-m", "pip", "install", "--quiet", wheels[0]], check=True, env=environ)
            (folder / "made").touch()
    return folder / "venv" / "bin" / "python"


@functools.cache
def place_of(python: Path) -> tuple[Environment, Installation]:
    return probe(python)


def built(python: Path, *flags: str, declares: str = "", calls: str = "") -> bytes:
    """The extension, as the compiler makes it against this torch."""
    code = "import sysconfig, torch; print(sysconfig.get_path('include')); print(torch.__path__[0])"
    include, torch = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    out = python.parent.parent / f"probe-{os.getpid()}.so"
    command = ["g++", "-x", "c++", "-std=c++20", "-shared", "-fPIC", "-O0", "-", "-o", str(out), "-w"]
    includes = [f"-I{include}", f"-I{torch}/include", f"-I{torch}/include/torch/csrc/api/include"]
    libraries = [f"-L{torch}/lib", "-lc10", "-ltorch_cpu", "-ltorch"]
    subprocess.run([*command, *includes, *libraries, *flags], input=SOURCE % (declares, calls), check=True, text=True)
    content = out.read_bytes()
    out.unlink()
    return content


def findings(python: Path, wheel: Path) -> tuple[dict[str, str], Findings]:
    """Broken rules with their sentences, and what was found."""
    environment, installation = place_of(python)
    found = inspect(wheel, provided_by(environment, installation))
    build = with_facts(read_build(wheel.name), found.facts)
    decision = judge(Candidate(build=build, location=str(wheel)), environment, POLICY)
    verdict = judge_file(build, Setting(environment=environment, policy=POLICY), found)
    told = [each for each in (*decision.mismatches, *verdict.added) if each not in verdict.disproved]
    return {each.rule: each.text for each in told if isinstance(each, Mismatch)}, found


def imported(python: Path, folder: Path, content: bytes, suffix: str = ".cpython-311-x86_64-linux-gnu.so") -> str:
    """What Python says when it imports and calls it."""
    (folder / f"probe{suffix}").write_bytes(content)
    done = run(
        [python, "-c", "import torch, probe; print('result', probe.twice())"],
        env={**isolated_environ(folder), "PYTHONPATH": str(folder)},
    )
    return done.said


def wheel_of(folder: Path, content: bytes, suffix: str = ".cpython-311-x86_64-linux-gnu.so") -> Path:
    files = {f"probe{suffix}": content}
    version = "1.0+cputorch2.13"
    return make_wheel(folder, "probe", "1.0", filename_version=version, tag="cp311-cp311-linux_x86_64", files=files)


def test_a_normal_build_fits_and_works(python: Path, tmp_path: Path) -> None:
    content = built(python)
    rules, found = findings(python, wheel_of(tmp_path, content))
    assert rules == {}
    assert (found.facts.uses_torch, found.facts.cxx11_abi) == (True, True)
    assert "result 6.0" in imported(python, tmp_path, content)


def test_a_build_with_the_old_abi(python: Path, tmp_path: Path) -> None:
    content = built(python, "-D_GLIBCXX_USE_CXX11_ABI=0", "-Wl,--unresolved-symbols=ignore-all")
    rules, found = findings(python, wheel_of(tmp_path, content))
    assert set(rules) == {"cxx11-abi", "symbols"}
    assert found.facts.cxx11_abi is False
    assert found.answers is not None
    assert found.answers.torch_symbols is not None
    missing = next(iter(found.answers.torch_symbols.values()))
    assert "_ZN3c106detail14torchCheckFailEPKcS2_jRKSs" in missing
    assert "undefined symbol: " in (said := imported(python, tmp_path, content))
    assert any(name in said for name in missing)


def test_a_build_for_a_torch_with_another_function(python: Path, tmp_path: Path) -> None:
    content = built(
        python, declares="namespace c10 { int of_another_release(int); }", calls="c10::of_another_release(3);"
    )
    rules, _ = findings(python, wheel_of(tmp_path, content))
    assert set(rules) == {"symbols"}
    assert "needs `c10::of_another_release`, which torch 2.13.0+cpu here does not export" in rules["symbols"]
    assert "undefined symbol: _ZN3c1018of_another_releaseEi" in imported(python, tmp_path, content)


def test_a_build_on_a_system_that_is_too_new(python: Path, tmp_path: Path) -> None:
    stub = "GLIBC_2.99"
    code = '#include <stdio.h>\nextern int tomorrow(void); int PyInit_probe(void) { puts("x"); return tomorrow(); }'
    content = needs_version(code, function="tomorrow", soname="libc.so.6", version=stub)
    rules, _ = findings(python, wheel_of(tmp_path, content))
    assert set(rules) == {"glibc"}
    assert "version `GLIBC_2.99' not found" in imported(python, tmp_path, content)


def test_a_build_for_another_python(python: Path, tmp_path: Path) -> None:
    suffix = ".cpython-312-x86_64-linux-gnu.so"
    content = compiled_anew('#include <stdio.h>\nvoid *PyInit_probe(void) { puts("x"); return 0; }')
    rules, _ = findings(python, wheel_of(tmp_path, content, suffix))
    assert rules == {"python-tag": "its module probe is built for cpython-312; this is cpython 3.11"}
    assert "No module named 'probe'" in imported(python, tmp_path, content, suffix)


def from_pypi(folder: Path, name: str, *options: str) -> Path:
    """A wheel of PyPI, kept for the next time."""
    kept = cache_folder() / "pypi"
    if not (found := list(kept.glob(f"{name.replace('==', '-')}-*.whl"))):
        python = make_venv(folder / "downloader")
        command = [python, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", kept, *options, name]
        subprocess.run(list(map(str, command)), check=True, env=isolated_environ(folder), capture_output=True)
        found = list(kept.glob(f"{name.replace('==', '-')}-*.whl"))
    return found[0]


def test_xformers_uses_the_stable_abi_and_no_cpp_of_torch(tmp_path: Path) -> None:
    with LocalFile(from_pypi(tmp_path, "xformers==0.0.35", "--platform=manylinux_2_28_x86_64")) as file:
        found = peek(Bounded(file, 200_000))
    (extension,) = found.facts.objects
    assert len(extension.undefined) == 164
    assert (found.facts.uses_torch, found.facts.cuda_runtime) == (False, ("12",))
    assert any(name.startswith("aoti_torch_") for name in extension.torch_symbols)


def test_a_peek_of_torchvision_tells_that_it_does_not_go_with_a_torch_for_the_cpu(python: Path, tmp_path: Path) -> None:
    wheel = from_pypi(tmp_path, "torchvision==0.29.0", "--platform=manylinux_2_28_x86_64", "--python-version=3.11")
    environment, installation = place_of(python)
    with LocalFile(wheel) as file:
        facts = peek(file).facts
    answers = look_up(facts, provided_by(environment, installation))
    build = with_facts(read_build(wheel.name), facts)
    setting = Setting(environment=environment, policy=POLICY)
    verdict = judge_file(build, setting, Findings(facts=facts, answers=answers))
    told = [each.text for each in verdict.added if isinstance(each, Mismatch)]
    assert "_C_stable.so needs libc10_cuda.so, which torch 2.13.0+cpu here does not have" in told
