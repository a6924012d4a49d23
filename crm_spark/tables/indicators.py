"""The wide table of call indicators: bandicoot's families, each declared once and spread over week, day and statistic.

Families bear bandicoot's names (https://github.com/computationalprivacy/bandicoot), with units where a name needs one; its
`percent_...` are shares. A column is `family__week__day` or `family__week__day__statistic`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from pyspark.sql import types as T

from crm_spark.tables.common import CITY, KEY, MONTH, USER_ID
from crm_spark.tables.contract import Field, Table

WEEKS = ("allweek", "weekday", "weekend")
DAYS = ("allday", "day", "night")
STATISTICS = ("mean", "std", "min", "max", "median", "skewness", "kurtosis")
IGNORED = ("direction", "correspondent_id", "call_duration")
WAYS = {"": "", "_out": " made", "_in": " received"}
_SEPARATOR = "__"


@dataclass(frozen=True)
class Family:
    """Columns of one meaning: one for each combination of `axes`, which are named in the docs as `<name>`."""

    name: str
    comment: str
    type: T.DataType
    axes: tuple[tuple[str, tuple[str, ...]], ...]

    def fields(self) -> Iterator[Field]:
        """The columns, documented together."""
        pattern = column(self.name, *(f"<{axis}>" if len(values) > 1 else values[0] for axis, values in self.axes))
        for parts in product(*(values for _, values in self.axes)):
            yield Field(column(self.name, *parts), self.type, self.comment, pattern=pattern)


def column(family: str, *parts: str) -> str:
    """The name of a family's column."""
    return _SEPARATOR.join((family, *parts))


def _count(name: str, comment: str) -> Family:
    return Family(name, comment, T.LongType(), (("week", WEEKS), ("day", DAYS)))


def _number(name: str, comment: str) -> Family:
    return Family(name, comment, T.DoubleType(), (("week", WEEKS), ("day", DAYS)))


def _statistics(name: str, comment: str) -> Family:
    return Family(name, comment, T.DoubleType(), (("week", WEEKS), ("day", DAYS), ("statistic", STATISTICS)))


FAMILIES = (
    _count("active_days", "Days with a call."),
    *(_count(f"number_of_interactions{way}", f"Calls{told}.") for way, told in WAYS.items()),
    *(_count(f"number_of_contacts{way}", f"Contacts with calls{told}.") for way, told in WAYS.items()),
    Family("percent_nocturnal", "Share of calls at night.", T.DoubleType(), (("week", WEEKS), ("day", DAYS[:1]))),
    _number("percent_initiated_interactions", "Share of calls made."),
    _number("percent_pareto_interactions", "Fewest contacts that have 80 % of the calls, over the number of calls (bandicoot's ratio)."),
    _number("percent_pareto_durations", "Fewest contacts that have 80 % of the seconds, over the number of calls (bandicoot's ratio)."),
    _number("entropy_of_contacts", "Shannon entropy (nats) of calls over contacts."),
    *(_statistics(f"call_duration_seconds{way}", f"Seconds of calls{told}.") for way, told in WAYS.items()),
    _statistics("interevent_time_seconds", "Seconds from the start of a call to that of the next in the same part of week and day."),
    *(_statistics(f"interactions_per_contact{way}", f"Calls{told} per contact with such calls.") for way, told in WAYS.items()),
    _statistics("balance_of_contacts", "Calls made to a contact over all calls of the subscriber, per contact."),
    _statistics("balance_of_contacts_unweighted", "Calls made to a contact over all calls with it, per contact."),
    _count("number_of_antennas", "Cells visited; places are told per half hour."),
    _count("frequent_antennas", "Fewest cells that have 80 % of the half hours."),
    _number("entropy_of_antennas", "Shannon entropy (nats) of half hours over cells."),
    _number("percent_at_home", "Share of half hours at home: the cell of most half hours at night, ties by the first visit."),
    _number("radius_of_gyration_km", "Root mean square distance of half hours from their centre; cells without coordinates do not count."),
    Family("churn_rate", "Cosine distance of cells visited between consecutive ISO weeks.", T.DoubleType(), (("statistic", STATISTICS[:2]),)),
    Family("ignored_calls", "Calls left out, for whatever reason; 0 without any.", T.LongType(), ()),
    Family("ignored_calls", "Calls left out because this is not told; a call may lack several.", T.LongType(), (("reason", IGNORED),)),
)

CALL_INDICATORS = Table(
    "middle",
    "call_indicators",
    "One row per subscriber and month: bandicoot's indicators of its calls, by part of week (all, Monday-Friday, weekend) and of day "
    "(all, after 7:00 and before 19:00, night); null where there is no such call (optional: jobs/build_call_indicators.py).",
    (CITY, MONTH, USER_ID, *(field for family in FAMILIES for field in family.fields())),
    KEY,
)
