"""The calls of one partition in the order of users and time, and the parts of week and day they fall into."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from crm_spark.customer.arrays import codes
from crm_spark.customer.indicator_stats import Floats, Ints, Truths, order_within
from crm_spark.tables.indicators import DAYS, WEEKS

SECONDS_A_DAY = 86_400
DAY_STARTS, DAY_ENDS = 7 * 3600, 19 * 3600  # both moments belong to the night
MONDAY = 3  # days from the Monday before 1970 to 1970-01-01, a Thursday
_SATURDAY = 5
_OF_WEEK = {"allweek": (0, 1, 2, 3), "weekday": (0, 1), "weekend": (2, 3)}
_OF_DAY = {"allday": (0, 1, 2, 3), "day": (0, 2), "night": (1, 3)}


@dataclass(frozen=True)
class Slot:
    """A part of the week and of the day: some of the quarters weekday, weekday night, weekend, weekend night."""

    week: str
    day: str

    @property
    def quarters(self) -> list[int]:
        """The quarters it is made of."""
        return [quarter for quarter in _OF_WEEK[self.week] if quarter in _OF_DAY[self.day]]

    def holds(self, quarter: Ints) -> Truths:
        """Which of the calls fall into it."""
        return np.asarray(np.isin(np.arange(4), self.quarters)[quarter])


SLOTS = tuple(Slot(week, day) for week in WEEKS for day in DAYS)


@dataclass(frozen=True)
class CallLog:
    """Calls by user (numbers from 0 to `users`), then by time."""

    users: int
    user: Ints
    time: Ints  # seconds since 1970, local time
    seconds: Ints
    is_out: Truths
    contact: Ints
    cell: Ints  # -1: not told
    latitude: Floats  # of the cell; NaN: not told
    longitude: Floats

    @classmethod
    def of(cls, calls: pa.Table, user: Ints, users: int) -> CallLog:
        """Calls of one second are in the order of their cells' hashes; nothing but a tie between cells depends on it."""
        time = calls["started_at"].to_numpy().astype("datetime64[s]").astype(np.int64)
        cell = calls["cell"].fill_null(0).to_numpy()
        order = _by_time(user, time, cell)
        code = np.where(calls["cell"].is_valid().to_numpy(), codes(cell)[0], -1)
        place = (calls[name].to_numpy()[order] for name in ("latitude", "longitude"))
        return cls(
            users, user[order], time[order], calls["seconds"].to_numpy()[order].astype(np.int64),
            calls["is_out"].to_numpy()[order], codes(calls["contact"].to_numpy())[0][order], code[order], *place,
        )  # fmt: skip

    def where(self, which: Truths) -> CallLog:
        """Some of the calls."""
        return replace(self, **{f.name: getattr(self, f.name)[which] for f in fields(self) if f.name != "users"})

    @cached_property
    def day(self) -> Ints:
        """Days since 1970."""
        return self.time // SECONDS_A_DAY

    @cached_property
    def is_weekend(self) -> Truths:
        """Saturdays and Sundays."""
        return np.asarray((self.day + MONDAY) % 7 >= _SATURDAY)

    @cached_property
    def is_night(self) -> Truths:
        """Until 7:00 and from 19:00 on."""
        clock = self.time - self.day * SECONDS_A_DAY
        return np.asarray((clock <= DAY_STARTS) | (clock >= DAY_ENDS))

    @cached_property
    def quarter(self) -> Ints:
        """Weekday, weekday night, weekend, weekend night."""
        return 2 * self.is_weekend.astype(np.int64) + self.is_night

    def falls_into(self, day: str) -> Truths:
        """Which calls are of a part of the day."""
        return Slot("allweek", day).holds(self.quarter)


def pairs_of(user: Ints, other: Ints) -> tuple[Ints, Ints]:
    """For each call its pair of user and other, numbered in the order of users; and the user of each pair."""
    pair, count = codes(user * (int(other.max(initial=0)) + 1) + other)
    owner = np.zeros(count, np.int64)
    owner[pair] = user
    return pair, owner


def begins(*columns: Ints) -> Truths:
    """Where a run of rows that are equal in all columns begins."""
    changed = [column[1:] != column[:-1] for column in columns]
    return np.append(True, np.logical_or.reduce(changed))[: len(columns[0])]


def _by_time(user: Ints, time: Ints, cell: Ints) -> Ints:
    order = order_within(user, time)
    same = np.append(False, ~begins(user[order], time[order])[1:])
    tied = np.flatnonzero(same | np.append(same[1:], False))
    among = order[tied]
    order[tied] = among[np.lexsort((cell[among], time[among], user[among]))]
    return order
