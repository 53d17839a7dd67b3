"""The grammar of labels: what is read, and above all what must not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipfallback import releases
from pipfallback.labels import Accelerator, Label, agreed, cuda_version, read_label, torch_from_digits


def runs_on(kind: str, version: str | None = None) -> Accelerator:
    return Accelerator(kind=kind, version=version)


def cuda(version: str) -> Accelerator:
    return runs_on("cuda", version)


LABELS = {
    "cu12torch2.8cxx11abiTRUE": Label(torch="2.8", accelerator=cuda("12"), cxx11_abi=True),
    "cu12torch2.6cxx11abifalse": Label(torch="2.6", accelerator=cuda("12"), cxx11_abi=False),
    "cu130torch2.10.0cxx11abi1": Label(torch="2.10.0", accelerator=cuda("13.0"), cxx11_abi=True),
    "cu118torch2.1cxx11abi0": Label(torch="2.1", accelerator=cuda("11.8"), cxx11_abi=False),
    "cu124torch2.5": Label(torch="2.5", accelerator=cuda("12.4")),
    "cu121torch2.10": Label(torch="2.10", accelerator=cuda("12.1")),
    "cu126torch2.7gite2743ab": Label(torch="2.7", accelerator=cuda("12.6")),
    "cu128torch2.10git1a2b3c4": Label(torch="2.10", accelerator=cuda("12.8")),
    "cu.12.8.torch.2.11": Label(torch="2.11", accelerator=cuda("12.8")),
    "cu12.8torch2.10.0cxx11abiTRUE": Label(torch="2.10.0", accelerator=cuda("12.8"), cxx11_abi=True),
    "cu12.8.0torch2.8.0": Label(torch="2.8.0", accelerator=cuda("12.8")),
    "cuda12.1.torch2.3.0.dev20240229": Label(torch="2.3.0.dev20240229", accelerator=cuda("12.1")),
    "torch2.0.1.cu117": Label(torch="2.0.1", accelerator=cuda("11.7")),
    "cu121+torch2.1.2": Label(torch="2.1.2", accelerator=cuda("12.1")),
    "torch2100cu130": Label(torch_digits="2100", accelerator=cuda("13.0")),
    "torch271cu128py310": Label(torch_digits="271", accelerator=cuda("12.8")),
    "pt211cu130": Label(torch_digits="211", accelerator=cuda("13.0")),
    "fd27788pt2.9.1cu128": Label(torch="2.9.1", accelerator=cuda("12.8")),
    "2a420edpt2.1.1cu121": Label(torch="2.1.1", accelerator=cuda("12.1")),
    "d20260328cu130torch2.9.1cxx11abi1": Label(torch="2.9.1", accelerator=cuda("13.0"), cxx11_abi=True),
    "d20260610.cu132torch2.13.0.dev20260610cxx11abi1": Label(
        torch="2.13.0.dev20260610", accelerator=cuda("13.2"), cxx11_abi=True
    ),
    "20260330.cu128torch2110cxx11abitrue.98024f": Label(torch_digits="2110", accelerator=cuda("12.8"), cxx11_abi=True),
    "cu130torch2.9.0andhigher.post4": Label(torch="2.9.0", torch_minimum=True, accelerator=cuda("13.0")),
    "cu124torch2.5.1.post1": Label(torch="2.5.1", accelerator=cuda("12.4")),
    "cu13torch25.09cxx11abiTRUE": Label(vague_torch=True, accelerator=cuda("13"), cxx11_abi=True),
    "pytorch-24.05-py3": Label(vague_torch=True),
    "torch2.9c128": Label(torch="2.9"),
    "rocm6.2.4.torch2.6.0": Label(torch="2.6.0", accelerator=runs_on("rocm", "6.2.4")),
    "rocm64torch2.8": Label(torch="2.8", accelerator=runs_on("rocm", "6.4")),
    "hip63torch2.6": Label(torch="2.6", accelerator=runs_on("rocm", "6.3")),
    "rocm561": Label(accelerator=runs_on("rocm", "5.6.1")),
    "rocm5.4.2avx": Label(accelerator=runs_on("rocm", "5.4.2")),
    "rocm7.0.2.lw.git351ff442": Label(accelerator=runs_on("rocm", "7.0.2")),
    "rocm6.1.4d510c3a44": Label(accelerator=runs_on("rocm", "6.1")),
    "rocm6.2.0.1540b42334": Label(accelerator=runs_on("rocm", "6.2.0")),
    "rocm_git3f903c3": Label(accelerator=runs_on("rocm")),
    "rocmsdk20260116": Label(accelerator=runs_on("rocm")),
    "cpuavx2": Label(accelerator=runs_on("cpu")),
    "cpu.cxx11.abi": Label(accelerator=runs_on("cpu"), cxx11_abi=True),
    "pre.cxx11.abi": Label(cxx11_abi=False),
    "xpu": Label(accelerator=runs_on("xpu")),
    "vulkanavx": Label(accelerator=runs_on("vulkan")),
    "musa43": Label(accelerator=runs_on("musa", "4.3")),
    "ascend": Label(accelerator=runs_on("ascend")),
    "cuda12.cudnn9.onnxruntime1.27.1": Label(accelerator=cuda("12")),
    "ubuntu.22.4.cu131": Label(accelerator=cuda("13.1")),
    "g86b7e3c95.d20260318.cu131": Label(accelerator=cuda("13.1")),
    "cu117.with.pypi.cudnn": Label(accelerator=cuda("11.7")),
    "cu116AVX": Label(accelerator=cuda("11.6")),
    "cu12torch2.8.sm80.86.89.90": Label(torch="2.8", accelerator=cuda("12"), archs=("8.0", "8.6", "8.9", "9.0")),
    "cuda13.0.sm75.turing": Label(accelerator=cuda("13.0"), archs=("7.5",)),
    "arch75+torch251+cuda124": Label(torch_digits="251", accelerator=cuda("12.4"), archs=("7.5",)),
    "cxx11abiTRUEfullsm80sm90sm100sm120nvcc130": Label(
        accelerator=cuda("13.0"), cxx11_abi=True, archs=("8.0", "9.0", "10.0", "12.0")
    ),
    "sm90a.sm120f": Label(archs=("9.0a", "12.0f")),
    "py310_cu121_pyt241": Label(torch_digits="241", accelerator=cuda("12.1")),
    "rocm-rel-6.2.3": Label(accelerator=runs_on("rocm", "6.2.3")),
}


@pytest.mark.parametrize(("text", "wanted"), LABELS.items(), ids=LABELS)
def test_a_label_is_read(text: str, wanted: Label) -> None:
    assert read_label(text) == wanted
    assert read_label(text.upper()) == wanted


@pytest.mark.parametrize(
    "text",
    [
        *("", "ge2f56c309", "git1a2b3c4", "d86b7e3c95", "c309", "9249c25", "5d4b92a5.d20251026", "g8e1fd5baf"),
        *("d20260714", "20260318", "dev20240223", "nv23.06", "41361538.nv23.06", "computecanada", "precompiled"),
        *("gemma3", "ampere.llm", "gpt2.5", "script27", "torch2", "pt2", "cxx11", "focu128", "a1cu128", "torch2trt"),
        *("tpuvm", "cudnn89", "torchvision0.22", "optimum2.7", "abi3", "torch-20240101", "cu4"),
    ],
)
def test_what_is_no_statement_stays_unread(text: str) -> None:
    assert read_label(text) == Label()


@pytest.mark.parametrize("text", ["cu118.cu121", "cpu.cu121", "cuda12.4.rocm6.2"])
def test_contradicting_accelerators_are_none(text: str) -> None:
    assert read_label(text).accelerator is None


def test_contradicting_torch_versions_are_none() -> None:
    assert read_label("torch2.7.torch2.8") == Label(vague_torch=True)


def test_agreeing_versions_keep_the_most_precise() -> None:
    assert agreed(["2.7.1", "2.7"]) == "2.7.1"
    assert agreed(["2.1", "2.10"]) is None
    assert agreed([]) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        *(("12", "12"), ("11", "11"), ("9", "9"), ("8", "8"), ("92", "9.2"), ("90", "9.0"), ("75", "7.5")),
        *(("100", "10.0"), ("102", "10.2"), ("121", "12.1"), ("132", "13.2"), ("12.8", "12.8"), ("12.9.1", "12.9")),
        *(("1210", "12"), ("97", None), ("309", None), ("4", None), ("31", None), ("2.5", None)),
    ],
)
def test_the_number_of_a_cuda_label(text: str, wanted: str | None) -> None:
    assert cuda_version(text) == wanted


@pytest.mark.parametrize(
    ("digits", "wanted"),
    [
        *(("27", "2.7"), ("20", "2.0"), ("113", "1.13"), ("112", "1.12"), ("213", "2.13"), ("280", "2.8.0")),
        *(("271", "2.7.1"), ("2100", "2.10.0"), ("1131", "1.13.1"), ("2110", "2.11.0"), ("101", "1.0.1")),
        *(("2509", None), ("259", None), ("99", None), ("210", None), ("212", None)),
    ],
)
def test_packed_torch_digits_alone(digits: str, wanted: str | None) -> None:
    assert torch_from_digits(digits) == wanted


def test_the_publishers_convention_settles_ambiguous_digits() -> None:
    assert torch_from_digits("210", "major.minor") == "2.10"
    assert torch_from_digits("210", "major.minor.patch") == "2.1.0"
    assert torch_from_digits("271", "major.minor") == "2.7.1"


def test_what_was_published_settles_ambiguous_digits() -> None:
    assert torch_from_digits("210", None, "12.1") == "2.1.0"
    assert torch_from_digits("210", None, "12.8") == "2.10"
    assert torch_from_digits("210", None, "13") == "2.10"
    assert torch_from_digits("212", None, "11.8") == "2.1.2"
    assert torch_from_digits("210", None, None, "3.9") == "2.1.0"
    assert torch_from_digits("210", None, None, "3.13t") == "2.10"
    assert torch_from_digits("210", None, "12.4") is None
    assert torch_from_digits("220", None, "13.2") is None, "may be a 2.20 that the tables do not know yet"


@given(st.sampled_from(releases.torch_series()), st.sampled_from(["", "cu126", "cu12", "cpu", "rocm6.4"]))
def test_every_published_series_is_read_whole(series: str, other: str) -> None:
    assert read_label(f"{other}torch{series}").torch == series
    assert read_label(f"{other}.torch{series}cxx11abiTRUE").torch == series


@given(st.from_regex(r"g?[0-9a-f]{7,40}", fullmatch=True))
def test_no_commit_is_a_statement(commit: str) -> None:
    assert read_label(commit) == Label()
    assert read_label(f"cu128torch2.8.{commit}") == Label(torch="2.8", accelerator=cuda("12.8"))


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert isinstance(read_label(text), Label)
