"""Control groups: who is held out is decided by a keyed hash alone, evenly over strata, for a person with all its numbers."""

from __future__ import annotations

import hashlib
from datetime import date

from pyspark.sql import functions as F

from crm_spark.config.choosing import Campaign, Holdout
from crm_spark.decisions.holdout import control_groups, explores, is_universal, uniform

HOLDOUT = Holdout("salt-1", universal_share=0.1, explore_share=0.05)
PERSONS = 4000


def test_the_draw_is_52_bits_of_the_salted_hash(frame):
    drawn = frame("p string", ("someone",)).select(uniform("salt-1", "universal", F.col("p"))).first()[0]
    assert drawn == int(hashlib.sha256(b"salt-1|universal|someone").hexdigest()[:13], 16) / 2**52


def test_the_universal_group_is_the_same_all_year_another_the_next_and_independent_of_exploring(spark):
    person = F.concat(F.lit("p"), F.col("id").cast("string"))
    january, december = (is_universal(person, day, HOLDOUT) for day in (date(2025, 1, 1), date(2025, 12, 31)))
    next_year, other_salt = is_universal(person, date(2026, 1, 1), HOLDOUT), is_universal(person, date(2025, 1, 1), Holdout("salt-2", 0.1))
    explored = explores(person, "2025-01", HOLDOUT)
    counts = spark.range(PERSONS).agg(
        *(F.count_if(c) for c in (january, january != december, january & next_year, january & other_salt, explored, explored & january))
    )
    held, moved, both_years, both_salts, exploring, both = counts.first()
    assert moved == 0
    assert abs(held - 400) < 4 * 19 and abs(exploring - 200) < 4 * 14  # four standard deviations
    assert abs(both_years - 40) < 4 * 6.3 and abs(both_salts - 40) < 4 * 6.3 and abs(both - 20) < 4 * 4.5


def test_the_universal_group_stays_the_whole_year_and_has_its_share_of_every_city_and_grade(spark):
    """By the hash of the person alone: its share of a stratum is right up to chance, and nobody enters or leaves when others come or grades change."""
    person = F.concat(F.lit("p"), F.col("id").cast("string"))
    months = [is_universal(person, date(2025, month, 1), HOLDOUT) for month in range(1, 13)]
    persons = spark.range(20_000).select((F.col("id") % 10).alias("stratum"), F.array(*months).alias("held"))
    of_year = persons.groupBy("stratum").agg(F.count_if(F.size(F.array_distinct("held")) == 1).alias("steady"), F.count_if(F.col("held")[0]).alias("held"))
    for row in of_year.collect():
        assert row["steady"] == 2000 and abs(row["held"] - 200) < 4 * 13.5, row  # four standard deviations


def test_each_stratum_gives_a_campaign_its_share_to_one_person_and_numbers_of_a_person_stay_together(spark):
    person = F.floor(F.col("id") / 2).cast("string")  # two numbers each
    stratum = F.when(F.col("id") < 400, "A").otherwise("B")
    numbers = spark.range(1000).select(person.alias("person_id"), stratum.alias("stratum"), F.lit("NEWS").alias("policy_id"))
    campaigns = {"news": Campaign(("NEWS",), 0.1), "tones": Campaign(("TONE",), 0.5), "none": Campaign(("NEWS",), 0.0)}
    left_out = control_groups(numbers, campaigns, HOLDOUT).collect()
    assert all(row["controls"] == ["news"] for row in left_out)
    persons = [int(row["person_id"]) for row in left_out]
    assert (sum(p < 200 for p in persons), sum(p >= 200 for p in persons)) == (20, 30), "a tenth of 200 persons and of 300"
    again = control_groups(numbers.orderBy(F.desc("policy_id"), F.desc("person_id")).repartition(5), campaigns, HOLDOUT).collect()
    assert sorted(left_out) == sorted(again)
