"""The unified customer view (用户统一客户视图) and, apart from it, the labels."""

from __future__ import annotations

from pyspark.sql import types as T

from crm_spark.tables.common import CITY, KEY, MONTH, USER_ID, count, money, number, text, truth, whole
from crm_spark.tables.contract import Field, Table
from crm_spark.tables.middle import BILLING_SUMMARY, BUNDLE_STATUS, CONTACT_CIRCLE, USER_BASIC, VOICE_MINUTES, VOICE_SUMMARY

SERVICE_STATE = T.StructType(
    [
        T.StructField("is_held", T.BooleanType()),
        T.StructField("held_months", T.IntegerType()),
        T.StructField("uses", T.LongType()),
        T.StructField("mb", T.DoubleType()),
        T.StructField("active_days", T.IntegerType()),
        T.StructField("fee_yuan", T.DoubleType()),
    ]
)

# Monthly measures that also get `<name>_mean_3m` and `<name>_trend_3m` (least-squares slope per month).
# MOU is `total_minutes`, ARPU is `arpu_yuan`, DOU is `dou_mb`.
MEASURES = (
    "arpu_yuan",
    *(f.name for f in VOICE_MINUTES),
    "dou_mb",
    "data_revenue_yuan",
    "vas_revenue_yuan",
    "payment_yuan",
    "arrears_yuan",
    "return_rate",
    "peers",
    "calls_per_peer",
    "vpn_peers",
    "vpn_calls_per_peer",
    "long_distance_unit_price_yuan",
    "voice_active_days",
    "held_services",
)

_BASIC = tuple(f for f in USER_BASIC.fields if f.name not in ("person_id", "activation_date"))
_NOT_KEY = slice(3, None)

CUSTOMER_VIEW = Table(
    "mart",
    "customer_view",
    "One row per subscriber in the network and month: everything the models and matrices read, nothing later than the month.",
    (
        *_BASIC,
        Field("person_id", T.StringType(), "Pseudonym of the person, else the user_id."),
        truth("is_active", "Status is active and there was use or payment in the month; without any such source, status alone."),
        money("arpu_yuan", "Revenue of the month (ARPU)."),
        *(f for f in BILLING_SUMMARY.fields[_NOT_KEY] if f.name != "revenue_yuan"),
        *VOICE_SUMMARY.fields[_NOT_KEY],
        *CONTACT_CIRCLE.fields[_NOT_KEY],
        *BUNDLE_STATUS.fields[_NOT_KEY],
        truth("bundle_none_or_ending", "No class 0/1 bundle, or one that ends within 3 months; null without that source."),
        number("dou_mb", "Data volume of the month over all services, MB (DOU)."),
        whole("held_services", "Value-added services held."),
        Field("services", T.MapType(T.StringType(), SERVICE_STATE), "State per service held or used; null without that source."),
        number("return_rate_3q", "Mean return rate of the last nine months, this one included."),
        number("return_rate_3q_min", "Lowest monthly return rate of the last nine months."),
        whole("arrears_months_3q", "Months of the last nine that ended in arrears; null without that source."),
        number("return_rate_prior_3m", "Mean return rate of the three months before this one."),
        number("arpu_prior_3m_yuan", "Mean ARPU of the three months before this one."),
        count("history_months", "Months of the last nine in which the subscriber was in the network."),
        *(number(f"{m}_mean_3m", f"Mean of {m} over the last three months, those that are there.") for m in MEASURES),
        *(number(f"{m}_trend_3m", f"Slope of {m} per month over the last three months; null unless all are there.") for m in MEASURES),
    ),
    KEY,
)

CUSTOMER_VIEW_LABELS = Table(
    "mart",
    "customer_view_labels",
    "One row per subscriber, as-of month, label and window: what happened after the view's month, kept apart from it.",
    (
        CITY,
        MONTH,
        USER_ID,
        text("label", "Name of the label."),
        text("window_id", "o<observation>g<gap>p<performance>, or `delivered`."),
        number("value", "1 happened, 0 did not."),
        text("known_month", "Month at whose end the value was known."),
    ),
    (*KEY, "label", "window_id"),
)

MART_TABLES = (CUSTOMER_VIEW, CUSTOMER_VIEW_LABELS)
