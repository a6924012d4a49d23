"""The wide table of call indicators: equal to bandicoot's of the same calls, and to what their definitions say."""

import csv
import gzip
import math
from collections import defaultdict
from datetime import datetime, timedelta
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from crm_spark.customer.indicators import build_call_indicators, indicator_partitions
from crm_spark.frames import literal_frame
from crm_spark.tables.common import KEY
from crm_spark.tables.docs import tables_markdown
from crm_spark.tables.indicators import CALL_INDICATORS, FAMILIES
from crm_spark.tables.middle import USER_BASIC
from crm_spark.tables.places import CELL_SITE
from crm_spark.tables.raw import VOICE_CDR
from tests.bandicoot_oracle import Call, indicators
from tests.customer_support import CITY, by_user, rows_of, shuffles
from tests.real import DATA
from tests.tiny import load_job

COLUMNS = [name for name in CALL_INDICATORS.columns if name not in KEY]
CONSTANTS = {f"percent_nocturnal__{week}__{day}" for week in ("allweek", "weekday", "weekend") for day in ("day", "night")}
NODOBO = DATA / "nodobo_calls.csv.gz"
DIRECTIONS = {"Incoming": "in", "Outgoing": "out", "Missed": None}  # bandicoot knows no missed calls
SITES = {f"c{i}": (55.86 + 0.013 * i, -4.25 + 0.021 * i) for i in range(6)}


def differences(told, calls, sites):
    """Columns in which a row of ours is not what bandicoot says of the calls: null for null, else 1e-9."""
    expected = indicators(calls, sites)
    assert set(expected) - set(COLUMNS) == CONSTANTS and set(COLUMNS) <= set(expected)
    return {name: (told[name], expected[name]) for name in COLUMNS if not _equal(told[name], expected[name])}


def _equal(ours, theirs):
    if ours is None or theirs is None:
        return ours is theirs
    return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)


def cdr(spark, calls_of):
    """Calls by (user, month) as rows of the contract, filed under another city than that of the register."""
    names = ("city", "month", "user_id", "peer_id", "started_at", "seconds", "direction", "cell_id")
    rows = [("NINGBO", month, user, c.contact, c.at, c.seconds, c.direction, c.cell) for (user, month), told in calls_of.items() for c in told]
    return literal_frame(spark, [tuple(dict(zip(names, row, strict=True)).get(c) for c in VOICE_CDR.columns) for row in rows], VOICE_CDR.struct)


def register(spark, keys):
    return rows_of(spark, USER_BASIC, *[{"user_id": user, "month": month} for user, month in keys])


def sites_of(spark, months, sites):
    rows = [{"month": m, "cell_id": cell, "latitude": a, "longitude": b} for m in months for cell, (a, b) in sites.items()]
    return rows_of(spark, CELL_SITE, *rows)


def nodobo():
    """The log of 27 students by user and month, reset clocks and all; it tells no cells, so the other number stands for one."""
    found = defaultdict(list)
    with gzip.open(NODOBO, "rt", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            _, month, day, clock, _, year = row["timestamp"].split()
            at = datetime.strptime(f"{month} {day} {clock} {year}", "%b %d %H:%M:%S %Y")
            cell = sum(row["other"].encode()) % 8
            call = Call(at, row["other"], DIRECTIONS[row["direction"]], int(row["duration"]), f"c{cell}" if cell < 7 else None)
            found[row["user"], f"{at:%Y-%m}"].append(call)
    return found


def by_bandicoot(told, logs, sites):
    """The users and months of which a column differs."""
    assert set(told) == set(logs)
    return {key: found for key, calls in logs.items() if (found := differences(told[key], calls, sites))}


needs_nodobo = pytest.mark.skipif(not NODOBO.exists(), reason=f"{NODOBO.name} is not in CRM_SPARK_REAL_DATA")


@pytest.mark.real
@needs_nodobo
def test_every_month_of_every_student_is_what_bandicoot_says_in_every_column():
    logs = nodobo()
    assert sum(map(len, logs.values())) == 13_035 and len({user for user, _ in logs}) == 27
    told = in_one_partition(logs, SITES)
    assert sum(row["ignored_calls__direction"] for row in told.values()) == 1_824, "the missed calls"
    assert by_bandicoot(told, logs, SITES) == {}


def test_a_cell_that_two_cities_tell_counts_its_calls_once_and_lies_where_the_first_says(spark):
    log = {("u", "2025-03"): [Call(datetime(2025, 3, d, 12), "a", "out", 60, f"c{d % 2}") for d in range(1, 9)]}
    sites = [sites_of(spark, ["2025-03"], at).withColumn("city", F.lit(city)) for city, at in (("A", FEW_SITES), ("B", {"c1": (10.0, 10.0)}))]
    once, twice = (build_call_indicators(cdr(spark, log), register(spark, log), told) for told in (sites[0], sites[1].union(sites[0])))
    assert twice.collect() == once.collect() != []


@pytest.mark.slow
@pytest.mark.real
@needs_nodobo
def test_so_it_is_in_spark(spark):
    logs = nodobo()
    made = build_call_indicators(cdr(spark, logs), register(spark, logs), sites_of(spark, {m for _, m in logs}, SITES))
    assert by_bandicoot({(row["user_id"], row["month"]): row for row in made.collect()}, logs, SITES) == {}


MOMENTS = st.one_of(
    st.sampled_from([7 * 3600, 7 * 3600 + 1, 19 * 3600 - 1, 19 * 3600, 0, 86_399]),
    st.integers(0, 86_399),
    st.integers(8 * 3600, 8 * 3600 + 1_799),
    st.integers(20 * 3600, 20 * 3600 + 1_799),
)
CALLS = st.builds(
    lambda day, second, *rest: Call(datetime(2025, 3, 1) + timedelta(days=day, seconds=second), *rest),
    st.one_of(st.integers(0, 30), st.sampled_from([6, 7])), MOMENTS, st.sampled_from(["a", "b", "c", "d", "e", None]),
    st.sampled_from(["out", "out", "in", "in", None]), st.one_of(st.sampled_from([0, 60, None]), st.integers(0, 86_400)),
    st.sampled_from(["c0", "c1", "c2", "c3", None]),
)  # fmt: skip
FEW_SITES = {"c0": (30.0, 120.0), "c1": (30.5, 121.0), "c2": (30.0, 120.0)}
LOGS = st.lists(st.lists(CALLS, max_size=30).map(lambda calls: sorted(calls, key=lambda c: (c.at, c.cell or ""))), min_size=1, max_size=4).map(
    lambda logs: {(f"u{i}", "2025-03"): calls for i, calls in enumerate(logs)}  # calls of one second: by cell
)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(LOGS)
def test_any_few_calls_are_what_bandicoot_says(logs):
    assert by_bandicoot(in_one_partition(logs, FEW_SITES), logs, FEW_SITES) == {}


@settings(max_examples=8, deadline=None, derandomize=True)
@given(LOGS, st.randoms(use_true_random=False))
def test_the_answer_depends_neither_on_the_order_of_calls_nor_on_who_shares_the_partition(logs, chance):
    shuffled = {key: chance.sample(calls, len(calls)) for key, calls in reversed(logs.items())}
    alone = {key: row for key, calls in logs.items() for row in in_one_partition({key: calls}, FEW_SITES).values()}
    assert alone == in_one_partition(shuffled, FEW_SITES), "to the last bit"


def in_one_partition(logs, sites):
    """The rows made of one partition's calls and register, by user and month; cells and contacts as numbers in the order of their names."""
    number = {name: i for i, name in enumerate(sorted({name for calls in logs.values() for c in calls for name in (c.cell, c.contact) if name}))}
    rows = []
    for i, ((user, month), calls) in enumerate(logs.items()):
        rows += [{**who(i), **packed(call, number, sites)} for call in calls]
        rows.append({**who(i), "key": f"{CITY}\t{month}\t{user}"})
    made = indicator_partitions(pa.Table.from_pylist(rows, PACKED).to_batches())
    return {(row["user_id"], row["month"]): row for batch in made for row in batch.to_pylist()}


def who(number):
    return {"subscriber": number, "subscriber_too": number}


def packed(call, number, sites):
    latitude, longitude = sites.get(call.cell, (None, None))
    return {
        "started_at": call.at, "seconds": call.seconds, "is_out": None if call.direction is None else call.direction == "out",
        "contact": number.get(call.contact), "cell": number.get(call.cell), "latitude": latitude, "longitude": longitude,
    }  # fmt: skip


PACKED = pa.schema({
    "subscriber": pa.int64(), "subscriber_too": pa.int64(), "started_at": pa.timestamp("us"), "seconds": pa.int32(), "is_out": pa.bool_(),
    "contact": pa.int64(), "cell": pa.int64(), "latitude": pa.float64(), "longitude": pa.float64(), "key": pa.string(),
})  # fmt: skip


def at(text):
    return datetime.fromisoformat(f"2025-03-{text}")


HOME, WORK = "c1", "c2"
KNOWN = {  # Monday is 3 March
    ("ann", "2025-03"): [
        Call(at("03T06:59:59"), "p", "out", 10, HOME),
        Call(at("03T07:00:00"), "p", "out", 20, HOME),
        Call(at("03T07:00:01"), "q", "in", 60, WORK),
        Call(at("08T18:59:59"), "q", "out", 30, WORK),
        Call(at("08T19:00:00"), "r", "in", 0, None),
    ],
    ("bob", "2025-03"): [Call(at("03T12:00:00"), None, "out", 5), Call(at("03T13:00:00"), "p", None, None)],
    ("eve", "2025-03"): [Call(at("03T12:00:00"), "p", "out", 5, "half told")],
    ("silent", "2025-03"): [],
}


@pytest.fixture(scope="module")
def frames(spark):
    return cdr(spark, KNOWN), register(spark, KNOWN), sites_of(spark, ["2025-03"], {HOME: (0.0, 0.0), WORK: (0.0, 2.0), "half told": (1.0, None)})


@pytest.fixture(scope="module")
def known(frames):
    return by_user(build_call_indicators(*frames))


def test_statistics_are_those_of_the_whole_population(known):
    """Of 10, 20, 60, 30 and 0 seconds: mean 24, deviations -14, -4, 36, 6, -24."""
    away = [-14, -4, 36, 6, -24]
    second, third, fourth = (sum(x**n for x in away) / 5 for n in (2, 3, 4))
    expected = {
        "mean": 24, "std": math.sqrt(second), "min": 0, "max": 60, "median": 20, "skewness": third / second**1.5, "kurtosis": fourth / second**2,
    }  # fmt: skip
    found = {name: known["ann"][f"call_duration_seconds__allweek__allday__{name}"] for name in expected}
    assert found == pytest.approx(expected, rel=1e-12)


def test_both_ends_of_the_night_belong_to_it_and_parts_of_the_week_are_told_apart(known):
    ann = known["ann"]
    slots = {(week, day): ann[f"number_of_interactions__{week}__{day}"] for week in ("weekday", "weekend") for day in ("day", "night")}
    assert slots == {("weekday", "day"): 1, ("weekday", "night"): 2, ("weekend", "day"): 1, ("weekend", "night"): 1}
    assert (ann["percent_nocturnal__allweek__allday"], ann["active_days__allweek__allday"]) == (3 / 5, 2)
    assert (ann["interevent_time_seconds__weekday__night__mean"], ann["interevent_time_seconds__weekday__day__mean"]) == (1.0, None)


def test_contacts_are_counted_by_direction_and_weighed_by_their_calls(known):
    ann = known["ann"]
    assert [ann[f"number_of_contacts{way}__allweek__allday"] for way in ("", "_out", "_in")] == [3, 2, 2]
    assert ann["entropy_of_contacts__allweek__allday"] == pytest.approx(-2 * 0.4 * math.log(0.4) - 0.2 * math.log(0.2))
    assert ann["balance_of_contacts__allweek__allday__mean"] == pytest.approx((2 / 5 + 1 / 5 + 0) / 3)
    assert ann["balance_of_contacts_unweighted__allweek__allday__mean"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert ann["percent_pareto_interactions__allweek__allday"] == 2 / 5, "two contacts have four of the five calls"
    assert ann["percent_pareto_durations__allweek__allday"] == 2 / 5, "q and p have 120 of 120 seconds, q alone 90: less than 96"


def test_each_half_hour_counts_once_and_a_call_without_a_cell_nowhere(known):
    """Half hours: 6:30 at home, 7:00 at home before work (a tie), the weekend at work."""
    ann = known["ann"]
    assert (ann["number_of_antennas__allweek__allday"], ann["number_of_antennas__weekday__allday"]) == (2, 1)
    assert ann["percent_at_home__allweek__allday"] == 2 / 3 and ann["percent_at_home__weekend__night"] is None
    kilometres = 6371 * math.radians(2)  # on the equator
    assert ann["radius_of_gyration_km__allweek__allday"] == pytest.approx(kilometres * math.sqrt(2 / 9), rel=1e-9)
    assert ann["churn_rate__mean"] is None, "both days lie in one week"
    eve = known["eve"]
    assert (eve["number_of_antennas__allweek__allday"], eve["radius_of_gyration_km__allweek__allday"]) == (1, None)


def test_what_a_call_does_not_tell_leaves_it_out_and_is_told(known):
    bob = known["bob"]
    told = [bob["ignored_calls"], *[bob[f"ignored_calls__{reason}"] for reason in ("direction", "correspondent_id", "call_duration")]]
    assert told == [2, 1, 1, 1]
    assert {bob[name] for name in COLUMNS if not name.startswith("ignored")} == {None}


def test_a_silent_subscriber_has_a_row_of_nulls_and_no_ignored_call(known):
    row = known["silent"]
    assert row["city"] == CITY and {row[name] for name in COLUMNS if not name.startswith("ignored")} == {None}
    assert {row[name] for name in COLUMNS if name.startswith("ignored")} == {0}


def test_calls_and_register_are_shuffled_once_and_the_few_cells_to_be_told_once(frames):
    cdr, basic, sites = frames
    told_once = sites.groupBy("month", "cell_id").count()
    assert shuffles(build_call_indicators(cdr, basic, sites)) == 1 + shuffles(told_once) == 2


def test_the_docs_tell_a_family_in_one_line():
    lines = [line for line in tables_markdown().splitlines() if "__<week>__<day>" in line]
    assert "| `call_duration_seconds_out__<week>__<day>__<statistic>` (63 columns) | double | Seconds of calls made. |  |" in lines
    assert len(lines) < len(FAMILIES)


def test_the_job_reads_calls_of_all_cities_and_the_register_of_its_own_and_tells_that_cells_have_no_place(frames):
    visible = dict(zip((VOICE_CDR.full_name, USER_BASIC.full_name, CELL_SITE.full_name), frames, strict=True))
    asked, told, written = {}, [], {}

    def read(table, optional=False, all_cities=False):
        asked[table.full_name] = all_cities
        return visible[table.full_name]

    def write(frame, table):
        written[table.full_name] = table.conform(frame).schema == table.struct

    job = SimpleNamespace(month="2025-03", read=read, write=write, months_of=lambda table: (), cover=lambda *what: told.append(what))
    load_job("build_call_indicators").run(job)
    assert asked == {"raw.voice_cdr": True, "middle.user_basic": False, "raw.cell_site": True}
    assert written == {"middle.call_indicators": True}
    assert [(kind, subject, status) for kind, subject, status, _ in told] == [("column", "middle.call_indicators.radius_of_gyration_km", "skipped")]
