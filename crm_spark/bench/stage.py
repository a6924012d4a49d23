"""A stage of the month that is measured, and what is written down of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from crm_spark.bench.measure import Measured, best_of, peak_mb, reads_counted, timed
from crm_spark.tables.catalog import laid_out
from crm_spark.tables.contract import Table


@dataclass(frozen=True)
class Place:
    """Where a bench finds the configuration, keeps its data and writes its tables."""

    conf: Path
    out: Path

    def tables(self, size: int) -> Path:
        """Folder of the tables that stages of a size write."""
        return self.out / "tables" / str(size)


@dataclass(frozen=True)
class Work:
    """A stage ready to be measured: `run` it, `floor` reads the columns it uses and writes its rows as they are.

    `rival` does the same by another engine, and `agrees` tells whether its rows are equal.
    """

    run: Callable[[], None]
    floor: Callable[[], None]
    rows_in: int
    rows_out: Callable[[], int]
    rival: Callable[[], None] | None = None
    agrees: Callable[[], bool] | None = None


Stage = Callable[[SparkSession, int, Place], Work]


@dataclass
class Record:
    """One stage at one size."""

    stage: str
    size: int
    rows_in: int
    rows_out: int
    seconds: float
    floor_seconds: float
    peak_mb: int
    shuffle_bytes: int = 0
    spill_bytes: int = 0
    cores: int = os.cpu_count() or 1
    duckdb_seconds: float | None = None
    equals_duckdb: bool | None = None
    read_bytes: int = 0
    written_bytes: int = 0


def measure(spark: SparkSession, name: str, size: int, work: Work, with_rival: bool) -> tuple[Record, Measured]:
    """The record without its bytes, and a round more, of which they are told."""
    best, least = best_of(work.run), best_of(work.floor)
    record = Record(name, size, work.rows_in, work.rows_out(), round(best.seconds, 2), round(least.seconds, 2), peak_mb(spark))
    if with_rival and work.rival and work.agrees:
        record.duckdb_seconds, record.equals_duckdb = round(best_of(work.rival).seconds, 2), work.agrees()
    with reads_counted(spark):
        return record, timed(work.run)


def save(rows: DataFrame, table: Table, path: str) -> None:
    """Write rows of a table as a run does."""
    writer = laid_out(table.conform(rows), table).write.format("delta").mode("overwrite")
    writer = writer.option("maxRecordsPerFile", table.rows_per_file).option("overwriteSchema", "true")
    writer.partitionBy(*table.partitioned_by).save(path)


def save_again(spark: SparkSession, table: Table, path: str) -> None:
    """Write the rows that `save` wrote beside them, as they lie: nothing is moved or sorted."""
    spark.read.format("delta").load(path).write.format("delta").mode("overwrite").partitionBy(*table.partitioned_by).save(f"{path}_again")
