"""Campaigns, their policies and contacts, and what services did day by day: of one piece with the other tables of the province."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.config.province import load_province
from crm_spark.province.deliveries import DELIVERIES, EXTRA, told_lives, true_lives
from crm_spark.province.world import Province

CONF = Path(__file__).resolve().parents[1] / "conf"
ALL = {d.name: d for d in (*DELIVERIES, *EXTRA)}
PROVINCE = Province(load_province(CONF).between("2024-09", "2025-02"), 5, 1500)
Read = Callable[[str], DataFrame]


@pytest.fixture(scope="module")
def lives(spark: SparkSession) -> DataFrame:
    return told_lives(true_lives(spark, PROVINCE, 2).localCheckpoint(), PROVINCE).localCheckpoint()


@pytest.fixture(scope="module")
def read(lives: DataFrame) -> Read:
    """A table's rows as delivered, the bad ones apart."""
    made: dict[str, DataFrame] = {}

    def table(name: str) -> DataFrame:
        made[name] = made[name] if name in made else ALL[name].rows(lives, PROVINCE).cache()
        return made[name]

    return table


def outside(rows: DataFrame, of: DataFrame, *key: str) -> int:
    return rows.select(*key).join(of.select(*key), list(key), "left_anti").count()


def listed(rows: DataFrame, name: str) -> DataFrame:
    return rows.withColumn(name, F.explode(F.split(name, ";")))


def test_every_contact_is_one_of_a_subscriber_on_a_channel_and_about_a_policy_of_its_campaign(read: Read) -> None:
    contacts, campaigns = read("contact_history"), read("campaign")
    there = read("user_info").where("status != '销户'")
    assert contacts.count() > 200
    assert outside(contacts, there, "month", "subscriber_id", "region", "cust_id") == 0
    assert outside(contacts, campaigns.where("state != 'prepared'"), "month", "campaign") == 0
    assert outside(contacts, listed(campaigns.withColumnRenamed("channels", "channel"), "channel"), "month", "campaign", "channel") == 0
    offers = listed(campaigns.withColumnRenamed("policies", "policy_code"), "policy_code")
    assert outside(contacts.where("policy_code IS NOT NULL"), offers, "month", "campaign", "policy_code") == 0
    greetings = campaigns.where("policies IS NULL").select("month", "campaign")
    assert contacts.where("policy_code IS NULL").join(greetings, ["month", "campaign"], "left_anti").isEmpty()


def test_contacts_keep_to_the_month_to_hours_and_to_consent(read: Read) -> None:
    contacts = read("contact_history")
    assert contacts.where("substr(contacted_at, 1, 7) != month OR hour(contacted_at) NOT BETWEEN 9 AND 19").isEmpty()
    consents = read("user_info").where("consent = 'Y'")
    assert outside(contacts.where("channel != 'hall'"), consents, "month", "subscriber_id") == 0
    assert contacts.where("(channel IN ('hall', 'outbound')) != (clerk IS NOT NULL)").isEmpty()
    key = ["month", "subscriber_id", "campaign"]
    assert contacts.select(*key).distinct().count() == contacts.count()


def test_who_ordered_has_the_order_from_that_day_on(read: Read) -> None:
    ordered = read("contact_history").where("outcome = 'ordered'").withColumn("day", F.date_format("contacted_at", "yyyyMMdd"))
    service = {"NEWSPAPER_TRIAL": "newspaper", "RING_BACK_TONE_START": "ring_back_tone", "MUSIC_CLUB_TRIAL": "wireless_music",
               "MOBILE_INTERNET_TRIAL": "mobile_internet", "MAILBOX_139_START": "mailbox_139", "CHINESE_SECRETARY_TRIAL": "chinese_secretary"}  # fmt: skip
    named = F.create_map(*[F.lit(x) for pair in service.items() for x in pair])
    of_services = ordered.where(F.col("policy_code").isin(*service)).withColumn("service_code", named[F.col("policy_code")])
    both = of_services.join(read("service_subscription"), ["month", "subscriber_id", "service_code"])
    assert both.count() == of_services.count() > 10
    assert both.where("day > order_date OR substr(order_date, 1, 6) != replace(month, '-', '')").isEmpty()
    signed = ordered.where(~F.col("policy_code").isin(*service)).withColumn("next", F.date_format(F.add_months("contacted_at", 1), "yyyy-MM"))
    contracts = read("bundle_contract").select(F.col("month").alias("next"), "subscriber_id", "policy_code", "begin_date")
    stayed = read("user_info").where("status != '销户'").select(F.col("month").alias("next"), "subscriber_id")
    found = signed.join(stayed, ["next", "subscriber_id"]).join(contracts, ["next", "subscriber_id", "policy_code"], "left")
    assert found.count() > 3 and found.where("begin_date IS NULL OR begin_date != concat(replace(next, '-', ''), '01')").isEmpty()


def test_nobody_is_offered_a_service_or_bundle_that_is_held(read: Read) -> None:
    offered = read("contact_history").where("policy_code = 'RING_BACK_TONE_START'")
    held = read("service_subscription").where("service_code = 'ring_back_tone' AND substr(order_date, 1, 6) < replace(month, '-', '')")
    assert offered.count() > 10 and offered.join(held, ["month", "subscriber_id"], "left_semi").isEmpty()
    bundles = read("contact_history").where("policy_code IN ('PREPAY_300_GET_360', 'FAMILY_NET')")
    runs = read("bundle_contract").where("end_date > replace(month, '-', '') || '31'")
    assert bundles.count() > 10 and bundles.join(runs, ["month", "subscriber_id"], "left_semi").isEmpty()


def test_who_is_contacted_is_a_matter_of_lot(read: Read) -> None:
    """A greeting reaches the share that its theme says, of who spends much as of others."""
    there = read("user_info").where("status != '销户' AND consent = 'Y' AND month = '2025-02' AND open_date < '20250201'")
    bills = read("billing").where("month = '2025-02'").select("subscriber_id", F.col("total").cast("double").alias("total"))
    greeted = read("contact_history").where("month = '2025-02' AND policy_code IS NULL").select("subscriber_id", F.lit(1).alias("greeted"))
    both = there.join(bills, "subscriber_id").join(greeted, "subscriber_id", "left")
    of_greeted = F.when(F.col("greeted") == 1, F.col("total"))
    share, mean, theirs, spread, n = both.agg(F.avg(F.coalesce("greeted", F.lit(0))), F.avg("total"), F.avg(of_greeted), F.stddev("total"), F.count("*")).first()
    assert share == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / n) ** 0.5)
    assert abs(theirs - mean) < 4 * spread / (0.3 * n) ** 0.5


def test_campaigns_begin_prepared_and_end_closed_within_budget(read: Read) -> None:
    rows = read("campaign").orderBy("campaign", "month").collect()
    states = {c: [r["state"] for r in rows if r["campaign"] == c] for c in {r["campaign"] for r in rows}}
    whole = ("prepared", "started", "running", "closed")
    assert all([whole.index(s) for s in seen] == sorted({whole.index(s) for s in seen}) for seen in states.values())
    assert states["C202410-04"] == ["prepared", "started", "closed"] and ["prepared", "started", "running", "closed"] not in states.values()
    assert states["C202409-02"] == ["started", "running", "closed"]
    spent = read("contact_history").groupBy("campaign").agg(F.sum(F.col("cost").cast("double")).alias("spent"))
    assert spent.join(read("campaign").select("campaign", F.col("budget").cast("double")).distinct(), "campaign").where("spent > budget").isEmpty()


def test_contracts_and_campaigns_name_policies_that_are_told_and_planners_know_them(read: Read) -> None:
    policies = read("policy")
    for rows in (read("bundle_contract"), listed(read("campaign").withColumnRenamed("policies", "policy_code"), "policy_code")):
        assert outside(rows, policies, "month", "policy_code") == 0
    told = policies.select("month", "policy_code", *[F.col(c).alias(f"told_{c}") for c in ("class", "prepaid", "gifted")])
    terms = read("bundle_contract").join(told, ["month", "policy_code"])
    assert terms.where("class != told_class OR cast(prepaid AS double) != told_prepaid OR cast(gifted AS double) != told_gifted").isEmpty()
    with (CONF / "policies.csv").open(encoding="utf-8") as sheet:
        assert {r["policy_code"] for r in policies.collect()} <= {row["policy_id"] for row in csv.DictReader(sheet)}


def test_the_monitor_counts_the_orders_that_run_and_the_days_of_use(read: Read) -> None:
    monitor = read("service_monitor").select("month", "service_code", "day", *[F.col(c).cast("int") for c in ("users", "active", "failures")]).cache()
    days = monitor.groupBy("month", "service_code").agg(F.count("*").alias("rows"), F.countDistinct("day").alias("days"))
    assert days.where("rows != days OR days != dayofmonth(last_day(to_date(month || '-01')))").isEmpty()
    orders = read("service_subscription").where("cancel_date IS NULL").groupBy("month", "service_code").count()
    last = monitor.where("substr(day, 7, 2) = cast(dayofmonth(last_day(concat(month, '-01'))) AS string)")
    assert last.join(orders, ["month", "service_code"], "left").where("users != coalesce(count, 0)").isEmpty()
    assert monitor.where("users < 0 OR active > users OR failures < 0").isEmpty()
    used = read("vas_usage").where("service_code = 'ring_back_tone'").groupBy("month").agg(F.sum("days").alias("days"))
    seen = monitor.where("service_code = 'ring_back_tone'").groupBy("month").agg(F.sum("active").alias("active")).join(used, "month")
    assert seen.where("abs(active / days - 1) > 0.1").isEmpty() and seen.count() == 6


def test_more_fails_while_a_city_is_in_trouble(read: Read) -> None:
    """The trouble of November in JINHUA, a sixth of the subscribers, doubles what fails in the province; by the next month half of it is left."""
    rate = F.sum(F.col("failures").cast("double")) / F.sum(F.col("active").cast("double"))
    rates = {r["month"]: r["rate"] for r in read("service_monitor").groupBy("month").agg(rate.alias("rate")).collect()}
    assert rates["2024-11"] > 1.2 * rates["2024-10"] and rates["2024-11"] > 1.2 * rates["2025-02"]


def test_contacts_are_the_same_whatever_the_partitions(read: Read, lives: DataFrame) -> None:
    again = ALL["contact_history"].rows(lives.repartition(7), PROVINCE)
    assert read("contact_history").exceptAll(again).isEmpty() and again.exceptAll(read("contact_history")).isEmpty()
