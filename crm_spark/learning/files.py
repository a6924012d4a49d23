"""A table of whatever kind by its path."""

from __future__ import annotations

from pathlib import Path

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from crm_spark.errors import ConfigError

_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_table(spark: SparkSession, path: str) -> DataFrame:
    """A Delta folder, CSV or TSV files with a header (compressed or not; every column as text), or Parquet; ConfigError if it cannot be read."""
    suffix = next((s for s in _SEPARATORS if s in Path(path).suffixes), None)
    reader = spark.read.format("delta") if _is_delta(path) else spark.read.format("parquet")
    if suffix:
        reader = spark.read.format("csv").options(header=True, sep=_SEPARATORS[suffix], quote='"', escape='"')
    try:
        return reader.load(path)
    except AnalysisException as error:
        raise ConfigError(f"{path}: {str(error).strip().splitlines()[0]}") from None


def delta_version(spark: SparkSession, path: str) -> int | None:
    """The newest version of a Delta folder; None of other files, which have none."""
    if not _is_delta(path):
        return None
    newest = spark.sql(f"DESCRIBE HISTORY delta.`{path}` LIMIT 1").first()
    return int(newest["version"]) if newest else None


def _is_delta(path: str) -> bool:
    return (Path(path) / "_delta_log").is_dir()
