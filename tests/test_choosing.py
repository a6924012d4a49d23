"""From offers to one offer: configuration told in full, limits spread out, and every candidate either chosen or told why not."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from datetime import date

import pytest
from pyspark.sql import functions as F

from crm_spark.config.choosing import Campaign, Hours, Limit, load_choosing
from crm_spark.config.settings import load_settings
from crm_spark.decisions.allocation import Effort, allocate
from crm_spark.decisions.capacity import Customers, allotted
from crm_spark.decisions.choosing import Plans, check_expressions, choice_exclusions, choice_rows, choices, judged_candidates, packed
from crm_spark.decisions.contact import contacts_by_person
from crm_spark.decisions.limits import capacities, space
from crm_spark.errors import ConfigError
from crm_spark.tables.decision import CHOICE, EXCLUSION
from crm_spark.tables.raw import CONTACT_CONSENT
from tests.decision_support import CONF, customers

MODELS = ("newspaper_response", "ring_tone_silent", "ring_tone_change")


@pytest.fixture(scope="module")
def shipped():
    return load_settings(CONF, "demo")


def test_every_mistake_in_the_file_is_told_at_once(tmp_path, shipped):
    shutil.copy(CONF / "choosing.yml", tmp_path)
    (tmp_path / "sources/x").mkdir(parents=True)
    (tmp_path / "sources/x/choosing.yml").write_text(
        "propensities: {NEWSPAPER_TRAIL: newspaper_response, FETION_START: fetion}\n"
        "weights: {levers: {retension: 5}}\n"
        "limits: [{name: a, most: 5, channels: [smss]}, {name: a, most: 1, groups: ['77']}]\n"
        "contact: {caps: [{most: 1, days: 7, channel: fax}]}\n"
    )
    with pytest.raises(ConfigError) as told:
        load_choosing(tmp_path, "x", shipped.matrices.policies, MODELS)
    text = "\n".join(told.value.problems)
    for part in ("'NEWSPAPER_TRAIL' (did you mean 'NEWSPAPER_TRIAL'?)", "unknown models 'fetion'", "'retension'", "'smss' (did you mean 'sms'?)", "'77'",
                 "unknown channels 'fax'", "'a' stands twice"):  # fmt: skip
        assert part in text, part


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: Hours("9:00", "20:00"), "no time of the day"),
        (lambda: Hours("20:00", "09:00"), "must lie before"),
        (lambda: Limit("x"), "`most` or `least` is wanted"),
        (lambda: Limit("x", most=1, least=2), "0 <= least <= most"),
        (lambda: Campaign(("A",), 1.0), "from 0 to below 1"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(made, told):
    with pytest.raises(ValueError, match=told):
        made()


def test_sql_that_does_not_hold_is_told_with_its_place(spark, shipped):
    broken = replace(shipped.choosing, contact=replace(shipped.choosing.contact, never={"poor": "arpu < 5", "rich": "arpu_yuan"}))
    people = customers(spark, {"user_id": "a"})
    check_expressions(people, replace(shipped.choosing, contact=replace(shipped.choosing.contact, never={})))
    with pytest.raises(ConfigError) as error:
        check_expressions(people, broken)
    assert [p.split(": ")[1] for p in error.value.problems] == ["contact.never.poor", "contact.never.rich"]


def test_a_limit_is_spread_over_what_it_is_for(shipped):
    policies = {p: shipped.matrices.policies[p] for p in ("NEWSPAPER_TRIAL", "VPN_GROUP")}
    limits = (
        Limit("agents", most=3, per=("city", "day"), channels=("outbound",)),
        Limit("goals", least=1, per=("goal",)),
        Limit("budget", most=9.5, unit="yuan", cities=("A",)),
    )
    options = space(["B", "A"], policies, ["sms", "outbound"], ["2025-04-01", "2025-04-02"], limits)
    assert options.shape == (2, 2, 2, 3)
    made, named = capacities(limits, options)
    assert [(n.limit.name, n.of) for n in named] == [
        ("agents", "A / 2025-04-01"), ("agents", "A / 2025-04-02"), ("agents", "B / 2025-04-01"), ("agents", "B / 2025-04-02"),
        ("goals", "new_service"), ("goals", "virtual_network"), ("budget", ""),
    ]  # fmt: skip
    city, policy, channel, day = 1, 0, 0, 2  # B, NEWSPAPER_TRIAL, outbound, the second day
    number = ((city * 2 + policy) * 2 + channel) * 3 + day
    assert [int(f.of[number]) for f in made.families] == [3, 0, -1]
    assert list(made.most) == [3, 3, 3, 3, float("inf"), float("inf"), 95_000] and list(made.least)[4:6] == [1, 1]


def test_the_number_of_an_option_is_its_place_among_the_names(frame, shipped):
    policies = {p: shipped.matrices.policies[p] for p in ("NEWSPAPER_TRIAL", "VPN_GROUP")}
    options = space(["B", "A"], policies, ["sms", "hall"], ["2025-04-01"], (Limit("x", most=1, per=("day",)),))
    rows = frame("c string, p string, h string, d date", ("B", "VPN_GROUP", "sms", date(2025, 4, 1)), ("A", "NEWSPAPER_TRIAL", "hall", None))
    numbers = [row[0] for row in rows.select(options.number(F.col("c"), F.col("p"), F.col("h"), F.col("d"))).collect()]
    names = [[str(options.names(dimension)[n]) for dimension in ("city", "policy", "channel", "day")] for n in numbers]
    assert names == [["B", "VPN_GROUP", "sms", "2025-04-01"], ["A", "NEWSPAPER_TRIAL", "hall", ""]]


# --- from end to end ---

PEOPLE = {
    "plain": {"newspaper_response_score": 30.0},
    "second number": {"person_id": "plain", "newspaper_response_score": 20.0},
    "no consent": {"consent_marketing": False},
    "child": {"age_years": 12},
    "tired": {},
    "refused the paper": {},
    "reader": {"newspaper_response_score": 60.0},
    "unvalued": {},
}
OFFERED = {name: ["NEWSPAPER_TRIAL", "FETION_START"] for name in PEOPLE} | {"unvalued": ["VPN_GROUP"]}
HISTORY = [
    ("tired", date(2025, 3, 25), "refused", "X"),
    ("tired", date(2025, 3, 31), "refused", "X"),
    ("refused the paper", date(2025, 2, 1), "refused", "NEWSPAPER_TRIAL"),
]


@pytest.fixture(scope="module")
def made(spark, shipped):
    """(choices by customer, exclusions by customer) of the literal people, with two newspapers to give."""
    choosing = replace(shipped.choosing, holdout=replace(shipped.choosing.holdout, universal_share=0.0, explore_share=0.0), campaigns={})
    plans = Plans("2025-03", replace(choosing, contact=replace(choosing.contact, caps=())), shipped.matrices.policies, True)
    rows = [{"user_id": name, "person_id": name, "consent_marketing": True, **row} for name, row in PEOPLE.items()]
    people = customers(spark, *rows).withColumns({"priority": F.expr("array('new_service', 'traffic', 'retention')"), "ext_complaints": F.lit(0)})
    goals = {p.policy_id: p.goal for p in shipped.matrices.policies.values()}
    offers = spark.createDataFrame(
        [("HANGZHOU", "2025-03", name, goals[p], p, rank, "m", "r") for name, found in OFFERED.items() for rank, p in enumerate(found, 1)],
        "city string, month string, user_id string, goal string, policy_id string, candidate_rank int, matrix string, rule string",
    )
    history = spark.createDataFrame(
        [(name, None, day, "sms", policy, outcome) for name, day, outcome, policy in HISTORY],
        "user_id string, person_id string, day date, channel string, policy_id string, outcome string",
    )
    contacts = contacts_by_person(history, people.select("user_id", "person_id"), plans.days[0], 180)
    judged = judged_candidates(people, offers, contacts, spark.createDataFrame([], CONTACT_CONSENT.struct), plans).persist()
    limits = (Limit("paper", most=2, policies=("NEWSPAPER_TRIAL",)),)
    options = space(["HANGZHOU"], plans.policies, tuple(choosing.channels), [str(d) for d in plans.days], limits)
    packs = packed(judged, options).coalesce(1).persist()
    allocation = allocate(Customers(packs), capacities(limits, options)[0], Effort(iterations=1, rounds=1))
    chosen = choices(judged, contacts, allotted(packs, allocation), plans).persist()
    told = CHOICE.conform(choice_rows(chosen, plans)).collect(), EXCLUSION.conform(choice_exclusions(chosen)).collect()
    for frame in (judged, packs, chosen):
        frame.unpersist()
    return {row["user_id"]: row for row in told[0]}, told[1]


def why(made, name):
    return {row["policy_id"]: (row["stage"], row["reason"]) for row in made[1] if row["user_id"] == name}


def test_every_customer_has_one_row_and_every_offer_is_chosen_or_told_why_not(made):
    chosen, dropped = made
    assert set(chosen) == set(PEOPLE)
    seen = Counter((row["user_id"], row["policy_id"]) for row in dropped)
    seen.update((name, row["policy_id"]) for name, row in chosen.items() if row["policy_id"])
    assert seen == Counter((name, policy) for name, found in OFFERED.items() for policy in found)


def test_a_scarce_offer_goes_to_whom_it_is_worth_most_and_the_others_have_the_next(made):
    chosen, _ = made
    assert {name for name, row in chosen.items() if row["policy_id"] == "NEWSPAPER_TRIAL"} == {"plain", "reader"}
    row = chosen["reader"]
    assert (row["arm"], row["channel"], row["send_from"], row["send_until"]) == ("target", "sms", "09:00", "20:00")
    assert row["day"].strftime("%Y-%m") == "2025-04" and row["selection_probability"] == 1.0 and row["lost_by"] > 0
    assert why(made, "reader") == {"FETION_START": ("arbitration", "outscored")}
    assert chosen["second number"]["policy_id"] == "FETION_START"
    assert why(made, "second number") == {"NEWSPAPER_TRIAL": ("capacity", "no_room")}


def test_contact_rules_drop_with_their_reason_and_the_counter_is_no_contact(made):
    assert why(made, "child")["NEWSPAPER_TRIAL"] == ("contact", "under_14")
    assert why(made, "refused the paper")["NEWSPAPER_TRIAL"] == ("contact", "refused_before")
    for name in ("no consent", "tired"):
        assert made[0][name]["channel"] in (None, "hall") and made[0][name]["day"] is None
    assert why(made, "unvalued") == {"VPN_GROUP": ("arbitration", "value_unknown")}
