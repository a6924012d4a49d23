"""Approvals of matrix sets, as a sheet `conf/approvals.csv`: which set may decide, for which cities, from when to when, and who says so."""

from __future__ import annotations

import csv
import io
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
        if self.author.casefold() == self.approved_by.casefold():
            raise ValueError(f"'{self.author}' cannot approve what is their own: author and approver are two")

    def is_in_force(self, day: date) -> bool:
        """True if the set may decide over a month that ends on `day`."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


def load_approvals(path: Path) -> tuple[Approval, ...]:
    """The approvals of a sheet, none without one; ConfigError names every wrong cell by row and column."""
    if not path.exists():
        return ()
    sheet = read_sheet(path)
    problems = sheet.header_problems(tuple(f.name for f in fields(Approval)))
    if problems:
        raise ConfigError(problems)
    approvals = [approval for row in sheet.rows if (approval := _approval(sheet, row, problems))]
    if problems:
        raise ConfigError(problems)
    return tuple(approvals)


def add_approval(path: Path, approval: Approval) -> None:
    """Write one more row; the rows that are there stay as they are."""
    there = path.read_bytes().decode("utf-8-sig") if path.exists() else ""
    rows = [] if there.strip() else [[f.name for f in fields(Approval)]]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*rows, [_cell(getattr(approval, f.name)) for f in fields(Approval)]])
    path.write_text(there + "\n" * (bool(there) and not there.endswith("\n")) + text.getvalue(), encoding="utf-8", newline="")


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
