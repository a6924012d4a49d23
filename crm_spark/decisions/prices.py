"""Dual prices of capacities: one block of customers at a time in arrays, with sums that are whole numbers and so know no order.

A customer takes the candidate that is worth most after the prices of all that it uses, or none if nothing is left. Whatever the prices, what
customers have left and what the capacities would then bring is more than any allocation makes; the best prices make it least. For so
many customers this sum is smooth, and how it changes with a price is what is sold too much or too little: L-BFGS-B finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, minimize

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Kind = TypeVar("Kind", bound=np.generic)

SPEND_UNITS = 1_000_000  # to a yuan, for sums: what an offer costs is told to so many digits
VALUE_UNITS = 1_000_000  # to a unit of value, for sums
MISSED = 10.0  # times the highest value: what it may cost to lack a unit of a minimum
MEMORY = 20  # earlier passes that L-BFGS-B looks back on
SOFTNESSES = (0.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # of a typical value, one after the other until enough is right
STEPS = 40  # passes at each softness
SHARES = 1024  # to a whole customer


@dataclass(frozen=True)
class Family:
    """Capacities of which a candidate uses at most one: `of` is, per option, which of them (-1: none).

    `least` and `most` are offers, or with `in_yuan` what they cost.
    """

    of: Ints
    least: Floats
    most: Floats
    in_yuan: bool = False

    @property
    def size(self) -> int:
        """How many capacities."""
        return len(self.most)

    @property
    def unit(self) -> int:
        """What is counted to an offer or to a yuan."""
        return SPEND_UNITS if self.in_yuan else 1


@dataclass(frozen=True)
class Capacities:
    """Families side by side; a vector over all capacities is theirs one behind the other."""

    families: tuple[Family, ...]

    @property
    def size(self) -> int:
        """How many capacities in all families."""
        return sum(f.size for f in self.families)

    @property
    def least(self) -> Floats:
        """The minimum of each, as usage counts: offers, or millionths of a yuan."""
        return np.concatenate([np.zeros(0), *(f.least * f.unit for f in self.families)])

    @property
    def most(self) -> Floats:
        """The maximum of each, as usage counts."""
        return np.concatenate([np.zeros(0), *(f.most * f.unit for f in self.families)])

    @property
    def unit(self) -> Floats:
        """What usage counts to an offer, or to a yuan, which prices are for."""
        return np.concatenate([np.zeros(0), *(np.full(f.size, float(f.unit)) for f in self.families)])

    def parts(self, vector: npt.NDArray[Kind]) -> list[npt.NDArray[Kind]]:
        """A vector over all capacities, family by family."""
        return np.split(vector, np.cumsum([f.size for f in self.families])[:-1]) if self.families else []


@dataclass(frozen=True)
class Block:
    """Some customers, each with one candidate or more: where its candidates begin, and of each the option, the value, the yuan it costs."""

    starts: Ints
    option: Ints
    value: Floats
    spend: Floats

    @property
    def customers(self) -> int:
        """How many customers."""
        return len(self.starts)

    @cached_property
    def owner(self) -> Ints:
        """Whose candidate it is."""
        return np.repeat(np.arange(self.customers), np.diff(self.starts, append=len(self.option)))

    def of(self, customers: Ints) -> Block:
        """Some of the customers, in the order given."""
        counts = np.diff(self.starts, append=len(self.option))[customers]
        starts = np.cumsum(np.append(0, counts[:-1])) if len(counts) else np.zeros(0, dtype=np.int64)
        places = np.repeat(self.starts[customers] - starts, counts) + np.arange(counts.sum())
        return Block(starts, self.option[places], self.value[places], self.spend[places])


def after_prices(block: Block, capacities: Capacities, prices: Floats) -> Floats:
    """The value of each candidate less the prices of what it uses."""
    left = block.value
    for family, own in zip(capacities.families, capacities.parts(prices), strict=True):
        price = np.append(own, 0.0)[family.of[block.option]]  # -1 finds the last
        left = left - (price * block.spend if family.in_yuan else price)
    return left


@dataclass(frozen=True)
class Best:
    """Per customer: the candidate that is worth most, its worth, and that of the next best."""

    candidate: Ints
    worth: Floats
    next_worth: Floats


def best_of(block: Block, worth: Floats) -> Best:
    """Of equal candidates the first."""
    top = np.maximum.reduceat(worth, block.starts)
    owner = block.owner
    place = np.arange(len(worth))
    first = np.minimum.reduceat(np.where(worth == top[owner], place, len(worth)), block.starts)
    others = worth.copy()
    others[first] = -np.inf
    return Best(first, top, np.maximum.reduceat(others, block.starts))


def usage(block: Block, capacities: Capacities, candidates: Ints) -> Ints:
    """What these candidates use of each capacity."""
    return np.concatenate([np.zeros(0, dtype=np.int64), *(_by_capacity(block.option[candidates], amounts(block, f)[candidates], f) for f in capacities.families)])


def _by_capacity(options: Ints, amount: Floats, family: Family) -> Ints:
    """The sum of whole amounts per capacity that the options fall under."""
    capacity = family.of[options]
    inside = capacity >= 0
    return np.bincount(capacity[inside], weights=amount[inside], minlength=family.size).astype(np.int64)


def amounts(block: Block, family: Family) -> Floats:
    """What each candidate would use of the capacity it falls under, a whole number: of yuan never less than it costs."""
    return np.ceil(np.round(block.spend * SPEND_UNITS, 3)) if family.in_yuan else np.ones(len(block.option))


# --- finding the prices ---

Total = Callable[[Callable[[Block], Ints]], Ints]  # the sum over all blocks of what a function makes of each


@dataclass(frozen=True)
class Prices:
    """Prices, what is `amiss` at them (a share of the bound), the lowest bound seen, and the passes it took."""

    prices: Floats
    amiss: float
    bound: float
    passes: int


@dataclass(frozen=True)
class Market:
    """All customers, as the sum of what a function makes of each block, with their number and the highest value of a candidate."""

    total: Total
    customers: int
    highest: float


def best_prices(market: Market, capacities: Capacities, first: Floats, enough: float, passes: int, softnesses: Sequence[float] = (0.0,)) -> Prices:
    """Prices at which a share of the bound of at most `enough` is amiss, or the best of so many passes, from `first` on.

    What is amiss is what is sold beyond a capacity or left of it, at its price; what is too much counts a typical value at least.

    Where many customers are worth the same, the bound has edges, at which the search ends early: it goes on with customers that choose softly
    (`_soft_demand`), ever less so, for each of `softnesses` (shares of a typical value; 0: as they are).
    """
    search = _Search(market, capacities, enough, passes)
    upper, lower = search.upper, search.lower
    begin = np.concatenate([np.maximum(first[upper], 0), np.maximum(-first[lower], 0)])
    highest = np.concatenate([np.full(len(upper), np.inf), np.full(len(lower), MISSED * market.highest)])
    with suppress(_EnoughError):
        for softness in softnesses:
            search.softness = softness * search.typical
            options = {"maxcor": MEMORY, "ftol": 0.0, "gtol": 0.0, "maxfun": STEPS}
            begin = minimize(search.pass_over, begin, jac=True, method="L-BFGS-B", bounds=Bounds(0, highest), options=options).x
    return search.best


class _EnoughError(Exception):
    """The search may end."""


class _Search:
    """The passes over the customers, with the best prices of them so far.

    A variable is the price of a maximum, or of a minimum (which lowers the price), where there is one. `softness` is that of the customers'
    choice, in units of value (0: none); `typical` a customer's share of the first bound.
    """

    def __init__(self, market: Market, capacities: Capacities, enough: float, passes: int) -> None:
        self._market, self._capacities, self._enough, self._passes = market, capacities, enough, passes
        self.upper, self.lower = np.flatnonzero(np.isfinite(capacities.most)), np.flatnonzero(capacities.least > 0)
        self.best = Prices(np.zeros(capacities.size), np.inf, np.inf, 0)
        self._least = np.inf
        self.softness = 0.0
        self.typical = 0.0

    def pass_over(self, variables: Floats) -> tuple[float, Floats]:
        """The bound by these prices and how it changes with each, a customer."""
        capacities, customers = self._capacities, self._market.customers
        prices = self._prices(variables)
        done = self._market.total(partial(_demand, capacities=capacities, prices=prices, softness=self.softness))
        hard, surplus = done[: capacities.size], int(done[capacities.size]) / VALUE_UNITS
        bound = surplus + _brought(capacities, prices)
        self.typical = self.typical or bound / customers
        self._keep(prices, bound, _amiss(capacities, prices, hard, bound / customers))
        used = done[capacities.size + 1 : -1] / SHARES if self.softness else hard.astype(float)
        over, under = (capacities.most - used) / capacities.unit, (used - capacities.least) / capacities.unit
        at_most, at_least = (capacities.most / capacities.unit)[self.upper], (capacities.least / capacities.unit)[self.lower]
        value = int(done[-1]) / VALUE_UNITS + float(variables[: len(self.upper)] @ at_most) - float(variables[len(self.upper) :] @ at_least)
        return value / customers, np.concatenate([over[self.upper], under[self.lower]]) / customers

    def _prices(self, variables: Floats) -> Floats:
        prices = np.zeros(self._capacities.size)
        prices[self.upper] += variables[: len(self.upper)]
        prices[self.lower] -= variables[len(self.upper) :]
        return prices

    def _keep(self, prices: Floats, bound: float, amiss: float) -> None:
        share, before = amiss / bound if bound > 0 else 0.0, self.best
        is_better = bound + amiss < self._least
        self._least = min(self._least, bound + amiss)
        kept = (prices, share) if is_better else (before.prices, before.amiss)
        self.best = Prices(*kept, min(bound, before.bound), before.passes + 1)
        if share <= self._enough or self.best.passes >= self._passes:
            raise _EnoughError


def _demand(block: Block, capacities: Capacities, prices: Floats, softness: float) -> Ints:
    """What is used of each capacity at the prices, and the value left to customers after prices; behind them the same, softly."""
    worth = after_prices(block, capacities, prices)
    best = best_of(block, worth)
    surplus = np.rint(np.maximum(best.worth, 0.0) * VALUE_UNITS).astype(np.int64).sum()
    hard = np.append(usage(block, capacities, best.candidate[best.worth > 0]), surplus)
    return np.concatenate([hard, _soft_demand(block, capacities, worth, best, softness)]) if softness else hard


def _soft_demand(block: Block, capacities: Capacities, worth: Floats, best: Best, softness: float) -> Ints:
    """As if a customer took each candidate (and none) with a chance of exp(worth / softness): shares in SHARES, and the soft maximum."""
    top = np.maximum(best.worth, 0.0)
    chance = np.exp((worth - top[block.owner]) / softness)
    whole = np.add.reduceat(chance, block.starts) + np.exp(-top / softness)
    share = chance / whole[block.owner]
    used = [_by_capacity(block.option, np.rint(amounts(block, family) * share * SHARES), family) for family in capacities.families]
    left = np.rint((top + softness * np.log(whole)) * VALUE_UNITS).astype(np.int64).sum()
    return np.concatenate([*used, [left]])


def _brought(capacities: Capacities, prices: Floats) -> float:
    """What the capacities bring at these prices."""
    limits = np.where(prices > 0, capacities.most, np.where(prices < 0, capacities.least, 0.0))
    return float((prices * limits / capacities.unit).sum())


def _amiss(capacities: Capacities, prices: Floats, used: Ints, typical: float) -> float:
    """What is sold too much, at a typical value or at its price, whichever is more, and what is left of a price's capacity, at its price."""
    too_much, too_little = np.maximum(used - capacities.most, 0), np.maximum(capacities.least - used, 0)
    limit = np.where(prices < 0, capacities.least, np.where(prices > 0, capacities.most, used))
    lost = (too_much + too_little) * np.maximum(np.abs(prices), typical)
    idle = np.where(too_much + too_little > 0, 0.0, np.abs(used - limit) * np.abs(prices))
    return float(((lost + idle) / capacities.unit).sum())
