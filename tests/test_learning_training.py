"""One small model from labelled rows to champion: nothing of the hold-out in it, gates that hold, scores by the champion."""

from dataclasses import replace

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import StringIndexerModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F

from crm_spark.config.models import Algorithm, Features, Label, MlflowConfig
from crm_spark.errors import ConfigError, RefusedModelError
from crm_spark.learning.checks import refuse_bad_expressions
from crm_spark.learning.features import MAX_LEVELS
from crm_spark.learning.registry import CHALLENGER, CHAMPION, Registry
from crm_spark.learning.rules import model_digest
from crm_spark.learning.scoring import Scorer, model_scores
from crm_spark.learning.trainer import UntrainableError, needed_columns, prepare
from tests.learning_support import CUSTOMERS, SPEC, VIEW, fitted


def test_a_model_finds_what_is_planted_and_says_so_on_customers_it_never_saw(learnt):
    assert learnt.metrics["test_customers"] == CUSTOMERS * 0.3
    assert learnt.metrics["test_auc"] > 0.75
    assert next(iter(learnt.importances)) in ("minutes", "double_minutes")


def test_with_the_labels_of_the_held_out_turned_round_the_model_is_the_same_and_only_its_measures_change(learning_rows, learnt):
    turned = F.when(F.col("split_bucket") < 30, 1 - F.col("label_value")).otherwise(F.col("label_value"))
    other = fitted(learning_rows.withColumn("label_value", turned))
    assert model_digest(other.pipeline) == model_digest(learnt.pipeline)
    assert [c.validation for c in other.candidates] == [c.validation for c in learnt.candidates]
    assert other.metrics["test_auc"] == pytest.approx(1 - learnt.metrics["test_auc"])


def test_another_treatment_of_what_training_never_saw_is_another_model(learnt):
    """Same levels and trees, but `skip` would leave customers out."""
    stages = [s.copy().setHandleInvalid("skip") if isinstance(s, StringIndexerModel) else s for s in learnt.pipeline.stages]
    assert model_digest(PipelineModel(stages)) != model_digest(learnt.pipeline) == model_digest(PipelineModel([s.copy() for s in learnt.pipeline.stages]))


def test_a_text_with_many_levels_is_left_out_and_keys_and_maps_are_never_features(learnt):
    assert set(learnt.prepared.features.names) == {"city", "plan", "minutes", "noise", "double_minutes"}
    assert learnt.prepared.features.dropped == {"hall": f"more than {MAX_LEVELS} levels"}


def test_only_the_columns_that_are_read_are_kept_at_hand(learning_rows):
    assert set(needed_columns(SPEC, learning_rows).columns) == set(learning_rows.columns) - {"unread"}


def test_a_label_that_everybody_has_cannot_be_learnt(learning_rows):
    with pytest.raises(UntrainableError, match="the same for all"):
        prepare(SPEC, learning_rows.withColumn("label_value", F.lit(1.0)))


class TestRareLabel:
    """Of 4,000 customers one in twenty has the label, three times as many of those with few minutes."""

    @pytest.fixture(scope="class")
    def rows(self, spark):
        noise = [F.pmod(F.xxhash64(F.lit(word), "id"), F.lit(1000)) / 1000 for word in ("minutes", "chance", "noise")]
        drawn = spark.range(4000).select("id", *(n.alias(name) for n, name in zip(noise, ("minutes", "chance", "noise"), strict=True)))
        chance = F.when(F.col("minutes") < 0.25, 0.12).otherwise(0.03)
        keys = (F.lit("A").alias("city"), F.lit("2025-01").alias("month"), F.col("id").cast("string").alias("user_id"))
        bucket, label = F.pmod("id", F.lit(100)).cast("int"), (F.col("chance") < chance).cast("double")
        return drawn.select(*keys, bucket.alias("split_bucket"), "minutes", "noise", label.alias("label_value")).persist()

    def spec(self, *algorithms):
        return replace(SPEC, algorithms=algorithms, features=Features(), groups={}, population="true")

    @pytest.mark.parametrize("algorithm", [Algorithm("tree", {"maxDepth": (2,)}), Algorithm("forest", {"maxDepth": (2,), "numTrees": (5,)})], ids=lambda a: a.name)
    def test_a_tree_tells_shares_where_no_leaf_has_a_majority(self, rows, algorithm):
        found = fitted(rows, self.spec(algorithm))
        assert found.metrics["test_auc"] > 0.6 and found.metrics["test_distinct_scores"] > 1
        assert "minutes" in found.rules[algorithm.name] and "have the label" in found.rules[algorithm.name]


def test_probabilities_are_calibrated_where_validation_says_so(spark):
    """A single boosted tree gives exp(2 (2 p - 1)) : 1, which is .066 too much on average for 2, 4 ... 20 %; Platt's line undoes it, and ties nobody."""
    at = F.pmod(F.xxhash64("id"), F.lit(100_000)) / 100_000
    minutes = F.pmod(F.col("id"), F.lit(10)).cast("double").alias("minutes")
    keys = (F.lit("A").alias("city"), F.lit("2025-01").alias("month"), F.col("id").cast("string").alias("user_id"))
    bucket = F.pmod(F.xxhash64(F.lit("bucket"), "id"), F.lit(100)).cast("int").alias("split_bucket")
    rows = spark.range(8000).select(*keys, bucket, minutes, (at < 0.02 + 0.02 * F.pmod(F.col("id"), F.lit(10))).cast("double").alias("label_value")).persist()
    spec = replace(SPEC, algorithms=(Algorithm("gbt", {"maxIter": (1,), "maxDepth": (4,)}),), features=Features(), groups={}, population="true")
    found = fitted(rows, spec)
    assert found.calibration.kind == "platt" and found.calibration.slope > 1.3
    assert found.metrics["test_calibration_error"] < 0.066 / 2
    scored = found.pipeline.transform(rows).select("minutes", vector_to_array("probability")[1].alias("p")).distinct().orderBy("minutes").collect()
    assert len({round(r["p"], 6) for r in scored}) > 5
    for row in scored:
        assert row["p"] == pytest.approx(0.02 + 0.02 * row["minutes"], abs=0.05)


@pytest.fixture
def store(tmp_path):
    return Registry(MlflowConfig(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts"), "test"))


class TestRegistry:
    def aliases(self, store):
        return {k: str(v) for k, v in store._client.get_registered_model("leaves").aliases.items()}

    def test_gates_aliases_and_scores(self, store, learnt, learning_rows, spark, capsys, tmp_path):
        """One story, because recording takes seconds: refused, passed, refused again, passed again."""
        read = {"customer_view": {"2025-01": [3, 4]}, "customer_view_labels": {"2025-01": [7]}}

        def record(*failures):
            return store.record(learnt, spark, read, failures, {"run_id": "r1"}, {"own.json": "{}"})

        assert record("AUC is too low") == "1"
        assert store.champion("leaves") is None and self.aliases(store) == {CHALLENGER: "1"}

        assert record() == "2"  # a champion ends the challenge
        assert self.aliases(store) == {CHAMPION: "2"}

        assert record("AUC is too low") == "3"  # refused: the champion stays
        assert self.aliases(store) == {CHAMPION: "2", CHALLENGER: "3"}
        assert "version" not in capsys.readouterr().err

        run = store._client.get_run(store._client.get_model_version("leaves", "2").run_id).data
        assert (run.params["customer_view_versions"], run.params["customer_view_labels_versions"]) == ("2025-01:3/4", "2025-01:7")
        assert (run.params["gate_auc"], run.params["gate_lift_at_10"]) == ("0.7", "1.2")
        assert run.metrics["validation_auc_1_gbt"] == learnt.candidates[0].validation
        assert {"validation_auc_2_tree", "test_auc"} <= set(run.metrics)
        assert (run.metrics["customers_2025-01_hold_out"], run.metrics["auc_2025-01_hold_out"]) == (180, pytest.approx(learnt.metrics["test_auc"], abs=1e-3))
        assert (run.params["windows"], run.params["gate_stability_by"]) == ("observation 1, gap 0, performance 1 months", "city")
        inputs = store._client.get_run(store._client.get_model_version("leaves", "2").run_id).inputs.dataset_inputs
        assert {(i.dataset.name, i.dataset.digest) for i in inputs} == {("customer_view", "version 4"), ("customer_view_labels", "version 7")}
        assert store.text("leaves", "2", "groups.csv").startswith("by,level,customers,")
        pictures = {a.path for a in store._client.list_artifacts(store._client.get_model_version("leaves", "2").run_id, "plots")}
        assert pictures == {f"plots/{n}.png" for n in ("calibration", "importance", "months", "ranking")}  # its groups are small
        assert store._client.get_model_version("leaves", "1").description.endswith("Missed its gate: AUC is too low.")
        assert store._client.get_registered_model("leaves").description == SPEC.question

        (third, second, first) = store.versions("leaves")
        assert [v.tags["gate"] for v in (third, second, first)] == ["missed: AUC is too low", "passed", "missed: AUC is too low"]
        assert second.tags["promoted_by"] == "gate" and "former_champion" not in second.tags

        assert store.text("leaves", "2", "own.json") == "{}"
        (artifact,) = tmp_path.rglob(f"{store._client.get_model_version('leaves', '2').run_id}/artifacts/own.json")
        artifact.write_text("[]")
        with pytest.raises(RefusedModelError, match=r"leaves version 2: own\.json is not what was recorded"):
            store.text("leaves", "2", "own.json")

        champion = store.champion("leaves")
        month = learning_rows.drop("label_value").withColumn("minutes", F.when(F.col("user_id") != "u001", F.col("minutes")))
        found = {r["user_id"]: r for r in model_scores(month, [Scorer(SPEC, champion.pipeline, champion.version)]).collect()}
        assert len(found) == CUSTOMERS - 1 and "u001" not in found  # outside the population
        assert {r["model_version"] for r in found.values()} == {"2"}
        assert all(r["score"] == pytest.approx(100 * r["probability"], abs=1e-4) for r in found.values())
        for row in found.values():  # the city B has a scale of its own
            assert row["grade"] == ("high" if row["score"] >= (1 if row["city"] == "B" else 50) else "low")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"population": "minuts > 1"}, r"conf/models/leaves\.yml: population: .*minuts"),
        ({"label": Label("left", value="bool_or(p.minuts > 1)")}, r"leaves\.yml: label\.value: .*minuts"),
        ({"label": Label("left", value="p.minutes > 1")}, r"leaves\.yml: label\.value: "),  # no aggregate
        ({"features": Features(add={"x": "minutes +"})}, r"leaves\.yml: features\.add\.x: "),
        ({"groups": {"plan": "plam"}}, r"leaves\.yml: groups\.plan: .*plam"),
        ({"groups": {"one": "user_id"}}, r"leaves\.yml: groups\.one: 'user_id' names one customer"),
        ({"features": Features(exclude=("minuts",))}, r"leaves\.yml: features: .*no column 'minuts' \(did you mean 'minutes'"),
    ],
)
def test_an_expression_that_does_not_fit_the_view_is_refused_naming_file_and_key(frame, changes, told):
    with pytest.raises(ConfigError, match=told):
        refuse_bad_expressions(frame(VIEW), {"leaves": replace(SPEC, **changes)}, "conf/models")


def test_expressions_that_fit_the_view_pass(frame):
    refuse_bad_expressions(frame(VIEW), {"leaves": SPEC}, "conf/models")
