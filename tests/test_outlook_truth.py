"""What the personal index expects, against what the province's customers then did: a month in its past, the whole way from raw files, on a seed of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from crm_spark.ingest.pseudonym import PseudonymKey, subscriber_id
from crm_spark.province.files import truth_of
from tests.tiny import KEY, ROOT
from tests.truth import delivered_columns

SEED, SIZE, MONTH, NEXT, LEFT_BY = 60_221, 20_000, "2024-12", "2025-01", "2025-03"
JOBS = ("ingest", "build_summaries", "build_customer_view", "score_value", "train_models", "score_models", "build_personal_index")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def outlook(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Of every customer that was active in MONTH: what was expected then, the bills of MONTH and NEXT, and whether LEFT_BY found the customer gone."""
    folder = tmp_path_factory.mktemp("outlook")
    run(folder, "make_province", "--size", str(SIZE), "--seed", str(SEED), "--out", str(folder / "raw"))
    conf = churn_alone(folder)
    for job in JOBS:
        run(folder, job, "--conf-dir", str(conf), "--env", "then", "--month", MONTH, "--run-id", "then")
    tables = folder / "var/tables"
    view = spark.read.format("delta").load(str(tables / "mart/customer_view")).where((F.col("month") == MONTH) & (F.col("status") == "active"))
    index = spark.read.format("delta").load(str(tables / "score/personal_index")).where(F.col("month") == MONTH)
    known = index.select("user_id", "expected_revenue_yuan", "revenue_at_risk_yuan").join(view.select("user_id", "arpu_yuan", "arpu_yuan_mean_3m"), "user_id")
    truth = truth_of(folder / "raw")
    named_lives = spark.read.parquet(str(truth / "subscriber")).select("subscriber", "subscriber_id")
    lives = spark.read.parquet(str(truth / "life")).join(named_lives, "subscriber")
    stayed = lives.where((F.col("month") == LEFT_BY) & ~F.col("is_closed")).select("subscriber_id", F.lit(False).alias("left"))
    then = lives.where(F.col("month") == MONTH).select("subscriber_id").join(stayed, "subscriber_id", "left")
    named = then.withColumn("user_id", subscriber_id(PseudonymKey(KEY.encode()), "ZJ", F.col("subscriber_id"))).join(known, "user_id").toPandas()
    bills = delivered_columns(folder / "raw", [NEXT])[["subscriber_id", "billing.total"]].rename(columns={"billing.total": "next"})
    whole = named.merge(bills, on="subscriber_id", how="left")
    return whole.assign(left=whole["left"].isna(), next=pd.to_numeric(whole["next"], errors="coerce")).astype({"arpu_yuan": float})


def churn_alone(folder: Path) -> Path:
    """The configuration with the one model that revenue at risk asks."""
    conf = folder / "own"
    for part in ("conf", "mlflow"):
        subprocess.run(["cp", "-r", ROOT / part, conf if part == "conf" else folder / part], check=True)
    others = {path.stem: None for path in (ROOT / "conf/models").glob("*.yml") if path.stem != "churn"}
    (conf / "sources/province/models.yml").write_text(yaml.safe_dump(others), encoding="utf-8")
    environment = {
        "source": "province", "data": str(folder / "raw"), "var": str(folder / "var"), "catalog": {"by": "path", "root": str(folder / "var/tables")},
        "mlflow": {"tracking_uri": f"sqlite:///{folder}/mlflow.db", "artifacts": str(folder / "mlartifacts"), "experiment": "then"},
        "spark": {"spark.master": "local[*]", "spark.driver.memory": "3g"},
    }  # fmt: skip
    (conf / "env/then.yml").write_text(yaml.safe_dump(environment), encoding="utf-8")
    (folder / "var").mkdir()
    return conf


def run(folder: Path, job: str, *arguments: str) -> None:
    known = {"CRM_SPARK_PSEUDONYM_KEY": KEY, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, f"jobs/{job}.py", *arguments], cwd=ROOT, env={**os.environ, **known}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]


def test_the_tenth_with_the_most_revenue_at_risk_loses_twice_its_share_at_least(outlook: pd.DataFrame) -> None:
    lost = outlook["arpu_yuan"].where(outlook["left"], 0.0)
    most = outlook["revenue_at_risk_yuan"].rank(ascending=False, method="first") <= len(outlook) / 10
    assert 0.03 < outlook["left"].mean() < 0.2
    assert lost[most].sum() / lost.sum() >= 2 / 10


def test_what_is_at_risk_is_what_is_lost(outlook: pd.DataFrame) -> None:
    lost = outlook["arpu_yuan"].where(outlook["left"], 0.0).sum()
    assert outlook["revenue_at_risk_yuan"].sum() == pytest.approx(lost, rel=0.15)


def test_the_next_bill_is_missed_by_less_than_by_the_last_one_or_the_mean_of_three(outlook: pd.DataFrame) -> None:
    billed = outlook.dropna(subset=["next", "arpu_yuan_mean_3m"])
    missed = {way: (billed[way] - billed["next"]).abs().mean() for way in ("expected_revenue_yuan", "arpu_yuan", "arpu_yuan_mean_3m")}
    assert len(billed) > SIZE / 2
    assert missed["expected_revenue_yuan"] < min(missed["arpu_yuan"], missed["arpu_yuan_mean_3m"])
