"""``pipfallback lock``: the file as real pips and a real uv install it, and what it says."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.pylock import Pylock

from lib.program import Completed, run, run_pipfallback
from lib.scene import WORKS, Scene
from lib.server import Answer, fail
from lib.torch import make_torch
from lib.venvs import make_venv
from lib.wheels import make_wheel, sha256
from pipfallback import pip_options
from pipfallback.locking.words import GENERAL, OPTIONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
NEEDS = ("torch", "einops", 'tomli; python_version < "3.11"')


class LockScene:
    """A scene whose server also is an index: einops, tomli, torch, and libraries that want flash-attn."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.folder = scene.folder
        folder = scene.server.folder
        make_wheel(folder, "einops", "0.8", files={"einops.py": ""})
        make_wheel(folder, "tomli", "2.0", files={"tomli.py": ""})
        make_wheel(folder, "some_lib", "1.0", requires=("flash-attn>=2.5",))
        make_torch(folder, "2.7.1+cu126")
        make_torch(folder, "2.6.0+cu126")

    @property
    def index(self) -> str:
        return f"{self.scene.server.url}/simple/"

    def build(self, torch: str, *, python: str | None = None, **more: Any) -> Path:
        """A flash_attn wheel for a torch, and for this Python or another."""
        more.setdefault("requires", NEEDS)
        if python is None:
            return self.scene.wheel(f"+cu12torch{torch}cxx11abiTRUE", **more)
        tag = f"cp{python}-cp{python}-linux_x86_64"
        return make_wheel(
            self.scene.server.folder / "v",
            "flash_attn",
            "2.8.3",
            filename_version=f"2.8.3+cu12torch{torch}cxx11abiTRUE",
            tag=tag,
            files=WORKS,
            **more,
        )

    def lock(self, *words: str | Path, index: bool = True, **settings: str) -> Completed:
        options: list[str | Path] = ["--fallbacks", self.folder / "builds.toml"]
        options += ["--index-url", self.index] if index else []
        env = {**self.scene.environ, **settings}
        return run_pipfallback(["lock", *options, *words], python=self.scene.python, cwd=self.folder, env=env)

    def locked(self, *words: str | Path, **settings: str) -> dict[str, Mapping[str, Any]]:
        """The packages of the lock that the words make, by name."""
        done = self.lock(*words, **settings)
        assert done.code == 0, done.said
        return packages(self.folder / "pylock.toml")

    def describe(self, name: str, **changes: Any) -> Path:
        form: dict[str, Any] = {
            "python": {"version": f"{HERE_VERSION}.7"},
            "platform": "linux_x86_64",
            "glibc": "2.35",
            "torch": {"version": "2.7.1+cu126", "cuda": "12.6", "cxx11_abi": True},
        }
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(form | changes))
        return file


@pytest.fixture
def there(scene: Scene) -> LockScene:
    return LockScene(scene)


def packages(file: Path) -> dict[str, Mapping[str, Any]]:
    document = tomllib.loads(file.read_text())
    Pylock.from_dict(document)
    names = [package["name"] for package in document["packages"]]
    assert len(names) == len(set(names)), names
    return {package["name"]: package for package in document["packages"]}


def fresh_venv(there: LockScene, *, torch: str | None = "2.7.1+cu126", python: str | None = None) -> Path:
    interpreter = make_venv(there.folder / "fresh", python=python)
    if torch is not None:
        wheel = there.scene.server.folder / f"torch-{torch}-py3-none-any.whl"
        command = [interpreter, "-m", "pip", "install", "--no-index", "--no-deps", wheel]
        assert run(command, env=there.scene.environ).code == 0
    return interpreter


def install(kind: str, interpreter: Path, lock: Path, environ: Mapping[str, str]) -> Completed:
    """What a user does who has no pipfallback."""
    if kind == "pip":
        return run([interpreter, "-m", "pip", "install", "--no-cache-dir", "-r", lock], env=environ)
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    assert uv is not None, "the tests need uv (dependency group test)"
    return run([uv, "pip", "install", "--no-cache", "--no-config", "--python", interpreter, "-r", lock], env=environ)


def versions(interpreter: Path, environ: Mapping[str, str]) -> dict[str, str]:
    done = run([interpreter, "-m", "pip", "list", "--format=json"], env=environ)
    return {each["name"].replace("_", "-"): each["version"] for each in json.loads(done.stdout)}


@pytest.mark.parametrize("kind", ["pip", "uv"])
def test_what_is_locked_is_installed_without_pipfallback(kind: str, there: LockScene) -> None:
    wheel = there.build("2.7")
    there.scene.catalog(there.build("2.6"), wheel)
    locked = there.locked("flash-attn")
    assert locked["flash-attn"]["archive"] == {
        "url": there.scene.server.url_of(wheel),
        "size": wheel.stat().st_size,
        "hashes": {"sha256": sha256(wheel)},
    }
    assert "torch" not in locked  # it is there already
    fresh = fresh_venv(there)
    done = install(kind, fresh, there.folder / "pylock.toml", there.scene.environ)
    assert done.code == 0, done.said
    installed = versions(fresh, there.scene.environ)
    assert {"flash-attn": "2.8.3", "einops": "0.8", "torch": "2.7.1+cu126"}.items() <= installed.items()
    label = run([fresh, "-c", "from flash_attn.label import LABEL; print(LABEL)"], env=there.scene.environ)
    assert label.stdout.strip() == "+cu12torch2.7cxx11abiTRUE"


@pytest.mark.parametrize("kind", ["pip", "uv"])
def test_a_file_that_was_changed_since_is_refused(kind: str, there: LockScene) -> None:
    wheel = there.build("2.7")
    there.scene.catalog(wheel)
    there.locked("flash-attn")
    wheel.write_bytes(wheel.read_bytes().replace(b"flash_attn/label.py", b"flash_attn/lebal.py"))  # as long as before
    fresh = fresh_venv(there)
    done = install(kind, fresh, there.folder / "pylock.toml", there.scene.environ)
    assert done.code != 0
    assert "hash" in done.stderr.lower()
    assert "flash-attn" not in versions(fresh, there.scene.environ)


@pytest.mark.parametrize("kind", ["pip", "uv"])
def test_everything_installs_into_an_empty_environment(kind: str, there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"))
    assert there.locked("--all", "flash-attn").keys() >= {"torch", "einops", "flash-attn"}
    fresh = fresh_venv(there, torch=None)
    done = install(kind, fresh, there.folder / "pylock.toml", there.scene.environ)
    assert done.code == 0, done.said
    assert versions(fresh, there.scene.environ)["torch"] == "2.7.1+cu126"


@pytest.mark.parametrize("kind", ["pip", "uv"])
def test_another_machine_refuses_the_lock(kind: str, there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"))
    there.locked("flash-attn")
    fresh = fresh_venv(there, python="3.12" if HERE_VERSION != "3.12" else "3.11")
    done = install(kind, fresh, there.folder / "pylock.toml", there.scene.environ)
    assert done.code != 0
    assert "environment" in done.stderr


@pytest.mark.parametrize("kind", ["pip", "uv"])
def test_one_file_for_two_pythons(kind: str, there: LockScene) -> None:
    """The markers of dependencies count for the Python that is described, not for the one that runs."""
    there.scene.catalog(there.build("2.7", python="310"), there.build("2.7", python="312"))
    there.describe("ten", python={"version": "3.10.13"})
    there.describe("twelve", python={"version": "3.12.1"})
    done = there.lock("flash-attn", "--environment", "ten.json", "--environment", "twelve.json")
    assert done.code == 0, done.said
    file = there.folder / "pylock.toml"
    document = tomllib.loads(file.read_text())
    assert len(document["environments"]) == 2
    assert [package["name"] for package in document["packages"]] == ["einops", "flash-attn", "flash-attn", "tomli"]
    assert [("marker" in package) for package in document["packages"]] == [False, True, True, True]
    for python, expected in (("3.10", True), ("3.12", False)):
        interpreter = make_venv(there.folder / python, python=python)
        wheel = there.scene.server.folder / "torch-2.7.1+cu126-py3-none-any.whl"
        assert run([interpreter, "-m", "pip", "install", "--no-index", wheel], env=there.scene.environ).code == 0
        done = install(kind, interpreter, file, there.scene.environ)
        assert done.code == 0, done.said
        installed = versions(interpreter, there.scene.environ)
        assert installed["flash-attn"] == "2.8.3"
        assert ("tomli" in installed) is expected


def test_machines_that_no_marker_tells_apart_get_a_file_each(there: LockScene) -> None:
    there.scene.catalog(there.build("2.6"), there.build("2.7"))
    there.describe("new.box")
    there.describe("old", torch={"version": "2.6.0+cu126", "cuda": "12.6", "cxx11_abi": True})
    done = there.lock("flash-attn", "--environment", "new.box.json", "--environment=old.json")
    assert done.code == 0, done.said
    assert not (there.folder / "pylock.toml").exists()
    new, old = packages(there.folder / "pylock.new-box.toml"), packages(there.folder / "pylock.old.toml")
    assert "torch2.7" in new["flash-attn"]["archive"]["url"]
    assert "torch2.6" in old["flash-attn"]["archive"]["url"]
    assert "torch" not in new
    shown = there.lock("flash-attn", "--environment", "new.box.json", "--environment=old.json", "-o", "-")
    assert (shown.code, shown.stdout) == (2, "")


def test_descriptions_of_one_name_are_refused(there: LockScene) -> None:
    (there.folder / "sub").mkdir()
    there.scene.catalog(there.build("2.7"))
    first = there.describe("box")
    shutil.copy(first, there.folder / "sub" / "box.json")
    done = there.lock("flash-attn", "--environment", "box.json", "--environment", "sub/box.json")
    assert done.code == 2
    assert "pylock.box.toml" in done.stderr


def test_options_describe_another_machine(there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"), there.build("2.6", python="310"))
    locked = there.locked("flash-attn", "--python-version", "3.10", "--torch=2.6.0+cu126")
    assert "cp310" in locked["flash-attn"]["archive"]["url"]
    assert locked.keys() == {"flash-attn", "einops", "tomli"}


def test_metadata_that_wants_another_torch_than_the_described_one_is_heeded(there: LockScene) -> None:
    """Nothing is fetched for it: no name tells it, and METADATA can be read alone."""
    newer = there.build("2.7", version="2.9.0", requires=("torch>=2.10",))
    there.scene.catalog(newer, there.build("2.7"))
    locked = there.locked("flash-attn", "--environment", there.describe("box"))
    assert "2.8.3" in locked["flash-attn"]["archive"]["url"]
    assert all(request.range for request in there.scene.server.requests_of(f"/v/{newer.name}"))


def test_another_system_answers_markers_as_it_is(there: LockScene) -> None:
    requires = ("einops", 'tomli; sys_platform == "win32"', 'nowhere; sys_platform == "linux"')
    make_wheel(there.scene.server.folder, "portable", "1.0", requires=requires)
    there.scene.catalog(there.build("2.7"))
    locked = there.locked("portable", "--platform", "win_amd64")
    assert locked.keys() == {"portable", "einops", "tomli"}


def test_what_a_description_does_not_tell_decides_nothing(there: LockScene) -> None:
    make_wheel(there.scene.server.folder, "picky", "1.0", requires=('einops; platform_release >= "20"',))
    there.scene.catalog(there.build("2.7"))
    done = there.lock("picky", "--environment", there.describe("box"))
    assert done.code == 1
    assert "platform_release" in done.stderr
    assert not (there.folder / "pylock.toml").exists()


def test_a_dependency_that_the_catalog_knows_gets_its_build(there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"))
    there.scene.server.answer("/simple/flash-attn/", fail(404))
    locked = there.locked("some-lib")
    assert "torch2.7" in locked["flash-attn"]["archive"]["url"]
    assert locked.keys() == {"some-lib", "flash-attn", "einops"}


def test_a_requirements_file_keeps_its_other_lines(there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"))
    (there.folder / "more.txt").write_text("einops==0.8\n")
    (there.folder / "requirements.txt").write_text(
        f"--index-url {there.index}\nflash-attn==2.8.3  # the kernel\n-r more.txt\ntomli; python_version < '3'\n"
    )
    done = there.lock("-r", "requirements.txt", index=False)
    assert done.code == 0, done.said
    assert packages(there.folder / "pylock.toml").keys() == {"flash-attn", "einops"}


def test_builds_are_for_the_torch_that_the_command_brings(there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"), there.build("2.6"))
    locked = there.locked("torch==2.6.0", "flash-attn")
    assert locked["torch"]["version"] == "2.6.0+cu126"
    assert "torch2.6" in locked["flash-attn"]["archive"]["url"]


def test_nothing_installed_changes(there: LockScene) -> None:
    """torch 2.6 would satisfy nothing here, but an unpinned run of pip would be free to bring it."""
    there.scene.catalog(there.build("2.7", requires=("torch>=2", "einops")))
    assert there.locked("flash-attn").keys() == {"flash-attn", "einops"}
    assert there.locked("flash-attn", "--no-deps").keys() == {"flash-attn"}


def test_what_is_satisfied_already_is_not_locked(there: LockScene) -> None:
    wheel = there.build("2.7")
    there.scene.catalog(wheel)
    assert there.scene.pip("install", "--no-deps", "--no-index", wheel).code == 0
    done = there.lock("flash-attn", "einops")
    assert done.code == 0, done.said
    assert "installed already" in done.stderr
    assert packages(there.folder / "pylock.toml").keys() == {"einops"}
    assert "flash-attn" in there.locked("--all", "flash-attn")


def test_everything_means_the_file_that_is_installed(there: LockScene) -> None:
    tried = there.build("2.7", version="2.8.2")
    there.scene.catalog(there.build("2.7"), tried)
    url = there.scene.server.url_of(tried)
    assert there.scene.pip("install", "--no-deps", "--no-index", url).code == 0
    assert there.locked("--all", "flash-attn")["flash-attn"]["archive"]["url"] == url


def test_what_pip_itself_finds_is_judged_like_any_other_build(there: LockScene) -> None:
    """A wheel at the user's own index, which no source of the catalog lists."""
    there.scene.catalog(f"{there.scene.server.url}/none/flash_attn-0.0.3-py2-none-any.whl")
    there.scene.wheel("", version="9.0+cu12torch2.6", requires=())
    done = there.lock("flash-attn")
    assert done.code == 1
    assert "torch-version" in done.stderr
    there.scene.wheel("", version="9.1", requires=())
    locked = there.locked("flash-attn")
    assert "flash_attn-9.1-" in locked["flash-attn"]["archive"]["url"]


def test_nothing_fits_is_said_as_plan_says_it(there: LockScene) -> None:
    there.scene.catalog(there.build("2.6", folder="far"))
    there.scene.server.answer("/simple/flash-attn/", fail(404))
    done = there.lock("flash-attn")
    options = ["plan", "--fallbacks", there.folder / "builds.toml", "--no-index", "flash-attn"]
    plan = run_pipfallback(options, python=there.scene.python, cwd=there.folder, env=there.scene.environ)
    assert (done.code, plan.code) == (1, 1)
    assert done.stderr == plan.stderr
    assert not (there.folder / "pylock.toml").exists()


def test_a_file_that_is_not_what_its_name_says_is_not_locked(there: LockScene) -> None:
    """No listing states its hash, so it is fetched, and then it is looked into."""
    wrong = there.scene.wheel("+cu12torch2.7cxx11abiTRUE", folder="a", requires=("torch==2.6.0",))
    right = there.build("2.7", version="2.8.2")
    there.scene.catalog(wrong, right)
    done = there.lock("flash-attn", "--no-peek")
    assert done.code == 0, done.said
    assert "2.8.2" in packages(there.folder / "pylock.toml")["flash-attn"]["archive"]["url"]
    assert "2.6.0" in done.stderr


def test_a_stated_hash_needs_no_download(there: LockScene) -> None:
    padding = {"flash_attn/padding.bin": b"x" * 3_000_000, **WORKS}
    folder, tag = there.scene.server.folder / "v", f"cp{HERE_VERSION.replace('.', '')}"
    wheel = make_wheel(
        folder,
        "flash_attn",
        "2.8.3",
        filename_version="2.8.3+cu126torch2.7.1",
        tag=f"{tag}-{tag}-linux_x86_64",
        files=padding,
        requires=NEEDS,
    )
    there.scene.catalog(wheel)
    file = there.folder / "builds.toml"
    stated = f'kind = "url"\nsha256 = {{ "{there.scene.server.url_of(wheel)}" = "{sha256(wheel)}" }}\n'
    file.write_text(file.read_text().replace('kind = "url"\n', stated, 1))
    locked = there.locked("flash-attn")
    sent = sum(request.sent for request in there.scene.server.requests_of(f"/v/{wheel.name}"))
    assert locked["flash-attn"]["archive"]["size"] == wheel.stat().st_size
    assert locked["flash-attn"]["archive"]["hashes"] == {"sha256": sha256(wheel)}
    assert sent < 1_000_000


def test_a_hash_that_the_index_leaves_out_is_made_by_a_download(there: LockScene) -> None:
    page = f'<a href="{there.scene.server.url}/einops-0.8-py3-none-any.whl">einops-0.8-py3-none-any.whl</a>'
    there.scene.server.answer("/simple/einops/", Answer(body=page.encode(), headers={"Content-Type": "text/html"}))
    there.scene.catalog(there.build("2.7"))
    (wheel,) = there.locked("einops")["einops"]["wheels"]
    file = there.scene.server.folder / "einops-0.8-py3-none-any.whl"
    assert wheel["hashes"] == {"sha256": sha256(file)}
    assert wheel["size"] == file.stat().st_size


def test_secrets_do_not_get_into_the_file(there: LockScene) -> None:
    wheel = there.build("2.7")
    url = there.scene.server.url_of(wheel).replace("://", "://me:hunter2@")
    there.scene.catalog(url)
    index = there.index.replace("://", "://me:hunter2@")
    done = there.lock("flash-attn", "--index-url", index, index=False)
    assert done.code == 0, done.said
    text = (there.folder / "pylock.toml").read_text()
    assert "hunter2" not in text + done.said
    assert there.scene.server.url_of(wheel) in text
    assert "user name and password" in done.stderr


def test_a_url_that_works_only_with_a_secret_is_refused(there: LockScene) -> None:
    wheel = there.build("2.7")
    done = there.lock(f"{there.scene.server.url_of(wheel)}?token=hunter2")
    assert done.code == 1, done.said
    assert "hunter2" not in done.said
    assert not (there.folder / "pylock.toml").exists()


def test_the_same_command_makes_the_same_bytes(there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"))
    first = there.lock("some-lib", "flash-attn", "-o", "-")
    there.lock("some-lib", "flash-attn")
    assert first.code == 0, first.said
    assert first.stdout == (there.folder / "pylock.toml").read_text()


def test_files_of_this_machine_are_named_from_the_lock(there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"))
    wheels = there.folder / "wheels"
    make_wheel(wheels, "einops", "0.8", files={"einops.py": ""})
    local = there.scene.wheel("+cu12torch2.7cxx11abiTRUE", requires=("einops",))
    shutil.copy(local, wheels)
    done = there.lock("--no-index", "--find-links", "wheels", f"wheels/{local.name}", index=False)
    assert done.code == 0, done.said
    locked = packages(there.folder / "pylock.toml")
    assert locked["flash-attn"]["archive"]["path"] == f"wheels/{local.name}"
    assert locked["einops"]["wheels"][0]["path"] == "wheels/einops-0.8-py3-none-any.whl"
    fresh = fresh_venv(there)
    for kind in ("pip", "uv"):
        done = install(kind, fresh, there.folder / "pylock.toml", there.scene.environ)
        assert done.code == 0, done.said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["flash-attn", "--user"], "--user"),
        (["flash-attn", "-o", "lock.toml"], "pylock.NAME.toml"),
        (["flash-attn", "--outp=missing/pylock.toml"], "missing"),
        ([], "something to lock"),
        (["flash-attn", "--environment"], "needs a value"),
        (["flash-attn", "--environment", "missing.json"], "missing.json"),
        (["flash-attn", "--torch", "x"], "--torch"),
    ],
)
def test_mistakes_are_told(words: list[str], said: str, there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"))
    done = there.lock(*words)
    assert done.code in {1, 2}, done.said
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (there.folder / "pylock.toml").exists()


def test_quiet_says_nothing(there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"))
    done = there.lock("-q", "flash-attn")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")


def test_help_tells_ours_and_pips(there: LockScene) -> None:
    done = there.lock("--help", index=False)
    assert done.code == 0
    assert "--environment FILE" in done.stdout
    assert "--no-binary" in done.stdout


def test_every_option_of_pips_own_lock_is_known() -> None:
    code = (
        "from pip._internal.commands import create_command\n"
        "for option in create_command('lock').parser.option_list_all: print(option.get_opt_string())"
    )
    shown = run([sys.executable, "-c", code], env={"PATH": ""})
    names = {pip_options.canonical(name) for name in shown.stdout.split()}
    assert names - GENERAL - {"--output"} == OPTIONS


def project(folder: Path) -> Path:
    """A project that builds with what is in it alone (PEP 517, "backend-path")."""
    (folder / "proj.py").parent.mkdir(parents=True)
    (folder / "proj.py").write_text("")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "proj"\nversion = "1.5"\ndependencies = ["einops", "flash-attn"]\n'
    )
    (folder / "backend.py").write_text(
        "import os, zipfile\n"
        "FILES = {'METADATA': 'Metadata-Version: 2.1\\nName: proj\\nVersion: 1.5\\n'\n"
        "         'Requires-Dist: einops\\nRequires-Dist: flash-attn\\n',\n"
        "         'WHEEL': 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n', 'RECORD': ''}\n"
        "def prepare_metadata_for_build_wheel(folder, settings=None):\n"
        "    os.mkdir(os.path.join(folder, 'proj-1.5.dist-info'))\n"
        "    for name, text in FILES.items():\n"
        "        open(os.path.join(folder, 'proj-1.5.dist-info', name), 'w').write(text)\n"
        "    return 'proj-1.5.dist-info'\n"
        "prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel\n"
        "def build_wheel(folder, settings=None, metadata=None):\n"
        "    with zipfile.ZipFile(os.path.join(folder, 'proj-1.5-py3-none-any.whl'), 'w') as archive:\n"
        "        for name, text in FILES.items(): archive.writestr('proj-1.5.dist-info/' + name, text)\n"
        "    return 'proj-1.5-py3-none-any.whl'\n"
        "build_editable = build_wheel\n"
    )
    return folder


def test_a_project_to_be_edited_is_locked_with_what_it_needs(there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"))
    there.scene.server.answer("/simple/flash-attn/", fail(404))
    project(there.folder / "work")
    done = there.lock("-e", "./work")
    assert done.code == 0, done.said
    assert "proj" in done.stderr  # pip asks for a hash of everything where one thing has one
    assert "uv installs it" in done.stderr
    locked = packages(there.folder / "pylock.toml")
    assert locked["proj"]["directory"] == {"path": "work", "editable": True}
    assert "torch2.7" in locked["flash-attn"]["archive"]["url"]
    fresh = fresh_venv(there)
    done = install("uv", fresh, there.folder / "pylock.toml", there.scene.environ)
    assert done.code == 0, done.said
    assert versions(fresh, there.scene.environ)["proj"] == "1.5"


def test_a_repository_is_locked_at_its_commit(there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"))
    repository = project(there.folder / "repository")
    git = ["git", "-C", repository, "-c", "user.name=me", "-c", "user.email=me@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        assert run([*git, *words], env=there.scene.environ).code == 0
    commit = run([*git, "rev-parse", "HEAD"], env=there.scene.environ).stdout.strip()
    locked = there.locked(f"proj @ git+file://{repository}", "--no-deps")
    assert locked["proj"]["vcs"] == {"type": "git", "url": f"file://{repository}", "commit-id": commit}


def test_a_dependency_group_is_locked(there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"))
    (there.folder / "pyproject.toml").write_text('[dependency-groups]\ngpu = ["flash-attn>=2.8", "einops"]\n')
    locked = there.locked("--group", "gpu")
    assert "torch2.7" in locked["flash-attn"]["archive"]["url"]


def test_the_pip_of_an_old_python_resolves_for_it(there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"))
    python = make_venv(there.folder / "old", python="3.9")
    words = ["lock", "--fallbacks", there.folder / "builds.toml", "--index-url", there.index, "einops"]
    done = run_pipfallback(words, python=python, cwd=there.folder, env=there.scene.environ)
    assert done.code == 0, done.said
    assert packages(there.folder / "pylock.toml").keys() == {"einops"}
    assert 'python_version == "3.9"' in tomllib.loads((there.folder / "pylock.toml").read_text())["environments"][0]


def test_a_python_that_no_pip_can_resolve_for_is_told(there: LockScene) -> None:
    there.scene.catalog(there.build("2.7"))
    python = make_venv(there.folder / "old", python="3.8", pip=None)
    words = ["lock", "--fallbacks", there.folder / "builds.toml", "--index-url", there.index, "einops"]
    done = run_pipfallback(words, python=python, cwd=there.folder, env=there.scene.environ)
    assert done.code == 1
    assert "--python-version 3.8" in done.stderr
    described = run_pipfallback(
        [*words, "--python-version", "3.8"], python=python, cwd=there.folder, env=there.scene.environ
    )
    assert described.code == 0, described.said


def test_one_machine_that_nothing_fits_leaves_no_file(there: LockScene) -> None:
    there.scene.catalog(there.build("2.7", python="310"))
    there.scene.server.answer("/simple/flash-attn/", fail(404))
    there.describe("ten", python={"version": "3.10.13"})
    there.describe("twelve", python={"version": "3.12.1"})
    done = there.lock("flash-attn", "--environment", "ten.json", "--environment", "twelve.json")
    assert done.code == 1
    assert "no build fits this environment (CPython 3.12" in done.stderr
    assert list(there.folder.glob("*pylock*")) == []
