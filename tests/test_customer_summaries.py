"""Who the subscriber is, the bill, services and bundles at month end."""

from datetime import date
from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from crm_spark.customer.basic import build_user_basic
from crm_spark.customer.billing import build_billing_summary
from crm_spark.customer.bundle import build_bundle_status
from crm_spark.customer.vas import build_vas_summary
from crm_spark.customer.view import bundle_none_or_ending
from crm_spark.tables.middle import USER_BASIC
from crm_spark.tables.raw import BILLING, BUNDLE_CONTRACT, SERVICE_SUBSCRIPTION, TERMINAL, USER_INFO, VAS_USAGE
from tests.customer_support import all_rows, by_user, day, rows_of


def calendar(spark, column, cases):
    """The column of user_basic for (month, date of birth or activation) cases, in order."""
    given = "birth_date" if column == "age_years" else "activation_date"
    rows = [{"user_id": f"{i:02d}", "month": month, given: day(text)} for i, (month, text) in enumerate(cases)]
    basic = build_user_basic(rows_of(spark, USER_INFO, *rows), rows_of(spark, TERMINAL))
    return [row[column] for row in basic.orderBy("user_id").collect()]


def test_tenure_counts_calendar_months_over_leap_days_and_year_ends(spark):
    cases = {
        ("2024-02", "2024-01-31"): 1, ("2024-02", "2024-01-30"): 1, ("2023-02", "2023-01-31"): 1, ("2024-02", "2024-02-29"): 0,
        ("2024-02", "2023-02-28"): 12, ("2025-02", "2024-02-29"): 12, ("2025-01", "2024-12-31"): 1, ("2025-01", "2024-12-01"): 1,
        ("2024-12", "2024-01-01"): 11, ("2024-04", "2024-03-31"): 1, ("2024-04", "2024-05-01"): 0,
    }  # fmt: skip
    assert calendar(spark, "tenure_months", cases) == list(cases.values())


def test_age_counts_whole_years_at_month_end_and_refuses_dates_that_cannot_be_true(spark):
    cases = {
        ("2024-02", "2000-02-29"): 24, ("2023-02", "2000-02-29"): 23, ("2023-01", "2000-02-29"): 22, ("2024-12", "1990-12-31"): 34,
        ("2024-11", "1990-12-01"): 33, ("2024-05", "1986-05-04"): 38, ("2024-05", "1900-01-01"): None, ("2024-05", "2024-06-01"): None,
    }  # fmt: skip
    assert calendar(spark, "age_years", cases) == list(cases.values())


def test_dates_win_over_delivered_tenure_and_age_which_fill_in_for_missing_ones(spark):
    users = rows_of(
        spark, USER_INFO,
        {"user_id": "dated", "activation_date": date(2024, 3, 9), "tenure_months": 99, "birth_date": date(1995, 3, 31), "age_years": 99},
        {"user_id": "told", "tenure_months": 7, "birth_date": date(1900, 1, 1), "age_years": 41},
    )  # fmt: skip
    basic = by_user(build_user_basic(users, rows_of(spark, TERMINAL)))
    assert [(basic[u]["tenure_months"], basic[u]["age_years"]) for u in ("dated", "told")] == [(12, 30), (7, 41)]


def test_closed_subscribers_leave_but_an_untold_status_stays(spark):
    users = rows_of(spark, USER_INFO, *[{"user_id": f"{s}", "status": s} for s in ("active", "suspended", "closed", None)])
    assert set(by_user(build_user_basic(users, rows_of(spark, TERMINAL)))) == {"active", "suspended", "None"}


def test_the_handset_is_the_one_of_the_same_month(spark):
    users = rows_of(spark, USER_INFO, {"user_id": "ann"}, {"user_id": "ann", "month": "2025-02"}, {"user_id": "bob"})
    handsets = rows_of(
        spark, TERMINAL, {"user_id": "ann", "terminal_model": "new"}, {"user_id": "ann", "month": "2025-02", "terminal_model": "old"}
    )
    basic = {(r["user_id"], r["month"]): r["terminal_model"] for r in build_user_basic(users, handsets).collect()}
    assert basic == {("ann", "2025-03"): "new", ("ann", "2025-02"): "old", ("bob", "2025-03"): None}


@pytest.fixture(scope="module")
def return_rates(spark):
    cases = {
        "half": (100, 30, 20), "nothing_given": (80, 0, 0), "given_more_than_paid": (50, 60, 0), "one_untold": (40, None, 10),
        "neither_told": (40, None, None), "no_revenue": (0, 0, 0), "credit_note": (-5, 0, 0), "untold_revenue": (None, 1, 1),
        "third": (30, 10, 0),
    }  # fmt: skip
    money = ("revenue_yuan", "subsidy_yuan", "gift_yuan")
    rows = [{"user_id": u, **{m: None if v is None else Decimal(v) for m, v in zip(money, told, strict=True)}} for u, told in cases.items()]
    return {u: row["return_rate"] for u, row in by_user(build_billing_summary(rows_of(spark, BILLING, *rows))).items()}


@pytest.mark.parametrize(
    "case, rate",
    [("half", 50.0), ("nothing_given", 100.0), ("given_more_than_paid", 0.0), ("one_untold", 75.0), ("neither_told", None),
     ("no_revenue", None), ("credit_note", None), ("untold_revenue", None), ("third", 66.666667)],
)  # fmt: skip
def test_the_return_rate_is_what_is_kept_of_the_revenue(return_rates, case, rate):
    assert return_rates[case] == rate


def vas(spark, orders, uses):
    table = build_vas_summary(rows_of(spark, SERVICE_SUBSCRIPTION, *orders), rows_of(spark, VAS_USAGE, *uses))
    return {(r["user_id"], r["service"]): r for r in table.collect()}


def test_a_service_is_held_from_its_first_to_its_last_day_at_month_end(spark):
    def order(user, start, end=None):
        return {"user_id": user, "service": "fetion", "started_on": start and day(start), "ended_on": end and day(end)}

    held = vas(
        spark,
        [order("open", "2024-03-15"), order("ends_at_month_end", "2025-01-31", "2025-03-31"), order("ended", "2024-01-01", "2025-03-30"),
         order("starts_later", "2025-04-01"), order("untold_start", None), order("renewed", "2024-01-01", "2024-06-30"),
         order("renewed", "2025-02-01")],
        [],
    )  # fmt: skip
    assert {user: row["held_months"] for (user, _), row in held.items()} == {
        "open": 12,
        "ends_at_month_end": 2,
        "untold_start": None,
        "renewed": 1,
    }
    assert all(row["is_held"] for row in held.values())


def test_use_of_a_held_service_is_zero_when_there_was_none_and_null_when_no_source_tells_use(spark):
    order = {"user_id": "ann", "service": "fetion", "started_on": day("2024-01-01")}
    used = {"user_id": "bob", "service": "newspaper", "uses": 4, "mb": 0.1, "active_days": 2, "fee_yuan": Decimal("1.50")}
    both = vas(spark, [order], [used])
    ann, bob = both["ann", "fetion"], both["bob", "newspaper"]
    assert (ann["is_held"], ann["uses"], ann["mb"], ann["active_days"], ann["fee_yuan"]) == (True, 0, 0.0, 0, Decimal("0.00"))
    assert (bob["is_held"], bob["held_months"], bob["uses"], bob["fee_yuan"]) == (False, None, 4, Decimal("1.50"))
    assert vas(spark, [order], [])["ann", "fetion"]["uses"] is None
    assert vas(spark, [], [used])["bob", "newspaper"]["is_held"] is None


def test_megabytes_add_up_the_same_in_any_order(spark):
    uses = [{"user_id": "ann", "service": "mobile_internet", "mb": 0.1 * i} for i in range(40)]
    told = [rows_of(spark, VAS_USAGE, *uses).repartition(n) for n in (1, 6)]
    one, many = (build_vas_summary(rows_of(spark, SERVICE_SUBSCRIPTION), t) for t in told)
    assert all_rows(one) == all_rows(many)
    assert one.first()["mb"] == 78.0


@pytest.fixture(scope="module")
def bundles(spark):
    cases = {
        "none": [], "ended": [(0, "2024-01-01", "2025-03-30")], "last_day": [(0, "2024-01-01", "2025-03-31")],
        "not_begun": [(1, "2025-04-01", "2026-03-31")], "june": [(1, "2024-01-01", "2025-06-30")],
        "july": [(1, "2024-01-01", "2025-07-01")], "both": [(0, "2024-01-01", "2025-05-15"), (1, "2024-01-01", "2026-03-31")],
        "open": [(0, "2024-01-01", None), (1, "2024-01-01", "2025-04-30")],
    }  # fmt: skip
    contracts = [
        {"user_id": user, "policy_id": f"P{kind}", "bundle_class": kind, "started_on": day(start), "ended_on": end and day(end)}
        for user, terms in cases.items() for kind, start, end in terms
    ]  # fmt: skip
    basic = rows_of(spark, USER_BASIC, *[{"user_id": user} for user in cases])
    status = build_bundle_status(rows_of(spark, BUNDLE_CONTRACT, *contracts), basic)
    return by_user(status.withColumn("none_or_ending", bundle_none_or_ending()))


@pytest.mark.parametrize(
    "user, classes, months_left, policies, none_or_ending",
    [
        ("none", (False, False), None, [], True),
        ("ended", (False, False), None, [], True),
        ("last_day", (True, False), 0, ["P0"], True),
        ("not_begun", (False, False), None, [], True),
        ("june", (False, True), 3, ["P1"], True),  # the end of the third month after March
        ("july", (False, True), 3, ["P1"], False),
        ("both", (True, True), 12, ["P0", "P1"], False),
        ("open", (True, True), None, ["P0", "P1"], False),  # one without an end runs longest
    ],
)
def test_bundles_at_month_end(bundles, user, classes, months_left, policies, none_or_ending):
    row = bundles[user]
    assert (row["has_bundle_0"], row["has_bundle_1"]) == classes
    assert (row["bundle_months_left"], row["bundle_policies"], row["none_or_ending"]) == (months_left, policies, none_or_ending)


def test_three_months_after_a_leap_february_end_with_may(spark):
    ends = {"2024-05-31": True, "2024-06-01": False}
    contracts = [
        {"user_id": e, "month": "2024-02", "policy_id": "P", "bundle_class": 1, "started_on": day("2023-06-01"), "ended_on": day(e)}
        for e in ends
    ]
    basic = rows_of(spark, USER_BASIC, *[{"user_id": e, "month": "2024-02"} for e in ends])
    status = build_bundle_status(rows_of(spark, BUNDLE_CONTRACT, *contracts), basic).withColumn("soon", bundle_none_or_ending())
    assert {user: row["soon"] for user, row in by_user(status).items()} == ends
    assert {row["bundle_months_left"] for row in by_user(status).values()} == {3}


def test_an_unmapped_bundle_source_tells_nothing(spark):
    untold = rows_of(spark, USER_BASIC, {"user_id": "ann"}).select(
        "month", *[F.lit(None).cast("boolean").alias(c) for c in ("has_bundle_0", "has_bundle_1")]
    )
    assert untold.withColumn("bundle_ends_on", F.lit(None).cast("date")).select(bundle_none_or_ending()).first()[0] is None
