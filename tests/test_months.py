from datetime import date

import pytest
from pyspark.sql import functions as F

from crm_spark.months import add_months, asked_month, full_months, is_month, month_range, months_between, window


@pytest.mark.parametrize("text, good", [("2024-02", True), ("2024-13", False), ("2024-2", False), ("2024-02-01", False), ("", False)])
def test_a_month_is_four_digits_dash_two(text, good):
    assert is_month(text) is good


@pytest.mark.parametrize(
    "text, month",
    [
        ("2025-03", "2025-03"),
        ("before:2025-04-01", "2025-03"),
        ("before:2025-03-31", "2025-02"),  # March has not ended before its last day
        ("before:2024-01-15", "2023-12"),
        ("before:2025-02-29", None),
        ("before:2025-04", None),
        ("2025-3", None),
    ],
)
def test_a_scheduler_may_pass_its_day_for_the_month_that_ended_before_it(text, month):
    assert asked_month(text) == month


def test_months_are_counted_over_year_ends():
    assert add_months("2024-11", 3) == "2025-02"
    assert add_months("2024-01", -1) == "2023-12"
    assert months_between("2023-11", "2025-01") == 14
    assert month_range("2024-11", "2025-02") == ("2024-11", "2024-12", "2025-01", "2025-02")
    assert month_range("2025-02", "2025-01") == ()
    assert window("2025-01", 3) == ("2024-11", "2024-12", "2025-01")


def test_full_months_are_counted_at_the_end_of_the_month(frame):
    rows = frame(
        "start date, month string",
        (date(2024, 1, 31), "2024-02"),  # the last day of a leap February completes the month
        (date(2024, 1, 15), "2024-02"),
        (date(2024, 3, 1), "2024-02"),  # not begun yet: never below zero
        (None, "2024-02"),
    )
    assert [r[0] for r in rows.select(full_months(F.col("start"), F.col("month"))).collect()] == [1, 1, 0, None]
