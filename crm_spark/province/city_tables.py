"""What the operator knows of its cities, month by month: cells, places of interest, events."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.config.province import PLACE_KINDS
from crm_spark.province.chance import to_digits
from crm_spark.province.plan import CELLS, HALL_CELLS, cell_id, cell_of, grid, hall_cell_id, latitude, longitude, place_id, places
from crm_spark.province.signalling import event_place
from crm_spark.province.world import Province, cities, small_frame

_CELLS_PER_STATION, _CELLS_PER_AREA = 3, 16
_PRICE_BANDS = ("low", "mid", "high")


def cell_site(lives: DataFrame, province: Province) -> DataFrame:
    """One row per cell and month: station, coordinates, the five levels of its region. Those around halls are the cells that calls tell."""
    spark = lives.sparkSession
    in_grid = grid(spark, province).withColumns({"name": cell_id(F.col("cell"), F.col("city")), "hall": 1 + F.col("county_index") % F.col("halls")})
    numbers = cities(spark, province).withColumn("number", F.explode(F.sequence(F.lit(HALL_CELLS), F.col("halls") * HALL_CELLS + HALL_CELLS - 1)))
    at_halls = numbers.withColumns({
        "hall": F.floor(F.col("number") / HALL_CELLS).cast("int"), "cell": F.pmod(F.xxhash64("city", "number"), F.lit(CELLS)),
        "name": hall_cell_id(F.col("number"), F.col("city")),
    }).withColumn("county_index", (F.col("hall") - 1) % F.size("counties"))  # fmt: skip
    columns = ["city", "lat", "lon", "counties", "county_index", "cell", "name", "hall"]
    both = in_grid.select(columns).unionByName(at_halls.select(columns))
    hall = F.concat("city", F.lit("_H"), F.lpad(F.col("hall").cast("string"), 2, "0"))
    centre, at = F.element_at("counties", F.col("county_index") + 1), F.col("cell") % CELLS
    county, mast, quarter = (c.cast("string") for c in (F.col("county_index"), F.floor(at / _CELLS_PER_STATION), F.floor(at / _CELLS_PER_AREA)))
    return _monthly(spark, both, province).select(
        "month", F.col("name").alias("cell"), F.col("city").alias("region"),
        F.concat_ws("-", F.concat(F.substring("city", 1, 2), F.lit("S")), county, mast).alias("station"),
        to_digits(latitude(F.col("cell")), 6).alias("lat"), to_digits(longitude(F.col("cell")), 6).alias("lon"),
        centre.alias("marketing_centre"), F.concat_ws("-", centre, quarter).alias("area"), hall.alias("hall"),
    )  # fmt: skip


def place(lives: DataFrame, province: Province) -> DataFrame:
    """One row per place of interest and month, with the cell that covers it; estates have a price band."""
    spark = lives.sparkSession
    known = places(spark, province).withColumn("cell", cell_of(province, F.col("place")))
    bands = F.element_at(F.array(*map(F.lit, _PRICE_BANDS)), province.dice.index((0.35, 0.45, 0.2), "price band", "place") + 1)
    kind = F.element_at(F.array(*map(F.lit, PLACE_KINDS)), F.col("kind_index") + 1)
    return _monthly(spark, known, province).select(
        "month", place_id(F.col("place"), F.col("city")).alias("place"), F.col("city").alias("region"), kind.alias("kind"),
        F.element_at("counties", F.col("county_index") + 1).alias("county"), F.when(kind == "estate", bands).alias("price_band"),
        cell_id(F.col("cell"), F.col("city")).alias("cell"),
    )  # fmt: skip


def event(lives: DataFrame, province: Province) -> DataFrame:
    """One row per event of the months that come as calls."""
    kinds, months = list(PLACE_KINDS), province.config.call_months
    rows = [
        (e.day[:7], f"E{n:04d}", e.city, list(province.config.cities).index(e.city), e.county, kinds.index(e.place), *map(str, (e.type, e.topic, e.item)),
         f"{e.day} {e.from_hour:02d}:00:00", f"{e.day} {e.to_hour:02d}:00:00")
        for n, e in enumerate(province.config.events) if e.day[:7] in months
    ]  # fmt: skip
    schema = "month string, event string, city string, city_index bigint, county int, kind int, type string, topic string, item string"
    told = small_frame(lives.sparkSession, rows, f"{schema}, starts string, ends string")
    at = event_place(F.col("city_index"), F.col("county"), F.col("kind"))
    return told.select(
        "month", "event", F.col("city").alias("region"), place_id(at, F.col("city")).alias("place"),
        "type", "topic", "item", "starts", "ends",
    )  # fmt: skip


def _monthly(spark: SparkSession, frame: DataFrame, province: Province) -> DataFrame:
    months = small_frame(spark, [(m,) for m in province.config.call_months], "month string")
    return frame.join(F.broadcast(months), how="cross")
