"""What is expected of a customer: revenue, how much of it is at risk, and what credit may be granted."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import rounded
from crm_spark.config.value import Outlook
from crm_spark.errors import ConfigError, did_you_mean


def expected_revenue(view: DataFrame, config: Outlook) -> Column:
    """Yuan of the next month, over a row of the customer view: the weighted mean of the columns of `config.expects`, not below 0; null where one of
    them is. ConfigError for a column that the view has not."""
    unknown = [c for c in config.expects if c not in view.columns]
    if unknown:
        raise ConfigError([f"value.yml: outlook.expects: the view has no column '{c}'{did_you_mean(c, view.columns)}" for c in unknown])
    parts = [F.col(column).cast("double") * weight for column, weight in config.expects.items()]
    expected = reduce(Column.__add__, parts) / sum(config.expects.values())
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
