"""Who a subscriber is: everything that stays for life, as functions of the subscriber's number in the province."""

from __future__ import annotations

from itertools import pairwise
from math import sqrt

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.province.cards import card_kind, fresh_since
from crm_spark.province.chance import slot, to_digits, within
from crm_spark.province.world import Province, archetypes, card_archetypes, cities, looked_up

RENTALS = (8, 18, 28, 38, 58, 88, 128, 188)  # yuan a month
EDUCATIONS = ("primary", "middle_school", "high_school", "college", "bachelor")
OCCUPATIONS = {"worker": 0.24, "clerk": 0.2, "service": 0.16, "merchant": 0.14, "farmer": 0.1, "civil_servant": 0.06, "other": 0.1}
JOIN_CHANNELS = {"hall": 0.52, "agent": 0.36, "online": 0.12}
GOLDEN = (sqrt(5) - 1) / 2
_OLDEST_MONTHS = 240


def subscribers(spark: SparkSession, province: Province, partitions: int | None = None) -> DataFrame:
    """One row per number ever in use, with all traits."""
    numbers, cards = spark.range(0, province.numbers, 1, partitions), province.cards
    if cards:
        numbers = numbers.unionByName(spark.range(cards.start, cards.stop, 1, partitions))
    return with_traits(numbers.withColumnRenamed("id", "subscriber"), province)


def with_traits(frame: DataFrame, province: Province) -> DataFrame:
    """`frame` (any rows with `subscriber`) with the subscriber's traits; no shuffle, they are computed anew."""
    spark = frame.sparkSession
    placed = frame.withColumns({"city_index": _city(province), "person": _person(province), **card_kind(province)}).withColumn("type_index", _type(province))
    typed = looked_up(looked_up(placed, cities(spark, province), "city_index"), archetypes(spark, province), "type_index")
    alive = typed.withColumns(_nature(province)).withColumns(_standing(province))
    return alive.withColumns(_contract(province)).withColumns(_place(province))


def community(subscriber: Column, province: Province) -> Column:
    """The community of numbers that know each other; it lies in one city."""
    return F.floor(subscriber / province.config.network.community)


def activation(subscriber: Column, province: Province) -> Column:
    """Position of the month in which the number was activated; below 0: before the first delivered month."""
    network, dice = province.config.network, province.dice
    months = F.floor(-F.ln(dice.uniform("tenure", subscriber)) * network.tenure_months)
    before = F.greatest(-1 - months, F.lit(-_OLDEST_MONTHS))
    later = dice.below(province.last + 1, "joined in", subscriber)
    return F.when(dice.happens(network.joined_before_share, "joined before", subscriber), before).otherwise(later).cast("long")


def _city(province: Province) -> Column:
    """Communities are spread over cities evenly (multiples of the golden ratio), so that a tiny province has all of them."""
    place = community(F.col("subscriber"), province) * GOLDEN + province.dice.uniform("city", F.lit(0))
    return slot(place - F.floor(place), [c.share for c in province.config.cities.values()])


def _type(province: Province) -> Column:
    ordinary = province.dice.index([a.weight for a in province.config.archetypes.values()], "archetype", "person")
    of_card = F.lit(None).cast("int")
    for i, name in enumerate(card_archetypes(province), start=len(province.config.archetypes)):
        of_card = F.when(F.col("card") == name, i).otherwise(of_card)
    return F.coalesce(of_card, ordinary) if province.cards else ordinary


def _person(province: Province) -> Column:
    """Some pairs of neighbouring numbers belong to one person, who then has one way of life, age and standing."""
    number = F.col("subscriber")
    in_pair = province.dice.happens(province.config.network.two_number_share, "two numbers", F.floor(number / 2))
    return F.when(in_pair, number - number % 2).otherwise(number)


def _nature(province: Province) -> dict[str, Column]:
    dice, ordinary = province.dice, activation(F.col("subscriber"), province)
    names = ("talk_level", "data_level", "loyalty", "second_sim", "news_taste", "music_taste", "web_taste", "thrift")
    return {
        **{name: within(dice.bell(name, "subscriber"), -3.0, 3.0) for name in names},
        "income": within(dice.bell("income", "person"), -3.0, 3.0),
        "age": within(F.col("type_age") + dice.bell("age", "person") * 8, 15.5, 84.0),
        "is_female": dice.happens(0.48, "gender", "person"),
        "activation_t": fresh_since(province, ordinary) if province.cards else ordinary,
        "activation_day": dice.below(28, "activation day", "subscriber") + 1,
        "vpn": dice.happens(F.col("type_vpn"), "vpn", "subscriber").cast("int"),
        "family": dice.happens(F.col("type_family"), "family", "subscriber").cast("int"),
    }


def _standing(province: Province) -> dict[str, Column]:
    """Education, occupation and income hang together, loosely."""
    dice = province.dice
    schooling = F.col("income") * 0.5 - (F.col("age") - 38) / 25 + dice.bell("schooling", "person") * 0.8
    is_student = F.col("archetype") == "student"
    return {
        "education_index": F.when(is_student, 4).otherwise(slot(0.5 + schooling / 5, (0.12, 0.28, 0.3, 0.18, 0.12))),
        "occupation": F.when(is_student, "student").otherwise(dice.pick(OCCUPATIONS, "occupation", "person")),
        "income_index": slot(0.5 + F.col("income") / 5, (0.2, 0.2, 0.2, 0.2, 0.2)),
        "level": F.exp(F.col("talk_level") * province.config.behaviour.level_spread - province.config.behaviour.level_spread**2 / 2),
    }


def _contract(province: Province) -> dict[str, Column]:
    dice = province.dice
    fitting = F.ln("type_rental_yuan") + F.col("income") * 0.3 + F.col("talk_level") * 0.25 + F.col("thrift") * 0.3
    bounds = [sqrt(a * b) for a, b in pairwise(RENTALS)]
    tier = sum(((F.exp(fitting) >= bound).cast("int") for bound in bounds), F.lit(0))
    price = F.col("type_long_distance_price_yuan") * F.exp(dice.bell("long-distance price", "subscriber") * 0.22)
    return {
        "rental_yuan": F.element_at(F.array(*map(F.lit, RENTALS)), tier + 1),
        "local_price_yuan": to_digits(F.lit(0.18) * F.exp(dice.bell("local price", "subscriber") * 0.15), 2),
        "long_distance_price_yuan": to_digits(within(price, 0.06, 0.8), 2),
        "is_postpaid": dice.happens(F.col("type_postpaid") + F.col("income") * 0.08, "postpaid", "subscriber"),
        "joined_by": dice.pick(JOIN_CHANNELS, "join channel", "subscriber"),
        "has_consented": dice.happens(province.config.network.consent_share, "consent", "subscriber"),
    }


def _place(province: Province) -> dict[str, Column]:
    """Household, hall and county: neighbours in the community share them."""
    dice = province.dice
    return {
        "household": F.floor(F.col("subscriber") / 4),
        "hall": dice.below(F.col("halls"), "hall", community(F.col("subscriber"), province)) + 1,
        "county": F.element_at("counties", dice.below(F.size("counties"), "county", community(F.col("subscriber"), province)) + 1),
        "dear": (F.ln("rental_yuan") - F.ln("type_rental_yuan")) / 0.45 - F.col("talk_level") * 0.7,
    }
