"""One offer a customer within capacities, worth most over all customers: prices, rounds, and an exact solution for whom prices hardly tell apart.

It sees the customers only through sums over all of them and through the few it asks for, so it is the same for a list in memory and for a
frame on a cluster (`crm_spark.decisions.capacity`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import numpy as np

from crm_spark.decisions.exact import polished, sample_prices
from crm_spark.decisions.prices import VALUE_UNITS, Block, Capacities, Floats, Ints, Search, Tally, bound, moved, start, tally
from crm_spark.decisions.rounds import NONE, Plan, Round, chosen, doubtful, spent, with_round

NEAR = 1e-5  # share of the bound that is not worth another pass
AMISS = 1e-3  # share of the bound at which prices need not move: rounds set right what is left


@dataclass(frozen=True)
class Few:
    """Some customers that came to the driver, in the order of their keys."""

    keys: tuple[str, ...]
    block: Block


@dataclass(frozen=True)
class Extent:
    """How many customers and candidates there are, and the highest value of a candidate."""

    customers: int
    candidates: int
    highest: float


class Population(Protocol):
    """All customers with their candidates."""

    def extent(self) -> Extent:
        """Customers, candidates, highest value."""

    def sample(self, count: int, /) -> Few:
        """So many customers, whichever have the lowest hashes."""

    def total(self, work: Callable[[Block], Ints], /) -> Ints:
        """The sum of what `work` makes of every block."""

    def nearest(self, distance: Callable[[Block], Floats], count: int, /) -> Few:
        """The `count` customers of least distance, equal ones by key."""


@dataclass(frozen=True)
class Effort:
    """How often prices move, how many rounds there are, and how many candidates are solved exactly at once."""

    iterations: int = 30
    rounds: int = 3
    solved_exactly: int = 20_000


EFFORT = Effort()


@dataclass(frozen=True)
class Allocation:
    """What each customer gets is `choose`; the rest tells how good it is.

    `bound` is a value that no allocation within the capacities exceeds, `used` is per capacity, as `Capacities.most` counts.
    """

    plan: Plan
    capacities: Capacities
    value: float
    bound: float
    offers: int
    iterations: int
    used: Ints
    overrides: dict[str, int] = field(default_factory=dict)

    @property
    def gap(self) -> float:
        """The share of the bound that the value falls short of, at most: below zero where a minimum had to be missed."""
        return 1 - self.value / self.bound if self.bound > 0 else 0.0

    @property
    def missed(self) -> Floats:
        """What each minimum lacks."""
        return np.maximum(self.capacities.least - self.used, 0)

    def choose(self, keys: list[str], block: Block) -> Ints:
        """The candidate of each customer of a block, as its place in the block; NONE: none."""
        taken = chosen(block, self.capacities, self.plan)
        for customer, key in enumerate(keys) if self.overrides else ():
            if key in self.overrides:
                place = self.overrides[key]
                taken[customer] = NONE if place == NONE else block.starts[customer] + place
        return taken


def allocate(population: Population, capacities: Capacities, effort: Effort = EFFORT) -> Allocation:
    """The allocation of all customers; a customer takes one candidate or none, and no maximum is exceeded."""
    extent = population.extent()
    if not extent.customers:
        return Allocation(Plan(np.zeros(capacities.size)), capacities, 0.0, 0.0, 0, 0, np.zeros(capacities.size, dtype=np.int64))
    free = _freely(population, capacities)
    if free:
        return free
    if extent.candidates <= effort.solved_exactly:
        effort = replace(effort, iterations=1, rounds=1)  # all of them will be solved exactly
    search, ceiling, iterations = priced(population, capacities, extent, effort)
    plan = Plan(search.prices)
    for number in range(effort.rounds):
        plan = with_round(population.total, capacities, plan, extent.highest)
        if number and not np.isfinite(plan.rounds[-1].cut).any():
            break  # everybody has got what they asked for
    return _polished(population, capacities, plan, extent, effort, ceiling, iterations)


def _freely(population: Population, capacities: Capacities) -> Allocation | None:
    """Everybody gets what is best for them, if that is within the capacities."""
    size = capacities.size
    plan = Plan(np.zeros(size), (Round(np.ones(size, dtype=bool), np.full(size, -np.inf)),))
    done = population.total(lambda block: spent(block, capacities, chosen(block, capacities, plan)))
    if (done[:size] > capacities.most).any() or (done[:size] < capacities.least).any():
        return None
    return Allocation(plan, capacities, done[size] / VALUE_UNITS, done[size] / VALUE_UNITS, int(done[size + 1]), 0, done[:size])


def priced(population: Population, capacities: Capacities, extent: Extent, effort: Effort) -> tuple[Search, float, int]:
    """The prices at which least is over- or undersold, the lowest bound, and how many iterations it took.

    They start from those of a sample, so that few iterations are left. The bound is flat around the best prices, what is sold is not: so
    prices are judged by that.
    """
    few = population.sample(_share_of(extent, effort))
    search = start(sample_prices(few.block, capacities, len(few.keys) / extent.customers), extent.highest)
    best, least, ceiling, number = search, np.inf, np.inf, 0
    for number in range(1, effort.iterations + 1):
        counted = Tally.of(population.total(partial(_tallied, capacities=capacities, search=search)), capacities.size)
        ceiling = min(ceiling, bound(search, capacities, counted))
        amiss = _amiss(search, capacities, counted, ceiling / extent.customers)
        if amiss < least:
            best, least = search, amiss
        if amiss <= AMISS * ceiling:
            break
        search = moved(search, capacities, counted, _step(number))
    return best, ceiling, number


def _amiss(search: Search, capacities: Capacities, counted: Tally, typical: float) -> float:
    """What is sold beyond a capacity or left of it, at its price; what is too much of a capacity without a price, at a typical value."""
    bounded = np.clip(counted.used, capacities.least, capacities.most)
    limit = np.where(search.prices < 0, capacities.least, np.where(search.prices > 0, capacities.most, bounded))
    price = np.where(search.prices != 0, np.abs(search.prices), typical)
    return float((np.abs(counted.used - limit) / capacities.unit * price).sum())


def _share_of(extent: Extent, effort: Effort) -> int:
    """How many customers may be solved exactly."""
    return max(1, effort.solved_exactly * extent.customers // extent.candidates)


def _tallied(block: Block, capacities: Capacities, search: Search) -> Ints:
    return tally(block, capacities, search.prices, search.windows).flat()


def _step(number: int) -> float:
    """All prices move at once: ever shorter steps, lest they swing."""
    return float(max(0.3, 0.9**number))


def _polished(
    population: Population, capacities: Capacities, plan: Plan, extent: Extent, effort: Effort, ceiling: float, iterations: int
) -> Allocation:
    size = capacities.size
    done = population.total(lambda block: spent(block, capacities, chosen(block, capacities, plan)))
    used = done[:size]
    scarce = (plan.prices != 0) | (used < capacities.least) | np.any([np.isfinite(one.cut) for one in plan.rounds], axis=0)
    overrides: dict[str, int] = {}
    if done[size] / VALUE_UNITS < ceiling * (1 - NEAR) or (used < capacities.least).any():
        few = population.nearest(partial(doubtful, capacities=capacities, plan=plan, is_wanted=scarce), _share_of(extent, effort))
        now = chosen(few.block, capacities, plan)
        before = spent(few.block, capacities, now)
        others = used - before[:size]
        new = polished(few.block, capacities, capacities.least - others, capacities.most - others, now)
        done = done - before + spent(few.block, capacities, new)
        overrides = {key: int(c - s) if c != NONE else NONE for key, c, s, old in zip(few.keys, new, few.block.starts, now, strict=True) if c != old}
    return Allocation(plan, capacities, done[size] / VALUE_UNITS, ceiling, int(done[size + 1]), iterations, done[:size], overrides)
