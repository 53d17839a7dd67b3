"""The commands of a RUN: install lines are collected, and what others do to the Pythons of the stage is followed.

Followed is what people write: environments that are made and switched on, packages of the system, conda. Whatever else
changes which Python ``python`` is makes it unknown.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipfallback.arguments import CommandLine, parse
from pipfallback.dockerfile import uv_options
from pipfallback.dockerfile.contents import INDEX_OPTIONS, Copied, Requirement, read_requirement_file
from pipfallback.dockerfile.environments import (
    SYSTEM_INSTALLERS,
    follow_conda,
    install_system_packages,
    make_environments,
    make_uv_environment,
)
from pipfallback.dockerfile.expansion import UnfinishedError
from pipfallback.dockerfile.images import Interpreter
from pipfallback.dockerfile.installs import (
    UNKNOWN,
    Form,
    Install,
    Installer,
    Piece,
    Place,
    known,
    request_of,
    torch_after,
)
from pipfallback.dockerfile.located import Located
from pipfallback.dockerfile.reader import Instruction
from pipfallback.dockerfile.shell import Word, commands
from pipfallback.dockerfile.stages import DEFAULT, Stage, mounted
from pipfallback.dockerfile.wrappers import ASSIGNMENT, CONDAS, unwrapped
from pipfallback.errors import UsageError
from pipfallback.requests import redacted

_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
_PIP = re.compile(r"pip(\d(\.\d+)?)?")
_PYTHON = re.compile(r"(python|pypy)(\d(\.\d+)?)?")
# They may change which program ``python`` or ``pip`` is.
_SWITCHING = frozenset({"update-alternatives", "pyenv", "ln", "alias", "asdf", "mise"})


@dataclass(slots=True)
class _Setting:
    """What holds for the commands of one RUN besides the stage: assignments, ``cd``, what is mounted.

    ``conda``: the environment that ``conda run`` names; ``fed``: words come from a pipe (xargs).
    """

    variables: dict[str, str | None]
    folder: str
    copies: list[Copied]
    form: Form = "shell"
    conda: str | None = None
    fed: bool = False


@dataclass(slots=True)
class Runs:
    """Follows the RUN instructions of all stages.

    ``line_of``: the line of a position in the file. ``context``: the folder of the build context, None: not known.
    """

    line_of: Callable[[int], int]
    context: Path | None
    installs: list[Install] = field(default_factory=list)
    unread: list[tuple[int, str]] = field(default_factory=list)

    def follow(self, stage: Stage, instruction: Instruction) -> None:
        """One RUN: its install lines are added, what it does to the stage is done."""
        setting = _Setting(
            variables=dict(stage.variables),
            folder=stage.folder,
            copies=[*stage.copies, *mounted(instruction, stage)],
        )
        try:
            _Run(self, stage, instruction, setting).read()
        except UnfinishedError:
            text = "\n".join([instruction.body.text, *(heredoc.body.text for heredoc in instruction.heredocs)])
            if re.search(r"\b(pip[\d.]*|pipfallback)\b.*\binstall\b", text, re.DOTALL):
                self.unread.append((instruction.line, "a quote or bracket in it is not closed"))


class _Run:
    """One RUN instruction."""

    def __init__(self, runs: Runs, stage: Stage, instruction: Instruction, setting: _Setting) -> None:
        self._runs = runs
        self._stage = stage
        self._instruction = instruction
        self._setting = setting
        self._followed: Mapping[str, Callable[[Sequence[Piece]], None]] = {
            "su": self._nested,
            "uv": self._uv,
            "pipfallback": lambda words: self._pip("pipfallback", words, 1, None),
            "pipx": self._note_pipfallback,
            ".": self._activate,
            "source": self._activate,
            "export": self._export,
            "cd": self._change_folder,
            "virtualenv": lambda words: self._make_environments(words, DEFAULT),
        }

    def read(self) -> None:
        instruction = self._instruction
        if instruction.words is not None:
            words = [_exec_piece(word) for word in instruction.words]
            self._setting.form = "exec"
            self._command(words)
            return
        body = instruction.body
        if instruction.heredocs and re.fullmatch(r"\s*<<\S+\s*", body.text):
            script = instruction.heredocs[0].body
            first = script.text.lstrip().partition("\n")[0]
            if not first.startswith("#!") or _base(first.split("/")[-1].split()[-1]) in _SHELLS:
                self._in_shell(script)
            return
        self._in_shell(body)
        for heredoc in instruction.heredocs:
            if re.match(r"\s*(/\S*/)?(ba|da|z|a)?sh\b[^|&;]*<<", body.text):
                self._script(heredoc.body)

    def _in_shell(self, script: Located) -> None:
        """By the SHELL of the stage: a shell, one behind ``conda run``, or one that is not understood."""
        words = [_loose(word) for word in self._stage.shell]
        shell = unwrapped(words)
        if shell.words and _base(shell.words[0].value or "") in _SHELLS:
            self._setting.conda = shell.conda
            self._script(script)
        elif re.search(r"\bpip[\d.]*\b.*\binstall\b", script.text):
            named = " ".join(self._stage.shell)
            self._runs.unread.append((self._instruction.line, f"its SHELL is {named}, which is not understood here"))

    def _script(self, script: Located) -> None:
        for command in commands(script, self._setting.variables):
            self._command([_piece(word, script) for word in command.words])

    def _command(self, words: Sequence[Piece]) -> None:
        while words and (found := ASSIGNMENT.match(words[0].raw)) and self._setting.form == "shell":
            value = words[0].value
            if len(words) == 1:
                self._setting.variables[found[1]] = None if value is None else value.partition("=")[2]
            words = words[1:]
        inner = unwrapped(words)
        if not inner.words:
            return
        if inner.words[0].value is None:
            self._unknown_program(inner.words)
            return
        setting = self._setting
        before = setting.conda, setting.fed
        setting.conda, setting.fed = inner.conda or setting.conda, inner.fed
        self._program(inner.words)
        setting.conda, setting.fed = before

    def _unknown_program(self, words: Sequence[Piece]) -> None:
        named = re.search(r"(^|/)(pip|python|uv)[\d.]*[\"']?$", words[0].raw)
        if named is not None and any(word.value == "install" for word in words[1:]):
            self._runs.unread.append((self._line(words), f"{words[0].raw} is only known when it runs"))

    def _program(self, words: Sequence[Piece]) -> None:
        """One command by its program."""
        path = words[0].value or ""
        name = _base(path)
        if _PIP.fullmatch(name):
            self._pip("pip", words, 1, path)
        elif _PYTHON.fullmatch(name):
            self._python(words, path)
        elif name in _SHELLS:
            self._nested(words)
        elif name in SYSTEM_INSTALLERS:
            install_system_packages(_values(words), self._stage)
        elif name in CONDAS:
            follow_conda(_values(words), self._stage)
        elif name in _SWITCHING:
            self._switch(words)
        elif (follow := self._followed.get(name)) is not None:
            follow(words)

    def _nested(self, words: Sequence[Piece]) -> None:
        """``sh -c SCRIPT``, also with other options (``bash -euo pipefail -c``, ``-lc``)."""
        found = next(
            (at for at, word in enumerate(words[1:], start=1) if re.fullmatch(r"-\w*c", word.value or "")), None
        )
        if found is None or found + 1 >= len(words):
            return
        script = words[found + 1]
        if script.value is not None:
            before = self._setting
            self._setting = replace(before, variables=dict(before.variables), form="shell")
            self._script(script.text)
            self._setting = before
        elif re.search(r"\bpip[\d.]*\b.*\binstall\b", script.raw):
            self._runs.unread.append((self._line(words), "its script depends on what is only known when it runs"))

    def _python(self, words: Sequence[Piece], path: str) -> None:
        at = next((at for at, word in enumerate(words) if word.value == "-m"), None)
        if at is None or at + 1 >= len(words) or any(not (word.value or "").startswith("-") for word in words[1:at]):
            return
        module = words[at + 1].value
        if module in {"pip", "pipfallback"}:
            self._pip("pip" if module == "pip" else "pipfallback", words, at + 2, path)
        elif module in {"venv", "virtualenv"}:
            self._make_environments(words[at + 1 :], self._named(path))
        elif module == "uv":
            self._uv(words[at + 1 :], program=words[: at + 2])

    def _uv(self, words: Sequence[Piece], *, program: Sequence[Piece] | None = None) -> None:
        """``uv`` and what follows it; ``program``: the words that name it, where they are several."""
        rest = _values(words)
        if rest[:1] == ["pip"]:
            self._uv_pip([*(program or words[:1]), words[1]], words[2:])
        elif rest[:1] == ["venv"]:
            make_uv_environment(rest[1:], self._stage, path=self._path)
        elif rest[:2] == ["tool", "install"]:
            self._note_pipfallback(words)

    def _uv_pip(self, program: Sequence[Piece], words: Sequence[Piece]) -> None:
        parts = list(uv_options.read([word.value for word in words]))
        name = next((part for part in parts if not part.name), None)
        if name is None or name.value not in {"install", "uninstall"}:
            return
        plain = [word for part in parts for word in _plain(part, words)]
        backend = next((part.value for part in parts if part.name == "--torch-backend"), None)
        backend = backend or self._setting.variables.get("UV_TORCH_BACKEND")
        system = (
            any(part.name == "--system" for part in parts) or self._setting.variables.get("UV_SYSTEM_PYTHON") == "1"
        )
        command = _command_line(plain)
        indexes = [("--index-url", f"https://download.pytorch.org/whl/{backend}")] if backend else []
        self._install("uv", program, words, command, self._uv_target(command, system=system), extra=indexes)

    def _uv_target(self, command: CommandLine, *, system: bool) -> str | None:
        """Which Python uv installs for (docs.astral.sh/uv/pip/environments)."""
        variables = self._setting.variables
        if command.own.python and command.own.python != "python3":
            return self._named(command.own.python)
        if system:
            return self._named("python3")
        for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
            if folder := variables.get(variable):
                return folder if folder in self._stage.interpreters else None
        nearest = self._path(".venv")
        return nearest if nearest in self._stage.interpreters else self._stage.environment_folder(variables)

    def _pip(self, installer: Installer, words: Sequence[Piece], front: int, path: str | None) -> None:
        """``pip …`` or ``pipfallback …``; its own words begin at ``front``. ``path``: the program that chooses the Python."""
        command = _command_line([known(word) for word in words[front:]])
        python = command.own.python
        if python is not None or path is not None:
            target = self._named(python or path or "")
        else:  # DESIGN 7: VIRTUAL_ENV, CONDA_PREFIX, the Python that runs pipfallback
            folder = self._setting.variables.get("VIRTUAL_ENV")
            target = folder if folder in self._stage.interpreters else self._named("python")
        self._install(installer, words[:front], words[front:], command, target)

    def _install(
        self,
        installer: Installer,
        program: Sequence[Piece],
        rest: Sequence[Piece],
        command: CommandLine,
        target: str | None,
        *,
        extra: Sequence[tuple[str, str]] = (),
    ) -> None:
        stage, setting = self._stage, self._setting
        there = stage.interpreters.get(target, Interpreter()) if target is not None else Interpreter()
        if command.command == "uninstall" and target is not None:
            if any(item.value == "torch" for item in command.requirements):
                stage.interpreters[target] = replace(there, torch=None, torch_known=True)
            return
        if command.command != "install":
            return
        asked, indexes, unread = self._asked(command)
        indexes = [*extra, *indexes, *_configured(setting.variables)]
        machine = stage.machine
        after = torch_after(
            there,
            asked,
            indexes,
            machine=machine,
            upgrade=command.has("--upgrade", "--force-reinstall", "--ignore-installed"),
            dependencies=not command.has("--no-deps"),
            others=bool(unread) or command.has("--editable", "--group"),
        )
        if target is not None:
            stage.interpreters[target] = after
        place = Place(
            line=self._line(program),
            instruction=self._instruction.line,
            stage=stage.name,
            image=stage.image,
            machine=machine,
            system=stage.system,
            cuda=stage.cuda,
            variables=dict(setting.variables),
        )
        self._runs.installs.append(
            Install(
                place=place,
                installer=installer,
                program=tuple(program),
                rest=tuple(rest),
                form=setting.form,
                requirements=tuple(asked),
                unread=tuple(unread),
                interpreter=after,
                has_pipfallback=stage.has_pipfallback,
            )
        )
        self._note_pipfallback(rest)

    def _asked(self, command: CommandLine) -> tuple[list[Requirement], list[tuple[str, str]], list[str]]:
        """Requirements, index options, and what of it is not known."""
        asked: list[Requirement] = []
        unread: list[str] = ["what xargs hands on"] if self._setting.fed else []
        indexes = [(name, value) for name in INDEX_OPTIONS for value in command.values(name)]
        for item in command.requirements:
            if UNKNOWN in (item.value or ""):
                unread.append(f"{_as_written(item.value)} is only known when it runs")
            else:
                asked.append(Requirement(text=item.value or ""))
        for name in command.values("--requirement"):
            if UNKNOWN in name or "://" in name:
                unread.append(f"{_as_written(name)} is not in the build context")
                continue
            found = read_requirement_file(
                self._path(name), self._setting.copies, self._runs.context, self._setting.variables
            )
            asked += found.requirements
            indexes += found.indexes
            unread += found.unread
        return asked, indexes, unread

    def _note_pipfallback(self, words: Sequence[Piece]) -> None:
        """Whether these words, an install's, bring pipfallback itself."""
        for word in words:
            request = request_of(Requirement(text=word.value)) if word.value else None
            name = request.name if request else None
            if name == "pipfallback" or re.search(r"(^|/)pipfallback-[^/]*\.whl", word.raw):
                self._stage.has_pipfallback = True
            elif self._stage.has_pipfallback is False and re.fullmatch(r"\.{1,2}(/.*)?|/.*|git\+.*", word.value or ""):
                self._stage.has_pipfallback = None  # a folder or repository: what it is is not known

    def _make_environments(self, words: Sequence[Piece], base: str | None) -> None:
        make_environments(_values(words), self._stage, base, path=self._path, named=self._named)

    def _change_folder(self, words: Sequence[Piece]) -> None:
        if len(words) > 1 and words[1].value is not None:
            self._setting.folder = self._path(words[1].value)

    def _activate(self, words: Sequence[Piece]) -> None:
        """``. venv/bin/activate``."""
        script = words[1].value if len(words) > 1 else None
        if script is None or not script.endswith("/bin/activate"):
            return
        folder = self._path(script.removesuffix("/bin/activate"))
        if folder not in self._stage.interpreters:
            self._stage.interpreters[folder] = Interpreter()
        path = self._setting.variables.get("PATH") or ""
        self._setting.variables |= {"VIRTUAL_ENV": folder, "PATH": f"{folder}/bin:{path}"}

    def _export(self, words: Sequence[Piece]) -> None:
        for word in words:
            if found := ASSIGNMENT.match(word.raw):
                self._setting.variables[found[1]] = None if word.value is None else word.value.partition("=")[2]

    def _switch(self, words: Sequence[Piece]) -> None:
        if any("python" in word or "pip" in word for word in (words[0].raw, *_values(words))):
            self._stage.interpreters[DEFAULT] = replace(self._stage.interpreters[DEFAULT], python=None)

    def _named(self, program: str) -> str | None:
        setting = self._setting
        if setting.conda is not None and "/" not in program:
            return f"conda:{setting.conda}" if setting.conda != "base" else DEFAULT
        if re.fullmatch(r"/.*", program) and program in self._stage.interpreters:
            return program
        return self._stage.named(program, setting.variables, setting.folder)

    def _path(self, name: str) -> str:
        return posixpath.normpath(posixpath.join(self._setting.folder, name))

    def _line(self, words: Sequence[Piece]) -> int:
        start = next((word.span[0] for word in words if word.span is not None), None)
        return self._instruction.line if start is None else self._runs.line_of(start)


def _command_line(words: Sequence[str]) -> CommandLine:
    """Taken apart as pipfallback does it; own options that are wrong are left to the command itself."""
    try:
        return parse(words, {})
    except UsageError:
        return parse([], {})


def _configured(variables: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    """Where pip and uv look by their variables."""
    for option in INDEX_OPTIONS:
        for prefix in ("PIP", "UV"):
            value = variables.get(f"{prefix}_{option[2:].replace('-', '_').upper()}")
            yield from ((option, each) for each in (value or "").split())


def _values(words: Sequence[Piece]) -> list[str]:
    """The values of the words behind the first."""
    return [known(word) for word in words[1:]]


def _as_written(text: str | None) -> str:
    return redacted((text or "").replace(UNKNOWN, ""))


def _plain(part: uv_options.Part, words: Sequence[Piece]) -> Iterator[str]:
    """pip's words for a part of a uv command; what is not known stays marked."""
    for word in part.pip or ():
        yield known(words[part.end - 1]) if word is None else word


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _piece(word: Word, script: Located) -> Piece:
    return Piece(
        value=word.value,
        raw=script.text[word.start : word.end],
        span=script.span(word.start, word.end),
        text=word.text,
    )


def _exec_piece(word: Located) -> Piece:
    """An element of the exec form; its quotes are part of what stands in the file."""
    span = word.span(0, len(word.text))
    return Piece(value=word.text, raw=word.text, span=(span[0] - 1, span[1] + 1) if span else None, text=word)


def _loose(text: str) -> Piece:
    return Piece(value=text, raw=text, span=None, text=Located(text=text, places=(None,) * len(text)))
