"""The customers of a frame, allocated within capacities: each pass reads all candidates once, in arrays (docs/adr/0010)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.decisions.allocation import Allocation, Extent, Few
from crm_spark.decisions.prices import Block, Floats, Ints, after_prices, best_of
from crm_spark.decisions.rounds import NONE

KEY, OPTIONS, VALUES, SPENDS = CANDIDATES = ("customer", "options", "values", "spends")
_ALLOTTED = T.StructType(
    [
        T.StructField("chosen", T.IntegerType()),
        T.StructField("runner_up", T.IntegerType()),
        T.StructField("lost_by", T.DoubleType()),
        T.StructField("best", T.IntegerType()),
        T.StructField("settled_place", T.IntegerType()),
        T.StructField("fills", T.BooleanType()),
    ]
)
Batches = Iterable[pa.RecordBatch]


class Customers:
    """The `Population` of a frame: per row `customer` (a text of its own), and its candidates as `options`, `values`, `spends`, at least one each.

    The frame is read some thirty times: keep it before.
    """

    def __init__(self, frame: DataFrame) -> None:
        self._frame = frame.select(*CANDIDATES)

    def extent(self) -> Extent:
        """Customers, candidates, highest value."""
        (row,) = self._frame.agg(F.count("*"), F.sum(F.size(OPTIONS)), F.max(F.array_max(VALUES))).collect()
        return Extent(int(row[0]), int(row[1] or 0), float(row[2] or 0.0))

    def sample(self, count: int) -> Few:
        """So many customers, whichever have the lowest hashes."""
        return _few(self._frame.orderBy(F.xxhash64(F.lit("sample"), KEY), KEY).limit(count))

    def total(self, work: Callable[[Block], Ints]) -> Ints:
        """The sum of what `work` makes of every block: one number per capacity and bucket comes to the driver."""

        def summed(batches: Batches) -> Batches:
            amounts: Ints | None = None
            for batch in batches:
                if len(batch):
                    part = work(block_of(batch))
                    amounts = part if amounts is None else amounts + part
            if amounts is not None:
                yield pa.record_batch([pa.array(np.arange(len(amounts))), pa.array(amounts)], names=["place", "amount"])

        rows = self._frame.mapInArrow(summed, "place bigint, amount bigint").groupBy("place").agg(F.sum("amount").alias("amount")).collect()
        total = np.zeros(len(rows), dtype=np.int64)
        for row in rows:
            total[row["place"]] = row["amount"]
        return total

    def nearest(self, distance: Callable[[Block], Floats], count: int) -> Few:
        """The `count` customers of least distance, equal ones by key."""

        def found(batches: Batches) -> Batches:
            kept: pa.Table | None = None
            for batch in batches:
                if len(batch):
                    measured = pa.Table.from_batches([batch.append_column("distance", pa.array(distance(block_of(batch))))])
                    kept = _least(pa.concat_tables([kept, measured]) if kept else measured, count)
            yield from kept.to_batches() if kept else ()

        schema = T.StructType([*self._frame.schema.fields, T.StructField("distance", T.DoubleType())])
        return _few(self._frame.mapInArrow(found, schema).orderBy("distance", KEY).limit(count))


def allotted(frame: DataFrame, allocation: Allocation) -> DataFrame:
    """`frame` with the place (from 0) of the candidate `chosen` (null: none), of the `runner_up`, and how much that `lost_by` after prices.

    `best` is the place of the candidate that is worth most after prices, whatever room there was for it; null if none is worth its prices.
    `settled_place` is the place that the exact solution of the last few gave instead of prices (NONE: none), null for all others. `fills` is true
    where the choice fills a minimum, which pays for it.
    """

    def chosen(batches: Batches) -> Batches:
        for batch in batches:
            yield _with_choice(batch, allocation) if len(batch) else batch

    return frame.mapInArrow(chosen, T.StructType([*frame.schema.fields, *_ALLOTTED.fields]))


def block_of(batch: pa.RecordBatch) -> Block:
    """The customers of some rows."""
    lists = batch.column(batch.schema.get_field_index(OPTIONS))
    offsets = lists.offsets.to_numpy()
    values, spends = (_flat(batch, column) for column in (VALUES, SPENDS))
    return Block((offsets[:-1] - offsets[0]).astype(np.int64), _flat(batch, OPTIONS).astype(np.int64), values, spends)


def _few(frame: DataFrame) -> Few:
    rows = frame.select(*CANDIDATES).toArrow().combine_chunks().sort_by(KEY)
    batches = rows.to_batches() or [pa.RecordBatch.from_pylist([], schema=rows.schema)]
    return Few(tuple(rows.column(KEY).to_pylist()), block_of(batches[0]))


def _flat(batch: pa.RecordBatch, column: str) -> Floats:
    return cast(Floats, batch.column(batch.schema.get_field_index(column)).flatten().to_numpy(zero_copy_only=False))


def _least(table: pa.Table, count: int) -> pa.Table:
    order = np.lexsort((table.column(KEY).to_numpy(), table.column("distance").to_numpy()))
    return table.take(pa.array(order[:count]))


def _with_choice(batch: pa.RecordBatch, allocation: Allocation) -> pa.RecordBatch:
    block = block_of(batch)
    keys = batch.column(batch.schema.get_field_index(KEY)).to_pylist()
    taken = allocation.choose(keys, block)
    worth = after_prices(block, allocation.capacities, allocation.plan.prices)
    best = best_of(block, worth)
    has = taken != NONE
    others = worth.copy()
    others[taken[has]] = -np.inf
    next_best = best_of(block, others)
    has_other = has & np.isfinite(next_best.worth)
    lost_by = worth[np.where(has, taken, 0)] - next_best.worth
    made = [
        pa.array(np.where(has, taken - block.starts, 0).astype(np.int32), mask=~has),
        pa.array((next_best.candidate - block.starts).astype(np.int32), mask=~has_other),
        pa.array(np.where(has_other, lost_by, 0.0), mask=~has_other),
        pa.array((best.candidate - block.starts).astype(np.int32), mask=best.worth <= 0),
        pa.array([allocation.overrides.get(key) for key in keys], pa.int32()),
        pa.array(has & (worth > block.value)[np.where(has, taken, 0)]),
    ]
    return pa.RecordBatch.from_arrays([*batch.columns, *made], names=[*batch.schema.names, *_ALLOTTED.names])
