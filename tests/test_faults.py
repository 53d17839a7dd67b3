"""Stopped at any step, by an exception or by SIGKILL: after the next run everything is as it was, or all is done.

Nothing in pipfallback knows of these tests: tests/lib/faults/sitecustomize.py counts the steps in every process.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from lib.server import Server
from lib.trees import changes, tree
from lib.venvs import isolated_environ, make_venv, site_packages
from lib.wheels import make_wheel
from pipfallback.state import transactions
from pipfallback.transaction import recover

FAULTS = Path(__file__).parent / "lib" / "faults"
RECORD = 512  # as in sitecustomize.py
KINDS = ("fresh", "replaced", "with dependencies")
WAYS = ("raise", "interrupt", "kill", "kill group", "kill parent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a run that nothing stopped."""

    number: int
    role: str
    event: str
    what: str

    @property
    def label(self) -> str:
        """What kind of step it is, whatever the names."""
        place = re.sub(r"[0-9a-f]{8,}|\d+-|\d{3,}|tmp\w+|pip-\S+|~\w*|pipfallback-\w+", "#", self.what)
        return f"{self.role} {self.event} {' '.join('/'.join(part.split('/')[-2:]) for part in place.split(' -> '))}"


class Scene:
    """An environment, a wheel that does not import, and a build on a server that does."""

    def __init__(self, folder: Path, kind: str, server: Server) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.state = self.home / ".state"
        self.template = folder / "template"
        self.venv = folder / "venv"
        python = make_venv(self.venv, pip=None)
        self.site = site_packages(python)
        self.python = python
        self.wheels(server, kind)
        if kind != "fresh":
            self.install_older()
        self.before = tree(self.venv)
        shutil.copytree(self.venv, self.template, symlinks=True)

    def wheels(self, server: Server, kind: str) -> None:
        links = self.folder / "links"
        make_wheel(links, "added", "1.0", files={"added/__init__.py": "", "added/data.txt": "x"})
        make_wheel(links, "deeper", "1.0", files={"deeper.py": ""})
        files = {
            "demo/__init__.py": "from demo import inner\n",
            "demo/inner/__init__.py": "",
            "demo/data.bin": "2" * 999,
        }
        self.asked = make_wheel(
            self.folder, "demo", "2.0", files={**files, "demo/__init__.py": "raise ImportError(2)\n"}
        )
        needs = ("added", "deeper") if kind == "with dependencies" else ()
        more = {"demo.pth": "# demo 2\n", "demo_top.py": "V = 2\n"}
        build = make_wheel(
            server.folder,
            "demo",
            "2.0",
            filename_version="2.0+other",
            files={**files, **more},
            requires=needs,
            commands={"demo-tool": "demo:main"},
            data={"data/share/demo/manual.txt": "two\n", "scripts/demo-script": "#!python\n"},
        )
        (self.folder / "builds.toml").write_text(
            'schema = 1\n[package.demo]\nimport = ["demo"]\n[[package.demo.source]]\nname = "other"\n'
            f'trust = "vendor"\nkind = "url"\nurl = ["{server.url_of(build)}"]\n'
        )

    def install_older(self) -> None:
        older = make_wheel(
            self.folder / "older",
            "demo",
            "1.0",
            files={
                "demo/__init__.py": "V = 1\n",
                "demo/old/__init__.py": "",
                "demo.pth": "# demo 1\n",
                "demo_top.py": "",
            },
            commands={"demo-tool": "demo:main"},
            data={"data/share/demo/manual.txt": "one\n"},
        )
        words = [sys.executable, "-m", "pip", "--python", self.python, "install", "--no-index", "-q", older]
        subprocess.run(words, check=True, env=self.environ())
        (self.site / "demo" / "linked").symlink_to("old")
        (self.site / "demo" / "__init__.py").chmod(0o640)
        (self.site / "demo" / "old").chmod(0o750)

    def environ(self) -> dict[str, str]:
        return isolated_environ(self.home, XDG_STATE_HOME=str(self.state), TMPDIR=str(self.folder / "tmp"))

    def run(self, at: int | None, how: str) -> int:
        """Install, stopped at step ``at``; the exit code."""
        (self.folder / "tmp").mkdir(exist_ok=True)
        trace, plan = self.folder / "trace", self.folder / "plan.json"
        trace.unlink(missing_ok=True)
        folders = [str(self.venv), str(self.state), str(self.folder / "tmp")]
        plan.write_text(json.dumps({"folders": folders, "trace": str(trace), "at": at, "how": how}))
        options = ["--python", self.python, "--fallbacks", self.folder / "builds.toml", "--no-index"]
        words = [sys.executable, "-m", "pipfallback", "install", *options, "--find-links", self.folder / "links"]
        environ = {**self.environ(), "PYTHONPATH": str(FAULTS), "FAULTS": str(plan)}
        done = subprocess.run(
            [*map(str, words), str(self.asked)],
            env=environ,
            start_new_session=True,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        self.said = done.stdout + done.stderr
        return done.returncode

    def steps(self) -> list[Step]:
        lines = (self.folder / "trace").read_text().splitlines()
        read = [json.loads(line) if line.rstrip().endswith("]") else ["?", "?", line] for line in lines]
        return [Step(number=n, role=role, event=event, what=what) for n, (role, event, what) in enumerate(read)]

    def as_before(self) -> None:
        for folder in (self.venv, self.home, self.folder / "tmp"):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.template, self.venv, symlinks=True)

    def works(self) -> bool:
        code = "import demo, demo_top; assert demo_top.V == 2"
        done = subprocess.run([self.python, "-B", "-c", code], check=False, capture_output=True, env=self.environ())
        return done.returncode == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A scene, and the steps of its run between the first change and the last."""

    scene: Scene
    steps: Sequence[Step]

    def sample(self, count: int) -> list[Step]:
        """Steps as different as possible: by kind of step, then in order."""
        first: dict[str, Step] = {}
        for step in self.steps:
            first.setdefault(step.label, step)
        by_label = [first[label] for label in sorted(first)]
        return [by_label[len(by_label) * place // count] for place in range(count)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(scope="module", params=KINDS)
def recorded(
    request: pytest.FixtureRequest, served: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recorded]:
    """One run that nothing stops: what there is to stop at."""
    folder = tmp_path_factory.mktemp("scene")
    scene = Scene(folder, request.param, served)
    assert scene.run(None, "raise") == 0, scene.said
    assert scene.works()
    steps = scene.steps()
    begin = next(step.number for step in steps if step.event == "os.mkdir" and "/transactions/" in step.what)
    yield Recorded(scene=scene, steps=steps[begin:])
    shutil.rmtree(folder)


def stop_at(recorded: Recorded, step: Step, way: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stop a run there and let the next one begin: what is not as it should be."""
    scene, told = recorded.scene, list[str]()
    scene.as_before()
    code = scene.run(step.number, way)
    steps = scene.steps()
    where = f"{step.number} {step.label}, {way}: exit code {code}\n{scene.said}"
    if len(steps) <= step.number:
        return [f"the run ended before step {where}"]
    final = any(each.event == "os.rename" and "/closed-" in each.what for each in steps[: step.number])
    monkeypatch.setenv("XDG_STATE_HOME", str(scene.state))
    recover(told.append)
    trouble = [str(each) for each in (*transactions(), *scene.venv.rglob(".pipfallback-*"))]
    if way == "kill group" and code == 0:
        trouble.append("a kill went unnoticed")
    if final or code == 0:  # pip may have done without what failed
        trouble += [] if scene.works() else ["what is installed does not import"]
    else:
        trouble += changes(scene.before, tree(scene.venv))
    return [*trouble, where] if trouble else []


POINTS = 17  # of each kind; each is another step


@pytest.mark.parametrize("place", range(POINTS))
def test_stopped_at_a_step_the_next_run_finds_everything_as_it_was(
    recorded: Recorded, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stop_at(recorded, recorded.sample(POINTS)[place], WAYS[place % len(WAYS)], monkeypatch) == []


@pytest.mark.matrix
@pytest.mark.parametrize("share", range(40))
def test_stopped_at_any_step_the_next_run_finds_everything_as_it_was(
    recorded: Recorded, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in recorded.steps[share::40]:
        assert stop_at(recorded, step, WAYS[(step.number + share) % len(WAYS)], monkeypatch) == []
