"""What is predicted from a file, and what the import then says: compiled extensions beside stand-in torches."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lib.binaries import GPU_OBJECTS, compiled_anew, needs_version
from lib.extensions import shared_library
from lib.program import run
from lib.torch import make_torch
from lib.venvs import make_venv, native_tag, site_packages
from lib.wheels import damage_member, make_wheel
from pipfallback.builds import Candidate, read_build
from pipfallback.compatibility import Decision, decide, judge
from pipfallback.environment import Driver, Environment, Gpu, Installation, probe
from pipfallback.inspection.findings import everything, inspect, read_facts
from pipfallback.inspection.provided import provided_by
from pipfallback.inspection.wheel import InvalidWheelError
from pipfallback.rules.file import judge_file, with_facts
from pipfallback.rules.values import Policy, Setting

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler")

NEW = "_ZN3c106detail14torchCheckFailEPKcS2_jRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
OLD = "_ZN3c106detail14torchCheckFailEPKcS2_jRKSs"
GONE = "_ZN3c104cuda29c10_cuda_check_implementationEiPKcS2_ib"
# As torch does: its libraries are loaded for all to see before an extension is imported.
IMPORT = """
import ctypes, pathlib, torch
for path in pathlib.Path(torch.__file__).parent.glob("lib/*.so"):
    ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
import probe
print("imported", probe.__name__)
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """An environment with a stand-in torch."""

    python: Path
    environment: Environment
    installation: Installation

    def judged(self, wheel: Path, *, imports: Sequence[str] = (), **changes: object) -> Decision:
        """What is said of a wheel that was fetched, in the order in which install does it."""
        environment = replace(self.environment, **changes)  # type: ignore[arg-type]  # the fields of Environment
        policy = Policy(needs=("torch",))
        found = inspect(wheel, provided_by(environment, self.installation), gpu_code=everything)
        build = with_facts(read_build(wheel.name), found.facts)
        decision = judge(Candidate(build=build, location=str(wheel)), environment, policy)
        verdict = judge_file(build, Setting(environment=environment, policy=policy), found, imports)
        kept = [each for each in (*decision.mismatches, *decision.doubts) if each not in verdict.disproved]
        bare = replace(decision, mismatches=(), doubts=(), grade="fits")
        return decide(bare, [*kept, *verdict.added])

    def imports(self, wheel: Path, environ: Mapping[str, str]) -> str:
        """What the import of the module says when the wheel lies in the environment."""
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site_packages(self.python))
        return run([self.python, "-c", IMPORT], env=environ).said


def place_with(folder: Path, *, exports: Sequence[str] | None, version: str = "2.8.0") -> Place:
    python = make_venv(folder / "venv")
    files = None if exports is None else {"torch/lib/libc10.so": shared_library("libc10.so", defines=exports)}
    torch = make_torch(folder / "torch", version, files=files)
    with zipfile.ZipFile(torch) as archive:
        archive.extractall(site_packages(python))
    environment, installation = probe(python)
    return Place(python=python, environment=environment, installation=installation)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_with(tmp_path, exports=[NEW, "_ZN3c104cuda9SetDeviceEa"])


def module(
    place: Place, *, calls: Sequence[str] = (), suffix: str | None = None, flags: Sequence[str] = ()
) -> dict[str, bytes]:
    """An extension module "probe" for the Python of ``place``, that needs the symbols ``calls``."""
    return {f"probe{suffix or own_suffix(place)}": compiled_anew(source(calls), *python_flags(place), *flags)}


def source(calls: Sequence[str]) -> str:
    names = [f"extern void {name}(void);" for name in calls]
    table = f"void *needs[] = {{{', '.join(f'(void *){name}' for name in calls) or '0'}}};"
    start = "PyMODINIT_FUNC PyInit_probe(void) { return PyModule_Create(&module); }"
    definition = 'static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "probe", NULL, -1, NULL};'
    return "\n".join(["#include <Python.h>", "#include <stdio.h>", *names, table, definition, start, SAID])


SAID = 'void said(void) { puts("x"); }'


def asked(place: Place, code: str) -> str:
    done = subprocess.run([place.python, "-I", "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def own_suffix(place: Place) -> str:
    code = "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))"
    return asked(place, code)


def python_flags(place: Place) -> list[str]:
    code = "import sysconfig; print(sysconfig.get_path('include'))"
    return [f"-I{asked(place, code)}"]


def wheel_of(folder: Path, place: Place, files: Mapping[str, bytes], *, label: str = "+torch2.8") -> Path:
    return make_wheel(
        folder, "probe", "1.0", filename_version=f"1.0{label}", tag=native_tag(place.python), files=dict(files)
    )


def rules(decision: Decision) -> set[str]:
    return {mismatch.rule for mismatch in decision.mismatches}


def said(decision: Decision) -> str:
    return "\n".join([*(mismatch.text for mismatch in decision.mismatches), *decision.doubts])


def test_one_that_finds_all_it_needs_fits_and_imports(tmp_path: Path, place: Place, environ: dict[str, str]) -> None:
    wheel = wheel_of(tmp_path, place, module(place, calls=[NEW]), label="+cputorch2.8")
    decision = place.judged(wheel)
    assert rules(decision) == set(), said(decision)
    assert "imported probe" in place.imports(wheel, environ)


def test_the_facts_of_the_file_settle_the_abi_that_its_name_left_open(tmp_path: Path, place: Place) -> None:
    wheel = wheel_of(tmp_path, place, module(place, calls=[NEW]), label="+cputorch2.8cxx11abiFALSE")
    decision = place.judged(wheel)
    assert decision.candidate.build.cxx11_abi is True
    assert decision.candidate.build.cxx11_abi_label is False
    assert "C++ ABI" not in said(decision)


def test_a_symbol_that_this_torch_lacks(tmp_path: Path, place: Place, environ: dict[str, str]) -> None:
    wheel = wheel_of(tmp_path, place, module(place, calls=[NEW, GONE]))
    decision = place.judged(wheel)
    assert "symbols" in rules(decision)
    name = next(iter(module(place)))
    assert (
        f"built for another torch than it says: {name} needs `c10::cuda::c10_cuda_check_implementation`,"
        " which torch 2.8.0 here does not export" in said(decision)
    )
    assert f"undefined symbol: {GONE}" in place.imports(wheel, environ)


def test_the_torch_that_a_build_is_for_is_named(tmp_path: Path, place: Place) -> None:
    wheel = wheel_of(tmp_path, place, module(place, calls=[GONE]), label="+torch2.7")
    assert "built for torch 2.7: probe." in said(place.judged(wheel))


def test_the_old_abi_beside_a_torch_with_the_new_one(tmp_path: Path, place: Place, environ: dict[str, str]) -> None:
    wheel = wheel_of(tmp_path, place, module(place, calls=[OLD]), label="+torch2.8cxx11abiTRUE")
    decision = place.judged(wheel)
    assert {"cxx11-abi", "symbols"} <= rules(decision)
    assert "built with the old C++ ABI; torch 2.8.0 here has the new one" in said(decision)
    assert f"undefined symbol: {OLD}" in place.imports(wheel, environ)


def test_a_glibc_that_is_newer_than_this(tmp_path: Path, place: Place, environ: dict[str, str]) -> None:
    content = needs_version(
        source(["from_the_future"]),
        function="from_the_future",
        soname="libc.so.6",
        version="GLIBC_2.99",
        flags=python_flags(place),
    )
    wheel = wheel_of(tmp_path, place, {f"probe{own_suffix(place)}": content})
    decision = place.judged(wheel)
    assert "glibc" in rules(decision)
    assert f"needs glibc 2.99 or newer; here is {place.environment.glibc}" in said(decision)
    assert "version `GLIBC_2.99' not found" in place.imports(wheel, environ)


def test_a_module_for_another_python(tmp_path: Path, place: Place, environ: dict[str, str]) -> None:
    files = module(place, calls=[NEW], suffix=".cpython-38-x86_64-linux-gnu.so")
    wheel = wheel_of(tmp_path, place, files)
    decision = place.judged(wheel)
    assert "python-tag" in rules(decision)
    assert "its module probe is built for cpython-38; this is cpython 3." in said(decision)
    assert "No module named 'probe'" in place.imports(wheel, environ)


def test_a_module_for_several_pythons_among_them_this(tmp_path: Path, place: Place) -> None:
    files = module(place) | module(place, suffix=".cpython-38-x86_64-linux-gnu.so")
    assert "python-tag" not in rules(place.judged(wheel_of(tmp_path, place, files)))


def test_a_function_that_this_python_does_not_have(tmp_path: Path, place: Place, environ: dict[str, str]) -> None:
    wheel = wheel_of(tmp_path, place, module(place, calls=["PyFuture_FromTomorrow"]))
    decision = place.judged(wheel)
    assert "symbols" in rules(decision)
    assert "`PyFuture_FromTomorrow`, which Python 3." in said(decision)
    assert "undefined symbol: PyFuture_FromTomorrow" in place.imports(wheel, environ)


def test_a_library_of_torch_that_this_torch_lacks(tmp_path: Path, place: Place, environ: dict[str, str]) -> None:
    stub = tmp_path / "libtorch_cuda.so"
    stub.write_bytes(shared_library("libtorch_cuda.so", defines=["unused"]))
    content = compiled_anew(source([NEW]), "-Wl,--no-as-needed", *python_flags(place), libraries=[stub])
    wheel = wheel_of(tmp_path, place, {f"probe{own_suffix(place)}": content})
    decision = place.judged(wheel)
    assert "needs libtorch_cuda.so, which torch 2.8.0 here does not have" in said(decision)
    assert "symbols" in rules(decision)
    assert "libtorch_cuda.so: cannot open shared object file" in place.imports(wheel, environ)


def test_a_library_that_is_not_found_is_a_doubt(tmp_path: Path, place: Place) -> None:
    stub = tmp_path / "libsomething.so.7"
    stub.write_bytes(shared_library("libsomething.so.7", defines=["unused"]))
    content = compiled_anew(source([NEW]), "-Wl,--no-as-needed", *python_flags(place), libraries=[stub])
    decision = place.judged(wheel_of(tmp_path, place, {f"probe{own_suffix(place)}": content}))
    assert "symbols" not in rules(decision)
    assert "needs libsomething.so.7, not found here" in said(decision)


def test_the_library_that_the_wheel_brings_is_found(tmp_path: Path, place: Place) -> None:
    stub = tmp_path / "libsomething.so.7"
    stub.write_bytes(shared_library("libsomething.so.7", defines=["_ZN3c104cuda4mineEv"]))
    content = compiled_anew(
        source([NEW, "_ZN3c104cuda4mineEv"]), "-Wl,--no-as-needed", *python_flags(place), libraries=[stub]
    )
    files = {f"probe{own_suffix(place)}": content, "probe.libs/libsomething.so.7": stub.read_bytes()}
    decision = place.judged(wheel_of(tmp_path, place, files))
    assert rules(decision) == set(), said(decision)
    assert "not found" not in said(decision)


def test_a_symbol_of_nobody_in_particular_is_a_doubt(tmp_path: Path, place: Place) -> None:
    decision = place.judged(wheel_of(tmp_path, place, module(place, calls=["somebody_elses_function"])))
    assert "symbols" not in rules(decision)
    assert "`somebody_elses_function`, which no library here exports" in said(decision)


def test_a_driver_that_is_not_here_is_no_fault(tmp_path: Path, place: Place) -> None:
    stub = tmp_path / "libcuda.so.1"
    stub.write_bytes(shared_library("libcuda.so.1", defines=["unused"]))
    content = compiled_anew(source([NEW]), "-Wl,--no-as-needed", *python_flags(place), libraries=[stub])
    decision = place.judged(wheel_of(tmp_path, place, {f"probe{own_suffix(place)}": content}))
    assert "libcuda" not in said(decision)


def test_without_torchs_libraries_nothing_is_broken(tmp_path: Path) -> None:
    place = place_with(tmp_path, exports=None)
    decision = place.judged(wheel_of(tmp_path, place, module(place, calls=[GONE])))
    assert "symbols" not in rules(decision)
    assert "whether torch here has the functions that it calls is not known" in said(decision)


def test_an_object_that_no_import_is_known_to_load_is_a_doubt(tmp_path: Path, place: Place) -> None:
    files = module(place, calls=[NEW]) | {"probe/libfor_torch_2_4.so": shared_library("x.so", undefined=[GONE])}
    wheel = wheel_of(tmp_path, place, files)
    assert "symbols" not in rules(place.judged(wheel, imports=["probe"]))
    assert "c10_cuda_check_implementation" in said(place.judged(wheel, imports=["probe"]))
    assert "symbols" in rules(place.judged(wheel))


def test_a_file_that_does_not_call_torch_is_not_tied_to_its_version(tmp_path: Path, place: Place) -> None:
    wheel = wheel_of(tmp_path, place, module(place), label="+cputorch2.3")
    assert rules(place.judged(wheel)) == set(), said(place.judged(wheel))


def test_matching_symbols_do_not_lift_the_torch_version(tmp_path: Path, place: Place) -> None:
    wheel = wheel_of(tmp_path, place, module(place, calls=[NEW]), label="+cputorch2.3")
    assert rules(place.judged(wheel)) == {"torch-version"}


@pytest.mark.parametrize(
    ("code", "capability", "cuda", "expected"),  # "gpu-arch" refuses
    [
        ("sm_80", "9.0", "13.0", "gpu-arch"),
        ("sm_80", "8.6", "13.0", "runs"),
        ("sm_90", "9.0", "13.0", "runs"),
        ("sm_80_ptx", "9.0", "13.0", "runs"),
        ("sm_80_ptx", "9.0", "12.8", "gpu-arch"),
        ("sm_80_ptx", "9.0", None, "doubt"),
        ("several", "9.0", "12.8", "runs"),
        ("several", "10.0", "13.0", "gpu-arch"),
        ("variants", "10.3", "13.0", "runs"),
        ("variants", "9.0", "13.0", "runs"),
        ("variants", "8.0", "13.0", "gpu-arch"),
    ],
)
def test_gpu_code_is_judged_by_what_the_file_holds(
    place: Place, code: str, capability: str, cuda: str | None, expected: str
) -> None:
    # Its name says what it is not: facts come first.
    wheel = wheel_of(
        place.python.parent, place, {"probe/kernels.so": (GPU_OBJECTS / f"{code}.so").read_bytes()}, label="+sm61"
    )
    driver = Driver(version="600.0", cuda=cuda) if cuda else None
    decision = place.judged(wheel, gpus=(Gpu(compute_capability=capability),), driver=driver)
    assert ("gpu-arch" in rules(decision)) == (expected == "gpu-arch"), said(decision)
    assert ("whether it has code that the GPU here can run" in said(decision)) == (expected == "doubt")


def test_the_architectures_of_the_build_are_those_of_its_code(tmp_path: Path, place: Place) -> None:
    gpu = {"probe/a.so": (GPU_OBJECTS / "several.so").read_bytes()}
    wheel = wheel_of(tmp_path, place, module(place, calls=[NEW]) | gpu)
    assert place.judged(wheel).candidate.build.archs == ("7.5", "9.0a", "12.0+PTX")


def test_code_of_libraries_that_came_along_does_not_count(tmp_path: Path, place: Place) -> None:
    gpu = {"probe.libs/libnvjpeg-1.so": (GPU_OBJECTS / "sm_80.so").read_bytes()}
    wheel = wheel_of(tmp_path, place, module(place, calls=[NEW]) | gpu)
    decision = place.judged(wheel, gpus=(Gpu(compute_capability="12.0"),))
    assert "gpu-arch" not in rules(decision)


def test_a_part_without_code_for_this_gpu_is_a_doubt(tmp_path: Path, place: Place) -> None:
    gpu = {f"probe/{name}.so": (GPU_OBJECTS / f"{name}.so").read_bytes() for name in ("sm_80", "sm_90")}
    decision = place.judged(wheel_of(tmp_path, place, gpu), gpus=(Gpu(compute_capability="9.0"),))
    assert "gpu-arch" not in rules(decision)
    assert "sm_80.so has no GPU code that the GPU here can run; other parts have" in said(decision)


def test_of_several_gpus_one_must_run_it_and_all_that_were_declared(tmp_path: Path, place: Place) -> None:
    wheel = wheel_of(tmp_path, place, {"probe/a.so": (GPU_OBJECTS / "sm_90.so").read_bytes()})
    gpus = (Gpu(compute_capability="9.0"), Gpu(compute_capability="7.5"))
    found = place.judged(wheel, gpus=gpus)
    assert "gpu-arch" not in rules(found)
    assert "has no GPU code for one of the GPUs here (7.5)" in said(found)
    assert "gpu-arch" in rules(place.judged(wheel, gpus=gpus, origins={"gpus": "declared"}))


def test_an_object_for_another_processor(tmp_path: Path, place: Place, environ: dict[str, str]) -> None:
    name, content = next(iter(module(place).items()))
    other = content[:18] + (243).to_bytes(2, "little") + content[20:]  # e_machine: RISC-V
    wheel = wheel_of(tmp_path, place, {name: other})
    decision = place.judged(wheel)
    assert "its shared objects are built for riscv64; this machine is " in said(decision)
    assert "platform-tag" in rules(decision)
    assert "cannot open shared object file" in place.imports(wheel, environ)


def test_an_object_that_is_linked_with_the_library_of_another_python(tmp_path: Path, place: Place) -> None:
    stub = tmp_path / "libpython3.8.so.1.0"
    stub.write_bytes(shared_library("libpython3.8.so.1.0", defines=["unused"]))
    content = compiled_anew(source([NEW]), "-Wl,--no-as-needed", *python_flags(place), libraries=[stub])
    decision = place.judged(wheel_of(tmp_path, place, {f"probe{own_suffix(place)}": content}))
    assert "is linked with the library of Python 3.8; this is cpython 3." in said(decision)
    assert "python-tag" in rules(decision)


def test_the_library_of_an_extension_of_torch_is_not_torchs_own(tmp_path: Path, place: Place) -> None:
    stub = tmp_path / "libtorchaudio.so"
    stub.write_bytes(shared_library("libtorchaudio.so", defines=["unused"]))
    content = compiled_anew(source([NEW]), "-Wl,--no-as-needed", *python_flags(place), libraries=[stub])
    decision = place.judged(wheel_of(tmp_path, place, {f"probe{own_suffix(place)}": content}))
    assert "symbols" not in rules(decision)


def test_a_torch_that_is_only_planned_is_not_looked_in(tmp_path: Path, place: Place) -> None:
    wheel = wheel_of(tmp_path, place, module(place, calls=[GONE]))
    decision = place.judged(wheel, origins={**place.environment.origins, "torch": "planned"})
    assert "symbols" not in rules(decision)
    assert "whether torch here has the functions that it calls is not known" in said(decision)


@pytest.mark.parametrize("name", ["flash_attn/_C.pyd", "flash_attn/_C.cpython-311-darwin.so"])
def test_objects_of_other_systems_are_there_and_not_known(tmp_path: Path, name: str) -> None:
    content = (b"MZ" if name.endswith("pyd") else b"\xcf\xfa\xed\xfe").ljust(5000, b"\0")
    facts = read_facts(make_wheel(tmp_path, files={name: content}))
    assert [(one.name, one.known) for one in facts.objects] == [(name, False)]
    assert facts.uses_torch is None


def test_a_damaged_object_is_refused(tmp_path: Path, place: Place) -> None:
    wheel = wheel_of(tmp_path, place, {"probe/a.so": (GPU_OBJECTS / "several.so").read_bytes()})
    with zipfile.ZipFile(wheel) as archive:
        info = archive.getinfo("probe/a.so")
    content = bytearray(wheel.read_bytes())
    content[info.header_offset + 60 : info.header_offset + 200] = b"\xff" * 140
    wheel.write_bytes(content)
    with pytest.raises(InvalidWheelError, match="the zip is damaged"):
        read_facts(wheel)


def test_what_is_named_so_and_is_no_object_is_passed_over(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, files={"flash_attn/libx.so": "GROUP ( libx.so.1 )"})
    assert read_facts(wheel).objects == ()
    damaged = damage_member(wheel, "flash_attn-2.8.3.dist-info/METADATA")
    assert read_facts(damaged).objects == ()
