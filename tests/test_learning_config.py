"""Model specs: what YAML may say, what it is told, and the rules that choose and grade."""

from pathlib import Path

import pytest

from crm_spark.config.env import load_env
from crm_spark.config.models import Algorithm, MlflowConfig, ModelSpec, Selection, Stability, load_experiment_settings, load_models
from crm_spark.config.strict import parse
from crm_spark.config.table_models import TableLabel, TableSpec
from crm_spark.errors import ConfigError
from crm_spark.learning.trainer import Candidate, choose

CONF = Path(__file__).resolve().parents[1] / "conf"
SOURCES = sorted(p.name for p in (CONF / "sources").iterdir() if (p / "source.yml").exists())
MODELS = {
    "churn", "anomaly", "stickiness", "newspaper_response", "ring_tone_silent", "ring_tone_change",
    "mobile_internet_silence", "mobile_internet_fluctuation", "credit_risk",
}  # fmt: skip

CHURN_KINDS = {"churn_natural", "churn_involuntary", "churn_competitive", "churn_service_failure"}
SWITCHED_ON = {"fraud", "price_sensitivity", "affinity_business_travel", "affinity_parent_class", "affinity_tone_box"} | CHURN_KINDS

MINIMAL = """
question: Will it?
population: status = 'active'
label: {name: it, value: bool_or(p.present)}
windows: {observation: 3, gap: 1, performance: 2}
algorithms: [{name: tree, grid: {maxDepth: [3]}}]
grades: {default: {high: 50, low: 0}}
gate: {auc: 0.6, lift_at_10: 1.2, calibration_error: 0.1}
"""


@pytest.fixture
def conf(tmp_path):
    """A configuration folder: `conf(model="yaml", ..., overlay="yaml of the source")`."""

    def write(overlay="", **models):
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "sources/op").mkdir(parents=True, exist_ok=True)
        for name, text in models.items():
            (tmp_path / f"models/{name}.yml").write_text(text, encoding="utf-8")
        if overlay:
            (tmp_path / "sources/op/models.yml").write_text(overlay, encoding="utf-8")
        return load_models(tmp_path, "op")

    return write


def problems(call):
    with pytest.raises(ConfigError) as refused:
        call()
    return "\n".join(refused.value.problems)


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_has_the_nine_models_and_each_says_its_question_grades_and_gate(source):
    specs = load_models(CONF, source)
    assert set(specs) == MODELS | (SWITCHED_ON if source == "province_further" else set())
    for spec in specs.values():
        assert spec.question.endswith("?") and 0.5 < spec.gate.auc < 1 and spec.gate.lift_at_10 > 1, spec.name
        assert all(min(thresholds.values()) == 0 for thresholds in spec.grades.values()), spec.name


def test_the_source_documents_thresholds_are_the_defaults():
    """domain.md, section 5: anomalous from 32 (second cut-off 42, another city 16); high from 90, mid 70-90 (another city 96 / 85)."""
    specs = load_models(CONF, "province")
    anomaly, stickiness = specs["anomaly"], specs["stickiness"]
    assert anomaly.grades[anomaly.default_grades]["anomalous"] == 32
    assert {t["anomalous"] for t in anomaly.grades.values()} == {32, 42, 16}
    assert stickiness.grades["default"] == {"high": 90, "mid": 70, "none": 0}
    assert {"high": 96, "mid": 85, "none": 0} in stickiness.grades.values()


def test_a_new_service_is_a_few_lines_of_yaml(conf):
    specs = conf(fetion_response=MINIMAL)
    assert specs["fetion_response"].name == "fetion_response" and specs["fetion_response"].window_id == "o3g1p2"


def test_a_source_changes_parts_adds_a_whole_model_and_removes_one(conf):
    whole = MINIMAL.replace("name: it", "name: other").replace("\n", "\n  ")
    specs = conf(f"kept: {{gate: {{auc: 0.9}}}}\ngone: null\nadded:{whole}", kept=MINIMAL, gone=MINIMAL.replace("name: it", "name: its"))
    assert set(specs) == {"kept", "added"}
    assert specs["kept"].gate.auc == 0.9 and specs["kept"].gate.lift_at_10 == 1.2


def test_a_model_that_is_not_enabled_is_there_for_the_source_that_switches_it_on(conf):
    off = MINIMAL + "enabled: false\n"
    assert set(conf(kept=MINIMAL, asleep=off.replace("name: it", "name: other"))) == {"kept"}
    assert set(conf("asleep: {enabled: true}", kept=MINIMAL, asleep=off.replace("name: it", "name: other"))) == {"kept", "asleep"}
    assert "windows.gapp: unknown key" in problems(lambda: conf(asleep=off.replace("gap:", "gapp:")))  # read all the same


def test_a_delivered_label_takes_the_place_of_the_computed_one(conf):
    spec = conf("churn: {label: {value: null, outcome: left}}", churn=MINIMAL)["churn"]
    assert spec.label.outcome == "left" and spec.label.value is None and spec.window_id == "delivered"


def test_mistakes_are_told_together_with_file_key_and_the_nearest_word(conf):
    bad = MINIMAL.replace("gap:", "gapp:").replace("maxDepth", "maxDept")
    told = problems(lambda: conf("chrun: {seed: 3}", churn=bad))
    assert "churn.yml: windows.gapp: unknown key (did you mean 'gap'?)" in told
    assert "maxDept: tree has no such parameter (did you mean 'maxDepth'?)" in told
    assert "unknown model 'chrun' (did you mean 'churn'?)" in told


@pytest.mark.parametrize(
    ("grades", "complaint"),
    [
        ("{default: {high: 50, low: 10}}", "one grade must begin at 0"),
        ("{default: {high: 50, mid: 50, low: 0}}", "distinct scores"),
        ("{default: {high: 150, low: 0}}", "0 to 100"),
        ("{default: {high: 50, low: 0}, HANGZHOU: {top: 50, low: 0}}", "same grade names"),
        ("{others: {high: 50, low: 0}}", "'default' is not in grades"),
    ],
)
def test_thresholds_that_cannot_grade_every_score_are_refused(conf, grades, complaint):
    assert complaint in problems(lambda: conf(m=MINIMAL.replace("{default: {high: 50, low: 0}}", grades)))


def test_one_label_name_and_window_cannot_have_two_meanings(conf):
    assert "define the label 'it'" in problems(lambda: conf(one=MINIMAL, two=MINIMAL.replace("bool_or", "bool_and")))


def test_a_grid_gives_every_combination_first_values_first():
    assert Algorithm("gbt", {"maxDepth": (3.0, 4.0), "stepSize": (0.1, 0.2)}).points == (
        {"maxDepth": 3, "stepSize": 0.1}, {"maxDepth": 3, "stepSize": 0.2}, {"maxDepth": 4, "stepSize": 0.1}, {"maxDepth": 4, "stepSize": 0.2},
    )  # fmt: skip
    assert Algorithm("tree").points == ({},)


def candidate(algorithm, validation, depth=1, error=0.01):
    return Candidate(algorithm, {"maxDepth": depth}, None, validation, error if validation is not None else None)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        # two errors of .01 make a difference known to .0141; two of them are .0283
        ([("gbt", 0.70), ("tree", 0.728)], "gbt"),  # better, but perhaps by chance: the finer score stays
        ([("gbt", 0.70), ("tree", 0.729)], "tree"),
        ([("gbt", 0.50), ("tree", 0.515)], "gbt"),  # chance against chance
        ([("gbt", None), ("tree", None)], "gbt"),  # nothing to choose by
        ([("gbt", 0.70), ("forest", 0.73), ("tree", 0.75)], "forest"),  # each must beat the one kept so far
    ],
)
def test_a_later_algorithm_must_beat_the_one_before_beyond_chance(found, expected):
    assert choose([candidate(*f) for f in found], Selection(standard_errors=2)).algorithm == expected


def test_on_few_validation_customers_a_later_algorithm_must_be_much_better():
    few = [candidate("gbt", 0.60, error=0.06), candidate("tree", 0.75, error=0.06)]
    assert choose(few, Selection(standard_errors=2)).algorithm == "gbt"


def test_within_an_algorithm_the_best_point_wins_and_the_first_of_equals():
    grid = [candidate("gbt", 0.70, 3), candidate("gbt", 0.701, 4), candidate("gbt", 0.701, 5)]
    assert choose(grid, Selection()).point["maxDepth"] == 4


def test_where_the_tracking_server_decides_on_artifacts_a_scratch_folder_must_be_named():
    with pytest.raises(ValueError, match="scratch"):
        MlflowConfig("http://127.0.0.1:5000", "", "e")
    assert MlflowConfig("http://127.0.0.1:5000", "", "e", scratch="/shared/scratch").registry_uri == ""


def test_the_experiment_settings_lie_beside_the_configuration_wherever_a_job_starts_and_are_checked(tmp_path, monkeypatch):
    mlflow = "mlflow: {tracking_uri: u, artifacts: a, experiment: e, settings: mlflow/e.yml}"
    env = f"source: op\ndata: d\nvar: v\ncatalog: {{by: path, root: r}}\n{mlflow}"
    for path, text in {"conf/base.yml": "", "conf/env/x.yml": env, "mlflow/e.yml": "description: Ours"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "mlflow")
    assert load_experiment_settings(load_env(tmp_path / "conf", "x").mlflow).description == "Ours"
    (tmp_path / "mlflow/e.yml").write_text("descripton: Ours", encoding="utf-8")
    assert "descripton" in problems(lambda: load_env(tmp_path / "conf", "x"))
    (tmp_path / "mlflow/e.yml").unlink()
    assert "no such file" in problems(lambda: load_env(tmp_path / "conf", "x"))


def test_a_spec_without_the_default_scale_or_with_no_algorithm_is_refused():
    raw = {"name": "x", "question": "?", "population": "true", "label": {"name": "l", "outcome": "l"}, "grades": {"default": {"a": 0}}}
    raw |= {"windows": {"observation": 1, "gap": 0, "performance": 1}, "gate": {"auc": 0.6, "lift_at_10": 1.1, "calibration_error": 0.1}}
    assert "at least one" in problems(lambda: parse(ModelSpec, raw | {"algorithms": []}, "x.yml"))


def test_the_gate_of_a_spec_says_how_far_a_group_may_be_off(conf):
    text = MINIMAL.replace("calibration_error: 0.1}", "calibration_error: 0.1, stability: {by: [town], auc: 0.2, least: 30}}") + "groups: {town: city}\n"
    spec = conf(it=text)["it"]
    assert spec.groups == {"town": "city"} and spec.gate.stability == Stability(by=("town",), auc=0.2, rate=0.1, least=30)
    with pytest.raises(ConfigError, match=r"gate\.stability\.by: 'town' is not in groups"):
        conf(it=text.replace("groups: {town: city}", "groups: {city: city}"))


def test_grades_of_a_table_that_no_score_can_have_are_refused_before_anything_is_learnt():
    for grades in ({"high": 80.0, "low": 50.0}, {"high": 120.0, "low": 0.0}, {"high": 0.0, "low": 0.0}):
        with pytest.raises(ValueError, match="one grade must begin at 0"):
            TableSpec("churn", "Will it?", TableLabel("left"), grades=grades)
