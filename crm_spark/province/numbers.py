"""Identifiers and dates as the operator writes them.

Identifiers are bijections of the subscriber's position in the province: unique, and telling nothing.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from crm_spark.province.world import Province

# Steps without a common factor with the size of their range visit each identifier once before they repeat.
_IDS, _ID_STEP = 10**9, 382_945_763
_NUMBERS, _NUMBER_STEP, _FIRST_NUMBER = 6 * 10**8, 271_828_181, 4 * 10**8  # 134... to 139...
_OUTSIDE = 10**9


def whose(province: Province) -> tuple[Column | str, ...]:
    """What every delivered row begins with; `month` and `subscriber` place the row and are not delivered in it."""
    return ("month", "subscriber", subscriber_id(province, F.col("subscriber")).alias("subscriber_id"), F.col("city").alias("region"))


def subscriber_id(province: Province, subscriber: Column) -> Column:
    """The operator's own id of a subscriber."""
    return F.concat(F.lit("8"), _digits((subscriber * _ID_STEP + _offset(province, "ids")) % _IDS))


def customer_id(province: Province, person: Column) -> Column:
    """The operator's id of a person."""
    return F.concat(F.lit("C"), _digits((person * _ID_STEP + _offset(province, "persons")) % _IDS))


def msisdn(province: Province, subscriber: Column) -> Column:
    """The subscriber's telephone number, eleven digits."""
    place = (subscriber * _NUMBER_STEP + _offset(province, "numbers")) % _NUMBERS
    return F.concat(F.lit("13"), (place + _FIRST_NUMBER).cast("string"))


def outside_number(on_net: Column, seed: Column) -> Column:
    """A mobile number of nobody in the province's books; `seed` (BIGINT) says which."""
    return F.concat(F.when(on_net, "15").otherwise("18"), _digits(F.pmod(seed, F.lit(_OUTSIDE))))


def foreign_number(seed: Column) -> Column:
    """A number abroad."""
    return F.concat(F.lit("00"), F.element_at(F.array(*map(F.lit, ("1", "44", "81", "82", "852"))), F.pmod(seed, F.lit(5)).cast("int") + 1),
                    _digits(F.pmod(seed, F.lit(_OUTSIDE))))  # fmt: skip


def day_text(day: Column) -> Column:
    """A date as the operator writes it, yyyyMMdd; null of null."""
    return (F.year(day) * 10_000 + F.month(day) * 100 + F.dayofmonth(day)).cast("string")


def _digits(number: Column) -> Column:
    return F.lpad(number.cast("string"), 9, "0")


def _offset(province: Province, salt: str) -> Column:
    return F.pmod(province.dice.hash(salt, F.lit(0)), F.lit(_IDS))
