"""Files as rows of the source's own columns, each with its place and, for a broken line, what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.config.sources import FileConfig
from crm_spark.ingest.columnar import FILE_MONTH, read_columnar
from crm_spark.ingest.lines import BLOCK, LINE, ORDER, PATH, REPLACEMENT, is_blank, read_lines
from crm_spark.ingest.listing import Layout
from crm_spark.ingest.reasons import told
from crm_spark.ingest.survey import Surveyed

BROKEN = "crm__broken"  # reasons why the line is no row, else null
IS_HEADER = "crm__is_header"  # equals its file's header; the first such line is the header, another one is a bad row
PLACE = (PATH, BLOCK, ORDER, FILE_MONTH)
_HEADER, _CORRUPT, _CELLS = "crm__header", "crm__corrupt", "crm__cells"


def read_rows(spark: SparkSession, layout: Layout, files: Sequence[Surveyed]) -> DataFrame:
    """The rows of files that have the same columns; blank lines are left out, headers are marked.

    A file that came after the survey is not read. `crm__month` is null for a file that holds all months.
    """
    months = sorted({f.file.month for f in files if f.file.month}) or layout.months
    known = spark.createDataFrame([(f.file.path, f.file.month, f.header) for f in files], f"{PATH} string, {FILE_MONTH} string, {_HEADER} string")
    if layout.file.format == "csv":
        lines = read_lines(spark, layout.file, layout.patterns(months)).where(~is_blank())
        return _cells(lines.join(F.broadcast(known), on=PATH), layout.file, files[0].schema.names)
    rows = read_columnar(spark, layout, months, files[0].schema)
    dated = rows if layout.month_sql else rows.join(F.broadcast(known.drop(_HEADER)), on=PATH)
    return _columnar_cells(dated, layout.file, files[0].schema)


def _cells(lines: DataFrame, file: FileConfig, columns: Sequence[str]) -> DataFrame:
    ddl = ", ".join(f"{_quoted(c)} STRING" for c in (*columns, _CORRUPT))
    options = {
        "sep": file.delimiter, "quote": file.quote, "escape": file.quote or "\\", "mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT,
    }  # fmt: skip
    parsed = lines.withColumn(_CELLS, F.from_csv(LINE, ddl, options))
    header = (F.col(BLOCK) == 0) & F.col(LINE).eqNullSafe(F.col(_HEADER))
    cells = [_without_nulls(F.col(_CELLS)[c], file).alias(c) for c in columns]
    return parsed.select(*PLACE, LINE, header.alias(IS_HEADER), _broken(file, len(columns), header).alias(BROKEN), *cells)


def _columnar_cells(rows: DataFrame, file: FileConfig, schema: T.StructType) -> DataFrame:
    cells = [
        (_without_nulls(F.col(_quoted(f.name)), file) if isinstance(f.dataType, T.StringType) else F.col(_quoted(f.name))).alias(f.name)
        for f in schema.fields
    ]
    delivered = F.struct(*[F.col(_quoted(c)) for c in schema.names]).alias(LINE)
    nothing = F.lit(None).cast("array<string>").alias(BROKEN)
    return rows.select(*PLACE, delivered, F.lit(False).alias(IS_HEADER), nothing, *cells)


def _without_nulls(cell: Column, file: FileConfig) -> Column:
    return F.when(~cell.isin(*file.nulls), cell) if file.nulls else cell


def _broken(file: FileConfig, columns: int, header: Column) -> Column:
    """Every reason why the line is no row; null for a sound line. Fields of a broken line are not looked at."""
    corrupt = F.col(_CELLS)[_CORRUPT].isNotNull()
    found = _columns_found(file)
    reasons = [
        (header, "line: the header again"),
        (F.contains(F.col(LINE), F.lit(REPLACEMENT)), f"line: characters that are not {file.encoding}"),
        (F.contains(F.col(LINE), F.lit("\0")), "line: NUL character"),
        (_odd_quotes(file), "line: unclosed quote"),
        (corrupt & (found < columns), "line: too few columns"),
        (corrupt & (found > columns), "line: too many columns"),
        (corrupt & (found == columns), "line: not readable"),
    ]
    return told(reasons)


def _odd_quotes(file: FileConfig) -> Column:
    if not file.quote:
        return F.lit(False)
    return (F.length(LINE) - F.length(F.replace(F.col(LINE), F.lit(file.quote), F.lit("")))) % 2 == 1


def _columns_found(file: FileConfig) -> Column:
    quote = re.escape(file.quote)
    bare = F.regexp_replace(LINE, f"{quote}[^{quote}]*{quote}", "") if file.quote else F.col(LINE)
    delimiters = F.length(bare) - F.length(F.replace(bare, F.lit(file.delimiter), F.lit("")))
    return delimiters / len(file.delimiter) + 1


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
