"""Indicators of places: bandicoot's `spatial.py`, for all subscribers of a partition at once.

Only calls that tell their cell count. As in bandicoot each half hour counts once, with the cell of most of its calls; of cells
with equally many, the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crm_spark.customer.arrays import codes
from crm_spark.customer.indicator_contacts import Columns
from crm_spark.customer.indicator_log import MONDAY, CallLog, begins, pairs_of
from crm_spark.customer.indicator_stats import Floats, Ints, Nullable, entropy, fewest, ratio, sorted_within, summary, total
from crm_spark.tables.indicators import DAYS, WEEKS, column

HALF_HOUR = 1800  # seconds
EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True)
class _Spots:
    """The cells of each user: whose they are, where they lie, and which is home (-1: none)."""

    owner: Ints
    latitude: Floats
    longitude: Floats
    home: Ints


def place_columns(log: CallLog) -> Columns:
    """Cells visited, home, radius of gyration, and how cells change from week to week."""
    calls = log.where(log.cell >= 0)
    spot, owner = pairs_of(calls.user, calls.cell)
    visits = {part: _visits(calls, spot, part) for part in DAYS}
    latitude, longitude = np.empty(len(owner)), np.empty(len(owner))
    latitude[spot], longitude[spot] = calls.latitude, calls.longitude
    spots = _Spots(owner, latitude, longitude, _home(spot[visits["night"]], owner, log.users))
    for part, chosen in visits.items():
        weekend = calls.is_weekend[chosen]
        for week, of_week in zip(WEEKS, (chosen, chosen[~weekend], chosen[weekend]), strict=True):
            found = _visited(spots, np.bincount(spot[of_week], minlength=len(owner)), log.users)
            yield from ((column(family, week, part), values) for family, values in found.items())
    whole = visits["allday"]
    for statistic, values in _churn(calls.user[whole], calls.day[whole], spot[whole], log.users).items():
        yield column("churn_rate", statistic), values


def _visits(calls: CallLog, spot: Ints, part: str) -> Ints:
    """The call that stands for each half hour of a part of the day."""
    within = np.flatnonzero(calls.falls_into(part))
    new = begins(calls.user[within], calls.time[within] // HALF_HOUR)
    hour, first = np.cumsum(new) - 1, np.flatnonzero(new)
    shared = (np.bincount(hour) > 1)[hour]
    seen = np.ones(len(within), np.int64)
    together, count = codes(hour[shared] * (int(spot.max(initial=0)) + 1) + spot[within[shared]])
    seen[shared] = np.bincount(together, minlength=count)[together]
    most = np.flatnonzero(seen == np.maximum.reduceat(seen, first)[hour]) if len(within) else within
    return within[most[begins(hour[most])]]


def _home(spot: Ints, owner: Ints, users: int) -> Ints:
    """Each user's spot with most visits, the earliest visited of several; `spot` is in the order of time."""
    count = np.bincount(spot, minlength=len(owner))
    best = np.zeros(users, np.int64)
    np.maximum.at(best, owner, count)
    top = np.flatnonzero((count == best[owner])[spot])
    home = np.full(users, -1, np.int64)
    home[owner[spot[top[::-1]]]] = spot[top[::-1]]  # of several assignments the last one stays
    return home


def _visited(spots: _Spots, count: Ints, users: int) -> dict[str, Nullable]:
    there = np.flatnonzero(count)
    owner, count = spots.owner[there], count[there]
    ascending, whole = sorted_within(owner, count), total(owner, count, users)
    at_home = total(owner, np.where(there == spots.home[owner], count, 0), users)
    share, told = ratio(at_home, whole)
    return {
        "number_of_antennas": (np.bincount(owner, minlength=users), told),
        "frequent_antennas": (fewest(owner, ascending, users), told),
        "entropy_of_antennas": entropy(owner, ascending, users),
        "percent_at_home": (share, told & (spots.home >= 0)),
        "radius_of_gyration_km": _gyration(owner, count, spots.latitude[there], spots.longitude[there], users),
    }


def _gyration(owner: Ints, count: Ints, latitude: Floats, longitude: Floats, users: int) -> Nullable:
    told = ~np.isnan(latitude + longitude)
    owner, count, latitude, longitude = owner[told], count[told], latitude[told], longitude[told]
    whole = total(owner, count, users)
    size = np.maximum(whole, 1)
    centre = [(np.bincount(owner, degrees * count, users) / size)[owner] for degrees in (latitude, longitude)]
    distance = _great_circle_km(latitude, longitude, *centre)
    return np.sqrt(np.bincount(owner, count / size[owner] * distance**2, users)), whole > 0


def _great_circle_km(latitude: Floats, longitude: Floats, other_latitude: Floats, other_longitude: Floats) -> Floats:
    a, b = np.radians(latitude), np.radians(other_latitude)
    square = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(np.radians(longitude - other_longitude) / 2) ** 2
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(square)))


def _churn(user: Ints, day: Ints, spot: Ints, users: int) -> dict[str, Nullable]:
    """Mean and deviation of the cosine distances between the visits of each user's consecutive weeks with any."""
    new = begins(user, (day + MONDAY) // 7)
    week = np.cumsum(new) - 1
    of_week = user[new]
    weeks = len(of_week)
    keys, count = np.unique(spot * max(weeks, 1) + week, return_counts=True)
    at, when = keys // max(weeks, 1), keys % max(weeks, 1)
    norm = np.bincount(when, count**2, weeks)
    again = np.flatnonzero((at[1:] == at[:-1]) & (when[1:] == when[:-1] + 1))
    common = np.bincount(when[again], count[again] * count[again + 1], weeks)
    pair = np.flatnonzero(of_week[1:] == of_week[:-1])
    distance = 1 - common[pair] / np.sqrt(norm[pair] * norm[pair + 1])
    order = np.lexsort((distance, of_week[pair]))
    found = summary(of_week[pair], distance[order], users)
    return {statistic: found[statistic] for statistic in ("mean", "std")}
