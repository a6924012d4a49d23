"""Which files are there for which month: path templates, and the names under which files are told."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from crm_spark.config.sources import FileConfig, MappingConfig, SourceConfig
from crm_spark.errors import SourceError
from crm_spark.ingest.files import Intake, as_pattern, plain_path

_GLOB = re.compile(r"(\{month\}|\*|\?|\{[^}]*\}|\[[^\]]*\])")


@dataclass(frozen=True)
class Layout:
    """Files of one entry of the source, the months wanted of them, and the mappings that read them.

    `month_sql` slices a catalog table that holds all months. `only` are the files to read, if not all.
    """

    name: str
    file: FileConfig
    data: str
    months: tuple[str, ...]
    mappings: tuple[MappingConfig, ...]
    month_sql: str | None = None
    only: tuple[str, ...] = ()

    def patterns(self, months: Iterable[str]) -> list[str]:
        """What Spark is asked to read for these months: one path, glob or table name each; one without {month} once."""
        if self.only:
            return list(self.only)
        return list(dict.fromkeys(self._template.replace("{month}", month) for month in months))

    def of(self, files: Iterable[SourceFile]) -> Layout:
        """The layout for the months of which there are files; a file that holds all months is every month's."""
        there = {f.month for f in files}
        return self if None in there else replace(self, months=tuple(m for m in self.months if m in there))

    def of_these(self, files: Iterable[SourceFile]) -> Layout:
        """The layout for these files alone, whatever lies beside them."""
        named = list(files)
        return replace(self.of(named), only=tuple(as_pattern(f.path) for f in named))

    @property
    def _template(self) -> str:
        return self.file.path.replace("{data}", _root(self.data))


@dataclass(frozen=True)
class SourceFile:
    """One delivered file: its address, its name below the data folder, its month (None: it holds all months), bytes and last change (milliseconds)."""

    path: str
    name: str
    month: str | None
    size: int
    modified: int | None = None


def layouts(source: SourceConfig, data: str, last_month: str) -> list[Layout]:
    """What there is to read up to `last_month`; mappings that read the same files share a layout."""
    shared: dict[tuple[str, str | None], list[MappingConfig]] = {}
    for mapping in source.mappings:
        shared.setdefault((mapping.file, _slicing(source, mapping)), []).append(mapping)
    found = []
    for (name, month_sql), mappings in shared.items():
        months = sorted({m for mapping in mappings for m in source.months_of(mapping) if m <= last_month})
        if months:
            found.append(Layout(name, source.files[name], data, tuple(months), tuple(mappings), month_sql))
    return found


def list_files(intake: Intake, layout: Layout, settled: Collection[str] = ()) -> list[SourceFile]:
    """The layout's files, by name; SourceError names every month for which nothing is there, but for the settled ones."""
    if layout.file.format == "table":
        return _tables(intake, layout)
    wanted = layout.patterns(layout.months)
    found, absent = intake.listed(wanted)
    files = sorted({_described(layout, *file) for file in found}, key=lambda f: f.name)
    if "{month}" in layout.file.path:
        there = {f.month for f in files}
        absent = [p for p, m in zip(wanted, layout.months, strict=True) if m not in {*there, *settled}]
    if absent or not (files or settled):
        raise SourceError("\n".join(f"files.{layout.name}: nothing found at {path}" for path in absent or wanted))
    return files


def _slicing(source: SourceConfig, mapping: MappingConfig) -> str | None:
    file = source.files[mapping.file]
    sliced = file.format == "table" and "{month}" not in file.path and not mapping.periods
    return mapping.month if sliced else None


def _tables(intake: Intake, layout: Layout) -> list[SourceFile]:
    absent = [name for name in layout.patterns(layout.months) if not intake.has_table(name)]
    if absent:
        raise SourceError("\n".join(f"files.{layout.name}: no table {name}" for name in absent))
    if layout.month_sql or "{month}" in layout.file.path:
        return [SourceFile(layout.patterns([m])[0], layout.patterns([m])[0], m, 0) for m in layout.months]
    return [SourceFile(name, name, None, 0) for name in layout.patterns(layout.months)]


def _described(layout: Layout, path: str, size: int, modified: int | None) -> SourceFile:
    plain = plain_path(path)
    root = _root(layout.data) + "/"
    name = plain.split(root, 1)[1] if root in plain else "/".join(plain.split("/")[-2:])
    return SourceFile(path, name, _month_in(layout.file.path.replace("{data}", _root(layout.data)), plain), size, modified)


def _month_in(template: str, plain: str) -> str | None:
    if "{month}" not in template:
        return None
    found = re.search(_expression(template) + r"(?:/.*)?$", plain)
    return found.group("month") if found else None


def _expression(template: str) -> str:
    """The template as a regular expression with the group `month`."""
    pieces: list[str] = []
    for piece in _GLOB.split(template):
        if piece == "{month}":
            pieces.append("(?P=month)" if any("(?P<month>" in p for p in pieces) else r"(?P<month>\d{4}-\d{2})")
        elif piece in ("*", "?"):
            pieces.append("[^/]*" if piece == "*" else "[^/]")
        elif piece.startswith("{"):
            pieces.append("(?:" + "|".join(map(re.escape, piece[1:-1].split(","))) + ")")
        else:
            pieces.append(piece if piece.startswith("[") else re.escape(piece))
    return "".join(pieces)


def _root(data: str) -> str:
    return data.rstrip("/") if ":" in data else str(Path(data).resolve())
