"""Pictures of the program in a terminal of 80 columns, drawn from real runs: ``make pictures``.

The environment, pip and the failures are real; torch and the wheels are stand-ins, made on the spot and served from
127.0.0.1. What differs from run to run (ports, temporary folders, rates) is replaced, so that the same program gives
the same pictures.
"""

from __future__ import annotations

import html
import io
import json
import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from lib.extensions import broken_extension, working_extension  # noqa: E402  (its folder is no package)
from lib.scene import Scene  # noqa: E402  (as above)
from lib.server import Answer, Server  # noqa: E402  (as above)
from lib.terminal import Terminal  # noqa: E402  (as above)
from lib.venvs import isolated_environ, native_tag  # noqa: E402  (as above)
from lib.wheels import make_wheel  # noqa: E402  (as above)

PICTURES = ROOT / "docs" / "pictures"
PYTHON = "3.11.7"  # what the pictures call the Python that makes them
COLUMNS = 80
CHARACTER = 12.2  # units of an SVG that a character is wide (rich's export)
_PERCENT = 45  # of the download that is shown
_COLOURS = {"default": None, "brown": "yellow"}  # pyte's names where they are not rich's
_CATALOG = ("--fallbacks", "fallbacks.toml")

Cell = tuple[str, Style]


class FaintScreen(pyte.Screen):
    """Keeps what is faint (SGR 2), which pyte does not know, as italics, which nothing here is."""

    def select_graphic_rendition(self, *attrs: int) -> None:
        """See pyte."""
        if not {38, 48} & {*attrs}:  # of a colour by its number the parts are no attributes
            attrs = tuple(3 if each == 2 else each for each in attrs)
        super().select_graphic_rendition(*attrs)


class Studio(Scene):
    """Where the pictures are taken: builds of one package at two publishers and a stranger's."""

    def prepare(self) -> None:
        """Make the wheels and the catalog."""
        here = native_tag(self.python)
        self.asked = self._build("Sample-AI", "2.8.3+cu12torch2.7cxx11abiFALSE", "cp310-cp310-linux_x86_64")
        self.broken = self._build("Sample-AI", "2.8.3+cu12torch2.7cxx11abiTRUE", here, working=False)
        old = self._build("Sample-AI", "2.7.4.post1+cu12torch2.5cxx11abiTRUE", here)
        works = self._build("Wheelhouse", "2.8.3+cu126torch2.7cxx11abiTRUE", here)
        stranger = self._build("Somebody", "2.8.3+cu126torch2.7.1cxx11abiTRUE", here)
        # No package of the built-in catalog: what that holds would change the pictures.
        text = 'schema = 1\n[package.sample-attn]\nimport = ["sample_attn"]\nneeds = ["torch"]\n'
        for name, trust, wheels in (
            ("Sample-AI", "official", (self.asked, self.broken, old)),
            ("Wheelhouse", "vendor", (works,)),
            ("Somebody", "community", (stranger,)),
        ):
            urls = json.dumps([self.server.url_of(wheel) for wheel in wheels])
            text += f'[[package.sample-attn.source]]\nname = "{name}"\ntrust = "{trust}"\nkind = "url"\n'
            text += f'cxx11_abi = "as-labelled"\nurl = {urls}\n'
        (self.folder / "fallbacks.toml").write_text(text)

    def _build(self, publisher: str, version: str, tag: str, *, working: bool = True, size_mb: int = 0) -> Path:
        extension = working_extension if working else broken_extension
        files = {"sample_attn/__init__.py": "import sample_attn_cuda\n"}
        return make_wheel(
            self.server.folder / publisher,
            "sample_attn",
            version.partition("+")[0],
            filename_version=version,
            tag=tag,
            files=files | extension("sample_attn_cuda", python=self.python),
            requires=["torch"],
            size_mb=size_mb,
        )

    def slow(self) -> None:
        """From now on the wheel that is tried first is heavy, and its download stands still in the middle."""
        version = "2.8.3+cu12torch2.7cxx11abiTRUE"
        heavy = self._build("Sample-AI", version, native_tag(self.python), working=False, size_mb=24)
        there = heavy.stat().st_size * _PERCENT // 100 + 1
        self.server.answer(f"/Sample-AI/{heavy.name}", Answer(ranges=False, stall_at=there))

    def picture(
        self,
        *words: str,
        code: int = 0,
        until: Callable[[str], bool] | None = None,
    ) -> Text:
        """The screen at the end of a run, or as soon as ``until`` holds of its text. ``code``: the exit code."""
        program = Path(sys.executable).with_name("pipfallback")
        target = {"VIRTUAL_ENV": str(self.prefix)}
        environ = {**self.environ, **target, "LANG": "C.UTF-8", "TMPDIR": "/tmp", "PIP_NO_INDEX": "1"}  # noqa: S108  (pictures show it)
        with Terminal(COLUMNS, 100, FaintScreen) as terminal:
            terminal.start([program, *words], cwd=self.folder, env=environ)
            if until is not None:
                terminal.until(until)
            elif terminal.finish() != code:
                raise AssertionError(terminal.text)
            rows = [_cells(terminal.screen, row) for row in range(len(terminal.lines))]
        prompt = Text(f"$ pipfallback {shlex.join(words)}", style="bold")
        lines = [Text.assemble(*_runs(self._canonical(row))) for row in rows]
        return self._replaced_in(Text("\n").join([prompt, *lines]))

    def _canonical(self, row: list[Cell]) -> list[Cell]:
        """The row of a download with a rate and a bar that do not depend on how fast this machine is."""
        text = "".join(char for char, _ in row)
        found = re.match(r"\S fetching (?P<bar>[━╸╺ ]+)\s+(?P<told>\d+ %  ).*\s(?P<size>\d+\.\d of .*? MB)  ", text)
        if found is None:
            return row
        tail = f"  {found['told']}1 s left  {found['size']}  20.0 MB/s"
        width = 77 - len("X fetching ") - len(tail)
        done = width * _PERCENT // 100
        start = found.start("bar")
        bar = [("━", row[start][1])] * done + [("━", row[found.end("bar") - 3][1])] * (width - done)
        return [("⠹", row[0][1]), *row[1:start], *bar, *((char, Style()) for char in tail)]

    def _replaced_in(self, text: Text) -> Text:
        """Each by as many characters, so that nothing moves."""
        replaced = Text()
        for line in text.split("\n"):
            for pattern, words in self._varying():
                for found in [*re.finditer(pattern, line.plain)]:
                    fitting = words[: len(found[0])].ljust(len(found[0]))
                    line.plain = line.plain[: found.start()] + fitting + line.plain[found.end() :]
            replaced = Text("\n").join([replaced, line]) if replaced else line
        return replaced

    def _varying(self) -> Iterator[tuple[str, str]]:
        yield re.escape(str(self.folder)), "/home/you/project"
        yield r"127\.0\.0\.1:\d{5}", "127.0.0.1:38000"
        yield r"/tmp/pipfallback-\w+", "/tmp/pipfallback-0123456789abcdef"  # noqa: S108  (a pattern)
        yield re.escape(platform.python_version()), PYTHON
        yield r"glibc \d\.\d\d", "glibc 2.36"


def main(folder: Path = PICTURES) -> None:
    """Take all pictures and write them into ``folder`` as SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    # As long as "/home/you/project", by which it is replaced.
    work = Path(tempfile.mkdtemp(prefix="app-", dir="/tmp"))
    try:
        (work / "served").mkdir()
        (work / "home").mkdir()
        with Server(work / "served") as server:
            studio = Studio(work, server, isolated_environ(work / "home"), "2.7.1+cu126", "26.3")
            studio.prepare()
            for name, text in _pictures(studio):
                (folder / f"{name}.svg").write_text(_svg(name, text), encoding="utf-8")
                print(f"docs/pictures/{name}.svg", flush=True)
    finally:
        shutil.rmtree(work)


def _pictures(studio: Studio) -> Iterator[tuple[str, Text]]:
    asked = studio.server.url_of(studio.asked)
    yield "plan", studio.picture("plan", "sample-attn", *_CATALOG)
    yield "explain", studio.picture("explain", studio.asked.name, *_CATALOG)
    yield "error", studio.picture("install", "sample-attn==2.9", *_CATALOG, code=1)
    yield "install", studio.picture("install", asked, *_CATALOG)
    yield "env", studio.picture("env")
    yield "verify", studio.picture("verify", *_CATALOG)
    studio.slow()
    words = ("install", asked, *_CATALOG, "--no-peek")
    yield "fetching", studio.picture(*words, until=lambda text: f"{_PERCENT} %" in text)


def _cells(screen: pyte.Screen, row: int) -> list[Cell]:
    """The characters of a row with their styles, up to the last that can be seen."""
    cells = []
    for column in range(len(screen.display[row].rstrip())):
        char = screen.buffer[row][column]
        colour = _COLOURS.get(char.fg, char.fg)
        if colour is not None and re.fullmatch(r"[0-9a-f]{6}", colour):
            colour = f"#{colour}"
        cells.append((char.data, Style(color=colour, bold=char.bold or None, dim=char.italics or None)))
    return cells


def _runs(row: Sequence[Cell]) -> Iterator[Cell]:
    """Characters of one style together."""
    for style, cells in groupby(row, key=lambda cell: cell[1]):
        yield "".join(char for char, _ in cells), style


def _svg(name: str, text: Text) -> str:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    console.print(text, soft_wrap=False, overflow="fold", highlight=False)
    return console.export_svg(title="pipfallback", unique_id=f"pipfallback-{name}")


def words_of(svg: str) -> list[str]:
    """What a picture says, line by line, whichever version of rich has drawn it."""
    lines: dict[float, list[tuple[float, str]]] = {}
    pattern = r'<text class="[^"]*-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>'
    for x, y, words in re.findall(pattern, svg, re.DOTALL):
        lines.setdefault(float(y), []).append((float(x), html.unescape(words).replace("\xa0", " ")))
    told = []
    for y in sorted(lines):
        line = ""
        for x, words in sorted(lines[y]):
            line = line.ljust(round(x / CHARACTER)) + words
        told.append(line.rstrip())
    return told


if __name__ == "__main__":
    os.environ.pop("COLUMNS", None)
    main(*map(Path, sys.argv[1:]))
