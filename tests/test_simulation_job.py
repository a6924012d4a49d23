"""The job of the simulation from end to end over literal rows: what it reads are frames, and there is nothing that it could write to."""

import json
import logging
from datetime import datetime
from types import SimpleNamespace

import pytest

from crm_spark.config.settings import load_settings
from crm_spark.frames import literal_frame
from crm_spark.tables.ops import MATRIX_HISTORY
from tests.choice_support import MONTH, inputs, offer
from tests.decision_support import CONF
from tests.tiny import load_job

CITIES = ("HANGZHOU", "JINHUA")
PEOPLE = {f"u{n:02}": CITIES[n % 2] for n in range(20)}
LEAVING = 30.0  # the score of all of them, just below where `at_risk` begins
CHANGES = ("--set", "choosing.contact.never.early=\"user_id < 'u04'\"", "--set", "choosing.limits.budget.most=100", "--threshold", "churn.at_risk=25")


def published(spark, settings):
    """A month in which everybody has a newspaper offered, and every fourth gets it."""
    of_paper = {"policy_id": "NEWSPAPER_TRIAL", "channel": "sms", "net_value_yuan": 1.0, "spend_yuan": 0.25, "goal": "new_service"}
    paper, version = "NEWSPAPER_TRIAL", settings.matrices.version
    place = [{"user_id": user, "city": city, "month": MONTH} for user, city in PEOPLE.items()]
    return inputs(
        spark,
        customer_view=[{**one, "person_id": one["user_id"], "status": "active", "tenure_months": 40, "arpu_yuan": 120} for one in place],
        personal_index=[{**one, "value": 50.0, "value_grade": "mid", "scores": {"churn": LEAVING}, "grades": {"churn": "safe"}, "groups": {}} for one in place],
        recommendation=[{**one, "offers": [offer(settings, paper)], "matrix_set": version} for one in place],
        exclusion=[{**one, "policy_id": paper, "goal": "new_service", "stage": "arbitration", "reason": "not_drawn"} for one in place[1::4]],
        choice=[{**one, **(of_paper if number % 4 == 0 else {})} for number, one in enumerate(place)],
    )


def simulated(spark, tmp_path, *arguments):
    """What the job tells."""
    settings = load_settings(CONF, "demo")
    simulate = load_job("simulate")
    parser = simulate.argparse.ArgumentParser()
    simulate.arguments(parser)
    frames = published(spark, settings)
    kept = settings.matrices
    row = {"run_id": "r1", "month": MONTH, "matrix_set": kept.version, "source": "province", "files": dict(kept.files), "recorded_at": datetime(2025, 4, 1)}
    history = literal_frame(spark, [tuple(row.get(c) for c in MATRIX_HISTORY.columns)], MATRIX_HISTORY.struct)
    job = SimpleNamespace(
        config=settings, month=MONTH, cities=None, spark=spark, log=logging.getLogger("test"), options=parser.parse_args([*arguments, "--out", str(tmp_path)]),
        catalog=SimpleNamespace(exists=lambda _: True, read=lambda _: history), read=lambda table, *_, **__: frames[table.name], months_of=lambda _: (),
    )  # fmt: skip
    simulate.run(job)
    return json.loads((tmp_path / "simulation.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_values_and_thresholds_are_tried_and_every_group_is_told(spark, tmp_path):
    told = simulated(spark, tmp_path, *CHANGES)
    assert sorted(told["changes"]) == [
        "choosing: contact.never.early is user_id < 'u04', before -",
        "choosing: limits.budget.most is 100, before 20000",
        "models: churn grades default: at_risk from 25, safe from 0, before default: at_risk from 32, safe from 0",
    ]
    totals = told["totals"]
    assert (totals["customers"], totals["with_an_offer_before"], totals["expected_value_before_yuan"]) == (20, 5, 5.0)
    assert totals["expected_cost_after_yuan"] <= 100
    early = sum(row["after"] for row in told["without_offer"] if "early" in row["why_none"])
    assert early == 4 and sum(row["before"] for row in told["without_offer"] if row["why_none"] == "not_drawn") == 5
    (paper,) = (row for row in told["reach"] if row["policy"] == "NEWSPAPER_TRIAL")
    assert (paper["before"], paper["offered_before"]) == (5, 20)
    leaving = [row for row in told["reach"] if row["goal"] == "retention" and row["offered_after"] > row["offered_before"]]
    assert leaving, "whoever is at risk now may have what keeps"
    assert {row["city"]: row["customers"] for row in told["by"]["city"]["totals"]} == dict.fromkeys(CITIES, 10)
    for group in ("city", "segment", "value_grade"):
        assert sum(row["moved"] for row in told["by"][group]["totals"]) == totals["moved"] == sum(row["customers"] for row in told["flows"])
    assert "without_offer" in told["by"]["city"] and (tmp_path / "simulation.html").read_text(encoding="utf-8").startswith("<!doctype html>")
