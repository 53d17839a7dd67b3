"""What builds are read as: from every convention in the field, proved on the table of real wheels."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, parse_tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from pipfallback.builds import Build, LabelHints, Metadata, UnreadableFilenameError, read_build, with_metadata

WHEELS = Path(__file__).parents[2] / "shared" / "facts" / "wheels.tsv"

LINUX = "cp310-cp310-linux_x86_64.whl"
DAO = "https://github.com/Dao-AILab/flash-attention/releases/download"
MAMBA = "https://github.com/state-spaces/mamba/releases/download"
CONV1D = "https://github.com/Dao-AILab/causal-conv1d/releases/download"


def runs_on(build: Build) -> str:
    """The column "cuda" of the table of wheels."""
    if build.cuda or build.cpu:
        return build.cuda or "cpu"
    if build.rocm:
        return f"rocm{build.rocm}"
    return (build.accelerator or "-") + (build.accelerator_version or "")


def needs_torch(build: Build) -> str:
    """The column "torch" of the table of wheels."""
    return (">=" if build.torch_rule == "minimum" else "") + (build.torch or "-")


# Rows that are read otherwise than their columns say: (part of the row, column, what is read, why).
ELIDED = "no file name: somebody wrote ... for a part"
FOLDER = "the URL's folder states it; the table leaves it unknown"
NAME = "the project's name states it, as the table itself has it for pytorch_triton_rocm"
HASH = "the last part begins a git hash of ten digits, not a version"
CUDNN = "2.0.0 still wrote CUDA and cuDNN: CUDA 9.7, 10.7 and 97 never existed"
PRECISE = "the label states the minor version, the table has only the name's major"
DIGITS = "torch 2.1.0 exists for CUDA 11.8 and 12.1 only, and not for Python 3.13; 2.10 does"
PROSE = "only the publisher's page says it: the catalog states it, no name does"
EXCEPTIONS = (
    ("nvdiffrast-0.4.0+cu128torch28-cp310-...-linux", "filename", None, ELIDED),
    ("torch-2.11.0-cp312-...-linux", "filename", None, ELIDED),
    ("/cu126_torch260/simple/transformer-engine/", "torch", "2.6.0", FOLDER),
    ("/whl/torch-1.4.0%2Bcpu/", "cuda", "cpu", FOLDER),
    ("/whl/torch-1.9.0%2Bcpu/", "cuda", "cpu", FOLDER),
    ("/whl/cu129/torchvision-0.24.1", "cuda", "12.9", FOLDER),
    ("/jp6/cu128/+f/e1a/", "cuda", "12.8", FOLDER),
    ("/w-e-w/torch-2.6.0-cu128.nv/", "torch", "2.6.0", FOLDER),
    ("/ipex_dev/cpu/intel_extension_for_pytorch-", "cuda", "cpu", FOLDER),
    ("/ipex_dev/xpu/", "cuda", "xpu", FOLDER),
    ("/ipex_stable/xpu/", "cuda", "xpu", FOLDER),
    ("/Nuullll/intel-extension-for-pytorch/releases/download/v2", "cuda", "xpu", FOLDER),
    ("/windows/rocm-rel-7.2/", "cuda", "rocm7.2", FOLDER),
    ("paddlepaddle_rocm-", "cuda", "rocm", NAME),
    ("%2Brocm6.1.3.4d510c3a44-", "cuda", "rocm6.1.3", HASH),
    ("%2Brocm6.1.4d510c3a44-", "cuda", "rocm6.1", HASH),
    ("%2Brocm6.2.0.1540b42334-", "cuda", "rocm6.2.0", HASH),
    ("%2Brocm6.3.1.75cc27c26a-", "cuda", "rocm6.3.1", HASH),
    ("paddlepaddle_gpu-2.0.0.post107-", "cuda", "10", CUDNN),
    ("paddlepaddle_gpu-2.0.0.post97-", "cuda", "9", CUDNN),
    ("transformer_engine_cu12-2.16.0+cu.12.8-", "cuda", "12.8", PRECISE),
    ("%2Bcu130.torch210-cp313-", "torch", "2.10", DIGITS),
    ("%2Bcu128.torch210-cp313-", "torch", "2.10", DIGITS),
    ("/ByteDance-Seed/SeedVR2-3B/resolve/main/apex-0.1-cp310-", "cuda", "-", PROSE),
    ("/ByteDance-Seed/SeedVR2-3B/resolve/main/apex-0.1-cp310-", "torch", "-", PROSE),
)


def differences(row: dict[str, str]) -> dict[str, str | None]:
    """The columns that are read otherwise, with what is read."""
    try:
        build = read_build(row["url_or_filename"])
    except UnreadableFilenameError:
        return {"filename": None}
    accelerators = {"-", "ascend"} if row["cuda"] == "-" else {row["cuda"]}
    label = {None: "-", True: "TRUE", False: "FALSE"}[build.cxx11_abi_label]
    tags = parse_tag("-".join((row["python_tag"], row["abi_tag"], row["platform_tag"])))
    public = build.version.public
    return {
        column: found
        for column, found, same in (
            ("project", build.name, build.name == row["project"]),
            (
                "version",
                public,
                row["version"] in {public, build.unusual_version} or Version(row["version"]) == build_public(build),
            ),
            ("cuda", runs_on(build), runs_on(build) in accelerators),
            ("torch", needs_torch(build), needs_torch(build) == row["torch"]),
            ("cxx11abi", label, label == row["cxx11abi"]),
            ("tags", str(sorted(map(str, build.tags))), build.tags == tags),
        )
        if not same
    }


def build_public(build: Build) -> Version:
    return Version(build.version.public)


@pytest.mark.skipif(not WHEELS.exists(), reason="left out: ../shared/facts is not here")
def test_every_certain_wheel_of_the_table_is_read_as_its_columns_say() -> None:
    with WHEELS.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if not row["unsure"]]
    right: Counter[str] = Counter()
    unexplained, used = [], set()
    for row in rows:
        found = differences(row)
        for column, value in found.items():
            reason = [one for one in EXCEPTIONS if one[0] in row["url_or_filename"] and one[1:3] == (column, value)]
            used.update(reason)
            if not reason:
                unexplained.append((row["url_or_filename"], column, row.get(column), value))
        right[row["project"]] += not found
    every = Counter(row["project"] for row in rows)
    for project, count in sorted(every.items()):
        print(f"{project}: {right[project]} of {count}")
    print(f"all: {right.total()} of {len(rows)} as the columns say, the rest explained row by row")
    assert unexplained == []
    assert used == set(EXCEPTIONS), "an exception that no row needs"
    assert right.total() >= len(rows) * 0.985


def test_parts_of_a_file_name_are_those_of_packaging() -> None:
    name = (
        "Flash_Attn-2.8.3.post1+cu12torch2.8cxx11abiTRUE-3foo-cp310.cp311-abi3-manylinux_2_24_x86_64.linux_x86_64.whl"
    )
    build = read_build(name)
    assert (build.name, build.version, build.build_number, build.tags) == parse_wheel_filename(name)
    assert build.filename == name


@pytest.mark.parametrize(
    "location",
    [
        f"{DAO}/v2.8.3/flash_attn-2.8.3+cu12torch2.8cxx11abiTRUE-{LINUX}",
        f"{DAO}/v2.8.3/flash_attn-2.8.3%2Bcu12torch2.8cxx11abiTRUE-{LINUX}",
        f"{DAO}/v2.8.3/flash_attn-2.8.3%2bcu12torch2.8cxx11abiTRUE-{LINUX}?download=true#sha256=00ff",
        f"{DAO}/v2.8.3/flash_attn-2.8.3+cu12torch2.8cxx11abiTRUE-{LINUX}?x=/other-1.0-py3-none-any.whl".upper(),
        f"https://mirror.example/{DAO}/v2.8.3/flash_attn-2.8.3+cu12torch2.8cxx11abitrue-{LINUX}#egg=flash_attn",
    ],
)
def test_the_form_of_a_url_does_not_change_the_reading(location: str) -> None:
    build = read_build(location)
    assert (build.name, str(build.version)) == ("flash-attn", "2.8.3+cu12torch2.8cxx11abitrue")
    assert (build.torch, build.cuda, build.cxx11_abi_label, build.cxx11_abi) == ("2.8", "12", True, True)
    assert build.tags == {Tag("cp310", "cp310", "linux_x86_64")}


@pytest.mark.parametrize(
    "location",
    [
        f"/srv/C#/torch2.1/what?/xformers-0.0.31-{LINUX}",
        f"C:\\wheels\\cu118\\xformers-0.0.31-{LINUX}",
        f"./cpu/xformers-0.0.31-{LINUX}#sha256=00",
        f"file:///home/me/cu118/torch2.1/xformers-0.0.31-{LINUX}",
    ],
)
def test_folders_of_the_own_disk_state_nothing(location: str) -> None:
    build = read_build(location)
    assert (build.name, build.torch, runs_on(build)) == ("xformers", None, "-")
    assert build.filename == f"xformers-0.0.31-{LINUX}"


FOLDERS = {
    "https://download.pytorch.org/whl/cu118/": ("11.8", "-"),
    "https://dl.fbaipublicfiles.com/pytorch3d/packaging/wheels/py310_cu121_pyt241/": ("12.1", "2.4.1"),
    "https://dl.fbaipublicfiles.com/pytorch3d/packaging/wheels/py310_cu113_pyt1121/": ("11.3", "1.12.1"),
    "https://download.openmmlab.com/mmcv/dist/cu117/torch2.0.0/": ("11.7", "2.0.0"),
    "https://data.dgl.ai/wheels/torch-2.4/cu124/": ("12.4", "2.4"),
    "https://flashinfer.ai/whl/cu121/torch2.4/flashinfer/": ("12.1", "2.4"),
    "https://data.pyg.org/whl/torch-2.5.0%2Bcu124/": ("12.4", "2.5.0"),
    "https://github.com/abetlen/llama-cpp-python/releases/download/v0.2.50-cu121/": ("12.1", "-"),
    "https://github.com/abetlen/llama-cpp-python/releases/download/v0.2.50-metal/": ("metal", "-"),
    "https://github.com/o/r/releases/download/sageattn-py312-cu128-pt28/": ("12.8", "2.8"),
    "https://huggingface.co/datasets/o/r/resolve/main/wheels/pt212-cu130-cp313/": ("13.0", "2.12"),
    "https://huggingface.co/o/r/resolve/main/linux_x86_64/torch2.4/cu12/abiFALSE/cp310/": ("12", "2.4"),
    "https://huggingface.co/o/torch2.12-cu133-cp312-wheels/resolve/main/": ("13.3", "2.12"),
    "https://pypi.jetson-ai-lab.dev/jp6/cu126/+f/12e/c0ac6a30a6a2f/": ("12.6", "-"),
    "https://repo.radeon.com/rocm/manylinux/rocm-rel-6.2.3/": ("rocm6.2.3", "-"),
    "https://github.com/o/r/releases/download/v2.8.4_win-rocm/": ("rocm", "-"),
    "https://github.com/ROCm/jax/releases/download/rocm-jax-v0.4.34/": ("-", "-"),
    "https://github.com/o/whisper-cpu/releases/download/v1/": ("-", "-"),
    "https://github.com/o/r/releases/download/v2.8.3-torch2.11-clean/": ("-", "2.11"),
    "https://files.pythonhosted.org/packages/c0/ac/6a30a6a2f0c0ac6a30a6a2f0c0ac6a30a6a2f0/": ("-", "-"),
}


@pytest.mark.parametrize(("folder", "wanted"), FOLDERS.items(), ids=FOLDERS)
def test_what_the_folders_of_a_url_state(folder: str, wanted: tuple[str, str]) -> None:
    build = read_build(f"{folder}thing-1.0-{LINUX}")
    assert (runs_on(build), needs_torch(build)) == wanted


def test_an_abi_label_may_stand_in_the_folder() -> None:
    build = read_build(f"https://huggingface.co/o/r/resolve/main/torch2.4/cu12/abiFALSE/flash_attn-2.8.3-{LINUX}")
    assert (build.cxx11_abi_label, build.cxx11_abi) == (False, None)


def test_the_name_comes_before_hints_and_these_before_the_folder() -> None:
    url = f"https://x.example/whl/cu118/torch2.1/thing-1.0{{}}-{LINUX}"
    hints = LabelHints(cuda="12.4", torch="2.5", archs=("8.0",))
    named = read_build(url.format("+cu128torch2.7"), hints)
    assert (named.cuda, named.torch, named.archs) == ("12.8", "2.7", ("8.0",))
    hinted = read_build(url.format(""), hints)
    assert (hinted.cuda, hinted.torch) == ("12.4", "2.5")
    placed = read_build(url.format(""))
    assert (placed.cuda, placed.torch) == ("11.8", "2.1")
    assert read_build(url.format("+cpu"), hints).cuda is None


def test_hints_state_rocm_and_cpu() -> None:
    assert read_build(f"thing-1.0-{LINUX}", LabelHints(rocm="6.4")).rocm == "6.4"
    assert read_build(f"thing-1.0-{LINUX}", LabelHints(cpu=True)).cpu is True


def test_a_kind_without_version_takes_the_version_that_another_place_states() -> None:
    build = read_build(f"https://repo.radeon.com/rocm/manylinux/rocm-rel-7.0.2/transformer_engine_rocm-2.1.0-{LINUX}")
    assert (build.rocm, build.accelerator) == ("7.0.2", None)
    bare = read_build("pytorch_triton_rocm-3.0.0-cp39-cp39-linux_x86_64.whl")
    assert (bare.rocm, bare.accelerator) == (None, "rocm")


NAMES = {
    f"cupy_cuda12x-13.4.1-{LINUX}": "12",
    f"cupy_cuda101-9.0.0-{LINUX}": "10.1",
    f"spconv_cu120-2.3.6-{LINUX}": "12.0",
    f"rmm_cu12-26.2.0-{LINUX}": "12",
    f"jax_cuda12_plugin-0.8.0-{LINUX}": "12",
    f"jax_rocm60_plugin-0.4.31-{LINUX}": "rocm6.0",
    f"mlc_llm_nightly_cu122-0.1-{LINUX}": "12.2",
    f"paddlepaddle_gpu-2.6.1.post120-{LINUX}": "12.0",
    f"paddlepaddle_gpu-1.8.4.post97-{LINUX}": "9",
    f"paddlepaddle_gpu-1.8.4.post107-{LINUX}": "10",
    f"paddlepaddle_gpu-2.3.0.post101-{LINUX}": "10.1",
    f"other_gpu-2.6.1.post120-{LINUX}": "-",
    f"pycuda-2024.1-{LINUX}": "-",
    "torch-2.2.2-cp39-cp39-manylinux1_x86_64.whl": "12.1",
    "torch-2.7.0-cp39-cp39-win_amd64.whl": "cpu",
    "torch-2.15.0-cp314-cp314t-macosx_14_0_arm64.whl": "cpu",
    f"torch-2.1.0a0+41361538.nv23.06-{LINUX}": "-",
    f"https://developer.download.nvidia.com/compute/redist/jp/v512/pytorch/torch-2.1.0a0+41361538.nv23.06-{LINUX}": "11.4",
    f"https://github.com/abetlen/llama-cpp-python/releases/download/v0.2.11/llama_cpp_python-0.2.11-{LINUX}": "cpu",
}


@pytest.mark.parametrize(("location", "wanted"), NAMES.items(), ids=NAMES)
def test_cuda_in_names_and_versions(location: str, wanted: str) -> None:
    assert runs_on(read_build(location)) == wanted


def test_a_build_tag_can_hold_torch_and_cuda() -> None:
    build = read_build("sageattention-2.2.0-270.128-cp312-cp312-win_amd64.whl")
    assert (build.torch, build.cuda, build.build_number) == ("2.7.0", "12.8", (270, ".128"))
    ordinary = read_build("torch-2.10.0-3-cp311-cp311-manylinux_2_28_x86_64.whl")
    assert (ordinary.torch, ordinary.build_number) == ("2.10.0", (3, ""))


def test_tinycudann_writes_architecture_torch_and_cuda_as_post_release() -> None:
    build = read_build(f"tinycudann-1.7.post75251124-{LINUX}")
    assert (build.archs, build.torch, build.cuda) == (("7.5",), "2.5.1", "12.4")
    build = read_build(f"other-1.7.post75251124-{LINUX}")
    assert (build.archs, build.torch, build.cuda) == (None, None, None)


def test_a_build_of_torch_states_its_own_version() -> None:
    build = read_build("torch-2.7.1%2Bcu128.torch260-cp310-cp310-manylinux_2_28_x86_64.whl", LabelHints(torch="2.5"))
    assert (build.torch, build.torch_rule, build.cuda) == ("2.7.1", "exact", "12.8")


@pytest.mark.parametrize(
    ("name", "torch"),
    [
        ("a-1.0+cu128.torch210-cp313-cp313-linux_x86_64.whl", "2.10"),
        ("natten-0.15+torch210cu121-cp310-cp310-linux_x86_64.whl", "2.1.0"),
        ("a-1.0+torch210cpu-cp312-cp312-linux_x86_64.whl", "2.10"),
        ("a-1.0+torch210cpu-cp38-cp38-linux_x86_64.whl", "2.1.0"),
        ("a-1.0+torch210cpu-cp310-cp310-linux_x86_64.whl", None),
        ("a-1.0+torch210cpu-cp39-abi3-linux_x86_64.whl", None),
        ("a-1.0+torch210rocm70-cp313-cp313t-linux_x86_64.whl", "2.10"),
    ],
)
def test_ambiguous_torch_digits(name: str, torch: str | None) -> None:
    assert read_build(name).torch == torch
    assert read_build(name, LabelHints(torch_digits="major.minor")).torch == "2.10"
    assert read_build(name, LabelHints(torch_digits="major.minor.patch")).torch == "2.1.0"


ABI = {
    f"{DAO}/v2.8.3/flash_attn-2.8.3+cu12torch2.6cxx11abiFALSE-{LINUX}": True,
    f"{DAO}/v2.8.3/flash_attn-2.8.3+cu12torch2.7cxx11abiFALSE-{LINUX}": True,
    f"{DAO}/v2.8.3/flash_attn-2.8.3+cu12torch2.8cxx11abiFALSE-{LINUX}": True,
    f"{DAO}/v2.8.3/flash_attn-2.8.3+cu12torch2.5cxx11abiFALSE-{LINUX}": False,
    f"{DAO}/v2.8.3/flash_attn-2.8.3+cu12torch2.5cxx11abiTRUE-{LINUX}": True,
    f"{DAO}/v2.7.4.post1/flash_attn-2.7.4.post1+cu12torch2.6cxx11abiFALSE-{LINUX}": False,
    f"{DAO}/v2.9.0/flash_attn-2.9.0+cu12torch2.6cxx11abiFALSE-{LINUX}": None,
    f"{DAO}/v2.8.3/flash_attn-2.8.3+cu13torch25.09cxx11abiFALSE-{LINUX}": None,
    f"{CONV1D}/v1.5.4/causal_conv1d-1.5.4+cu11torch2.6cxx11abiFALSE-{LINUX}": False,
    f"{CONV1D}/v1.5.4/causal_conv1d-1.5.4+cu12torch2.6cxx11abiFALSE-{LINUX}": True,
    f"{CONV1D}/v1.5.0.post8/causal_conv1d-1.5.0.post8+cu12torch2.6cxx11abiFALSE-{LINUX}": False,
    f"{MAMBA}/v2.2.5/mamba_ssm-2.2.5+cu12torch2.6cxx11abiFALSE-{LINUX}": True,
    f"{MAMBA}/v2.2.6/mamba_ssm-2.2.6+cu12torch2.6cxx11abiFALSE-{LINUX}": None,
    f"{MAMBA}/v2.3.0/mamba_ssm-2.3.0+cu12torch2.6cxx11abiFALSE-cp310-cp310-linux_aarch64.whl": True,
    f"{MAMBA}/v2.3.0/mamba_ssm-2.3.0+cu11torch2.6cxx11abiFALSE-cp310-cp310-linux_aarch64.whl": None,
    f"https://x.example/flash_attn-2.8.3+cu12torch2.8cxx11abiTRUE-{LINUX}": None,
    f"flash_attn-2.8.3+cu12torch2.8cxx11abiFALSE-{LINUX}": None,
}


@pytest.mark.parametrize(("location", "truth"), ABI.items(), ids=ABI)
def test_the_abi_is_a_fact_only_where_publisher_and_release_are_known(location: str, truth: bool | None) -> None:
    build = read_build(location)
    assert build.cxx11_abi is truth
    assert build.cxx11_abi_label is ("abiTRUE" in location)


def test_hints_make_abi_labels_facts_or_overrule_them() -> None:
    name = f"flash_attn-2.8.3+cu12torch2.6cxx11abiFALSE-{LINUX}"
    assert read_build(name, LabelHints(cxx11_abi_labels="fact")).cxx11_abi is False
    assert read_build(name, LabelHints(cxx11_abi=True, cxx11_abi_labels="fact")).cxx11_abi is True
    assert read_build(f"flash_attn-2.8.3-{LINUX}", LabelHints(cxx11_abi_labels="fact")).cxx11_abi is None
    official = f"{DAO}/v2.8.3/flash_attn-2.8.3+cu12torch2.8cxx11abiTRUE-{LINUX}"
    assert read_build(official, LabelHints(cxx11_abi=False)).cxx11_abi is False


@pytest.mark.parametrize(
    ("label", "truth"),
    [
        ("cu124torch2.5", False),
        ("cu126torch2.6", True),
        ("cu124torch2.6", False),
        ("cu128torch2.6", None),  # there is no such torch to be built with
        ("cu128torch2.7", True),
        ("torch210cu128", True),
        ("rocm6.2torch2.6", True),
        ("cu128", None),
    ],
)
def test_a_build_that_was_made_with_the_official_torch_has_its_abi(label: str, truth: bool | None) -> None:
    hints = LabelHints(cxx11_abi_labels="torch")
    assert read_build(f"gsplat-1.5.0+{label}-{LINUX}", hints).cxx11_abi is truth
    assert read_build(f"gsplat-1.5.0+{label}-{LINUX}").cxx11_abi is None
    assert read_build(f"gsplat-1.5.0+{label}-cp312-cp312-win_amd64.whl", hints).cxx11_abi is None
    assert (
        read_build(f"gsplat-1.5.0+{label}-{LINUX}", LabelHints(cxx11_abi=False, cxx11_abi_labels="torch")).cxx11_abi
        is False
    )


def test_on_windows_the_abi_has_no_meaning() -> None:
    name = "flash_attn-2.8.3+cu128torch2.7.0cxx11abiFALSE-cp312-cp312-win_amd64.whl"
    build = read_build(name, LabelHints(cxx11_abi=True, cxx11_abi_labels="fact"))
    assert (build.cxx11_abi, build.cxx11_abi_label) == (None, False)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        (f"EETQ-1.0.0+cu121+torch2.1.2-{LINUX}", "1.0.0+cu121.torch2.1.2"),
        ("gsplat-1.2.0.pt20cu117-py3-none-any.whl", "1.2.0+pt20cu117"),
        (f"paddlepaddle_rocm-2.1.0.rocm401.miopen211-{LINUX}", "2.1.0+rocm401.miopen211"),
    ],
)
def test_a_version_that_is_not_pep_440_is_read_and_marked(name: str, version: str) -> None:
    build = read_build(name)
    assert str(build.version) == version
    assert build.unusual_version == name.split("-")[1].lower()
    assert read_build(f"gsplat-1.2.0-{LINUX}").unusual_version is None


@pytest.mark.parametrize(
    "location",
    [
        *("", "/", "torch", "torch.whl", ".whl", "https://x.example/", "2sv2fv1abc.whl", "flash_attn-2.8.3.tar.gz"),
        *("a-1.0-cp310-linux.whl", "a-1.0-1-2-cp310-cp310-linux_x86_64.whl", "-1.0-py3-none-any.whl"),
        *("a-x-py3-none-any.whl", "a-1.0-beta-py3-none-any.whl", "a__b-1.0-py3-none-any.whl", "a-1.0-py3--any.whl"),
        *("torch-2.11.0-cp312-...-linux.whl", f"a-1.0-{'.'.join(['py3'] * 100)}-{'.'.join(['x'] * 100)}-any.whl"),
        f"a-{'9' * 5000}-py3-none-any.whl",
    ],
)
def test_what_is_no_wheels_name_is_refused(location: str) -> None:
    with pytest.raises(UnreadableFilenameError):
        read_build(location)


TEXT = st.one_of(
    st.text(),
    st.from_regex(r"(https?://[a-z./%?#+]*)?[\w%+.-]+-[\w+.%]+(-[0-9]\w*)?-[\w.]+-[\w.]+-[\w.]+\.(whl|WHL)[?#]?.*"),
)


@given(TEXT)
def test_reading_raises_nothing_but_its_own_error(text: str) -> None:
    try:
        build = read_build(text)
    except UnreadableFilenameError:
        return
    assert build.name
    assert build.tags


@given(st.from_regex(r"[\w.]+-[\w+.]+(-[0-9]\w*)?-[\w.]+-[\w.]+-[\w.]+\.whl", fullmatch=True))
def test_whatever_packaging_reads_is_read_the_same(name: str) -> None:
    try:
        wanted = parse_wheel_filename(name.lower())
    except (InvalidWheelFilename, ValueError):
        return
    build = read_build(name)
    assert (build.name, build.version, build.build_number, build.tags) == wanted


WORDS = [
    "cu12",
    "cu128",
    "torch2.10",
    "torch2.7.1",
    "cxx11abiTRUE",
    "rocm6.4",
    "cpu",
    "g1a2b3c4d",
    "d20260101",
    "pt25",
    "sm90",
]


@given(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
    st.sampled_from(["", "?download=true", "#sha256=0f", "?a=b#c"]),
)
def test_case_encoding_query_and_fragment_do_not_change_the_reading(words: list[str], suffix: str) -> None:
    plain = f"https://x.example/whl/thing-1.0+{'.'.join(words)}-{LINUX}"
    wanted = read_build(plain)
    for other in (plain.upper() + suffix, plain.replace("+", "%2B") + suffix, plain.replace("+", "%2b")):
        found = read_build(other)
        assert {**fields_of(found), "filename": ""} == {**fields_of(wanted), "filename": ""}


def fields_of(build: Build) -> dict[str, object]:
    return {name: getattr(build, name) for name in build.__slots__}


def test_a_read_build_is_as_one_that_was_constructed() -> None:
    build = read_build(f"thing-1.0+cu128torch2.7-{LINUX}")
    again = Build(**fields_of(build))  # type: ignore[arg-type]  # the fields of a Build, by name
    assert again == build
    assert hash(again) == hash(build)


def metadata(*requires: str, version: str = "1.0", python: str | None = None) -> Metadata:
    return Metadata(
        name="thing",
        version=version,
        requires_python=SpecifierSet(python) if python else None,
        requires=tuple(map(Requirement, requires)),
    )


def test_metadata_pins_torch_exactly() -> None:
    build = with_metadata(read_build(f"thing-1.0+torch2.7-{LINUX}"), metadata("torch==2.7.1", "einops", python=">=3.9"))
    assert (build.torch, build.torch_rule) == ("2.7.1", "exact")
    assert build.requires_python == SpecifierSet(">=3.9")
    assert [one.name for one in build.requires] == ["torch", "einops"]


@pytest.mark.parametrize(
    ("requirement", "torch", "rule"),
    [
        ("torch>=2.9", None, "series"),
        ("torch", None, "series"),
        ("torch==2.7.*", "2.7", "series"),
        ("torch~=2.7.0", "2.7", "series"),
        ("Torch===2.7.1", "2.7.1", "exact"),
        ("torch==2.7.1; platform_system == 'Linux'", "2.7.1", "exact"),
        ("torch==2.7.1; platform_system == 'Windows'", None, "series"),
        ("torch==2.7.1; python_version < '3.10'", None, "series"),
        ("torch==2.7.1; extra == 'gpu'", None, "series"),
    ],
)
def test_which_requirements_state_a_torch(requirement: str, torch: str | None, rule: str) -> None:
    build = with_metadata(read_build(f"thing-1.0-{LINUX}"), metadata(requirement))
    assert (build.torch, build.torch_rule) == (torch, rule)


def test_requirements_of_extras_are_dropped_and_other_markers_kept() -> None:
    kept = "numpy; python_version < '3.12'"
    build = with_metadata(read_build(f"thing-1.0-{LINUX}"), metadata(kept, "pytest; extra == 'test'"))
    assert build.requires == (Requirement(kept),)


@pytest.mark.parametrize(
    ("requires", "cuda"),
    [
        (["nvidia-cuda-runtime-cu12==12.8.90"], "12.8"),
        (["nvidia-cublas-cu12==12.8.4.1", "nvidia-cuda-nvrtc-cu12==12.6.77"], "12.6"),
        (["nvidia-cublas-cu12==12.8.4.1"], "12"),
        (["cuda-toolkit[cudart,nvrtc]==13.0.2; platform_system == 'Linux'"], "13.0"),
        (["nvidia-cuda-runtime==13.0.96"], "13.0"),
        (["nvidia-cuda-runtime-cu12>=12.4"], "12"),
        (["nvidia-cudnn-cu12==9.1", "nvidia-cuda-runtime-cu11==11.8.89"], None),
        (["nvidia-cuda-runtime-cu12==12.8.90; platform_machine == 'aarch64'"], None),
        (["torch==2.7.1+cu126"], "12.6"),
        (["nvidia-ml-py"], None),
    ],
)
def test_nvidia_pins_fill_an_unknown_cuda(requires: list[str], cuda: str | None) -> None:
    assert with_metadata(read_build(f"thing-1.0-{LINUX}"), metadata(*requires)).cuda == cuda


def test_what_the_name_says_of_cuda_is_not_changed() -> None:
    pin = metadata("nvidia-cuda-runtime-cu12==12.8.90")
    assert with_metadata(read_build(f"thing-1.0+cu118-{LINUX}"), pin).cuda == "11.8"
    assert with_metadata(read_build(f"thing-1.0+rocm6.4-{LINUX}"), pin).cuda is None
    assert with_metadata(read_build(f"thing-1.0+cpu-{LINUX}"), pin).cpu is True


def test_the_local_version_of_metadata_is_read_where_the_name_has_none() -> None:
    label = metadata(version="2.8.3+cu128torch2.9.0andhigher.sm90")
    build = with_metadata(read_build(f"thing-2.8.3-{LINUX}"), label)
    assert (build.cuda, build.torch, build.torch_rule, build.archs) == ("12.8", "2.9.0", "minimum", ("9.0",))
    named = with_metadata(read_build(f"thing-2.8.3+cu126torch2.7-{LINUX}"), label)
    assert (named.cuda, named.torch, named.torch_rule) == ("12.6", "2.7", "series")


def test_metadata_of_torch_itself_changes_no_version() -> None:
    build = with_metadata(read_build(f"torch-2.7.1-{LINUX}"), metadata("nvidia-cuda-runtime-cu12==12.6.77"))
    assert (build.torch, build.torch_rule, build.cuda) == ("2.7.1", "exact", "12.6")


@pytest.mark.parametrize(
    ("location", "torch", "vague"),
    [
        ("x-1.0+cu128torch2.9-cp310-cp310-linux_x86_64.whl", "2.9", False),
        ("x-1.0+torch210-cp310-cp310-linux_x86_64.whl", None, True),
        ("x-1.0+torch25.09-cp310-cp310-linux_x86_64.whl", None, True),
        ("https://example.org/torch210/x-1.0-cp310-cp310-linux_x86_64.whl", None, True),
        ("x-1.0-cp310-cp310-linux_x86_64.whl", None, False),
    ],
)
def test_a_torch_that_cannot_be_read_is_not_none(location: str, torch: str | None, vague: bool) -> None:
    build = read_build(location)
    assert (build.torch, build.vague_torch) == (torch, vague)


def test_a_torch_in_the_version_of_metadata_that_cannot_be_read_is_not_none() -> None:
    build = read_build("x-1.0-cp310-cp310-linux_x86_64.whl")
    for version, vague in (("1.0+torch25.09", True), ("1.0+torch2.9", False), ("1.0", False)):
        assert with_metadata(build, Metadata(name="x", version=version)).vague_torch is vague


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("k2-1.24.4+cuda12.8.torch2.7.1-cp312-cp312-manylinux_2_28_x86_64.whl", "exact"),
        ("k2-1.24.4+cuda12.8.torch2.7-cp312-cp312-manylinux_2_28_x86_64.whl", "series"),
        ("k2-1.24.4-cp312-cp312-manylinux_2_28_x86_64.whl", "series"),
        ("flash_attn-2.8.3+cu128torch2.11andhigher-cp312-cp312-linux_x86_64.whl", "minimum"),
    ],
)
def test_a_publisher_whose_packages_refuse_another_patch_pins_the_patch_in_its_names(name: str, rule: str) -> None:
    assert read_build(name, LabelHints(torch_rule="exact")).torch_rule == rule
    assert read_build(name).torch_rule == ("minimum" if rule == "minimum" else "series")
