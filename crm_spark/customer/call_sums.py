"""What calls add up to, per user, per user and peer, per user and province: the state that any further calls are added to.

All sums are of whole numbers, so that neither order nor the way calls come in parts matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crm_spark.customer.arrays import Ints, Truths, codes, named_codes, tally
from crm_spark.tables.call_state import CALL_COUNTS, KINDS, NETS, PEER_SUMS, PROVINCE_SUMS, ROAMINGS, SECONDS

KEY_SEPARATOR = "\t"
# A call in one integer: its attributes and their bits, from the lowest on (all bits set: not told); above them the seconds, whatever they are.
BITS = {"kind": 3, "roaming": 3, "direction": 2, "vpn": 2, "net": 2, "night": 1, "weekend": 1, "day": 5, "timed": 1}
FIRST_BIT = dict(zip((*BITS, "seconds"), accumulate(BITS.values(), initial=0), strict=True))
UNTOLD = {name: (1 << bits) - 1 for name, bits in BITS.items()}
OUT, IN = 0, 1
BITS_OF_DAYS = 31


@dataclass(frozen=True)
class Pairs:
    """Sums per user and something else, each pair once."""

    owner: Ints
    key: Ints
    sums: Mapping[str, Ints]


@dataclass(frozen=True)
class Sums:
    """Sums of the calls of users 0 to `users`: `of_user` by SECONDS and CALL_COUNTS, days as bits, keys of `provinces` as places in `names`."""

    users: int
    of_user: Mapping[str, Ints]
    days: Ints
    peers: Pairs
    provinces: Pairs
    names: Sequence[str]


def sums_of_calls(rows: pa.Table, user: Ints, users: int) -> Sums:
    """Of packed calls, whose users are given."""
    calls = _Calls.of(rows, user, users)
    days = np.zeros(users * 32, bool)
    days[user * 32 + calls.day] = True
    rank, names = named_codes(rows["text"].filter(pa.array(calls.far)))
    far_user, far_seconds = user[calls.far], calls.seconds[calls.far]
    return Sums(
        users,
        {**_seconds(calls), **_counts(calls)},
        days.reshape(users, 32)[:, 1:] @ (1 << np.arange(BITS_OF_DAYS)),
        _peers_of_calls(calls),
        _paired(far_user, rank, {"seconds": far_seconds}),
        names,
    )


def sums_of_states(rows: pa.Table, user: Ints, users: int) -> Sums:
    """Of rows of `middle.call_state`, whose users are given: those of one user are added."""
    of_user = {name: tally(user, rows[name].to_numpy(), users) for name in (*SECONDS, *CALL_COUNTS)}
    days = np.zeros(users, np.int64)
    np.bitwise_or.at(days, user, rows["days"].to_numpy())
    owner, peers = _unlisted(rows["peers"], user)
    met = _paired(owner, peers["peer"].to_numpy(), {name: peers[name].to_numpy() for name in PEER_SUMS})
    owner, provinces = _unlisted(rows["provinces"], user)
    rank, names = named_codes(provinces["province"])
    return Sums(users, of_user, days, met, _paired(owner, rank, {name: provinces[name].to_numpy() for name in PROVINCE_SUMS}), names)


def state_columns(sums: Sums) -> dict[str, pa.Array]:
    """The columns of `middle.call_state` but for the key, one row per user."""
    names = pa.array(sums.names, pa.string())
    return {
        **{name: pa.array(values, pa.int64()) for name, values in sums.of_user.items()},
        "days": pa.array(sums.days, pa.int32()),
        "peers": _listed(sums.peers, "peer", pa.array(sums.peers.key, pa.int64()), sums.users),
        "provinces": _listed(sums.provinces, "province", names.take(pa.array(sums.provinces.key)), sums.users),
    }


@dataclass(frozen=True)
class _Calls:
    """Columns of the calls; `user` counts from 0 to `users`; `far` are those that name a province they are long distance to."""

    users: int
    user: Ints
    seconds: Ints
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
    far: Truths

    @classmethod
    def of(cls, rows: pa.Table, user: Ints, users: int) -> _Calls:
        packed = rows["call"].to_numpy()
        parts = {name: (packed >> FIRST_BIT[name]) & UNTOLD[name] for name in BITS}
        timed, night, weekend = (parts.pop(name).astype(bool) for name in ("timed", "night", "weekend"))
        seconds = packed >> FIRST_BIT["seconds"]
        far = rows["text"].is_valid().to_numpy() & (seconds > 0)
        return cls(users=users, user=user, seconds=seconds, timed=timed, night=night, weekend=weekend, peer=rows["peer"], fee=rows["fee"], far=far, **parts)

    def tells(self, name: str) -> Truths:
        """Calls that tell the attribute."""
        return np.asarray(getattr(self, name) != UNTOLD[name])

    def grid(self, column: Ints, size: int, which: Truths) -> Ints:
        """Seconds per user and value of a column."""
        user, column, seconds = (self.user, column, self.seconds) if which.all() else (self.user[which], column[which], self.seconds[which])
        return tally(user * size + column, seconds, self.users * size).reshape(self.users, size)


def _seconds(calls: _Calls) -> dict[str, Ints]:
    directed = calls.timed & calls.tells("direction")
    by_vpn = calls.grid(calls.vpn * 8 + calls.roaming, 32, calls.timed).reshape(calls.users, 4, 8)
    grids = {
        "out": (calls.grid(calls.kind, 8, directed & (calls.direction == OUT)), KINDS),
        "in": (calls.grid(calls.kind, 8, directed & (calls.direction == IN)), KINDS),
        "roaming": (by_vpn.sum(axis=1), ROAMINGS),
        "vpn": (by_vpn[:, 1], ROAMINGS),
        "net": (calls.grid(calls.net, 4, calls.timed), NETS),
    }
    # the last name is what is not told, and so is the grid's last value
    return {f"{name}_{of}_seconds": grid[:, i if i < len(names) - 1 else -1] for of, (grid, names) in grids.items() for i, name in enumerate(names)}


def _counts(calls: _Calls) -> dict[str, Ints]:
    known_peer, charged = calls.peer.is_valid().to_numpy(), calls.fee.is_valid().to_numpy()
    directed, roams, vpned, netted = (calls.tells(name) for name in ("direction", "roaming", "vpn", "net"))
    which = {
        "calls": np.ones(len(calls.user), bool),
        "calls_out": calls.direction == OUT, "calls_in": calls.direction == IN,
        "on_net_calls": calls.net == 1, "calls_with_known_net": netted,
        "night_calls": calls.night, "weekend_calls": calls.weekend,
        "vpn_calls": calls.vpn == 1, "calls_with_known_vpn": vpned,
        "peer_calls_with_known_direction": known_peer & directed, "peer_calls_with_known_vpn": known_peer & vpned,
        "timed_calls": calls.timed,
        "timed_calls_with_known_direction": calls.timed & directed,
        "timed_calls_with_known_kind": calls.timed & directed & calls.tells("kind"),
        "timed_calls_with_known_roaming": calls.timed & roams,
        "timed_calls_with_known_net": calls.timed & netted,
        "timed_calls_with_known_vpn": calls.timed & vpned,
        "timed_calls_with_known_vpn_roaming": calls.timed & vpned & roams,
        "long_distance_fees": charged,
    }  # fmt: skip
    all_of_them = tally(calls.user, which["calls"], calls.users)
    counted = {name: all_of_them if truths.all() else tally(calls.user, truths, calls.users) for name, truths in which.items()}
    return {**counted, "long_distance_fee": tally(calls.user[charged], calls.fee.drop_null().to_numpy(), calls.users)}


def _peers_of_calls(calls: _Calls) -> Pairs:
    """A withheld number is no peer."""
    known = calls.peer.is_valid().to_numpy()
    direction = calls.direction[known]
    sums = {"calls": np.ones(len(direction), bool), "calls_out": direction == OUT, "calls_in": direction == IN, "vpn_calls": calls.vpn[known] == 1}
    return _paired(calls.user[known], calls.peer.drop_null().to_numpy(), sums)


def _paired(owner: Ints, key: Ints, sums: Mapping[str, Ints | Truths]) -> Pairs:
    """Rows of the same owner and key added."""
    code, size = codes(key)
    pair, pairs = codes(owner * max(size, 1) + code)
    owner_of, key_of = np.zeros(pairs, np.int64), np.zeros(pairs, np.int64)
    owner_of[pair], key_of[pair] = owner, key
    return Pairs(owner_of, key_of, {name: tally(pair, values, pairs) for name, values in sums.items()})


def _unlisted(lists: pa.ChunkedArray, user: Ints) -> tuple[Ints, dict[str, pa.Array]]:
    """Owner and fields of the members of all lists."""
    whole = lists.combine_chunks()
    members = whole.flatten()
    owner = np.repeat(user, pc.list_value_length(whole).to_numpy(zero_copy_only=False))
    return owner, dict(zip(members.type.names, members.flatten(), strict=True))


def _listed(pairs: Pairs, name: str, keys: pa.Array, users: int) -> pa.Array:
    """One list of pairs per user, by key."""
    order = np.lexsort((pairs.key, pairs.owner))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(pairs.owner, minlength=users))]).astype(np.int32)
    fields = {name: keys, **{of: pa.array(values, pa.int64()) for of, values in pairs.sums.items()}}
    members = pa.StructArray.from_arrays([column.take(pa.array(order)) for column in fields.values()], list(fields))
    return pa.ListArray.from_arrays(pa.array(offsets), members)
