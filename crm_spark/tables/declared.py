"""Every declared table, by full name."""

from __future__ import annotations

from crm_spark.tables.call_state import CALL_STATE
from crm_spark.tables.campaigns import CAMPAIGN_TABLES
from crm_spark.tables.contract import Table
from crm_spark.tables.decision import DECISION_TABLES
from crm_spark.tables.desk import DESK_TABLES
from crm_spark.tables.groups import GROUP_TABLES
from crm_spark.tables.indicators import CALL_INDICATORS
from crm_spark.tables.mart import MART_TABLES
from crm_spark.tables.middle import MIDDLE_TABLES
from crm_spark.tables.ops import OPS_TABLES
from crm_spark.tables.places import PLACE_TABLES
from crm_spark.tables.raw import RAW_TABLES
from crm_spark.tables.score import SCORE_TABLES
from crm_spark.tables.vault import VAULT_TABLES

TABLES: dict[str, Table] = {
    table.full_name: table
    for table in (
        *RAW_TABLES, *DESK_TABLES, *GROUP_TABLES, *PLACE_TABLES, *CAMPAIGN_TABLES, *VAULT_TABLES, *MIDDLE_TABLES,
        CALL_STATE, CALL_INDICATORS, *MART_TABLES, *SCORE_TABLES, *DECISION_TABLES, *OPS_TABLES,
    )
}
