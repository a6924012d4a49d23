"""The sums of a month's calls so far: what a day's calls are added to, and what the month's summaries are made from."""

from __future__ import annotations

from dataclasses import replace

from pyspark.sql import types as T

from crm_spark.tables.common import CITY, MONTH, whole
from crm_spark.tables.contract import Field, Table
from crm_spark.tables.raw import CALL_KINDS, ROAMING_KINDS

UNTOLD_KIND = "untold"
KINDS, ROAMINGS, NETS = (*CALL_KINDS, UNTOLD_KIND), (*ROAMING_KINDS, UNTOLD_KIND), ("off", "on", UNTOLD_KIND)
SECONDS = {
    **{f"{kind}_{way}_seconds": f"<distance>_{way}_seconds" for way in ("out", "in") for kind in KINDS},
    **{f"{kind}_roaming_seconds": "<roaming>_roaming_seconds" for kind in ROAMINGS},
    **{f"{kind}_vpn_seconds": "<roaming>_vpn_seconds" for kind in ROAMINGS},
    **{f"{net}_net_seconds": "<net>_net_seconds" for net in NETS},
}  # column: pattern
_SECONDS_MEAN = {
    "<distance>_out_seconds": "Calls made, by distance; `untold` where the call does not tell it.",
    "<distance>_in_seconds": "Calls received, by distance.",
    "<roaming>_roaming_seconds": "By where the subscriber roamed (`none`: at home).",
    "<roaming>_vpn_seconds": "Inside the VPN, by where the subscriber roamed.",
    "<net>_net_seconds": "With customers of the same operator (`on`) or of others (`off`).",
}
CALL_COUNTS = {
    "calls": "Calls.",
    "calls_out": "Calls made.",
    "calls_in": "Calls received.",
    "on_net_calls": "Calls with customers of the same operator.",
    "calls_with_known_net": "Calls that tell the peer's operator.",
    "night_calls": "Calls that start 23:00-05:59.",
    "weekend_calls": "Calls on Saturday or Sunday.",
    "vpn_calls": "Calls inside the VPN.",
    "calls_with_known_vpn": "Calls that tell whether they ran inside the VPN.",
    "peer_calls_with_known_direction": "... of those that tell the peer: calls that tell the direction.",
    "peer_calls_with_known_vpn": "... and calls that tell whether they ran inside the VPN.",
    "timed_calls": "Calls that tell their length; what follows counts among these.",
    "timed_calls_with_known_direction": "... that tell the direction.",
    "timed_calls_with_known_kind": "... that tell direction and distance.",
    "timed_calls_with_known_roaming": "... that tell where the subscriber roamed.",
    "timed_calls_with_known_net": "... that tell the peer's operator.",
    "timed_calls_with_known_vpn": "... that tell whether they ran inside the VPN.",
    "timed_calls_with_known_vpn_roaming": "... that tell that and where the subscriber roamed.",
    "long_distance_fees": "Calls of outgoing long distance that tell their charge.",
    "long_distance_fee": "Sum of these charges, in 1e-4 yuan.",
}
PEER_SUMS = ("calls", "calls_out", "calls_in", "vpn_calls")
PROVINCE_SUMS = ("seconds",)
PEERS = T.ArrayType(T.StructType([T.StructField(name, T.LongType()) for name in ("peer", *PEER_SUMS)]))
PROVINCES = T.ArrayType(T.StructType([T.StructField("province", T.StringType()), T.StructField("seconds", T.LongType())]))

CALL_STATE = Table(
    "middle",
    "call_state",
    "One row per subscriber, city its calls were filed in, and month: sums over the calls loaded so far; rows of any two sets of calls add up.",
    (
        replace(CITY, comment="City the calls were filed in; _UNKNOWN where missing, _ALL if the operator has none."),
        MONTH,
        Field("subscriber", T.LongType(), "64 bits of the hash of month and `user_id`."),
        Field("subscriber_too", T.LongType(), "64 more bits of it."),
        *(Field(name, T.LongType(), _SECONDS_MEAN[pattern], pattern=pattern) for name, pattern in SECONDS.items()),
        *(Field(name, T.LongType(), comment) for name, comment in CALL_COUNTS.items()),
        whole("days", "Days with a call: bit 0 is day 1 (these are joined, not added)."),
        Field("peers", PEERS, "Per peer (64 bits of the hash of its number) what its calls add up to."),
        Field("provinces", PROVINCES, "Per province of the peer the seconds of outgoing long distance."),
    ),
    ("city", "month", "subscriber", "subscriber_too"),
    dead_files_kept="interval 40 days",  # each day leaves as many as there are; what a month was made of is what nobody replays
)
