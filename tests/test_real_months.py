"""What the months of both real operators must come to. Minutes; needs the real data of CRM_SPARK_REAL_DATA (`make test-slow`)."""

import pytest
from pyspark.sql import functions as F

from crm_spark.config.settings import load_settings
from tests.real import DATA, run_month
from tests.tiny import ROOT

DEFAULT_PRIORITY = ["retention", "traffic", "new_service"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real,
    pytest.mark.skipif(not (DATA / "cell2cell.csv.gz").exists(), reason="cell2cell.csv.gz is not in CRM_SPARK_REAL_DATA"),
]


def table(spark, var, env, name):
    return spark.read.format("delta").load(str(var / env / "tables" / name.replace(".", "/")))


def test_a_snapshot_of_fifty_thousand_customers_comes_out_graded_scored_and_offered(spark, tmp_path):
    month = run_month("real-cell2cell", "2002-01", DATA, tmp_path)
    assert month.code == 0, month.log
    assert month.metrics["churn"]["test_auc"] >= 0.67
    assert month.metrics["churn"]["test_lift_10"] >= 1.75
    assert "churn" in month.champions

    recommended = table(spark, tmp_path, "real-cell2cell", "decision.recommendation")
    assert recommended.count() == recommended.select("user_id").distinct().count() == 51_047
    assert recommended.where("city <> '_UNKNOWN'").select("city").distinct().count() == 57
    assert recommended.where("city = '_UNKNOWN'").count() == 24
    index = table(spark, tmp_path, "real-cell2cell", "score.personal_index")
    known = index.where("value_grade IS NOT NULL AND scores['churn'] IS NOT NULL").join(recommended, on=["city", "month", "user_id"])
    assert known.where(F.col("priority") != F.lit(DEFAULT_PRIORITY)).count() >= 0.9 * 51_047
    policies = [r["count"] for r in recommended.where("main_policy IS NOT NULL").groupBy("main_policy").count().collect()]
    assert len(policies) >= 3 and max(policies) <= 0.6 * 51_047


def test_a_thousand_prepaid_customers_come_out_with_what_four_months_carry(spark, tmp_path):
    month = run_month("real-panel", "2014-09", DATA, tmp_path)
    assert month.code == 0, month.log
    assert table(spark, tmp_path, "real-panel", "decision.recommendation").count() == 1000
    labels = table(spark, tmp_path, "real-panel", "mart.customer_view_labels").where("month = '2014-08' AND value = 1")
    positives = {r["label"]: r["count"] for r in labels.groupBy("label").count().collect()}
    assert positives["silent_next_month"] == 110, "11.0 % of them, as the data's description says"
    assert "churn" in month.champions
    told = {r["subject"] for r in table(spark, tmp_path, "real-panel", "ops.coverage").where("kind = 'training'").collect()}
    assert set(load_settings(ROOT / "conf", "real-panel").models) <= {*told, *month.champions}, "each is a champion, or told why not"
