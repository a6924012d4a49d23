"""What happens to a subscriber because of the drivers: leaving, collapses of use, orders, waking and falling silent.

Every event has its planted chance on the row (`chance_<response>`); states are what the events up to the month left.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

from crm_spark.config.province import RESPONSES, Response, Treatment
from crm_spark.province.cards import used_up
from crm_spark.province.chance import logistic
from crm_spark.province.spells import spell_start
from crm_spark.province.world import WARM_UP, Province

COLLAPSE_MONTHS = 5  # the longest
NEWSPAPER_AT_FIRST, TONE_AWAKE_AT_FIRST, WEB_SILENT_AT_FIRST = 0.16, 0.45, 0.12
_ON, _OFF = 1, 0
_CARRIED = (
    "subscriber", "t", "month", "first_day", "season_local", "season_long_distance", "season_roaming", "season_data",
    "complaints_now", "owes", "mood_now",
)  # fmt: skip


def lives(drivers: DataFrame, province: Province) -> DataFrame:
    """One row per subscriber and delivered month in the network, the month of leaving included: chances, states, time to leaving."""
    planted = {name: province.config.responses[name] for name in RESPONSES} | province.config.further.chances
    chanced = drivers.withColumns({f"chance_{name}": chance(response) for name, response in planted.items()})
    happened = chanced.select(*_CARRIED, "activation_t", *[f"chance_{name}" for name in planted], *_events(province))
    states = _spells(_states(happened, province))
    stays = F.col("t") <= F.coalesce("exit_t", F.lit(10_000))
    return states.where(F.col("t").between(0, province.last) & stays).drop("newspaper_event", "tone_event", "web_event", "activation_t")


def chance(response: Response) -> Column:
    """The planted chance of a response, from columns named as its drivers."""
    return logistic(weighed(response))


def weighed(formula: Response | Treatment) -> Column:
    """Log-odds: the intercept and the sum of weight x driver."""
    return sum((_term(term) * weight for term, weight in formula.drivers.items()), F.lit(formula.intercept))


def drawn(province: Province, response: str, instead: Column | None = None) -> Column:
    """Whether the month's draw brings the response, with the planted chance or another one."""
    return province.dice.happens(F.col(f"chance_{response}") if instead is None else instead, response, "subscriber", "t")


def further_services(province: Province) -> tuple[str, ...]:
    """Services that are planted only where they are asked for: taken once, in the month `from_<service>`, and held ever after."""
    return tuple(province.config.further.services) if province.config.further.on else ()


def _term(term: str) -> Column:
    first, *others = (F.col(name).cast("double") for name in term.split("*"))
    for other in others:
        first = first * other
    return first


def _events(province: Province) -> list[Column]:
    """What is drawn in the month; whether it counts depends on the state it meets."""
    leaves = (F.col("t") >= 0) & (F.col("t") > F.col("activation_t")) & drawn(province, "leave")
    length = province.dice.below(COLLAPSE_MONTHS - 1, "collapse months", "subscriber", "t") + 2
    events = {
        "leaves": used_up(province, leaves) if province.cards else leaves,
        "collapse_months": F.when(drawn(province, "collapse"), length).otherwise(0),
        "newspaper_event": _switch(province, "newspaper", {"newspaper_order": _ON, "newspaper_cancel": _OFF}, NEWSPAPER_AT_FIRST),
        "tone_event": _tone_switch(province),
        "web_event": _switch(province, "web", {"web_silence": _ON, "web_return": _OFF}, WEB_SILENT_AT_FIRST),
        "buys_tone": drawn(province, "tone_buy"),
    }
    return [column.alias(name) for name, column in events.items()]


def _switch(province: Province, what: str, events: Mapping[str, int], at_first: float) -> Column:
    """1 or 0 in months when something switches, else null; who was there before the warm-up starts in a drawn state."""
    first = F.col("t") == F.greatest(F.col("activation_t"), F.lit(-WARM_UP))
    state = F.when(F.col("activation_t") <= -WARM_UP, province.dice.happens(at_first, f"{what} at first", "subscriber")).otherwise(False)
    switched = [F.when(drawn(province, name), to) for name, to in events.items()]
    return F.when(first, state.cast("int")).otherwise(F.coalesce(*switched))


def _tone_switch(province: Province) -> Column:
    """A tone plays from the day it is ordered."""
    ordered = F.col("t") == spell_start(province, "ring_back_tone")
    switch = _switch(province, "tone", {"tone_wake": _ON, "tone_sleep": _OFF}, TONE_AWAKE_AT_FIRST)
    return F.when(ordered, F.lit(_ON)).otherwise(switch)


def _states(happened: DataFrame, province: Province) -> DataFrame:
    """States after the month's events. One shuffle, by subscriber."""
    whole = Window.partitionBy("subscriber")
    months = whole.orderBy("t")
    so_far = months.rowsBetween(Window.unboundedPreceding, 0)
    running = [F.coalesce(F.lag("collapse_months", j).over(months) > j, F.lit(False)) for j in range(1, COLLAPSE_MONTHS)]
    return happened.withColumns(
        {
            "exit_t": F.min(F.when(F.col("leaves"), F.col("t"))).over(whole),
            **{f"from_{s}": F.min(F.when(drawn(province, s), F.col("t"))).over(whole) for s in further_services(province)},
            "in_collapse": (F.col("collapse_months") > 0) | _any(running),
            "collapse_in": _first_ahead("collapse_months", months),
            "holds_newspaper": F.last("newspaper_event", ignorenulls=True).over(so_far) == _ON,
            "tone_awake": F.last("tone_event", ignorenulls=True).over(so_far) == _ON,
            "web_silent": F.last("web_event", ignorenulls=True).over(so_far) == _ON,
            "web_silence_in": _first_ahead("web_event", months),
        }
    )


def _first_ahead(event: str, months: WindowSpec) -> Column:
    """1 or 2 if the event lies that many months ahead, else 0."""
    one, two = (F.coalesce(F.lead(event, k).over(months) > 0, F.lit(False)) for k in (1, 2))
    return F.when(one, 1).when(two, 2).otherwise(0)


def _any(conditions: list[Column]) -> Column:
    first, *others = conditions
    for other in others:
        first = first | other
    return first


def _spells(states: DataFrame) -> DataFrame:
    """States before the month's events, since when the newspaper is held, and whether it was dropped in the month."""
    months = Window.partitionBy("subscriber").orderBy("t")
    before, tone, web = (F.coalesce(F.lag(state).over(months), F.lit(False)) for state in ("holds_newspaper", "tone_awake", "web_silent"))
    begins = F.when(F.col("holds_newspaper") & ~before, F.col("t"))
    marked = states.withColumns({"newspaper_begins": begins, "newspaper_before": before, "tone_before": tone, "web_before": web})
    since = F.last("newspaper_begins", ignorenulls=True).over(months.rowsBetween(Window.unboundedPreceding, 0))
    dropped = F.col("newspaper_before") & ~F.col("holds_newspaper")
    return marked.withColumns({"newspaper_since": since, "newspaper_dropped": dropped}).drop("newspaper_begins")
