"""A decision table as an XLSX workbook: the sheet `rules` is the CSV, the sheet `table` holds the lines of the YAML."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import yaml

from crm_spark.config.decisions import MatrixFiles
from crm_spark.decisions.exchange import Exchanged
from crm_spark.errors import ConfigError

RULES, TABLE = "rules", "table"


def read_workbook(path: Path) -> Exchanged:
    """The table of a workbook, named after its file; ConfigError for a workbook that lacks a sheet."""
    try:
        book = _openpyxl().load_workbook(path, read_only=True, data_only=True)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    missing = [name for name in (RULES, TABLE) if name not in book.sheetnames]
    if missing:
        raise ConfigError(f"{path}: the sheet '{missing[0]}' is missing; export a table to see how one looks")
    header, *rows = [tuple(map(_cell, row)) for row in book[RULES].iter_rows(values_only=True) if any(c is not None for c in row)] or [()]
    lines = (_cell(row[0]) for row in book[TABLE].iter_rows(values_only=True) if row)
    return Exchanged(path.stem, yaml.safe_load("\n".join(lines)) or {}, header, tuple(rows))


def write_workbook(files: MatrixFiles, path: Path) -> None:
    """Every cell as text, so that no program turns 1-3 into a day."""
    book = _openpyxl().Workbook()
    rules = book.active
    rules.title = RULES
    for row in (files.sheet.header, *([r.cells[c] for c in files.sheet.header] for r in files.sheet.rows)):
        rules.append(list(row))
    table = book.create_sheet(TABLE)
    for line in Path(files.path).read_text(encoding="utf-8").splitlines():
        table.append([line])
    for sheet in (rules, table):
        for cells in sheet.iter_rows():
            for cell in cells:
                cell.number_format, cell.data_type = "@", "s"  # what begins with = is a test, not a formula
    rules.freeze_panes = "A2"
    book.save(path)


def _cell(value: object) -> str:
    """As a planner sees it: a whole number that a program kept as 12.0 is 12."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _openpyxl() -> ModuleType:
    try:
        return import_module("openpyxl")
    except ImportError:
        raise ConfigError("a workbook needs the package openpyxl: pip install openpyxl") from None
