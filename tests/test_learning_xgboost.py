"""XGBoost as an extra: its trees read as ours explain what its own estimator scores, also after a journey through the registry."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from pyspark.sql import functions as F

from crm_spark.config.models import MlflowConfig
from crm_spark.config.table_models import TableLabel, TableSpec
from crm_spark.errors import ConfigError
from crm_spark.learning import xgb
from crm_spark.learning.recorded import as_trained
from crm_spark.learning.registry import Registry
from crm_spark.learning.scored import scored_table
from crm_spark.learning.search import fit_table

SPEC = TableSpec("extra", "Will it?", TableLabel("left"), key=("id",), boosting_rounds=8, algorithms=("xgboost",))


@pytest.fixture(scope="module")
def table(spark):
    """Few minutes with a fall leave, the others stay, a tenth the other way round."""
    rows = spark.range(1200).select("id", (F.rand(1) * 100).alias("minutes"), F.randn(2).alias("fall"))
    leaves = (F.col("minutes") < 40) & (F.col("fall") > 0)
    turned = F.pmod(F.xxhash64("id"), F.lit(10)) == 0
    return rows.withColumn("left", F.when(leaves != turned, "yes").otherwise("no")).persist()


def test_without_the_package_its_name_in_a_spec_is_refused(table, monkeypatch):
    monkeypatch.setattr(xgb, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"extra: algorithms: xgboost is an extra .*pip install 'crm-spark\[xgboost\]'"):
        fit_table(table, SPEC, lambda _: None)


def test_a_limit_of_its_trees_is_below_what_it_says_in_32_bits():
    dump = {"nodeid": 0, "split": "f1", "split_condition": 0.1, "yes": 2, "no": 1, "children": [{"nodeid": 1, "leaf": 3.0}, {"nodeid": 2, "leaf": -1.0}]}
    model = SimpleNamespace(get_booster=lambda: SimpleNamespace(get_dump=lambda dump_format: [json.dumps(dump)]))
    trees = xgb.trees_of_xgboost(model)
    asked = np.array([0.0, np.nextafter(np.float32(0.1), np.float32(0)), np.float32(0.1), 0.1, 5.0])
    rows = np.stack([np.zeros(5), asked], axis=1)
    below = asked.astype(np.float32) < np.float32(0.1)
    assert list(below) == [True, True, False, False, False]
    assert 2 * trees.predictions(rows) == pytest.approx(np.where(below, -1.0, 3.0))


@pytest.mark.slow
def test_its_champion_finds_what_is_planted_and_its_drivers_add_up_after_a_journey_through_the_registry(table, spark, tmp_path):
    pytest.importorskip("xgboost", reason="the extra crm-spark[xgboost] is not installed")
    fitted = fit_table(table, SPEC, lambda _: None)
    assert fitted.metrics["test_auc"] > 0.75  # a tenth of the labels is turned round
    store = Registry(MlflowConfig(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts"), "test"))
    store.record(as_trained(fitted), spark, {}, (), {})
    champion = store.champion("extra").pipeline
    asked = table.where("id < 100")
    theirs = {r["id"]: float(r["probability"][1]) for r in champion.transform(asked).select("id", "probability").collect()}
    told = scored_table(asked, SPEC, champion, fitted.explainer).collect()
    assert len(told) == 100
    for row in told:
        p = theirs[row["id"]]
        assert row["base"] + sum(d["effect"] for d in row["drivers"]) + row["rest"] == pytest.approx(math.log(p / (1 - p)), abs=1e-4)
