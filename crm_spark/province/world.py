"""One province: its configuration, seed and size, and the small frames its months and lives are looked up in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from math import ceil

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.config.province import Archetype, Card, ProvinceConfig, Season, Trouble
from crm_spark.months import add_months, first_day, month_range, months_between
from crm_spark.province.chance import Dice

WARM_UP = 6  # months lived before the first delivered one, so that states have settled
AHEAD = 5  # months lived after the last one: who leaves then already behaves like it
REMEMBERED = 3  # months whose complaints still count
_ECHO_MONTHS = 3
_FEWEST_PARTS, _NUMBERS_PER_PART = 4, 25_000


@dataclass(frozen=True)
class Province:
    """A province to be generated: the same three values always give the same rows."""

    config: ProvinceConfig
    seed: int
    size: int

    @cached_property
    def dice(self) -> Dice:
        return Dice(self.seed)

    @property
    def numbers(self) -> int:
        """Numbers ever in use from the first to the last month."""
        return ceil(self.size * self.config.network.numbers_per_subscriber)

    @property
    def cards(self) -> range:
        """Numbers beside the ordinary ones, in communities of their own; none unless they are asked for."""
        further, community = self.config.further, self.config.network.community
        first = ceil(self.numbers / community) * community
        ever = sum(card.share * self._turnover(card) for card in further.cards.values()) if further.on else 0
        return range(first, first + ceil(self.size * ever))

    @property
    def card_weights(self) -> dict[str, float]:
        """Of the numbers beside the ordinary ones, how many there ever are of each kind, in proportion."""
        return {name: card.share * self._turnover(card) for name, card in self.config.further.cards.items()}

    def _turnover(self, card: Card) -> float:
        """Numbers ever in use for one that counts in a month: a fresh card is soon gone, a surge is of one month."""
        months = len(self.config.months)
        if card.surge:
            return months * self.config.network.numbers_per_subscriber  # about: not everybody is there in the month of the surge
        mean_life = (1 + card.months) / 2
        return (months + mean_life) / mean_life if card.months else self.config.network.numbers_per_subscriber

    @property
    def parts(self) -> int:
        """Parts to make the lives of all these numbers in: a part stays small however many there are."""
        return max(_FEWEST_PARTS, ceil(self.numbers / _NUMBERS_PER_PART))

    @property
    def last(self) -> int:
        """Position of the last delivered month; the first is 0."""
        return len(self.config.months) - 1

    def month_at(self, position: int) -> str:
        """The month at a position counted from the first delivered one."""
        return add_months(self.config.first_month, position)


def calendar(spark: SparkSession, province: Province) -> DataFrame:
    """One row per month lived (`t`, 0 is the first delivered) and city: dates, season, trouble of the month and of those before it."""
    config = province.config
    first, last = province.month_at(-WARM_UP), province.month_at(province.last + AHEAD)
    rows = [
        (t, index, month, first_day(month), *_season(config.seasons.get(month, Season())), *_troubles(city, month, config))
        for t, month in enumerate(month_range(first, last), start=-WARM_UP)
        for index, city in enumerate(config.cities)
    ]
    seasons = ", ".join(f"season_{f.name} double" for f in fields(Season))
    troubles = ", ".join(f"trouble_{k} double" for k in range(REMEMBERED + 1))
    return small_frame(spark, rows, f"t bigint, city_index int, month string, first_day date, {seasons}, {troubles}")


def days_of_week(spark: SparkSession, province: Province) -> DataFrame:
    """One row per delivered month: its days of the month that are weekend days, and those that are not."""
    rows = [(month, _days(month, range(5, 7)), _days(month, range(5))) for month in province.config.months]
    return small_frame(spark, rows, "month string, weekend_days array<int>, week_days array<int>")


def _days(month: str, weekdays: range) -> list[int]:
    first = first_day(month)
    days = range((first_day(add_months(month, 1)) - first).days)
    return [d + 1 for d in days if (first.weekday() + d) % 7 in weekdays]


def trouble_in(city: str, month: str, troubles: tuple[Trouble, ...]) -> float:
    """What the city feels of its troubles in a month: each halves with every month and is forgotten after three."""
    ages = [(t.strength, months_between(t.month, month)) for t in troubles if t.city == city]
    return sum((strength * 0.5**age for strength, age in ages if 0 <= age <= _ECHO_MONTHS), 0.0)


def cities(spark: SparkSession, province: Province) -> DataFrame:
    """One row per city, with its position among them and on the map."""
    rows = [(i, name, c.halls, list(c.counties), c.lat, c.lon) for i, (name, c) in enumerate(province.config.cities.items())]
    return small_frame(spark, rows, "city_index int, city string, halls int, counties array<string>, lat double, lon double")


def archetypes(spark: SparkSession, province: Province) -> DataFrame:
    """One row per archetype, those of cards behind, with its position; nested values flattened: `type_out_local`, `type_trips_inter_province`, ..."""
    rows = [
        {"type_index": i, "archetype": name, **flat(archetype, "type")}
        for i, (name, archetype) in enumerate((province.config.archetypes | card_archetypes(province)).items())
    ]
    columns = list(rows[0])
    kinds = [{int: "int", float: "double", str: "string"}[type(rows[0][c])] for c in columns]
    schema = ", ".join(f"{c} {kind}" for c, kind in zip(columns, kinds, strict=True))
    return small_frame(spark, [tuple(row.values()) for row in rows], schema)


def card_archetypes(province: Province) -> dict[str, Archetype]:
    """Ways to use the phone that only cards have."""
    further = province.config.further
    return {name: card.archetype for name, card in further.cards.items() if card.archetype} if further.on else {}


def flat(value: object, name: str) -> dict[str, object]:
    """A nested dataclass as `name_field_field` -> value."""
    if not is_dataclass(value):
        return {name: value}
    parts = [flat(getattr(value, f.name), f"{name}_{f.name}") for f in fields(value)]
    return {key: inner for part in parts for key, inner in part.items()}


def small_frame(spark: SparkSession, rows: Sequence[tuple[object, ...]], schema: str) -> DataFrame:
    """A frame of a few rows written into the plan itself: no Python worker, no file, the same everywhere."""
    names = [column.split()[0] for column in schema.split(", ")]
    text = json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=str)
    struct = ", ".join(column.replace(" ", ": ", 1) for column in schema.split(", "))
    return spark.range(0, 1, 1, 1).select(F.inline(F.from_json(F.lit(text), f"array<struct<{struct}>>")))


def looked_up(frame: DataFrame, small: DataFrame, *keys: str) -> DataFrame:
    """`frame` with the columns of a small frame that has one row for each of its keys."""
    return frame.join(F.broadcast(small), on=list(keys), how="inner")


def _troubles(city: str, month: str, config: ProvinceConfig) -> tuple[float, ...]:
    return tuple(trouble_in(city, add_months(month, -k), config.troubles) for k in range(REMEMBERED + 1))


def _season(season: Season) -> tuple[float, ...]:
    return tuple(getattr(season, f.name) for f in fields(Season))
