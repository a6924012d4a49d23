"""The raw tables of the province, as an operator would deliver them: which there are, and how each is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.province.bills import billing
from crm_spark.province.calls import voice_cdr
from crm_spark.province.campaigns import campaign, policy
from crm_spark.province.city_tables import cell_site, event, place
from crm_spark.province.contacts import contact_history
from crm_spark.province.desk import complaint, message_cdr, service_contact, survey, tariff
from crm_spark.province.drivers import drivers, handset_at
from crm_spark.province.events import lives
from crm_spark.province.groups import account_manager, group_info, group_member, key_account
from crm_spark.province.monitor import service_monitor
from crm_spark.province.numbers import subscriber_id
from crm_spark.province.outcomes import outcome
from crm_spark.province.peers import community_of, main_province
from crm_spark.province.people import bundle_contract, terminal, user_extension, user_info
from crm_spark.province.plan import anchors, cell_id, cell_of, place_id
from crm_spark.province.roles import roles
from crm_spark.province.services import service_subscription, vas_usage, with_services
from crm_spark.province.signalling import signalling
from crm_spark.province.summaries import contact_circle, voice_summary
from crm_spark.province.traits import subscribers, with_traits
from crm_spark.province.use import use
from crm_spark.province.world import Province

PLACING = ("month", "subscriber")
Build = Callable[[DataFrame, Province], DataFrame]


@dataclass(frozen=True)
class Delivery:
    """One raw table: how its rows are built from lives, and how its files look."""

    name: str
    build: Build
    format: Literal["csv", "parquet"] = "csv"
    encoding: Literal["UTF-8", "GBK"] = "UTF-8"
    rows_per_subscriber: float = 1.0  # in a month, about; sets the number of files

    def rows(self, told: DataFrame, province: Province) -> DataFrame:
        """The rows as delivered, with `month` and `subscriber` for placing them; CSV values are text."""
        built = self.build(told, province)
        if self.format == "parquet":
            return built
        placing = [c for c in PLACING if c in built.columns]
        return built.select(*placing, *[_text(f).alias(f.name) for f in built.schema.fields if f.name not in PLACING])


def _text(field: T.StructField) -> Column:
    """A value as people write it: 0.000751, where Spark says 7.51E-4, which is no number to an operator's door."""
    text = F.col(field.name).cast("string")
    if not isinstance(field.dataType, T.DoubleType):
        return text
    plain = F.rtrim(F.col(field.name).try_cast("decimal(38,12)").cast("string"), F.lit("0"))
    return F.when(text.contains("E"), F.coalesce(plain, text)).otherwise(text)


DELIVERIES = (
    Delivery("user_info", user_info, encoding="GBK"),
    Delivery("terminal", terminal),
    Delivery("billing", billing),
    Delivery("vas_usage", vas_usage, rows_per_subscriber=3),
    Delivery("service_subscription", service_subscription, rows_per_subscriber=3),
    Delivery("bundle_contract", bundle_contract),
    Delivery("user_extension", user_extension),
    Delivery("voice_cdr", voice_cdr, format="parquet", rows_per_subscriber=30),
    Delivery("voice_summary", voice_summary),
    Delivery("contact_circle", contact_circle),
)
FURTHER = (Delivery("outcome", outcome, rows_per_subscriber=1.2),)  # where it is asked for
EXTRA = (  # which no job of the month reads; delivered where all tables are asked for
    Delivery("cell_site", cell_site, rows_per_subscriber=0),
    Delivery("place", place, rows_per_subscriber=0),
    Delivery("event", event, rows_per_subscriber=0),
    Delivery("signalling", signalling, format="parquet", rows_per_subscriber=20),
    Delivery("message_cdr", message_cdr, format="parquet", rows_per_subscriber=10),
    Delivery("group_info", group_info, rows_per_subscriber=0.01),
    Delivery("group_member", group_member, rows_per_subscriber=0.3),
    Delivery("account_manager", account_manager, rows_per_subscriber=0),
    Delivery("key_account", key_account, rows_per_subscriber=0.1),
    Delivery("complaint", complaint, rows_per_subscriber=0.2),
    Delivery("survey", survey, rows_per_subscriber=0.1),
    Delivery("service_contact", service_contact),
    Delivery("tariff", tariff, rows_per_subscriber=0),
    Delivery("policy", policy, rows_per_subscriber=0),
    Delivery("campaign", campaign, rows_per_subscriber=0),
    Delivery("contact_history", contact_history, rows_per_subscriber=0.2),
    Delivery("service_monitor", service_monitor, rows_per_subscriber=0),
)


def true_subscribers(spark: SparkSession, province: Province, partitions: int | None = None) -> DataFrame:
    """The planted truth of subscribers: one row per number ever in use."""
    people = subscribers(spark, province, partitions)
    placed = people.withColumns(roles(province)).withColumns(anchors(province))
    looks = ("city", "archetype", "level", "age", "activation_t", "vpn", "family", "household", "person", "talk_level", "data_level")
    hidden = ("loyalty", "second_sim", "news_taste", "music_taste", "web_taste")
    likes = ("role", "is_parent", "likes_music", "likes_sport", "likes_cinema", "likes_shopping", "goes_out_late")
    return placed.select(
        "subscriber", subscriber_id(province, F.col("subscriber")).alias("subscriber_id"), community_of(province).alias("community"),
        main_province(province).alias("main_province"), *looks, *hidden, *likes,
        *[place_id(F.col(at), F.col("city")).alias(at) for at in ("home", "work")],
        *[cell_id(cell_of(province, F.col(at)), F.col("city")).alias(f"{at}_cell") for at in ("home", "work")],
    )  # fmt: skip


def true_lives(spark: SparkSession, province: Province, partitions: int | None = None) -> DataFrame:
    """The planted truth of lives: one row per subscriber and delivered month, with chances, states and use."""
    return use(lives(drivers(subscribers(spark, province, partitions), province), province), province)


def told_lives(true: DataFrame, province: Province) -> DataFrame:
    """What deliveries are built from: lives with traits, handset and services; the traits are computed anew, not stored."""
    known = with_traits(true, province).withColumns(handset_at(province, F.col("t")))
    return with_services(known, province)
