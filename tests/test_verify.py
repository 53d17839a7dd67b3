"""Imports in real virtual environments: what works, what does not, and what tells of this machine only."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.extensions import broken_extension, has_compiler, working_extension
from lib.trees import changes, tree
from lib.venvs import make_venv, site_packages
from pipfallback.verify import Trial, Verdict, verify

SECONDS = 60.0  # for what ends by itself; other tests keep the machine busy


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_venv(tmp_path_factory.mktemp("verify") / "venv", pip=None)


@pytest.fixture
def site(interpreter: Path, tmp_path: Path) -> Path:
    """A folder of packages for one test, which stands in for site-packages of ``interpreter`` by way of a .pth file."""
    folder = tmp_path / "packages"
    folder.mkdir()
    (site_packages(interpreter) / "test.pth").write_text(f"{folder}\n")
    return folder


def put(folder: Path, **modules: str) -> None:
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)


def imported(interpreter: Path, *modules: str, timeout: float = SECONDS) -> Verdict:
    return verify(str(interpreter), Trial(modules=modules, timeout=timeout))


def test_what_imports_is_said_to_import(interpreter: Path, site: Path) -> None:
    put(site, good="import other\n", other="")
    verdict = imported(interpreter, "good", "other")
    assert (verdict.status, verdict.cause, verdict.message, verdict.output) == ("imports", None, None, "")
    assert verdict.acceptable
    assert verdict.seconds > 0


@pytest.mark.parametrize("version", ["3.8", "3.10", "3.13"])
def test_the_oldest_and_the_newest_target_answer(version: str, tmp_path: Path) -> None:
    python = make_venv(tmp_path / "venv", python=version, pip=None)
    put(site_packages(python), good="", bad="import nothing_of_this_name\n")
    assert imported(python, "good").status == "imports"
    assert imported(python, "bad").message == (
        "it needs the module nothing_of_this_name, which is not installed "
        "(import bad: ModuleNotFoundError: No module named 'nothing_of_this_name')"
    )


def test_a_failed_import_names_the_module_and_the_error_in_one_line(interpreter: Path, site: Path) -> None:
    put(site, good="", bad="raise ImportError('first line\\nsecond line')\n")
    verdict = imported(interpreter, "good", "bad")
    assert (verdict.status, verdict.cause, verdict.module) == ("broken", "import-failed", "bad")
    assert verdict.message == "import bad: ImportError: first line"
    assert "second line" in verdict.output
    assert "Traceback" in verdict.output
    assert not verdict.acceptable


@pytest.mark.skipif(not has_compiler(), reason="no C compiler")
def test_an_undefined_symbol_is_told_without_the_long_path(interpreter: Path, site: Path) -> None:
    for name, content in broken_extension(python=interpreter).items():
        (site / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    verdict = imported(interpreter, "flash_attn_2_cuda")
    assert verdict.status == "broken"
    assert verdict.message is not None
    assert verdict.message.startswith("built for another torch, or with the new C++ ABI: it needs c10::Error::Error, ")
    assert " (import flash_attn_2_cuda: ImportError: flash_attn_2_cuda.cpython-" in verdict.message
    assert "undefined symbol: _ZN3c105ErrorC2" in verdict.message
    assert str(site) not in verdict.message
    assert str(site) in verdict.output


@pytest.mark.skipif(not has_compiler(), reason="no C compiler")
def test_a_compiled_module_that_loads_imports(interpreter: Path, site: Path) -> None:
    for name, content in working_extension(python=interpreter).items():
        (site / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert imported(interpreter, "flash_attn_2_cuda").status == "imports"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import ctypes; ctypes.string_at(0)", "crashed with SIGSEGV"),
        ("import os; os.abort()", "crashed with SIGABRT"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
            "crashed with SIGILL: it was built for a processor with more instructions",
        ),
        ("import os; os._exit(3)", "ended the interpreter with exit code 3"),
        ("import os; os._exit(0)", "ended the interpreter with exit code 0"),
    ],
)
def test_a_process_that_dies_is_told_as_such(interpreter: Path, site: Path, source: str, what: str) -> None:
    put(site, deadly=source)
    verdict = imported(interpreter, "deadly")
    assert (verdict.status, verdict.cause) == ("broken", "crash")
    assert verdict.message == f"importing deadly {what}"


@pytest.mark.parametrize("code", [0, 1])
def test_an_import_that_calls_exit_is_broken(interpreter: Path, site: Path, code: int) -> None:
    put(site, leaving=f"import sys; sys.exit({code})")
    verdict = imported(interpreter, "leaving")
    assert (verdict.status, verdict.message) == ("broken", f"import leaving: SystemExit: {code}")


def test_an_import_that_hangs_is_ended(interpreter: Path, site: Path) -> None:
    put(site, hanging="import time\nprint('loading', flush=True)\ntime.sleep(600)\n")
    verdict = imported(interpreter, "hanging", timeout=2)
    assert (verdict.status, verdict.cause) == ("broken", "timeout")
    assert verdict.message == "importing hanging was not done after 2 s"
    assert "loading" in verdict.output
    assert 2 <= verdict.seconds < 30


def test_a_module_that_prints_much_does_not_block_it(interpreter: Path, site: Path) -> None:
    put(site, talkative="import sys\nprint('x' * 5_000_000)\nprint('y' * 5_000_000, file=sys.stderr)\n")
    verdict = imported(interpreter, "talkative")
    assert verdict.status == "imports"
    assert len(verdict.output) > 10_000_000


def test_bytes_that_are_no_text_do_no_harm(interpreter: Path, site: Path) -> None:
    put(site, binary="import os\nos.write(1, bytes(range(256)))\nraise ImportError('\\udcff and \\u20ac')\n")
    verdict = imported(interpreter, "binary")
    assert verdict.status == "broken"
    assert verdict.message is not None
    assert verdict.message.startswith("import binary: ImportError: ")


@pytest.mark.parametrize(
    "source",
    [
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n",
        "import atexit, time\natexit.register(time.sleep, 600)\n",
        "import sys\nsys.stdout.close()\nsys.stderr.close()\n",
        "import sys\nsys.stdout = sys.stderr = None\n",
        "import os\nos.chdir('/')\nos.environ.clear()\n",
    ],
    ids=["thread", "exit handler", "closed streams", "no streams", "changed folder"],
)
def test_what_a_module_leaves_behind_does_not_change_the_verdict(interpreter: Path, site: Path, source: str) -> None:
    put(site, untidy=source)
    assert imported(interpreter, "untidy").status == "imports"


def test_a_folder_of_target_comes_before_site_packages(interpreter: Path, site: Path, tmp_path: Path) -> None:
    put(site, both="raise ImportError('the wrong one')\n")
    target = tmp_path / "target with space"
    target.mkdir()
    put(target, both="")
    assert imported(interpreter, "both").status == "broken"
    assert verify(str(interpreter), Trial(modules=["both"], paths=[str(target)], timeout=SECONDS)).status == "imports"


def test_the_working_directory_is_not_looked_in(
    interpreter: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    put(here, installed="raise ImportError('the one in the working directory')\n", only_here="")
    put(site, installed="")
    monkeypatch.chdir(here)
    assert imported(interpreter, "installed").status == "imports"
    assert imported(interpreter, "only_here").status == "broken"


@pytest.mark.parametrize("safe_path", ["", "1"])
def test_our_own_modules_are_not_in_the_way_of_others(
    interpreter: Path, site: Path, monkeypatch: pytest.MonkeyPatch, safe_path: str
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", safe_path)  # Python 3.11: the script's folder is not put on sys.path
    put(
        site,
        checks="import sys\nassert not any('pipfallback' in path for path in sys.path if 'src' in path), sys.path\n",
    )
    put(site, builds="", errors="", report="", zipped="import sys\nassert any(p.endswith('.zip') for p in sys.path)\n")
    verdict = imported(interpreter, "checks", "builds", "errors", "report", "zipped")
    assert verdict.status == "imports", verdict.output


def test_nothing_is_written_by_looking(interpreter: Path, site: Path) -> None:
    package = site / "package"
    package.mkdir()
    put(package, __init__="from package import part\n", part="")
    before, venv_before = tree(site), tree(interpreter.parent.parent)
    assert imported(interpreter, "package").status == "imports"
    assert changes(before, tree(site)) == []
    assert changes(venv_before, tree(interpreter.parent.parent)) == []


def test_no_temporary_folder_is_left(
    interpreter: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    put(site, good="", hanging="import time; time.sleep(600)")
    imported(interpreter, "good")
    imported(interpreter, "hanging", timeout=1)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        "libcuda.so.1: cannot open shared object file: No such file or directory",
        "libnvidia-ml.so.1: cannot open shared object file: No such file or directory",
        "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU",
        "No CUDA GPUs are available",
        "0 active drivers ([]). There should only be one.",
        "libnvcuvid.so.1: cannot open shared object file: No such file or directory",
        "Unknown compute capability. Ensure PyTorch with CUDA support is installed.",
        "CUDA is not available",
    ],
)
def test_a_machine_without_driver_or_gpu_proves_nothing(interpreter: Path, site: Path, error: str) -> None:
    put(site, needs_gpu=f"raise RuntimeError({error!r})\n")
    verdict = imported(interpreter, "needs_gpu")
    assert (verdict.status, verdict.cause) == ("inconclusive", "no-driver")
    assert verdict.message == f"import needs_gpu: RuntimeError: {error}"
    assert verdict.acceptable


def test_a_missing_library_of_cuda_is_no_missing_driver(interpreter: Path, site: Path) -> None:
    put(site, old="raise ImportError('libcudart.so.11.0: cannot open shared object file')\n")
    assert imported(interpreter, "old").status == "broken"


def test_a_warning_about_the_driver_does_not_excuse_another_error(interpreter: Path, site: Path) -> None:
    put(
        site,
        torch="print('CUDA initialization: Found no NVIDIA driver on your system')\n",
        bad="import torch\nraise ImportError('undefined symbol: _ZN3c105ErrorC2')\n",
    )
    verdict = imported(interpreter, "bad")
    assert verdict.status == "broken", "the build is broken on every machine"


def test_a_driver_that_is_missed_deep_inside_is_the_reason(interpreter: Path, site: Path) -> None:
    put(
        site,
        wrapped=(
            "try:\n    raise OSError('libcuda.so.1: cannot open shared object file: No such file or directory')\n"
            "except OSError as error:\n    raise ImportError('no backend could be loaded') from error\n"
        ),
    )
    assert imported(interpreter, "wrapped").status == "inconclusive"


def test_what_comes_first_may_fail_without_a_verdict(interpreter: Path, site: Path) -> None:
    put(
        site,
        torch="raise ImportError('broken torch')\n",
        alone="import sys\nsys.torch_came_first = 'torch' in sys.modules\n",
    )
    verdict = verify(str(interpreter), Trial(modules=["alone"], first=["torch"], timeout=SECONDS))
    assert verdict.status == "imports"
    assert "broken torch" in verdict.output


def test_what_comes_first_is_there_when_the_module_is_imported(interpreter: Path, site: Path) -> None:
    put(site, torch="", after="import sys\nassert 'torch' in sys.modules\n")
    assert verify(str(interpreter), Trial(modules=["after"], first=["torch"], timeout=SECONDS)).status == "imports"
    assert imported(interpreter, "after").status == "broken"


def test_a_smoke_test_that_passes_shows_that_it_works(interpreter: Path, site: Path) -> None:
    put(site, kernel="def run():\n    return 42\n")
    smoke = "import kernel\nassert kernel.run() == 42\n"
    assert verify(str(interpreter), Trial(modules=["kernel"], smoke=smoke, timeout=SECONDS)).status == "works"


@pytest.mark.parametrize(
    ("smoke", "status", "message"),
    [
        ("assert kernel.run() == 41, 'wrong numbers'", "broken", "smoke test: AssertionError: wrong numbers"),
        (
            "raise RuntimeError('CUDA error: no kernel image is available for execution on the device')",
            "broken",
            "smoke test: RuntimeError: CUDA error: no kernel image is available for execution on the device",
        ),
        ("raise RuntimeError('No CUDA GPUs are available')", "inconclusive", "smoke test: RuntimeError: No CUDA GPUs"),
        ("this is no Python", "broken", "smoke test: SyntaxError: "),
    ],
)
def test_a_smoke_test_that_fails_is_told_as_such(
    interpreter: Path, site: Path, smoke: str, status: str, message: str
) -> None:
    put(site, kernel="def run():\n    return 42\n")
    verdict = verify(str(interpreter), Trial(modules=["kernel"], smoke=f"import kernel\n{smoke}\n", timeout=SECONDS))
    assert verdict.status == status
    assert verdict.module is None
    assert verdict.message is not None
    assert message in verdict.message


def test_a_crash_in_the_smoke_test_is_a_crash(interpreter: Path, site: Path) -> None:
    put(site, kernel="")
    verdict = verify(str(interpreter), Trial(modules=["kernel"], smoke="import os; os.abort()", timeout=SECONDS))
    assert (verdict.status, verdict.cause) == ("broken", "crash")


def test_the_users_own_variables_reach_the_module(
    interpreter: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/of/the/user")
    put(site, reads="import os\nassert os.environ['LD_LIBRARY_PATH'] == '/opt/of/the/user'\n")
    assert imported(interpreter, "reads").status == "imports"


def test_an_interpreter_that_is_gone_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify(str(tmp_path / "gone" / "python"), Trial(modules=["json"]))


def test_a_smoke_test_that_was_never_seen_to_pass_only_warns(interpreter: Path, site: Path) -> None:
    put(site, kernel="")
    for smoke, said in (
        ("raise RuntimeError('wrong numbers')", "smoke test: RuntimeError: wrong numbers"),
        ("import os; os.abort()", "the smoke test crashed with SIGABRT"),
    ):
        trial = Trial(modules=["kernel"], smoke=smoke, smoke_decides=False, timeout=SECONDS)
        verdict = verify(str(interpreter), trial)
        assert (verdict.status, verdict.warning) == ("imports", said)


def test_what_a_package_prints_about_itself_counts(interpreter: Path, site: Path) -> None:
    line = "WARNING Failed to import from vllm._C with ImportError('libcuda.so.1: cannot open shared object file')"
    put(site, soft=f"print({line!r})", worse=f"print({line.replace('libcuda.so.1', 'libcudart.so.12')!r})")
    assert imported(interpreter, "soft").status == "inconclusive"
    verdict = imported(interpreter, "worse")
    assert (verdict.status, verdict.cause) == ("broken", "soft-failure")
    assert "libcudart.so.12 is not here" in (verdict.message or "")


def test_an_extension_for_another_python_is_told_as_such(interpreter: Path, site: Path) -> None:
    put(site, outer="import outer_c\n")
    trial = Trial(modules=["outer"], files=["outer_c.cpython-38-x86_64-linux-gnu.so"], timeout=SECONDS)
    verdict = verify(str(interpreter), trial)
    assert verdict.cause == "wrong-python"
    assert "built for CPython 3.8" in (verdict.message or "")
