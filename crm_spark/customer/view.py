"""The unified customer view (用户统一客户视图): everything known of a subscriber at the end of a month."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.columns import MICRO, exact_sum, rounded
from crm_spark.customer.history import HISTORY_MONTHS, with_history
from crm_spark.months import add_months, month_end
from crm_spark.tables.common import KEY
from crm_spark.tables.contract import Field, Table
from crm_spark.tables.mart import CUSTOMER_VIEW, SERVICE_STATE

BUNDLE_ENDS_SOON_MONTHS = 3
_SUBSCRIBER = ("month", "user_id")
_STATE = tuple(SERVICE_STATE.fieldNames())


@dataclass(frozen=True)
class MiddleTables:
    """What the view is built from: months of each middle table; an unmapped one is an empty frame of its contract.

    History reaches back eight months before a view's month. `extension` holds the operator's own columns.
    """

    basic: DataFrame
    billing: DataFrame
    voice: DataFrame
    circle: DataFrame
    vas: DataFrame
    bundles: DataFrame
    extension: DataFrame


def customer_view_table(extension: Iterable[Field] = ()) -> Table:
    """The view's contract with an operator's own columns behind."""
    return CUSTOMER_VIEW.with_fields(extension)


def build_customer_view(months: Sequence[str], tables: MiddleTables) -> DataFrame:
    """One row per subscriber of `tables.basic` for each of `months`; nothing later than a row's month enters it.

    What no source tells is null. All months come out of one pass, each middle table read once: a subscriber's months lie side
    by side in frames that end with the row's own month (history goes by user_id, so it follows a customer from city to city).
    """
    measured = _monthly(months, tables)
    view = with_history(measured).where(F.col("month").isin(*months))
    derived = {
        "person_id": F.coalesce("person_id", "user_id"),
        "is_active": is_active(),
        "bundle_none_or_ending": bundle_none_or_ending(),
    }
    own = [F.col(c) for c in tables.extension.columns if c not in KEY]
    return view.withColumns(derived).select(*map(_cell, CUSTOMER_VIEW.fields), *own)


def is_active() -> Column:
    """Status is active and there was use or payment in the month; of status and use, what is not told does not count.

    Null if neither is told.
    """
    signs = ("total_minutes", "calls_out", "calls_in", "service_uses", "dou_mb", "payment_yuan", "payment_count")
    used = F.greatest(*[(F.col(c) > 0).cast("int") for c in signs]) == 1  # greatest skips nulls: null if no source tells use
    active = F.col("status") == "active"
    return F.when(active.isNotNull() | used.isNotNull(), F.coalesce(active, F.lit(True)) & F.coalesce(used, F.lit(True)))


def bundle_none_or_ending() -> Column:
    """No class 0/1 bundle, or the one that runs longest ends by the end of the third month after this; null if not told."""
    limit = F.last_day(F.add_months(month_end(F.col("month")), BUNDLE_ENDS_SOON_MONTHS))
    return ~(F.col("has_bundle_0") | F.col("has_bundle_1")) | F.coalesce(F.col("bundle_ends_on") <= limit, F.lit(False))


def _monthly(months: Sequence[str], tables: MiddleTables) -> DataFrame:
    """One row per subscriber and month of the history: the middle tables side by side, brought together once, by subscriber.

    So neither the joins nor the history behind them moves the wide rows again.
    """
    first, last = add_months(min(months), 1 - HISTORY_MONTHS), max(months)
    in_span = F.col("month").between(first, last)
    asked = F.col("month").isin(*months)
    joined = tables.basic.where(in_span).repartition("user_id")
    vas = tables.vas.where(in_span).select(*_SUBSCRIBER, "service", *_STATE).repartition("user_id")
    for part in (
        tables.billing.where(in_span).withColumnRenamed("revenue_yuan", "arpu_yuan"),
        tables.voice.where(in_span),
        tables.circle.where(in_span),
        _services(vas, asked),
        tables.bundles.where(asked),
        tables.extension.where(asked),
    ):
        joined = joined.join(part.drop("city"), on=list(_SUBSCRIBER), how="left")
    return _with_silent_services(joined, vas)


def _services(vas: DataFrame, asked: Column) -> DataFrame:
    """One row per subscriber and month with a service: totals, and in the months asked for the state per service."""
    state = F.struct("service", F.struct(*[F.col(c).cast(SERVICE_STATE[c].dataType).alias(c) for c in _STATE]).alias("state"))
    states = F.array_sort(F.collect_list(F.when(asked, state)))
    return vas.groupBy(*_SUBSCRIBER).agg(
        F.map_from_entries(states).alias("services"),
        exact_sum(F.col("mb"), MICRO).alias("dou_mb"),
        F.sum("uses").alias("service_uses"),
        F.sum(F.col("is_held").cast("int")).alias("held_services"),
    )


def _with_silent_services(joined: DataFrame, vas: DataFrame) -> DataFrame:
    """A subscriber without any service has none (not null) in a month whose source tells services of somebody.

    All columns are asked for, so that Spark takes the rows that it has brought together for `_services` and reads the table once.
    """
    told = vas.groupBy("month").agg(
        F.max(F.hash("*")).isNotNull().alias("tells"),
        *[F.min(F.when(F.col(c).isNotNull(), 0)).alias(f"no_{c}") for c in ("mb", "uses", "is_held")],
    )
    nothing = F.when(F.col("tells"), F.create_map().cast(CUSTOMER_VIEW["services"].type))
    return joined.join(F.broadcast(told), on="month", how="left").withColumns(
        {
            "services": F.coalesce("services", nothing),
            "dou_mb": F.coalesce("dou_mb", "no_mb"),
            "service_uses": F.coalesce("service_uses", "no_uses"),
            "held_services": F.coalesce("held_services", "no_is_held"),
        }
    )


def _cell(field: Field) -> Column:
    """A column of the contract; doubles at the digits that enter a digest."""
    value = F.col(field.name)
    return rounded(value).alias(field.name) if isinstance(field.type, T.DoubleType) else value.cast(field.type).alias(field.name)
