"""Files as rows of the source's own columns, each with its place and, for a broken line, what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.config.sources import FileConfig
from crm_spark.ingest.columnar import FILE_MONTH, read_columnar
from crm_spark.ingest.files import BLOCK, ORDER, PATH, Intake
from crm_spark.ingest.lines import LINE, is_blank, is_undecodable, read_lines
from crm_spark.ingest.listing import Layout
from crm_spark.ingest.reasons import told
from crm_spark.ingest.survey import Surveyed

BROKEN = "crm__broken"  # reasons why the line is no row, else null
IS_HEADER = "crm__is_header"  # equals its file's header; the first such line is the header, another one is a bad row
PLACE = (PATH, BLOCK, ORDER, FILE_MONTH)
_HEADER, _CORRUPT, _PARSED, _CELLS = "crm__header", "crm__corrupt", "crm__parsed", "crm__cells"


def read_rows(intake: Intake, layout: Layout, files: Sequence[Surveyed], months: Sequence[str], used: frozenset[str]) -> DataFrame:
    """The rows of these months' files, which have the same columns; blank lines are left out, headers are marked.

    Of the columns only the `used` ones (small letters).

    A file that came after the survey is not read. `crm__month` is null for a file that holds all months.
    """
    facts = [(f.file.path, f.file.month, f.header) for f in files]
    known = intake.frame(facts, f"{PATH} string, {FILE_MONTH} string, {_HEADER} string")
    if layout.file.format == "csv":
        lines = read_lines(intake, layout.file, layout.patterns(months)).where(~is_blank())
        return _cells(lines.join(F.broadcast(known), on=PATH), layout.file, files[0].schema.names, used)
    rows = read_columnar(intake, layout, months, files[0].schema)
    dated = rows if layout.month_sql else rows.join(F.broadcast(known.drop(_HEADER)), on=PATH)
    return _columnar_cells(dated, layout.file, [f for f in files[0].schema.fields if f.name.lower() in used])


def _cells(lines: DataFrame, file: FileConfig, columns: Sequence[str], used: frozenset[str]) -> DataFrame:
    """Lines split into cells: plainly where no quote stands in the line, else by the CSV parser, which takes ten times as long."""
    ddl = ", ".join(f"{_quoted(c)} STRING" for c in (*columns, _CORRUPT))
    quoting = {"quote": file.quote, "escape": file.quote or "\\"}
    options = {"sep": file.delimiter, **quoting, "mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT}
    has_quote = F.contains(F.col(LINE), F.lit(file.quote)) if file.quote else F.lit(False)
    parsed = lines.withColumn(_PARSED, F.when(has_quote, F.from_csv(LINE, ddl, options)))
    by_parser = F.array(*[F.col(_PARSED)[c] for c in columns])
    plainly = F.split(LINE, _literally(file.delimiter), -1)
    split = parsed.withColumn(_CELLS, F.when(F.col(_PARSED).isNotNull(), by_parser).otherwise(plainly))
    header = F.col(LINE).eqNullSafe(F.col(_HEADER))
    cells = [_without_nulls(F.get(_CELLS, F.lit(i)), ("", *file.nulls)).alias(c) for i, c in enumerate(columns) if c.lower() in used]
    return split.select(*PLACE, LINE, header.alias(IS_HEADER), _broken(file, len(columns), header).alias(BROKEN), *cells)


def _columnar_cells(rows: DataFrame, file: FileConfig, fields: Sequence[T.StructField]) -> DataFrame:
    text = {f.name for f in fields if isinstance(f.dataType, T.StringType)}
    raw = {f.name: F.col(_quoted(f.name)) for f in fields}
    cells = [(_without_nulls(cell, file.nulls) if c in text else cell).alias(c) for c, cell in raw.items()]
    delivered = F.struct(*raw.values()).alias(LINE)
    nothing = F.lit(None).cast("array<string>").alias(BROKEN)
    return rows.select(*PLACE, delivered, F.lit(False).alias(IS_HEADER), nothing, *cells)


def _without_nulls(cell: Column, nulls: Sequence[str]) -> Column:
    return F.when(~cell.isin(*nulls), cell) if nulls else cell


def _broken(file: FileConfig, columns: int, header: Column) -> Column:
    """Every reason why the line is no row; null for a sound line. Fields of a broken line are not looked at."""
    misread = F.col(_PARSED)[_CORRUPT].isNotNull() | (F.col(_PARSED).isNull() & (F.size(_CELLS) != columns))
    found = _columns_found(file)
    return told(
        [
            (header, "line: the header again"),
            (is_undecodable(), f"line: characters that are not {file.encoding}"),
            (F.contains(F.col(LINE), F.lit("\0")), "line: NUL character"),
            (_odd_quotes(file), "line: unclosed quote"),
            (misread & (found < columns), "line: too few columns"),
            (misread & (found > columns), "line: too many columns"),
            (misread & (found == columns), "line: not readable"),
        ]
    )


def _odd_quotes(file: FileConfig) -> Column:
    without = F.replace(F.col(LINE), F.lit(file.quote), F.lit(""))
    return F.col(_PARSED).isNotNull() & ((F.length(LINE) - F.length(without)) % 2 == 1)


def _columns_found(file: FileConfig) -> Column:
    quote = _literally(file.quote)
    bare = F.regexp_replace(LINE, f"{quote}[^{quote}]*{quote}", "") if file.quote else F.col(LINE)
    delimiters = F.length(bare) - F.length(F.replace(bare, F.lit(file.delimiter), F.lit("")))
    return delimiters / len(file.delimiter) + 1


def _literally(text: str) -> str:
    """The text as a regular expression that Java matches without compiling one, if it is a single sign."""
    return re.escape(text) if len(text) == 1 else f"\\Q{text}\\E"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
