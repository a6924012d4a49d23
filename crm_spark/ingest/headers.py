"""The columns of a file, and whether the mappings find theirs in it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.config.sources import FileConfig, MappingConfig
from crm_spark.errors import did_you_mean
from crm_spark.ingest.files import Intake
from crm_spark.ingest.listing import Layout

_UNRESOLVED = re.compile(r"with name `?(.+?)`? cannot be resolved")
_NAME = re.compile(r"(?!.*\d{7})[^\W\d][\w .()/%-]*")  # what a column is called; a cell of a data row is told to nobody


def column_names(file: FileConfig, first_line: str) -> tuple[str, ...]:
    """Names in a header line, blanks around them removed; a nameless column is `_c<position>`."""
    if len(file.delimiter) == 1 and file.quote:
        cells = next(csv.reader([first_line], delimiter=file.delimiter, quotechar=file.quote), [])
    else:
        cells = first_line.split(file.delimiter)
    return tuple(cell.strip() or f"_c{i}" for i, cell in enumerate(cells))


def mapping_problems(intake: Intake, layout: Layout, schema: T.StructType) -> list[str]:
    """Why these columns cannot feed the layout's mappings: names given twice, columns not there, expressions that do not fit."""
    names = [c.lower() for c in schema.names]
    twice = sorted({c for c in schema.names if names.count(c.lower()) > 1})
    if twice:
        return [f"column {', '.join(twice)} stands twice in the header" if is_header(names) else f"a name stands twice in {_untold(names)}"]
    empty = intake.frame([], schema)
    return sorted({p for mapping in layout.mappings for month in _periods(mapping, layout) for p in _unresolved(empty, mapping, month)})


def unmapped_columns(columns: Sequence[str], mappings: Sequence[MappingConfig]) -> tuple[str, ...]:
    """Delivered columns that no mapping reads; one whose name might be a value is left out."""
    used = frozenset[str]().union(*(m.words() for m in mappings))
    return tuple(c for c in columns if c.lower() not in used and is_header([c]))


def is_header(names: Sequence[str]) -> bool:
    """True if all of these look like column names: a file without its header would else tell its first row."""
    return all(_NAME.fullmatch(name) for name in names)


def _periods(mapping: MappingConfig, layout: Layout) -> Sequence[str]:
    return [m for m in layout.months if m in mapping.periods] if mapping.periods else [""]


def _unresolved(empty: DataFrame, mapping: MappingConfig, month: str) -> Iterator[str]:
    expressions = {**mapping.columns, "city": mapping.city, "month": mapping.month, "money": mapping.money}
    filled = {name: mapping.filled(e, month) for name, e in expressions.items() if e is not None}
    if _problem(empty, *filled.values()) is None:
        return
    for name, expression in filled.items():
        problem = _problem(empty, expression)
        if problem:
            yield f"{mapping.table}.{name}: {problem}"


def _problem(empty: DataFrame, *expressions: str) -> str | None:
    try:
        empty.select(*map(F.expr, expressions)).schema  # noqa: B018 - the analysis is the check
    except AnalysisException as error:  # a ParseException is one, too
        missing = _UNRESOLVED.search(str(error))
        if missing:
            known = did_you_mean(missing.group(1), empty.columns) if is_header(empty.columns) else f" in {_untold(empty.columns)}"
            return f"column {missing.group(1)} is missing{known}"
        return " ".join(str(error).split(";")[0].split())[:200]
    return None


def _untold(names: Sequence[str]) -> str:
    return f"a first line of {len(names)} columns that is no header"
