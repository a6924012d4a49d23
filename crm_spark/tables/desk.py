"""Interface layer (接口层): messages, what subscribers tell the operator, and the tariff plans."""

from __future__ import annotations

from pyspark.sql import types as T

from crm_spark.tables.common import CITY, KEY, MONTH, USER_ID, count, day, money, text, whole
from crm_spark.tables.contract import Field, Table
from crm_spark.tables.raw import PEER_ID

MESSAGE_CDR = Table(
    "raw",
    "message_cdr",
    "One row per SMS or MMS of a subscriber; it belongs whole to the month in which it was sent.",
    (
        CITY,
        MONTH,
        day("day", "Day it was sent, local time."),
        USER_ID,
        PEER_ID,
        Field("started_at", T.TimestampNTZType(), "Moment it was sent, operator's local time.", required=True),
        text("direction", "out: the subscriber sent it; in: received it.", "direction IN ('out', 'in')"),
        text("kind", "sms or mms.", "kind IN ('sms', 'mms')"),
    ),
    ("city", "month", "day", "user_id", "peer_id", "started_at", "direction", "kind"),
    partitioned_by=("city", "month", "day"),
)

COMPLAINT = Table(
    "raw",
    "complaint",
    "One row per complaint.",
    (
        CITY,
        MONTH,
        USER_ID,
        Field("told_at", T.TimestampNTZType(), "When it was made, local time.", required=True),
        text("category", "What it is about."),
        day("settled_on", "Day it was settled; null if it is not, or nobody tells."),
        text("text", "What was said; a source masks numbers in it.", "text NOT RLIKE '[0-9]{7}'"),
    ),
    (*KEY, "told_at", "category"),
)

SURVEY = Table(
    "raw",
    "survey",
    "One row per answer to a satisfaction survey.",
    (
        CITY,
        MONTH,
        USER_ID,
        Field("told_at", T.TimestampNTZType(), "When it was given, local time.", required=True),
        whole("score", "Points, as the operator counts them.", "score BETWEEN 0 AND 10"),
    ),
    (*KEY, "told_at"),
)

SERVICE_CONTACT = Table(
    "raw",
    "service_contact",
    "One row per call to customer service.",
    (
        CITY,
        MONTH,
        USER_ID,
        Field("called_at", T.TimestampNTZType(), "When it began, local time.", required=True),
        text("reason", "What it was about."),
    ),
    (*KEY, "called_at"),
)

TARIFF = Table(
    "raw",
    "tariff",
    "One row per tariff plan and month.",
    (
        CITY,
        MONTH,
        Field("plan_id", T.StringType(), "Tariff plan, as user_info names it.", required=True),
        money("rental_yuan", "Rental of a month."),
        count("included_minutes", "Minutes within the rental."),
        count("included_mb", "MB within the rental."),
        Field("minute_price_yuan", T.DecimalType(18, 4), "Price of a further minute.", valid="minute_price_yuan >= 0"),
    ),
    ("city", "month", "plan_id"),
)

DESK_TABLES = (MESSAGE_CDR, COMPLAINT, SURVEY, SERVICE_CONTACT, TARIFF)
