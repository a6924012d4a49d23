"""The expected revenue against what real customers then brought, and the revenue at risk against what leavers took with them."""

import pandas as pd
import pytest
from pyspark.sql import functions as F

from crm_spark.config.value import Outlook
from crm_spark.errors import ConfigError
from crm_spark.value.outlook import expected_revenue
from tests.real import DATA


def test_a_real_customers_next_month_is_missed_by_less_than_by_the_last_month_or_the_mean_of_three(spark):
    path = DATA / "monthly_panel.csv"
    if not path.exists():
        pytest.skip("monthly_panel.csv is not in CRM_SPARK_REAL_DATA")
    bills = pd.read_csv(path)[["arpu_6", "arpu_7", "arpu_8", "arpu_9"]].clip(lower=0)
    told = pd.DataFrame({"arpu_yuan": bills["arpu_8"], "arpu_yuan_mean_3m": bills[["arpu_6", "arpu_7", "arpu_8"]].mean(axis=1), "then": bills["arpu_9"]})
    rows = spark.createDataFrame(told)
    ways = {"ours": expected_revenue(rows, Outlook()), **{name: F.col(name) for name in ("arpu_yuan", "arpu_yuan_mean_3m")}}
    (missed,) = rows.agg(*[F.avg(F.abs(way - F.col("then"))).alias(name) for name, way in ways.items()]).collect()
    assert missed["ours"] < 0.98 * min(missed["arpu_yuan"], missed["arpu_yuan_mean_3m"])


@pytest.mark.parametrize(("expects", "expected"), [({"arpu_yuan": 3, "arpu_yuan_mean_3m": 1}, 35.0), ({"arpu_yuan": 2}, 40.0)])
def test_each_column_counts_as_much_as_the_planner_says(spark, expects, expected):
    row = spark.createDataFrame([(40.0, 20.0)], "arpu_yuan double, arpu_yuan_mean_3m double")
    assert row.select(expected_revenue(row, Outlook(expects=expects))).first()[0] == expected


def test_a_column_that_the_view_has_not_is_refused(spark):
    with pytest.raises(ConfigError, match=r"no column 'arpu' \(did you mean 'arpu_yuan'"):
        expected_revenue(spark.createDataFrame([(40.0,)], "arpu_yuan double"), Outlook(expects={"arpu": 1}))
    with pytest.raises(ValueError, match="above 0"):
        Outlook(expects={"arpu_yuan": 0})
