"""One recommendation per customer, the reasons for it, and a row for everything that was dropped."""

import json
import logging
from dataclasses import replace
from datetime import date
from decimal import Decimal
from types import SimpleNamespace

import pytest
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.config.decisions import DecisionSettings, DerivedSpec
from crm_spark.config.settings import load_settings
from crm_spark.decisions.compile import compile_all
from crm_spark.decisions.inputs import available_columns, decision_input, with_derived
from crm_spark.decisions.lint import Finding
from crm_spark.decisions.recommend import decide, exclusions, recommendations, unreconciled
from crm_spark.errors import ConfigError
from crm_spark.frames import literal_frame
from crm_spark.tables.decision import EXCLUSION, RECOMMENDATION
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import PERSONAL_INDEX
from tests.decision_support import CONF, GROUPS, MODELS, SLOW_OPERATORS, customers, executed_plan, planners_folder, read_matrices, shipped, write_matrix
from tests.tiny import load_job

D = Decimal
HELD = (True, 5, 10, 0.0, 3, 0.0)  # a service state: held for five months
NOT_HELD = (False, None, 10, 0.0, 3, 0.0)
LOYAL = {"tenure_months": 40, "return_rate_3q": 90.0, "arpu_yuan": D("120"), "value_grade": "high", "value": 75.0, "churn_grade": "safe"}
CIRCLE = {"vpn_minutes": 0.0, "on_net_call_share": 0.8, "top3_peer_share": 0.5}
GROUP_6 = ["PREPAY_300_GET_360", "PREPAY_500_GET_700", "MONTHLY_PREPAY_100"]  # main first, then by strength .28, .14

ROWS = {
    "nobody": {},
    "loyal": LOYAL,
    "loyal, main held": {**LOYAL, "bundle_policies": ["PREPAY_300_GET_360"]},
    "loyal, all held": {**LOYAL, "bundle_policies": GROUP_6},
    "suspended": {**LOYAL, **CIRCLE, "status": "suspended"},
    "reader": {"value_grade": "mid", "churn_grade": "safe", "newspaper_response_grade": "high", "newspaper_response_score": 41.257,
               "services": {"newspaper": HELD, "fetion": NOT_HELD}},
    "new reader": {"value_grade": "mid", "churn_grade": "safe", "newspaper_response_grade": "high", "newspaper_response_score": 41.257,
                   "tenure_months": 30, "services": {}, "model_versions": {"newspaper_response": "7"}},
    "fading": {"value_grade": "low", "churn_grade": "safe", "total_minutes": 40.0, "total_minutes_trend_3m": -25.5},
    "leaving": {"value_grade": "low", "churn_grade": "at_risk", "churn_score": 66.6},
    "leaving, score unknown": {"value_grade": "high", "churn_grade": "at_risk"},
    "circle": CIRCLE,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(spark):
    """(recommendation by customer, exclusions as (customer, goal, policy, rank, rule, reason)) of the literal rows, 2025-03."""
    people = with_derived(customers(spark, *({"user_id": name, **row} for name, row in ROWS.items())), shipped())
    compiled = compile_all(shipped())
    decided = decide(people, compiled, shipped().policies, "2025-03").persist()
    recommended = RECOMMENDATION.conform(recommendations(decided, compiled, "set 1")).collect()
    dropped = EXCLUSION.conform(exclusions(decided)).collect()
    decided.unpersist()
    assert {row["stage"] for row in dropped} == {"eligibility"}
    return recommended, dropped


def of(made, name):
    (row,) = [row for row in made[0] if row["user_id"] == name]
    return row


def dropped(made, name, goal):
    rows = sorted((r["candidate_rank"], r["policy_id"], r["reason"]) for r in made[1] if r["user_id"] == name and r["goal"] == goal)
    return [(policy, reason) for _, policy, reason in rows]


def test_every_customer_has_exactly_one_row_even_if_nothing_matched(made):
    assert sorted(row["user_id"] for row in made[0]) == sorted(ROWS)
    nobody = of(made, "nobody")
    assert nobody["priority"] == ["retention", "traffic", "new_service"] and nobody["rules"]["priority"] == ["default"]
    assert (nobody["main_policy"], nobody["policy_group"], nobody["vpn_policy"], nobody["wording"]) == (None, None, None, None)
    assert nobody["group_policies"] == nobody["new_services"] == nobody["traffic_policies"] == [] and nobody["target_lists"] == {}


def test_the_main_policy_leads_its_group_and_the_rest_follow_by_strength(made):
    loyal = of(made, "loyal")
    assert (loyal["policy_group"], loyal["main_policy"], loyal["group_policies"]) == ("6", GROUP_6[0], GROUP_6)
    assert dropped(made, "loyal", "retention") == []


def test_a_held_main_policy_gives_way_to_the_strongest_of_its_group(made):
    row = of(made, "loyal, main held")
    assert (row["policy_group"], row["main_policy"], row["group_policies"]) == ("6", GROUP_6[1], GROUP_6[1:])
    assert dropped(made, "loyal, main held", "retention") == [(GROUP_6[0], "held")]


def test_a_group_of_which_everything_is_held_is_no_offer(made):
    row = of(made, "loyal, all held")
    assert (row["policy_group"], row["main_policy"], row["group_policies"]) == (None, None, [])
    assert dropped(made, "loyal, all held", "retention") == [(policy, "held") for policy in GROUP_6]
    assert "retention" not in row["target_lists"]


def test_a_service_that_is_held_is_not_offered_again(made):
    assert "NEWSPAPER_TRIAL" not in of(made, "reader")["new_services"] and "NEWSPAPER_TRIAL" in of(made, "new reader")["new_services"]
    assert dropped(made, "reader", "new_service") == [("NEWSPAPER_TRIAL", "held")]
    assert "FETION_START" in of(made, "reader")["new_services"], "used, but not held"


def test_whom_the_retrieval_matrix_leaves_out_gets_nothing_of_that_goal_and_a_row_why(made):
    row = of(made, "suspended")
    assert (row["main_policy"], row["new_services"], row["vpn_policy"], row["target_lists"]) == (None, [], None, {})
    assert dropped(made, "suspended", "retention") == [(policy, "not_retrieved") for policy in GROUP_6]
    assert dropped(made, "suspended", "virtual_network") == [("VPN_FAMILY", "not_retrieved")]
    assert dropped(made, "leaving", "new_service") == [("FETION_START", "not_retrieved"), ("RING_BACK_TONE_START", "not_retrieved")]


def test_a_policy_that_two_rules_propose_is_one_candidate_of_the_first(made):
    row = of(made, "fading")
    assert row["rules"]["traffic"] == ["use_falls", "light_user"]
    assert row["traffic_policies"] == ["CALL_MORE_BONUS", "LOCAL_MINUTES"]


def test_exclusions_have_a_unique_key(made):
    keys = [tuple(row[c] for c in EXCLUSION.key) for row in made[1]]
    assert len(keys) > 5 and len(set(keys)) == len(keys)


def test_the_wording_is_that_of_the_first_offer_by_priority(made):
    policies = shipped().policies
    new_reader = of(made, "new reader")
    assert new_reader["priority"][0] == "new_service"
    assert new_reader["wording"] == policies["NEWSPAPER_TRIAL"].wording
    fading = of(made, "fading")
    assert fading["priority"][0] == "traffic" and fading["wording"] == policies["CALL_MORE_BONUS"].wording
    assert of(made, "circle")["wording"] == policies["VPN_FAMILY"].wording, "nothing else to offer"
    leaving = of(made, "leaving")
    assert leaving["priority"][:2] == ["traffic", "retention"] and leaving["wording"] == policies["PREPAY_30_GET_45"].wording


def test_target_lists_say_how_each_goal_with_an_offer_is_matched(made):
    assert of(made, "loyal")["target_lists"] == {"retention": "one-to-one", "new_service": "one-to-one"}
    assert of(made, "fading")["target_lists"] == {"retention": "mass", "traffic": "mass", "new_service": "mass"}
    assert of(made, "circle")["target_lists"] == {"virtual_network": "mass"}


def test_reasons_carry_the_customers_own_values(made):
    reasons = of(made, "new reader")["reasons"]
    assert "Very likely to take the mobile newspaper (41.26); Of mid value: free and trial services that tie" in reasons
    assert "30 months with us and likely to stay: thanks instead of a discount" in reasons
    assert "40 months with us, ARPU 120, return rate of three quarters 90" in of(made, "loyal")["reasons"]
    assert any(reason.startswith("Minutes fall by -25.5 a month; Only 40 minutes") for reason in of(made, "fading")["reasons"])
    assert all("{" not in reason for row in made[0] for reason in row["reasons"])


def test_a_value_that_is_not_there_is_told_as_unknown(made):
    assert "Of high value and likely to leave (churn unknown): the strongest offer" in of(made, "leaving, score unknown")["reasons"]


def test_rules_and_versions_tell_how_the_row_was_made(made):
    row = of(made, "loyal")
    assert row["rules"]["core_retention"] == ["loyal_mid_arpu"] and row["rules"]["retrieval_retention"] == ["worth_it"]
    assert row["matrix_versions"] == {m.name: m.version for m in shipped().matrices}
    assert of(made, "new reader")["model_versions"] == {"newspaper_response": "7"} and row["value_grade"] == "high"


def test_offers_stand_in_order_with_the_rule_that_proposed_each_and_the_second_is_the_runner_up(made):
    """New services come first for the new reader; the best of them leads, the next one of the same goal lost by a rank."""
    row = of(made, "new reader")
    assert [o["policy_id"] for o in row["offers"]] == [*row["new_services"], *row["traffic_policies"], *row["group_policies"]]
    first, second = row["offers"][:2]
    assert (first["goal"], first["goal_place"], first["matrix"], first["rule"]) == ("new_service", 1, "new_service", "newspaper_likely")
    assert row["runner_up"].asDict() == {"policy_id": second["policy_id"], "goal": "new_service", "goals_behind": 0, "ranks_behind": 1}
    assert of(made, "circle")["runner_up"] is None and [o["goal_place"] for o in of(made, "circle")["offers"]] == [4], "it has no place in the order"
    assert of(made, "nobody")["offers"] == [] and of(made, "nobody")["runner_up"] is None


def test_a_runner_up_of_another_goal_lost_by_places_of_its_goal(made):
    row = of(made, "leaving")
    assert row["priority"] == ["traffic", "retention", "new_service"]
    goals = [offer["goal"] for offer in row["offers"]]
    assert goals == sorted(goals, key=row["priority"].index) and [o["goal_place"] for o in row["offers"]] == [row["priority"].index(g) + 1 for g in goals]
    if len(goals) > 1 and goals[0] != goals[1]:
        assert row["runner_up"]["goals_behind"] == row["offers"][1]["goal_place"] - row["offers"][0]["goal_place"] and row["runner_up"]["ranks_behind"] is None


def test_each_row_has_the_values_that_its_rules_asked_for_exactly(made):
    row = of(made, "loyal")
    asked = {c for m in shipped().matrices for r in m.rules if r.name in row["rules"].get(m.name, []) for c in r.tests}
    assert set(row["rule_values"]) == asked >= {"tenure_months", "return_rate_3q", "arpu_yuan"}
    assert (row["rule_values"]["arpu_yuan"], row["rule_values"]["return_rate_3q"]) == ("120.00", "90.0")
    assert of(made, "nobody")["rule_values"].keys() <= {c for m in shipped().matrices for c in m.tested_columns}


def test_every_candidate_is_chosen_or_excluded(made):
    for row in made[0]:
        chosen = len(row["group_policies"]) + len(row["new_services"]) + len(row["traffic_policies"]) + (row["vpn_policy"] is not None)
        excluded = sum(r["user_id"] == row["user_id"] for r in made[1])
        assert sum(row["candidates"].values()) == chosen + excluded, row["user_id"]
    assert of(made, "loyal, all held")["candidates"]["retention"] == 3


SEVERAL_YML = """
question: Which policy?
goal: {goal}
hit_policy: RULE ORDER
inputs: {{tenure_months: number}}
outputs: {{policies: policy_list}}
"""


def test_what_a_silent_rule_proposed_and_what_only_one_may_have_is_excluded_too(spark, tmp_path):
    """Of two retention rules that fire the first speaks; of three VPN policies one is offered."""
    folder = planners_folder(tmp_path / "conf")
    keep = f'first,> 1,{GROUP_6[0]}\nsecond,> 2,"{GROUP_6[0]}, {GROUP_6[1]}"'
    rows = {"retention": keep, "virtual_network": 'all,> 1,"VPN_FAMILY, VPN_GROUP, VPN_ROAMING_ADD_ON"'}
    for goal, rules in rows.items():
        write_matrix(folder, goal, f"rule,tenure_months,policies\n{rules}\n", SEVERAL_YML.format(goal=goal))
    matrices = read_matrices(folder)
    compiled = compile_all(matrices)
    person = {"user_id": "a", "tenure_months": 5, "bundle_policies": ["VPN_FAMILY"]}
    decided = decide(customers(spark, person), compiled, matrices.policies, "2025-03").persist()
    (row,) = recommendations(decided, compiled, "set 1").collect()
    assert (row["group_policies"], row["vpn_policy"]) == ([GROUP_6[0]], "VPN_GROUP")
    assert {k: n for k, n in row["candidates"].items() if n} == {"retention": 2, "virtual_network": 3}
    assert sorted((r["policy_id"], r["rule"], r["stage"], r["reason"]) for r in exclusions(decided).collect()) == [
        (GROUP_6[1], "second", "matrices", "another_rule"),
        ("VPN_FAMILY", "all", "eligibility", "held"),
        ("VPN_ROAMING_ADD_ON", "all", "matrices", "outranked"),
    ]


def test_each_offer_tells_what_moved_the_scores_it_rests_on(spark):
    """The newspaper's rule tests its response, which is its chance too; retention is worth what churn says; nothing offered rests on credit risk."""
    people = with_derived(customers(spark, *({"user_id": name, **ROWS[name]} for name in ("new reader", "loyal"))), shipped())
    told = {"churn": ["lowered by tenure months", "raised by peers"], "newspaper_response": ["raised by newspaper uses"], "credit_risk": ["raised by arpu yuan"]}
    kind = "map<string,array<string>>"
    compiled, choosing = compile_all(shipped()), load_settings(CONF, "demo").choosing
    decided = decide(people.withColumn("drivers", F.from_json(F.lit(json.dumps(told)), kind)), compiled, shipped().policies, "2025-03", (), choosing)
    found = {row["user_id"]: row for row in recommendations(decided, compiled, "set 1").collect()}
    of_churn = ["churn lowered by tenure months", "churn raised by peers"]
    assert found["loyal"]["group_policies"] == GROUP_6 and "NEWSPAPER_TRIAL" in found["new reader"]["new_services"]
    assert {p: found["loyal"]["score_drivers"][p] for p in GROUP_6} == dict.fromkeys(GROUP_6, of_churn)
    assert found["new reader"]["score_drivers"]["NEWSPAPER_TRIAL"] == ["newspaper response raised by newspaper uses"]
    told_of = {policy for row in found.values() for policy in row["score_drivers"]}
    assert told_of <= {o["policy_id"] for row in found.values() for o in row["offers"]}
    assert not any("credit" in text for row in found.values() for texts in row["score_drivers"].values() for text in texts)


def test_a_candidate_that_is_neither_chosen_nor_excluded_is_found_and_so_is_one_that_is_both(spark):
    chosen = {"group_policies": ["P", "Q"], "new_services": [], "traffic_policies": ["T"], "vpn_policy": "V"}
    people = {"fine": (3, 1), "lost": (4, 1), "both": (2, 1)}  # retention candidates, traffic candidates
    recommended = rows_of(
        spark, RECOMMENDATION,
        *({"user_id": u, **chosen, "candidates": {"retention": r, "traffic": t, "virtual_network": 1}} for u, (r, t) in people.items()),
        {"user_id": "none", "group_policies": [], "new_services": [], "traffic_policies": [], "candidates": {}},
    )  # fmt: skip
    excluded = rows_of(spark, EXCLUSION, *({"user_id": u, "goal": "retention", "policy_id": "R"} for u in ("fine", "lost", "both")))
    found = {row["user_id"]: (row["retention"], row["traffic"], row["virtual_network"]) for row in unreconciled(recommended, excluded).collect()}
    assert found == {"lost": (1, 0, 0), "both": (-1, 0, 0)}


def test_a_policy_must_be_valid_on_a_day_of_the_month_in_which_is_contacted(spark):
    policies = dict(shipped().policies)
    policies[GROUP_6[0]] = replace(policies[GROUP_6[0]], valid_from=date(2025, 5, 1))
    policies[GROUP_6[1]] = replace(policies[GROUP_6[1]], valid_to=date(2025, 3, 31))
    policies[GROUP_6[2]] = replace(policies[GROUP_6[2]], valid_from=date(2025, 4, 30), valid_to=date(2025, 4, 30))
    retention = compile_all(replace(shipped(), matrices=tuple(m for m in shipped().matrices if m.name == "core_retention")))
    decided = decide(customers(spark, {"user_id": "a", **LOYAL}), retention, policies, "2025-03")
    (made,) = recommendations(decided, retention, "set 1").collect()
    assert (made["main_policy"], made["group_policies"]) == (GROUP_6[2], [GROUP_6[2]])
    assert {(r["policy_id"], r["reason"]) for r in exclusions(decided).collect()} == {(GROUP_6[0], "not_yet_valid"), (GROUP_6[1], "expired")}


def test_all_matrices_together_are_one_broadcast_join_each_and_no_shuffle(spark):
    compiled = compile_all(shipped())
    people = with_derived(customers(spark, {"user_id": "a", **LOYAL}), shipped())
    plan = executed_plan(recommendations(decide(people, compiled, shipped().policies, "2025-03"), compiled, "set 1"))
    joined = sum(not one.masks for one in compiled)
    assert joined >= len(compiled) - 1, "the needs are matched by bits, without any join"
    assert plan.count("BroadcastHashJoin") == plan.count("BroadcastExchange") == joined
    assert plan.count("Exchange") == joined, "broadcasts only"
    assert not [operator for operator in SLOW_OPERATORS if operator in plan]


# --- the decision input ---


def rows_of(spark, table, *rows):
    place = {"city": "NINGBO", "month": "2025-03"}
    return literal_frame(spark, [tuple({**place, **row}.get(c) for c in table.columns) for row in rows], table.struct)


def test_the_decision_input_puts_scores_grades_and_groups_beside_the_view(spark):
    view = rows_of(spark, CUSTOMER_VIEW, {"user_id": "a", "return_rate_3q": 90.0, "return_rate_3q_min": 70.0}, {"user_id": "b"})
    index = rows_of(
        spark, PERSONAL_INDEX,
        {"user_id": "a", "value": 61.5, "value_grade": "high", "scores": {"churn": 12.0}, "grades": {"churn": "safe"},
         "groups": {"traffic_group": "local talker", "customer_class": "thrifty"}, "model_versions": {"churn": "2"}},
    )  # fmt: skip
    each = replace(shipped(), settings=DecisionSettings(return_rate_3q="each"))
    mean, lowest = (decision_input(view, index, MODELS, GROUPS, matrices) for matrices in (shipped(), each))
    asked = (
        "user_id",
        "value",
        "value_grade",
        "churn_score",
        "churn_grade",
        "anomaly_grade",
        "traffic_group",
        "customer_class",
        "return_rate_3q",
    )
    assert [tuple(r) for r in mean.select(*asked).orderBy("user_id").collect()] == [
        ("a", 61.5, "high", 12.0, "safe", None, "local talker", "thrifty", 90.0),
        ("b", None, None, None, None, None, None, None, None),
    ]
    assert lowest.where("user_id = 'a'").first()["return_rate_3q"] == 70.0
    assert available_columns(mean, ["value", "churn_score", "anomaly_grade", "uses_mobile_internet"]) == {"value", "churn_score"}


def test_what_is_available_is_judged_over_all_cities_whichever_are_run(spark):
    """NINGBO alone has no value grade: a run of NINGBO compiles the same cells as a run of the province."""
    here, elsewhere = {"city": "NINGBO", "user_id": "a", "tenure_months": 30}, {"city": "JINHUA", "user_id": "b"}
    frames = {
        CUSTOMER_VIEW.name: rows_of(spark, CUSTOMER_VIEW, here, elsewhere),
        PERSONAL_INDEX.name: rows_of(spark, PERSONAL_INDEX, {**elsewhere, "value_grade": "low"}),
    }
    told, written, kept = [], {}, []

    def read(table, all_cities=False):
        return frames[table.name] if all_cities else frames[table.name].where("city = 'NINGBO'")

    def write(frame, table, cities=None):
        frames[table.name] = frame
        written[table.name] = frame.collect()

    job = SimpleNamespace(
        config=load_settings(CONF, "demo"), month="2025-03", cities=("NINGBO",), log=logging.getLogger("test"), read=read, write=write,
        cover=lambda kind, subject, *_: told.append(subject), spark=spark, run_id="r", append=lambda frame, _: kept.extend(frame.collect()), checked=set(),
    )  # fmt: skip
    for name in ("compile_matrices", "recommend"):
        load_job(name).run(job)
    assert "priority.low" not in told and "priority.leaving_low" in told, "value grades there are, churn grades there are none"
    assert "low" in {hit["rule"] for cell in written["matrix_cell"] if cell["matrix"] == "priority" for hit in cell["hits"]}
    assert [row["user_id"] for row in written["recommendation"]] == ["a"]
    (history,) = kept
    assert history["skipped_rules"] == sorted(told) and written["recommendation"][0]["matrix_set"] == history["matrix_set"]


@pytest.mark.parametrize("name", ["compile_matrices", "recommend", "choose"])
def test_a_job_that_runs_alone_is_stopped_by_what_the_linter_calls_an_error(monkeypatch, caplog, name):
    found = [Finding("error", "priority", ("low",), "never answers"), Finding("warning", "priority", ("core",), "is odd")]
    monkeypatch.setattr("crm_spark.matrix_sets.lint", lambda matrices, day: found)
    config = load_settings(CONF, "demo")
    job = SimpleNamespace(config=config, month="2025-03", cities=None, log=logging.getLogger("test"), checked=set())  # it can read nothing
    with pytest.raises(ConfigError, match=r"error: priority \(low\): never answers") as stopped:
        load_job(name).run(job)
    assert len(stopped.value.problems) == 1 and "warning: priority (core): is odd" in caplog.text


def test_a_column_of_nan_alone_is_not_available(frame):
    people = frame("a double, b double, c string", (float("nan"), 1.0, None), (None, float("nan"), None))
    assert available_columns(people, ["a", "b", "c"]) == {"b"}
    assert available_columns(people, []) == frozenset()


def test_derived_columns_that_do_not_hold_are_refused_before_data_is_read(spark):
    empty = spark.createDataFrame([], T.StructType([T.StructField("arpu_yuan", T.DecimalType(18, 2))]))
    matrices = shipped()
    derived = {
        "ratio": DerivedSpec("arpu_yuan / arpu_prior", "number"),
        "spends": DerivedSpec("arpu_yuan > 10", "number"),
        "fine": DerivedSpec("arpu_yuan > 10", "boolean"),
    }
    broken = replace(matrices, matrices=(replace(matrices.matrices[0], derived=derived),))
    with pytest.raises(ConfigError) as error:
        with_derived(empty, broken)
    assert len(error.value.problems) == 2
    yml = matrices.matrices[0].path
    assert error.value.problems[0].startswith(f"{yml}: derived.ratio: ") and "arpu_prior" in error.value.problems[0]
    assert error.value.problems[1] == f"{yml}: derived.spends: declared number, its SQL gives boolean"
