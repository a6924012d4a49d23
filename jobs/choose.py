"""Choose the one offer of every customer: contact policy, holdout, arbitration, then capacity over all customers together.

Of the offers of decision.recommendation each customer gets one policy by one channel on one day of the month after the view's, or none. What was
contacted is told by raw.contact_history; for a month without it, what was planned for that month counts as contacted. Capacities that
cities share are those that the published choices of other cities leave. Writes decision.choice, decision.capacity_use, and
decision.exclusion anew: what recommend left there, and what could be offered and was not chosen.

    spark-submit jobs/choose.py --env demo --month 2025-03
"""

from __future__ import annotations

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.decisions.allocation import Allocation, allocate
from crm_spark.decisions.capacity import Customers, allotted
from crm_spark.decisions.choosing import Plans, choice_exclusions, choice_rows, choices, drawn_alone, judged_candidates, less, packed
from crm_spark.decisions.contact import contacts_by_person
from crm_spark.decisions.eligibility import STAGES
from crm_spark.decisions.inputs import available_columns, decision_input
from crm_spark.decisions.limits import Named, Space, capacities, space
from crm_spark.decisions.load import input_names, matrices_of
from crm_spark.decisions.prices import Capacities, Ints, usage
from crm_spark.frames import literal_frame
from crm_spark.job import Job, entry
from crm_spark.months import add_months, window
from crm_spark.tables.common import KEY
from crm_spark.tables.decision import CAPACITY_USE, CHOICE, EXCLUSION, RECOMMENDATION
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.raw import CONTACT_CONSENT, CONTACT_HISTORY
from crm_spark.tables.score import PERSONAL_INDEX

EVERYWHERE = "_ALL"
DAYS_A_MONTH = 28
PLANNED = "sent"


def run(job: Job) -> None:
    """Write decision.choice, decision.capacity_use and decision.exclusion."""
    choosing = job.config.choosing
    matrices = matrices_of(job.config)
    recommended = job.read(RECOMMENDATION).select(*KEY, "priority", "offers")
    customers = decision_input(job.read(CUSTOMER_VIEW), job.read(PERSONAL_INDEX), *input_names(job.config), matrices)
    customers = customers.join(recommended, on=list(KEY), how="left")
    consents = job.read(CONTACT_CONSENT, optional=True)
    plans = Plans(job.month, choosing, matrices.policies, _consent_is_known(job, customers, consents))
    contacts = contacts_by_person(_history(job, plans), job.read(CUSTOMER_VIEW, all_cities=True), plans.days[0], choosing.contact.refused_days)
    judged = judged_candidates(customers, contacts, consents, plans).persist()
    options = space(_cities(judged, job), matrices.policies, tuple(choosing.channels), [str(day) for day in plans.days], choosing.limits)
    packs = packed(judged, options).persist()
    try:
        chosen = choices(judged, contacts, _allocated(job, packs, options), plans).persist()
        job.write(choice_rows(chosen, plans), CHOICE)
        before = job.read(EXCLUSION).where(F.col("stage").isin(*STAGES))
        job.write(before.unionByName(choice_exclusions(chosen)), EXCLUSION)
        chosen.unpersist()
    finally:
        packs.unpersist()
        judged.unpersist()


def _allocated(job: Job, packs: DataFrame, options: Space) -> DataFrame:
    """The customers of `packs` with what they get: who explores has what was drawn, as far as there is room, before all others choose."""
    limited, named = capacities(job.config.choosing.limits, options)
    elsewhere = _used_elsewhere(job, options, limited)
    room = less(limited, elsewhere)
    alone = drawn_alone(packs)
    explored = allocate(Customers(alone), room)
    targets = packs.where(F.col("drawn").isNull())
    allocation = allocate(Customers(targets), less(room, explored.used))
    used = elsewhere + explored.used + allocation.used
    job.write(literal_frame(job.spark, list(_use(job, limited, named, used, allocation)), CAPACITY_USE.struct), CAPACITY_USE, cities=(EVERYWHERE,))
    _tell(job, allocation, explored)
    got = allotted(packs, allocation)
    drawn = allotted(alone, explored).where(F.col("chosen").isNotNull()).select("customer", F.lit(True).alias("has_drawn"))
    both = got.join(drawn, on="customer", how="left")
    is_target = F.col("drawn").isNull()
    mine = {
        "chosen": F.when(is_target, F.col("chosen")).when(F.col("has_drawn"), F.col("drawn")),
        "runner_up": F.when(is_target, F.col("runner_up")),
        "lost_by": F.when(is_target, F.col("lost_by")),
    }
    return both.withColumns(mine)


def _tell(job: Job, allocation: Allocation, explored: Allocation) -> None:
    told = f"{allocation.offers + explored.offers:,} offers, {explored.offers:,} of them drawn; at most {max(0.0, allocation.gap):.3%} below the best possible"
    job.log.info("    %s (%d passes)", told, allocation.passes)
    job.cover("choice", "capacity", "used", told)
    missed = int((allocation.missed > 0).sum())
    if missed:
        job.cover("choice", "minimum", "skipped", f"{missed} minima are missed: too few customers may have the offer; see decision.capacity_use")


def _use(job: Job, limited: Capacities, named: tuple[Named, ...], used: Ints, allocation: Allocation) -> list[tuple[object, ...]]:
    prices, units = allocation.plan.prices, limited.unit
    rows = zip(named, limited.least / units, limited.most / units, used / units, prices, strict=True)
    return [
        (EVERYWHERE, job.month, one.limit.name, one.of, one.limit.unit, float(least), float(most) if np.isfinite(most) else None, float(use), float(price))
        for one, least, most, use, price in rows
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


def _consent_is_known(job: Job, customers: DataFrame, consents: DataFrame) -> bool:
    """True if of any customer a consent or a refusal is known."""
    known = bool(available_columns(customers, ["consent_marketing"])) or consents.head(1) != []
    if not known:
        job.cover("choice", "consent", "skipped", "nobody's consent is told: nobody is left out for want of it")
    return known


def _history(job: Job, plans: Plans) -> DataFrame:
    """Contacts of the months that any contact rule looks back on; a month of which none is told has those that were planned for it."""
    contact = plans.choosing.contact
    pauses = [policy.push_every_days or 0 for policy in plans.policies.values()]
    reach = max([contact.refused_days, contact.rest.days + contact.rest.within_days, *(cap.days for cap in contact.caps), *pauses])
    months = window(job.month, 1 + reach // DAYS_A_MONTH)
    told = job.read(CONTACT_HISTORY, months, optional=True, all_cities=True).select("user_id", "person_id", "day", "channel", "policy_id", "outcome")
    seen = set(job.months_of(CONTACT_HISTORY))
    before = [add_months(month, -1) for month in months if month not in seen]
    if job.month not in seen:
        job.cover("choice", "contact_history", "skipped", "no contacts of the month are told: those planned for it count")
    planned = job.read(CHOICE, before, optional=True, all_cities=True).where(F.col("day").isNotNull())
    return told.unionByName(planned.select("user_id", "person_id", "day", "channel", "policy_id", F.lit(PLANNED).alias("outcome")))


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
