"""Auxiliary matrices: the value tier's treatment closes families of policies, and needs become opportunities."""

from decimal import Decimal

import pytest

from crm_spark.config.decisions import MatrixSpec
from crm_spark.decisions.compile import compile_all
from crm_spark.decisions.inputs import with_derived
from crm_spark.decisions.recommend import decide, exclusions, opportunities, recommendations
from crm_spark.errors import ConfigError
from crm_spark.tables.decision import EXCLUSION, OPPORTUNITY, RECOMMENDATION
from tests.decision_support import customers, planners_folder, read_matrices, shipped, write_matrix

D = Decimal
HELD, ACTIVE = (True, 5, 0, 0.0, 12, 3.0), (True, 5, 2, 0.0, 12, 3.0)  # a service state: held, on 12 days; and two uses
UNUSED = (False, None, 0, 0.0, 0, 0.0)
FADING = {"total_minutes": 40.0, "total_minutes_trend_3m": -25.5, "churn_grade": "safe", "tenure_months": 30}  # traffic, retention, new services
ROWS = {
    "rewarding": {**FADING, "value_grade": "high", "return_rate": 92.0},
    "high at a loss": {**FADING, "value_grade": "high", "return_rate": 20.0},
    "mid-high": {**FADING, "value_grade": "mid-high", "churn_grade": "at_risk"},
    "spender": {**FADING, "value_grade": "mid", "return_rate": 90.0, "arpu_yuan": D("120")},
    "modest": {**FADING, "value_grade": "mid", "return_rate": 85.0, "churn_grade": "at_risk"},
    "given away": {**FADING, "value_grade": "mid", "return_rate": 30.0, "return_rate_3q": 35.0},
    "one poor month": {**FADING, "value_grade": "mid", "return_rate": 30.0, "return_rate_3q": 95.0},
    "in debt": {**FADING, "value_grade": "low", "arrears_yuan": D("20")},
    "stranger": FADING,
    "reader to be": {"services": {"newspaper": UNUSED}, "newspaper_response_grade": "high", "newspaper_response_score": 41.257},
    "reader": {"services": {"newspaper": HELD}, "newspaper_response_grade": "high", "newspaper_response_score": 41.257},
    "close circle": {"vpn_minutes": 0.0, "on_net_call_share": 0.8, "top3_peer_share": 0.5, "total_minutes": 100.0, "top1_peer_share": 0.45},
    "member": {"vpn_minutes": 30.0, "total_minutes": 40.0, "on_net_call_share": 0.8, "top3_peer_share": 0.5},
    "evenings": {"nocturnal_call_share": 0.4, "total_minutes": 90.0, "services": {}, "supports_wap": True, "age_years": 20, "terminal_model": "T9"},
    "tone buyer": {"services": {"ring_back_tone": ACTIVE}, "ring_tone_change_grade": "high", "ring_tone_change_score": 55.0},
    "nobody": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def made(spark):
    """(recommendations, exclusions, opportunities) of the literal rows with the shipped set."""
    people = with_derived(customers(spark, *({"user_id": name, **row} for name, row in ROWS.items())), shipped())
    compiled = compile_all(shipped())
    decided = decide(people, compiled, shipped().policies, "2025-03").persist()
    found = (
        {row["user_id"]: row for row in RECOMMENDATION.conform(recommendations(decided, compiled, "set 1")).collect()},
        EXCLUSION.conform(exclusions(decided)).collect(),
        OPPORTUNITY.conform(opportunities(decided)).collect(),
    )
    decided.unpersist()
    return found


def families(made, name):
    return {shipped().policies[offer["policy_id"]].family for offer in made[0][name]["offers"]}


def test_each_customer_stands_in_one_tier_and_whose_value_is_not_known_has_nothing_closed(made):
    assert {name: made[0][name]["tier"] for name in list(ROWS)[:9]} == {
        "rewarding": "rewarding", "high at a loss": "profitable", "mid-high": "profitable", "spender": "profitable", "modest": "modest",
        "given away": "unprofitable", "one poor month": "modest", "in debt": "unprofitable", "stranger": "not known",
    }  # fmt: skip
    assert not [row for row in made[1] if row["user_id"] == "stranger" and row["reason"] == "treatment"]


def test_the_treatment_of_a_tier_says_what_is_offered(made):
    """Rewarding: keep at any cost; profitable: keep, cross-sell; modest: bundle, cross-sell; unprofitable: basic service only."""
    assert families(made, "given away") == families(made, "in debt") == {"call stimulation"}
    assert "big-gift package" in families(made, "mid-high") and "customer care" not in families(made, "mid-high")
    assert {"value bundle", "monthly prepay", "call stimulation"} <= families(made, "modest") and "call gift" not in families(made, "modest")
    assert {"sticky product", "call stimulation", "personalised service"} <= families(made, "rewarding")


def test_what_a_tier_closes_is_excluded_in_eligibility_with_the_reason_treatment(made):
    """Of group 3, which a leaving customer of mid value has, the gift without a bundle is closed to a modest one."""
    of_modest = {(r["goal"], r["policy_id"], r["matrix"], r["rule"], r["stage"]) for r in made[1] if r["user_id"] == "modest" and r["reason"] == "treatment"}
    assert of_modest == {("retention", "CALL_TIME_GIFT", "retention", "leaving_mid", "eligibility")}
    of_mid_high = {r["policy_id"] for r in made[1] if r["user_id"] == "mid-high" and r["reason"] == "treatment"}
    assert of_mid_high == {"KEY_CUSTOMER_CARE"}
    assert made[0]["modest"]["main_policy"] == "PREPAY_200_GET_300" and made[0]["given away"]["main_policy"] is None


def test_the_tier_is_told_among_the_reasons(made):
    assert "Unprofitable (return rate 30, of three quarters 35): basic service only" in made[0]["given away"]["reasons"]
    assert not any("unknown)" in reason and "Rewarding" in reason for reason in made[0]["rewarding"]["reasons"])


def needs(made, name):
    return {row["need"]: (row["kind"], row["score"], row["goal"], row["reason"]) for row in made[2] if row["user_id"] == name}


def test_a_need_is_latent_until_it_is_met_and_its_score_is_that_of_the_column(made):
    why = "Like those who took the mobile newspaper (41.26 of 100 do)"
    assert needs(made, "reader to be")["newspaper"] == ("latent", 41.26, "new_service", why)
    assert needs(made, "reader")["newspaper"] == ("present", 70.0, "new_service", "Reads the mobile newspaper")


def test_behaviour_like_that_of_members_is_a_latent_need_of_a_virtual_network(made):
    assert needs(made, "close circle")["VPN"][:3] == ("latent", 50.0, "virtual_network")
    assert needs(made, "close circle")["family number"][:3] == ("present", 45.0, "traffic")
    assert needs(made, "member")["VPN"] == ("present", 75.0, "virtual_network", "30 minutes inside a virtual network")


def test_heavy_evenings_without_data_are_a_latent_need_of_data(made):
    assert needs(made, "evenings")["data service"][:2] == ("latent", 40.0)
    assert needs(made, "evenings")["mobile internet"][:2] == ("latent", 50.0)
    assert needs(made, "evenings")["mobile internet"][3] == "The handset can (T9) and most of 20 years use it: mobile internet is not used yet"


def test_each_need_of_a_customer_is_told_once_and_where_nothing_is_seen_there_is_none(made):
    keys = [tuple(row[c] for c in OPPORTUNITY.key) for row in made[2]]
    assert len(keys) == len(set(keys)) > 8 and needs(made, "nobody") == {}
    assert needs(made, "tone buyer")["tone change"] == ("present", 70.0, "new_service", "Bought 2 tones this month")
    assert all("{" not in row["reason"] and 0 <= row["score"] <= 100 for row in made[2])


def test_needs_stand_in_their_own_table_and_not_among_the_reasons_of_offers(made):
    assert made[0]["member"]["rules"]["needs"] == ["vpn_present"]
    assert not [r for r in made[0]["member"]["reasons"] if "30 minutes inside" in r]


def test_the_ten_needs_of_the_source_are_all_looked_for_present_and_latent():
    (sheet,) = [m for m in shipped().matrices if m.name == "needs"]
    kinds = {}
    for rule in sheet.rules:
        kinds.setdefault(rule.outputs["need"], set()).add(rule.outputs["kind"])
    both = {"data service", "family number", "roaming", "long distance", "personalised service", "VPN", "newspaper", "ring-back tone", "tone change",
            "mobile internet"}  # fmt: skip
    assert {need for need, found in kinds.items() if found == {"present", "latent"}} == both


# --- what a planner may get wrong ---

TIER_YML = "question: x\nhit_policy: FIRST\ninputs: {value_grade: string}\noutputs: {tier: tier, families: families}\n"
NEED_YML = """question: x
hit_policy: RULE ORDER
inputs: {tenure_months: number}
outputs: {need: need, kind: need_kind, score: score, goal: goal}
"""


def told(folder):
    with pytest.raises(ConfigError) as error:
        read_matrices(folder)
    return [problem.partition("matrices/")[2] for problem in error.value.problems]


def test_a_family_that_no_policy_has_is_refused_with_the_nearest(tmp_path):
    folder = planners_folder(tmp_path / "conf")
    write_matrix(folder, "treatment", "rule,value_grade,tier,families\na,high,t,not(value bundel)\nb,low,t,\n", TIER_YML)
    first, second = told(folder)
    assert first == "treatment.csv:2 (a), column 'families': unknown family 'value bundel' (did you mean 'value bundle'?)"
    assert second.startswith("treatment.csv:3 (b), column 'families': unknown family ''")


def test_a_need_of_an_unknown_kind_goal_or_score_is_refused(tmp_path):
    folder = planners_folder(tmp_path / "conf")
    write_matrix(folder, "needs", "rule,tenure_months,need,kind,score,goal\na,5,,latnt,101,traffik\nb,6,x,latent,{brand},traffic\n", NEED_YML)
    problems = "\n".join(told(folder))
    for part in ("'need': is empty", "'latnt' is not one of present, latent", "'101' is neither a number from 0 to 100 nor a column",
                 "'traffik' is not one of retention, traffic", "'{brand}' is no column with a number"):  # fmt: skip
        assert part in problems, part


def test_two_matrices_may_not_both_tell_the_tier(tmp_path):
    folder = planners_folder(tmp_path / "conf")
    for name in ("one", "two"):
        write_matrix(folder, name, "rule,value_grade,tier,families\na,high,t,all\n", TIER_YML)
    with pytest.raises(ConfigError, match="several matrices decide the treatment: one, two"):
        read_matrices(folder)


@pytest.mark.parametrize(("outputs", "goal", "told"), [
    ({"need": "need", "score": "score"}, None, "missing: need_kind, goal"),
    ({"tier": "tier"}, "traffic", "type tier serves no goal of its own"),
])  # fmt: skip
def test_outputs_that_do_not_go_together_are_refused(outputs, goal, told):
    with pytest.raises(ValueError, match=told):
        MatrixSpec("x", "RULE ORDER", {}, outputs, goal)
