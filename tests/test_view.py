"""The unified customer view: three months, nine months, and nothing of the future."""

from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from crm_spark.customer.view import MiddleTables, build_customer_view
from crm_spark.months import add_months, month_range
from crm_spark.tables.mart import CUSTOMER_VIEW, MEASURES
from crm_spark.tables.middle import BILLING_SUMMARY, BUNDLE_STATUS, CONTACT_CIRCLE, USER_BASIC, VAS_SUMMARY, VOICE_SUMMARY
from crm_spark.tables.raw import USER_EXTENSION
from tests.customer_support import MONTH, all_rows, by_user, day, rows_of

MONTHS = month_range("2024-04", "2025-05")  # history before, and two months after, March 2025
MOVED = "2025-02"


def months_of(user):
    """`new` comes in February, `gap` was away in January and February; `city` moves in February."""
    there = {"new": lambda m: m >= "2025-02", "gap": lambda m: m not in ("2025-01", "2025-02")}
    return [m for m in MONTHS if there.get(user, lambda _: True)(m)]


def city_of(user, month):
    return "NINGBO" if user == "city" and month >= MOVED else "HANGZHOU"


def revenue(month):
    """10, 20, 30, ... yuan from April 2024 on: 120 in March 2025."""
    return Decimal(10 * (MONTHS.index(month) + 1))


def minutes(user, month):
    return 0.0 if user == "idle" else 1 / 3 + MONTHS.index(month) ** 2


OWED = ("2024-06", "2024-07", "2025-01", "2025-03")
USERS = ("old", "new", "gap", "city", "idle")


def rows(**columns):
    """One row per user and month with that user, its city and the given columns (functions of user and month)."""
    return [
        {"user_id": u, "month": m, "city": city_of(u, m), **{name: value(u, m) for name, value in columns.items()}}
        for u in USERS
        for m in months_of(u)
    ]


@pytest.fixture(scope="module")
def tables(spark):
    """Five subscribers' middle tables, which go on two months beyond the view's."""
    extension = spark.createDataFrame([("HANGZHOU", MONTH, "old", 2.0)], "city string, month string, user_id string, ext_complaints double")
    services = [
        {
            "user_id": "old",
            "service": "newspaper",
            "is_held": True,
            "held_months": 5,
            "uses": 3,
            "mb": 0.25,
            "active_days": 2,
            "fee_yuan": Decimal("1.50"),
        },
        {"user_id": "old", "service": "fetion", "is_held": False, "uses": 1, "mb": 10.5, "active_days": 1, "fee_yuan": Decimal("0.00")},
        {"user_id": "old", "service": "newspaper", "is_held": True, "uses": 0, "mb": 4.75, "month": "2025-02"},
    ]
    rate = {u: {m: float(10 + MONTHS.index(m)) for m in MONTHS} for u in USERS}
    return MiddleTables(
        basic=rows_of(spark, USER_BASIC, *rows(status=lambda u, m: "active", person_id=lambda u, m: "person" if u == "old" else None)),
        billing=rows_of(
            spark, BILLING_SUMMARY,
            *rows(revenue_yuan=lambda u, m: revenue(m), return_rate=lambda u, m: None if m == "2024-12" else rate[u][m],
                  payment_yuan=lambda u, m: Decimal(0 if u == "idle" else 5),
                  arrears_yuan=lambda u, m: None if u == "new" else Decimal(6 if u == "old" and m in OWED else 0)),
        ),
        voice=rows_of(spark, VOICE_SUMMARY, *rows(total_minutes=minutes, calls_out=lambda u, m: 0)),
        circle=rows_of(spark, CONTACT_CIRCLE, *rows(peers=lambda u, m: 4)),
        vas=rows_of(spark, VAS_SUMMARY, *services),
        bundles=rows_of(spark, BUNDLE_STATUS, *rows(has_bundle_0=lambda u, m: u == "old", has_bundle_1=lambda u, m: False,
                                                    bundle_ends_on=lambda u, m: day("2025-08-31") if u == "old" else None)),
        extension=extension,
    )  # fmt: skip


@pytest.fixture(scope="module")
def view(spark, tables):
    """The view of March 2025, and of January 2025, built in one pass."""
    return build_customer_view(["2025-01", MONTH], tables).localCheckpoint()


@pytest.fixture(scope="module")
def march(view):
    return by_user(view.where(F.col("month") == MONTH))


def test_the_columns_are_the_contract_with_the_operators_own_behind(view, march):
    assert tuple(view.columns) == (*CUSTOMER_VIEW.columns, "ext_complaints")
    assert (march["old"]["ext_complaints"], march["new"]["ext_complaints"]) == (2.0, None)
    assert view.schema["services"].dataType.simpleString() == CUSTOMER_VIEW["services"].sql_type


def test_means_and_trends_look_at_three_calendar_months(march):
    old = march["old"]
    assert (old["arpu_yuan"], old["arpu_yuan_mean_3m"], old["arpu_yuan_trend_3m"]) == (Decimal("120.00"), 110.0, 10.0)
    used = [1 / 3 + n**2 for n in (9, 10, 11)]
    assert old["total_minutes"] == pytest.approx(used[2], abs=5e-7)
    assert old["total_minutes_mean_3m"] == pytest.approx(sum(used) / 3, abs=5e-7)
    assert old["total_minutes_trend_3m"] == pytest.approx((used[2] - used[0]) / 2, abs=5e-7)
    assert (old["peers_mean_3m"], old["peers_trend_3m"]) == (4.0, 0.0)


def test_a_mean_takes_the_months_that_are_there_and_a_trend_needs_all_three(march):
    assert (march["new"]["arpu_yuan_mean_3m"], march["new"]["arpu_yuan_trend_3m"], march["new"]["history_months"]) == (115.0, None, 2)
    assert (march["gap"]["arpu_yuan_mean_3m"], march["gap"]["arpu_yuan_trend_3m"], march["gap"]["history_months"]) == (120.0, None, 7)


def test_three_quarters_are_nine_months_with_this_one_and_a_null_month_is_left_out(march):
    rates = [10.0 + n for n in range(3, 12) if MONTHS[n] != "2024-12"]  # July 2024 to March 2025
    assert march["old"]["return_rate_3q"] == pytest.approx(sum(rates) / len(rates), abs=5e-7)
    assert march["old"]["return_rate_3q_min"] == 13.0
    assert march["old"]["history_months"] == 9


def test_months_in_arrears_are_counted_over_three_quarters(march):
    assert (march["old"]["arrears_months_3q"], march["old"]["arrears_yuan_mean_3m"]) == (3, 4.0)  # not June 2024, ten months ago
    assert (march["city"]["arrears_months_3q"], march["new"]["arrears_months_3q"]) == (0, None)


def test_the_prior_three_months_do_not_include_this_one(march):
    assert (march["old"]["arpu_prior_3m_yuan"], march["old"]["return_rate_prior_3m"]) == (100.0, 19.5)  # 90, 100, 110; null, 19, 20
    assert march["new"]["arpu_prior_3m_yuan"] == 110.0
    assert march["gap"]["arpu_prior_3m_yuan"] == 90.0


def test_history_follows_a_customer_who_moved_to_another_city(march):
    moved = march["city"]
    assert moved["city"] == "NINGBO"
    assert (moved["history_months"], moved["arpu_yuan_trend_3m"], moved["return_rate_3q"]) == (9, 10.0, march["old"]["return_rate_3q"])


def test_several_months_come_out_of_one_pass_each_with_its_own_past(tables, view):
    alone = build_customer_view(["2025-01"], tables)
    assert all_rows(view.where(F.col("month") == "2025-01")) == all_rows(alone)


def test_services_hold_their_state_and_a_subscriber_without_any_has_an_empty_map(march, view):
    newspaper, fetion = march["old"]["services"]["newspaper"], march["old"]["services"]["fetion"]
    assert newspaper.asDict() == {"is_held": True, "held_months": 5, "uses": 3, "mb": 0.25, "active_days": 2, "fee_yuan": 1.5}
    assert (fetion["is_held"], fetion["held_months"]) == (False, None)
    assert (march["old"]["dou_mb"], march["old"]["held_services"], march["old"]["dou_mb_mean_3m"]) == (10.75, 1, 7.75)
    assert (march["new"]["services"], march["new"]["dou_mb"], march["new"]["held_services"]) == ({}, 0.0, 0)
    january = by_user(view.where(F.col("month") == "2025-01"))["old"]  # a month for which the source tells nothing
    assert (january["services"], january["dou_mb"], january["held_services"]) == (None, None, None)


def test_active_is_who_has_the_status_and_used_or_paid(march):
    assert {user: row["is_active"] for user, row in march.items()} == {"old": True, "new": True, "gap": True, "city": True, "idle": False}


def test_the_person_is_the_user_where_the_customer_is_not_told(march):
    assert (march["old"]["person_id"], march["new"]["person_id"]) == ("person", "new")


def test_the_bundle_of_the_month_stands_on_the_row(march):
    assert (march["old"]["bundle_none_or_ending"], march["new"]["bundle_none_or_ending"]) == (False, True)


def test_nothing_of_the_future_enters(spark, tables, view):
    def altered(frame):
        """Every later month with other numbers, and a later month that was not there."""
        past = frame.where(F.col("month") <= MONTH)
        later = (
            frame.where(F.col("month") == MONTH)
            .drop("month")
            .crossJoin(spark.createDataFrame([("2025-04",), ("2025-06",)], "month string"))
        )
        numbers = [f.name for f in frame.schema.fields if f.dataType.typeName() in ("double", "long", "integer", "decimal")]
        return past.unionByName(
            later.withColumns({c: (F.coalesce(F.col(c), F.lit(1)) * 7).cast(frame.schema[c].dataType) for c in numbers})
        )

    changed = MiddleTables(**{name: altered(frame) for name, frame in vars(tables).items()})
    assert all_rows(build_customer_view(["2025-01", MONTH], changed)) == all_rows(view)


def test_the_view_does_not_depend_on_partitioning(tables, view):
    mixed = MiddleTables(**{name: frame.repartition(3, frame.columns[-1]) for name, frame in vars(tables).items()})
    assert all_rows(build_customer_view(["2025-01", MONTH], mixed)) == all_rows(view)


def test_unmapped_sources_leave_nulls_and_status_alone_decides_who_is_active(spark, tables):
    empty = {name: rows_of(spark, table) for name, table in
             {"billing": BILLING_SUMMARY, "voice": VOICE_SUMMARY, "circle": CONTACT_CIRCLE, "vas": VAS_SUMMARY, "bundles": BUNDLE_STATUS,
              "extension": USER_EXTENSION}.items()}  # fmt: skip
    idle = by_user(build_customer_view([MONTH], MiddleTables(basic=tables.basic, **empty)))["idle"]
    derived = [f"{m}_{part}_3m" for m in MEASURES for part in ("mean", "trend")]
    untold = [*MEASURES, *derived, "services", "bundle_none_or_ending", "return_rate_3q", "arpu_prior_3m_yuan"]
    assert {name: idle[name] for name in untold} == dict.fromkeys(untold)
    assert (idle["is_active"], idle["history_months"]) == (True, 9)


def test_a_month_back_is_a_calendar_month_over_the_year_end(view):
    january = by_user(view.where(F.col("month") == "2025-01"))
    assert january["old"]["arpu_yuan_trend_3m"] == 10.0
    assert january["old"]["arpu_prior_3m_yuan"] == float(sum(revenue(add_months("2025-01", -n)) for n in (1, 2, 3)) / 3)
    assert set(january) == {"old", "city", "idle"}


def test_each_middle_table_is_read_and_moved_once_to_its_subscribers_and_the_wide_rows_never(spark, tables, capsys):
    settings = {"spark.sql.autoBroadcastJoinThreshold": "-1", "spark.sql.adaptive.enabled": "false"}  # as when tables are large; a plan that tells what is reused
    for name, value in settings.items():
        spark.conf.set(name, value)
    try:
        build_customer_view([MONTH], tables).explain()
    finally:
        for name in settings:
            spark.conf.unset(name)
    plan = capsys.readouterr().out.replace("ReusedExchange", "Reused").splitlines()
    reused, moved = ([line for line in plan if kind in line and ("Reused" in line) == (kind == "Reused")] for kind in ("Reused", " Exchange "))
    assert (len(reused), sum("hashpartitioning(user_id" in line for line in moved)) == (1, 7)  # the seven tables, one of them for two purposes:
    assert sum("hashpartitioning(month" in line for line in moved) == 1  # per month, what its source tells of services
    assert len(moved) == 8 and sum("Scan" in line for line in plan) == 7
