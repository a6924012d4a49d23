"""All files that feed one table for some months, conformed into one frame; and what of it is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.config.sources import MappingConfig, SourceConfig
from crm_spark.ingest.columnar import FILE_MONTH
from crm_spark.ingest.conform import REASONS, Door, conform
from crm_spark.ingest.duplicates import CONFLICT, PART, VERDICT
from crm_spark.ingest.files import BLOCK, ORDER, PATH, Intake
from crm_spark.ingest.lines import LINE, line_offsets, read_lines
from crm_spark.ingest.listing import Layout
from crm_spark.ingest.pseudonym import PseudonymKey, keyed_hash
from crm_spark.ingest.rows import IS_HEADER, read_rows
from crm_spark.ingest.survey import Surveyed
from crm_spark.tables.contract import Table

CONFLICTING = "key: conflicting duplicate"
_OFFSET = "crm__offset"


@dataclass(frozen=True)
class Part:
    """Files of one mapping that have the same columns, read together; `month` is set where the file does not say it."""

    number: int
    label: str
    mapping: MappingConfig
    layout: Layout
    files: tuple[Surveyed, ...]
    month: str | None

    @property
    def months(self) -> list[str]:
        """Months asked of the files; those of the layout where a file holds all."""
        return sorted({f.file.month for f in self.files if f.file.month}) or list(self.layout.months)

    def month_of(self, file: Surveyed) -> str:
        """The month that the file is read for."""
        return self.month or file.file.month or ""


def parts(label: str, mapping: MappingConfig, layout: Layout, files: Iterable[Surveyed], months: Sequence[str]) -> Iterator[Part]:
    """The mapping's files of these months by columns; a file that holds all months counts once for each."""
    wanted = [f for f in files if f.file.month is None or f.file.month in months]
    for shape in dict.fromkeys(f.schema.json() for f in wanted):
        alike = tuple(f for f in wanted if f.schema.json() == shape)
        dated = tuple(f for f in alike if f.file.month)
        if dated:
            yield Part(0, label, mapping, layout, dated, None)
        undated = tuple(f for f in alike if not f.file.month)
        for month in months if undated else ():
            yield Part(0, label, mapping, layout, undated, month)


def staged(intake: Intake, found: Sequence[Part], source: SourceConfig, table: Table, key: PseudonymKey) -> DataFrame:
    """Every row of the parts, good and bad, in the contract's columns with place, money, reasons and part number."""

    def frame(part: Part) -> DataFrame:
        rows = read_rows(intake, part.layout, part.files, part.months, part.mapping.words(part.month))
        return conform(rows, part.mapping, table, Door(source.operator, key, part.month)).withColumn(PART, F.lit(part.number))

    return reduce(DataFrame.unionByName, map(frame, found))


def refused_rows(intake: Intake, rows: DataFrame, found: Sequence[Part], source: SourceConfig, key: PseudonymKey) -> DataFrame:
    """One row per refused line: the columns of raw.quarantine and the line itself. The header of a file is none of them."""
    reasons = F.coalesce(REASONS, F.when(F.col(VERDICT) == CONFLICT, F.array(F.lit(CONFLICTING))))
    bad = rows.withColumn(REASONS, reasons).where(F.col(REASONS).isNotNull())
    names = [(p.number, p.label, f.file.path, p.month_of(f), f.file.name) for p in found for f in p.files]
    known = intake.frame(names, f"{PART} int, mapping string, {PATH} string, {FILE_MONTH} string, file string")
    placed = bad.join(_offsets(intake, found), on=[PART, PATH, BLOCK], how="left").join(F.broadcast(known), on=[PART, PATH, FILE_MONTH])
    numbered = placed.withColumn("line_number", F.col(ORDER) + F.coalesce(_OFFSET, F.lit(1)))
    return numbered.where(~(F.col(IS_HEADER) & (F.col("line_number") == 1))).select(
        "city", "month", F.lit(source.name).alias("source"), "mapping", "file", "line_number",
        keyed_hash(key, F.concat(F.lit("line|"), LINE)).alias("line_hash"), F.col(REASONS).alias("reasons"), F.col(LINE).alias("line"),
    )  # fmt: skip


def _offsets(intake: Intake, found: Sequence[Part]) -> DataFrame:
    """Line offsets per part, file and block; only text has blocks. The same scan as before gives the same order."""
    text = [p for p in found if p.layout.file.format == "csv"]
    frames = [line_offsets(read_lines(intake, p.layout.file, p.layout.patterns(p.months))).withColumn(PART, F.lit(p.number)) for p in text]
    if not frames:
        return intake.frame([], f"{PART} int, {PATH} string, {BLOCK} bigint, {_OFFSET} bigint")
    return reduce(DataFrame.unionByName, frames)
