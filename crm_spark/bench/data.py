"""Calls and register of a month, as the tables would hold them: the synthetic province with sixty calls a subscriber."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TypeVar

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.bench.stage import save
from crm_spark.config.province import ProvinceConfig, load_province
from crm_spark.ingest.pseudonym import PseudonymKey, number_id, subscriber_id
from crm_spark.province.calls import voice_cdr
from crm_spark.province.deliveries import told_lives, true_lives
from crm_spark.province.world import Province
from crm_spark.tables.common import KEY
from crm_spark.tables.raw import VOICE_CDR

MONTH = "2025-03"
SEED = 7
MORE_CALLS = 1.75  # times those of the demo: sixty in the month for each subscriber of it
CALLS_A_PART = 1_500_000
_KEY = PseudonymKey(b"a published key, for measuring only")
_DONE = "done"
Cells = TypeVar("Cells")


def calls_of(spark: SparkSession, size: int, conf: Path, folder: Path) -> tuple[DataFrame, DataFrame]:
    """(calls, register) of a province of `size` subscribers, made once below `folder`."""
    place = folder / f"{size}"
    calls, register = str(place / "voice_cdr"), str(place / "user_basic")
    if not (place / _DONE).exists():
        province = Province(busier(load_province(conf).between(MONTH, MONTH)), SEED, size)
        parts = 1 + size * 60 // CALLS_A_PART
        save(_contract(voice_cdr(told_lives(true_lives(spark, province, parts), province), province)), VOICE_CDR, calls)
        made = spark.read.format("delta").load(calls)
        made.groupBy("month", "user_id").agg(F.min("city").alias("city")).select(*KEY).write.format("delta").mode("overwrite").save(register)
        (place / _DONE).touch()
    return spark.read.format("delta").load(calls), spark.read.format("delta").load(register)


def busier(config: ProvinceConfig) -> ProvinceConfig:
    """The province with more calls of every kind."""
    more = {name: dataclasses.replace(a, out=_times(a.out), incoming=_times(a.incoming)) for name, a in config.archetypes.items()}
    return dataclasses.replace(config, archetypes=more)


def _times(cells: Cells) -> Cells:
    return dataclasses.replace(cells, **{f.name: getattr(cells, f.name) * MORE_CALLS for f in dataclasses.fields(cells)})  # type: ignore[type-var, arg-type]


def _contract(calls: DataFrame) -> DataFrame:
    """The delivered calls in the contract's columns, with pseudonyms."""
    renamed = {"city": "region", "started_at": "start_time", "cell_id": "cell", "fee_yuan": "fee"}
    made = {
        "user_id": subscriber_id(_KEY, "ZJ", F.col("subscriber_id")),
        "peer_id": number_id(_KEY, F.col("peer_number")),
        "day": F.col("start_time").cast("date"),
        **{name: F.col(source) for name, source in renamed.items()},
    }
    return VOICE_CDR.conform(calls.withColumns(made).select(*VOICE_CDR.columns))
