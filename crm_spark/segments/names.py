"""Names for groups by conditions on their profile, so that a name means the same next month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.config.segments import NameRule
from crm_spark.errors import ConfigError, one_line
from crm_spark.frames import literal_frame
from crm_spark.segments.profile import Profile

SHARE = "customers_share"
_TRAITS = 2


def refuse_bad_conditions(view: DataFrame, attributes: Sequence[str], rules: Sequence[NameRule], where: str) -> None:
    """ConfigError for every condition that is no SQL over the profile; no data is read."""
    empty = view.select(*[F.lit(None).cast("double").alias(c) for c in _columns(attributes)])
    problems = [f"{where}.{rule.name}: {problem}" for rule in rules if (problem := _problem(empty, rule))]
    if problems:
        raise ConfigError(problems)


def names(view: DataFrame, profiles: Sequence[Profile], attributes: Sequence[str], rules: Sequence[NameRule], otherwise: Sequence[str]) -> list[str]:
    """The first rule each profile meets, in the order of `profiles`; its own of `otherwise` for a profile that meets none.

    Conditions are Spark SQL over `<attribute>` (index), `<attribute>_mean` and `customers_share`; null is not met. `view`
    only lends its session.
    """
    if not rules or not profiles:
        return list(otherwise)
    schema = ", ".join(("_number int", *[f"`{c}` double" for c in _columns(attributes)]))
    rows = [(number, *_values(profile, attributes)) for number, profile in enumerate(profiles)]
    wide = literal_frame(view.sparkSession, rows, schema)
    first = F.coalesce(*[F.when(F.expr(rule.when), F.lit(rule.name)) for rule in rules])
    found = {row["_number"]: row["_name"] for row in wide.select("_number", first.alias("_name")).collect()}
    return [cast("str | None", found[i]) or otherwise[i] for i in range(len(profiles))]


def unearned(given: Sequence[str], rules: Sequence[NameRule]) -> list[str]:
    """Configured names that nobody got, in order."""
    return [name for name in dict.fromkeys(rule.name for rule in rules) if name not in given]


def labels(given: Sequence[str], profiles: Sequence[Profile], attributes: Sequence[str], nameless: Sequence[str] = ()) -> list[str]:
    """The names as a planner tells groups apart: to a name that several groups share, what sets each apart from the others is added;
    to one that no condition gave (`nameless`), what sets the group apart from all customers, for a planner to name it by.

    Matrices read the name, which means the same next month; the label is for the eye. No two labels are equal.
    """

    def label(i: int, name: str) -> str:
        if name in nameless:
            return f"{name}: {_traits(profiles[i], attributes)}"
        return name if given.count(name) == 1 else f"{name}: {_trait(i, given, profiles, attributes)}"

    shared = [label(i, name) for i, name in enumerate(given)]
    return [label if shared.count(label) == 1 else f"{label} ({shared[:i].count(label) + 1})" for i, label in enumerate(shared)]


def shared_names(given: Mapping[int, str]) -> dict[str, list[int]]:
    """Of names by group number, those that several groups have, with the numbers of these groups."""
    numbers = {name: [i for i, other in given.items() if other == name] for name in given.values()}
    return {name: groups for name, groups in numbers.items() if len(groups) > 1}


def _traits(profile: Profile, attributes: Sequence[str]) -> str:
    """`more peers, less dou_mb`: the attributes in which the group lies furthest from the mean of all, in standard deviations."""
    apart = {a: profile.distance(a) or 0.0 for a in attributes}
    furthest = sorted(apart, key=lambda a: -abs(apart[a]))[:_TRAITS]
    return ", ".join(f"{'more' if apart[a] > 0 else 'less'} {a}" for a in furthest)


def _trait(own: int, given: Sequence[str], profiles: Sequence[Profile], attributes: Sequence[str]) -> str:
    """`more peers`, `less dou_mb`: the attribute that differs most, in standard deviations, from the mean of the namesakes."""
    namesakes = [p for i, p in enumerate(profiles) if given[i] == given[own] and i != own]

    def apart(attribute: str) -> float:
        return (profiles[own].distance(attribute) or 0.0) - sum(p.distance(attribute) or 0.0 for p in namesakes) / len(namesakes)

    most = max(attributes, key=lambda a: abs(apart(a)))
    return f"{'more' if apart(most) > 0 else 'less'} {most}"


def _columns(attributes: Sequence[str]) -> list[str]:
    return [*attributes, *[f"{a}_mean" for a in attributes], SHARE]


def _values(profile: Profile, attributes: Sequence[str]) -> list[float | None]:
    return [*[profile.index(a) for a in attributes], *[profile.means.get(a) for a in attributes], profile.customers_share]


def _problem(empty: DataFrame, rule: NameRule) -> str | None:
    try:
        empty.where(F.expr(rule.when)).schema  # noqa: B018 - the analysis is the check
    except (AnalysisException, ParseException) as error:
        return one_line(error)
    return None
