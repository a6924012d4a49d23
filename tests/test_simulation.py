"""What a candidate would change, counted by hand on a few customers; and the page that tells it."""

from datetime import date
from decimal import Decimal

import pytest

from crm_spark.config.models import load_models
from crm_spark.config.policies import Policy
from crm_spark.errors import ConfigError
from crm_spark.learning.scoring import regraded
from crm_spark.report import simulation
from crm_spark.report.simulation import Assumptions, Side, compared
from crm_spark.report.simulation_page import render_simulation
from crm_spark.tables.decision import EXCLUSION, RECOMMENDATION
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import PERSONAL_INDEX
from tests.decision_support import CONF
from tests.test_decisions_recommend import rows_of
from tests.tiny import load_job

D = Decimal


def policy(name, goal, months, cost, *channels):
    always = date(2000, 1, 1), date(2099, 12, 31)
    return Policy(name, f"Policy {name}", "f", goal, None, None, 0.1, None, D(0), D(0), months, D(cost), *always, channels, "Hello.")


KEEP, TALK = policy("KEEP", "retention", 12, "24", "hall", "sms"), policy("TALK", "traffic", 0, "1", "sms")
POLICIES = {p.policy_id: p for p in (KEEP, TALK, policy("NEW", "traffic", 1, "2"))}
PEOPLE = {  # city, ARPU, churn score, grade, segment; offers before; offers after
    "a": ("X", 100, 40.0, "high", "talkers", ["KEEP", "TALK"], ["TALK", "KEEP"]),
    "b": ("X", 50, None, "low", None, ["TALK"], ["TALK", "NEW"]),
    "c": ("Y", 200, 10.0, "high", "talkers", ["KEEP"], []),
    "d": ("Y", 80, 5.0, None, None, [], []),
}
DROPPED = {"c": [("after", "held"), ("after", "expired")], "b": [("before", "held")]}
ASSUMED = Assumptions(acceptance=0.1, uplift=0.05)


@pytest.fixture(scope="module")
def customers(spark):
    def side(name, place):
        offers = {u: [{"policy_id": p, "goal": POLICIES[p].goal, "goal_place": 1, "candidate_rank": 1} for p in row[place]] for u, row in PEOPLE.items()}
        recommended = rows_of(spark, RECOMMENDATION, *({"city": PEOPLE[u][0], "user_id": u, "offers": found} for u, found in offers.items()))
        dropped = [{"city": PEOPLE[u][0], "user_id": u, "reason": reason} for u, told in DROPPED.items() for when, reason in told if when == name]
        return Side(recommended, rows_of(spark, EXCLUSION, *dropped), POLICIES)

    view = rows_of(spark, CUSTOMER_VIEW, *({"city": row[0], "user_id": u, "arpu_yuan": D(row[1])} for u, row in PEOPLE.items()))
    known = [(u, *row[:5], {"customer_group": row[4]} if row[4] else {}) for u, row in PEOPLE.items()]
    people = [{"city": c, "user_id": u, "value_grade": g, "scores": {"churn": s} if s else {}, "groups": of} for u, c, _, s, g, _, of in known]
    index = rows_of(spark, PERSONAL_INDEX, *people)
    found = compared(side("before", 5), side("after", 6), view, index, ASSUMED).persist()
    yield found
    found.unpersist()


def test_reach_counts_every_offer_and_the_largest_change_comes_first(customers):
    found = simulation.reach(customers, {"KEEP": "Keep"})
    assert [(r["goal"], r["policy"], r["before"], r["after"], r["change"], r["name"]) for r in found] == [
        ("retention", "KEEP", 2, 1, -1, "Keep"), ("traffic", "NEW", 0, 1, 1, ""), ("traffic", "TALK", 2, 2, 0, ""),
    ]  # fmt: skip


def test_flows_go_from_first_offer_to_first_offer(customers):
    assert simulation.flows(customers) == [
        {"from": "KEEP", "to": "TALK", "customers": 1}, {"from": "KEEP", "to": "no offer", "customers": 1},
    ]  # fmt: skip


def test_money_is_that_of_the_first_offer_under_both_assumptions(customers):
    """Before: KEEP for a (0.4 x 100 x 12 months) and c (0.1 x 200 x 12), TALK for b (0.05 x 50 x 1); after: TALK for a and b. A tenth accepts."""
    total = simulation.totals(customers)
    assert (total["customers"], total["with_an_offer_before"], total["with_an_offer_after"], total["moved"]) == (4, 3, 2, 2)
    assert total["expected_value_before_yuan"] == pytest.approx(0.1 * (480 + 240 + 2.5))
    assert total["expected_value_after_yuan"] == pytest.approx(0.1 * (5 + 2.5))
    assert (total["expected_cost_before_yuan"], total["expected_cost_after_yuan"]) == (pytest.approx(4.9), pytest.approx(0.2))


def test_who_has_no_offer_is_told_with_every_reason(customers):
    assert simulation.without_offer(customers) == [
        {"why_none": "expired, held", "before": 0, "after": 1}, {"why_none": "no rule proposes anything", "before": 1, "after": 1},
    ]  # fmt: skip


def test_channels_and_groups(customers):
    assert simulation.channels(customers) == [{"channel": "sms", "before": 1, "after": 2}, {"channel": "hall", "before": 2, "after": 0}]
    assert [(r["city"], r["customers"], r["moved"]) for r in simulation.by(customers, "city")] == [("X", 2, 1), ("Y", 2, 1)]
    assert [(r["segment"], r["customers"], r["moved"]) for r in simulation.by(customers, "segment")] == [("none", 2, 0), ("talkers", 2, 2)]
    assert [(r["value_grade"], r["customers"]) for r in simulation.by(customers, "value_grade")] == [("high", 2), ("low", 1), ("none", 1)]


def test_the_page_shows_charts_and_escapes_what_came_from_data(customers):
    groups = {g: simulation.by(customers, g) for g in ("city", "segment", "value_grade")}
    page = render_simulation(
        {
            "env": "demo", "month": "2025-03", "published": ["v1"], "candidate": "v2", "changes": ["policies: <b>X</b> is new"],
            "acceptance": 0.1, "uplift": 0.05, "totals": simulation.totals(customers), "reach": simulation.reach(customers, {}),
            "flows": simulation.flows(customers), "channels": simulation.channels(customers), "without_offer": simulation.without_offer(customers), **groups,
        }
    )  # fmt: skip
    assert page.startswith("<!doctype html>") and page.count("<svg") == 4, "reach of two goals, channels, segments"
    assert "&lt;b&gt;X&lt;/b&gt;" in page and "<b>X</b>" not in page and "if 10 % accept" in page


def test_grades_follow_other_thresholds_and_other_models_keep_theirs(spark):
    churn = load_models(CONF, "province")["churn"]
    scores = {"churn": 30.0, "anomaly": 99.0}
    index = rows_of(spark, PERSONAL_INDEX, {"user_id": "a", "scores": scores, "grades": {"churn": "safe", "anomaly": "anomalous"}})
    (stricter,) = load_job("simulate")._moved_threshold({"churn": churn}, "churn.at_risk=25").values()
    assert regraded(index, [churn]).first()["grades"] == {"churn": "safe", "anomaly": "anomalous"}
    assert regraded(index, [stricter]).first()["grades"] == {"churn": "at_risk", "anomaly": "anomalous"}


@pytest.mark.parametrize(("threshold", "told"), [
    ("chrun.at_risk=25", "unknown model 'chrun' (did you mean 'churn'?)"),
    ("churn.at_rsk=25", "unknown grade 'at_rsk' (did you mean 'at_risk'?)"),
    ("churn.at_risk=many", "could not convert"),
    ("churn.at_risk=250", "from 0 to 100"),
])  # fmt: skip
def test_a_wrong_threshold_is_told(threshold, told):
    with pytest.raises(ConfigError) as error:
        load_job("simulate")._moved_threshold(load_models(CONF, "province"), threshold)
    assert f"--threshold {threshold}: " in str(error.value) and told in str(error.value)


def test_files_take_their_place_in_the_set(tmp_path):
    (tmp_path / "retention.csv").write_text("x")
    (tmp_path / "policies.csv").write_text("y")
    named = load_job("simulate")._named
    assert [named(tmp_path / name) for name in ("retention.csv", "policies.csv")] == [("matrices/retention.csv", "x"), ("policies.csv", "y")]
    with pytest.raises(ConfigError, match="no such file"):
        named(tmp_path / "traffic.csv")
