"""The plan of every city: counties in a ring, each a grid of cells with places on it, and where a subscriber lives and works.

Everything is a function of keys, so nothing is looked up: a place is (city, county, kind, number) in one whole number, and its cell,
its name and its coordinates follow from that number.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.config.province import PLACE_KINDS
from crm_spark.province.chance import within
from crm_spark.province.traits import community
from crm_spark.province.world import Province, cities, looked_up

GRID = 8  # cells on a side of a county
CELLS = GRID * GRID
HALL_CELLS = 8  # the cells that calls are told with lie around the halls
_COUNTIES, _KINDS, _NUMBERS = 16, 32, 64  # the widest of each part of a place's key
_KM_PER_DEGREE, _RING_KM, _CELL_KM = 111.2, 14.0, 0.7
_FIRST_CELL = 1000  # those of halls have smaller numbers
_CENTRAL = ("office", "government", "mall", "cinema", "bar", "hospital", "exhibition_hall")
_AT_HOME_COUNTY = 0.6  # of those who work, in the county they live in


def place_key(city: Column, county: Column, kind: Column | str, number: Column) -> Column:
    """The whole number of a place."""
    at = F.lit(PLACE_KINDS.index(kind)) if isinstance(kind, str) else kind
    return ((city * _COUNTIES + county) * _KINDS + at) * _NUMBERS + number


def anchors(province: Province) -> dict[str, Column]:
    """`home` and `work` (or school) as places; null for who has none. Households live together, VPN groups work together."""
    dice, city = province.dice, F.col("city_index")
    home_county = dice.below(F.size("counties"), "county", community(F.col("subscriber"), province))
    on_campus = (F.col("role") == "student") & dice.happens(0.7, "lives on campus", "person")
    in_village = (F.col("type_peers_abroad") == "migrant") & dice.happens(0.6, "urban village", "household")
    kind = F.when(on_campus, "campus").when(in_village, "urban_village").otherwise("estate")
    home = _somewhere(province, city, home_county, kind, dice.uniform("home", "household"))
    team = F.when(F.col("vpn") == 1, -community(F.col("subscriber"), province) - 1).otherwise(F.col("person"))
    stays = dice.happens(_AT_HOME_COUNTY, "works near home", team)
    county = F.when(stays, home_county).otherwise(F.floor(F.pow(dice.uniform("work county", team), F.lit(2)) * F.size("counties")))
    busy = {"student": "campus", "office_worker": "office", "civil_servant": "government", "factory_worker": "factory", "shop_worker": "mall"}
    where = F.element_at(F.create_map(*[F.lit(x) for pair in busy.items() for x in pair]), F.col("role"))
    work = _somewhere(province, city, county, where, F.pow(dice.uniform("work", team), F.lit(2)))  # large employers take most
    return {"home": home, "work": F.when(on_campus, home).otherwise(work)}


def nearest(province: Province, place: Column, kind: str, salt: str) -> Column:
    """A place of the kind in the county of a place; everybody has one of one's own."""
    county = F.floor(place / (_KINDS * _NUMBERS))
    number = F.floor(province.dice.uniform(f"own {salt}", "subscriber", county) * province.config.plan[kind])
    return (county * _KINDS + PLACE_KINDS.index(kind)) * _NUMBERS + number


def cell_of(province: Province, place: Column) -> Column:
    """The cell (BIGINT key: county and place in the grid) that covers a place; shops and offices crowd in the middle of a county."""
    dice, kind = province.dice, F.floor(place / _NUMBERS) % _KINDS
    central = kind.isin(*[PLACE_KINDS.index(k) for k in _CENTRAL])
    reach = F.sqrt(dice.uniform("how far out", place)) * F.when(central, 0.45).otherwise(1.0) * GRID / 2
    angle = dice.uniform("which way", place) * 2 * pi
    x, y = (within(F.floor(GRID / 2 + reach * turn), 0, GRID - 1) for turn in (F.cos(angle), F.sin(angle)))
    return (F.floor(place / (_KINDS * _NUMBERS)) * CELLS + x * GRID + y).cast("long")


def beside(cell: Column, step: Column) -> Column:
    """A neighbour in the same county; `step` is 0 to 3."""
    at, x, y = F.floor(cell / CELLS), F.floor(cell % CELLS / GRID), cell % GRID
    dx = F.when(step == 0, 1).when(step == 1, -1).otherwise(0)
    dy = F.when(step == 2, 1).when(step == 3, -1).otherwise(0)
    return (at * CELLS + within(x + dx, 0, GRID - 1) * GRID + within(y + dy, 0, GRID - 1)).cast("long")


def cell_id(cell: Column, city: Column) -> Column:
    """A cell of the grid as the network writes it."""
    return F.concat(F.substring(city, 1, 2), F.lit("-"), F.lpad((cell % (_COUNTIES * CELLS) + _FIRST_CELL).cast("string"), 4, "0"))


def hall_cell_id(number: Column, city: Column) -> Column:
    """A cell around a hall: `number` is hall x 8 + 0 to 7."""
    return F.concat(F.substring(city, 1, 2), F.lit("-"), F.lpad(number.cast("string"), 4, "0"))


def place_id(place: Column, city: Column) -> Column:
    """A place as the operator names it."""
    kinds = F.array(*map(F.lit, PLACE_KINDS))
    county = F.floor(place / (_KINDS * _NUMBERS)) % _COUNTIES
    kind = F.element_at(kinds, (F.floor(place / _NUMBERS) % _KINDS).cast("int") + 1)
    parts = (F.substring(city, 1, 2), county.cast("string"), kind, (place % _NUMBERS).cast("string"))
    return F.when(place.isNotNull(), F.concat_ws("-", *parts))


def places(spark: SparkSession, province: Province) -> DataFrame:
    """One row per place: `place`, city, county, kind, number."""
    keys = spark.range(0, len(province.config.cities) * _COUNTIES * _KINDS * _NUMBERS, 1, 2).withColumnRenamed("id", "place")
    parted = keys.withColumns({
        "city_index": F.floor(F.col("place") / (_COUNTIES * _KINDS * _NUMBERS)).cast("int"),
        "county_index": (F.floor(F.col("place") / (_KINDS * _NUMBERS)) % _COUNTIES).cast("int"),
        "kind_index": (F.floor(F.col("place") / _NUMBERS) % _KINDS).cast("int"),
    })  # fmt: skip
    counts = F.array(*[F.lit(province.config.plan[k]) for k in PLACE_KINDS])
    there = (F.col("county_index") < F.size("counties")) & (F.col("kind_index") < len(PLACE_KINDS))
    known = looked_up(parted, cities(spark, province), "city_index").where(there)
    return known.where(F.col("place") % _NUMBERS < F.element_at(counts, F.col("kind_index") + 1))


def grid(spark: SparkSession, province: Province) -> DataFrame:
    """One row per cell of the counties' grids: `cell`, city, county."""
    keys = spark.range(0, len(province.config.cities) * _COUNTIES * CELLS, 1, 1).withColumnRenamed("id", "cell")
    parted = keys.withColumns({
        "city_index": F.floor(F.col("cell") / (_COUNTIES * CELLS)).cast("int"),
        "county_index": (F.floor(F.col("cell") / CELLS) % _COUNTIES).cast("int"),
    })  # fmt: skip
    return looked_up(parted, cities(spark, province), "city_index").where(F.col("county_index") < F.size("counties"))


def latitude(cell: Column) -> Column:
    """North of the city's centre; columns `lat`, `county_index`, `counties`."""
    return F.col("lat") + (_ring(F.sin) + (cell % GRID - GRID / 2 + 0.5) * _CELL_KM) / _KM_PER_DEGREE


def longitude(cell: Column) -> Column:
    """East of the city's centre; columns `lat`, `lon`, `county_index`, `counties`."""
    east = _ring(F.cos) + (F.floor(cell % CELLS / GRID) - GRID / 2 + 0.5) * _CELL_KM
    return F.col("lon") + east / (_KM_PER_DEGREE * F.cos(F.radians("lat")))


def _ring(turn: Callable[[Column], Column]) -> Column:
    """Kilometres from the city's centre, in which the first county lies, the others around it."""
    angle = F.col("county_index") * 2 * pi / F.size("counties")
    return F.when(F.col("county_index") == 0, 0.0).otherwise(turn(angle) * _RING_KM)


def _somewhere(province: Province, city: Column, county: Column, kind: Column, share: Column) -> Column:
    """A place of the kind in the county by a uniform share; null of a null kind."""
    index = F.element_at(F.create_map(*[F.lit(x) for i, k in enumerate(PLACE_KINDS) for x in (k, i)]), kind)
    count = F.element_at(F.create_map(*[F.lit(x) for k, n in province.config.plan.items() for x in (k, n)]), kind)
    return place_key(city, county.cast("long"), index, F.floor(share * count))
