"""What a person sees who runs the program in a terminal, and what a log has: real runs in a real pty."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from lib.program import run
from lib.scene import Scene
from lib.server import Answer, Server
from lib.terminal import Terminal
from lib.venvs import isolated_environ
from pipfallback import terminal
from pipfallback.arguments import parse, under_settings
from pipfallback.live import LiveView
from pipfallback.pip_config import PipConfig

HERE = f"cp{sys.version_info.major}{sys.version_info.minor}"
_COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7])m")


class Stage(Scene):
    """A scene with a wheel for another Python, one that does not import, and one that works and comes slowly."""

    def prepare(self) -> None:
        self.asked = self.wheel("+cu12torch2.7cxx11abiFALSE", foreign=True)
        self.broken = self.wheel("+cu126torch2.7cxx11abiTRUE", broken=True)
        self.works = self.wheel("+cu126torch2.7cxx11abiTRUE", version="2.8.2", size_mb=4)
        self.catalog(self.broken, self.works)
        self.server.answer(f"/v/{self.works.name}", Answer(rate=2_000_000, ranges=False))

    def command(self, *words: str) -> list[str | Path]:
        target = () if words[0] == "catalog" else ("--python", self.python)
        options = [*target, "--fallbacks", self.folder / "builds.toml"]
        named = 2 if words[0] == "catalog" else 1
        return [sys.executable, "-m", "pipfallback", *words[:named], *options, *words[named:]]

    def install(self, *words: str) -> list[str | Path]:  # type: ignore[override]
        url = self.server.url_of(self.asked)
        return self.command("install", "--no-index", "--no-cache-dir", "--no-peek", *words, url)

    @contextmanager
    def running(self, command: Sequence[str | Path], columns: int = 80, **settings: str) -> Iterator[Terminal]:
        with Terminal(columns) as tty:
            tty.start(command, cwd=self.folder, env={**self.environ, "LANG": "C.UTF-8", **settings})
            yield tty


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    for name in ("home", "served"):
        (folder / name).mkdir()
    with Server(folder / "served") as server:
        made = Stage(folder, server, isolated_environ(folder / "home"), "2.7.1+cu126", "26.3")
        made.prepare()
        yield made


@pytest.fixture(autouse=True)
def _nothing_installed(stage: Stage) -> Iterator[None]:
    yield
    if (stage.site / "flash_attn").exists():
        assert stage.pip("uninstall", "--yes", "flash-attn").code == 0


def ours(lines: Sequence[str]) -> list[str]:
    """Our own lines, each with what belongs to it below."""
    told: list[str] = []
    inside = False
    for line in lines:
        inside = line.startswith("pipfallback:") or (inside and line.startswith("  "))
        if line.startswith("pipfallback:"):
            told.append(line)
        elif inside:
            told[-1] += " " + line.strip()
    return told


def test_each_attempt_is_seen_while_it_runs_and_told_in_a_line_when_it_is_over(stage: Stage) -> None:
    with stage.running(stage.install()) as tty:
        text = tty.until(lambda text: " left" in text)
        last = text.splitlines()[-1]
        assert re.search(r"fetching ━.* \d+ %  \d+ s left  \d\.\d of 4\.2 MB  \d\.\d MB/s$", last), last
        assert not tty.shows_cursor
        assert tty.finish() == 0, tty.text
        told = ours(tty.lines)
        assert told[-4:] == [
            "pipfallback: → trying 1/2: flash_attn-2.8.3+cu126torch2.7…TRUE-cp311-… (builds)".replace("cp311", HERE),
            told[-3],
            "pipfallback: → trying 2/2: flash_attn-2.8.2+cu126torch2.7…TRUE-cp311-… (builds)".replace("cp311", HERE),
            told[-1],
        ]
        assert re.match(r"pipfallback: ✗ undone(?: after \d+ s)?: .* \(import flash_attn: ImportError: ", told[-3])
        assert told[-1].startswith("pipfallback: ✓ installed flash_attn-2.8.2+cu126torch2.7")
        assert told[-1].endswith("from builds: it imports (pip refuses the wheel that was asked for)")
        assert "fetching" not in tty.text
        assert tty.shows_cursor
        assert b"Successfully installed flash-attn-2.8.2" in tty.raw


def test_ctrl_c_in_a_download_leaves_a_clean_terminal(stage: Stage) -> None:
    with stage.running(stage.install()) as tty:
        tty.until(lambda text: " left" in text)
        tty.send("\x03")
        assert tty.finish() == 130
        assert tty.lines[-1] == "pipfallback: interrupted; everything is as it was before"
        assert "fetching" not in tty.text
        assert tty.shows_cursor


def test_another_width_while_it_runs_does_no_harm(stage: Stage) -> None:
    with stage.running(stage.install(), 100) as tty:
        tty.until(lambda text: " left" in text)
        tty.resize(50)
        assert tty.finish() == 0, tty.text
        assert "it imports (pip refuses" in " ".join(ours(tty.lines)[-1].split())
        assert max(len(line) for line in tty.lines) <= 50


def test_results_in_a_file_leave_the_view_where_it_is(stage: Stage, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out, Terminal() as tty:
        environ = {**stage.environ, "LANG": "C.UTF-8"}
        tty.start(stage.install(), cwd=stage.folder, env=environ, stdout=out)
        tty.until(lambda text: " left" in text)
        assert tty.finish() == 0, tty.text
        assert any(line.startswith("pipfallback: ✓ installed") for line in tty.lines)
    said = (tmp_path / "out").read_text()
    assert "Successfully installed flash-attn-2.8.2" in said
    assert "\x1b" not in said


def test_a_log_has_plain_lines_and_whole_names(stage: Stage) -> None:
    done = run(stage.install(), cwd=stage.folder, env=stage.environ)
    assert done.code == 0, done.said
    told = [line.removeprefix("pipfallback: ") for line in done.stderr.splitlines() if line.startswith("pipfallback:")]
    assert told[-4] == f"trying {stage.broken.name} (builds)"
    assert re.match(r"undone: .* \(import flash_attn: ImportError: ", told[-3])
    assert told[-2] == f"trying {stage.works.name} (builds)"
    assert told[-1] == (
        f"installed {stage.works.name} from builds: it imports (pip refuses the wheel that was asked for)"
    )
    assert "\x1b" not in done.said
    assert done.said.isascii()


def test_quiet_is_quiet_but_for_errors(stage: Stage) -> None:
    with stage.running(stage.install("-q")) as tty:
        assert tty.finish() == 0, tty.text
        assert [line for line in tty.lines if "pipfallback" in line or "fetching" in line] == []
        assert b"\x1b[?25l" not in tty.raw, "nothing ever moved"


@pytest.mark.parametrize(
    ("words", "settings", "live"),
    [
        ([], {}, True),
        (["--progress-bar", "on"], {}, True),
        (["--progress-bar", "raw"], {}, False),
        ([], {"PIP_PROGRESS_BAR": "off"}, False),
        (["--progress-bar=on"], {"PIP_PROGRESS_BAR": "off"}, True),
        (["-qq"], {}, False),
    ],
)
def test_pips_options_say_whether_something_moves(
    monkeypatch: pytest.MonkeyPatch, words: list[str], settings: dict[str, str], live: bool
) -> None:
    with Terminal() as tty, tty.stream() as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(terminal, "_live", [])
        monkeypatch.setenv("TERM", "xterm")
        command = parse(["install", *words, "x"], settings)
        assert isinstance(terminal.view(command), LiveView) == live
        assert isinstance(terminal.progress(command), LiveView) == live


def test_pips_configuration_counts_as_well() -> None:
    command = under_settings(parse(["install", "x"], {}), PipConfig(values={"--progress-bar": "off"}))
    assert command.values("--progress-bar") == ("off",)


def test_without_a_progress_bar_nothing_moves(stage: Stage) -> None:
    with stage.running(stage.install("--progress-bar", "off")) as tty:
        assert tty.finish() == 0, tty.text
        assert "pipfallback: trying flash_attn-2.8.2" in tty.text
        assert b"\x1b[?25l" not in tty.raw


@pytest.mark.parametrize("columns", [40, 80])
def test_without_unicode_everything_is_ascii(stage: Stage, columns: int) -> None:
    for command in (stage.command("plan", "flash-attn"), stage.command("plan", "flash-attn==9"), stage.command("env")):
        with stage.running(command, columns, LC_ALL="C", PYTHONIOENCODING="ascii") as tty:
            assert tty.finish() in {0, 1}
            assert tty.raw.isascii()
            assert "flash" in tty.text or "platform" in tty.text


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_plan_tells_the_builds_apart_in_any_width(stage: Stage, columns: int) -> None:
    with stage.running(stage.command("plan", "--no-peek", "flash-attn"), columns) as tty:
        assert tty.finish() == 0, tty.text
        lines = tty.lines
        found = [line for line in lines if "torch2.7" in line]
        assert [label in line for label, line in zip(("2.8.3+cu126", "2.8.2+cu126"), found, strict=True)] == [True] * 2
        assert all(re.search(r"TRUE-cp3\d+", line) for line in found)
        assert ("names are shortened" in tty.text.replace("\n", " ")) == (columns < 120)


@pytest.mark.parametrize(("settings", "words"), [({"NO_COLOR": "1"}, []), ({}, ["--no-color"]), ({"TERM": "dumb"}, [])])
def test_without_colours_there_are_none(stage: Stage, settings: dict[str, str], words: list[str]) -> None:
    for command in (stage.command("plan", "flash-attn"), stage.command("plan", "flash-attn==9")):
        with stage.running([*command, *words], **settings) as tty:
            assert tty.finish() in {0, 1}
            assert not _COLOUR.search(tty.raw)


def test_with_colours_an_error_stands_out_and_its_words_are_not_broken(stage: Stage) -> None:
    with stage.running(stage.command("plan", "flash-attn==9")) as tty:
        assert tty.finish() == 1
        assert b"\x1b[31merror:\x1b[0m flash-attn: no build fits" in tty.raw
        assert b"\x1b[36mhint:\x1b[0m" in tty.raw
        assert max(len(line) for line in tty.lines) <= 80
        words = run(stage.command("plan", "flash-attn==9"), env=stage.environ, cwd=stage.folder).stderr.split()
        shown = tty.text.split()
        assert [word for word in words if word not in shown and not word.endswith(".whl")] == []


@pytest.mark.parametrize("words", [("plan", "flash-attn"), ("env",), ("catalog", "list", "flash-attn")])
def test_what_goes_into_a_pipe_is_neither_padded_nor_broken(stage: Stage, words: tuple[str, ...]) -> None:
    done = run(stage.command(*words), env=stage.environ, cwd=stage.folder)
    assert done.code == 0, done.said
    assert [line for line in done.stdout.splitlines() if line != line.rstrip()] == []
    assert "\x1b" not in done.stdout
    wide = run(stage.command(*words), env={**stage.environ, "COLUMNS": "500"}, cwd=stage.folder)
    assert wide.stdout == done.stdout


def test_a_slow_source_is_waited_for_with_a_word(stage: Stage, tmp_path: Path) -> None:
    stage.server.answer("/slow.html", Answer(body=b"<a href='slow-1.0-py3-none-any.whl'>slow</a>", delay=2.5))
    file = tmp_path / "slow.toml"
    file.write_text(
        'schema = 1\n[package.slow]\nimport = ["slow"]\n[[package.slow.source]]\nname = "slow"\ntrust = "vendor"\n'
        f'kind = "links"\nurl = "{stage.server.url}/slow.html"\n'
    )
    with stage.running(stage.command("plan", "--fallbacks", str(file), "slow")) as tty:
        tty.until(lambda text: text.endswith("asking the sources  1 s"))
        assert tty.finish() == 0, tty.text
        assert "asking" not in tty.text
        assert "slow-1.0-py3-none-any.whl  (slow)" in tty.text
        assert tty.shows_cursor


def test_what_has_nothing_to_show_does_not_load_what_shows(stage: Stage) -> None:
    code = (
        "import sys\nfrom pipfallback.arguments import parse\nfrom pipfallback.terminal import progress, tell, view\n"
        "command = parse(['install', 'x'], {})\nseen = view(command)\n"
        "with seen.doing('importing x'):\n    tell('one line')\n"
        "assert type(seen).__name__ == 'LiveView' and progress(command) is seen\n"
        "print([name for name in sys.modules if name.startswith('rich')])\n"
    )
    with stage.running([sys.executable, "-c", code]) as tty:
        assert tty.finish() == 0, tty.text
        assert tty.lines == ["pipfallback: one line", "[]"]
