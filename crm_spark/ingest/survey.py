"""What is delivered, before anything is parsed: per file its counts, fingerprint, columns, and why it cannot be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pyspark.sql import types as T

from crm_spark.errors import SourceError
from crm_spark.ingest.columnar import FILE_MONTH, columnar_schema, read_columnar, survey_columnar
from crm_spark.ingest.files import PATH, Intake
from crm_spark.ingest.headers import column_names, mapping_problems
from crm_spark.ingest.lines import read_lines, survey_lines
from crm_spark.ingest.listing import Layout, SourceFile, list_files

NO_ROW = "there is no row in it"
UNDECODABLE_SHARE = 0.5  # beyond it not the rows are wrong but the declared encoding
_DAMAGED = re.compile(r"Encountered error while reading file (\S.*?)\.\s+(?:SQLSTATE|Could not)")
_CAUSE = re.compile(r"Caused by: (?!org\.apache\.spark\.SparkException)[\w.$]*?(\w+): ([^\n]*)")
Result = TypeVar("Result")
Known = Mapping[tuple[str, int, int | None], tuple[int, int, str]]  # (name, bytes, last change) -> lines, blank lines, fingerprint


@dataclass(frozen=True)
class Surveyed:
    """One file (or one month of a catalog table) and what was found; `problem` says why it is refused whole."""

    file: SourceFile
    lines: int
    blank: int
    fingerprint: str
    schema: T.StructType = field(default_factory=T.StructType)
    header: str | None = None
    problem: str | None = None

    @property
    def headers(self) -> int:
        return 0 if self.header is None else 1

    @property
    def is_known(self) -> bool:
        """True if the ledger told what it holds: its content was not read."""
        return not self.schema.fields and self.problem is None


def survey(intake: Intake, layout: Layout, settled: Collection[str] = (), known: Known | None = None) -> list[Surveyed]:
    """Every file of the layout, by name; SourceError for an absent or damaged one. Content is read once and not parsed.

    Of `settled` months the files may be gone. The content of files that are `known` is not read, nor are their columns told.
    """
    files = list_files(intake, layout, settled)
    seen = [Surveyed(f, *known[f.name, f.size, f.modified]) for f in files if known and (f.name, f.size, f.modified) in known]
    same = {f.file for f in seen}
    unread = [f for f in files if f not in same]
    if not unread:
        return seen
    found = _examined(intake, layout.of_these(unread) if seen else layout.of(files), unread)
    return _as_parts(sorted([*seen, *found], key=lambda f: f.file.name)) if seen else found


def with_content(intake: Intake, layout: Layout, found: Sequence[Surveyed], months: Collection[str]) -> list[Surveyed]:
    """What was found, with the content read, too, of files of these months that were known (and of those that hold all months)."""
    unread = [f.file for f in found if f.is_known and (f.file.month is None or f.file.month in months)]
    if not unread:
        return list(found)
    fresh = {f.file: f for f in _examined(intake, layout.of_these(unread), unread)}
    return _as_parts([fresh.get(f.file, f) for f in found])


def _examined(intake: Intake, layout: Layout, files: Sequence[SourceFile]) -> list[Surveyed]:
    look = _survey_text if layout.file.format == "csv" else _survey_columnar
    found = guarded(lambda: look(intake, layout, files))
    shapes = {f.schema.json(): f.schema for f in found if not f.problem}
    problems = {text: "; ".join(mapping_problems(intake, layout, schema)) for text, schema in shapes.items()}
    return [f if f.problem else replace(f, problem=problems[f.schema.json()] or None) for f in found]


def _as_parts(found: Sequence[Surveyed]) -> list[Surveyed]:
    """Beside others of its month that have rows a file without is a part like any other."""
    filled = {f.file.month for f in found if f.lines}
    return [replace(f, problem=None) if f.problem == NO_ROW and f.file.month in filled else f for f in found]


def guarded(work: Callable[[], Result]) -> Result:
    """The result of reading files; a file that Spark cannot read becomes a SourceError that names it."""
    try:
        return work()
    except Exception as error:
        damaged = _DAMAGED.search(str(error))
        if damaged is None:
            raise
        cause = _CAUSE.search(str(error))
        told = f" ({cause.group(1)}: {cause.group(2)})" if cause else ""
        raise SourceError(f"{damaged.group(1)}: refused: the file is damaged or cut off{told}") from None


def _survey_text(intake: Intake, layout: Layout, files: Sequence[SourceFile]) -> list[Surveyed]:
    lines = read_lines(intake, layout.file, layout.patterns(layout.months))
    facts = {row[PATH]: row for row in survey_lines(lines, layout.file).collect()}
    return [_text_file(layout, f, facts.get(f.path)) for f in files]


def _text_file(layout: Layout, source: SourceFile, facts: T.Row | None) -> Surveyed:
    if facts is None:
        return Surveyed(source, 0, 0, "", problem="the file is empty")
    header = facts["header"]
    columns = layout.file.columns if header is None else column_names(layout.file, header)
    schema = T.StructType([T.StructField(c, T.StringType()) for c in columns])
    found = Surveyed(source, facts["lines"], facts["blank"], _fingerprint(facts), schema, header)
    return replace(found, problem=_text_problem(layout, found, facts))


def _text_problem(layout: Layout, found: Surveyed, facts: T.Row) -> str | None:
    rows = found.lines - found.blank - found.headers
    if rows <= 0:
        return "the file has no data row"
    if facts["undecodable"] > UNDECODABLE_SHARE * rows:
        return f"{facts['undecodable']} of {rows} lines are not {layout.file.encoding}; is the encoding declared right?"
    if facts["chinese_utf8"] and not facts["not_utf8"]:
        return "declared gbk, but every line reads as Chinese in utf-8"
    return None


def _survey_columnar(intake: Intake, layout: Layout, files: Sequence[SourceFile]) -> list[Surveyed]:
    schemas = {month: columnar_schema(intake, layout, _wanted(layout, month)) for month in sorted({f.month for f in files}, key=str)}
    found = []
    for shape in dict.fromkeys(s.json() for s in schemas.values()):  # all months of one shape are one scan
        months = [m for m, s in schemas.items() if s.json() == shape]
        schema = schemas[months[0]]
        wanted = [m for month in months for m in _wanted(layout, month)]
        facts = survey_columnar(read_columnar(intake, layout, wanted, schema), schema).collect()
        by_file = {(f[PATH], f.asDict().get(FILE_MONTH)): f for f in facts}
        astray = _without_month(layout, by_file)
        for month in months:
            found.extend(_columnar_month(layout, [f for f in files if f.month == month], by_file, schema, astray))
    return sorted(found, key=lambda f: (f.file.name, f.file.month or ""))


def _wanted(layout: Layout, month: str | None) -> Sequence[str]:
    return layout.months if month is None else [month]


def _columnar_month(
    layout: Layout, files: Sequence[SourceFile], facts: dict[tuple[str, str | None], T.Row], schema: T.StructType, astray: str | None
) -> list[Surveyed]:
    """A month's files; an empty part is normal, a month without any row is not."""
    rows = [facts.get((f.path, f.month if layout.month_sql else None)) for f in files]
    problem = astray or (None if any(rows) else NO_ROW)
    return [Surveyed(f, r["lines"] if r else 0, 0, _fingerprint(r), schema, None, problem) for f, r in zip(files, rows, strict=True)]


def _without_month(layout: Layout, facts: dict[tuple[str, str | None], T.Row]) -> str | None:
    """Why a sliced table is refused: rows that say no month would be nobody's."""
    lost = sum(row["lines"] for (_, month), row in facts.items() if month is None) if layout.month_sql else 0
    return f"{lost} rows have no month ({layout.month_sql} is NULL or not yyyy-MM); give them one in the mapping's `month`" if lost else None


def _fingerprint(facts: T.Row | None) -> str:
    return f"{facts['lines']}-{facts['low']:x}-{facts['high']:x}" if facts else "empty"
