"""A choice by the job itself, over literal rows: what it reads are frames, what it writes are rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import SimpleNamespace

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from crm_spark.config.settings import Settings
from crm_spark.frames import literal_frame
from crm_spark.tables.contract import Table
from crm_spark.tables.decision import CHOICE, EXCLUSION, RECOMMENDATION
from crm_spark.tables.desk import COMPLAINT
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.raw import CONTACT_CONSENT, CONTACT_HISTORY
from crm_spark.tables.score import PERSONAL_INDEX
from tests.tiny import load_job

MONTH = "2025-03"
PLACE = {"city": "HANGZHOU", "month": MONTH}
READ = (CUSTOMER_VIEW, PERSONAL_INDEX, RECOMMENDATION, EXCLUSION, CONTACT_HISTORY, CONTACT_CONSENT, COMPLAINT, CHOICE)
RUN_ID = "r1"


def rows(spark: SparkSession, table: Table, *found: dict[str, object]) -> DataFrame:
    """Rows of a table; what a row does not name is NULL."""
    return literal_frame(spark, [tuple({**PLACE, **row}.get(c) for c in table.columns) for row in found], table.struct)


def inputs(spark: SparkSession, **told: list[dict[str, object]]) -> dict[str, DataFrame]:
    """All that the job reads, by table name; a table that is not named is empty."""
    made = {table.name: rows(spark, table, *told.get(table.name, ())) for table in READ}
    return {**made, "customer_view": made["customer_view"].withColumn("ext_complaints", F.lit(0))}


def offer(settings: Settings, policy: str, rank: int = 1) -> tuple[object, ...]:
    """An offer of a recommendation."""
    return settings.matrices.policies[policy].goal, 1, policy, rank, "m", "r"


def chosen(
    spark: SparkSession, settings: Settings, frames: dict[str, DataFrame], cities: tuple[str, ...] | None = None
) -> tuple[dict[str, list[Row]], list[str]]:
    """(what the job writes by table name, the subjects it tells of) for some cities (None: all); contacts of the month are told."""
    written: dict[str, list[Row]] = {}
    told: list[str] = []

    def read(table: Table, months: Sequence[str] = (MONTH,), optional: bool = False, all_cities: bool = False) -> DataFrame:
        rows = frames[table.name].where(F.col("month").isin(*months))
        return rows.where(F.col("city").isin(*cities)) if cities and not all_cities else rows

    job = SimpleNamespace(
        config=settings, month=MONTH, cities=cities, run_id=RUN_ID, log=logging.getLogger("test"), spark=spark,
        catalog=SimpleNamespace(exists=lambda _: False), checked=set(),
        read=read,
        months_of=lambda table: {"contact_history": (MONTH,), "complaint": ("2024-12", MONTH)}.get(table.name, ()),
        write=lambda frame, table, **_: written.update({table.name: table.conform(frame).collect()}),
        append=lambda frame, table: written.update({table.name: table.conform(frame).collect()}),
        cover=lambda _, subject, *__: told.append(subject),
    )  # fmt: skip
    load_job("choose").run(job)
    return written, told


def widened(frame: DataFrame, table: Table) -> DataFrame:
    """All columns of a table; those that `frame` does not have are NULL."""
    there = set(frame.columns)
    return frame.select(*(F.col(f.name) if f.name in there else F.lit(None).cast(f.dataType).alias(f.name) for f in table.struct))
