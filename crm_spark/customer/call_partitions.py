"""The calls, or the states, of one partition as states or totals: what `mapInArrow` is handed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crm_spark.customer.arrays import Ints, codes, groups_of, named_codes
from crm_spark.customer.call_figures import NAMED_FIGURE, figures, named_figure
from crm_spark.customer.call_sums import KEY_SEPARATOR, Sums, state_columns, sums_of_calls, sums_of_states
from crm_spark.tables.call_state import CALL_STATE
from crm_spark.tables.common import KEY

Adding = Callable[[pa.Table, Ints, int], Sums]
_STATES_A_BATCH = 10_000  # each brings its peers


def summed_partitions(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Of a partition's calls, and of the rows without a call, which are the register: the totals of the register."""
    for rows in _whole(batches):
        yield from _totals(rows, rows["call"].is_valid().to_numpy(), sums_of_calls).to_batches()


def state_totals(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same of states, and of the rows without a state."""
    for rows in _whole(batches):
        yield from _totals(rows, rows["calls"].is_valid().to_numpy(), sums_of_states).to_batches()


def call_states(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The states that a partition's calls come to."""
    for rows in _whole(batches):
        yield from _states(rows, sums_of_calls).to_batches(max_chunksize=_STATES_A_BATCH)


def merged_states(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """States of the same key added."""
    for rows in _whole(batches):
        yield from _states(rows, sums_of_states).to_batches(max_chunksize=_STATES_A_BATCH)


def _whole(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The partition in one piece; nothing of an empty one."""
    parts = list(batches)
    if parts:
        yield pa.Table.from_batches(parts)


def _totals(rows: pa.Table, is_told: Ints, adding: Adding) -> pa.Table:
    group, groups = groups_of(rows["subscriber"], rows["subscriber_too"])
    sums = adding(rows.filter(pa.array(is_told)), group[is_told], groups)
    keys = pc.split_pattern(rows["text"].filter(pa.array(~is_told)).combine_chunks(), KEY_SEPARATOR)
    place = group[~is_told]
    columns = {name: pc.list_element(keys, i) for i, name in enumerate(KEY)}
    for name, (values, told) in figures(sums).items():
        columns[name] = pa.array(values[place], mask=~told[place])
    columns[NAMED_FIGURE] = named_figure(sums).take(pa.array(place))
    return pa.table(columns)


def _states(rows: pa.Table, adding: Adding) -> pa.Table:
    """One row per subscriber, city and month."""
    group, groups = groups_of(rows["subscriber"], rows["subscriber_too"])
    for name in ("city", "month"):
        code, names = named_codes(rows[name])
        group, groups = codes(group * len(names) + code)
    of_group = np.zeros(groups, np.int64)
    of_group[group] = np.arange(len(group))
    keys = {name: rows[name].take(pa.array(of_group)) for name in CALL_STATE.key}
    return pa.table({**keys, **state_columns(adding(rows, group, groups))}).select(CALL_STATE.columns)
