"""What an offer is worth: the published vector, who pays the subsidy, and what is not known."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from crm_spark.config.choosing import Choosing, Weights
from crm_spark.config.settings import load_settings
from crm_spark.decisions.arbitration import net_value, priority_score, with_candidates
from tests.decision_support import CONF, customers

D = Decimal


def number(frame, column):
    return frame("x int", (1,)).select(column.alias("x")).first()["x"]


def test_the_published_vector_of_p_c_v_l_comes_out(frame):
    value = net_value(F.lit(0.20), F.lit(50.0), anyway=F.lit(0.0), subsidy=F.lit(0.0), cost=F.lit(0.0))
    assert number(frame, priority_score(value, [F.lit(10.0), F.lit(55.0)])) == pytest.approx(17.05)


def test_who_would_have_bought_anyway_brings_nothing_and_costs_the_subsidy(frame):
    nets = [number(frame, net_value(F.lit(0.10), F.lit(40.0), F.lit(anyway), F.lit(6.0), F.lit(0.5))) for anyway in (0.0, 0.5, 1.0)]
    assert nets == pytest.approx([0.1 * 40 - 0.1 * 6 - 0.5, 0.1 * 20 - 0.1 * 6 - 0.5, -0.1 * 6 - 0.5])


@pytest.fixture(scope="module")
def configured():
    """(choosing, policies) of the shipped configuration, with levers."""
    found = load_settings(CONF, "demo")
    levers = Weights((50.0, 20.0, 0.0), {"new_service": 10.0, "FETION_START": -50.0})
    return replace(found.choosing, weights=levers), found.matrices.policies


OFFERS = "array<struct<goal:string,policy_id:string,candidate_rank:int,matrix:string,rule:string>>"


def valued(spark, configured: tuple[Choosing, dict], row):
    """The candidates of one customer by policy and channel; `offers` are goals and policies."""
    choosing, policies = configured
    offers = [f"named_struct('goal', '{goal}', 'policy_id', '{policy}', 'candidate_rank', 1, 'matrix', 'm', 'rule', 'r')" for goal, policy in row.pop("offers")]
    people = customers(spark, {"user_id": "a", **row}).withColumns(
        {"offers": F.expr(f"array({', '.join(offers)})").cast(OFFERS), "priority": F.expr("array('new_service', 'traffic', 'retention')")}
    )
    made = with_candidates(people, policies, choosing).first()["candidates"]
    return {(c["policy_id"], c["channel"]): c for c in made}


def test_each_offer_is_valued_by_each_channel_of_its_policy(spark, configured):
    row = {"offers": [("new_service", "NEWSPAPER_TRIAL"), ("new_service", "FETION_START")], "newspaper_response_score": 40.0}
    made = valued(spark, configured, row)
    assert set(made) == {("NEWSPAPER_TRIAL", c) for c in ("sms", "mms", "hall")} | {("FETION_START", c) for c in ("sms", "hall")}
    paper = made["NEWSPAPER_TRIAL", "sms"]  # margin 24, a quarter would have anyway, subsidy .5, a message .1
    assert paper["propensity"] == 0.4 and paper["net_value_yuan"] == pytest.approx(0.4 * (0.75 * 24 - 0.5) - 0.1)
    assert paper["score"] == pytest.approx(paper["net_value_yuan"] * 1.5 * 1.1), "first in priority, lever of the goal"
    assert paper["spend_yuan"] == pytest.approx(0.1 + 0.4 * 0.5)
    fetion = made["FETION_START", "sms"]
    assert fetion["propensity"] == 0.05 and fetion["score"] == pytest.approx(fetion["net_value_yuan"] * 1.5 * 0.5), "the policy's own lever"


def test_without_a_score_the_share_of_the_goal_counts_and_without_a_margin_nothing_is_known(spark, configured):
    made = valued(spark, configured, {"offers": [("new_service", "NEWSPAPER_TRIAL"), ("virtual_network", "VPN_GROUP")]})
    assert made["NEWSPAPER_TRIAL", "sms"]["propensity"] == 0.05
    assert made["VPN_GROUP", "hall"]["net_value_yuan"] is None and made["VPN_GROUP", "hall"]["score"] is None, "no ARPU is told"
    known = valued(spark, configured, {"offers": [("virtual_network", "VPN_GROUP")], "arpu_yuan": D("100")})
    assert known["VPN_GROUP", "hall"]["net_value_yuan"] == pytest.approx(0.06 * (0.75 * 180 - 4) - 2.0)
