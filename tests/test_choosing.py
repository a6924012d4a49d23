"""From offers to one offer: configuration told in full, limits spread out, and every candidate either chosen or told why not."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from datetime import date, datetime

import pytest
from pyspark.sql import functions as F

from crm_spark.config.choosing import Campaign, Cap, Contact, Holdout, Limit
from crm_spark.config.decisions import Condition, choosing_of, load_decisions
from crm_spark.config.hours import Hours
from crm_spark.config.settings import load_settings
from crm_spark.decisions.choosing import check_expressions
from crm_spark.decisions.limits import capacities, space
from crm_spark.errors import ConfigError
from tests.choice_support import chosen, inputs, offer
from tests.decision_support import CONF, customers

MODELS = ("newspaper_response", "ring_tone_silent", "ring_tone_change")


@pytest.fixture(scope="module")
def shipped():
    return load_settings(CONF, "demo")


def test_every_mistake_in_the_file_is_told_at_once(tmp_path):
    for name in ("choosing.yml", "policies.csv"):
        shutil.copy(CONF / name, tmp_path)
    (tmp_path / "sources/x").mkdir(parents=True)
    (tmp_path / "sources/x/choosing.yml").write_text(
        "propensities: {NEWSPAPER_TRAIL: newspaper_response, FETION_START: fetion}\n"
        "weights: {levers: {retension: 5}}\n"
        "limits: [{name: a, most: 5, channels: [smss]}, {name: a, most: 1, groups: ['77']}]\n"
        "contact: {caps: [{most: 1, days: 7, channel: fax}]}\n"
    )
    with pytest.raises(ConfigError) as told:
        choosing_of(load_decisions(tmp_path, "x"), MODELS)
    text = "\n".join(told.value.problems)
    for part in ("'NEWSPAPER_TRAIL' (did you mean 'NEWSPAPER_TRIAL'?)", "unknown models 'fetion'", "'retension'", "'smss' (did you mean 'sms'?)", "'77'",
                 "unknown channels 'fax'", "'a' stands twice"):  # fmt: skip
        assert part in text, part


@pytest.mark.parametrize(("written", "told"), [
    (None, "choosing.yml: no such file"),
    ("contact: {hours: {begin: '9', end: '20:00'}}\nchanels: {}\n", "chanels: unknown key (did you mean 'channels'?)"),
])  # fmt: skip
def test_a_file_that_is_missing_or_cannot_be_read_stops_every_job_and_is_told_once(tmp_path, written, told):
    for part in ("conf", "mlflow"):
        shutil.copytree(CONF.parent / part, tmp_path / part)
    (tmp_path / "conf/choosing.yml").unlink()
    if written:
        (tmp_path / "conf/choosing.yml").write_text(written)
    with pytest.raises(ConfigError) as error:
        load_settings(tmp_path / "conf", "real-cell2cell")
    assert sum(told in problem for problem in error.value.problems) == 1


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: Hours("9:00", "20:00"), "no time of the day"),
        (lambda: Hours("20:00", "09:00"), "must lie before"),
        (lambda: Limit("x"), "`most` or `least` is wanted"),
        (lambda: Limit("x", most=1, least=2), "0 <= least <= most"),
        (lambda: Campaign(("A",), 1.0), "from 0 to below 1"),
        (lambda: Contact(Hours("09:00", "20:00"), refused_days=-5), "at least 0"),
        (lambda: Contact(Hours("09:00", "20:00"), (Cap(1, 7), Cap(2, 7), Cap(3, 7, "sms"))), "of all channels in 7 days two say how many"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(made, told):
    with pytest.raises(ValueError, match=told):
        made()


def test_sql_that_does_not_hold_is_told_with_its_place(spark, shipped):
    broken = replace(shipped.choosing, contact=replace(shipped.choosing.contact, never={"poor": "arpu < 5", "rich": "arpu_yuan"}))
    people = customers(spark, {"user_id": "a"})
    check_expressions(people, replace(shipped.choosing, contact=replace(shipped.choosing.contact, never={})), shipped.matrices.settings.conditions)
    with pytest.raises(ConfigError) as error:
        check_expressions(people, broken, [Condition("small", "arpu_yuan")])
    places = ["choosing.yml: contact.never.poor", "choosing.yml: contact.never.rich", "decisions.yml: conditions[0].requires"]
    assert [": ".join(p.split(": ")[:2]) for p in error.value.problems] == places


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
    assert list(made.most) == [3, 3, 3, 3, float("inf"), float("inf"), 9_500_000] and list(made.least)[4:6] == [1, 1]


def test_the_number_of_an_option_is_its_place_among_the_names(frame, shipped):
    policies = {p: shipped.matrices.policies[p] for p in ("NEWSPAPER_TRIAL", "VPN_GROUP")}
    options = space(["B", "A"], policies, ["sms", "hall"], ["2025-04-01"], (Limit("x", most=1, per=("day",)),))
    rows = frame("c string, p string, h string, d date", ("B", "VPN_GROUP", "sms", date(2025, 4, 1)), ("A", "NEWSPAPER_TRIAL", "hall", None))
    numbers = [row[0] for row in rows.select(options.number(F.col("c"), F.col("p"), F.col("h"), F.col("d"))).collect()]
    names = [[str(words[places[n]]) for places, words in map(options.codes, ("city", "policy", "channel", "day"))] for n in numbers]
    assert names == [["B", "VPN_GROUP", "sms", "2025-04-01"], ["A", "NEWSPAPER_TRIAL", "hall", ""]]


# --- from end to end ---

PEOPLE = {
    "plain": {"paper": 30.0},
    "second number": {"person_id": "plain", "paper": 20.0},
    "no consent": {"consent_marketing": False},
    "child": {"age_years": 12},
    "tired": {},
    "refused the paper": {},
    "reader": {"paper": 60.0},
    "unvalued": {},
    "complains": {},
    "complained": {},
    "waits long": {},
}
OFFERED = {name: ["NEWSPAPER_TRIAL", "FETION_START"] for name in PEOPLE} | {"unvalued": ["VPN_GROUP"]}
DRIVERS = {"reader": {"NEWSPAPER_TRIAL": ["newspaper response raised by newspaper uses"], "FETION_START": ["stickiness raised by peers"]}, "child": {}}
HISTORY = [
    ("tired", date(2025, 3, 25), "refused", "X"),
    ("tired", date(2025, 3, 31), "refused", "X"),
    ("refused the paper", date(2025, 2, 1), "refused", "NEWSPAPER_TRIAL"),
]
COMPLAINTS = [  # contacts begin on the first of April
    ("complains", {"told_at": datetime(2025, 3, 20, 9, 0)}),
    ("complained", {"told_at": datetime(2025, 3, 20, 9, 0), "settled_on": date(2025, 3, 24)}),
    ("complained", {"told_at": datetime(2025, 2, 1, 9, 0)}),
    ("waits long", {"told_at": datetime(2024, 12, 10, 9, 0), "month": "2024-12", "settled_on": date(2025, 5, 2)}),
]


@pytest.fixture(scope="module")
def made(spark, shipped):
    """(choices by customer, all exclusions, use of capacities) of the literal people, with two newspapers to give, by the job itself."""
    contact = replace(shipped.choosing.contact, caps=())
    choosing = replace(
        shipped.choosing, contact=contact, holdout=Holdout("none"), campaigns={}, limits=(Limit("paper", most=2, policies=("NEWSPAPER_TRIAL",)),)
    )
    told_of = ("consent_marketing", "age_years")
    offers = {n: [offer(shipped, p, rank) for rank, p in enumerate(found, 1)] for n, found in OFFERED.items()}
    old = {"user_id": "plain", "goal": "traffic", "policy_id": "OLD", "stage": "eligibility", "reason": "expired"}
    frames = inputs(
        spark,
        customer_view=[{"user_id": n, "person_id": n, "consent_marketing": True, **{c: row[c] for c in told_of if c in row}} for n, row in PEOPLE.items()],
        personal_index=[{"user_id": n, "scores": {"newspaper_response": p["paper"]}} for n, p in PEOPLE.items() if "paper" in p],
        recommendation=[{"user_id": n, "priority": ["new_service", "traffic", "retention"], "offers": offers[n], "score_drivers": DRIVERS.get(n)} for n in PEOPLE],
        exclusion=[old, {**old, "policy_id": "OLDER", "stage": "capacity"}],
        contact_history=[{"user_id": n, "day": day, "channel": "sms", "policy_id": policy, "outcome": outcome} for n, day, outcome, policy in HISTORY],
        complaint=[{"user_id": n, **complaint} for n, complaint in COMPLAINTS],
    )
    written, told = chosen(spark, replace(shipped, choosing=choosing), frames)
    assert told == ["capacity"], "consent and contacts are told, no minimum is missed"
    assert [row["matrix_set"] for row in written["matrix_history"]] == [shipped.matrices.version], "kept word for word, as no job of the run has before"
    return {row["user_id"]: row for row in written["choice"]}, written["exclusion"], written["capacity_use"]


def why(made, name):
    return {row["policy_id"]: (row["stage"], row["reason"]) for row in made[1] if row["user_id"] == name}


@pytest.mark.slow
def test_every_customer_has_one_row_and_every_offer_is_chosen_or_told_why_not(made):
    choice, dropped, _ = made
    assert set(choice) == set(PEOPLE)
    seen = Counter((row["user_id"], row["policy_id"]) for row in dropped if row["stage"] != "eligibility")
    seen.update((name, row["policy_id"]) for name, row in choice.items() if row["policy_id"])
    assert seen == Counter((name, policy) for name, found in OFFERED.items() for policy in found)


@pytest.mark.slow
def test_a_scarce_offer_goes_to_whom_it_is_worth_most_and_the_others_have_the_next(made):
    choice, _, (paper,) = made
    assert (paper["capacity"], paper["of"], paper["most"], paper["used"]) == ("paper", "", 2.0, 2.0) and paper["price"] > 0
    assert {name for name, row in choice.items() if row["policy_id"] == "NEWSPAPER_TRIAL"} == {"plain", "reader"}
    row = choice["reader"]
    assert (row["arm"], row["channel"], row["send_from"], row["send_until"]) == ("target", "sms", "17:00", "19:00"), "the window of the policy"
    assert row["day"].strftime("%Y-%m") == "2025-04" and row["selection_probability"] == 1.0 and row["lost_by"] > 0
    assert why(made, "reader") == {"FETION_START": ("arbitration", "outscored")}
    assert row["score_drivers"] == ["newspaper response raised by newspaper uses"], "of the offer that was chosen, not of the other"
    assert choice["plain"]["score_drivers"] == [] and choice["child"]["score_drivers"] is None, "nothing is known; no offer"
    assert choice["second number"]["policy_id"] == "FETION_START"
    assert why(made, "second number") == {"NEWSPAPER_TRIAL": ("capacity", "no_room")}


@pytest.mark.slow
def test_what_was_not_eligible_stays_told_and_an_earlier_choice_is_forgotten(made):
    assert why(made, "plain")["OLD"] == ("eligibility", "expired") and "OLDER" not in why(made, "plain")


@pytest.mark.slow
def test_contact_rules_drop_with_their_reason_and_the_counter_is_no_contact(made):
    assert why(made, "child")["NEWSPAPER_TRIAL"] == ("contact", "under_14")
    assert why(made, "refused the paper")["NEWSPAPER_TRIAL"] == ("contact", "refused_before")
    for name in ("no consent", "tired"):
        assert made[0][name]["channel"] in (None, "hall") and made[0][name]["day"] is None
    assert why(made, "complains")["NEWSPAPER_TRIAL"] == ("contact", "complaining") and made[0]["complains"]["policy_id"] is None
    assert made[0]["complained"]["policy_id"], "settled, or long ago"
    assert why(made, "waits long")["NEWSPAPER_TRIAL"] == ("contact", "complaining"), "settled only after contacts begin"
    assert why(made, "unvalued") == {"VPN_GROUP": ("arbitration", "value_unknown")}


@pytest.fixture(scope="module")
def odd(spark, shipped):
    """(choices, exclusions, use of capacities) of people who all explore with one newspaper to give, of one person with two numbers, and of offers
    that nothing can be said of."""
    contact = replace(shipped.choosing.contact, caps=(Cap(1, 60),), never={})
    endless = {**shipped.choosing.worth, "retention": replace(shipped.choosing.worth["retention"], margin_yuan="double('infinity')")}
    choosing = replace(
        shipped.choosing, contact=contact, holdout=Holdout("none", explore_share=0.4), campaigns={}, worth=endless,
        limits=(Limit("paper", most=0, policies=("NEWSPAPER_TRIAL",)), Limit("sms", most=1000, channels=("sms",))),
    )  # fmt: skip
    fetion, paper = offer(shipped, "FETION_START"), offer(shipped, "NEWSPAPER_TRIAL", 2)
    gone = ("traffic", 1, "NO_MORE", 3, "m", "r")
    offers = {
        **{f"anyone {i}": [fetion, paper] for i in range(12)},
        **{f"number {i}": [offer(shipped, "RING_TONE_NEW_HITS"), offer(shipped, "FETION_START", 2)] for i in range(8)},
        "left": [gone, fetion], "endless": [offer(shipped, "PREPAY_100_GET_260"), fetion],
    }  # fmt: skip
    frames = inputs(
        spark,
        customer_view=[{"user_id": n, "person_id": "twice" if n.startswith("number") else n, "consent_marketing": True} for n in offers],
        personal_index=[{"user_id": n, "scores": {"ring_tone_change": 90.0, "newspaper_response": 90.0}} for n in offers],
        recommendation=[{"user_id": n, "priority": ["new_service"], "offers": found} for n, found in offers.items()],
    )
    written, _ = chosen(spark, replace(shipped, choosing=choosing), frames)
    return {row["user_id"]: row for row in written["choice"]}, written["exclusion"], written["capacity_use"]


@pytest.mark.slow
def test_who_explores_lacks_room_for_what_was_drawn_only_and_all_others_for_what_is_better(odd):
    choice, _, _ = odd
    told = {n: (choice[n]["arm"], choice[n]["policy_id"], *sorted(why(odd, n).items())) for n in choice if n.startswith("anyone")}
    no_room, not_drawn = ("NEWSPAPER_TRIAL", ("capacity", "no_room")), (("NEWSPAPER_TRIAL", ("arbitration", "not_drawn")))
    expected = {
        ("target", "FETION_START", no_room), ("explore", "FETION_START", not_drawn),
        ("explore", None, ("FETION_START", ("arbitration", "not_drawn")), no_room),
    }  # fmt: skip
    assert set(told.values()) == expected


@pytest.mark.slow
def test_what_was_dropped_as_one_contact_too_many_uses_no_capacity(odd):
    choice, _, use = odd
    numbers = [n for n in choice if n.startswith("number")]
    assert sum(choice[n]["day"] is not None for n in numbers) == 1
    dropped = {n: why(odd, n) for n in numbers if ("contact", "frequency_cap") in why(odd, n).values()}
    assert dropped and all(choice[n]["policy_id"] is None for n in dropped)
    others = {reason for n, told in dropped.items() for policy, reason in told.items() if reason != ("contact", "frequency_cap") and choice[n]["arm"] == "target"}
    assert others == {("contact", "one_contact_too_many")}, "worth less than what was dropped"
    sms = next(row for row in use if row["capacity"] == "sms")
    assert sms["used"] == sum(row["channel"] == "sms" for row in choice.values())


@pytest.mark.slow
def test_a_policy_that_is_no_more_and_a_value_without_end_are_told_and_the_other_offer_is_made(odd):
    choice = odd[0]
    assert why(odd, "left") == {"NO_MORE": ("arbitration", "no_channel")} and choice["left"]["policy_id"] == "FETION_START"
    assert why(odd, "endless") == {"PREPAY_100_GET_260": ("arbitration", "value_unknown")} and choice["endless"]["policy_id"] == "FETION_START"


@pytest.fixture(scope="module")
def alike(spark, shipped):
    """(choices, exclusions) of people to whom two services are worth the same, and of people of whom a minimum wants the one that is worth less."""
    choosing = replace(
        shipped.choosing, contact=replace(shipped.choosing.contact, caps=(), never={}), holdout=Holdout("none"), campaigns={},
        weights=replace(shipped.choosing.weights, levers={"DATA_WAKE_PACK": 20}), limits=(Limit("data", least=6, policies=("DATA_STEADY_PACK",)),),
    )  # fmt: skip
    same, data = ("FETION_START", "MAILBOX_139_START"), ("DATA_WAKE_PACK", "DATA_STEADY_PACK")
    offers = {f"alike {i}": same for i in range(12)} | {f"data {i}": data for i in range(6)}
    frames = inputs(
        spark,
        customer_view=[{"user_id": n, "person_id": n, "consent_marketing": True} for n in offers],
        personal_index=[{"user_id": n} for n in offers],
        recommendation=[
            {"user_id": n, "priority": ["new_service"], "offers": [offer(shipped, p, i) for i, p in enumerate(found, 1)]} for n, found in offers.items()
        ],
    )
    written, _ = chosen(spark, replace(shipped, choosing=choosing), frames)
    return {row["user_id"]: row for row in written["choice"]}, written["exclusion"]


@pytest.mark.slow
def test_of_two_offers_that_are_worth_the_same_one_is_outscored_whichever_it_is(alike):
    lost = {name: why(alike, name) for name in alike[0] if name.startswith("alike")}
    assert {policy for told in lost.values() for policy in told} == {"FETION_START", "MAILBOX_139_START"}, "either wins"
    assert {reason for told in lost.values() for reason in told.values()} == {("arbitration", "outscored")}


@pytest.mark.slow
def test_what_is_worth_more_than_an_offer_that_fills_a_minimum_says_so(alike):
    choice = {name: row for name, row in alike[0].items() if name.startswith("data")}
    assert {row["policy_id"] for row in choice.values()} == {"DATA_STEADY_PACK"}
    assert {reason for name in choice for reason in why(alike, name).values()} == {("capacity", "minimum")}


@pytest.mark.slow
def test_the_days_on_which_a_policy_may_be_sold_stand_beside_the_choice(alike, shipped):
    for row in alike[0].values():
        policy = shipped.matrices.policies[row["policy_id"]]
        assert (row["valid_from"], row["valid_to"]) == (policy.valid_from, policy.valid_to)
