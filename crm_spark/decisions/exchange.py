"""A decision table between formats: what DMN and XLSX give, and planners' CSV and YAML take."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from crm_spark.errors import ConfigError


@dataclass(frozen=True)
class Exchanged:
    """A table by name: its YAML as values, and its sheet."""

    name: str
    spec: Mapping[str, object]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def csv(self) -> str:
        """The sheet as planners keep it."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([self.header, *self.rows])
        return text.getvalue()

    def yml(self) -> str:
        """The YAML beside it."""
        return yaml.safe_dump(dict(self.spec), sort_keys=False, allow_unicode=True)


def save(table: Exchanged, folder: Path, replace: bool = False) -> tuple[Path, Path]:
    """Write `<name>.csv` and `<name>.yml`; ConfigError if one is there, unless it is to be replaced."""
    csv_file, yml_file = folder / f"{table.name}.csv", folder / f"{table.name}.yml"
    there = [str(path) for path in (csv_file, yml_file) if path.exists()]
    if there and not replace:
        raise ConfigError(f"{', '.join(there)}: there already; give --replace to write over it")
    folder.mkdir(parents=True, exist_ok=True)
    csv_file.write_text(table.csv(), encoding="utf-8", newline="")
    yml_file.write_text(table.yml(), encoding="utf-8")
    return csv_file, yml_file
