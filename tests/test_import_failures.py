"""What failed imports mean: as the dynamic loader, torch and numpy word them, and as users reported them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipfallback.import_failures import diagnose, soft_failure

FACTS = Path(__file__).parents[2] / "shared" / "facts" / "import-errors.md"

CASES = {
    "another torch": (
        "ImportError: /x/flash_attn_2_cuda.cpython-310-x86_64-linux-gnu.so: undefined symbol: _ZN3c104cuda9SetDeviceEi",
        "torch-abi",
        "it needs c10::cuda::SetDevice, which the torch here does not have",
    ),
    "the new C++ ABI": (
        "undefined symbol: _ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE",
        "torch-abi",
        "built for another torch, or with the new C++ ABI: it needs c10::Error::Error",
    ),
    "the old C++ ABI": (
        "undefined symbol: _ZN3c106detail14torchCheckFailEPKcS2_jRKSs",
        "torch-abi",
        "built for another torch, or with the old C++ ABI: it needs",
    ),
    "a library of CUDA in the way": (
        "libcusparse.so.12: undefined symbol: __nvJitLinkComplete_12_4, version libnvJitLink.so.12",
        "cuda-lib-shadowed",
        "another CUDA library is found before",
    ),
    "a symbol of Python": ("x.so: undefined symbol: _PyUnicode_Ready", "wrong-python", "_PyUnicode_Ready"),
    "std::filesystem": (
        "libtransformer_engine.so: undefined symbol: _ZNKSt10filesystem4path12has_filenameEv",
        "glibcxx",
        "needs a newer libstdc++",
    ),
    "a symbol of nobody": ("x.so: undefined symbol: frobnicate", "undefined-symbol", "frobnicate is in none"),
    "CUDA 12's runtime": (
        "ImportError: libcudart.so.12: cannot open shared object file: No such file or directory",
        "cuda-runtime-missing",
        "built for CUDA 12: libcudart.so.12 is not here",
    ),
    "cuDNN": ("libcudnn.so.8: cannot open shared object file", "cuda-runtime-missing", "libcudnn.so.8 is not here"),
    "torch not imported": (
        "ImportError: libc10.so: cannot open shared object file: No such file or directory",
        "torch-libs-not-loaded",
        "libc10.so was not found",
    ),
    "a torch for CPU": (
        "ImportError: libtorch_cuda.so: cannot open shared object file",
        "torch-libs-not-loaded",
        "the torch here is a build for CPU",
    ),
    "an old torch": ("libtorch_cuda_cu.so: cannot open shared object file", "torch-libs-removed", "torch before 2.0"),
    "any library": ("libGL.so.1: cannot open shared object file", "missing-library", "libGL.so.1"),
    "glibc": (
        "ImportError: /lib64/libc.so.6: version `GLIBC_2.32' not found (required by /x/flash_attn_2_cuda.so)",
        "glibc",
        "it needs glibc 2.32",
    ),
    "libstdc++": ("/lib64/libstdc++.so.6: version `GLIBCXX_3.4.30' not found", "glibcxx", "GLIBCXX_3.4.30"),
    "another machine": (
        "ImportError: /v/x.cpython-311-x86_64-linux-gnu.so: cannot open shared object file: No such file or directory",
        "wrong-machine",
        "another kind of machine",
    ),
    "no ELF file": ("ImportError: /v/x.so: invalid ELF header", "wrong-machine", "damaged"),
    "numpy 2": (
        "A module that was compiled using NumPy 1.x cannot be run in NumPy 2.0.0 as it may crash.",
        "numpy-abi",
        "another numpy",
    ),
    "the GPU": (
        (
            "RuntimeError: CUDA error: no kernel image is available for execution on the device\nCompile with "
            "`TORCH_USE_CUDA_DSA` to enable device-side assertions."
        ),
        "gpu-arch",
        "no machine code for this GPU",
    ),
    "the driver": (
        "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).",
        "driver",
        "too old for the CUDA",
    ),
    "torch for CPU asked for a GPU": ("AssertionError: Torch not compiled with CUDA enabled", "cpu-torch", "CPU build"),
    "torchvision": ("RuntimeError: operator torchvision::nms does not exist", "op-registration", "torchvision did not"),
    "Windows, in German": (
        "ImportError: DLL load failed while importing flash_attn_2_cuda: Das angegebene Modul wurde nicht gefunden.",
        "windows-dll",
        "flash_attn_2_cuda needs a DLL",
    ),
    "a part of torch that another torch has": (
        "ModuleNotFoundError: No module named 'torch._six'",
        "dependency-version",
        "it needs the module torch._six, which the torch that is installed does not have",
    ),
    "a part of a dependency": (
        "ModuleNotFoundError: No module named 'numpy.core.nothing'",
        "dependency-version",
        "which the numpy.core that is installed does not have",
    ),
    "protobuf": (
        (
            "TypeError: Descriptors cannot be created directly.\nIf this call came from a _pb2.py file, your generated code "
            "is out of date and must be regenerated with protoc >= 3.19.0."
        ),
        "dependency-version",
        "too old for the protobuf that is installed",
    ),
    "a dependency": (
        "ModuleNotFoundError: No module named 'einops'",
        "missing-dependency",
        "it needs the module einops",
    ),
    "nothing known": ("ValueError: 3", "import-failed", None),
}


@pytest.mark.parametrize(("text", "cause", "words"), CASES.values(), ids=CASES)
def test_the_cause_is_told_in_words(text: str, cause: str, words: str | None) -> None:
    found = diagnose(text)
    assert found.cause == cause
    if words is None:
        assert found.words is None
    else:
        assert words in (found.words or "")


def test_the_line_that_decides_need_not_be_the_last() -> None:
    text = "x.so: undefined symbol: _ZN3c104cuda9SetDeviceEi\n...\noperator torchvision::nms does not exist"
    assert diagnose(text).cause == "torch-abi"


def test_an_extension_for_another_python_is_found_by_its_file() -> None:
    text = "ModuleNotFoundError: No module named 'demo._C'"
    found = diagnose(text, own=["demo"], files=["_C.cpython-313t-x86_64-linux-gnu.so"])
    assert (found.cause, found.words) == ("wrong-python", "demo._C is there, but built for CPython 3.13t")


def test_a_module_of_its_own_that_is_missing_is_no_dependency() -> None:
    assert diagnose("ModuleNotFoundError: No module named 'demo'", own=["demo.inner"]).cause == "missing-module"


SOFT = (
    "WARNING[XFORMERS]: xFormers can't load C++/CUDA extensions. xFormers was built for: PyTorch 2.0.1+cu118",
    "WARNING 06-13 Failed to import from vllm._C with ImportError('libcudart.so.12: cannot open shared object file')",
    "Could not find the bitsandbytes CUDA binary at PosixPath('/x/libbitsandbytes_cuda124.so')",
)


@pytest.mark.parametrize("line", SOFT)
def test_a_package_that_imports_and_says_that_it_does_not_work_is_heard(line: str) -> None:
    assert soft_failure(f"loading\n{line}\ndone\n") == line


def test_other_output_is_no_failure() -> None:
    assert soft_failure("WARNING: Failed to import something else\n") is None


def test_a_line_that_ends_with_a_colon_is_told_with_the_next() -> None:
    said = "WARNING: xFormers can't load C++/CUDA extensions. xFormers was built for:\n    PyTorch 2.7.0+cu126 with CUDA 1206\n"
    assert soft_failure(said) == (
        "WARNING: xFormers can't load C++/CUDA extensions. xFormers was built for: PyTorch 2.7.0+cu126 with CUDA 1206"
    )


# Quotes that hold no message of a program, or that were cut before it says what is missing; by thread.
NO_MESSAGE = {
    "rusty1s/pytorch_scatter#333", "Dao-AILab/flash-attention#854", "open-mmlab/mmcv#2439", "open-mmlab/mmcv#2648",
    "LMMMEng/OverLoCK#17", "vllm-project/vllm#2747", "Tencent-Hunyuan/HunyuanImage-3.0#56", "huggingface/accelerate#1282",
    "mjun0812/flash-attention-prebuild-wheels#38", "infiniflow/ragflow#905", "fudan-generative-vision/hallo#203",
    "wildminder/AI-windows-whl#22", "k2-fsa/k2#473", "facebookresearch/xformers#982", "Doubiiu/DynamiCrafter#86",
    "TheLastBen/fast-stable-diffusion#2672", "unslothai/unsloth#8580", "woct0rdho/SageAttention#110",
}  # fmt: skip
# Told by the child's signal or by pip, or no failure of an import.
ELSEWHERE = re.compile(r"build|request|pip|crash|corrupt")


def reported() -> Iterator[tuple[str, str, str]]:
    """(group, thread, quote) of every report of a failed import."""
    group = ""
    for line in FACTS.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"### (\S+) \(\d+\)", line):
            group = found[1]
            continue
        found = re.match(r"- (\S+#\d+): `(.*?)` \u2014 ", line)
        if found and not ELSEWHERE.match(group) and found[1] not in NO_MESSAGE:
            yield group, found[1], found[2]


@pytest.mark.skipif(not FACTS.exists(), reason=f"{FACTS} is not here: the reports of users are left out")
def test_what_users_reported_is_told_by_its_cause() -> None:
    reports = list(reported())
    assert len(reports) > 100
    wrong = [
        (group, thread, diagnose(quote).cause)
        for group, thread, quote in reports
        if group not in {diagnose(quote).cause, "soft-failure" if soft_failure(quote) else None}
    ]
    assert wrong == []
