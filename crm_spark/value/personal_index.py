"""The personal index (个人客户指数): value, model scores and groups of a customer side by side, with the three months before."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import rounded
from crm_spark.config.value import Outlook
from crm_spark.months import window
from crm_spark.value.outlook import expected_revenue, outlook

HISTORY_MONTHS = 3
HISTORY_MODELS = ("churn", "stickiness", "anomaly")


def build_personal_index(
    view: DataFrame, values: DataFrame, scores: DataFrame, segments: DataFrame, past_values: DataFrame, past_scores: DataFrame, month: str, expects: Outlook
) -> DataFrame:
    """`score.personal_index`: exactly one row per row of the view of `month`.

    A customer without scores or groups has empty maps. The histories hold the three months before, latest first, null where
    there is none; they follow the customer across cities.
    """
    months = history_months(month)
    return (
        view.select("city", "month", "user_id", rounded(expected_revenue(view, expects)).alias("expected_revenue_yuan"))
        .join(values.select("user_id", "value", "value_grade"), on="user_id", how="left")
        .join(_model_maps(scores), on="user_id", how="left")
        .join(_group_map(segments), on="user_id", how="left")
        .join(_value_history(past_values, months), on="user_id", how="left")
        .join(_score_history(past_scores, months), on="user_id", how="left")
        .withColumns({**_empty_maps(), **_empty_histories()})
        .withColumns(outlook(expects))
    )


def history_months(month: str) -> tuple[str, ...]:
    """The months of the history, latest first."""
    return tuple(reversed(window(month, HISTORY_MONTHS + 1)[:-1]))


def _model_maps(scores: DataFrame) -> DataFrame:
    drivers = F.col("drivers") if "drivers" in scores.columns else F.lit(None).cast("array<string>")  # a month scored before they were told
    return scores.groupBy("user_id").agg(
        _map("model", F.col("score")).alias("scores"),
        _map("model", F.col("grade")).alias("grades"),
        _map("model", F.col("model_version")).alias("model_versions"),
        F.map_filter(_map("model", drivers), lambda _, told: told.isNotNull()).alias("drivers"),
    )


def _group_map(segments: DataFrame) -> DataFrame:
    """Group names under the segmentation's name; class names under `..._class` in place of `..._group`."""
    class_key = F.concat(F.regexp_replace("segmentation", "_group$", ""), F.lit("_class"))
    entries = F.array(_entry(F.col("segmentation"), F.col("group_name")), _entry(class_key, F.col("class_name")))
    named = segments.select("user_id", F.inline(entries)).where(F.col("name").isNotNull())
    return named.groupBy("user_id").agg(_map("key", F.col("name")).alias("groups"))


def _value_history(past: DataFrame, months: Sequence[str]) -> DataFrame:
    return past.groupBy("user_id").agg(_by_month(F.col("value"), months).alias("value_history"))


def _score_history(past: DataFrame, months: Sequence[str]) -> DataFrame:
    return past.groupBy("user_id").agg(
        *[_by_month(F.when(F.col("model") == model, F.col("score")), months).alias(f"{model}_history") for model in HISTORY_MODELS]
    )


def _by_month(value: Column, months: Sequence[str]) -> Column:
    return F.array(*[F.max(F.when(F.col("month") == month, value)) for month in months])


def _map(key: str, value: Column) -> Column:
    """Map over the rows of a group, keys in order, so that equal contents are equal rows."""
    return F.map_from_entries(F.array_sort(F.collect_list(F.struct(F.col(key), value))))


def _entry(key: Column, name: Column) -> Column:
    return F.struct(key.alias("key"), name.alias("name"))


def _empty_maps() -> dict[str, Column]:
    numbers, texts = "map<string,double>", "map<string,string>"
    kinds = {"drivers": "map<string,array<string>>", "scores": numbers, "grades": texts, "model_versions": texts, "groups": texts}
    return {name: F.coalesce(F.col(name), F.create_map().cast(kind)) for name, kind in kinds.items()}


def _empty_histories() -> dict[str, Column]:
    nothing = F.array(*[F.lit(None).cast("double")] * HISTORY_MONTHS)
    return {name: F.coalesce(F.col(name), nothing) for name in ("value_history", *[f"{m}_history" for m in HISTORY_MODELS])}
