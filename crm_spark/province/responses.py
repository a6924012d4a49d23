"""The truth of responses: who could respond in a month, with which chance, who did, and what an offer would have changed."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.config.province import RESPONSES, Treatment
from crm_spark.province.chance import logistic
from crm_spark.province.drivers import calendar_at, driven
from crm_spark.province.events import drawn, weighed
from crm_spark.province.numbers import subscriber_id
from crm_spark.province.spells import holds
from crm_spark.province.traits import with_traits
from crm_spark.province.world import Province

LEVELS = ("steadiness", "web_swing")  # chances that nothing is drawn with: they set how much use varies
DRAWN = tuple(name for name in RESPONSES if name not in LEVELS)


def true_responses(lives: DataFrame, province: Province) -> DataFrame:
    """One row per subscriber and month: of each response `at_risk_`, `chance_` and `drew_`; of each offer `uplift_` and `outcome_` of the treated.

    Of ordinary numbers; those beside them (province/cards.py) stand in `truth/further`. An outcome counts for who is at risk. The uplift is
    the difference of two known chances; both outcomes are drawn with one number, so that nobody is moved against the sign of the uplift.
    """
    states = ["is_closed", "tone_awake", "tone_before", "web_before", "newspaper_before"]
    ordinary = lives.where(F.col("subscriber") < province.numbers) if province.cards else lives
    known = with_traits(ordinary.select("subscriber", "t", *[f"chance_{r}" for r in RESPONSES], *states), province)
    moved = driven(calendar_at(known, province), province)
    treated = moved.withColumns({f"treated_{kind}": _treated(t) for kind, t in province.config.treatments.items()})
    was_there = F.col("t") > F.col("activation_t")
    return treated.select(
        "month", subscriber_id(province, F.col("subscriber")).alias("subscriber_id"), "city",
        *[(was_there & at_risk).alias(f"at_risk_{r}") for r, at_risk in _at_risk(province).items()],
        *[f"chance_{r}" for r in RESPONSES],
        *[drawn(province, r).alias(f"drew_{r}") for r in DRAWN],
        *[(F.col(f"treated_{kind}") - F.col(f"chance_{t.response}")).alias(f"uplift_{kind}") for kind, t in province.config.treatments.items()],
        *[drawn(province, t.response, F.col(f"treated_{kind}")).alias(f"outcome_{kind}") for kind, t in province.config.treatments.items()],
    )  # fmt: skip


def _at_risk(province: Province) -> dict[str, Column]:
    """Who can respond, by the state before the month."""
    held_tone = holds(province, "ring_back_tone", F.col("t") - 1) & holds(province, "ring_back_tone", F.col("t"))
    return {
        "leave": F.lit(True),
        "collapse": ~F.col("is_closed"),
        "newspaper_order": ~F.col("newspaper_before"),
        "newspaper_cancel": F.col("newspaper_before"),
        "tone_wake": held_tone & ~F.col("tone_before"),
        "tone_sleep": held_tone & F.col("tone_before"),
        "tone_buy": held_tone & F.col("tone_awake"),
        "web_silence": ~F.col("web_before"),
        "web_return": F.col("web_before"),
    }


def _treated(treatment: Treatment) -> Column:
    """The chance of the response if the offer is made."""
    untreated = F.col(f"chance_{treatment.response}")
    return logistic(F.ln(untreated / (1 - untreated)) + weighed(treatment))
