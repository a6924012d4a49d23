"""What the tests of the customer tables share: contract rows written by the columns that matter, and plans read as text."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from pyspark.sql import DataFrame, Row, SparkSession

from crm_spark.frames import literal_frame
from crm_spark.tables.contract import Table
from crm_spark.tables.raw import VOICE_CDR

CITY = "HANGZHOU"
MONTH = "2025-03"


def rows_of(spark: SparkSession, table: Table, *rows: dict[str, object]) -> DataFrame:
    """A frame of the contract; a column that a row does not name is null, city and month have defaults."""
    known = {"city": CITY, "month": MONTH}
    assert all(name in table.columns for row in rows for name in row), table.full_name
    return literal_frame(spark, [tuple({**known, **row}.get(c) for c in table.columns) for row in rows], table.struct)


def calls(spark: SparkSession, *rows: dict[str, object]) -> DataFrame:
    """Calls of subscriber `ann` to peer `p`: by default a local, on-net minute at noon on Monday, 3 March 2025."""
    usual = {
        "user_id": "ann", "peer_id": "p", "started_at": datetime(2025, 3, 3, 12), "seconds": 60, "direction": "out", "call_kind": "local",
        "roaming_kind": "none", "is_vpn": False, "is_on_net": True, "peer_province": "Zhejiang", "fee_yuan": Decimal("0.2"),
    }  # fmt: skip
    told = [{**usual, **row} for row in rows]
    return rows_of(spark, VOICE_CDR, *[{**row, "day": row["started_at"].date(), "month": f"{row['started_at']:%Y-%m}"} for row in told])


def by_user(frame: DataFrame) -> dict[str, Row]:
    """The rows by user_id; each user may have one."""
    rows = frame.collect()
    found = {row["user_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def all_rows(frame: DataFrame) -> list[str]:
    """Every row as text, sorted: equal lists mean equal tables, to the last digit."""
    return sorted(str(row) for row in frame.collect())


def shuffles(frame: DataFrame) -> int:
    """Exchanges by hash in the physical plan."""
    return frame._jdf.queryExecution().executedPlan().toString().count("Exchange hashpartitioning")


def day(text: str) -> date:
    return date.fromisoformat(text)
