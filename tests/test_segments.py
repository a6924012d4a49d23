"""A segmentation of planted kinds of customers, and the shipped ones against the contract of the view."""

from dataclasses import replace
from math import log1p
from pathlib import Path
from statistics import pstdev

import pytest
from pyspark.sql import functions as F

from crm_spark.config.segments import NameRule, SegmentationSpec, load_segments
from crm_spark.errors import ConfigError
from crm_spark.segments.attributes import measured, training_sample
from crm_spark.segments.former import Former, former_groups
from crm_spark.segments.names import labels, refuse_bad_conditions, shared_names
from crm_spark.segments.profile import Profile, profile_table
from crm_spark.segments.segmentation import Segmentation, Skipped, segment
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import SEGMENT, SEGMENT_PROFILE

CONF = Path(__file__).resolve().parents[1] / "conf"
M = "2025-03"
VIEW = "city string, month string, user_id string, arpu double, minutes double, mb double, fax double, plan int, split_bucket int"
SPEC = SegmentationSpec(
    question="Who?",
    attributes=("arpu", "minutes", {"gb": "mb / 1024"}, "fax", "plan"),
    log=("minutes",),
    order_by="arpu",
    groups=4,
    classes=2,
    seed=11,
    iterations=8,
    starts=1,
    names=(
        NameRule("silent", "arpu < 0.5 and minutes < 0.1"),
        NameRule("payer of faxes", "fax > 1"),
        NameRule("data lover", "gb > 2 and arpu_mean > 60"),
        NameRule("talker", "minutes > 1.5 and customers_share <= 0.25"),
    ),
    class_names=(NameRule("quiet", "minutes < 0.5"),),
)
# Four kinds, far apart; ten customers each. Data and talk lovers pay, the other two hardly do.
KINDS = {"data": (100.0, 20.0, 4096.0), "talk": (80.0, 800.0, 100.0), "silent": (9.0, 0.0, 0.0), "plain": (20.0, 60.0, 200.0)}


def customers():
    """Of the customer data3 the minutes are not known."""
    for kind, (arpu, minutes, mb) in KINDS.items():
        for i in range(10):
            known = minutes * (1 + i / 100) if f"{kind}{i}" != "data3" else None
            yield ("A" if i % 2 else "B", M, f"{kind}{i}", arpu + i / 10, known, mb + i, None, 5, 30 + i)


@pytest.fixture(scope="module")
def found(spark) -> Segmentation:
    result = segment(spark.createDataFrame(list(customers()), VIEW), M, "who", SPEC)
    assert isinstance(result, Segmentation)
    return result


@pytest.fixture(scope="module")
def members(found):
    return {row["user_id"]: row for row in SEGMENT.conform(found.segments).collect()}


def kinds_by_number(rows):
    groups = {}
    for user, row in rows.items():
        groups.setdefault(row["group_number"], set()).add(user.rstrip("0123456789"))
    return groups


def test_planted_kinds_become_groups_numbered_by_what_they_pay(members):
    assert len(members) == 40
    assert kinds_by_number(members) == {1: {"data"}, 2: {"talk"}, 3: {"plain"}, 4: {"silent"}}


def test_a_customer_with_a_missing_value_is_placed_by_the_others(members):
    assert members["data3"]["group_number"] == 1


def test_the_same_rows_in_other_partitions_and_order_give_the_same_numbers_and_fit(spark, found, members):
    shuffled = spark.createDataFrame(list(customers())[::-1], VIEW).repartition(7, "arpu")
    again = segment(shuffled, M, "who", SPEC)
    assert isinstance(again, Segmentation)
    assert again.digest == found.digest
    assert {r["user_id"]: r for r in SEGMENT.conform(again.segments).collect()} == members


def test_groups_are_named_by_the_first_condition_they_meet_else_by_number(found, members):
    assert [g.name for g in found.groups] == ["data lover", "talker", "group 3", "silent"]
    assert members["talk1"]["group_name"] == "talker"
    assert members["plain1"]["group_name"] == "group 3"


def test_a_name_that_no_group_earned_is_told(found):
    assert found.unearned == ("payer of faxes",)


def test_groups_are_merged_into_classes_with_names_of_their_own(found):
    assert {g.class_number for g in found.groups} == {1, 2}
    assert found.groups[0].class_number == 1
    quiet = {g.class_number for g in found.groups if g.class_name == "quiet"}
    assert found.groups[3].class_number in quiet


def test_attributes_without_a_value_or_without_variance_are_dropped_and_told(found):
    assert found.dropped == {"fax": "no value in this run", "plan": "the same value for every customer (5)"}


def test_a_profile_row_compares_the_group_with_everyone(found):
    rows = {(r["group_number"], r["attribute"]): r for r in SEGMENT_PROFILE.conform(found.profiles).collect()}
    data = rows[1, "gb"]
    mean = sum(4096 + i for i in range(10)) / 10 / 1024
    overall = sum(base + i for base in (4096, 100, 0, 200) for i in range(10)) / 40 / 1024
    assert (data["city"], data["month"], data["customers"], data["group_name"]) == ("_ALL", M, 10, "data lover")
    assert (data["group_mean"], data["overall_mean"], data["index"]) == pytest.approx((mean, overall, mean / overall), abs=1e-5)
    spread = pstdev(base + i for base in (4096, 100, 0, 200) for i in range(10)) / 1024
    assert data["distance"] == pytest.approx((mean - overall) / spread, abs=1e-4)
    assert (data["group_label"], data["class_name"]) == ("data lover", found.groups[0].class_name)
    assert not [key for key in rows if key[1] == "fax"]
    assert profile_table(found.profiles).loc[1, "gb"] == data["index"]


def test_of_attributes_that_say_the_same_one_stands_for_all_and_the_others_are_told(spark):
    twice = replace(SPEC, attributes=("arpu", "minutes", {"hours": "minutes / 60 + mb / 1e9"}, {"seconds": "minutes * 60"}, "mb"), log=(), names=(), class_names=())
    rows = spark.createDataFrame(list(customers()), VIEW)
    told = segment(rows, M, "who", replace(twice, representatives=True)).dropped
    assert len(told) >= 2 and {*told} & {"minutes", "hours", "seconds"}
    kept = {"minutes", "hours", "seconds"} - {*told}
    assert len(kept) <= 1
    for attribute, reason in told.items():
        assert " stands for it and what varies with it (" in reason and not reason.startswith(attribute)
    assert segment(rows, M, "who", twice).dropped == {}


def test_the_number_of_groups_is_chosen_where_several_are_tried(spark, found):
    several = replace(SPEC, groups=2, try_groups=(2, 4, 7))
    chosen = segment(spark.createDataFrame(list(customers()), VIEW), M, "who", several)
    assert len(chosen.groups) == 4 and [q.groups for q in chosen.evidence.qualities] == [2, 4, 7]
    assert chosen.digest == found.digest and [q.groups for q in found.evidence.qualities] == [4]
    assert len(found.evidence.points) == 40 and found.evidence.attributes == ("arpu", "minutes", "gb")


@pytest.mark.parametrize(("before", "search", "judged", "groups"), [(2, False, [2], 2), (3, False, [2, 4, 7], 4), (2, True, [2, 4, 7], 4)])
def test_the_number_of_groups_of_the_month_before_stays_unless_it_is_none_of_those_tried_or_a_search_is_asked_for(spark, before, search, judged, groups):
    former = Former("2025-02", {number: {"arpu": float(number), "minutes": 1.0, "gb": 1.0} for number in range(1, before + 1)}, {}, before, 0)
    result = segment(spark.createDataFrame(list(customers()), VIEW), M, "who", replace(SPEC, groups=3, try_groups=(2, 4, 7)), former, search)
    assert ([q.groups for q in result.evidence.qualities], len(result.groups)) == (judged, groups)


def test_preclusters_are_merged_to_the_groups_and_everyone_is_put_to_the_nearest(spark, members):
    several = replace(SPEC, preclusters=12, starts=2)
    rows = [segment(spark.createDataFrame(list(customers()), VIEW).repartition(n, "arpu"), M, "who", several) for n in (1, 5)]
    assert rows[0].digest == rows[1].digest
    assert {r["user_id"]: r["group_number"] for r in rows[0].segments.collect()} == {user: r["group_number"] for user, r in members.items()}


def next_month(kinds):
    for kind, (arpu, minutes, mb) in kinds.items():
        for i in range(10):
            yield ("A", "2025-04", f"{kind}{i}", arpu + i / 10, minutes * (1 + i / 100), mb + i, None, 5, 30 + i)


def continued(spark, found, kinds):
    former = former_groups(SEGMENT_PROFILE.conform(found.profiles), "who")
    again = segment(spark.createDataFrame(list(next_month(kinds)), VIEW), "2025-04", "who", SPEC, former)
    return again, kinds_by_number({row["user_id"]: row for row in SEGMENT.conform(again.segments).collect()})


def test_a_group_keeps_its_number_next_month_though_it_pays_less_than_another_now(spark, found):
    again, numbers = continued(spark, found, {**KINDS, "talk": (104.0, 820.0, 100.0), "data": (90.0, 21.0, 4200.0)})
    assert numbers == {1: {"data"}, 2: {"talk"}, 3: {"plain"}, 4: {"silent"}}
    assert (again.continued.month, again.continued.kept, again.continued.new, again.continued.gone) == (M, (1, 2, 3, 4), {}, ())
    assert [g.number for g in again.groups] == [1, 2, 3, 4]
    assert {g.number: g.class_number for g in again.groups} == {g.number: g.class_number for g in found.groups}


def test_a_group_far_from_all_former_ones_gets_a_number_of_its_own(spark, found):
    others = {kind: values for kind, values in KINDS.items() if kind != "silent"}
    again, numbers = continued(spark, found, {**others, "new": (100.0, 900.0, 4096.0)})
    assert numbers == {1: {"data"}, 2: {"talk"}, 3: {"plain"}, 5: {"new"}}
    assert again.continued.kept == (1, 2, 3) and list(again.continued.new) == [5] and again.continued.gone == (4,)
    numbers_in_profile = {r["group_number"] for r in SEGMENT_PROFILE.conform(again.profiles).collect()}
    assert numbers_in_profile == {1, 2, 3, 5}


def test_a_number_that_went_out_of_use_is_not_given_again(spark, found):
    earlier = SEGMENT_PROFILE.conform(found.profiles).replace({4: 9}, subset=["group_number"]).withColumn("month", F.lit("2025-02"))
    former = former_groups(SEGMENT_PROFILE.conform(found.profiles).unionByName(earlier), "who")
    assert (former.month, sorted(former.centres), former.highest) == (M, [1, 2, 3, 4], 9)


def test_a_centre_in_the_profile_is_the_mean_of_its_customers_as_they_enter_the_clustering(found):
    rows = {(r["group_number"], r["attribute"]): r["centre"] for r in SEGMENT_PROFILE.conform(found.profiles).collect()}
    assert rows[2, "minutes"] == pytest.approx(sum(log1p(800.0 * (1 + i / 100)) for i in range(10)) / 10, abs=1e-4)
    assert rows[1, "arpu"] == pytest.approx(sum(100.0 + i / 10 for i in range(10)) / 10, abs=1e-4)
    assert rows[1, "plan"] is None


def test_too_few_customers_or_attributes_skip_the_segmentation_and_say_so(spark):
    view = spark.createDataFrame(list(customers()), VIEW)
    few = segment(view.limit(11), M, "who", SPEC)
    assert isinstance(few, Skipped) and few.reason == "11 customers are too few for 4 groups"
    blind = segment(view, M, "who", replace(SPEC, attributes=("arpu", "fax", "plan"), log=(), names=(), class_names=()))
    assert isinstance(blind, Skipped) and blind.reason == "1 of 3 attributes can form groups, at least 2 are needed"
    assert set(blind.dropped) == {"fax", "plan"}


def test_held_out_customers_are_placed_but_shape_no_group(spark, found):
    held_out = [("A", M, f"held{i}", 1000.0 * i, 7.0 * i, 50.0, 3.0, i, i) for i in range(30)]
    other = segment(spark.createDataFrame([*customers(), *held_out], VIEW), M, "who", SPEC)
    assert isinstance(other, Segmentation) and other.digest == found.digest
    assert other.segments.count() == found.segments.count() + 30


def test_the_fit_reads_a_sample_that_depends_on_the_customers_alone(spark):
    rows = [("A", M, f"u{i}", 1.0, 1.0, 1.0, None, 1, 50) for i in range(400)]
    views = [spark.createDataFrame(rows, VIEW).repartition(5), spark.createDataFrame(rows[::-1], VIEW).coalesce(1)]
    first, second = ([r["user_id"] for r in training_sample(view, 400, 100).collect()] for view in views)
    assert first == second == sorted(first)
    assert 60 < len(first) < 140  # 100 wanted; four standard deviations of a choice by hash


def test_conditions_and_attributes_that_are_no_sql_over_their_columns_name_file_and_place(frame):
    view = frame(VIEW)
    with pytest.raises(ConfigError, match=r"segments/who\.yml: attributes\.x: .*minuts"):
        segment(view, M, "who", replace(SPEC, attributes=("arpu", {"x": "minuts + 1"}), log=()))
    with pytest.raises(ConfigError, match=r"segments/who\.yml: names\.odd: .*gbb"):
        segment(view, M, "who", replace(SPEC, names=(NameRule("odd", "gbb > 1"),)))
    with pytest.raises(ConfigError, match=r"segments/who\.yml: class_names\.odd: "):
        segment(view, M, "who", replace(SPEC, class_names=(NameRule("odd", "gb >"),)))


@pytest.mark.parametrize("name", sorted(load_segments(CONF, "none")))
def test_shipped_segmentations_read_only_the_view_and_name_by_their_attributes(spark, name):
    spec, view = load_segments(CONF, "none")[name], spark.createDataFrame([], CUSTOMER_VIEW.struct)
    refuse_bad_conditions(view, list(spec.expressions), (*spec.names, *spec.class_names), name)
    assert measured(view, name, spec).columns == ["city", "month", "user_id", *spec.expressions]


def test_groups_that_share_a_name_keep_it_for_the_matrices_and_are_told_apart_by_their_label():
    def group(peers, mb):
        means = {"peers": peers, "mb": mb}
        return Profile(10, 0.1, means, {"peers": 10.0, "mb": 100.0}, {"peers": 5.0, "mb": 50.0})

    profiles = [group(10.0, 300.0), group(2.0, 10.0), group(9.0, 10.0), group(9.0, 10.0)]
    names = ["data lover", "light user", "light user", "light user"]
    assert labels(names, profiles, ["peers", "mb"]) == ["data lover", "light user: less peers", "light user: more peers (1)", "light user: more peers (2)"]
    assert shared_names(dict(enumerate(names, 1))) == {"light user": [2, 3, 4]}
    unnamed = ["data lover", "group 2", "group 3", "group 4"]
    told = labels(unnamed, profiles, ["peers", "mb"], unnamed[1:])
    assert told == ["data lover", "group 2: less mb, less peers", "group 3: less mb, less peers", "group 4: less mb, less peers"]
