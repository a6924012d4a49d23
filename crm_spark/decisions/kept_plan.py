"""The plan of an allocation, kept with the use of its capacities, and made again from there for some customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pyspark.sql import Row

from crm_spark.decisions.allocation import Allocation
from crm_spark.decisions.limits import Named
from crm_spark.decisions.prices import Capacities
from crm_spark.decisions.rounds import Plan, Round
from crm_spark.errors import ReplayError

KeptRound = tuple[str, float, bool, float | None]


def kept_rounds(allocations: Mapping[str, Allocation]) -> list[list[KeptRound]]:
    """Per capacity what `decision.capacity_use` keeps as `rounds`; the allocations of all arms have the same capacities."""
    size = next(iter(allocations.values())).capacities.size
    return [[_kept(arm, made, one, k) for arm, made in allocations.items() for one in made.plan.rounds] for k in range(size)]


def restored(arm: str, kept: Sequence[Row], named: Sequence[Named], capacities: Capacities, settled: Mapping[str, int]) -> Allocation:
    """The allocation by which an arm chose: `kept` are rows of `decision.capacity_use`, `settled` the customers that an exact solution set.

    ReplayError where the prices of a capacity were not kept.
    """
    told = {(row["capacity"], row["of"]): [one for one in row["rounds"] or () if one["arm"] == arm] for row in kept if row["rounds"] is not None}
    missing = [f"{one.limit.name} {one.of}".strip() for one in named if (one.limit.name, one.of) not in told]
    if missing:
        raise ReplayError(f"its prices are not available: decision.capacity_use does not keep those of {', '.join(missing)}")
    return Allocation(_plan([told[one.limit.name, one.of] for one in named]), capacities, 0.0, 0.0, 0, 0, np.zeros(capacities.size, dtype=np.int64), dict(settled))


def _kept(arm: str, made: Allocation, one: Round, k: int) -> KeptRound:
    cut = float(one.cut[k])
    return arm, float(made.plan.prices[k]), bool(one.is_open[k]), cut if np.isfinite(cut) else None


def _plan(by_capacity: Sequence[Sequence[Row]]) -> Plan:
    """Without any capacity everybody takes the best, in one round."""
    if not by_capacity:
        return Plan(np.zeros(0), (Round(np.ones(0, dtype=bool), np.zeros(0)),))
    prices = np.array([rounds[0]["price"] if rounds else 0.0 for rounds in by_capacity])
    return Plan(prices, tuple(map(_round, zip(*by_capacity, strict=True))))


def _round(of_capacities: Sequence[Row]) -> Round:
    cuts = [-np.inf if one["cut"] is None else one["cut"] for one in of_capacities]
    return Round(np.array([one["is_open"] for one in of_capacities]), np.array(cuts))
