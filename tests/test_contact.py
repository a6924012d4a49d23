"""Contact policy against brute force: no list breaks consent, rest, caps or hours, and none is stricter than it must be."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from crm_spark.config.choosing import Cap, Channel, Contact, Rest
from crm_spark.config.hours import Hours
from crm_spark.config.policies import load_policies
from crm_spark.decisions.contact import (
    consent_reason,
    contacts_by_person,
    days_of,
    may_send,
    rests_until,
    send_hours,
    with_contact_reasons,
    within_limits,
)
from tests.decision_support import CONF

BEGINS = date(2025, 4, 1)
DAYS = [BEGINS + timedelta(days=i) for i in range(30)]
CAPS = (Cap(2, 7), Cap(3, 30), Cap(1, 10, "outbound"))
RULES = Contact(Hours("09:00", "20:00"), CAPS, Rest(2, 15, 30))
CHANNELS = {"sms": Channel(0.1), "outbound": Channel(1.3, weekdays=(1, 2, 3, 4, 5))}
BATCH = settings(  # a batch is sixty persons in one frame, the first of them the simplest there are
    max_examples=2, phases=[Phase.generate], deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

before = st.integers(-60, 29).map(lambda i: BEGINS + timedelta(days=i))  # those to come are planned by another city
contact = st.tuples(before, st.sampled_from(sorted(CHANNELS)), st.sampled_from(["sent", "reached", "refused", "ordered"]))
people = st.lists(st.lists(contact, max_size=7), min_size=60, max_size=60)


def keeps_caps(contacts, caps):
    """True if no stretch of days anywhere has more contacts than a cap allows."""
    for cap in caps:
        days = [day for day, channel in contacts if not cap.channel or channel == cap.channel]
        if any(sum(last - timedelta(days=cap.days) < day <= last for day in days) > cap.most for last in days):
            return False
    return True


def adds_no_breach(contacts, new, caps):
    """True if every stretch that the new contact lies in has room for it, of every cap that concerns it."""
    day, channel = new
    for cap in caps:
        if cap.channel in ("", channel):
            held = [d for d, c in contacts if not cap.channel or c == cap.channel]
            for last in (day + timedelta(days=i) for i in range(cap.days)):
                if sum(last - timedelta(days=cap.days) < d <= last for d in held) >= cap.most:
                    return False
    return True


def rested(history, day):
    refusals = sorted(d for d, _, outcome in history if outcome == "refused")
    close = [second for first, second in pairwise(refusals) if (second - first).days < RULES.rest.within_days]
    return all(day > last + timedelta(days=RULES.rest.days) for last in close)


@BATCH
@given(people=people)
def test_the_days_allowed_are_those_of_brute_force(spark, people):
    rows = [(f"u{i}", f"p{i // 2}", day, channel, None, outcome) for i, history in enumerate(people) for day, channel, outcome in history]
    history = spark.createDataFrame(rows, "user_id string, person_id string, day date, channel string, policy_id string, outcome string")
    persons = spark.createDataFrame([(f"u{i}", f"p{i // 2}") for i in range(len(people))], "user_id string, person_id string")
    known = contacts_by_person(history.withColumn("person_id", F.lit(None).cast("string")), persons, BEGINS, 180)
    told = {row["person_id"]: row for row in known.select("person_id", *(days_of(n, c, RULES, DAYS).alias(n) for n, c in CHANNELS.items())).collect()}
    for i in range(0, len(people), 2):
        both = people[i] + people[i + 1]  # one counter for both numbers of a person
        for name, channel in CHANNELS.items():
            held = [(day, by) for day, by, _ in both]
            expected = [d for d in DAYS if d.isoweekday() in channel.weekdays and rested(both, d) and adds_no_breach(held, (d, name), CAPS)]
            assert not both or told[f"p{i // 2}"][name] == expected, (name, both)


EVERY = {"NEWS": 5, "TONE": 40, "FREE": None}  # days between two contacts about a policy
SHEET = load_policies(CONF / "policies.csv")
PUSHED = {name: replace(SHEET["NEWSPAPER_TRIAL"], policy_id=name, channels=tuple(CHANNELS), push_every_days=days) for name, days in EVERY.items()}
about = st.tuples(before, st.sampled_from(sorted(CHANNELS)), st.sampled_from(sorted(EVERY)))
planned = st.lists(st.tuples(st.integers(0, 29), st.sampled_from(sorted(CHANNELS)), st.sampled_from(sorted(EVERY))), min_size=1, max_size=5)
histories = st.lists(st.lists(about, max_size=7), min_size=60, max_size=60)
CONTACTS = "person_id string, contacts array<struct<day:date,channel:string,policy_id:string>>"


def too_soon(contacts, new):
    """True if a contact about the same policy lies less than its days before or after."""
    day, _, policy = new
    return any(p == policy and abs((day - d).days) < (EVERY[policy] or 0) for d, _, p in contacts)


@BATCH
@given(histories=histories, plans=st.lists(planned, min_size=60, max_size=60))
def test_numbers_of_one_person_share_its_caps_and_pauses_across_the_end_of_the_month(spark, histories, plans):
    contacts = spark.createDataFrame([(f"p{i}", sorted(held)) for i, held in enumerate(histories) if held], CONTACTS)
    rows = [("X", "2025-03", f"p{i}n{n}", f"p{i}", DAYS[d], by, policy) for i, plan in enumerate(plans) for n, (d, by, policy) in enumerate(plan)]
    frame = spark.createDataFrame(rows, "city string, month string, user_id string, person_id string, day date, channel string, policy_id string")
    refused = {row["user_id"]: row["refused"] for row in within_limits(frame, contacts, CAPS, PUSHED).collect()}
    assert len(refused) == len(rows)
    for i, plan in enumerate(plans):
        held = list(histories[i])
        for d, n in sorted((d, f"p{i}n{n}") for n, (d, _, _) in enumerate(plan)):
            new = (DAYS[d], *plan[int(n.split("n")[1])][1:])
            is_capped = not adds_no_breach([c[:2] for c in held], new[:2], CAPS)
            expected = "frequency_cap" if is_capped else "pushed_recently" if too_soon(held, new) else None
            assert refused[n] == expected
            held += [new] * (expected is None)
        before = [c[:2] for c in histories[i]]
        assert keeps_caps([c[:2] for c in held], CAPS) or not keeps_caps(before, CAPS), "only what was sent before can break a cap"


@BATCH
@given(histories=histories)
def test_a_policy_comes_again_only_after_its_days_and_what_then_has_no_day_says_so(spark, histories):
    """Without caps and rest: the days left are all that lie far enough from the person's contacts about the policy, and one of them is drawn."""
    candidates = [(policy, channel, "new_service") for policy in EVERY for channel in CHANNELS]
    schema = "user_id string, month string, " + CONTACTS + ", refusals array<date>, taken array<string>, refused array<string>"
    rows = [(f"u{i}", "2025-03", f"p{i}", sorted(held) or None, [], [], []) for i, held in enumerate(histories)]
    offered = F.array(*(F.struct(*(F.lit(v).alias(c) for v, c in zip(one, ("policy_id", "channel", "goal"), strict=True))) for one in candidates))
    people = spark.createDataFrame(rows, schema).withColumns({"candidates": offered, "consent_marketing": F.lit(True), "consents": F.lit(None).cast(CONSENTS)})
    free = Contact(RULES.hours, (), RULES.rest)
    told = with_contact_reasons(people, CHANNELS, free, PUSHED, DAYS, True).select("user_id", F.inline("candidates")).collect()
    assert len(told) == len(candidates) * len(histories)
    for row in told:
        held = histories[int(row["user_id"][1:])]
        allowed = [d for d in DAYS if d.isoweekday() in CHANNELS[row["channel"]].weekdays and not too_soon(held, (d, "", row["policy_id"]))]
        assert (row["day"] in allowed, row["reason"]) == (bool(allowed), None if allowed else "pushed_recently")


def test_a_policy_is_pushed_only_on_days_on_which_it_is_valid(spark):
    ends = replace(PUSHED["FREE"], policy_id="ENDS", valid_to=BEGINS + timedelta(days=2))
    begins = replace(PUSHED["FREE"], policy_id="BEGINS", valid_from=DAYS[-1])
    gap = replace(PUSHED["FREE"], policy_id="SUNDAY", valid_from=date(2025, 4, 5), valid_to=date(2025, 4, 6))  # Saturday and Sunday
    offered = F.array(*(F.struct(F.lit(p).alias("policy_id"), F.lit(c).alias("channel"), F.lit("new_service").alias("goal"))
                        for p in ("ENDS", "BEGINS", "SUNDAY", "FREE") for c in CHANNELS))  # fmt: skip
    schema = "user_id string, month string, " + CONTACTS + ", refusals array<date>, taken array<string>, refused array<string>"
    people = spark.createDataFrame([(f"u{i}", "2025-03", "p", None, [], [], []) for i in range(40)], schema)
    asked = people.withColumns({"candidates": offered, "consent_marketing": F.lit(True), "consents": F.lit(None).cast(CONSENTS)})
    policies = {p.policy_id: p for p in (ends, begins, gap, PUSHED["FREE"])}
    told = with_contact_reasons(asked, CHANNELS, Contact(RULES.hours), policies, DAYS, True).select(F.inline("candidates")).collect()
    days = {key: {row["day"] for row in told if (row["policy_id"], row["channel"]) == key} for key in itertools.product(policies, CHANNELS)}
    assert days["ENDS", "sms"] == set(DAYS[:3]) and days["BEGINS", "sms"] == {DAYS[-1]} and len(days["FREE", "sms"]) > 10
    assert days["SUNDAY", "sms"] == {date(2025, 4, 5), date(2025, 4, 6)} and days["SUNDAY", "outbound"] == {None}
    assert {row["reason"] for row in told if row["day"] is None} == {"no_contact_day"}


def test_two_refusals_within_fifteen_days_are_thirty_days_of_rest(frame):
    cases = {
        "one": [1], "fourteen days apart": [1, 15], "fifteen": [1, 16], "the last pair counts": [1, 2, 10], "three apart": [1, 20, 40],
    }  # fmt: skip
    rows = [(name, [date(2025, 1, 1) + timedelta(days=d - 1) for d in days]) for name, days in cases.items()]
    told = frame("name string, refusals array<date>", *rows).select("name", rests_until(F.col("refusals"), Rest(2, 15, 30)).alias("until"))
    assert dict(told.collect()) == {
        "one": None, "fourteen days apart": date(2025, 2, 14), "fifteen": None, "the last pair counts": date(2025, 2, 9), "three apart": None,
    }  # fmt: skip


CONSENTS = "array<struct<channel:string,purpose:string,is_given:boolean>>"


@pytest.mark.parametrize("known", [True, False])
def test_a_no_goes_before_a_yes_and_silence_is_no_consent_where_consent_is_told(frame, known):
    silence = "no_consent" if known else None
    cases = [
        (None, None, silence),
        (True, None, None),
        (False, None, "opted_out"),
        (None, [("sms", "marketing", True)], None),
        (None, [("outbound", "marketing", True)], silence),
        (None, [("sms", "care", True)], silence),
        (None, [("all", "all", True)], None),
        (True, [("sms", "all", False)], "opted_out"),
        (True, [("outbound", "all", False)], None),
        (False, [("sms", "marketing", True)], None),  # a channel's own Yes is newer than the No to all
        (None, [("all", "all", True), ("sms", "marketing", False)], "opted_out"),
    ]
    rows = frame(f"consent_marketing boolean, consents {CONSENTS}", *[(one, many) for one, many, _ in cases])
    told = rows.select(consent_reason(F.lit("sms"), F.lit("marketing"), known).alias("reason")).collect()
    assert [row["reason"] for row in told] == [expected for _, _, expected in cases]


def test_nothing_is_sent_outside_its_hours_and_what_waited_is_dropped(spark):
    sends = spark.range(100_000).select(F.expr("timestamp_ntz'2025-04-01 00:00:00' + make_interval(0, 0, 0, 0, 0, 0, id * 3)").alias("at"))
    allowed = sends.where(may_send(F.col("at"), F.lit(date(2025, 4, 2)), F.lit("09:00"), F.lit("20:00")))
    first, last, count = allowed.agg(F.min("at"), F.max("at"), F.count("*")).first()
    assert (str(first), str(last), count) == ("2025-04-02 09:00:00", "2025-04-02 19:59:57", 11 * 1200)


@pytest.mark.parametrize(("at", "expected"), [
    ("2025-04-02 08:59:59.999999", False), ("2025-04-02 09:00:00", True), ("2025-04-02 19:59:59.999999", True), ("2025-04-02 20:00:00", False),
    ("2025-04-01 12:00:00", False), ("2025-04-03 09:00:00", False), ("2025-04-03 00:00:00", False),
])  # fmt: skip
def test_the_first_moment_counts_and_the_last_one_does_not(spark, at, expected):
    sent = spark.sql(f"SELECT timestamp_ntz'{at}' AS at").select(may_send(F.col("at"), F.lit(date(2025, 4, 2)), F.lit("09:00"), F.lit("20:00")))
    assert sent.first()[0] is expected


def test_hours_until_midnight_end_with_the_day(spark):
    times = spark.sql("SELECT explode(array(timestamp_ntz'2025-04-02 23:59:59.999999', timestamp_ntz'2025-04-03 00:00:00')) AS at")
    sent = times.select(may_send(F.col("at"), F.lit(date(2025, 4, 2)), F.lit("21:00"), F.lit("24:00"))).collect()
    assert [row[0] for row in sent] == [True, False]


def test_hours_are_those_of_contact_channel_and_policy_together():
    assert send_hours(None, Channel(0.1), RULES) == Hours("09:00", "20:00")
    assert send_hours(Hours("17:00", "21:00"), Channel(0.1, hours=Hours("08:00", "18:30")), RULES) == Hours("17:00", "18:30")
    assert send_hours(Hours("07:00", "09:00"), Channel(0.1), RULES) is None, "before contact hours begin"


def test_what_was_refused_or_taken_is_remembered_per_person_for_as_long_as_told(frame):
    schema = "user_id string, person_id string, day date, channel string, policy_id string, outcome string"
    history = frame(
        schema,
        ("a", None, date(2025, 3, 1), "sms", "NEWS", "refused"),
        ("b", None, date(2024, 9, 1), "sms", "OLD", "refused"),
        ("b", "p", date(2024, 9, 1), "sms", "TONE", "ordered"),
        ("stranger", None, date(2025, 3, 2), "sms", "NEWS", "reached"),
    )
    persons = frame("user_id string, person_id string", ("a", "p"), ("b", "p"))
    rows = {row["person_id"]: row for row in contacts_by_person(history, persons, BEGINS, 180).collect()}
    assert (rows["p"]["refused"], rows["p"]["taken"], len(rows["p"]["contacts"]), len(rows["p"]["refusals"])) == (["NEWS"], ["TONE"], 3, 2)
    assert set(rows) == {"p", "stranger"} and rows["stranger"]["refused"] == []
