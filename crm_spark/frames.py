"""A few rows of the driver as a frame, a frame with more columns, if any, and one whose rows are computed once."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import cast

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import types as T
from pyspark.sql.utils import is_remote


def literal_frame(spark: SparkSession, rows: Sequence[tuple[object, ...]], schema: str | T.StructType) -> DataFrame:
    """The rows in the plan itself, as SQL's VALUES: reading them needs no job. NaN becomes null; a time without a zone is the session's.

    From a list, Spark would send them through a Python worker each time they are read (a quarter of a second).
    """
    struct = cast(T.StructType, T.StructType.fromDDL(schema)) if isinstance(schema, str) else schema
    held = rows or [(None,) * len(struct.fields)]  # pandas goes by Arrow only with a row in it
    frame = spark.createDataFrame(pd.DataFrame(held, columns=struct.names, dtype=object), struct)
    return frame if rows else frame.limit(0)


def with_columns(frame: DataFrame, columns: Mapping[str, Column]) -> DataFrame:
    """`frame.withColumns`, but for no column too, which Spark Connect refuses."""
    return frame.withColumns(dict(columns)) if columns else frame


def computed(frame: DataFrame) -> DataFrame:
    """Its rows, computed now and kept by the executors, with a short plan of their own.

    A client of Spark Connect copies the plan into its command, which must nest less than a hundred deep: it names a view instead.
    """
    if not is_remote():
        return frame.localCheckpoint()
    view = f"computed_{uuid.uuid4().hex}"
    frame.createOrReplaceTempView(view)
    try:
        return frame.sparkSession.table(view).localCheckpoint()
    finally:
        frame.sparkSession.catalog.dropTempView(view)
