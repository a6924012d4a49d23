"""A table's model from the command line: fitted, scored, and what its log and its run tell of a table that has moved since."""

import logging
import random

import mlflow
import pytest
import yaml

from crm_spark.config.models import MlflowConfig
from crm_spark.learning.__main__ import main
from crm_spark.learning.drift import REFERENCE, reference_of_json
from crm_spark.learning.registry import Registry

ROWS = 1200
SPEC = {
    "name": "leaves", "question": "Will the customer leave?", "label": {"column": "left"}, "key": ["id"], "algorithms": ["tree"], "negatives_kept": 0.8,
    "gate": {"auc": 0.5, "lift_at_10": 0.5, "calibration_error": 1.0}, "retrain": {"features_share": 0.3},
}  # fmt: skip


def people(minutes, plans, left):
    """Few minutes and plan a make people leave; `idle` says nothing. A price is missing for every third."""
    chance = random.Random(5)
    for i in range(ROWS):
        used, plan = chance.uniform(*minutes), chance.choice(plans)
        leaves = chance.random() < left * (0.9 if used < 40 else 0.1) + 0.2 * (plan == "a")
        yield f"c{i}", used, plan, "" if i % 3 == 0 else f"{i % 10}.5", chance.choice("xy"), "yes" if leaves else "no"


def written(path, rows):
    lines = ["id,minutes,plan.name,price,idle,left", *[",".join(map(str, row)) for row in rows]]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def place(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaves")
    folder.joinpath("spec.yml").write_text(yaml.safe_dump(SPEC), encoding="utf-8")
    told = ["--spec", f"{folder}/spec.yml", "--out", f"{folder}/models"]
    assert main(["fit", *told, "--table", written(folder / "then.csv", people((0, 100), "aaab", 1.0))]) == 0
    return folder, told


def of_the_run(folder):
    """Lines of the champion's run: name and values, the oldest first."""
    store = Registry(MlflowConfig(f"sqlite:///{folder}/models/mlflow.db", f"{folder}/models/mlartifacts", "models of tables"))
    version = store.champion_version("leaves")
    client = mlflow.MlflowClient()
    run = client.get_model_version("leaves", version).run_id
    lines = [name for name in client.get_run(run).data.metrics if name.startswith("drift/")]
    return {name: [m.value for m in sorted(client.get_metric_history(run, name), key=lambda m: m.step)] for name in lines}


def scored(place, table, caplog):
    folder, told = place
    caplog.clear()
    with caplog.at_level(logging.INFO, "crm_spark"):
        assert main(["score", *told, "--table", table, "--to", f"{folder}/scores"]) == 0
    return [r.getMessage() for r in caplog.records], [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_the_table_itself_has_not_moved_and_another_has_by_column_and_label(place, caplog):
    folder, _ = place
    _, warnings = scored(place, f"{folder}/then.csv", caplog)
    assert not warnings
    first = of_the_run(folder)
    assert set(first) >= {"drift/score psi", "drift/score mean", "drift/feature minutes psi", "drift/feature plan.name psi", "drift/label left psi"}
    assert first["drift/feature minutes psi"][0] < 0.1 and first["drift/label left mean"][0] == pytest.approx(labelled_share(folder / "then.csv"))
    now = written(folder / "now.csv", people((0, 50), "bbbb", 0.2))
    told, warnings = scored(place, now, caplog)
    (asked,) = warnings
    assert "leaves should be fitted again" in asked and "minutes" in asked and "have the label left" in asked
    assert any("feature plan.name: PSI" in line for line in told)
    both = of_the_run(folder)
    assert [len(values) for values in both.values()] == [2] * len(both)
    assert both["drift/feature minutes psi"][1] > 0.25 and both["drift/label left mean"][1] == pytest.approx(labelled_share(folder / "now.csv"))


def labelled_share(path):
    labels = [line.rsplit(",", 1)[1] for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    return labels.count("yes") / len(labels)


def test_a_table_without_rows_or_label_tells_no_drift_of_them(place, caplog):
    folder, _ = place
    rows = [line.rsplit(",", 1)[0] for line in folder.joinpath("then.csv").read_text(encoding="utf-8").splitlines()]
    folder.joinpath("bare.csv").write_text("\n".join(rows), encoding="utf-8")
    told, _ = scored(place, f"{folder}/bare.csv", caplog)
    assert any(line.startswith("leaves: score: PSI") for line in told) and not any(line.startswith("leaves: label") for line in told)
    folder.joinpath("none.csv").write_text(rows[0], encoding="utf-8")
    told, _ = scored(place, f"{folder}/none.csv", caplog)
    assert not any("PSI" in line for line in told)


def test_the_reference_counts_columns_as_if_no_row_without_the_label_had_been_left_out(place):
    folder, _ = place
    store = Registry(MlflowConfig(f"sqlite:///{folder}/models/mlflow.db", f"{folder}/models/mlartifacts", "models of tables"))
    known = reference_of_json(store.find_text("leaves", store.champion_version("leaves"), REFERENCE))
    assert {"minutes", "plan.name"} <= set(known.features)
    plan = known.features["plan.name"]
    rows = [line.split(",") for line in folder.joinpath("then.csv").read_text(encoding="utf-8").splitlines()[1:]]
    weight = {plan: sum(1.0 if r[5] == "yes" else 1.25 for r in rows if r[2] == plan) for plan in "ab"}
    assert plan.levels == ("a", "b") and plan.shares[0] == pytest.approx(weight["a"] / sum(weight.values()), abs=0.06)  # of 360 held out
    assert sum(plan.shares) == pytest.approx(1) and plan.shares[2] == 0
    with_label = sum(r[5] == "yes" for r in rows)
    assert known.label_rate == pytest.approx(with_label / (with_label + 1.25 * (ROWS - with_label)), abs=1e-3)
