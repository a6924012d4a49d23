"""What a candidate would change, counted by hand on a few customers; and the page that tells it."""

import pytest

from crm_spark.config.models import load_models
from crm_spark.errors import ConfigError
from crm_spark.learning.scoring import regraded
from crm_spark.report import simulation
from crm_spark.report.simulation import Side, compared
from crm_spark.report.simulation_page import render_simulation
from crm_spark.tables.decision import CHOICE, EXCLUSION, RECOMMENDATION
from crm_spark.tables.score import PERSONAL_INDEX
from tests.decision_support import CONF
from tests.test_decisions_recommend import rows_of
from tests.tiny import load_job

PEOPLE = {  # city, grade, segment; offers before, the one chosen (channel, net value, cost); offers after, the one chosen
    "a": ("X", "high", "talkers", ["KEEP", "TALK"], ("KEEP", "hall", 40.0, 5.0), ["TALK", "KEEP"], ("TALK", "sms", 4.5, 0.2)),
    "b": ("X", "low", None, ["TALK"], ("TALK", "sms", 2.5, 0.2), ["TALK", "NEW"], ("TALK", "sms", 3.5, 0.2)),
    "c": ("Y", "high", "talkers", ["KEEP"], ("KEEP", "hall", 20.0, 5.0), ["KEEP"], None),
    "d": ("Y", None, None, [], None, [], None),
}
GOALS = {"KEEP": "retention", "TALK": "traffic", "NEW": "traffic"}
DROPPED = {"c": [("after", "held"), ("after", "no_room")], "b": [("before", "held")]}


@pytest.fixture(scope="module")
def customers(spark):
    def side(name, place):
        told = {u: (row[place], row[place + 1] or (None,) * 4) for u, row in PEOPLE.items()}
        offers = {u: [{"policy_id": p, "goal": GOALS[p], "goal_place": 1, "candidate_rank": 1} for p in found] for u, (found, _) in told.items()}
        recommended = rows_of(spark, RECOMMENDATION, *({"city": PEOPLE[u][0], "user_id": u, "offers": found} for u, found in offers.items()))
        dropped = [{"city": PEOPLE[u][0], "user_id": u, "reason": reason} for u, told_of in DROPPED.items() for when, reason in told_of if when == name]
        parts = ("policy_id", "channel", "net_value_yuan", "spend_yuan")
        chosen = [{"city": PEOPLE[u][0], "user_id": u, **dict(zip(parts, one, strict=True))} for u, (_, one) in told.items()]
        return Side(recommended, rows_of(spark, EXCLUSION, *dropped), rows_of(spark, CHOICE, *chosen))

    people = [{"city": row[0], "user_id": u, "value_grade": row[1], "groups": {"customer_group": row[2]} if row[2] else {}} for u, row in PEOPLE.items()]
    found = compared(side("before", 3), side("after", 5), rows_of(spark, PERSONAL_INDEX, *people)).persist()
    yield found
    found.unpersist()


def test_reach_counts_for_whom_a_policy_is_chosen_and_who_might_have_it(customers):
    found = simulation.reach(customers, {"KEEP": "Keep"})
    assert [(r["goal"], r["policy"], r["before"], r["after"], r["change"], r["offered_before"], r["offered_after"], r["name"]) for r in found] == [
        ("retention", "KEEP", 2, 0, -2, 2, 2, "Keep"), ("traffic", "TALK", 1, 2, 1, 2, 2, ""), ("traffic", "NEW", 0, 0, 0, 0, 1, ""),
    ]  # fmt: skip


def test_flows_go_from_chosen_offer_to_chosen_offer(customers):
    assert simulation.flows(customers) == [
        {"from": "KEEP", "to": "TALK", "customers": 1}, {"from": "KEEP", "to": "no offer", "customers": 1},
    ]  # fmt: skip


def test_money_is_the_net_value_and_the_cost_of_what_is_chosen(customers):
    total = simulation.totals(customers)
    assert (total["customers"], total["with_an_offer_before"], total["with_an_offer_after"], total["moved"]) == (4, 3, 2, 2)
    assert (total["expected_value_before_yuan"], total["expected_value_after_yuan"]) == (62.5, 8.0)
    assert (total["expected_cost_before_yuan"], total["expected_cost_after_yuan"]) == (10.2, 0.4)


def test_who_has_no_offer_is_told_with_every_reason(customers):
    assert simulation.without_offer(customers) == [
        {"why_none": "held, no_room", "before": 0, "after": 1}, {"why_none": "no rule proposes anything", "before": 1, "after": 1},
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
            "totals": simulation.totals(customers), "reach": simulation.reach(customers, {}),
            "flows": simulation.flows(customers), "channels": simulation.channels(customers), "without_offer": simulation.without_offer(customers), **groups,
        }
    )  # fmt: skip
    assert page.startswith("<!doctype html>") and page.count("<svg") == 4, "reach of two goals, channels, segments"
    assert "&lt;b&gt;X&lt;/b&gt;" in page and "<b>X</b>" not in page


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
    for name in ("policies.csv", "choosing.yml"):
        (tmp_path / name).write_text("y")
    named = load_job("simulate")._named
    files = [named(tmp_path / name) for name in ("retention.csv", "policies.csv", "choosing.yml")]
    assert files == [("matrices/retention.csv", "x"), ("policies.csv", "y"), ("choosing.yml", "y")]
    with pytest.raises(ConfigError, match="no such file"):
        named(tmp_path / "traffic.csv")
