"""Contact policy: who may be contacted by which channel on which day. Persons are counted, over all their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.config.choosing import Cap, Channel, Contact, Rest
from crm_spark.config.hours import Hours
from crm_spark.config.policies import Policy
from crm_spark.decisions.eligibility import constant_map
from crm_spark.frames import with_columns
from crm_spark.tables.common import KEY

STAGE = "contact"
MARKETING, ALL = "marketing", "all"
OPTED_OUT, NO_CONSENT, RESTING, FREQUENCY_CAP, PUSHED_RECENTLY, NO_DAY, NO_HOUR = (
    "opted_out", "no_consent", "resting", "frequency_cap", "pushed_recently", "no_contact_day", "no_contact_hour",
)  # fmt: skip
REFUSED_BEFORE, TAKEN_BEFORE = "refused_before", "taken_before"
REFUSED, TAKEN = "refused", ("accepted", "ordered")
_CONTACTS = "array<struct<day:date,channel:string,policy_id:string>>"


def contacts_by_person(history: DataFrame, persons: DataFrame, begins: date, refused_days: int) -> DataFrame:
    """One row per person that was contacted: `contacts` (day, channel and policy, by day), `refusals` (days), `refused` and `taken` (policies).

    `history` are contacts with `person_id` (null: as in `persons`, by user_id), `persons` the person of each user_id. A policy counts as
    refused for `refused_days` before `begins`.
    """
    known = persons.select("user_id", F.col("person_id").alias("__person"))
    each = history.join(known, on="user_id", how="left").withColumn("person_id", F.coalesce("person_id", "__person", "user_id"))
    is_refused = F.col("outcome") == REFUSED
    counts = is_refused & (F.datediff(F.lit(begins), "day") <= refused_days)
    return each.groupBy("person_id").agg(
        F.sort_array(F.collect_list(F.struct("day", "channel", "policy_id"))).alias("contacts"),
        F.sort_array(F.collect_list(F.when(is_refused, F.col("day")))).alias("refusals"),
        F.collect_set(F.when(counts, F.col("policy_id"))).alias("refused"),
        F.collect_set(F.when(F.col("outcome").isin(*TAKEN), F.col("policy_id"))).alias("taken"),
    )


def rests_until(refusals: Column, rest: Rest) -> Column:
    """The last day on which a person is left alone, by the days of its refusals in order; null if it need not be."""
    last = rest.refusals - 1
    ends = F.transform(
        F.filter(
            F.transform(refusals, lambda day, i: F.struct(day.alias("day"), F.get(refusals, i - last).alias("first"))),
            lambda pair: pair["first"].isNotNull() & (F.datediff(pair["day"], pair["first"]) < rest.within_days),
        ),
        lambda pair: F.date_add(pair["day"], rest.days),
    )
    return F.array_max(ends)


def fits(contacts: Column, day: Column, channel: str | Column, caps: Sequence[Cap]) -> Column:
    """True if one contact more on `day` keeps every cap in every stretch of days, given all others; null contacts are none."""
    by = F.lit(channel) if isinstance(channel, str) else channel
    held = F.coalesce(contacts, F.array().cast(_CONTACTS))
    kept = F.lit(True)
    for cap in caps:
        concerns = by == cap.channel if cap.channel else F.lit(True)
        kept = kept & (~concerns | _has_room(held, day, cap))
    return kept


def is_apart(contacts: Column, policy: Column, every: Column, day: Column) -> Column:
    """True if every contact about `policy` lies at least `every` days (null: none) before or after `day`."""
    near = F.filter(contacts, lambda one: (one["policy_id"] == policy) & (F.abs(F.datediff(day, one["day"])) < every))
    return F.coalesce(F.size(near), F.lit(0)) <= 0


def days_of(channel: str, rules: Channel, contact: Contact, days: Sequence[date]) -> Column:
    """The days of `days` on which a person (columns `contacts`, `refusals`) may be contacted by a pushed channel."""
    usable = F.array(*[F.lit(day) for day in days if day.isoweekday() in rules.weekdays]).cast("array<date>")
    rests = rests_until(F.col("refusals"), contact.rest)
    allowed = F.filter(usable, lambda day: F.coalesce(day > rests, F.lit(True)) & fits(F.col("contacts"), day, channel, contact.caps))
    return F.when(F.col("contacts").isNull(), usable).otherwise(allowed)


def consent_reason(channel: Column, purpose: Column, is_known: bool) -> Column:
    """Why consent keeps from a contact: `opted_out`, `no_consent`, or null. Columns `consents` and `consent_marketing`; a No goes before a Yes.

    With nothing known of anybody's consent nothing is asked.
    """

    def concerns(one: Column) -> Column:
        return ((one["channel"] == ALL) | (one["channel"] == channel)) & ((one["purpose"] == ALL) | (one["purpose"] == purpose))

    def told(given: bool) -> Column:
        matching = F.filter("consents", lambda one: concerns(one) & (one["is_given"] == given))
        return F.coalesce(F.size(matching) > 0, F.lit(False))

    is_given = told(True) | F.coalesce(F.col("consent_marketing"), F.lit(False))
    missing = F.when(~is_given, F.lit(NO_CONSENT)) if is_known else F.lit(None).cast("string")
    is_out = told(False) | (~F.coalesce(F.col("consent_marketing"), F.lit(True)) & ~told(True))
    return F.when(is_out, F.lit(OPTED_OUT)).otherwise(missing)


def valid_terms(policies: Iterable[Policy]) -> Column:
    """Per policy id the first and last day on which it may be sold, as `begin` and `end`."""
    return constant_map({p.policy_id: {"begin": str(p.valid_from), "end": str(p.valid_to)} for p in policies}, "struct<begin:date,end:date>")


def send_hours(policy_hours: Hours | None, channel: Channel, contact: Contact) -> Hours | None:
    """When a policy may be sent by a channel: the hours of contact, of the channel and of the policy together; None if they do not meet."""
    hours: Hours | None = contact.hours
    for narrower in (channel.hours, policy_hours):
        hours = hours.within(narrower) if hours and narrower else hours
    return hours


def may_send(at: Column, day: Column, begin: Column, end: Column) -> Column:
    """True for a local time on the planned day within the planned hours, the end excluded: a message that waited beyond them has expired."""
    return (F.to_date(at) == day) & (F.date_format(at, "HH:mm") >= begin) & (F.date_format(at, "HH:mm") < end)


def with_contact_reasons(
    customers: DataFrame, channels: Mapping[str, Channel], contact: Contact, policies: Mapping[str, Policy], days: Sequence[date], consent_is_known: bool
) -> DataFrame:
    """`customers` with a `day` and a `reason` (null: may be contacted) in each of its `candidates`.

    `customers` have `person_id`, `month`, their person's contacts (`contacts_by_person`), `consents`, and the columns that `contact.never`
    reads. A pushed candidate has the day that the customer's own hash draws from the days allowed, on which its policy is valid; the others
    have none.
    """
    pushed = {name: rules for name, rules in channels.items() if rules.pushed}
    never = F.coalesce(*[F.when(F.expr(sql), F.lit(reason)) for reason, sql in contact.never.items()], F.lit(None).cast("string"))
    helpers = {"__never": never, "__days": _map({name: days_of(name, rules, contact, days) for name, rules in pushed.items()}, "array<date>")}
    closed = [f"{p.policy_id} {n}" for p in policies.values() for n in p.channels if n in pushed and send_hours(p.send_window, pushed[n], contact) is None]
    rests = rests_until(F.col("refusals"), contact.rest)
    terms = valid_terms([p for p in policies.values() if p.valid_from > days[0] or p.valid_to < days[-1]])

    def with_days(candidate: Column) -> Column:
        of_channel = F.try_element_at(F.col("__days"), candidate["channel"])
        term = F.try_element_at(terms, candidate["policy_id"])
        valid = F.filter(of_channel, lambda day: F.coalesce((day >= term["begin"]) & (day <= term["end"]), F.lit(True)))
        every = _every(policies, candidate["policy_id"])
        allowed = F.filter(valid, lambda day: is_apart(F.col("contacts"), candidate["policy_id"], every, day))
        return candidate.withField("valid", valid).withField("allowed", allowed)

    def judged(candidate: Column) -> Column:
        channel, policy, allowed = candidate["channel"], candidate["policy_id"], candidate["allowed"]
        is_pushed = channel.isin(*pushed)
        draw = F.pmod(F.xxhash64(F.lit("day"), "user_id", "month", channel), F.size(allowed).cast("bigint")).cast("int")
        idle = F.when(rests >= F.lit(days[-1]), RESTING).when(F.size(F.coalesce("contacts", F.array().cast(_CONTACTS))) > 0, FREQUENCY_CAP).otherwise(NO_DAY)
        purpose = F.coalesce(F.try_element_at(_map({g: F.lit(p) for g, p in contact.purposes.items()}, "string"), candidate["goal"]), F.lit(MARKETING))
        of_contact = F.coalesce(
            consent_reason(channel, purpose, consent_is_known),
            F.when(F.concat_ws(" ", policy, channel).isin(*closed), F.lit(NO_HOUR)),
            F.when(F.size(F.try_element_at(F.col("__days"), channel)) <= 0, idle),
            F.when(F.size(candidate["valid"]) <= 0, NO_DAY),
            F.when(F.size(allowed) <= 0, F.lit(PUSHED_RECENTLY)),
        )
        reason = F.coalesce(
            F.col("__never"),
            F.when(F.array_contains("taken", policy), F.lit(TAKEN_BEFORE)),
            F.when(F.array_contains("refused", policy), F.lit(REFUSED_BEFORE)),
            F.when(is_pushed, of_contact),
        )
        day = F.when(is_pushed & (F.size(allowed) > 0), F.get(allowed, draw))
        return candidate.withField("day", day).withField("reason", reason).dropFields("valid", "allowed")

    told = F.transform(F.transform("candidates", with_days), judged)
    return with_columns(customers, helpers).withColumn("candidates", told).drop(*helpers)


def within_limits(planned: DataFrame, contacts: DataFrame, caps: Sequence[Cap], policies: Mapping[str, Policy]) -> DataFrame:
    """`planned` contacts (person_id, day, channel, policy_id and the key) with `refused`: why one is too many, or null.

    In the order of days, ties by user_id, each is admitted that keeps every cap, and lies far enough from others about its policy, beside the
    person's contacts and those admitted before.
    """
    entry = F.struct("day", "user_id", "city", "month", "channel", "policy_id")
    each = planned.groupBy("person_id").agg(F.sort_array(F.collect_list(entry)).alias("planned"))
    told_type = "array<struct<city:string,month:string,user_id:string,refused:string>>"
    start = F.struct(F.coalesce("contacts", F.array().cast(_CONTACTS)).alias("held"), F.array().cast(told_type).alias("told"))

    def step(state: Column, one: Column) -> Column:
        comes_again = is_apart(state["held"], one["policy_id"], _every(policies, one["policy_id"]), one["day"])
        refused = F.when(~fits(state["held"], one["day"], one["channel"], caps), F.lit(FREQUENCY_CAP)).when(~comes_again, F.lit(PUSHED_RECENTLY))
        more = F.array_append(state["held"], F.struct(*(one[part].alias(part) for part in ("day", "channel", "policy_id"))))
        told = F.array_append(state["told"], F.struct(*(one[part].alias(part) for part in KEY), refused.alias("refused")))
        return F.struct(F.when(refused.isNull(), more).otherwise(state["held"]).alias("held"), told.alias("told"))

    held = each.join(contacts.select("person_id", "contacts"), on="person_id", how="left")
    judged = held.select(F.inline(F.aggregate("planned", start, step)["told"]))
    return planned.join(judged, on=list(KEY), how="left")


def _every(policies: Mapping[str, Policy], policy: Column) -> Column:
    """The days between two contacts about a policy; null where it asks for none."""
    return F.try_element_at(constant_map({p.policy_id: p.push_every_days for p in policies.values() if p.push_every_days}, "int"), policy)


def _has_room(contacts: Column, day: Column, cap: Cap) -> Column:
    """True if every stretch of `cap.days` days with `day` in it has room for one more: it ends with `day`, or with a later contact."""
    later = F.filter(contacts, lambda one: (one["day"] > day) & (F.datediff(one["day"], day) < cap.days))
    ends = F.array_append(F.transform(later, lambda one: one["day"]), day)
    return F.forall(ends, lambda end: F.size(_within(contacts, end, cap)) < cap.most)


def _within(contacts: Column, day: Column, cap: Cap) -> Column:
    """Contacts of the `cap.days` days that end with `day`."""

    def is_counted(one: Column) -> Column:
        recent = (one["day"] <= day) & (F.datediff(day, one["day"]) < cap.days)
        return recent & (one["channel"] == cap.channel) if cap.channel else recent

    return F.filter(contacts, is_counted)


def _map(entries: Mapping[str, Column], kind: str) -> Column:
    if not entries:
        return F.lit(None).cast(f"map<string,{kind}>")
    return F.create_map(*(part for key, value in entries.items() for part in (F.lit(key), value)))
