"""What the training job tells, and what it refuses before it reads."""

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from crm_spark.config.models import MlflowConfig, load_models
from crm_spark.config.sources import load_source
from crm_spark.errors import ConfigError
from tests.tiny import load_job

CONF = Path(__file__).resolve().parents[1] / "conf"


@pytest.fixture
def job(spark, tmp_path):
    """A job of an operator whose view has no month behind it yet; reading anything fails the test."""

    def read(*_, **__):
        raise AssertionError("no data may be read")

    def build(models):
        mlflow = MlflowConfig(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts"), "test", train="always")
        config = SimpleNamespace(models=models, source=load_source(CONF, "province"), env=SimpleNamespace(mlflow=mlflow), conf_dir=CONF)
        told = []
        months = {"months_of": lambda _: (), "name": "train_models", "month": "2025-03", "options": SimpleNamespace(train=None)}
        told_by = {"told": told, "cover": lambda *t: told.append(t), "log": logging.getLogger("test")}
        return SimpleNamespace(spark=spark, config=config, read=read, **told_by, **months)

    return build


def test_a_model_that_cannot_be_learnt_is_told_and_the_next_one_has_its_turn(job):
    models = load_models(CONF, "province")
    run = job({name: models[name] for name in ("churn", "stickiness")})
    load_job("train_models").run(run)
    assert sorted(t[:3] for t in run.told) == [("training", "churn", "skipped"), ("training", "stickiness", "skipped")]
    assert "by 2025-03" in run.told[0][3]


def test_customers_have_the_segment_of_their_own_month_where_there_was_one(frame):
    """Of the first segmentation alone; in a month before there were groups, and of who was in none, it is not told."""
    keys = "city string, month string, user_id string"
    rows = frame(keys, ("A", "2025-01", "u1"), ("A", "2025-01", "u2"), ("A", "2024-12", "u1"))
    groups = frame(keys + ", segmentation string, group_name string", ("A", "2025-01", "u1", "first", "gold"), ("A", "2025-01", "u1", "second", "other"))
    asked = []

    def read(table, months, **_):
        asked.append((table.name, months))
        return groups

    job = SimpleNamespace(read=read, months_of=lambda _: ("2025-01", "2025-02"), config=SimpleNamespace(segmentations={"first": None, "second": None}))
    found = load_job("train_models")._with_segments(job, rows, ("2024-12", "2025-01"))
    assert {(r["month"], r["user_id"], r["segment"]) for r in found.collect()} == {("2025-01", "u1", "gold"), ("2025-01", "u2", None), ("2024-12", "u1", None)}
    assert asked == [("segment", ["2025-01"])]
    assert load_job("train_models")._with_segments(job, rows, ("2024-12",)) is rows


def test_a_misspelt_column_stops_the_job_before_any_data_is_read(job):
    churn = replace(load_models(CONF, "province")["churn"], population="statuss = 'active'")
    with pytest.raises(ConfigError, match=r"models/churn\.yml: population: .*statuss"):
        load_job("train_models").run(job({"churn": churn}))
