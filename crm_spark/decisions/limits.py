"""Limits as planners write them, spread over every city, channel, policy and day they concern: capacities for an allocation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column
from pyspark.sql import functions as F

from crm_spark.config.choosing import Dimension, Limit
from crm_spark.config.policies import Policy
from crm_spark.decisions.eligibility import constant_map
from crm_spark.decisions.prices import Capacities, Family, Ints

NONE = ""
Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Space:
    """Every option there may be: city x policy x channel x day (as text; the first is none), numbered in that order."""

    cities: tuple[str, ...]
    policies: tuple[Policy, ...]
    channels: tuple[str, ...]
    days: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """How many of each."""
        return len(self.cities), len(self.policies), len(self.channels), len(self.days)

    def number(self, city: Column, policy: Column, channel: Column, day: Column) -> Column:
        """The number of an option; a null day is none."""
        found = [
            F.try_element_at(_places(names), column)
            for names, column in (
                (self.cities, city),
                (tuple(p.policy_id for p in self.policies), policy),
                (self.channels, channel),
                (self.days, F.coalesce(day.cast("string"), F.lit(NONE)) if len(self.days) > 1 else F.lit(NONE)),
            )
        ]
        number = F.lit(0)
        for size, place in zip(self.shape, found, strict=True):
            number = number * size + place
        return number.cast("int")

    def codes(self, dimension: Dimension) -> tuple[Ints, Names]:
        """Of every option the place of its city, channel, policy, ... among their names, and these, sorted: there may be millions of options."""
        axes: dict[str, tuple[int, Sequence[str]]] = {
            "city": (0, self.cities),
            "policy": (1, [p.policy_id for p in self.policies]),
            "group": (1, [p.group or "" for p in self.policies]),
            "goal": (1, [p.goal for p in self.policies]),
            "channel": (2, self.channels),
            "day": (3, self.days),
        }
        axis, told = axes[dimension]
        names, places = np.unique(np.array(told, dtype=str), return_inverse=True)
        along = [1, 1, 1, 1]
        along[axis] = len(told)
        return np.broadcast_to(places.reshape(along), self.shape).ravel(), names


def space(cities: Sequence[str], policies: Mapping[str, Policy], channels: Sequence[str], days: Sequence[str], limits: Sequence[Limit]) -> Space:
    """The options; days are told apart only where a limit is per day."""
    told = days if any("day" in limit.per for limit in limits) else ()
    return Space(tuple(sorted(cities)), tuple(policies[p] for p in sorted(policies)), tuple(sorted(channels)), (NONE, *told))


@dataclass(frozen=True)
class Named:
    """A capacity in a planner's words: the limit, and for which city, channel, ... of it (parted by ` / `)."""

    limit: Limit
    of: str


def capacities(limits: Sequence[Limit], options: Space) -> tuple[Capacities, tuple[Named, ...]]:
    """One family per limit, one capacity for each combination of its `per` that an option has; and their names in the same order."""
    families, named = [], []
    for limit in limits:
        inside = _concerned(limit, options)
        keys: Ints = np.zeros(len(inside), dtype=np.int64)
        parts: list[Names] = []
        for dimension in limit.per:
            places, names = options.codes(dimension)
            parts.append(names)
            keys = keys * len(names) + places
            if dimension in ("day", "group"):
                inside &= (names != NONE)[places]  # at the counter there is no day, and policies need no group
        found, place = np.unique(keys[inside], return_inverse=True)
        of: Ints = np.full(len(inside), -1, dtype=np.int64)
        of[inside] = place
        most = np.inf if limit.most is None else limit.most
        families.append(Family(of, np.full(len(found), float(limit.least)), np.full(len(found), float(most)), limit.unit == "yuan"))
        named += [Named(limit, _words(int(key), parts)) for key in found]
    return Capacities(tuple(families)), tuple(named)


def _words(key: int, parts: Sequence[Names]) -> str:
    """The names that a key of `parts` is made of."""
    words = []
    for names in reversed(parts):
        key, place = divmod(key, len(names))
        words.append(str(names[place]))
    return " / ".join(reversed(words))


def _concerned(limit: Limit, options: Space) -> npt.NDArray[np.bool_]:
    wanted: dict[Dimension, Sequence[str]] = {
        "city": limit.cities,
        "channel": limit.channels,
        "policy": limit.policies,
        "group": limit.groups,
        "goal": limit.goals,
    }
    inside = np.ones(int(np.prod(options.shape)), dtype=bool)
    for dimension, names in wanted.items():
        if names:
            places, known = options.codes(dimension)
            inside &= np.isin(known, names)[places]
    return inside


def _places(names: Sequence[str]) -> Column:
    return constant_map({name: place for place, name in enumerate(names)}, "int")
