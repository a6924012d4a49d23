"""Who the subscriber is, and with what handset (用户基本信息)."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.months import full_months, month_end
from crm_spark.tables.common import KEY
from crm_spark.tables.middle import USER_BASIC
from crm_spark.tables.raw import TERMINAL

OLDEST_YEARS = 120  # beyond it a birth date is a placeholder
_TERMINAL = tuple(c for c in TERMINAL.columns if c not in KEY)


def build_user_basic(user_info: DataFrame, terminal: DataFrame) -> DataFrame:
    """One row per subscriber in the network at the end of its row's month; a closed one is left out, an untold status stays.

    Tenure and age come from the dates where these are there, else as delivered. Handset columns are null without a handset.
    """
    dated = user_info.where(~F.col("status").eqNullSafe("closed")).withColumns(
        {"tenure_months": F.coalesce(tenure_months(), "tenure_months"), "age_years": F.coalesce(age_years(), "age_years")}
    )
    handset = terminal.select("month", "user_id", *_TERMINAL)
    joined = dated.join(handset, on=["month", "user_id"], how="left")
    return USER_BASIC.conform(joined.select(*USER_BASIC.columns))


def tenure_months() -> Column:
    """Whole months on the network at month end, from `activation_date`; null without it."""
    return full_months(F.col("activation_date"), F.col("month"))


def age_years() -> Column:
    """Whole years at month end, from `birth_date`; null without it and for one that cannot be true (future, before 120 years)."""
    born = F.when(F.col("birth_date") <= month_end(F.col("month")), F.col("birth_date"))
    years = F.floor(full_months(born, F.col("month")) / 12).cast("int")
    return F.when(years.between(1, OLDEST_YEARS), years)
