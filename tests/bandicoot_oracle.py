"""bandicoot 0.6.0 as an oracle: the same calls read by it, and its answers under the names of our columns.

It was written for Python before 3.11: two functions of `inspect` that it decorates its indicators with are gone, and are lent to
it while it is imported. Nothing of bandicoot itself is changed.
"""

import inspect
import logging
from dataclasses import dataclass
from datetime import datetime
from unittest.mock import patch

from crm_spark.tables.indicators import IGNORED, column


def _getargspec(function):
    spec = inspect.getfullargspec(function)
    return spec.args, spec.varargs, spec.varkw, spec.defaults


def _formatargspec(args, varargs=None, varkw=None, defaults=None, formatvalue=lambda value: f"={value!r}"):
    plain = len(args) - len(defaults or ())
    told = args[:plain] + [name + formatvalue(value) for name, value in zip(args[plain:], defaults or (), strict=True)]
    return f"({', '.join(told)})"


with (
    patch.object(logging.getLogger(), "handlers", [*logging.getLogger().handlers]),  # it would print every message of everybody
    patch.object(inspect, "getargspec", _getargspec, create=True),
    patch.object(inspect, "formatargspec", _formatargspec, create=True),
):
    import bandicoot
    from bandicoot import individual, spatial

WAYS = {"": None, "_out": "out", "_in": "in"}
NUMBERS = {
    "active_days": (individual.active_days, {"interaction": "callandtext"}),
    "percent_nocturnal": (individual.percent_nocturnal, {}),
    "percent_initiated_interactions": (individual.percent_initiated_interactions, {}),
    "percent_pareto_interactions": (individual.percent_pareto_interactions, {}),
    "percent_pareto_durations": (individual.percent_pareto_durations, {}),
    "entropy_of_contacts": (individual.entropy_of_contacts, {}),
    **{f"number_of_interactions{way}": (individual.number_of_interactions, {"direction": d}) for way, d in WAYS.items()},
    **{f"number_of_contacts{way}": (individual.number_of_contacts, {"direction": d}) for way, d in WAYS.items()},
}
DISTRIBUTIONS = {
    "interevent_time_seconds": (individual.interevent_time, {}),
    "balance_of_contacts": (individual.balance_of_contacts, {}),
    "balance_of_contacts_unweighted": (individual.balance_of_contacts, {"weighted": False}),
    **{f"call_duration_seconds{way}": (individual.call_duration, {"direction": d}) for way, d in WAYS.items()},
    **{f"interactions_per_contact{way}": (individual.interactions_per_contact, {"direction": d}) for way, d in WAYS.items()},
}
PLACES = {
    "number_of_antennas": spatial.number_of_antennas,
    "frequent_antennas": spatial.frequent_antennas,
    "entropy_of_antennas": spatial.entropy_of_antennas,
    "percent_at_home": spatial.percent_at_home,
    "radius_of_gyration_km": spatial.radius_of_gyration,
}


@dataclass(frozen=True)
class Call:
    """A call of one subscriber."""

    at: datetime
    contact: str | None
    direction: str | None
    seconds: int | None
    cell: str | None = None

    def record(self):
        position = bandicoot.Position(antenna=self.cell)
        return bandicoot.Record("call", self.direction, self.contact, self.at, self.seconds, position)


def indicators(calls, sites):
    """What bandicoot says of a subscriber's calls; of its places it is told only the calls with a cell, because to it no cell is a cell."""
    user, placed = _user(calls, sites), _user([call for call in calls if call.cell], sites)
    ignored = user.ignored_records
    found = {"ignored_calls": ignored["all"], **{column("ignored_calls", reason): ignored[reason] for reason in IGNORED}}
    for family, (indicator, how) in NUMBERS.items():
        for parts, value in _told(indicator(user, **{**_SPLIT, "interaction": "call", "datatype": "scalar", **how})):
            found[column(family, *parts[:2])] = value
    for family, (indicator, how) in DISTRIBUTIONS.items():
        for (week, day, _, statistic), value in _told(indicator(user, **_SPLIT, interaction="call", datatype="summarystats", **how)):
            found[column(family, week, day, statistic)] = value
    for family, indicator in PLACES.items():
        found |= {column(family, *parts): value for parts, value in _told(indicator(placed, **_SPLIT, datatype="scalar"))}
    return found | {column("churn_rate", statistic): value for (statistic,), value in _told(spatial.churn_rate(placed))}


_SPLIT = {"groupby": None, "summary": "extended", "split_week": True, "split_day": True}


def _user(calls, sites):
    return bandicoot.io.load("user", [call.record() for call in calls], dict(sites))[0]


def _told(answer, parts=()):
    """The answer's nested parts of week and day, interactions and statistics, and its numbers."""
    if isinstance(answer, dict):
        for part, inner in answer.items():
            yield from _told(inner, (*parts, part))
    else:
        yield parts, answer
