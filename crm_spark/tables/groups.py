"""Interface layer (接口层): corporate groups, key accounts, and who looks after them."""

from __future__ import annotations

from pyspark.sql import types as T

from crm_spark.tables.common import CITY, KEY, MONTH, USER_ID, money, text, whole
from crm_spark.tables.contract import Field, Table

GROUP_ID = Field("group_id", T.StringType(), "Corporate group, as the operator names it.", required=True)
MANAGER_ID = Field("manager_id", T.StringType(), "Account manager, as the operator names it.")

GROUP_INFO = Table(
    "raw",
    "group_info",
    "One row per corporate group and month (集团客户信息表).",
    (
        CITY,
        MONTH,
        GROUP_ID,
        text("industry", "Industry."),
        whole("members", "Members it says it has.", "members >= 0"),
        money("contract_revenue_yuan", "Revenue of its contracts in the month."),
        money("cost_yuan", "What it costs to serve in the month."),
        whole("credit_level", "Credit, 1 (least) to 5.", "credit_level BETWEEN 1 AND 5"),
        MANAGER_ID,
    ),
    ("city", "month", "group_id"),
)

GROUP_MEMBER = Table(
    "raw",
    "group_member",
    "One row per member of a corporate group and month (集团成员信息表).",
    (CITY, MONTH, GROUP_ID, USER_ID, text("role", "Role in the group.", "role IN ('decision_maker', 'contact_person', 'member')")),
    ("city", "month", "group_id", "user_id"),
)

ACCOUNT_MANAGER = Table(
    "raw",
    "account_manager",
    "One row per account manager and month.",
    (
        CITY,
        MONTH,
        Field("manager_id", T.StringType(), MANAGER_ID.comment, required=True),
        text("skill", "What the manager is good at."),
        whole("grade", "Grade, 1 (least) to 5.", "grade BETWEEN 1 AND 5"),
        whole("portfolio_limit", "Most accounts the manager may look after.", "portfolio_limit >= 0"),
        whole("visits", "Visits made in the month.", "visits >= 0"),
    ),
    ("city", "month", "manager_id"),
)

KEY_ACCOUNT = Table(
    "raw",
    "key_account",
    "One row per key account and month (大客户信息表).",
    (CITY, MONTH, USER_ID, text("tier", "Tier.", "tier IN ('silver', 'gold', 'diamond')"), MANAGER_ID),
    KEY,
)

GROUP_TABLES = (GROUP_INFO, GROUP_MEMBER, ACCOUNT_MANAGER, KEY_ACCOUNT)
