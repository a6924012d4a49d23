"""Every subscriber's month of calls, in one pass and one shuffle; or day by day, by a state that further calls are added to.

Calls are packed into a few integers and travel together with the register to where their subscriber is summed; there each
partition is summed in arrays. docs/adr/0007 tells what else was measured, docs/adr/0011 what the state is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.customer.call_figures import COUNTS, NAMED_FIGURE
from crm_spark.customer.call_partitions import call_states, merged_states, state_totals, summed_partitions
from crm_spark.customer.call_sums import FIRST_BIT, IN, KEY_SEPARATOR, OUT, UNTOLD
from crm_spark.tables.call_state import CALL_STATE
from crm_spark.tables.common import KEY
from crm_spark.tables.middle import VOICE_MINUTES
from crm_spark.tables.raw import CALL_KINDS, ROAMING_KINDS

NIGHT_STARTS, NIGHT_ENDS = 23, 6  # hours, the end excluded
CALLS_A_PARTITION, STATES_A_PARTITION = 1_000_000, 100_000  # about 150 MB in a Python worker
MonthsTold = Mapping[str, Sequence[str]]
TOTALS = T.StructType(
    [T.StructField(c, T.StringType()) for c in KEY]
    + [T.StructField(f.name, T.DoubleType()) for f in VOICE_MINUTES]
    + [T.StructField(c, T.LongType()) for c in COUNTS]
    + [T.StructField(NAMED_FIGURE, T.StringType())]
)


def call_totals(cdr: DataFrame, basic: DataFrame) -> DataFrame:
    """One row per subscriber of `basic` and month: sums over all its calls, wherever they were filed; null for what no call of it tells.

    Minutes by kind (`VOICE_MINUTES`), counts (`COUNTS`: `calls_ln_calls` is the sum over peers of c ln c in 1e-9, `long_distance_fee` in
    1e-4 yuan) and the province with most outgoing long distance. A subscriber is told by 128 bits of its pseudonym, a peer of it by 64.
    """
    both = _packed(cdr).unionByName(_register(basic))
    return _brought_together(both, cdr.count() // CALLS_A_PARTITION).mapInArrow(summed_partitions, TOTALS)


def state_of_calls(cdr: DataFrame) -> DataFrame:
    """Rows of `middle.call_state`: what these calls add up to, by the city they were filed in."""
    packed = _packed(cdr, "city", "month")
    return _brought_together(packed, cdr.count() // CALLS_A_PARTITION).mapInArrow(call_states, CALL_STATE.struct)


def state_of_states(states: DataFrame) -> DataFrame:
    """Rows of `middle.call_state`, of any two sets of calls that share none, added: one row a key."""
    return _brought_together(states, states.count() // STATES_A_PARTITION).mapInArrow(merged_states, CALL_STATE.struct)


def totals_of_state(states: DataFrame, basic: DataFrame) -> DataFrame:
    """`call_totals` of the calls that these states are of, to the last digit."""
    register = _register(basic).select("subscriber", "subscriber_too", "text")
    both = states.drop("city", "month").unionByName(register, allowMissingColumns=True)
    return _brought_together(both, states.count() // STATES_A_PARTITION).mapInArrow(state_totals, TOTALS)


def months_told(totals: DataFrame) -> MonthsTold:
    """By column of `totals` the months of which a call of any subscriber of the register tells it: one row a month comes to the driver.

    A subscriber without calls has 0 VPN minutes only if the operator tells VPN calls at all; else it is not known.
    """
    columns = [c for c in totals.columns if c not in KEY]
    rows = totals.groupBy("month").agg(*[F.count(c).alias(c) for c in columns]).collect()
    return {c: sorted(row["month"] for row in rows if row[c]) for c in columns}


def zero_if_told(column: str, told_by: str, told: MonthsTold) -> Column:
    """The column, 0 instead of null in months that tell `told_by`."""
    is_silent = F.col(column).isNull() & F.col("month").isin(*told[told_by])
    return F.when(is_silent, 0).otherwise(F.col(column)).alias(column)


def least_partitions(frame: DataFrame) -> int:
    """The session's own number of partitions; Databricks may say `auto`."""
    told = str(frame.sparkSession.conf.get("spark.sql.shuffle.partitions"))
    return int(told) if told.isdigit() else 1


def _brought_together(rows: DataFrame, partitions: int) -> DataFrame:
    return rows.repartition(max(1 + partitions, least_partitions(rows)), "subscriber")


def _register(basic: DataFrame) -> DataFrame:
    """The register as rows without a call, their key as text: a column of its own would cost every call something."""
    nothing = [F.lit(None).cast("long").alias(c) for c in ("peer", "call", "fee")]
    return basic.select(*subscriber_hashes(), *nothing, F.concat_ws(KEY_SEPARATOR, *KEY).alias("text"))


def _packed(cdr: DataFrame, *carried: str) -> DataFrame:
    """The call in one integer; fee and province of outgoing long distance alone; and the columns carried along."""
    hour = F.hour("started_at")
    attributes = {
        "seconds": F.coalesce(F.col("seconds"), F.lit(0)),
        "timed": F.col("seconds").isNotNull().cast("int"),
        "kind": _index("call_kind", CALL_KINDS, UNTOLD["kind"]),
        "roaming": _index("roaming_kind", ROAMING_KINDS, UNTOLD["roaming"]),
        "direction": F.when(F.col("direction") == "out", OUT).when(F.col("direction") == "in", IN).otherwise(UNTOLD["direction"]),
        "vpn": F.coalesce(F.col("is_vpn").cast("int"), F.lit(UNTOLD["vpn"])),
        "net": F.coalesce(F.col("is_on_net").cast("int"), F.lit(UNTOLD["net"])),
        "night": ((hour >= NIGHT_STARTS) | (hour < NIGHT_ENDS)).cast("int"),
        "weekend": F.dayofweek("started_at").isin(1, 7).cast("int"),
        "day": F.dayofmonth("started_at"),
    }
    packed = sum((value.cast("long") * F.lit(1 << FIRST_BIT[name]) for name, value in attributes.items()), F.lit(0).cast("long"))
    is_far = (F.col("direction") == "out") & F.col("call_kind").isin(*CALL_KINDS[1:])
    return cdr.select(
        *subscriber_hashes(),
        F.when(F.col("peer_id").isNotNull(), F.xxhash64("peer_id")).alias("peer"),
        packed.alias("call"),
        F.when(is_far, F.rint(F.col("fee_yuan").cast("double") * 10_000)).cast("long").alias("fee"),
        F.when(is_far, F.col("peer_province")).alias("text"),
        *carried,
    )


def subscriber_hashes() -> list[Column]:
    return [F.xxhash64("month", "user_id").alias("subscriber"), F.xxhash64(F.lit(1), "month", "user_id").alias("subscriber_too")]


def _index(column: str, values: tuple[str, ...], untold: int) -> Column:
    cases = F.when(F.col(column) == values[0], 0)
    for i, value in enumerate(values[1:], start=1):
        cases = cases.when(F.col(column) == value, i)
    return cases.otherwise(untold)
