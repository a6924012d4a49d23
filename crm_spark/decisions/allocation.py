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

from crm_spark.decisions.exact import polished
from crm_spark.decisions.prices import SOFTNESSES, VALUE_UNITS, Block, Capacities, Floats, Ints, Market, Prices, best_prices
from crm_spark.decisions.rounds import NONE, Plan, Round, chosen, doubtful, spent, with_round

NEAR = 1e-5  # share of the bound that is not worth another pass
AMISS = 1e-3  # share of the bound that rounds set right


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
class Held(Few):
    """A population that is on the driver."""

    def extent(self) -> Extent:
        """Customers, candidates, highest value."""
        return Extent(self.block.customers, len(self.block.option), float(self.block.value.max(initial=0.0)))

    def sample(self, _: int, /) -> Few:
        """All of them."""
        return self

    def total(self, work: Callable[[Block], Ints], /) -> Ints:
        """Of the one block."""
        return work(self.block)

    def nearest(self, distance: Callable[[Block], Floats], count: int, /) -> Few:
        """The `count` customers of least distance, equal ones by key."""
        kept = np.sort(np.lexsort((np.arange(self.block.customers), distance(self.block)))[:count])
        return Few(tuple(self.keys[i] for i in kept), self.block.of(kept))


@dataclass(frozen=True)
class Effort:
    """Passes by which prices are found, over a sample of so many candidates and over all; rounds; candidates that are solved exactly at once.

    So many candidates as are sampled fit on the driver: where there are no more, all of them are.
    """

    sampled: int = 1_000_000
    sample_passes: int = 300
    passes: int = 40
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
    passes: int
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
    if extent.candidates <= effort.sampled:
        population = Held(**vars(population.sample(extent.customers)))
    free = _freely(population, capacities)
    if free:
        return free
    if extent.candidates <= effort.solved_exactly:
        effort = replace(effort, passes=1, rounds=1)  # all of them will be solved exactly
    found = priced(population, capacities, extent, effort)
    plan = Plan(found.prices)
    for number in range(effort.rounds):
        plan = with_round(population.total, capacities, plan, extent.highest)
        if number and not np.isfinite(plan.rounds[-1].cut).any():
            break  # everybody has got what they asked for
    return _polished(population, capacities, plan, extent, effort, found)


def _freely(population: Population, capacities: Capacities) -> Allocation | None:
    """Everybody gets what is best for them, if that is within the capacities."""
    size = capacities.size
    plan = Plan(np.zeros(size), (Round(np.ones(size, dtype=bool), np.full(size, -np.inf)),))
    done = population.total(lambda block: spent(block, capacities, chosen(block, capacities, plan)))
    if (done[:size] > capacities.most).any() or (done[:size] < capacities.least).any():
        return None
    return Allocation(plan, capacities, done[size] / VALUE_UNITS, done[size] / VALUE_UNITS, int(done[size + 1]), 0, done[:size])


def priced(population: Population, capacities: Capacities, extent: Extent, effort: Effort) -> Prices:
    """The prices of all customers, which start from those of a sample, so that few passes over all are left."""
    few = population.sample(_share_of(extent, effort.sampled))
    share = len(few.keys) / extent.customers
    small = replace(capacities, families=tuple(replace(f, least=f.least * share, most=f.most * share) for f in capacities.families))
    sample = Market(lambda work: work(few.block), len(few.keys), extent.highest)
    first = best_prices(sample, small, np.zeros(capacities.size), AMISS, effort.sample_passes, SOFTNESSES)
    return best_prices(Market(population.total, extent.customers, extent.highest), capacities, first.prices, AMISS, effort.passes)


def _share_of(extent: Extent, candidates: int) -> int:
    """How many customers have so many candidates."""
    return max(1, candidates * extent.customers // extent.candidates)


def _polished(population: Population, capacities: Capacities, plan: Plan, extent: Extent, effort: Effort, found: Prices) -> Allocation:
    size, ceiling = capacities.size, found.bound
    done = population.total(lambda block: spent(block, capacities, chosen(block, capacities, plan)))
    used = done[:size]
    scarce = (plan.prices != 0) | (used < capacities.least) | np.any([np.isfinite(one.cut) for one in plan.rounds], axis=0)
    overrides: dict[str, int] = {}
    if done[size] / VALUE_UNITS < ceiling * (1 - NEAR) or (used < capacities.least).any():
        few = population.nearest(partial(doubtful, capacities=capacities, plan=plan, is_wanted=scarce), _share_of(extent, effort.solved_exactly))
        now = chosen(few.block, capacities, plan)
        before = spent(few.block, capacities, now)
        others = used - before[:size]
        new = polished(few.block, capacities, capacities.least - others, capacities.most - others, now)
        done = done - before + spent(few.block, capacities, new)
        overrides = {key: int(c - s) if c != NONE else NONE for key, c, s, old in zip(few.keys, new, few.block.starts, now, strict=True) if c != old}
    return Allocation(plan, capacities, done[size] / VALUE_UNITS, ceiling, int(done[size + 1]), found.passes, done[:size], overrides)
