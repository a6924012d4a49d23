"""Who scores, who is promoted, and the way back; what is not as recorded is refused."""

import logging
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest
from pyspark.sql import functions as F

from crm_spark.config.models import Algorithm, Features, Gate, MlflowConfig
from crm_spark.errors import ConfigError, RefusedModelError
from crm_spark.learning import life
from crm_spark.learning.__main__ import main
from crm_spark.learning.gate import gate_failures
from crm_spark.learning.registry import CHALLENGER, CHAMPION, SHADOW, Registry
from crm_spark.learning.trainer import CHAMPION_AUC, against_champion
from tests.learning_support import SPEC, fitted
from tests.tiny import load_job

WHO = {"by": "A. Planner", "why": "better in spring"}
NOISE = replace(SPEC, algorithms=(Algorithm("tree", {"maxDepth": (2.0,)}),), features=Features(include=("noise", "plan")))


@pytest.fixture(scope="module")
def worse(learning_rows):
    return fitted(learning_rows, NOISE)


@pytest.fixture
def store(tmp_path, learnt, worse, spark):
    """In <tmp_path>/models: version 1 champion, version 2 (another pipeline) challenger."""
    (tmp_path / "models").mkdir()
    found = Registry(config_of(tmp_path / "models"))
    found.record(learnt, spark, {}, (), {})
    found.record(worse, spark, {}, ("AUC is too low",), {})
    return found


def config_of(folder):
    return MlflowConfig(f"sqlite:///{folder}/mlflow.db", str(folder / "mlartifacts"), "models of tables")


def files_of(version):
    return Path(mlflow.artifacts.download_artifacts(f"models:/leaves/{version}")) / "sparkml"


def tags(store, version):
    return next(v.tags for v in store.versions("leaves") if v.number == version)


def test_a_challenger_is_promoted_rolled_back_and_promoted_again_and_its_tags_say_who_and_why(store):
    assert "version 2 is champion, version 1 was" in life.promote(store, "leaves", None, **WHO)
    assert (store.champion_version("leaves"), store.alias("leaves", CHAMPION), store.alias("leaves", CHALLENGER)) == ("2", "2", None)
    told = tags(store, "2")
    assert (told["promoted_by"], told["promoted_why"], told["former_champion"]) == ("A. Planner", "better in spring", "1")
    assert told["gate"] == "missed: AUC is too low"
    assert "version 1 is champion" in life.rollback(store, "leaves", "B. Boss", "it is worse")
    assert (store.champion_version("leaves"), tags(store, "1")["promoted_by"]) == ("1", "B. Boss")
    assert "version 2 is champion" in life.rollback(store, "leaves", "B. Boss", "no, it is not")
    with pytest.raises(ConfigError, match="champion already"):
        life.promote(store, "leaves", "2", **WHO)


def test_without_challenger_or_former_champion_the_versions_are_named(store):
    with pytest.raises(ConfigError, match="no other champion; promote one of its versions: 2, 1"):
        life.rollback(store, "leaves", **WHO)
    life.promote(store, "leaves", None, **WHO)
    with pytest.raises(ConfigError, match="no challenger; name a version by --version: 2, 1"):
        life.promote(store, "leaves", None, **WHO)


def test_a_version_unknown_unrecorded_or_of_another_model_is_refused(store):
    with pytest.raises(RefusedModelError, match="version 9 is not in the registry"):
        life.promote(store, "leaves", "9", **WHO)
    run = store._client.get_model_version("leaves", "1").run_id
    mlflow.register_model(f"runs:/{run}/model", "stays")
    with pytest.raises(RefusedModelError, match="no recorded digest"):
        life.promote(store, "stays", "1", **WHO)
    assert "no recorded digest: refused" in life.listed(store)
    store._client.set_model_version_tag("stays", "1", "digest", tags(store, "1")["digest"])
    with pytest.raises(RefusedModelError, match="version 1 is a model of leaves"):
        life.set_shadow(store, "stays", "1")


def test_swapped_and_damaged_files_are_refused_and_the_champion_before_scores(store, spark):
    life.promote(store, "leaves", "2", **WHO)
    mine, other = files_of(2), files_of(1)
    shutil.rmtree(mine)
    shutil.copytree(other, mine)
    champion, told = life.champion(store, "leaves")
    assert champion.version == "1" and "version 2 is not what was recorded" in told[0]

    config = SimpleNamespace(models={"leaves": SPEC})
    covered = []
    job = SimpleNamespace(spark=spark, config=config, month="2025-03", cover=lambda *t: covered.append(t), log=logging.getLogger("test"))
    assert [s.version for s in load_job("score_models").scorers(job, store)] == ["1"]
    ((subject, status, reason),) = (told[1:] for told in covered if told[0] == "model")
    assert (subject, status) == ("leaves", "partial")
    assert "version 2 is not what was recorded" in reason and reason.endswith("champion version 1")

    shutil.rmtree(other / "stages")
    champion, told = life.champion(store, "leaves")
    assert champion is None and "version 1 cannot be loaded" in told[1]


def test_of_champions_one_after_the_other_the_newest_that_is_as_recorded_scores(store, spark, learnt):
    life.promote(store, "leaves", "2", **WHO)
    store.record(learnt, spark, {}, (), {})
    assert (store.champion_version("leaves"), tags(store, "3")["former_champion"]) == ("3", "2")
    for version in (3, 2):
        shutil.rmtree(files_of(version) / "stages")
    champion, told = life.champion(store, "leaves")
    assert champion.version == "1" and [t.split(" cannot")[0] for t in told] == ["leaves version 3", "leaves version 2"]


def test_a_moved_alias_is_not_followed_and_one_taken_away_retires_the_model(store):
    store._client.set_registered_model_alias("leaves", CHAMPION, "2")
    champion, told = life.champion(store, "leaves")
    assert champion.version == "1" and told == ("the alias champion was moved to version 2, which nobody promoted",)
    store._client.delete_registered_model_alias("leaves", CHAMPION)
    assert life.champion(store, "leaves") == (None, ())


def test_a_shadow_scores_beside_the_champion_until_it_is_promoted(store):
    with pytest.raises(ConfigError, match="its own shadow"):
        life.set_shadow(store, "leaves", "1")
    assert life.shadow(store, "leaves") is None
    life.set_shadow(store, "leaves", "2")
    assert life.shadow(store, "leaves").version == "2" and life.champion(store, "leaves")[0].version == "1"
    life.promote(store, "leaves", "2", **WHO)
    assert store.alias("leaves", SHADOW) is None


def test_the_model_keeps_every_promotion_and_a_version_its_last(store):
    for version, who in (("2", "A"), ("1", "B"), ("2", "C")):
        life.promote(store, "leaves", version, by=who, why="w")
        time.sleep(1.1)
    tags = store._client.get_registered_model("leaves").tags
    told = [(key.rsplit(" ", 1)[1], value) for key, value in sorted(tags.items()) if key.startswith("promotion ")]
    assert told[-3:] == [("2", "by A: w"), ("1", "by B: w"), ("2", "by C: w")]
    assert store._client.get_model_version("leaves", "2").tags["promoted_by"] == "C"


def test_a_registry_of_more_models_than_one_page_holds_lists_all(tmp_path):
    store = Registry(config_of(tmp_path))
    names = [f"m{i:03}" for i in range(101)]
    for name in names:
        store._client.create_registered_model(name)
    assert store.models() == tuple(names)


def test_the_commands_list_promote_and_roll_back(store, tmp_path, capsys):
    place = ["--out", str(tmp_path / "models")]
    assert main(["promote", *place, "--model", "leaves", "--by", "A. Planner", "--why", "better in spring"]) == 0
    assert main(["models", *place]) == 0
    head, second, first = capsys.readouterr().out.splitlines()
    assert head.split() == ["model", "version", "aliases", "AUC", "lift", "gate", "promoted"]
    assert "champion" in second and "missed: AUC is too low" in second and second.endswith("by A. Planner: better in spring")
    assert "champion" not in first and "passed" in first
    assert main(["rollback", *place, "--model", "leaves", "--by", "B", "--why", "w"]) == 0
    assert store.champion_version("leaves") == "1"
    assert main(["rollback", *place, "--model", "leavs", "--by", "B", "--why", "w"]) == 2
    assert "did you mean 'leaves'" in capsys.readouterr().err


def test_the_champion_is_judged_on_the_very_customers_that_judge_the_newcomer(learning_rows, learnt, worse):
    assert against_champion(learnt, learnt.pipeline, learning_rows).metrics[CHAMPION_AUC] == learnt.metrics["test_auc"]
    compared = against_champion(worse, learnt.pipeline, learning_rows)
    assert compared.metrics[CHAMPION_AUC] == learnt.metrics["test_auc"] > worse.metrics["test_auc"]
    easy = Gate(0, 0, 1)
    assert gate_failures(worse.metrics, easy) == ()
    (reason,) = gate_failures(compared.metrics, easy)
    assert f"the champion's {learnt.metrics['test_auc']:.4f} on the same customers" in reason
    assert gate_failures(compared.metrics, replace(easy, below_champion=1.0)) == ()


@pytest.mark.parametrize(("error", "noise", "passes"), [(0.05, 0.0, True), (0.051, 0.0, False), (0.08, 0.06, True), (0.091, 0.06, False)])
def test_a_calibration_error_that_chance_would_show_too_is_none(error, noise, passes):
    """Of 200 customers even true probabilities show .06."""
    measured = {"test_auc": 0.9, "test_lift_10": 3.0, "test_base_rate": 0.3, "test_customers": 200}
    found = gate_failures({**measured, "test_calibration_error": error, "test_calibration_noise": noise}, Gate(0.5, 1.0, 0.05))
    assert (found == ()) == passes


@pytest.mark.parametrize(("rate", "possible"), [(0.5, 1.5), (0.8, 1.125), (0.25, 2.5)])
def test_no_more_lift_is_asked_for_than_half_the_way_to_what_is_possible(rate, possible):
    """Where half of all have the label no tenth can have more than twice that."""
    measured = {"test_auc": 0.9, "test_calibration_error": 0.0, "test_base_rate": rate, "test_customers": 1000}
    assert gate_failures({**measured, "test_lift_10": possible}, Gate(0.5, 3.0, 1)) == ()
    (reason,) = gate_failures({**measured, "test_lift_10": possible - 0.01}, Gate(0.5, 3.0, 1))
    assert reason.endswith(f"is below {possible:.4g}")


def test_a_champion_that_read_other_columns_is_judged_by_its_own(learning_rows, learnt, worse):
    """The newcomer looks at noise alone; the champion's columns are still at hand."""
    assert "minutes" not in worse.prepared.inputs.names
    unlike = learning_rows.withColumn("minutes", F.lit(1.0))
    assert against_champion(worse, learnt.pipeline, unlike).metrics[CHAMPION_AUC] != learnt.metrics["test_auc"]


def test_a_version_that_was_rolled_back_scores_for_nobody_and_the_ones_before_stay_behind_the_champion(store, spark, learnt):
    life.promote(store, "leaves", "2", **WHO)
    store.record(learnt, spark, {}, (), {})
    life.rollback(store, "leaves", "B. Boss", "too many false alarms")
    assert store.champions("leaves") == ("1", "2") and life.former_champion(store, "leaves") == "3"
    shutil.rmtree(files_of(2) / "stages")
    assert life.champion(store, "leaves")[0].version == "1"


def test_a_champion_that_was_deleted_retires_nothing(store, spark, learnt):
    life.promote(store, "leaves", "2", **WHO)
    store.record(learnt, spark, {}, (), {})
    for version in ("2", "3"):
        store._client.delete_model_version("leaves", version)
    champion, told = life.champion(store, "leaves")
    assert champion.version == "1" and told == tuple(f"leaves version {v} is not in the registry" for v in ("3", "2"))


def test_a_month_run_again_is_scored_and_compared_by_what_was_learnt_by_then(tmp_path, spark, learnt):
    """A champion of June knows what came of March's customers. What is trained for March today comes behind it."""
    (tmp_path / "models").mkdir()
    store = Registry(config_of(tmp_path / "models"))
    for month in ("2025-02", "2025-06", "2025-03"):
        store.record(learnt, spark, {}, (), {"month": month})
    assert (store.champions("leaves"), store.alias("leaves", CHAMPION)) == (("1", "3", "2"), "2")
    scores = {month: life.champion(store, "leaves", month)[0] for month in ("2025-01", "2025-02", "2025-03", "2025-05", "2025-06", None)}
    assert {month: found and found.version for month, found in scores.items()} == {
        "2025-01": None, "2025-02": "1", "2025-03": "3", "2025-05": "3", "2025-06": "2", None: "2",
    }  # fmt: skip
    assert life.champion(store, "leaves", "2025-02")[1] == ("trained after 2025-02: version 3, 2",)
