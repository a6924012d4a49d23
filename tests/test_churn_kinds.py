"""The kinds of churn are labels of their own, and together they are churn: on a small province, from the operator's words to the labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.config.models import load_models
from crm_spark.config.province import load_province
from crm_spark.config.sources import load_source
from crm_spark.learning.windows import asked_together, label_rows
from crm_spark.province.deliveries import told_lives, true_lives
from crm_spark.province.people import user_info
from crm_spark.province.world import Province
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.middle import USER_BASIC

CONF = Path(__file__).resolve().parents[1] / "conf"
KINDS = ("natural", "involuntary", "competitive", "service_failure")
MONTHS = ("2024-11", "2024-12", "2025-01", "2025-02", "2025-03")
AS_OF = "2024-12"
Told = dict[str, set[str]]


@pytest.fixture(scope="module")
def register(spark: SparkSession) -> DataFrame:
    """The register as the source's mapping reads it."""
    province = Province(load_province(CONF).between(MONTHS[0], MONTHS[-1]), 5, 2_000)
    delivered = user_info(told_lives(true_lives(spark, province, 2), province), province)
    (mapping,) = (m for m in load_source(CONF, "province").mappings if m.table == "raw.user_info")
    columns = {name: mapping.columns[name] for name in ("user_id", "status", "exit_reason", "exit_kind")}
    return delivered.selectExpr("region AS city", "month", *[f"{sql} AS {name}" for name, sql in columns.items()]).localCheckpoint()


@pytest.fixture(scope="module")
def told(register: DataFrame) -> Told:
    """Who has each label, of the same as-of month."""
    view = register.where("status <> 'closed'")
    specs = [load_models(CONF, "province_further")[name] for name in ("churn", *(f"churn_{kind}" for kind in KINDS))]
    assert [len(together) for together in asked_together(specs)] == [1, 4]
    frames = [label_rows(together, view, MONTHS[-1], MONTHS, exits=register) for together in asked_together(specs)]
    rows = [r for frame in frames for r in frame.where(F.col("month") == AS_OF).collect()]
    assert len(rows) == 5 * view.where((F.col("month") == AS_OF) & (F.col("status") == "active")).count()
    return {spec.label.name: {r.user_id for r in rows if r.label == spec.label.name and r.value == 1} for spec in specs}


def test_every_closed_subscription_has_one_of_the_kinds_and_no_other_has_one(register: DataFrame) -> None:
    closed, others = register.where("status = 'closed'"), register.where("status <> 'closed' AND exit_kind IS NOT NULL")
    found = {(r.exit_reason, r.exit_kind) for r in closed.select("exit_reason", "exit_kind").distinct().collect()}
    assert dict(found) == {"欠费": "involuntary", "资费高": "competitive", "转网": "competitive", "服务差": "service_failure", "其他": "natural"}
    assert len(found) == 5 and others.isEmpty()


def test_every_leaver_has_exactly_one_kind_and_nobody_else_has_any(told: Told) -> None:
    kinds = Counter(user for kind in KINDS for user in told[f"left_{kind}"])
    assert set(kinds) == told["left_network"] and set(kinds.values()) == {1}
    assert all(told[f"left_{kind}"] for kind in KINDS)


def test_why_a_customer_left_is_nothing_a_model_could_learn_from() -> None:
    assert not {"exit_kind", "exit_reason"} & {*USER_BASIC.columns, *CUSTOMER_VIEW.columns}
