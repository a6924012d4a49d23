"""Interface layer (接口层): what an operator delivers, conformed and pseudonymous."""

from __future__ import annotations

from pyspark.sql import types as T

from crm_spark.tables.common import CITY, KEY, MONTH, USER_ID, amount, count, day, money, number, text, truth, whole
from crm_spark.tables.contract import Field, Table

NUMBER_ID = Field(
    "number_id",
    T.StringType(),
    "Pseudonym of a normalised number: HMAC(key, num|number).",
    valid="number_id RLIKE '^1[0-9]{10}$'",
    pseudonym="number",
)
PEER_ID = Field(
    "peer_id",
    T.StringType(),
    "Pseudonym of the other number of the call; null if withheld.",
    valid="peer_id RLIKE '^[0-9]{3,20}$'",
    pseudonym="number",
    nullable=True,
)
PERSON_ID = Field(
    "person_id", T.StringType(), "Pseudonym of the customer (person) who owns the number; null if not told.", pseudonym="person"
)
HOUSEHOLD_ID = Field("household_id", T.StringType(), "Pseudonym of the household the subscriber belongs to.", pseudonym="household")
SPLIT_BUCKET = Field(
    "split_bucket", T.IntegerType(), "0-99 from SHA-256(split salt|source's own id); hold-out below 30.", pseudonym="bucket"
)

CALL_KINDS = ("local", "local_long_distance", "intra_province", "inter_province", "international")
ROAMING_KINDS = ("none", "intra_province", "inter_province", "international")
EXIT_KINDS = ("natural", "involuntary", "competitive", "service_failure")
_EXITS = ", ".join(f"'{k}'" for k in EXIT_KINDS)
_KINDS = ", ".join(f"'{k}'" for k in CALL_KINDS)
_ROAMING = ", ".join(f"'{k}'" for k in ROAMING_KINDS)
_MONTH_END = "last_day(to_date(concat(month, '-01')))"

USER_INFO = Table(
    "raw",
    "user_info",
    "One row per subscriber and month: the state at month end (用户信息表).",
    (
        CITY,
        MONTH,
        USER_ID,
        PERSON_ID,
        NUMBER_ID,
        SPLIT_BUCKET,
        HOUSEHOLD_ID,
        text("county", "County of registration."),
        text("brand", "Brand."),
        text("plan_id", "Tariff plan."),
        text("pay_type", "How the subscriber pays.", "pay_type IN ('prepaid', 'postpaid')"),
        text("status", "State of the subscription.", "status IN ('active', 'suspended', 'closed')"),
        text("gender", "Gender.", "gender IN ('female', 'male')"),
        day("birth_date", "Date of birth.", f"birth_date BETWEEN DATE'1900-01-01' AND {_MONTH_END}"),
        text("occupation", "Occupation."),
        text("education", "Education."),
        text("income_band", "Income band as the operator cuts it."),
        day("activation_date", "Day the subscription began.", f"activation_date BETWEEN DATE'1980-01-01' AND {_MONTH_END}"),
        whole("tenure_months", "Whole months on the network, where the operator delivers it instead of a date.", "tenure_months >= 0"),
        whole("age_years", "Age, where the operator delivers it instead of a birth date.", "age_years BETWEEN 1 AND 120"),
        text("home_hall", "Service hall of registration."),
        text("join_channel", "Where the subscriber joined (hall, agent, ...)."),
        text("exit_reason", "Why a closed subscription ended, in the operator's words."),
        text("exit_kind", "Kind of churn of a closed subscription; null if not told.", f"exit_kind IN ({_EXITS})"),
        truth("consent_marketing", "The subscriber consents to marketing contact."),
    ),
    KEY,
    checks={"bucket_is_a_percent": "split_bucket IS NULL OR split_bucket BETWEEN 0 AND 99"},
)

USER_EXTENSION = Table(
    "raw",
    "user_extension",
    "One row per subscriber and month: the operator's own columns, `ext_...` (用户扩展信息).",
    (CITY, MONTH, USER_ID),
    KEY,
)

TERMINAL = Table(
    "raw",
    "terminal",
    "One row per subscriber and month: the handset in use at month end.",
    (
        CITY,
        MONTH,
        USER_ID,
        text("terminal_model", "Model."),
        truth("supports_mms", "The handset can do MMS."),
        truth("supports_wap", "The handset can do WAP."),
        truth("supports_3g", "The handset can do 3G."),
        truth("supports_4g", "The handset can do 4G."),
        truth("supports_5g", "The handset can do 5G."),
        whole("terminal_age_days", "Days since the handset was first seen with the subscriber."),
    ),
    KEY,
)

VOICE_CDR = Table(
    "raw",
    "voice_cdr",
    "One row per call of a subscriber (话务量数据表); it belongs whole to the month of its start.",
    (
        CITY,
        MONTH,
        day("day", "Day of the start, local time."),
        USER_ID,
        PEER_ID,
        Field("started_at", T.TimestampNTZType(), "Start, operator's local time.", required=True),
        whole("seconds", "Length of the call in seconds.", "seconds BETWEEN 0 AND 86400"),
        text("direction", "out: the subscriber called; in: was called.", "direction IN ('out', 'in')"),
        text("call_kind", "Distance of the call.", f"call_kind IN ({_KINDS})"),
        text("roaming_kind", "Where the subscriber roamed.", f"roaming_kind IN ({_ROAMING})"),
        truth("is_vpn", "The call ran inside the virtual network (VPN)."),
        truth("is_on_net", "The peer is a customer of the same operator."),
        text("peer_province", "Province of the peer's number."),
        text("cell_id", "Cell at the start of the call."),
        Field("fee_yuan", T.DecimalType(18, 4), "Charge of the call.", valid="fee_yuan >= 0"),
    ),
    ("city", "month", "day", "user_id", "peer_id", "started_at", "direction"),
    partitioned_by=("city", "month", "day"),
)

SERVICE_SUBSCRIPTION = Table(
    "raw",
    "service_subscription",
    "One row per value-added-service order known at month end (特服订购表).",
    (
        CITY,
        MONTH,
        USER_ID,
        text("service", "Service code."),
        day("started_on", "First day."),
        day("ended_on", "Last day; null while open.", "ended_on >= started_on"),
        text("channel", "Where it was ordered."),
    ),
    (*KEY, "service", "started_on"),
)

BILLING = Table(
    "raw",
    "billing",
    "One row per subscriber and month: the bill (账务收入表).",
    (
        CITY,
        MONTH,
        USER_ID,
        money("revenue_yuan", "Total revenue of the bill."),
        money("local_revenue_yuan", "Local calls."),
        money("long_distance_revenue_yuan", "Long-distance calls."),
        money("roaming_revenue_yuan", "Roaming."),
        money("data_revenue_yuan", "Data."),
        money("vas_revenue_yuan", "Value-added services."),
        money("rental_yuan", "Monthly rental."),
        money("discount_yuan", "Discounts."),
        money("subsidy_yuan", "Subsidies of handset or contract."),
        money("gift_yuan", "Gifted credit used."),
        money("cost_to_serve_yuan", "Cost to serve."),
        money("payment_yuan", "Paid or recharged in the month."),
        count("payment_count", "Payments or recharges in the month."),
        money("arrears_yuan", "Owed at month end."),
        count("points", "Loyalty points."),
    ),
    KEY,
)

VAS_USAGE = Table(
    "raw",
    "vas_usage",
    "One row per subscriber, service and month with use (新业务使用表).",
    (
        CITY,
        MONTH,
        USER_ID,
        text("service", "Service code."),
        count("uses", "Uses: messages, downloads, sessions."),
        amount("mb", "Volume in MB."),
        whole("active_days", "Days with use.", "active_days BETWEEN 0 AND 31"),
        money("fee_yuan", "Usage fee."),
    ),
    (*KEY, "service"),
)

BUNDLE_CONTRACT = Table(
    "raw",
    "bundle_contract",
    "One row per prepaid or term bundle known at month end (0/1类捆绑).",
    (
        CITY,
        MONTH,
        USER_ID,
        text("policy_id", "Marketing policy the bundle came from."),
        whole("bundle_class", "0 or 1.", "bundle_class IN (0, 1)"),
        day("started_on", "First day."),
        day("ended_on", "Last day.", "ended_on >= started_on"),
        money("prepaid_yuan", "Prepaid."),
        money("gifted_yuan", "Gifted."),
    ),
    (*KEY, "policy_id", "started_on"),
)

OUTCOME = Table(
    "raw",
    "outcome",
    "One row per label that an operator delivers for a subscriber as of a month.",
    (
        CITY,
        MONTH,
        USER_ID,
        Field("label", T.StringType(), "Name of the label.", required=True),
        number("value", "1 happened, 0 did not.", "value IN (0, 1)"),
        text("known_month", "Month in which the value became known."),
    ),
    (*KEY, "label"),
)

QUARANTINE = Table(
    "raw",
    "quarantine",
    "One row per refused line of a file and mapping: where it stands and every reason; the line itself is in the vault.",
    (
        CITY,
        MONTH,
        text("source", "Source (operator) name."),
        text("mapping", "Table the line was meant for."),
        text("file", "File name."),
        Field("line_number", T.LongType(), "Line in the file (row for Parquet), 1 is the first."),
        text("line_hash", "SHA-256 of the line, keyed."),
        Field("reasons", T.ArrayType(T.StringType()), "Every reason, `field: rule`, without the value."),
        Field("key_hash", T.LongType(), "Hash of the row's key, without the city, where rows of one key contradict one another."),
    ),
    ("city", "month", "mapping", "file", "line_number"),
)

CONTACT_HISTORY = Table(
    "raw",
    "contact_history",
    "One row per contact with a subscriber; it belongs whole to the month of its day.",
    (
        CITY,
        MONTH,
        USER_ID,
        PERSON_ID,
        Field("day", T.DateType(), "Day of the contact, local time.", required=True),
        Field("contacted_at", T.TimestampNTZType(), "Moment of the contact, operator's local time; null if only the day is told.", nullable=True),
        Field("channel", T.StringType(), "Channel, as in conf/choosing.yml.", required=True),
        text("campaign", "Campaign."),
        Field("policy_id", T.StringType(), "What was offered; null if nothing.", nullable=True),
        text("outcome", "What came of it.", "outcome IN ('sent', 'reached', 'refused', 'accepted', 'ordered')"),
        text("clerk", "Who made it, as a pseudonym of the operator's own."),
        money("cost_yuan", "What it cost."),
    ),
    (*KEY, "day", "contacted_at", "channel", "policy_id"),
)

CONTACT_CONSENT = Table(
    "raw",
    "contact_consent",
    "One row per subscriber, channel and purpose of which a consent or a refusal is known at month end.",
    (
        CITY,
        MONTH,
        USER_ID,
        text("channel", "Channel, as in conf/choosing.yml; all for every channel."),
        text("purpose", "What for: marketing, care, ...; all for every purpose."),
        Field("is_given", T.BooleanType(), "True: consents; false: has opted out.", required=True),
    ),
    (*KEY, "channel", "purpose"),
)

RAW_TABLES = (
    USER_INFO,
    USER_EXTENSION,
    TERMINAL,
    VOICE_CDR,
    SERVICE_SUBSCRIPTION,
    BILLING,
    VAS_USAGE,
    BUNDLE_CONTRACT,
    OUTCOME,
    QUARANTINE,
    CONTACT_HISTORY,
    CONTACT_CONSENT,
)
