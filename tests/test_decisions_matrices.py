"""The shipped matrices against the text of domain.md §8: the five worked examples through the whole decision, and who is reached with few columns."""

from collections import Counter
from decimal import Decimal
from itertools import product

import pytest
from pyspark.sql import functions as F

from crm_spark.decisions.compile import compile_all, compile_matrix
from crm_spark.decisions.inputs import available_columns, with_derived
from crm_spark.decisions.match import match
from crm_spark.decisions.recommend import decide, exclusions, recommendations
from tests.decision_support import customers, shipped

D = Decimal
NEW_LOW_ARPU = {"tenure_months": 11, "return_rate": 86.5, "arpu_yuan": D("29.99")}
LOYAL_MID_ARPU = {"tenure_months": 13, "return_rate_3q": 86.5, "arpu_yuan": D("100")}
TIED = {"stickiness_grade": "high", "anomaly_grade": "not_anomalous", "value_grade": "mid-high", "bundle_none_or_ending": True}
FROM_ANHUI = {"traffic_group": "incoming from other provinces", "top_long_distance_province": "Anhui"}
MIGRANT = {"traffic_group": "migrant worker, mid-range", "long_distance_unit_price_yuan": 0.26, "long_distance_minutes": 20.0}
GRADES = {"high": {"value_grade": "high"}, "mid-high": {"value_grade": "mid-high"}, "mid": {"value_grade": "mid"}, "low": {"value_grade": "low"}, "no": {}}
CORE = ("high", "mid-high")

OF_ANY_GRADE = {
    "new": NEW_LOW_ARPU, "new at 100": {**NEW_LOW_ARPU, "return_rate": 100.0},
    "new in a bundle": {**NEW_LOW_ARPU, "bundle_none_or_ending": False}, "new and leaving": {**NEW_LOW_ARPU, "churn_grade": "at_risk"},
    "new in debt": {**NEW_LOW_ARPU, "return_rate_3q": 5.0, "arrears_yuan": D("200")},
    "new at 86": {**NEW_LOW_ARPU, "return_rate": 86.0}, "new of a year": {**NEW_LOW_ARPU, "tenure_months": 12},
    "new of 30 yuan": {**NEW_LOW_ARPU, "arpu_yuan": D("30")}, "new without return rate": {**NEW_LOW_ARPU, "return_rate": None},
    "loyal": LOYAL_MID_ARPU, "loyal below 150": {**LOYAL_MID_ARPU, "arpu_yuan": D("149.99")},
    "loyal in a bundle": {**LOYAL_MID_ARPU, "bundle_none_or_ending": False}, "loyal and leaving": {**LOYAL_MID_ARPU, "churn_grade": "at_risk"},
    "loyal of a poor month": {**LOYAL_MID_ARPU, "return_rate": 0.0},
    "loyal at 150": {**LOYAL_MID_ARPU, "arpu_yuan": D("150")}, "loyal below 100": {**LOYAL_MID_ARPU, "arpu_yuan": D("99.99")},
    "loyal at 86": {**LOYAL_MID_ARPU, "return_rate_3q": 86.0}, "loyal of a year": {**LOYAL_MID_ARPU, "tenure_months": 12},
}  # fmt: skip
ROWS = {
    **{f"{name}, {grade} value": {**row, **of} for name, row in OF_ANY_GRADE.items() for grade, of in GRADES.items()},
    "tied": TIED, "tied and high": {**TIED, "value_grade": "high"}, "tied of mid value": {**TIED, "value_grade": "mid"},
    "tied at a loss": {**TIED, "return_rate": 5.0, "return_rate_3q": 5.0, "arrears_yuan": D("200")}, "tied and leaving": {**TIED, "churn_grade": "at_risk"},
    "tied but bundled": {**TIED, "bundle_none_or_ending": False}, "tied but anomalous": {**TIED, "anomaly_grade": "anomalous"},
    "less tied": {**TIED, "stickiness_grade": "mid"}, "tied, anomaly unknown": {**TIED, "anomaly_grade": None},
    "anhui": FROM_ANHUI, "jiangxi": {**FROM_ANHUI, "top_long_distance_province": "Jiangxi"}, "anhui at a loss": {**FROM_ANHUI, "value_grade": "low",
    "return_rate": 5.0, "return_rate_3q": 5.0},
    "local anhui": {**FROM_ANHUI, "traffic_group": "local talker"}, "from nowhere": {**FROM_ANHUI, "top_long_distance_province": None},
    "migrant": MIGRANT, "migrant at 0.25": {**MIGRANT, "long_distance_unit_price_yuan": 0.25}, "migrant in debt": {**MIGRANT, "value_grade": "low",
    "arrears_yuan": D("200")},
    "migrant of high MOU": {**MIGRANT, "long_distance_minutes": 400.0}, "local migrant": {**MIGRANT, "traffic_group": "local talker"},
}  # fmt: skip


@pytest.fixture(scope="module")
def made(spark):
    """The recommendation of every row, decided with the complete shipped set."""
    people = with_derived(customers(spark, *({"user_id": name, **row} for name, row in ROWS.items())), shipped())
    compiled = compile_all(shipped())
    decided = decide(people, compiled, shipped().policies, "2025-03", shipped().settings.conditions).persist()
    found = {row["user_id"]: row for row in recommendations(decided, compiled, "set 1").collect()}
    assert not exclusions(decided).where("reason = 'another_rule'").head(1), "of no goal do two sheets speak at once"
    decided.unpersist()
    return found


def of_grades(made, name, grades=tuple(GRADES)):
    return {grade: made[f"{name}, {grade} value"] for grade in grades}


def test_a_new_customer_of_low_arpu_and_high_return_rate_prepays_100_and_gets_260(made):
    """tenure < 12 months, 86 < return rate <= 100, ARPU < 30 -> prepay 100, get 260 of calls: of a core customer and of any other."""
    policy = shipped().policies["PREPAY_100_GET_260"]
    assert (policy.prepay_yuan, policy.prepay_yuan + policy.gift_yuan) == (100, 260)
    for name in ("new", "new at 100", "new in a bundle", "new and leaving", "new in debt"):
        for grade, row in of_grades(made, name).items():
            assert row["main_policy"] == "PREPAY_100_GET_260", (name, grade)
    for name in ("new at 86", "new of a year", "new of 30 yuan", "new without return rate"):
        for grade, row in of_grades(made, name).items():
            assert row["main_policy"] != "PREPAY_100_GET_260", (name, grade)


def test_a_loyal_customer_of_middle_arpu_gets_policy_group_6_with_one_of_its_policies_as_main(made):
    """tenure > 12, return rate of three quarters > 86, 100 <= ARPU < 150 -> policy group 6, one of its policies the main one."""
    members = {p.policy_id for p in shipped().policies.values() if p.group == "6"}
    for name in ("loyal", "loyal below 150", "loyal in a bundle", "loyal and leaving", "loyal of a poor month"):
        for grade, row in of_grades(made, name).items():
            assert row["policy_group"] == "6" and {*row["group_policies"]} == members and row["main_policy"] in members, (name, grade)
    for name in ("loyal at 150", "loyal below 100", "loyal at 86", "loyal of a year"):
        for grade, row in of_grades(made, name).items():
            assert row["policy_group"] != "6", (name, grade)


def test_core_customers_and_the_whole_base_have_each_their_own_sheet(made):
    for name in OF_ANY_GRADE:
        for grade, row in of_grades(made, name).items():
            sheet, other = ("core_retention", "retention") if grade in CORE else ("retention", "core_retention")
            assert row["rules"].get(other, ["default"]) == ["default"], (name, grade)
            assert row["main_policy"] is None or row["rules"][sheet] != ["default"], (name, grade)


def test_a_tied_valuable_customer_without_a_lasting_bundle_gets_retention_first_with_a_value_bundle(made):
    """high stickiness, no anomaly, mid-high value and up, no bundle or one that ends -> retention, then traffic, then new services."""
    policies = shipped().policies
    for name in ("tied", "tied and high", "tied at a loss", "tied and leaving"):
        assert made[name]["priority"] == ["retention", "traffic", "new_service"], name
        assert policies[made[name]["main_policy"]].family == "value bundle" and made[name]["offers"][0]["policy_id"] == made[name]["main_policy"], name
    for name in ("tied of mid value", "tied but bundled", "tied but anomalous", "less tied", "tied, anomaly unknown"):
        assert made[name]["priority"] != ["retention", "traffic", "new_service"], name


def test_who_is_called_from_other_provinces_and_calls_anhui_most_gets_the_anhui_pack(made):
    """traffic group 'incoming from other provinces' and top long-distance peer province Anhui -> Anhui long-distance pack."""
    assert made["anhui"]["traffic_policies"] == made["anhui at a loss"]["traffic_policies"] == ["LD_PACK_ANHUI"]
    assert made["jiangxi"]["traffic_policies"] == ["LD_PACK_JIANGXI"]
    assert made["local anhui"]["traffic_policies"] == made["from nowhere"]["traffic_policies"] == []


def test_a_migrant_worker_who_pays_dearly_for_few_minutes_gets_the_long_distance_pack(made):
    """migrant-worker mid-range group, unit price > 0.25 yuan/min and long-distance MOU not high -> long-distance pack."""
    assert made["migrant"]["traffic_policies"] == made["migrant in debt"]["traffic_policies"] == ["LONG_DISTANCE_PACK"]
    for name in ("migrant at 0.25", "migrant of high MOU", "local migrant"):
        assert made[name]["traffic_policies"] == [], name


def test_groups_are_offered_with_the_strongest_discount_behind_the_main_policy(made):
    policies = shipped().policies
    checked = 0
    for name, row in made.items():
        main, *others = row["group_policies"] or [None]
        assert main == row["main_policy"], name
        strengths = [policies[p].discount_strength for p in others]
        assert strengths == sorted(strengths, reverse=True), name
        checked += len(others) > 1
    assert checked > 10


def test_whom_a_bundle_holds_for_long_is_not_offered_another_one(spark):
    """Locked in: a class 0/1 bundle with more than three months left. The worked examples, which say nothing of bundles, stand above."""
    grades = {"value_grade": ["high", "mid-high", "mid", "low", None], "churn_grade": ["at_risk", "safe", None], "tenure_months": [3, 12, 20, 60, None]}
    rows = [dict(zip(grades, values, strict=True)) for values in product(*grades.values())]
    people = customers(spark, *({"user_id": str(n), "bundle_none_or_ending": False, "arpu_yuan": D("60"), **row} for n, row in enumerate(rows)))
    compiled = compile_all(shipped())
    found = recommendations(decide(with_derived(people, shipped()), compiled, shipped().policies, "2025-03"), compiled, "set 1").collect()
    proposed = {policy for row in found for policy in row["group_policies"]}
    assert len(found) == len(rows) and all(row["main_policy"] for row in found) and all(shipped().policies[p].bundle_class is None for p in proposed), proposed
    assert {shipped().policies[p].family for p in proposed} == {"sticky product", "loyalty"}


def some_operator(spark, churn):
    """1,000 customers with a value grade, churn, ARPU and tenure and nothing else; grades in the domain's shares."""
    n = F.col("id")
    grade = F.when(n < 100, "high").when(n < 300, "mid-high").when(n < 900, "mid").otherwise("low")
    at_risk = F.when(n * 7919 % 10 < 3, "at_risk").otherwise("safe") if churn else F.lit(None).cast("string")
    measured = {
        "value_grade": grade,
        "churn_grade": at_risk,
        "tenure_months": (n * 31 % 70).cast("int"),
        "arpu_yuan": (n * 17 % 300).cast("decimal(18,2)"),
    }
    return customers(spark, {}).crossJoin(spark.range(1000)).withColumns(measured)


@pytest.mark.parametrize("churn", [True, False], ids=["with a churn champion", "without one"])
def test_an_operator_with_few_columns_is_still_told_apart(spark, churn):
    """Value grade, churn, ARPU and tenure only: >= 90 % have a priority of their own, >= 3 main policies, none above 60 %."""
    people = with_derived(some_operator(spark, churn), shipped())
    matrices = shipped()
    available = available_columns(people, matrices.tested_columns)
    assert available == {"value_grade", "tenure_months", "arpu_yuan"} | ({"churn_grade"} if churn else set())
    usable = [m for m in matrices.usable(available)[0].matrices if m.name in ("priority", "core_retention", "retention")]
    matched = people
    for matrix in usable:
        matched = match(matched, compile_matrix(matrix), f"hits_{matrix.name}")
    found = matched.select(
        F.col("hits_priority")[0]["rule"].alias("priority"),
        F.coalesce(*(F.get(f"hits_{sheet}", F.lit(0))["outputs"]["main_policy"] for sheet in ("core_retention", "retention"))).alias("main"),
    ).collect()
    assert sum(row["priority"] != "default" for row in found) >= 900
    mains = Counter(row["main"] for row in found)
    assert None not in mains and len(mains) >= 3 and max(mains.values()) <= 600, mains
