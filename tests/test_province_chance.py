"""Chance by hashing: the right shapes, the same on any partitioning, another one for another seed."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from crm_spark.province.chance import Dice, logistic, slot, to_digits, whole_near, within

N = 20_000


@pytest.fixture(scope="module")
def draws(spark: SparkSession) -> Row:
    """Moments of many draws, in one pass."""
    dice = Dice(7)
    drawn = spark.range(N).select(
        dice.uniform("a", "id").alias("u"), dice.uniform("b", "id").alias("v"), dice.bell("c", "id").alias("z"),
        dice.happens(0.3, "d", "id").cast("int").alias("happens"), dice.below(6, "e", "id").alias("die"),
        dice.index([1.0, 3.0], "f", "id").alias("heavy"), whole_near(F.lit(2.3), dice.uniform("g", "id")).alias("near"),
        dice.drift("h", 5.0, "id", F.lit(3)).alias("w"), dice.drift("h", 5.0, "id", F.lit(4)).alias("w_next"),
        dice.drift("h", 5.0, "id", F.lit(30)).alias("w_late"),
    )  # fmt: skip
    means = [F.avg(c).alias(c) for c in drawn.columns]
    spreads = [F.stddev(c).alias(f"{c}_spread") for c in ("u", "z", "w")]
    pairs = {"u_v": ("u", "v"), "steps": ("w", "w_next"), "far": ("w", "w_late")}
    return drawn.agg(
        *means, *spreads, *[F.corr(*pair).alias(name) for name, pair in pairs.items()],
        F.min("die").alias("low"), F.max("die").alias("high"), F.min("u").alias("u_low"), F.max("u").alias("u_high"),
        F.min("near").alias("near_low"), F.max("near").alias("near_high"),
    ).first()  # fmt: skip


def test_uniform_draws_fill_the_unit_interval_evenly(draws: Row) -> None:
    assert draws["u"] == pytest.approx(0.5, abs=0.01)
    assert draws["u_spread"] == pytest.approx(math.sqrt(1 / 12), abs=0.005)
    assert 0 < draws["u_low"] < 0.001 < 0.999 < draws["u_high"] < 1


def test_draws_of_different_salts_have_nothing_to_do_with_each_other(draws: Row) -> None:
    assert abs(draws["u_v"]) < 0.03


def test_a_bell_has_mean_0_and_deviation_1(draws: Row) -> None:
    assert draws["z"] == pytest.approx(0, abs=0.03)
    assert draws["z_spread"] == pytest.approx(1, abs=0.02)


def test_chances_and_weights_are_kept(draws: Row) -> None:
    assert draws["happens"] == pytest.approx(0.3, abs=0.015)
    assert draws["heavy"] == pytest.approx(0.75, abs=0.015)
    assert (draws["low"], draws["high"], draws["die"]) == (0, 5, pytest.approx(2.5, abs=0.05))


def test_rounding_by_chance_keeps_the_mean(draws: Row) -> None:
    assert (draws["near_low"], draws["near_high"], draws["near"]) == (2, 3, pytest.approx(2.3, abs=0.015))


def test_a_drift_moves_slowly_and_forgets(draws: Row) -> None:
    assert draws["w_spread"] == pytest.approx(1, abs=0.05)
    assert draws["steps"] > 0.8
    assert abs(draws["far"]) < 0.03


def test_a_draw_depends_on_seed_salt_and_keys_alone(spark: SparkSession) -> None:
    def drawn(seed: int, partitions: int, salt: str = "x", key: str = "id") -> list[float]:
        rows = spark.range(0, 40, 1, partitions).select("id", Dice(seed).uniform(salt, F.expr(key)).alias("u"))
        return [r["u"] for r in sorted(rows.collect())]

    assert drawn(7, 1) == drawn(7, 6) == drawn(7, 3, key="cast(id as int)")
    assert len({*drawn(7, 1), *drawn(8, 1), *drawn(7, 1, salt="y"), *drawn(7, 1, key="id + 40")}) == 160


def test_small_functions_do_what_their_names_say(spark: SparkSession) -> None:
    row = spark.range(1).select(
        slot(F.lit(0.0), [1, 1, 2]).alias("first"), slot(F.lit(0.25), [1, 1, 2]).alias("second"), slot(F.lit(0.99), [1, 1, 2]).alias("last"),
        logistic(F.lit(0.0)).alias("half"), within(F.lit(7.0), 0.0, 5.0).alias("top"), within(F.lit(-7.0), 0.0, 5.0).alias("bottom"),
        to_digits(F.lit(1.2345), 2).alias("digits"),
    ).first()  # fmt: skip
    assert tuple(row) == (0, 1, 2, 0.5, 5.0, 0.0, 1.23)


def test_a_pick_follows_its_weights(spark: SparkSession) -> None:
    picked = spark.range(4_000).select(Dice(1).pick({"often": 3, "rarely": 1}, "pick", "id").alias("name"))
    counts = Counter({r["name"]: r["count"] for r in picked.groupBy("name").count().collect()})
    assert counts["often"] / counts.total() == pytest.approx(0.75, abs=0.03)
