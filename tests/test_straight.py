"""Commands that go straight to pip: which are plain, and that they end as they would by the whole way."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lib.program import Completed, run
from lib.scene import Scene
from lib.venvs import isolated_environ, make_venv, site_packages
from lib.wheels import make_wheel
from pipfallback import active, arguments, builtin_names, pip_options, state, user_folders
from pipfallback.arguments import parse
from pipfallback.asks import read_asks
from pipfallback.catalog_files import Layer, builtin_path, managed_names
from pipfallback.cli import COMMANDS
from pipfallback.commands import plain_words, straight, watched
from pipfallback.commands.plain_words import OWN, read_plainly
from pipfallback.target import find_target
from pipfallback.torch_family import COMES_WITH_TORCH, TORCH_FAMILY

PLAIN = [
    "requests",
    "requests==2.31.0 numpy<2",
    "requests[socks,x]>=2,<3",
    "-qqU -i https://a.example/simple requests",
    "--upgrade --index-url=https://a.example/ --no-deps Foo.Bar_baz",
    "--find-links wheels --target there requests",
    "./wheels/Some_Name-1.0+cu12-py3-none-any.whl",
    "/dev/../{cwd}/wheels/Some_Name-1.0+cu12-py3-none-any.whl requests",
    "https://a.example/x/some_name-1.0%2Bcu12-py3-none-any.whl",
    "--no-verify --fallbacks f requests",
    "--fallbacks=f --verify --outcome o requests",
    "--only-binary :all: requests",
]
NOT_PLAIN = [
    "-r requirements.txt", "--requirement=r.txt x", "-e .", ".", "./folder", "x.tar.gz", "https://u:p@a.example/x-1-py3-none-any.whl",
    "https://a.example/x-1-py3-none-any.whl?a", "./missing-1.0-py3-none-any.whl", "--no-verify=1 x", "--fallbacks", "--keep-torch x",
    "x @ https://a.example/x-1-py3-none-any.whl", "x; python_version>'3'", "git+https://a.example/x", "--dry-run x", "--help",
    "--python p x", "--unknown x", "-Z x", "--grou g x", "-- x", "-", "--group g", "-c missing.txt x",
    "pylock.toml", "x-1-py3-none-any.whl[extra]", "-ihttps://a.example x",
]  # fmt: skip


@pytest.mark.parametrize("line", PLAIN)
def test_of_a_plain_install_the_names_are_those_that_are_asked_for(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_wheel(tmp_path / "wheels", "some_name", "1.0").rename("wheels/Some_Name-1.0+cu12-py3-none-any.whl")
    words = line.format(cwd=tmp_path).split()
    asks = read_asks(parse(["install", *words], {}))
    plain = read_plainly(words)
    assert plain is not None
    assert plain.names == asks.names != frozenset()
    assert parse(["install", *plain.words], {}).words() == asks.command.words()
    assert plain.catalogs == list(asks.command.own.fallbacks)
    assert plain.own is any(word.partition("=")[0] in OWN for word in words)


@pytest.mark.parametrize("line", NOT_PLAIN)
def test_what_is_not_plain_goes_the_whole_way(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_plainly(line.split()) is None


@pytest.mark.parametrize(
    ("text", "plain"), [("numpy<2\n# no\n", True), ("-r more.txt\n", False), ("  -c more.txt\n", False)]
)
def test_constraints_that_ask_for_nothing_are_plain(tmp_path: Path, text: str, plain: bool) -> None:
    file = tmp_path / "c.txt"
    file.write_text(text)
    assert (read_plainly(["-c", str(file), "x"]) is not None) is plain
    assert (read_plainly([f"--constraint={file}", "x"]) is not None) is plain


def test_options_of_ours_are_plain_only_where_they_mean_nothing_before_pip_has_resolved() -> None:
    ours = {*arguments._OWN_VALUES, *arguments._OWN_FLAGS}
    assert ours == OWN
    later = {option for option in ours if read_plainly([option, "x", "y"]) is not None}
    assert later == {"--no-verify", "--verify", "--fallbacks", "--outcome"}
    assert not [option for option in arguments.REQUIREMENT_OPTIONS if read_plainly([option, "x", "y"])]


@pytest.mark.parametrize("line", ["x", "-Uqc c.txt x", "--index-url=https://a.example x", "--no-deps --find-links f x"])
def test_options_that_change_neither_place_nor_machine_are_harmless(line: str, tmp_path: Path) -> None:
    file = tmp_path / "c.txt"
    file.write_text("numpy<2\n")
    plain = read_plainly(line.replace("-Uqc c.txt", f"-Uq -c {file}").split())
    assert plain is not None
    assert plain.harmless


def test_harmless_options_are_options_of_pip() -> None:
    known = {pip_options.canonical(option)[2:] for option in pip_options.TAKES_VALUE | pip_options.FLAGS}
    assert {pip_options.canonical("--" + name)[2:] for name in plain_words.HARMLESS} - {"config-file"} <= known


@pytest.mark.parametrize(
    "line", ["-t there x", "--prefix=p x", "--user x", "-I x", "-UI x", "--platform p x", "--report r x"]
)
def test_those_that_do_are_not(line: str) -> None:
    plain = read_plainly(line.split())
    assert plain is not None
    assert not plain.harmless


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('[package.x]\nimport = ["x"]\n[[package.x.source]]\n[matrix.m]\n[package.y-z]', {"x", "y-z"}),
        ("schema = 1", set()),
        ("  [ [a]\n\t[package.x]", {"x"}),
        ('[package."x.y"]', None),
        ('["package".x]', None),
        ("[ package.x]", None),
        ("[package]\nx = {}", None),
        ("package.x.import = []", None),
        ('"package" = {}', None),
        ("[package. x]", None),
    ],
)
def test_the_names_of_a_catalog_are_those_that_its_toml_has_or_unknown(
    tmp_path: Path, text: str, names: set[str] | None
) -> None:
    file = tmp_path / "fallbacks.toml"
    file.write_text(text)
    assert builtin_names.plain_names(str(file)) == names
    if names is not None:
        assert managed_names([Layer(path=file)]) == names


def test_the_names_of_the_built_in_catalog_are_those_that_its_toml_has() -> None:
    assert builtin_names.builtin_names() == managed_names([Layer(path=builtin_path())])
    assert "flash-attn" in builtin_names.builtin_names()


@pytest.mark.parametrize("name", ["Foo", "foo.bar", "foo-_.bar", "A1"])
def test_a_name_is_normalized_as_pep_503_says(name: str) -> None:
    from packaging.utils import canonicalize_name

    assert plain_words.normalized(name) == canonicalize_name(name)


@pytest.mark.parametrize("state_home", [None, "", "/some/state"])
def test_our_folders_are_where_the_whole_way_finds_them(
    monkeypatch: pytest.MonkeyPatch, state_home: str | None
) -> None:
    for variable in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
        if state_home is not None:
            monkeypatch.setenv(variable, state_home)
    looked = [Path(name) for name in user_folders.transaction_folders(os.environ)]
    assert {place / "transactions" for place in state._places()} <= set(looked)
    import platformdirs

    config = user_folders.user_folder(os.environ, "XDG_CONFIG_HOME", ".config")
    assert Path(config) == platformdirs.user_config_path("pipfallback", appauthor=False)


def test_the_interpreter_is_the_one_that_the_whole_way_takes(tmp_path: Path) -> None:
    python = make_venv(tmp_path / "venv", pip=None)
    for environ in ({}, {"VIRTUAL_ENV": str(tmp_path / "venv")}, {"CONDA_PREFIX": str(tmp_path / "venv")}):
        assert active.active_python(environ) == find_target(None, environ).executable
    assert active.active_python({"VIRTUAL_ENV": str(tmp_path / "none")}) is None
    assert not active.seems_to_have_pip(str(python))


@pytest.mark.parametrize(
    ("text", "telling"),
    [
        ("[global]\nindex-url = https://requirement.example/\n", False),
        ("[install]\nrequirement = r.txt\n", True),
        ("[install]\n--Group: x\n", True),
        ("[global]\nconstraint = {plain}\n", False),
        ("[global]\nconstraint = {plain} {missing}\n", True),
        ("[global]\nconstraint =\n  {plain}\n", True),
        ("[global]\ndry_run = yes\n", True),
    ],
)
def test_a_setting_that_names_packages_is_telling(tmp_path: Path, text: str, telling: bool) -> None:
    plain, file = tmp_path / "plain.txt", tmp_path / "pip.conf"
    plain.write_text("numpy<2\n")
    file.write_text(text.format(plain=plain, missing=tmp_path / "missing"))
    environ = {"PIP_CONFIG_FILE": str(file), "HOME": str(tmp_path), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    assert straight.are_telling(list(straight._settings_here(environ, str(tmp_path)))) is telling


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("# note\n[global]\nindex-url = https://a.example/\n  no_input = yes\n", True),
        ("[install]\ntarget = x\n", False),
        ("[global]\nextra-index-url =\n  https://a.example/\n", False),
    ],
)
def test_a_setting_that_changes_where_an_install_goes_is_not_harmless(
    tmp_path: Path, text: str, harmless: bool
) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(text)
    environ = {"PIP_CONFIG_FILE": str(file), "HOME": str(tmp_path), "PIP_ROOT_USER_ACTION": "ignore"}
    assert straight.are_harmless(list(straight._settings_here(environ, str(tmp_path)))) is harmless


@pytest.mark.parametrize("expected", [False, True])
def test_what_pip_is_told_is_json(expected: bool) -> None:
    told = json.loads(watched.config_text("/x", ["b", "a"], 7, expected=expected))
    hold = {"family": list(TORCH_FAMILY), "prefixes": list(COMES_WITH_TORCH), "file": "/x/torch.txt"}
    assert told == {
        "channel": "/x/channel",
        "parent": 7,
        "pip": None,
        "undo": None,
        "hold": hold if expected else None,
        "meeting": {"names": ["a", "b"], "met": "/x/met", "answer": "/x/answer"},
    }


class Place:
    """An environment that is active, and a folder of wheels."""

    def __init__(self, folder: Path) -> None:
        self.python = make_venv(folder / "venv")
        self.site = site_packages(self.python)
        self.wheels = folder / "wheels"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.home = folder / "home"
        self.home.mkdir()
        # Nobody on the way out: what the built-in catalog names is not there.
        closed = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
        self.environ = isolated_environ(
            self.home, VIRTUAL_ENV=str(folder / "venv"), TMPDIR=str(self.temporary), PIP_RETRIES="0", **closed
        )

    def run(self, *words: str, **settings: str) -> Completed:
        command = [sys.executable, "-m", "pipfallback", *words]
        return run(command, cwd=self.home, env={**self.environ, **settings})

    def install(self, *words: str, **settings: str) -> Completed:
        return self.run("install", "--no-index", "--find-links", str(self.wheels), *words, **settings)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(tmp_path_factory.mktemp("straight"))
    make_wheel(made.wheels, "plain", "1.0")
    says = "import os\nopen(os.environ['SAID'], 'w').write('imported')\n"
    for version, code in (("1.0", says), ("2.0", "raise ImportError('undefined symbol: x')\n")):
        files = {"spconv/__init__.py": code, "spconv/core_cc.py": ""}
        make_wheel(made.wheels, "spconv_cu120", version, files=files)
    make_wheel(made.wheels, "wants_good", "1.0", requires=["spconv-cu120==1.0"])
    make_wheel(made.wheels, "wants_bad", "1.0", requires=["plain", "spconv-cu120==2.0"])
    return made


def folders(site: Path) -> set[str]:
    return {path.name for path in site.iterdir()}


def test_an_install_of_nothing_managed_is_pips_and_leaves_nothing_of_ours(place: Place) -> None:
    done = place.install("plain")
    assert (done.code, done.stderr) == (0, "")
    assert "Successfully installed plain-1.0" in done.stdout
    assert list(place.temporary.iterdir()) == []
    failed = place.install("nowhere")
    assert failed.code == 1
    assert "No matching distribution found for nowhere" in failed.stderr
    assert "pipfallback" not in failed.stderr
    assert list(place.temporary.iterdir()) == []


def test_a_managed_dependency_that_pip_meets_is_verified(place: Place, tmp_path: Path) -> None:
    done = place.install("wants_good", SAID=str(tmp_path / "said"))
    assert done.code == 0, done.said
    assert (tmp_path / "said").read_text() == "imported"


def test_one_that_does_not_import_undoes_all_that_pip_did(place: Place) -> None:
    place.run("uninstall", "-y", "plain", "wants_good", "spconv-cu120")
    before = folders(place.site)
    done = place.install("wants_bad")
    assert done.code == 1
    assert "undefined symbol: x" in done.stderr
    assert folders(place.site) == before


@pytest.mark.parametrize(
    "story",
    ["fine", "satisfied", "refused", "broken", "nothing-works", "another-torch", "held-torch", "name", "not-there"],
)
def test_what_is_asked_for_by_name_comes_to_the_same_end_straight_and_by_the_whole_way(
    scene: Scene, story: str
) -> None:
    works, broken = scene.wheel("+cu12torch2.7"), scene.wheel("+cu11torch2.7", broken=True)
    foreign = scene.wheel("+cu13torch2.7", foreign=True)
    wants = scene.wheel("+cu10torch2.7", requires=["torch==2.9.0"])
    more = make_wheel(scene.folder / "more", "torch", "2.9.0")
    listed = [broken] if story == "nothing-works" else [works]
    scene.catalog(*listed)
    words: tuple[str, ...] = (scene.server.url_of({"refused": foreign, "another-torch": wants}.get(story, works)),)
    if story in {"broken", "nothing-works"}:
        words = (scene.server.url_of(broken),)
    elif story == "another-torch":
        words = ("--find-links", str(more.parent), *words)
    elif story == "held-torch":
        words = ("--upgrade", "--find-links", str(more.parent), *words)
    elif story in {"name", "not-there"}:
        words = ("flash-attn" if story == "name" else "flash-attn==9.9",)
    if story == "satisfied":
        assert scene.install(*words).code == 0
    shutil.copytree(scene.site, scene.folder / "kept", symlinks=True)
    ends = []
    for way in ((), ("--python", str(scene.python))):
        shutil.rmtree(scene.site)
        shutil.copytree(scene.folder / "kept", scene.site, symlinks=True)
        done = scene.install(*way, *words)
        ends.append((done.code, scene.label(), comparable(scene.outcome()), ours(done.stderr)))
    assert ends[0] == ends[1]
    assert ends[0][0] == (1 if story in {"nothing-works", "not-there"} else 0)


def comparable(outcome: dict[str, Any]) -> str:
    """An outcome without what differs from run to run."""
    return re.sub(r'"seconds": [\d.]+|tmp/[\w/.-]+', "", json.dumps(outcome))


def ours(stderr: str) -> list[str]:
    """The lines that are ours, without how long something took."""
    lines = [line for line in stderr.splitlines() if line.startswith("pipfallback: ")]
    return [re.sub(r"\d+\.\d+ s|\d+(\.\d+)? [kM]?B/s", "", line) for line in lines if " % of " not in line]


def test_who_ignores_the_end_of_children_gets_pips_exit_code_all_the_same(place: Place) -> None:
    line = f"trap '' CHLD; exec {sys.executable} -m pipfallback install --no-index nowhere"
    done = subprocess.run(["sh", "-c", line], cwd=place.home, env=place.environ, capture_output=True, check=False)
    assert done.returncode == 1, done.stderr


def test_another_command_is_pips_own(place: Place) -> None:
    assert place.run("--version").code == 0
    ours, pips = place.run("freeze", "--all"), run([place.python, "-m", "pip", "freeze", "--all"], env=place.environ)
    assert (ours.code, ours.stdout) == (0, pips.stdout)
    assert set(COMMANDS) & {"freeze", "list", "show"} == set()
