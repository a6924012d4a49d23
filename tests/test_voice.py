"""Calls into monthly minutes and the contact circle."""

import math
import random
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from crm_spark.customer import call_partitions
from crm_spark.customer import calls as packing
from crm_spark.customer.calls import call_totals, months_told
from crm_spark.customer.circle import build_contact_circle
from crm_spark.customer.voice import build_voice_summary
from crm_spark.tables.middle import USER_BASIC, VOICE_MINUTES
from crm_spark.tables.raw import CALL_KINDS, ROAMING_KINDS
from tests.customer_support import all_rows, by_user, calls, rows_of, shuffles

UNTOLD_MONTH = "2025-01"  # of this month the operator tells neither kind, peer, net nor VPN
PROVINCES = ("Anhui", "Hunan", "Zhejiang")


def at(text):
    return datetime.fromisoformat(f"2025-{text}")


def random_calls(user, count, seed):
    pick = random.Random(seed)
    for _ in range(count):
        peer = pick.choice([None, *"abcdefghijk"])
        yield {
            "user_id": user, "peer_id": peer, "started_at": datetime(2025, 3, 1) + timedelta(seconds=pick.randrange(31 * 86400)),
            "seconds": pick.randrange(0, 900), "direction": pick.choice(["out", "in"]), "call_kind": pick.choice(CALL_KINDS),
            "roaming_kind": pick.choice(ROAMING_KINDS), "is_vpn": peer in ("a", "b", "c") and pick.random() < 0.5,
            "is_on_net": pick.random() < 0.6, "peer_province": PROVINCES[ord(peer or "a") % 3],
        }  # fmt: skip


FAR = {"call_kind": "inter_province"}
UNTOLD = {"started_at": at("01-15T12:00:00"), "call_kind": None, "is_vpn": None, "is_on_net": None, "peer_id": None}
CALLS = {  # one subscriber a case; what a call does not name is a local, on-net minute to peer `p` at noon on Monday, 3 March
    "mixed": [
        {"seconds": 90, "is_vpn": True},
        {"seconds": 45, "direction": "in"},
        {**FAR, "seconds": 30, "roaming_kind": "intra_province", "is_on_net": False, "fee_yuan": Decimal("0.35")},
        {"started_at": at("03-04T12:00:00")},
    ],
    "kinds": [{"call_kind": kind, "seconds": 60 * (i + 1)} for i, kind in enumerate(CALL_KINDS)]
    + [{"call_kind": kind, "seconds": 600, "direction": "in"} for kind in CALL_KINDS],
    "dear": [{**FAR, "seconds": 90, "fee_yuan": Decimal("0.60")}, {"fee_yuan": Decimal("9.99")}],
    "local": [{}],
    "days": [{"started_at": at(f"03-{d}:00:00"), "peer_id": d} for d in ("01T00", "01T23", "17T08", "31T23")],
    "withheld": [{}, {"peer_id": None, "direction": "in", "started_at": at("03-03T23:30:00")}, {"peer_id": None, "direction": "in"}],
    "hours": [
        {"started_at": at(f"03-{text}")}
        for text in ("03T22:59:59", "03T23:00:00", "04T05:59:59", "04T06:00:00", "08T12:00:00", "09T23:59:59", "10T00:00:00", "07T23:59:59")
    ],
    "provinces": [
        {**FAR, "peer_province": "Hunan", "peer_id": "h1", "seconds": 50},
        {**FAR, "peer_province": "Hunan", "peer_id": "h2", "seconds": 50},
        {**FAR, "peer_province": "Anhui", "peer_id": "a", "seconds": 100},
        {**FAR, "peer_province": "Sichuan", "peer_id": "s", "seconds": 900, "direction": "in"},
        {"peer_province": "Zhejiang", "peer_id": "z", "seconds": 900},
    ],
    "two_provinces": [{"peer_province": None}, {"direction": "in"}, {"peer_id": "q", "peer_province": "Anhui"}],
    "untold": [UNTOLD, {**UNTOLD, "direction": "in"}],
    "ann": list(random_calls("ann", 120, seed=5)),
    "bob": list(random_calls("bob", 90, seed=6)),
    "closed": [{}],
}


@pytest.fixture(scope="module")
def told(spark):
    """All calls, filed under another city than the subscribers are registered in."""
    rows = [{"user_id": user, **call} for user, of_user in CALLS.items() for call in of_user]
    return calls(spark, *rows).withColumn("city", F.lit("NINGBO"))


@pytest.fixture(scope="module")
def network(spark):
    """Subscribers in the network at month end; `silent` never calls, `closed` is no longer there."""
    march = [{"user_id": user} for user in (*CALLS, "silent") if user not in ("closed", "untold")]
    return rows_of(spark, USER_BASIC, *march, *[{"user_id": user, "month": UNTOLD_MONTH} for user in ("untold", "silent_too")])


@pytest.fixture(scope="module")
def totals(told, network):
    return call_totals(told, network).localCheckpoint()


@pytest.fixture(scope="module")
def minutes(totals):
    return by_user(build_voice_summary(totals, months_told(totals)))


@pytest.fixture(scope="module")
def circle(totals):
    return by_user(build_contact_circle(totals, months_told(totals)))


def test_calls_are_summed_by_direction_kind_and_circumstance(minutes, totals):
    expected = {
        "calls_out": 3, "calls_in": 1, "local_out_minutes": 2.5, "local_in_minutes": 0.75, "inter_province_out_minutes": 0.5,
        "long_distance_minutes": 0.5, "intra_province_roaming_minutes": 0.5, "vpn_minutes": 1.5, "vpn_roaming_minutes": 0.0,
        "on_net_minutes": 3.25, "off_net_minutes": 0.5, "out_minutes": 3.0, "in_minutes": 0.75, "total_minutes": 3.75,
        "inter_province_in_minutes": 0.0, "voice_active_days": 2, "long_distance_unit_price_yuan": 0.7,
    }  # fmt: skip
    assert {name: minutes["mixed"][name] for name in expected} == expected


def test_long_distance_is_every_outgoing_kind_beyond_local_and_nothing_incoming(minutes):
    row = minutes["kinds"]
    assert [row[f"{kind}_out_minutes"] for kind in CALL_KINDS] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert row["long_distance_minutes"] == 2 + 3 + 4 + 5
    assert (row["local_in_minutes"], row["international_in_minutes"], row["in_minutes"]) == (10.0, 10.0, 50.0)


def test_the_unit_price_is_what_a_minute_of_outgoing_long_distance_costs(minutes):
    assert minutes["dear"]["long_distance_unit_price_yuan"] == 0.4
    assert minutes["local"]["long_distance_unit_price_yuan"] is None


def test_days_with_a_call_are_counted_once_and_the_first_and_last_of_the_month_too(minutes):
    assert minutes["days"]["voice_active_days"] == 3


def test_a_silent_subscriber_has_zero_minutes_and_no_circle(minutes, circle):
    row = minutes["silent"]
    assert {row[f.name] for f in VOICE_MINUTES} == {0.0}
    assert (row["calls_out"], row["calls_in"], row["voice_active_days"]) == (0, 0, 0)
    shape = circle["silent"].asDict()
    assert (shape.pop("peers"), shape.pop("vpn_peers")) == (0, 0)
    assert {value for name, value in shape.items() if name not in ("city", "month", "user_id")} == {None}


@pytest.mark.parametrize("user", ["untold", "silent_too"])
def test_what_no_call_of_the_month_tells_is_null_for_callers_and_silent_alike(minutes, circle, user):
    untold = ("local_out_minutes", "local_in_minutes", "vpn_minutes", "off_net_minutes", "long_distance_minutes")
    assert [minutes[user][name] for name in untold] == [None] * 5
    assert [circle[user][name] for name in ("peers", "vpn_peers", "on_net_call_share", "peer_entropy")] == [None] * 4
    assert minutes[user]["total_minutes"] == (2.0 if user == "untold" else 0.0)


def test_a_withheld_number_counts_in_minutes_but_is_no_peer(minutes, circle):
    assert minutes["withheld"]["total_minutes"] == 3.0
    row = circle["withheld"]
    assert (row["peers"], row["calls_per_peer"], row["peer_entropy"], row["top1_peer_share"]) == (1, 1.0, 0.0, 1.0)
    assert row["nocturnal_call_share"] == pytest.approx(1 / 3, abs=1e-6)


def test_nights_run_from_23_to_6_and_weekends_are_saturday_and_sunday(circle):
    assert circle["hours"]["nocturnal_call_share"] == 5 / 8
    assert circle["hours"]["weekend_call_share"] == 2 / 8


def test_the_top_province_has_most_outgoing_long_distance_and_ties_go_by_name(circle):
    assert circle["provinces"]["top_long_distance_province"] == "Anhui"
    assert circle["local"]["top_long_distance_province"] is None


def test_a_peer_told_with_two_provinces_is_still_one_peer(circle):
    row = circle["two_provinces"]
    assert (row["peers"], row["reciprocity_share"]) == (2, 0.5)
    assert row["top1_peer_share"] == pytest.approx(2 / 3, abs=1e-6)


def test_the_row_keeps_the_registered_city_and_who_left_the_network_has_none(minutes, circle):
    for table in (minutes, circle):
        assert {row["city"] for row in table.values()} == {"HANGZHOU"}
        assert set(table) == {*CALLS, "silent", "silent_too"} - {"closed"}


def circle_by_hand(of_user):
    """The circle straight from its definition, call by call."""
    known = [c for c in of_user if c["peer_id"]]
    of_peer = Counter(c["peer_id"] for c in known)
    directions, vpn, far = defaultdict(set), Counter(), Counter()
    for c in known:
        directions[c["peer_id"]].add(c["direction"])
        vpn[c["peer_id"]] += c["is_vpn"]
    for c in of_user:
        if c["direction"] == "out" and c["call_kind"] != "local":
            far[c["peer_province"]] += c["seconds"]
    vpn = +vpn
    ranked = sorted(of_peer.values(), reverse=True)
    return {
        "peers": len(of_peer), "calls_per_peer": len(known) / len(of_peer),
        "peer_entropy": -sum(n / len(known) * math.log(n / len(known)) for n in ranked),
        "top_long_distance_province": min(far, key=lambda name: (-far[name], name)),
        "reciprocity_share": sum(len(d) == 2 for d in directions.values()) / len(of_peer),
        "top1_peer_share": ranked[0] / len(known), "top3_peer_share": sum(ranked[:3]) / len(known),
        "on_net_call_share": sum(c["is_on_net"] for c in of_user) / len(of_user),
        "nocturnal_call_share": sum(c["started_at"].hour in (23, 0, 1, 2, 3, 4, 5) for c in of_user) / len(of_user),
        "weekend_call_share": sum(c["started_at"].weekday() >= 5 for c in of_user) / len(of_user),
        "vpn_peers": len(vpn), "vpn_calls_per_peer": sum(vpn.values()) / len(vpn),
    }  # fmt: skip


@pytest.mark.parametrize("user", ["ann", "bob"])
def test_the_circle_of_random_calls_is_what_its_definition_says(circle, user):
    expected = circle_by_hand(CALLS[user])
    found = {name: circle[user][name] for name in expected}
    assert found.pop("top_long_distance_province") == expected.pop("top_long_distance_province")
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("user", ["ann", "bob"])
def test_the_minutes_of_random_calls_add_up_call_by_call(minutes, user):
    def total(**wanted):
        return sum(c["seconds"] for c in CALLS[user] if all(c[name] == value for name, value in wanted.items())) / 60

    expected = {f"{kind}_out_minutes": total(call_kind=kind, direction="out") for kind in CALL_KINDS}
    expected |= {f"{kind}_roaming_minutes": total(roaming_kind=kind) for kind in ROAMING_KINDS if kind != "none"}
    expected |= {"vpn_minutes": total(is_vpn=True), "off_net_minutes": total(is_on_net=False), "total_minutes": total()}
    expected["vpn_roaming_minutes"] = total(is_vpn=True) - total(is_vpn=True, roaming_kind="none")
    assert {name: minutes[user][name] for name in expected} == pytest.approx(expected, abs=1e-9)


def test_the_answer_does_not_depend_on_how_calls_are_partitioned(told, network, totals, monkeypatch):
    monkeypatch.setattr(packing, "CALLS_A_PARTITION", 20)
    assert all_rows(call_totals(told.repartition(7, "seconds"), network.repartition(3))) == all_rows(totals)


def test_one_shuffle_brings_calls_and_register_together(told, network):
    assert shuffles(call_totals(told, network)) == 1


def test_subscribers_that_share_half_of_their_pseudonyms_bits_stay_two(spark, told, network):
    """What a hash of 64 bits does once in a million months: here every two subscribers share theirs."""
    some = network.where("user_id IN ('ann', 'bob')")
    rows = packing._packed(told).unionByName(packing._register(some)).withColumn("subscriber", F.lit(7).cast("long")).coalesce(1)
    found = {r["user_id"]: r["calls"] for r in rows.mapInArrow(call_partitions.summed_partitions, packing.TOTALS).collect()}
    assert found == {"ann": 120, "bob": 90}


def test_seconds_that_are_not_told_count_no_minute_but_a_call(spark, network):
    told = calls(spark, {"user_id": "ann", "seconds": None}, {"user_id": "ann", "seconds": 86_400})
    sums = call_totals(told, network)
    row = by_user(build_voice_summary(sums, months_told(sums)))["ann"]
    assert (row["calls_out"], row["total_minutes"]) == (2, 1440.0)


def test_seconds_out_of_any_range_change_nothing_but_the_minutes(spark, network):
    """A mapping may take the contract's rule off the seconds."""
    sums = call_totals(calls(spark, {"user_id": "ann", "seconds": -60}, {"user_id": "ann", "seconds": 600_000_000}), network)
    row = by_user(build_voice_summary(sums, months_told(sums)))["ann"]
    assert (row["local_out_minutes"], row["calls_out"], row["long_distance_minutes"], row["on_net_minutes"]) == (9_999_999.0, 2, 0.0, 9_999_999.0)


def test_without_peers_nobody_has_vpn_peers(spark, network):
    sums = call_totals(calls(spark, {"user_id": "ann", "is_vpn": True, "peer_id": None}), network)
    told = months_told(sums)
    assert by_user(build_contact_circle(sums, told))["ann"]["vpn_peers"] is None
    assert by_user(build_voice_summary(sums, told))["ann"]["vpn_minutes"] == 1.0


def test_an_operator_that_tells_neither_vpn_nor_peers_has_null_there_for_everybody(spark, network):
    sums = call_totals(calls(spark, {"user_id": "ann", "is_vpn": None, "peer_id": None}), network)
    told = months_told(sums)
    silent, caller = (by_user(build_contact_circle(sums, told))[user] for user in ("silent", "ann"))
    assert [(row["peers"], row["vpn_peers"]) for row in (silent, caller)] == [(None, None)] * 2
    assert [by_user(build_voice_summary(sums, told))[user]["vpn_minutes"] for user in ("silent", "ann")] == [None, None]
