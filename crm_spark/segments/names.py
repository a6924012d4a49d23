"""Names for groups by conditions on their profile, so that a name means the same next month."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.config.segments import NameRule
from crm_spark.errors import ConfigError
from crm_spark.segments.profile import Profile

SHARE = "customers_share"


def refuse_bad_conditions(view: DataFrame, attributes: Sequence[str], rules: Sequence[NameRule], where: str) -> None:
    """ConfigError for every condition that is no SQL over the profile; no data is read."""
    empty = view.select(*[F.lit(None).cast("double").alias(c) for c in _columns(attributes)])
    problems = [f"{where}.{rule.name}: {problem}" for rule in rules if (problem := _problem(empty, rule))]
    if problems:
        raise ConfigError(problems)


def names(view: DataFrame, profiles: Sequence[Profile], attributes: Sequence[str], rules: Sequence[NameRule], otherwise: str) -> list[str]:
    """The first rule each profile meets, in the order of `profiles`; `<otherwise> <number from 1>` for a profile that meets none.

    Conditions are Spark SQL over `<attribute>` (index), `<attribute>_mean` and `customers_share`; null is not met. `view`
    only lends its session.
    """
    numbered = [f"{otherwise} {number}" for number in range(1, len(profiles) + 1)]
    if not rules or not profiles:
        return numbered
    schema = ", ".join(("_number int", *[f"`{c}` double" for c in _columns(attributes)]))
    rows = [(number, *_values(profile, attributes)) for number, profile in enumerate(profiles)]
    wide = view.sparkSession.createDataFrame(rows, schema)
    first = F.coalesce(*[F.when(F.expr(rule.when), F.lit(rule.name)) for rule in rules])
    found = {row["_number"]: row["_name"] for row in wide.select("_number", first.alias("_name")).collect()}
    return [cast("str | None", found[i]) or numbered[i] for i in range(len(profiles))]


def unearned(given: Sequence[str], rules: Sequence[NameRule]) -> list[str]:
    """Configured names that nobody got, in order."""
    return [name for name in dict.fromkeys(rule.name for rule in rules) if name not in given]


def _columns(attributes: Sequence[str]) -> list[str]:
    return [*attributes, *[f"{a}_mean" for a in attributes], SHARE]


def _values(profile: Profile, attributes: Sequence[str]) -> list[float | None]:
    return [*[profile.index(a) for a in attributes], *[profile.means.get(a) for a in attributes], profile.customers_share]


def _problem(empty: DataFrame, rule: NameRule) -> str | None:
    try:
        empty.where(F.expr(rule.when)).schema  # noqa: B018 - the analysis is the check
    except (AnalysisException, ParseException) as error:
        return str(error).strip().splitlines()[0]
    return None
