"""Indicators of calls and contacts: bandicoot's `individual.py`, for all subscribers of a partition at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crm_spark.customer.indicator_log import SLOTS, CallLog, Slot, begins, pairs_of
from crm_spark.customer.indicator_stats import Floats, Ints, Nullable, entropy, fewest, order_within, ratio, sorted_within, summary, total
from crm_spark.tables.indicators import DAYS, WEEKS, column

Columns = Iterator[tuple[str, Nullable]]
_FINE = 32  # bits: shares of a contact's calls that differ at all differ by more than 2 ** -32, below 65,536 calls


def call_columns(log: CallLog) -> Columns:
    """What calls tell without their contacts."""
    yield from _durations(log)
    yield from _active_days(log)
    for slot in SLOTS:
        yield from _gaps(log, slot)


def contact_columns(log: CallLog) -> Columns:
    """How many contacts there are, and how calls and seconds spread over them."""
    pair, owner = pairs_of(log.user, log.contact)
    made = log.is_out
    calls, out = _quarters(pair, log.quarter, len(owner)), _quarters(pair[made], log.quarter[made], len(owner))
    seconds = _quarters(pair, log.quarter, len(owner), log.seconds)
    for slot in SLOTS:
        yield from _spread(log.users, owner, slot, *(grid[slot.quarters].sum(axis=0) for grid in (calls, out, seconds)))
    for week in WEEKS:
        whole, night = (total(owner, calls[Slot(week, day).quarters].sum(axis=0), log.users) for day in ("allday", "night"))
        yield column("percent_nocturnal", week, "allday"), ratio(night, whole)


def _durations(log: CallLog) -> Columns:
    order = order_within(log.user, log.seconds)
    user, seconds, quarter, is_out = log.user[order], log.seconds[order].astype(np.float64), log.quarter[order], log.is_out[order]
    for slot in SLOTS:
        within = slot.holds(quarter)
        for way, which in (("", within), ("_out", within & is_out), ("_in", within & ~is_out)):
            chosen = np.flatnonzero(which)  # values are taken by place much faster than by truth
            yield from _statistics(f"call_duration_seconds{way}", slot, user[chosen], seconds[chosen], log.users)


def _active_days(log: CallLog) -> Columns:
    for part in DAYS:
        within = np.flatnonzero(log.falls_into(part))
        user, day, is_weekend = log.user[within], log.day[within], log.is_weekend[within]
        new = begins(user, day)
        days = [np.bincount(user[new & chosen], minlength=log.users) for chosen in (~is_weekend, is_weekend)]
        for week, count in zip(WEEKS, (days[0] + days[1], *days), strict=True):
            yield column("active_days", week, part), (count, count > 0)


def _gaps(log: CallLog, slot: Slot) -> Columns:
    within = np.flatnonzero(slot.holds(log.quarter))
    user, time = log.user[within], log.time[within]
    same = np.flatnonzero(user[1:] == user[:-1])
    owner = user[same]
    gaps = sorted_within(owner, np.diff(time)[same]).astype(np.float64)
    yield from _statistics("interevent_time_seconds", slot, owner, gaps, log.users)


def _spread(users: int, owner: Ints, slot: Slot, calls: Ints, out: Ints, seconds: Ints) -> Columns:
    """The indicators of a slot that come from its calls, those made and their seconds per contact."""
    spoken = np.flatnonzero(calls)
    owner, calls, out, seconds = owner[spoken], calls[spoken], out[spoken], seconds[spoken]
    whole, made, contacts = total(owner, calls, users), total(owner, out, users), np.bincount(owner, minlength=users)
    told = whole > 0
    ascending = sorted_within(owner, calls)
    yield from _per_contact("", slot, owner, ascending, users)
    for way, count in (("_out", out), ("_in", calls - out)):
        some = np.flatnonzero(count)
        yield from _per_contact(way, slot, owner[some], sorted_within(owner[some], count[some]), users)
        yield _named("number_of_contacts" + way, slot), (np.bincount(owner[some], minlength=users), told)
    yield _named("number_of_contacts", slot), (contacts, told)
    for way, count in (("", whole), ("_out", made), ("_in", whole - made)):
        yield _named("number_of_interactions" + way, slot), (count, told)
    yield _named("percent_initiated_interactions", slot), ratio(made, whole)
    yield _named("percent_pareto_interactions", slot), ratio(fewest(owner, ascending, users), whole)
    yield _named("percent_pareto_durations", slot), ratio(fewest(owner, sorted_within(owner, seconds), users), whole)
    yield _named("entropy_of_contacts", slot), entropy(owner, ascending, users)
    yield from _balance(slot, owner, calls, out, whole)


def _per_contact(way: str, slot: Slot, owner: Ints, ascending: Ints, users: int) -> Columns:
    yield from _statistics(f"interactions_per_contact{way}", slot, owner, ascending.astype(np.float64), users)


def _balance(slot: Slot, owner: Ints, calls: Ints, out: Ints, whole: Ints) -> Columns:
    weighted = sorted_within(owner, out) / whole[owner]
    yield from _statistics("balance_of_contacts", slot, owner, weighted, len(whole))
    order = order_within(owner, (out << _FINE) // calls)
    yield from _statistics("balance_of_contacts_unweighted", slot, owner, out[order] / calls[order], len(whole))


def _statistics(family: str, slot: Slot, owner: Ints, ascending: Floats, users: int) -> Columns:
    for statistic, values in summary(owner, ascending, users).items():
        yield column(family, slot.week, slot.day, statistic), values


def _named(family: str, slot: Slot) -> str:
    return column(family, slot.week, slot.day)


def _quarters(pair: Ints, quarter: Ints, pairs: int, weights: Ints | None = None) -> Ints:
    """Calls (or what they weigh) of each quarter and pair."""
    return np.bincount(quarter * pairs + pair, weights, 4 * pairs).astype(np.int64).reshape(4, pairs)
