"""Calls into daily partials, monthly minutes and the contact circle."""

import math
import random
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from crm_spark.customer.circle import build_contact_circle
from crm_spark.customer.voice import build_voice_daily, build_voice_summary
from crm_spark.tables.middle import USER_BASIC, VOICE_MINUTES
from crm_spark.tables.raw import CALL_KINDS, ROAMING_KINDS
from tests.customer_support import all_rows, by_user, calls, rows_of, shuffles

PROVINCES = ("Anhui", "Hunan", "Zhejiang")


@pytest.fixture
def network(spark):
    """Subscribers at the end of March 2025; `silent` never calls."""
    return rows_of(spark, USER_BASIC, *[{"user_id": u} for u in ("ann", "bob", "silent")])


def test_a_day_with_a_peer_is_one_row_of_minutes_and_counts(spark):
    daily = build_voice_daily(
        calls(
            spark,
            {"seconds": 90, "is_vpn": True},
            {"seconds": 45, "direction": "in"},
            {"seconds": 30, "call_kind": "inter_province", "roaming_kind": "intra_province", "is_on_net": False, "fee_yuan": Decimal("0.35")},
            {"seconds": 60, "started_at": datetime(2025, 3, 4, 12)},
        )
    )
    first, second = daily.orderBy("day").collect()
    told = {
        "calls_out": 2, "calls_in": 1, "on_net_calls": 2, "vpn_calls": 1, "local_out_minutes": 1.5, "local_in_minutes": 0.75,
        "inter_province_out_minutes": 0.5, "long_distance_minutes": 0.5, "intra_province_roaming_minutes": 0.5, "vpn_minutes": 1.5,
        "vpn_roaming_minutes": 0.0, "on_net_minutes": 2.25, "off_net_minutes": 0.5, "out_minutes": 2.0, "in_minutes": 0.75,
        "total_minutes": 2.75, "inter_province_in_minutes": 0.0, "long_distance_fee_yuan": Decimal("0.3500"),
    }  # fmt: skip
    assert {name: first[name] for name in told} == told
    assert (second["calls_out"], second["total_minutes"], second["long_distance_minutes"]) == (1, 1.0, 0.0)


def test_long_distance_is_every_outgoing_kind_beyond_local_and_nothing_incoming(spark, network):
    rows = [{"call_kind": kind, "seconds": 60 * (i + 1)} for i, kind in enumerate(CALL_KINDS)]
    incoming = [{"call_kind": kind, "seconds": 600, "direction": "in"} for kind in CALL_KINDS]
    ann = by_user(build_voice_summary(build_voice_daily(calls(spark, *rows, *incoming)), network))["ann"]
    assert [ann[f"{kind}_out_minutes"] for kind in CALL_KINDS] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert ann["long_distance_minutes"] == 2 + 3 + 4 + 5
    assert (ann["local_in_minutes"], ann["international_in_minutes"], ann["in_minutes"]) == (10.0, 10.0, 50.0)


def test_the_unit_price_is_what_a_minute_of_outgoing_long_distance_costs(spark, network):
    long_distance = {"call_kind": "inter_province", "seconds": 90, "fee_yuan": Decimal("0.60")}
    summary = by_user(build_voice_summary(build_voice_daily(calls(spark, long_distance, {}, {"user_id": "bob"})), network))
    assert summary["ann"]["long_distance_unit_price_yuan"] == 0.4
    assert summary["bob"]["long_distance_unit_price_yuan"] is None


def test_days_with_a_call_are_counted_once_and_the_first_and_last_of_the_month_too(spark, network):
    starts = [datetime(2025, 3, d, h) for d, h in ((1, 0), (1, 23), (17, 8), (31, 23))]
    daily = build_voice_daily(calls(spark, *[{"started_at": s, "peer_id": f"p{s.hour}"} for s in starts]))
    assert by_user(build_voice_summary(daily, network))["ann"]["voice_active_days"] == 3


def test_a_silent_subscriber_has_zero_minutes_and_no_circle(spark, network):
    daily = build_voice_daily(calls(spark, {}))
    minutes = by_user(build_voice_summary(daily, network))["silent"]
    assert {minutes[f.name] for f in VOICE_MINUTES} == {0.0}
    assert (minutes["calls_out"], minutes["calls_in"], minutes["voice_active_days"]) == (0, 0, 0)
    circle = by_user(build_contact_circle(daily, network))["silent"]
    assert (circle["peers"], circle["vpn_peers"]) == (0, 0)
    assert all(value is None for name, value in circle.asDict().items() if name not in ("city", "month", "user_id", "peers", "vpn_peers"))


def test_what_no_call_of_the_month_tells_is_null_for_callers_and_silent_alike(spark, network):
    untold = {"call_kind": None, "is_vpn": None, "is_on_net": None, "peer_id": None}
    daily = build_voice_daily(calls(spark, untold, {**untold, "direction": "in"}))
    minutes, circle = build_voice_summary(daily, network), build_contact_circle(daily, network)
    for user in ("ann", "silent"):
        told = by_user(minutes)[user]
        assert [told[c] for c in ("local_out_minutes", "local_in_minutes", "vpn_minutes", "off_net_minutes", "long_distance_minutes")] == [None] * 5
        shape = by_user(circle)[user]
        assert [shape[c] for c in ("peers", "vpn_peers", "on_net_call_share", "peer_entropy")] == [None] * 4
    assert by_user(minutes)["ann"]["total_minutes"] == 2.0
    assert by_user(minutes)["silent"]["total_minutes"] == 0.0


def test_a_withheld_number_counts_in_minutes_but_is_no_peer(spark, network):
    night = datetime(2025, 3, 3, 23, 30)
    daily = build_voice_daily(calls(spark, {}, {"peer_id": None, "direction": "in", "started_at": night}, {"peer_id": None, "direction": "in"}))
    assert by_user(build_voice_summary(daily, network))["ann"]["total_minutes"] == 3.0
    ann = by_user(build_contact_circle(daily, network))["ann"]
    assert (ann["peers"], ann["calls_per_peer"], ann["peer_entropy"], ann["top1_peer_share"]) == (1, 1.0, 0.0, 1.0)
    assert ann["nocturnal_call_share"] == pytest.approx(1 / 3, abs=1e-6)


def test_nights_run_from_23_to_6_and_weekends_are_saturday_and_sunday(spark, network):
    starts = ["2025-03-03T22:59:59", "2025-03-03T23:00:00", "2025-03-04T05:59:59", "2025-03-04T06:00:00", "2025-03-08T12:00:00", "2025-03-09T23:59:59",
              "2025-03-10T00:00:00", "2025-03-07T23:59:59"]  # fmt: skip
    daily = build_voice_daily(calls(spark, *[{"started_at": datetime.fromisoformat(s)} for s in starts]))
    ann = by_user(build_contact_circle(daily, network))["ann"]
    assert ann["nocturnal_call_share"] == 5 / 8
    assert ann["weekend_call_share"] == 2 / 8


def test_the_top_province_has_most_outgoing_long_distance_and_ties_go_by_name(spark, network):
    far = {"call_kind": "inter_province"}
    daily = build_voice_daily(
        calls(
            spark,
            {**far, "peer_province": "Hunan", "peer_id": "h1", "seconds": 50}, {**far, "peer_province": "Hunan", "peer_id": "h2", "seconds": 50},
            {**far, "peer_province": "Anhui", "peer_id": "a", "seconds": 100},
            {**far, "peer_province": "Sichuan", "peer_id": "s", "seconds": 900, "direction": "in"},
            {"peer_province": "Zhejiang", "peer_id": "z", "seconds": 900},
            {"user_id": "bob"},
        )
    )  # fmt: skip
    circle = by_user(build_contact_circle(daily, network))
    assert circle["ann"]["top_long_distance_province"] == "Anhui"
    assert circle["bob"]["top_long_distance_province"] is None


def test_a_peer_told_with_two_provinces_is_still_one_peer(spark, network):
    daily = build_voice_daily(calls(spark, {"peer_province": None}, {"direction": "in"}, {"peer_id": "q", "peer_province": "Anhui"}))
    ann = by_user(build_contact_circle(daily, network))["ann"]
    assert (ann["peers"], ann["reciprocity_share"]) == (2, 0.5)
    assert ann["top1_peer_share"] == pytest.approx(2 / 3, abs=1e-6)


def test_the_row_keeps_the_registered_city_and_numbers_outside_the_network_have_none(spark, network):
    filed_elsewhere = calls(spark, {}, {"user_id": "closed"}).withColumn("city", F.lit("NINGBO"))
    daily = build_voice_daily(filed_elsewhere)
    for table in (build_voice_summary(daily, network), build_contact_circle(daily, network)):
        assert {(row["user_id"], row["city"]) for row in table.collect()} == {("ann", "HANGZHOU"), ("bob", "HANGZHOU"), ("silent", "HANGZHOU")}


def random_calls(count, seed):
    pick = random.Random(seed)
    start = datetime(2025, 3, 1)
    for _ in range(count):
        peer = pick.choice([None, *"abcdefghijk"])
        yield {
            "user_id": pick.choice(["ann", "bob"]), "peer_id": peer, "started_at": start + timedelta(seconds=pick.randrange(31 * 86400)),
            "seconds": pick.randrange(0, 900), "direction": pick.choice(["out", "in"]), "call_kind": pick.choice(CALL_KINDS),
            "roaming_kind": pick.choice(ROAMING_KINDS), "is_vpn": peer in ("a", "b", "c") and pick.random() < 0.5,
            "is_on_net": pick.random() < 0.6, "peer_province": PROVINCES[ord(peer or "a") % 3],
        }  # fmt: skip


def circle_by_hand(told):
    """The circle straight from its definition, call by call."""
    known = [c for c in told if c["peer_id"]]
    of_peer = Counter(c["peer_id"] for c in known)
    directions, vpn_peers, far = defaultdict(set), Counter(), Counter()
    for c in known:
        directions[c["peer_id"]].add(c["direction"])
        vpn_peers[c["peer_id"]] += c["is_vpn"]
    for c in told:
        if c["direction"] == "out" and c["call_kind"] != "local":
            far[c["peer_province"]] += c["seconds"]
    vpn_peers = +vpn_peers
    shares = [n / len(known) for n in of_peer.values()]
    ranked = sorted(of_peer.values(), reverse=True)
    return {
        "peers": len(of_peer), "calls_per_peer": len(known) / len(of_peer), "peer_entropy": -sum(p * math.log(p) for p in shares),
        "top_long_distance_province": min(far, key=lambda name: (-far[name], name)),
        "reciprocity_share": sum(len(d) == 2 for d in directions.values()) / len(of_peer),
        "top1_peer_share": ranked[0] / len(known), "top3_peer_share": sum(ranked[:3]) / len(known),
        "on_net_call_share": sum(c["is_on_net"] for c in told) / len(told),
        "nocturnal_call_share": sum(c["started_at"].hour in (23, 0, 1, 2, 3, 4, 5) for c in told) / len(told),
        "weekend_call_share": sum(c["started_at"].weekday() >= 5 for c in told) / len(told),
        "vpn_peers": len(vpn_peers), "vpn_calls_per_peer": sum(vpn_peers.values()) / len(vpn_peers),
    }  # fmt: skip


def test_the_circle_of_random_calls_is_what_its_definition_says(spark, network):
    told = list(random_calls(200, seed=5))
    circle = by_user(build_contact_circle(build_voice_daily(calls(spark, *told)), network))
    for user in ("ann", "bob"):
        expected = circle_by_hand([c for c in told if c["user_id"] == user])
        found = {name: circle[user][name] for name in expected}
        assert found.pop("top_long_distance_province") == expected.pop("top_long_distance_province")
        assert found == pytest.approx(expected, abs=1e-6)


def test_the_answer_does_not_depend_on_how_calls_are_partitioned(spark, network):
    told = calls(spark, *random_calls(200, seed=6))
    one, many = (build_voice_daily(told.repartition(n, *by)) for n, by in ((1, ()), (7, ("seconds",))))
    again = many.repartition(5, "night_calls", "total_minutes")
    assert all_rows(one) == all_rows(many)
    for build in (build_voice_summary, build_contact_circle):
        assert all_rows(build(one, network)) == all_rows(build(again, network.repartition(3)))


def test_few_shuffles_one_for_the_partials_and_no_list_of_calls(spark, network):
    told = calls(spark, {})
    daily = build_voice_daily(told)
    assert shuffles(daily) == 1
    stored = spark.createDataFrame(daily.collect(), daily.schema)  # the months are built from the stored partials
    own, of_network, told_at_all = 1, 1, 1
    assert shuffles(build_voice_summary(stored, network)) <= own + of_network + told_at_all
    peers, distribution, subscribers = 1, 1, 1
    circle = build_contact_circle(stored, network)
    assert shuffles(circle) <= peers + distribution + subscribers + of_network + told_at_all
    assert "collect_" not in circle._jdf.queryExecution().executedPlan().toString()
