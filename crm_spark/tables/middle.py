"""Middle layer (中间层): one month of a subscriber, summarised; delivered ready-made by some operators."""

from __future__ import annotations

from pyspark.sql import types as T

from crm_spark.tables.common import CITY, KEY, MONTH, USER_ID, amount, count, day, money, number, text, truth, whole
from crm_spark.tables.contract import Field, Table
from crm_spark.tables.raw import BILLING, TERMINAL, USER_INFO

_NOT_KEY = slice(3, None)

USER_BASIC = Table(
    "middle",
    "user_basic",
    "One row per subscriber in the network at month end: who it is and with what handset (用户基本信息).",
    (*(f for f in USER_INFO.fields if f.name not in ("number_id", "birth_date", "exit_reason", "exit_kind")), *TERMINAL.fields[_NOT_KEY]),
    KEY,
)

VOICE_MINUTES = (
    amount("local_out_minutes", "Local, outgoing."),
    amount("local_in_minutes", "Local, incoming."),
    amount("local_long_distance_out_minutes", "Local long distance, outgoing."),
    amount("intra_province_out_minutes", "Intra-province long distance, outgoing."),
    amount("inter_province_out_minutes", "Inter-province long distance, outgoing."),
    amount("international_out_minutes", "International long distance, outgoing."),
    amount("intra_province_in_minutes", "From the same province outside the city, incoming."),
    amount("inter_province_in_minutes", "From other provinces, incoming."),
    amount("international_in_minutes", "From abroad, incoming."),
    amount("intra_province_roaming_minutes", "While roaming in the province."),
    amount("inter_province_roaming_minutes", "While roaming in other provinces."),
    amount("international_roaming_minutes", "While roaming abroad."),
    amount("vpn_minutes", "Inside the virtual network (VPN)."),
    amount("vpn_roaming_minutes", "Inside the VPN while roaming."),
    amount("on_net_minutes", "With customers of the same operator."),
    amount("off_net_minutes", "With customers of other operators."),
    amount("long_distance_minutes", "All long distance, outgoing."),
    amount("out_minutes", "All outgoing."),
    amount("in_minutes", "All incoming."),
    amount("total_minutes", "All: minutes of use (MOU)."),
)

VOICE_SUMMARY = Table(
    "middle",
    "voice_summary",
    "One row per subscriber and month: minutes by kind (语音统一汇总).",
    (
        CITY,
        MONTH,
        USER_ID,
        *VOICE_MINUTES,
        count("calls_out", "Calls made."),
        count("calls_in", "Calls received."),
        whole("voice_active_days", "Days with a call.", "voice_active_days BETWEEN 0 AND 31"),
        number(
            "long_distance_unit_price_yuan",
            "Charge per minute of outgoing long distance; null without any.",
            "long_distance_unit_price_yuan >= 0",
        ),
    ),
    KEY,
)

CONTACT_CIRCLE = Table(
    "middle",
    "contact_circle",
    "One row per subscriber and month: the shape of the voice contact circle (交往圈).",
    (
        CITY,
        MONTH,
        USER_ID,
        count("peers", "Distinct peers: breadth."),
        number("calls_per_peer", "Calls per peer: depth; null without calls."),
        text("top_long_distance_province", "Province with most outgoing long-distance minutes, ties by name; null without any."),
        number("peer_entropy", "Shannon entropy (nats) of calls over peers; null without calls."),
        number("reciprocity_share", "Share of peers with calls in both directions."),
        number("top1_peer_share", "Share of calls with the most frequent peer."),
        number("top3_peer_share", "Share of calls with the three most frequent peers."),
        number("on_net_call_share", "Share of calls with customers of the same operator."),
        number("nocturnal_call_share", "Share of calls that start 23:00-05:59."),
        number("weekend_call_share", "Share of calls on Saturday or Sunday."),
        count("vpn_peers", "Distinct peers inside the VPN."),
        number("vpn_calls_per_peer", "VPN calls per VPN peer; null without any."),
    ),
    KEY,
)

VAS_SUMMARY = Table(
    "middle",
    "vas_summary",
    "One row per subscriber, service and month in which the service is held or used (增值统一汇总).",
    (
        CITY,
        MONTH,
        USER_ID,
        text("service", "Service code."),
        truth("is_held", "Subscribed at month end."),
        whole("held_months", "Whole months held; null if not held."),
        count("uses", "Uses in the month."),
        amount("mb", "Volume in MB."),
        whole("active_days", "Days with use.", "active_days BETWEEN 0 AND 31"),
        money("fee_yuan", "Usage fee."),
    ),
    (*KEY, "service"),
)

BILLING_SUMMARY = Table(
    "middle",
    "billing_summary",
    "One row per subscriber and month: the bill and what the operator keeps of it.",
    (
        *BILLING.fields,
        number(
            "return_rate",
            "100 x clip((revenue - subsidy - gift) / revenue, 0, 1); null without revenue (回报率).",
            "return_rate BETWEEN 0 AND 100",
        ),
    ),
    KEY,
    checks={"return_rate_is_a_score": "return_rate IS NULL OR return_rate BETWEEN 0 AND 100"},
)

BUNDLE_STATUS = Table(
    "middle",
    "bundle_status",
    "One row per subscriber and month: class 0/1 bundles at month end (捆绑状态).",
    (
        CITY,
        MONTH,
        USER_ID,
        truth("has_bundle_0", "A class 0 bundle runs."),
        truth("has_bundle_1", "A class 1 bundle runs."),
        day("bundle_ends_on", "Last day of the bundle that runs longest; null if none runs."),
        whole("bundle_months_left", "Whole months it still runs; null if none runs."),
        Field("bundle_policies", T.ArrayType(T.StringType()), "Policies of the running bundles, sorted."),
    ),
    KEY,
)

MIDDLE_TABLES = (USER_BASIC, VOICE_SUMMARY, CONTACT_CIRCLE, VAS_SUMMARY, BILLING_SUMMARY, BUNDLE_STATUS)
