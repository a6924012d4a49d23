"""Dual prices of capacities, in arrays: one block of customers at a time, with sums that are whole numbers and so know no order.

Synchronous coordinate descent after Zhang, Qi, Wu, Li: Solving Billion-Scale Knapsack Problems, WWW 2020. A customer takes the candidate
that is worth most after the prices of all that it uses, or none if nothing is left. For each capacity every customer has a threshold: the
price below which the customer would use it, all other prices as they are. The next price is where the thresholds above it fill the
capacity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Kind = TypeVar("Kind", bound=np.generic)

SPEND_UNITS = 10_000  # to a yuan, for sums: a message costs a tenth of one, its expected subsidy less
VALUE_UNITS = 1_000_000  # to a unit of value, for sums
BUCKETS = 64
ZOOM = 8.0  # buckets of one window that the next one covers


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
        """The minimum of each, as usage counts: offers, or ten-thousandths of a yuan."""
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


@dataclass(frozen=True)
class Windows:
    """Where thresholds are counted: BUCKETS buckets of `width` from `low` on, per capacity."""

    low: Floats
    width: Floats


@dataclass(frozen=True)
class Tally:
    """Whole numbers that add up over blocks: what is used at the prices, thresholds per window and bucket (one below and one above), thresholds
    above zero, the value left to customers after prices."""

    used: Ints
    buckets: Ints
    above_zero: Ints
    surplus: int

    def flat(self) -> Ints:
        """As one vector."""
        return np.concatenate([self.used, self.above_zero, self.buckets.ravel(), [self.surplus]])

    @staticmethod
    def of(flat: Ints, size: int) -> Tally:
        """Of one vector, for `size` capacities."""
        return Tally(flat[:size], flat[2 * size : -1].reshape(size, BUCKETS + 2), flat[size : 2 * size], int(flat[-1]))


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


def tally(block: Block, capacities: Capacities, prices: Floats, windows: Windows) -> Tally:
    """What a block adds to the sums by which prices move."""
    worth = after_prices(block, capacities, prices)
    best = best_of(block, worth)
    taken = best.candidate[best.worth > 0]
    surplus = np.rint(np.maximum(best.worth, 0.0) * VALUE_UNITS).astype(np.int64).sum()
    used, above, buckets = [], [], []
    parts = [capacities.parts(v) for v in (prices, windows.low, windows.width)]
    for family, own, low, width in zip(capacities.families, *parts, strict=True):
        used.append(_used(block, family, taken))
        capacity, threshold, amount = _thresholds(block, family, worth, own)
        bucket = np.clip(np.floor((threshold - low[capacity]) / width[capacity]), -1, BUCKETS).astype(np.int64) + 1
        counted = np.bincount(capacity * (BUCKETS + 2) + bucket, weights=amount, minlength=family.size * (BUCKETS + 2))
        buckets.append(counted.astype(np.int64).reshape(family.size, BUCKETS + 2))
        above.append(np.bincount(capacity, weights=amount * (threshold > 0), minlength=family.size).astype(np.int64))
    return Tally(np.concatenate(used), np.concatenate(buckets), np.concatenate(above), int(surplus))


def usage(block: Block, capacities: Capacities, candidates: Ints) -> Ints:
    """What these candidates use of each capacity."""
    return np.concatenate([np.zeros(0, dtype=np.int64), *(_used(block, family, candidates) for family in capacities.families)])


def _used(block: Block, family: Family, candidates: Ints) -> Ints:
    capacity = family.of[block.option[candidates]]
    amount = amounts(block, family)[candidates]
    inside = capacity >= 0
    return np.bincount(capacity[inside], weights=amount[inside], minlength=family.size).astype(np.int64)


def amounts(block: Block, family: Family) -> Floats:
    """What each candidate would use of the capacity it falls under, a whole number."""
    return np.rint(block.spend * SPEND_UNITS) if family.in_yuan else np.ones(len(block.option))


def _thresholds(block: Block, family: Family, worth: Floats, prices: Floats) -> tuple[Ints, Floats, Floats]:
    """(capacity, threshold, amount) of every customer and capacity of the family that the customer could use.

    Of several candidates within a capacity the one counts that is best at the prices.
    """
    key = block.owner * (family.size + 1) + family.of[block.option] + 1
    order = np.arange(len(key)) if bool(np.all(key[1:] >= key[:-1])) else np.argsort(key, kind="stable")
    key, worth = key[order], worth[order]
    begins = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    top, owner, capacity = np.maximum.reduceat(worth, begins), key[begins] // (family.size + 1), key[begins] % (family.size + 1) - 1
    of_best = np.where(worth == np.repeat(top, np.diff(begins, append=len(key))), amounts(block, family)[order], 0.0)
    amount = np.maximum.reduceat(of_best, begins)
    owners = np.flatnonzero(np.append(True, owner[1:] != owner[:-1]))
    first = np.maximum.reduceat(top, owners)[owner]
    is_first = top == first
    second = np.maximum.reduceat(np.where(is_first, -np.inf, top), owners)[owner]
    elsewhere = np.maximum(np.where(is_first, second, first), 0.0)
    inside = (capacity >= 0) & (amount > 0)
    capacity, amount = capacity[inside], amount[inside]
    return capacity, (top[inside] - elsewhere[inside]) / amount * family.unit + prices[capacity], amount


# --- moving the prices ---


@dataclass(frozen=True)
class Search:
    """Prices, and the windows in which the next ones are looked for."""

    prices: Floats
    windows: Windows


def start(prices: Floats, highest: float) -> Search:
    """First prices, and windows around them, that reach a quarter of the highest value of a candidate."""
    width = np.full(len(prices), max(highest, 1e-9) / 4 / BUCKETS)
    return Search(prices, Windows(prices - BUCKETS / 2 * width, width))


def moved(search: Search, capacities: Capacities, counted: Tally, step: float) -> Search:
    """The next prices: a share `step` of the way to where each capacity would be filled; windows close in, or open where they missed it."""
    least, most = capacities.least, capacities.most
    goals, low, width = [], [], []
    for k in range(capacities.size):
        goal, window = _goal(search, counted, k, float(least[k]), float(most[k]))
        goals.append(goal)
        low.append(window[0])
        width.append(window[1])
    prices = search.prices + step * (np.array(goals) - search.prices)
    return Search(prices, Windows(np.array(low), np.array(width)))


def _goal(search: Search, counted: Tally, k: int, least: float, most: float) -> tuple[float, tuple[float, float]]:
    """The price at which thresholds fill a capacity, and the next window."""
    low, width = float(search.windows.low[k]), float(search.windows.width[k])
    if least <= counted.above_zero[k] <= most:
        return 0.0, (-BUCKETS / 2 * width, width)
    target = most if counted.above_zero[k] > most else least
    beyond = np.cumsum(counted.buckets[k, ::-1])[::-1][1:]  # amount of thresholds from each edge on, BUCKETS + 1 edges
    if beyond[-1] > target or beyond[0] <= target:
        missed = low + BUCKETS * width if beyond[-1] > target else low
        return missed, (missed - BUCKETS / 2 * width * ZOOM, width * ZOOM)  # to both sides: next time it may lie on the other
    edge = int(np.flatnonzero(beyond > target)[-1])
    inside = (beyond[edge] - target) / (beyond[edge] - beyond[edge + 1])
    goal = low + (edge + inside) * width
    near = max(width * ZOOM, 4 * abs(goal - float(search.prices[k]))) / BUCKETS
    return goal, (goal - BUCKETS / 2 * near, near)


def bound(search: Search, capacities: Capacities, counted: Tally) -> float:
    """What no allocation can exceed, by these prices."""
    prices = search.prices
    paid = np.zeros(capacities.size)
    for bounds, is_bound in ((capacities.most, prices > 0), (capacities.least, prices < 0)):
        paid[is_bound] = prices[is_bound] * bounds[is_bound] / capacities.unit[is_bound]
    return counted.surplus / VALUE_UNITS + float(paid.sum())
