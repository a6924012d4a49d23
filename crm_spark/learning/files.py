"""A table of whatever kind by its path."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import unquote

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.errors import ConfigError, one_line
from crm_spark.learning.csv_head import csv_head
from crm_spark.threads import at_once

LOG = logging.getLogger("crm_spark")
_TEXTS = {".csv", ".tsv", ".tab", ".txt"}
_PARQUET_MARK, _UTF8_MARK = b"PAR1", b"\xef\xbb\xbf"
_MEND_NANOS = ": write its times in microseconds (pandas: to_parquet(..., coerce_timestamps='us'))"
_HEAD_BYTES = 1_000_000  # that say how a text file is to be read
_HEAD_LINES = 10_000


def read_table(spark: SparkSession, path: str) -> DataFrame:
    """A Delta folder, text files with a header (compressed or not; every column as text), or Parquet; ConfigError if it cannot be read.

    Encoding and separator of text files, and whether quotes hold line breaks, are told from the first megabyte. A path whose name says
    nothing is Parquet if it begins so, else text.
    """
    try:
        return _read(spark, path)
    except PySparkException as error:
        mend = _MEND_NANOS if "NANOS" in str(error) else ""
        raise ConfigError(f"{path}: {one_line(error)}{mend}") from None


def table_version(spark: SparkSession, path: str) -> int | str:
    """The newest version of a Delta folder; of other files how many, how large and how new they are."""
    if _is_delta(spark, path):
        (newest,) = spark.sql(f"DESCRIBE HISTORY delta.`{path}` LIMIT 1").collect()
        return int(newest["version"])
    files = spark.read.format("binaryFile").option("recursiveFileLookup", True).load(path)  # content is not read unless it is asked for
    (found,) = files.agg(F.count("path"), F.sum("length"), F.date_format(F.max("modificationTime"), "yyyy-MM-dd HH:mm:ss")).collect()
    return f"{found[0]:,} file{'s' * (found[0] > 1)} of {found[1]:,} bytes, changed {found[2]}"


def _read(spark: SparkSession, path: str) -> DataFrame:
    if _is_delta(spark, path):
        return spark.read.format("delta").load(path)
    suffixes = {s.lower() for s in Path(path).suffixes}
    if ".parquet" in suffixes:
        return _read_parquet(spark, path)
    head = _head(spark, path)
    is_text = suffixes & _TEXTS or not (head and head[0].startswith(_PARQUET_MARK))
    return _read_text(spark, path, head) if is_text else _read_parquet(spark, path)


def _read_parquet(spark: SparkSession, path: str) -> DataFrame:
    try:
        return spark.read.parquet(path)
    except PySparkException:
        raise
    except Exception:  # a job that fails behind the reader comes as py4j's, which a client of a server does not have
        raise ConfigError(f"{path}: is no Parquet, or damaged (names of text files end in {', '.join(sorted(_TEXTS))})") from None


def _read_text(spark: SparkSession, path: str, lines: list[bytes]) -> DataFrame:
    head = csv_head(lines)
    if head is None:
        raise ConfigError(f"{path}: is neither Delta, Parquet nor text in UTF-8, UTF-16, gb18030 or windows-1252: write it as CSV in UTF-8")
    LOG.info("%s: read as text in %s, columns separated by %r", path, head.encoding, head.separator)
    reader = spark.read.format("csv").options(header=True, sep=head.separator, encoding=head.encoding, quote='"', escape='"')
    table = reader.option("multiLine", head.line_breaks_in_quotes).load(path)
    _refuse_other_headers(spark, path, table)
    return table


def _refuse_other_headers(spark: SparkSession, path: str, table: DataFrame) -> None:
    """Spark reads all files by the columns of one of them, by their places."""
    files = sorted(unquote(name) for name in table.inputFiles())
    if len(files) < 2:
        return
    lines = at_once(spark, lambda file: spark.read.text(file).select(F.col("value").cast("binary")).head(1), files)
    first = {file: bytes(line[0][0]).removeprefix(_UTF8_MARK).strip() for file, line in zip(files, lines, strict=True) if line}
    other = next((file for file, line in first.items() if line != next(iter(first.values()))), None)
    if other:
        names = f"{Path(other).name} begins with another line than {Path(next(iter(first))).name}"
        raise ConfigError(f"{path}: {names}: all files must have the same columns in the same order, each with the header")


def _head(spark: SparkSession, path: str) -> list[bytes]:
    """The first lines as bytes, about a megabyte."""
    lines = spark.read.text(path).select(F.col("value").cast("binary").alias("line"))
    first = lines.head(1)
    if not first:
        return []
    count = min(_HEAD_LINES, _HEAD_BYTES // (len(first[0]["line"]) + 1) + 1)
    return [bytes(row["line"]) for row in lines.limit(count).collect()]


def _is_delta(spark: SparkSession, path: str) -> bool:
    """By its log; of a path with a scheme Delta itself is asked."""
    if ":/" not in path:
        return (Path(path) / "_delta_log").is_dir()
    try:
        return bool(spark.sql(f"DESCRIBE DETAIL delta.`{path}`").head(1))
    except PySparkException:
        return False
