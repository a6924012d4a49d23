"""What is planted only where it is asked for: frozen, beside all other rows, and of the shares that were planted."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.config.province import load_province
from crm_spark.config.sources import load_source
from crm_spark.errors import ConfigError
from crm_spark.province.deliveries import DELIVERIES, FURTHER, Delivery, told_lives, true_lives
from crm_spark.province.drivers import drivers
from crm_spark.province.events import lives
from crm_spark.province.outcomes import outcome, true_further
from crm_spark.province.traits import with_traits
from crm_spark.province.use import use
from crm_spark.province.world import Province

CONF = Path(__file__).resolve().parents[1] / "conf"
SERVICES = ("business_travel", "parent_class", "tone_box")
# Frozen before any model was tuned on it; what tests/test_province_config.py says of a change holds here too.
FROZEN_SHA256 = "5ae0ab839dc78965b66f5dc5a98b61b07be86f9076317e6431755fd2a2e16a21"


def test_what_is_planted_is_frozen() -> None:
    canonical = json.dumps(asdict(load_province(CONF).further), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    assert hashlib.sha256(canonical.encode()).hexdigest() == FROZEN_SHA256


def test_a_wrong_word_in_what_is_planted_is_told_with_its_place(tmp_path: Path) -> None:
    text = (CONF / "province.yml").read_text(encoding="utf-8")
    (tmp_path / "province.yml").write_text(text.replace("{secretary: 1.9", "{secretry: 1.9").replace("share: 0.0035", "share: 3.5"), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load_province(tmp_path)
    assert "further.services.business_travel.drivers: no driver 'secretry' (did you mean 'secretary'?)" in str(refused.value)
    assert "further.cards.burst.share: 3.5 is not a share (0 to 1)" in str(refused.value)


def test_without_being_asked_for_there_is_none_of_it() -> None:
    plain = Province(load_province(CONF), 3, 1000)
    asked = Province(load_province(CONF).with_further(), 3, 1000)
    assert len(plain.cards) == 0 and plain.numbers == asked.numbers and plain.parts == asked.parts
    assert asked.cards.start % 64 == 0 and asked.numbers <= asked.cards.start < asked.numbers + 64 and len(asked.cards) > 0


def test_the_source_maps_what_is_found_out_beside_all_of_the_province() -> None:
    plain, further = load_source(CONF, "province"), load_source(CONF, "province_further")
    assert [m.table for m in further.mappings] == [*(m.table for m in plain.mappings), "raw.outcome"]
    assert set(further.files) == {d.name for d in (*DELIVERIES, *FURTHER)} and further.extension == plain.extension


def told(spark: SparkSession, province: Province) -> DataFrame:
    return told_lives(true_lives(spark, province, 2).localCheckpoint(), province)


@pytest.fixture(scope="module")
def plain(spark: SparkSession) -> tuple[Province, DataFrame]:
    province = Province(load_province(CONF).between("2025-01", "2025-03"), 3, 120)
    return province, told(spark, province)


@pytest.fixture(scope="module")
def asked(spark: SparkSession) -> tuple[Province, DataFrame]:
    province = Province(load_province(CONF).between("2025-01", "2025-03").with_further(), 3, 120)
    return province, told(spark, province)


@pytest.mark.parametrize("delivery", DELIVERIES, ids=lambda d: d.name)
def test_every_row_of_all_others_stays_what_it_is(plain: tuple[Province, DataFrame], asked: tuple[Province, DataFrame], delivery: Delivery) -> None:
    before, after = (delivery.rows(rows, province) for province, rows in (plain, asked))
    ordinary = after.where(F.col("subscriber") < plain[0].numbers)
    kept = ordinary.where(~F.col("service_code").isin(*SERVICES)) if "service_code" in after.columns else ordinary
    assert before.count() == kept.count() > 0
    assert before.exceptAll(kept).isEmpty()


def test_verdicts_and_answers_come_a_month_later_and_are_the_truth(asked: tuple[Province, DataFrame]) -> None:
    province, rows = asked
    found, truth = outcome(rows, province), true_further(rows, province)
    assert {(r.label, r.month, r.known_month) for r in found.select("label", "month", "known_month").distinct().collect()} == {
        (label, month, known) for label in ("fraud", "took_price_offer") for month, known in (("2025-01", "2025-02"), ("2025-02", "2025-03"))
    }
    guilty = truth.where("is_fraud AND NOT is_closed AND month < '2025-03'").select("subscriber_id", "month")
    verdicts = found.where("label = 'fraud'")
    assert not guilty.isEmpty() and verdicts.where("value = 1").select("subscriber_id", "month").exceptAll(guilty).isEmpty()
    assert verdicts.agg(F.sum("value")).first()[0] == guilty.count() < 0.1 * verdicts.count()
    answers = found.where("label = 'took_price_offer'").groupBy("value").count()
    offered = truth.where("at_risk_price_offer AND NOT is_closed").groupBy(F.col("drew_price_offer").cast("int").alias("value")).count()
    assert answers.exceptAll(offered).isEmpty() and answers.count() == 2


def test_a_fresh_card_lives_its_months_and_a_stolen_number_surges_once(spark: SparkSession) -> None:
    config = load_province(CONF).between("2025-01", "2025-03").with_further()
    province = Province(config, 3, 3000)
    few = spark.range(province.cards.start, province.cards.stop).withColumnRenamed("id", "subscriber")
    known = told_lives(use(lives(drivers(with_traits(few, province), province), province), province), province)
    there = true_further(known, province).where("NOT is_closed")
    months = there.groupBy("card", "subscriber_id").agg(F.count("*").alias("months"), F.count_if("is_fraud").alias("guilty"))
    seen = {r.card: r for r in months.groupBy("card").agg(F.max("months"), F.max("guilty"), F.min("guilty"), F.count("*").alias("n")).collect()}
    assert set(seen) == {"burst", "stolen", "call_centre", "courier", "journey"}
    assert seen["burst"]["max(months)"] == 2 and seen["burst"]["min(guilty)"] >= 1
    assert seen["stolen"]["max(guilty)"] == 1 and seen["stolen"]["max(months)"] == 3
    assert all(seen[card]["max(guilty)"] == 0 for card in ("call_centre", "courier", "journey"))
