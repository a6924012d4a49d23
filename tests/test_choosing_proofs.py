"""What the choice promises, on people by chance and against plain Python: caps hold (R22), no limit is exceeded, and neither order nor
plan changes anything (R12). That nobody is contacted who must not be (R20): test_never_on_a_list."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date, timedelta

import pytest
from pyspark.sql import functions as F

from crm_spark.config.choosing import Limit
from crm_spark.config.settings import load_settings
from crm_spark.tables.decision import RECOMMENDATION
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.raw import CONTACT_CONSENT, CONTACT_HISTORY
from crm_spark.tables.score import PERSONAL_INDEX
from tests.choice_support import MONTH, chosen, inputs
from tests.decision_support import CONF

pytestmark = pytest.mark.slow
BEGINS = date(2025, 4, 1)
POLICIES = ("NEWSPAPER_TRIAL", "NEWSPAPER_SAMPLE", "FETION_START", "VPN_GROUP", "KEY_CUSTOMER_CARE", "PREPAY_30_GET_45", "EVENING_MINUTES")
CITIES = ("HANGZHOU", "NINGBO")
LIMITS = (
    Limit("agents", most=4, channels=("outbound",), per=("city", "day")),
    Limit("papers", most=60, policies=("NEWSPAPER_TRIAL", "NEWSPAPER_SAMPLE"), per=("city",)),
    Limit("care", least=5, most=40, policies=("KEY_CUSTOMER_CARE",)),
    Limit("budget", most=900.0, unit="yuan"),
)


@pytest.fixture(scope="module")
def config():
    """The province's, with limits that bind and control groups large enough to be met."""
    shipped = load_settings(CONF, "demo")
    holdout = replace(shipped.choosing.holdout, universal_share=0.1, explore_share=0.05)
    return replace(shipped, choosing=replace(shipped.choosing, holdout=holdout, limits=LIMITS))


def people(count, seed):
    """Numbers, some of one person; what keeps from a contact is frequent."""
    pick = random.Random(seed)
    for i in range(count):
        yield {
            "user_id": f"u{i:05}", "person_id": f"p{pick.randrange(count) if pick.random() < 0.3 else i:05}", "city": pick.choice(CITIES), "month": MONTH,
            "status": pick.choice(["active"] * 5 + ["closed", None]), "age_years": pick.choice([None, 13, 14, 30, 60]),
            "consent_marketing": pick.choice([True, True, True, False, None]), "arpu_yuan": pick.randrange(5, 300), "complaints": pick.choice([0, 0, 1, 2]),
            "consents": [a_consent(pick) for _ in range(pick.choice([0, 0, 1, 2]))],
            "offers": pick.sample(POLICIES, pick.randint(0, 4)), "grade": pick.choice(["high", "mid", "low"]), "paper": pick.random() * 100,
            "history": [a_contact(pick) for _ in range(pick.choice([0, 0, 1, 3]))],
        }  # fmt: skip


def a_consent(pick):
    return pick.choice(["all", "sms", "outbound"]), pick.choice(["all", "marketing", "care"]), pick.random() < 0.5


def a_contact(pick):
    return BEGINS - timedelta(days=pick.randint(1, 60)), pick.choice(["sms", "outbound"]), pick.choice(["sent", "refused"])


def frames_of(spark, config, crowd):
    """The tables that the job reads."""

    def rows(table, found):
        # unlike a literal frame this one does not stand in the plan
        return spark.createDataFrame([tuple({"month": MONTH, **row}.get(c) for c in table.columns) for row in found], table.struct)

    goals = {p.policy_id: p.goal for p in config.matrices.policies.values()}
    base = [{"user_id": p["user_id"], "city": p["city"]} for p in crowd]
    views = [{k: p[k] for k in ("user_id", "person_id", "city", "status", "age_years", "consent_marketing")} for p in crowd]
    extras = spark.createDataFrame([(p["user_id"], p["complaints"], float(p["arpu_yuan"])) for p in crowd], "user_id string, ext_complaints int, arpu double")
    view = rows(CUSTOMER_VIEW, views).join(extras, on="user_id").withColumn("arpu_yuan", F.col("arpu").cast(CUSTOMER_VIEW["arpu_yuan"].type)).drop("arpu")
    offers = [[(goals[p], 1, p, rank, "m", "r") for rank, p in enumerate(one["offers"], 1)] for one in crowd]
    recommended = [{**b, "priority": ["new_service", "traffic", "retention"], "offers": found} for b, found in zip(base, offers, strict=True)]
    index = [{**b, "value_grade": p["grade"], "scores": {"newspaper_response": p["paper"]}} for b, p in zip(base, crowd, strict=True)]
    consents = [{**b, "channel": c, "purpose": w, "is_given": g} for b, p in zip(base, crowd, strict=True) for c, w, g in p["consents"]]
    contacts = [{**b, "day": day, "channel": c, "policy_id": "X", "outcome": o} for b, p in zip(base, crowd, strict=True) for day, c, o in p["history"]]
    return {
        **inputs(spark), "customer_view": view, "personal_index": rows(PERSONAL_INDEX, index), "recommendation": rows(RECOMMENDATION, recommended),
        "contact_history": rows(CONTACT_HISTORY, contacts), "contact_consent": rows(CONTACT_CONSENT, consents),
    }  # fmt: skip


@pytest.fixture(scope="module")
def crowd():
    return list(people(10_000, seed=20))


@pytest.fixture(scope="module")
def made(spark, config, crowd):
    """(the customers with what was chosen for them, all that was written)."""
    written, _ = chosen(spark, config, frames_of(spark, config, crowd))
    choice = {row["user_id"]: row for row in written["choice"]}
    return [(person, choice[person["user_id"]]) for person in crowd], written


def test_no_stretch_of_days_has_more_contacts_of_a_person_than_a_cap_allows(made, config):
    pairs, _ = made
    contacts, planned = defaultdict(list), defaultdict(list)
    for person, row in pairs:
        contacts[person["person_id"]] += [(day, channel) for day, channel, _ in person["history"]]
        if row["day"]:
            planned[person["person_id"]].append((row["day"], row["channel"]))
    assert sum(len(days) > 1 for days in planned.values()) > 5, "persons with several numbers and contacts"
    for person, mine in planned.items():
        for (last, by), cap in itertools.product(mine, config.choosing.contact.caps):
            counted = [d for d, c in contacts[person] + mine if cap.channel in ("", c)]
            if cap.channel in ("", by):
                assert sum(last - timedelta(days=cap.days) < d <= last for d in counted) <= cap.most, (person, last, cap)


def within_limits(rows):
    """No maximum is exceeded, counted anew; that some are used up is told by the price."""
    agents = Counter((row["city"], row["day"]) for row in rows if row["channel"] == "outbound")
    papers = Counter(row["city"] for row in rows if row["policy_id"] in ("NEWSPAPER_TRIAL", "NEWSPAPER_SAMPLE"))
    care = sum(row["policy_id"] == "KEY_CUSTOMER_CARE" for row in rows)
    spent = sum(row["spend_yuan"] for row in rows if row["policy_id"])
    return max(agents.values()) <= 4 and max(papers.values()) <= 60 and care <= 40 and spent <= 900 + 1e-6


def test_no_limit_is_exceeded_and_every_offer_is_chosen_or_told_why_not(made):
    pairs, written = made
    assert within_limits(written["choice"])
    assert sum(row["price"] > 0 for row in written["capacity_use"]) >= 3
    seen = Counter((row["user_id"], row["policy_id"]) for row in written["exclusion"])
    seen.update((row["user_id"], row["policy_id"]) for _, row in pairs if row["policy_id"])
    assert seen == Counter((person["user_id"], policy) for person, _ in pairs for policy in person["offers"])


def test_neither_the_order_of_customers_nor_the_plan_changes_anything(spark, config):
    few = list(people(300, seed=12))
    small = replace(config, choosing=replace(config.choosing, limits=tuple(replace(one, most=one.most / 12, least=0) for one in LIMITS)))
    before = {name: spark.conf.get(name) for name in ("spark.sql.shuffle.partitions", "spark.sql.adaptive.enabled")}
    answers = set()
    try:
        for partitions, adaptive, layout, order in itertools.product(("1", "7"), ("true", "false"), (1, 5), (few, few[::-1])):
            spark.conf.set("spark.sql.shuffle.partitions", partitions)
            spark.conf.set("spark.sql.adaptive.enabled", adaptive)
            frames = {name: frame.repartition(layout) for name, frame in frames_of(spark, small, order).items()}
            written, _ = chosen(spark, small, frames)
            answers.add(tuple(tuple(sorted(map(repr, written[name]))) for name in ("choice", "exclusion", "capacity_use")))
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)
    assert len(answers) == 1
