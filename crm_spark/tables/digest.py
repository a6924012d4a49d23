"""The digest of a table's rows: equal contents have equal digests, whatever the files, partitions or order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.tables.contract import Field, Table

_NULL = "\u2400"
_BUCKET_DIGITS = 3


def digest(frame: DataFrame, table: Table, without: Sequence[str] = ()) -> str:
    """SHA-256 over the canonical text of all rows in contract order, `without` some columns.

    Rows are hashed, sorted within 4,096 buckets of their hash, and the buckets hashed in order, so nothing that grows with
    customers reaches the driver. Doubles count at 9 significant digits, decimals at their scale, NULL is explicit.
    """
    fields = [f for f in table.fields if f.name not in without]
    row = F.sha2(F.concat_ws("\u241f", *[_canonical(f) for f in fields]), 256)
    buckets = (
        frame.select(row.alias("row"))
        .groupBy(F.substring("row", 1, _BUCKET_DIGITS).alias("bucket"))
        .agg(F.sha2(F.concat_ws("", F.sort_array(F.collect_list("row"))), 256).alias("hash"))
    )
    whole = hashlib.sha256()
    for bucket in sorted(buckets.collect()):
        whole.update(f"{bucket['bucket']}{bucket['hash']}".encode())
    return whole.hexdigest()


def _canonical(field: Field) -> Column:
    column = F.col(f"`{field.name}`")
    if isinstance(field.type, T.DoubleType):
        text = F.format_string("%.8e", column + F.lit(0.0))
    elif isinstance(field.type, T.MapType):
        text = F.to_json(F.array_sort(F.map_entries(column)))
    elif isinstance(field.type, (T.ArrayType, T.StructType)):
        text = F.to_json(column)
    else:
        text = column.cast("string")
    return F.when(column.isNull(), F.lit(_NULL)).otherwise(text)
