"""Who went from which group to which between two months, and by which numbers."""

from types import SimpleNamespace

import pytest
from pyspark.sql import functions as F

from crm_spark.segments.former import former_groups
from crm_spark.segments.migration import migration
from crm_spark.tables.score import SEGMENT, SEGMENT_MIGRATION
from tests.tiny import load_job

FIELDS = "city string, month string, user_id string, segmentation string, group_number int, class_number int, group_name string, class_name string"


def rows(month, *people):
    """(user, city, group) of one segmentation; the group of number n is named as the month and n."""
    return [(city, month, user, "who", group, None, f"{month[-1]}-{group}", None) for user, city, group in people]


def moves(frame, before, now, more_now=()):
    segments = SEGMENT.conform(frame(FIELDS, *rows("2025-03", *before))), SEGMENT.conform(frame(FIELDS, *rows("2025-04", *now), *more_now))
    found = SEGMENT_MIGRATION.conform(migration(segments[1], segments[0], "2025-04", "2025-03")).collect()
    assert {(r["month"], r["month_before"], r["segmentation"]) for r in found} <= {("2025-04", "2025-03", "who")}
    return found


def test_customers_are_counted_by_group_before_and_group_now_with_their_share_of_the_group_before(frame):
    before = [("a", "X", 1), ("b", "X", 1), ("c", "X", 1), ("d", "X", 1), ("e", "X", 2)]
    now = [("a", "X", 1), ("b", "X", 1), ("c", "X", 2), ("d", "X", 3), ("e", "X", 2)]
    found = {(r["group_before"], r["group_number"]): r for r in moves(frame, before, now)}
    assert {k: (r["customers"], r["share"]) for k, r in found.items()} == {(1, 1): (2, 0.5), (1, 2): (1, 0.25), (1, 3): (1, 0.25), (2, 2): (1, 1.0)}
    assert (found[1, 2]["group_name_before"], found[1, 2]["group_name"]) == ("3-1", "4-2")


def test_who_came_has_no_group_before_and_who_left_none_now(frame):
    found = moves(frame, [("a", "X", 1), ("gone", "X", 1)], [("a", "X", 1), ("came", "X", 2)])
    assert {(r["group_before"], r["group_number"], r["customers"], r["share"]) for r in found} == {(1, 1, 1, 0.5), (1, None, 1, 0.5), (None, 2, 1, 1.0)}


def test_who_moves_to_another_city_counts_there_and_who_leaves_where_he_was(frame):
    found = moves(frame, [("a", "X", 1), ("b", "X", 1)], [("a", "Y", 1)])
    assert {(r["city"], r["group_before"], r["group_number"], r["customers"]) for r in found} == {("Y", 1, 1, 1), ("X", 1, None, 1)}


def test_a_segmentation_that_one_of_the_months_lacks_is_not_compared(frame):
    other = [("X", "2025-04", "a", "new", 1, None, "n", None)]
    assert len(moves(frame, [("a", "X", 1)], [("a", "X", 1)], other)) == 1


@pytest.mark.parametrize(("cities", "read"), [(None, ["2025-02"]), (("B",), ["2025-02", "2025-03"])])
def test_a_city_that_is_run_after_others_takes_the_numbers_that_these_have(frame, cities, read):
    """By the centres of the month itself, if another city has been grouped; the month run again whole goes by the one before, as it did first."""
    schema = "month string, segmentation string, group_number int, class_number int, attribute string, centre double"
    told = frame(schema, ("2025-02", "s", 1, None, "a", 1.0), ("2025-03", "s", 2, None, "a", 2.0))
    job = SimpleNamespace(
        spark=told.sparkSession, month="2025-03", cities=cities, months_of=lambda _: ("2025-02", "2025-03"),
        read=lambda _, months, **__: told.where(F.col("month").isin(*months)),
    )  # fmt: skip
    assert former_groups(load_job("segment_customers")._read_profiles(job), "s").month == read[-1]
