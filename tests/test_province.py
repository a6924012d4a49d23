"""A tiny province on disk: consistent in itself, repeatable, and with its truth apart."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.config.province import ProvinceConfig, load_province
from crm_spark.province.defects import DEFECTS, with_bad_rows
from crm_spark.province.deliveries import DELIVERIES, EXTRA, FURTHER, told_lives, true_lives
from crm_spark.province.files import NOTE, is_made, make, make_room
from crm_spark.province.skew import with_skew
from crm_spark.province.world import Province

CONF = Path(__file__).resolve().parents[1] / "conf"
MONTHS = ("2024-10", "2024-11", "2024-12", "2025-01")
Read = Callable[[str], DataFrame]


@pytest.fixture(scope="module")
def config() -> ProvinceConfig:
    return load_province(CONF).between(MONTHS[0], MONTHS[-1])


@pytest.fixture(scope="module")
def made(spark: SparkSession, config: ProvinceConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("province") / "raw"
    province = Province(config, seed=11, size=400)
    make_room(out)
    tables = [table.table for table in make(spark, province, out)]
    assert tables == ["truth/subscriber", "truth/life", "truth/response", *(d.name for d in DELIVERIES)]
    assert is_made(province, out)
    return out


@pytest.fixture(scope="module")
def read(spark: SparkSession, made: Path) -> Read:
    """A delivered table without its bad rows: identifiers as they should be, numbers typed."""

    def table(name: str) -> DataFrame:
        if name == "voice_cdr" or name.startswith("truth/"):
            return spark.read.parquet(str((made.parent if name.startswith("truth/") else made) / name))
        encoding = next(d.encoding for d in DELIVERIES if d.name == name)
        return spark.read.csv(str(made / name), header=True, encoding=encoding)

    return table


def test_files_lie_by_table_and_month_and_few_of_them(made: Path) -> None:
    for delivery in DELIVERIES:
        months = sorted(p.name for p in (made / delivery.name).glob("month=*"))
        wanted = MONTHS[-2:] if delivery.name == "voice_cdr" else MONTHS[:2] if "summary" in delivery.name or "circle" in delivery.name else MONTHS
        assert months == [f"month={m}" for m in wanted], delivery.name
        endings = ".parquet" if delivery.format == "parquet" else ".csv.gz"
        assert all(1 <= len(list((made / delivery.name / m).glob(f"*{endings}"))) <= 2 for m in months)


def test_the_register_comes_in_gbk_with_a_header(made: Path) -> None:
    lines = gzip.decompress(next((made / "user_info").glob("month=2024-11/*.gz")).read_bytes()).decode("gbk").splitlines()
    assert lines[0].startswith("subscriber_id,region,msisdn,cust_id")
    assert any("正常" in line and "预付费" in line for line in lines[1:])


def test_the_note_counts_the_rows_and_the_bad_ones(made: Path, read: Read) -> None:
    told = json.loads((made / NOTE).read_text())["tables"]
    assert told["billing"]["rows"] == read("billing").count()
    assert sum(t["bad"] for t in told.values()) > 0
    bills = read("billing").where("month = '2024-12'")
    spoilt = bills.where("total RLIKE '^-' OR total = 'n/a' OR subscriber_id IS NULL").count()
    doubled = bills.count() - bills.distinct().count()
    assert spoilt + doubled <= told["billing"]["bad"]


def test_every_row_belongs_to_a_subscriber_of_its_month(read: Read) -> None:
    users = read("user_info").select("month", "subscriber_id").distinct().cache()
    for delivery in DELIVERIES:
        rows = read(delivery.name).where("subscriber_id IS NOT NULL").select("month", "subscriber_id")
        assert rows.join(users, ["month", "subscriber_id"], "left_anti").isEmpty(), delivery.name


def test_nobody_has_a_row_after_the_month_of_leaving(read: Read) -> None:
    users = read("user_info").where("status IN ('正常', '停机', '销户')")
    closed = F.min(F.when(F.col("status") == "销户", F.col("month")))
    spans = users.groupBy("subscriber_id").agg(F.max("month").alias("last"), closed.alias("closed"))
    assert spans.where("closed < last").isEmpty()
    gone = spans.where("closed IS NOT NULL").count()
    assert 0 < gone < spans.count() / 2
    assert spans.where("closed IS NULL AND last < '2025-01'").isEmpty()


def test_numbers_and_subscribers_belong_together_for_life(read: Read) -> None:
    users = read("user_info").where("subscriber_id IS NOT NULL AND length(msisdn) = 11")
    counts = users.agg(*[F.countDistinct(*c).alias("_".join(c)) for c in (("subscriber_id",), ("msisdn",), ("subscriber_id", "msisdn"))]).first()
    assert len(set(counts)) == 1
    assert users.where("NOT msisdn RLIKE '^13[4-9][0-9]{8}$'").isEmpty()


def test_some_people_have_two_numbers_and_one_birthday(read: Read) -> None:
    people = read("user_info").where("month = '2024-12' AND birthday IS NOT NULL").groupBy("cust_id").agg(
        F.countDistinct("subscriber_id").alias("numbers"), F.countDistinct("birthday").alias("birthdays")
    )  # fmt: skip
    assert people.agg(F.max("numbers")).first()[0] == 2
    assert people.where("birthdays > 1").isEmpty()


def test_every_city_has_subscribers_by_its_share(read: Read) -> None:
    cities = {r["region"]: r["count"] for r in read("user_info").where("month = '2024-10'").groupBy("region").count().collect()}
    assert set(cities) == {"HANGZHOU", "NINGBO", "JINHUA"}
    assert cities["HANGZHOU"] > cities["NINGBO"] > cities["JINHUA"] > 0


def test_the_calls_are_the_calls_the_truth_counts(read: Read) -> None:
    calls = read("voice_cdr").where("direction IN ('out', 'in') AND seconds > 0 AND start_time IS NOT NULL").distinct()
    minutes = calls.groupBy("month", "subscriber_id").agg(
        F.count_if(F.col("direction") == "out").alias("made"), F.count(F.lit(1)).alias("all"), F.countDistinct("peer_number").alias("met")
    )  # fmt: skip
    life = read("truth/life").join(read("truth/subscriber").select("subscriber", "subscriber_id"), "subscriber")
    both = life.where("calls > 0").join(minutes, ["month", "subscriber_id"])
    assert both.count() == minutes.count()
    made = " + ".join(c for c in life.columns if c.startswith("calls_out"))
    met = " + ".join(c for c in life.columns if c.startswith("peers_"))
    assert both.where(F.col("calls") != F.col("all")).isEmpty()
    assert both.where(F.expr(made) != F.col("made")).isEmpty()
    off = both.where(F.expr(met) != F.col("met")).count()  # two ranks may lead to one hub
    assert off < 0.15 * both.count()


def test_calls_lie_within_their_month(read: Read) -> None:
    assert read("voice_cdr").where("start_time IS NOT NULL AND substr(cast(start_time AS string), 1, 7) != month").isEmpty()


def test_fractions_are_written_plainly(made: Path) -> None:
    lines = [line for file in (made / "contact_circle").rglob("*.csv.gz") for line in gzip.decompress(file.read_bytes()).decode().splitlines()]
    assert len(lines) > 500 and not [line for line in lines if re.search(r"\d[eE][-+]?\d", line.split(",", 3)[3])]


def test_levels_agree_between_delivered_summaries_and_calls(read: Read) -> None:
    good = "total_minutes NOT LIKE '-%' AND subscriber_id IS NOT NULL"
    on_net = F.sum("on_net_minutes") / F.sum("total_minutes")
    levels = (F.avg("total_minutes").alias("m"), F.avg("local_out_minutes").alias("l"), on_net.alias("n"))
    before = read("voice_summary").where(good).groupBy("month").agg(*levels)
    calls = read("voice_cdr").where("direction IN ('out', 'in') AND seconds > 0 AND month = '2024-12'").distinct()
    local = F.when((F.col("direction") == "out") & (F.col("call_kind") == "local"), F.col("seconds"))
    after = calls.agg(F.sum("seconds") / 60, F.sum(local) / 60, F.sum(F.when(F.col("is_on_net"), F.col("seconds"))) / F.sum("seconds")).first()
    users = read("user_info").where("month = '2024-12'").select("subscriber_id").distinct().count()
    november = before.where("month = '2024-11'").first()
    assert after[0] / users == pytest.approx(november["m"], rel=0.15)
    assert after[1] / users == pytest.approx(november["l"], rel=0.2)
    assert after[2] == pytest.approx(november["n"], abs=0.04)


def test_a_bill_is_the_sum_of_its_items(read: Read) -> None:
    items = " + ".join(f"cast({c} AS decimal(18,2))" for c in ("local_fee", "ld_fee", "roaming_fee", "data_fee", "vas_fee", "rental"))
    bills = read("billing").where("total RLIKE '^[0-9]'").withColumn("left", F.expr(f"{items} - cast(discount AS decimal(18,2)) - cast(total AS decimal(18,2))"))
    assert bills.agg(F.max(F.abs("left"))).first()[0] == Decimal("0.00")
    given = "(cast(gift AS double) + cast(subsidy AS double)) / cast(total AS double)"
    shares = bills.where("cast(total AS double) > 5").agg(F.max(F.expr(given)), F.avg(F.expr(f"cast({given} = 0 AS int)"))).first()
    assert shares[0] <= 0.42
    assert 0.1 < shares[1] < 0.8


def test_a_service_is_used_only_by_who_may(read: Read) -> None:
    orders = read("service_subscription").where("cancel_date IS NULL").select("month", "subscriber_id", "service_code").distinct()
    use = read("vas_usage").where("service_code != 'mobile_internet' AND days < 32 AND subscriber_id IS NOT NULL")
    assert use.join(orders, ["month", "subscriber_id", "service_code"], "left_anti").isEmpty()


def test_chances_are_chances_and_what_happens_follows_them(read: Read) -> None:
    life = read("truth/life")
    chances = [c for c in life.columns if c.startswith("chance_")]
    bounds = life.agg(*[F.min(c) for c in chances], *[F.max(c) for c in chances]).first()
    assert min(bounds) > 0 and max(bounds) < 1
    left = life.where("t > 0").agg(F.avg("chance_leave"), F.avg(F.col("is_closed").cast("double"))).first()
    assert left[0] == pytest.approx(left[1], rel=0.35)
    assert 0.02 < left[0] < 0.06


@pytest.mark.slow
def test_the_same_province_whatever_the_partitions_and_another_one_for_another_seed(spark: SparkSession, config: ProvinceConfig) -> None:
    short = config.between("2024-12", "2025-01")

    def lived(seed: int, partitions: int) -> DataFrame:
        return true_lives(spark, Province(short, seed, 60), partitions).localCheckpoint()

    def delivered(life: DataFrame, partitions: int) -> list[int]:
        province = Province(short, 7, 60)
        told = told_lives(life.repartition(partitions), province)
        return [_digest(d.rows(told, province)) for d in DELIVERIES if d.name in ("user_info", "billing", "voice_cdr")]

    first, again, other = lived(7, 2), lived(7, 7), lived(8, 2)
    assert _digest(first) == _digest(again) != _digest(other)
    assert delivered(first, 2) == delivered(again, 7)


def test_what_was_drawn_is_what_happened_to_who_was_at_risk(read: Read) -> None:
    names = read("truth/subscriber").select("subscriber", "subscriber_id")
    happened = read("truth/life").join(names, "subscriber").select("subscriber_id", "month", "is_closed", "holds_newspaper", "web_silent", "tone_awake")
    both = read("truth/response").join(happened, ["subscriber_id", "month"]).cache()
    assert both.count() == read("truth/life").count()
    for response, state in {"leave": "is_closed", "newspaper_order": "holds_newspaper", "web_silence": "web_silent", "tone_wake": "tone_awake"}.items():
        at_risk = both.where(f"at_risk_{response}")
        assert at_risk.where(f"drew_{response}").count() > 0
        assert at_risk.where(f"drew_{response} != {state}").isEmpty(), response


def test_an_offer_moves_the_outcome_the_way_of_its_uplift_and_some_are_better_left_alone(read: Read, config: ProvinceConfig) -> None:
    told = read("truth/response").cache()
    for kind, treatment in config.treatments.items():
        untreated, treated = f"drew_{treatment.response}", f"outcome_{kind}"
        assert told.where(f"{untreated} != {treated} AND ({treated} != (uplift_{kind} > 0))").isEmpty(), kind
        assert told.where(f"abs(uplift_{kind}) >= 1 OR uplift_{kind} IS NULL").isEmpty(), kind
    leaving = told.agg(F.min("uplift_value_bundle"), F.max("uplift_value_bundle"), F.avg("uplift_value_bundle")).first()
    assert leaving[0] < leaving[2] < 0 < leaving[1]


def test_no_column_of_the_truth_is_delivered_but_keys_and_what_the_register_tells(read: Read) -> None:
    planted = {c for name in ("subscriber", "life", "response") for c in read(f"truth/{name}").columns}
    delivered = {c for d in DELIVERIES for c in read(d.name).columns}
    assert planted & delivered == {"month", "subscriber_id", "household"}


def test_every_table_can_be_spoilt(read: Read, config: ProvinceConfig) -> None:
    province = Province(config, 11, 400)
    told = told_lives(read("truth/life"), province)
    tables = {d.name: read(d.name).columns for d in DELIVERIES} | {d.name: d.rows(told, province).columns for d in EXTRA}
    assert len(tables) == len(DELIVERIES) + len(EXTRA) >= 20
    assert set(DEFECTS) == set(tables) | {d.name for d in FURTHER}
    for name, columns in tables.items():
        assert "month" in columns and {c for defect in DEFECTS[name] for c in defect} <= set(columns), name


def test_skew_gives_one_subscriber_a_share_of_all_calls_and_leaves_the_others_what_they_had(spark: SparkSession, config: ProvinceConfig) -> None:
    province = Province(config.with_shares(skew=0.2), 7, 5000)
    told = "direction 'out', call_kind 'inter_province', roaming_kind 'none', is_vpn false, is_on_net false, peer_province 'Anhui', region 'NINGBO'"
    facts = [f"{value} AS {name}" for name, value in (fact.split() for fact in told.split(", "))]
    ids = ["id % 4000 + 50 AS subscriber", "cast(id % 4000 AS string) AS subscriber_id", "cast(id AS string) AS peer_number", "id AS start_time"]
    before = spark.range(20_000).selectExpr(*ids, *facts)
    people = "(0, NULL, -90, 3, 'JINHUA'), (0, 4, -99, 2, 'NINGBO'), (0, NULL, -9, 1, 'NINGBO')"
    lives = spark.sql(f"SELECT * FROM VALUES {people} AS lives(t, exit_t, activation_t, subscriber, city)")
    after = with_skew(before, lives, province).cache()
    busy, others = after.where("subscriber = 3"), after.where("subscriber != 3")
    assert busy.count() / after.count() == pytest.approx(0.2, abs=0.01)
    assert {tuple(r) for r in busy.select("region", "direction", "call_kind", "is_on_net").distinct().collect()} == {("JINHUA", "in", "local", True)}
    kept = [c for c in before.columns if c != "peer_number"]
    assert before.select(kept).exceptAll(others.select(kept)).isEmpty() and others.count() == before.count()
    peers = {r["peer_number"]: r["count"] / others.count() for r in others.groupBy("peer_number").count().orderBy(F.desc("count")).limit(3).collect()}
    assert peers.pop(None) == pytest.approx(0.2, abs=0.01)
    everybodys, next_one = peers.values()
    assert everybodys == pytest.approx(0.2, abs=0.01) and next_one == 1 / 20_000


def test_as_many_rows_are_bad_as_are_asked_for(spark: SparkSession, config: ProvinceConfig) -> None:
    province = Province(config.with_shares(bad_rows=0.1), 7, 60)
    good = spark.range(4000).select(F.lit("2025-01").alias("month"), "id", *[F.lit("1").alias(c) for c in ("subscriber_id", "first_seen")])
    assert with_bad_rows(good, "terminal", province).where("is_bad").count() == pytest.approx(400, abs=80)  # four standard deviations


def _digest(frame: DataFrame) -> int:
    """A sum of row hashes: equal for equal rows in any order."""
    return int(frame.agg(F.sum(F.xxhash64(*frame.columns).cast("decimal(38,0)"))).first()[0])
