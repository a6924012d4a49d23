"""The calls of one partition, summed in arrays: every subscriber of a partition's register with its totals.

All sums are of whole numbers, so that their order does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crm_spark.tables.common import KEY
from crm_spark.tables.middle import VOICE_MINUTES
from crm_spark.tables.raw import CALL_KINDS, ROAMING_KINDS

Ints = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]
Nullable = tuple[npt.NDArray[np.float64] | Ints, Truths]  # values, and where they are told
COUNTS = (
    "calls", "calls_out", "calls_in", "on_net_calls", "calls_with_known_net", "night_calls", "weekend_calls", "vpn_calls",
    "voice_active_days", "peers", "peers_both_ways", "peer_calls", "calls_ln_calls", "top1_calls", "top3_calls", "vpn_peers",
    "vpn_peer_calls", "long_distance_fee",
)  # fmt: skip
TOTAL_COLUMNS = (*KEY, *(f.name for f in VOICE_MINUTES), *COUNTS, "top_long_distance_province")
KEY_SEPARATOR = "\t"
# A call in one integer: its attributes and their bits, from the lowest on (all bits set: not told); above them the seconds, whatever they are.
BITS = {"kind": 3, "roaming": 3, "direction": 2, "vpn": 2, "net": 2, "night": 1, "weekend": 1, "day": 5, "timed": 1}
FIRST_BIT = dict(zip((*BITS, "seconds"), accumulate(BITS.values(), initial=0), strict=True))
UNTOLD = {name: (1 << bits) - 1 for name, bits in BITS.items()}
OUT, IN = 0, 1
SECONDS_A_MINUTE = 60
NANO = 1e9
TOP = 3
_NOT_ROAMING = 0


def summed_partitions(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """For `mapInArrow`: of a partition's calls, and of the rows without a call, which are the register."""
    whole = list(batches)
    if whole:
        yield from _summed(pa.Table.from_batches(whole)).to_batches()


def _summed(rows: pa.Table) -> pa.Table:
    group, groups = groups_of(rows["subscriber"], rows["subscriber_too"])
    is_call = rows["call"].is_valid().to_numpy()
    calls = _Calls.of(rows.filter(pa.array(is_call)), group[is_call], groups)
    keys = pc.split_pattern(rows["text"].filter(pa.array(~is_call)).combine_chunks(), KEY_SEPARATOR)
    place = group[~is_call]
    columns = {name: pc.list_element(keys, i) for i, name in enumerate(KEY)}
    for name, (values, told) in {**_minutes(calls), **_counts(calls), **_circle(calls)}.items():
        columns[name] = pa.array(values[place], mask=~told[place])
    columns["top_long_distance_province"] = _top_province(calls).take(pa.array(place))
    return pa.table(columns).select(TOTAL_COLUMNS)


def groups_of(keys: pa.ChunkedArray, more: pa.ChunkedArray) -> tuple[Ints, int]:
    """The number of each row's subscriber and how many there are; two subscribers that share their first 64 bits stay two."""
    first, count = codes(keys.to_numpy())
    second = more.to_numpy()
    one_of = np.zeros(count, np.int64)
    one_of[first] = second
    if (one_of[first] == second).all():
        return first, count
    others, other_count = codes(second)
    return codes(first * other_count + others)


def codes(values: Ints) -> tuple[Ints, int]:
    """Equal values as equal numbers from 0."""
    encoded = pa.array(values).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)


@dataclass(frozen=True)
class _Calls:
    """Columns of the calls; `user` counts from 0 to `users`."""

    users: int
    user: Ints
    seconds: npt.NDArray[np.float64]
    timed: Truths
    kind: Ints
    roaming: Ints
    direction: Ints
    vpn: Ints
    net: Ints
    night: Truths
    weekend: Truths
    day: Ints
    peer: pa.ChunkedArray
    fee: pa.ChunkedArray
    province: pa.ChunkedArray

    @classmethod
    def of(cls, rows: pa.Table, user: Ints, users: int) -> _Calls:
        packed = rows["call"].to_numpy()
        parts = {name: (packed >> FIRST_BIT[name]) & UNTOLD[name] for name in BITS}
        timed, night, weekend = (parts.pop(name).astype(bool) for name in ("timed", "night", "weekend"))
        seconds = (packed >> FIRST_BIT["seconds"]).astype(np.float64)
        return cls(
            users=users, user=user, seconds=seconds, timed=timed, night=night, weekend=weekend,
            peer=rows["peer"], fee=rows["fee"], province=rows["text"], **parts,
        )  # fmt: skip

    def tells(self, name: str) -> Truths:
        """Calls that tell the attribute."""
        return np.asarray(getattr(self, name) != UNTOLD[name])

    def count(self, which: Truths) -> Ints:
        """Calls per user for which the condition holds."""
        return np.bincount(self.user[which], minlength=self.users)

    @cached_property
    def called(self) -> Truths:
        """Users with a call."""
        return np.bincount(self.user, minlength=self.users) > 0

    def told(self, which: Truths) -> Truths:
        """Users of whom at least one call tells it."""
        return self.called if which.all() else self.count(which) > 0

    def grid(self, column: Ints, size: int, which: Truths) -> npt.NDArray[np.float64]:
        """Seconds per user and value of a column."""
        user, column, seconds = (self.user, column, self.seconds) if which.all() else (self.user[which], column[which], self.seconds[which])
        return np.bincount(user * size + column, seconds, self.users * size).astype(np.float64, copy=False).reshape(self.users, size)


def _minutes(calls: _Calls) -> dict[str, Nullable]:
    directed = calls.timed & calls.tells("direction")
    out, into = directed & (calls.direction == OUT), directed & (calls.direction == IN)
    by_kind = {"out": calls.grid(calls.kind, 8, out), "in": calls.grid(calls.kind, 8, into)}
    by_vpn = calls.grid(calls.vpn * 8 + calls.roaming, 32, calls.timed).reshape(calls.users, 4, 8)
    by_net = calls.grid(calls.net, 4, calls.timed)
    roaming, vpn = by_vpn.sum(axis=1), by_vpn[:, 1]
    of_kind, of_direction = calls.told(directed & calls.tells("kind")), calls.told(directed)
    of_roaming, of_net = calls.told(calls.timed & calls.tells("roaming")), calls.told(calls.timed & calls.tells("net"))
    vpned = calls.timed & calls.tells("vpn")
    seconds = {
        **{f"{name}_{way}": (grid[:, i], of_kind) for way, grid in by_kind.items() for i, name in enumerate(CALL_KINDS)},
        **{f"{name}_roaming": (roaming[:, i], of_roaming) for i, name in enumerate(ROAMING_KINDS)},
        "vpn": (vpn.sum(axis=1), calls.told(vpned)),
        "vpn_roaming": (vpn[:, _NOT_ROAMING + 1 : len(ROAMING_KINDS)].sum(axis=1), calls.told(vpned & calls.tells("roaming"))),
        "on_net": (by_net[:, 1], of_net), "off_net": (by_net[:, 0], of_net),
        "long_distance": (by_kind["out"][:, 1 : len(CALL_KINDS)].sum(axis=1), of_kind),
        "out": (by_kind["out"].sum(axis=1), of_direction), "in": (by_kind["in"].sum(axis=1), of_direction),
        "total": (by_net.sum(axis=1), calls.told(calls.timed)),
    }  # fmt: skip
    # calls received over a local distance that is long, and what is not roaming, are no columns: TOTAL_COLUMNS leaves them out
    return {f"{name}_minutes": (values / SECONDS_A_MINUTE, told) for name, (values, told) in seconds.items()}


def _counts(calls: _Calls) -> dict[str, Nullable]:
    called, of_direction, of_net = calls.called, calls.told(calls.tells("direction")), calls.told(calls.tells("net"))
    days = np.zeros(calls.users * 32, bool)
    days[calls.user * 32 + calls.day] = True
    far = calls.fee.is_valid().to_numpy()
    fees = np.bincount(calls.user[far], calls.fee.drop_null().to_numpy(), calls.users).astype(np.int64)
    return {
        "calls": (np.bincount(calls.user, minlength=calls.users), called),
        "calls_out": (calls.count(calls.direction == OUT), of_direction), "calls_in": (calls.count(calls.direction == IN), of_direction),
        "on_net_calls": (calls.count(calls.net == 1), of_net), "calls_with_known_net": (calls.count(calls.tells("net")), of_net),
        "night_calls": (calls.count(calls.night), called), "weekend_calls": (calls.count(calls.weekend), called),
        "vpn_calls": (calls.count(calls.vpn == 1), calls.told(calls.tells("vpn"))),
        "voice_active_days": (days.reshape(calls.users, 32).sum(axis=1), called),
        "long_distance_fee": (fees, calls.told(far)),
    }  # fmt: skip


def _circle(calls: _Calls) -> dict[str, Nullable]:
    """What peers add: how many there are, how calls spread over them, how many speak both ways and inside the VPN."""
    known = calls.peer.is_valid().to_numpy()
    user, direction, vpn = calls.user[known], calls.direction[known], calls.vpn[known]
    peer, peers = codes(calls.peer.drop_null().to_numpy())
    pair, pairs = codes(user * peers + peer)
    owner = np.zeros(pairs, np.int64)
    owner[pair] = user

    def per_pair(which: Truths) -> Ints:
        return np.bincount(pair[which], minlength=pairs)

    count = np.bincount(pair, minlength=pairs)
    both_ways = (per_pair(direction == OUT) > 0) & (per_pair(direction == IN) > 0)
    directed, vpned, in_vpn = per_pair(direction != UNTOLD["direction"]) > 0, per_pair(vpn != UNTOLD["vpn"]) > 0, per_pair(vpn == 1)
    order = np.lexsort((-count, owner))  # a subscriber's most frequent peer first
    place = _place_in_run(owner[order])
    frequent = order[place < TOP]

    def per_user(values: Ints | Truths, chosen: Ints = order) -> Ints:
        return _sums(owner[chosen], values[chosen], calls.users)

    peer_count = per_user(np.ones(pairs, bool))
    has_peer = peer_count > 0
    of_vpn = per_user(vpned) > 0
    return {
        "peers": (peer_count, has_peer), "peers_both_ways": (per_user(both_ways), per_user(directed) > 0),
        "peer_calls": (per_user(count), has_peer), "calls_ln_calls": (per_user(np.rint(count * np.log(count) * NANO).astype(np.int64)), has_peer),
        "top1_calls": (per_user(count, order[place == 0]), has_peer), "top3_calls": (per_user(count, frequent), has_peer),
        "vpn_peers": (per_user(in_vpn > 0), of_vpn), "vpn_peer_calls": (per_user(in_vpn), of_vpn),
    }  # fmt: skip


def _sums(sorted_owner: Ints, values: Ints | Truths, owners: int) -> Ints:
    """Exact sums per owner of values that lie together."""
    totals = np.zeros(owners, np.int64)
    begins = _begins(sorted_owner)
    if len(begins):
        totals[sorted_owner[begins]] = np.add.reduceat(values.astype(np.int64), begins)
    return totals


def _begins(values: Ints) -> Ints:
    return np.flatnonzero(np.r_[True, values[1:] != values[:-1]]) if len(values) else values


def _place_in_run(values: Ints) -> Ints:
    """0, 1, 2, ... within each run of equal values."""
    begins = _begins(values)
    return np.arange(len(values)) - np.repeat(begins, np.diff(np.r_[begins, len(values)]))


def _top_province(calls: _Calls) -> pa.Array:
    """Per user the province with most outgoing long distance, ties by name; null without any."""
    far = calls.province.is_valid().to_numpy() & (calls.seconds > 0)
    encoded = calls.province.filter(pa.array(far)).combine_chunks().dictionary_encode()
    names = sorted(encoded.dictionary.to_pylist())
    place = {name: i for i, name in enumerate(names)}
    rank_of = np.array([place[name] for name in encoded.dictionary.to_pylist()], np.int64)
    rank = rank_of[encoded.indices.to_numpy()]
    pair, pairs = codes(calls.user[far] * len(names) + rank)
    seconds = np.bincount(pair, calls.seconds[far], pairs)
    owner, province = np.zeros(pairs, np.int64), np.zeros(pairs, np.int64)
    owner[pair], province[pair] = calls.user[far], rank
    order = np.lexsort((province, -seconds, owner))
    first = order[_place_in_run(owner[order]) == 0]
    top, told = np.zeros(calls.users, np.int64), np.zeros(calls.users, bool)
    top[owner[first]], told[owner[first]] = province[first], True
    return pa.array(names, pa.string()).take(pa.array(top, mask=~told))
