"""Months as `yyyy-MM`: the one business time of the system. It never reads a clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_BEFORE = re.compile(r"before:(\d{4}-\d{2}-\d{2})")


def is_month(text: str) -> bool:
    """True for `yyyy-MM` with a month of 01-12."""
    return _MONTH.fullmatch(text) is not None


def asked_month(text: str) -> str | None:
    """`yyyy-MM` as it is; of `before:yyyy-MM-dd`, as a scheduler passes its day, the month that ended last before it; else None."""
    day = _BEFORE.fullmatch(text)
    if day is None:
        return text if is_month(text) else None
    try:
        return add_months(f"{date.fromisoformat(day[1]):%Y-%m}", -1)
    except ValueError:
        return None


def kept_from(keep_months: Mapping[str, int], month: str) -> dict[str, str]:
    """Layer -> the oldest month that is kept of its tables, of those of which no more than some are."""
    return {layer: add_months(month, 1 - count) for layer, count in keep_months.items()}


def add_months(month: str, count: int) -> str:
    """The month `count` months later (earlier when negative)."""
    year, number = map(int, month.split("-"))
    index = year * 12 + number - 1 + count
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


def month_range(first: str, last: str) -> tuple[str, ...]:
    """All months from `first` to `last`, both included; empty when `first` is later."""
    return tuple(add_months(first, i) for i in range(months_between(first, last) + 1))


def months_between(earlier: str, later: str) -> int:
    """How many months `later` lies after `earlier`."""
    (y1, m1), (y2, m2) = (map(int, m.split("-")) for m in (earlier, later))
    return (y2 - y1) * 12 + m2 - m1


def window(last: str, length: int) -> tuple[str, ...]:
    """The `length` months that end with `last`."""
    return month_range(add_months(last, 1 - length), last)


def first_day(month: str) -> date:
    """The first day of the month."""
    year, number = map(int, month.split("-"))
    return date(year, number, 1)


def contact_days(month: str) -> tuple[date, ...]:
    """The days on which is contacted what is decided for `month`: those of the month after it."""
    first, end = first_day(add_months(month, 1)), last_day(add_months(month, 1))
    return tuple(first + timedelta(days=i) for i in range((end - first).days + 1))


def month_of(day: Column) -> Column:
    """`yyyy-MM` of a date or timestamp; null of null."""
    return F.date_format(day, "yyyy-MM")


def last_day(month: str) -> date:
    """The last day of a `yyyy-MM`."""
    return date.fromisoformat(f"{add_months(month, 1)}-01") - timedelta(days=1)


def month_end(month: Column) -> Column:
    """The last day of a `yyyy-MM`, as a date."""
    return F.last_day(F.to_date(F.concat(month, F.lit("-01"))))


def full_months(start: Column, month: Column) -> Column:
    """Whole months from the date `start` to the end of `month`; null of null, never below zero.

    At a month's end each of its days has come, so whole months are calendar months: `add_months(start, n)` is never later.
    (months_between gives 1 from 31 January to 29 February, but 0 from 30 January.)
    """
    end = month_end(month)
    whole = (F.year(end) - F.year(start)) * 12 + F.month(end) - F.month(start)
    return F.when(whole.isNotNull(), F.greatest(whole, F.lit(0)))
