"""The job that chooses, on frames in memory instead of tables."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import SimpleNamespace

from pyspark.sql import DataFrame, Row, SparkSession

from crm_spark.config.settings import Settings
from tests.tiny import load_job

MONTH = "2025-03"


def choose(spark: SparkSession, config: Settings, frames: Mapping[str, DataFrame]) -> tuple[dict[str, list[Row]], list[str]]:
    """The rows that jobs/choose.py writes, by table, and the subjects of what it tells; contacts of the month are told."""
    written: dict[str, list[Row]] = {}
    told: list[str] = []
    job = SimpleNamespace(
        config=config, month=MONTH, cities=None, log=logging.getLogger("test"), spark=spark,
        read=lambda table, *_, **__: frames[table.name], months_of=lambda table: (MONTH,) if table.name == "contact_history" else (),
        write=lambda frame, table, **_: written.update({table.name: table.conform(frame).collect()}), cover=lambda kind, subject, *_: told.append(subject),
    )  # fmt: skip
    load_job("choose").run(job)
    return written, told
