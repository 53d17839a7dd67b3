"""What a shell may offer for the word at the cursor, and the scripts with which bash, zsh and fish ask for it.

The scripts hold no options: they ask ``pipfallback completion words``, so that they never go stale, and a
fallbacks.toml in the working directory counts at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipfallback import manual, pip_options
from pipfallback.manual import Option, Takes

SHELLS = ("bash", "zsh", "fish")

# pip's other commands (pip help of 20.3.4 to 26.3); a test compares.
PIPS_COMMANDS = {
    "cache": "inspect and manage pip's wheel cache",
    "check": "verify that installed packages are compatible",
    "config": "manage pip's configuration",
    "debug": "show information useful for debugging pip",
    "freeze": "output installed packages in requirements format",
    "hash": "compute hashes of package archives",
    "index": "inspect information available from package indexes",
    "inspect": "inspect the Python environment",
    "list": "list installed packages",
    "search": "search PyPI for packages",
    "show": "show information about installed packages",
    "uninstall": "uninstall packages",
}

# What the values of pip's options name (pip install --help); any other value is text.
_FILES = frozenset({
    "--requirement", "--constraint", "--build-constraint", "--requirements-from-script", "--report", "--log", "--cert",
    "--client-cert", "--python", "--find-links",
})  # fmt: skip
_FOLDERS = frozenset({
    "--target", "--prefix", "--root", "--src", "--cache-dir", "--dest", "--wheel-dir", "--editable", "--build",
})  # fmt: skip
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "--upgrade-strategy": ("eager", "only-if-needed"),
    "--progress-bar": ("on", "off", "raw", "auto"),
    "--exists-action": ("s", "i", "w", "b", "a"),
    "--root-user-action": ("warn", "ignore"),
    "--keyring-provider": ("auto", "disabled", "import", "subprocess"),
    "--no-binary": (":all:", ":none:"),
    "--only-binary": (":all:", ":none:"),
}

_CHOOSING = frozenset({"install", "download", "wheel"})
_PIPPED = _CHOOSING | {"lock"}
_ACTIONS = {
    "catalog": ("check", "list", "add", "hash", "schema"),
    "completion": SHELLS,
    "help": (*manual.OWN_COMMANDS, *PIPS_COMMANDS),
}
# What the arguments of a command are besides options.
_NAMES = frozenset({"install", "download", "wheel", "plan", "verify", "lock"})
_PATHS = frozenset({"install", "download", "wheel", "explain", "dockerfile", "lock", "catalog"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to offer: words with what they are, and the names of files or folders. ``pip``: pip itself must be asked."""

    words: tuple[tuple[str, str], ...] = ()
    takes: Takes = "nothing"
    pip: bool = False


def reply_to(words: Sequence[str], *, names: Iterable[str]) -> Reply:
    """What may stand in the place of the last of ``words`` (which stand behind the program's name).

    ``names`` are the packages of the catalog. bash takes "--opt=val" apart and gives three words.
    """
    *before, current = words or [""]
    command = next((word for word in _without_values(before) if not word.startswith("-")), None)
    known = _options_of(command)
    option, current = _asked_value(before, current)
    if option is not None and "--" not in before:
        found = known.get(option)
        if found is not None and found.takes != "nothing":
            return _value(found, current, attached=f"{option}=" if words[-1].startswith("--") else "")
    if command is None:
        return _first(current, known)
    if command in PIPS_COMMANDS:
        return Reply(pip=True)
    if current.startswith("-") and "--" not in before:
        return Reply(words=_beginning(current, ((name, each.text) for name, each in known.items())))
    return _arguments(command, current, before, names)


def _without_values(words: Sequence[str]) -> list[str]:
    """The words without those that are the value of an option before them."""
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip:
            kept.append(word)
        skip = not skip and word in _GENERAL and _GENERAL[word].takes != "nothing"
    return kept


def _asked_value(before: Sequence[str], current: str) -> tuple[str | None, str]:
    """The option whose value is being written, and what there is of it."""
    if current.startswith("--") and "=" in current:
        option, _, value = current.partition("=")
        return option, value
    if current == "=" and before:
        return before[-1], ""
    if before and before[-1] == "=":
        return (before[-2] if len(before) > 1 else None), current
    return (before[-1] if before and before[-1].startswith("-") else None), current


def _value(option: Option, current: str, *, attached: str) -> Reply:
    if option.choices:
        return Reply(words=_beginning(f"{attached}{current}", ((f"{attached}{each}", "") for each in option.choices)))
    return Reply(takes=option.takes)


def _first(current: str, known: Mapping[str, Option]) -> Reply:
    if current.startswith("-"):
        return Reply(words=_beginning(current, ((name, option.text) for name, option in known.items())))
    commands = {name: text for name, (_, text) in manual.OWN_COMMANDS.items()} | PIPS_COMMANDS
    return Reply(words=_beginning(current, commands.items()))


def _arguments(command: str, current: str, before: Sequence[str], names: Iterable[str]) -> Reply:
    actions = _ACTIONS.get(command, ())
    if actions and before[-1] == command:
        return Reply(words=_beginning(current, ((action, "") for action in actions)))
    wanted = names if command in _NAMES and "/" not in current else ()
    return Reply(
        words=_beginning(current, ((name, "of the catalog") for name in sorted(wanted))),
        takes="file" if command in _PATHS else "nothing",
    )


def _beginning(current: str, words: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((word, text) for word, text in words if word.startswith(current))


def _options_of(command: str | None) -> Mapping[str, Option]:
    """The options of a command by every spelling, our own first."""
    if command is None:
        return _GENERAL
    own = manual.options_of(command) if command in _CHOOSING else OPTIONS.get(command, ())
    found = {option.name: option for option in own}
    if command in _PIPPED:
        found |= {name: option for name, option in _PIPS.items() if name not in found}
    return found


def _of_pip(spelling: str) -> Option:
    name = pip_options.canonical(spelling)
    takes: Takes = "nothing"
    if spelling in pip_options.TAKES_VALUE:
        takes = "file" if name in _FILES else "folder" if name in _FOLDERS else "text"
    return Option(name=spelling, takes=takes, choices=_CHOICES.get(name, ()), text="pip's")


_PIPS = {spelling: _of_pip(spelling) for spelling in sorted(pip_options.TAKES_VALUE | pip_options.FLAGS)}
_GENERAL = {option.name: option for option in manual.options_of("install") if option.name == "--python"} | {
    spelling: _of_pip(spelling)
    for spelling in sorted((pip_options.GENERAL_VALUE | pip_options.GENERAL_FLAG) - {"--python"})
}

# The options of the commands that are not pip's, as their own parsers have them; a test compares.
_JSON = Option(name="--json", text="one JSON document on standard output")
_NO_COLOR = Option(name="--no-color", text="no colours")
_PYTHON = Option(name="--python", takes="file", text="the interpreter to ask about")
_FALLBACKS = Option(name="--fallbacks", takes="file", text="another fallbacks.toml")
_TRUST = Option(
    name="--trust-level", takes="text", choices=manual.TRUST_LEVELS, text="official, vendor (default) or community"
)
_SAME = Option(name="--same-version", text="no other version than the one named")
_NO_PEEK = Option(name="--no-peek", text="do not read parts of remote wheels")
_ALL = Option(name="--all", text="list every build")
_DESCRIBED = (
    Option(name="--environment", takes="file", text="the machine that this file describes"),
    Option(name="--torch", takes="text", text="its torch: 2.7.1"),
    Option(name="--cuda", takes="text", text="its torch's CUDA: 12.6"),
    Option(name="--cxx11-abi", takes="text", choices=("true", "false"), text="its torch's C++ ABI"),
    Option(name="--python-version", takes="text", text="its Python: 3.10"),
    Option(name="--platform", takes="text", text="its platform: linux_x86_64"),
    Option(name="--glibc", takes="text", text="its glibc: 2.35"),
    Option(name="--driver-cuda", takes="text", text="the newest CUDA of its driver: 12.8"),
    Option(name="--gpu", takes="text", text="its GPUs: 8.9,9.0"),
)
_JUDGING = (
    *(_JSON, _NO_COLOR, _PYTHON, _FALLBACKS, _ALL, _TRUST, _SAME, _NO_PEEK),
    Option(name="--pre", text="take pre-releases like releases"),
    *_DESCRIBED,
)
OPTIONS: Mapping[str, tuple[Option, ...]] = {
    "plan": (
        *_JUDGING,
        *(_of_pip(name) for name in ("-i", "--index-url", "--extra-index-url", "--no-index", "-f", "--find-links")),
        *(_of_pip(name) for name in ("-c", "--constraint", "--trusted-host")),
    ),
    "explain": _JUDGING,
    "env": _JUDGING,
    "verify": (
        *(_JSON, _NO_COLOR, _PYTHON, _FALLBACKS),
        Option(name="--verify-timeout", takes="text", text="give up on an import after so many seconds"),
    ),
    "dockerfile": (
        *(_JSON, _NO_COLOR, _FALLBACKS, _TRUST),
        Option(name="--check", text="exit with 1 if a line cannot work"),
        Option(name="--write", text="change the lines to pipfallback install"),
        Option(name="--context", takes="folder", text="the build context"),
        Option(name="--build-arg", takes="text", text="as docker build takes it"),
        *_DESCRIBED[1:],
    ),
    "catalog": (  # of all its actions
        *(_JSON, _FALLBACKS, *_DESCRIBED),
        Option(name="--online", text="ask each source"),
        Option(name="--download", text="fetch what has a hash that no list states"),
        Option(name="--file", takes="file", text="the fallbacks.toml to write to"),
        Option(name="--name", takes="text", text="the package"),
        Option(name="--import", takes="text", text="a module that proves that it works"),
        Option(name="--trust", takes="text", choices=manual.TRUST_LEVELS, text="whose builds they are"),
        Option(name="--source", takes="text", text="the name of the source"),
    ),
    "lock": (
        Option(name="--output", takes="file", text="pylock.toml or pylock.NAME.toml; - for standard output"),
        Option(name="-o", takes="file", text="pylock.toml or pylock.NAME.toml; - for standard output"),
        Option(name="--all", text="also what the environment has already"),
        *(_PYTHON, _FALLBACKS, _TRUST, _SAME, _NO_PEEK, *_DESCRIBED),
        Option(name="--max-attempts", takes="text", text="how many builds to try"),
    ),
}

# Each reply is lines of "word<TAB>what it is"; a line ":file" or ":folder" asks for names of files.
SCRIPTS = {
    "bash": r"""
# pipfallback completion bash: put this line into ~/.bashrc
#     eval "$(pipfallback completion bash)"
_pipfallback() {
    local line files= IFS=$'\n'
    COMPREPLY=()
    compopt +o default 2>/dev/null
    for line in $("${COMP_WORDS[0]}" completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null); do
        case $line in
            :file) files=1;;
            :folder) compopt -o dirnames 2>/dev/null;;
            *) COMPREPLY+=("${line%%$'\t'*}");;
        esac
    done
    if [[ $files && ${#COMPREPLY[@]} == 0 ]]; then
        compopt -o default 2>/dev/null
    elif [[ $files ]]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY+=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
    fi
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o default -F _pipfallback pipfallback
""",
    "zsh": r"""
#compdef pipfallback
# pipfallback completion zsh: write this to a file _pipfallback in a folder of $fpath, or put this line into ~/.zshrc
#     source <(pipfallback completion zsh)
_pipfallback() {
    local line word; local -a offered; local files=
    for line in "${(@f)$("${words[1]}" completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            '') ;;
            :file) files=1;;
            :folder) files=2;;
            *) word=${line%%$'\t'*}; offered+=("${word//:/\\:}:${line#*$'\t'}");;
        esac
    done
    (( ${#offered} )) && _describe -V pipfallback offered
    [[ $PREFIX == --*=* && -n $files ]] && compset -P '*='
    if [[ $files == 1 ]]; then _files; elif [[ $files == 2 ]]; then _files -/; fi
}
if [[ $funcstack[1] == _pipfallback ]]; then
    _pipfallback "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _pipfallback pipfallback
fi
""",
    "fish": r"""
# pipfallback completion fish: put this line into ~/.config/fish/config.fish
#     pipfallback completion fish | source
function __pipfallback_words
    set -l words (commandline -opc) (commandline -ct)
    set -l option (string match -r -- '^--[^=]*=' (commandline -ct))
    set -l value (string replace -r -- '^--[^=]*=' '' (commandline -ct))
    for line in ($words[1] completion words -- $words[2..-1] 2>/dev/null)
        switch $line
            case :file
                __fish_complete_path $value | string replace -r -- '^' "$option"
            case :folder
                __fish_complete_directories $value | string replace -r -- '^' "$option"
            case '*'
                echo $line
        end
    end
end
complete -c pipfallback -f -a '(__pipfallback_words)'
""",
}
