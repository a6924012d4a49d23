"""Minutes of a month by kind (语音统一汇总)."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import rounded
from crm_spark.customer.calls import MonthsTold, zero_if_told
from crm_spark.tables.common import KEY
from crm_spark.tables.middle import VOICE_MINUTES, VOICE_SUMMARY

_COUNTED = (*(f.name for f in VOICE_MINUTES), "calls_out", "calls_in", "voice_active_days")
_FEE_UNITS_A_YUAN = 10_000


def build_voice_summary(totals: DataFrame, told: MonthsTold) -> DataFrame:
    """One row per row of `call_totals`: zeros for a silent subscriber, null for what no call of the month tells."""
    counted = [zero_if_told(c, c, told) for c in _COUNTED]
    return VOICE_SUMMARY.conform(totals.select(*KEY, *counted, _unit_price().alias("long_distance_unit_price_yuan")))


def _unit_price() -> Column:
    minutes = F.col("long_distance_minutes")
    return rounded(F.when(minutes > 0, F.col("long_distance_fee") / F.lit(_FEE_UNITS_A_YUAN) / minutes))
