"""What the sums of a subscriber's calls come to: minutes, counts, the shape of its contact circle; null for what no call tells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crm_spark.customer.arrays import Ints, Truths, place_in_run, sorted_sums
from crm_spark.customer.call_sums import BITS_OF_DAYS, Sums
from crm_spark.tables.call_state import KINDS, ROAMINGS
from crm_spark.tables.middle import VOICE_MINUTES
from crm_spark.tables.raw import CALL_KINDS, ROAMING_KINDS

Nullable = tuple[npt.NDArray[np.float64] | Ints, Truths]  # values, and where they are told
COUNTS = (
    "calls", "calls_out", "calls_in", "on_net_calls", "calls_with_known_net", "night_calls", "weekend_calls", "vpn_calls",
    "voice_active_days", "peers", "peers_both_ways", "peer_calls", "calls_ln_calls", "top1_calls", "top3_calls", "vpn_peers",
    "vpn_peer_calls", "long_distance_fee",
)  # fmt: skip
FIGURES = (*(f.name for f in VOICE_MINUTES), *COUNTS)
NAMED_FIGURE = "top_long_distance_province"
SECONDS_A_MINUTE = 60
NANO = 1e9
TOP = 3


def figures(sums: Sums) -> dict[str, Nullable]:
    """By name, in the order of FIGURES."""
    made = {**_minutes(sums), **_counts(sums), **_circle(sums)}
    return {name: made[name] for name in FIGURES}  # calls received over a local distance that is long, and what is not roaming, are none


def named_figure(sums: Sums) -> pa.Array:
    """Per user the province with most outgoing long distance, ties by name; null without any."""
    far = sums.provinces
    order = np.lexsort((far.key, -far.sums["seconds"], far.owner))
    first = order[place_in_run(far.owner[order]) == 0]
    top, told = np.zeros(sums.users, np.int64), np.zeros(sums.users, bool)
    top[far.owner[first]], told[far.owner[first]] = far.key[first], True
    return pa.array(sums.names, pa.string()).take(pa.array(top, mask=~told))


def _minutes(sums: Sums) -> dict[str, Nullable]:
    def seconds(*names: str) -> Ints:
        return sum((sums.of_user[f"{name}_seconds"] for name in names), np.zeros(sums.users, np.int64))

    def told(what: str) -> Truths:
        return sums.of_user[what] > 0

    of_kind, of_direction = told("timed_calls_with_known_kind"), told("timed_calls_with_known_direction")
    of_roaming, of_net = told("timed_calls_with_known_roaming"), told("timed_calls_with_known_net")
    abroad = [f"{kind}_vpn" for kind in ROAMING_KINDS[1:]]
    made = {
        **{f"{kind}_{way}": (seconds(f"{kind}_{way}"), of_kind) for way in ("out", "in") for kind in CALL_KINDS},
        **{f"{kind}_roaming": (seconds(f"{kind}_roaming"), of_roaming) for kind in ROAMING_KINDS},
        "vpn": (seconds(*(f"{kind}_vpn" for kind in ROAMINGS)), told("timed_calls_with_known_vpn")),
        "vpn_roaming": (seconds(*abroad), told("timed_calls_with_known_vpn_roaming")),
        "on_net": (seconds("on_net"), of_net), "off_net": (seconds("off_net"), of_net),
        "long_distance": (seconds(*(f"{kind}_out" for kind in CALL_KINDS[1:])), of_kind),
        "out": (seconds(*(f"{kind}_out" for kind in KINDS)), of_direction),
        "in": (seconds(*(f"{kind}_in" for kind in KINDS)), of_direction),
        "total": (seconds("on_net", "off_net", "untold_net"), told("timed_calls")),
    }  # fmt: skip
    return {f"{name}_minutes": (values / SECONDS_A_MINUTE, is_told) for name, (values, is_told) in made.items()}


def _counts(sums: Sums) -> dict[str, Nullable]:
    of = sums.of_user
    called, of_direction, of_net = of["calls"] > 0, of["calls_out"] + of["calls_in"] > 0, of["calls_with_known_net"] > 0
    told = {
        "calls": called, "calls_out": of_direction, "calls_in": of_direction, "on_net_calls": of_net, "calls_with_known_net": of_net,
        "night_calls": called, "weekend_calls": called, "vpn_calls": of["calls_with_known_vpn"] > 0, "long_distance_fee": of["long_distance_fees"] > 0,
    }  # fmt: skip
    return {**{name: (of[name], is_told) for name, is_told in told.items()}, "voice_active_days": (_bits(sums.days), called)}


def _bits(values: Ints) -> Ints:
    """How many bits are set in each."""
    return np.asarray(((values[:, None] >> np.arange(BITS_OF_DAYS)) & 1).sum(axis=1))


def _circle(sums: Sums) -> dict[str, Nullable]:
    """What peers add: how many there are, how calls spread over them, how many speak both ways and inside the VPN."""
    peers = sums.peers
    count, in_vpn = peers.sums["calls"], peers.sums["vpn_calls"]
    order = np.lexsort((-count, peers.owner))  # a subscriber's most frequent peer first
    place = place_in_run(peers.owner[order])

    def per_user(values: Ints | Truths, chosen: Ints = order) -> Ints:
        return sorted_sums(peers.owner[chosen], values[chosen], sums.users)

    peer_count = per_user(np.ones(len(count), bool))
    has_peer, of_vpn = peer_count > 0, sums.of_user["peer_calls_with_known_vpn"] > 0
    both_ways = (peers.sums["calls_out"] > 0) & (peers.sums["calls_in"] > 0)
    return {
        "peers": (peer_count, has_peer),
        "peers_both_ways": (per_user(both_ways), sums.of_user["peer_calls_with_known_direction"] > 0),
        "peer_calls": (per_user(count), has_peer),
        "calls_ln_calls": (per_user(np.rint(count * np.log(count) * NANO).astype(np.int64)), has_peer),
        "top1_calls": (per_user(count, order[place == 0]), has_peer), "top3_calls": (per_user(count, order[place < TOP]), has_peer),
        "vpn_peers": (per_user(in_vpn > 0), of_vpn), "vpn_peer_calls": (per_user(in_vpn), of_vpn),
    }  # fmt: skip
