"""The operator's files and tables as frames: the only reading of the door."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import unquote

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.utils import is_remote

from crm_spark.frames import literal_frame

_FEWEST_CUTS = "spark.sql.files.minPartitionNum"
PATH, BLOCK, ORDER, TEXT = "crm__path", "crm__block", "crm__order", "crm__text"


class Intake:
    """Reads what an operator delivers, whatever file system it lies on; nothing is cast, dropped or mended."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def listed(self, patterns: Sequence[str]) -> tuple[list[tuple[str, int, int | None]], list[str]]:
        """(address, bytes, last change) of the files at these paths and globs, and the patterns that match nothing; contents are not touched.

        The last change is in milliseconds since 1970; None for an empty file.
        """
        try:
            found = self._spark.read.format("binaryFile").load(list(patterns))
            facts = found.select(F.col("_metadata.file_path"), "length", F.unix_millis("modificationTime")).collect()
            scanned: list[tuple[str, int, int | None]] = [(row[0], row[1], row[2]) for row in facts]
            there = {plain_path(path) for path, *_ in scanned}
            empty = [(path, 0, None) for path in found.inputFiles() if plain_path(path) not in there]  # a scan leaves them out
            return [*scanned, *empty], []
        except AnalysisException as error:
            if error.getCondition() != "PATH_NOT_FOUND":
                raise
        if len(patterns) == 1:
            return [], list(patterns)
        parts = [self.listed([pattern]) for pattern in patterns]
        return [f for files, _ in parts for f in files], [p for _, absent in parts for p in absent]

    def text(self, patterns: Sequence[str]) -> DataFrame:
        """One row per line, undecoded. `crm__order` rises with the lines of a block of a file; blocks follow by `crm__block`."""
        return self._spark.read.text(list(patterns)).select(
            F.col("value").alias(TEXT),
            F.col("_metadata.file_path").alias(PATH),
            F.col("_metadata.file_block_start").alias(BLOCK),
            F.monotonically_increasing_id().alias(ORDER),
        )

    def parquet_schema(self, patterns: Sequence[str]) -> T.StructType:
        """Columns of all these files together; files that contradict one another fail."""
        return self._spark.read.option("mergeSchema", "true").parquet(*patterns).schema

    def parquet(self, patterns: Sequence[str], schema: T.StructType) -> DataFrame:
        """One row per row, with its file and its number in it."""
        rows = self._spark.read.schema(schema).parquet(*patterns)
        place = (F.col("_metadata.file_path").alias(PATH), F.col("_metadata.row_index").alias(ORDER))
        return rows.select("*", *place).withColumn(BLOCK, F.lit(0).cast("bigint"))

    def has_table(self, name: str) -> bool:
        """True if the catalog knows the table."""
        return bool(self._spark.catalog.tableExists(name))

    def table(self, name: str) -> DataFrame:
        """One row per row of a catalog table; the number of a row only tells rows apart."""
        place = {PATH: F.lit(name), BLOCK: F.lit(0).cast("bigint"), ORDER: F.monotonically_increasing_id()}
        return self._spark.table(name).withColumns(place)

    def frame(self, rows: Sequence[tuple[object, ...]], schema: str | T.StructType) -> DataFrame:
        """A small frame of facts about files."""
        return literal_frame(self._spark, rows, schema)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Within the block a mapping's SQL gives NULL for what it cannot compute: one bad cell must not stop the batch, as in ANSI mode. And files are
        cut alike however often they are read, whatever executors come and go: lines are found again by where they stood."""
        wanted = {"spark.sql.ansi.enabled": "false"}
        if not is_remote():
            wanted[_FEWEST_CUTS] = str(self._spark.conf.get(_FEWEST_CUTS, None) or self._spark.sparkContext.defaultParallelism)
        before: dict[str, str | None] = {name: self._spark.conf.get(name, None) for name in wanted}
        for name, value in wanted.items():
            self._spark.conf.set(name, value)
        try:
            yield
        finally:
            for name, was in before.items():
                self._spark.conf.unset(name) if was is None else self._spark.conf.set(name, was)


def plain_path(address: str) -> str:
    """One form of the addresses that Spark writes as file:/a, file:///a and with %20."""
    return unquote(re.sub(r"^file:/+", "/", address))


def as_pattern(address: str) -> str:
    """A pattern that matches this one file alone."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", plain_path(address))
