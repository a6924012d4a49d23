"""Approvals of matrix sets, as a sheet `conf/approvals.csv`: which set may decide, for which cities, from when to when, and who says so."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path

from crm_spark.config.sheet import Sheet, SheetRow, day, listed, needed, read_sheet
from crm_spark.errors import ConfigError


@dataclass(frozen=True)
class Approval:
    """One approval of a set: for `cities` (none named: all), from `valid_from` to `valid_to` (None: until further notice), both included."""

    set_version: str
    cities: tuple[str, ...]
    valid_from: date
    valid_to: date | None
    author: str
    approved_by: str
    approved_on: date
    comment: str = ""

    def __post_init__(self) -> None:
        if self.valid_to and self.valid_to < self.valid_from:
            raise ValueError(f"valid_to {self.valid_to} lies before valid_from {self.valid_from}")
        if _as_heard(self.author) == _as_heard(self.approved_by):
            raise ValueError(f"'{self.author}' cannot approve what is their own: author and approver are two")

    def is_in_force(self, day: date) -> bool:
        """True if the set may decide over a month that ends on `day`."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


def load_approvals(path: Path) -> tuple[Approval, ...]:
    """The approvals of a sheet, none without one; ConfigError names every wrong cell by row and column."""
    return _read(read_sheet(path)) if path.exists() else ()


def add_approval(path: Path, approval: Approval) -> None:
    """Write one more row, in the order of the sheet's own columns; the rows that are there stay as they are.

    ConfigError, and nothing is written, where the sheet could not be read then.
    """
    there = path.read_bytes().decode("utf-8-sig", errors="replace") if path.exists() else ""
    header = read_sheet(path).header if there.strip() else COLUMNS
    rows = [] if there.strip() else [header]
    text = io.StringIO()
    line_end = "\r\n" if "\r\n" in there else "\n"
    csv.writer(text, lineterminator=line_end).writerows([*rows, [_cell(getattr(approval, column, "")) for column in header]])
    whole = there + line_end * (bool(there) and not there.endswith("\n")) + text.getvalue()
    _read(read_sheet(path, whole))
    path.write_text(whole, encoding="utf-8", newline="")


def _as_heard(name: str) -> str:
    """A name whatever its capitals, blanks and width."""
    return " ".join(unicodedata.normalize("NFKC", name).split()).casefold()


def _read(sheet: Sheet) -> tuple[Approval, ...]:
    problems = sheet.header_problems(COLUMNS)
    if problems:
        raise ConfigError(problems)
    approvals = [approval for row in sheet.rows if (approval := _approval(sheet, row, problems))]
    if problems:
        raise ConfigError(problems)
    return tuple(approvals)


def _approval(sheet: Sheet, row: SheetRow, problems: list[str]) -> Approval | None:
    values: dict[str, object] = {}
    before = len(problems)
    for column, convert in _CONVERT.items():
        try:
            values[column] = convert(row.cells[column])
        except ValueError as error:
            problems.append(f"{sheet.place(row, column)}: {error}")
    if len(problems) > before:
        return None
    try:
        return Approval(**values)  # type: ignore[arg-type]  # each converted by its column
    except ValueError as error:
        problems.append(f"{sheet.place(row)}: {error}")
        return None


def _cell(value: object) -> str:
    return ";".join(value) if isinstance(value, tuple) else "" if value is None else str(value)


def _last_day(cell: str) -> date | None:
    return day(cell) if cell else None


COLUMNS = tuple(f.name for f in fields(Approval))
_CONVERT: dict[str, Callable[[str], object]] = {
    "set_version": needed,
    "cities": listed,
    "valid_from": day,
    "valid_to": _last_day,
    "author": needed,
    "approved_by": needed,
    "approved_on": day,
    "comment": str,
}
