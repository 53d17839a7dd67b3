"""A Dockerfile from top to bottom: what each build stage has at each of its install lines."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipfallback.dockerfile.contents import Copied
from pipfallback.dockerfile.expansion import expand
from pipfallback.dockerfile.images import Interpreter, System, read_image
from pipfallback.dockerfile.reader import Instruction

# A stage's PATH where no image says otherwise (moby's default).
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Docker's names of architectures -> those of wheels (github.com/containerd/platforms, PEP 425).
_MACHINES = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "386": "i686",
    "arm": "armv7l",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}
_SYSTEM_PREFIXES = frozenset({"", "/", "/usr", "/usr/local", "/opt/conda"})
DEFAULT = "default"  # the interpreter that ``python`` and ``pip`` are


@dataclass(slots=True)
class Stage:
    """A build stage as far as it was read. ``interpreters``: by the name that a command has for one.

    That is DEFAULT, a version ("3.11", for ``python3.11``), the folder of a virtual environment, or "conda:NAME".
    ``variables``: of ENV and ARG; ``environment``: the names of those of ENV, which come before ARG.
    ``machine``: of its platform ("x86_64"), None where that is not Linux. ``has_pipfallback``: None is not known.
    """

    name: str
    image: str
    machine: str | None
    system: System | None = None
    cuda: str | None = None
    known: bool = False
    interpreters: dict[str, Interpreter] = field(default_factory=dict)
    variables: dict[str, str | None] = field(default_factory=dict)
    environment: set[str] = field(default_factory=set)
    folder: str = "/"
    copies: list[Copied] = field(default_factory=list)
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    has_pipfallback: bool | None = None

    def copy(self, name: str) -> Stage:
        """A stage that is built on this one: it inherits all of it, build arguments included."""
        return replace(
            self,
            name=name,
            interpreters=dict(self.interpreters),
            variables=dict(self.variables),
            environment=set(self.environment),
            copies=list(self.copies),
        )

    def path(self, name: str) -> str:
        """An absolute path in the image."""
        return posixpath.normpath(posixpath.join(self.folder, name))

    def environment_folder(self, variables: Mapping[str, str | None]) -> str | None:
        """The virtual environment whose programs come first on PATH."""
        for entry in (variables.get("PATH") or "").split(":"):
            prefix = entry.removesuffix("/bin")
            if prefix != entry and prefix in self.interpreters:
                return prefix
        return None

    def named(self, program: str, variables: Mapping[str, str | None], folder: str) -> str | None:
        """The name in ``interpreters`` of the Python behind a program (``/opt/venv/bin/pip``, ``python3.11``).

        None where it is one that nothing before tells of.
        """
        place, _, name = program.rpartition("/")
        if place:
            prefix = posixpath.normpath(posixpath.join(folder, place)).removesuffix("/bin")
            if prefix in self.interpreters:
                return prefix
            if prefix not in _SYSTEM_PREFIXES:
                return None
        else:
            found = self.environment_folder(variables)
            if found is not None:
                return found
        version = re.search(r"(3\.\d+)$", name)
        if version is None or self.interpreters[DEFAULT].python == version[1]:
            return DEFAULT
        if version[1] not in self.interpreters:
            there = self.interpreters[DEFAULT]
            self.interpreters[version[1]] = Interpreter(
                python=version[1], torch_known=there.torch_known and there.torch is None
            )
        return version[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Platforms:
    """What is built on and for, as Docker names it ("linux/amd64"), and the ARG values that were given.

    ``said``: the target was named on the command line, which comes before ``FROM --platform``.
    """

    build: str
    target: str
    said: bool = False
    arguments: Mapping[str, str] = field(default_factory=dict)

    def variables(self) -> dict[str, str | None]:
        """The ARG values that Docker itself sets (docs.docker.com/reference/dockerfile, "global scope")."""
        known: dict[str, str | None] = {}
        for prefix, platform in (("BUILD", self.build), ("TARGET", self.target)):
            system, _, rest = platform.partition("/")
            machine, _, variant = rest.partition("/")
            known |= {f"{prefix}PLATFORM": platform, f"{prefix}OS": system, f"{prefix}ARCH": machine}
            known[f"{prefix}VARIANT"] = variant
        return known


class Stages:
    """Goes through the instructions; ``stage`` is the one that is being read. Gives each RUN as it comes to it."""

    def __init__(self, instructions: Sequence[Instruction], platforms: Platforms) -> None:
        self._instructions = instructions
        self._platforms = platforms
        self._global: dict[str, str | None] = platforms.variables()
        self._by_name: dict[str, Stage] = {}
        self.count = 0

    def __iter__(self) -> Iterator[tuple[Stage, Instruction]]:
        stage: Stage | None = None
        for instruction in self._instructions:
            if instruction.name == "FROM":
                stage = self._begin(instruction)
            elif stage is None:
                if instruction.name == "ARG":
                    self._declare(instruction, self._global, self._global)
            elif instruction.name == "RUN":
                yield stage, instruction
            else:
                self._follow(stage, instruction)

    def _begin(self, instruction: Instruction) -> Stage:
        words = instruction.body.text.split()
        reference = expand(words[0], self._global) if words else None
        as_name = words[2].lower() if len(words) > 2 and words[1].lower() == "as" else None
        name = as_name or str(self.count)
        earlier = self._by_name.get((reference or "").lower())
        if earlier is not None:
            stage = earlier.copy(name)
        else:
            stage = self._from_image(name, reference, dict(instruction.flags).get("platform"), words)
        self._by_name[str(self.count)] = stage
        if as_name:
            self._by_name[as_name] = stage
        self.count += 1
        return stage

    def _from_image(self, name: str, reference: str | None, platform: str | None, words: Sequence[str]) -> Stage:
        of_file = platform is not None and not self._platforms.said
        named = expand(platform or "", self._global) if of_file else self._platforms.target
        system, _, machine = (named or "").partition("/")
        machine_name = _MACHINES.get(machine.partition("/")[0]) if system == "linux" else None
        image = read_image(reference, machine=machine_name or "") if reference else None
        stage = Stage(name=name, image=reference or (words[0] if words else ""), machine=machine_name)
        stage.interpreters[DEFAULT] = image.interpreter if image else Interpreter()
        stage.variables["PATH"] = _PATH
        if image is not None:
            stage.system, stage.cuda, stage.known = image.system, image.cuda, image.known
            stage.has_pipfallback = False if image.known else None
        return stage

    def _follow(self, stage: Stage, instruction: Instruction) -> None:
        match instruction.name:
            case "ARG":
                kept = {name: stage.variables[name] for name in stage.environment}
                self._declare(instruction, stage.variables, self._global)
                stage.variables |= kept
            case "ENV":
                before = dict(stage.variables)
                values = dict(_settings(instruction, before))
                stage.variables |= values
                stage.environment |= values.keys()
            case "WORKDIR":
                if (folder := expand(instruction.body.text.strip(), stage.variables)) is not None:
                    stage.folder = stage.path(folder)
            case "COPY" | "ADD":
                self._copy(stage, instruction)
            case "SHELL" if instruction.words is not None:
                stage.shell = tuple(word.text for word in instruction.words)

    def _declare(
        self, instruction: Instruction, variables: dict[str, str | None], outer: Mapping[str, str | None]
    ) -> None:
        """ARG: what was given on the command line, else its own default, else that of before the first FROM."""
        for word in _split(instruction.body.text):
            name, equals, default = word.partition("=")
            if name in self._platforms.arguments:
                variables[name] = self._platforms.arguments[name]
            elif equals:
                variables[name] = expand(default, variables)
            elif name in outer:
                variables[name] = outer[name]
            else:
                variables.setdefault(name, None)

    def _copy(self, stage: Stage, instruction: Instruction) -> None:
        words = _copy_words(instruction, stage)
        if len(words) < 2:
            return
        *sources, target = words
        folder = (
            f"{stage.path(target).rstrip('/')}/"
            if target.endswith(("/", ".")) or len(sources) > 1
            else stage.path(target)
        )
        bodies = {heredoc.name: heredoc.body.text for heredoc in instruction.heredocs}
        origin = dict(instruction.flags).get("from")
        for source in sources:
            name = re.sub(r"^<<-?[\"']?|[\"']$", "", source)
            if source.startswith("<<") and name in bodies:
                place = f"{folder}{name}" if folder.endswith("/") else folder
                stage.copies.append(Copied(target=place, text=bodies[name]))
            elif origin is None and "://" not in source and not source.startswith("git@"):
                stage.copies.append(Copied(target=folder, source=source))
            else:
                stage.copies.append(Copied(target=folder))
                self._copy_environments(stage, origin, source, target)

    def _copy_environments(self, stage: Stage, origin: str | None, source: str, target: str) -> None:
        """A virtual environment that is copied from another stage comes with its Python and torch."""
        other = self._by_name.get((origin or "").lower())
        if other is None:
            return
        source, target = other.path(source), stage.path(target)
        for name, interpreter in list(other.interpreters.items()):
            if name.startswith("/") and (name == source or name.startswith(f"{source}/")):
                stage.interpreters[target + name[len(source) :]] = interpreter
        if other.has_pipfallback and not stage.has_pipfallback:
            stage.has_pipfallback = None


def mounted(instruction: Instruction, stage: Stage) -> Iterator[Copied]:
    """What RUN --mount=type=bind puts in place (docs.docker.com/reference/dockerfile, "RUN --mount")."""
    for name, value in instruction.flags:
        options = dict(part.partition("=")[::2] for part in (expand(value, stage.variables) or "").split(","))
        if name != "mount" or options.get("type", "bind") != "bind":
            continue
        target = next((options[key] for key in ("target", "dst", "destination") if key in options), None)
        if target is not None:
            source = next((options[key] for key in ("source", "src") if key in options), ".")
            yield Copied(target=stage.path(target), source=None if "from" in options else source)


def _copy_words(instruction: Instruction, stage: Stage) -> list[str]:
    written = instruction.words
    raw = [word.text for word in written] if written is not None else _split(instruction.body.text)
    expanded = [word if word.startswith("<<") else expand(word, stage.variables) for word in raw]
    return [word for word in expanded if word is not None] if None not in expanded else []


def _settings(instruction: Instruction, before: Mapping[str, str | None]) -> Iterator[tuple[str, str | None]]:
    """ENV NAME=value ..., and the old form ENV NAME value; values are filled in with what was there before the line."""
    words = _split(instruction.body.text)
    if words and "=" not in words[0]:
        name, _, value = instruction.body.text.strip().partition(" ")
        yield name, expand(value.strip(), before)
        return
    for word in words:
        name, _, value = word.partition("=")
        yield name, expand(value, before)


def _split(text: str) -> list[str]:
    """The words of one of Docker's own instructions; quotes and backslashes stay in them."""
    return [found[0] for found in re.finditer(r"(?:\\.|\"(?:\\.|[^\"\\])*\"|'[^']*'|\S)+", text, re.DOTALL)]
