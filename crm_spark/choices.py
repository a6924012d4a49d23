"""The choice of a month from what a job may see: what it is made from, and how it is made. jobs/choose.py writes it, jobs/simulate.py only tries it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.config.choosing import Choosing, Limit
from crm_spark.config.policies import Policy
from crm_spark.decisions.allocation import Allocation, allocate
from crm_spark.decisions.capacity import Customers
from crm_spark.decisions.choosing import (
    Plans,
    Told,
    both_arms,
    choice_exclusions,
    choice_rows,
    choices,
    drawn_alone,
    judged_candidates,
    less,
    packed,
    too_many,
)
from crm_spark.decisions.complaints import complaining_persons
from crm_spark.decisions.contact import TAKEN, contacts_by_person
from crm_spark.decisions.holdout import EXPLORE, TARGET
from crm_spark.decisions.inputs import available_columns
from crm_spark.decisions.kept_plan import kept_rounds
from crm_spark.decisions.limits import Named, Space, capacities, space
from crm_spark.decisions.prices import Capacities, Ints
from crm_spark.errors import did_you_mean
from crm_spark.job import Job
from crm_spark.months import add_months, month_of, window
from crm_spark.other_cities import chosen_elsewhere, controls_of, used_by
from crm_spark.tables.common import EVERYWHERE
from crm_spark.tables.decision import CHOICE
from crm_spark.tables.desk import COMPLAINT
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.raw import CONTACT_CONSENT, CONTACT_HISTORY

DAYS_A_MONTH = 28
PLANNED = "sent"
Note = tuple[str, str, str]  # subject, status, reason: of ops.coverage


@dataclass(frozen=True)
class Basis:
    """What a choice is made from besides the customers; `elsewhere` are the published choices of cities that are not run. And what is missing."""

    plans: Plans
    told: Told
    elsewhere: DataFrame
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Made:
    """A choice: rows of decision.choice, of decision.exclusion (its own stages), of decision.capacity_use, and what is to be told."""

    choices: DataFrame
    dropped: DataFrame
    use: list[tuple[object, ...]]
    notes: tuple[Note, ...]


def basis_of(job: Job, choosing: Choosing, policies: Mapping[str, Policy], matrix_set: str) -> Basis:
    """What the job sees of contacts, consents and complaints, of all cities: whoever has numbers in several is one person."""
    consents, persons = (job.read(table, optional=table is CONTACT_CONSENT, all_cities=True) for table in (CONTACT_CONSENT, CUSTOMER_VIEW))
    is_known = bool(available_columns(persons, ["consent_marketing"])) or consents.head(1) != []
    plans = Plans(job.month, choosing, policies, is_known, matrix_set)
    elsewhere = chosen_elsewhere(job)
    history, told_of = _history(job, plans, elsewhere)
    begins = plans.days[0]
    told_in = {*_months_back(job, choosing.contact.complaint_days), *(m for m in job.months_of(COMPLAINT) if m <= job.month)}
    complaints = job.read(COMPLAINT, sorted(told_in), optional=True, all_cities=True)  # a settlement may take long
    told = Told(
        contacts_by_person(history, persons, begins, choosing.contact.refused_days),
        consents,
        complaining_persons(complaints, persons, begins, choosing.contact.complaint_days),
        controls_of(elsewhere),
    )
    missing = {
        "consent": "nobody's consent is told: nobody is left out for want of it" if not is_known else "",
        "contact_history": "no contacts of the month are told: those planned for it count" if not told_of else "",
    }
    return Basis(plans, told, elsewhere, tuple((subject, "skipped", reason) for subject, reason in missing.items() if reason))


@contextmanager
def choice_of(job: Job, customers: DataFrame, basis: Basis) -> Iterator[Made]:
    """The one offer of every customer: rows of the decision input with `priority` and `offers` of the recommendation."""
    plans = basis.plans
    judged = judged_candidates(customers, basis.told, plans).persist()
    cities = _cities(judged) | _cities(basis.elsewhere)
    options = space(sorted(cities), plans.policies, tuple(plans.choosing.channels), [str(day) for day in plans.days], plans.choosing.limits)
    packs = packed(judged, options).persist()
    try:
        made = _allocated(packs, options, plans.choosing.limits, basis.elsewhere)
        chosen = choices(judged, basis.told.contacts, both_arms(packs, made.target, made.explored), plans).persist()
        use = _use(job, made, made.used - used_by(too_many(chosen), options, made.limited))
        notes = (*basis.notes, *_notes(made.target, made.explored), *_unmet_cities(plans.choosing.limits, cities))
        yield Made(choice_rows(chosen, plans), choice_exclusions(chosen), use, notes)
        chosen.unpersist()
    finally:
        packs.unpersist()
        judged.unpersist()


@dataclass(frozen=True)
class _Allocated:
    """The allocation of all others and of those who explore, and what of each capacity is used, other cities included."""

    target: Allocation
    explored: Allocation
    limited: Capacities
    named: tuple[Named, ...]
    used: Ints


def _allocated(packs: DataFrame, options: Space, limits: Sequence[Limit], elsewhere: DataFrame) -> _Allocated:
    """Who explores has what was drawn, as far as there is room, before all others choose."""
    limited, named = capacities(limits, options)
    used = used_by(elsewhere, options, limited)
    room = less(limited, used)
    explored = allocate(Customers(drawn_alone(packs)), room)
    target = allocate(Customers(packs.where(F.col("drawn").isNull())), less(room, explored.used))
    return _Allocated(target, explored, limited, named, used + explored.used + target.used)


def _notes(target: Allocation, explored: Allocation) -> Iterator[Note]:
    told = f"{target.offers + explored.offers:,} offers, {explored.offers:,} of them drawn; at most {max(0.0, target.gap):.3%} below the best possible"
    yield "capacity", "used", told
    missed = int((target.missed > 0).sum())
    if missed:
        yield "minimum", "skipped", f"{missed} minima are missed: too few customers may have the offer; see decision.capacity_use"


def _unmet_cities(limits: Sequence[Limit], cities: Collection[str]) -> Iterator[Note]:
    for limit in limits:
        unmet = sorted(set(limit.cities) - set(cities))
        if unmet:
            told = ", ".join(f"'{city}'{did_you_mean(city, cities)}" for city in unmet)
            yield f"limits.{limit.name}", "skipped", f"nobody is decided over in {told}"


def _use(job: Job, made: _Allocated, used: Ints) -> list[tuple[object, ...]]:
    """Rows of decision.capacity_use."""
    units, rounds = made.limited.unit, kept_rounds({TARGET: made.target, EXPLORE: made.explored})
    prices = made.target.plan.prices.tolist()
    rows = zip(made.named, made.limited.least / units, made.limited.most / units, used / units, prices, rounds, strict=True)
    return [
        (EVERYWHERE, job.month, one.limit.name, one.of, one.limit.unit, float(least), float(most) if np.isfinite(most) else None, float(use), price, kept)
        for one, least, most, use, price, kept in rows
    ]


def _cities(frame: DataFrame) -> set[str]:
    return {row["city"] for row in frame.select("city").distinct().collect()}


def _history(job: Job, plans: Plans, elsewhere: DataFrame) -> tuple[DataFrame, bool]:
    """Contacts of the months that any contact rule looks back on, and of all months what was taken; and whether those of the run's month are
    told. A city of whose month none is told has those that were planned for it, and so have other cities, of the days to come."""
    contact = plans.choosing.contact
    pauses = [policy.push_every_days or 0 for policy in plans.policies.values()]
    months = _months_back(job, max([contact.refused_days, contact.rest.days + contact.rest.within_days, *(cap.days for cap in contact.caps), *pauses]))
    earlier = [month for month in job.months_of(CONTACT_HISTORY) if month < months[0]]
    history = job.read(CONTACT_HISTORY, (*earlier, *months), optional=True, all_cities=True)
    told = history.where(F.col("month").isin(*months) | F.col("outcome").isin(*TAKEN))
    places = {f"{row['city']}|{row['month']}" for row in told.select("city", "month").distinct().collect()}
    planned = job.read(CHOICE, [add_months(month, -1) for month in months], optional=True, all_cities=True).where(F.col("day").isNotNull())
    untold = planned.where(~F.concat_ws("|", "city", month_of(F.col("day"))).isin(*places))
    both = untold.unionByName(elsewhere.where(F.col("day").isNotNull())).withColumn("outcome", F.lit(PLANNED))
    columns = ("user_id", "person_id", "day", "channel", "policy_id", "outcome")
    return told.select(*columns).unionByName(both.select(*columns)), any(place.endswith(job.month) for place in places)


def _months_back(job: Job, days: int) -> tuple[str, ...]:
    return window(job.month, 1 + days // DAYS_A_MONTH)
