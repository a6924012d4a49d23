"""Numbers beside the ordinary ones: cards used for fraud, numbers that are stolen, and those that look like them and are not.

They are there only where they are asked for (`Further.on`), behind all other numbers and in communities of their own, so every other row
stays what it is. Their draws have names of their own.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F

from crm_spark.config.province import Surge
from crm_spark.province.chance import within
from crm_spark.province.world import Province

_SURGE_SPREAD = 0.45  # of the logarithm of how many calls a surge has


def card_kind(province: Province) -> dict[str, Column]:
    """`card`, the kind of number beside the ordinary ones, null for those; nothing where none are asked for."""
    if not province.cards:
        return {}
    kind = province.dice.pick(province.card_weights, "card", "subscriber")
    return {"card": F.when(F.col("subscriber") >= province.cards.start, kind)}


def fresh_since(province: Province, ordinary: Column) -> Column:
    """Position of the month in which a fresh card is activated, of others the `ordinary` one. Some are in use as the first month begins."""
    months = _months(province)
    drawn = F.floor(province.dice.uniform("card since", "subscriber") * (province.last + months)) - (months - 1)
    return F.coalesce(drawn.cast("long"), ordinary)


def used_up(province: Province, ordinary: Column) -> Column:
    """True in the month in which a fresh card is thrown away, false in others; `ordinary` for all other numbers."""
    life = 1 + F.floor(province.dice.uniform("card months", "subscriber") * _months(province))
    return F.coalesce(F.col("t") == F.col("activation_t") + life, ordinary)


def surge(province: Province) -> dict[str, Column]:
    """`surge`, the kind of a number in the month of its surge, else null, and `wave`, how high it is; nothing where no cards are asked for."""
    if not province.cards:
        return {}
    dice = province.dice
    now = (F.col("t") == dice.below(province.last + 1, "surge month", "subscriber")) & (F.col("t") > F.col("activation_t"))
    wave = F.exp(dice.bell("surge", "subscriber") * _SURGE_SPREAD)
    return {"surge": F.when(F.col("card").isin(*_surges(province)) & now, F.col("card")), "wave": wave}


def surge_calls(province: Province, cell: str) -> Column:
    """Calls that a surge adds to those of a cell (`out_local`, ...), over a row with `surge`; 0 without one."""
    usual = _of("surge", {kind: getattr(surge.out, cell.removeprefix("out_")) for kind, surge in _surges(province).items()})
    return F.coalesce(F.floor(usual * F.col("wave") + province.dice.uniform(f"surge {cell}", "subscriber")).cast("int"), F.lit(0))


def surged_share(province: Province, share: Column, name: str) -> Column:
    """A share of the month's calls with what a surge adds to it: `night_share` or `roaming_share`."""
    usual = _of("surge", {kind: getattr(surge, name) for kind, surge in _surges(province).items()})
    more = usual * (0.5 + province.dice.uniform(f"surge {name}", "subscriber"))
    return within(share + F.coalesce(more, F.lit(0.0)), 0.0, 0.8)


def is_fraud(province: Province) -> Column:
    """True for a number that is used for fraud in the month, over a row with `card` and `surge`."""
    guilty = {name for name, card in province.config.further.cards.items() if card.is_fraud}
    always, at_once = sorted(guilty - set(_surges(province))), sorted(guilty & set(_surges(province)))
    return F.coalesce(F.col("card").isin(*always) | F.col("surge").isin(*at_once), F.lit(False))


def _surges(province: Province) -> dict[str, Surge]:
    return {name: card.surge for name, card in province.config.further.cards.items() if card.surge}


def _months(province: Province) -> Column:
    """The most months that a fresh card is used; null for any other number."""
    return _of("card", {name: card.months for name, card in province.config.further.cards.items() if card.months})


def _of(kind: str, values: Mapping[str, float]) -> Column:
    """The value of the row's kind; null for kinds without one."""
    return F.coalesce(*[F.when(F.col(kind) == name, F.lit(value)) for name, value in values.items()])
