"""The choice of a month from what a job may see: what it is made from, and how it is made. jobs/choose.py writes it, jobs/simulate.py only tries it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.config.choosing import Choosing
from crm_spark.config.policies import Policy
from crm_spark.decisions.allocation import Allocation, allocate
from crm_spark.decisions.capacity import Customers
from crm_spark.decisions.choosing import Plans, Told, both_arms, choice_exclusions, choice_rows, choices, drawn_alone, judged_candidates, less, packed
from crm_spark.decisions.complaints import complaining_persons
from crm_spark.decisions.contact import contacts_by_person
from crm_spark.decisions.holdout import EXPLORE, TARGET
from crm_spark.decisions.inputs import available_columns
from crm_spark.decisions.kept_plan import KeptRound, kept_rounds
from crm_spark.decisions.limits import Named, Space, capacities, space
from crm_spark.decisions.prices import Capacities, Ints, usage
from crm_spark.job import Job
from crm_spark.months import add_months, window
from crm_spark.tables.common import EVERYWHERE, KEY
from crm_spark.tables.decision import CHOICE
from crm_spark.tables.desk import COMPLAINT
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.raw import CONTACT_CONSENT, CONTACT_HISTORY

DAYS_A_MONTH = 28
PLANNED = "sent"
Note = tuple[str, str, str]  # subject, status, reason: of ops.coverage


@dataclass(frozen=True)
class Basis:
    """What a choice is made from besides the customers, and what of it is missing."""

    plans: Plans
    told: Told
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Made:
    """A choice: rows of decision.choice, of decision.exclusion (its own stages), of decision.capacity_use, and what is to be told."""

    choices: DataFrame
    dropped: DataFrame
    use: list[tuple[object, ...]]
    notes: tuple[Note, ...]


def basis_of(job: Job, customers: DataFrame, choosing: Choosing, policies: Mapping[str, Policy], matrix_set: str) -> Basis:
    """What the job sees of contacts, consents and complaints; `customers` are rows of the decision input."""
    consents = job.read(CONTACT_CONSENT, optional=True)
    is_known = bool(available_columns(customers, ["consent_marketing"])) or consents.head(1) != []
    plans = Plans(job.month, choosing, policies, is_known, matrix_set)
    history, told_of = _history(job, plans)
    begins, persons = plans.days[0], job.read(CUSTOMER_VIEW, all_cities=True)
    complaints = job.read(COMPLAINT, _months_back(job, choosing.contact.complaint_days), optional=True, all_cities=True)
    told = Told(
        contacts_by_person(history, persons, begins, choosing.contact.refused_days),
        consents,
        complaining_persons(complaints, persons, begins, choosing.contact.complaint_days),
    )
    missing = {
        "consent": "nobody's consent is told: nobody is left out for want of it" if not is_known else "",
        "contact_history": "no contacts of the month are told: those planned for it count" if not told_of else "",
    }
    return Basis(plans, told, tuple((subject, "skipped", reason) for subject, reason in missing.items() if reason))


@contextmanager
def choice_of(job: Job, customers: DataFrame, basis: Basis) -> Iterator[Made]:
    """The one offer of every customer: rows of the decision input with `priority` and `offers` of the recommendation."""
    plans = basis.plans
    judged = judged_candidates(customers, basis.told, plans).persist()
    options = space(_cities(judged, job), plans.policies, tuple(plans.choosing.channels), [str(day) for day in plans.days], plans.choosing.limits)
    packs = packed(judged, options).persist()
    try:
        target, explored, use = _allocated(job, packs, options, plans.choosing)
        chosen = choices(judged, basis.told.contacts, both_arms(packs, target, explored), plans).persist()
        yield Made(choice_rows(chosen, plans), choice_exclusions(chosen), use, (*basis.notes, *_notes(target, explored)))
        chosen.unpersist()
    finally:
        packs.unpersist()
        judged.unpersist()


def _allocated(job: Job, packs: DataFrame, options: Space, choosing: Choosing) -> tuple[Allocation, Allocation, list[tuple[object, ...]]]:
    """(allocation of all others, of those who explore, use of capacities): who explores has what was drawn, as far as there is room, before all others choose."""
    limited, named = capacities(choosing.limits, options)
    elsewhere = _used_elsewhere(job, options, limited)
    room = less(limited, elsewhere)
    explored = allocate(Customers(drawn_alone(packs)), room)
    target = allocate(Customers(packs.where(F.col("drawn").isNull())), less(room, explored.used))
    rounds = kept_rounds({TARGET: target, EXPLORE: explored})
    return target, explored, _use(job, limited, named, elsewhere + explored.used + target.used, target.plan.prices.tolist(), rounds)


def _notes(target: Allocation, explored: Allocation) -> Iterator[Note]:
    told = f"{target.offers + explored.offers:,} offers, {explored.offers:,} of them drawn; at most {max(0.0, target.gap):.3%} below the best possible"
    yield "capacity", "used", told
    missed = int((target.missed > 0).sum())
    if missed:
        yield "minimum", "skipped", f"{missed} minima are missed: too few customers may have the offer; see decision.capacity_use"


def _use(
    job: Job, limited: Capacities, named: tuple[Named, ...], used: Ints, prices: list[float], rounds: list[list[KeptRound]]
) -> list[tuple[object, ...]]:
    units = limited.unit
    rows = zip(named, limited.least / units, limited.most / units, used / units, prices, rounds, strict=True)
    return [
        (EVERYWHERE, job.month, one.limit.name, one.of, one.limit.unit, float(least), float(most) if np.isfinite(most) else None, float(use), price, kept)
        for one, least, most, use, price, kept in rows
    ]


def _used_elsewhere(job: Job, options: Space, limited: Capacities) -> Ints:
    """What the published choices of cities that are not run use."""
    nothing = np.zeros(limited.size, dtype=np.int64)
    if not (job.cities and limited.size):
        return nothing
    others = job.read(CHOICE, optional=True, all_cities=True).where(~F.col("city").isin(*job.cities) & F.col("policy_id").isNotNull())
    number = options.number(F.col("city"), F.col("policy_id"), F.col("channel"), F.col("day"))
    packs = others.select(
        F.concat_ws("|", *KEY).alias("customer"), F.array(number).alias("options"), F.array("score").alias("values"), F.array("spend_yuan").alias("spends")
    )
    told = Customers(packs).total(lambda block: usage(block, limited, np.arange(block.customers)))
    return told if len(told) else nothing


def _cities(judged: DataFrame, job: Job) -> list[str]:
    """The cities that options are told apart by: those of the run, and those that share capacities with them."""
    here = {row["city"] for row in judged.select("city").distinct().collect()}
    others = job.read(CHOICE, optional=True, all_cities=True).select("city").distinct().collect() if job.cities else []
    return sorted(here | {row["city"] for row in others})


def _history(job: Job, plans: Plans) -> tuple[DataFrame, bool]:
    """Contacts of the months that any contact rule looks back on, and whether those of the run's month are told: a month of which none is has
    those that were planned for it."""
    contact = plans.choosing.contact
    pauses = [policy.push_every_days or 0 for policy in plans.policies.values()]
    months = _months_back(job, max([contact.refused_days, contact.rest.days + contact.rest.within_days, *(cap.days for cap in contact.caps), *pauses]))
    told = job.read(CONTACT_HISTORY, months, optional=True, all_cities=True).select("user_id", "person_id", "day", "channel", "policy_id", "outcome")
    seen = set(job.months_of(CONTACT_HISTORY))
    before = [add_months(month, -1) for month in months if month not in seen]
    planned = job.read(CHOICE, before, optional=True, all_cities=True).where(F.col("day").isNotNull())
    history = told.unionByName(planned.select("user_id", "person_id", "day", "channel", "policy_id", F.lit(PLANNED).alias("outcome")))
    return history, job.month in seen


def _months_back(job: Job, days: int) -> tuple[str, ...]:
    return window(job.month, 1 + days // DAYS_A_MONTH)
