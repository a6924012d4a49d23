"""The stage that meets raw rows: calls to `voice_summary` and `contact_circle`, all attributes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.bench.data import calls_of
from crm_spark.bench.duck import build
from crm_spark.bench.stage import Place, Work, save, save_again
from crm_spark.customer.calls import call_totals, months_told
from crm_spark.customer.circle import build_contact_circle
from crm_spark.customer.voice import build_voice_summary
from crm_spark.ingest.files import plain_path
from crm_spark.tables.digest import digest
from crm_spark.tables.middle import CONTACT_CIRCLE, VOICE_SUMMARY
from crm_spark.threads import at_once

READ = (
    "month", "user_id", "peer_id", "started_at", "seconds", "direction", "call_kind", "roaming_kind", "is_vpn", "is_on_net",
    "peer_province", "fee_yuan",
)  # fmt: skip
_TABLES = (VOICE_SUMMARY, CONTACT_CIRCLE)
_HOT = "0" * 64


def circle_and_voice(spark: SparkSession, size: int, place: Place, shape: str = "even") -> Work:
    """Against reading the calls and writing the two tables as they are; `shape` names one of SHAPES, of which only even calls have a rival."""
    calls, register = calls_of(spark, size, place.conf, place.out / "data")
    out = {table.name: str(place.tables(size) / table.name) for table in _TABLES}

    def run() -> None:
        totals = call_totals(_shaped(calls, shape), register).persist()
        told = months_told(totals)
        made = (build_voice_summary(totals, told), build_contact_circle(totals, told))
        at_once(spark, lambda of: save(*of), zip(made, _TABLES, out.values(), strict=True))
        totals.unpersist()

    def floor() -> None:
        calls.select(*READ).write.format("noop").mode("overwrite").save()
        at_once(spark, lambda of: save_again(spark, *of), zip(_TABLES, out.values(), strict=True))

    def rival() -> None:
        build(_files(calls), _files(register), place.tables(size), os.cpu_count() or 1)

    def agrees() -> bool:
        pairs = [(t, spark.read.parquet(f"{out[t.name]}.parquet"), spark.read.format("delta").load(out[t.name])) for t in _TABLES]
        return all(digest(t.conform(theirs), t) == digest(ours, t) for t, theirs, ours in pairs)

    def rows_out() -> int:
        return sum(spark.read.format("delta").load(path).count() for path in out.values())

    work = Work(run, floor, calls.count(), rows_out)
    return replace(work, rival=rival, agrees=agrees) if shape == "even" else work


def _one_in_ten() -> Column:
    return F.pmod(F.xxhash64("user_id", "started_at"), F.lit(10)) == 0


# What a tenth of the calls, or half of them, has instead of its own value.
SHAPES: dict[str, Callable[[], dict[str, Column]]] = {
    "even": dict,
    "one number has a tenth of all calls": lambda: {"user_id": F.when(_one_in_ten(), F.lit(_HOT)).otherwise(F.col("user_id"))},
    "a tenth of all calls go to one number": lambda: {"peer_id": F.when(_one_in_ten(), F.lit(_HOT)).otherwise(F.col("peer_id"))},
    "half of the calls do not tell the other number": lambda: {"peer_id": F.when(F.second("started_at") % 2 == 0, F.col("peer_id"))},
}


def _shaped(calls: DataFrame, shape: str) -> DataFrame:
    return calls.withColumns(changed) if (changed := SHAPES[shape]()) else calls


def _files(frame: DataFrame) -> list[str]:
    return [plain_path(file) for file in frame.inputFiles()]
