"""All files that feed one table for some months, conformed into one frame; and what of it is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.config.sources import MappingConfig, SourceConfig
from crm_spark.ingest.columnar import FILE_MONTH
from crm_spark.ingest.conform import REASONS, Door, conform, line_text
from crm_spark.ingest.duplicates import CONFLICT, PART, VERDICT, key_hash
from crm_spark.ingest.files import BLOCK, ORDER, PATH, Intake
from crm_spark.ingest.lines import LINE, line_offsets, read_lines
from crm_spark.ingest.listing import Layout
from crm_spark.ingest.pseudonym import PseudonymKey, keyed_hash
from crm_spark.ingest.rows import IS_HEADER, read_rows
from crm_spark.ingest.survey import Surveyed
from crm_spark.tables.contract import Table

CONFLICTING = "key: conflicting duplicate"
BROADCAST_CLASHES = 1_000_000  # more lines are not sent to every executor by way of the driver
_OFFSET, _COUNTED, _AGAIN = "crm__offset", "crm__counted", "crm__again"


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


Numbered = tuple[Part, Surveyed, int | None]  # a file, and what `crm__order` lacks to be its line number; None: to be counted

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


def refused_rows(
    intake: Intake, rows: DataFrame, found: Sequence[Numbered], clashes: DataFrame | None, source: SourceConfig, key: PseudonymKey
) -> DataFrame:
    """One row per refused line: the columns of raw.quarantine and the line itself. The header of a file is none of them.

    `rows` are the refused ones; `clashes` the addresses of those that contradict one another, whose lines are read again.
    """
    names = [(p.number, p.label, f.file.path, p.month_of(f), f.file.name, offset) for p, f, offset in found]
    known = intake.frame(names, f"{PART} int, mapping string, {PATH} string, {FILE_MONTH} string, file string, {_OFFSET} bigint")
    placed = rows.join(F.broadcast(known), on=[PART, PATH, FILE_MONTH])
    numbered = _numbered(intake, placed, [p for p, _, offset in found if offset is None])
    lined = numbered if clashes is None else _with_lines(intake, numbered, [p for p, _, _ in found], clashes)
    return lined.where(~(F.col(IS_HEADER) & (F.col("line_number") == 1))).select(
        "city", "month", F.lit(source.name).alias("source"), "mapping", "file", "line_number",
        keyed_hash(key, F.concat(F.lit("line|"), LINE)).alias("line_hash"),
        F.coalesce(REASONS, F.array(F.lit(CONFLICTING))).alias("reasons"), F.col(LINE).alias("line"),
        F.when(F.col(VERDICT) == CONFLICT, key_hash(source.table_of(found[0][0].mapping))).alias("key_hash"),
    )  # fmt: skip


def _numbered(intake: Intake, rows: DataFrame, unknown: Sequence[Part]) -> DataFrame:
    """With line numbers; the blocks of files whose offset is not known are counted in the same scan, which gives the same order."""
    if not unknown:
        return rows.withColumn("line_number", F.col(ORDER) + F.col(_OFFSET))
    parts = {p.number: p for p in unknown}.values()
    lines = [(p.number, read_lines(intake, p.layout.file, p.layout.patterns(p.months))) for p in parts]
    offsets = reduce(DataFrame.unionByName, [line_offsets(found).withColumn(PART, F.lit(number)) for number, found in lines])
    counted = rows.join(offsets.withColumnRenamed(_OFFSET, _COUNTED), on=[PART, PATH, BLOCK], how="left")
    return counted.withColumn("line_number", F.col(ORDER) + F.coalesce(_COUNTED, _OFFSET))


def _with_lines(intake: Intake, rows: DataFrame, found: Sequence[Part], clashes: DataFrame) -> DataFrame:
    """The lines of rows that were good by themselves are not carried along: those that clash are read again."""
    counts = {row[PART]: row["count"] for row in clashes.groupBy(PART).count().collect()}
    if not counts:
        return rows
    few = sum(counts.values()) <= BROADCAST_CLASHES

    def beside(frame: DataFrame) -> DataFrame:
        return F.broadcast(frame) if few else frame

    parted = {p.number: p for p in found if p.number in counts}.values()
    again = [_lines(intake, p, beside(clashes.where(F.col(PART) == p.number).select(PATH, ORDER))) for p in parted]
    lines = reduce(DataFrame.unionByName, again)
    return rows.join(beside(lines), on=[PART, PATH, ORDER], how="left").withColumn(LINE, F.coalesce(LINE, _AGAIN))


def _lines(intake: Intake, part: Part, places: DataFrame) -> DataFrame:
    rows = read_rows(intake, part.layout, part.files, part.months, part.mapping.words(part.month))
    kept = rows.join(places, on=[PATH, ORDER], how="left_semi")
    return kept.select(F.lit(part.number).alias(PART), PATH, ORDER, line_text(kept).alias(_AGAIN))
