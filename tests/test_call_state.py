"""Calls in parts, in any order, add up to what they are together (docs/adr/0011)."""

import random
from datetime import datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_spark.customer.call_partitions import call_states, merged_states, state_totals, summed_partitions
from crm_spark.customer.call_sums import BITS, FIRST_BIT, IN, OUT, UNTOLD
from crm_spark.customer.calls import call_totals, months_told, state_of_calls, state_of_states, totals_of_state
from crm_spark.customer.circle import build_contact_circle
from crm_spark.customer.voice import build_voice_summary
from crm_spark.tables.call_state import CALL_STATE
from crm_spark.tables.middle import USER_BASIC
from crm_spark.tables.raw import CALL_KINDS, ROAMING_KINDS
from tests.customer_support import all_rows, calls, rows_of

VALUES = {"kind": range(5), "roaming": range(4), "direction": (OUT, IN), "vpn": (0, 1), "net": (0, 1)}
SUBSCRIBERS = range(4)
ROWS = pa.schema(
    [
        *((name, pa.int64()) for name in ("subscriber", "subscriber_too", "peer", "call", "fee")),
        *((name, pa.string()) for name in ("text", "city", "month")),
    ]
)


@st.composite
def packed_call(draw):
    """A call as it is packed: every attribute told or not, two subscribers that share 64 bits."""
    told = {name: draw(st.sampled_from([*values, UNTOLD[name]])) for name, values in VALUES.items()}
    told |= {name: draw(st.integers(0, 1)) for name in ("night", "weekend", "timed")} | {"day": draw(st.integers(1, 31))}
    seconds = draw(st.integers(-60, 86_400)) if told["timed"] else 0
    is_far = told["direction"] == OUT and told["kind"] in range(1, 5)
    user = draw(st.sampled_from(SUBSCRIBERS))
    return {
        "subscriber": user // 2, "subscriber_too": user, "peer": draw(st.none() | st.integers(-3, 3)),
        "call": sum(told[name] << FIRST_BIT[name] for name in BITS) + (seconds << FIRST_BIT["seconds"]),
        "fee": draw(st.none() | st.integers(0, 10**6)) if is_far else None,
        "text": draw(st.none() | st.sampled_from(["Anhui", "Hunan"])) if is_far else None,
        "city": draw(st.sampled_from("AB")), "month": "2025-03",
    }  # fmt: skip


def applied(work, *tables):
    """What `mapInArrow` would make of these rows in one partition."""
    rows = pa.concat_tables(tables, promote_options="default")
    return pa.Table.from_batches(work(rows.to_batches()))


def rows_in_order(table, *key):
    return sorted(table.to_pylist(), key=lambda row: [row[name] for name in key])


REGISTER = pa.table(
    {
        "subscriber": [user // 2 for user in (*SUBSCRIBERS, 99)],
        "subscriber_too": [*SUBSCRIBERS, 99],
        "text": [f"A\t2025-03\t{user}" for user in (*SUBSCRIBERS, 99)],
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), packed_call()), min_size=1, max_size=25))
def test_whatever_calls_come_first_the_sums_of_the_parts_are_those_of_the_whole(drawn):
    parts = [[call for of, call in drawn if of == part] for part in range(3)]
    tables = [pa.Table.from_pylist(part, ROWS) for part in parts if part]
    merged = applied(merged_states, *(applied(call_states, table) for table in tables))
    assert rows_in_order(merged, *CALL_STATE.key) == rows_in_order(applied(call_states, *tables), *CALL_STATE.key)
    totals = applied(state_totals, merged.drop_columns(["city", "month"]), REGISTER)
    assert rows_in_order(totals, "user_id") == rows_in_order(applied(summed_partitions, *tables, REGISTER), "user_id")


def random_call(pick):
    """A call of one of some subscribers, filed anywhere; any attribute may be untold."""
    def perhaps(value):
        return value if pick.random() < 0.8 else None

    return {
        "user_id": pick.choice("abcd"), "city": pick.choice(["A", "B"]), "peer_id": perhaps(pick.choice("pqrst")),
        "started_at": datetime(2025, 3, 1) + timedelta(seconds=pick.randrange(31 * 86_400)), "seconds": perhaps(pick.randrange(900)),
        "direction": perhaps(pick.choice(["out", "in"])), "call_kind": perhaps(pick.choice(CALL_KINDS)),
        "roaming_kind": perhaps(pick.choice(ROAMING_KINDS)), "is_vpn": perhaps(pick.random() < 0.3), "is_on_net": perhaps(pick.random() < 0.6),
        "peer_province": perhaps(pick.choice(["Anhui", "Hunan"])), "fee_yuan": perhaps(Decimal(pick.randrange(9_999)) / 10_000),
    }  # fmt: skip


@pytest.fixture(scope="module")
def network(spark):
    """Subscribers of the month's register; `d` is not among them, `silent` never calls."""
    return rows_of(spark, USER_BASIC, *[{"user_id": user} for user in ("a", "b", "c", "silent")])


def test_summaries_of_the_sums_are_those_of_the_calls_to_the_last_digit(spark, network):
    pick = random.Random(7)
    month = [random_call(pick) for _ in range(300)]
    early, late = calls(spark, *month[:180]), calls(spark, *month[180:])
    state = state_of_states(state_of_calls(early).unionByName(state_of_calls(late))).localCheckpoint()
    pairs = [(totals_of_state(state, network), call_totals(early.unionByName(late), network))]
    for ours, theirs in pairs:
        assert all_rows(ours) == all_rows(theirs)
        told = months_told(theirs)
        assert months_told(ours) == told
        for build in (build_voice_summary, build_contact_circle):
            assert all_rows(build(ours, told)) == all_rows(build(theirs, told))
    assert {(r["city"], r["month"]) for r in state.select("city", "month").distinct().collect()} == {("A", "2025-03"), ("B", "2025-03")}
    assert state.count() == state.select(*CALL_STATE.key).distinct().count()
    assert state.groupBy().sum("calls").first()[0] == 300
