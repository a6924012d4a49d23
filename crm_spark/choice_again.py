"""A past choice over one person made again: by the same steps, with the prices, the control groups and the last few that its run kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from crm_spark.choices import Basis, basis_of
from crm_spark.config.choosing import Choosing
from crm_spark.decisions.arbitration import weights_of
from crm_spark.decisions.choosing import both_arms, choice_exclusions, choice_rows, choices, judged_candidates, packed
from crm_spark.decisions.eligibility import STAGES
from crm_spark.decisions.holdout import EXPLORE, TARGET
from crm_spark.decisions.inputs import decision_input
from crm_spark.decisions.kept_plan import restored
from crm_spark.decisions.limits import capacities, space
from crm_spark.decisions.score_drivers import offered
from crm_spark.decisions.table import MatrixSet
from crm_spark.errors import ReplayError
from crm_spark.job import Job
from crm_spark.tables.common import KEY
from crm_spark.tables.decision import CAPACITY_USE, CHOICE, EXCLUSION, RECOMMENDATION
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import PERSONAL_INDEX

Names = tuple[Sequence[str], Sequence[str]]
LATER = ("score_drivers", "valid_from", "valid_to")  # columns that older choices do not have, or as NULL


@dataclass(frozen=True)
class Again:
    """A choice made again: its row of decision.choice, the offers that were dropped, and how it came about, line by line."""

    choice: Row
    dropped: list[Row]
    told: list[str]

    def differences(self, kept: Row, dropped: list[Row]) -> list[str]:
        """What was kept otherwise."""
        before, now = kept.asDict(recursive=True), self.choice.asDict(recursive=True)
        told = [column for column in before if column not in LATER or before[column] is not None]
        changed = [f"choice: {column} was {before[column]}, is {now[column]}" for column in told if before[column] != now[column]]
        return [*changed, *(["choice: exclusions"] if sorted(map(tuple, dropped)) != sorted(map(tuple, self.dropped)) else [])]


def choice_again(then: Job, user: str, names: Names, matrices: MatrixSet, choosing: Choosing, matrix_set: str) -> Again:
    """The choice over a customer by the run whose view of all tables `then` has; ReplayError where prices were not kept."""
    everybody = decision_input(then.read(CUSTOMER_VIEW), then.read(PERSONAL_INDEX), *names, matrices)
    customers = everybody.join(offered(then.read(RECOMMENDATION)), on=list(KEY), how="left")
    basis = basis_of(then, choosing, matrices.policies, matrix_set)
    person = customers.where(F.col("user_id") == user).select(F.coalesce("person_id", "user_id")).head(1)
    of_person = customers.where(F.coalesce("person_id", "user_id") == person[0][0])
    kept = then.read(CHOICE).where(F.col("person_id") == person[0][0])
    return _made(then, user, of_person, kept, basis)


def dropped_then(then: Job, user: str) -> list[Row]:
    """Offers of the customer that choosing dropped."""
    rows = then.read(EXCLUSION).where((F.col("user_id") == user) & ~F.col("stage").isin(*STAGES))
    return rows.select(*EXCLUSION.columns).collect()


def _made(then: Job, user: str, customers: DataFrame, kept: DataFrame, basis: Basis) -> Again:
    plans = basis.plans
    told = replace(basis.told, controls=kept.select("person_id", "controls").dropDuplicates(["person_id"]), all_drawn=True)
    judged = judged_candidates(customers, told, plans).persist()
    cities = [row["city"] for row in judged.select("city").distinct().collect()]
    options = space(cities, plans.policies, tuple(plans.choosing.channels), [str(day) for day in plans.days], plans.choosing.limits)
    limited, named = capacities(plans.choosing.limits, options)
    of_exact_solver = kept.where(F.col("settled_place").isNotNull()).select(F.concat_ws("|", *KEY).alias("customer"), "settled_place")
    settled = {row["customer"]: row["settled_place"] for row in of_exact_solver.collect()}
    use = then.read(CAPACITY_USE, all_cities=True).collect()
    target, explored = (restored(arm, use, named, limited, settled) for arm in (TARGET, EXPLORE))
    chosen = choices(judged, told.contacts, both_arms(packed(judged, options), target, explored), plans).where(F.col("user_id") == user).persist()
    try:
        (choice,) = choice_rows(chosen, plans).collect()
        dropped = choice_exclusions(chosen).collect()
        (offered,) = chosen.join(customers.select(*KEY, "priority"), on=list(KEY)).select("priority", "candidates", "choice").collect()
    finally:
        chosen.unpersist()
        judged.unpersist()
    touched = {(one.limit.name, one.of) for one in named}
    prices = {f"{row['capacity']} {row['of']}".strip(): row["price"] for row in use if row["price"] and (row["capacity"], row["of"]) in touched}
    return Again(choice, dropped, [*_choice_told(choice, offered, basis), *_prices_told(prices), *_dropped_told(dropped)])


def _choice_told(choice: Row, offered: Row, basis: Basis) -> list[str]:
    if choice["policy_id"] is None:
        return [f"choice: nothing (arm {choice['arm']})"]
    hours = f" on {choice['day']}, {choice['send_from']}-{choice['send_until']}" if choice["day"] else ""
    context, lever = weights_of(choice["goal"], choice["policy_id"], offered["priority"] or (), basis.plans.choosing)
    how = " (the last few: solved exactly against the room that all others left)" if choice["settled_place"] is not None else ""
    told = [
        f"choice: {choice['policy_id']} by {choice['channel']}{hours} (arm {choice['arm']}, probability {choice['selection_probability']:g}){how}",
        f"score {choice['score']:g} = net value {choice['net_value_yuan']:g} yuan at P {choice['propensity']:g}, x (1 + {context:g}/100) for C, "
        f"x (1 + {lever:g}/100) for L; it costs {choice['spend_yuan']:g} yuan",
    ]
    told += [f"because {driver}" for driver in choice["score_drivers"]]
    if choice["runner_up_policy"]:
        told.append(f"runner-up: {choice['runner_up_policy']} by {choice['runner_up_channel']}, lost by {choice['lost_by']:g} after prices")
    return told


def _prices_told(prices: dict[str, float]) -> list[str]:
    return [f"price of {capacity}: {price:g}" for capacity, price in sorted(prices.items())]


def _dropped_told(dropped: list[Row]) -> list[str]:
    return [f"not {row['policy_id']}: {row['stage']}, {row['reason']}" for row in sorted(dropped, key=lambda row: (row["goal"], row["candidate_rank"]))]


def refuse_unkept(choice: DataFrame) -> None:
    """ReplayError for a table of before sets and prices were kept."""
    missing = [column for column in ("matrix_set", "settled_place") if column not in choice.columns]
    if missing:
        raise ReplayError(f"the choice cannot be told again: decision.choice did not keep {', '.join(missing)} then")
