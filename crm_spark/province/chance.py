"""Chance without a generator: every draw is a hash of (seed, salt, keys), so it depends on nothing else.

Draws are Columns: equal on any number of partitions, cores or machines, and the same whenever they are asked for again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import log

from pyspark.sql import Column
from pyspark.sql import functions as F

_BITS = 53
_QUARTER = 0xFFFF


@dataclass(frozen=True)
class Dice:
    """All the chance of one seed; a `salt` names a draw, `keys` say whose and when it is."""

    seed: int

    def uniform(self, salt: str, *keys: Column | str) -> Column:
        """A double within (0, 1)."""
        return (F.shiftrightunsigned(self.hash(salt, *keys), 64 - _BITS) + F.lit(0.5)) * F.lit(2.0**-_BITS)

    def bell(self, salt: str, *keys: Column | str) -> Column:
        """A bell-shaped number of mean 0 and standard deviation 1, within 3.47 of it: the sum of the four quarters of a hash."""
        bits = self.hash(salt, *keys)
        quarters = [F.shiftrightunsigned(bits, shift).bitwiseAND(_QUARTER) for shift in (0, 16, 32, 48)]
        return (sum(quarters[1:], quarters[0]) - 2 * _QUARTER).cast("double") * F.lit(3**0.5 / _QUARTER)

    def happens(self, chance: Column | float, salt: str, *keys: Column | str) -> Column:
        """True with the chance."""
        return self.uniform(salt, *keys) < chance

    def below(self, limit: Column | int, salt: str, *keys: Column | str) -> Column:
        """A whole number from 0 to `limit` - 1."""
        return F.floor(self.uniform(salt, *keys) * limit).cast("int")

    def pick(self, weights: Mapping[str, float], salt: str, *keys: Column | str) -> Column:
        """One of the names, by weight."""
        index = self.index(list(weights.values()), salt, *keys)
        return F.element_at(F.array(*map(F.lit, weights)), index + 1)

    def index(self, weights: Sequence[float], salt: str, *keys: Column | str) -> Column:
        """A position among the weights, from 0."""
        return slot(self.uniform(salt, *keys), weights)

    def drift(self, salt: str, period: float, who: Column | str, when: Column) -> Column:
        """A number that wanders slowly with `when`: random at knots `period` apart, straight between them.

        Everybody has knots of their own phase; mean 0, standard deviation about 1.
        """
        place = when / F.lit(period) + self.uniform(f"{salt} phase", who)
        knot = F.floor(place)
        along = place - knot
        value = self.bell(salt, who, knot) * (1 - along) + self.bell(salt, who, knot + 1) * along
        return value * F.lit(1.5**0.5)

    def hash(self, salt: str, *keys: Column | str) -> Column:
        """A BIGINT; whole-number keys of any width count as BIGINT."""
        named = hashlib.sha256(f"{self.seed}|{salt}".encode()).digest()[:8]
        longs = [(F.col(k) if isinstance(k, str) else k).cast("long") for k in keys]
        return F.xxhash64(F.lit(int.from_bytes(named, "big", signed=True)).cast("long"), *longs)


def slot(share: Column, weights: Sequence[float]) -> Column:
    """The position, from 0, into which `share` (0 to 1) falls when the weights lie end to end."""
    total = sum(weights)
    bounds = [reached / total for reached in accumulate(weights)][:-1]
    return sum(((share >= bound).cast("int") for bound in bounds), F.lit(0))


def logistic(log_odds: Column) -> Column:
    """The chance of these log-odds."""
    return F.lit(1.0) / (F.lit(1.0) + F.exp(-log_odds))


def log_odds(share: float) -> float:
    """The log-odds of a share; 0 and 1 become very unlikely and very likely."""
    held = min(max(share, 1e-6), 1 - 1e-6)
    return log(held / (1 - held))


def within(value: Column, low: float, high: float) -> Column:
    """`value` held within [low, high]; for values that are never null, and written once, so that it is computed once."""
    return F.least(F.greatest(value, F.lit(low)), F.lit(high))


def to_digits(value: Column, digits: int) -> Column:
    """A double at so many decimals, halves up; many times faster than `round`, which goes through decimals."""
    unit = float(10**digits)
    return F.floor(value * unit + 0.5) / unit


def whole_near(expected: Column, share: Column) -> Column:
    """`expected` rounded up or down so that its mean stays: up when the uniform `share` falls into its fraction."""
    return F.floor(expected + share).cast("int")
