"""From the fallbacks.toml files in force to one Catalog (DESIGN 6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipfallback.catalog import Catalog, Package, Source
from pipfallback.catalog_files import Layer, layers
from pipfallback.catalog_tables import PackageTable, read_packages
from pipfallback.errors import CatalogError
from pipfallback.toml_document import Document, Mistake
from pipfallback.trust import Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile:
    """A layer with what its file says; ``document`` has its mistakes."""

    layer: Layer
    document: Document
    packages: tuple[PackageTable, ...]


def load(files: Sequence[Path] = (), *, cwd: Path | None = None, config_dir: Path | None = None) -> Catalog:
    """Read and merge all files in force.

    ``files``: named by the user (``--fallbacks``, ``PIPFALLBACK_FALLBACKS``), the last one winning. ``cwd`` and
    ``config_dir``: folders whose ``fallbacks.toml`` counts where it exists. Raises CatalogError with every mistake of
    every file.
    """
    found = [read_file(layer) for layer in layers(files, cwd=cwd, config_dir=config_dir)]
    catalog = merge(found, files)
    if mistakes := [mistake for read in found for mistake in read.document.mistakes]:
        raise mistaken(mistakes)
    return catalog


def read_file(layer: Layer) -> ReadFile:
    """Read one file; what is wrong in it is noted in its ``document``. Raises CatalogError where it cannot be read."""
    try:
        content = layer.path.read_bytes()
    except OSError as error:
        raise CatalogError(f"cannot read {layer.path}: {error.strerror or error}") from None
    document = Document(str(layer.path), content)
    return ReadFile(layer=layer, document=document, packages=read_packages(document))


def merge(found: Sequence[ReadFile], files: Sequence[Path] = ()) -> Catalog:
    """The files as one catalog, the last one winning; ``files`` are those among them that the user named.

    A package without ``import`` is noted as a mistake of its file.
    """
    named = {path.resolve() for path in files}
    notes: list[str] = []
    packages: dict[str, Package] = {}
    for read in found:
        tables = read.packages
        if read.layer.found:
            notes += _announcement(read)
            tables = tuple(_as_found(table) for table in tables)
        if read.layer.path.resolve() in named:
            tables = tuple(_as_named(table) for table in tables)
        for table in tables:
            packages[table.name] = _merged(packages.get(table.name), table)
            if table.imports is None and not packages[table.name].imports:
                read.document.wrong(table.path, "import is missing: the modules that prove that the package works")
    return Catalog(packages=packages, files=tuple(str(read.layer.path) for read in found), notes=tuple(notes))


def mistaken(mistakes: Sequence[Mistake]) -> CatalogError:
    """The error that tells all mistakes."""
    files = dict.fromkeys(mistake.file for mistake in mistakes)
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    return CatalogError(f"{count} in {', '.join(files)}", details=[str(mistake) for mistake in mistakes])


def _announcement(read: ReadFile) -> list[str]:
    """What is said about a file that nobody named: that it counts, and what of it does not."""
    lines = [f"using {read.layer.path}, found in the working directory"]
    for table in read.packages:
        lowered = [source.name for source in table.sources if source.trust is Trust.OFFICIAL]
        if lowered:
            lines.append(
                f"{table.name}: {', '.join(lowered)} counts as vendor, not official: nobody named {read.layer.path.name}"
            )
        if table.smoke is not None:
            lines.append(f"{table.name}: smoke is not run: nobody named {read.layer.path.name}")
    return lines


def _as_found(table: PackageTable) -> PackageTable:
    """The table as it counts in a file that nobody named: at most vendor, and no code of its own is run."""
    sources = tuple(
        replace(source, trust=Trust.VENDOR) if source.trust is Trust.OFFICIAL else source for source in table.sources
    )
    return replace(table, sources=sources, smoke=None)


def _as_named(table: PackageTable) -> PackageTable:
    """The table as it counts in a file that the user named."""
    return replace(table, sources=tuple(replace(source, named=True) for source in table.sources))


def _merged(earlier: Package | None, table: PackageTable) -> Package:
    """What the table says wins; what it leaves out stays."""
    earlier = earlier or Package(name=table.name, imports=())
    imports, other = earlier.imports, earlier.other_imports
    if table.imports:
        imports, other = table.imports, ()
    return Package(
        name=table.name,
        imports=imports,
        other_imports=other if table.other_imports is None else table.other_imports,
        needs=earlier.needs if table.needs is None else table.needs,
        smoke=earlier.smoke if table.smoke is None else table.smoke,
        smoke_unproven=earlier.smoke_unproven if table.smoke is None else table.smoke_unproven,
        sources=_merged_sources(earlier.sources, table.sources),
    )


def _merged_sources(earlier: Iterable[Source], later: Sequence[Source]) -> tuple[Source, ...]:
    """Later sources come first, as their file's author prefers them; one of the same name replaces the earlier one."""
    names = {source.name for source in later}
    return (*later, *(source for source in earlier if source.name not in names))
