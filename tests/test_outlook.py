"""The expected revenue against what real customers then brought."""

import pandas as pd
import pytest
from pyspark.sql import functions as F

from crm_spark.value.outlook import expected_revenue
from tests.real import DATA


def test_a_real_customers_next_month_is_missed_by_less_than_by_the_last_month_or_the_mean_of_three(spark):
    path = DATA / "monthly_panel.csv"
    if not path.exists():
        pytest.skip("monthly_panel.csv is not in CRM_SPARK_REAL_DATA")
    bills = pd.read_csv(path)[["arpu_6", "arpu_7", "arpu_8", "arpu_9"]].clip(lower=0)
    told = pd.DataFrame({"arpu_yuan": bills["arpu_8"], "arpu_yuan_mean_3m": bills[["arpu_6", "arpu_7", "arpu_8"]].mean(axis=1), "then": bills["arpu_9"]})
    ways = {"ours": expected_revenue(), **{name: F.col(name) for name in ("arpu_yuan", "arpu_yuan_mean_3m")}}
    (missed,) = spark.createDataFrame(told).agg(*[F.avg(F.abs(way - F.col("then"))).alias(name) for name, way in ways.items()]).collect()
    assert missed["ours"] < 0.98 * min(missed["arpu_yuan"], missed["arpu_yuan_mean_3m"])
