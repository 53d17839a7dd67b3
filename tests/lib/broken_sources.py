"""Source archives that do not build, each for another reason, as the setup.py of CUDA extensions fails."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

# The back end is in the archive, so that none needs a network. It runs setup.py in each of its steps.
_BACKEND = """\
import os, runpy

def step(name):
    os.environ["STEP"] = name
    runpy.run_path("setup.py", run_name="__main__")

def get_requires_for_build_wheel(config_settings=None):
    step("requires")
    return []

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    step("metadata")
    os.mkdir(os.path.join(folder, "source-1.0.dist-info"))
    with open(os.path.join(folder, "source-1.0.dist-info", "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: source\\nVersion: 1.0\\n")
    with open(os.path.join(folder, "source-1.0.dist-info", "WHEEL"), "w") as file:
        file.write("Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    return "source-1.0.dist-info"

def build_wheel(folder, config_settings=None, metadata_directory=None):
    step("wheel")
    raise SystemExit("setup.py built nothing")
"""
_PYPROJECT = '[build-system]\nrequires = [{requires}]\nbuild-backend = "{backend}"\nbackend-path = ["."]\n'

# What fails on the first call of setup.py.
_AT_ONCE = {
    "imports-torch": "import torch\nfrom torch.utils.cpp_extension import BuildExtension",
    "imports-numpy": "import nosuchmodule",
}

# What fails when the wheel is built. Where a tool's own words are printed, the tool is not on every machine.
_AT_BUILD = {
    # torch/utils/cpp_extension.py: _join_cuda_home
    "no-cuda-home": "raise OSError('CUDA_HOME environment variable is not set. Please set it to your CUDA install root.')",
    "no-nvcc": "import subprocess; subprocess.check_output(['/nowhere/cuda/bin/nvcc', '-V'])",
    # torch/utils/cpp_extension.py: CUDA_MISMATCH_MESSAGE up to torch 2.12, and as torch 2.13 raises it
    "cuda-mismatch": (
        "raise RuntimeError('''\\nThe detected CUDA version (11.8) mismatches the version that was used to compile\\n"
        "PyTorch (12.4). Please make sure to use the same CUDA versions.\\n''')"
    ),
    "cuda-mismatch-2.13": (
        "raise RuntimeError('The detected CUDA version (%s) mismatches the version that was used to compile'\n"
        "    'PyTorch (%s). Please make sure to use the same CUDA versions.', '11.8', '12.4')"
    ),
    # setup.py of flash-attn 2.8
    "cuda-too-old": (
        "raise RuntimeError('FlashAttention is only supported on CUDA 11.7 and above.  '\n"
        "    'Note: make sure nvcc has a supported version by running nvcc -V.')"
    ),
    "torch-without-cuda": "raise AssertionError('Torch not compiled with CUDA enabled')",
    "no-ninja": "raise RuntimeError('Ninja is required to load C++ extensions (pip install ninja to get it)')",
    "killed": "import os; os.kill(os.getpid(), 9)",
    # g++ 12 reports the program that was killed by the name that it was started with
    "compiler-killed": (
        "import sys; print('g++: fatal error: Killed signal terminated program cc1plus')\n"
        "print('compilation terminated.')\n"
        "print('ninja: build stopped: subcommand failed.')\n"
        "raise RuntimeError('Error compiling objects for extension')"
    ),
    "out-of-memory": "bytearray(1 << 62)",
    "does-not-compile": "raise SystemExit(\"error: command 'nvcc' failed with exit code 1\")",
    "compiler-error": (
        "import subprocess\nopen('x.c', 'w').write('int main(void) { return nothing; }')\n"
        "subprocess.check_call(['cc', '-c', 'x.c'])"
    ),
    "missing-header": (
        "import subprocess\nopen('x.c', 'w').write('#include <nosuchheader.h>')\n"
        "subprocess.check_call(['cc', '-c', 'x.c'])"
    ),
    "missing-library": (
        "import subprocess\nopen('x.c', 'w').write('int main(void) { return 0; }')\n"
        "subprocess.check_call(['cc', 'x.c', '-lnosuchlibrary'])"
    ),
    "no-compiler": "raise SystemExit(\"error: command 'x86_64-linux-gnu-g++' failed: No such file or directory\")",
    # the first error, and what nvcc and ninja go on to say behind it
    "talks-on": (
        "print('nvcc fatal   : Unsupported gpu architecture \\'compute_120\\'')\n"
        "print(*['[%d/800] nvcc --threads 4 -c kernel.cu' % number for number in range(800)], sep='\\n')\n"
        "raise SystemExit('ninja: build stopped: subcommand failed.')"
    ),
}


def broken_sources(folder: Path) -> dict[str, Path]:
    """An archive for each way to fail, by its name: "source", version 1.0, unless the name says otherwise."""

    def archive(label: str, setup: str = "", *, needs: str = "", backend: str = "own") -> Path:
        texts = {
            "setup.py": setup,
            "own.py": _BACKEND,
            "pyproject.toml": _PYPROJECT.format(requires=needs, backend=backend),
        }
        return sdist(folder / "sources" / label / "source-1.0.tar.gz", texts)

    built = {name: _only_in("wheel", code) for name, code in _AT_BUILD.items()}
    metadata = _only_in("metadata", _AT_ONCE["imports-torch"])
    return {
        **{name: archive(name, code) for name, code in (_AT_ONCE | built).items()},
        "metadata-fails": archive("metadata-fails", metadata),
        "needs-build-dependency": archive("needs-build-dependency", needs='"nosuchbackend"'),
        "no-backend": archive("no-backend", backend="nosuchmodule"),
        "setup-py": sdist(folder / "sources" / "setup-py" / "source-1.0.tar.gz", {"setup.py": "import torch\n"}),
        "only-source": sdist(
            folder / "onlysource-1.0.tar.gz",
            {
                "setup.py": _AT_ONCE["imports-torch"],
                "own.py": _BACKEND,
                "pyproject.toml": _PYPROJECT.format(requires="", backend="own"),
            },
        ),
    }


def _only_in(step: str, code: str) -> str:
    body = "".join(f"    {line}\n" for line in code.splitlines())
    return f"import os\nif os.environ['STEP'] == '{step}':\n{body}"


def sdist(path: Path, texts: Mapping[str, str]) -> Path:
    """Write a source archive of these files, and the PKG-INFO that belongs to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stem = path.name.removesuffix(".tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {"PKG-INFO": "Metadata-Version: 2.1\nName: source\nVersion: 1.0\n", **texts}.items():
            info = tarfile.TarInfo(f"{stem}/{name}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return path
