"""`middle.call_indicators`: bandicoot's indicators of a month of calls, in one pass and one shuffle. docs/adr/0009 tells why in arrays.

Calls travel with the register to where their subscriber's indicators are worked out, one partition at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.customer.arrays import groups_of
from crm_spark.customer.call_sums import KEY_SEPARATOR
from crm_spark.customer.calls import least_partitions, subscriber_hashes
from crm_spark.customer.indicator_contacts import Columns, call_columns, contact_columns
from crm_spark.customer.indicator_log import CallLog
from crm_spark.customer.indicator_places import place_columns
from crm_spark.customer.indicator_stats import Ints
from crm_spark.tables.common import KEY
from crm_spark.tables.indicators import CALL_INDICATORS, column

CALLS_A_PARTITION, SUBSCRIBERS_A_PARTITION = 500_000, 20_000  # about 400 MB in a Python worker; each subscriber brings 720 columns
ROWS_A_BATCH = 1_000
NEEDED = {"direction": "is_out", "correspondent_id": "contact", "call_duration": "seconds"}  # bandicoot's names of what a call must tell


def build_call_indicators(cdr: DataFrame, basic: DataFrame, sites: DataFrame) -> DataFrame:
    """One row per subscriber of `basic` and month: indicators of all its calls, wherever they were filed; null where there is no call.

    `sites` tells where cells lie; a cell of which it tells nothing counts everywhere but in the radius of gyration, one that several
    cities tell lies where the first of them says.
    """
    partitions = 1 + max(cdr.count() // CALLS_A_PARTITION, basic.count() // SUBSCRIBERS_A_PARTITION)
    both = _calls(cdr, sites).unionByName(_register(basic), allowMissingColumns=True)
    return both.repartition(max(partitions, least_partitions(cdr)), "subscriber").mapInArrow(indicator_partitions, CALL_INDICATORS.struct)


def indicator_partitions(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """For `mapInArrow`: of a partition's calls, and of the rows without a call, which are the register."""
    whole = list(batches)
    if whole:
        yield from _indicators(pa.Table.from_batches(whole)).to_batches(max_chunksize=ROWS_A_BATCH)


def _calls(cdr: DataFrame, sites: DataFrame) -> DataFrame:
    """What the indicators need of each call; numbers and cells as hashes."""
    places = sites.groupBy("month", "cell_id").agg(F.min_by(F.struct("latitude", "longitude"), "city").alias("place"))
    located = cdr.join(F.broadcast(places.select("month", "cell_id", "place.*")), on=["month", "cell_id"], how="left")
    return located.select(
        *subscriber_hashes(),
        "started_at",
        "seconds",
        F.when(F.col("direction") == "out", True).when(F.col("direction") == "in", False).alias("is_out"),
        _hash("peer_id").alias("contact"),
        _hash("cell_id").alias("cell"),
        "latitude",
        "longitude",
    )


def _register(basic: DataFrame) -> DataFrame:
    return basic.select(*subscriber_hashes(), F.concat_ws(KEY_SEPARATOR, *KEY).alias("key"))


def _hash(name: str) -> Column:
    return F.when(F.col(name).isNotNull(), F.xxhash64(name))


def _indicators(rows: pa.Table) -> pa.Table:
    group, groups = groups_of(rows["subscriber"], rows["subscriber_too"])
    is_call = rows["started_at"].is_valid().to_numpy()
    place = group[~is_call]
    keys = pc.split_pattern(rows["key"].filter(pa.array(~is_call)).combine_chunks(), KEY_SEPARATOR)
    made = {name: pc.list_element(keys, i) for i, name in enumerate(KEY)}
    for name, (values, told) in _columns(rows.filter(pa.array(is_call)), group[is_call], groups):
        made[name] = pa.array(values[place], mask=~told[place])
    return pa.table(made).select(CALL_INDICATORS.columns)


def _columns(calls: pa.Table, user: Ints, users: int) -> Columns:
    missing = {reason: calls[name].is_null().to_numpy() for reason, name in NEEDED.items()}
    told = np.ones(users, bool)
    for reason, lacks in missing.items():
        yield column("ignored_calls", reason), (np.bincount(user[lacks], minlength=users), told)
    ignored = np.logical_or.reduce(list(missing.values()))
    yield "ignored_calls", (np.bincount(user[ignored], minlength=users), told)
    log = CallLog.of(calls.filter(pa.array(~ignored)), user[~ignored], users)
    for family in (call_columns, contact_columns, place_columns):
        yield from family(log)
