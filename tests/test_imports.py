"""The architecture of src/pipfallback, held by its imports: data flows one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from lib.packages import PACKAGE
from lib.venvs import isolated_environ, make_venv
from lib.wheels import make_wheel

SOURCE = PACKAGE

# Lowest first. A module may import those of lower layers and of its own group (one inner set), not of another group of
# its layer. A name stands for a module or for all modules of a package.
LAYERS: tuple[tuple[frozenset[str], ...], ...] = tuple(
    tuple(frozenset(group.split()) for group in layer)
    for layer in (
        ("_gpu_probe", "_pip_elsewhere", "_pip_shim", "_probe", "_undo_log", "_uv_shim", "_verify"),
        (
            "active",
            "builtin_names",
            "pip_files",
            "shim_files",
            "user_folders",
            "errors",
            "version",
            "trust",
            "state",
            "same",
            "screen",
            "short_names",
            "view",
        ),
        ("children processes",),
        ("builds evidence file_facts labels mangled metadata_labels publishers releases torch_family wheel_names",),
        ("arguments asks pip_config pip_options project_files requests requirement_files rewording",),
        (
            "environment environment_json declared machine markers json_fields tags target toolkits torch_files installed",
            "catalog catalog_files catalog_hints catalog_matrix catalog_reader catalog_tables toml_document toml_lines",
        ),
        ("compatibility rules ranking nearest",),
        ("locked",),
        ("net",),  # the one adapter that the others may use
        ("choice",),
        (
            "sources",
            "inspection",
            "pip pip_failures build_failures pins satisfied layout looking planned installer uv uv_changes uv_failures uv_options uv_output",
            "verify import_failures",
            "remembered",
        ),
        ("transaction restoring", "outcome", "online looking_inside"),
        ("attempts building fetching install_report primary prospects story turns",),
        ("install", "collecting", "questions", "checks"),
        ("report tables", "outcome_file", "asking", "manual completion"),
        ("locking", "dockerfile", "catalog_work"),
        ("live",),
        ("terminal",),
        ("commands",),
        ("cli",),
        ("__init__", "__main__"),
    )
)

# They run in the target interpreter, which has nothing of ours and may be Python 3.8.
STAND_ALONE = {"_gpu_probe", "_pip_elsewhere", "_pip_shim", "_probe", "_undo_log", "_uv_shim", "_verify"}

# They compute, and touch neither disk nor network nor process.
PURE = {
    "builds",
    "compatibility",
    "file_facts",
    "labels",
    "mangled",
    "nearest",
    "outcome",
    "publishers",
    "ranking",
    "releases",
    "rules",
    "wheel_names",
}
IMPURE = {"httpx", "io", "os", "shutil", "socket", "subprocess", "tempfile", "urllib.request"}

# Imported where they are used, to keep start-up fast; by the command line also what one of its commands needs.
LAZY = {"elftools", "httpx", "rich", "truststore", "pipfallback.net.transport", "pipfallback.toml_document"}
LAZY_AT_START = LAZY | {"difflib", "importlib.import_module", "pipfallback", "platformdirs"}
PRINTING = {"cli", "terminal"}
START = {
    "__init__",
    "asks",
    "cli",
    "terminal",
    "commands.collect",
    "commands.install",
    "commands.choosing",
    "commands.managed",
    "commands.passing",
    "commands.plain",
    "commands.plain_words",
    "commands.starting",
    "commands.straight",
    "commands.watched",
}


def module_name(path: Path) -> str:
    """The dotted name below pipfallback; a package's ``__init__`` has the package's name."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


PATHS = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
TREES = {module: ast.parse(path.read_text(encoding="utf-8"), str(path)) for module, path in PATHS.items()}


def imports(module: str, below: ast.AST | None = None) -> Iterator[tuple[str, int]]:
    """(absolute dotted name, line) of everything that a module imports; of ``from a import b`` the name is "a.b"."""
    for node in ast.walk(TREES[module] if below is None else below):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            origin = [node.module] if node.module else []
            if node.level:
                package = ["pipfallback", *module.split(".")]
                is_package = PATHS[module].name == "__init__.py"
                origin = package[: len(package) - node.level + is_package] + origin
            for alias in node.names:
                yield ".".join([*origin, alias.name]), node.lineno


def own(name: str) -> str | None:
    """The module of pipfallback that an imported name stands for or lies in; None for others' modules."""
    first, *rest = name.split(".")
    if first != "pipfallback":
        return None
    while rest and ".".join(rest) not in PATHS:
        rest.pop()
    return ".".join(rest) or "__init__"


def graph() -> Mapping[str, set[str]]:
    return {
        module: {target for name, _ in imports(module) if (target := own(name)) not in {None, module}}
        for module in PATHS
    }


def place(module: str) -> tuple[int, frozenset[str]]:
    """(layer, group) of a module."""
    top = module.partition(".")[0]
    for number, layer in enumerate(LAYERS):
        for group in layer:
            if top in group:
                return number, group
    pytest.fail(f"{PATHS[module]}: say in LAYERS of {Path(__file__).name} which layer {top!r} belongs to")


def functions(module: str) -> Iterator[ast.AST]:
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node


def belongs(module: str, names: set[str]) -> bool:
    return module.partition(".")[0] in names


@pytest.mark.parametrize("module", PATHS)
def test_imports_only_point_down(module: str) -> None:
    layer, group = place(module)
    wrong = []
    for name, line in imports(module):
        target = own(name)
        if target is None or target == module:
            continue
        below, its_group = place(target)
        if below > layer or (below == layer and its_group != group):
            wrong.append(f"{PATHS[module]}:{line}: {module} must not import {target}")
    assert wrong == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail("a cycle of imports: " + " <- ".join(error.args[1]))


@pytest.mark.parametrize("module", [module for module in PATHS if module not in STAND_ALONE])
def test_nothing_is_imported_inside_a_function_except_for_start_up(module: str) -> None:
    allowed = LAZY_AT_START if module in START else LAZY
    found = {(name, line) for function in functions(module) for name, line in imports(module, function)}
    wrong = sorted(
        f"{PATHS[module]}:{line}: {name}"
        for name, line in found
        if not any(name == lazy or name.startswith(f"{lazy}.") for lazy in allowed)
    )
    assert wrong == []


@pytest.mark.parametrize("module", [module for module in PATHS if module not in STAND_ALONE | PRINTING])
def test_only_the_command_line_prints(module: str) -> None:
    wrong = [
        f"{PATHS[module]}:{node.lineno}: {ast.unparse(node.func)}"
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"print", "sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer.write"}
    ]
    assert wrong == []


@pytest.mark.parametrize("module", sorted(STAND_ALONE))
def test_what_runs_in_the_target_needs_nothing_but_python_3_8(module: str) -> None:
    ast.parse(PATHS[module].read_text(encoding="utf-8"), feature_version=(3, 8))
    known = sys.stdlib_module_names | {"pip"}  # pip's own packaging knows the tags that this pip takes
    wrong = [f"{name} (line {line})" for name, line in imports(module) if name.split(".")[0] not in known]
    assert wrong == []


@pytest.mark.parametrize("module", [module for module in PATHS if belongs(module, PURE)])
def test_what_computes_does_not_touch_the_world(module: str) -> None:
    reaching_out = IMPURE | {"pathlib", "pathlib.Path"}
    wrong = [
        f"{PATHS[module]}:{line}: {name}"
        for name, line in imports(module)
        if name in reaching_out or name.split(".")[0] in IMPURE
    ]
    assert wrong == []


# What each of these imports, of ours and of others: start-up is part of the product (benchmarks/README.md, a and b).
EVERY_START = {"", "cli", "errors", "version"}
STRAIGHT = EVERY_START | {
    "active", "builtin_names", "commands", "commands.plain_words", "commands.straight", "pip_files", "pip_options",
    "torch_family", "user_folders",
}  # fmt: skip
STARTS = {
    "--version": EVERY_START,
    "--help": EVERY_START | {"manual"},
    "list": STRAIGHT,
    "install --no-index plain": STRAIGHT | {"children", "commands.watched", "shim_files"},
}
# Of the standard library, what takes as long to import as Python takes to start, and what comes with it.
HEAVY = {"dataclasses", "importlib.metadata", "inspect", "json", "pathlib", "re", "subprocess", "tempfile", "typing"}


def imported(words: Sequence[str], environ: Mapping[str, str], folder: Path) -> set[str]:
    """The modules that a Python of its own imports; what it becomes, or starts, is another."""
    command = [sys.executable, "-X", "importtime", *words]
    done = subprocess.run(command, cwd=folder, env=dict(environ), capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], set[str]]:
    folder = tmp_path_factory.mktemp("start")
    python = make_venv(folder / "venv")
    install = [python, "-m", "pip", "install", "--no-index", make_wheel(folder, "plain", "1.0")]
    environ = isolated_environ(folder, VIRTUAL_ENV=str(folder / "venv"))
    subprocess.run(install, env=environ, check=True, stdout=subprocess.DEVNULL)
    bare = imported(["-c", "import runpy"], environ, folder)  # what "-m" brings itself
    return lambda line: imported(["-m", "pipfallback", *line.split()], environ, folder) - bare


@pytest.mark.parametrize("line", STARTS)
def test_a_start_imports_nothing_that_it_does_not_need(line: str, start: Callable[[str], set[str]]) -> None:
    modules = start(line)
    tops = {name.partition(".")[0] for name in modules}
    ours = {name.partition(".")[2] for name in modules if name.partition(".")[0] == "pipfallback"}
    assert ours == STARTS[line]
    assert tops - sys.stdlib_module_names - {"org"} == {"pipfallback"}  # the standard library's copy looks for Jython's
    assert modules & HEAVY == ({"dataclasses", "inspect", "re", "typing"} if line == "--help" else set())
