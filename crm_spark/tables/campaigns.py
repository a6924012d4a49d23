"""Interface layer (接口层): what the operator sells, with which campaigns, and how its services do."""

from __future__ import annotations

from pyspark.sql import types as T

from crm_spark.tables.common import CITY, MONTH, count, day, money, number, text, whole
from crm_spark.tables.contract import Field, Table

POLICY = Table(
    "raw",
    "policy",
    "One row per marketing policy and month (营销政策).",
    (
        CITY,
        MONTH,
        Field("policy_id", T.StringType(), "Policy, as contracts and contacts name it.", required=True),
        text("title", "What it is called."),
        text("family", "Family: value bundle, trial, ..."),
        text("goal", "Goal: retention, traffic, new_service, virtual_network."),
        text("conditions", "Who may have it, in words; null for everybody."),
        text("policy_group", "Group of policies of like strength."),
        whole("bundle_class", "Class of the bundle, 0 or 1; null if it is none.", "bundle_class IN (0, 1)"),
        money("prepaid_yuan", "Prepaid."),
        money("gifted_yuan", "Gifted."),
        whole("term_months", "Shortest term.", "term_months >= 0"),
        number("discount_strength", "Share of the worth that is given.", "discount_strength BETWEEN 0 AND 1"),
        money("unit_cost_yuan", "Cost of one that is taken."),
        count("capacity", "Most that can be taken; null without limit."),
        day("valid_from", "First day of validity."),
        day("valid_to", "Last day of validity.", "valid_to >= valid_from"),
        text("channels", "Channels it is offered on, parted by `;`."),
        text("send_window", "Hours in which it is sent, HH:mm-HH:mm; null for any.", "send_window RLIKE '^[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$'"),
        text("wording", "Recommendation wording (推荐语)."),
    ),
    ("city", "month", "policy_id"),
)

CAMPAIGN = Table(
    "raw",
    "campaign",
    "One row per campaign and month: its state at month end.",
    (
        CITY,
        MONTH,
        Field("campaign", T.StringType(), "Campaign, as contacts name it.", required=True),
        text("theme", "Theme."),
        text("goal", "Goal."),
        text("kind", "Kind: sale, trial, care, festival greeting, loyalty, prize for leaders."),
        text("form", "Form.", "form IN ('online', 'offline', 'joint')"),
        day("started_on", "First day."),
        day("ended_on", "Last day, as planned.", "ended_on >= started_on"),
        money("budget_yuan", "Budget for contacts."),
        text("channels", "Channels, parted by `;`."),
        text("policies", "Policies it offers, parted by `;`; null if it offers none."),
        text("state", "State.", "state IN ('prepared', 'started', 'running', 'closed')"),
    ),
    ("city", "month", "campaign"),
)

SERVICE_MONITOR = Table(
    "raw",
    "service_monitor",
    "One row per service and day (业务监控).",
    (
        CITY,
        MONTH,
        Field("day", T.DateType(), "Day, local time.", required=True),
        Field("service", T.StringType(), "Service code.", required=True),
        count("users", "Users who hold it on the day."),
        count("active_users", "Of these, users who used it."),
        count("failures", "Uses that failed."),
    ),
    ("city", "month", "day", "service"),
)

CAMPAIGN_TABLES = (POLICY, CAMPAIGN, SERVICE_MONITOR)
