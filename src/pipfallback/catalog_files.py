"""Which fallbacks.toml files are in force, and which packages they name, without reading TOML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipfallback import builtin_names

FILE_NAME = builtin_names.FILE_NAME

_HEADER = re.compile(
    rb"""^[ \t]*\[\[?[ \t]*package[ \t]*\.[ \t]*(["']?)([^\s"'.\]]+)\1[ \t]*[.\]]""",
    re.MULTILINE,
)
# Other ways to write the same tables: [package], package.NAME.key = …, package = {…}, a header that begins with a quote.
_OTHER_FORM = re.compile(
    rb"""^[ \t]*(?:\[[ \t]*package[ \t]*\]|package[ \t]*[.=]|\[*[ \t]*["']package["'])""",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One file in force. ``found``: it lay in the working directory and nobody named it, so it is trusted less."""

    path: Path
    found: bool = False


def builtin_path() -> Path:
    """The built-in catalog: beside the modules in a wheel, at the top of the repository in a source checkout."""
    return Path(builtin_names.builtin_path())


def layers(files: Sequence[Path] = (), *, cwd: Path | None = None, config_dir: Path | None = None) -> tuple[Layer, ...]:
    """The files in force, least important first (DESIGN 6); a file that is several of them counts as the last.

    ``files`` are those that the user named. One in ``config_dir`` or ``cwd`` need not exist. The built-in file itself
    is nobody's own file, whoever works in its folder.
    """
    order = [Layer(path=builtin_path())]
    if config_dir is not None and (config_dir / FILE_NAME).is_file():
        order.append(Layer(path=config_dir / FILE_NAME))
    if cwd is not None and (cwd / FILE_NAME).is_file():
        order.append(Layer(path=cwd / FILE_NAME, found=True))
    order += [Layer(path=path) for path in files]
    kept: dict[Path, Layer] = {}
    for layer in order:
        real = layer.path.resolve()
        if real in kept and layer.found:
            continue  # known to the user by another way already
        kept.pop(real, None)
        kept[real] = layer
    return tuple(kept.values())


def managed_names(chosen: Iterable[Layer]) -> frozenset[str]:
    """The packages that these files have entries for, PEP 503-normalised as the files must write them.

    Cheap: headers are looked for in the text. Only a file that writes its tables in another form is parsed. A file that
    cannot be read or is no TOML names nothing here; ``catalog_reader.load`` tells what is wrong with it.
    """
    names: set[str] = set()
    for layer in chosen:
        names |= _names(layer.path)
    return frozenset(names)


def _names(path: Path) -> frozenset[str]:
    try:
        content = path.read_bytes()
    except OSError:
        return frozenset()
    if _OTHER_FORM.search(content):
        # Only here: parsing costs 25 ms of start-up, which a command without a managed name should not pay.
        from pipfallback.toml_document import Document

        table = Document(str(path), content).data.get("package")
        return frozenset(table) if isinstance(table, dict) else frozenset()
    return frozenset(match[2].decode("utf-8", "replace") for match in _HEADER.finditer(content))
