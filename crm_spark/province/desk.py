"""What subscribers tell the operator one by one, and messages: complaints, survey answers, calls to the hotline, SMS and MMS."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.province.calls import SKEW
from crm_spark.province.numbers import whose
from crm_spark.province.peers import is_on_net, partner_met, peer_number, rank
from crm_spark.province.people import answer, hotline_calls
from crm_spark.province.traits import RENTALS
from crm_spark.province.world import Province, small_frame

_CATEGORIES = {"network": 0.35, "bill": 0.3, "service": 0.2, "spam": 0.15}
_REASONS = {"bill": 0.4, "plan": 0.25, "network": 0.2, "handset": 0.15}
_TEXTS = {"network": "no signal at home", "bill": "charged for what was not ordered", "service": "waited long in the hall", "spam": "too many messages"}
_KEY = ("subscriber", "t", "n")
_MESSAGES, _MMS_SHARE, _MOST = 0.35, 0.06, 200  # messages a call, about


def complaint(lives: DataFrame, province: Province) -> DataFrame:
    """One row per complaint; as many as the user-extension table counts."""
    each = _each(lives.where(~F.col("is_closed")), F.col("complaints_now"))
    category = province.dice.pick(_CATEGORIES, "complaint about", *_KEY)
    texts = F.create_map(*[F.lit(x) for pair in _TEXTS.items() for x in pair])
    return each.select(*whose(province), _moment(province, "complained").alias("told_at"), category.alias("category"), F.element_at(texts, category).alias("text"))


def survey(lives: DataFrame, province: Province) -> DataFrame:
    """One row per answer to a satisfaction survey."""
    answered = lives.where(~F.col("is_closed")).withColumn("score", answer(province)).where(F.col("score").isNotNull()).withColumn("n", F.lit(1))
    return answered.select(*whose(province), _moment(province, "answered").alias("told_at"), "score")


def service_contact(lives: DataFrame, province: Province) -> DataFrame:
    """One row per call to customer service."""
    each = _each(lives.where(~F.col("is_closed")), hotline_calls(province))
    reason = province.dice.pick(_REASONS, "called about", *_KEY)
    return each.select(*whose(province), _moment(province, "called").alias("called_at"), reason.alias("reason"))


def message_cdr(lives: DataFrame, province: Province) -> DataFrame:
    """One row per SMS or MMS of the months that come as calls, with the peers of local calls."""
    dice = province.dice
    delivered = lives.where(F.col("month").isin(*province.config.call_months) & (F.col("peers_local") > 0))
    count = F.least(F.floor(F.col("calls") * _MESSAGES * F.exp(dice.bell("messages", "subscriber") * 0.8)), F.lit(_MOST))
    each = _each(delivered, count).withColumn("tie", rank(dice.uniform("message to", *_KEY), F.col("peers_local"), F.col("peers_local"), SKEW))
    met = each.withColumn("inside", partner_met(province))
    on_net = is_on_net(province, F.lit(True), "subscriber", "tie", F.xxhash64(F.lit("local")))
    return met.select(
        *whose(province), peer_number(province, F.lit("local"), F.col("tie"), F.col("inside"), on_net).alias("peer_number"),
        _moment(province, "message").alias("sent_at"), F.when(dice.happens(0.55, "sends", *_KEY), "out").otherwise("in").alias("direction"),
        F.when(dice.happens(_MMS_SHARE, "mms", *_KEY), "mms").otherwise("sms").alias("kind"),
    )  # fmt: skip


def tariff(lives: DataFrame, province: Province) -> DataFrame:
    """One row per plan and month: rental, allowances, unit price."""
    rows = [(m, f"P{rental:03d}", rental, rental * 5, rental * 30, 0.15) for m in province.config.months for rental in RENTALS]
    return small_frame(lives.sparkSession, rows, "month string, plan_code string, rental int, minutes int, mb int, minute_price double")


def _each(lives: DataFrame, count: Column) -> DataFrame:
    """A row for each of `count` things of a month, numbered from 1."""
    return lives.withColumn("count", count.cast("int")).where("count > 0").withColumn("n", F.explode(F.sequence(F.lit(1), F.col("count"))))


def _moment(province: Province, salt: str) -> Column:
    """A second in the month, from eight in the morning to ten at night."""
    day = province.dice.below(F.dayofmonth(F.last_day("first_day")), f"{salt} day", *_KEY)
    second = province.dice.below(14 * 3600, f"{salt} second", *_KEY)
    return F.date_add("first_day", day).cast("timestamp_ntz") + F.make_dt_interval(hours=F.lit(8), secs=second)
