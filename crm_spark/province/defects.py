"""Plainly bad rows, as every delivery has some: extra copies of good rows with one thing wrong, or simply doubled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.province.world import Province

# A defect puts a text into a column (None: the value is missing); an empty one leaves the copy as it is: a duplicate.
Defect = Mapping[str, str | None]
DEFECTS: Mapping[str, Sequence[Defect]] = {
    "user_info": ({"msisdn": None, "subscriber_id": None}, {"msisdn": "1380013"}, {"open_date": "20241301"}, {"status": "待定"}, {}),
    "terminal": ({"subscriber_id": None}, {"first_seen": "昨天"}, {}),
    "billing": ({"total": "-12.50"}, {"total": "n/a"}, {"subscriber_id": None}, {}),
    "vas_usage": ({"days": "99"}, {"volume_mb": "-1"}, {"service_code": None}, {}),
    "service_subscription": ({"order_date": "2024-02-31"}, {"subscriber_id": None}, {}),
    "bundle_contract": ({"class": "7"}, {"begin_date": "99999999"}, {}),
    "user_extension": ({"complaints": "many"}, {"subscriber_id": None}),
    "voice_summary": ({"total_minutes": "-3.0"}, {"subscriber_id": None}),
    "contact_circle": ({"peers": "-1"}, {"calls_per_peer": "x"}),
    "cell_site": ({"lat": "0.0"}, {"station": None}),
    "place": ({"kind": "?"}, {"cell": None}),
    "event": ({"starts": "soon"},),
    "signalling": ({"seen_at": None}, {"cell": None}, {}),
    "message_cdr": ({"direction": "sideways"}, {"sent_at": None}, {}),
    "group_info": ({"group_id": None}, {"size": "-3"}),
    "group_member": ({"subscriber_id": None}, {"group_id": None}, {}),
    "account_manager": ({"manager": None},),
    "key_account": ({"tier": "?"}, {"subscriber_id": None}),
    "complaint": ({"subscriber_id": None}, {"told_at": "yesterday"}, {}),
    "survey": ({"score": "11"}, {"subscriber_id": None}),
    "service_contact": ({"called_at": "n/a"}, {"subscriber_id": None}),
    "tariff": ({"rental": "-1"},),
    "policy": ({"policy_code": None}, {"begin_date": "soon"}),
    "campaign": ({"campaign": None}, {"state": "?"}),
    "contact_history": ({"subscriber_id": None}, {"outcome": "?"}, {"contacted_at": "in the morning"}, {}),
    "service_monitor": ({"users": "-1"}, {"service_code": None}, {"day": "20240230"}),
    "outcome": ({"value": "7"}, {"subscriber_id": None}, {}),
    "voice_cdr": ({"seconds": "-5"}, {"direction": "sideways"}, {"start_time": None}, {}),
}
IS_BAD, _DEFECT = "is_bad", "which_defect"


def with_bad_rows(rows: DataFrame, table: str, province: Province) -> DataFrame:
    """`rows` (with `month`) and, beside a share of them, a spoilt copy; `is_bad` marks the copies."""
    defects = DEFECTS[table]
    dice, row = province.dice, F.xxhash64(*rows.columns)
    spoilt = dice.happens(province.config.bad_row_share, f"bad {table}", row)
    copies = F.when(spoilt, F.array(F.lit(False), F.lit(True))).otherwise(F.array(F.lit(False)))
    copied = rows.withColumn(_DEFECT, dice.below(len(defects), f"defect {table}", row)).withColumn(IS_BAD, F.explode(copies))
    broken = {c: _broken(copied, c, defects) for c in sorted({c for defect in defects for c in defect})}
    return copied.withColumns(broken).drop(_DEFECT)


def _broken(rows: DataFrame, column: str, defects: Sequence[Defect]) -> Column:
    kind = rows.schema[column].dataType
    value = F.col(column)
    for number, defect in enumerate(defects):
        if column in defect:
            value = F.when(F.col(IS_BAD) & (F.col(_DEFECT) == number), F.lit(defect[column]).cast(kind)).otherwise(value)
    return value
