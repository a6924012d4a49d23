"""Texts that tell a day, or a month (its first day): the forms that are known, told from a sample, and the SQL that reads them."""

from __future__ import annotations

import re
from calendar import month_abbr, monthrange
from collections.abc import Mapping, Sequence

# A tie goes to the first: of texts whose days are all 12 or less, month and day cannot be told apart, and the month is taken to stand first.
FORMS = (
    "yyyy-M-d", "yyyy/M/d", "yyyy.M.d", "yyyy年M月d日", "yyyyMMdd", "M/d/yyyy", "d/M/yyyy", "d.M.yyyy", "d-M-yyyy", "M/d/yy", "d/M/yy", "dd.MM.yy",
    "d-MMM-yyyy", "d-MMM-yy", "d MMM yyyy", "MMM d, yyyy", "yyyy-M", "yyyy/M", "yyyy年M月", "MMM-yyyy", "MMM-yy", "MMM yyyy",
)  # fmt: skip
_UNSURE = ("yyyyMMdd", "yyyy-M", "yyyy/M")  # these may be numbers and names too,
_YEARS = range(1900, 2100)  # so that their years must be near
_PARTS = {
    "yyyy": "([0-9]{4})", "yy": "([0-9]{2})", "MMM": "([A-Za-z]{3})", "MM": "([0-9]{2})", "dd": "([0-9]{2})", "M": "([0-9]{1,2})", "d": "([0-9]{1,2})",
    ".": r"\.",
}  # fmt: skip
_CENTURY = 2000  # of a year of two digits, as Java has it
_MONTHS = {name.lower(): number for number, name in enumerate(month_abbr) if name}
_TIME = r"(?:[T\s]\s*|(?<=日))[0-9]{1,2}[:时點点].*"
_SOME_DAY = re.compile(r"\s*(\d{1,4}[-/.年]\d{1,2}(?:[-/.月]\d{1,4})?|(\d{8}|\d{14})(?!\d)|(\d{1,2}[- ])?[A-Za-z]{3}[- ]\d{1,4})", re.ASCII)


def days_told(words: Sequence[str]) -> dict[str, list[bool]]:
    """Form -> which of the words it reads as a day that there is, with or without a time behind it."""
    some = [_SOME_DAY.match(word) is not None for word in words]
    return {form: [maybe and _is_day(form, word) for maybe, word in zip(some, words, strict=True)] for form in FORMS}


def best_form(counts: Mapping[str, float]) -> str:
    """The form that reads most; month-first only where it reads as many as day-first, or more."""
    return max(FORMS, key=lambda form: counts[form])


def day_sql(raw: str, form: str) -> str:
    """SQL for the date in a text of that form, null if there is none."""
    return f"try_to_date(regexp_extract({raw}, r'{_pattern(form)}', 1), '{form}')"


def _is_day(form: str, word: str) -> bool:
    found = re.match(_pattern(form), word, re.ASCII)
    if not found:
        return False
    told = dict(zip(sorted((part for part in "yMd" if part in form), key=form.index), map(_number, found.groups()[1:]), strict=True))
    year, month, day = told["y"] if "yyyy" in form else _CENTURY + told["y"], told["M"], told.get("d", 1)
    return (year in _YEARS if form in _UNSURE else year > 0) and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


def _pattern(form: str) -> str:
    """The same for Python and Java: the day is group 1."""
    day = re.sub(r"yyyy|yy|MMM|MM|dd|M|d|\.", lambda part: _PARTS[part[0]], form)
    behind = rf"[0-9]{{6}}|{_TIME}" if form == "yyyyMMdd" else _TIME
    return rf"^\s*({day})(?:{behind})?\s*$"


def _number(word: str) -> int:
    """Of digits, or of a month's name; 0 of another word."""
    return int(word) if word.isdecimal() else _MONTHS.get(word.lower(), 0)
