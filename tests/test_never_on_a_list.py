"""Ten thousand random customers chosen for in one run, against plain Python: who must not be contacted is on no list, and nobody else is left out."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from dataclasses import replace
from datetime import date, datetime, time, timedelta

import pytest

from crm_spark.config.choosing import Campaign, Holdout, Worth
from crm_spark.config.settings import load_settings
from crm_spark.tables.desk import COMPLAINT
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.raw import CONTACT_CONSENT
from crm_spark.tables.score import PERSONAL_INDEX
from tests.choice_support import MONTH, chosen, inputs, offer, widened
from tests.decision_support import CONF

pytestmark = pytest.mark.slow
CUSTOMERS = 10_000
BEGINS, COMPLAINT_DAYS = date(2025, 4, 1), 30
CITIES, GRADES = ("HANGZHOU", "NINGBO", "JINHUA"), ("high", "mid", "low", None)
OFFERED = ("NEWSPAPER_TRIAL", "NEWSPAPER_SAMPLE", "FETION_START", "LOCAL_MINUTES", "VPN_GROUP", "LOYALTY_POINTS_DOUBLE")
HOLDOUT = Holdout("a salt", universal_share=0.05, explore_share=0.1)
CAMPAIGNS = {"newspaper": Campaign(("NEWSPAPER_TRIAL", "NEWSPAPER_SAMPLE"), 0.2), "talk": Campaign(("LOCAL_MINUTES", "FETION_START"), 0.1)}
UNPUSHED = "hall"


@pytest.fixture(scope="module")
def settings():
    """The shipped rules without caps and pauses; whatever is offered is worth it; groups are large."""
    found = load_settings(CONF, "real-cell2cell")
    worth = {goal: Worth(one.takes, one.anyway, "10000") for goal, one in found.choosing.worth.items()}
    contact = replace(found.choosing.contact, caps=(), complaint_days=COMPLAINT_DAYS)
    policies = {name: replace(policy, push_every_days=None) for name, policy in found.matrices.policies.items()}
    found = replace(found, matrices=replace(found.matrices, policies=policies))
    return replace(found, choosing=replace(found.choosing, worth=worth, contact=contact, holdout=HOLDOUT, campaigns=CAMPAIGNS, limits=(), propensities={}))


@pytest.fixture(scope="module")
def people():
    """Customers by user_id, with all that keeps from a contact, alone and together."""
    draw = random.Random(20)
    made = {}
    for number in range(CUSTOMERS):
        asked = range(draw.choice([0, 0, 0, 1, 2]))
        consents = [(draw.choice(["sms", "mms", "outbound", "all"]), draw.choice(["marketing", "care", "all"]), draw.random() < 0.6) for _ in asked]
        told = BEGINS - timedelta(days=draw.randint(1, 60))
        settled = told + timedelta(days=draw.randint(0, 60)) if draw.random() < 0.5 else None
        made[f"u{number:05}"] = {
            "city": draw.choice(CITIES),
            "person": f"p{draw.randrange(7000)}" if draw.random() < 0.8 else None,
            "status": draw.choice(["active"] * 8 + ["closed", None]),
            "age": draw.choice([None, 5, 13, 14, 30, 40, 50, 60, 70]),
            "consent": draw.choice([True, True, True, False, None]),
            "consents": {(channel, purpose): given for channel, purpose, given in consents},
            "complaint": (told, settled) if draw.random() < 0.1 else None,
            "grade": draw.choice(GRADES),
            "offers": draw.sample(OFFERED, draw.randint(0, 4)),
        }
    return made


@pytest.fixture(scope="module")
def made(spark, settings, people):
    """(choice by customer, (stage, reason) by customer and policy) of the job."""

    def frame(schema, rows):
        return spark.createDataFrame(rows, f"city string, month string, user_id string, {schema}")

    def each(*parts):
        return [(p["city"], MONTH, user, *(p[part] for part in parts)) for user, p in people.items()]

    view = frame("person_id string, status string, age_years int, consent_marketing boolean", each("person", "status", "age", "consent"))
    index = frame("value_grade string", each("grade"))
    offers = [(p["city"], MONTH, user, ["traffic"], [offer(settings, policy, rank) for rank, policy in enumerate(p["offers"], 1)]) for user, p in people.items()]
    kind = "array<struct<goal:string,goal_place:int,policy_id:string,candidate_rank:int,matrix:string,rule:string>>"
    consents = [(p["city"], MONTH, user, *of, given) for user, p in people.items() for of, given in p["consents"].items()]
    complain = {user: p for user, p in people.items() if p["complaint"]}
    complaints = [(p["city"], MONTH, user, datetime.combine(p["complaint"][0], time(12)), p["complaint"][1]) for user, p in complain.items()]
    frames = {
        **inputs(spark),
        "customer_view": widened(view, CUSTOMER_VIEW),
        "personal_index": widened(index, PERSONAL_INDEX),
        "recommendation": frame(f"priority array<string>, offers {kind}", offers),
        "contact_consent": widened(frame("channel string, purpose string, is_given boolean", consents), CONTACT_CONSENT),
        "complaint": widened(frame("told_at timestamp_ntz, settled_on date", complaints), COMPLAINT),
    }
    written, _ = chosen(spark, settings, frames)
    dropped = {(row["user_id"], row["policy_id"]): (row["stage"], row["reason"]) for row in written["exclusion"]}
    return {row["user_id"]: row for row in written["choice"]}, dropped


def share_of(*parts):
    return int(hashlib.sha256("|".join(parts).encode()).hexdigest()[:13], 16) / 2**52


def person_of(user, person):
    return person["person"] or user


def complaining_persons(people):
    """Of any number: settled only later, or not settled and not old."""
    open_ones = set()
    for user, person in people.items():
        if person["complaint"]:
            told, settled = person["complaint"]
            if settled >= BEGINS if settled else (BEGINS - told).days <= COMPLAINT_DAYS:
                open_ones.add(person_of(user, person))
    return open_ones


def consent_reason(person, channel):
    """A No to the channel or to all goes first; the old column's No gives way to a newer Yes."""
    answers = [given for (by, purpose), given in person["consents"].items() if by in (channel, "all") and purpose in ("marketing", "all")]
    if False in answers or (person["consent"] is False and True not in answers):
        return "opted_out"
    return None if True in answers or person["consent"] else "no_consent"


def reasons(people, settings):
    """(stage, reason) by customer, policy and channel; None where an offer may be chosen."""
    complain, found = complaining_persons(people), {}
    for user, person in people.items():
        whose = person_of(user, person)
        held = share_of(HOLDOUT.salt, "universal", "2025", whose) < HOLDOUT.universal_share
        for policy in person["offers"]:
            for channel in settings.matrices.policies[policy].channels:
                consent = consent_reason(person, channel) if channel != UNPUSHED else None
                young = person["age"] is not None and person["age"] < 14
                why = "closed" if person["status"] == "closed" else "under_14" if young else consent or ("complaining" if whose in complain else None)
                found[user, policy, channel] = ("contact", why) if why else ("holdout", "universal") if held else None
    for name, controls in control_persons(people, found).items():
        for user, policy, channel in found:
            if found[user, policy, channel] is None and policy in CAMPAIGNS[name].policies and person_of(user, people[user]) in controls:
                found[user, policy, channel] = ("holdout", f"control: {name}")
    return found


def control_persons(people, found):
    """Of those who could have one of a campaign's policies, its share in each city and grade: those of the lowest hash."""
    drawn = {}
    for name, campaign in CAMPAIGNS.items():
        strata = defaultdict(list)
        for user, policy, channel in found:
            if policy in campaign.policies and found[user, policy, channel] is None:
                strata[person_of(user, people[user])].append("|".join(filter(None, (people[user]["city"], people[user]["grade"]))))
        of_stratum = defaultdict(list)
        for whose, where in strata.items():
            of_stratum[min(where)].append(whose)
        ranked = {stratum: sorted(persons, key=lambda p, n=name: share_of(HOLDOUT.salt, "control", n, p)) for stratum, persons in of_stratum.items()}
        drawn[name] = {p for persons in ranked.values() for p in persons[: int(len(persons) * campaign.control_share + 0.5)]}
    return drawn


def test_who_must_not_be_contacted_is_on_no_list(made, people):
    choice, _ = made
    complain = complaining_persons(people)
    counted = defaultdict(int)
    for user, person in people.items():
        whose, row = person_of(user, person), choice[user]
        never = {
            "closed": person["status"] == "closed",
            "under 14": person["age"] is not None and person["age"] < 14,
            "complaining": whose in complain,
            "held out": share_of(HOLDOUT.salt, "universal", "2025", whose) < HOLDOUT.universal_share,
        }
        for why, keeps in never.items():
            counted[why] += keeps and bool(person["offers"])
            assert not (keeps and row["policy_id"]), (user, why)
        if row["channel"] not in (None, UNPUSHED):
            assert consent_reason(person, row["channel"]) is None, user
    assert min(counted.values()) > 300, "each happens often"


def test_every_other_offer_may_be_chosen_and_each_reason_is_the_first_that_holds(made, people, settings):
    choice, dropped = made
    expected = reasons(people, settings)
    controls = 0
    for user, person in people.items():
        is_open = defaultdict(list)
        for policy in person["offers"]:
            channels = settings.matrices.policies[policy].channels
            is_open[policy] = [c for c in channels if expected[user, policy, c] is None]
            if not is_open[policy]:
                assert dropped[user, policy] == expected[user, policy, channels[0]], (user, policy)
                controls += dropped[user, policy][1].startswith("control")
            elif choice[user]["policy_id"] != policy:
                assert dropped[user, policy][0] == "arbitration", (user, policy)
        taken = choice[user]
        assert (taken["policy_id"] is not None) == any(is_open.values()), user
        assert taken["policy_id"] is None or taken["channel"] in is_open[taken["policy_id"]], user
    assert controls > 300, "control groups are not empty"


def test_contacts_are_planned_within_hours_on_weekdays_of_their_channel(made, settings):
    planned = [row for row in made[0].values() if row["day"]]
    assert len(planned) > 1000
    for row in planned:
        window = settings.matrices.policies[row["policy_id"]].send_window or settings.choosing.contact.hours
        assert (row["send_from"], row["send_until"]) == (window.begin, window.end) and (row["day"].year, row["day"].month) == (2025, 4)
        assert row["day"].isoweekday() in settings.choosing.channels[row["channel"]].weekdays
    assert all(row["day"] is None and row["send_from"] is None for row in made[0].values() if row["channel"] in (None, UNPUSHED))
