"""Where phones are seen: a sighting follows the day of its subscriber.

Home at night, work or school by day, stations between them, the school run of parents, shops, cinemas and bars in the evening, events for
who likes what they are about. A sixth of the sightings fall into a cell beside the place's own.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.config.province import PLACE_KINDS
from crm_spark.province.chance import within
from crm_spark.province.numbers import whose
from crm_spark.province.plan import anchors, beside, cell_id, cell_of, nearest, place_key
from crm_spark.province.roles import roles
from crm_spark.province.world import Province, small_frame

# Sightings of a day by hour: few at night, most in the evening.
HOURS = (1.2, 0.7, 0.4, 0.3, 0.3, 0.6, 1.6, 3.4, 4.4, 4.2, 4.4, 4.8, 5.2, 4.6, 4.2, 4.4, 5.0, 6.2, 7.2, 7.6, 8.0, 8.2, 7.2, 4.6)
_USUAL, _OWN_SPREAD, _DAY_SPREAD, _MOST = 1.9, 0.8, 0.9, 400.0  # logarithm of sightings a day: mean and spreads; the most
_SEEN_ON = 0.8  # chance of a day with sightings
_BESIDE, _RIDES, _ON_THE_WAY, _SCHOOL_RUN, _LUNCH, _OUT, _LATE = 0.16, 0.55, 0.7, 0.6, 0.15, 0.3, 0.4
_ATTENDS, _PASSES_BY = 0.35, 0.004  # of who likes what the event is about, and of others
_DAY, _SIGHTING = ("subscriber", "t", "day"), ("subscriber", "t", "day", "sighting")
_HAUNTS = ("school", "mall", "cinema", "bar", "scenic_spot")


def signalling(lives: DataFrame, province: Province) -> DataFrame:
    """One row per sighting of a subscriber of the sample, on the first days of the months that come as calls."""
    config, dice = province.config.signalling, province.dice
    followed = F.col("month").isin(*province.config.call_months) & ~F.col("is_closed") & dice.happens(config.share, "followed", "subscriber")
    people = lives.where(followed).withColumns(roles(province)).withColumns(anchors(province)).withColumns(_haunts(province))
    days = people.withColumn("day", F.explode(F.sequence(F.lit(0), F.lit(config.days - 1)))).withColumn("date", F.expr("date_add(first_day, day)"))
    events = F.broadcast(_events(lives.sparkSession, province))
    there = days.where(dice.happens(_SEEN_ON, "seen on", *_DAY)).join(events, on=["city_index", "date"], how="left")
    seen = there.withColumn("attends", _attends(province)).withColumn("sighting", F.explode(F.sequence(F.lit(1), _sightings(province))))
    timed = seen.withColumn("hour", dice.index(HOURS, "hour", *_SIGHTING)).withColumn("place", _place(province))
    placed = timed.withColumn("main_cell", cell_of(province, F.col("place")))
    strays = dice.happens(_BESIDE, "beside", *_SIGHTING)
    cell = F.when(strays, beside(F.col("main_cell"), dice.below(4, "which side", *_SIGHTING))).otherwise(F.col("main_cell"))
    at = F.col("date").cast("timestamp_ntz") + F.make_dt_interval(hours=F.col("hour"), secs=dice.below(3600, "second", *_SIGHTING))
    return placed.select(*whose(province), at.alias("seen_at"), cell_id(cell, F.col("city")).alias("cell"))


def event_place(city: Column, county: Column, kind: Column) -> Column:
    """Events are held at the first place of their kind in a county."""
    return place_key(city, county, kind, F.lit(0))


def _haunts(province: Province) -> dict[str, Column]:
    home, work = F.col("home"), F.col("work")
    own = {kind: nearest(province, home, kind, kind) for kind in _HAUNTS}
    stations = {"home_station": nearest(province, home, "station", "station"), "work_station": nearest(province, work, "station", "station")}
    return {**own, **stations, "lunch": nearest(province, work, "mall", "lunch"), "rides": province.dice.happens(_RIDES, "rides", "person")}


def _events(spark: SparkSession, province: Province) -> DataFrame:
    """One row per event: city, day, hours, its place, whom it draws."""
    cities = list(province.config.cities)
    rows = [(cities.index(e.city), e.day, e.from_hour, e.to_hour, e.county, PLACE_KINDS.index(e.place), e.draws) for e in province.config.events]
    events = small_frame(spark, rows, "city_index int, date date, from_hour int, to_hour int, event_county int, event_kind int, draws string")
    return events.withColumn("event_place", event_place(F.col("city_index").cast("long"), F.col("event_county"), F.col("event_kind")))


def _attends(province: Province) -> Column:
    drawn = F.col("draws")
    likes = (
        ((drawn == "sport") & F.col("likes_sport"))
        | ((drawn == "shopping") & F.col("likes_shopping"))
        | ((drawn == "business") & F.col("role").isin("office_worker", "civil_servant"))
        | F.coalesce(drawn == F.col("likes_music"), F.lit(False))
    )
    chance = F.when(drawn.isNull(), 0.0).when(likes, _ATTENDS).otherwise(_PASSES_BY)
    return province.dice.happens(chance, "attends", *_DAY)


def _sightings(province: Province) -> Column:
    dice = province.dice
    logarithm = _USUAL + dice.bell("sightings", "subscriber") * _OWN_SPREAD + dice.bell("sightings of a day", *_DAY) * _DAY_SPREAD
    return within(F.floor(F.exp(logarithm)), 1.0, _MOST).cast("int")


def _place(province: Province) -> Column:
    """Where the subscriber is in the hour of the sighting."""
    hour, drawn = F.col("hour"), province.dice.uniform("where", *_SIGHTING)
    weekday = ~F.dayofweek("date").isin(1, 7)
    works = weekday & F.col("work").isNotNull()
    rush = hour.isin(7, 8, 17, 18) & F.col("rides")
    station = F.when(hour.isin(7, 18), F.col("home_station")).otherwise(F.col("work_station"))
    free = F.when(weekday, hour.between(18, 22)).otherwise(hour.between(10, 22))
    shop = F.when(F.col("likes_cinema") & (drawn < _OUT / 3), F.col("cinema")).when(~weekday & (drawn > _OUT * 0.9), F.col("scenic_spot"))
    return (
        F.when(F.col("attends") & (hour >= F.col("from_hour")) & (hour < F.col("to_hour")), F.col("event_place"))
        .when(F.col("is_parent") & weekday & hour.isin(7, 16) & (drawn < _SCHOOL_RUN), F.col("school"))
        .when(works & rush & (drawn < _ON_THE_WAY), station)
        .when(works & (hour == 12) & (drawn < _LUNCH), F.col("lunch"))
        .when(works & hour.between(8, 17), F.col("work"))
        .when(F.col("goes_out_late") & ((hour >= 21) | (hour <= 2)) & (drawn < _LATE), F.col("bar"))
        .when(free & (drawn < F.when(F.col("likes_shopping"), _OUT).otherwise(_OUT / 2)), shop.otherwise(F.col("mall")))
        .otherwise(F.col("home"))
    )
