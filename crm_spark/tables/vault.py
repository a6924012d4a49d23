"""The vault: the only place with numbers and raw lines. No statistics in the Delta log; nobody but the outbox joins it."""

from __future__ import annotations

from pyspark.sql import types as T

from crm_spark.tables.common import CITY, KEY, MONTH, USER_ID, day, text
from crm_spark.tables.contract import Field, Table
from crm_spark.tables.raw import NUMBER_ID

SUBSCRIBER_NUMBER = Table(
    "vault",
    "subscriber_number",
    "One row per number a subscriber held at month end: who has which number, from when to when.",
    (
        CITY,
        MONTH,
        USER_ID,
        NUMBER_ID,
        Field("msisdn", T.StringType(), "The number itself.", stats=False),
        day("valid_from", "First day with this subscriber."),
        day("valid_to", "Last day; null while held."),
        text("key_version", "Version of the pseudonym key."),
    ),
    (*KEY, "number_id"),
)

QUARANTINE_LINE = Table(
    "vault",
    "quarantine_line",
    "One row per refused line: the line itself.",
    (
        CITY,
        MONTH,
        text("mapping", "Table the line was meant for."),
        text("file", "File name."),
        Field("line_number", T.LongType(), "Line in the file."),
        Field("line", T.StringType(), "The line as delivered.", stats=False),
    ),
    ("city", "month", "mapping", "file", "line_number"),
)

VAULT_TABLES = (SUBSCRIBER_NUMBER, QUARANTINE_LINE)
