"""What is expected of a customer: revenue, how much of it is at risk, and what credit may be granted."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from crm_spark.columns import rounded
from crm_spark.config.value import Outlook


def expected_revenue() -> Column:
    """Yuan of the next month, over a row of the customer view: half the last month, half the mean of the last three; null without a month.

    A month alone swings, three months lag behind a change: together they miss less than either (`tests/test_outlook.py`, on a thousand real
    customers).
    """
    expected = (F.col("arpu_yuan").cast("double") + F.col("arpu_yuan_mean_3m")) / 2
    return F.when(expected < 0, 0.0).otherwise(expected)


def outlook(config: Outlook) -> dict[str, Column]:
    """Columns over a row with `expected_revenue_yuan` and the maps `scores` and `grades` of the personal index.

    `revenue_at_risk_yuan`: what of a month's revenue leaves by the chance of churn. `credit_limit_yuan`: the months of revenue that the
    grade of credit risk allows, in tens of yuan. Null where what they are made of is.
    """
    revenue, grade = F.col("expected_revenue_yuan"), F.try_element_at("grades", F.lit(config.credit_risk))
    months = F.coalesce(*(F.when(grade == name, F.lit(float(many))) for name, many in config.credit_months.items()), F.lit(None).cast("double"))
    return {
        "revenue_at_risk_yuan": rounded(revenue * F.try_element_at("scores", F.lit(config.churn)) / 100),
        "credit_limit_yuan": F.floor(revenue * months / 10) * 10.0,
    }
