"""Services held for a time: at most one spell per subscriber and service, from a month to a month."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from crm_spark.province.chance import logistic
from crm_spark.province.world import Province

_EARLIEST = -36  # months before the first delivered one


@dataclass(frozen=True)
class Habit:
    """How common a service is and how long it is held; log-odds of ever taking it."""

    ever: float
    months: float  # mean length beyond the shortest
    taste: str
    weight: float
    young: float
    fee_yuan: float


HABITS = {
    "ring_back_tone": Habit(0.9, 30, "music_taste", 0.6, 0.4, 5.0),
    "mobile_internet": Habit(0.8, 40, "web_taste", 0.9, 0.3, 20.0),
    "fetion": Habit(-1.1, 18, "web_taste", 0.7, 0.8, 0.0),
    "mailbox_139": Habit(-0.9, 24, "web_taste", 0.6, -0.1, 5.0),
    "wireless_music": Habit(-1.5, 14, "music_taste", 1.0, 0.6, 5.0),
    "chinese_secretary": Habit(-1.7, 20, "income", 0.7, -0.2, 10.0),
    "colour_printing": Habit(-2.6, 10, "web_taste", 0.5, 0.3, 8.0),
}
SHORTEST_MONTHS = 3


def spell_start(province: Province, service: str) -> Column:
    """Position of the month of the order; null for who never takes the service."""
    habit, dice = HABITS[service], province.dice
    odds = F.col(habit.taste) * habit.weight + (F.lit(36) - F.col("age")) / 10 * habit.young + habit.ever
    takes = dice.happens(logistic(odds), f"{service} ever", "subscriber")
    drawn = dice.below(province.last + 1 - _EARLIEST, f"{service} start", "subscriber") + _EARLIEST
    return F.when(takes, F.greatest(drawn.cast("long"), F.col("activation_t")))


def spell_end(province: Province, service: str) -> Column:
    """Position of the last month held; null for who never takes the service."""
    months = -F.ln(province.dice.uniform(f"{service} months", "subscriber")) * HABITS[service].months + SHORTEST_MONTHS
    return spell_start(province, service) + F.floor(months)


def holds(province: Province, service: str, when: Column) -> Column:
    """True if the service is held at the end of the month; never null."""
    start, end = spell_start(province, service), spell_end(province, service)
    return F.coalesce((start <= when) & (when < end), F.lit(False))
