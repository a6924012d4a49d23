import json
import os
import subprocess
import sys
import zipfile
from datetime import datetime
from pathlib import Path

import pytest

import crm_spark
from crm_spark.report import facts
from crm_spark.report.page import render_page, render_text
from crm_spark.tables.decision import EXCLUSION, OPPORTUNITY, RECOMMENDATION
from crm_spark.tables.ops import MODEL_DRIFT
from crm_spark.tables.score import MODEL_SCORE, PERSONAL_INDEX, SEGMENT_PROFILE


@pytest.fixture
def rows(spark):
    """Rows of a contract table; what is not named is null."""

    def build(table, *given):
        return spark.createDataFrame([tuple(row.get(c) for c in table.columns) for row in given], table.struct)

    return build


@pytest.fixture
def recommendations(rows):
    base = {"month": "2025-03", "new_services": [], "traffic_policies": []}
    return rows(
        RECOMMENDATION,
        {
            **base,
            "city": "A",
            "user_id": "u1",
            "priority": ["retention", "traffic"],
            "main_policy": "P1",
            "new_services": ["N1", "N2"],
            "reasons": ["loyal"],
        },
        {**base, "city": "A", "user_id": "u2", "priority": ["retention", "traffic"], "main_policy": "P1"},
        {**base, "city": "B", "user_id": "u3", "priority": ["traffic"], "traffic_policies": ["T1"]},
        {**base, "city": "B", "user_id": "u4", "priority": []},
    )


def test_cities_are_counted_by_grade_and_a_missing_model_is_null_and_not_zero(rows, recommendations):
    index = rows(
        PERSONAL_INDEX,
        {"city": "A", "user_id": "u1", "value_grade": "high", "grades": {"churn": "at_risk"}},
        {"city": "A", "user_id": "u2", "value_grade": "mid", "grades": {"churn": "safe"}},
        {"city": "B", "user_id": "u3", "value_grade": "mid", "grades": {}},
    )
    a, b = facts.customers_by_city(recommendations, index)
    assert (a["city"], a["customers"], a["high"], a["mid"], a["at_risk"], a["anomalous"], a["with_an_offer"]) == ("A", 2, 1, 1, 1, None, 2)
    assert (b["city"], b["customers"], b["mid"], b["at_risk"], b["with_an_offer"]) == ("B", 2, 1, None, 1)


def test_priorities_and_policies_are_counted_most_frequent_first(recommendations):
    assert facts.priorities(recommendations) == [
        {"priority": "retention > traffic", "customers": 2},
        {"priority": "", "customers": 1},
        {"priority": "traffic", "customers": 1},
    ]
    policies = facts.top_policies(recommendations, {"P1": "Prepay"})
    assert [(p["goal"], p["policy"], p["customers"], p["name"]) for p in policies] == [
        ("new_service", "N1", 1, ""), ("new_service", "N2", 1, ""), ("retention", "P1", 2, "Prepay"), ("traffic", "T1", 1, ""),
    ]  # fmt: skip


def test_examples_never_say_who(recommendations):
    (example,) = facts.examples(recommendations)
    assert example["why"] == "loyal" and "user_id" not in example and "u1" not in json.dumps(example)


def test_exclusions_and_models_are_counted(rows):
    drop = {"goal": "retention", "stage": "eligibility", "reason": "held"}
    assert facts.exclusions(rows(EXCLUSION, drop, drop)) == [{**drop, "candidates": 2}]
    score = {"model": "churn", "model_version": "3"}
    (model,) = facts.model_grades(
        rows(MODEL_SCORE, {**score, "score": 10.0, "grade": "safe"}, {**score, "score": 50.0, "grade": "at_risk"})
    )
    assert model == {**score, "customers": 2, "mean_score": 30.0, "grades": {"at_risk": 1, "safe": 1}}


def test_what_sets_a_group_apart_is_told_in_standard_deviations_and_not_by_rare_attributes(rows):
    """Hardly anybody calls abroad, so that a group without such calls is no different: its index is 0, its distance small."""
    group = {"segmentation": "s", "group_number": 1, "class_name": "c", "group_name": "callers", "group_label": "callers", "customers": 9}
    traits = [("minutes", 3.0, 1.8), ("arpu", 1.1, 0.2), ("age", 0.2, -2.1), ("abroad", 0.0, -0.1)]
    (segment,) = facts.segments(rows(SEGMENT_PROFILE, *[{**group, "attribute": a, "index": i, "distance": d} for a, i, d in traits]))
    assert segment == {**group, "traits": "age x0.2, minutes x3.0, arpu x1.1"}


EXAMPLE = {
    "main_policy": "P1", "city": "A", "value_grade": "mid", "priority": ["retention", "traffic"], "new_services": ["N1", "N2"],
    "traffic_policies": [], "reasons": ["likely to stay", "loyal"], "why": "likely to stay; loyal",
}  # fmt: skip


NEED = {"need": "VPN", "kind": "latent", "goal": "virtual_network", "customers": 3, "mean_score": 51.5}


def test_needs_and_value_tiers_are_counted(rows, recommendations):
    of = [{"need": "VPN", "goal": "virtual_network", **one} for one in ({"kind": "latent", "score": 50.0}, {"kind": "latent", "score": 53.0}, {"kind": "present"})]
    found = facts.needs(rows(OPPORTUNITY, *of))
    assert found == [{**NEED, "customers": 2}, {**NEED, "kind": "present", "customers": 1, "mean_score": None}]
    tiered = rows(RECOMMENDATION, {"tier": "modest", "offers": [("traffic", 1, "T", 1, "m", "r")]}, {"tier": "modest", "offers": []}, {"offers": []})
    assert facts.tiers(tiered) == [{"tier": "modest", "customers": 2, "with_an_offer": 1}, {"tier": None, "customers": 1, "with_an_offer": 0}]


def drifted(month, at, kind, subject, psi, **values):
    return {"model": "churn", "month": month, "model_version": "3", "kind": kind, "subject": subject, "psi": psi, "recorded_at": datetime(2025, 4, at), **values}


def test_drift_is_told_per_month_by_its_latest_run(rows):
    score = {"psi_noise": 0.01, "mean": 12.0, "reference_mean": 10.0}
    told = rows(
        MODEL_DRIFT,
        drifted("2025-02", 1, "score", "score", 0.1, **score),
        drifted("2025-02", 2, "score", "score", 0.2, **score, retrain="its score"),
        drifted("2025-02", 2, "feature", "age", 0.3), drifted("2025-02", 2, "feature", "arpu", 0.1),
        drifted("2025-03", 1, "score", "score", 0.05, **score), drifted("2025-03", 1, "label", "left", 0.02, mean=0.2, reference_mean=0.1),
    )  # fmt: skip
    february, march = facts.drift(told)
    assert (february["month"], february["score_psi"], february["moved_most"], february["its_psi"], february["retrain"]) == ("2025-02", 0.2, "age", 0.3, "its score")
    assert (february["mean_score"], february["mean_score_then"], february["label_share"]) == (12.0, 10.0, None)
    assert (march["label_share"], march["label_share_then"], march["moved_most"], march["retrain"]) == (0.2, 0.1, None, None)
    assert [row["month"] for row in facts.drift(told, months=1)] == ["2025-03"]


def test_drift_is_drawn_once_there_are_two_months(summary):
    row = {
        "model": "churn", "model_version": "3", "score_psi": 0.2, "psi_by_chance": 0.01, "mean_score": 12.0, "mean_score_then": 10.0, "moved_most": "age",
        "its_psi": 0.3, "label_share": None, "label_share_then": None, "retrain": "its score has PSI 0.20",
    }  # fmt: skip
    alone = render_page({**summary, "drift": [{**row, "month": "2025-03"}]})
    assert alone.count("<svg") == 3 and "its score has PSI 0.20" in alone
    history = [{**row, "month": "2025-02", "retrain": "an old reason"}, {**row, "month": "2025-03"}, {**row, "model": "anomaly", "month": "2025-03"}]
    page = render_page({**summary, "drift": history})
    assert page.count("<svg") == 4 and "Drift of each score" in page and "an old reason" not in page, "the table is of this month"


@pytest.fixture
def summary():
    city = {
        "city": "<b>A</b>",
        "customers": 2,
        "high": 1,
        "mid-high": 0,
        "mid": 1,
        "low": 0,
        "anomalous": None,
        "at_risk": 1,
        "with_an_offer": 2,
    }
    return {
        "run": {"run_id": "r1", "env": "demo", "month": "2025-03", "cities": None, "config": "c"},
        "source": {"name": "province", "operator": "ZJ", "description": "A province"},
        "totals": {"customers": 2, "with_an_offer": 2, "quarantined": 0},
        "cities": [city],
        "priorities": [{"priority": "retention", "customers": 2}],
        "policies": [{"goal": "retention", "policy": "P1", "customers": 2, "name": "Refer a friend (老带新)"}],
        "examples": [EXAMPLE], "exclusions": [], "tiers": [], "needs": [NEED], "quarantine": [], "models": [], "drift": [], "segments": [],
        "empty_columns": ["peers"], "ingest": [],
        "coverage": [{"kind": "model", "subject": "churn", "status": "skipped", "reason": "no label"}],
        "jobs": [{"job": "ingest", "seconds": 1.5}],
        "digests": {"decision.recommendation": "ab"},
        "places": {"report": "var/demo/summary.html"},
    }  # fmt: skip


def test_the_page_shows_charts_and_reasons_and_escapes_what_came_from_data(summary):
    page = render_page(summary)
    assert page.count("<svg") == 3
    assert "N1, N2" in page and "retention &gt; traffic" in page and "[" not in page.split("<h3>Examples</h3>")[1], "no Python lists"
    assert "Refer a friend (老带新)" in page.split("The policies by their ids")[0], "charts name policies, in any script"
    assert "<td>VPN</td>" in page and "51.5" in page
    assert "no label" in page and "&lt;b&gt;A&lt;/b&gt;" in page and "<b>A</b>" not in page


def test_the_page_is_made_from_the_zip_that_a_cluster_gets(summary, tmp_path):
    """`spark-submit --py-files crm_spark.zip` imports the package from the zip, where nothing is a file."""
    zipped = tmp_path / "crm_spark.zip"
    root = Path(crm_spark.__file__).parent
    with zipfile.ZipFile(zipped, "w") as archive:
        for path in sorted(root.rglob("*")):
            if path.suffix in (".py", ".html"):
                archive.write(path, path.relative_to(root.parent))
    program = (
        "import json, sys, crm_spark; from crm_spark.report.page import render_page; assert '.zip' in crm_spark.__file__;"
        "sys.stdout.write(render_page(json.load(sys.stdin)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(summary), capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(zipped)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("<!doctype html>") and run.stdout.count("<svg") == 3


def test_the_screen_says_what_a_planner_wants_first(summary, tmp_path):
    assert render_text(summary).startswith("demo, month 2025-03: 2 customers, 2 with an offer")
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    printed = subprocess.run([sys.executable, "-m", "crm_spark.report", str(tmp_path)], capture_output=True, text=True, check=True)
    assert "Priority" in printed.stdout and "P1" in printed.stdout
    missing = subprocess.run([sys.executable, "-m", "crm_spark.report", str(tmp_path / "no")], capture_output=True, text=True, check=False)
    assert missing.returncode == 1 and "make demo" in missing.stderr
