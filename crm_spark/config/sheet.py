"""A CSV sheet that a planner keeps, read with the place of every cell, so that an error can name it."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from crm_spark.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class SheetRow:
    """One row: the line it stands on and its cells by column, stripped."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True)
class Sheet:
    """A CSV file with a header."""

    path: str
    header: tuple[str, ...]
    rows: tuple[SheetRow, ...]

    def place(self, row: SheetRow, column: str = "", name: str = "") -> str:
        """`file:line (name), column 'x'`, as every problem begins."""
        return f"{self.path}:{row.line}{f' ({name})' if name else ''}{f', column {column!r}' if column else ''}"

    def header_problems(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> list[str]:
        """What the header lacks, and what it has that nobody knows."""
        known = (*required, *optional)
        missing = [f"{self.path}:1: column '{c}' is missing" for c in required if c not in self.header]
        return missing + [f"{self.path}:1: unknown column '{c}'{did_you_mean(c, known)}" for c in self.header if c not in known]


def read_sheet(path: Path, text: str | None = None) -> Sheet:
    """The sheet in a UTF-8 CSV file (BOM and CRLF are fine, blank lines are skipped), or what it will be when `text` stands there.

    ConfigError names every ill-formed row.
    """
    reader = csv.reader(io.StringIO(_text(path) if text is None else text, newline=""), strict=True)
    problems: list[str] = []
    rows: list[SheetRow] = []
    header: tuple[str, ...] = ()
    try:
        for cells in reader:
            if not any(c.strip() for c in cells):
                continue
            if not header:
                header = tuple(c.strip() for c in cells)
                problems += _header_problems(path, header)
            elif len(cells) != len(header):
                told = f"{len(cells)} cells, the header has {len(header)}; quote a cell that holds a comma"
                problems.append(f"{path}:{reader.line_num}: {told}")
            else:
                stripped = (c.strip() for c in cells)
                rows.append(SheetRow(reader.line_num, dict(zip(header, stripped, strict=True))))
    except csv.Error as error:
        problems.append(f"{path}:{reader.line_num}: not CSV: {error}")
    if problems or not header:
        raise ConfigError(problems or f"{path}: the file is empty; a header row is wanted")
    return Sheet(str(path), header, tuple(rows))


def needed(cell: str) -> str:
    """The cell, which may not be empty."""
    if not cell:
        raise ValueError("is empty")
    return cell


def listed(cell: str) -> tuple[str, ...]:
    """What stands in a cell between semicolons."""
    return tuple(part.strip() for part in cell.split(";") if part.strip())


def day(cell: str) -> date:
    """A cell as a date."""
    try:
        return date.fromisoformat(cell)
    except ValueError:
        raise ValueError(f"'{cell}' is not a date (yyyy-mm-dd)") from None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: not UTF-8; save the sheet as CSV UTF-8") from None


def _header_problems(path: Path, header: tuple[str, ...]) -> list[str]:
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        return [f"{path}:1: columns are parted by commas, here they are not; save the sheet as comma-separated"]
    doubled = sorted({c for c in header if header.count(c) > 1})
    return [f"{path}:1: column '{c}' {'has no name' if not c else 'stands twice'}" for c in doubled] + [
        f"{path}:1: a column has no name"
    ] * (header.count("") == 1)
